"""Puts the conditions of rules into words: what a rule wants, and what it misses of a message."""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import TypeVar

from geodns.errors import printable
from geodns.responder.route_index import Network
from geodns.responder.route_patterns import NULL_SENDER
from geodns.responder.route_table import CompiledRule
from geodns.responder.routes import CONDITIONS, RouteQuery, domain_of

T = TypeVar("T")

MOST_WANTED = 4
"""So many values of a condition are named in words."""
MOST_CHARACTERS = 80
"""Longer values are cut."""

_UNITS = (
    *(("GB", 10**9), ("GiB", 1 << 30), ("MB", 10**6), ("MiB", 1 << 20)),
    *(("KB", 10**3), ("KiB", 1 << 10)),
)


def wanted(rule: CompiledRule) -> dict[str, str]:
    """Return what a rule wants, by condition, in the order in which they are read."""
    found = {condition: _wants(condition, rule) for condition in CONDITIONS}
    return {condition: text for condition, text in found.items() if text}


def _wants(condition: str, rule: CompiledRule) -> str:  # noqa: PLR0911 - one a condition
    match condition:
        case "recipient":
            return _either(rule.recipient, _pattern)
        case "sender":
            return _either(rule.sender, _pattern)
        case "class":
            return _either(rule.mail_class)
        case "client":
            return _either(rule.client, _network)
        case "sasl":
            return _either(rule.sasl)
        case "size":
            return "" if rule.over is None else f"over {size_text(rule.over)}"
        case _:
            return _either(rule.provider)


def missed(condition: str, rule: CompiledRule, query: RouteQuery) -> str:
    """Say what a message is told to be, and what the rule wants instead."""
    want = _wants(condition, rule)
    if condition == "provider":
        return _provider(query, want)
    what, told = _told(condition, query)
    if told is None:
        return f"nothing tells the {what}"
    return f"{what} {_cut(told) or 'that is empty'} is not {'in ' if condition == 'client' else ''}{want}"


def _told(condition: str, query: RouteQuery) -> tuple[str, str | None]:
    match condition:
        case "recipient":
            return "recipient", _address(query.recipient)
        case "sender":
            return "sender", _address(query.sender)
        case "class":
            return "class", query.mail_class
        case "client":
            return "client", query.client
        case "sasl":
            return "SASL user", query.sasl
        case _:
            return "size", None if query.size is None else size_text(query.size)


def size_text(size: int) -> str:
    """Return a number of bytes as zone files write it, as 5MB."""
    unit, large = next(((unit, large) for unit, large in _UNITS if size and size % large == 0), ("B", 1))
    return f"{size // large}{unit}"


def _provider(query: RouteQuery, want: str) -> str:
    if query.recipient is None:
        return "nothing tells the recipient, whose provider this rule asks for"
    whose = f"provider of {_cut(domain_of(query.recipient)) or _cut(query.recipient)}"
    return f"{whose} is {query.provider}, not {want}" if query.provider else f"{whose} is not known"


def _address(address: str | None) -> str | None:
    return None if address is None else address.removesuffix("@") or NULL_SENDER


def _pattern(pattern: str) -> str:
    """Return a pattern as operators write it: a domain without the mark of any local part."""
    return pattern.removeprefix("*@")


def _network(network: Network) -> str:
    first, last, ipv6 = network
    if ipv6:
        return str(next(summarize_address_range(IPv6Address(first), IPv6Address(last))))
    return str(next(summarize_address_range(IPv4Address(first), IPv4Address(last))))


def _either(values: Sequence[T], worded: Callable[[T], str] = str) -> str:
    """Join values by commas and "or"; of many the first, and how many more."""
    some = [_cut(worded(one)) for one in values[:MOST_WANTED]]
    if len(values) > MOST_WANTED:
        return f"{', '.join(some)} or {len(values) - MOST_WANTED:,} more"
    return " or ".join([*([", ".join(some[:-1])] if some[1:] else []), *some[-1:]])


def _cut(text: str) -> str:
    return printable(text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…")
