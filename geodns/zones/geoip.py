"""Reads GeoIP files (MaxMind DB): the networks of the countries, continents and AS numbers that rules name.

It imports little: a process of its own runs it (`geoip_reader`). The library decodes records; the search tree
is walked here, since the library makes an object of every network and decodes its record anew, which takes
ten times as long for a file of a million networks.
"""

import io
import re
import stat
import sys
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import maxminddb
from maxminddb.decoder import Decoder

from geodns.model.address_ranges import NOWHERE, AddressRanges, Bounds, any_of
from geodns.zones.geoip_frames import KINDS, GeoipBuild, Kind, Name, Named

NOBODY = frozenset({"", "ZZ", 0})
"""The texts of files for an address that they do not know."""

SEPARATOR = 16
"""Bytes between the tree and the records."""

MAX_FILE = 512 << 20
"""Bytes; a City file has about 60 MiB."""

_AGAIN = "download it again"
_INSTEAD = "put a Country, City or ASN file (.mmdb) there"


class GeoipError(Exception):
    """A file cannot be used; the text says what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class GeoipFile:
    """A file in memory: the records of its tree's nodes, by side, and its data."""

    build: GeoipBuild
    nodes: int
    left: Sequence[int]
    right: Sequence[int]
    data: bytes
    data_start: int
    bits: int

    def leaves(self, family: int) -> Iterator[tuple[int, int, int]]:
        """Yield each record with its first address and the one behind its last, in the order of addresses.

        In a tree of IPv6 addresses the IPv4 ones are below ::/96. Other networks may lead there too
        (::ffff:0:0/96, 2002::/16 …): those are passed over.

        Args:
            family: 0 for IPv4, 1 for IPv6.

        Raises:
            ValueError: the tree is deeper than an address has bits.

        """
        nodes, left, right = self.nodes, self.left, self.right
        ipv4 = 0
        for _ in range(self.bits - 32):
            ipv4 = left[ipv4] if ipv4 < nodes else ipv4
        if family and self.bits == 32:
            return
        waiting = [(0, 0, 128) if family else (ipv4, 0, 32)]
        passed = ipv4 if family else nodes
        while waiting:
            record, first, height = waiting.pop()
            while record < nodes and record != passed:
                height -= 1
                waiting.append((right[record], first | 1 << height, height))
                record = left[record]
            if record > nodes:
                yield record, first, first + (1 << height)


