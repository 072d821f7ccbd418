"""The records that a zone's parent needs, and what is wrong with those that it has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Literal, NamedTuple

from geodns.model.base import Address, family_of
from geodns.model.zone import Zone
from geodns.wire.idn import to_unicode

TTL = 3600
"""Seconds that is suggested: long enough that resolvers seldom ask, short enough to move within the hour."""
LONG = 2 * 86400
"""Seconds from which a delegation's TTL makes a move of name servers slow."""

UNREACHABLE = "this machine has no way there (no IPv6?): ask from another one"
"""Trouble that is ours, and says nothing of the server."""

Level = Literal["error", "warning", "note"]


class DelegationFinding(NamedTuple):
    """Something to know or mend at the parent: an error loses queries, a warning may, a note does not."""

    level: Level
    text: str


class Entry(NamedTuple):
    """One record at the parent."""

    owner: str
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Delegation:
    """The name servers that the parent should name; names are absolute.

    Attributes:
        servers: the name servers and their glue: addresses of those that lie in the zone.

    """

    zone: str
    servers: Mapping[str, tuple[Address, ...]]

    @property
    def parent(self) -> str:
        """The most likely parent: the zone of the name above."""
        return self.zone.partition(".")[2] or "."

    @property
    def entries(self) -> list[Entry]:
        """The records: first who serves the zone, then where these are."""
        names = [Entry(self.zone, "NS", name) for name in self.servers]
        glue = [
            Entry(name, family_of(address), str(address))
            for name, addresses in self.servers.items()
            for address in addresses
        ]
        return names + glue


def delegation_of(zone: Zone) -> Delegation:
    """Take the name servers and their glue from a zone."""
    return Delegation(zone.origin, {server.name: server.addresses for server in zone.ns})


def master_lines(wanted: Delegation) -> list[str]:
    """Return the records as lines of a zone file, their names whole."""
    width = max((len(entry.owner) for entry in wanted.entries), default=0)
    return [
        f"{entry.owner:<{width}}  {TTL}  IN  {entry.type:<4}  {entry.value}".rstrip()
        for entry in wanted.entries
    ]


def form_fields(wanted: Delegation, parent: str) -> list[tuple[str, str, str, str]]:
    """Return the records as a web form asks for them: type, name within the parent, value, TTL."""
    suffix = f".{parent}" if parent != "." else "."
    return [
        (entry.type, entry.owner.removesuffix(suffix) or "@", entry.value.rstrip("."), str(TTL))
        for entry in wanted.entries
    ]


def describe_name(name: str) -> str:
    """Return a name with its Unicode beside it where it has any."""
    pretty = to_unicode(name)
    return name if pretty == name else f"{name} ({pretty})"


def remarks(wanted: Delegation) -> list[DelegationFinding]:
    """Judge a delegation without asking anybody (RFC 2182 section 3)."""
    found = []
    if len(wanted.servers) == 1:
        found.append(
            DelegationFinding(
                "warning", "one name server alone: with it the zone is gone; run a second one elsewhere"
            )
        )
    addresses = [address for some in wanted.servers.values() for address in some]
    outside = [name for name, some in wanted.servers.items() if not some]
    nets = {str(ip_network(f"{one}/{24 if one.version == 4 else 48}", strict=False)) for one in addresses}
    if len(addresses) > 1 and not outside and len(nets) == 1:
        found.append(
            DelegationFinding(
                "warning",
                f"all name servers are in {nets.pop()}: whatever cuts that off takes the zone away; put one "
                "elsewhere",
            )
        )
    found += [
        DelegationFinding(
            "warning",
            f"{name} {address} cannot be reached from the internet (private, loopback or for documentation): "
            "give its public address in `ns`",
        )
        for name, some in wanted.servers.items()
        for address in some
        if not address.is_global
    ]
    return found


# --- what the parent says -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParentSays:
    """The answer of one of the parent's servers.

    Attributes:
        server: its name and address.
        trouble: why there is no usable answer; None when there is one.
        names: the name servers that it refers to; empty: it does not delegate the zone.
        ttl: of the delegation, in seconds.
        other: types that it has at the name instead, as ``A``, ``CNAME``.
        missing: it says that the name does not exist.
        signed: it has a DS record for the zone.
        own: it serves the zone itself, so that its records as the parent cannot be seen.

    """

    server: str
    trouble: str | None = None
    names: frozenset[str] = frozenset()
    glue: Mapping[str, frozenset[Address]] = field(default_factory=dict)
    ttl: int = TTL
    other: tuple[str, ...] = ()
    missing: bool = False
    signed: bool = False
    own: bool = False


