"""Runs the control process: makes the services in order, starts and ends them.

Zone files, probes and orders change the cluster; its Table goes to the workers. State is saved as it
changes, so that another control process can go on at any moment.
"""

import asyncio
import contextlib
import gc
import logging
import signal
import time
from functools import partial
from typing import Any

from geodns import logs
from geodns.api.access import exposed
from geodns.api.app import make_app
from geodns.api.order_gate import GATE, OrderGate
from geodns.api.site import Site
from geodns.config.server_keys import Listen
from geodns.config.settings import Settings
from geodns.control.alert_service import Alerts
from geodns.control.answer_policy_service import AnswerPolicyService
from geodns.control.cluster import Cluster
from geodns.control.counter_sums import dump
from geodns.control.experiment_service import ExperimentService
from geodns.control.gauges import Gauges
from geodns.control.geoip_service import GeoipService
from geodns.control.history_service import HistoryService
from geodns.control.host_load_service import HostLoadService
from geodns.control.metrics import BACKEND, Metrics
from geodns.control.order_service import OrderService
from geodns.control.peer_service import PeerService
from geodns.control.persistence import Persistence
from geodns.control.provider_service import ProviderService
from geodns.control.reputation_service import ReputationService
from geodns.control.route_allowance_service import RouteAllowanceService
from geodns.control.route_count_service import RouteCountService
from geodns.control.services import Services
from geodns.control.signal_service import SignalService
from geodns.control.tasks import Tasks
from geodns.control.upgrade_service import UpgradeService
from geodns.control.verdict_service import VerdictService
from geodns.control.view_service import ViewService
from geodns.control.wall_clock import WallClock
from geodns.control.warmup_service import WarmupService
from geodns.control.watchdog import Watchdog
from geodns.control.worker_service import WorkerService
from geodns.control.zone_service import ZoneService
from geodns.errors import StartError, StoreError, ZoneError
from geodns.serve.frames import ROUTES, UpgradeBegins, UpgradeEnded
from geodns.serve.plan import ControlContext
from geodns.signals.mail_exchanges import MxResolver
from geodns.signals.replies import Replies
from geodns.signals.reply_additions import read_additions
from geodns.signals.slow_start import RISE_EVERY
from geodns.storage.event_log import EventLog
from geodns.storage.state_file import StateFile
from geodns.zones.folder import Edit

log = logging.getLogger(__name__)

FIRST_ROUND = 5.0
"""Seconds that the first answer waits for the first verdicts."""
HTTP_END = 1.0
"""Seconds that a slow HTTP client may hold up the end, before the last changes are saved."""
ORDERS_END = 5.0
"""Seconds that orders under way may hold up an upgrade."""
POLL_EVERY = 0.2
SAVE_EVERY = 10.0
CLOCK = "clock"
"""Name of the note of `WallClock`."""


def control(settings: Settings, context: ControlContext) -> int:
    """Run the control process in the child that the supervisor has forked.

    Return the exit status: 1 when there is nothing to serve or nowhere to keep state, else 0.
    """
    # A zone makes hundreds of thousands of objects that stay: collecting garbage among them again and again
    # is a third of the time that a large zone takes to load.
    gc.set_threshold(50_000, 20, 10)
    try:
        # Started again, it goes on with what it can read, whatever has become of the disk.
        store, warnings = StateFile.open(settings.state, time.time(), must=not context.number)
    except StoreError as error:
        logs.tell(error)
        return 1
    try:
        return asyncio.run(Daemon(settings, context, store, warnings).run())
    except (StartError, StoreError, ZoneError) as error:
        logs.tell(error)
        return 1
    finally:
        store.close()


