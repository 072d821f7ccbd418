"""Holds the running state: zones, verdicts, overrides, and the Table compiled of them.

Each change recompiles only what it touches. Pure: services bring changes and publish the Table that results.
"""

from collections.abc import Collection, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TypeVar

from geodns.compiler.answers import Source
from geodns.compiler.compile import (
    Compiled,
    pools_by_host,
    recompile_pools,
    set_bars,
    set_caps,
    set_views,
)
from geodns.compiler.live_set import LiveSet
from geodns.compiler.views import ZoneViews
from geodns.control.overriding import Overriding, Recompiled
from geodns.control.zone_changes import newcomers
from geodns.errors import NotFoundError
from geodns.model.base import Address, Family
from geodns.model.checks import Target
from geodns.model.hosts import Load
from geodns.model.state import (
    NOT_LIVE,
    Forced,
    ForcedState,
    ForcedWeight,
    HealthState,
    HostKey,
    HostSince,
    PoolKey,
    RetiredHost,
    Verdict,
)
from geodns.model.zone import Zone
from geodns.responder.answer_policy import DEFAULT, Policy
from geodns.signals.host_load import Loads
from geodns.signals.quarantine_limit import QuarantineRequest, held_back
from geodns.signals.slow_start import SlowStart

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transition:
    """A host's change of state."""

    host: HostKey
    before: HealthState
    after: HealthState


_Place = tuple[HostKey, str, Address, int]
"""Host, name of a check, and where that connects to."""


def _place(host: HostKey, target: Target) -> _Place:
    return host, target.check.name, target.address, target.port


