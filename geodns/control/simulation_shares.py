"""Makes shares of simulated queries that were counted: by host, rule, pool and arm, TTLs, ceilings."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from geodns.compiler.choice import Deal, LastResort
from geodns.compiler.compile import Compiled
from geodns.compiler.live_set import LiveSet
from geodns.compiler.static import with_helper
from geodns.control.sample_clients import SampleClients
from geodns.model.zone import Tier
from geodns.responder.table import Part, Rotation, RotationKey, ViewKey
from geodns.wire.records import ttl_of


class HostShare(NamedTuple):
    """A host's part of the answers to all queries of one name and type.

    Attributes:
        rank: the MX preference or SRV priority at which it is named; else 0.
        answers: the part of them that name it.
        first: the part whose first record of that rank is its own; of SRV, by weight.
        uniform: the part of clients that take one of the set by chance; of SRV, by weight.

    """

    host: str
    rank: int
    answers: Fraction
    first: Fraction
    uniform: Fraction


class RuleShare(NamedTuple):
    """The part of the queries that a rule is for.

    Attributes:
        number: its place in the list from 1; the last pool's is one more than there are rules.
        when: its conditions in words; empty: for whoever is left.
        pool: before any experiment.

    """

    rank: int
    number: int
    when: str
    pool: str
    share: Fraction


class PoolShare(NamedTuple):
    """The part of the queries that come to a pool, and what that deals."""

    rank: int
    pool: str
    share: Fraction
    using: tuple[str, ...]
    last_resort: LastResort | None


class ArmShare(NamedTuple):
    """The part of the queries in an experiment's arm; `failover`: that deal the first arm's pool instead."""

    arm: str
    share: Fraction
    failover: Fraction


class CeilingShare(NamedTuple):
    """The largest share that a host which warms up may have, and the one that it gets."""

    host: str
    ceiling: Fraction
    share: Fraction

    @property
    def passed(self) -> bool:
        return self.share > self.ceiling


@dataclass(frozen=True, slots=True)
class SimulatedName:
    """The fate of the queries for one name and type; shares are of these.

    Attributes:
        sample: the clients, where none were given.
        ttls: the shortest and the longest of what is dealt; None: nothing is.
        last_resort: the part that is dealt hosts that are not live.

    """

    name: str
    type: str
    zone: str
    queries: int
    sample: SampleClients | None
    ttls: tuple[int, int] | None
    servfail: Fraction
    nodata: Fraction
    last_resort: Fraction
    hosts: tuple[HostShare, ...]
    rules: tuple[RuleShare, ...]
    pools: tuple[PoolShare, ...]
    arms: tuple[ArmShare, ...]
    ceilings: tuple[CeilingShare, ...]


@dataclass(slots=True)
class QueryTally:
    """The queries of one name and type, counted.

    Attributes:
        rotations: by the rotation that they are dealt from; None: NODATA.
        buckets: by rotation and part that pick by client, and the place in its index.
        rules: for each tier, by the place of the rule.

    """

    rotations: Counter[RotationKey | None] = field(default_factory=Counter)
    buckets: dict[tuple[RotationKey, int], Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    rules: list[Counter[int]] = field(default_factory=list)


class ShareMaker:
    """Makes shares of what was counted."""

    def __init__(
        self,
        compiled: Compiled,
        live: LiveSet,
        key: RotationKey | ViewKey,
        tiers: tuple[Tier, ...],
        tally: QueryTally,
    ) -> None:
        self._compiled = compiled
        self._live = live
        self._zone = compiled.sources[key.zone].zone
        self._type = key.type
        self._tiers = tiers
        self._tally = tally
        self._queries = tally.rotations.total()
        self._dealt = [
            (compiled.table.rotations[rotation], count)
            for rotation, count in tally.rotations.items()
            if rotation is not None
        ]
        self._hosts: dict[tuple[int, str], list[Fraction]] = {}
        """Answers, first and uniform picks, by rank and host."""
        self._warming: dict[tuple[int, str], list[Fraction]] = {}
        """First and uniform picks in pools that bound the host."""

    def of(self, name: str, sample: SampleClients | None) -> SimulatedName:
        nothing = [(rotation, count) for rotation, count in self._dealt if not rotation.parts]
        servfail = sum(count for rotation, count in nothing if rotation.servfail)
        nodata = sum(count for _, count in nothing) - servfail + self._tally.rotations[None]
        ttls = [ttl_of(part.answers[0].body) for rotation, _ in self._dealt for part in rotation.parts]
        resort = sum(
            count
            for rotation, count in self._dealt
            if any(self._deal(part.pool).last_resort is not None for part in rotation.parts)
        )
        for rotation, count in self._dealt:
            self._add(rotation, count)
        return SimulatedName(
            name,
            self._type,
            self._zone.name,
            self._queries,
            sample,
            (min(ttls), max(ttls)) if ttls else None,
            self._part(servfail),
            self._part(nodata),
            self._part(resort),
            tuple(self._host_shares()),
            tuple(self._rule_shares()),
            tuple(self._pool_shares()),
            tuple(self._arm_shares()),
            tuple(self._ceiling_shares()),
        )

    def _part(self, count: int | Fraction) -> Fraction:
        return Fraction(count) / self._queries if self._queries else Fraction(0)

    def _deal(self, pool: str) -> Deal:
        return self._compiled.choices[self._zone.name, pool].of(self._type)

    def _add(self, rotation: Rotation, count: int) -> None:
        """Count the hosts of a rotation's answers."""
        ranks = _ranks(rotation, self._reached(rotation))
        for number, (part, rank) in enumerate(zip(rotation.parts, ranks, strict=True)):
            bounded = self._live.warming(self._zone, self._zone.pool_by_name[part.pool])
            picked = self._tally.buckets.get((rotation.key, number)) if part.seed else None
            for at, weight in _answers_of(part, count, picked).items():
                hosts = part.sets[at]
                shares = self._picks(part.pool, hosts)
                for host, (first, uniform) in shares.items():
                    picks = [first * weight, uniform * weight]
                    _sum_up(self._hosts, (rank, host), [weight, *picks])
                    if host in bounded:
                        _sum_up(self._warming, (rank, host), picks)

    def _picks(self, pool: str, hosts: tuple[str, ...]) -> dict[str, tuple[Fraction, Fraction]]:
        """Return the part of first and of uniform picks that each host of an answer gets."""
        if self._type == "SRV":  # its records have weights, and clients look at these
            portions = {one.host: one.portion for one in self._deal(pool).dealt if one.host in hosts}
            total = sum(portions.values(), Fraction(0))
            return {host: (portions[host] / total,) * 2 for host in hosts}
        each = Fraction(1, len(hosts))
        return {host: (Fraction(not place), each) for place, host in enumerate(hosts)}

    def _reached(self, rotation: Rotation) -> list[tuple[str, int]]:
        """Return the pools that a rotation deals from, or would, with their ranks."""
        tiers = list(rotation.key.tiers)
        found = with_helper(self._zone, rotation.key.arm) if rotation.failover else None
        if found is None:
            return tiers
        pool, helper = found
        return [(helper if one == pool else one, rank) for one, rank in tiers]

    def _host_shares(self) -> Iterable[HostShare]:
        order = {host.name: place for place, host in enumerate(self._zone.hosts)}
        for rank, host in sorted(self._hosts, key=lambda one: (one[0], order[one[1]])):
            yield HostShare(host, rank, *map(self._part, self._hosts[rank, host]))

    def _rule_shares(self) -> Iterable[RuleShare]:
        for tier, counted in zip(self._tiers, self._tally.rules, strict=True):
            for place, rule in enumerate(tier.rules):
                share = self._part(counted[place])
                yield RuleShare(tier.preference, place + 1, rule.when, rule.use, share)
            last = len(tier.rules)
            yield RuleShare(tier.preference, last + 1, "", tier.pool, self._part(counted[last]))

    def _pool_shares(self) -> Iterable[PoolShare]:
        counted: Counter[tuple[int, str]] = Counter()
        for rotation, count in self._dealt:
            for pool, rank in self._reached(rotation):
                counted[rank, pool] += count
        for (rank, pool), count in sorted(counted.items()):
            deal = self._deal(pool)
            yield PoolShare(rank, pool, self._part(count), deal.using, deal.last_resort)

    def _arm_shares(self) -> Iterable[ArmShare]:
        counted: Counter[str] = Counter()
        failovers: Counter[str] = Counter()
        for rotation, count in self._dealt:
            counted[rotation.key.arm] += count
            failovers[rotation.key.arm] += count * rotation.failover
        for experiment in self._zone.experiments:
            for name in (f"{experiment.name}/{arm.name}" for arm in experiment.arms):
                if name in counted:
                    yield ArmShare(name, self._part(counted[name]), self._part(failovers[name]))

    def _ceiling_shares(self) -> Iterable[CeilingShare]:
        """Yield the hosts that warm up in pools that are reached, each with its largest share."""
        bounded: dict[str, Fraction] = {}
        for rotation, _ in self._dealt:
            for pool, _ in self._reached(rotation):
                members = self._zone.hosts_reached[pool]
                warming = self._live.warming(self._zone, self._zone.pool_by_name[pool])
                bounded |= {host: ceiling for host, ceiling in warming.items() if host in members}
        for host, ceiling in sorted(bounded.items()):
            got = (max(picks) for (_, name), picks in self._warming.items() if name == host)
            yield CeilingShare(host, ceiling, self._part(max(got, default=Fraction(0))))


def _sum_up(sums: dict[tuple[int, str], list[Fraction]], at: tuple[int, str], more: list[Fraction]) -> None:
    known = sums.get(at)
    sums[at] = more if known is None else [one + other for one, other in zip(known, more, strict=True)]


def _answers_of(part: Part, count: int, picked: Counter[int] | None) -> dict[int, Fraction]:
    """Return how many queries get each answer of a part.

    Args:
        part: that is dealt from.
        count: queries.
        picked: of a pool that picks by client, the queries by their place in its index.

    """
    found: dict[int, Fraction] = defaultdict(Fraction)
    if picked is None:
        for at, times in Counter(part.index).items():
            found[at] += Fraction(count * times, len(part.index))
    else:
        for bucket, queries in picked.items():
            found[part.index[bucket]] += queries
    return found


def _ranks(rotation: Rotation, reached: Sequence[tuple[str, int]]) -> list[int]:
    """Return the rank of each part: some pools have none, and one may stand at several ranks."""
    left = iter(reached)
    return [next(rank for pool, rank in left if pool == part.pool) for part in rotation.parts]
