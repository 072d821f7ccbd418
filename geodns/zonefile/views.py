"""Lists of rules in the place of a pool's name: keys of a rule, types of values, reading."""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

from geodns.config import yaml_nodes
from geodns.config.answer_keys import NETWORK
from geodns.config.keys import Key, keys_of, objects, read_keys
from geodns.config.report import Report, quoted
from geodns.config.value_types import Schema, ValueType, items_of, one_or_more, text_of, word
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.model.address_ranges import Network
from geodns.model.views import PoolRule
from geodns.zonefile.hours import HOURS, TZ
from geodns.zonefile.places import CONTINENTS, USUAL_WORDS, countries
from geodns.zonefile.shadows import check_shadows

MAX_RULES = 256
_MAPPED = IPv6Network("::ffff:0:0/96")
_MAX_ASN = 2**32 - 1
_SENT = {4: 24, 6: 56}
"""Bits of a client's network that resolvers send (RFC 7871 section 11.1)."""
_LIST = (
    "write the name of a pool, or rules and last a pool for all others, as [{countries: [DE], use: eu}, main]"
)


def _several(read_one: Callable[[YamlNode, Report], Any], one: Schema, what: str, example: str) -> ValueType:
    """One value or a list of them, each once."""

    def read(node: YamlNode, report: Report) -> tuple[Any, ...] | None:
        items = items_of(node)
        if not items:
            report.error(node, f"a condition without {what}", f"write one or more, as {example}")
        values = tuple(read_one(item, report) for item in items)
        return None if not items or None in values else tuple(dict.fromkeys(values))

    return ValueType(read, one_or_more(one, minItems=1), f"{what}: one or a list")


def read_client_network(node: YamlNode, report: Report) -> Network | None:
    """Read a network that clients are in; None: the report says why not."""
    network: Network | None = NETWORK.read(node, report)
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.subnet_of(_MAPPED):
        mapped = IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
        report.error(node, f"{network} is IPv4 in the form of IPv6, which no client has", f"write {mapped}")
        return None
    return network


def _read_subnet(node: YamlNode, report: Report) -> Network | None:
    network = read_client_network(node, report)
    sent = 0 if network is None else _SENT[network.version]
    if network is not None and network.prefixlen > sent:
        near = network.supernet(new_prefix=sent)
        what = f"{network} is longer than resolvers tell: through them all of {near} gets what {near[0]} gets"
        report.warn(node, what, f"write /{sent} or shorter, unless these clients ask by themselves")
    return network


def _read_country(node: YamlNode, report: Report) -> str | None:
    instead = "write two letters of ISO 3166-1, as DE"
    text = text_of(node, report, "a country", instead)
    code = (text or "").upper()
    if text is None or code in countries():
        return code or None
    by_name = {name.upper(): one for one, name in countries().items()} | USUAL_WORDS
    if code in by_name:
        instead = f"did you mean {quoted(by_name[code])}?"
    elif code in CONTINENTS:
        instead = f"write `continents: {code}`"
    report.error(node, f"no country has the code {quoted(text)}", instead)
    return None


def _read_continent(node: YamlNode, report: Report) -> str | None:
    instead = f"write one of: {', '.join(CONTINENTS)}"
    text = text_of(node, report, "a continent", instead)
    if text is not None and text.upper() not in CONTINENTS:
        report.error(node, f"no continent has the code {quoted(text)}", instead)
        return None
    return None if text is None else text.upper()


def _read_asn(node: YamlNode, report: Report) -> int | None:
    instead = f"write 1 to {_MAX_ASN}, as 64500 or AS64500"
    text = text_of(node, report, "the number of an autonomous system", instead)
    if text is None:
        return None
    digits = text[2:] if text[:2].upper() == "AS" else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10 and 0 < int(digits) <= _MAX_ASN):
        report.error(node, f"{quoted(text)} is no number of an autonomous system", instead)
        return None
    return int(digits)


_CODE: Schema = {"type": "string", "pattern": "^[A-Za-z]{2}$"}
_ASN: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": _MAX_ASN},
        {"type": "string", "pattern": "^([Aa][Ss])?[0-9]{1,10}$"},
    ]
}

