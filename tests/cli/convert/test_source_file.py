"""Files of other programs: pipes are read, what never ends is not."""

import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from geodns.cli import main
from geodns.cli.convert import source_file
from geodns.cli.convert.source_file import read_source
from tests.cli.convert.gdnsdzones import HEAD, written

ENDLESS = "/dev/zero"


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(main.geodns, ["import", *arguments])
    assert done.exit_code == 1
    return f"{done.exception}"


def test_what_the_operator_names_may_be_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"x",))
    writer.start()
    assert read_source(pipe, included=False) == b"x"
    writer.join()
    with pytest.raises(OSError, match="no regular file"):
        read_source(pipe, included=True)


def test_a_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_file, "MAX_BYTES", 1 << 20)
    path = tmp_path / "db.example.com"
    path.write_bytes(b";" * (1 << 20))
    assert len(read_source(path, included=True)) == 1 << 20
    with path.open("ab") as file:
        file.write(b"\n")
    assert refused(str(path)) == f"{path}: File is larger than 1 MB"


def test_every_format_refuses_what_never_ends(tmp_path: Path) -> None:
    assert refused("--format", "bind", "--origin", "a.example", ENDLESS) == f"{ENDLESS}: Is no regular file"
    bind = tmp_path / "db.example.com"
    bind.write_text(f"{HEAD}$INCLUDE {ENDLESS}\n")
    assert refused(str(bind)).startswith(f"{bind}:5: '$INCLUDE {ENDLESS}': {ENDLESS}: Is no regular file")
    octodns = tmp_path / "example.com.yaml"
    octodns.write_text(f"a: !include {ENDLESS}\n")
    assert f"{ENDLESS}: Is no regular file" in refused(str(octodns))
    gdnsd = written(tmp_path, "", f"$include{{{ENDLESS}}}")
    assert f"{ENDLESS} is included here: Is no regular file" in refused(str(gdnsd))
