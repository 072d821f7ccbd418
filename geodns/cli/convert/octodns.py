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

from geodns.cli.convert.bind import text_of_strings
from geodns.cli.convert.draft import DraftRrset, DraftValue, SourcePlace, ZoneDraft, zone_by_file
from geodns.config import yaml_nodes
from geodns.config.report import Report, quoted
from geodns.config.value_types import items_of, parse_address
from geodns.config.yaml_nodes import Mapping, Scalar, YamlNode
from geodns.errors import GeodnsError, Problem, ZoneError
from geodns.model.zone import MAX_ANSWERS
from geodns.zonefile.check_policy import NO_CHECK
from geodns.zonefile.record_fields import MAX_STRING
from geodns.zonefile.record_types import RECORD_TYPES

TTL = 3600
"""Seconds, where a record says none."""

_HOST_LABEL = 63
_FORWARD = {
    "ALIAS": "an alias at a name with other data has no counterpart: write its addresses",
    "URLFWD": "a redirection of URLs has no counterpart",
}
_LEGACY = {
    "MX": {"priority": "preference", "value": "exchange"},
    "DS": {
        "flags": "key_tag",
        "protocol": "algorithm",
        "algorithm": "digest_type",
        "public_key": "digest",
    },
}
"""Old words of fields, and what octoDNS calls them today; DS changed the meaning of one."""

AUTOMATIC_TTL = 300
"""Seconds: what Cloudflare makes of the TTL 1, which stands for "automatic"."""

_KEYS = frozenset({"type", "ttl", "value", "values", "octodns", "dynamic", "geo", "lenient"})
_SILENT = frozenset({"healthcheck", "lenient", "ignored", "cloudflare"})
"""Keys of `octodns` that are read elsewhere, or change nothing in the zone."""

MAX_INCLUDES = 1000
MAX_INCLUDED_DEPTH = 10
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
    zone = origin or zone_by_file(
        path, path.name.removesuffix(path.suffix).removeprefix("$").removesuffix(".")
    )
    files = _Includes(path)
    root = files.read(path)
    if root is not None and not isinstance(root, Mapping):
        what = f"{yaml_nodes.shown(root)}, not a mapping"
        files.problems.append(Problem(str(path), root.line, root.column, what, "write a mapping of names"))
    if not isinstance(root, Mapping) or files.problems:
        raise ZoneError(tuple(sorted(dict.fromkeys(files.problems))))
    root = merged(root)
    draft = ZoneDraft(zone, str(path))
    pools = DynamicPools(draft, {_owner(name, zone) for name in root.items})
    for name, (key, body) in root.items.items():
        owner = _owner(name, zone)
        for record in body.items if isinstance(body, yaml_nodes.Sequence) else [body]:
            if not isinstance(record, Mapping):
                text = f"{owner}: {yaml_nodes.shown(record)} where a record is expected"
                draft.problem(files.place(record), text, "write a mapping with a `type`")
                continue
            place = files.place(key if record is body else record)
            _RecordReader(draft, pools, files, owner, place, merged(record)).read()
    _name_servers(draft)
    return draft.checked()


