"""A server that takes signals as the API says, and fails when told to."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SignalServer:
    """Takes batches, each name once.

    Attributes:
        batches: the signals of each batch, by its name.
        alive: heartbeats, in their order.
        tokens: what clients have shown as authorization.
        trouble: how the next requests fail, one after another: a status, "lost" (taken, but the answer does
            not come through) or "closed" (nothing is taken).
        hosts: what `/status` says, with a status of HTTP.
        posts: how many there were.
        asked: how often for `/status`.
        remarks: what else is in the answer to a batch.

    """

    def __init__(self) -> None:
        self.batches: dict[str, list[dict[str, Any]]] = {}
        self.alive: list[list[str]] = []
        self.tokens: set[str | None] = set()
        self.trouble: list[int | str] = []
        self.posts = self.asked = 0
        self.status = 200
        self.remarks: dict[str, Any] = {"rejected": []}
        self.hosts: dict[str, Any] = {"out.example.com": {"mta1": {"addresses": ["192.0.2.1"]}}}
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.answer(outer.status, {"hosts": outer.hosts})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.tokens.add(self.headers["Authorization"])
                with outer.lock:
                    outer.posts += 1
                    trouble = outer.trouble.pop(0) if outer.trouble else 200
                    duplicate = body["batch"] in outer.batches
                    if trouble in {200, "lost"} and not duplicate:
                        outer.batches[body["batch"]] = body["signals"]
                        if "alive" in body:
                            outer.alive.append(body["alive"])
                if isinstance(trouble, str):
                    self.close_connection = True
                    return
                shown = {"accepted": len(body["signals"]), "duplicate": duplicate, **outer.remarks}
                self.answer(trouble, shown if trouble == 200 else {"error": "not now"})

            def answer(self, status: int, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def signals(self) -> list[dict[str, Any]]:
        """Every signal that was taken."""
        with self.lock:
            return [one for batch in self.batches.values() for one in batch]

    def texts(self) -> Counter[str]:
        """How many events there were of each text."""
        found: Counter[str] = Counter()
        for one in self.signals():
            found[one.get("text", one["event"])] += one.get("count", 1)
        return found


@contextmanager
def signal_server() -> Iterator[SignalServer]:
    server = SignalServer()
    thread = threading.Thread(target=server._server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server._server.shutdown()
        server._server.server_close()
        thread.join()
