import contextlib
import json
import logging
import os
import re
import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geodns import logs
from geodns.errors import StartError
from geodns.logs import Handler, JsonFormatter, TextFormatter

log = logging.getLogger("geodns.test")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let no other handler see what is logged, and leave everything as it was."""
    hook, handlers, level = sys.excepthook, logging.getLogger().handlers[:], logging.getLogger().level
    logging.getLogger().handlers.clear()
    yield
    logging.captureWarnings(False)
    for one in logs._ours():
        one.close()
    sys.excepthook, logging.getLogger().handlers[:] = hook, handlers
    logging.getLogger().setLevel(level)


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("geodns.test", logging.WARNING, __file__, 1, message, args, None)
    made.created, made.msecs = 1_796_000_000.25, 250.0
    vars(made).update(extra)
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    text = JsonFormatter().format(made)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_of_text() -> None:
    found = TextFormatter().format(record("host %s is down", "mta1"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,250 WARNING supervisor: host mta1 is down", found)


def test_text_from_outside_makes_no_lines_of_its_own() -> None:
    assert TextFormatter().format(record("%s", "a\nb\x1b[2J")).endswith(r"supervisor: a\nb\x1b[2J")


def test_an_object() -> None:
    assert as_json(record("host %s is down\n", "mta1", host="mta1", since=1.5)) == {
        "time": "2026-11-30T00:53:20.250Z",
        "level": "warning",
        "process": "supervisor",
        "logger": "geodns.test",
        "message": "host mta1 is down\n",
        "host": "mta1",
        "since": 1.5,
    }


def test_what_comes_with_a_record_takes_no_other_field_away() -> None:
    assert as_json(record("true", level="fake", path=Path("x"))) | {"path": "x"} == as_json(
        record("true", path=Path("x"))
    )


def test_an_exception_is_a_field() -> None:
    made = record("failed")
    try:
        int("no\nvalue")
    except ValueError:
        made.exc_info = sys.exc_info()
    found = as_json(made)["exception"]
    assert found.startswith("Traceback (most recent call last):\n")
    assert found.endswith(r"ValueError: invalid literal for int() with base 10: 'no\nvalue'")


def test_every_process_has_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    log.info("first")
    logs.begin("udp0")
    log.info("second")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(one["process"], one["message"]) for one in lines] == [
        ("supervisor", "first"),
        ("udp0", "second"),
    ]


def test_levels_and_formats_are_those_of_the_last_call(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "debug")
    logs.configure("text", "error")
    log.warning("left out")
    log.error("told")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("ERROR supervisor: told")


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_error_that_ends_the_process(form: Any, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(form, "info")
    logs.tell(StartError("the port is taken"))
    (line,) = capfd.readouterr().err.splitlines()
    if form == "text":
        assert line == "geodns: the port is taken"
    else:
        assert json.loads(line)["message"] == "the port is taken"
        assert json.loads(line)["level"] == "critical"


def test_a_fault_of_our_own_is_an_object_too(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    error = RuntimeError("odd")
    sys.excepthook(RuntimeError, error, None)
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["exception"] == "RuntimeError: odd"


def test_a_record_whose_arguments_do_not_fit_is_shown_as_far_as_it_goes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    handler = Handler(2, TextFormatter())
    handler.emit(record("%d hosts", "many"))
    assert capfd.readouterr().err == "a log line that cannot be shown: '%d hosts'\n"


# --- a reader that does not read -----------------------------------------------------------------------


def ends(kind: str) -> tuple[int, int]:
    """Where a log is read, and where it is written."""
    if kind == "pipe":
        return os.pipe()
    if kind == "socket":
        ours, theirs = socket.socketpair()
        return ours.detach(), theirs.detach()
    return os.openpty()


def drained(descriptor: int) -> bytes:
    """Read all that is there."""
    os.set_blocking(descriptor, False)
    data = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(descriptor, 1 << 20):
            data += part
    return data


def ready(descriptor: int) -> bytes:
    """Read what is there, or comes within a moment: a terminal hands on what it has when it can."""
    return os.read(descriptor, 1 << 20) if select.select([descriptor], [], [], 0.1)[0] else b""


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
@pytest.mark.parametrize("size", [100, 5000])
def test_a_reader_that_does_not_read_costs_lines_and_no_time(kind: str, size: int) -> None:
    reader, writer = ends(kind)
    try:
        handler = Handler(writer, TextFormatter())
        count = 20_000 if size == 100 else 500
        for number in range(count):
            handler.emit(record("%d %s", number, "x" * size))
        assert handler.lost
        assert os.get_blocking(writer), "the flags of whoever shares it are left alone"
        data = b""
        while handler.lost or handler._rest:
            data += ready(reader)
            handler.emit(record("%d %s", count, "x" * size))
            count += 1
        while f": {count - 1} ".encode() not in data or not data.endswith(b"\n"):
            data += ready(reader)
        accounted = notices = 0
        for line in data.decode().splitlines():  # a terminal may make room in between, though nobody reads
            if lost := re.search(r"supervisor: (\d+) log lines were lost: stderr took no more$", line):
                accounted += int(lost[1])
                notices += 1
            else:
                assert line.split()[4:] == [str(accounted), "x" * size]
                accounted += 1
        assert accounted == count
        assert notices
        handler.close()
    finally:
        os.close(reader)
        os.close(writer)


def test_a_reader_that_is_gone_is_no_trouble() -> None:
    reader, writer = os.pipe()
    handler = Handler(writer, TextFormatter())
    os.close(reader)
    handler.emit(record("to nobody"))
    assert handler.lost == 0
    handler.close()
    os.close(writer)


def test_a_pipe_that_cannot_be_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    reader, writer = os.pipe()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        handler = Handler(writer, TextFormatter())
    for number in range(2000):
        handler.emit(record("%d %s", number, "x" * 100))
    assert handler.lost
    assert drained(reader).count(b"\n") == 2000 - handler.lost
    os.close(reader)
    os.close(writer)


def test_a_file_takes_everything(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        handler = Handler(file.fileno(), TextFormatter())
        handler.emit(record("one"))
        handler.emit(record("two \udcff"))
    assert len((tmp_path / "log").read_text().splitlines()) == 2
