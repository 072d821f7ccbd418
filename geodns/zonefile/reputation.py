"""The section `reputation` of a zone file: its keys and their reading."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from geodns.config import yaml_nodes
from geodns.config.keys import keys_of, objects, read_keys
from geodns.config.regex import MAX_LENGTH
from geodns.config.report import Report, quoted
from geodns.config.value_types import (
    RESOLVER,
    Schema,
    ValueType,
    choice,
    duration,
    entries_of,
    items_of,
    one_or_more,
    parse_address,
    part,
    section,
    text_of,
    whole,
    word,
)
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.model.hosts import Endpoint
from geodns.model.providers import OTHER, PROVIDERS
from geodns.model.reputation import (
    CODES,
    ERRORS,
    MAX_RULES,
    Dnsbl,
    Reputation,
    ReputationAction,
    ReputationRule,
)
from geodns.zonefile.sections import HOST_NAME


def _read_action(
    node: YamlNode, report: Report, words: tuple[str, ...], mappings: tuple[str, ...]
) -> ReputationAction | None:
    """Read an action: a word, or a mapping with one key."""
    forms = ", ".join((*words, *(_FORMS[name] for name in mappings)))
    instead = f"write one of: {forms}"
    if isinstance(node, yaml_nodes.Mapping):
        entries = list(node.items.items())
        if len(entries) == 1 and entries[0][0] in mappings:
            name, (_, value) = entries[0]
            if name == "bar":
                seconds = _BAR.read(value, report)
                return None if seconds is None else ReputationAction(kind="bar", seconds=seconds)
            share = _REDUCE.read(value, report)
            return None if share is None else ReputationAction(kind="reduce", percent=share * 100)
        report.error(node, "no action", instead)
        return None
    text = text_of(node, report, "an action", instead)
    if text is None:
        return None
    if text not in words:
        report.error(node, f"{quoted(text)} is no action", instead)
        return None
    return ReputationAction.model_validate({"kind": text})


_FORMS = {"reduce": "{reduce: 25%}", "bar": "{bar: 2h}"}
_BAR = duration(60, 7 * 86400)
_REDUCE = part(0.01, 1)


def _action(*words: str, mappings: tuple[str, ...]) -> ValueType:
    """An action: one of these words, or a mapping with one of these keys."""

    def read(node: YamlNode, report: Report) -> ReputationAction | None:
        return _read_action(node, report, words, mappings)

    kinds = {"reduce": _REDUCE, "bar": _BAR}
    schema: Schema = {
        "anyOf": [
            {"enum": list(words)},
            {
                "type": "object",
                "properties": {name: kinds[name].schema for name in mappings},
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }
    return ValueType(read, schema, "action")


_LISTING = _action("alert", "quarantine", mappings=("reduce",))
_CODE = _action("ignore", "alert", "quarantine", mappings=("reduce",))
_CODES = section({"type": "object", "additionalProperties": _CODE.schema})
DNSBL = keys_of(
    Dnsbl,
    {
        "zone": HOST_NAME,
        "zone_file": word("the path of a file whose one line is the list's zone"),
        "codes": _CODES,
        "action": _LISTING,
    },
    defaults={"action": "quarantine"},
)
RULE = keys_of(
    ReputationRule,
    {
        "provider": word("the name of a provider, as google"),
        "about": choice,
        "text": word("an expression that is found in the reply, as TSS04"),
        "min": whole,
        "above": part,
        "action": _action("alert", "quarantine", mappings=("reduce", "bar")),
    },
    defaults={"action": "{bar: 2h}"},
)
REPUTATION = keys_of(
    Reputation,
    {
        "mode": choice,
        "dnsbl": section(one_or_more({"anyOf": [{"type": "string"}, objects(DNSBL)]})),
        "resolver": RESOLVER,
        "interval": duration,
        "confirm": whole,
        "rules": section(one_or_more(objects(RULE))),
    },
    defaults={"resolver": "what /etc/resolv.conf says"},
)
_PROVIDERS = (*sorted(one.name for one in PROVIDERS), OTHER)


def read_reputation(node: YamlNode | None, report: Report) -> Reputation | None:
    """Read the section; None where there is none, or it has an error."""
    if node is None:
        return None
    before = report.errors
    given = read_keys(node, report, REPUTATION, "`reputation`")
    lists = _lists(given.pop("dnsbl", None), report)
    rules = _rules(given.pop("rules", None), report)
    resolver: Endpoint | None = given.pop("resolver", None)
    if resolver is not None:
        given |= {"resolver": resolver.address, "port": resolver.port or 53}
    return None if report.errors > before else Reputation(dnsbl=lists, rules=rules, **given)


def _lists(node: YamlNode | None, report: Report) -> tuple[Dnsbl, ...]:
    found: dict[str, Dnsbl] = {}
    for item in () if node is None else items_of(node):
        one = _list(item, report)
        if one is None:
            continue
        if one.name in found:
            report.error(item, f"the list {one.name} is given twice", "take one out")
        found[one.name] = one
    return tuple(found.values())


def _list(node: YamlNode, report: Report) -> Dnsbl | None:
    before = report.errors
    if not isinstance(node, yaml_nodes.Mapping):
        zone = HOST_NAME.read(node, report)
        return None if zone is None else Dnsbl(zone=zone)
    given = read_keys(node, report, DNSBL, "a block list")
    if ("zone" in node.items) == ("zone_file" in node.items):
        which = "both `zone` and `zone_file`" if "zone" in node.items else "neither `zone` nor `zone_file`"
        report.error(
            node, f"a block list with {which}", "write `zone: zen.spamhaus.org`, or the path of a file"
        )
    codes = _codes(given.pop("codes", None), report)
    if "zone_file" in given:
        given["zone_file"] = given["zone_file"].text
    return None if report.errors > before else Dnsbl(codes=codes, **given)


def _codes(node: YamlNode | None, report: Report) -> tuple[tuple[IPv4Address, ReputationAction], ...]:
    found = []
    instead = "write an address in 127.0.0.0/8, but none in 127.255.255.0/24: those are errors"
    for key, value in () if node is None else entries_of(node, report, "codes", instead).values():
        code = parse_address(key.text)
        action = _CODE.read(value, report)
        if not isinstance(code, IPv4Address) or code not in CODES or code in ERRORS:
            report.error(key, f"{quoted(key.text)} is no code of a list", instead)
        elif action is not None:
            found.append((code, action))
    return tuple(found)


def _rules(node: YamlNode | None, report: Report) -> tuple[ReputationRule, ...]:
    found: dict[str, ReputationRule] = {}
    items = () if node is None else items_of(node)
    if len(items) > MAX_RULES:
        report.error(node, f"more than {MAX_RULES} rules", "write fewer")
        return ()
    for item in items:
        before = report.errors
        given = read_keys(item, report, RULE, "a rule of reputation")
        for key in ("provider", "text"):
            if key in given:
                given[key] = _checked(key, given[key], report)
        if report.errors > before:
            continue
        rule = ReputationRule(name=" ".join(_parts(given)), **given)
        if rule.about != "ip" and rule.action.kind != "alert":
            what = f"a rule about the {rule.about} that would move a host"
            report.error(item, what, "write `action: alert`: only what speaks of the IP may move a host")
        if rule.name in found:
            report.error(item, f"a second rule for {quoted(rule.name)}", "make them one")
        found[rule.name] = rule
    return tuple(found.values())


def _parts(given: Mapping[str, Any]) -> list[str]:
    """Return what a rule's name is made of: its conditions."""
    return [
        given.get("provider") or "any",
        given.get("about") or "ip",
        *([given["text"]] if "text" in given else []),
    ]


def _checked(key: str, node: Scalar, report: Report) -> str:
    if key == "text":
        # RE2 takes long to load, and few files have such a rule.
        from geodns.config.linear import wrong_with  # noqa: PLC0415 - see above

        if not node.text or len(node.text) > MAX_LENGTH:
            report.error(node, "a text of that length", f"write 1 to {MAX_LENGTH} characters")
        elif wrong := wrong_with(node.text):
            report.error(node, f"{quoted(node.text)} is no regular expression (RE2)", wrong)
    elif node.text not in _PROVIDERS:
        report.unknown(node, "no provider", node.text, _PROVIDERS)
    return node.text
