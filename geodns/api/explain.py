"""Why a name is answered as it is: the pools behind it, every host's part and reasons, the next answers."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple

import dnslib
from aiohttp import web

from geodns.api.responses import SERVICES, RefusedError, cached_json
from geodns.api.schemas import (
    BurstJson,
    ExplanationJson,
    LinkJson,
    MemberJson,
    NextJson,
    TierJson,
)
from geodns.api.status import LastResult, last_result, number
from geodns.compiler.choice import Choice, Dealt
from geodns.compiler.live_set import Fitness, LiveSet
from geodns.control.cluster import Cluster
from geodns.control.orders import describe_weight
from geodns.errors import NotFoundError, UsageError
from geodns.model.base import family_of
from geodns.model.checks import Target
from geodns.model.hosts import Host
from geodns.model.state import Forced, HealthState
from geodns.model.zone import Member, MinLive, Pool, Zone
from geodns.responder.lookup import rotation_of
from geodns.responder.respond import respond
from geodns.responder.table import Part, Rotation
from geodns.responder.worker_state import WorkerState
from geodns.wire.codes import number_of
from geodns.wire.idn import to_ascii
from geodns.wire.names import name_to_wire
from geodns.wire.networks import Network, parse_network

ANSWERS = 3
"""So many of the next answers are shown."""


class Asking(NamedTuple):
    """Who would ask.

    Attributes:
        client: the resolver's address.
        network: the network that it says it asks for (RFC 7871); None: it does not say.

    """

    client: str = "127.0.0.1"
    network: Network | None = None


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/explain", _explain)]


async def _explain(request: web.Request) -> web.Response:
    name = request.query.get("name")
    if not name:
        raise RefusedError(400, "say which name: /api/v1/explain?name=out.example.com&type=A")
    rtype = request.query.get("type", "A").upper()
    asking = Asking(_client(request.query.get("client", "127.0.0.1")), _network(request.query.get("ecs")))
    services = request.app[SERVICES]
    seen = partial(last_result, services.verdicts)
    make = partial(explain, services.cluster, name, rtype, asking, seen)
    return cached_json(request, f"explain {(name, rtype, asking)}", make)


def _client(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise RefusedError(400, f"client {text!r} is no address: write one, as 192.0.2.7") from error


def _network(text: str | None) -> Network | None:
    try:
        return None if text is None else parse_network(text)
    except ValueError as error:
        raise RefusedError(400, f"ecs: {': '.join(map(str, error.args))}") from error


def explain(
    cluster: Cluster,
    name: str,
    rtype: str,
    asking: Asking = Asking(),  # noqa: B008 - it cannot change
    seen: Callable[[Target], LastResult | None] = lambda _: None,
) -> ExplanationJson:
    """Return which pools stand behind a name, what every host's part in them is and why, and what comes next.

    Args:
        cluster: the running state.
        name: a name that may be asked for, with or without the final dot.
        rtype: A, AAAA or MX; no pool is behind another type.
        asking: who would ask.
        seen: returns a target's last result.

    Raises:
        NotFoundError: no zone that is served has the name.
        BadNameError: it is no name.
        UsageError: there is no such type.

    """
    owner = to_ascii(name).lower().rstrip(".") + "."
    rnumber = number_of(rtype)
    if rnumber is None:
        raise UsageError(f"{rtype} is no record type: write A, AAAA or MX")
    zone = _zone_of(cluster, owner)
    table = cluster.compiled.table
    key = rotation_of(table, name_to_wire(owner), rnumber)
    tiers = []
    if key is not None:
        rotation = table.rotations[key]
        shown = _Shown(cluster, zone, cluster.live(), rotation, seen)
        tiers = [shown.tier(*tier) for tier in key.tiers]
    return {
        "name": owner,
        "type": rtype,
        "zone": zone.name,
        "serial": cluster.sources[zone.name].serial,
        "tiers": tiers,
        "next": _next(cluster, zone, owner, rnumber, asking),
        "hosts": _hosts_by_data(zone),
    }


def _zone_of(cluster: Cluster, owner: str) -> Zone:
    found = [
        source.zone
        for source in cluster.sources.values()
        if owner == source.zone.origin or owner.endswith(f".{source.zone.origin}")
    ]
    if not found:
        raise NotFoundError(f"{owner} is in no zone that is served")
    return max(found, key=lambda zone: len(zone.name))


def _hosts_by_data(zone: Zone) -> dict[str, str]:
    """Return hosts by what an answer shows of them: their addresses and their own names."""
    by_address = {str(address): host.name for host in zone.hosts for address in host.addresses}
    return by_address | {zone.host_name(host.name): host.name for host in zone.hosts}


def _next(cluster: Cluster, zone: Zone, owner: str, rtype: int, asking: Asking) -> list[NextJson]:
    """Return the answers that a worker gives one after another; each worker is at a place of its own."""
    question = dnslib.DNSRecord(q=dnslib.DNSQuestion(owner, rtype))
    options = [] if asking.network is None else [_subnet_option(asking.network)]
    question.add_ar(dnslib.EDNS0(udp_len=1232, opts=options))
    # A state of its own: nothing that is shown here takes a place in any rotation, or counts.
    state = WorkerState(random.Random())  # noqa: S311 - a place to start from
    asked, hosts = bytes(question.pack()), _hosts_by_data(zone)
    found: list[NextJson] = []
    for _ in range(ANSWERS):
        packet = respond(cluster.compiled.table, asked, (asking.client, 53, "udp"), 0.0, state)
        if packet is None:
            break
        answer = dnslib.DNSRecord.parse(packet)
        data = [(record.ttl, str(record.rdata)) for record in answer.rr]
        found.append(
            {
                "rcode": dnslib.RCODE[answer.header.rcode],
                "ttl": min((ttl for ttl, _ in data), default=None),
                "data": [text for _, text in data],
                "hosts": [hosts[last] for _, text in data if (last := text.split()[-1].lower()) in hosts],
            }
        )
    return found


def _subnet_option(network: Network) -> dnslib.EDNSOption:
    length = network.prefixlen
    address = network.network_address.packed[: (length + 7) // 8]
    family = 1 if network.version == 4 else 2
    return dnslib.EDNSOption(8, family.to_bytes(2, "big") + bytes((length, 0)) + address)


class _Shown:
    """One rotation, as it is explained."""

    def __init__(
        self,
        cluster: Cluster,
        zone: Zone,
        live: LiveSet,
        rotation: Rotation,
        seen: Callable[[Target], LastResult | None],
    ) -> None:
        self.cluster = cluster
        self.zone = zone
        self.live = live
        self.rotation = rotation
        self.seen = seen
        self._known: dict[tuple[str, str], Fitness] = {}

    def _fitness(self, pool: Pool, host: str) -> Fitness:
        """Return a host as a pool sees it, found out once."""
        found = self._known.get((pool.name, host))
        if found is None:
            found = self.live.fitness(
                self.zone, self.zone.host_by_name[host], self.zone.check_policy_of(pool)
            )
            self._known[pool.name, host] = found
        return found

    def tier(self, pool: str, preference: int) -> TierJson:
        """Return one pool of the rule, and its fallbacks."""
        choice = self.cluster.compiled.choices[self.zone.name, pool]
        part = next((part for part in self.rotation.parts if part.pool == pool), None)
        shares = {} if part is None else shares_of(part)
        chain = self.zone.chain(pool)
        ttl = choice.ttl(self.zone, self.rotation.key.ttl)
        return {
            "pool": pool,
            "preference": preference,
            "using": list(choice.using),
            "last_resort": choice.last_resort,
            "chain": [self._link(link) for link in chain],
            "ttl": ttl,
            "ttl_why": self._ttl_why(choice, ttl),
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
                for entry in choice.dealt
            },
            "members": self._members(choice, chain, shares),
        }

    def _link(self, pool: Pool) -> LinkJson:
        """Return a pool of the chain, and whether it has enough live hosts to do without its fallback."""
        fit = [member for member in pool.members if self._weight(member) and self._fit(pool, member.host)]
        weight = sum(map(self._weight, pool.members))
        return {
            "pool": pool.name,
            "hosts": len(pool.members),
            "live": len(fit),
            "live_weight": float(Fraction(sum(map(self._weight, fit)), weight)) if weight else 0.0,
            "min_live": None if pool.fallback is None else _min_live(pool.min_live),
            "fallback": pool.fallback,
            "fallback_mode": pool.fallback_mode,
            "when_down": pool.when_down,
        }

    def _weight(self, member: Member) -> int:
        return self.live.weight(self.zone, member.host, member.weight)

    def _fit(self, pool: Pool, host: str) -> bool:
        fitness = self._fitness(pool, host)
        return bool(fitness.live and fitness.factor)

    def _members(
        self, choice: Choice, chain: tuple[Pool, ...], shares: Mapping[str, tuple[Fraction, Fraction]]
    ) -> dict[str, MemberJson]:
        """Return every host that the pool or a fallback could deal, with its part and why."""
        members: dict[str, MemberJson] = {}
        dealt = {entry.host: entry for entry in choice.dealt}
        for pool in chain:
            for member in pool.members:
                if member.host not in members:
                    entry = dealt.get(member.host)
                    members[member.host] = self._member(choice, pool, member, entry, shares)
        return members

    def _member(
        self,
        choice: Choice,
        pool: Pool,
        member: Member,
        dealt: Dealt | None,
        shares: Mapping[str, tuple[Fraction, Fraction]],
    ) -> MemberJson:
        name, weight = member.host, self._weight(member)
        host = self.zone.host_by_name[name]
        key = (self.zone.name, name)
        fitness = self._fitness(pool, host.name)
        first, uniform = shares.get(name, (Fraction(0), Fraction(0)))
        forced = self.live.forced.get(key)
        effective = dealt.effective if dealt else weight * fitness.factor if fitness.live else Fraction(0)
        return {
            "pool": pool.name,
            "state": self.live.host_state(self.zone, host),
            "forced": forced,
            "weight": dealt.weight if dealt else weight,
            "factors": {name: float(value) for name, value in fitness.factors.items()},
            "effective_weight": number(Fraction(effective)),
            "first": float(first),
            "uniform": float(uniform),
            "why": self._why(choice, pool, host, weight, in_answers=name in shares),
        }

    def _why(self, choice: Choice, pool: Pool, host: Host, weight: int, *, in_answers: bool) -> str:
        """Say in a few words why a host has the part that it has."""
        if in_answers:
            return self._why_dealt(choice, pool, host)
        told = self._kept_out(choice, pool, host, weight)
        if told is not None:
            return told
        if choice.last_resort is None and pool.name not in choice.using:
            return f"its pool is not needed: {choice.pool} has enough live hosts"
        if self.rotation.key.type != "MX" and not any(
            family_of(address) == self.rotation.key.type for address in host.addresses
        ):
            return f"it has no {self.rotation.key.type} address"
        return "none of its addresses of this family is live" if choice.dealt else "nobody is dealt"

    def _why_dealt(self, choice: Choice, pool: Pool, host: Host) -> str:
        if choice.last_resort is not None:
            return f"last resort: nobody in the chain is live ({self._state(pool, host)})"
        fitness = self._fitness(pool, host.name)
        lowered = ", ".join(f"{name} {float(value):g}" for name, value in fitness.factors.items())
        helps = f"helps out as a host of {pool.name}" if pool.name != choice.pool else ""
        imposed = self.cluster.weights.get((self.zone.name, host.name))
        weight = "" if imposed is None else describe_weight(imposed)
        return (
            "; ".join(part for part in (helps, weight, lowered and f"lowered: {lowered}") if part) or "live"
        )

    def _kept_out(self, choice: Choice, pool: Pool, host: Host, weight: int) -> str | None:
        """Say what keeps a host out by itself; None when nothing does."""
        key = (self.zone.name, host.name)
        forced = None if key in self.cluster.held_back else self.cluster.forced.get(key)
        imposed = self.cluster.weights.get(key)
        if imposed is not None and not weight:
            return f"{describe_weight(imposed)}: never dealt"
        if not weight:
            return f"its weight in {pool.name} is 0: never dealt"
        if forced is not None and forced.forced is not Forced.UP:
            why = f": {forced.reason}" if forced.reason else ""
            return f"{forced.forced} by {forced.author}{why}"
        fitness = self._fitness(pool, host.name)
        if key in self.live.newcomers and not fitness.live:
            return "new: it waits for its first good probe"
        if not fitness.live or not fitness.factor:
            resort = choice.last_resort
            instead = f"; the last resort is {resort}" if resort is not None else ""
            return f"{self._state(pool, host)}{instead}"
        return None

    def _state(self, pool: Pool, host: Host) -> str:
        """Return a host's state with what its checks in a pool found."""
        state = self.live.host_state(self.zone, host)
        details = [
            f"{target.check.name}: {last.detail}"
            for targets in self.zone.targets_by_host[host.name].values()
            for target in sorted(targets, key=lambda target: target.key)
            if target.check.name in pool.checks
            and self.live.verdict(target).shown is not HealthState.UP
            and (last := self.seen(target)) is not None
        ]
        return f"{state} ({'; '.join(dict.fromkeys(details))})" if details else str(state)

    def _ttl_why(self, choice: Choice, ttl: int) -> str:
        ceiling = self.rotation.key.ttl
        if ttl >= ceiling:
            return "as the zone file says"
        floor = f", not below min_ttl {self.zone.min_ttl} s" if ttl == self.zone.min_ttl else ""
        failing = [
            entry.host
            for entry in choice.dealt
            for pool in self.zone.chain(choice.pool)
            if choice.last_resort is None
            and any(member.host == entry.host for member in pool.members)
            and self._fitness(pool, entry.host).seconds_to_fall == choice.longest_ttl
        ]
        if failing:
            hosts = ", ".join(dict.fromkeys(failing))
            soon = f"{choice.longest_ttl:g} s"
            return f"{ceiling} s lowered: {hosts} has failures and may be down in {soon}{floor}"
        what = "the last resort" if choice.last_resort is not None else "the fallback"
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
