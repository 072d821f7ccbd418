"""The sections `local` and `routes` of a zone file: their keys and their reading."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from geodns.config import yaml_nodes
from geodns.config.answer_keys import NETWORK
from geodns.config.keys import keys_of, read_keys
from geodns.config.report import Report, quoted
from geodns.config.value_types import Schema, ValueType, choice, items_of, one_or_more, text_of, whole, word
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.model.providers import PROVIDERS
from geodns.model.routes import RouteRule, size_of
from geodns.zonefile.record_fields import Context, read_name
from geodns.zonefile.route_patterns import DOMAIN, RECIPIENT, SENDER, USER
from geodns.zonefile.sections import check_short_name
from geodns.zonefile.views import read_client_network

MAX_RULES = 20_000
MAX_PATTERNS = 200_000
"""Values of all conditions of a zone's rules."""
MAX_LOCAL = 20_000
"""Domains, at most."""
MAX_SIZE = 2**50
"""Bytes of a message that a rule may say, at most."""

PROVIDER_NAMES = tuple(sorted(one.name for one in PROVIDERS))
_OVER = "over "
_SIZE_HOW = "write a size, as over 5MB; B, KB, MB and GB, or KiB, MiB and GiB of 1024"
_LIST = 'write rules, as [{provider: google, use: gmail}, {use: "@"}]'


def read_provider(node: YamlNode, report: Report) -> str | None:
    """Read the name of a provider; None: the report says why not."""
    text = text_of(node, report, "the name of a provider", "write one, as google")
    if text is not None and text not in PROVIDER_NAMES:
        report.unknown(node, "no provider is called", text, PROVIDER_NAMES)
        return None
    return text


def _read_class(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "the name of a class", "write one, as bulk")
    before = report.errors
    if text is not None and isinstance(node, Scalar):
        check_short_name(node, report, "class")
    return text if report.errors == before else None


def _read_over(node: YamlNode, report: Report) -> int | None:
    text = text_of(node, report, "a size", _SIZE_HOW)
    if text is None:
        return None
    plain = text.strip()
    says_over = plain.lower().startswith(_OVER)
    size = size_of(plain[len(_OVER) :] if says_over else plain)
    if size is None:
        report.error(node, f"{quoted(text)} is no size", _SIZE_HOW)
        return None
    if not says_over:
        report.error(node, f"{quoted(text)} does not say whether over or under", f"write over {plain}")
        return None
    if size != int(size):
        report.error(node, f"{quoted(text)} is no whole number of bytes", _SIZE_HOW)
        return None
    if size > MAX_SIZE:
        report.error(node, f"{quoted(text)} is larger than any message", "write less")
        return None
    return int(size)


def _several(
    one: ValueType | Callable[..., Any], what: str, schema: Schema | None = None, most: int = MAX_PATTERNS
) -> ValueType:
    """A value or a list of such values, one of which must fit; those given twice count once."""
    read_one = one.read if isinstance(one, ValueType) else one

    def read(node: YamlNode, report: Report) -> tuple[Any, ...] | None:
        items = items_of(node)
        if not items:
            report.error(node, f"no {what}", "write one or more, or take the key out")
            return None
        if len(items) > most:
            report.error(
                node, f"{len(items):,} {what}", f"write at most {most:,}, with globs for many at once"
            )
            return None
        found: dict[Any, None] = {}
        before = report.errors
        for item in items:
            value = read_one(item, report)
            if value in found:
                report.warn(item, f"{_shown(item)} stands twice", "take one out")
            elif value is not None:
                found[value] = None
        return tuple(found) if report.errors == before else None

    form = one_or_more(schema or {"type": "string", "minLength": 1}, minItems=1)
    return ValueType(read, form, f"{what}: one or a list")


def _shown(node: YamlNode) -> str:
    return quoted(node.text) if isinstance(node, Scalar) else "it"


_FIELDS: Mapping[str, str] = {"class": "mail_class", "size": "over"}
ROUTE = keys_of(
    RouteRule,
    {
        "use": word("a name of this zone that deals a pool"),
        "recipient": _several(RECIPIENT, "addresses or domains"),
        "sender": _several(SENDER, "addresses or domains"),
        "class": _several(_read_class, "classes"),
        "provider": _several(read_provider, "providers", {"enum": list(PROVIDER_NAMES)}),
        "client": _several(read_client_network, "networks", NETWORK.schema),
        "sasl": _several(USER, "user names"),
        "size": ValueType(
            _read_over,
            {"type": "string", "pattern": r"^ *[oO][vV][eE][rR] +[0-9.]+ *([kKmMgG]?[iI]?[bB])? *$"},
            "`over` and a size",
        ),
        "deal": choice,
        "port": whole,
    },
    fields=_FIELDS,
)
LOCAL = _several(DOMAIN, "domains", most=MAX_LOCAL)


class PlacedRoute(NamedTuple):
    """A rule as it was read, and where it stands."""

    at: YamlNode
    rule: RouteRule

    def place(self, key: str) -> YamlNode:
        """Return where the value of a key stands."""
        found = self.at.get(key) if isinstance(self.at, yaml_nodes.Mapping) else None
        return found or self.at


def read_routes(node: YamlNode | None, context: Context) -> tuple[PlacedRoute, ...]:
    """Read the section `routes`; what is wrong with a rule is reported, and it is left out."""
    report = context.report
    if node is None:
        return ()
    items = items_of(node)
    if not items:
        report.error(node, "no rules", f"{_LIST}, or leave `routes` out")
    if len(items) > MAX_RULES:
        report.error(node, f"{len(items):,} rules", f"write at most {MAX_RULES:,}, with lists in them")
        return ()
    found = [placed for item in items if (placed := _route(item, context)) is not None]
    if sum(map(_length, found)) > MAX_PATTERNS:
        report.error(
            node, f"conditions of over {MAX_PATTERNS:,} values", "write fewer, with globs for many at once"
        )
        return ()
    return tuple(found)


def _length(placed: PlacedRoute) -> int:
    rule = placed.rule
    return sum(map(len, (rule.recipient, rule.sender, rule.mail_class, rule.client, rule.sasl)))


def _route(node: YamlNode, context: Context) -> PlacedRoute | None:
    report = context.report
    if not isinstance(node, yaml_nodes.Mapping):
        shown = quoted(node.text) if isinstance(node, Scalar) else "a list"
        report.error(node, f"{shown} where a rule is expected", _LIST)
        return None
    before = report.errors
    given = read_keys(node, report, ROUTE, "a rule")
    if "use" not in node.items:
        report.error(node, "a rule without `use`", "write the name as well, as {class: bulk, use: bulk}")
    use = given.get("use")
    if isinstance(use, Scalar):
        given["use"] = read_name(use.text, use, context)
    if report.errors > before:
        return None
    return PlacedRoute(node, RouteRule(**{_FIELDS.get(key, key): value for key, value in given.items()}))