def open_file(path: Path) -> GeoipFile:
    """Read a file into memory, so that whoever writes over it does no harm.

    Raises:
        GeoipError: it is no such file, or not all of it is there.

    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe or a device might never end
            raise GeoipError(f"is no file: {_INSTEAD}")
        if found.st_size > MAX_FILE:
            raise GeoipError(f"is larger than {MAX_FILE >> 20} MiB: {_INSTEAD}")
        data = path.read_bytes()
    except OSError as error:
        raise GeoipError(f"cannot be read ({error.strerror}): {_INSTEAD}") from error
    if not data:
        raise GeoipError(f"is empty: {_AGAIN}")
    try:
        about = maxminddb.open_database(io.BytesIO(data), maxminddb.MODE_FD).metadata()
        build = GeoipBuild(str(about.database_type), int(about.build_epoch))
        tree, nodes, version = about.search_tree_size, about.node_count, about.ip_version
    except Exception as error:
        # Bytes at random raise much more than the library's own error.
        raise GeoipError(f"is no MaxMind DB file, or not all of it: {_AGAIN}") from error
    if version not in {4, 6} or not 0 <= build.built < 1 << 32:
        raise GeoipError(f"is damaged: {_AGAIN}")
    left, right = _sides(data[:tree], about.record_size)
    return GeoipFile(build, nodes, left, right, data, tree + SEPARATOR, 128 if version == 6 else 32)


def _sides(tree: bytes, size: int) -> "tuple[array[int], array[int]]":
    """Return the left and the right records of all nodes; `size` is a record's in bits: 24, 28 or 32."""
    step = size // 4
    left, right = bytearray(len(tree) // step * 4), bytearray(len(tree) // step * 4)
    if size == 28:
        # The byte between the two has the highest bits of the left one, then those of the right one.
        middle = tree[3::7]
        left[0::4] = middle.translate(bytes(one >> 4 for one in range(256)))
        right[0::4] = middle.translate(bytes(one & 15 for one in range(256)))
    elif size == 32:
        left[0::4], right[0::4] = tree[0::8], tree[4::8]
    behind = step - 3
    begin = 0 if size < 32 else 1
    for place in range(3):
        left[place + 1 :: 4] = tree[begin + place :: step]
        right[place + 1 :: 4] = tree[behind + place :: step]
    return _numbers(left), _numbers(right)


def _numbers(big_endian: bytearray) -> "array[int]":
    found = array("I", bytes(big_endian))
    if sys.byteorder == "little":
        found.byteswap()
    return found


def known_of(record: object) -> dict[Kind, Name]:
    """Return what a record says of its addresses, in any of the layouts.

    MaxMind's and DB-IP's have `country.iso_code`, `continent.code` and `autonomous_system_number` (DB-IP's
    ISP files below `traits`); IPinfo's and others `country_code`, `continent_code` and `asn`. The country in
    which a network is registered counts for nothing: where MaxMind knows no other, users may be anywhere.
    """
    if not isinstance(record, dict):
        return {}
    said: dict[Kind, Iterator[Any]] = {
        "countries": _texts(record, ("country", "iso_code"), ("country_code",), ("country",)),
        "continents": _texts(record, ("continent", "code"), ("continent_code",), ("continent",)),
        "asns": _numbers_of_systems(record),
    }
    found = ((kind, next(names, "")) for kind, names in said.items())
    return {kind: name for kind, name in found if name not in NOBODY}


def _at(record: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = record
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _texts(record: Mapping[str, Any], *paths: tuple[str, ...]) -> Iterator[str]:
    for path in paths:
        found = _at(record, path)
        if isinstance(found, str) and len(found) == 2:
            yield found.upper()


def _numbers_of_systems(record: Mapping[str, Any]) -> Iterator[int]:
    for path in (("autonomous_system_number",), ("traits", "autonomous_system_number"), ("asn",)):
        found = _at(record, path)
        if isinstance(found, str):
            digits = found.upper().removeprefix("AS")
            found = int(digits) if re.fullmatch("[0-9]{1,10}", digits) else None
        if isinstance(found, int):
            yield found


class _Bounds:
    """What one file gives for one name or kind, by family; each as `AddressRanges` has it."""

    def __init__(self) -> None:
        self.ipv4 = array("Q")
        self.ipv6: list[int] = []

    def of(self, family: int) -> "array[int] | list[int]":
        return self.ipv6 if family else self.ipv4

    def ranges(self) -> AddressRanges:
        return AddressRanges(self.ipv4, tuple(self.ipv6))


class GeoipSearch:
    """Gathers the networks of some names from files, one after another: the first that knows an address wins.

    Attributes:
        kinds: what the files so far know of any address.

    """

    def __init__(self, names: Iterable[Named]) -> None:
        self._names = frozenset(names)
        self._ranges: dict[Named, AddressRanges] = {}
        self._taken: dict[Kind, AddressRanges] = {}
        """The addresses of which the files so far know this."""

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset(self._taken)

    def ranges(self) -> Mapping[Named, AddressRanges]:
        """Return the networks of each name that has any."""
        return self._ranges

    def add(self, file: GeoipFile) -> frozenset[Kind]:
        """Take the networks of a file; return what it knows of.

        Raises:
            GeoipError: it is damaged, or is of something else; nothing of it is taken.

        """
        known = _Records(file)
        found: dict[Named | Kind, _Bounds] = defaultdict(_Bounds)
        try:
            for family in (0, 1):
                self._gather(file, known, found, family)
        except MemoryError:
            raise
        except Exception as error:
            # A tree deeper than an address has bits, or a record of bytes at random.
            raise GeoipError(f"is damaged: {_AGAIN}") from error
        kinds = frozenset(kind for kind in KINDS if kind in found)
        if not kinds:
            raise GeoipError(f"({file.build.kind}) has neither countries nor AS numbers: {_INSTEAD}")
        for named, bounds in found.items():
            if isinstance(named, str):
                self._taken[named] = _union(self._taken.get(named), bounds.ranges())
            elif bounds.ipv4 or bounds.ipv6:
                self._ranges[named] = _union(self._ranges.get(named), bounds.ranges())
        return kinds

    def _gather(
        self, file: GeoipFile, known: "_Records", found: dict[Named | Kind, _Bounds], family: int
    ) -> None:
        """Walk through the addresses of a family in order, and note the bounds of what is named."""
        rows: dict[int, tuple[tuple[array[int] | list[int], Bounds], ...]] = {}
        for record, first, behind in file.leaves(family):
            targets = rows.get(record)
            if targets is None:
                named = known.of(record).items()
                keys = [(kind, key) for kind, name in named for key in (kind, (kind, name))]
                targets = rows[record] = tuple(
                    (found[key].of(family), self._taken_of(kind, family))
                    for kind, key in keys
                    if isinstance(key, str) or key in self._names
                )
            for bounds, taken in targets:
                for begin, end in _free(taken, first, behind) if taken else ((first, behind),):
                    if bounds and bounds[-1] == begin:
                        bounds[-1] = end
                    else:
                        bounds.extend((begin, end))

    def _taken_of(self, kind: Kind, family: int) -> Bounds:
        taken = self._taken.get(kind, NOWHERE)
        return taken.ipv6 if family else taken.ipv4


class _Records:
    """The records of a file, each read once, wherever it stands in the tree."""

    def __init__(self, file: GeoipFile) -> None:
        self._decoder = Decoder(file.data, file.data_start)
        self._offset = file.data_start - SEPARATOR - file.nodes
        self._least = file.data_start
        self._known: dict[int, dict[Kind, Name]] = {}

    def of(self, record: int) -> dict[Kind, Name]:
        known = self._known.get(record)
        if known is None:
            place = record + self._offset
            if place < self._least:
                raise ValueError("a record that lies within the tree")
            known = self._known[record] = known_of(self._decoder.decode(place)[0])
        return known


def _union(before: AddressRanges | None, more: AddressRanges) -> AddressRanges:
    return more if before is None else any_of((before, more))


def _free(taken: Bounds, first: int, behind: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a range that are not taken."""
    at = bisect_right(taken, first)
    while first < behind:
        until = min(taken[at], behind) if at < len(taken) else behind
        if not at % 2:
            yield first, until
        first = until
        at += 1
