"""Decides which rule fits a message, by what a protocol tells of it."""

import contextlib
from collections.abc import Sequence
from enum import Enum
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

from geodns.errors import BadNameError
from geodns.responder.route_index import MANY, RECIPIENT, SENDER, USER, Network, RouteIndex
from geodns.responder.route_patterns import NULL_SENDER, fits, fits_any
from geodns.responder.route_table import CompiledRule, ZoneRoutes
from geodns.wire.idn import to_ascii

LONGEST = 1000
"""Characters of a local part or a user name that count; no real one has so many."""
LONGEST_DOMAIN = 255
"""Characters of a domain; one with more is none."""


CONDITIONS = ("recipient", "sender", "class", "client", "sasl", "size", "provider")
"""Those of a rule, by their keys in the zone file, in the order in which they are read."""


class Carried(Enum):
    """What a protocol can tell of a message."""

    ALL = "all"
    RECIPIENT = "recipient"
    SENDER = "sender"


class RouteQuery(NamedTuple):
    """What is told of a message; None: nothing.

    Attributes:
        recipient: by `normal_address`.
        sender: likewise; `NULL_SENDER` for bounces.
        client: an address in words.
        size: bytes.
        provider: of the recipient's domain; empty: nobody known; None: nobody looked yet.

    """

    recipient: str | None = None
    sender: str | None = None
    mail_class: str | None = None
    client: str | None = None
    sasl: str | None = None
    size: int | None = None
    provider: str | None = None


class Undecided(Enum):
    """Why no rule is named."""

    NO_RULE = "no rule fits"
    LOCAL = "the recipient is local"
    STOPPED = "an earlier rule asks what the map does not tell"
    PROVIDER = "a rule asks for the provider, and nobody has looked yet"


def normal_address(address: str) -> str:
    """Return an address as rules have it: lower case, its domain in A-labels without final dot.

    Of what is too long to be an address little is left, so that nobody pays for it.
    """
    if not address or address == NULL_SENDER:
        return NULL_SENDER
    local, at, domain = address.rpartition("@")
    if not at:
        local, domain = domain, ""
    if len(domain) > LONGEST_DOMAIN:
        domain = ""
    domain = domain.lower()
    with contextlib.suppress(BadNameError):
        domain = to_ascii(domain)
    return f"{local[:LONGEST].lower()}@{domain.removesuffix('.')}"


def domain_of(address: str) -> str:
    """Return the domain of a normal address; empty where it has none."""
    return address.rpartition("@")[2] if address != NULL_SENDER else ""


def decide(routes: ZoneRoutes, query: RouteQuery, carried: Carried = Carried.ALL) -> CompiledRule | Undecided:
    """Return the first rule that fits, or why none is named.

    `Undecided.PROVIDER` comes back only where it decides: look it up and ask again with it, or with
    an empty one.
    """
    if query.recipient is not None and is_local(routes, query.recipient):
        return Undecided.LOCAL
    provider = known_provider(query)
    if carried is not Carried.ALL:
        return _decide_by_one(routes, query, provider, carried)
    index = routes.index
    client = _number(query.client) if index.full.clients else None
    found = index.full.candidates(
        query.recipient, query.sender, query.mail_class, provider, client, _user(query)
    )
    for position in found:
        rule = routes.rules[position]
        if _fits(index, position, rule, query, provider):
            return Undecided.PROVIDER if rule.provider and provider is None else rule
    return Undecided.NO_RULE


def _decide_by_one(
    routes: ZoneRoutes, query: RouteQuery, provider: str | None, carried: Carried
) -> CompiledRule | Undecided:
    """Decide for a map that tells one thing: where a rule asks for more, or for nothing, it stops."""
    index = routes.index
    if carried is Carried.RECIPIENT:
        found = index.by_recipient.candidates(query.recipient, None, None, provider, None, None)
    else:
        found = index.by_sender.candidates(None, query.sender, None, "", None, None)
    # Where a rule of a provider that may be the recipient's stops, and so does the next that fits whichever
    # it is, nobody need look it up.
    stops = False
    for position in found:
        rule = routes.rules[position]
        if not _fits_carried(index, position, rule, query, provider, carried):
            continue
        asks = carried is Carried.RECIPIENT and bool(rule.provider) and provider is None
        more = not rule.conditional or _asks_more(rule, carried)
        if not (asks and more):
            end = Undecided.STOPPED if more else rule
            return end if not asks and (more or not stops) else Undecided.PROVIDER
        stops = True
    return Undecided.PROVIDER if stops else Undecided.NO_RULE


def is_local(routes: ZoneRoutes, recipient: str) -> bool:
    """Say whether mail to a normal address is never routed.

    Without a domain, or with an address in its place, it may be for the asking machine itself (RFC 5321
    sections 4.1.3 and 4.5.1).
    """
    domain = domain_of(recipient)
    return not names_domain(domain) or routes.index.local.fits(domain)


def names_domain(domain: str) -> bool:
    """Say whether the domain of an address is a name, and not empty or an address in brackets."""
    return bool(domain) and not domain.startswith("[")


