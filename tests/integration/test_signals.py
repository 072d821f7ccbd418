"""Signals to a real server: counted exactly once whatever is killed, refused where they cannot be kept."""

import gzip
import json
import os
import random
import resource
import signal
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from geodns.storage.signal_file import COUNTS_KEPT, SignalFile
from tests.integration import product
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until

ZONE = "lab.example"
HOSTS = ("mta1", "mta2", "mta3")
TEXT = (
    "ns: {ns1: 192.0.2.53}\n"
    "hosts: {mta1: 192.0.2.1, mta2: 192.0.2.2, mta3: {address: 192.0.2.3, egress: 203.0.113.3}}\n"
    'pools: {main: {hosts: "*", check: none}}\n'
    'records: {"@": {pool: main, MX: {pool: main, preference: 10}}}\n'
)
PATH = "/api/v1/signals"


def kept(state: Path) -> dict[int, Counter[tuple[str, str, str]]]:
    """What the file counts in each step, by host, provider and event."""
    file, warnings = SignalFile.open(state, time.time())
    assert warnings == []
    try:
        found = {}
        for step in COUNTS_KEPT:
            found[step] = Counter[tuple[str, str, str]]()
            for (_, host), _, counts in file.counts(step, 0, 2**32):
                for (_, provider, kind), number in counts.items():
                    found[step][host, provider, str(kind.event)] += number
        return found
    finally:
        file.close()


class Poster(threading.Thread):
    """Posts batches one after the other, each until it is acknowledged, and now and then once more.

    Attributes:
        expected: what is acknowledged.
        refused: how often a batch had to come again.

    """

    def __init__(self, server: Server, name: str, batches: int) -> None:
        super().__init__()
        self.expected: Counter[tuple[str, str, str]] = Counter()
        self.refused = 0
        self.duplicates = 0
        self._server = server
        self._name = name
        self._batches = batches
        self._random = random.Random(name)

    def _batch(self, number: int) -> dict[str, Any]:
        now = time.time()
        rows = [
            {
                "host": self._random.choice(HOSTS),
                "event": self._random.choice(["delivered", "deferred", "bounced", "complaint"]),
                "provider": self._random.choice(["google", "yahoo", "small-isp"]),
                "count": self._random.randrange(1, 9),
                "queued": now - self._random.expovariate(1 / 3000),
                "delay_s": self._random.expovariate(1 / 30),
            }
            for _ in range(50)
        ]
        return {"batch": f"{self._name}-{number}", "signals": rows}

    def run(self) -> None:
        for number in range(self._batches):
            batch = self._batch(number)
            for _ in range(2 if self._random.random() < 0.3 else 1):
                self._post(batch)
            for row in batch["signals"]:
                self.expected[row["host"], row["provider"], row["event"]] += row["count"]

    def _post(self, batch: Mapping[str, Any]) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                status, text = self._server.request(PATH, batch)
            except (OSError, urllib.error.URLError):
                status, text = 0, ""
            if status == 200:
                answer = json.loads(text)
                assert (answer["accepted"], answer["rejected"]) == (len(batch["signals"]), [])
                self.duplicates += answer["duplicate"]
                return
            assert status in {0, 503, 429}, text
            self.refused += 1
            time.sleep(0.05)
        raise AssertionError("never acknowledged")


def posted(server: Server, batches: int) -> list[Poster]:
    posters = [Poster(server, name, batches) for name in ("a", "b", "c")]
    for one in posters:
        one.start()
    return posters


def total(posters: list[Poster]) -> Counter[tuple[str, str, str]]:
    return sum((one.expected for one in posters), Counter())


def test_counts_are_exact_while_control_is_killed_again_and_again(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: TEXT}, constants={product.CONTROL_BACKOFF: (0.05, 0.1)}) as server:
        posters = posted(server, 60)
        kills = 0
        while any(one.is_alive() for one in posters):
            time.sleep(0.4)
            if kills < 6:
                try:
                    os.kill(server.control(), signal.SIGKILL)
                    kills += 1
                except StopIteration:  # it is not back yet
                    continue
        for one in posters:
            one.join()
        assert kills >= 3
        assert sum(one.duplicates for one in posters) > 0
        server.stop()
    found = kept(tmp_path / "state")
    for step in COUNTS_KEPT:
        assert found[step] == total(posters)


