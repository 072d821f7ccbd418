"""Rehearses a start of this program beside the server that runs: same files and state, sockets of its own.

It leaves no trace: no probe, no look-up, no HTTP, no Redis, nothing written. Of each kind one worker answers
for every zone, since a version whose workers cannot answer shall never get the real sockets.
"""

import asyncio
import mmap
import os
import signal
import time
import traceback
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from geodns.api.app import make_app
from geodns.api.site import Site
from geodns.compiler.answers import Source
from geodns.compiler.compile import compile_zones
from geodns.config.settings import Settings
from geodns.control.cluster import source_of
from geodns.control.services import Services
from geodns.control.tasks import Tasks
from geodns.daemon import build
from geodns.errors import GeodnsError, Problem, StartError, printable
from geodns.serve import supervisor
from geodns.serve.frames import Message, WorkerExited
from geodns.serve.handover import AskedSockets, Handover
from geodns.serve.plan import ControlContext, RoutesPlan, ServePlan, TcpLimits
from geodns.serve.resources import place_asked
from geodns.serve.trial_queries import ask_workers
from geodns.storage.cookie_secrets import CookieFile
from geodns.storage.state_file import StateFile
from geodns.zones.folder import Edit

LIMIT = 25.0
"""Seconds that it may take; the server that runs waits 30."""
BACK_WITHIN = 10.0
"""Seconds that workers may take to begin with the Table."""
LONGEST = 2000
"""Bytes of what is said of a failure."""

_LOOPBACK = ("127.0.0.1", 0)
_NOWHERE = Path(os.devnull) / "state"
"""The state folder that the services see: whatever writes there fails."""


def rehearse(settings: Settings, handover: Handover | None, routes: RoutesPlan) -> None:
    """Start a server on sockets of its own, have it answer, and end it.

    To be called in the main thread of a process without other threads.

    Args:
        settings: as for the real start.
        handover: of the server that runs; None: nothing is compared with one.
        routes: as for the real start.

    Raises:
        StartError: what is wrong.

    """
    if handover is not None:
        asked = AskedSockets(
            tuple((one.host, one.port) for one in settings.listen),
            (settings.http.host, settings.http.port),
            tuple(map(place_asked, routes.listeners)),
            settings.worker_count,
            str(settings.state.absolute()),
        )
        require_same_sockets(asked, handover.asked)
    _require_readable(settings)
    progress = RehearsalProgress()
    plan = ServePlan(
        listen=(_LOOPBACK,),
        http=_LOOPBACK,
        workers=1,
        control=lambda context: _control(settings, context, handover, progress),
        tcp=TcpLimits(**settings.tcp.model_dump()),
        routes=replace(routes, listeners=tuple(one._replace(place=_LOOPBACK) for one in routes.listeners)),
    )
    with _within(LIMIT, progress):
        supervisor.run(plan)
    if progress.failure or not progress.good:
        raise StartError(progress.failure or f"the rehearsal ended while it was {progress.step}")


def require_same_sockets(asked: AskedSockets, running: AskedSockets) -> None:
    """Require that the settings say of sockets what the server that runs was started with.

    Raises:
        StartError: they do not, and only a restart changes that.

    """
    differ = [
        (key, _shown(now), _shown(before))
        for key, now, before in (
            ("listen", asked.listen, running.listen),
            ("http", asked.http, running.http),
            ("routes_listen", asked.routes, running.routes),
            ("workers", asked.workers, running.workers),
            ("state", asked.state, running.state or asked.state),
        )
        if now != before
    ]
    if differ:
        keys = ", ".join(key for key, _, _ in differ)
        how = "; ".join(f"{key} says {now}, the server runs with {before}" for key, now, before in differ)
        raise StartError(f"restart to change {keys}: {how}")


def _shown(value: object) -> str:
    match value:
        case (str(host), int(port)):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case tuple():
            return ", ".join(map(_shown, value)) or "nothing"
        case _:
            return str(value)


def _require_readable(settings: Settings) -> None:
    """Require files that a server which runs can do without, or that its control reads after the start."""
    if settings.cookie_secret_file is not None:
        CookieFile(settings.cookie_secret_file, make=False)
    for path in (settings.zones, *settings.geoip, *(one for one in (settings.reply_patterns,) if one)):
        try:
            if path == settings.zones:
                with os.scandir(path) as entries:
                    next((one.stat() for one in entries), None)  # it can be entered, too
            else:
                path.open("rb").close()
        except OSError as error:
            raise StartError(f"{path} cannot be read ({error.strerror}): let this user read it") from None


