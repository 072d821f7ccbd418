"""The key `warmup` of a host: its keys, their reading, and what a whole zone must say for it."""

import re
from collections.abc import Mapping
from datetime import date

from geodns.config import yaml_nodes
from geodns.config.keys import keys_of, read_keys
from geodns.config.report import Report, quoted
from geodns.config.times import duration_text
from geodns.config.value_types import Schema, ValueType, choice, entries_of, read_whole, text_of
from geodns.config.yaml_nodes import YamlNode
from geodns.model.base import FAMILIES
from geodns.model.hosts import Host
from geodns.model.limits import CYCLE
from geodns.model.warmup import (
    MAX_CAP,
    MAX_DAYS,
    PLAN_NAMES,
    PLANS,
    ProviderCap,
    Warmup,
    first_day,
    longest_ttl,
    peak_of,
)
from geodns.model.zone import Pool, Zone
from geodns.zonefile.routes import PROVIDER_NAMES, read_provider
from geodns.zonefile.sections import Placed

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTEAD = f"write {', '.join(PLAN_NAMES)} or the messages of each day, as [200, 500, 1000]"


def _read_plan(node: YamlNode, report: Report) -> str | tuple[int, ...] | None:
    if not isinstance(node, yaml_nodes.Sequence):
        text = text_of(node, report, "a plan", _INSTEAD)
        if text is not None and text not in PLANS:
            report.error(node, f"no plan is called {quoted(text)}", _INSTEAD)
            return None
        return text
    caps: list[int] = []
    if not 0 < len(node.items) <= MAX_DAYS:
        report.error(node, f"a plan of {len(node.items)} days", f"write 1 to {MAX_DAYS}")
        return None
    for item in node.items:
        text = text_of(item, report, "messages a day", _INSTEAD)
        cap = None if text is None else read_whole(text, item, report, "messages a day", 1, MAX_CAP)
        if cap is None:
            return None
        if caps and cap < caps[-1]:
            report.error(item, f"{cap} after {caps[-1]}", "a plan never falls: write them in order")
            return None
        caps.append(cap)
    return tuple(caps)


_PLAN_SCHEMA: Schema = {
    "anyOf": [
        {"enum": list(PLAN_NAMES)},
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": MAX_CAP},
            "minItems": 1,
            "maxItems": MAX_DAYS,
        },
    ]
}


def _read_date(node: YamlNode, report: Report) -> date | None:
    text = text_of(node, report, "a date", "write it as 2026-12-01")
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    report.error(node, f"{quoted(text)} is no date", "write it as 2026-12-01")
    return None


_PERCENT = re.compile("([0-9]{1,3})%")
_CAPS_HOW = "write messages a day or a part of the day's, as {google: 50%, yahoo: 1000}"


def _read_caps(node: YamlNode, report: Report) -> tuple[ProviderCap, ...] | None:
    before = report.errors
    entries = entries_of(node, report, "caps of providers", _CAPS_HOW)
    if not entries and report.errors == before:
        report.error(node, "caps of no provider", f"{_CAPS_HOW}, or take `caps` out")
    found = []
    for key, value in entries.values():
        provider, cap = read_provider(key, report), _read_cap(value, report)
        if provider is not None and cap is not None:
            found.append(ProviderCap(provider=provider, amount=cap[0], percent=cap[1]))
    return tuple(found) if report.errors == before else None


def _read_cap(node: YamlNode, report: Report) -> tuple[int, bool] | None:
    """Return how much, and whether that is percent."""
    text = text_of(node, report, "a cap", _CAPS_HOW)
    if text is None:
        return None
    found = _PERCENT.fullmatch(text)
    if found is None:
        amount = read_whole(text, node, report, "messages a day", 0, MAX_CAP)
        return None if amount is None else (amount, False)
    if int(found[1]) > 100:
        report.error(node, f"{text} is out of range", "write 0% to 100%")
        return None
    return int(found[1]), True


_CAP_SCHEMA: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": MAX_CAP},
        {"type": "string", "pattern": "^[0-9]{1,3}%$"},
    ]
}
_CAPS = ValueType(
    _read_caps,
    {
        "type": "object",
        "properties": dict.fromkeys(PROVIDER_NAMES, _CAP_SCHEMA),
        "additionalProperties": False,
        "minProperties": 1,
    },
)

WARMUP = keys_of(
    Warmup,
    {
        "plan": ValueType(_read_plan, _PLAN_SCHEMA, f"{', '.join(f'`{one}`' for one in PLAN_NAMES)} or list"),
        "start": ValueType(_read_date, {"type": "string", "format": "date"}, "date"),
        "days": choice,
        "caps": _CAPS,
    },
    fields={"caps": "provider_caps"},
)


