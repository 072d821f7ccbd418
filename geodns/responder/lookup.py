"""Which answer a zone has for a name: zone cuts, wildcards, aliases (RFC 1034 section 4.3.2, 4592, 6672)."""

from typing import NamedTuple

from geodns.responder.answer_policy import Policy
from geodns.responder.rate_limit import ERROR, denied, empty, positive
from geodns.responder.table import Match, Rotation, RotationKey, Table, ZoneTable
from geodns.responder.worker_state import COUNTED_TYPES, WorkerState
from geodns.wire import codes, edns, records
from geodns.wire.message import HEADER, NOTHING, Answer, Query
from geodns.wire.names import QNAME, is_below, parents, pointer

MAX_CHAIN = 16
"""Aliases that an answer follows, at most."""

ANY_TTL = 3600


_ANY = Answer(records.record(codes.HINFO, ANY_TTL, b"\x07RFC8482\x00"), an=1)
"""What ANY gets instead of everything (RFC 8482 section 4.2)."""


class LookupResult(NamedTuple):
    """What is found for a query.

    Attributes:
        zone: the zone's name; empty: none of ours.
        rcode: with its upper bits.
        answer: the sections.
        authoritative: the AA bit.
        error: for whoever debugs: an extended error's option; empty is none.
        kind: what the answer counts as for the rate limit.

    """

    zone: str
    rcode: int
    answer: Answer
    authoritative: bool = True
    error: bytes = b""
    kind: bytes = ERROR


_NOT_OURS = edns.error_option(edns.EDE_NOT_AUTHORITATIVE)
_NOT_SUPPORTED = edns.error_option(edns.EDE_NOT_SUPPORTED)


def find(table: Table, query: Query, state: WorkerState) -> LookupResult:
    """Answer a question that could be read."""
    if query.qclass == codes.CH:
        return _about_us(table.policy, query)
    if query.qclass != codes.IN or query.type in {codes.AXFR, codes.IXFR}:
        return refused(_NOT_SUPPORTED)
    zone = _zone_for(table, query)
    if zone is None:
        return refused(_NOT_OURS)
    return _Chain(table, zone, query, state).follow()


def refused(error: bytes) -> LookupResult:
    """Return what is found by whoever asks in the wrong place."""
    return LookupResult("", codes.REFUSED, NOTHING, authoritative=False, error=error)


def _about_us(policy: Policy, query: Query) -> LookupResult:
    """Answer a question of class CHAOS (RFC 4892)."""
    text = policy.chaos.get(query.name)
    if text is None or query.type not in {codes.TXT, codes.ANY}:
        return refused(b"")
    rdata = bytes((len(text),)) + text
    answer = Answer(records.record(codes.TXT, 0, rdata, rclass=codes.CH), an=1)
    return LookupResult("", codes.NOERROR, answer, kind=positive(query.name, query.type))


def _zone_of(table: Table, name: bytes) -> ZoneTable | None:
    """Return the zone with the longest matching name."""
    zone = table.zones.get(name)
    if zone is not None:
        return zone
    for parent in parents(name):
        zone = table.zones.get(parent)
        if zone is not None:
            return zone
    return None


def _zone_for(table: Table, query: Query) -> ZoneTable | None:
    """Return the zone that answers; for the DS of a zone's own name that is the one above (RFC 4035 3.1.4.1).

    If we have none above, or none that delegates the name, the zone itself says that it has no DS.
    """
    zone = _zone_of(table, query.name)
    if query.type == codes.DS and zone is not None and zone.origin == query.name != b"\0":
        above = _zone_of(table, next(parents(query.name)))
        match = None if above is None else above.match(query.name)
        if match is not None and match.referral is not None:
            return above
    return zone


def rotation_of(zone: ZoneTable, name: bytes, qtype: int) -> RotationKey | None:
    """Return the key of what is dealt for a name on the wire and a type, through wildcards and aliases.

    None where nothing is dealt: the answer is fixed, or there is no such name.
    """
    for _ in range(MAX_CHAIN):
        match = zone.match(name)
        if match is None or match.referral is not None:
            return None
        found = None if match.dname(name) else match.node.rrsets.get(qtype)
        alias = _alias(match, name)
        if found is not None or alias is None:
            return found if isinstance(found, RotationKey) else None
        name = records.rdata_of(alias).lower()
    return None


def _alias(match: Match, name: bytes) -> bytes | None:
    """Return the CNAME record that a name has, or that a DNAME above makes for it; None: there is none."""
    dname = match.dname(name)
    if dname:
        return records.cname_from_dname(dname, name, match.owner)
    alias = match.node.rrsets.get(codes.CNAME)
    return alias.body if isinstance(alias, Answer) else None


def _noted(rotation: Rotation) -> bytes:
    return edns.error_option(edns.EDE_OTHER, rotation.note) if rotation.note else b""


