"""The services of a control process, all real but for probes and workers."""

import asyncio
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from geodns.compiler.answers import Source
from geodns.compiler.compile import compile_zones
from geodns.config.settings import Settings
from geodns.control.orders import OrderRequest, OrderResult, PoolChange
from geodns.control.services import Services
from geodns.control.tasks import Tasks
from geodns.daemon import build
from geodns.health.mass_failure import Suspect
from geodns.health.monitor import Monitor
from geodns.health.outcome import Certificate, ProbeOutcome
from geodns.model.checks import Target
from geodns.model.state import Forced, ForcedState, HealthState, Verdict
from geodns.responder.route_table import RouteNews
from geodns.responder.table import Table
from geodns.serve.control_link import ControlLink, Worker
from geodns.serve.plan import ControlContext
from geodns.storage.state_file import StateFile
from tests.sample_zones import NAME, SERIAL

NOW = 1_795_417_200.0
GOOD = "ns: {ns1: 192.0.2.53}\nhosts: {mta1: {address: 192.0.2.11, weight: 50}, mta2: 192.0.2.12}\n"


class Rig:
    """The services as the daemon makes them; a test sets what probes and workers do.

    Attributes:
        file: of the zone.
        seen: last outcome by address.
        late: seconds that the most overdue probe is late.
        ignored: hosts that do not count as failing together.
        pending: workers that apply no Table.
        published: the Tables that workers got.
        told: what the routes worker got beside them.

    """

    def __init__(self, folder: Path, text: str = GOOD, **settings: Any) -> None:
        (folder / "zones").mkdir()
        self.file = folder / "zones" / f"{NAME}.yaml"
        self.file.write_text(text)
        self.seen: dict[str, ProbeOutcome] = {}
        self.late = 0.0
        self.hint: str | None = None
        self.suspects: dict[tuple[str, str], Suspect] = {}
        self.ignored: frozenset[tuple[str, str]] = frozenset()
        self.workers = {"udp0": Worker(100, 1, 2), "tcp": Worker()}
        self.pending: tuple[str, ...] = ()
        self.published: list[Table] = []
        self.told: list[RouteNews] = []
        given = {"node": "ns1", "ehlo": "x"} | settings
        settings_ = Settings(zones=folder / "zones", state=folder / "state", **given)
        context = ControlContext(
            cast(Any, None), cast(Any, None), (("127.0.0.1", 5300), ("::1", 5300)), ("udp0", "tcp"), 0
        )
        self.store, _ = StateFile.open(settings_.state, NOW)
        tasks = Tasks(asyncio.Event())
        self.services = build(settings_, context, self.store, ["the state file was set aside"], tasks)
        self.services.verdicts._monitor = cast(Monitor, _Monitor(self))
        self.services.workers._link = cast(ControlLink, _Link(self))

    def serve(self) -> None:
        """Serve the file at once."""
        cluster = self.services.cluster
        edit = self.services.zones._folder.read_all()
        sources = {name: Source(one, SERIAL) for name, one in edit.zones.items()}
        cluster.serve_zones(compile_zones(cluster.compiled, sources, cluster.live()), NOW)
        self.services.watchdog.ready = True
        self.look()

    def all_are_up(self) -> None:
        self.services.cluster.apply_verdicts(
            {target: Verdict(HealthState.UP) for target in self.services.cluster.targets}, NOW
        )

    def look(self) -> None:
        self.services.watchdog.look(time.monotonic())

    def metric(self, name: str, **labels: str) -> float | None:
        return self.services.metrics.registry.get_sample_value(name, labels)

    def close(self) -> None:
        self.store.close()
        self.services.signals.end()


class _Monitor:
    """Probes nothing; the rig has its results.

    Attributes:
        verdicts: of this server's own.
        asked: targets that were to be probed once more.

    """

    skip_slow_start: frozenset[Target] = frozenset()
    held: frozenset[Target] = frozenset()

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.verdicts: dict[Target, Verdict] = {}
        self.asked: list[Target] = []

    def probe_now(self, targets: list[Target]) -> None:
        self.asked += targets

    @property
    def hint(self) -> str | None:
        return self._rig.hint

    @property
    def suspects(self) -> dict[tuple[str, str], Suspect]:
        return self._rig.suspects

    @property
    def lateness(self) -> float:
        return self._rig.late

    def deferring(self) -> tuple[tuple[Target, ProbeOutcome], ...]:
        return ()

    def last(self, target: Target) -> tuple[ProbeOutcome, float] | None:
        found = self._rig.seen.get(str(target.address))
        return None if found is None else (found, NOW)

    def certificate(self, target: Target) -> Certificate | None:
        found = self._rig.seen.get(str(target.address))
        return None if found is None else found.certificate

    def ignore_hosts(self, hosts: set[tuple[str, str]]) -> None:
        self._rig.ignored = frozenset(hosts)

    def set_targets(self, *_: object) -> None:
        pass

    async def close(self) -> None:
        pass


class _Link:
    """Workers that apply every Table at once, but for those that are pending."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    @property
    def workers(self) -> dict[str, Worker]:
        return self._rig.workers

    async def publish(self, table: Table) -> int:
        await asyncio.sleep(0)
        self._rig.published.append(table)
        return len(self._rig.published)

    async def tell(self, news: RouteNews) -> None:
        await asyncio.sleep(0)
        self._rig.told.append(news)

    async def delivered(self, number: int, timeout: float) -> tuple[str, ...]:  # noqa: ASYNC109 - as the real one
        del number, timeout
        await asyncio.sleep(0)
        return self._rig.pending


class FakeServices:
    """Services with a zone of one host, whose orders are noted and change little.

    Attributes:
        wishes: the orders.
        pending: workers that are late.
        refused: what would have to be confirmed.
        failure: raised by a request for the status.

    """

    def __init__(
        self, text: str = "hosts: {mta1: 192.0.2.11}", *, pending: tuple[str, ...] = (), alive: bool = True
    ) -> None:
        self.wishes: list[OrderRequest] = []
        self.pending = pending
        self.refused = ""
        self.failure: Exception | None = None
        self._folder = tempfile.TemporaryDirectory()
        self.rig = Rig(Path(self._folder.name), f"ns: {{ns1: 192.0.2.53}}\n{text}\n")
        self.rig.serve()
        self.rig.all_are_up()
        if not alive:
            self.rig.workers.clear()

    def services(self, **others: Any) -> Services:
        alerts = SimpleNamespace(warnings=self._warnings)
        return self.rig.services._replace(orders=cast(Any, self), alerts=cast(Any, alerts), **others)

    def _warnings(self) -> list[str]:
        if self.failure is not None:
            raise self.failure
        return []

    async def carry(self, wish: OrderRequest) -> OrderResult:
        await asyncio.sleep(0)
        key, pool = (NAME, "mta1"), (NAME, "main")
        choice = self.rig.services.cluster.compiled.choices[pool]
        changes = {pool: PoolChange(choice, choice)}
        if self.refused and not wish.yes:
            return OrderResult((key,), changes, self.refused)
        self.wishes.append(wish)
        self.rig.services.cluster.force(key, ForcedState(Forced.DRAINED, "", "", NOW))
        return OrderResult((key,), changes, "", self.pending, ("a note",), (), {key: ["main"]}, {key: 30})

    def close(self) -> None:
        self.rig.close()
        self._folder.cleanup()
