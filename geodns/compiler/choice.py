"""Chooses the hosts that a pool deals in each family: its live ones, its fallbacks', or the last resort."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from itertools import chain as chain_of

from geodns.compiler.affinity import by_client
from geodns.compiler.dealt import Bounded, Ceilings, Dealt, bounded, without_bound
from geodns.compiler.live_set import Fitness, LiveSet
from geodns.model.base import FAMILIES, Family
from geodns.model.state import Forced
from geodns.model.zone import Member, Pool, Zone


class LastResort(StrEnum):
    """The hosts that a pool deals when nobody in its chain is live."""

    DOWN = "down"
    QUARANTINED = "quarantined"
    DRAINED = "drained"
    SERVFAIL = "servfail"


_RESORTS: tuple[tuple[LastResort, frozenset[Forced | None]], ...] = (
    # Down or shedding, or forced up with a factor of 0: the sender queues and tries again. Quarantined: its
    # mail might bounce. Drained: it may be under the knife. Forced down is in no row: that is an order.
    (LastResort.DOWN, frozenset({None, Forced.UP})),
    (LastResort.QUARANTINED, frozenset({Forced.QUARANTINED})),
    (LastResort.DRAINED, frozenset({Forced.DRAINED})),
)


@dataclass(frozen=True, slots=True)
class Deal:
    """The hosts that a pool deals now in answers of one type.

    Attributes:
        using: the pools dealt from, nearest first.
        last_resort: None while anybody in the chain is live, or where nobody has an address of the family.
        dealt: each host once.
        longest_ttl: seconds that an answer may be kept just now; None: nothing limits it.
        warmup: the hosts whose ceilings count here, dealt or not, each with what is left of its share.
        filled: whether those have all that their ceilings allow.
        rows: the hosts of each bucket of clients, as positions in `dealt`; empty: answers are dealt in turn.

    """

    pool: str
    using: tuple[str, ...] = ()
    last_resort: LastResort | None = None
    dealt: tuple[Dealt, ...] = ()
    longest_ttl: float | None = None
    warmup: Mapping[str, Fraction] = field(default_factory=dict)
    filled: bool = False
    rows: tuple[tuple[int, ...], ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dealt.host for dealt in self.dealt)

    @property
    def live(self) -> tuple[str, ...]:
        """The hosts dealt because they are live."""
        return self.hosts if self.last_resort is None else ()

    def ttl(self, zone: Zone, ceiling: int) -> int:
        """Return the TTL of an answer, where `ceiling` is that of its name when all is well."""
        if self.longest_ttl is None:
            return ceiling
        return min(ceiling, max(zone.min_ttl, int(self.longest_ttl)))

    def by_client(self, warming: Ceilings, answers: int) -> "Deal":
        """Return what is dealt where the pool picks by client."""
        found = by_client(Bounded(self.dealt, self.warmup, self.filled), warming, answers)
        return replace(self, dealt=found.dealt, warmup=found.warmup, rows=found.rows)

    def of_these(self, dealt: tuple[Dealt, ...], answers: int) -> "Deal":
        """Deal some of the hosts alone, none of which warms up."""
        some = replace(self, dealt=dealt, rows=())
        return some.by_client({}, answers) if self.rows and dealt else some


@dataclass(frozen=True, slots=True)
class Choice:
    """The hosts that a pool deals now.

    Attributes:
        answers: hosts in an answer, at most.
        families: A and AAAA, each judged by the addresses of its family alone.
        mx: the hosts that MX answers name.
        srv: likewise of SRV; its clients choose by the weights in it, so that these are never of buckets.

    """

    pool: str
    answers: int
    families: Mapping[str, Deal]
    mx: Deal
    srv: Deal

    def of(self, rtype: str) -> Deal:
        """Return what is dealt in answers of a type: A, AAAA, MX or SRV."""
        return self.srv if rtype == "SRV" else self.families.get(rtype, self.mx)

    @property
    def using(self) -> tuple[str, ...]:
        """The pools dealt from in any family."""
        return _once(self.mx.using, *(deal.using for deal in self.families.values()))

    @property
    def last_resort(self) -> LastResort | None:
        """The worst of the families'."""
        return max((deal.last_resort for deal in self.families.values()), key=_badness)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts dealt in any family."""
        return _once(self.mx.hosts, *(deal.hosts for deal in self.families.values()))

    @property
    def live(self) -> tuple[str, ...]:
        """The hosts dealt in any family because they are live there."""
        return _once(self.mx.live, *(deal.live for deal in self.families.values()))

    def ttl(self, zone: Zone, ceiling: int) -> int:
        """Return the shortest TTL of its families."""
        return min(deal.ttl(zone, ceiling) for deal in self.families.values())


def _once(*names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain_of.from_iterable(names)))


def _badness(resort: LastResort | None) -> int:
    return -1 if resort is None else list(LastResort).index(resort)


def own_using(zone: Zone, choice: Choice) -> tuple[str, ...]:
    """Return the pools that MX deals from, without the overflow of hosts that warm up."""
    overflow = zone.pool_by_name[choice.pool].overflow
    return tuple(name for name in choice.mx.using if name != overflow)


def choose(zone: Zone, pool: Pool, live: LiveSet) -> Choice:
    """Decide what a pool deals."""
    live = live.seen_by(pool)
    chain = zone.chain(pool.name)
    warming = live.warming(zone, pool)
    had = {family: _has(zone, chain, live, family) for family in FAMILIES}
    families: dict[str, Deal] = {
        # Where there is no host at all, as before a source has given its first, SERVFAIL is the answer.
        family: _deal(zone, pool, chain, live, family, warming)
        if had[family] or not any(had.values())
        else Deal(pool.name)
        for family in FAMILIES
    }
    mx = srv = _mx(zone, pool, chain, families, warming)
    if pool.pick == "client":
        families = {family: deal.by_client(warming, pool.answers) for family, deal in families.items()}
        mx = mx.by_client(warming, pool.answers)
    return Choice(pool.name, pool.answers, families, mx, srv)


def _has(zone: Zone, chain: tuple[Pool, ...], live: LiveSet, family: Family) -> bool:
    """Say whether anybody that the chain could deal has an address of a family; orders do not count."""
    return any(
        family in zone.host_by_name[member.host].by_family
        and (member.weight or live.weight(zone, member.host, member.weight))
        for link in chain
        for member in link.members
    )


def _deal(
    zone: Zone, pool: Pool, chain: tuple[Pool, ...], live: LiveSet, family: Family, warming: Ceilings
) -> Deal:
    """Decide what a pool deals in one family, by the addresses of that alone."""
    picked = _unique(_pick(zone, chain, live, family, warming))
    resort = None
    if not picked:
        resort, picked = _last_resort(zone, pool, chain, live, family)

    def dealt(entries: Iterable[_Picked]) -> list[Dealt]:
        return [
            Dealt(member.host, fitness.live, live.weight(zone, member.host, member.weight), fitness.factors)
            for _, member, fitness in entries
        ]

    waits = [fitness.seconds_to_fall for _, _, fitness in picked if fitness.seconds_to_fall is not None]
    policy = zone.check_policy_of(pool)
    if policy is not None and (resort is not None or any(name != pool.name for name, _, _ in picked)):
        waits.append(min(check.interval * check.rise for check in policy.checks))
    waiting = {entry.host: Fraction(0) for _, entry, _ in picked if entry.host in warming}
    within = bounded(dealt(picked), warming) if warming else Bounded(tuple(dealt(picked)))
    if warming and (resort is not None or within is None):
        over = _overflow(zone, chain, live, family, warming)
        if over:
            resort, picked = None, [*(picked if resort is None else ()), *over]
        elif within is None and pool.when_down == "serve-all":
            resort, picked = _with_warm(zone, chain, live, family, warming, picked)
        elif within is None:
            resort, picked = LastResort.SERVFAIL, []
        within = bounded(dealt(picked), warming, fill=bool(over) or within is None)
    using = tuple(dict.fromkeys(name for name, _, _ in picked))
    within = within or Bounded(warmup=waiting)
    waiting_for = min(waits, default=None)
    return Deal(pool.name, using, resort, within.dealt, waiting_for, within.warmup, within.filled)


def _mx(
    zone: Zone, pool: Pool, chain: tuple[Pool, ...], families: Mapping[str, Deal], warming: Ceilings
) -> Deal:
    """Return the hosts to name in MX: those live in any family; where there are none, the best last resort.

    A family that only fallbacks have does not count while the pool's own hosts have another with live hosts:
    its hosts would get mail of the other, too, while all is well.
    """
    own: set[str] = {family for member in pool.members for family in zone.host_by_name[member.host].by_family}
    dealing = {family: deal for family, deal in families.items() if deal.dealt}
    able = {family: deal for family, deal in dealing.items() if family in own or not own}
    alive = {family: deal for family, deal in dealing.items() if deal.last_resort is None}
    if alive and not alive.keys() & able.keys():
        able = alive
    if not able:
        return max(families.values(), key=lambda deal: (bool(deal.dealt), _badness(deal.last_resort)))
    best = min((deal.last_resort for deal in able.values()), key=_badness)
    joined = [deal for deal in able.values() if deal.last_resort == best]
    if len(joined) == 1:
        return joined[0]
    found: dict[str, Dealt] = {}
    for entry in map(without_bound, chain_of.from_iterable(deal.dealt for deal in joined)):
        known = found.get(entry.host)
        found[entry.host] = entry if known is None else _both(known, entry)
    reach = zone.reach(pool.name) if warming else chain
    order = dict.fromkeys(member.host for link in reach for member in link.members)
    dealt = [found[host] for host in order if host in found]
    within = bounded(dealt, warming) if warming else Bounded(tuple(dealt))
    if within is None:  # each family has enough that is warm, or enough ceilings; so should both
        return joined[0]
    waits = [deal.longest_ttl for deal in joined if deal.longest_ttl is not None]
    return Deal(
        pool.name,
        tuple(link.name for link in reach if any(link.name in deal.using for deal in joined)),
        best,
        within.dealt,
        min(waits, default=None),
        within.warmup,
    )


def _both(one: Dealt, other: Dealt) -> Dealt:
    """Return a host that both families deal, by the weight of its better one."""
    better = one if one.factors == other.factors or one.effective >= other.effective else other
    return Dealt(one.host, (*one.addresses, *other.addresses), better.weight, better.factors)


_Picked = tuple[str, Member, Fitness]
"""The pool that a host is dealt from, its membership there, and its fitness."""


def _pick(
    zone: Zone, chain: tuple[Pool, ...], live: LiveSet, family: Family, warming: Ceilings
) -> list[_Picked]:
    """Return the live hosts of the first pool; where they are too few, with its fallback's or these alone."""
    helpers: list[_Picked] = []
    for pool in reversed(chain):
        fit = _fit(zone, pool, live, family)
        if pool.fallback is None or _enough(zone, pool, live, family, fit, warming):
            helpers = fit
        elif pool.fallback_mode == "add" or not helpers:
            helpers = fit + helpers
    return helpers


