"""The settings ``rate_limit`` and ``query_log``: their keys, and how they are read."""

from collections.abc import Sequence
from ipaddress import IPv6Network
from typing import Any

from geodns.config.keys import Key, objects, read_keys
from geodns.config.report import Report, quoted
from geodns.config.value_types import (
    HOW_MANY,
    OFF,
    Schema,
    ValueType,
    choice,
    items_of,
    one_or_more,
    parse_share,
    text_of,
    whole,
)
from geodns.config.yaml_nodes import Mapping, Scalar, YamlNode, shown
from geodns.errors import BadNameError
from geodns.responder.answer_policy import QueryLog, RateLimit
from geodns.wire.names import name_to_wire
from geodns.wire.networks import HOW, Network, parse_network

MAX_ITEMS = 64
"""Networks, or zones, that may be named: each costs every query that is looked at."""

_NETWORK: Schema = {"type": "string", "pattern": r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"}


def _read_network(node: YamlNode, report: Report) -> Network | None:
    text = text_of(node, report, "a network", HOW)
    if text is None:
        return None
    try:
        network = parse_network(text)
    except ValueError as error:
        report.error(node, *error.args)
        return None
    if isinstance(network, IPv6Network) and isinstance(node, Scalar) and node.plain:
        # As for addresses: YAML takes a colon before a space or a bracket for the mark of a key.
        report.error(node, f"{text} without quotes", f'quote this network, as "{text}"')
        return None
    return network


NETWORK = ValueType(_read_network, _NETWORK)


def _items(node: YamlNode, report: Report, what: str) -> Sequence[YamlNode]:
    """Return a list's items, unless they are too many."""
    items = items_of(node)
    if len(items) > MAX_ITEMS:
        report.error(node, f"{len(items)} {what}", f"write at most {MAX_ITEMS}, or larger ones")
        return ()
    return items


def _read_networks(node: YamlNode, report: Report) -> tuple[Network, ...]:
    found = (_read_network(item, report) for item in _items(node, report, "networks"))
    return tuple(network for network in found if network is not None)


def zone_on_wire(text: str) -> bytes:
    """Return a name as an operator writes it, with or without its final dot.

    Raises:
        BadNameError: it is no domain name.

    """
    if not text.isascii():
        # Tables of all of Unicode, for the few who need them.
        from geodns.wire.idn import to_ascii  # noqa: PLC0415 - see above

        text = to_ascii(text)
    return name_to_wire(text.removesuffix(".") + ".")


def _read_zones(node: YamlNode, report: Report) -> tuple[bytes, ...]:
    found: list[bytes] = []
    for item in _items(node, report, "zones"):
        text = text_of(item, report, "a zone's name", "write a name, as out.example.com")
        try:
            found += [] if text is None else [zone_on_wire(text)]
        except BadNameError as error:
            report.error(item, str(error), "write a name, as out.example.com")
    return tuple(found)


def _read_share(node: YamlNode, report: Report) -> float | None:
    text = text_of(node, report, "a part of the queries", HOW_MANY)
    share = None if text is None else parse_share(text)
    if text is not None and share is None:
        report.error(node, f"{quoted(text)} is no part of the queries", HOW_MANY)
    return share


NETWORKS = ValueType(_read_networks, one_or_more(_NETWORK, maxItems=MAX_ITEMS))
_ZONES = ValueType(_read_zones, one_or_more({"type": "string"}, maxItems=MAX_ITEMS))
_SHARE = ValueType(_read_share, {"type": ["number", "string"]}, "part, as 1% or 0.01")

_PLAIN = RateLimit()

RATE_LIMIT: dict[str, Key] = {
    "per_second": Key(
        whole(1, 100_000, "per_second"),
        "Answers of one kind that a network of clients gets.",
        default=f"{_PLAIN.per_second}",
    ),
    "slip": Key(
        whole(0, 10, "slip"),
        "One in so many of the rest is told to use TCP: 0 none, 1 all.",
        default=f"{_PLAIN.slip}",
    ),
    "ipv4_prefix": Key(
        whole(8, 32, "ipv4_prefix"), "Bits that make an IPv4 network.", default=f"{_PLAIN.ipv4_prefix}"
    ),
    "ipv6_prefix": Key(
        whole(16, 128, "ipv6_prefix"), "Bits that make an IPv6 network.", default=f"{_PLAIN.ipv6_prefix}"
    ),
    "exempt": Key(NETWORKS, "Networks that are never limited."),
    "require_cookie": Key(
        choice("on", "off"), "on: BADCOOKIE over the limit for clients that know cookies.", default="off"
    ),
}

QUERY_LOG: dict[str, Key] = {
    "zones": Key(_ZONES, "At or below these names.", default="all"),
    "clients": Key(NETWORKS, "Of these networks.", default="all"),
    "sample": Key(_SHARE, "The part that is logged, as 1%.", default="all"),
}


def _says(node: YamlNode, word: str) -> bool:
    return isinstance(node, Scalar) and node.text == word


def _mapping(node: YamlNode, report: Report, keys: dict[str, Key], what: str) -> dict[str, Any] | None:
    """Return the values of a part, for ``on`` none; None means that the report says why not."""
    if isinstance(node, Mapping):
        return read_keys(node, report, keys, what)
    if _says(node, "on"):
        return {}
    instead = f"write on for the defaults, off, or keys: {', '.join(keys)}"
    report.error(node, f"{shown(node)} where {what} is expected", instead)
    return None


def _read_rate_limit(node: YamlNode, report: Report) -> object:
    """Return the limit, and whether cookies are required over it."""
    if _says(node, "off"):
        return OFF
    values = _mapping(node, report, RATE_LIMIT, "a rate limit")
    if values is None:
        return None
    required = values.pop("require_cookie", "off") == "on"
    return RateLimit(**values), required


def _read_query_log(node: YamlNode, report: Report) -> object:
    if _says(node, "off"):
        return OFF
    values = _mapping(node, report, QUERY_LOG, "a choice of queries")
    return None if values is None else QueryLog(**values)


def _switched(keys: dict[str, Key]) -> Schema:
    return {"anyOf": [{"enum": ["on", "off"]}, objects(keys)]}


RATE_LIMIT_KEY = Key(
    ValueType(_read_rate_limit, _switched(RATE_LIMIT)),
    "How many answers over UDP a network of clients may get; off: as many as it likes.",
    default="off",
)
QUERY_LOG_KEY = Key(
    ValueType(_read_query_log, _switched(QUERY_LOG)),
    "Log queries from the start; `geodns querylog` changes it.",
    default="off",
)