def build(
    settings: Settings, context: ControlContext, store: StateFile, warnings: list[str], tasks: Tasks
) -> Services:
    """Make the services, each after those that it needs; `warnings` are of opening the state file."""
    again = bool(context.number)
    events = EventLog(settings.state)
    metrics = Metrics()
    metrics.registry.carry(context.carried)
    persistence = Persistence(store, warnings)
    clock = WallClock(persistence.note(CLOCK))
    upgrades = UpgradeService(context, persistence, events, metrics, time.time)
    cluster = Cluster({}, *persistence.restored())
    workers = WorkerService(context, cluster, events, metrics)
    policy = AnswerPolicyService(settings, cluster, workers, persistence, events, metrics, again=again)
    verdicts = VerdictService(settings, cluster, workers, persistence, events, metrics, tasks)
    loads = HostLoadService(cluster, metrics)
    orders = OrderService(cluster, workers, verdicts, persistence, events, clock, settings.node)
    history = HistoryService(settings.state, cluster, workers, verdicts)
    routes = RouteCountService(settings.routes_listen, cluster, workers, history, metrics)
    patterns, problems = (
        ((), ()) if settings.reply_patterns is None else read_additions(settings.reply_patterns)
    )
    signals = SignalService(settings.state, cluster, events, metrics, clock, Replies(patterns), problems)
    warmup = WarmupService(cluster, workers, persistence, events, clock, signals)
    reputation = ReputationService(cluster, workers, orders, persistence, events, clock, signals)
    resolver = MxResolver(settings.routes_resolver)
    providers = ProviderService(resolver, workers, persistence, clock, metrics)
    allowances = RouteAllowanceService(len(settings.servers) or 1, workers, warmup, signals, routes)
    geoip = GeoipService(settings, events)
    views = ViewService(cluster, workers, geoip, persistence, events, clock)
    experiments = ExperimentService(cluster, workers, persistence, events, signals)
    zones = ZoneService(
        settings,
        cluster,
        workers,
        verdicts,
        loads,
        warmup,
        orders,
        persistence,
        events,
        metrics,
        views=views,
    )
    watchdog = Watchdog(cluster, verdicts, workers, zones, settings.state)
    peers = PeerService(settings, cluster, zones, watchdog, orders)
    shared = None
    if settings.shared is not None:
        from geodns.control.shared_group import join_group  # noqa: PLC0415 - a server alone needs none of it

        shared = join_group(
            settings,
            settings.shared,
            cluster,
            verdicts,
            orders,
            peers,
            signals,
            persistence,
            events,
            judges=(warmup, reputation),
        )
    judges = (signals, warmup, reputation, providers, geoip, views)
    last = (peers, *(() if shared is None else (shared,)), verdicts)
    alerts = Alerts(
        events,
        (
            persistence,
            clock,
            upgrades,
            history,
            orders,
            policy,
            loads,
            routes,
            *judges,
            zones,
            watchdog,
            *last,
        ),
    )
    services = Services(
        settings.node,
        tuple(Listen(*address) for address in context.listen),
        time.monotonic(),
        events,
        metrics,
        persistence,
        clock,
        upgrades,
        cluster,
        workers,
        policy,
        verdicts,
        loads,
        orders,
        history,
        routes,
        signals,
        warmup,
        reputation,
        providers,
        allowances,
        geoip,
        views,
        experiments,
        zones,
        watchdog,
        peers,
        shared,
        alerts,
    )
    metrics.registry.register(Gauges(services))
    return services


