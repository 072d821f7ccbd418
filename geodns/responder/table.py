"""Table: the compiled answers that workers deal, and the changes that carry one Table into the next.

A Table is immutable and is swapped in one reference. It travels between processes as a run of `Change`s, each
small enough to be taken between two queries; `changes` makes them, `Draft` puts them together again.
"""

import hashlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from geodns.responder.answer_policy import DEFAULT, Policy
from geodns.wire import codes
from geodns.wire.message import Answer
from geodns.wire.names import parents

SLICE = 100
"""Names, keys or zones in one change: what a worker takes between two queries in well under 2 ms."""


class RotationKey(NamedTuple):
    """What a rotation is for; names that use the same key share it.

    Attributes:
        zone: the zone's name.
        type: A, AAAA or MX.
        ttl: seconds when all is well.
        tiers: pools and their MX preferences.

    """

    zone: str
    type: str
    ttl: int
    tiers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The cycle of one pool in a rotation.

    Attributes:
        pool: whose it is.
        answers: the distinct answers.
        index: the cycle, as positions in `answers`.
        sets: the hosts behind each distinct answer, in the order dealt.

    """

    pool: str
    answers: tuple[Answer, ...]
    index: "array[int]"
    sets: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Rotation:
    """The fixed cycle of ready answers of a key; answer *n* joins answer *n* modulo length of each part.

    Attributes:
        key: what it is for.
        parts: one a pool that is dealt from; none when there is nothing to deal.
        servfail: whether nothing to deal is SERVFAIL; else it is NODATA.
        note: for whoever debugs: what is odd about what is dealt; empty when all is well.

    """

    key: RotationKey
    parts: tuple[Part, ...]
    servfail: bool = False
    note: str = ""

    @cached_property
    def uid(self) -> bytes:
        """A digest by which counts of dealt answers find their hosts again, also after a restart."""
        sets = [(part.pool, part.sets) for part in self.parts]
        return hashlib.blake2b(repr((self.key, sets)).encode(), digest_size=12).digest()


class NameNode(NamedTuple):
    """What a zone has at an owner name; without any RRset it is an empty non-terminal.

    Attributes:
        rrsets: by type number: a fixed answer, or the key of the rotation to deal from.
        referral: the answer for everything at and below a zone cut (RFC 1034 section 4.2.1).

    """

    rrsets: Mapping[int, Answer | RotationKey] = MappingProxyType({})
    referral: Answer | None = None

    def __reduce__(self) -> tuple[type["NameNode"], tuple[dict[int, Answer | RotationKey], Answer | None]]:
        """Pickle the plain dict: a mapping proxy has no pickle."""
        return NameNode, (dict(self.rrsets), self.referral)


class Nodes(Mapping[bytes, NameNode]):
    """Nodes by owner name, in buckets: a large dict would move at once when it grows, and be freed at once.

    Args:
        names: how many there will be.

    """

    __slots__ = ("_buckets",)

    def __init__(self, names: int) -> None:
        self._buckets: list[dict[bytes, NameNode]] = [{} for _ in range(max(1, names // SLICE))]

    def add(self, nodes: Mapping[bytes, NameNode]) -> None:
        """Take some more, while nobody answers from them yet."""
        buckets = self._buckets
        for name, node in nodes.items():
            buckets[hash(name) % len(buckets)][name] = node

    def free(self) -> bool:
        """Free a bucket, when nobody answers from these nodes any more; say whether one is left."""
        self._buckets.pop()
        return bool(self._buckets)

    def __getitem__(self, name: bytes) -> NameNode:
        return self._buckets[hash(name) % len(self._buckets)][name]

    def get(self, name: bytes, default: Any = None) -> Any:
        """Return the node of a name; without an exception on the way when there is none."""
        return self._buckets[hash(name) % len(self._buckets)].get(name, default)

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self._buckets)

    def __len__(self) -> int:
        return sum(map(len, self._buckets))


class Match(NamedTuple):
    """What a zone has for a name.

    Attributes:
        node: what answers.
        owner: its name: the very one, that of a zone cut or a DNAME above, or the wildcard's.
        synthesized: whether the name does not exist, and a wildcard stands in (RFC 4592 section 3.3.1).

    """

    node: NameNode
    owner: bytes
    synthesized: bool = False

    @property
    def referral(self) -> Answer | None:
        """The answer at and below a zone cut; a wildcard delegates nothing (RFC 4592 section 4.2)."""
        return None if self.synthesized else self.node.referral

    def dname(self, name: bytes) -> bytes:
        """Return the DNAME record that a name lies below; empty: none."""
        if self.synthesized or self.owner == name:
            return b""
        found = self.node.rrsets.get(codes.DNAME)
        return found.body if isinstance(found, Answer) else b""


@dataclass(frozen=True, slots=True, eq=False)
class ZoneTable:
    """A zone's compiled names.

    Attributes:
        name: the zone's name, for counters.
        origin: the same on the wire, in lower case.
        negative: the SOA record of negative answers, its TTL by RFC 2308 section 5.
        nodes: by owner name on the wire, in lower case; nothing below a zone cut or a DNAME.

    """

    name: str
    origin: bytes
    negative: bytes
    nodes: Mapping[bytes, NameNode]

    def match(self, name: bytes) -> Match | None:
        """Return what answers for a name on the wire, in lower case; None: there is no such name.

        As RFC 1034 section 4.3.2 step 3 has it, with RFC 4592 section 3.3.1 and RFC 6672 section 3.2.
        """
        node = self.nodes.get(name)
        if node is not None:
            return Match(node, name)
        for encloser in parents(name):
            node = self.nodes.get(encloser)
            if node is not None:
                if node.referral is not None or codes.DNAME in node.rrsets:
                    return Match(node, encloser)
                # The closest encloser's wildcard, and no other one.
                wildcard = b"\x01*" + encloser
                node = self.nodes.get(wildcard)
                return None if node is None else Match(node, wildcard, synthesized=True)
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Everything that workers answer from.

    Attributes:
        zones: by their names on the wire, in lower case.
        rotations: every rotation that a node names.
        policy: how answers are given, whatever they are.

    """

    zones: Mapping[bytes, ZoneTable] = field(default_factory=dict)
    rotations: Mapping[RotationKey, Rotation] = field(default_factory=dict)
    policy: Policy = DEFAULT

    def has_zones_of(self, other: "Table") -> bool:
        """Say whether both have the very same zones, whatever their rotations."""
        return len(self.zones) == len(other.zones) and all(
            other.zones.get(origin) is zone for origin, zone in self.zones.items()
        )


EMPTY = Table()
