"""The section `records` of a zone file → fixed RRsets and rules, in a table by name and type."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Literal, NamedTuple, cast

from geodns.config import yaml_nodes
from geodns.config.report import quoted
from geodns.config.value_types import TTL, entries_of, whole
from geodns.config.yaml_nodes import Scalar, YamlNode, is_nothing, shown
from geodns.errors import BadNameError
from geodns.model.base import FAMILIES, Address, family_of
from geodns.model.zone import Record, Rule, Tier
from geodns.wire.encode import encode
from geodns.zonefile.names import is_strange_wildcard, owner
from geodns.zonefile.record_fields import Context, Value
from geodns.zonefile.record_types import SIGNING, kind_of, record_type, schemas
from geodns.zonefile.record_values import MAX_RDATA, read_value
from geodns.zonefile.views import PoolChoice, read_pool_choice

_MESSAGE = 65_535
"""Bytes of the largest DNS message."""
_AROUND = 12 + 255 + 4 + 11
"""Bytes of header, question and OPT at most."""
_RECORD = 12
"""Bytes of a record beside its data."""
_SURE = 16_000
"""Characters of values that surely fit."""

_PREFERENCE = {"MX": whole(0, 65535, "preference"), "SRV": whole(0, 65535, "priority")}
_RANK = {"MX": "preference", "SRV": "priority"}
"""The field that orders the pools of a type that takes several."""
_PLURALS = {"MX": "preferences", "SRV": "priorities"}
POOL_PORT = whole(1, 65535, "port")
_WRAPPER = frozenset({"ttl", "value", "values"})
_MISPLACED = {
    "SOA": "write it under `soa` of the zone",
    **dict.fromkeys(SIGNING, "signing is not known yet: take it out"),
    "type": "octoDNS's `type: A, value: …` is written `A: …` here",
}


class PlacedRrset(NamedTuple):
    """An RRset and where it stands.

    Attributes:
        of: the host or name server whose own address it is, as messages call it; empty for `records`.

    """

    at: YamlNode
    data: Record | Rule
    of: str = ""


Dealt = Literal["A", "AAAA", "MX", "SRV"]

Names = dict[str, dict[str, PlacedRrset]]
"""Owner name → type → RRset, of all but the SOA."""


class Ttls(NamedTuple):
    """The zone's TTLs: of rules, and of everything else."""

    dealt: int
    fixed: int


def record(owner: str, kind: str, ttl: int, values: tuple[Value, ...]) -> Record:
    """Return a record of parts that are checked already: pydantic would take longer than the reading."""
    return Record.model_construct(owner=owner, type=kind, ttl=ttl, values=values)


def add(names: Names, rrset: PlacedRrset, context: Context) -> None:
    """Put an RRset into the table; one that is there already must have the same values.

    That one is implied by a host, a name server or `ns`; the TTL of `records` wins.
    """
    kinds = names.setdefault(rrset.data.owner, {})
    first = kinds.setdefault(rrset.data.type, rrset)
    if first is rrset:
        return
    if (
        isinstance(first.data, Record)
        and isinstance(rrset.data, Record)
        and sorted(first.data.values) == sorted(rrset.data.values)
    ):
        if not rrset.of:
            kinds[rrset.data.type] = rrset._replace(of=first.of)
        return
    if rrset.data.type == "NS":
        what = "NS at the zone's own name differs from `ns`"
        context.report.error(rrset.at, what, "list its name servers under `ns` of the zone")
        return
    what = f"{rrset.data.type} of {rrset.data.owner} is the address of {first.of or rrset.of} already"
    context.report.error(rrset.at, what, "take this one out, or choose another name")


def add_addresses(
    names: Names, at: YamlNode, name: str, addresses: tuple[Address, ...], ttl: int, of: str, context: Context
) -> None:
    """Put a host's or a name server's own addresses into the table."""
    for family in FAMILIES:
        values = tuple((str(address),) for address in addresses if family_of(address) == family)
        if values:
            add(names, PlacedRrset(at, record(name, family, ttl, values), of), context)


def read_records(
    node: YamlNode, names: Names, pools: Mapping[str, object], ttls: Ttls, context: Context
) -> None:
    """Read `records` into the table."""
    report = context.report
    owners: dict[str, YamlNode] = {}
    for text, (key, body) in entries_of(
        node, report, "a mapping of names", "write `name: {TYPE: value}`"
    ).items():
        try:
            name = owner(text, context.origin)
        except BadNameError as error:
            what, _, instead = str(error).partition(": ")
            report.error(key, what, instead)
            continue
        if text.lower().endswith(f".{context.origin[:-1]}"):
            report.warn(
                key, f"{quoted(text)} without a final dot is {name[:120]}", f"write {quoted(text + '.')}"
            )
        if is_strange_wildcard(name.removesuffix(context.origin)):
            what = f"{quoted(text)}: an asterisk that is not the whole first label is no wildcard"
            report.warn(key, what, "write *.old, if it should be one")
        first = owners.setdefault(name, key)
        if first is not key:
            report.error(
                key, f"{name} is given twice", f"it stands at line {first.line} already: make them one"
            )
        for rrset in _NameReader(name, pools, ttls, context).read(body):
            if first is key:
                add(names, rrset, context)


