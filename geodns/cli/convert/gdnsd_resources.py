"""Resources of gdnsd's plugins → hosts, pools and checks of a draft.

DYNA of multifo, weighted, simplefo and static have a counterpart; geography has none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import dns.name

from geodns.cli.convert.draft import SourcePlace, ZoneDraft
from geodns.cli.convert.gdnsd_config import Hash, as_hash
from geodns.config.report import quoted
from geodns.config.value_types import parse_address
from geodns.model.base import FAMILIES, Family, family_of
from geodns.model.zone import MAX_ANSWERS
from geodns.zonefile.check_policy import NO_CHECK
from geodns.zonefile.names import is_host_label

UNCHECKED: dict[str, Any] = {"check": NO_CHECK}
"""Keys of a pool whose hosts nothing checks."""

_ALWAYS_UP = frozenset({"up", "default"})
_PARAMETERS = frozenset({"service_types", "up_thresh", "ignore_health", "multi"})
_FAMILY_KEYS: dict[str, Family] = {"addrs_v4": "A", "addrs_v6": "AAAA"}
_LABEL = 63


class Dynamic(NamedTuple):
    """A DYNA or DYNC record."""

    owner: dns.name.Name
    kind: str
    ttl: int
    plugin: str
    resource: str
    place: SourcePlace


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


@dataclass(frozen=True)
class ResourceAddress:
    """An address of a resource."""

    label: str
    address: str
    weight: int = 1


@dataclass(frozen=True)
class ResourcePlan:
    """What a resource answers in one family; `backup` takes over when nobody else is up."""

    members: tuple[ResourceAddress, ...]
    settings: Mapping[str, Any]
    single: bool = False
    backup: ResourceAddress | None = None
    grouped: bool = False


class Resources:
    """The resources of a configuration that a zone deals, as pools of its draft."""

    def __init__(self, draft: ZoneDraft, config: Hash, file: Path, owners: set[dns.name.Name]) -> None:
        self._draft = draft
        self._place = SourcePlace(str(file))
        self._plugins = as_hash(config.get("plugins"))
        self._services = as_hash(config.get("service_types"))
        self._origin = dns.name.from_text(draft.origin)
        self._taken = {*draft.names, *draft.ns, *(self._relative(owner) for owner in owners)}
        self._hosts: dict[str, str] = {}
        self._pools: dict[tuple[str, str], dict[Family, str]] = {}
        self._checks: dict[str, str | None] = {}

    def _relative(self, owner: dns.name.Name) -> str:
        return owner.relativize(self._origin).to_text().lower()

    def deal(self, one: Dynamic) -> None:
        """Let a name be answered as its DYNA or DYNC says."""
        owner, title = self._relative(one.owner), f"{one.kind} {one.plugin}!{one.resource}"
        if not one.owner.is_subdomain(self._origin):
            self._draft.remark(f"{title} lies outside the zone: left out", place=one.place)
            return

        def remark(text: str) -> None:
            self._draft.remark(f"{title}: {text}", place=one.place, owner=owner)

        plugin = as_hash(self._plugins.get(one.plugin))
        if one.plugin in {"geoip", "metafo"}:
            why = "geography" if one.plugin == "geoip" else "an order of data centres"
            remark(f"left out: {why} has no counterpart: name a pool with a `fallback`")
        elif one.plugin == "static":
            self._static(owner, one, plugin.get(one.resource), remark)
        elif one.plugin not in {"multifo", "weighted", "simplefo"}:
            remark("left out: this plugin has no counterpart")
        elif one.resource not in plugin or one.resource in _PARAMETERS:
            what = f"{owner} {title}: the configuration has no such resource"
            self._draft.problem(one.place, what, f"look at {self._place}")
        elif (alias := _heaviest_alias(plugin[one.resource])) is not None:
            remark(f"weighted aliases have no counterpart: the heaviest, {alias}, is taken alone")
            self._draft.put(owner, "CNAME", one.ttl, [(alias, one.place)], one.place)
        else:
            pools = self._pools_of(one, plugin, remark)
            for family, pool in pools.items():
                self._draft.put(owner, family, one.ttl, [({"pool": pool}, one.place)], one.place)

    def _static(self, owner: str, one: Dynamic, value: Any, remark: Any) -> None:
        values = [text for text in _list(value) if isinstance(text, str)]
        addresses = [parse_address(text) for text in values]
        if not values or (len(values) > 1 and None in addresses):
            remark("left out: the configuration has no such resource")
            return
        for text, address in zip(values, addresses, strict=True):
            kind = "CNAME" if address is None else family_of(address)
            self._draft.put(owner, kind, one.ttl, [(text, one.place)], one.place)

    # --- pools ------------------------------------------------------------------------------------------

    def _pools_of(self, one: Dynamic, plugin: Hash, remark: Any) -> dict[Family, str]:
        key = one.plugin, one.resource
        if key not in self._pools:
            plans = self._plans(one.plugin, plugin, plugin[one.resource])
            if not plans:
                remark("left out: no address can be read from its configuration")
            base = re.sub("[^A-Za-z0-9_.-]", "-", one.resource)
            self._pools[key] = {
                family: self._pool(base if len(plans) == 1 or family == "A" else f"{base}-aaaa", plan, remark)
                for family, plan in plans.items()
            }
        return self._pools[key]

    def _plans(self, plugin: str, top: Hash, resource: Any) -> dict[Family, ResourcePlan]:
        """Return what a resource answers by family; settings are inherited from the levels above."""
        settings = {key: top[key] for key in _PARAMETERS if key in top}
        if not isinstance(resource, dict):
            resource = {str(number): one for number, one in enumerate(_list(resource), 1)}
        settings |= {key: resource[key] for key in _PARAMETERS if key in resource}
        explicit = {family: resource[key] for key, family in _FAMILY_KEYS.items() if key in resource}
        plans: dict[Family, ResourcePlan] = {}
        for part in explicit.values() if explicit else [resource]:
            body = part
            if not isinstance(body, dict):
                body = {str(number): one for number, one in enumerate(_list(part), 1)}
            own = settings | {key: body[key] for key in _PARAMETERS if key in body}
            entries = {key: one for key, one in body.items() if key not in _PARAMETERS}
            members = _members(entries, plugin)
            grouped = any(isinstance(one, dict) for one in entries.values())
            for family in FAMILIES:
                some = tuple(one for one in members if _family(one) == family)
                if plugin == "simplefo" and len(some) == 2:
                    first, second = sorted(some, key=lambda one: one.label != "primary")
                    plans[family] = ResourcePlan((first,), own, single=True, backup=second)
                elif some:
                    single = plugin == "weighted" and not _is_true(own.get("multi")) and not grouped
                    plans[family] = ResourcePlan(some, own, single=single, grouped=grouped)
        return plans

    def _pool(self, name: str, plan: ResourcePlan, remark: Any) -> str:
        name = self._unique(name)
        checks = self._checks_of(plan.settings.get("service_types", "up"), remark)
        judged = {"check": checks[0] if len(checks) == 1 else checks} if checks else UNCHECKED
        weights: dict[str, int] = {}
        for one in plan.members:
            host = self._host(name, one)
            weights[host] = weights.get(host, 0) + one.weight
        plain = {*weights.values()} == {1}
        answers = 1 if plan.single else min(len(weights), MAX_ANSWERS)
        pool: dict[str, Any] = {"hosts": [*weights] if plain else weights, **judged, "answers": answers}
        if not plain and not plan.single:
            text = "how many addresses an answer has depends on their weights"
            if plan.grouped:
                text = f"its groups become one pool, and {text}"
            remark(f"{text}: geodns deals up to {answers}, and keeps the shares")
        if "up_thresh" in plan.settings and checks:
            remark(
                "below `up_thresh` gdnsd deals the dead as well: here the survivors serve while there are any"
            )
        if _is_true(plan.settings.get("ignore_health")):
            remark("`ignore_health`: its hosts are not checked")
            pool = {"hosts": pool["hosts"], **UNCHECKED, "answers": answers}
        self._draft.pools[name] = pool
        if plan.backup is not None:
            second = self._unique(f"{name}-secondary")
            host = self._host(name, plan.backup)
            self._draft.pools[second] = {"hosts": [host], **judged, "answers": 1}
            pool |= {"min_live": 1, "fallback": second}
        return name

    def _unique(self, name: str) -> str:
        name = name.strip("-.") or "pool"
        found, number = name, 1
        while found in self._draft.pools:
            number += 1
            found = f"{name}-{number}"
        return found

    def _host(self, pool: str, member: ResourceAddress) -> str:
        """Return the host at an address; one address is one host, however many resources have it."""
        known = self._hosts.get(member.address)
        if known is not None:
            return known
        label = (
            re.sub("[^a-z0-9]+", "-", f"{pool}-{member.label}".lower()).strip("-")[: _LABEL - 6].strip("-")
        )
        first = re.sub("[^a-z0-9]+", "-", member.label.lower()).strip("-")
        base = first if re.search("[a-z]", first) and is_host_label(first) else label or "host"
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{label or base}-{number}" if number > 2 else label or f"{base}-{number}"
        self._taken.add(name)
        self._hosts[member.address] = name
        self._draft.hosts[name] = member.address
        return name

    # --- checks -----------------------------------------------------------------------------------------

    def _checks_of(self, services: Any, remark: Any) -> list[str]:
        found = [self._check(str(one), remark) for one in _list(services)]
        return [*dict.fromkeys(one for one in found if one is not None)]

    def _check(self, service: str, remark: Any) -> str | None:
        if service in self._checks:
            return self._checks[service]
        name: str | None = None
        given = as_hash(self._services.get(service))
        if not given:
            if service not in _ALWAYS_UP:
                remark(f"service type {quoted(service)} is not defined, or always down: not checked")
        elif given.get("plugin") not in {"tcp_connect", "http_status"}:
            remark(
                f"service type {quoted(service)}, by {given.get('plugin')}, has no counterpart: not checked"
            )
        else:
            name = re.sub("[^A-Za-z0-9_-]", "-", service)
            self._draft.checks[name] = _check_of(given)
            if "ok_thresh" in given:
                remark(f"`ok_thresh` of {service} has no counterpart: `rise` good probes clear failures, too")
        self._checks[service] = name
        return name


def _check_of(given: Hash) -> dict[str, Any]:
    """Return a check for a service type; what the file does not say has geodns's defaults."""
    check: dict[str, Any] = {"type": "tcp" if given["plugin"] == "tcp_connect" else "http"}
    words = {"port": "port", "interval": "interval", "up_thresh": "rise", "down_thresh": "fall"}
    if check["type"] == "http":
        words |= {"url_path": "path", "vhost": "host"}
        check["status"] = [str(code) for code in _list(given.get("ok_codes", "200"))]
        check["port"] = 80
    check |= {ours: _number(given[theirs]) for theirs, ours in words.items() if theirs in given}
    interval, timeout = given.get("interval"), given.get("timeout")
    if isinstance(interval, str) and interval.isdecimal():
        check["interval"] = f"{interval}s"
    if isinstance(timeout, str) and timeout.isdecimal():
        check["timeout"] = f"{timeout}s"
    for word in ("rise", "fall"):
        if isinstance(check.get(word), int):
            check[word] = min(check[word], 1000)
    if len(check.get("status", ())) == 1:
        check["status"] = check["status"][0]
    return check


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and re.fullmatch("[1-9][0-9]{0,8}", value) else value


