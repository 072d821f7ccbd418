"""Finds a zone's answer for a name: zone cuts, wildcards, aliases (RFC 1034 section 4.3.2, 4592, 6672)."""

from bisect import bisect_right
from typing import NamedTuple

from geodns.responder.answer_policy import Policy
from geodns.responder.rate_limit import ERROR, denied, empty, positive
from geodns.responder.table import (
    ClientViews,
    Match,
    Rotation,
    RotationKey,
    Table,
    View,
    ViewKey,
    ZoneTable,
)
from geodns.responder.views import (
    BUCKETS,
    NEAR,
    ClientNetwork,
    Partition,
    client_network,
    client_number,
    is_local,
)
from geodns.wire import codes, edns, records
from geodns.wire.message import HEADER, NOTHING, Answer, Query, question
from geodns.wire.names import QNAME, is_below, parents, pointer

MAX_CHAIN = 16
"""Aliases that an answer follows, at most."""

ANY_TTL = 3600
_ANY = Answer(records.record(codes.HINFO, ANY_TTL, b"\x07RFC8482\x00"), an=1)
"""The answer to ANY instead of everything (RFC 8482 section 4.2)."""


class ClientDeal:
    """The rotation of a client where the answer depends on it; workers keep many, so it is small.

    Attributes:
        views: the key of the name's views.
        key: of the rotation; None: NODATA.
        scope: bits of the client's network for which an answer with data holds; 0 where the client's own
            option does not decide.
        counted: for `Counts.networks`: zone, arm, and the client's seat; None: it is in no experiment.
        target: the rotation's number in a worker's cache.
        local: whether the client's own option decides and names a network that is not public.
        bucket: of the client, once `find_bucket` has looked.

    """

    __slots__ = ("bucket", "client", "counted", "key", "local", "scope", "target", "views")

    def __init__(self, views: ViewKey, key: RotationKey | None, client: ClientNetwork) -> None:
        self.views = views
        self.key = key
        self.client = client
        self.local = client.scoped and is_local(client)
        self.scope = 0
        self.counted: tuple[str, str, int] | None = None
        self.target = -1
        self.bucket = -1

    def find_bucket(self, seed: bytes) -> int:
        """Return the client's bucket where a pool picks by client; all pools do by the same seed."""
        if self.bucket < 0:
            self.bucket = client_number(seed, self.client, BUCKETS)
        return self.bucket


class LookupResult(NamedTuple):
    """A fixed answer, or the rotation that it is dealt from.

    Attributes:
        zone: the zone's name; empty: none of ours.
        rcode: with its upper bits.
        answer: the sections; where a rotation is dealt from, only the aliases that led to it.
        authoritative: the AA bit.
        error: an extended error's option (RFC 8914); empty: none.
        kind: what the answer counts as for the rate limit.
        rotation: what is dealt from; None: the answer is fixed.
        name: the name whose place in the rotation counts: the question's, an alias's target or a wildcard.
        owner: how the owner name of the dealt records is written.
        positions: of the answers dealt, one in each part; empty before `with_dealt`.
        exact: whether the very name in the question answers, not an alias's target or a wildcard: then the
            next one gets the same, or the next answer of the rotation.
        deal: why it is this rotation, where that depends on the client; None: it does not.

    """

    zone: str
    rcode: int
    answer: Answer
    authoritative: bool = True
    error: bytes = b""
    kind: bytes = ERROR
    rotation: Rotation | None = None
    name: bytes = b""
    owner: bytes = QNAME
    positions: tuple[int, ...] = ()
    exact: bool = False
    deal: ClientDeal | None = None

    @property
    def scope(self) -> int:
        """Bits of the client's network for which it holds: no answer without data tells (RFC 7871 7.4)."""
        return self.deal.scope if self.deal is not None and self.positions else 0

    def with_dealt(self, rotation: Rotation, positions: tuple[int, ...]) -> "LookupResult":
        """Return the result with these answers of its rotation, one of each part."""
        dealt = [part.answers[position] for part, position in zip(rotation.parts, positions, strict=True)]
        body = _owned_by(self.owner, b"".join([answer.body for answer in dealt]))
        extra = dict.fromkeys([one for answer in dealt for one in answer.extra])
        count = self.answer.an + sum([answer.an for answer in dealt])
        whole = Answer(self.answer.body + body, count, extra=tuple(extra))
        # `_replace` would take twice as long.
        return LookupResult(
            self.zone,
            self.rcode,
            whole,
            error=self.error,
            kind=self.kind,
            rotation=rotation,
            positions=positions,
            exact=self.exact,
            deal=self.deal,
        )


