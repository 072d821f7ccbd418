"""A zone file in the making: readers of other programs' zones fill a draft, `zone_file` writes it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from geodns.config import yaml_nodes
from geodns.config.report import MAX_SHOWN, Report
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.errors import BadNameError, GeodnsError, Problem, ZoneError, printable
from geodns.wire.names import labels_of
from geodns.zonefile.names import absolute, zone_name
from geodns.zonefile.record_fields import Context
from geodns.zonefile.record_types import kind_of
from geodns.zonefile.record_values import read_value

PLACEHOLDER = "192.0.2.53"
"""An address of TEST-NET-1 (RFC 5737): no machine has it."""

WIDTH = 100
"""Characters; a line gets longer only by a single value."""

_PLAIN = re.compile(r"[A-Za-z0-9_.*][A-Za-z0-9_./~=+@*%]*(?:[ -]+[A-Za-z0-9_./~=+@*%]+)*")
_RESOLVER = yaml.resolver.Resolver()
_TEXT = "tag:yaml.org,2002:str"
_UNITS = (("d", 86400), ("h", 3600), ("m", 60))

DraftValue = str | dict[str, Any]
"""A record's value in our YAML: text, or a mapping of fields or of a pool."""


class SourcePlace(NamedTuple):
    """A line of a source, counted from 1; 0 is the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{printable(self.file)}:{self.line}" if self.line else printable(self.file)


class DraftRemark(NamedTuple):
    """What has no counterpart, or not quite; `owner` is the name it is about, None the whole zone."""

    place: SourcePlace
    owner: str | None
    text: str

    def __str__(self) -> str:
        about = "" if self.owner is None else f"{printable(self.owner[:MAX_SHOWN])} "
        return f"{self.place}: {about}{self.text}"


@dataclass
class DraftRrset:
    """The TTL and values of a name and type."""

    ttl: int
    values: list[DraftValue]


@dataclass
class DraftName:
    """An owner name's RRsets by type, and the comments that belong there."""

    rrsets: dict[str, DraftRrset] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass
