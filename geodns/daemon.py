"""The control process: the one file that knows all parts and ties them.

Zone files, probes and operators each tell the cluster what has changed; what it compiles from that is
published to the workers. Everything is saved as it happens, so that another control process can go on.
"""

import asyncio
import contextlib
import gc
import logging
import random
import signal
import time
from collections.abc import Coroutine, Hashable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from geodns import __version__, logs
from geodns.api.access import exposed
from geodns.api.app import make_app
from geodns.api.events import EventRoutes
from geodns.api.history import HistoryRoutes
from geodns.api.json_types import Json
from geodns.api.site import Site
from geodns.api.state import StateRoutes
from geodns.api.status import BACKEND_NAME as BACKEND
from geodns.api.status import View
from geodns.api.zones import ReloadRoutes
from geodns.config.server_keys import Listen
from geodns.config.settings import Settings
from geodns.control import alert_service, worker_service
from geodns.control.alert_service import Alert, Alerts
from geodns.control.answer_policy_service import AnswerPolicyService
from geodns.control.gauges import Gauges
from geodns.control.history_service import HistoryService
from geodns.control.host_load_service import HostLoadService
from geodns.control.metrics import Metrics
from geodns.control.name_usage import NameUsage
from geodns.control.order_service import OrderService
from geodns.control.persistence import Persistence
from geodns.control.verdict_service import VerdictService
from geodns.control.watchdog import Watchdog
from geodns.control.worker_service import WorkerService
from geodns.control.zone_service import ZoneService
from geodns.errors import StartError, StoreError, ZoneError
from geodns.health.monitor import Monitor
from geodns.health.outcome import ProbeOutcome
from geodns.health.pool_watch import watched_pools
from geodns.health.probe import own_name
from geodns.model.checks import Target
from geodns.model.state import HealthState, HostKey, Verdict
from geodns.responder.answer_policy import Policy
from geodns.responder.worker_state import Counts
from geodns.serve.plan import ControlContext
from geodns.signals.slow_start import RISE_EVERY
from geodns.storage.event_log import EventLog
from geodns.storage.state_file import StateFile
from geodns.zones.discovery import Discovery
from geodns.zones.folder import Edit, Folder

log = logging.getLogger(__name__)

FIRST_ROUND = 5.0
"""Seconds that the first answer waits for the first verdicts."""
DELIVERY = 2.0
"""Seconds that an operator waits for the workers."""
HTTP_END = 1.0
"""Seconds that a client which is slow to ask may hold up the end; what changed last is saved after it."""
POLL_EVERY = 0.2
SAVE_EVERY = 10.0
ASKED = "names asked for"
"""What the keeper's note of them is called."""


def control(settings: Settings, seat: ControlContext) -> int:
    """Run the control process until it is told to end; the supervisor calls this in the forked child.

    Returns:
        The exit status: 1 when there is nothing to serve or nowhere to keep state; 0 otherwise.

    """
    # A zone makes hundreds of thousands of objects that stay: looking through them over and over is a third
    # of the time that a large one takes to load.
    gc.set_threshold(50_000, 20, 10)
    try:
        store, warnings = StateFile.open(settings.state, time.time())
    except StoreError as error:
        logs.tell(error)
        return 1
    try:
        return asyncio.run(Daemon(settings, seat, store, warnings).run())
    except (StartError, StoreError, ZoneError) as error:
        logs.tell(error)
        return 1
    finally:
        store.close()