class Daemon:
    """The control process in its loop; arguments as for `build`."""

    def __init__(
        self, settings: Settings, context: ControlContext, store: StateFile, warnings: list[str]
    ) -> None:
        self._settings = settings
        self._context = context
        self._again = bool(context.number)
        self._warnings = warnings
        self._stop = asyncio.Event()
        self._tasks = Tasks(self._stop)
        self._leaving = False
        """Whether another version takes over from this process."""
        self.services = build(settings, context, store, warnings, self._tasks)

    async def run(self) -> int:
        """Serve until a signal or a failed task ends it; return the exit status."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._end)
        events, zones = self.services.events, self.services.zones
        for warning in self._warnings:
            events.tell("watch", warning)
        await events.open()
        try:
            return await self._live(await asyncio.to_thread(zones.read_first, again=self._again))
        finally:
            self.services.alerts.report()  # of the last writes, and of a start that failed
            await events.close()

    def _end(self) -> None:
        self._stop.set()
        self.services.zones.blame_no_file()  # a large one may be read for longer than the supervisor waits

    async def _live(self, edit: Edit) -> int:
        services, settings = self.services, self._settings
        tokens = settings.token + settings.read_token + settings.signals_token
        app = make_app(services, tokens)
        services.workers.on_upgrade = partial(self._on_upgrade, app[GATE])
        site = Site(app, self._context.http, settings.http_tls, end=HTTP_END)
        begun = ended = None
        # Clients wait that long for one who knows all that the process before knew.
        takes_over = bool(self._context.upgraded_from or self._context.went_back)
        try:
            if not takes_over:
                await site.start()
            for line in exposed(settings.http.host, tokens, encrypted=bool(settings.http_tls)):
                log.warning("%s", line)
            await services.workers.start()
            begun = asyncio.ensure_future(self._begin(edit))
            ended = asyncio.ensure_future(self._stop.wait())
            await asyncio.wait({begun, ended}, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                begun.result()
                if takes_over:
                    await site.start()
                await ended
        finally:
            ends = "the control process ends for an upgrade" if self._leaving else "the server stops"
            services.events.tell("server", ends, level=logging.INFO)
            services.events.end()
            await site.close(gently=self._leaving)
            await _cancelled(begun, ended)
            await self._close()
        return 0

    def _on_upgrade(self, gate: OrderGate, told: UpgradeBegins | UpgradeEnded) -> None:
        if isinstance(told, UpgradeEnded):
            self.services.upgrades.ended(told)
        elif not self._leaving:
            self._leaving = True
            self._tasks.spawn(self._leave(gate))

    async def _leave(self, gate: OrderGate) -> None:
        """End once the orders under way have."""
        await gate.close(ORDERS_END)
        self._end()

    async def _hand_over(self) -> None:
        """Hand in what was counted, after everything else is on disk."""
        with contextlib.suppress(ConnectionError):
            await self.services.workers.leave(dump(self.services.metrics.registry))

    async def _close(self) -> None:
        """End the services, those made last first; a failure of one keeps no other from saving."""
        services = self.services
        async with contextlib.AsyncExitStack() as ends:
            ends.push_async_callback(services.workers.close)
            if self._leaving:
                ends.push_async_callback(self._hand_over)
            ends.push_async_callback(services.history.close)
            ends.push_async_callback(services.routes.close)  # into the history's file
            if not self._leaving:
                ends.push_async_callback(services.workers.ended, ROUTES)  # what it answered last is counted
            ends.push_async_callback(services.reputation.close)
            ends.push_async_callback(services.signals.close)
            ends.push_async_callback(services.verdicts.close)  # writes what zones has noted
            ends.push_async_callback(services.providers.close)
            ends.push_async_callback(services.allowances.close)
            ends.push_async_callback(services.experiments.close)
            ends.push_async_callback(services.loads.close)
            ends.push_async_callback(services.zones.close)
            ends.push_async_callback(services.peers.close)
            if services.shared is not None:
                ends.push_async_callback(services.shared.close)
            ends.push_async_callback(self._tasks.close)

    async def _begin(self, edit: Edit) -> None:
        """Probe the hosts once, answer, and start the services' loops."""
        services = self.services
        edit = await services.zones.completed(edit)
        await asyncio.gather(
            services.verdicts.first_round(edit.zones.values(), FIRST_ROUND),
            services.signals.begin(FIRST_ROUND),
            services.peers.begin(),
            *(() if services.shared is None else (services.shared.begin(),)),
        )
        services.clock.look()
        services.orders.end_expired()
        # Whoever starts a server means what the files say; a restart of the control process is nobody's yes.
        await services.zones.apply(edit, yes=not self._again)
        # Ignored until here: a reload must not overtake the first reading.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        services.reputation.resume()
        late = await services.workers.deliver(FIRST_ROUND)
        if late:
            services.events.tell("worker", f"these workers are slow to start: {', '.join(late)}")
        services.watchdog.ready = True
        services.workers.report_start()
        if not self._again:
            self._say_ready()
        for work in (
            services.zones.watch,
            services.zones.watch_sources,
            services.policy.watch,
            self._keep_time,
            services.persistence.watch,
            services.watchdog.watch,
            services.history.watch,
            services.routes.watch,
            services.reputation.watch,
            services.experiments.watch,
            services.signals.watch,
            services.providers.watch,
            services.geoip.watch,
            services.views.watch,
            services.peers.watch,
            services.alerts.watch,
        ):
            self._tasks.spawn(work())

    def _reload(self) -> None:
        self._tasks.spawn(self.services.zones.reload())

    def _say_ready(self) -> None:
        dns = ",".join(str(listen) for listen in self.services.listen)
        http = Listen(*self._context.http.getsockname()[:2])
        zones = len(self.services.cluster.sources)
        routes = f" routes {','.join(self._context.routes)}" if self._context.routes else ""
        with contextlib.suppress(OSError):  # nobody may be there to read it
            print(f"ready: dns {dns} http {http} zones {zones} backend {BACKEND}{routes}", flush=True)  # noqa: T201 - the line

    async def _keep_time(self) -> None:
        """End overrides and retirements whose time is over; move weights; save."""
        services = self.services
        saved = risen = time.monotonic()
        while True:
            await asyncio.sleep(POLL_EVERY)
            services.clock.look()
            if services.orders.end_expired():
                await services.workers.publish()
                await services.persistence.written()
            now = time.time()
            if services.clock.steady:
                await services.zones.end_retirements(now)
            if time.monotonic() - risen >= RISE_EVERY:
                risen = time.monotonic()
                moved = services.cluster.advance_weights(now, risen)
                if services.warmup.look() or moved:
                    await services.workers.publish()
            if time.monotonic() - saved >= SAVE_EVERY:
                saved = time.monotonic()
                services.zones.keep_names()
                services.persistence.keep_note(CLOCK, services.clock.note())
                await services.verdicts.save()


async def _cancelled(*tasks: "asyncio.Future[Any] | None") -> None:
    """Cancel tasks, and wait for their ends."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