_NOT_OURS = edns.error_option(edns.EDE_NOT_AUTHORITATIVE)
_NOT_SUPPORTED = edns.error_option(edns.EDE_NOT_SUPPORTED)


def find(table: Table, query: Query, source: str = "") -> LookupResult:
    """Look up what a well-formed query asks for; `source` is the address that it came from."""
    if query.qclass == codes.CH:
        return _about_us(table.policy, query)
    if query.qclass != codes.IN or query.type in {codes.AXFR, codes.IXFR}:
        return _refused(_NOT_SUPPORTED)
    zone = _zone_for(table, query)
    if zone is None:
        return _refused(_NOT_OURS)
    return _Chain(table, zone, query, source).follow()


def _refused(error: bytes) -> LookupResult:
    return LookupResult("", codes.REFUSED, NOTHING, authoritative=False, error=error)


def _about_us(policy: Policy, query: Query) -> LookupResult:
    """Answer a question of class CHAOS (RFC 4892)."""
    text = policy.chaos.get(query.name)
    if text is None or query.type not in {codes.TXT, codes.ANY}:
        return _refused(b"")
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
    """Return the zone that answers: for the DS of a zone's own name the zone above (RFC 4035 3.1.4.1).

    If we have none above, or it does not delegate the name, the zone itself answers that it has no DS.
    """
    zone = _zone_of(table, query.name)
    if query.type == codes.DS and zone is not None and zone.origin == query.name != b"\0":
        above = _zone_of(table, next(parents(query.name)))
        match = None if above is None else above.match(query.name)
        if match is not None and match.referral is not None:
            return above
    return zone


def rrset_of(table: Table, name: bytes, qtype: int) -> RotationKey | ViewKey | None:
    """Return the key of what is dealt for a name on the wire and a type, through wildcards and aliases.

    None where nothing is dealt: the answer is fixed, or there is no such name.
    """
    query = Query(b"\0\0", 0, question(name, qtype), name, qtype, codes.IN, None)
    zone = _zone_for(table, query)
    if zone is None:
        return None
    chain = _Chain(table, zone, query, "")
    chain.follow()
    return chain.key


def views_of(table: Table, key: ViewKey) -> tuple[View, ...]:
    """Return all views behind a key; their positions are their numbers."""
    return table.views[key].views


def view_for(table: Table, key: ViewKey, client: ClientNetwork) -> tuple[int, View, int]:
    """Return a client's view, its number before it, and how many bits of the client's network decide that."""
    views = table.views[key]
    number, scope = (0, 0) if not views.partition else table.partitions[views.partition].find(client)
    view = views.views[number]
    return number, view, max(scope, NEAR[client.ipv6]) if view.near else scope


def deal_for(table: Table, key: ViewKey, client: ClientNetwork) -> ClientDeal:
    """Return what a client is dealt."""
    views = table.views[key]
    return deal_of(key, views, table.partitions.get(views.partition), client)


def deal_of(
    key: ViewKey, views: ClientViews, partition: Partition | None, client: ClientNetwork
) -> ClientDeal:
    """Return what a client is dealt of these views: its view's rotation, or that of its arm there."""
    number = scope = 0
    if partition is not None:
        if client.scoped:
            number, scope = partition.find(client)
        else:
            number = partition.number(client)
    keys, bounds, seed, near = views.views[number]
    seat = client_number(seed, client, bounds[-1]) if bounds else 0
    rotation = keys[bisect_right(bounds, seat)]
    deal = ClientDeal(key, rotation, client)
    if rotation is not None:
        if client.scoped:
            deal.scope = max(scope, NEAR[client.ipv6]) if near else scope
        if bounds and rotation.arm:
            deal.counted = key.zone, rotation.arm, seat
    return deal


def _alias(match: Match, name: bytes) -> bytes | None:
    """Return the CNAME record at a name, or the one that a DNAME above makes for it."""
    dname = match.dname(name)
    if dname:
        return records.cname_from_dname(dname, name, match.owner)
    alias = match.node.rrsets.get(codes.CNAME)
    return alias.body if isinstance(alias, Answer) else None


def _owned_by(owner: bytes, records_: bytes) -> bytes:
    return records_ if owner == QNAME else records.with_owner(records_, owner)