def _fit(zone: Zone, pool: Pool, live: LiveSet, family: Family) -> list[_Picked]:
    """Return the live hosts of a pool."""
    policy = zone.check_policy_of(pool)
    able = [
        member
        for member in pool.members
        if family in zone.host_by_name[member.host].by_family
        and live.weight(zone, member.host, member.weight)
    ]
    judged = [
        (pool.name, member, live.fitness(zone, zone.host_by_name[member.host], policy, family))
        for member in able
    ]
    return [entry for entry in judged if entry[2].live and entry[2].factor]


def _enough(
    zone: Zone, pool: Pool, live: LiveSet, family: Family, fit: list[_Picked], warming: Ceilings
) -> bool:
    """Say whether the live hosts reach `min_live` of those with the family; none is never enough.

    Hosts that warm up count in neither, unless there are no others.
    """
    having = [member for member in pool.members if family in zone.host_by_name[member.host].by_family]
    if warming and any(member.host not in warming for member in having):
        having = [member for member in having if member.host not in warming]
        fit = [entry for entry in fit if entry[1].host not in warming]
    if not fit:
        return False
    if not pool.min_live.percent:
        return len(fit) >= min(pool.min_live.amount, len(having))

    def weight(members: Iterable[Member]) -> int:
        return sum(live.weight(zone, member.host, member.weight) for member in members)

    return weight(member for _, member, _ in fit) * 100 >= pool.min_live.amount * weight(having)


