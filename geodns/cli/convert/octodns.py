"""Zones in octoDNS's YAML, dynamic records included → drafts.

What octoDNS calls a dynamic record of A or AAAA becomes hosts and pools; the catch-all rule says which pool
is dealt. Its `values`, the last resort that nothing checks, become a pool of `check: none` at the chain's
end.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from geodns.cli.convert.draft import DraftRrset, DraftValue, ZoneDraft
from geodns.config import yaml_nodes
from geodns.config.report import Report
from geodns.config.value_types import parse_address
from geodns.config.yaml_nodes import Mapping, Scalar, YamlNode
from geodns.errors import GeodnsError
from geodns.model.zone import MAX_ANSWERS
from geodns.zonefile.check_policy import NO_CHECK
from geodns.zonefile.record_types import RECORD_TYPES

TTL = 3600
"""Seconds, where a record says none."""

_HOST_LABEL = 63
_FORWARD = {
    "ALIAS": "an alias at a name with other data has no counterpart: write its addresses",
    "URLFWD": "a redirection of URLs has no counterpart",
}
_LEGACY = {"priority": "preference", "value": "exchange"}
_ON_ONE_LINE = frozenset({"MX", "SRV"})
"""Types whose fields read well as one text."""


def read_octodns(path: Path, origin: str | None) -> ZoneDraft:
    """Read a zone in octoDNS's YAML.

    Args:
        path: the file, called like the zone.
        origin: the zone's absolute name; None: as the file is called.

    Raises:
        GeodnsError: the file cannot be read, or is no such zone.

    """
    report = Report(str(path))
    try:
        root = yaml_nodes.load(path.read_bytes(), report)
    except OSError as error:
        raise GeodnsError(f"{path}: {error.strerror}") from error
    if root is None or report.errors:
        raise GeodnsError("; ".join(map(str, report.problems())))
    zone = origin or path.name.removesuffix(path.suffix).removesuffix(".") + "."
    draft = ZoneDraft(zone, str(path))
    pools = DynamicPools(draft, {name or "@" for name in root.items})
    for name, (key, body) in root.items.items():
        owner = _owner(name, zone)
        for record in body.items if isinstance(body, yaml_nodes.Sequence) else [body]:
            if not isinstance(record, Mapping):
                raise GeodnsError(
                    f"{path}:{record.line}:{record.column}: a record is a mapping with a `type`"
                )
            _RecordReader(draft, pools, owner, key.line, record).read()
    _name_servers(draft)
    return draft


def _owner(name: str, zone: str) -> str:
    if name in {"", "@"}:
        return "@"
    return name.removesuffix(f".{zone}") if name.endswith(".") else name


def plain(node: YamlNode) -> Any:
    """Turn a node into texts, lists and dictionaries; an empty one is None."""
    if isinstance(node, Scalar):
        return None if yaml_nodes.is_nothing(node) else node.text
    if isinstance(node, yaml_nodes.Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key: plain(value) for key, (_, value) in node.items.items()}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _number(value: Any) -> Any:
    """Turn a whole number into an int, which stands in YAML without quotes."""
    return int(value) if isinstance(value, str) and re.fullmatch("0|[1-9][0-9]{0,9}", value) else value


Remark = Callable[[str], None]


class DynamicPools:
    """Gathers the hosts and pools of a zone's dynamic records; no host gets a name that is `taken`."""

    def __init__(self, draft: ZoneDraft, taken: set[str]) -> None:
        self._draft = draft
        self._taken = set(taken)
        self._hosts: dict[str, str] = {}

    def dynamic(
        self, owner: str, kind: str, ttl: int, body: dict[str, Any], values: list[str], remark: Remark
    ) -> bool:
        """Take a dynamic record of addresses; False: only its plain values can be taken."""
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
        self._draft.name(owner).rrsets[kind] = DraftRrset(ttl, [{"pool": chain[0]}])
        return True

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

    def _last_resort(self, name: str, base: str, values: list[str], chain: list[str]) -> str | None:
        """Add the pool of a record's `values`; None where the last pool deals the same when all are down."""
        hosts = dict.fromkeys(self._host(base, value) for value in values if parse_address(value) is not None)
        if not hosts or (chain and hosts.keys() == {*self._draft.pools[chain[-1]]["hosts"]}):
            return None
        name = self._unique(name)
        answers = min(len(hosts), MAX_ANSWERS)
        self._draft.pools[name] = {"hosts": [*hosts], "check": NO_CHECK, "answers": answers}
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