def _fits(kind: str, values: Iterable[Value]) -> bool:
    """Tell whether an RRset fits a message, and each value a record."""
    sizes = [len(encode(kind, value)) for value in values]
    return max(sizes) <= MAX_RDATA and sum(sizes) + _RECORD * len(sizes) <= _MESSAGE - _AROUND


def _tier(choice: PoolChoice, preference: int = 0, port: int = 0) -> Tier:
    return Tier(pool=choice.pool, preference=preference, port=port, rules=choice.rules)


def _share_a_view(one: Tier, other: Tier) -> bool:
    """Say whether two tiers surely deal the same pool to some clients."""
    if one.pool == other.pool:
        return True
    pairs = [*zip(one.rules, other.rules, strict=False)]
    alike = len(one.rules) == len(other.rules) and all(first.when == second.when for first, second in pairs)
    return alike and any(first.use == second.use for first, second in pairs)


class _PlacedEntry(NamedTuple):
    """One value of an RRset and the TTL that goes with it."""

    at: YamlNode
    ttl: int | None


class _NameReader:
    """Reads what stands under one owner name."""

    def __init__(self, name: str, pools: Mapping[str, object], ttls: Ttls, context: Context) -> None:
        self._name = name
        self._pools = pools
        self._ttls = ttls
        self._context = context
        self._report = context.report

    def read(self, body: YamlNode) -> Iterator[PlacedRrset]:
        known = [*schemas(), "pool", "ttl"]
        items = entries_of(
            body, self._report, "a mapping of types", "write `{TYPE: value}`, as {A: 192.0.2.1}"
        )
        if not items and (is_nothing(body) or isinstance(body, yaml_nodes.Mapping)):
            self._report.error(body, "a name without records", "write `{TYPE: value}`, or take the name out")
        ttl: int | None = TTL.read(items["ttl"][1], self._report) if "ttl" in items else None
        for kind, (key, value) in items.items():
            name = kind_of(kind)
            if name is not None:
                if name != kind and name in items:
                    self._report.error(key, f"{kind} is {name}, which stands here too", "make them one")
                yield from self._rrset(name, key, value, ttl)
            elif kind == "pool":
                yield from self._short(key, value, ttl, items)
            elif kind in _MISPLACED:
                self._report.error(key, f"unknown key {quoted(kind)}", _MISPLACED[kind])
            elif kind != "ttl":
                self._report.unknown(key, "unknown key", kind, known)

    def _short(
        self, key: Scalar, value: YamlNode, ttl: int | None, items: Mapping[str, tuple[Scalar, YamlNode]]
    ) -> Iterator[PlacedRrset]:
        choice = read_pool_choice(value, self._report, self._pools)
        for family in FAMILIES:
            if family in items:
                self._report.error(
                    key, f"`pool` beside {family}", f"`pool` stands for A and AAAA: take {family} out"
                )
            elif choice is not None:
                yield PlacedRrset(key, self._rule(family, ttl, (_tier(choice),)))

    def _rule(self, kind: Dealt, ttl: int | None, tiers: tuple[Tier, ...]) -> Rule:
        ttl = self._ttls.dealt if ttl is None else ttl
        return Rule.model_construct(owner=self._name, type=kind, ttl=ttl, tiers=tiers)

    def _rrset(self, kind: str, key: Scalar, value: YamlNode, ttl: int | None) -> Iterator[PlacedRrset]:
        before = self._report.errors
        entries = list(self._entries(kind, value, ttl))
        if not entries and self._report.errors == before:
            self._report.error(
                value, f"{kind} without a value", f"write it as in {quoted(record_type(kind).example)}"
            )
        pooled = [isinstance(entry.at, yaml_nodes.Mapping) and "pool" in entry.at.items for entry in entries]
        if any(pooled) and not all(pooled):
            self._report.error(
                value, "pools and fixed values in one RRset", "write pools alone or values alone"
            )
            return
        default = self._ttls.dealt if any(pooled) else self._ttls.fixed
        ttls = [default if entry.ttl is None else entry.ttl for entry in entries]
        for entry, own in zip(entries, ttls, strict=True):
            if own != ttls[0]:
                what = f"mixed TTLs in {kind} of {self._name}: {ttls[0]} and {own}"
                self._report.error(entry.at, what, "one RRset has one TTL (RFC 2181 section 5.2)")
        data = self._dealt(kind, entries, ttls) if any(pooled) else self._fixed(kind, value, entries, ttls)
        if data is not None and self._report.errors == before:
            yield PlacedRrset(key, data)

    def _entries(
        self, kind: str, node: YamlNode, ttl: int | None, inside: str = ""
    ) -> Iterator[_PlacedEntry]:
        """Yield each value of lists and of `{ttl, value}`."""
        if isinstance(node, yaml_nodes.Sequence):
            if inside == "list":
                self._report.error(node, "a list in a list", "write one list of values")
                return
            for item in node.items:
                yield from self._entries(kind, item, ttl, "list")
            return
        if isinstance(node, yaml_nodes.Mapping):
            if "ttl" in node.items:
                own = TTL.read(node.items["ttl"][1], self._report)
                ttl = ttl if own is None else own
            if self._is_wrapper(kind, node):
                if inside == "value":
                    self._report.error(node, "`value` in `value`", "write the value itself")
                else:
                    yield from self._unwrapped(kind, node, ttl)
                return
        yield _PlacedEntry(node, ttl)

    def _unwrapped(self, kind: str, node: yaml_nodes.Mapping, ttl: int | None) -> Iterator[_PlacedEntry]:
        for word, (key, value) in node.items.items():
            if word not in _WRAPPER:
                self._report.unknown(key, "unknown key", word, _WRAPPER)
            elif word != "ttl":
                yield from self._entries(kind, value, ttl, "value")

    @staticmethod
    def _is_wrapper(kind: str, node: yaml_nodes.Mapping) -> bool:
        if "pool" in node.items:
            return False
        names = record_type(kind).names
        if len(names) > 1 and any(name in node.items for name in names if name != "value"):
            return False
        return "value" in node.items or "values" in node.items or set(node.items) == {"ttl"}

    def _fixed(
        self, kind: str, node: YamlNode, entries: list[_PlacedEntry], ttls: list[int]
    ) -> Record | None:
        values: dict[Value, None] = {}
        for entry in entries:
            if len(record_type(kind).names) == 1 and isinstance(entry.at, yaml_nodes.Mapping):
                self._no_fields(kind, entry.at)
                continue
            value = read_value(kind, entry.at, self._context, frozenset({"ttl"}))
            if value is None:
                continue
            if value in values:
                self._report.error(entry.at, f"{shown(entry.at)} is given twice", "take one out")
            values[value] = None
        if kind in {"CNAME", "DNAME"} and len(values) > 1:
            self._report.error(node, f"{len(values)} values of {kind}", "an alias has one target")
        if kind == "MX" and len(values) > 1 and any(value[1] == "." for value in values):
            self._report.warn(node, "a null MX beside others", '"0 ." stands alone (RFC 7505)')
        if sum(16 + sum(map(len, value)) for value in values) > _SURE and not _fits(kind, values):
            self._report.error(node, f"{kind} of {self._name} does not fit a DNS message", "write less")
        return record(self._name, kind, ttls[0], tuple(values)) if values else None

    def _no_fields(self, kind: str, node: yaml_nodes.Mapping) -> None:
        if any(":" in key for key in node.items):
            read_value(kind, node, self._context)
            return
        allowed = ["ttl", "value", "values", *(["pool"] if record_type(kind).pooled else [])]
        for word, (key, _) in node.items.items():
            if word not in allowed:
                self._report.unknown(key, "unknown key", word, allowed)
        if not node.items:
            self._report.error(
                node, f"{kind} without a value", f"write it as in {quoted(record_type(kind).example)}"
            )

    def _dealt(self, kind: str, entries: list[_PlacedEntry], ttls: list[int]) -> Rule | None:
        if not record_type(kind).pooled:
            self._report.error(entries[0].at, f"a pool under {kind}", "pools answer for A, AAAA, MX and SRV")
            return None
        rank = _RANK.get(kind)
        allowed = ["pool", "ttl", *([rank] if rank else []), *(["port"] if kind == "SRV" else [])]
        tiers: list[Tier] = []
        for entry in entries:
            assert isinstance(entry.at, yaml_nodes.Mapping)
            for word, (key, _) in entry.at.items.items():
                if word not in allowed:
                    self._report.unknown(key, "unknown key", word, allowed)
            choice = read_pool_choice(entry.at.items["pool"][1], self._report, self._pools)
            preference = self._preference(kind, entry.at, rank, alone=len(entries) == 1)
            port = self._port(entry.at) if kind == "SRV" else 0
            if choice is not None and preference is not None and port is not None:
                tiers.append(_tier(choice, preference, port))
        if rank is None and len(entries) > 1:
            self._report.error(
                entries[1].at, f"several pools under {kind}", "write one pool, and its `fallback`"
            )
        elif any(_share_a_view(one, other) for one, other in combinations(tiers, 2)):
            instead = "take all but one out"
            self._report.error(entries[-1].at, f"one pool at several {_PLURALS[kind]}", instead)
        return self._rule(cast(Dealt, kind), ttls[0], tuple(tiers)) if tiers else None

    def _preference(self, kind: str, at: yaml_nodes.Mapping, rank: str | None, *, alone: bool) -> int | None:
        """Read the preference or priority of a pool; None: the report says why not."""
        if rank is None:
            return 0
        if rank in at.items:
            read: int | None = _PREFERENCE[kind].read(at.items[rank][1], self._report)
            return read
        if not alone:
            self._report.error(at, f"a pool without its `{rank}` among several", "write it, as 10 and 20")
        return 10 if kind == "MX" else 0

    def _port(self, at: yaml_nodes.Mapping) -> int | None:
        if "port" in at.items:
            read: int | None = POOL_PORT.read(at.items["port"][1], self._report)
            return read
        self._report.error(at, "a pool under SRV without its `port`", "write it, as {pool: main, port: 587}")
        return None
