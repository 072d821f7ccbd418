"""Owns when zones' views are compiled: for edits, at the turns of hours and slots, as GeoIP files change."""

import asyncio
import json
import logging
import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

from geodns.compiler.views import ZoneViews, compile_views, with_known
from geodns.config.times import timestamp
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.geoip_service import GeoipService, named_by
from geodns.control.persistence import Persistence
from geodns.control.view_compiler import packed_moment, packed_places, packed_zone, ranges_named
from geodns.control.view_rows import RuleRow, describe, in_force, rule_rows
from geodns.control.wall_clock import STEP, WallClock
from geodns.control.worker_service import WorkerService
from geodns.model.views import GeoNetworks
from geodns.model.zone import Zone
from geodns.storage.event_log import EventLog
from geodns.zones.apart import ApartError, run_apart
from geodns.zones.folder import Edit
from geodns.zones.geoip_frames import Named

log = logging.getLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds from one look at what is due to the next."""
TRY_EVERY = 60.0
"""Seconds from a compilation that failed to the next."""
AT_ONCE = 0.5
"""Seconds for which views of many zones are compiled before they are dealt by, all at once."""
PLACES_WITHIN = 10.0
"""Seconds that an edit waits for the networks of places that its rules name; they come later then."""
MANY = 4_000
"""Ranges of addresses from which on a process of its own is worth its start."""
TIME_LIMIT = 600.0
"""Seconds of such a process."""
COMPILER = "geodns.control.view_compiler"
NAMED = 5
"""Names in one event."""
RULES = "rules in force"
"""Name of the note of what is in force, and since when."""


class ShownRule(NamedTuple):
    """A rule as it is shown; `since` is when it came into force; None: it is not, or not known."""

    row: RuleRow
    since: float | None


class _Failure(NamedTuple):
    zone: Zone
    error: str
    again_at: float
    """Monotonic time."""


class ViewService:
    """The views of the zones that are served.

    Those of a zone belong to the object of that zone: `look` sets views only for the object that they were
    compiled for, and an edit brings its own with another object. So neither undoes the other.

    Args:
        wall: seconds since the epoch.

    """

    def __init__(
        self,
        cluster: Cluster,
        workers: WorkerService,
        geoip: GeoipService,
        persistence: Persistence,
        events: EventLog,
        clock: WallClock,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._geoip = geoip
        self._persistence = persistence
        self._events = events
        self._clock = clock
        self._wall = wall
        self._networks: WeakKeyDictionary[ZoneViews, GeoNetworks] = WeakKeyDictionary()
        """What views by place were compiled with."""
        self._rows: dict[int, tuple[Zone, tuple[RuleRow, ...]]] = {}
        """By the identity of their zone: a long list takes a while, and is hashed in a thread."""
        self._packed_zones: dict[str, tuple[Zone, bytes]] = {}
        self._packed_places: tuple[GeoNetworks | None, bytes] = (None, b"")
        self._since: dict[str, dict[str, float]] = json.loads(persistence.note(RULES) or "{}")
        """Of each zone's rules in force, by the keys of their rows."""
        self._failed: dict[str, _Failure] = {}
        self._wanted: frozenset[Named] = frozenset()
        self._wanting: set[asyncio.Task[None]] = set()
        self._all_looked_at = False
        self._next = float("-inf")
        """When hours or slots turn next."""
        self._latest = float("-inf")
        """The latest moment that any views with an end were compiled for."""
        geoip.subscribe(self._look_at_all)

    # --- edits ------------------------------------------------------------------------------------------

    async def of_edit(self, edit: Edit) -> tuple[Edit, dict[str, ZoneViews]]:
        """Return the views of the zones that an edit changes, and it without those where that fails."""
        served = self._cluster.zones
        changed = {
            name: zone
            for name, zone in edit.zones.items()
            if name not in served or served[name].digest != zone.digest
        }
        await self._want([*served.values(), *changed.values()])
        compiled = {name: await self._compiled(zone, self._wall()) for name, zone in changed.items()}
        found = {name: views for name, views in compiled.items() if views is not None}
        failed = changed.keys() - found.keys()
        for name in found.keys() | edit.removed:
            self._failed.pop(name, None)
        if failed:
            zones = {name: zone for name, zone in edit.zones.items() if name not in failed}
            edit = replace(edit, zones=zones)
        return edit, found

    async def follow(self) -> None:
        """Take up that zones have changed."""
        zones = self._cluster.zones
        served = set(map(id, zones.values()))
        # A list: a thread may add rows meanwhile.
        self._rows = {key: one for key, one in list(self._rows.items()) if key in served}
        self._packed_zones = {name: one for name, one in self._packed_zones.items() if name in zones}
        await self._want(zones.values())
        self._note_since(self._wall())
        self._look_at_all()

    async def _want(self, zones: Iterable[Zone]) -> None:
        """Have the networks of places that zones name; wait for them no longer than an edit may."""
        rules = [rule for zone in zones for rule in zone.pool_rules if rule.by_place]
        names = named_by(rules)
        if names == self._wanted:
            return
        self._wanted = names
        task = asyncio.ensure_future(self._geoip.want(rules))
        self._wanting.add(task)
        task.add_done_callback(self._wanting.discard)
        await asyncio.wait([task], timeout=PLACES_WITHIN)

    # --- time and places --------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Compile what is due, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Compile the views that are due, and deal by them."""
        now = self._wall()
        turned = self._clock.steady and not self._latest - STEP <= now < self._next
        retry = any(
            one.again_at <= time.monotonic() and self._is_served(one.zone) for one in self._failed.values()
        )
        if not (self._all_looked_at or turned or retry):
            return
        self._all_looked_at = False
        made: list[tuple[Zone, ZoneViews]] = []
        taken = time.monotonic()
        for zone in [one for one in self._cluster.zones.values() if self._is_due(one, now)]:
            views = await self._compiled(zone, now)
            if views is not None:
                made.append((zone, views))
            if time.monotonic() - taken > AT_ONCE:
                await self._take(made, now)
                made, taken = [], time.monotonic()
        await self._take(made, now)
        self._note_turns()

    async def _take(self, made: Iterable[tuple[Zone, ZoneViews]], now: float) -> None:
        """Deal by new views, but of zones that were edited meanwhile: these have their own."""
        before, taken = self._cluster.compiled.views, {}
        for zone, views in made:
            if self._is_served(zone):
                self._failed.pop(zone.name, None)
                kept = taken[zone.name] = with_known(before[zone.name], views)
                self._networks[kept] = self._networks[views]
                self._report_hours(zone, before[zone.name].at, kept.at)
        if taken:
            self._cluster.set_views(taken)
            self._note_since(now)
            await self._workers.publish()

    def _is_served(self, zone: Zone) -> bool:
        source = self._cluster.sources.get(zone.name)
        return source is not None and source.zone is zone

    def _look_at_all(self) -> None:
        self._all_looked_at = True

    def _is_due(self, zone: Zone, now: float) -> bool:
        failed = self._failed.get(zone.name)
        if failed is not None and failed.zone is zone and time.monotonic() < failed.again_at:
            return False
        views = self._cluster.compiled.views[zone.name]
        if any(rule.by_place for rule in zone.pool_rules) and (
            self._networks.get(views) is not self._geoip.networks
        ):
            return True
        # Views from the future: the clock was ahead when they were compiled.
        turned = views.until is not None and not views.at - STEP <= now < views.until
        return turned and self._clock.steady

    def _note_turns(self) -> None:
        timed = [one for one in self._cluster.compiled.views.values() if one.until is not None]
        self._next = min((one.until for one in timed if one.until is not None), default=float("inf"))
        self._latest = max((one.at for one in timed), default=float("-inf"))

    async def _compiled(self, zone: Zone, now: float) -> ZoneViews | None:
        """Return a zone's views; None: they cannot be compiled, for a fault of ours."""
        networks = self._geoip.networks
        try:
            views = await self._compile(zone, networks, now)
            await asyncio.to_thread(self._rows_of, zone)
        except Exception as error:
            log.exception("zone %s: its views cannot be compiled", zone.name)
            why = f"{type(error).__name__}: {error}"
            self._failed[zone.name] = _Failure(zone, why, time.monotonic() + TRY_EVERY)
            return None
        self._networks[views] = networks
        return views

    async def _compile(self, zone: Zone, geo: GeoNetworks, now: float) -> ZoneViews:
        """Compile a zone's views in a thread or, where that would disturb probes, in another process."""
        if ranges_named(zone, geo) < MANY:
            return await asyncio.to_thread(compile_views, zone, geo, now)
        parts = await asyncio.to_thread(self._packed, zone, geo)
        try:
            data = await run_apart(COMPILER, (*parts, packed_moment(now)), TIME_LIMIT)
        except ApartError as error:
            log.warning("zone %s: its views are compiled by control itself: %s", zone.name, error)
            return await asyncio.to_thread(compile_views, zone, geo, now)
        made: ZoneViews = await asyncio.to_thread(pickle.loads, data)
        return made

    def _packed(self, zone: Zone, geo: GeoNetworks) -> tuple[bytes, bytes]:
        """Return what the other process reads, packed once while it stays."""
        known = self._packed_zones.get(zone.name)
        if known is None or known[0] is not zone:
            known = self._packed_zones[zone.name] = (zone, packed_zone(zone))
        if self._packed_places[0] is not geo:
            self._packed_places = (geo, packed_places(geo))
        return known[1], self._packed_places[1]

    async def at(self, zone: Zone, moment: float) -> ZoneViews:
        """Return a zone's views of another moment."""
        return await self._compile(zone, self._geoip.networks, moment)

    # --- what is shown ----------------------------------------------------------------------------------

    def rules(self, zone: Zone) -> tuple[ShownRule, ...]:
        """Return the rules of a zone that is served."""
        since, now = self._since.get(zone.name, {}), self._wall()
        return tuple(
            ShownRule(row, since.get(row.key) if in_force(row, now) else None) for row in self._rows_of(zone)
        )

    def _rows_of(self, zone: Zone) -> tuple[RuleRow, ...]:
        known = self._rows.get(id(zone))
        if known is None:
            known = self._rows[id(zone)] = (zone, rule_rows(zone))
        return known[1]

    def _note_since(self, now: float) -> None:
        """Note which rules are in force; those that were since another time go on."""
        found = {}
        for zone in self._cluster.zones.values():
            known = self._since.get(zone.name, {})
            rows = {row.key: row for row in self._rows_of(zone) if in_force(row, now)}
            if rows:
                found[zone.name] = {key: _since(row, known.get(key), now) for key, row in rows.items()}
        if found != self._since:
            self._since = found
            self._persistence.keep_note(RULES, json.dumps(found))

    def alerts(self) -> Iterator[Alert]:
        for name, one in self._failed.items():
            views = self._cluster.compiled.views.get(name)
            kept = "it is not served" if views is None else f"that of {timestamp(views.at)} stays in use"
            text = (
                f"zone {name}: what its clients are dealt cannot be compiled, which is a fault of geodns "
                f"({one.error}): {kept}"
            )
            over = f"zone {name}: what its clients are dealt is compiled again"
            yield Alert(("views", name), text, level=logging.ERROR, grade=one.error, zone=name, resolved=over)

    def _report_hours(self, zone: Zone, before: float, now: float) -> None:
        """Report the rules by hours that have begun or ended; names with the same rule in one line."""
        turned: dict[tuple[str, str, bool], list[RuleRow]] = {}
        for row in self._rows_of(zone):
            holds = in_force(row, now)
            if row.hours is not None and in_force(row, before) != holds:
                turned.setdefault((row.when, row.pool, holds), []).append(row)
        for (when, pool, holds), rows in turned.items():
            more = f" and of {len(rows) - NAMED} more names" if len(rows) > NAMED else ""
            text = (
                f"zone {zone.name}: {', '.join(map(describe, rows[:NAMED]))}{more} ({when}) "
                f"{'begins' if holds else 'ends'}: pool {pool}"
            )
            data = {"rule": rows[0].number, "when": when, "begins": holds, "names": len(rows)}
            self._events.tell("views", text, level=logging.INFO, zone=zone.name, pool=pool, data=data)


def _since(row: RuleRow, known: float | None, now: float) -> float:
    """Return since when a rule is in force that is now, and was since `known`, perhaps with a break."""
    if known is None or known > now:
        return now
    ended = None if row.hours is None else row.hours.next_change(known)
    return known if ended is None or ended > now else now
