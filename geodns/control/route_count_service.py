"""Counts what MTAs were answered by routes: for metrics, the last hour, and days on disk."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from geodns.config.route_keys import RoutesListen
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.history_service import HistoryService
from geodns.control.metrics import Metrics
from geodns.control.worker_service import WorkerService
from geodns.errors import StoreError, printable
from geodns.responder.route_table import CompiledRule, ZoneRoutes
from geodns.serve.frames import Message, RouteCounts, RouteKey
from geodns.storage.history_file import HistoryFile
from geodns.storage.route_rows import (
    FIVE,
    HOUR,
    NO_SUMS,
    ROUTES_KEPT,
    RULES_KEPT,
    AnswerKey,
    RouteSums,
    RuleTimes,
    summed,
)

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
MINUTE = 60
"""Seconds after which counts are written: so many of them are lost where the process is killed."""
UNWRITTEN = HOUR // MINUTE
"""Minutes that wait for a disk that cannot be written."""
UNSERVED = "unserved"
RECENT = 600.0
"""Seconds for which look-ups of zones that are not served are an alert."""
STRANGERS = 3

RuleKey = tuple[str, str]
"""Zone and digest."""


@dataclass(slots=True)
class _OpenStep:
    """The sums of a zone in a step that is not over."""

    answers: dict[AnswerKey, int] = field(default_factory=dict)
    looked_up: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def sums(self) -> RouteSums:
        return RouteSums(dict(self.answers), dict(self.looked_up))


class CountedRoutes(NamedTuple):
    """What the routes of a zone answered since a time, which is that of the first step."""

    since: float
    sums: RouteSums


class _Kept(NamedTuple):
    """What an earlier process wrote: the rules' times, and the steps of the last hour by begin and zone."""

    rules: Mapping[RuleKey, RuleTimes]
    steps: Mapping[int, Mapping[str, RouteSums]]


