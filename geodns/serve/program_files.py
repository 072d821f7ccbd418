"""Tells whether a program's files are still those that were started, by a fingerprint that needs no reading.

A new version belongs into a folder of its own: a program whose files were changed in place would load new
modules beside old ones.
"""

import hashlib
import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
"""The folder of this program's own files."""


def fingerprint(folder: str = str(PACKAGE)) -> str:
    """Return a digest of each file's name, size, time and inode; empty: the folder cannot be looked at.

    Compiled bytecode does not count: Python writes it as modules are loaded.
    """
    digest = hashlib.sha256()
    try:
        for name, found in sorted(_files(folder, "")):
            line = f"{name}\0{found.st_size} {found.st_mtime_ns} {found.st_ino}\n"
            digest.update(line.encode(errors="surrogateescape"))
    except OSError:
        return ""
    return digest.hexdigest()


def _files(folder: str, under: str) -> list[tuple[str, os.stat_result]]:
    found: list[tuple[str, os.stat_result]] = []
    with os.scandir(folder) as entries:
        for one in entries:
            if one.is_dir(follow_symlinks=False):
                if one.name != "__pycache__":
                    found += _files(one.path, f"{under}{one.name}/")
            else:
                found.append((f"{under}{one.name}", one.stat()))
    return found
