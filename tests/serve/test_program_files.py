import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from geodns.serve.program_files import PACKAGE, fingerprint


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "lib" / "geodns"
    (folder / "serve").mkdir(parents=True)
    for name in ("__init__.py", "serve/udp.py"):
        (folder / name).write_text("pass\n")
    return folder


def _edit(folder: Path) -> None:
    (folder / "serve/udp.py").write_text("return\n")


def _replace(folder: Path) -> None:
    file = folder / "serve/udp.py"
    found = file.stat()
    other = folder.parent / "other"
    other.write_text("pass\n")
    other.rename(file)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        _edit,
        _replace,
        lambda folder: (folder / "new.py").touch(),
        lambda folder: (folder / "serve/udp.py").unlink(),
        lambda folder: (folder / "serve/udp.py").rename(folder / "serve/tcp.py"),
        shutil.rmtree,
    ],
    ids=["edited", "replaced", "added", "removed", "renamed", "gone"],
)
def test_a_program_whose_files_were_touched_has_changed(
    program: Path, change: Callable[[Path], object]
) -> None:
    kept = fingerprint(str(program))
    assert kept == fingerprint(str(program))
    change(program)
    assert fingerprint(str(program)) != kept


def test_bytecode_and_the_way_to_the_folder_do_not_count(program: Path, tmp_path: Path) -> None:
    kept = fingerprint(str(program))
    (program / "__pycache__").mkdir()
    (program / "__pycache__/udp.pyc").touch()
    (tmp_path / "link").symlink_to(program)
    assert fingerprint(str(tmp_path / "link")) == kept


def test_a_folder_that_is_gone_has_none(tmp_path: Path) -> None:
    assert fingerprint(str(tmp_path / "gone")) == ""
    assert fingerprint() == fingerprint(str(PACKAGE))