def _unique(picked: Iterable[_Picked]) -> list[_Picked]:
    """Keep each host once, from the nearest pool that has it."""
    hosts: dict[str, _Picked] = {}
    for entry in picked:
        hosts.setdefault(entry[1].host, entry)
    return list(hosts.values())


def _last_resort(
    zone: Zone, pool: Pool, chain: tuple[Pool, ...], live: LiveSet, family: Family
) -> tuple[LastResort, list[_Picked]]:
    """Return the hosts to deal, by plain weight, when nobody in the chain is live."""
    if pool.when_down == "servfail":
        return LastResort.SERVFAIL, []
    return next(_resorts(zone, chain, live, family), (LastResort.SERVFAIL, []))


def _resorts(
    zone: Zone, chain: tuple[Pool, ...], live: LiveSet, family: Family
) -> Iterator[tuple[LastResort, list[_Picked]]]:
    """Yield the hosts of each last resort that has any, the best first."""
    everybody = _unique(
        (link.name, member, Fitness(zone.host_by_name[member.host].by_family[family]))
        for link in chain
        for member in link.members
        if family in zone.host_by_name[member.host].by_family
        and live.weight(zone, member.host, member.weight)
    )
    for resort, forced in _RESORTS:
        if found := [one for one in everybody if live.forced.get((zone.name, one[1].host)) in forced]:
            yield resort, found


