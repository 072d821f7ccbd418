"""A control process in the test's own loop: its link's other end, and probes that find what they are told."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from geodns import daemon as daemon_
from geodns.config.server_keys import Listen
from geodns.config.settings import Settings
from geodns.config.tokens import token_of
from geodns.control import alert_service, verdict_service, watchdog
from geodns.daemon import Daemon
from geodns.health.monitor import Monitor
from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.model.checks import Target
from geodns.responder.table import EMPTY, Table
from geodns.responder.table_changes import TableDelta, TableReplica
from geodns.responder.worker_state import Counts
from geodns.serve.control_link import ControlLink
from geodns.serve.frames import (
    LENGTH,
    ControlLeaves,
    CountsReport,
    Message,
    TableApplied,
    UpgradeBegins,
    UpgradeEnded,
    WorkerExited,
    WorkerStarted,
    frame_length,
    pack_message,
    unpack_from_control,
)
from geodns.serve.plan import ControlContext
from geodns.storage.state_file import StateFile

NAME = "out.example.com"
TEXT = """\
ns: {ns1: 192.0.2.53}
checks: {smtp: {interval: 200ms, fast_interval: 100ms, rise: 1, fall: 1}}
hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12, mta3: 192.0.2.13}
pools: {main: {hosts: "*", check: smtp}}
records: {"@": {A: {pool: main}, MX: {pool: main, preference: 10}}}
"""
SOON = 20.0
"""Seconds to wait for what happens in a moment; the machine may be busy."""


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(SOON):
        while not true():  # noqa: ASYNC110 - what is waited for knows nothing of us
            await asyncio.sleep(0.01)


class Supervisor:
    """The other end of the link: takes Tables, and says for the workers that they deal from them.

    Attributes:
        table: the last whole Table.
        numbers: of the Tables that came.
        mute: workers that say nothing.
        carried: counters that control has handed in for an upgrade; None: it has not.

    """

    WORKERS = ("udp0", "tcp")

    def __init__(self, end: socket.socket) -> None:
        self.table: Table = EMPTY
        self.numbers: list[int] = []
        self.mute: set[str] = set()
        self.carried: bytes | None = None
        self._end = end
        self._writer: asyncio.StreamWriter | None = None

    def say(self, message: Message | UpgradeBegins | UpgradeEnded) -> None:
        assert self._writer is not None
        self._writer.write(pack_message(message))

    async def run(self) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._end)
        draft = TableReplica()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                payload = await reader.readexactly(frame_length(await reader.readexactly(LENGTH)))
                change = unpack_from_control(payload)
                if isinstance(change, ControlLeaves):
                    self.carried = change.counters
                    continue
                assert isinstance(change, TableDelta)
                number = draft.take(change)
                if number is not None:
                    self.table = draft.table
                    if not self.numbers:
                        for name in self.WORKERS:
                            self.say(WorkerStarted(name, os.getpid(), 0))
                    self.numbers.append(number)
                    for name in self.WORKERS:
                        if name not in self.mute:
                            self.say(TableApplied(name, number))

    def die(self, worker: str) -> None:
        self.say(WorkerExited(worker))

    def count(self, counts: Counts) -> None:
        self.say(CountsReport("udp0", "udp", counts))

    async def hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    def dealt(self) -> set[str]:
        """The hosts that the A answers for the zone name."""
        return {
            host
            for key, rotation in self.table.rotations.items()
            if (key.zone, key.type) == (NAME, "A")
            for part in rotation.parts
            for some in part.sets
            for host in some
        }


class Control:
    """A daemon to be run, and everything around it that a test may turn."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.zones = folder / "zones"
        self.zones.mkdir()
        self.file = self.zones / f"{NAME}.yaml"
        self.file.write_text(TEXT)
        self.state = folder / "state"
        self.token: str | None = None
        self.workers = Supervisor.WORKERS
        self.number = 0
        self.carried = b""
        """Counters of the control process before."""
        self.finds: dict[str, ProbeResult] = {}
        """What a probe finds at an address; OK where nothing is said."""
        self.ehlo: dict[str, float] = {}
        """How long it takes an address to answer EHLO; 1 ms where nothing is said."""
        self.probing: Callable[[Target], Awaitable[None]] | None = None
        self.status: int | None = None
        monkeypatch.setattr(verdict_service, "Monitor", partial(Monitor, probe=self._probe))
        monkeypatch.setattr(verdict_service, "RECOMPILE_EVERY", 0.1)
        monkeypatch.setattr(alert_service, "LOOK_EVERY", 0.05)
        # The machine of the tests stands still now and then: that is not to be told as the daemon's fault.
        monkeypatch.setattr(watchdog, "BLOCKED", 60.0)
        monkeypatch.setattr(daemon_, "POLL_EVERY", 0.05)

    async def _probe(self, target: Target, *, ehlo: str | None) -> ProbeOutcome:
        del ehlo
        if self.probing is not None:
            await self.probing(target)
        kind = self.finds.get(str(target.address), ProbeResult.OK)
        rtt = self.ehlo.get(str(target.address), 0.001)
        silent = kind is ProbeResult.FAILURE
        return ProbeOutcome(kind, f"{kind} at {target.address}", 0.001, rtt, silent=silent)

    def run(self, test: Callable[["Running"], Awaitable[None]], *, wait: bool = True) -> None:
        """Run a test beside a daemon; end both."""

        async def beside() -> None:
            async with self._running() as running:
                if wait:
                    await until(lambda: running.daemon.services.watchdog.ready or running.ended.done())
                await test(running)

        asyncio.run(beside())

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator["Running"]:
        ours, theirs = socket.socketpair()
        http = socket.create_server(("127.0.0.1", 0))
        seat = ControlContext(
            ours, http, (("127.0.0.1", 5300),), self.workers, self.number, carried=self.carried
        )
        token = () if self.token is None else (token_of(self.token, "control"),)
        settings = Settings(
            zones=self.zones, state=self.state, http=Listen("127.0.0.1", 0), node="ns1", token=token, ehlo="x"
        )
        store, warnings = StateFile.open(self.state, 0.0)
        supervisor = Supervisor(theirs)
        hearing = asyncio.create_task(supervisor.run())
        try:
            daemon = Daemon(settings, seat, store, warnings)
            ended = asyncio.create_task(daemon.run())
            async with aiohttp.ClientSession(f"http://127.0.0.1:{http.getsockname()[1]}") as session:
                running = Running(self, daemon, ended, supervisor, store, session)
                try:
                    yield running
                finally:
                    daemon._stop.set()
                    async with asyncio.timeout(SOON):
                        self.status = await ended
        finally:
            await supervisor.hang_up()
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            await asyncio.sleep(0.01)  # for what was closed to be let go
            store.close()
            for one in (ours, theirs, http):
                one.close()


