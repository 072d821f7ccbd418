"""Decides which rule fits a message, by what a protocol tells of it."""

import contextlib
import re
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from geodns.errors import BadNameError
from geodns.responder.route_table import NULL_SENDER, CompiledRule, ZoneRoutes
from geodns.wire.idn import to_ascii


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
    LOCAL = "the recipient's domain is local"
    STOPPED = "an earlier rule asks what the map does not tell"
    PROVIDER = "a rule asks for the provider, and nobody has looked yet"


def normal_address(address: str) -> str:
    """Return an address as rules have it: lower case, its domain in A-labels without final dot."""
    if not address or address == NULL_SENDER:
        return NULL_SENDER
    local, at, domain = address.rpartition("@")
    domain = domain.lower().removesuffix(".") if at else ""
    with contextlib.suppress(BadNameError):
        domain = to_ascii(domain)
    return f"{(local if at else address).lower()}@{domain}"


def domain_of(address: str) -> str:
    """Return the domain of a normal address; empty where it has none."""
    return address.rpartition("@")[2] if address != NULL_SENDER else ""


def decide(routes: ZoneRoutes, query: RouteQuery, carried: Carried = Carried.ALL) -> CompiledRule | Undecided:
    """Return the first rule that fits, or why none is named; the rules are read one by one.

    `Undecided.PROVIDER` comes back only where it decides: look it up and ask again with it, or with
    an empty one.
    """
    if query.recipient is not None and is_local(routes, query.recipient):
        return Undecided.LOCAL
    for rule in routes.rules:
        if carried is Carried.ALL:
            if _misses(rule, query, carried):
                continue
        elif not rule.conditional:
            return Undecided.STOPPED
        elif _misses(rule, query, carried):
            continue
        elif _asks_more(rule, carried):
            return Undecided.STOPPED
        if rule.provider and query.provider is None:
            return Undecided.PROVIDER
        return rule
    return Undecided.NO_RULE


def is_local(routes: ZoneRoutes, recipient: str) -> bool:
    """Say whether mail to a normal address is never routed."""
    return any(fits(pattern, domain_of(recipient)) for pattern in routes.local)


def _asks_more(rule: CompiledRule, carried: Carried) -> bool:
    other = rule.sender if carried is Carried.RECIPIENT else (*rule.recipient, *rule.provider)
    return bool(other or rule.mail_class or rule.client or rule.sasl or rule.over is not None)


def _misses(rule: CompiledRule, query: RouteQuery, carried: Carried) -> str:
    """Return the condition that does not hold; empty: all hold, or are not carried."""
    return next((name for name in conditions_carried(carried) if not holds(rule, name, query)), "")


def conditions_carried(carried: Carried) -> tuple[str, ...]:
    """Return the conditions that a protocol's requests can meet."""
    match carried:
        case Carried.RECIPIENT:
            return ("recipient", "provider")
        case Carried.SENDER:
            return ("sender",)
        case _:
            return ("recipient", "sender", "class", "client", "sasl", "size", "provider")


def holds(rule: CompiledRule, condition: str, query: RouteQuery) -> bool:  # noqa: PLR0911 - one a condition
    """Say whether one condition of a rule holds; a provider that nobody looked up may be any."""
    match condition:
        case "recipient":
            return not rule.recipient or _fits_any(rule.recipient, query.recipient)
        case "sender":
            return not rule.sender or _fits_any(rule.sender, query.sender)
        case "class":
            return not rule.mail_class or query.mail_class in rule.mail_class
        case "client":
            return not rule.client or _in_any(rule, query.client)
        case "sasl":
            return not rule.sasl or (
                query.sasl is not None and any(fits(one, query.sasl.lower()) for one in rule.sasl)
            )
        case "size":
            return rule.over is None or (query.size is not None and query.size > rule.over)
        case _:
            return not rule.provider or query.provider is None or query.provider in rule.provider


def _fits_any(patterns: tuple[str, ...], address: str | None) -> bool:
    return address is not None and any(fits_address(pattern, address) for pattern in patterns)


def fits_address(pattern: str, address: str) -> bool:
    """Say whether a pattern fits a normal address: local part and domain apart."""
    if NULL_SENDER in (pattern, address):
        return pattern == address
    local, _, domain = pattern.rpartition("@")
    its_local, _, its_domain = address.rpartition("@")
    return fits(domain, its_domain) and fits(local, its_local)


def fits(pattern: str, text: str) -> bool:
    """Say whether a glob of ``*`` and ``?`` fits a whole text."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (".*" if one == "*" else "." if one == "?" else re.escape(one) for one in pattern)
    return re.compile("".join(parts), re.DOTALL)


def _in_any(rule: CompiledRule, client: str | None) -> bool:
    if client is None:
        return False
    try:
        address = ip_address(client)
    except ValueError:
        return False
    number, ipv6 = int(address), address.version == 6
    return any(first <= number <= last and of_ipv6 == ipv6 for first, last, of_ipv6 in rule.client)
