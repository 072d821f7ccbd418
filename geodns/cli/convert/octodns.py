"""Zones in octoDNS's YAML → drafts; dynamic records become pools in `octodns_dynamic`."""

import re
from pathlib import Path
from typing import Any

from geodns.cli.convert.bind import text_of_strings
from geodns.cli.convert.draft import DraftValue, SourcePlace, ZoneDraft, zone_by_file
from geodns.cli.convert.octodns_dynamic import DynamicPools
from geodns.cli.convert.octodns_files import OctodnsFiles, as_mapping, merged, plain
from geodns.config import yaml_nodes
from geodns.config.report import quoted
from geodns.config.value_types import items_of, parse_address
from geodns.config.yaml_nodes import Mapping, YamlNode
from geodns.errors import Problem, ZoneError
from geodns.zonefile.record_fields import MAX_STRING
from geodns.zonefile.record_types import RECORD_TYPES

TTL = 3600
"""Seconds, where a record says none."""

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
    files = OctodnsFiles(path)
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


def _owner(name: str, zone: str) -> str:
    if name in {"", "@"} or name.lower() == zone:
        return "@"
    if not name.lower().endswith(f".{zone}"):
        return name
    return name[: -len(zone) - 1]


def _is_true(value: Any) -> bool:
    return str(value).lower() in {"true", "yes", "on"}


def _number(value: Any) -> Any:
    """Turn a whole number into an int, which stands in YAML without quotes."""
    return int(value) if isinstance(value, str) and re.fullmatch("0|[1-9][0-9]{0,9}", value) else value


class _RecordReader:
    """Reads one record, as octoDNS calls an RRset."""

    def __init__(
        self,
        draft: ZoneDraft,
        pools: DynamicPools,
        files: OctodnsFiles,
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
        if _is_true(as_mapping(body.get("octodns")).get("ignored")):
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
                pool = self._pools.pool_of(self._owner, kind, body, addresses, self._remark)
                if pool == "":
                    return
                values = values if pool is None else [({"pool": pool}, self._place)]
            else:
                self._remark("`dynamic` is of A and AAAA here: its `value` alone is taken")
        if not values:
            self._remark("left out: it has no value")
            return
        self._draft.put(self._owner, kind, ttl, values, self._place)

    def _strange(self) -> None:
        """Tell of keys that change what octoDNS publishes, or that nobody knows."""
        special = as_mapping(self._body.get("octodns"))
        cloudflare = as_mapping(special.get("cloudflare"))
        if _is_true(cloudflare.get("proxied")):
            self._remark("`proxied` has no counterpart: the world will see the value itself, not Cloudflare")
        odd = [f"`{word}`" for word in self._body if word not in _KEYS]
        odd += [f"`octodns.{word}`" for word in special if word not in _SILENT]
        odd += [f"`octodns.cloudflare.{word}`" for word in cloudflare if word not in {"proxied", "auto-ttl"}]
        if odd:
            self._remark(f"{', '.join(odd)} left out: no counterpart")

    def _ttl(self, text: Any) -> int:
        automatic = _is_true(
            as_mapping(as_mapping(self._body.get("octodns")).get("cloudflare")).get("auto-ttl")
        )
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