def test_a_replay_after_a_restart_is_a_duplicate(tmp_path: Path) -> None:
    rows = [{"host": "mta1", "event": "delivered", "count": 7}, {"host": "mta9", "event": "delivered"}]
    with serving(tmp_path, {ZONE: TEXT}) as server:
        status, text = server.request(PATH, {"batch": "b1", "signals": rows})
        first = json.loads(text)
        assert (status, first["accepted"], len(first["rejected"]), first["duplicate"]) == (200, 1, 1, False)
        server.kill()
    with serving(tmp_path) as server:
        status, text = server.request(PATH, {"batch": "b1", "signals": rows})
        assert (status, json.loads(text)) == (200, {**first, "duplicate": True})
        assert server.metric("geodns_mail_signal_batches_total", outcome="duplicate") == 1
        assert server.metric("geodns_mail_signals_last_heard_timestamp_seconds", host="mta1") >= 0
        server.stop()
    assert kept(tmp_path / "state")[300] == {("mta1", "other", "delivered"): 7}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, {ZONE: TEXT}) as running:
        yield running


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "signals.db").write_bytes(b"this is no database" * 1000)
    with serving(tmp_path, {ZONE: TEXT}) as server:
        batch = {"batch": "b1", "signals": [{"host": "mta1", "event": "delivered"}]}
        assert server.request(PATH, batch)[0] == 200
        (aside,) = state.glob("signals.db.corrupt-*")
        wait_until(lambda: "signals.db" in server.log(), what="it is told")
        assert f"it was set aside as {aside.name}" in server.log()
        assert "counts of mail begin anew" in server.log()


def test_a_full_disk_acknowledges_nothing_and_counts_nothing_twice(tmp_path: Path, server: Server) -> None:
    batch = {"batch": "b1", "signals": [{"host": "mta1", "event": "delivered", "count": 3}]}
    assert server.request(PATH, batch)[0] == 200
    control = server.control()
    limits = resource.prlimit(control, resource.RLIMIT_FSIZE)
    resource.prlimit(control, resource.RLIMIT_FSIZE, (1, limits[1]))
    later = {**batch, "batch": "b2"}
    status, text = server.request(PATH, later)
    assert (status, "signals.db" in text) == (503, True)
    wait_until(
        lambda: any("signals of mail are refused" in one for one in server.status()["warnings"]),
        what="the status says so",
    )
    resource.prlimit(control, resource.RLIMIT_FSIZE, limits)
    wait_until(lambda: server.request(PATH, later)[0] == 200, what="it is taken")
    assert json.loads(server.request(PATH, later)[1])["duplicate"]
    assert server.metric("geodns_mail_signals_total") == 6
    server.stop()
    assert kept(tmp_path / "state")[3600] == {("mta1", "other", "delivered"): 6}


def resident(pid: int) -> int:
    """The bytes of memory that a process has now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_bodies_that_would_burst_are_refused(server: Server) -> None:
    packed = {"Content-Encoding": "gzip"}
    before = resident(server.control())
    for body, headers, expected in (
        (b" " * (10 << 20), {}, 413),
        (gzip.compress(bytes(200 << 20)), packed, 413),
        (b'{"batch": "1"}', packed, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"batch": "1", "signals": [' + b"{}," * 1_300_000 + b"{}]}", {}, 400),
    ):
        try:
            status, _ = server.request(PATH, body, headers=headers)
        except urllib.error.URLError:  # it was told so, and hung up on, while it still sent
            status = expected
        assert status == expected
    assert resident(server.control()) - before < 200 << 20
    assert server.request("/readyz")[0] == 200
    assert "Traceback" not in server.log()


def test_orders_are_not_delayed_by_signals(server: Server) -> None:
    """While the largest batches come as fast as they are taken, an order takes as long as without them."""
    rows = [
        {"host": HOSTS[number % 3], "event": "deferred", "dsn": "421", "text": f"later {number}" + "x" * 250}
        for number in range(10_000)
    ]
    body = json.dumps({"batch": "X", "signals": rows}).encode()
    over = threading.Event()
    taken: list[int] = []

    def post() -> None:
        while not over.is_set():
            name = f"{threading.get_ident()}-{len(taken)}".encode()
            taken.append(server.request(PATH, body.replace(b'"X"', b'"' + name + b'"', 1))[0])

    posters = [threading.Thread(target=post) for _ in range(2)]
    for one in posters:
        one.start()
    took = []
    try:
        for number in range(20):
            began = time.monotonic()
            server.order("mta1", "drain" if number % 2 == 0 else "undrain", ZONE)
            took.append(time.monotonic() - began)
    finally:
        over.set()
        for one in posters:
            one.join()
    assert taken.count(200) >= 2
    assert sorted(took)[10] < 5.0, took