class _RecordReader:
    """Reads one record, as octoDNS calls an RRset."""

    def __init__(self, draft: ZoneDraft, pools: DynamicPools, owner: str, line: int, node: Mapping) -> None:
        self._draft = draft
        self._pools = pools
        self._owner = owner
        self._line = node.line or line
        self._body: dict[str, Any] = plain(node)
        self._kind = str(self._body.get("type", "")).upper()

    def _remark(self, text: str) -> None:
        self._draft.remark(f"{self._kind}: {text}", line=self._line, owner=self._owner)

    def read(self) -> None:
        kind, body = self._kind, self._body
        if kind in _FORWARD:
            self._remark(f"left out: {_FORWARD[kind]}")
            return
        if not re.fullmatch("[A-Z0-9]+", kind):
            raise GeodnsError(f"{self._draft.source}:{self._line}: a record without a `type`")
        if "geo" in body:
            self._remark("`geo` has no counterpart: its `values` alone are taken")
        ttl = self._ttl(body.get("ttl"))
        given = [one for one in _list(body.get("values", body.get("value"))) if one is not None]
        values = [self._value(one) for one in given]
        if "dynamic" in body:
            if kind in {"A", "AAAA"}:
                addresses = [one for one in values if isinstance(one, str)]
                if self._pools.dynamic(self._owner, kind, ttl, body, addresses, self._remark):
                    return
            else:
                self._remark("`dynamic` is of A and AAAA here: its `value` alone is taken")
        if not values:
            self._remark("left out: it has no value")
            return
        unique = [one for number, one in enumerate(values) if one not in values[:number]]
        if len(unique) < len(values):
            self._remark("the same value twice: written once")
        self._draft.name(self._owner).rrsets[kind] = DraftRrset(ttl, unique)

    def _ttl(self, text: Any) -> int:
        if text is None:
            return TTL
        if not isinstance(text, str) or not re.fullmatch("[0-9]{1,10}", text):
            raise GeodnsError(f"{self._draft.source}:{self._line}: the TTL {text!r} is no number of seconds")
        return int(text)

    def _value(self, value: Any) -> DraftValue:
        """Return a value in our words, which are octoDNS's but for old ones."""
        if isinstance(value, list):
            raise GeodnsError(f"{self._draft.source}:{self._line}: a list in a list of values")
        if not isinstance(value, dict):
            address = parse_address(str(value))
            return str(value) if address is None else str(address)
        if self._kind == "MX" and "exchange" not in value:
            value = {_LEGACY.get(word, word): one for word, one in value.items()}
        known = RECORD_TYPES.get(self._kind)
        if known is None:
            return {word: _number(one) for word, one in value.items()}
        if odd := [word for word in value if word not in known.names]:
            self._remark(f"{', '.join(f'`{word}`' for word in odd)} left out: no field of {self._kind}")
        fields = {word: _number(value[word]) for word in known.names if value.get(word) is not None}
        if self._kind in _ON_ONE_LINE and [*fields] == [*known.names]:
            return " ".join(map(str, fields.values()))
        return fields


def _name_servers(draft: ZoneDraft) -> None:
    """Move the apex's NS to `ns`; a zone without any gets one to be filled in."""
    apex = draft.name("@")
    found = apex.rrsets.get("NS")
    if found is None:
        draft.add_name_server()
        return
    draft.record_ttl = found.ttl
    del apex.rrsets["NS"]
    draft.ns |= {value: [] for value in found.values if isinstance(value, str)}


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
