"""octoDNS's dynamic records → hosts, pools and checks of a draft."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from geodns.convert.draft import Draft, Rrset
from geodns.model import MAX_ANSWERS
from geodns.scalars import parse_address

Remark = Callable[[str], None]

_HOST_LABEL = 63


class Pools:
    """Gathers the hosts and pools of a zone's dynamic records.

    Args:
        draft: takes them.
        taken: owner names of the zone; a host's name is none of these.

    """

    def __init__(self, draft: Draft, taken: set[str]) -> None:
        self._draft = draft
        self._taken = set(taken)
        self._hosts: dict[str, str] = {}

    def dynamic(
        self, owner: str, kind: str, ttl: int, body: dict[str, Any], values: list[str], remark: Remark
    ) -> bool:
        """Take a dynamic record of addresses; what has no counterpart is told.

        Returns:
            Whether it is dealt with; if not, its plain values are all that it has.

        """
        dynamic = body.get("dynamic")
        pools = {
            str(name): pool
            for name, pool in _mapping(_mapping(dynamic).get("pools")).items()
            if _mapping(pool)
        }
        first = _chosen(_mapping(dynamic).get("rules"), pools, remark)
        if first is None:
            remark("no rule names a pool of it: its `values` alone are taken")
            return False
        check = self._check(_mapping(_mapping(body.get("octodns")).get("healthcheck")), remark)
        base = "apex" if owner == "@" else re.sub("[^a-z0-9]+", "-", owner.lower()).strip("-") or "pool"
        suffix = "" if kind == "A" else "-aaaa"
        made: dict[str, str] = {}
        name: str | None = first
        while isinstance(name, str) and name in pools and name not in made:
            members = self._members(base, pools[name], remark)
            if any(weight for weight, _ in members.values()):
                made[name] = self._add(f"{base}-{name}{suffix}", members, check, remark)
            else:
                remark(f"pool {name} left out: all it has is `down`")
                made[name] = ""
            name = pools[name].get("fallback")
        chain = [pool for pool in made.values() if pool]
        if values and (last := self._last_resort(f"{base}-values{suffix}", base, values, chain)) is not None:
            chain.append(last)
        if not chain:
            remark("left out: no pool has an address")
            return True
        for pool, following in pairwise(chain):
            # octoDNS leaves a pool when nobody in it is up.
            self._draft.pools[pool] |= {"min_live": 1, "fallback": following}
        for unused in pools.keys() - made.keys():
            remark(f"pool {unused} left out: without geography nothing leads to it")
        self._draft.name(owner).rrsets[kind] = Rrset(ttl, [{"pool": chain[0]}])
        return True

    def _members(self, base: str, pool: dict[str, Any], remark: Remark) -> dict[str, tuple[int, str]]:
        """Return a pool's hosts, each with its weight and status."""
        found: dict[str, tuple[int, str]] = {}
        values = pool.get("values")
        for one in values if isinstance(values, list) else []:
            value = one if isinstance(one, dict) else {"value": one}
            address = str(value.get("value"))
            if parse_address(address) is None:
                remark(f"{address!r} is no address: left out")
                continue
            weight = str(value.get("weight") or 1)
            status = str(value.get("status") or "obey")
            if status == "down":
                remark(f"{address} has the status `down`: weight 0")
                weight = "0"
            found[self._host(base, address)] = (int(weight) if weight.isdecimal() else 1, status)
        return found

    def _host(self, base: str, address: str) -> str:
        address = str(parse_address(address))
        known = self._hosts.get(address)
        if known is not None:
            return known
        number = 1
        while (name := f"{base[: _HOST_LABEL - 6].strip('-')}-{number}") in self._taken:
            number += 1
        self._taken.add(name)
        self._hosts[address] = name
        self._draft.hosts[name] = address
        return name

    def _add(self, name: str, members: dict[str, tuple[int, str]], check: str | None, remark: Remark) -> str:
        name = self._unique(name)
        weights = {host: weight for host, (weight, _) in members.items()}
        statuses = {status for weight, status in members.values() if weight}
        if "up" in statuses:
            if statuses == {"up"}:
                check = None
                remark(f"pool {name}: its values have the status `up`: no check")
            else:
                remark(f"pool {name}: values of the status `up` are checked like the others")
        pool: dict[str, Any] = {"hosts": weights if {*weights.values()} != {1} else [*weights]}
        if check is not None:
            pool["check"] = check
        pool["answers"] = 1
        self._draft.pools[name] = pool
        return name

    def _unique(self, name: str) -> str:
        name = re.sub("[^A-Za-z0-9_.-]", "-", name)[: _HOST_LABEL - 6]
        found, number = name, 1
        while found in self._draft.pools:
            number += 1
            found = f"{name}-{number}"
        return found

    def _last_resort(self, name: str, base: str, values: list[str], chain: list[str]) -> str | None:
        """Add the pool of a record's `values`; None where the last pool deals the same when all are down."""
        hosts = dict.fromkeys(self._host(base, value) for value in values if parse_address(value) is not None)
        if not hosts or (chain and hosts.keys() == {*self._draft.pools[chain[-1]]["hosts"]}):
            return None
        name = self._unique(name)
        self._draft.pools[name] = {"hosts": [*hosts], "answers": min(len(hosts), MAX_ANSWERS)}
        return name

    def _check(self, healthcheck: dict[str, Any], remark: Remark) -> str | None:
        """Return the name of the check that comes nearest to octoDNS's; None where there is none."""
        protocol = str(healthcheck.get("protocol") or "HTTPS").upper()
        port = str(healthcheck.get("port") or {"HTTP": 80}.get(protocol, 443))
        if protocol in {"ICMP", "UDP"} or not port.isdecimal():
            remark(f"a check by {protocol} has no counterpart: its pools are not checked")
            return None
        if protocol != "TCP":
            path = str(healthcheck.get("path") or "/_dns")
            remark(f"the check {protocol} {path} becomes a connection to TCP port {port}")
        name = f"tcp{port}"
        self._draft.checks[name] = {"type": "tcp", "port": int(port)}
        return name


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _chosen(rules: Any, pools: dict[str, Any], remark: Remark) -> str | None:
    """Return the pool of the rule that is for everybody; the last one's where there is none."""
    last: str | None = None
    for rule in rules if isinstance(rules, list) else []:
        pool = _mapping(rule).get("pool")
        if not isinstance(pool, str) or pool not in pools:
            if pool is not None:
                remark(f"the rule for pool {pool} left out: there is no such pool")
            continue
        last = str(pool)
        special = [
            f"{word} {', '.join(map(str, rule[word]))}"
            for word in ("geos", "subnets")
            if isinstance(rule.get(word), list) and rule[word]
        ]
        if not special:
            return last
        remark(f"the rule for {' and '.join(special)} (pool {pool}) has no counterpart: left out")
    if last is not None:
        remark(f"no rule is for everybody: pool {last} is dealt to all")
    return last
