"""Explains a pool behind a name: every host's part in it and the reasons, TTL, shares, bursts."""

from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction

from geodns.api.schemas_explain import BurstJson, LinkJson, MemberJson, TierJson
from geodns.api.status import LastResult, number
from geodns.compiler.choice import Deal
from geodns.compiler.choice import shares as shares_by_weight
from geodns.compiler.dealt import Dealt
from geodns.compiler.live_set import Fitness, LiveSet
from geodns.control.cluster import Cluster
from geodns.control.overrides import describe_weight
from geodns.model.base import FAMILIES, family_of
from geodns.model.checks import Target
from geodns.model.hosts import Host
from geodns.model.state import Forced, HealthState, HostKey
from geodns.model.zone import Member, MinLive, Pool, Zone
from geodns.responder.table import Part, Rotation


def _nothing(_: Target) -> str:
    return ""


class PoolExplanation:
    """One rotation, as it is explained."""

    def __init__(
        self,
        cluster: Cluster,
        zone: Zone,
        live: LiveSet,
        rotation: Rotation,
        seen: Callable[[Target], LastResult | None],
        warmup: Mapping[HostKey, str],
        remark: Callable[[Target], str] = _nothing,
    ) -> None:
        self.cluster = cluster
        self.zone = zone
        self.live = live
        self.rotation = rotation
        self.seen = seen
        self.warmup = warmup
        self.remark = remark
        self._family = next((one for one in FAMILIES if one == rotation.key.type), None)
        """Whose addresses alone count; None: MX or SRV, for which all do."""
        self._known: dict[tuple[str, str, str], Fitness] = {}

    def _live(self, deal: Deal) -> LiveSet:
        return self.live.seen_by(self.zone.pool_by_name[deal.pool])

    def _fitness(self, deal: Deal, pool: Pool, host: str) -> Fitness:
        """Return a host of a pool as the pool that is dealt sees it, found out once."""
        found = self._known.get((deal.pool, pool.name, host))
        if found is None:
            found = self._live(deal).fitness(
                self.zone, self.zone.host_by_name[host], self.zone.check_policy_of(pool), self._family
            )
            self._known[deal.pool, pool.name, host] = found
        return found

    def tier(self, pool: str, preference: int) -> TierJson:
        """Return one pool of the rule, and its fallbacks."""
        deal = self.cluster.compiled.choices[self.zone.name, pool].of(self.rotation.key.type)
        part = next((part for part in self.rotation.parts if part.pool == pool), None)
        shares = {} if part is None else shares_of(part)
        if self.rotation.key.type == "SRV":  # its records have weights, and clients look at these
            named = [entry for entry in deal.dealt if entry.host in shares]
            shares = {host: (share, share) for host, share in shares_by_weight(named).items()}
        chain = self.zone.chain(pool)
        if not set(deal.using) <= {link.name for link in chain}:
            chain = self.zone.reach(pool)
        ttl = deal.ttl(self.zone, self.rotation.key.ttl)
        return {
            "pool": pool,
            "preference": preference,
            "using": list(deal.using),
            "last_resort": deal.last_resort,
            "chain": [self._link(deal, link) for link in chain],
            "ttl": ttl,
            "ttl_why": self._ttl_why(chain, deal, ttl),
            "pick": "client" if deal.rows else "rotation",
            "cycle": 0 if part is None else len(part.index),
            "sizes": {} if part is None else sizes_of(part),
            "burst": None if part is None else burst_of(part, ttl),
            "hosts": {
                entry.host: {
                    "weight": entry.weight,
                    "factors": {name: float(value) for name, value in entry.factors.items()},
                    "effective_weight": number(entry.effective),
                    "addresses": [str(address) for address in entry.addresses],
                }
                for entry in deal.dealt
            },
            "members": self._members(deal, chain, shares),
        }

    def _link(self, deal: Deal, pool: Pool) -> LinkJson:
        """Return a pool of the chain, and whether it has enough live hosts to do without its fallback."""
        members = [one for one in pool.members if self._has_family(self.zone.host_by_name[one.host])]
        fit = [member for member in members if self._weight(member) and self._fit(deal, pool, member.host)]
        warming = self.live.warming(self.zone, pool)
        warm = [member for member in members if member.host not in warming] or members
        weight = sum(map(self._weight, warm))
        return {
            "pool": pool.name,
            "hosts": len(members),
            "live": len(fit),
            "live_weight": float(Fraction(sum(self._weight(one) for one in fit if one in warm), weight))
            if weight
            else 0.0,
            "min_live": None if pool.fallback is None else _min_live(pool.min_live),
            "fallback": pool.fallback,
            "fallback_mode": pool.fallback_mode,
            "when_down": pool.when_down,
        }

    def _has_family(self, host: Host) -> bool:
        return self._family is None or self._family in host.by_family

    def _weight(self, member: Member) -> int:
        return self.live.weight(self.zone, member.host, member.weight)

    def _fit(self, deal: Deal, pool: Pool, host: str) -> bool:
        fitness = self._fitness(deal, pool, host)
        return bool(fitness.live and fitness.factor)

    def _members(
        self, deal: Deal, chain: tuple[Pool, ...], shares: Mapping[str, tuple[Fraction, Fraction]]
    ) -> dict[str, MemberJson]:
        """Return every host that the pool or a fallback could deal, with its part and why."""
        members: dict[str, MemberJson] = {}
        dealt = {entry.host: entry for entry in deal.dealt}
        for pool in chain:
            for member in pool.members:
                if member.host not in members:
                    entry = dealt.get(member.host)
                    members[member.host] = self._member(deal, pool, member, entry, shares)
        return members

    def _member(
        self,
        deal: Deal,
        pool: Pool,
        member: Member,
        dealt: Dealt | None,
        shares: Mapping[str, tuple[Fraction, Fraction]],
    ) -> MemberJson:
        name, weight = member.host, self._weight(member)
        host = self.zone.host_by_name[name]
        key = (self.zone.name, name)
        fitness = self._fitness(deal, pool, host.name)
        first, uniform = shares.get(name, (Fraction(0), Fraction(0)))
        forced = self._live(deal).forced.get(key)
        left = {"warmup": deal.warmup[name]} if deal.warmup.get(name, 1) < 1 else {}
        effective = dealt.effective if dealt else weight * fitness.factor if fitness.live else Fraction(0)
        effective = effective if dealt else effective * left.get("warmup", 1)
        return {
            "pool": pool.name,
            "state": self._health(host),
            "forced": forced,
            "weight": dealt.weight if dealt else weight,
            "factors": {name: float(value) for name, value in {**fitness.factors, **left}.items()},
            "effective_weight": number(Fraction(effective)),
            "first": float(first),
            "uniform": float(uniform),
            "why": "; ".join(
                [self._why(deal, pool, host, weight, in_answers=name in shares), *self._remarks(pool, host)]
            ),
        }

    def _why(self, deal: Deal, pool: Pool, host: Host, weight: int, *, in_answers: bool) -> str:
        """Say in a few words why a host has the part that it has."""
        if in_answers:
            return self._why_dealt(deal, pool, host)
        if not self._has_family(host):
            return f"it has no {self._family} address"
        told = self._kept_out(deal, pool, host, weight)
        if told is None and host.name in deal.warmup:
            told = self._warmup_text(host)
        if told is not None:
            return told
        living = deal.last_resort is None
        reasons = (
            (
                living and pool.name not in deal.using,
                f"its pool is not needed: {deal.pool} has enough live hosts",
            ),
            (living and host.name in deal.hosts, "an earlier pool names it at this preference"),
            (
                living and deal.rows,
                f"its weight is too small for one of {len(deal.rows):,} buckets of clients",
            ),
            (deal.dealt, "others are live"),
            (True, "nobody is dealt"),
        )
        return next(text for holds, text in reasons if holds)

    def _remarks(self, pool: Pool, host: Host) -> list[str]:
        """Return what the servers that judge together do not agree on."""
        told = (
            self.remark(target)
            for address, targets in self.zone.targets_by_host[host.name].items()
            if self._family in {None, family_of(address)}
            for target in sorted(targets, key=lambda target: target.key)
            if target.check.name in pool.checks
        )
        return list(dict.fromkeys(filter(None, told)))

    def _warmup_text(self, host: Host) -> str:
        return self.warmup.get((self.zone.name, host.name), "it warms up")

    def _why_dealt(self, deal: Deal, pool: Pool, host: Host) -> str:
        if deal.last_resort is not None and deal.warmup:
            if host.name in deal.warmup:
                return self._warmup_text(host)
            return f"last resort: no warm host in the chain is live ({self._state(pool, host)})"
        if deal.last_resort is not None:
            return f"last resort: nobody in the chain is live ({self._state(pool, host)})"
        fitness = self._fitness(deal, pool, host.name)
        lowered = ", ".join(f"{name} {float(value):g}" for name, value in fitness.factors.items())
        helps = "" if pool.name == deal.pool else f"helps out as a host of {pool.name}"
        override = self.cluster.weights.get((self.zone.name, host.name))
        weight = "" if override is None else describe_weight(override)
        unchecked = "" if pool.checks else f"unchecked: {pool.name} has `check: none`"
        warmup = self._warmup_text(host) if host.name in deal.warmup else ""
        parts = (helps, weight, warmup, lowered and f"lowered: {lowered}", unchecked)
        return "; ".join(filter(None, parts)) or "live"

    def _kept_out(self, deal: Deal, pool: Pool, host: Host, weight: int) -> str | None:
        """Say what keeps a host out by itself; None when nothing does."""
        key = (self.zone.name, host.name)
        forced = self.cluster.forced.get(key) if key in self._live(deal).forced else None
        override = self.cluster.weights.get(key)
        if override is not None and not weight:
            return f"{describe_weight(override)}: never dealt"
        if not weight:
            return f"its weight in {pool.name} is 0: never dealt"
        if forced is not None and forced.forced is not Forced.UP:
            why = f": {forced.reason}" if forced.reason else ""
            return f"{forced.forced} by {forced.author}{why}"
        fitness = self._fitness(deal, pool, host.name)
        if key in self.live.newcomers and not fitness.live:
            return "new: it waits for its first good probe"
        if not fitness.live or not fitness.factor:
            resort = deal.last_resort
            instead = f"; the last resort is {resort}" if resort is not None else ""
            return f"{self._state(pool, host)}{instead}"
        return None

    def _state(self, pool: Pool, host: Host) -> str:
        """Return a host's state with what its checks in a pool found."""
        state = self._health(host)
        details = [
            f"{target.check.name}: {last.detail}"
            for address, targets in self.zone.targets_by_host[host.name].items()
            if self._family in {None, family_of(address)}
            for target in sorted(targets, key=lambda target: target.key)
            if target.check.name in pool.checks
            and self.live.verdict(target).shown is not HealthState.UP
            and (last := self.seen(target)) is not None
        ]
        return f"{state} ({'; '.join(dict.fromkeys(details))})" if details else str(state)

    def _health(self, host: Host) -> HealthState:
        """Return a host's state, in the family that is asked for where it has that."""
        if self._family in host.by_family:
            return self.live.family_states(self.zone, host)[self._family]
        return self.live.host_state(self.zone, host)

    def _ttl_why(self, chain: tuple[Pool, ...], deal: Deal, ttl: int) -> str:
        ceiling = self.rotation.key.ttl
        if ttl >= ceiling:
            return "as the zone file says"
        floor = f", not below min_ttl {self.zone.min_ttl} s" if ttl == self.zone.min_ttl else ""
        failing = [
            entry.host
            for entry in deal.dealt
            for pool in chain
            if deal.last_resort is None
            and any(member.host == entry.host for member in pool.members)
            and self._fitness(deal, pool, entry.host).seconds_to_fall == deal.longest_ttl
        ]
        if failing:
            hosts = ", ".join(dict.fromkeys(failing))
            soon = f"{deal.longest_ttl:g} s"
            return f"{ceiling} s lowered: {hosts} has failures and may be down in {soon}{floor}"
        what = "the last resort" if deal.last_resort is not None else "the fallback"
        return (
            f"{ceiling} s lowered while {what} serves, so that hosts that come back are asked for soon{floor}"
        )