class ZoneDraft:
    """A zone file in the making.

    Attributes:
        origin: the zone's absolute name.
        source: the file that it is made from, as the operator gave it.
        ns: name servers and their addresses.
        names: by owner name, relative to the zone.
        remarks: what has no counterpart.
        notes: texts of the remarks that belong to no owner name.
        problems: what keeps the zone from being made.

    """

    origin: str
    source: str
    record_ttl: int = 3600
    soa: dict[str, str | int] = field(default_factory=dict)
    ns: dict[str, list[str]] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    hosts: dict[str, Any] = field(default_factory=dict)
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, DraftName] = field(default_factory=dict)
    remarks: list[DraftRemark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _spellings: dict[str, str] = field(default_factory=dict)
    _places: dict[tuple[str, str], SourcePlace] = field(default_factory=dict)

    def owner(self, text: str) -> str:
        """Return an owner name as the draft spells it: two that differ in case are one (RFC 4343)."""
        try:
            whole = absolute(text, self.origin)
        except BadNameError:  # our own reader will see
            whole = text
        return self._spellings.setdefault(whole, text.lower() if text.isascii() else text)

    def name(self, owner: str) -> DraftName:
        """Return the draft of an owner name; a new one is empty."""
        return self.names.setdefault(self.owner(owner), DraftName())

    def place_of(self, owner: str, kind: str) -> SourcePlace:
        """Return where an RRset stands first in the source, as far as is known."""
        return self._places.get((owner, kind), SourcePlace(self.source))

    def problem(self, place: SourcePlace, what: str, instead: str = "") -> None:
        """Note what keeps the zone from being made."""
        self.problems.append(Problem(place.file, place.line, 0, what, instead))

    def checked(self) -> "ZoneDraft":
        """Return the draft; raises ZoneError with all its problems."""
        if self.problems:
            raise ZoneError(tuple(sorted(dict.fromkeys(self.problems))))
        return self

    def put(
        self,
        owner: str,
        kind: str,
        ttl: int,
        values: list[tuple[DraftValue, SourcePlace]],
        place: SourcePlace,
    ) -> None:
        """Add values to an RRset, each once, however it is spelled; what cannot be read is a problem."""
        name = self.name(owner)
        self._places.setdefault((self.owner(owner), kind), place)
        rrset = name.rrsets.get(kind)
        if rrset is None:
            rrset = name.rrsets[kind] = DraftRrset(ttl, [])
        elif ttl != rrset.ttl:
            rrset.ttl = min(ttl, rrset.ttl)
            text = f"{kind} has several TTLs: one RRset has one (RFC 2181), the lowest"
            self.remark(text, place=place, owner=owner)
        seen = {self._key(owner, kind, value, None) for value in rrset.values}
        twice = False
        for value, at in values:
            key = self._key(owner, kind, value, at)
            if key in seen:
                twice = True
                continue
            seen.add(key)
            rrset.values.append(value)
        if twice:
            self.remark(f"{kind} has the same value twice: written once", place=place, owner=owner)

    def _key(self, owner: str, kind: str, value: DraftValue, place: SourcePlace | None) -> Any:
        """Return what makes two values the same record; reading finds problems, too."""
        if isinstance(value, dict) and "pool" in value:
            return repr(value)
        report = Report(self.source)
        known = kind_of(kind)
        read = None if known is None else read_value(known, _node(value), Context(self.origin, report))
        if place is not None and (problems := [one for one in report.problems() if not one.warning]):
            self.problems += [
                Problem(place.file, place.line, 0, f"{owner[:MAX_SHOWN]} {kind}: {one.what}", one.instead)
                for one in problems
            ]
        return repr(value) if read is None else read

    def remark(self, text: str, *, place: SourcePlace | None = None, owner: str | None = None) -> None:
        """Note that something has no counterpart here, or not quite."""
        self.remarks.append(DraftRemark(place or SourcePlace(self.source), owner, text))
        if owner is None:
            self.notes.append(text)
        else:
            self.name(owner).remarks.append(text)

    def add_name_server(self) -> None:
        """Add a name server that is to be filled in, for a zone that has none."""
        self.ns["ns1"] = [] if self.owner("ns1") in self.names else [PLACEHOLDER]
        self.remark("no NS at the zone's own name: CHANGE `ns` to this server's public name and address")


def _node(value: Any) -> YamlNode:
    if isinstance(value, dict):
        return yaml_nodes.Mapping(
            0, 0, {key: (Scalar(0, 0, key, plain=False), _node(one)) for key, one in value.items()}
        )
    if isinstance(value, list):
        return yaml_nodes.Sequence(0, 0, [_node(one) for one in value])
    return Scalar(0, 0, "" if value is None else str(value), plain=value is None)


_LAST_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def zone_by_file(path: Path, guess: str) -> str:
    """Return the absolute name of the zone that a file's name says; raises GeodnsError where it cannot be."""
    try:
        name = zone_name(guess)
    except BadNameError:
        name = ""
    if not _LAST_LABEL.fullmatch(name.rpartition(".")[2]):
        raise GeodnsError(f"{path}: its name says that the zone is {guess!r}, which cannot be: give --origin")
    return f"{name}."


def duration(seconds: int) -> str | int:
    """Write seconds as zone files have them: ``1h``, ``5m``, ``90``."""
    for unit, size in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return seconds


def scalar(value: str | int) -> str:
    """Write a text as YAML, without quotes where every program reads the same text then."""
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value) and not value.startswith("*") and _is_text(value):
        return value
    if "'" not in value and value.isprintable() and ("\\" in value or '"' in value):
        return f"'{value}'"
    return '"' + "".join(_escaped(letter) for letter in value) + '"'


def _is_text(value: str) -> bool:
    return bool(_RESOLVER.resolve(yaml.ScalarNode, value, (True, False)) == _TEXT)  # type: ignore[no-untyped-call]  # PyYAML's


def _escaped(letter: str) -> str:
    if letter in '\\"':
        return "\\" + letter
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"


