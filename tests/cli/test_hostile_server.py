"""Commands that meet a strange server: one line, no traceback, nothing that a terminal obeys."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from geodns.cli import client
from geodns.cli.client import Server, read_json
from geodns.cli.main import geodns
from geodns.errors import GeodnsError, ServerError
from tests.answering import Answering, answering, status

COMMANDS = [
    "status",
    "events",
    "explain out.example.com",
    "simulate",
    "drain mta1",
    "undrain mta1",
    "quarantine mta1",
    "force down mta1",
    "weight mta1 5",
    "clear mta1",
    "export-state",
    "reload",
    "querylog off",
    "report --output /dev/null",
]
PATHS = [
    "GET /status",
    "GET /api/v1/events",
    "GET /api/v1/explain",
    "GET /api/v1/state",
    "GET /api/v1/history",
    "POST /api/v1/hosts",
    "POST /api/v1/orders",
    "POST /api/v1/reload",
    "POST /api/v1/querylog",
    "POST /api/v1/simulate",
]
ANSWERS: list[Any] = [
    {},
    [],
    None,
    5,
    {"hosts": 5, "events": 5, "answers": 5, "zones": 5, "changes": [], "pending": 5, "pools": None},
    {"hosts": {"z": {"h": {}}}, "events": [{}], "zones": {"z": 1}, "pools": {"z": {"p": []}}},
    {"names": [{"servfail": "x"}], "clients": 5, "at": 5, "skipped": None, "more": None, "remarks": 5},
    b"[" * 100_000,
    b'{"events": "\xff"}',
    b"",
]


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        yield found


def run(command: str, fake: Answering) -> tuple[str, BaseException | None]:
    result = CliRunner().invoke(geodns, [*command.split(), "--server", fake.url], input="")
    return result.output, result.exception


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_no_answer_makes_a_traceback(fake: Answering, command: str, number: int) -> None:
    for path in PATHS:
        fake.give(path, ANSWERS[number])
    output, error = run(command, fake)
    assert error is None or isinstance(error, GeodnsError | SystemExit), (output, error)


def test_an_answer_that_is_no_export_is_not_written(fake: Answering, tmp_path: Path) -> None:
    fake.give("GET /api/v1/state", {"forced": []})
    _, error = run(f"export-state {tmp_path / 'kept'}", fake)
    assert isinstance(error, ServerError)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("command", ["report --output /dev/null", "events --since 1h"])
def test_events_that_go_round_in_a_circle_end(fake: Answering, command: str) -> None:
    event = {"id": 1, "at": "2026-11-23T07:00:00Z", "kind": "state", "zone": "z", "host": "h", "text": "x"}
    fake.give("GET /status", status())
    fake.give("GET /api/v1/history", {"zone": "z", "step_s": 60, "from": event["at"], "hosts": {}})
    fake.give("GET /api/v1/events", {"events": [event] * 1000, "last": 1})
    run(command, fake)
    asked = [path for _, path, *_ in fake.asked if path.startswith("/api/v1/events")]
    assert 1 <= len(asked) <= 2


def test_what_has_the_terminals_control_characters_is_escaped(fake: Answering) -> None:
    text = "host \x1b]0;owned\x07\x1b[2J\x9b31m\u202e mta1"
    event = {"id": 1, "at": "2026-11-23T07:00:00Z", "kind": "state", "zone": "z", "host": text, "text": text}
    fake.give("GET /api/v1/events", {"events": [event], "last": 1})
    output, _ = run("events", fake)
    assert "owned" in output
    assert output.rstrip("\n").isprintable()
    fake.give("GET /api/v1/events", {"error": text}, status=500)
    _, error = run("events", fake)
    assert str(error).isprintable()


def test_a_whole_status_of_such_texts_is_escaped(fake: Answering) -> None:
    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoil(one) for key, one in value.items()}
        if isinstance(value, list):
            return [spoil(one) for one in value]
        return f"{value}\x1b[2J" if isinstance(value, str) and "T" not in value else value

    fake.give("GET /status", spoil(status()))
    output, _ = run("status", fake)
    assert "\x1b" not in output
    assert "\\x1b" in output


def test_an_endless_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER", 100_000)

    def send(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
            try:
                while True:
                    connection.sendall(b"1," * 10_000)
            except OSError:
                pass

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=send, args=[listener])
        thread.start()
        with pytest.raises(ServerError, match="the answer is longer than"):
            Server(f"http://127.0.0.1:{listener.getsockname()[1]}").get("/status")
        thread.join()


def test_a_key_that_is_not_there_is_named() -> None:
    found = read_json(json.dumps({"a": [{"b": "x\x00"}]}))
    assert found == {"a": [{"b": "x\\x00"}]}
    with pytest.raises(ServerError, match="the answer has no 'c': is that a geodns of this version"):
        found["a"][0]["c"]
