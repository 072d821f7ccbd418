"""Puts the conditions of rules into words: what a rule wants, and what it misses of a message."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from geodns.errors import printable
from geodns.responder.route_table import NULL_SENDER, CompiledRule, Network
from geodns.responder.routes import RouteQuery, domain_of

MOST_WANTED = 4
"""So many values of a condition are named in words."""
MOST_CHARACTERS = 80
"""Longer values are cut."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def wanted(rule: CompiledRule) -> dict[str, str]:
    """Return what a rule wants, by condition, in the order in which they are read."""
    found = {
        "recipient": _either(_pattern(one) for one in rule.recipient),
        "sender": _either(_pattern(one) for one in rule.sender),
        "class": _either(rule.mail_class),
        "client": _either(_network(one) for one in rule.client[: MOST_WANTED + 1]),
        "sasl": _either(rule.sasl),
        "size": "" if rule.over is None else f"over {size_in_words(rule.over)}",
        "provider": _either(rule.provider),
    }
    if len(rule.client) > MOST_WANTED:
        found["client"] = _either([_network(one) for one in rule.client[:MOST_WANTED]], len(rule.client))
    return {condition: text for condition, text in found.items() if text}


def missed(condition: str, rule: CompiledRule, query: RouteQuery) -> str:
    """Say what a message is told to be, and what the rule wants instead."""
    want = wanted(rule).get(condition, "nothing")
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
            return "size", None if query.size is None else size_in_words(query.size)


def size_in_words(size: int) -> str:
    """Return bytes in the largest unit of 1000 that they fill, to two digits after the point."""
    power = min(max(len(str(size)) - 1, 0) // 3, len(_UNITS) - 1)
    number, rest = divmod(size, 1000**power)
    digits = f"{rest:0{3 * power}}"[:2].rstrip("0") if power else ""
    return f"{number}{'.' if digits else ''}{digits} {_UNITS[power]}"


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


def _either(values: Iterable[str] | Sequence[str], number: int = 0) -> str:
    """Join values by commas and "or"; of many the first, and how many more."""
    every = [_cut(one) for one in values]
    number = max(number, len(every))
    if number > MOST_WANTED:
        return f"{', '.join(every[:MOST_WANTED])} or {number - MOST_WANTED} more"
    return " or ".join([*([", ".join(every[:-1])] if every[1:] else []), *every[-1:]])


def _cut(text: str) -> str:
    return printable(text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…")