class Cluster:
    """The zones that are served and the state of their hosts.

    Attributes:
        compiled: from all below; its Table is served.
        forced: states that operators or programs force.
        weights: weights that operators force.
        newcomers: hosts that wait for their first good probe.
        since: each host's state and when it began.
        retired: hosts that left the file and still answer for their own names.
        held_back: quarantines by programs that are not in force, and why.
        slow_start: hosts that came back from down and rise to their weight.
        half_dead: live hosts that are not live in one family, and their states there.
        reputation: what reputation leaves of hosts' weights; never 1.
        ceilings: the largest shares of hosts that warm up.
        bars: the providers that bar each host.
        caps: the providers that may send each host that warms up a part of its mail alone.

    """

    def __init__(
        self,
        verdicts: Mapping[Target, Verdict],
        forced: Mapping[HostKey, ForcedState],
        since: Mapping[HostKey, HostSince],
        retired: Mapping[HostKey, RetiredHost],
        returned: Mapping[HostKey, float] = MappingProxyType({}),
        weights: Mapping[HostKey, ForcedWeight] = MappingProxyType({}),
    ) -> None:
        self.verdicts = dict(verdicts)
        self.compiled = Compiled()
        self.forced = dict(forced)
        self.weights = dict(weights)
        self.newcomers: frozenset[HostKey] = frozenset()
        self.since = dict(since)
        self.retired = dict(retired)
        self.slow_start = SlowStart(returned)
        self.loads = Loads()
        self.held_back: dict[HostKey, str] = {}
        self.half_dead: dict[HostKey, dict[Family, HealthState]] = {}
        self.reputation: dict[HostKey, Fraction] = {}
        self.ceilings: dict[HostKey, Fraction] = {}
        self.bars: dict[HostKey, frozenset[str]] = {}
        self.caps: dict[HostKey, frozenset[str]] = {}
        self._awaited: frozenset[HostKey] = frozenset()
        """Hosts added while running, until they are up for the first time."""
        self._policy = DEFAULT
        self._hosts_by_target: dict[Target, tuple[HostKey, ...]] = {}
        self._pools_by_host: dict[HostKey, frozenset[PoolKey]] = {}

    @property
    def sources(self) -> Mapping[str, Source]:
        """The zones that are served, with serials and retired hosts."""
        return self.compiled.sources

    @property
    def zones(self) -> dict[str, Zone]:
        return {name: source.zone for name, source in self.compiled.sources.items()}

    @property
    def targets(self) -> Collection[Target]:
        return self._hosts_by_target.keys()

    def hosts_of(self, target: Target) -> tuple[HostKey, ...]:
        return self._hosts_by_target.get(target, ())

    def in_force(self, forced: Mapping[HostKey, ForcedState]) -> dict[HostKey, Forced]:
        """Return the forced states without the quarantines on hold."""
        return _without(forced, self.quarantines_on_hold(forced))

    def quarantines_on_hold(
        self, forced: Mapping[HostKey, ForcedState], verdicts: Mapping[Target, Verdict] | None = None
    ) -> dict[HostKey, str]:
        """Return the quarantines by programs that would take out too many hosts, and why each waits.

        Args:
            forced: all forced states.
            verdicts: to judge by; None: those of now.

        """
        wanted = {
            host: QuarantineRequest(one.badness, one.since, sending=one.by_reputation)
            for host, one in forced.items()
            if one.badness is not None
        }
        if not wanted:
            return {}
        zones = self.zones
        unforced = LiveSet(self.verdicts if verdicts is None else verdicts)

        def is_out(host: HostKey) -> bool:
            state = forced.get(host)
            if state is not None and state.badness is None:
                return state.forced is not Forced.UP
            zone = zones.get(host[0])
            if zone is None or host[1] not in zone.host_by_name:
                return True
            known = zone.host_by_name[host[1]]
            return host in self.newcomers or unforced.host_state(zone, known) in NOT_LIVE

        return held_back(zones, wanted, is_out)

    def live(self) -> LiveSet:
        self.held_back = self.quarantines_on_hold(self.forced)
        return self._live(dict(self.verdicts), self.held_back)

    def live_if(self, verdicts: Mapping[Target, Verdict], weights: Mapping[HostKey, int]) -> LiveSet:
        """Return the live set as it were with some other verdicts and forced weights."""
        found = {**self.verdicts, **verdicts}
        live = self._live(found, self.quarantines_on_hold(self.forced, found))
        return replace(live, weights={**live.weights, **weights})

    def _live(self, verdicts: Mapping[Target, Verdict], held_back: Collection[HostKey]) -> LiveSet:
        return LiveSet(
            verdicts,
            _without(self.forced, held_back),
            self.newcomers,
            self._factors(),
            {host: forced.weight for host, forced in self.weights.items()},
            self.ceilings,
            judged_of(self.forced),
        )

    def _factors(self) -> dict[HostKey, dict[str, Fraction]]:
        found = {host: {"slowstart": share} for host, share in self.slow_start.shares.items()}
        for host, factor in self.loads.factors.items():
            found.setdefault(host, {})["load"] = factor
        for host, factor in self.reputation.items():
            found.setdefault(host, {})["reputation"] = factor
        return found

    def zone(self, name: str) -> Zone:
        """Return a zone that is served; raise NotFoundError where none of that name is."""
        source = self.sources.get(name)
        if source is None:
            raise NotFoundError(f"no zone {name} is served; there are {', '.join(self.sources) or 'none'}")
        return source.zone

    # --- zones ------------------------------------------------------------------------------------------

    def serve_zones(self, compiled: Compiled, now: float) -> list[Transition]:
        """Serve other zones; return the hosts' changes of state.

        Args:
            compiled: by `compile_zones`, perhaps in another thread and a moment ago: the choices are made
                anew, by the verdicts and overrides of now.
            now: seconds since the epoch.

        """
        before, by_place = self.compiled, self._verdicts_by_place()
        same = (name for name, one in compiled.sources.items() if _is_same(before.sources.get(name), one))
        # The clients of zones that stay are dealt as they are by now, too.
        kept = set_views(compiled, {name: before.views[name] for name in same})
        self.compiled = _with_policy(set_caps(set_bars(kept, self.bars), self.caps), self._policy)
        self._index()
        hosts = self._pools_by_host.keys()
        self.verdicts = {
            target: known
            for target, keys in self._hosts_by_target.items()
            for known in (self.verdicts.get(target) or _first_verdict(by_place, target, keys),)
            if known is not None
        }
        new = newcomers(before.sources, compiled.sources)
        self._awaited = (self._awaited | (new - self.since.keys())) & hosts
        waiting = (self.newcomers | new) & hosts
        self.newcomers = frozenset(host for host in waiting if not self._is_known(host))
        self.since = {host: since for host, since in self.since.items() if host in hosts}
        self.half_dead = {host: dead for host, dead in self.half_dead.items() if host in hosts}
        self.slow_start.end(self.slow_start.since.keys() - hosts)
        self.slow_start.rise(self._length, now)
        self._note_returns(hosts, now)
        self.loads.keep(_loads(compiled.sources))
        self.compiled = recompile_pools(self.compiled, compiled.choices.keys(), self.live())
        return self._note_states(hosts, now)

    def set_views(self, views: Mapping[str, ZoneViews]) -> bool:
        """Deal the clients of some zones otherwise; return whether that changes anything."""
        before, self.compiled = self.compiled, set_views(self.compiled, views)
        return self.compiled is not before

    def set_policy(self, policy: Policy) -> None:
        """Answer by another policy; it also holds for zones that a thread compiles just now."""
        self._policy = policy
        if self.sources:  # else there is nothing to answer yet
            self.compiled = _with_policy(self.compiled, policy)

    def _verdicts_by_place(self) -> dict[_Place, Verdict]:
        """Return the verdicts by what an edit of a check leaves as it is: a host that is down stays down."""
        return {
            _place(host, target): self.verdicts[target]
            for target, hosts in self._hosts_by_target.items()
            if target in self.verdicts
            for host in hosts
        }

    def _index(self) -> None:
        hosts: dict[Target, dict[HostKey, None]] = {}
        pools: dict[HostKey, frozenset[PoolKey]] = {}
        for name, source in self.sources.items():
            for host, touched in pools_by_host(source.zone).items():
                pools[name, host] = touched
            for host, addresses in source.zone.targets_by_host.items():
                for targets in addresses.values():
                    for target in targets:
                        hosts.setdefault(target, {})[name, host] = None
        self._hosts_by_target = {target: tuple(keys) for target, keys in hosts.items()}
        self._pools_by_host = pools

    # --- hosts ------------------------------------------------------------------------------------------

    def apply_verdicts(
        self, verdicts: Mapping[Target, Verdict], now: float, skip_slow_start: Collection[Target] = ()
    ) -> list[Transition]:
        """Take new verdicts; return the hosts' changes of state.

        Args:
            verdicts: the new ones alone.
            now: seconds since the epoch.
            skip_slow_start: targets whose hosts get their whole weight at once if they come back.

        """
        self.verdicts.update(verdicts)
        hosts = {host for target in verdicts for host in self.hosts_of(target)}
        at_once = {host for target in skip_slow_start for host in self.hosts_of(target)}
        self._note_returns(hosts, now, at_once)
        self.newcomers -= {host for host in hosts & self.newcomers if self._is_known(host)}
        self._recompile(hosts)
        return self._note_states(hosts, now)

    def advance_weights(self, now: float, clock: float) -> bool:
        """Move the weights of hosts in slow start or with a load; return whether any has changed.

        Args:
            now: seconds since the epoch.
            clock: seconds of the monotonic clock.

        """
        moved = {*self.slow_start.rise(self._length, now), *self.loads.step(clock)}
        self._recompile(moved)
        return bool(moved)

    def set_reputation(self, factors: Mapping[HostKey, Fraction]) -> bool:
        """Take what reputation leaves of hosts' weights; return whether any has changed."""
        before, self.reputation = self.reputation, dict(factors)
        hosts = before.keys() | factors.keys()
        moved = {host for host in hosts if before.get(host) != factors.get(host)}
        self._recompile(moved)
        return bool(moved)

    def set_bars(self, bars: Mapping[HostKey, frozenset[str]]) -> bool:
        """Let providers bar these hosts, and no others; return whether routes deal otherwise for it."""
        self.bars = dict(bars)
        before, self.compiled = self.compiled.table, set_bars(self.compiled, self.bars)
        return self.compiled.table is not before

    def set_caps(self, caps: Mapping[HostKey, frozenset[str]]) -> bool:
        """Let providers send these hosts, and no others, a part of their mail alone; return as `set_bars`."""
        self.caps = dict(caps)
        before, self.compiled = self.compiled.table, set_caps(self.compiled, self.caps)
        return self.compiled.table is not before

    def bound(self, ceilings: Mapping[HostKey, Fraction]) -> bool:
        """Bound the shares of hosts that warm up, and of no others; return whether any bound has changed."""
        moved = {
            host
            for host in ceilings.keys() | self.ceilings.keys()
            if ceilings.get(host) != self.ceilings.get(host)
        }
        if moved:
            self.ceilings = dict(ceilings)
            self._recompile(moved)
        return bool(moved)

    @property
    def warmup_factors(self) -> dict[HostKey, Fraction]:
        """What ceilings leave of the shares of hosts that warm up, at the least over pools and families."""
        found: dict[HostKey, Fraction] = {}
        for (zone, _), choice in self.compiled.choices.items() if self.ceilings else ():
            for deal in (*choice.families.values(), choice.mx):
                for host, left in deal.warmup.items():
                    found[zone, host] = min(left, found.get((zone, host), left))
        return found

    def _note_returns(self, hosts: Iterable[HostKey], now: float, at_once: Collection[HostKey] = ()) -> None:
        """Begin the slow start of hosts that come back from down or are new, but for those `at_once`."""
        for host in hosts:
            known = self.since.get(host)
            was_down = known is not None and known.state is HealthState.DOWN
            if not (was_down or host in self._awaited or host in self.slow_start.since):
                continue
            state = self.state_of(host)
            forced = self.forced.get(host)
            if state is HealthState.DOWN:
                self.slow_start.end([host])
            elif forced is not None and forced.forced is Forced.UP:
                pass  # it has been dealt all the while
            elif host not in at_once and (was_down or (host in self._awaited and state is HealthState.UP)):
                self.slow_start.begin(host, self._length(host), now)
            if state is HealthState.UP:
                self._awaited -= {host}

    def _length(self, host: HostKey) -> float:
        """Return how many seconds a host's slow start takes: the longest that a check of it says."""
        policies = self.sources[host[0]].zone.check_policies_by_host[host[1]]
        return max((check.slowstart for policy in policies if policy for check in policy.checks), default=0.0)

    def force(self, host: HostKey, state: ForcedState | None) -> None:
        """Override one host's state; None ends it."""
        self.override({host: state}, {})

    def override(
        self,
        forced: Mapping[HostKey, ForcedState | None],
        weights: Mapping[HostKey, ForcedWeight | None],
        ready: Recompiled | None = None,
    ) -> None:
        """Override states and weights of hosts, or end overrides (None), all in one recompilation.

        Args:
            forced: by host.
            weights: by host.
            ready: made of these by `overriding`; where all else is as it was then, nothing is compiled anew.

        """
        self.forced = with_changes(self.forced, forced)
        self.weights = with_changes(self.weights, weights)
        self._recompile(forced.keys() | weights.keys(), ready)

    def overriding(
        self, forced: Mapping[HostKey, ForcedState | None], weights: Mapping[HostKey, ForcedWeight | None]
    ) -> Overriding:
        """Begin what `override` would come to, for another thread to work out."""
        after = with_changes(self.forced, forced)
        held_back = self.quarantines_on_hold(after)
        live = replace(
            self._live(dict(self.verdicts), held_back),
            forced=_without(after, held_back),
            weights={host: one.weight for host, one in with_changes(self.weights, weights).items()},
            judged=judged_of(after),
        )
        touched = {*forced, *weights, *(self.held_back.keys() ^ held_back.keys())}
        return Overriding(self.compiled, self.pools_of(touched), live)

    def snapshot(self) -> "Cluster":
        """Return the state of now for another thread to look hosts up in; it changes no more with edits."""
        found = copy(self)
        found.verdicts = dict(self.verdicts)
        return found

    def state_of(self, host: HostKey) -> HealthState:
        """Return a host's state by its probes, without overrides."""
        return max(self.family_states(host).values(), key=lambda state: state.rank)

    def family_states(self, host: HostKey) -> dict[Family, HealthState]:
        """Return a host's state in each family, by its probes."""
        zone = self.sources[host[0]].zone
        return LiveSet(self.verdicts).family_states(zone, zone.host_by_name[host[1]])

    def _is_known(self, host: HostKey) -> bool:
        addresses = self.sources[host[0]].zone.targets_by_host[host[1]].values()
        unknown = Verdict()
        return all(
            self.verdicts.get(target, unknown).state is not HealthState.UNKNOWN
            for targets in addresses
            for target in targets
        )

    def pools_of(self, hosts: Iterable[HostKey]) -> frozenset[PoolKey]:
        """Return the pools that these hosts can change, those whose fallback has them included."""
        return frozenset(pool for host in hosts for pool in self._pools_by_host.get(host, ()))

    def _recompile(self, hosts: Iterable[HostKey], ready: Recompiled | None = None) -> None:
        before, live = self.held_back, self.live()
        if ready is not None and ready.before is self.compiled and ready.live == live:
            self.compiled = ready.after
            return
        touched = {*hosts, *(before.keys() ^ self.held_back.keys())}
        self.compiled = recompile_pools(self.compiled, self.pools_of(touched), live)

    def _note_states(self, hosts: Iterable[HostKey], now: float) -> list[Transition]:
        found = []
        for host in hosts:
            states = self.family_states(host)
            state = max(states.values(), key=lambda state: state.rank)
            self._note_families(host, state, states)
            known = self.since.get(host)
            if known is None or known.state != state:
                self.since[host] = HostSince(state, now)
                if known is not None:
                    found.append(Transition(host, known.state, state))
        return found

    def _note_families(self, host: HostKey, state: HealthState, states: Mapping[Family, HealthState]) -> None:
        dead = {family: one for family, one in states.items() if one in NOT_LIVE}
        if dead and state not in NOT_LIVE:
            self.half_dead[host] = dead
        else:
            self.half_dead.pop(host, None)


