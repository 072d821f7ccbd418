"""octoDNS's dynamic records of A and AAAA → hosts, pools and checks of a draft.

A record's `values`, the last resort that nothing checks, become a pool of `check: none` at each chain's end.
"""

import re
from collections.abc import Iterable
from typing import Any

from geodns.cli.convert.draft import ZoneDraft
from geodns.cli.convert.octodns_files import as_mapping
from geodns.cli.convert.octodns_rules import Remark, read_rules
from geodns.config.value_types import parse_address
from geodns.model.zone import MAX_ANSWERS
from geodns.zonefile.check_policy import NO_CHECK

_HOST_LABEL = 63


class DynamicPools:
    """Gathers the hosts and pools of a zone's dynamic records; no host gets a name that is `taken`."""

    def __init__(self, draft: ZoneDraft, taken: set[str]) -> None:
        self._draft = draft
        self._taken = set(taken)
        self._hosts: dict[str, str] = {}

    def pool_of(
        self, owner: str, kind: str, body: dict[str, Any], values: list[str], remark: Remark
    ) -> str | list[Any] | None:
        """Return the pool, or the rules, of a dynamic record; empty where no pool has an address.

        None: only the record's plain values can be taken.
        """
        dynamic = as_mapping(body.get("dynamic"))
        pools = {
            str(name): pool for name, pool in as_mapping(dynamic.get("pools")).items() if as_mapping(pool)
        }
        rules = read_rules(dynamic.get("rules"), pools, remark)
        if rules is None:
            remark("no rule names a pool of it: its `values` alone are taken")
            return None
        check = self._check(as_mapping(as_mapping(body.get("octodns")).get("healthcheck")), remark)
        base = "apex" if owner == "@" else re.sub("[^a-z0-9]+", "-", owner.lower()).strip("-") or "pool"
        suffix = "" if kind == "A" else "-aaaa"
        made: dict[str, str] = {}
        first: dict[str, str | None] = {}
        last = _LastResort(self, f"{base}-values{suffix}", base, values)
        for start in dict.fromkeys((rules.pool, *(rule.pool for rule in rules.rules))):
            path: list[str] = []
            name: Any = start
            while isinstance(name, str) and name in pools and name not in made:
                path.append(name)
                members = self._members(base, pools[name], remark)
                if any(weight for weight, _ in members.values()):
                    made[name] = self._add(f"{base}-{name}{suffix}", members, check, remark)
                else:
                    remark(f"pool {name} left out: all it has is `down`")
                    made[name] = ""
                name = pools[name].get("fallback")
            ends = next((made[one] for one in reversed(path) if made[one]), None)
            follows = first[name] if name in first else last.behind(ends)
            for one in reversed(path):
                if made[one] and follows is not None:
                    # octoDNS leaves a pool when nobody in it is up.
                    self._draft.pools[made[one]] |= {"min_live": 1, "fallback": follows}
                first[one] = follows = made[one] or follows
        for unused in (name for name in pools if name not in made):
            remark(f"pool {unused} left out: nothing leads to it")
        pool = first[rules.pool]
        if pool is None:
            remark("left out: no pool has an address")
            return ""
        listed = [
            {**rule.condition, "use": use} for rule in rules.rules if (use := first[rule.pool]) is not None
        ]
        return [*listed, pool] if listed else pool

    def _members(self, base: str, pool: dict[str, Any], remark: Remark) -> dict[str, tuple[int, str]]:
        """Return the weight and status of each of a pool's hosts."""
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
            host = self.host(base, address)
            before = found.get(host, (0, ""))[0]
            if host in found:
                remark(f"{address} stands twice in a pool: its weights are added")
            found[host] = (before + (int(weight) if weight.isdecimal() else 1), status)
        return found

    def hosts_of(self, pool: str) -> set[str]:
        return {*self._draft.pools[pool]["hosts"]}

    def host(self, base: str, address: str) -> str:
        """Return the name of the host at an address; a new one is named after `base`."""
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
        pool["check"] = NO_CHECK if check is None else check
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

    def add_last_resort(self, name: str, hosts: Iterable[str]) -> str:
        """Add a pool that nothing checks, and return its name."""
        name = self._unique(name)
        hosts = [*hosts]
        self._draft.pools[name] = {
            "hosts": hosts,
            "check": NO_CHECK,
            "answers": min(len(hosts), MAX_ANSWERS),
        }
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


class _LastResort:
    """The pool of a record's `values`, made where the first chain needs it."""

    def __init__(self, pools: DynamicPools, name: str, base: str, values: list[str]) -> None:
        self._pools = pools
        self._name = name
        self._base = base
        self._values = [value for value in values if parse_address(value) is not None]
        self._made: str | None = None

    def behind(self, pool: str | None) -> str | None:
        """Return the pool behind the last of a chain; None where that deals the same when all are down."""
        hosts = dict.fromkeys(self._pools.host(self._base, value) for value in self._values)
        if not hosts or (pool is not None and hosts.keys() == self._pools.hosts_of(pool)):
            return None
        if self._made is None:
            self._made = self._pools.add_last_resort(self._name, hosts)
        return self._made