class RehearsalProgress:
    """What the processes of a rehearsal tell each other, in memory that they share."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._texts = {"step": b"", "failure": b""}
        self._supervisor = os.getpid()
        self.step = "starting its processes"

    @property
    def good(self) -> bool:
        return self._shared[0] == 1

    @property
    def step(self) -> str:
        """What it is at; continues "while it was"."""
        return self._text(2, 200)

    @step.setter
    def step(self, text: str) -> None:
        self._put(2, 200, text)

    @property
    def failure(self) -> str:
        """What is wrong; the first one stays."""
        return self._text(202, LONGEST)

    def fail(self, text: str) -> None:
        if not self.failure:
            self._put(202, LONGEST, printable(text.strip().splitlines()[0] if text.strip() else "it failed"))

    def end(self, *, good: bool) -> None:
        """Have the supervisor end all of it."""
        self._shared[0] = int(good)
        if os.getppid() == self._supervisor:
            os.kill(self._supervisor, signal.SIGTERM)

    def begun_before(self) -> bool:
        """Say whether another control process has begun before this one."""
        before, self._shared[1] = self._shared[1], 1
        return before == 1

    def _text(self, at: int, most: int) -> str:
        return self._shared[at : at + most].rstrip(b"\0").decode(errors="replace")

    def _put(self, at: int, most: int, text: str) -> None:
        self._shared[at : at + most] = text.encode(errors="replace")[:most].ljust(most, b"\0")


@contextmanager
def _within(seconds: float, progress: RehearsalProgress) -> Iterator[None]:
    def late(_number: int, _frame: FrameType | None) -> None:
        raise StartError(f"it took more than {seconds:g} s, and was then {progress.step}")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- the control process -------------------------------------------------------------------------------


def _control(
    settings: Settings, context: ControlContext, handover: Handover | None, progress: RehearsalProgress
) -> int:
    signal.alarm(int(LIMIT) + 5)  # by default it kills: the supervisor may be gone by then
    if progress.begun_before():
        progress.fail(f"control {context.before or 'ended'} while it was {progress.step}")
        progress.end(good=False)
        return 0
    good = False
    try:
        back = handover is not None and handover.back
        asyncio.run(_Rehearsal(settings, _carried(context, handover), progress, back=back).run())
        good = True
    except GeodnsError as error:
        progress.fail(str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is wrong with this program
        progress.fail(f"while it was {progress.step}: {type(error).__name__}: {error} ({_place_of(error)})")
    progress.end(good=good)
    return 0


def _carried(context: ControlContext, handover: Handover | None) -> ControlContext:
    """Return the context as control gets it after an upgrade."""
    if handover is None:
        return replace(context, number=max(1, context.number))
    return replace(
        context,
        number=max(1, handover.number),
        carried=handover.counters,
        upgraded_from=handover.writer.version,
    )


def _place_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"


class _Rehearsal:
    """A control process that does what it does up to its first Table, but for all that reaches outside."""

    def __init__(
        self, settings: Settings, context: ControlContext, progress: RehearsalProgress, *, back: bool
    ) -> None:
        self._settings = settings
        self._context = context
        self._back = back
        self._progress = progress
        self._died: asyncio.Future[str] | None = None

    async def run(self) -> None:
        progress, settings = self._progress, self._settings
        progress.step = "reading the state"
        store = StateFile.copy_of(settings.state, newer=self._back)
        progress.step = "making its services"
        # Its own queries must not be limited, nor fill anybody's query log.
        quiet = settings.model_copy(update={"state": _NOWHERE, "rate_limit": None, "query_log": None})
        services = build(quiet, self._context, store, [], Tasks(asyncio.Event()))
        services.workers.subscribe(self._on_message)
        app = make_app(services, settings.token + settings.read_token + settings.signals_token)
        Site(app, self._context.http, settings.http_tls, end=0)
        progress.step = "reading the zones"
        edit = await asyncio.to_thread(services.zones.read_first, again=True)
        _require_whole(edit, services.zones.refused)
        progress.step = "compiling the zones"
        await _serve(services, edit)
        progress.step = "starting its workers"
        await services.workers.start()
        await self._unless_one_dies(self._begun(services))
        progress.step = "having its workers answer"
        await self._unless_one_dies(asyncio.to_thread(self._ask, services))

    def _ask(self, services: Services) -> None:
        listeners = [one.zone or "" for one in self._settings.routes_listen]
        ask_workers(
            services.cluster.compiled.table,
            self._context.listen[0],
            tuple(zip(listeners, self._context.routes, strict=True)),
        )

    async def _begun(self, services: Services) -> None:
        late = await services.workers.deliver(BACK_WITHIN)
        if late:
            raise StartError(f"worker {', '.join(late)} did not take the answers within {BACK_WITHIN:g} s")

    async def _unless_one_dies(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for work, but no longer than all workers live."""
        self._died = asyncio.get_running_loop().create_future()
        doing = asyncio.ensure_future(work)
        waited: set[asyncio.Future[Any]] = {doing, self._died}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if self._died.done():
            raise StartError(self._died.result())
        doing.result()

    def _on_message(self, message: Message) -> None:
        if isinstance(message, WorkerExited) and self._died is not None and not self._died.done():
            self._died.set_result(f"worker {message.worker} {message.how}".rstrip())


def _require_whole(edit: Edit, refused: Mapping[str, object]) -> None:
    """Require that every file can be read: what the server that runs made of it is in no file."""
    errors: list[Problem] = [one for one in edit.problems if not one.warning]
    if errors or refused:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        first = errors[0] if errors else next(iter(refused))
        raise StartError(f"{first}{more}")


async def _serve(services: Services, edit: Edit) -> None:
    """Compile zones as they would be served, with what was believed of hosts last."""
    cluster, now = services.cluster, time.time()
    compiling, views = await services.views.of_edit(edit)
    lost = sorted(edit.zones.keys() - compiling.zones.keys())
    if lost:
        raise StartError(f"the rules of zone {lost[0]} cannot be compiled: see the log of the server")
    sources: dict[str, Source] = {
        name: source_of(zone, services.persistence.serial(zone), cluster.retired)
        for name, zone in edit.zones.items()
    }
    targets = {
        target
        for zone in edit.zones.values()
        for addresses in zone.targets_by_host.values()
        for some in addresses.values()
        for target in some
    }
    cluster.verdicts.update(services.persistence.verdicts(targets, now))
    services.orders.end_expired()
    live = cluster.live()
    cluster.serve_zones(await asyncio.to_thread(compile_zones, cluster.compiled, sources, live, views), now)
    services.warmup.look()
    services.reputation.resume()