def read_warmup(node: YamlNode, report: Report) -> Warmup | None:
    """Read a host's warm-up; None: the report says why not."""
    before = report.errors
    given = read_keys(node, report, WARMUP, "a warm-up")
    if report.errors > before:
        return None
    for word in ("plan", "start"):
        if word not in given:
            instead = "write {plan: sendgrid, start: 2026-12-01}"
            report.error(node, f"a warm-up without `{word}`", instead)
            return None
    if "caps" in given:
        given["provider_caps"] = given.pop("caps")
    return Warmup(**given)


def check_warmups(
    zone: Zone,
    hosts: Mapping[str, Placed[Host]],
    pools: Mapping[str, YamlNode],
    report: Report,
) -> None:
    """Report what a zone does not say for the hosts that warm up; only if its pools had no error.

    Args:
        zone: as it was read.
        hosts: those that the file itself has.
        pools: where each pool stands.
        report: takes the problems.

    """
    if not zone.warms and not any(pool.overflow for pool in zone.pools):
        return
    unsaid: dict[str, str] = {}
    for host, sending in zone.sending_pools_of.items():
        unsaid |= {pool.name: host for pool in reversed(sending) if pool.volume is None}
    for name, host in sorted(unsaid.items()):
        instead = "write `volume: 200000`, the messages that it sends a day, or `mail: in` if it receives"
        report.error(
            pools[name], f"pool {quoted(name)} deals {host}, which warms up, and has no `volume`", instead
        )
    for pool in zone.pools:
        _check_pool(zone, pool, pools[pool.name], report)
    if unsaid:
        return
    for host, sending in zone.sending_pools_of.items():
        at = hosts[host].at if host in hosts else pools[sending[0].name] if sending else None
        if sending:
            _check_dealt(zone, host, at, report)
        elif host in zone.weights_by_host:
            report.warn(
                at,
                f"host {quoted(host)} warms up, and its pools receive",
                "take `warmup` out: it has no effect",
            )


def _check_pool(zone: Zone, pool: Pool, at: YamlNode, report: Report) -> None:
    chain = zone.chain(pool.name)
    warming = [one for link in chain for one in link.members if zone.host_by_name[one.host].warmup]
    if pool.overflow is not None:
        over = [one.host for link in zone.chain(pool.overflow) for one in link.members]
        if over and all(zone.host_by_name[host].warmup for host in over):
            what = f"all hosts of the overflow {quoted(pool.overflow)} warm up"
            report.error(at, what, "name a pool with warm hosts")
        if not warming or pool.mail == "in":
            what = f"`overflow` of pool {quoted(pool.name)} has no effect"
            report.warn(at, what, "it takes what hosts that warm up may not: here is none")
        return
    if pool.mail == "in":
        return
    for family in FAMILIES:
        members = [
            zone.host_by_name[one.host]
            for one in pool.members
            if one.weight and family in zone.host_by_name[one.host].by_family
        ]
        if members and all(host.warmup for host in members):
            which = "" if len(members) == len(pool.members) else f" with an {family} record"
            what = f"every host of pool {quoted(pool.name)}{which} warms up: nobody takes what they may not"
            # What is found must not make the file bad that it is found for.
            tell = report.warn if zone.sources else report.error
            apart = f", or leave their {family} addresses out until they are warm" if which else ""
            tell(at, what, f"name a pool of warm hosts: `overflow: POOL`{apart}")
            return


def _check_dealt(zone: Zone, host: str, at: YamlNode | None, report: Report) -> None:
    """Warn where a host is not dealt on day 1, for its TTL or its small share."""
    told = not_dealt(zone, host)
    if told is not None:
        report.warn(at, *told)


def not_dealt(zone: Zone, host: str) -> tuple[str, str] | None:
    """Return why DNS does not deal a warming host on its first day, and what to write instead."""
    plan = zone.host_by_name[host].warmup
    volume, ttl = zone.volume_of(host), zone.dealt_ttl_of(host)
    cap = plan.cap(1) if plan is not None else None
    if plan is None or not cap or not volume:
        return None
    peak = peak_of(volume)
    day = first_day(plan, volume, peak, ttl, CYCLE)
    if day == 1:
        return None
    what = f"host {quoted(host)}: DNS deals it {'never' if day is None else f'from day {day} on'}: "
    soonest = first_day(plan, volume, peak, 0, CYCLE)
    waits = "until then its plan waits at day 1, unless mail leaves it another way"
    if soonest == day:
        return f"{what}day 1's {cap:,} messages of {volume:,} are under one answer of a cycle", waits
    what += f"with ttl {duration_text(ttl)} one cached answer may send over a quarter of a day's messages"
    longest = longest_ttl(plan.cap(soonest or 1) or cap, peak)
    return what, f"write `ttl: {longest}s` or less to have it from day {soonest} on; {waits}"
