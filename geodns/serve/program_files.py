"""Tells whether a program's files are still those that were started, by a fingerprint that needs no reading.

A new version belongs into a folder of its own: a program whose files were changed in place would load new
modules beside old ones.
"""

import hashlib
import os
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
"""Where this program's own files are."""


def fingerprint(folder: Path = PACKAGE) -> str:
    """Return a line for `has_changed`: a digest of each file's name, size, time and inode, and the folder.

    Compiled bytecode does not count: Python writes it as modules are loaded.

    Raises:
        OSError: the folder, or a file in it, cannot be looked at.

    """
    folder = folder.resolve()
    digest = hashlib.sha256()
    for name, found in sorted(_files(str(folder), "")):
        digest.update(
            f"{name}\0{found.st_size} {found.st_mtime_ns} {found.st_ino}\n".encode(errors="replace")
        )
    return f"{digest.hexdigest()} {folder}"


def has_changed(kept: str) -> bool:
    """Say whether what `fingerprint` once returned is true no more: files were changed, or are gone."""
    try:
        return fingerprint(Path(kept.partition(" ")[2])) != kept
    except OSError:
        return True


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