POOL_RULE = keys_of(
    PoolRule,
    {
        "use": word("the name of a pool"),
        "subnets": _several(_read_subnet, NETWORK.schema, "networks", '[10.0.0.0/8, "2001:db8::/32"]'),
        "countries": _several(_read_country, _CODE, "countries", "[DE, FR]"),
        "continents": _several(_read_continent, _CODE, "continents", "[EU, AF]"),
        "asns": _several(_read_asn, _ASN, "autonomous systems", "[64500, 64501]"),
        "hours": HOURS,
    },
) | {"tz": Key(TZ, "The time zone of `hours`, as Europe/Berlin.", "UTC")}
_CONDITIONS = ("subnets", "countries", "continents", "asns", "hours")

POOL_CHOICE: Schema = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, objects(POOL_RULE, "use")]},
            "minItems": 1,
            "maxItems": MAX_RULES,
        },
    ]
}
"""A pool, or rules that say which."""


class PoolChoice(NamedTuple):
    """The pool of clients that meet no rule, and the rules before it."""

    pool: str
    rules: tuple[PoolRule, ...] = ()


class _Item(NamedTuple):
    """An item of a list.

    Attributes:
        rule: None: the report says what is wrong with it.
        conditional: None: nobody knows, since it cannot be read.

    """

    at: YamlNode
    rule: PoolRule | None
    conditional: bool | None


def read_pool_choice(node: YamlNode, report: Report, pools: Mapping[str, object]) -> PoolChoice | None:
    """Read a pool's name, or a list of rules; None: the report says why not."""
    if not isinstance(node, yaml_nodes.Sequence):
        pool = _pool(node, report, pools)
        return None if pool is None else PoolChoice(pool)
    before = report.errors
    if not node.items:
        report.error(node, "a list without rules", _LIST)
        return None
    if len(node.items) > MAX_RULES:
        report.error(node, f"a list of {len(node.items)} rules", f"write at most {MAX_RULES}")
        return None
    items = [_item(item, report, pools) for item in node.items]
    _check_order(items, report)
    rules = [item.rule for item in items if item.rule is not None]
    if report.errors > before or len(rules) < len(items):
        return None
    check_shadows([(item.at, rule) for item, rule in zip(items, rules, strict=True)], report)
    return PoolChoice(rules[-1].use, tuple(rules[:-1]))


def _pool(node: YamlNode, report: Report, pools: Mapping[str, object]) -> str | None:
    text = text_of(node, report, "the name of a pool", "write a name from `pools`")
    if text is not None and text not in pools:
        report.unknown(node, "no pool is called", text, pools)
        return None
    return text


def _item(node: YamlNode, report: Report, pools: Mapping[str, object]) -> _Item:
    if isinstance(node, yaml_nodes.Sequence):
        report.error(node, "a list in a list of rules", "write one list")
        return _Item(node, None, None)
    if not isinstance(node, yaml_nodes.Mapping):
        pool = _pool(node, report, pools)
        return _Item(node, None, None) if pool is None else _Item(node, PoolRule(use=pool), conditional=False)
    before = report.errors
    given = read_keys(node, report, POOL_RULE, "a rule")
    if "use" not in node.items:
        report.error(node, "a rule without `use`", "write the pool as well, as {countries: [DE], use: eu}")
    use = given.get("use")
    if isinstance(use, Scalar):
        given["use"] = _pool(use, report, pools)
    tz = given.pop("tz", None)
    if "tz" in node.items and "hours" not in node.items:
        report.error(node.items["tz"][0], "`tz` without `hours`", "write `hours` too, or take it out")
    if tz is not None and "hours" in given:
        given["hours"] = given["hours"].model_copy(update={"tz": tz})
    conditional = any(name in node.items for name in _CONDITIONS)
    if report.errors > before:
        return _Item(node, None, conditional or None)
    return _Item(node, PoolRule(**given), conditional)


def _check_order(items: Sequence[_Item], report: Report) -> None:
    """Report what no client could meet behind a rule for all, and a list without one."""
    last = items[-1]
    if last.conditional:
        what = "no pool for clients that meet no rule"
        report.error(
            last.at, what, "end the list with the name of a pool, as [{countries: [DE], use: eu}, main]"
        )
    first = next((number for number, item in enumerate(items) if item.conditional is False), len(items))
    if first >= len(items) - 1:
        return
    item = items[first]
    if isinstance(item.at, yaml_nodes.Mapping):
        report.error(item.at, "a rule without a condition before others", "give it one, or put it last")
    elif isinstance(item.at, Scalar):
        what = f"a rule behind {quoted(item.at.text)}, which has no condition"
        report.error(items[first + 1].at, what, "it could never match: put it before")
