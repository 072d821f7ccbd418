"""The sections `hosts` and `pools` of a zone file → models.

What is wrong is reported and left out, and the rest is read on: the models of a file with errors are good
for finding more errors and for nothing else.
"""

import re
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from geodns import yamltext
from geodns.errors import BadNameError
from geodns.model import BUILT_IN_CHECKS, Address, Check, Endpoint, Host, Member, MinLive, Pool
from geodns.report import Report, quoted
from geodns.scalars import (
    address_text,
    check_unicast,
    entries_of,
    items_of,
    parse_endpoint,
    read_keys,
    text_of,
)
from geodns.yamltext import Node, Scalar, is_nothing
from geodns.zonefile import patterns
from geodns.zonefile.idn import to_ascii
from geodns.zonefile.juries import read_jury
from geodns.zonefile.keys import HOST, POOL, WEIGHT
from geodns.zonefile.loads import read_loads
from geodns.zonefile.names import is_host_label

MAX_HOSTS = 100_000
_MAY_COME = "a source under `hosts_from` may find it: else write another name"

_BUILT_IN = {check.name: check for check in BUILT_IN_CHECKS}
_SHORT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")

T = TypeVar("T")


class Placed(NamedTuple, Generic[T]):
    """A value and where its key stands in the file."""

    at: Node
    value: T


def check_short_name(key: Scalar, report: Report, what: str) -> None:
    """Report a name that a check or a pool cannot have."""
    if _SHORT_NAME.fullmatch(key.text) is None:
        report.error(
            key,
            f"{quoted(key.text)} is no name for a {what}",
            "write letters, digits, hyphens and underscores",
        )


def read_hosts(node: Node | None, report: Report) -> dict[str, Placed[Host]]:
    """Read the hosts, ranges written out; warn of addresses that two hosts have."""
    hosts: dict[str, Placed[Host]] = {}
    if node is None:
        return hosts
    instead = "write `name: address` for each host"
    for key, body in entries_of(node, report, "a mapping of hosts", instead).values():
        names = _host_names(key, report)
        if len(hosts) + len(names) > MAX_HOSTS:
            report.error(key, f"more than {MAX_HOSTS:,} hosts", "split the zone into several")
            break
        for host in _hosts_of(names, body, report):
            if host.name in hosts:
                first = hosts[host.name].at.line
                report.error(
                    key, f"host {quoted(host.name)} is given twice", f"it stands at line {first} already"
                )
            else:
                hosts[host.name] = Placed(key, host)
    _warn_of_shared_addresses(hosts, report)
    return hosts


def _host_names(key: Scalar, report: Report) -> tuple[str, ...]:
    try:
        names = tuple(to_ascii(name).lower() for name in patterns.expand(key.text))
    except (ValueError, BadNameError) as error:
        report.error(key, *_halves(error))
        return ()
    for name in names:
        if not is_host_label(name):
            instead = "write one label of at most 63 letters, digits and hyphens"
            report.error(key, f"{quoted(name)} is no name for a host", instead)
            return ()
    return names


def _halves(error: Exception) -> tuple[str, str]:
    what, _, instead = str(error).rpartition(": ")
    return (what, instead) if what else (instead, "")


def _hosts_of(names: tuple[str, ...], body: Node, report: Report) -> list[Host]:
    short = not isinstance(body, yamltext.Mapping) or any(":" in key for key in body.items)
    given: dict[str, Any] = {"address": body} if short else read_keys(body, report, HOST, "a host")
    address = given.get("address")
    if address is None or not items_of(address):
        report.error(body, "a host without an address", "write `address: 192.0.2.1`, or a list of addresses")
    addresses = None if address is None else _addresses(address, len(names), report)
    egress = _addresses(given["egress"], len(names), report) if "egress" in given else None
    probes = _endpoints(given["probe"], len(names), report) if "probe" in given else None
    loads = read_loads(given["load"], len(names), report) if "load" in given else None
    return [
        Host(
            name=name,
            addresses=addresses[number] if addresses else (),
            weight=given.get("weight", 1),
            egress=egress[number] if egress else (),
            probe=probes[number] if probes else None,
            load=loads[number] if loads else None,
        )
        for number, name in enumerate(names)
    ]


def _expanded(text: str, at: Node, count: int, report: Report) -> tuple[str, ...] | None:
    """Write out an address's range for so many hosts."""
    try:
        texts = patterns.expand(text)
    except ValueError as error:
        report.error(at, *_halves(error))
        return None
    if count and len(texts) != count:
        instead = f"write as many as there are hosts: {count}, as in mx[01-04] and 198.51.100.[11-14]"
        report.error(at, f"{quoted(text)} stands for {len(texts)} of {count} hosts' addresses", instead)
        return None
    return texts


def _addresses(node: Node, count: int, report: Report) -> list[tuple[Address, ...]] | None:
    """Read one or more addresses, each perhaps with a range, for so many hosts."""
    columns: list[list[Address]] = []
    for item in items_of(node):
        text = address_text(item, report)
        texts = None if text is None else _expanded(text, item, count, report)
        column: list[Address] = []
        for one in texts or ():
            address = check_unicast(one, item, report)
            if address is None:
                break
            column.append(address)
        if texts is None or len(column) < len(texts):
            continue
        if column in columns:
            report.error(item, f"the address {quoted(text or '')} is given twice", "take one out")
        columns.append(column)
    return list(zip(*columns, strict=True)) if count and columns else None