def flow(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return "" if value is None else scalar(value)


class _Line(str):
    """A line of the new file, and what of the source it comes from, by column."""

    __slots__ = ("places",)
    places: list[tuple[int, SourcePlace]]


def zone_file(draft: ZoneDraft) -> str:
    """Write a draft as the text of a zone file."""
    return "\n".join(_lines(draft)) + "\n"


def at_source(draft: ZoneDraft, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield problems of the new file, those of records with the place where the source has them."""
    lines = list(_lines(draft))
    for problem in problems:
        line = lines[problem.line - 1] if 0 < problem.line <= len(lines) else ""
        places = line.places if isinstance(line, _Line) else []
        found = [place for column, place in places if column <= problem.column and place.line]
        if found:
            yield replace(problem, file=found[-1].file, line=found[-1].line, column=0)
        else:
            yield problem


def _lines(draft: ZoneDraft) -> Iterator[str]:
    yield f"# {printable(draft.origin[:-1])}, from {printable(draft.source)}"
    yield from (_comment(text, "") for text in draft.notes)
    yield ""
    yield f"record_ttl: {duration(draft.record_ttl)}"
    if draft.soa:
        yield f"soa: {flow(draft.soa)}"
    if draft.ns:
        places = [(0, draft.place_of("@", "NS"))]
        yield _placed("ns:", places)
        yield from (
            _placed(f"  {scalar(name)}: {flow(found[0] if len(found) == 1 else found)}", places)
            for name, found in draft.ns.items()
        )
    for title, section in (("checks", draft.checks), ("hosts", draft.hosts), ("pools", draft.pools)):
        if section:
            yield ""
            yield f"{title}:"
            yield from (f"  {scalar(name)}: {flow(found)}" for name, found in section.items())
    if draft.names:
        yield ""
        yield "records:" if any(name.rrsets for name in draft.names.values()) else "records: {}"
        for owner in sorted(draft.names, key=_order):
            yield from _name(owner, draft.names[owner], draft)


def _order(owner: str) -> tuple[bytes, ...]:
    """Sort a name behind its parent (RFC 4034 section 6.1)."""
    if owner == "@":
        return ()
    try:
        labels = labels_of(owner)
    except BadNameError:  # not ASCII, or none: our own reader will see
        labels = tuple(label.encode("utf-8", "replace") for label in owner.split("."))
    return tuple(reversed([label.lower() for label in labels]))


def _comment(text: str, indent: str) -> str:
    return f"{indent}# {printable(text)}"


def _placed(text: str, places: list[tuple[int, SourcePlace]]) -> _Line:
    line = _Line(text)
    line.places = places
    return line


def _name(owner: str, name: DraftName, draft: ZoneDraft) -> Iterator[str]:
    ttl = draft.record_ttl
    for remark in name.remarks:
        yield _comment(f"{owner[:MAX_SHOWN]}: {remark}", "  ")
    if not name.rrsets:
        return
    ttls = {rrset.ttl for rrset in name.rrsets.values()}
    dealt = any(_is_dealt(rrset) for rrset in name.rrsets.values())
    shared = ttls.pop() if len(ttls) == 1 else None
    items: dict[str, Any] = {}
    if shared is not None and (shared != ttl or dealt):
        items["ttl"] = duration(shared)
    for kind, rrset in name.rrsets.items():
        values: Any = rrset.values[0] if len(rrset.values) == 1 else rrset.values
        if shared is not None or (rrset.ttl == ttl and not _is_dealt(rrset)):
            items[kind] = values
        elif isinstance(values, dict) and "pool" in values:
            items[kind] = {**values, "ttl": duration(rrset.ttl)}
        else:
            word = "value" if len(rrset.values) == 1 else "values"
            items[kind] = {"ttl": duration(rrset.ttl), word: values}
    first = next(iter(name.rrsets))
    line = f"  {scalar(owner)}: {flow(items)}"
    if len(line) <= WIDTH:
        places, column = [(0, draft.place_of(owner, first))], len(f"  {scalar(owner)}: {{") + 1
        for kind, found in items.items():
            places.append((column, draft.place_of(owner, kind if kind in name.rrsets else first)))
            column += len(f"{scalar(kind)}: {flow(found)}, ")
        yield _placed(line, places)
        return
    yield _placed(f"  {scalar(owner)}:", [(0, draft.place_of(owner, first))])
    for kind, found in items.items():
        places = [(0, draft.place_of(owner, kind if kind in name.rrsets else first))]
        yield from (_placed(text, places) for text in _block(kind, found, "    "))


def _is_dealt(rrset: DraftRrset) -> bool:
    return any(isinstance(value, dict) and "pool" in value for value in rrset.values)


def _block(key: str, value: Any, indent: str) -> Iterator[str]:
    line = f"{indent}{scalar(key)}: {flow(value)}"
    if len(line) <= WIDTH or isinstance(value, str | int):
        yield line
    elif isinstance(value, list):
        yield f"{indent}{scalar(key)}:"
        yield from (f"{indent}  - {flow(one)}" for one in value)
    else:
        yield f"{indent}{scalar(key)}:"
        for inner, one in value.items():
            yield from _block(inner, one, indent + "  ")