class _Chain:
    """A lookup that follows aliases.

    It never leaves the zone of the question, as in Knot and BIND, but not in NSD: a resolver has no reason
    to believe one zone's server about another zone, and asks again.
    """

    def __init__(self, table: Table, zone: ZoneTable, query: Query, source: str) -> None:
        self.table = table
        self.zone = zone
        self.query = query
        self.source = source
        self.key: RotationKey | ViewKey | None = None
        """Of what is dealt at the end of the aliases."""
        self.name = query.name
        """The name that is looked up now; `at` is its offset in the message."""
        self.at = HEADER
        self.written = HEADER + len(query.question)
        """The message's length so far."""
        self.links: list[bytes] = []
        """The aliases from the question's name to this one."""
        self.redirected: set[bytes] = set()
        """The owners of the DNAME records among them."""
        self.node = query.name
        """The name of the node that answers, which may be a wildcard, a zone cut or a DNAME."""

    def follow(self) -> LookupResult:
        seen: set[bytes] = set()
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
            if dname and match.owner not in self.redirected:
                self.redirected.add(match.owner)
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
        if self.query.type == codes.ANY and rrsets:
            alias = rrsets.get(codes.CNAME)
            return self._done(codes.NOERROR, alias if isinstance(alias, Answer) else _ANY)
        if self.query.type == codes.DNAME and match.owner == self.name and self.name in self.redirected:
            return self._done(codes.NOERROR, NOTHING)  # it is in the answer already (RFC 2181 section 5)
        exact = match.owner == self.query.name and not self.links
        entry = rrsets.get(self.query.type)
        if isinstance(entry, RotationKey):
            self.key = entry
            return self._rotation(self.table.rotations[entry], exact=exact)
        if isinstance(entry, ViewKey):
            self.key = entry
            return self._dealt(entry, exact=exact)
        return self._done(codes.NOERROR, self._no_data() if entry is None else entry, exact=exact)

    def _dealt(self, key: ViewKey, *, exact: bool) -> LookupResult:
        """Return the rotation of the client's view."""
        asked = self.query.edns
        client = client_network(b"" if asked is None else asked.subnet, self.source)
        deal = deal_for(self.table, key, client)
        if deal.key is None:
            found = self._done(codes.NOERROR, self._no_data(), exact=exact)
        else:
            found = self._rotation(self.table.rotations[deal.key], exact=exact)
        return found._replace(deal=deal)

    def _rotation(self, rotation: Rotation, *, exact: bool) -> LookupResult:
        zone = self.zone.name
        error = edns.error_option(edns.EDE_OTHER, rotation.note) if rotation.note else b""
        if not rotation.parts:
            if not rotation.servfail:
                return self._done(codes.NOERROR, self._no_data())._replace(rotation=rotation)
            return LookupResult(
                zone, codes.SERVFAIL, NOTHING, authoritative=False, error=error, rotation=rotation
            )
        return LookupResult(
            zone,
            codes.NOERROR,
            Answer(b"".join(self.links), an=len(self.links)),
            error=error,
            kind=positive(self.node, self._counted_type()),
            rotation=rotation,
            name=self.node,
            owner=self._written(self.name),
            exact=exact,
        )

    def _written(self, name: bytes) -> bytes:
        """Return a name as a pointer, if it is a suffix of the present name or the question's."""
        for whole, at in ((self.name, self.at), (self.query.name, HEADER)):
            if is_below(whole, name) and (short := pointer(at + len(whole) - len(name))):
                return short
        return name

    def _referral(self, referral: Answer, cut: bytes) -> LookupResult:
        body = records.with_owner(referral.body, self._written(cut))
        return self._done(codes.NOERROR, referral._replace(body=body), authoritative=bool(self.links))

    def _no_data(self) -> Answer:
        """Return the SOA in the authority section (RFC 2308 section 3)."""
        return Answer(records.with_owner(self.zone.negative, self._written(self.zone.origin)), ns=1)

    def _done(
        self, rcode: int, answer: Answer, *, authoritative: bool = True, exact: bool = False
    ) -> LookupResult:
        body = _owned_by(self._written(self.name), answer.body) if answer.an else answer.body
        whole = answer._replace(body=b"".join((*self.links, body)), an=answer.an + len(self.links))
        kind = self._kind(rcode, whole)
        return LookupResult(self.zone.name, rcode, whole, authoritative, kind=kind, exact=exact)

    def _kind(self, rcode: int, answer: Answer) -> bytes:
        if rcode == codes.NXDOMAIN:
            return denied(self.zone.origin)
        return positive(self.node, self._counted_type()) if answer.an else empty(self.node)

    def _counted_type(self) -> int:
        # An alias answers every type, and must not have a limit for each.
        return codes.CNAME if self.links else self.query.type
