"""Zones in octoDNS's YAML, dynamic records included → drafts.

What octoDNS calls a dynamic record of A or AAAA becomes hosts and pools; the catch-all rule says which pool
is dealt. Its `values`, the last resort that nothing checks, become a pool without a check at the chain's end.
"""

import re
from pathlib import Path
from typing import Any

from geodns import yamltext
from geodns.convert.draft import Draft, Rrset, Value
from geodns.convert.pools import Pools
from geodns.errors import GeodnsError
from geodns.report import Report
from geodns.scalars import parse_address
from geodns.yamltext import Mapping, Node, Scalar
from geodns.zonefile.kinds import RECORD_TYPES

TTL = 3600
"""Seconds, where a record says none."""

_FORWARD = {
    "ALIAS": "an alias at a name with other data has no counterpart: write its addresses",
    "URLFWD": "a redirection of URLs has no counterpart",
}
_LEGACY = {"priority": "preference", "value": "exchange"}
_ON_ONE_LINE = frozenset({"MX", "SRV"})
"""Types whose fields read well as one text."""


def read_octodns(path: Path, origin: str | None) -> Draft:
    """Read a zone in octoDNS's YAML.

    Args:
        path: the file, called like the zone.
        origin: the zone's absolute name; None: the file's name says.

    Raises:
        GeodnsError: the file cannot be read, or is no such zone.

    """
    report = Report(str(path))
    try:
        root = yamltext.load(path.read_bytes(), report)
    except OSError as error:
        raise GeodnsError(f"{path}: {error.strerror}") from error
    if root is None or report.errors:
        raise GeodnsError("; ".join(map(str, report.problems())))
    zone = origin or path.name.removesuffix(path.suffix).removesuffix(".") + "."
    draft = Draft(zone, str(path))
    pools = Pools(draft, {name or "@" for name in root.items})
    for name, (key, body) in root.items.items():
        owner = _owner(name, zone)
        for record in body.items if isinstance(body, yamltext.Sequence) else [body]:
            if not isinstance(record, Mapping):
                raise GeodnsError(
                    f"{path}:{record.line}:{record.column}: a record is a mapping with a `type`"
                )
            _Record(draft, pools, owner, key.line, record).read()
    _name_servers(draft)
    return draft


def _owner(name: str, zone: str) -> str:
    if name in {"", "@"}:
        return "@"
    return name.removesuffix(f".{zone}") if name.endswith(".") else name


def plain(node: Node) -> Any:
    """Return a node as texts, lists and dictionaries; nothing at all is None."""
    if isinstance(node, Scalar):
        return None if yamltext.is_nothing(node) else node.text
    if isinstance(node, yamltext.Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key: plain(value) for key, (_, value) in node.items.items()}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _number(value: Any) -> Any:
    """Return a whole number as one, which stands in YAML without quotes."""
    return int(value) if isinstance(value, str) and re.fullmatch("0|[1-9][0-9]{0,9}", value) else value


class _Record:
    """Reads one record: octoDNS's word for an RRset."""

    def __init__(self, draft: Draft, pools: Pools, owner: str, line: int, node: Mapping) -> None:
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
        self._draft.name(self._owner).rrsets[kind] = Rrset(ttl, unique)

    def _ttl(self, text: Any) -> int:
        if text is None:
            return TTL
        if not isinstance(text, str) or not re.fullmatch("[0-9]{1,10}", text):
            raise GeodnsError(f"{self._draft.source}:{self._line}: the TTL {text!r} is no number of seconds")
        return int(text)

    def _value(self, value: Any) -> Value:
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


def _name_servers(draft: Draft) -> None:
    """Move the apex's NS to `ns`; a zone without any gets one to be filled in."""
    apex = draft.name("@")
    found = apex.rrsets.get("NS")
    if found is None:
        draft.add_name_server()
        return
    draft.record_ttl = found.ttl
    del apex.rrsets["NS"]
    draft.ns |= {value: [] for value in found.values if isinstance(value, str)}
