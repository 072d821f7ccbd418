"""Frames between control and the process that reads GeoIP files.

A request is a line of JSON. A report is a line of JSON, and behind it the bounds of all networks: of each
name the IPv4 ones in 8 bytes each, then the IPv6 ones in 16, in this machine's order of bytes. Of an IPv6
range that is the last address, since 16 bytes have no room for the one behind all.
"""

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, overload

from geodns.model.address_ranges import AddressRanges, Bounds

Kind = Literal["countries", "continents", "asns"]
"""The kinds of places that a file may know of an address, in the words of rules."""
KINDS: tuple[Kind, ...] = ("countries", "continents", "asns")

Name = str | int
"""The code of a country or continent in capitals, or the number of an autonomous system."""
Named = tuple[Kind, Name]

_LOW = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class GeoipBuild:
    """A file's type, and when it was built, in seconds since the epoch."""

    kind: str
    built: int


@dataclass(frozen=True, slots=True)
class GeoipRequest:
    """The files to read.

    Attributes:
        paths: of the files; the first that knows an address wins.
        copies: the folder where a copy of each is kept, for the day when the file is missing or damaged.
        names: whose networks are wanted.

    """

    paths: tuple[Path, ...]
    copies: Path
    names: frozenset[Named]


@dataclass(frozen=True, slots=True)
class GeoipFileReport:
    """The result of reading a file.

    Attributes:
        build: of what was read; None: nothing was.
        error: what is wrong with the file, and what to do; empty: nothing. With a `build`, that of the copy.
        unkept: why no copy is kept; empty: there is one.

    """

    build: GeoipBuild | None = None
    error: str = ""
    unkept: str = ""


@dataclass(frozen=True, slots=True)
class GeoipReport:
    """The result for each file in the order of the request, their kinds of names, and networks by name."""

    files: tuple[GeoipFileReport, ...] = ()
    kinds: frozenset[Kind] = frozenset()
    ranges: Mapping[Named, AddressRanges] = field(default_factory=dict)


def write_request(request: GeoipRequest) -> bytes:
    """Return the bytes of a request."""
    return _line(
        {
            "paths": [str(path) for path in request.paths],
            "copies": str(request.copies),
            "names": sorted(request.names, key=str),
        }
    )


def read_request(line: bytes) -> GeoipRequest:
    """Return the request of a line."""
    said = json.loads(line)
    return GeoipRequest(
        tuple(map(Path, said["paths"])),
        Path(said["copies"]),
        frozenset((kind, name) for kind, name in said["names"]),
    )


def write_report(report: GeoipReport) -> Iterator[bytes]:
    """Yield the bytes of a report."""
    yield _line(
        {
            "files": [asdict(one) for one in report.files],
            "kinds": sorted(report.kinds),
            "ranges": [(*name, len(one.ipv4), len(one.ipv6)) for name, one in report.ranges.items()],
        }
    )
    for one in report.ranges.values():
        yield array("Q", one.ipv4).tobytes()
        yield array("Q", _halves(one.ipv6)).tobytes()


def read_report(data: bytes) -> GeoipReport:
    """Read a whole report.

    Raises:
        ValueError: it is none, or not all of it.

    """
    line, _, packed = data.partition(b"\n")
    said = json.loads(line)
    if len(packed) != sum(8 * few + 16 * many for _, _, few, many in said["ranges"]):
        raise ValueError("not all of the networks are there")
    ranges: dict[Named, AddressRanges] = {}
    at = 0
    for kind, name, few, many in said["ranges"]:
        ipv4, halves = array("Q"), array("Q")
        ipv4.frombytes(packed[at : (at := at + 8 * few)])
        halves.frombytes(packed[at : (at := at + 16 * many)])
        ranges[kind, name] = AddressRanges(ipv4, PackedBounds(halves))
    files = tuple(
        GeoipFileReport(
            None if one["build"] is None else GeoipBuild(**one["build"]), one["error"], one["unkept"]
        )
        for one in said["files"]
    )
    return GeoipReport(files, frozenset(said["kinds"]), ranges)


class PackedBounds(Sequence[int]):
    """The bounds of IPv6 ranges as they were sent.

    As numbers they would take three times the memory, and as many seconds in which control does nothing else.
    """

    __slots__ = ("_halves",)
    __hash__ = None  # type: ignore[assignment]  # as an array

    def __init__(self, halves: "array[int]") -> None:
        self._halves = halves

    def __len__(self) -> int:
        return len(self._halves) // 2

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[int, ...]: ...

    def __getitem__(self, index: int | slice) -> int | tuple[int, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        at = range(len(self))[index]
        return (self._halves[2 * at] << 64 | self._halves[2 * at + 1]) + at % 2

    def __iter__(self) -> Iterator[int]:
        behind = 0
        for high, low in zip(self._halves[0::2], self._halves[1::2], strict=True):
            yield (high << 64 | low) + behind
            behind ^= 1

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PackedBounds):
            return self._halves == other._halves
        return tuple(self) == other

    def __reduce__(self) -> "tuple[Callable[[array[int]], Bounds], tuple[array[int]]]":
        return _unpacked, (self._halves,)


def _unpacked(halves: "array[int]") -> Bounds:
    """Return the bounds of a pickle: another process computes with them, and may take its time."""
    return tuple(PackedBounds(halves))


def _line(said: object) -> bytes:
    return json.dumps(said).encode() + b"\n"


def _halves(bounds: Bounds) -> Iterator[int]:
    for begin, behind in zip(bounds[0::2], bounds[1::2], strict=True):
        for one in (begin, behind - 1):
            yield one >> 64
            yield one & _LOW