class _Chain:
    """One answer in the making: the question's name, or what its aliases lead to.

    It never leaves the zone of the question. Knot and BIND do not either, though NSD does: a resolver has no
    reason to believe one zone's server about another zone, and asks again.
    """

    def __init__(self, table: Table, zone: ZoneTable, query: Query, state: WorkerState) -> None:
        self.table = table
        self.zone = zone
        self.query = query
        self.state = state
        self.name = query.name
        """What is looked at now; `at` is where it stands in the message, whole."""
        self.at = HEADER
        self.written = HEADER + len(query.question)
        self.links: list[bytes] = []
        """The records that led from the question's name to this one."""
        self.node = query.name
        """The name of what answers: of a wildcard, a zone cut or a DNAME its own."""

    def follow(self) -> LookupResult:
        """Look names up until there is an answer."""
        seen: set[bytes] = set()
        redirected: set[bytes] = set()
        for _ in range(MAX_CHAIN):
            seen.add(self.name)
            match = self.zone.match(self.name)
            self.node = self.node if match is None else match.owner
            if match is not None and match.referral is not None:
                if self.query.type != codes.DS or match.owner != self.name:
                    return self._referral(match.referral, match.owner)
            elif self.links and _zone_of(self.table, self.name) is not self.zone:
                break
            if match is None:
                return self._done(codes.NXDOMAIN, self._no_data())
            dname = match.dname(self.name)
            alias = _alias(match, self.name)
            if dname and match.owner not in redirected:
                redirected.add(match.owner)
                self._add(dname, match.owner)
            if dname and alias is None:
                return self._done(codes.YXDOMAIN, NOTHING)
            if alias is None or (not dname and self.query.type in {codes.CNAME, codes.ANY}):
                return self._rrset(match)
            self._add(alias, self.name)
            target = records.rdata_of(alias)
            self.name, self.at = target.lower(), self.written - len(target)
            if self.name in seen or self.query.type == codes.CNAME:
                break
        return self._done(codes.NOERROR, NOTHING)

    def _add(self, record: bytes, owner: bytes) -> None:
        link = records.with_owner(record, self._written(owner))
        self.links.append(link)
        self.written += len(link)

    def _rrset(self, match: Match) -> LookupResult:
        rrsets = match.node.rrsets
        exact = match.owner == self.query.name
        if self.query.type == codes.ANY and rrsets:
            alias = rrsets.get(codes.CNAME)
            return self._done(codes.NOERROR, alias if isinstance(alias, Answer) else _ANY)
        entry = rrsets.get(self.query.type)
        if isinstance(entry, RotationKey):
            return self._rotation(self.table.rotations[entry], match.owner, exact=exact)
        answer = self._no_data() if entry is None else entry
        if exact and self._may_be_known():
            self.state.remember_answer(self.query, self.zone, answer)
        return self._done(codes.NOERROR, answer)

    def _rotation(self, rotation: Rotation, owner: bytes, *, exact: bool) -> LookupResult:
        if not rotation.parts:
            if rotation.servfail:
                return LookupResult(
                    self.zone.name, codes.SERVFAIL, NOTHING, authoritative=False, error=_noted(rotation)
                )
            return self._done(codes.NOERROR, self._no_data())
        answers = list(self.state.deal(owner, rotation))
        if exact and len(rotation.parts) == 1 and self._may_be_known():
            self.state.remember_rotation(self.query, self.zone, rotation)
        body = b"".join(answer.body for answer in answers)
        extra = tuple(dict.fromkeys(one for answer in answers for one in answer.extra))
        joined = Answer(body, sum(answer.an for answer in answers), extra=extra)
        return self._done(codes.NOERROR, joined)._replace(error=_noted(rotation))

    def _may_be_known(self) -> bool:
        """Say whether the short way may answer: class IN, no CNAME, and a type that `lower` leaves alone."""
        query = self.query
        lowered = query.question[-4:].lower() != query.question[-4:]
        return (
            not self.links
            and query.qclass == codes.IN
            and query.type in COUNTED_TYPES
            and not lowered
            and not 0x61 <= query.type & 0xFF <= 0x7A
        )

    def _written(self, name: bytes) -> bytes:
        """How a name is written next: as a pointer where it is a suffix of this name or the question's."""
        for whole, at in ((self.name, self.at), (self.query.name, HEADER)):
            if is_below(whole, name) and (short := pointer(at + len(whole) - len(name))):
                return short
        return name

    def _referral(self, referral: Answer, cut: bytes) -> LookupResult:
        body = records.with_owner(referral.body, self._written(cut))
        return self._done(codes.NOERROR, referral._replace(body=body), authoritative=bool(self.links))

    def _no_data(self) -> Answer:
        """The SOA in the authority section (RFC 2308 section 3)."""
        return Answer(records.with_owner(self.zone.negative, self._written(self.zone.origin)), ns=1)

    def _done(self, rcode: int, answer: Answer, *, authoritative: bool = True) -> LookupResult:
        owner = self._written(self.name)
        body = records.with_owner(answer.body, owner) if answer.an and owner != QNAME else answer.body
        whole = b"".join((*self.links, body))
        counted = answer._replace(body=whole, an=answer.an + len(self.links))
        return LookupResult(self.zone.name, rcode, counted, authoritative, kind=self._kind(rcode, counted))

    def _kind(self, rcode: int, answer: Answer) -> bytes:
        if rcode == codes.NXDOMAIN:
            return denied(self.zone.origin)
        # An alias answers whatever type is asked: or there would be a limit for each.
        rtype = codes.CNAME if self.links else self.query.type
        return positive(self.node, rtype) if answer.an else empty(self.node)
