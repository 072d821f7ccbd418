"""Asks block lists, judges hosts by rules, and does to them what follows: factors, bars, quarantines."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from functools import partial
from typing import Literal, NamedTuple

from geodns.config.times import timestamp
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.order_service import OrderService
from geodns.control.orders import OverridePlan
from geodns.control.persistence import Persistence
from geodns.control.reputation_alerts import list_alerts, standing_alerts
from geodns.control.reputation_notes import Ignored, ModeOrder, Notes, notes_of, text_of
from geodns.control.wall_clock import WallClock
from geodns.control.worker_service import WorkerService
from geodns.errors import NotFoundError, UsageError
from geodns.model.base import Address
from geodns.model.mail import MailCounts
from geodns.model.reputation import Dnsbl, Reputation
from geodns.model.state import REPUTATION, Forced, ForcedState, HostKey
from geodns.model.zone import Pool, Zone
from geodns.signals.dnsbl import ask
from geodns.signals.listings import ListingError, Listings, ListState
from geodns.signals.reputation import Cause, Standings
from geodns.signals.reputation_rules import BUILT_IN, DAY, signs
from geodns.storage.event_log import EventLog

log = logging.getLogger(__name__)

NOTE = "reputation"
"""Name of the note that keeps all this over a restart."""
REVIEW_EVERY = 10.0
LOOK_EVERY = 0.2
JITTER = 0.1
BY_HAND = 12 * 3600.0
"""Seconds for which a quarantine that somebody has ended by hand is not given again."""


class _Round(NamedTuple):
    zone: str
    name: str


class ReputationService:
    """Keeps what speaks against hosts, for all zones whose file has `reputation`.

    Attributes:
        standings: by zone.
        listings: by zone.

    """

    def __init__(
        self,
        cluster: Cluster,
        workers: WorkerService,
        orders: OrderService,
        persistence: Persistence,
        events: EventLog,
        clock: WallClock,
        counts: MailCounts,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._orders = orders
        self._persistence = persistence
        self._events = events
        self._clock = clock
        self._counts = counts
        self._rng = random.Random()  # noqa: S311 - spreads look-ups
        self._due: dict[_Round, float] = {}
        self._running: dict[_Round, asyncio.Task[None]] = {}
        notes = notes_of(persistence.note(NOTE))
        self.standings = {zone: Standings(known) for zone, known in notes.standings.items()}
        self.listings = {zone: Listings(dict(known)) for zone, known in notes.listings.items()}
        self.ignored: tuple[Ignored, ...] = notes.ignored
        self._modes: dict[str, ModeOrder] = dict(notes.modes)
        self._imposed = set(self._mine())
        self._reviewing = asyncio.Lock()

    # --- what others ask --------------------------------------------------------------------------------

    def zones(self) -> dict[str, Zone]:
        """Return the zones that are judged."""
        return {name: zone for name, zone in self._cluster.zones.items() if zone.reputation is not None}

    def mode(self, zone: Zone) -> Literal["observe", "act"]:
        """Return what holds now: an order's mode, else the file's."""
        order = self._modes.get(zone.name)
        if order is not None and order.until > time.time():
            return order.mode
        return zone.reputation.mode if zone.reputation else "observe"

    def mode_order(self, zone: str) -> ModeOrder | None:
        order = self._modes.get(zone)
        return order if order is not None and order.until > time.time() else None

    def factor(self, host: HostKey) -> Fraction:
        """Return what reputation leaves of a host's weight, or would in mode act."""
        standings = self.standings.get(host[0])
        return Fraction(1) if standings is None else standings.factor(host[1], time.time())

    def barred(self, host: HostKey) -> dict[str, float]:
        """Return the providers that a host is barred for just now, and until when; none in mode observe."""
        zone, standings = self._cluster.zones.get(host[0]), self.standings.get(host[0])
        if zone is None or standings is None or self.mode(zone) == "observe":
            return {}
        return standings.barred(host[1])

    def lists_with(self, host: HostKey) -> tuple[str, ...]:
        """Return the block lists that have an egress address of a host."""
        zone, listings = self._cluster.zones.get(host[0]), self.listings.get(host[0])
        if zone is None or zone.reputation is None or listings is None:
            return ()
        found = listings.of(zone.host_by_name[host[1]], zone.reputation)
        return tuple(dict.fromkeys(dnsbl.name for dnsbl, _, _ in found))

    def lists_of(self, zone: str) -> Mapping[str, ListState]:
        """Return the state of a zone's block lists that were asked."""
        known = self.listings.get(zone)
        return known.lists if known else {}

    def common(self, zone: str) -> Mapping[Cause, Collection[str]]:
        """Return the causes that hit too many hosts of a pool, and these."""
        known = self.standings.get(zone)
        return known.common if known else {}

    def is_quarantined(self, host: HostKey) -> bool:
        """Say whether reputation holds a host in quarantine, and `max_out` lets it."""
        return host in self._mine() and host not in self._cluster.held_back

    # --- what on call orders ----------------------------------------------------------------------------

    async def ignore(self, host: HostKey, rule: str | None, seconds: float, author: str, reason: str) -> None:
        """Overrule a rule or list for a host, or all of them (None), for so long; 0 ends that.

        A list with a key in its zone may be named by its `zone_file` alone.

        Raises:
            NotFoundError: the zone has no reputation, or neither a rule nor a list of that name.

        """
        zone = self._judged(host[0])
        names = self.rule_names(zone)
        lists = zone.reputation.dnsbl if zone.reputation else ()
        rule = next((one.name for one in lists if rule and one.zone_file == rule), rule)
        if rule is not None and rule not in names:
            raise NotFoundError(f"no rule or list {rule!r}: there are {', '.join(names)}")
        ended = {rule} if rule or seconds else {one.rule for one in self.ignored}
        kept = [one for one in self.ignored if one.host != host or one.rule not in ended]
        if seconds:
            kept.append(Ignored(host, rule, time.time() + seconds, author, reason))
        self.ignored = tuple(kept)
        what = f"rule {rule}" if rule else "reputation"
        until = f"is ignored until {timestamp(time.time() + seconds)}" if seconds else "counts again"
        self._tell(host, f"host {host[1]}.{host[0]}: {what} {until} by {author} ({reason or 'no reason'})")
        await self._review_now()

    async def set_mode(
        self, zone: str, mode: Literal["observe", "act"], seconds: float, author: str, reason: str
    ) -> None:
        """Override a zone's mode for so long; raise NotFoundError where it has no reputation."""
        self._judged(zone)
        self._modes[zone] = ModeOrder(mode, time.time() + seconds, author, reason)
        until = timestamp(time.time() + seconds)
        text = f"zone {zone}: reputation mode {mode} until {until} by {author} ({reason or 'no reason'})"
        self._events.tell("reputation", text, zone=zone, author=author, reason=reason)
        await self._review_now()

    def rule_names(self, zone: Zone) -> tuple[str, ...]:
        """Return the names of a zone's rules and block lists, its own first."""
        own = zone.reputation or Reputation()
        names = [rule.name for rule in (*own.rules, *BUILT_IN)] + [one.name for one in own.dnsbl]
        return tuple(dict.fromkeys(names))

    def _judged(self, name: str) -> Zone:
        zone = self._cluster.zone(name)
        if zone.reputation is None:
            raise UsageError(
                f"the zone file of {name} says nothing of reputation: write `reputation: {{mode: observe}}`"
            )
        return zone

    # --- rounds of look-ups -----------------------------------------------------------------------------

    async def watch(self) -> None:
        """Ask the lists and review the hosts, for ever."""
        reviewed = 0.0
        while True:
            self._start_rounds(time.monotonic())
            if time.monotonic() - reviewed >= REVIEW_EVERY:
                reviewed = time.monotonic()
                await self._review_now()
            await asyncio.sleep(LOOK_EVERY)

    async def close(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _start_rounds(self, now: float) -> None:
        wanted = {
            _Round(name, dnsbl.name): (zone.reputation, dnsbl)
            for name, zone in self.zones().items()
            if zone.reputation is not None
            for dnsbl in zone.reputation.dnsbl
        }
        self._due = {key: at for key, at in self._due.items() if key in wanted}
        for key, (reputation, dnsbl) in wanted.items():
            if key in self._running or self._due.get(key, now) > now:
                continue
            self._due[key] = now + reputation.interval * (1 + self._rng.uniform(-JITTER, JITTER))
            task = self._running[key] = asyncio.create_task(self._round(key, reputation, dnsbl))
            task.add_done_callback(partial(self._ended, key))

    def _ended(self, key: _Round, task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]

    async def _round(self, key: _Round, reputation: Reputation, dnsbl: Dnsbl) -> None:
        zone = self._cluster.zones.get(key.zone)
        if zone is None:
            return
        asked = {address for host in _senders(zone) for address in _egress(zone, host)}
        listings = self.listings.setdefault(key.zone, Listings())
        before = dict(listings.known)
        try:
            answers, why = await ask(reputation, dnsbl, sorted(asked, key=str))
            state = ListState(ok=True, why=why, at=time.time())
        except ListingError as error:
            answers, state = {}, ListState(ok=False, why=str(error), at=time.time())
        except Exception:
            log.exception("a fault of ours while asking block list %s", dnsbl.name)
            return
        listings.lists[dnsbl.name] = state
        listings.took_round(dnsbl.name, answers, reputation.confirm, time.time())
        if listings.known != before:
            await self._review_now()

    # --- the review -------------------------------------------------------------------------------------

    async def _review_now(self) -> None:
        """Judge all hosts by what is known, and let it have effect, once at a time: it waits for orders."""
        async with self._reviewing:
            if self._clock.steady:  # else ages would be wrong
                await self._reviewed(time.time())

    async def _reviewed(self, now: float) -> None:
        self.ignored = tuple(one for one in self.ignored if one.until > now)
        self._modes = {name: one for name, one in self._modes.items() if one.until > now}
        judged = self.zones()
        self.standings = {name: self.standings.get(name) or Standings({}) for name in judged}
        self.listings = {name: self.listings.get(name) or Listings() for name in judged}
        self._note_endings_by_hand(now)
        for name, zone in judged.items():
            self._review(name, zone, now)
        factors = {
            (name, host): factor
            for name, zone in judged.items()
            if self.mode(zone) == "act"
            for host in zone.host_by_name
            if (factor := self.standings[name].factor(host, now)) < 1
        }
        if self._cluster.set_reputation(factors):
            await self._workers.publish()
        self._persistence.keep_note(NOTE, self._text())  # first: orders write it along with theirs
        await self._quarantine(judged, now)

    def _review(self, name: str, zone: Zone, now: float) -> None:
        reputation = zone.reputation
        if reputation is None:
            return
        standings, listings = self.standings[name], self.listings[name]
        pools = sending_pools(zone)
        senders = _senders(zone)
        listings.keep(reputation, {address for host in senders for address in _egress(zone, host)})
        found = list(signs(zone, pools, self._counts, standings.since, now))
        for host in senders:
            found += listings.signs(zone.host_by_name[host], reputation)
        before = {key: one.action.kind for key, one in standings.known.items() if one.ended is None}
        standings.review(found, pools, now, self._share_of(name, now), self._is_ignored(name))
        act = self.mode(zone) == "act"
        for key, one in standings.known.items():
            ordered = act and one.action.kind == "quarantine"  # the order tells it
            if one.ended is None and before.get(key) != one.action.kind and not ordered:
                does = (
                    f"{one.action}"
                    if act or one.action.kind == "alert"
                    else f"would {one.action} (mode observe)"
                )
                self._tell((name, key.host), f"host {key.host}.{name}: {key.cause}: {one.why}: {does}")
        for key in before.keys() - {key for key, one in standings.known.items() if one.ended is None}:
            self._tell((name, key.host), f"host {key.host}.{name}: {key.cause}: over", logging.INFO)

    def _share_of(self, zone: str, now: float) -> Callable[[str, str], float]:
        def share(host: str, provider: str) -> float:
            tallies = self._counts.by_provider((zone, host), now - DAY, now)
            total = sum(tally.first for tally in tallies.values())
            return tallies[provider].first / total if total and provider in tallies else 0.0

        return share

    def _is_ignored(self, zone: str) -> Callable[[str, str], bool]:
        ignored = {(one.host, one.rule) for one in self.ignored}
        return lambda host, rule: ((zone, host), rule) in ignored or ((zone, host), None) in ignored

    # --- quarantines ------------------------------------------------------------------------------------

    def _mine(self) -> dict[HostKey, ForcedState]:
        return {
            host: one
            for host, one in self._cluster.forced.items()
            if one.forced is Forced.QUARANTINED and one.by_reputation
        }

    def _note_endings_by_hand(self, now: float) -> None:
        """Overrule what stands against hosts whose quarantine somebody has ended or replaced."""
        for host in self._imposed - self._mine().keys():
            standings = self.standings.get(host[0])
            reason = "its quarantine was ended by hand"
            # All that ask for it: else the next of them would bring it back.
            self.ignored += tuple(
                Ignored(host, rule, now + BY_HAND, REPUTATION, reason)
                for rule in dict.fromkeys(standings.quarantining(host[1]) if standings else ())
            )
        self._imposed &= self._mine().keys()

    async def _quarantine(self, judged: Mapping[str, Zone], now: float) -> None:
        wanted = {
            (name, host): (str(cause), one)
            for name, zone in judged.items()
            if self.mode(zone) == "act"
            for host, (cause, one) in self.standings[name].quarantines().items()
        }
        mine = self._mine()
        plan: dict[HostKey, ForcedState | None] = dict.fromkeys(mine.keys() - wanted.keys())
        for host, (cause, one) in wanted.items():
            known = self._cluster.forced.get(host)
            if known is None or (host in mine and known.badness != one.badness):
                since = now if known is None else known.since
                text = f"{cause}: {one.why}"[:500]
                plan[host] = ForcedState(Forced.QUARANTINED, text, REPUTATION, since, None, one.badness)
        for host, state in plan.items():
            why = "it is over" if state is None else state.reason
            await self._orders.apply(OverridePlan({host: state}), REPUTATION, why, dry_run=False, yes=True)
        self._imposed = set(self._mine())

    def _tell(self, host: HostKey, text: str, level: int = logging.WARNING) -> None:
        self._events.tell("reputation", text, level=level, zone=host[0], host=host[1])

    def _text(self) -> str:
        return text_of(
            Notes(
                {zone: one.known for zone, one in self.standings.items()},
                {zone: one.known for zone, one in self.listings.items()},
                self.ignored,
                self._modes,
            )
        )

    def alerts(self) -> Iterator[Alert]:
        for name in sorted(self.zones().keys() & self.standings.keys()):
            yield from list_alerts(name, self.listings[name])
            yield from standing_alerts(name, self.standings[name])


def sending_pools(zone: Zone) -> tuple[Pool, ...]:
    """Return the pools by whose hosts mail leaves."""
    return tuple(pool for pool in zone.pools if pool.mail != "in")


def _senders(zone: Zone) -> list[str]:
    return sorted({member.host for pool in sending_pools(zone) for member in pool.members})


def _egress(zone: Zone, host: str) -> Collection[Address]:
    known = zone.host_by_name[host]
    return known.egress or known.addresses
