"""Table: the compiled answers that workers deal; immutable, replaced by swapping one reference."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from geodns.responder.answer_policy import DEFAULT, Policy
from geodns.responder.route_table import RouteTarget, TargetKey, ZoneRoutes
from geodns.responder.views import Partition
from geodns.wire import codes
from geodns.wire.message import Answer
from geodns.wire.names import parents

SLICE = 100
"""Names, keys or zones in one delta: what a worker takes between two queries in well under 2 ms."""


class RotationKey(NamedTuple):
    """Identifies a rotation; all names with the same key share it.

    Attributes:
        ttl: seconds when all is well.
        tiers: pools and their MX preferences or SRV priorities.
        ports: of SRV, one for each tier.
        arm: of an experiment, as ``new-mta/trial``: its answers are counted apart; empty: of none.

    """

    zone: str
    type: str
    ttl: int
    tiers: tuple[tuple[str, int], ...]
    ports: tuple[int, ...] = ()
    arm: str = ""


class ViewKey(NamedTuple):
    """Identifies `ClientViews`; all names with the same key share them.

    Attributes:
        lists: for each tier a digest of its rules and pools, and its preference or priority.
        owner: of an experiment; empty: of none.

    """

    zone: str
    type: str
    ttl: int
    lists: tuple[tuple[str, int], ...]
    ports: tuple[int, ...] = ()
    owner: str = ""


class View(NamedTuple):
    """The rotations of clients who are dealt alike.

    Attributes:
        keys: of the rotation; of several arms, one for each; None: there is no host of the family, so NODATA.
        bounds: the seat behind each key's last, the last one the number of all seats; empty: there is no
            experiment.
        seed: of the hash that gives a client its seat.
        near: whether a hash of the client's network decides, here or in a pool that picks by client.

    """

    keys: tuple[RotationKey | None, ...]
    bounds: tuple[int, ...] = ()
    seed: bytes = b""
    near: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ClientViews:
    """The views of names that share a list of rules, an experiment or a pool that picks by client.

    Attributes:
        partition: the key of a `Partition` of the Table, which numbers the views; empty: there is one view.

    """

    views: tuple[View, ...]
    partition: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The cycle of one pool in a rotation.

    Attributes:
        answers: the distinct answers.
        index: the cycle, as positions in `answers`; where the pool picks by client, one for each of
            `views.BUCKETS`.
        sets: the hosts behind each distinct answer, in the order dealt.
        seed: of the hash that gives a client its bucket; empty: answers are dealt in turn.

    """

    pool: str
    answers: tuple[Answer, ...]
    index: "array[int]"
    sets: tuple[tuple[str, ...], ...]
    seed: bytes = b""


@dataclass(frozen=True, eq=False)
class Rotation:
    """The fixed cycle of ready answers of a key; answer *n* joins answer *n* modulo length of each part.

    Attributes:
        parts: one for each pool that is dealt from; none when there is nothing to deal.
        servfail: whether nothing to deal is SERVFAIL; else it is NODATA.
        note: the text of an extended error (RFC 8914), when nobody in a pool is live; else empty.
        failover: whether an arm with nobody live deals the first arm's pool.

    """

    key: RotationKey
    parts: tuple[Part, ...]
    servfail: bool = False
    note: str = ""
    failover: bool = False

    def __repr__(self) -> str:
        return f"Rotation({self.key}, {[len(part.answers) for part in self.parts]} answers)"

    @cached_property
    def uid(self) -> bytes:
        """A digest of the content: counts of dealt answers find their hosts by it, also after a restart."""
        sets = [(part.pool, part.sets) for part in self.parts]
        return hashlib.blake2b(repr((self.key, sets)).encode(), digest_size=12).digest()

    def with_parts(self, parts: Iterable[Part]) -> "Rotation":
        """Return this rotation while its answers travel, and thereafter, by the same uid."""
        found = replace(self, parts=tuple(parts))
        vars(found)["uid"] = self.uid  # where `cached_property` keeps it
        return found


Rrset = Answer | RotationKey | ViewKey


class NameNode(NamedTuple):
    """The RRsets at an owner name; without any RRset it is an empty non-terminal.

    Attributes:
        rrsets: by type: a fixed answer, or the key of the rotation to deal from, or of the views that have
            such keys.
        referral: the answer for everything at and below a zone cut (RFC 1034 section 4.2.1).

    """

    rrsets: Mapping[int, Rrset] = MappingProxyType({})
    referral: Answer | None = None

    def __reduce__(self) -> tuple[type["NameNode"], tuple[dict[int, Rrset], Answer | None]]:
        # A mapping proxy cannot be pickled.
        return NameNode, (dict(self.rrsets), self.referral)


