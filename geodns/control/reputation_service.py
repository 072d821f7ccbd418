"""Judges hosts by rules and block lists, and does to them what follows: factors, bars, quarantines."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from fractions import Fraction
from typing import Literal

from geodns.config.times import timestamp
from geodns.control.alert_service import Alert
from geodns.control.block_list_service import BlockListService, senders, sending_pools, sources_of
from geodns.control.cluster import Cluster
from geodns.control.order_service import OrderService
from geodns.control.orders import OverridePlan
from geodns.control.persistence import Persistence
from geodns.control.program_orders import Effect, Leading, order_id
from geodns.control.reputation_alerts import changes, list_alerts, standing_alerts
from geodns.control.reputation_notes import Ignored, ModeOrder, Notes, notes_of, text_of
from geodns.control.wall_clock import WallClock
from geodns.control.worker_service import WorkerService
from geodns.errors import NotFoundError, UsageError
from geodns.model.limits import MAX_REASON
from geodns.model.mail import MailCounts
from geodns.model.reputation import Reputation
from geodns.model.state import REPUTATION, Forced, ForcedState, HostKey
from geodns.model.zone import Zone
from geodns.signals.listings import Listings, ListState
from geodns.signals.reputation import Cause, Standings
from geodns.signals.reputation_rules import BUILT_IN, DAY, Judging, Sign
from geodns.storage.event_log import EventLog

log = logging.getLogger(__name__)

NOTE = "reputation"
"""Name of the note that keeps all this over a restart."""
REVIEW_EVERY = 10.0
LOOK_EVERY = 0.2
BADNESS_STEP = 5.0
"""By how much a host must have become better or worse for its quarantine to be ordered anew."""
BY_HAND = 12 * 3600.0
"""Seconds for which a quarantine that somebody has ended by hand is not given again."""


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
        notes = notes_of(persistence.note(NOTE))
        self.standings = {zone: Standings(known) for zone, known in notes.standings.items()}
        self.listings = {zone: Listings(dict(known)) for zone, known in notes.listings.items()}
        self._lists = BlockListService(self.zones, self.listings, self._review_now)
        self.ignored: tuple[Ignored, ...] = notes.ignored
        self._modes: dict[str, ModeOrder] = dict(notes.modes)
        self._leading: Leading | None = None
        self._imposed = set(self._mine())
        self._reviewing = asyncio.Lock()

    def lead_by(self, leading: Leading) -> None:
        """Give orders only where this server's programs do."""
        self._leading = leading

    # --- what others ask --------------------------------------------------------------------------------

    def zones(self) -> dict[str, Zone]:
        """Return the zones that are judged."""
        return {name: zone for name, zone in self._cluster.zones.items() if zone.reputation is not None}

    def mode(self, zone: Zone) -> Literal["observe", "act"]:
        """Return what holds now: an order's mode, else the file's."""
        order = self.mode_order(zone.name)
        if order is not None:
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
        led = self._led()
        if led is None:
            return standings.barred(host[1])
        return dict(led[host].bars) if host in led else {}

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
        return host in self._quarantined() and host not in self._cluster.held_back

    # --- what on call orders ----------------------------------------------------------------------------

    async def ignore(self, host: HostKey, rule: str | None, seconds: float, author: str, reason: str) -> None:
        """Overrule a rule or list for a host, or all of them (None), for so long; 0 ends that.

        A list with a key in its zone may be named by its `zone_file` alone.

        Raises:
            NotFoundError: there is no such zone, or neither a rule nor a list of that name.
            UsageError: the zone's file says nothing of reputation.

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
        text = f"host {host[1]}.{host[0]}: {what} {until} by {author} ({reason or 'no reason'})"
        self._events.tell("reputation", text, zone=host[0], host=host[1], author=author, reason=reason)
        await self._overruled()

    async def set_mode(
        self, zone: str, mode: Literal["observe", "act"], seconds: float, author: str, reason: str
    ) -> None:
        """Override a zone's mode for so long; 0 ends that.

        Raises:
            NotFoundError: there is no such zone.
            UsageError: its file says nothing of reputation.

        """
        self._judged(zone)
        self._modes.pop(zone, None)
        lasts = "of the zone file again"
        if seconds:
            self._modes[zone] = ModeOrder(mode, time.time() + seconds, author, reason)
            lasts = f"{mode} until {timestamp(time.time() + seconds)}"
        text = f"zone {zone}: reputation mode {lasts} by {author} ({reason or 'no reason'})"
        self._events.tell("reputation", text, zone=zone, author=author, reason=reason)
        await self._overruled()

    async def _overruled(self) -> None:
        """Let an order have effect; return once it is on disk, or cannot be."""
        await self._review_now()
        self._persistence.keep_note(NOTE, self._text())  # also while the clock lets no review be
        await self._persistence.written()

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

    # --- running ----------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Ask the lists and review the hosts, for ever."""
        reviewed = 0.0
        while True:
            self._lists.start(time.monotonic())
            if time.monotonic() - reviewed >= REVIEW_EVERY:
                reviewed = time.monotonic()
                await self._review_now()
            await asyncio.sleep(LOOK_EVERY)

    async def close(self) -> None:
        await self._lists.close()

    # --- the review -------------------------------------------------------------------------------------

    async def _review_now(self) -> None:
        """Judge all hosts by what is known, and let it have effect."""
        async with self._reviewing:  # one that gives orders must not take another's for an operator's
            if self._clock.steady:  # else ages would be wrong
                await self._review_all(time.time())

    def resume(self) -> None:
        """Let what stood before a restart have effect, before the first answer."""
        self._cluster.set_reputation(self._factors(time.time()))
        self._cluster.set_bars(self._bars())

    def _factors(self, now: float) -> dict[HostKey, Fraction]:
        """Return what reputation leaves of hosts' weights in mode act."""
        led = self._led()
        if led is not None:
            acting = {name for name, zone in self.zones().items() if self.mode(zone) == "act"}
            return {host: one.factor for host, one in led.items() if host[0] in acting and one.factor < 1}
        return self._own_factors(now)

    def _led(self) -> Mapping[HostKey, Effect] | None:
        """Return what another server of the group says that holds; None: this one's own standings do."""
        return None if self._leading is None or self._leading.leads else self._leading.effects()

    def _tell(self, now: float) -> None:
        """Tell the others what holds, where this server gives orders."""
        if self._leading is None or not self._leading.leads:
            return
        factors = self._own_factors(now)
        bars = {
            (name, host): found
            for name, zone in self.zones().items()
            for host in zone.host_by_name
            if (found := self.barred((name, host)))
        }
        one = Fraction(1)
        self._leading.tell_effects(
            {host: Effect(factors.get(host, one), bars.get(host, {})) for host in {**factors, **bars}}
        )

    def _own_factors(self, now: float) -> dict[HostKey, Fraction]:
        return {
            (name, host): factor
            for name, zone in self.zones().items()
            if self.mode(zone) == "act" and name in self.standings
            for host in zone.host_by_name
            if (factor := self.standings[name].factor(host, now)) < 1
        }

    def _bars(self) -> dict[HostKey, frozenset[str]]:
        """Return the providers that bar each host in mode act: routes deal it none of their mail."""
        return {
            (name, host): frozenset(barred)
            for name, zone in self.zones().items()
            for host in zone.host_by_name
            if (barred := self.barred((name, host)))
        }

    async def _review_all(self, now: float) -> None:
        self.ignored = tuple(one for one in self.ignored if one.until > now)
        self._modes = {name: one for name, one in self._modes.items() if one.until > now}
        judged = self.zones()
        # What is known of a zone whose file cannot be served just now is kept.
        ended = self._cluster.zones.keys() - judged.keys()
        self.standings = {name: one for name, one in self.standings.items() if name not in ended}
        for name in ended & self.listings.keys():
            del self.listings[name]
        for name in judged:
            self.standings.setdefault(name, Standings({}))
            self.listings.setdefault(name, Listings())
        self._note_endings_by_hand(now)
        for name, zone in judged.items():
            await self._review(name, zone, now)
        self._tell(now)
        lowered, barred = (
            self._cluster.set_reputation(self._factors(now)),
            self._cluster.set_bars(self._bars()),
        )
        if lowered or barred:
            await self._workers.publish()
        self._persistence.keep_note(NOTE, self._text())  # first: orders write it along with theirs
        await self._quarantine(judged, now)

    async def _review(self, name: str, zone: Zone, now: float) -> None:
        reputation = zone.reputation
        if reputation is None:
            return
        standings, listings = self.standings[name], self.listings[name]
        pools = sending_pools(zone)
        listings.keep(reputation, sources_of(zone))
        found = await _judged(Judging(zone, pools, self._counts, standings.since, now))
        for host in senders(zone):
            found += listings.signs(zone.host_by_name[host], reputation)
        before = {key: one.action.kind for key, one in standings.known.items() if one.ended is None}
        standings.review(found, pools, now, self._share_of(name, now), self._is_ignored(name))
        for one in changes(name, before, standings, act=self.mode(zone) == "act"):
            alone = one.hosts[0] if len(one.hosts) == 1 else None
            self._events.tell("reputation", one.text, level=one.level, zone=name, host=alone)

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

    def _quarantined(self) -> dict[HostKey, ForcedState]:
        return {
            host: one
            for host, one in self._cluster.forced.items()
            if one.forced is Forced.QUARANTINED and one.by_reputation
        }

    def _mine(self) -> dict[HostKey, ForcedState]:
        """Return the quarantines of this server's judgement; another one's are for that to end.

        In a group all judge by the same counts, and whoever gives orders takes over what was ordered.
        """
        found = self._quarantined()
        if self._leading is not None:
            return found
        return {host: one for host, one in found.items() if not self._orders.is_of_another(host)}

    def _note_endings_by_hand(self, now: float) -> None:
        """Overrule what stands against hosts whose quarantine somebody has ended or replaced."""
        for host in self._imposed - self._quarantined().keys():
            if self._orders.ended_by(host) == REPUTATION:
                continue  # by the judgement of another server of the group
            standings = self.standings.get(host[0])
            reason = "its quarantine was ended by hand"
            # All that ask for one: else the next does the same again at once.
            rules = standings.quarantining(host[1]) if standings else ()
            self.ignored += tuple(Ignored(host, rule, now + BY_HAND, REPUTATION, reason) for rule in rules)
        self._imposed &= self._mine().keys()

    async def _quarantine(self, judged: Mapping[str, Zone], now: float) -> None:
        if self._leading is not None and not self._leading.leads:
            self._imposed = set(self._mine())
            return
        wanted = {
            (name, host): (str(cause), one)
            for name, zone in judged.items()
            if self.mode(zone) == "act"
            for host, (cause, one) in self.standings[name].quarantines().items()
            if host in zone.host_by_name
        }
        mine = self._mine()
        plan: dict[HostKey, ForcedState | None] = {
            host: None for host in mine.keys() - wanted.keys() if host[0] in self._cluster.zones
        }
        for host, (cause, one) in wanted.items():
            known = self._cluster.forced.get(host)
            if known is None or (host in mine and _differs(known, cause, one.badness)):
                since = now if known is None else known.since
                text = f"{cause}: {one.why}"[:MAX_REASON]
                plan[host] = ForcedState(Forced.QUARANTINED, text, REPUTATION, since, None, one.badness)
        for host, state in plan.items():
            why = "it is over" if state is None else state.reason
            rule = "it is over" if state is None else wanted[host][0]
            name = order_id(rule, host, now, self._orders.counter(host))
            plan_ = OverridePlan({host: state})
            await self._orders.apply(plan_, REPUTATION, why, dry_run=False, yes=True, id=name)
        self._imposed = set(self._mine())

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
            yield from list_alerts(
                name, self.listings.get(name) or Listings()
            )  # none before the first review
            yield from standing_alerts(name, self.standings[name])


async def _judged(judging: Judging) -> list[Sign]:
    """Return the signs of all hosts; each of many takes milliseconds, and what else is under way goes on."""
    for host in judging.hosts:
        judging.read(host)
        await asyncio.sleep(0)
    found: list[Sign] = []
    for host in judging.hosts:
        found += judging.signs(host)
        await asyncio.sleep(0)
    return found


def _differs(known: ForcedState, cause: str, badness: float) -> bool:
    """Whether an order says something else than it should; rates move a little at each review."""
    moved = abs((known.badness or 0.0) - badness) >= BADNESS_STEP
    return moved or not known.reason.startswith(f"{cause}: ")
