"""Which answer a zone has for a name: zone cuts, wildcards, CNAMEs (RFC 1034 section 4.3.2, RFC 4592)."""

from typing import NamedTuple

from geodns import edns, wire
from geodns.dealing import COUNTED_TYPES, State
from geodns.policy import Policy
from geodns.table import Node, Rotation, RotationKey, Table, ZoneTable
from geodns.wire import QNAME, Answer, Query

MAX_CHAIN = 16
"""CNAME records in an answer, at most."""

ANY_TTL = 3600
_ANY = Answer(wire.record(wire.HINFO, ANY_TTL, b"\x07RFC8482\x00"), an=1)
"""What ANY gets instead of everything (RFC 8482 section 4.2)."""


class Found(NamedTuple):
    """What is found for a query.

    Attributes:
        zone: the zone's name; empty: none of ours.
        rcode: with its upper bits.
        answer: the sections.
        authoritative: the AA bit.
        error: for whoever debugs: an extended error's option; empty is none.

    """

    zone: str
    rcode: int
    answer: Answer
    authoritative: bool = True
    error: bytes = b""


_NOT_OURS = edns.error_option(edns.EDE_NOT_AUTHORITATIVE)
_NOT_SUPPORTED = edns.error_option(edns.EDE_NOT_SUPPORTED)


def find(table: Table, query: Query, state: State) -> Found:
    """Answer a question that could be read."""
    if query.qclass == wire.CH:
        return _about_us(table.policy, query)
    if query.qclass != wire.IN or query.type in {wire.AXFR, wire.IXFR}:
        return refused(_NOT_SUPPORTED)
    zone = _zone_of(table, query.name)
    if zone is None:
        return refused(_NOT_OURS)
    return _Chain(table, zone, query, state).follow()


def refused(error: bytes) -> Found:
    """Return what is found by whoever asks in the wrong place."""
    return Found("", wire.REFUSED, wire.NOTHING, authoritative=False, error=error)


def _about_us(policy: Policy, query: Query) -> Found:
    """Answer a question of class CHAOS (RFC 4892)."""
    text = policy.chaos.get(query.name)
    if text is None or query.type not in {wire.TXT, wire.ANY}:
        return refused(b"")
    rdata = bytes((len(text),)) + text
    return Found("", wire.NOERROR, Answer(wire.record(wire.TXT, 0, rdata, rclass=wire.CH), an=1))


def _zone_of(table: Table, name: bytes) -> ZoneTable | None:
    """Return the zone with the longest matching name."""
    zone = table.zones.get(name)
    if zone is not None:
        return zone
    for parent in wire.parents(name):
        zone = table.zones.get(parent)
        if zone is not None:
            return zone
    return None


def _node_of(zone: ZoneTable, name: bytes) -> tuple[Node | None, bytes]:
    """Return the node that answers for a name in the zone, and that node's own name; None: no such name."""
    node = zone.nodes.get(name)
    if node is not None:
        return node, name
    for encloser in wire.parents(name):
        node = zone.nodes.get(encloser)
        if node is not None:
            if node.referral is not None:
                return node, encloser
            # The closest encloser's wildcard, and no other one (RFC 4592 section 3.3.1).
            wildcard = b"\x01*" + encloser
            return zone.nodes.get(wildcard), wildcard
    return None, name


def rotation_of(zone: ZoneTable, name: bytes, qtype: int) -> RotationKey | None:
    """Return the key of what is dealt for a name on the wire and a type, through wildcards and CNAMEs.

    None where nothing is dealt: the answer is fixed, or there is no such name.
    """
    for _ in range(MAX_CHAIN):
        node, _ = _node_of(zone, name)
        if node is None or node.referral is not None:
            return None
        found, alias = node.rrsets.get(qtype), node.rrsets.get(wire.CNAME)
        if found is not None or not isinstance(alias, Answer):
            return found if isinstance(found, RotationKey) else None
        name = wire.only_rdata(alias.body)
    return None


def _noted(rotation: Rotation) -> bytes:
    return edns.error_option(edns.EDE_OTHER, rotation.note) if rotation.note else b""