class _Includes:
    """Reads a file and what it includes.

    Attributes:
        problems: of all of them.

    """

    def __init__(self, main: Path) -> None:
        self.problems: list[Problem] = []
        self._main = str(main)
        self._count = 0
        self._of: dict[int, tuple[str, YamlNode]] = {}  # kept, since an id is a node's only while that lives

    def place(self, node: YamlNode) -> SourcePlace:
        found = self._of.get(id(node))
        return SourcePlace(self._main if found is None else found[0], node.line)

    def read(self, path: Path, depth: int = 0) -> YamlNode | None:
        report = Report(str(path))

        def include(node: YamlNode) -> YamlNode:
            return self._include(path.parent, node, depth)

        try:
            text = path.read_bytes()
        except OSError as error:
            if not depth:
                raise GeodnsError(f"{path}: {error.strerror}") from error
            raise ValueError(f"{path}: {error.strerror}") from error
        node = yaml_nodes.load_any(text, report, "a mapping of names", {"!include": include})
        self.problems += report.problems()
        if depth and node is not None:
            self._mark(node, str(path))
        return node

    def _include(self, folder: Path, node: YamlNode, depth: int) -> YamlNode:
        """Return what `!include file`, or a list of files, stands for."""
        names = [one.text for one in items_of(node) if isinstance(one, Scalar)]
        if isinstance(node, Mapping) or not names:
            raise ValueError("`!include` without a file")
        self._count += len(names)
        if depth >= MAX_INCLUDED_DEPTH or self._count > MAX_INCLUDES:
            raise ValueError(f"too many files included at {names[0]!r}: does one include itself?")
        try:
            paths = [folder / Path(name).expanduser() for name in names]
        except RuntimeError as error:
            raise ValueError(f"{', '.join(names)}: no such user's home folder") from error
        found = [one for path in paths if (one := self.read(path, depth + 1)) is not None]
        if len(found) == 1:
            return found[0]
        whole = Mapping(node.line, node.column)
        for one in found:
            if not isinstance(one, Mapping):
                raise ValueError("several files included as one: each must be a mapping")  # noqa: TRY004
            whole.items |= one.items
        return whole

    def _mark(self, node: YamlNode, file: str) -> None:
        pending = [node]
        while pending:
            one = pending.pop()
            if id(one) in self._of:
                continue
            self._of[id(one)] = file, one
            if isinstance(one, yaml_nodes.Sequence):
                pending += one.items
            elif isinstance(one, Mapping):
                pending += [part for pair in one.items.values() for part in pair]


def merged(node: Mapping) -> Mapping:
    """Return a mapping with what its merge key (``<<``) brings in; its own keys win, then the first's."""
    key, value = node.items.get("<<", (None, None))
    if key is None or value is None or not key.plain:
        return node
    whole = Mapping(node.line, node.column)
    for one in reversed(items_of(value)):
        if isinstance(one, Mapping):
            whole.items |= merged(one).items
    whole.items |= {name: entry for name, entry in node.items.items() if name != "<<"}
    return whole


def _owner(name: str, zone: str) -> str:
    if name in {"", "@"} or name.lower() == zone:
        return "@"
    if not name.lower().endswith(f".{zone}"):
        return name
    return name[: -len(zone) - 1]