def _overflow(
    zone: Zone, chain: tuple[Pool, ...], live: LiveSet, family: Family, warming: Ceilings
) -> list[_Picked]:
    """Return the live warm hosts of the nearest overflow that has any, or else those of the chain."""
    for link in chain:
        over = zone.chain(link.overflow) if link.overflow else ()
        fit = _unique(_pick(zone, over, live, family, warming))
        if warm := [entry for entry in fit if entry[1].host not in warming]:
            return warm
    fit = _unique(entry for link in chain for entry in _fit(zone, link, live, family))
    return [entry for entry in fit if entry[1].host not in warming]


def _with_warm(
    zone: Zone,
    chain: tuple[Pool, ...],
    live: LiveSet,
    family: Family,
    warming: Ceilings,
    picked: list[_Picked],
) -> tuple[LastResort, list[_Picked]]:
    """Add warm hosts that are not live to those that warm up, which cannot take everything.

    Those of the chain; where it has none, its overflows' whose hosts are all out then.
    """
    over = tuple(one for link in chain if link.overflow for one in zone.chain(link.overflow))
    for links in (chain, over):
        for resort, found in _resorts(zone, links, live, family):
            if warm := [entry for entry in found if entry[1].host not in warming]:
                return resort, _unique([*picked, *warm])
    return LastResort.SERVFAIL, []


def shares(dealt: Sequence[Dealt]) -> dict[str, Fraction]:
    """Return each host's part of the answers."""
    total = sum((entry.portion for entry in dealt), Fraction(0))
    return {entry.host: entry.portion / total for entry in dealt}


def picks_by_chance(deal: Deal) -> dict[str, Fraction]:
    """Return each host's part of the picks of clients that take any host of an answer.

    It is the same as of the answers, but where buckets of clients have several hosts.
    """
    if not deal.rows:
        return shares(deal.dealt)
    hosts = deal.hosts
    found = dict.fromkeys(hosts, Fraction(0))
    for row, number in Counter(deal.rows).items():
        for host in row:
            found[hosts[host]] += Fraction(number, len(row) * len(deal.rows))
    return found