def with_changes(before: Mapping[HostKey, T], changes: Mapping[HostKey, T | None]) -> dict[HostKey, T]:
    """Return overrides with some changed; None ends one."""
    after = {host: one for host, one in before.items() if host not in changes}
    return after | {host: one for host, one in changes.items() if one is not None}


def judged_of(forced: Mapping[HostKey, ForcedState]) -> frozenset[HostKey]:
    """Return the hosts that are quarantined for their reputation."""
    return frozenset(host for host, one in forced.items() if one.by_reputation)


def _without(forced: Mapping[HostKey, ForcedState], held_back: Collection[HostKey]) -> dict[HostKey, Forced]:
    return {host: state.forced for host, state in forced.items() if host not in held_back}


def _with_policy(compiled: Compiled, policy: Policy) -> Compiled:
    return replace(compiled, table=replace(compiled.table, policy=policy))


def _is_same(before: Source | None, after: Source) -> bool:
    """Say whether the zone is the same, whatever became of hosts that have retired."""
    return before is not None and before.zone is after.zone


def _loads(sources: Mapping[str, Source]) -> dict[HostKey, Load]:
    return {
        (name, host.name): host.load
        for name, source in sources.items()
        for host in source.zone.hosts
        if host.load is not None
    }


def _first_verdict(
    verdicts: Mapping[_Place, Verdict], target: Target, hosts: Iterable[HostKey]
) -> Verdict | None:
    return next((known for host in hosts if (known := verdicts.get(_place(host, target)))), None)


def source_of(zone: Zone, serial: int, retired: Mapping[HostKey, RetiredHost]) -> Source:
    """Return a zone with its serial and retired hosts."""
    hosts = tuple(one.host for key, one in retired.items() if key[0] == zone.name)
    return Source(zone, serial, hosts)