def plain(node: YamlNode) -> Any:
    """Turn a node into texts, lists and dictionaries; an empty one is None."""
    if isinstance(node, Scalar):
        return None if yaml_nodes.is_nothing(node) else node.text
    if isinstance(node, yaml_nodes.Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key: plain(value) for key, (_, value) in merged(node).items.items()}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _is_true(value: Any) -> bool:
    return str(value).lower() in {"true", "yes", "on"}


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
            host = self._host(base, address)
            before = found.get(host, (0, ""))[0]
            if host in found:
                remark(f"{address} stands twice in a pool: its weights are added")
            found[host] = (before + (int(weight) if weight.isdecimal() else 1), status)
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

    def __init__(
        self,
        draft: ZoneDraft,
        pools: DynamicPools,
        files: _Includes,
        owner: str,
        place: SourcePlace,
        node: Mapping,
    ) -> None:
        self._draft = draft
        self._pools = pools
        self._files = files
        self._owner = owner
        self._place = place
        self._node = node
        self._body: dict[str, Any] = plain(node)
        self._kind = str(self._body.get("type") or "").upper()

    def _remark(self, text: str) -> None:
        self._draft.remark(f"{self._kind}: {text}", place=self._place, owner=self._owner)

    def _problem(self, text: str, instead: str = "", at: YamlNode | None = None) -> None:
        place = self._place if at is None else self._files.place(at)
        self._draft.problem(place, f"{self._owner} {self._kind}".rstrip() + f": {text}", instead)

    def read(self) -> None:
        kind, body = self._kind, self._body
        if kind in _FORWARD:
            self._remark(f"left out: {_FORWARD[kind]}")
            return
        if not re.fullmatch("[A-Z0-9]+", kind):
            self._problem("a record without a `type`")
            return
        if _is_true(_mapping(body.get("octodns")).get("ignored")):
            self._remark("left out: octoDNS leaves it to others (`ignored`)")
            return
        self._strange()
        if "geo" in body:
            self._remark("`geo` has no counterpart: its `values` alone are taken")
        ttl = self._ttl(body.get("ttl"))
        values = self._values()
        if "dynamic" in body:
            if kind in {"A", "AAAA"}:
                addresses = [one for one, _ in values if isinstance(one, str)]
                if self._pools.dynamic(self._owner, kind, ttl, body, addresses, self._remark):
                    return
            else:
                self._remark("`dynamic` is of A and AAAA here: its `value` alone is taken")
        if not values:
            self._remark("left out: it has no value")
            return
        self._draft.put(self._owner, kind, ttl, values, self._place)

    def _strange(self) -> None:
        """Tell of keys that change what octoDNS publishes, or that nobody knows."""
        special = _mapping(self._body.get("octodns"))
        cloudflare = _mapping(special.get("cloudflare"))
        if _is_true(cloudflare.get("proxied")):
            self._remark("`proxied` has no counterpart: the world will see the value itself, not Cloudflare")
        odd = [f"`{word}`" for word in self._body if word not in _KEYS]
        odd += [f"`octodns.{word}`" for word in special if word not in _SILENT]
        odd += [f"`octodns.cloudflare.{word}`" for word in cloudflare if word not in {"proxied", "auto-ttl"}]
        if odd:
            self._remark(f"{', '.join(odd)} left out: no counterpart")

    def _ttl(self, text: Any) -> int:
        automatic = _is_true(_mapping(_mapping(self._body.get("octodns")).get("cloudflare")).get("auto-ttl"))
        if text == "1" or automatic:
            self._remark(f"its TTL is automatic: {AUTOMATIC_TTL} s are taken, as Cloudflare does")
            return AUTOMATIC_TTL
        if text is None:
            return TTL
        if not isinstance(text, str) or not re.fullmatch("[0-9]{1,10}", text):
            self._problem(f"the TTL {quoted(str(text))} is no number of seconds", at=self._node.get("ttl"))
            return TTL
        return int(text)

    def _values(self) -> list[tuple[DraftValue, SourcePlace]]:
        node = self._node.get("values") or self._node.get("value")
        found: list[tuple[DraftValue, SourcePlace]] = []
        for one in () if node is None else items_of(node):
            value = plain(one)
            if isinstance(value, list):
                self._problem("a list in a list of values", at=one)
            elif value is not None:
                found.append((self._value(value), self._files.place(one)))
        return found

    def _value(self, value: str | dict[str, Any]) -> DraftValue:
        """Return a value in our words, which are octoDNS's but for old ones."""
        if not isinstance(value, dict):
            if self._kind in {"TXT", "SPF"}:
                return _text(value)
            address = parse_address(value) if self._kind in {"A", "AAAA"} else None
            return value if address is None else str(address)
        if self._kind in _LEGACY and (self._kind != "DS" or value.keys() & {"flags", "public_key"}):
            value = _renamed(value, _LEGACY[self._kind])
        known = RECORD_TYPES.get(self._kind)
        if known is None:
            return {word: _number(one) for word, one in value.items()}
        if odd := [word for word in value if word not in known.names]:
            self._remark(f"{', '.join(f'`{word}`' for word in odd)} left out: no field of {self._kind}")
        fields = {word: _number(value[word]) for word in known.names if value.get(word) is not None}
        if self._kind in _ON_ONE_LINE and [*fields] == [*known.names]:
            return " ".join(map(str, fields.values()))
        return fields


def _renamed(value: dict[str, Any], words: dict[str, str]) -> dict[str, Any]:
    """Return fields with today's words for old ones; where both stand, today's wins."""
    old = {words[word]: one for word, one in value.items() if word in words}
    return old | {word: one for word, one in value.items() if word not in words}


def _text(value: str) -> str:
    r"""Return a TXT value as we write it: of escapes octoDNS knows ``\;`` alone."""
    if value.startswith('"'):
        value = value[1:-1] if len(value) > 1 and value.endswith('"') else value[1:]
        value = value.replace('" "', "")
    value = value.replace("\\;", ";")
    if value and "\\" not in value and value == value.strip() and not value.startswith('"'):
        return value
    data = value.encode()
    return text_of_strings(
        tuple(data[start : start + MAX_STRING] for start in range(0, max(1, len(data)), MAX_STRING))
    )


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
