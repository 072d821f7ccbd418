"""Carries the names of a server's zones beside its heartbeat where they are too many for that.

They stand among its sums, as ``zones/0``, ``zones/1``…; the heartbeat says how many these are, and the digest
of all names. An earlier version passes these fields over, and hears a server without zones.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import cast

from pydantic import JsonValue

from geodns.model.shared import Heartbeat, ZoneContent
from geodns.storage.shared_messages import MAX_VALUE
from geodns.storage.shared_scripts import NODES

ZONES = "zones"
"""The digest in a heartbeat that says where its zones are."""
ROOM = MAX_VALUE - (6 << 10)
"""Bytes of zones in a heartbeat, beside the servers that are heard, and the rest."""
PART = 48 << 10
"""Bytes of a part."""
MOST_PARTS = 64
MOST_NODES = 2 * NODES

_FIELD = re.compile(r"zones/(0|[1-9][0-9]?)")
_PLACE = re.compile(r"([1-9][0-9]?) [0-9a-f]{32}")
_UNKNOWN = ZoneContent(digest="", serial=0)
"""Only names travel in parts; servers tell each other by HTTP what they serve of a zone."""


def is_part(field: str) -> bool:
    """Tell whether a field of the sums is one of ours."""
    return _FIELD.fullmatch(field) is not None


class OwnZones:
    """The parts that this server has written."""

    def __init__(self) -> None:
        self._written: dict[str, JsonValue] = {}
        self._names: frozenset[str] = frozenset()
        self._parts: list[list[str]] = []
        """Of these names; none: they fit into the heartbeat."""
        self._place = ""

    def there(self, fields: Iterable[str]) -> None:
        """Take which parts the store has from before a restart."""
        self._written = {**dict.fromkeys(fields), **self._written}

    def split(self, heartbeat: Heartbeat) -> tuple[Heartbeat, dict[str, JsonValue]]:
        """Return a heartbeat that fits into a value, and the sums that are to be written for it."""
        if self._names != heartbeat.zones.keys():
            self._names = frozenset(heartbeat.zones)
            names = sorted(self._names)
            self._parts = _parts(names) if _size(heartbeat.zones) > ROOM else []
            self._place = f"{len(self._parts)} {_digest(names)}"
        parts = self._parts
        if len(parts) > MOST_PARTS:
            return heartbeat, {}  # the writer says that these are too many
        wanted: dict[str, JsonValue] = {
            f"{ZONES}/{number}": cast(JsonValue, part) for number, part in enumerate(parts)
        }
        changes: dict[str, JsonValue] = dict.fromkeys(self._written.keys() - wanted.keys())
        changes |= {field: part for field, part in wanted.items() if self._written.get(field) != part}
        self._written = wanted
        if parts:
            told = {"zones": {}, "digests": {**heartbeat.digests, ZONES: self._place}}
            heartbeat = heartbeat.model_copy(update=told)
        return heartbeat, changes


class OthersZones:
    """The parts that other servers have written."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, tuple[str, ...]]] = {}
        self._whole: dict[str, tuple[str, Mapping[str, ZoneContent]]] = {}
        """By node: the place in its heartbeat, and the zones that were found there."""

    def take(self, node: str, field: str, content: JsonValue) -> None:
        """Take a part; what is none is passed over."""
        if isinstance(content, list) and all(
            isinstance(name, str) and 0 < len(name) < 256 for name in content
        ):
            if node not in self._parts and len(self._parts) >= MOST_NODES:
                self._parts.clear()
            self._parts.setdefault(node, {})[field] = tuple(map(str, content))

    def join(self, heartbeat: Heartbeat) -> Heartbeat:
        """Return a heartbeat with its zones; while parts are missing, with those known before."""
        place, node = heartbeat.digests.get(ZONES, ""), heartbeat.node
        match = _PLACE.fullmatch(place)
        if match is None or heartbeat.zones:
            self._whole.pop(node, None)
            return heartbeat
        known = self._whole.get(node)
        if known is None or known[0] != place:
            parts = self._parts.get(node, {})
            fields = [f"{ZONES}/{number}" for number in range(int(match[1]))]
            names = [name for field in fields for name in parts.get(field, ())]
            if f"{len(fields)} {_digest(names)}" == place:
                if len(self._whole) >= MOST_NODES:
                    self._whole.clear()
                known = self._whole[node] = place, dict.fromkeys(names, _UNKNOWN)
        return heartbeat if known is None else heartbeat.model_copy(update={"zones": known[1]})


def _size(zones: Mapping[str, ZoneContent]) -> int:
    """Return the bytes that zones take in a heartbeat, at most."""
    return sum(len(json.dumps(name)) + len(one.digest) + 40 for name, one in zones.items())


def _parts(names: Collection[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    size = 0
    for name in names:
        size += len(json.dumps(name)) + 2
        if size > PART:
            parts.append([])
            size = len(json.dumps(name)) + 2
        parts[-1].append(name)
    return parts


def _digest(names: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(names).encode(), digest_size=16).hexdigest()