class Daemon:
    """The control process once its loop runs.

    Args:
        settings: the server's own.
        seat: what the supervisor gives: sockets and addresses.
        store: the open state file.
        warnings: what opening it had to tell.

    """

    def __init__(
        self, settings: Settings, seat: ControlContext, store: StateFile, warnings: list[str]
    ) -> None:
        self._settings = settings
        self._warnings = warnings
        self._seat = seat
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._events = EventLog(settings.state)
        self._keeper = Persistence(store, lambda text: self._events.tell("watch", text, level=logging.ERROR))
        self._discovery = Discovery(settings.zones, self._keeper.found, self._tell_source)
        self._folder = Folder(settings.zones, self._discovery.find)
        self._policing = AnswerPolicyService(
            settings, self._set_policy, self._keeper, self._events, again=bool(seat.number)
        )
        self._cluster = self._keeper.cluster()
        self._cluster.set_policy(self._policing.policy)
        self._asked = NameUsage(self._keeper.note(ASKED))
        self._publisher = WorkerService(
            seat,
            self._counted,
            lambda message: self._policing.logged(message, self._metrics),
            lambda message: worker_service.tell_worker(self._events, message),
        )
        self._link = self._publisher.link
        self._metrics = Metrics(__version__, BACKEND, self._gauges)
        self._recording = HistoryService(
            settings.state, self._who_is_up, lambda: self._cluster.compiled.choices
        )
        self._judging = VerdictService(
            self._cluster,
            self._metrics,
            self._events,
            self._last,
            skip_slow_start=self._spared,
            spawn=self._spawn,
            publish=self._publish,
            save=self._save,
        )
        self._monitor = Monitor(
            self._judged,
            on_ruling=self._judging.ruled,
            ehlo=settings.ehlo or own_name(),
            concurrency=settings.probe_concurrency,
            rng=random.Random(),  # noqa: S311 - spreads probes
        )
        self._loading = HostLoadService(
            self._cluster,
            self._metrics,
            self._events,
            self._shown,
            random.Random(),  # noqa: S311 - spreads questions
        )
        self._edits = ZoneService(
            self._folder,
            self._discovery,
            self._keeper,
            self._cluster,
            self._metrics,
            self._events,
            follow=self._follow,
            publish=self._publish,
            tell=self._judging.tell,
            asked=lambda: dict(self._asked.names),
        )
        self._ordering = OrderService(
            self._cluster,
            self._keeper,
            self._events,
            ignore_hosts=self._monitor.ignore_hosts,
            deliver=self._delivered,
        )
        self._listen = tuple(Listen(*address) for address in seat.listen)
        self._view = View(
            settings.node,
            self._listen,
            lambda: [
                *warnings,
                *filter(None, [self._events.trouble, self._recording.trouble]),
                *self._ordering.warnings(),
                *self._policing.warnings(),
                *self._loading.warnings(),
                *self._edits.warnings(),
            ],
            self._cluster,
            self._folder,
            self._keeper,
            self._monitor,
            self._link,
            lambda: self._liveness.vitals,
            self._discovery,
            waiting=lambda: self._edits.waiting,
            last_event=lambda: self._events.last,
        )
        self._concerns = Alerts(self._look, self._events)
        self._liveness = Watchdog(
            lateness=lambda: self._monitor.lateness,
            heard=lambda: {name: one.heard for name, one in self._link.workers.items() if one.pid},
            refused=lambda: list(self._folder.refused),
            state=settings.state,
            tell=self._tell_concern,
        )

    # --- life -------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start everything, serve until told to end, save and leave."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        for warning in self._warnings:
            self._events.tell("watch", warning)
        await self._events.open()
        try:
            return await self._live(await asyncio.to_thread(self._edits.first, again=bool(self._seat.number)))
        finally:
            await self._events.close()

    async def _live(self, edit: Edit) -> int:
        routes = [
            *self._policing.routes(),
            *self._loading.routes(),
            *EventRoutes(self._events).routes(),
            *HistoryRoutes(self._recording).routes(),
            *ReloadRoutes(self._edits).routes(),
            *StateRoutes(self._settings.node, self._ordering).routes(),
        ]
        tokens = self._settings.token + self._settings.read_token
        app = make_app(self._view, self._metrics.expose, self._ordering.carry, tokens, routes)
        site = Site(app, self._seat.http, self._settings.http_tls, end=HTTP_END)
        try:
            await site.start()
            for line in exposed(self._settings.http.host, tokens, encrypted=bool(self._settings.http_tls)):
                log.warning("%s", line)
            await self._link.start()
            begun = asyncio.ensure_future(self._begin(edit))
            ended = asyncio.ensure_future(self._stop.wait())
            self._tasks |= {begun, ended}
            await asyncio.wait({begun, ended}, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                begun.result()
                await ended
        finally:
            self._events.tell("server", "the server stops", level=logging.INFO)
            self._events.end()
            await site.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._monitor.close()
            await self._discovery.close()
            await self._loading.close()
            self._judging.note()
            await self._save()
            await self._recording.close()
            await self._link.close()
        return 0

    async def _begin(self, edit: Edit) -> None:
        """Judge the hosts once, then answer."""
        edit = await self._edits.completed(edit)
        targets = {
            target
            for zone in edit.zones.values()
            for addresses in zone.targets_by_host.values()
            for some in addresses.values()
            for target in some
        }
        known = self._keeper.verdicts(targets, time.time())
        self._cluster.verdicts.update(known)
        self._ordering.aside()
        self._monitor.set_targets(targets, known, watched_pools(edit.zones.values()))
        await self._monitor.first_round(FIRST_ROUND)
        self._judging.note()
        self._ordering.end_expired()
        # Whoever starts a server means what the files say; a control process that was started again does not.
        await self._edits.apply(edit, yes=not self._seat.number)
        # Not before: a reload must not overtake the first reading. Until here SIGHUP is ignored.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._spawn_reload)
        number = await self._publish()
        late = await self._link.delivered(number, FIRST_ROUND)
        if late:
            self._events.tell("worker", f"these workers are slow to start: {', '.join(late)}")
        self._view.ready = True
        worker_service.tell_start(self._events, self._seat, len(self._cluster.sources))
        if not self._seat.number:
            self._say_ready()
        for work in (
            self._edits.watch,
            self._edits.watch_sources,
            self._policing.watch,
            self._keep_time,
            self._liveness.watch,
            self._recording.watch,
            self._concerns.watch,
        ):
            self._spawn(work())

    def _look(self) -> dict[Hashable, Alert]:
        last = map(self._monitor.last, self._cluster.targets)
        return dict(alert_service.found(self._cluster, self._monitor.hint, last, self._view.certificates()))

    def _say_ready(self) -> None:
        dns = ",".join(str(listen) for listen in self._listen)
        http = Listen(*self._seat.http.getsockname()[:2])
        zones = len(self._cluster.sources)
        with contextlib.suppress(OSError):  # whoever started it may not be there to read this
            print(f"ready: dns {dns} http {http} zones {zones} backend {BACKEND}", flush=True)  # noqa: T201 - the line

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """Let no task end unseen: without it the server would go on half blind, so it is started anew."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("the control process ends: %s", error, exc_info=error)
            self._stop.set()

    # --- zones ------------------------------------------------------------------------------------------

    def _spawn_reload(self) -> None:
        self._spawn(self._edits.reload())

    def _follow(self) -> None:
        """Look after the hosts of the zones that are served now."""
        zones = [source.zone for source in self._cluster.sources.values()]
        self._monitor.set_targets(self._cluster.targets, self._cluster.verdicts, watched_pools(zones))
        self._loading.follow()
        self._ordering.note_edits()

    def _tell_source(self, zone: str, text: str, level: int, data: Mapping[str, Any]) -> None:
        self._events.tell("source", text, level=level, zone=zone, data=data)

    # --- hosts ------------------------------------------------------------------------------------------

    def _judged(self, target: Target, outcome: ProbeOutcome, before: Verdict, after: Verdict) -> None:
        self._recording.probed(self._cluster.hosts_of(target), outcome.rtt)
        self._judging.judged(target, outcome, before, after)

    def _who_is_up(self) -> dict[HostKey, bool]:
        return {host: one.state is HealthState.UP for host, one in self._cluster.since.items()}

    def _tell_concern(self, text: str, concern: bool) -> None:
        self._events.tell("watch", text, level=logging.ERROR if concern else logging.INFO)

    # These four are called when all parts are there, and given to some that come before.

    def _gauges(self) -> Gauges:
        return self._view.gauges()

    def _spared(self) -> AbstractSet[Target]:
        return self._monitor.skip_slow_start

    def _last(self, target: Target) -> tuple[ProbeOutcome, float] | None:
        return self._monitor.last(target)

    def _shown(self, host: HostKey) -> Json:
        return self._view.host(host)

    async def _publish(self) -> int:
        return await self._publisher.publish(self._cluster.compiled.table)

    def _counted(self, transport: str, counts: Counts) -> None:
        self._metrics.counted(counts, transport, self._publisher.rotation)
        self._recording.counted(counts, self._publisher.rotation)
        self._asked.add(counts.names, time.time())
        if counts.limited is not None:
            self._policing.limited(counts.limited)

    async def _delivered(self) -> tuple[str, ...]:
        """Have the workers deal what is served now; return those that have not taken it in time."""
        return await self._link.delivered(await self._publish(), DELIVERY)

    async def _set_policy(self, policy: Policy) -> tuple[str, ...]:
        """Answer by another policy, and return once every worker does."""
        self._cluster.set_policy(policy)
        if not self._cluster.sources:  # the first Table brings it
            return ()
        return await self._delivered()

    async def _keep_time(self) -> None:
        """End what was imposed for a time and who has been retired long enough; move weights; save."""
        saved = risen = time.monotonic()
        while True:
            await asyncio.sleep(POLL_EVERY)
            if self._ordering.end_expired():
                await self._publish()
                await asyncio.to_thread(self._keeper.write)
            now = time.time()
            await self._edits.let_go(now)
            if time.monotonic() - risen >= RISE_EVERY:
                risen = time.monotonic()
                if self._cluster.advance_weights(now, risen):
                    await self._publish()
                self._loading.tell()
            if time.monotonic() - saved >= SAVE_EVERY:
                saved = time.monotonic()
                await self._save()

    async def _save(self) -> None:
        # Copies: the loop goes on changing the originals while a thread writes.
        verdicts, since = dict(self._cluster.verdicts), dict(self._cluster.since)
        returned = dict(self._cluster.slow_start.since)
        self._keeper.keep_note(ASKED, self._asked.note(time.time()))
        await asyncio.to_thread(self._keeper.save_states, verdicts, since, returned, time.time())
