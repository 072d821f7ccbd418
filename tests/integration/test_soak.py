"""Everything at once for a while: datagrams, connections, edits, readers; no process grows.

``SOAK_SECONDS=600 pytest tests/integration/test_soak.py`` does it for as long as one likes.
"""

import contextlib
import faulthandler
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from geodns.wire.names import name_to_wire
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import mail_hosts, wait_until
from tests.integration.storms import resident, storm, talk

SECONDS = float(os.environ.get("SOAK_SECONDS", "6"))
"""Half of it, but not more than this minute, is for warming up."""
WARM_UP = min(SECONDS / 2, 60.0)
GROWTH = 4 << 20
"""Bytes that a process may grow by once it is warm; they do not depend on how long it runs."""
SEED = 20261125

ZONE = "soak.example"
HOST = f"mx1.{ZONE}"


def text(number: int, probe: str) -> str:
    """The zone after so many edits: weights, a name and a text change with each."""
    return f"""\
ns: {{ns1: 192.0.2.53}}
checks: {{smtp: {{interval: 500ms, fast_interval: 200ms}}}}
hosts:
  mx1: {{address: [192.0.2.1, "2001:db8::1"], weight: {1 + number % 7}, probe: "{probe}"}}
  mx2: {{address: 192.0.2.2, weight: 3, probe: "{probe}"}}
  mx3: {{address: 192.0.2.3, probe: "{probe}"}}
pools: {{main: {{hosts: ["mx*"], check: smtp, answers: 2}}}}
records:
  "@": {{pool: main, MX: {{pool: main, preference: 10}}, TXT: "edit {number}"}}
  "name{number % 50}": {{A: 192.0.2.9}}
  long: {{TXT: [{", ".join(f'"{one:02}{"x" * 240}"' for one in range(40))}]}}
  "*.wild": {{pool: main}}
  alias: {{CNAME: long}}
  sub: {{NS: ns.sub}}
  ns.sub: {{A: 192.0.2.7}}
"""


NAMES = [
    name_to_wire(f"{one}.")
    for one in (
        ZONE,
        HOST,
        f"long.{ZONE}",
        f"x.wild.{ZONE}",
        f"alias.{ZONE}",
        f"x.sub.{ZONE}",
        f"nobody.{ZONE}",
    )
]


class Loop(threading.Thread):
    """Does something over and over until it is told to end; what it raises is raised by `end`."""

    def __init__(self, turn: Callable[[random.Random], object], seed: int) -> None:
        super().__init__(daemon=True)
        self.turns = 0
        self._turn = turn
        self._rng = random.Random(seed)
        self._over = threading.Event()
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._turn(self._rng)
                self.turns += 1
        except BaseException as error:  # noqa: BLE001 - the test shall see it, whatever it is
            self._error = error

    def end(self) -> int:
        """Wait for its last turn; return how many there were."""
        self._over.set()
        self.join(30)
        if self._error is not None:
            raise self._error
        return self.turns


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    with mail_hosts("mx") as hosts:
        probe = hosts["mx"].endpoint
        with serving(tmp_path, {ZONE: text(0, probe)}, workers=2, fresh=True) as one:
            yield one, probe


def weights(server: Server) -> dict[int, tuple[int, int]]:
    """Own memory and open files of every process, by its pid."""
    pids = [server.process.pid, *server.children()]
    return {pid: (resident(pid), len(list(Path(f"/proc/{pid}/fd").iterdir()))) for pid in pids}


@pytest.mark.timeout(SECONDS + 60)
def test_nothing_grows(server: tuple[Server, str]) -> None:
    running, probe = server
    if SECONDS > 60:
        faulthandler.cancel_dump_traceback_later()  # it would end the process; the limit above is enough
    edits = iter(range(1, 1_000_000))

    def edit(_: random.Random) -> None:
        running.write(ZONE, text(next(edits), probe))
        time.sleep(0.7)

    def read(_: random.Random) -> None:
        running.status()
        running.request("/metrics")
        time.sleep(0.3)

    loops = [
        Loop(lambda rng: storm(running.listen[0], rng, NAMES, 2048), SEED),
        Loop(lambda rng: talk(running.listen[0], rng, NAMES), SEED + 1),
        Loop(edit, SEED + 2),
        Loop(read, SEED + 3),
    ]
    try:
        time.sleep(WARM_UP)
        before = weights(running)
        time.sleep(SECONDS - WARM_UP)
    finally:
        turns = [loop.end() for loop in loops]
    assert min(turns) > SECONDS / 2, turns
    for tcp in (False, True):
        assert "192.0.2.1" in running.values(HOST, tcp=tcp)
    assert weights(running).keys() == before.keys(), "a process was replaced"
    # The last connections close, and what was queued is worked off.
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not _grown(before, weights(running)), 10, "nothing has grown")
    assert _grown(before, weights(running)) == []
    assert "Traceback" not in running.log()
    assert running.status()["ready"]


def _grown(before: dict[int, tuple[int, int]], now: dict[int, tuple[int, int]]) -> list[str]:
    found = []
    for pid, (memory, files) in now.items():
        if memory - before[pid][0] > GROWTH:
            found.append(f"{pid}: {(memory - before[pid][0]) >> 10} KiB more")
        if files > before[pid][1]:
            found.append(f"{pid}: {files} open files, {before[pid][1]} before")
    return found