class Nodes(Mapping[bytes, NameNode]):
    """Nodes by owner name, in buckets: a large dict would move as a whole when it grows or is freed."""

    __slots__ = ("_buckets",)

    def __init__(self, names: int) -> None:
        self._buckets: list[dict[bytes, NameNode]] = [{} for _ in range(max(1, names // SLICE))]

    def add(self, nodes: Mapping[bytes, NameNode]) -> None:
        """Add nodes while no query is answered from these yet."""
        buckets = self._buckets
        for name, node in nodes.items():
            buckets[hash(name) % len(buckets)][name] = node

    def free(self) -> bool:
        """Free a bucket once no query is answered from these nodes any more; say whether one is left."""
        self._buckets.pop()
        return bool(self._buckets)

    def __getitem__(self, name: bytes) -> NameNode:
        return self._buckets[hash(name) % len(self._buckets)][name]

    def get(self, name: bytes, default: Any = None) -> Any:
        # Without the exception that `Mapping.get` catches.
        return self._buckets[hash(name) % len(self._buckets)].get(name, default)

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self._buckets)

    def __len__(self) -> int:
        return sum(map(len, self._buckets))


class Match(NamedTuple):
    """The node that answers for a name.

    Attributes:
        owner: the node's name: the one asked for, a zone cut or a DNAME above it, or a wildcard.
        synthesized: whether the name does not exist and a wildcard answers (RFC 4592 section 3.3.1).

    """

    node: NameNode
    owner: bytes
    synthesized: bool = False

    @property
    def referral(self) -> Answer | None:
        """The answer at and below a zone cut; a wildcard delegates nothing (RFC 4592 section 4.2)."""
        return None if self.synthesized else self.node.referral

    def dname(self, name: bytes) -> bytes:
        """Return the DNAME record above a name; empty: none."""
        if self.synthesized or self.owner == name:
            return b""
        found = self.node.rrsets.get(codes.DNAME)
        return found.body if isinstance(found, Answer) else b""


@dataclass(frozen=True, slots=True, eq=False)
class ZoneTable:
    """A zone's compiled names.

    Attributes:
        origin: the zone's name on the wire, in lower case.
        negative: the SOA record of negative answers, its TTL by RFC 2308 section 5.
        nodes: by owner name on the wire, in lower case; nothing below a zone cut or a DNAME.

    """

    name: str
    origin: bytes
    negative: bytes
    nodes: Mapping[bytes, NameNode]

    def __repr__(self) -> str:
        return f"ZoneTable({self.name}, {len(self.nodes)} names)"

    def match(self, name: bytes) -> Match | None:
        """Return the node that answers for a name on the wire, in lower case; None: there is no such name.

        RFC 1034 section 4.3.2 step 3, with RFC 4592 section 3.3.1 and RFC 6672 section 3.2.
        """
        node = self.nodes.get(name)
        if node is not None:
            return Match(node, name)
        for encloser in parents(name):
            node = self.nodes.get(encloser)
            if node is not None:
                if node.referral is not None or codes.DNAME in node.rrsets:
                    return Match(node, encloser)
                # Only the closest encloser's wildcard counts.
                wildcard = b"\x01*" + encloser
                node = self.nodes.get(wildcard)
                return None if node is None else Match(node, wildcard, synthesized=True)
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Everything that workers answer from; zones by their names on the wire, in lower case.

    Attributes:
        routes: by zone name; for the routes worker alone, as `targets` are.

    """

    zones: Mapping[bytes, ZoneTable] = field(default_factory=dict)
    rotations: Mapping[RotationKey, Rotation] = field(default_factory=dict)
    policy: Policy = DEFAULT
    views: Mapping[ViewKey, ClientViews] = field(default_factory=dict)
    partitions: Mapping[bytes, Partition] = field(default_factory=dict)
    routes: Mapping[str, ZoneRoutes] = field(default_factory=dict)
    targets: Mapping[TargetKey, RouteTarget] = field(default_factory=dict)

    def __repr__(self) -> str:
        # Else a failing test would print every answer of every zone.
        return f"Table({[*self.zones.values()]}, {len(self.rotations)} rotations)"

    def has_zones_of(self, other: "Table") -> bool:
        """Say whether both have the same zone objects, whatever their rotations."""
        return len(self.zones) == len(other.zones) and all(
            other.zones.get(origin) is zone for origin, zone in self.zones.items()
        )


EMPTY = Table()