def holds(  # noqa: PLR0911 - one a condition
    routes: ZoneRoutes, position: int, condition: str, query: RouteQuery
) -> bool:
    """Say whether one condition of a rule holds; a provider that nobody looked up may be any.

    Args:
        routes: with the rule.
        position: of the rule, from 0.
        condition: by its key in the zone file.
        query: what is told.

    """
    index, rule = routes.index, routes.rules[position]
    match condition:
        case "recipient":
            return not rule.recipient or _fits_some(
                index, position, RECIPIENT, rule.recipient, query.recipient
            )
        case "sender":
            return not rule.sender or _fits_some(index, position, SENDER, rule.sender, query.sender)
        case "class":
            return not rule.mail_class or query.mail_class in rule.mail_class
        case "client":
            return not rule.client or _in_some(index, position, rule.client, query.client)
        case "sasl":
            return not rule.sasl or _fits_some_user(index, position, rule.sasl, _user(query))
        case "size":
            return rule.over is None or (query.size is not None and query.size > rule.over)
        case _:
            provider = known_provider(query)
            return not rule.provider or provider is None or provider in rule.provider


def known_provider(query: RouteQuery) -> str | None:
    """Return who runs the recipient's mail; empty: nobody, as where there is no domain; None: look it up."""
    if query.provider is None and not domain_of(query.recipient or NULL_SENDER):
        return ""
    return query.provider


# --- one rule -------------------------------------------------------------------------------------------


def _fits(
    index: RouteIndex, position: int, rule: CompiledRule, query: RouteQuery, provider: str | None
) -> bool:
    """Say whether all conditions of a rule hold, those first that cost least."""
    _, _, recipient, sender, classes, providers, client, users, over, _, _, _ = rule
    return (
        (not providers or provider is None or provider in providers)
        and (not classes or query.mail_class in classes)
        and (over is None or (query.size is not None and query.size > over))
        and (not recipient or _fits_some(index, position, RECIPIENT, recipient, query.recipient))
        and (not sender or _fits_some(index, position, SENDER, sender, query.sender))
        and (not client or _in_some(index, position, client, query.client))
        and (not users or _fits_some_user(index, position, users, _user(query)))
    )


def _fits_carried(
    index: RouteIndex,
    position: int,
    rule: CompiledRule,
    query: RouteQuery,
    provider: str | None,
    carried: Carried,
) -> bool:
    """Say whether the conditions hold that a map can meet."""
    if carried is Carried.SENDER:
        return not rule.sender or _fits_some(index, position, SENDER, rule.sender, query.sender)
    return (not rule.provider or provider is None or provider in rule.provider) and (
        not rule.recipient or _fits_some(index, position, RECIPIENT, rule.recipient, query.recipient)
    )


def _asks_more(rule: CompiledRule, carried: Carried) -> bool:
    other = rule.sender if carried is Carried.RECIPIENT else (*rule.recipient, *rule.provider)
    return bool(other or rule.mail_class or rule.client or rule.sasl or rule.over is not None)


def _fits_some(
    index: RouteIndex, position: int, place: int, patterns: Sequence[str], address: str | None
) -> bool:
    if address is None:
        return False
    if len(patterns) < MANY:
        return fits_any(patterns, address)
    return index.sets[position, place].fits_address(address)


def _fits_some_user(index: RouteIndex, position: int, patterns: Sequence[str], user: str | None) -> bool:
    if user is None:
        return False
    if len(patterns) < MANY:
        return any(fits(one, user) for one in patterns)
    return index.sets[position, USER].fits(user)


def _in_some(index: RouteIndex, position: int, networks: Sequence[Network], client: str | None) -> bool:
    known = _number(client)
    if known is None:
        return False
    if len(networks) < MANY:
        return _in_any(networks, known)
    number, ipv6 = known
    return any(
        of_ipv6 == ipv6 and number - number % size in firsts
        for (size, of_ipv6), firsts in index.networks[position].items()
    )


def _in_any(networks: Sequence[Network], known: tuple[int, bool]) -> bool:
    number, ipv6 = known
    return any(first <= number <= last and of_ipv6 == ipv6 for first, last, of_ipv6 in networks)


def _user(query: RouteQuery) -> str | None:
    return None if query.sasl is None else query.sasl[:LONGEST].lower()


def _number(client: str | None) -> tuple[int, bool] | None:
    """Return an address as a number, and whether it is of IPv6; None: it is none."""
    if client is None:
        return None
    try:
        if ":" not in client:
            return int.from_bytes(inet_pton(AF_INET, client)), False
        number = int.from_bytes(inet_pton(AF_INET6, client))
    except (OSError, ValueError):
        return None
    # Sockets of both families say so of clients of IPv4.
    return (number & 0xFFFFFFFF, False) if number >> 32 == _MAPPED else (number, True)


_MAPPED = 0xFFFF
"""What stands before an IPv4 address within IPv6 (RFC 4291 section 2.5.5.2)."""