class RouteCountService:
    """The counts of the routes worker, by zone; the zone is empty where none was found to be asked.

    Attributes:
        listeners: where MTAs ask; none: nobody answers them.

    """

    def __init__(
        self,
        listeners: Sequence[RoutesListen],
        cluster: Cluster,
        workers: WorkerService,
        history: HistoryService,
        metrics: Metrics,
    ) -> None:
        self.listeners = tuple(listeners)
        self._cluster = cluster
        self._history = history
        self._metrics = metrics
        self._at = 0
        self._open: dict[str, _OpenStep] = {}
        self._closed: deque[tuple[int, Mapping[str, RouteSums]]] = deque(maxlen=HOUR // FIVE + 2)
        """The last hour, by five minutes."""
        self._unwritten: list[tuple[int, Mapping[str, RouteSums]]] = []
        self._rules: dict[RuleKey, RuleTimes] = {}
        self._changed: set[RuleKey] = set()
        self._gone: set[RuleKey] = set()
        self._noted: Mapping[str, ZoneRoutes] = {}
        """The routes of the Table whose rules were noted last."""
        self._strangers: list[str] = []
        """Zones that MTAs asked for and that are not served, the last ones."""
        self._known: dict[str, tuple[ZoneRoutes, dict[str, CompiledRule]]] = {}
        workers.subscribe(self._on_message)

    def alerts(self) -> Iterator[Alert]:
        """Yield the zones that MTAs ask for routes in vain, and listeners whose own host nobody knows."""
        for one in self.listeners:
            name = one.zone or self._only_zone()
            asked = self._cluster.zones.get(name)
            if asked is None or one.self_host is None or asked.sources or one.self_host in asked.host_by_name:
                continue
            yield Alert(
                ("self", str(one)),
                f"routes_listen {one}: `self` is {one.self_host}, and zone {name} has no such host: the MTA "
                "that asks there may be told to send to itself, and would bounce the mail: write its host",
                level=logging.ERROR,
                resolved=f"routes_listen {one}: {one.self_host} is a host of zone {name}",
                zone=name,
            )
        for zone in self._unserved(time.time()):
            text = f"MTAs ask for routes {self._in_vain(zone)}"
            yield Alert(("routes", zone), text, resolved=f"no longer: {text}", zone=zone or None)

    def _only_zone(self) -> str:
        """Return the zone that is asked where nobody says which; empty: it may be several, or none."""
        routes = self._cluster.compiled.table.routes
        return next(iter(routes)) if len(routes) == 1 else ""

    def _in_vain(self, zone: str) -> str:
        routes = self._cluster.compiled.table.routes
        if zone:
            return f"of {zone}, which has none: write `routes` in its file"
        there = f"zones with routes: {', '.join(list(routes)[:4]) or 'none'}"
        wrong = next((one for one in self.listeners if one.zone and one.zone not in routes), None)
        if wrong is not None and wrong.zone in self._cluster.zones:
            return f"at {wrong}, whose zone {wrong.zone} has none: write `routes` in its file; {there}"
        if wrong is not None:
            return f"at {wrong}, whose zone {wrong.zone} is not served: see `routes_listen`; {there}"
        if self._strangers:
            names = ", ".join(printable(one) for one in self._strangers)
            return f"of {names}, which is not served: see what they send as zone or policy_context; {there}"
        if len(routes) > 1:
            return f"and do not say of which zone: write `zone` at `routes_listen`; {there}"
        return f"of a zone that has none: see what they send as zone or policy_context; {there}"

    def _unserved(self, now: float) -> set[str]:
        recent = [(zone, one.answers) for zone, one in self._open.items()]
        for at, zones in self._closed:
            if at + FIVE > now - RECENT:
                recent += [(zone, dict(sums.answers)) for zone, sums in zones.items()]
        return {zone for zone, answers in recent if any(outcome == UNSERVED for _, outcome, _ in answers)}

    # --- counting ---------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        if isinstance(message, RouteCounts):
            self.take(message, time.time())

    def take(self, counts: RouteCounts, now: float) -> None:
        """Add what the worker has answered since its last report; `now` in seconds since the epoch."""
        self.close_step(now)
        counts = counts._replace(answers=self._of_known_zones(counts.answers))
        for (zone, rule, outcome, protocol), number in counts.answers.items():
            answers = self._open.setdefault(zone, _OpenStep()).answers
            what = rule, outcome, protocol
            answers[what] = answers.get(what, 0) + number
            if rule:
                self._matched((zone, rule), now)
        for (zone, host, provider), number in counts.looked_up.items():
            looked_up = self._open.setdefault(zone, _OpenStep()).looked_up
            looked_up[host, provider] = looked_up.get((host, provider), 0) + number
        self._metrics.count_routes(counts, self.rule)

    def _of_known_zones(self, answers: dict[RouteKey, int]) -> dict[RouteKey, int]:
        names = {zone: self._known_zone(zone) for zone in {key.zone for key in answers}}
        if all(zone == known for zone, known in names.items()):
            return answers
        found: dict[RouteKey, int] = {}
        for key, number in answers.items():
            known = key._replace(zone=names[key.zone])
            found[known] = found.get(known, 0) + number
        return found

    def _known_zone(self, zone: str) -> str:
        """Return a zone that is served; empty for others, as MTAs may ask for any number of them."""
        if zone in self._cluster.zones or not self._cluster.sources:
            return zone
        if zone and zone[:100] not in self._strangers:
            self._strangers = [*self._strangers, zone[:100]][-STRANGERS:]
        return ""

    def _matched(self, key: RuleKey, now: float) -> None:
        known = self._rules.get(key)
        self._rules[key] = RuleTimes(known.since if known else now, now)
        self._changed.add(key)

    def rule(self, zone: str, digest: str) -> CompiledRule | None:
        """Return a rule of a zone by its digest; None: the zone has it no longer."""
        routes = self._cluster.compiled.table.routes.get(zone)
        if routes is None:
            self._known.pop(zone, None)
            return None
        known = self._known.get(zone)
        if known is None or known[0] is not routes:
            # Of rules that are the same the first answers.
            known = self._known[zone] = routes, {one.digest: one for one in reversed(routes.rules)}
        return known[1].get(digest)

    def look(self, now: float) -> None:
        """Note the rules that are new, and forget those that were long gone."""
        routes = self._cluster.compiled.table.routes
        if routes == self._noted:
            return
        self._noted = dict(routes)
        held = {(zone, rule.digest) for zone, some in routes.items() for rule in some.rules}
        for key in held - self._rules.keys():
            self._rules[key] = RuleTimes(now)
            self._changed.add(key)
        if self._cluster.sources:
            old = now - RULES_KEPT
            gone = {key for key, times in self._rules.items() if max(times) < old} - held
            for key in gone:
                del self._rules[key]
            self._changed -= gone
            self._gone |= gone

    def close_step(self, now: float) -> bool:
        """Close the minute if it is over; return whether it was."""
        at = int(now // MINUTE) * MINUTE
        before, self._at = self._at or at, at
        if at == before:
            return False
        self._close(before)
        return True

    def _close(self, at: int) -> None:
        zones = {zone: one.sums for zone, one in self._open.items()}
        self._open = {}
        if zones:
            self._add(at // FIVE * FIVE, zones)
            self._unwritten = [*self._unwritten, (at, zones)][-UNWRITTEN:]

    def _add(self, five: int, zones: Mapping[str, RouteSums]) -> None:
        if self._closed and self._closed[-1][0] == five:
            before = self._closed.pop()[1]
            zones = {
                zone: summed(before.get(zone, NO_SUMS), zones.get(zone, NO_SUMS))
                for zone in before.keys() | zones.keys()
            }
        self._closed.append((five, zones))

    # --- the disk ---------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Look and write, for ever."""
        self._take_up(await asyncio.to_thread(self._read, time.time()))
        written = float("-inf")
        while True:
            now = time.time()
            self.look(now)
            self.close_step(now)
            if time.monotonic() - written >= MINUTE and (self._unwritten or self._changed or self._gone):
                written = time.monotonic()
                await asyncio.to_thread(self.write, now)
            await asyncio.sleep(LOOK_EVERY)

    async def close(self) -> None:
        """Write everything, the step that is not over too."""
        now = time.time()
        self._close(self._at or int(now // MINUTE) * MINUTE)
        await asyncio.to_thread(self.write, now)

    def write(self, now: float) -> None:
        """Write what is unwritten; what cannot be written is tried again for an hour. Blocks on the disk."""
        changed, self._changed = self._changed, set()
        gone, self._gone = self._gone, set()
        try:
            self._history.use(lambda file: self._write(file, now, changed, gone))
        except StoreError:  # the history's own alert says so
            self._changed |= changed
            self._gone |= gone

    def _write(self, file: HistoryFile, now: float, changed: set[RuleKey], gone: set[RuleKey]) -> None:
        if changed or gone:
            file.keep_route_rules({key: self._rules[key] for key in changed if key in self._rules}, gone)
        while self._unwritten:
            at, zones = self._unwritten[0]
            file.add_routes(at, zones, now)
            self._unwritten = self._unwritten[1:]

    def _read(self, now: float) -> _Kept:
        try:
            return self._history.use(lambda file: _Kept(file.route_rules(), _last_hour(file, now)))
        except StoreError as error:
            log.warning("what routes answered before is not shown: %s", error)
            return _Kept({}, {})

    def _take_up(self, kept: _Kept) -> None:
        for key, before in kept.rules.items():
            known = self._rules.get(key, before)
            self._rules[key] = RuleTimes(min(known.since, before.since), max(known.last, before.last))
        self._closed.extendleft(sorted(kept.steps.items(), reverse=True))

    # --- reading ----------------------------------------------------------------------------------------

    def times(self, zone: str, digest: str) -> RuleTimes | None:
        """Return when a rule was first known and matched last; None: it is not known yet."""
        return self._rules.get((zone, digest))

    def last_hour(self, zone: str, now: float) -> int:
        """Return how many answers the routes of a zone gave in the last hour."""
        begin = (now - HOUR) // FIVE * FIVE
        return sum(sum(sums.answers.values()) for sums in self._steps(zone, begin))

    def looked_up(self, zone: str, host: str, since: float) -> Counter[str]:
        """Return the look-ups of the last hour that named a host since a time's step, by provider."""
        found: Counter[str] = Counter()
        for sums in self._steps(zone, since // FIVE * FIVE):
            for (named, provider), number in sums.looked_up.items():
                if named == host:
                    found[provider] += number
        return found

    def _steps(self, zone: str, begin: float) -> list[RouteSums]:
        """Return the sums of the last hour's steps from one on, that of the current one too."""
        steps = [zones[zone] for at, zones in self._closed if at >= begin and zone in zones]
        return [*steps, self._now(zone)]

    def _now(self, zone: str) -> RouteSums:
        return self._open[zone].sums if zone in self._open else NO_SUMS

    async def since(self, zone: str, since: float, now: float) -> CountedRoutes:
        """Return what a zone's routes answered since a time; over an hour ago it is one of whole hours."""
        if since > now:
            return CountedRoutes(since, NO_SUMS)
        if since >= now - HOUR:
            begin = since // FIVE * FIVE
            return CountedRoutes(begin, summed(*self._steps(zone, begin)))
        begin = max(since, now - ROUTES_KEPT[HOUR]) // HOUR * HOUR
        return CountedRoutes(
            begin, summed(*await asyncio.to_thread(self._hours, zone, begin, now), self._now(zone))
        )

    def _hours(self, zone: str, begin: float, now: float) -> list[RouteSums]:
        def read(file: HistoryFile) -> list[RouteSums]:
            # In here, so that a step that is being written counts once.
            waiting = [zones[zone] for at, zones in self._unwritten if at >= begin and zone in zones]
            return [*waiting, *(sums for _, sums in file.routes(zone, HOUR, begin, now + 1))]

        try:
            return self._history.use(read)
        except StoreError as error:
            log.warning("what routes answered before is not shown: %s", error)
            return []


def _last_hour(file: HistoryFile, now: float) -> dict[int, dict[str, RouteSums]]:
    found: dict[int, dict[str, RouteSums]] = {}
    begin = (now - HOUR) // FIVE * FIVE
    for zone in file.route_zones(FIVE, begin):
        for at, sums in file.routes(zone, FIVE, begin, now + 1):
            found.setdefault(at, {})[zone] = sums
    return found
