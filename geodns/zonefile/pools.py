"""The section `pools` of a zone file: its keys and their reading."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from geodns.config import yaml_nodes
from geodns.config.keys import keys_of, read_keys
from geodns.config.report import Report, quoted
from geodns.config.value_types import (
    ValueType,
    choice,
    duration,
    entries_of,
    items_of,
    section,
    text_of,
    whole,
    word,
)
from geodns.config.yaml_nodes import Scalar, YamlNode, is_nothing
from geodns.errors import BadNameError
from geodns.model.checks import BUILT_IN_CHECKS, Check
from geodns.model.hosts import Host
from geodns.model.zone import Member, MinLive, Pool
from geodns.wire.idn import to_ascii
from geodns.zonefile.check_policy import CHECK_POLICY_SCHEMA, read_check_policy
from geodns.zonefile.hosts import HOST
from geodns.zonefile.names import expand, is_glob, matcher
from geodns.zonefile.sections import Placed, check_short_name, halves


def _read_min_live(node: YamlNode, report: Report) -> MinLive | None:
    instead = "write a number of hosts or a percentage, as 2 or 50%"
    text = text_of(node, report, "a number of hosts or a percentage", instead)
    if text is None:
        return None
    found = re.fullmatch("([0-9]{1,9})(%?)", text)
    if found is None:
        report.error(node, f"{quoted(text)} is no number of hosts and no percentage", instead)
        return None
    if found[2] and int(found[1]) > 100:
        report.error(node, f"{text} is out of range", "write 0% to 100%")
        return None
    return MinLive(amount=int(found[1]), percent=bool(found[2]))


MIN_LIVE = ValueType(
    _read_min_live,
    {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": "^([0-9]+|[0-9]{1,2}%|100%)$"},
        ]
    },
    "count or percentage",
    lambda least: f"{least.amount}{'%' if least.percent else ''}",
)

_WEIGHT = HOST["weight"].kind
_HOSTS = section(
    {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}},
            {"type": "object", "additionalProperties": _WEIGHT.schema},
        ]
    }
)

POOL = keys_of(
    Pool,
    {
        "hosts": _HOSTS,
        "check": section(CHECK_POLICY_SCHEMA),
        "answers": whole,
        "min_live": MIN_LIVE,
        "fallback": word("the name of a pool"),
        "fallback_mode": choice,
        "when_down": choice,
        "max_out": MIN_LIVE,
        "hold": duration,
        "volume": whole,
        "overflow": word("the name of a pool"),
        "mail": choice,
        "pick": choice,
    },
    defaults={"check": "smtp"},
    fields={"hosts": "members", "check": "checks"},
)

_BUILT_IN = {check.name: check for check in BUILT_IN_CHECKS}
_MAY_COME = "a source under `hosts_from` may find it: else write another name"


class PlacedPool(NamedTuple):
    """A pool, and where its key and its body stand."""

    at: YamlNode
    body: YamlNode
    value: Pool

    def place(self, key: str) -> YamlNode:
        """Return where a key of its body stands, or else its own key."""
        found = self.body.get(key) if isinstance(self.body, yaml_nodes.Mapping) else None
        return self.at if found is None else found


def read_pools(
    node: YamlNode,
    report: Report,
    hosts: Mapping[str, Placed[Host]],
    checks: Mapping[str, Placed[Check]],
    *,
    growing: bool = False,
) -> dict[str, PlacedPool]:
    """Read the pools; `link_fallbacks` looks at their fallbacks when all are known.

    Where hosts are `growing`, more may yet be found: a missing one is no error then, nor is an empty pool.
    """
    pools: dict[str, PlacedPool] = {}
    instead = "write `name: {hosts: […]}` for each pool"
    for name, (key, body) in entries_of(node, report, "a mapping of pools", instead).items():
        check_short_name(key, report, "pool")
        given = read_keys(body, report, POOL, "a pool")
        members: tuple[Member, ...] = ()
        if "hosts" in given:
            members = _members(given.pop("hosts"), report, hosts, growing=growing)
        elif isinstance(body, yaml_nodes.Mapping) or is_nothing(body):
            report.error(key, f"pool {quoted(name)} has no `hosts`", "write `hosts: […]`, names or globs")
        given |= {word: given[word].text for word in ("fallback", "overflow") if word in given}
        if "check" in given:
            policy = read_check_policy(given.pop("check"), report, dict.fromkeys([*checks, *_BUILT_IN]))
            given |= {} if policy is None else policy._asdict()
        if given.get("pick") == "client":
            given.setdefault("answers", 1)
        pools[name] = PlacedPool(key, body, Pool(name=name, members=members, **given))
        _check_min_live(pools[name], given, report, growing=growing)
        _check_pick(pools[name], report)
    return pools


def _check_pick(pool: PlacedPool, report: Report) -> None:
    answers = pool.value.answers
    if pool.value.pick == "client" and answers > 1:
        what = f"`pick: client` with {answers} answers: a client that shuffles them uses any of these hosts"
        report.warn(pool.place("answers"), what, "leave `answers` out, so that a network keeps one host")


def _check_min_live(pool: PlacedPool, given: Mapping[str, Any], report: Report, *, growing: bool) -> None:
    least: MinLive | None = given.get("min_live")
    if "fallback" not in given:
        for word in ("min_live", "fallback_mode"):
            if word in given:
                report.warn(
                    pool.place(word),
                    f"`{word}` without a `fallback` has no effect",
                    "name the pool to fall back to",
                )
    elif growing:
        return
    elif least is not None and not least.percent and least.amount > len(pool.value.members) > 0:
        what = f"min_live {least.amount} is over the pool's {len(pool.value.members)} hosts"
        report.error(pool.place("min_live"), what, "the fallback would always serve: write less")


def _members(
    node: YamlNode, report: Report, hosts: Mapping[str, Placed[Host]], *, growing: bool
) -> tuple[Member, ...]:
    """Read a pool's hosts; the weight of an exact name wins over a glob's."""
    before = report.errors
    weights: dict[str, int] = {}
    exact: set[str] = set()
    by_glob: dict[str, str] = {}
    items = _weighted(node, report)
    for item, weight in items:
        names = _names_of(item, report, hosts, growing=growing)
        by_pattern = is_glob(item.text)
        for name in names:
            own = hosts[name].value.weight if weight is None else weight
            if not by_pattern:
                if name in exact:
                    report.error(item, f"host {quoted(name)} stands in the pool twice", "take one out")
                exact.add(name)
                weights[name] = own
            elif name not in exact:
                if name in by_glob and weights[name] != own:
                    globs = f"{quoted(by_glob[name])} and {quoted(item.text)}"
                    what = f"{globs} give host {quoted(name)} different weights"
                    # What is found must not make the file bad that it is found for.
                    tell = report.warn if growing else report.error
                    tell(item, what, "write that host's name and weight as well")
                    if growing:
                        continue
                by_glob[name] = item.text
                weights[name] = own
    if growing and not weights and items:
        pass  # `_names_of` has warned
    elif report.errors == before and not any(weights.values()):
        tell = report.warn if growing else report.error
        instead = "name its hosts" if not weights else "give at least one a weight over 0"
        tell(node, "a pool without hosts" if not weights else "no host of this pool has weight", instead)
    return tuple(Member(host=name, weight=weights[name]) for name in hosts if name in weights)


def _weighted(node: YamlNode, report: Report) -> list[tuple[Scalar, int | None]]:
    if isinstance(node, yaml_nodes.Mapping):
        return [(key, _WEIGHT.read(value, report)) for key, value in node.items.values()]
    instead = 'write names or globs, as [mta1, "mx*"]'
    return [
        (item, None)
        for item in items_of(node)
        if text_of(item, report, "a host's name", instead) is not None and isinstance(item, Scalar)
    ]


def _names_of(item: Scalar, report: Report, hosts: Mapping[str, Placed[Host]], *, growing: bool) -> list[str]:
    text = item.text.lower()
    if is_glob(text):
        fits = matcher(text)
        found = [name for name in hosts if fits(name)]
        if not found and growing:
            report.warn(item, f"the glob {quoted(item.text)} matches no host now", _MAY_COME)
        elif not found:
            report.error(
                item, f"the glob {quoted(item.text)} matches no host", "the hosts are those under `hosts`"
            )
        return found
    try:
        names = [to_ascii(name).lower() for name in expand(text)]
    except (ValueError, BadNameError) as error:
        report.error(item, *halves(error))
        return []
    missing = [name for name in names if name not in hosts]
    if growing and missing:
        report.warn(item, f"no host is called {quoted(missing[0])} now", _MAY_COME)
        return [name for name in names if name in hosts]
    for name in names:
        if name not in hosts:
            report.unknown(item, "no host is called", name, hosts)
            return []
    return names


def link_fallbacks(pools: Mapping[str, PlacedPool], report: Report) -> None:
    """Report fallbacks that do not exist, and loops of fallbacks."""
    done: set[str] = set()
    for name, pool in pools.items():
        if pool.value.fallback is not None and pool.value.fallback not in pools:
            report.unknown(pool.place("fallback"), "no pool is called", pool.value.fallback, pools)
        if pool.value.overflow is not None and pool.value.overflow not in pools:
            report.unknown(pool.place("overflow"), "no pool is called", pool.value.overflow, pools)
        if pool.value.overflow == name:
            report.error(
                pool.place("overflow"), f"pool {quoted(name)} overflows to itself", "name another pool"
            )
        path: dict[str, None] = {}
        here: str | None = name
        while here is not None and here in pools and here not in done and here not in path:
            path[here] = None
            here = pools[here].value.fallback
        if here is not None and here in path:
            loop = [*path][[*path].index(here) :]
            what = "a loop of fallbacks: " + " → ".join([*loop, here][:12])
            report.error(pools[here].place("fallback"), what, "the last pool of a chain has no `fallback`")
        done.update(path)


def implied_pool(hosts: Mapping[str, Placed[Host]]) -> Pool:
    """Return the pool `main` of a file that has `hosts` and no `pools`."""
    members = tuple(Member(host=host.name, weight=host.weight) for _, host in hosts.values())
    return Pool(name="main", members=members)


def used_checks(checks: Mapping[str, Placed[Check]], pools: Mapping[str, Pool]) -> tuple[Check, ...]:
    """Return the declared checks, and the built-in ones that a pool uses."""
    used = {check for pool in pools.values() for check in pool.checks}
    built_in = (check for check in BUILT_IN_CHECKS if check.name in used and check.name not in checks)
    return (*(check for _, check in checks.values()), *built_in)
