"""A running server as commands see it: canned JSON over real HTTP on loopback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Answering:
    """What the server gives, and what it was asked.

    Attributes:
        gives: by method and path: a status and a body (bytes as they are, all else as JSON). Where a path
            has several, each is given once, the last one from then on.
        asked: method, path with query, headers and body of every request.
        headers: of every answer, beside those that it needs.

    """

    def __init__(self) -> None:
        self.gives: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.url = ""
        self.headers: dict[str, str] = {}

    def give(self, what: str, *answers: Any, status: int = 200) -> None:
        self.gives[what] = [(status, answer) for answer in answers]

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.asked.append((method, path, headers, json.loads(body) if body else None))
        some = self.gives.get(f"{method} {urlsplit(path).path}", [(404, {"error": "nothing here"})])
        status, found = some.pop(0) if len(some) > 1 else some[0]
        return status, found if isinstance(found, bytes) else json.dumps(found).encode()


@contextmanager
def answering() -> Iterator[Answering]:
    """Run a server until the block ends."""
    fake = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, body = fake.answer(self.command, self.path, dict(self.headers), self.rfile.read(length))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in fake.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


NAME = "out.example.com"


def host(**other: Any) -> dict[str, Any]:
    """A host as ``/status`` shows it."""
    check = {
        "check": "smtp",
        "address": "192.0.2.11",
        "port": 25,
        "state": "up",
        "failures": 0,
        "outcome": "ok",
        "detail": "220 mta1 ESMTP",
        "rtt_ms": 1.9,
        "at": "2026-11-23T07:00:00Z",
    }
    shown: dict[str, Any] = {
        "state": "up",
        "forced": None,
        "weight": 50,
        "factors": {},
        "effective_weight": 50,
        "addresses": ["192.0.2.11"],
        "since": "2026-11-23T07:00:00Z",
        "checks": [check],
    }
    return shown | other


def pool(*hosts: str, **other: Any) -> dict[str, Any]:
    """A pool as ``/status`` shows it, that deals these hosts evenly."""
    family = {"live": list(hosts), "share": {one: 1 / len(hosts) for one in hosts}}
    shown: dict[str, Any] = {
        "using": ["main"] if hosts else [],
        "last_resort": None,
        "live": list(hosts),
        "answers": 2,
        "ttl": 20,
        "max_ttl": 30,
        "families": {"A": family, "AAAA": {"live": [], "share": {}}},
    }
    return shown | other


def status(*hosts: str, zone: str = NAME, **other: Any) -> dict[str, Any]:
    """``/status`` of one zone with hosts mta1 and mta2, of which pool ``main`` deals these."""
    shown: dict[str, Any] = {
        "node": "ns1",
        "version": "0.1.0",
        "backend": "python",
        "uptime_s": 93784.2,
        "ready": True,
        "listen": ["127.0.0.1:5300"],
        "warnings": [],
        "zones": {
            zone: {"serial": 2026112301, "digest": "a" * 32, "file": f"zones/{zone}.yaml", "error": None}
        },
        "hosts": {zone: {"mta1": host(), "mta2": host()}},
        "pools": {zone: {"main": pool(*hosts)}},
    }
    return shown | other
