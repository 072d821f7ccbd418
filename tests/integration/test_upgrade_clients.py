"""Clients that stay connected while a server is upgraded, orders in the midst of it, and its counters."""

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.integration.cluster import Server, serving
from tests.integration.serving import QUERY, Load, eventually
from tests.integration.test_upgrade_versions import NAME, ZONE, copy

FRAME = struct.pack(">H", len(QUERY)) + QUERY


@contextlib.contextmanager
def at_work(*works: Callable[[], None]) -> Iterator[None]:
    """Do some work again and again, each in a thread of its own, until the block ends; raise what fails."""
    over = threading.Event()
    failures: list[BaseException] = []

    def repeat(work: Callable[[], None]) -> None:
        try:
            while not over.is_set():
                work()
                time.sleep(0.02)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    for failure in failures:
        raise failure


class Http:
    """A client that keeps its connection for as long as the server does not say that it closes it."""

    def __init__(self, server: Server) -> None:
        self._address = server.http.removeprefix("http://")
        self._connection = http.client.HTTPConnection(self._address, timeout=30)
        self.closed = 0

    def __call__(self) -> None:
        self._connection.request("GET", "/healthz")
        response = self._connection.getresponse()
        assert (response.status, response.read()) == (200, b"alive\n")
        if response.will_close:
            self.closed += 1
            self._connection.close()
            self._connection = http.client.HTTPConnection(self._address, timeout=30)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class Dns:
    """A client over TCP that keeps its connection until the server closes it, and is never reset."""

    def __init__(self, server: Server) -> None:
        self._address = server.listen[0]
        self._connection = socket.create_connection(self._address, 30)
        self.answered = self.closed = 0

    def __call__(self) -> None:
        self._connection.sendall(FRAME)
        if self._connection.recv(4096):
            self.answered += 1
            return
        self.closed += 1
        self._connection.close()
        self._connection = socket.create_connection(self._address, 30)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class Events:
    """A client of the event stream that comes back with the last id it has; it is never reset.

    Attributes:
        ids: of all events, in their order.
        closed: streams that the server has ended.

    """

    def __init__(self, server: Server, after: int) -> None:
        self.ids = [after]
        self.closed = 0
        self._over = False
        self._address = server.http.removeprefix("http://")
        self._connection = http.client.HTTPConnection(self._address, timeout=60)
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        number = self.ids[0]
        while not self._over:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(number)}
            self._connection.request("GET", "/api/v1/events/stream", headers=headers)
            response = self._connection.getresponse()
            assert response.headers["Content-Type"] == "text/event-stream"
            event = False
            while line := response.readline():
                event = event or line.startswith(b"data:")
                if line.startswith(b"id:"):
                    number = int(line[3:])
                elif line == b"\n" and event:
                    self.ids.append(number)
                    event = False
            self.closed += not self._over
            self._connection.close()

    def close(self) -> None:
        """Listen no more."""
        self._over = True
        with contextlib.suppress(OSError, AttributeError):
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()


def fresh(server: Server) -> Callable[[], None]:
    """Ask over a connection of its own each time."""

    def work() -> None:
        assert server.get("/status")["version"]

    return work


def test_connected_clients_are_answered_and_nothing_is_counted_twice_or_lost(tmp_path: Path) -> None:
    program = copy(tmp_path / "good", "9.0")
    with (
        serving(tmp_path, {NAME: ZONE}, workers=2, fresh=True) as server,
        contextlib.closing(Http(server)) as kept,
        contextlib.closing(Dns(server)) as dns,
    ):
        orders: list[tuple[int, str]] = []
        counts: list[float] = []
        load = Load(server.listen[0], pause=0.002)

        def drain() -> None:
            given = server.command("drain", f"mta1.{NAME}", "--yes", timeout=60)
            orders.append((given.returncode, given.stderr))
            time.sleep(0.2)

        def count() -> None:
            counts.append(sum(server.samples("geodns_queries_total").values()))

        after = server.get("/api/v1/events?limit=1")["last"]
        with (
            load,
            contextlib.closing(Events(server, after)) as stream,
            at_work(kept, dns, fresh(server), drain, count),
        ):
            assert load.wait_for_more()
            state = ("--state", str(tmp_path / "state"))
            done = server.command("upgrade", *state, "--program", program, timeout=100)
            assert done.returncode == 0, done.stderr
            assert load.wait_for_more()
            last = server.get("/api/v1/events?limit=1")["last"]
            assert eventually(lambda: stream.ids[-1] >= last)
        assert load.lost == 0
        assert not [one for one in orders if one[0]]
        assert counts == sorted(counts)
        assert kept.closed
        assert dns.closed == 1, "who asks on and on meets the end of the old worker, once"
        assert stream.closed == 1
        events = server.get(f"/api/v1/events?after={after}&limit=1000")["events"]
        assert [after, *(one["id"] for one in events if one["id"] <= last)] == [
            one for one in stream.ids if one <= last
        ]
        assert any("was upgraded" in one["text"] for one in events), events
        # With the readings of workers that have left. One query each was a probe's, or the test's own.
        total = sum(load.answered) + dns.answered
        assert eventually(lambda: sum(server.samples("geodns_queries_total").values()) >= total)
        assert sum(server.samples("geodns_queries_total").values()) <= total + 100