class Running:
    """A daemon that runs."""

    def __init__(
        self,
        control: Control,
        daemon: Daemon,
        ended: "asyncio.Task[int]",
        supervisor: Supervisor,
        store: StateFile,
        session: aiohttp.ClientSession,
    ) -> None:
        self.control = control
        self.daemon = daemon
        self.ended = ended
        self.supervisor = supervisor
        self.store = store
        self._session = session

    async def get(self, path: str) -> Any:
        async with self._session.get(path) as response:
            return (
                await response.json(content_type=None)
                if "json" in response.content_type
                else await response.text()
            )

    async def scrape(self, shows: Callable[[str], bool]) -> str:
        """Scrape until the metrics show something."""
        async with asyncio.timeout(SOON):
            while not shows(found := await self.get("/metrics")):  # noqa: ASYNC110 - as `until`
                await asyncio.sleep(0.02)
        return str(found)

    async def asked(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        """A request's status, headers and text."""
        async with self._session.request(method, path, json=body) as response:
            return response.status, dict(response.headers), await response.text()

    async def order(self, verb: str, host: str = "mta1", **body: Any) -> tuple[int, Any]:
        async with self._session.post(f"/api/v1/hosts/{NAME}/{host}/{verb}", json=body) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self._session.post(path, json=body) as response:
            return response.status, await response.json()

    async def dealt(self, *hosts: str) -> None:
        """Wait until exactly these hosts are dealt."""
        await until(lambda: self.supervisor.dealt() == set(hosts) or self.ended.done())
        assert self.supervisor.dealt() == set(hosts)

    def signal(self, number: signal.Signals) -> None:
        os.kill(os.getpid(), number)

    @property
    def link(self) -> ControlLink:
        return self.daemon.services.workers._link


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    """A control process, ready to be run."""
    return Control(tmp_path, monkeypatch)
