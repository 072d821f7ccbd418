"""octoDNS's rules of a dynamic record → rules of a pool list, and the pool of everybody else.

A rule with subnets and geos is for clients that meet either, and subnets go before geos there: each becomes
a rule of its own here.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from geodns.cli.convert.octodns_files import as_mapping
from geodns.wire.networks import parse_network
from geodns.zonefile.places import CONTINENTS, countries

Remark = Callable[[str], None]


class DynamicRule(NamedTuple):
    """One condition, as a rule of ours has it, and octoDNS's name of the pool."""

    condition: dict[str, list[str]]
    pool: str


class DynamicRules(NamedTuple):
    """The rules of a record in the order in which they count, and the pool of clients that meet none."""

    rules: tuple[DynamicRule, ...]
    pool: str


def read_rules(rules: Any, pools: Collection[str], remark: Remark) -> DynamicRules | None:
    """Read the rules of a record; None: no rule names one of its pools."""
    subnets: list[DynamicRule] = []
    places: list[DynamicRule] = []
    last: str | None = None
    for body in rules if isinstance(rules, list) else []:
        rule = as_mapping(body)
        pool = rule.get("pool")
        if not isinstance(pool, str) or pool not in pools:
            if pool is not None:
                remark(f"the rule for pool {pool} left out: there is no such pool")
            continue
        last = pool
        given = {word: _texts(rule.get(word)) for word in ("subnets", "geos")}
        if not any(given.values()):
            return DynamicRules((*subnets, *places), pool)
        networks = [text for text in given["subnets"] if _is_network(text, pool, remark)]
        subnets += [DynamicRule({"subnets": networks}, pool)] if networks else []
        places += _places(given["geos"], pool, remark)
    if last is None:
        return None
    remark(f"no rule is for everybody: pool {last} is dealt to all others")
    return DynamicRules((*subnets, *places), last)


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _is_network(text: str, pool: str, remark: Remark) -> bool:
    try:
        parse_network(text)
    except ValueError as error:
        remark(f"a subnet of the rule for pool {pool} left out: {error.args[0]}")
        return False
    return True


def _places(geos: Iterable[str], pool: str, remark: Remark) -> list[DynamicRule]:
    """Return the rules for places: those of one rule there are any of, so countries and continents part."""
    found: dict[str, list[str]] = {"countries": [], "continents": []}
    for geo in geos:
        continent, *rest = geo.upper().split("-")
        if continent not in CONTINENTS or (rest and rest[0] not in countries()):
            remark(f"the place {geo} (pool {pool}) left out: there is none with that code")
        elif len(rest) > 1:
            # All of the country would get what is meant for a part of it.
            remark(f"the place {geo} (pool {pool}) left out: geodns knows countries, and no parts of them")
        elif rest:
            found["countries"].append(rest[0])
        else:
            found["continents"].append(continent)
    return [DynamicRule({word: codes}, pool) for word, codes in found.items() if codes]