@dataclass(frozen=True, slots=True)
class ServerSays:
    """The answer of one of the zone's own name servers.

    Attributes:
        server: its name and address.
        trouble: by transport (``UDP``, ``TCP``), why it does not serve the zone there.
        serial: of its SOA; None where there was none.

    """

    server: str
    trouble: Mapping[str, str] = field(default_factory=dict)
    serial: int | None = None


def findings(
    wanted: Delegation, parent: str, parents: Sequence[ParentSays], servers: Sequence[ServerSays]
) -> list[DelegationFinding]:
    """Return what is missing or differs at the parent and the zone's own servers, the worst first."""
    found = [*_of_parents(wanted, parent, parents), *_of_servers(servers)]
    order: dict[str, int] = {"error": 0, "warning": 1, "note": 2}
    return sorted(dict.fromkeys(found), key=lambda one: order[one.level])


def _of_parents(
    wanted: Delegation, parent: str, parents: Sequence[ParentSays]
) -> Iterator[DelegationFinding]:
    if not parents:
        yield DelegationFinding("error", f"no name server of {parent} was found: is {parent} served at all?")
    answered = [one for one in parents if one.trouble is None]
    for one in parents:
        if one.trouble is not None:
            level: Level = "note" if one.trouble == UNREACHABLE else "warning" if answered else "error"
            yield DelegationFinding(level, f"{one.server} of {parent}: {one.trouble}")
    for one in answered:
        yield from _of_parent(wanted, parent, one)
    said = {(one.names, tuple(sorted(one.glue.items()))) for one in answered if not one.own}
    if len(said) > 1:
        yield DelegationFinding(
            "warning",
            f"the servers of {parent} do not say the same: an edit may be under way; ask again after a while",
        )


def _of_parent(wanted: Delegation, parent: str, said: ParentSays) -> Iterator[DelegationFinding]:
    if said.signed:
        yield DelegationFinding(
            "error",
            f"{parent} has a DS record for {wanted.zone}, which is not signed: resolvers that validate "
            "answer SERVFAIL; take the DS away",
        )
    if said.own:
        yield DelegationFinding(
            "note",
            f"{said.server} serves {wanted.zone} itself: what it has as {parent} cannot be seen from outside",
        )
    elif not said.names:
        yield _not_delegated(wanted, parent, said)
    else:
        yield from _names(wanted, parent, said)
        yield from _glue(wanted, parent, said)
        if said.ttl > LONG:
            yield DelegationFinding(
                "warning",
                f"the delegation is cached for {said.ttl // 3600} h: moves of name servers are slow",
            )


def _not_delegated(wanted: Delegation, parent: str, said: ParentSays) -> DelegationFinding:
    if said.other:
        kinds = ", ".join(said.other)
        return DelegationFinding(
            "error",
            f"{parent} has {kinds} at {wanted.zone} and no delegation: take that away, and put NS there",
        )
    why = " (it says that there is no such name)" if said.missing else ""
    return DelegationFinding(
        "error", f"{parent} does not delegate {wanted.zone}{why}: put the records above there"
    )


def _names(wanted: Delegation, parent: str, said: ParentSays) -> Iterator[DelegationFinding]:
    for name in sorted(wanted.servers.keys() - said.names):
        yield DelegationFinding("error", f"{parent} lacks NS {name}: add it")
    for name in sorted(said.names - wanted.servers.keys()):
        yield DelegationFinding(
            "error",
            f"{parent} has NS {name}, which the zone has not: take it away, or add it to `ns`",
        )


def _glue(wanted: Delegation, parent: str, said: ParentSays) -> Iterator[DelegationFinding]:
    for name in sorted(wanted.servers.keys() & said.names):
        has, needs = said.glue.get(name, frozenset()), set(wanted.servers[name])
        for address in _sorted(needs - has):
            yield DelegationFinding(
                "error", f"{parent} lacks the glue {name} {family_of(address)} {address}: add it"
            )
        for address in _sorted(has - needs if needs else ()):
            yield DelegationFinding(
                "error",
                f"{parent} has the glue {name} {family_of(address)} {address}, which the zone has not: take "
                "it away, or add it to `ns`",
            )


def _of_servers(servers: Sequence[ServerSays]) -> Iterator[DelegationFinding]:
    for one in servers:
        for transport, why in one.trouble.items():
            if why == UNREACHABLE:
                yield DelegationFinding("note", f"{one.server} was not asked: {why}")
            else:
                yield DelegationFinding(
                    "error", f"{one.server} does not serve the zone over {transport}: {why}"
                )
    serials = {one.serial for one in servers if one.serial is not None}
    if len(serials) > 1:
        yield DelegationFinding(
            "note",
            "the name servers have different serials, which is usual where each counts its own edits: "
            + ", ".join(f"{one.server} {one.serial}" for one in servers if one.serial is not None),
        )


def _sorted(addresses: Iterable[Address]) -> list[Address]:
    return sorted(addresses, key=lambda one: (one.version, int(one)))