def _endpoints(node: Scalar, count: int, report: Report) -> list[Endpoint] | None:
    texts = _expanded(node.text, node, count, report)
    if texts is None:
        return None
    found = [endpoint for text in texts if (endpoint := parse_endpoint(text)) is not None]
    if len(found) < len(texts):
        instead = 'write an address with or without a port, as "10.0.0.13:2525" or "[2001:db8::13]:2525"'
        report.error(node, f"{quoted(node.text)} is no place to probe", instead)
        return None
    return found


def _warn_of_shared_addresses(hosts: Mapping[str, Placed[Host]], report: Report) -> None:
    owners: dict[Address, str] = {}
    for at, host in hosts.values():
        for address in host.addresses:
            first = owners.setdefault(address, host.name)
            if first != host.name:
                what = f"hosts {quoted(first)} and {quoted(host.name)} have the address {address} both"
                report.warn(at, what, "it is dealt as often as both weights say: make them one host")


class PlacedPool(NamedTuple):
    """A pool, where its key stands, and its mapping."""

    at: Node
    body: Node
    value: Pool

    def place(self, key: str) -> Node:
        """Return where one of its keys stands, or else its own key."""
        found = self.body.get(key) if isinstance(self.body, yamltext.Mapping) else None
        return self.at if found is None else found


def read_pools(
    node: Node,
    report: Report,
    hosts: Mapping[str, Placed[Host]],
    checks: Mapping[str, Placed[Check]],
    *,
    growing: bool = False,
) -> dict[str, PlacedPool]:
    """Read the pools; their fallbacks are looked at when all are known.

    Args:
        node: the section.
        report: takes the problems.
        hosts: those that pools may name.
        checks: likewise.
        growing: whether hosts may yet be found: one that is missing is no error then, nor is an empty pool.

    """
    pools: dict[str, PlacedPool] = {}
    instead = "write `name: {hosts: […]}` for each pool"
    for name, (key, body) in entries_of(node, report, "a mapping of pools", instead).items():
        check_short_name(key, report, "pool")
        given = read_keys(body, report, POOL, "a pool")
        members: tuple[Member, ...] = ()
        if "hosts" in given:
            members = _members(given.pop("hosts"), report, hosts, growing=growing)
        elif isinstance(body, yamltext.Mapping) or is_nothing(body):
            report.error(key, f"pool {quoted(name)} has no `hosts`", "write `hosts: […]`, names or globs")
        if "fallback" in given:
            given["fallback"] = given["fallback"].text
        if "check" in given:
            jury = read_jury(given.pop("check"), report, dict.fromkeys([*checks, *_BUILT_IN]))
            given |= {} if jury is None else jury._asdict()
        pools[name] = PlacedPool(key, body, Pool(name=name, members=members, **given))
        _check_min_live(pools[name], given, report, growing=growing)
    return pools


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
    node: Node, report: Report, hosts: Mapping[str, Placed[Host]], *, growing: bool
) -> tuple[Member, ...]:
    """Read a pool's hosts; an exact name beats a glob."""
    before = report.errors
    weights: dict[str, int] = {}
    exact: set[str] = set()
    by_glob: dict[str, str] = {}
    items = _weighted(node, report)
    for item, weight in items:
        names = _names_of(item, report, hosts, growing=growing)
        is_glob = patterns.is_glob(item.text)
        for name in names:
            own = hosts[name].value.weight if weight is None else weight
            if not is_glob:
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
        pass  # who names hosts that may come has been told so
    elif report.errors == before and not any(weights.values()):
        tell = report.warn if growing else report.error
        instead = "name its hosts" if not weights else "give at least one a weight over 0"
        tell(node, "a pool without hosts" if not weights else "no host of this pool has weight", instead)
    return tuple(Member(host=name, weight=weights[name]) for name in hosts if name in weights)


def _weighted(node: Node, report: Report) -> list[tuple[Scalar, int | None]]:
    if isinstance(node, yamltext.Mapping):
        return [(key, WEIGHT.read(value, report)) for key, value in node.items.values()]
    instead = 'write names or globs, as [mta1, "mx*"]'
    return [
        (item, None)
        for item in items_of(node)
        if text_of(item, report, "a host's name", instead) is not None and isinstance(item, Scalar)
    ]


def _names_of(item: Scalar, report: Report, hosts: Mapping[str, Placed[Host]], *, growing: bool) -> list[str]:
    text = item.text.lower()
    if patterns.is_glob(text):
        fits = patterns.matcher(text)
        found = [name for name in hosts if fits(name)]
        if not found and growing:
            report.warn(item, f"the glob {quoted(item.text)} matches no host now", _MAY_COME)
        elif not found:
            report.error(
                item, f"the glob {quoted(item.text)} matches no host", "the hosts are those under `hosts`"
            )
        return found
    try:
        names = [to_ascii(name).lower() for name in patterns.expand(text)]
    except (ValueError, BadNameError) as error:
        report.error(item, *_halves(error))
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
    """Report fallbacks that do not exist or that lead back to where they came from."""
    done: set[str] = set()
    for name, pool in pools.items():
        if pool.value.fallback is not None and pool.value.fallback not in pools:
            report.unknown(pool.place("fallback"), "no pool is called", pool.value.fallback, pools)
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
    """Return the pool that `hosts` alone imply."""
    members = tuple(Member(host=host.name, weight=host.weight) for _, host in hosts.values())
    return Pool(name="main", members=members, checks=("smtp",))


def used_checks(checks: Mapping[str, Placed[Check]], pools: Mapping[str, Pool]) -> tuple[Check, ...]:
    """Return the declared checks and the built-in ones that a pool uses."""
    used = {check for pool in pools.values() for check in pool.checks}
    built_in = (check for check in BUILT_IN_CHECKS if check.name in used and check.name not in checks)
    return (*(check for _, check in checks.values()), *built_in)