class _Chain:
    """One answer in the making: the question's name, or what its CNAMEs lead to."""

    def __init__(self, table: Table, zone: ZoneTable, query: Query, state: State) -> None:
        self.table = table
        self.zone = zone
        self.query = query
        self.state = state
        self.links: list[bytes] = []
        self.owner = QNAME
        """How the name that is looked at now is written in the message."""

    def follow(self) -> Found:
        """Look names up until there is an answer."""
        name = self.query.name
        seen: set[bytes] = set()
        while len(self.links) < MAX_CHAIN:
            seen.add(name)
            node, owner = _node_of(self.zone, name)
            if node is None:
                return self._done(wire.NXDOMAIN, self._no_data())
            if node.referral is not None and (owner != name or self.query.type != wire.DS):
                return self._referral(node.referral, owner)
            alias = node.rrsets.get(wire.CNAME)
            if not isinstance(alias, Answer) or self.query.type in {wire.CNAME, wire.ANY}:
                return self._rrset(node, owner, exact=owner == self.query.name)
            name = self._link(alias)
            if name in seen or _zone_of(self.table, name) is not self.zone:
                break
        return self._done(wire.NOERROR, wire.NOTHING)

    def _rrset(self, node: Node, owner: bytes, *, exact: bool) -> Found:
        if self.query.type == wire.ANY and node.rrsets:
            alias = node.rrsets.get(wire.CNAME)
            return self._done(wire.NOERROR, alias if isinstance(alias, Answer) else _ANY)
        entry = node.rrsets.get(self.query.type)
        if isinstance(entry, RotationKey):
            return self._rotation(self.table.rotations[entry], owner, exact=exact)
        answer = self._no_data() if entry is None else entry
        if exact and self._may_be_known():
            self.state.remember_answer(self.query, self.zone, answer)
        return self._done(wire.NOERROR, answer)

    def _rotation(self, rotation: Rotation, owner: bytes, *, exact: bool) -> Found:
        if not rotation.parts:
            if rotation.servfail:
                return Found(
                    self.zone.name, wire.SERVFAIL, wire.NOTHING, authoritative=False, error=_noted(rotation)
                )
            return self._done(wire.NOERROR, self._no_data())
        answers = list(self.state.deal(owner, rotation))
        if exact and len(rotation.parts) == 1 and self._may_be_known():
            self.state.remember_rotation(self.query, self.zone, rotation)
        body = b"".join(answer.body for answer in answers)
        found = self._done(wire.NOERROR, Answer(body, sum(answer.an for answer in answers)))
        return found._replace(error=_noted(rotation))

    def _may_be_known(self) -> bool:
        """Say whether the short way may answer: class IN, no CNAME, and a type that `lower` leaves alone."""
        query = self.query
        lowered = query.question[-4:].lower() != query.question[-4:]
        return (
            not self.links
            and query.qclass == wire.IN
            and query.type in COUNTED_TYPES
            and not lowered
            and not 0x61 <= query.type & 0xFF <= 0x7A
        )

    def _link(self, alias: Answer) -> bytes:
        """Add a CNAME record; return the name it leads to, which owns what comes next."""
        target = wire.only_rdata(alias.body)
        self.links.append(wire.renamed(alias.body, self.owner))
        written = wire.HEADER + len(self.query.question) + sum(len(link) for link in self.links)
        self.owner = wire.pointer(written - len(target)) or target
        return target

    def _written(self, name: bytes) -> bytes:
        """How a name is written behind the question: as a pointer into it where it is a suffix of that."""
        if name == self.query.name or name in wire.parents(self.query.name):
            return wire.pointer(wire.HEADER + len(self.query.name) - len(name)) or name
        return name

    def _referral(self, referral: Answer, cut: bytes) -> Found:
        body = wire.renamed(referral.body, self._written(cut))
        return self._done(wire.NOERROR, referral._replace(body=body), authoritative=bool(self.links))

    def _no_data(self) -> Answer:
        """The SOA in the authority section (RFC 2308 section 3)."""
        return Answer(wire.renamed(self.zone.negative, self._written(self.zone.origin)), ns=1)

    def _done(self, rcode: int, answer: Answer, *, authoritative: bool = True) -> Found:
        body = wire.renamed(answer.body, self.owner) if answer.an and self.owner != QNAME else answer.body
        whole = b"".join((*self.links, body))
        counted = answer._replace(body=whole, an=answer.an + len(self.links))
        return Found(self.zone.name, rcode, counted, authoritative)