def _family(member: ResourceAddress) -> Family | None:
    address = parse_address(member.address)
    return None if address is None else family_of(address)


def _members(entries: Hash, plugin: str) -> list[ResourceAddress]:
    """Return the addresses of a resource's hash; of groups, all."""
    found: list[ResourceAddress] = []
    for label, one in entries.items():
        if isinstance(one, dict):
            found += _members({key: value for key, value in one.items() if key not in _PARAMETERS}, plugin)
        elif plugin == "weighted":
            address, weight = [*_list(one), "1"][:2]
            whole = _number(weight)
            found.append(ResourceAddress(label, str(address), whole if isinstance(whole, int) else 1))
        else:
            found += [ResourceAddress(label, str(address)) for address in _list(one)]
    return [one for one in found if parse_address(one.address) is not None]


def _heaviest_alias(resource: Any) -> str | None:
    """Return the target of most weight, where a resource of weighted has aliases."""
    if not isinstance(resource, dict):
        return None
    found = [
        (_number(one[1]), one[0])
        for key, one in resource.items()
        if key not in _PARAMETERS
        and isinstance(one, list)
        and len(one) == 2
        and isinstance(one[0], str)
        and parse_address(one[0]) is None
    ]
    weighed = [(weight, alias) for weight, alias in found if isinstance(weight, int)]
    return max(weighed)[1] if weighed else None