def _min_live(wanted: MinLive) -> str:
    return f"{wanted.amount}%" if wanted.percent else str(wanted.amount)


def shares_of(part: Part) -> dict[str, tuple[Fraction, Fraction]]:
    """Return each host's share of first picks, and of uniform picks, over the cycle that is served."""
    first: Counter[str] = Counter()
    named: dict[str, Counter[int]] = {}
    for at, count in Counter(part.index).items():
        hosts = part.sets[at]
        first[hosts[0]] += count
        for host in hosts:
            named.setdefault(host, Counter())[len(hosts)] += count
    total = len(part.index)
    return {
        host: (
            Fraction(first[host], total),
            sum((Fraction(count, size * total) for size, count in sizes.items()), Fraction(0)),
        )
        for host, sizes in named.items()
    }


def sizes_of(part: Part) -> dict[str, float]:
    """Return what part of the answers names so many hosts, the largest first."""
    sizes: Counter[int] = Counter()
    for at, count in Counter(part.index).items():
        sizes[len(part.sets[at])] += count
    return {str(size): count / len(part.index) for size, count in sorted(sizes.items(), reverse=True)}


def burst_of(part: Part, ttl: int) -> BurstJson:
    """Return what one cached answer can do: for so long all that its clients send may go to one host.

    Clients that take the first address send everything to it. Those that pick one of the set send each
    host its part; where a set has one host, that is everything again.
    """
    smallest: dict[str, int] = {}
    for hosts in part.sets:
        for host in hosts:
            smallest[host] = min(len(hosts), smallest.get(host, len(hosts)))
    return {"seconds": ttl, "uniform": {host: 1 / size for host, size in smallest.items()}}
