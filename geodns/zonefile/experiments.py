"""The section `experiments` of a zone file: its keys, their reading, and what does not go together."""

import math
from collections.abc import Callable, Mapping
from itertools import combinations, pairwise
from typing import Any, NamedTuple

from geodns.config import yaml_nodes
from geodns.config.keys import Key, keys_of, objects, read_keys
from geodns.config.report import Report, first_and_count, quoted
from geodns.config.times import duration_text
from geodns.config.value_types import (
    Schema,
    ValueType,
    choice,
    duration,
    entries_of,
    read_whole,
    seconds,
    section,
    text_of,
    whole,
    word,
)
from geodns.config.yaml_nodes import Scalar, YamlNode, is_nothing
from geodns.model.experiments import METRICS, PROMPT_METRICS, SEATS, Arm, Experiment
from geodns.model.zone import Zone
from geodns.zonefile.record_fields import Context, read_name
from geodns.zonefile.sections import check_short_name

SLOT_STEP = 300
"""Seconds: mail is counted in steps of this, so that slots begin and end with one."""
SLOT_TTLS = 4
"""The fewest TTLs in a slot: what caches keep of the arm before is a small part of it then."""
_NAME = "write the name where it is held, as bulk"
_ARMS = "write two or more, as {control: {share: 80, pool: main}, trial: {share: 20, pool: trial}}"


def _read_share(node: YamlNode, report: Report) -> int | None:
    text = text_of(node, report, "a share", f"write 1 to {SEATS}")
    if text == "0":
        report.error(node, "a share of 0: nobody would be in the arm", "write 1 or more, or take the arm out")
        return None
    return None if text is None else read_whole(text, node, report, "share", 1, SEATS)


SHARE = ValueType(
    _read_share, {"type": "integer", "minimum": 1, "maximum": SEATS}, f"whole number, 1 to {SEATS}"
)


def _read_metric(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "a metric", f"write one of: {', '.join(METRICS)}")
    if text is not None and text not in METRICS:
        report.unknown(node, "no metric is called", text, METRICS)
        return None
    return text


_POOL = word("the name of a pool")
ARM: dict[str, Key] = keys_of(Arm, {"share": SHARE, "pool": _POOL})
_ARMS_SCHEMA: Schema = {
    "type": "object",
    "additionalProperties": objects(ARM, "share", "pool"),
    "minProperties": 2,
}
EXPERIMENT: dict[str, Key] = keys_of(
    Experiment,
    {
        "name": word("a name of the zone"),
        "pool": _POOL,
        "arms": section(_ARMS_SCHEMA),
        "by": choice,
        "slot": seconds,
        "salt": whole,
        "metric": ValueType(_read_metric, {"enum": list(METRICS)}),
        "horizon": duration,
    },
    fields={"name": "owner"},
    defaults={"pool": "the one that the name has"},
)


class PlacedExperiment(NamedTuple):
    """An experiment as it was read, and where its key and its body stand.

    Attributes:
        pool: None: the one that the name has.

    """

    at: YamlNode
    body: yaml_nodes.Mapping
    owner: str
    pool: Scalar | None
    values: dict[str, Any]

    def place(self, key: str) -> YamlNode:
        return self.body.get(key) or self.at


def read_experiments(
    node: YamlNode | None, pools: Mapping[str, object], context: Context
) -> dict[str, PlacedExperiment]:
    """Read the section; what is wrong with an experiment is reported, and it is left out."""
    report = context.report
    found: dict[str, PlacedExperiment] = {}
    entries = entries_of(node, report, "experiments", "write `name: {name: …, arms: …}`") if node else {}
    for name, (key, body) in entries.items():
        check_short_name(key, report, "experiment")
        before = report.errors
        given = read_keys(body, report, EXPERIMENT, "an experiment")
        owner = read_name(given["name"].text, given["name"], context) if "name" in given else None
        if not isinstance(body, yaml_nodes.Mapping):
            if is_nothing(body):
                report.error(key, f"experiment {quoted(name)} has no `name`", _NAME)
            continue
        for missing in ("name", "arms"):
            if missing not in body.items:
                instead = _NAME if missing == "name" else _ARMS
                report.error(key, f"experiment {quoted(name)} has no `{missing}`", instead)
        arms = _read_arms(given.pop("arms"), pools, report) if "arms" in given else ()
        pool = given.pop("pool", None)
        if pool is not None and pool.text not in pools:
            report.unknown(pool, "no pool is called", pool.text, pools)
        if report.errors > before or owner is None:
            continue
        values = {word: value for word, value in given.items() if word != "name"}
        found[name] = PlacedExperiment(key, body, owner, pool, {**values, "arms": arms})
    return found


def _read_arms(node: YamlNode, pools: Mapping[str, object], report: Report) -> tuple[Arm, ...]:
    before = report.errors
    arms: list[Arm] = []
    first: dict[str, str] = {}
    entries = entries_of(node, report, "arms", _ARMS)
    for name, (key, body) in entries.items():
        check_short_name(key, report, "arm")
        given = read_keys(body, report, ARM, "an arm")
        there = body.items if isinstance(body, yaml_nodes.Mapping) else () if is_nothing(body) else ARM
        for missing in (one for one in ARM if one not in there):
            report.error(key, f"arm {quoted(name)} has no `{missing}`", "write {share: 20, pool: trial}")
        pool = given.get("pool")
        if pool is None:
            continue
        if pool.text not in pools:
            report.unknown(pool, "no pool is called", pool.text, pools)
        elif pool.text in first:
            what = f"arm {quoted(name)} has the pool of arm {quoted(first[pool.text])}"
            report.error(pool, what, "give each arm a pool of its own: there is nothing to compare")
        elif "share" in given:
            arms.append(Arm(name=name, share=given["share"], pool=pool.text))
        first.setdefault(pool.text, name)
    if report.errors == before and len(arms) < 2:
        report.error(node, f"an experiment with {len(arms) or 'no'} arm{'' if arms else 's'}", _ARMS)
    return tuple(arms)


def with_experiments(zone: Zone, placed: Mapping[str, PlacedExperiment], report: Report) -> Zone:
    """Return a zone with its experiments; what does not fit what else it has is reported."""
    found: dict[str, Experiment] = {}
    for name, one in placed.items():
        before = report.errors
        pool = _replaced(zone, one, report)
        if one.owner in found:
            what = f"{one.owner} has the experiment {quoted(found[one.owner].name)} already"
            report.error(one.place("name"), what, "hold one at a name: end that first")
        if pool is None or report.errors > before:
            continue
        held = Experiment(name=name, owner=one.owner, pool=pool, **one.values)
        _check_shares(held, one, report)
        if held.by == "time":
            _check_time(zone, held, one, report)
        else:
            _check_client(zone, held, one, report)
        found[one.owner] = held
    return zone.model_copy(update={"experiments": tuple(found.values())}) if found else zone


def _replaced(zone: Zone, one: PlacedExperiment, report: Report) -> str | None:
    """Return the pool that an experiment replaces at its name."""
    there = dict.fromkeys(pool for owner, pool in zone.dealt_at if owner == one.owner)
    if not there:
        what = f"{one.owner} deals no pool: there is nothing to compare"
        report.error(one.place("name"), what, "write a name under `records` that has one")
    elif one.pool is None and len(there) > 1:
        what = f"{one.owner} deals several pools: {first_and_count([*there], 4)}"
        report.error(one.at, what, "write which one the arms replace, as `pool: main`")
    elif one.pool is not None and one.pool.text not in there:
        report.unknown(one.pool, f"{one.owner} does not deal the pool", one.pool.text, there)
    else:
        return next(iter(there)) if one.pool is None else one.pool.text
    return None


def _check_shares(held: Experiment, one: PlacedExperiment, report: Report) -> None:
    for (_, end), (arm, next_end) in pairwise([(None, 0), *zip(held.arms, held.bounds, strict=True)]):
        if arm is not None and end == next_end:
            total = sum(each.share for each in held.arms)
            what = (
                f"arm {quoted(arm.name)} has a share of {arm.share} in {total}: under one client in {SEATS}"
            )
            report.error(one.place("arms"), what, "write larger shares for small arms")


def _check_time(zone: Zone, held: Experiment, one: PlacedExperiment, report: Report) -> None:
    ttl = max(rule.ttl for rule in zone.rules_of(held))
    least = SLOT_TTLS * ttl
    if held.slot % SLOT_STEP:
        what = f"a slot of {duration_text(held.slot)}"
        report.error(
            one.place("slot"), what, "write a multiple of 5m, as 1h: mail is counted by five minutes"
        )
    elif held.slot < least:
        what = f"a slot of {duration_text(held.slot)} is under four times the TTL of {held.owner}, {ttl}s"
        whole_steps = -(-least // SLOT_STEP) * SLOT_STEP
        report.error(one.place("slot"), what, f"write {duration_text(whole_steps)} or more, or a lower `ttl`")
    elif held.slot == SLOT_STEP:
        what = "a slot of 5m: all of it is left out where the slot before was another arm's"
        report.warn(
            one.place("slot"), what, "write 10m or more, as 1h: the first 5m after a switch do not count"
        )
    if held.metric not in PROMPT_METRICS:
        what = f"`metric: {held.metric}` with `by: time`: it is known too late to be one arm's"
        report.error(one.place("metric"), what, f"write {' or '.join(PROMPT_METRICS)}, or `by: client`")
    shares = [arm.share for arm in held.arms]
    turn = sum(shares) // math.gcd(*shares) * held.slot
    if turn > held.horizon:
        what = f"arms have their shares of slots after {duration_text(turn)}, which is over the horizon"
        instead = "write shares as small whole numbers, as 4 and 1, shorter slots or a longer `horizon`"
        report.warn(one.place("arms"), what, instead)


def _check_client(zone: Zone, held: Experiment, one: PlacedExperiment, report: Report) -> None:
    if "slot" in one.values:
        report.warn(one.place("slot"), "`slot` without `by: time` has no effect", "take it out")
    shared: tuple[tuple[str, Callable[[str], frozenset[str]]], ...] = (
        ("a host", lambda pool: zone.hosts_reached[pool]),
        ("an address that mail leaves from", lambda pool: _sources(zone, pool)),
    )
    for first, second in combinations(held.arms, 2):
        for what, of in shared:
            both = of(first.pool) & of(second.pool)
            if not both:
                continue
            # What is found must not make the file bad that it is found for.
            tell = report.warn if zone.sources else report.error
            tell(
                one.place("arms"),
                f"arms {quoted(first.name)} and {quoted(second.name)} share {what}: "
                f"{first_and_count(sorted(both), 3)}",
                "give each arm hosts and addresses of its own, in its fallbacks too: mail is counted by host",
            )
            break
    _check_elsewhere(zone, held, one, report)


def _check_elsewhere(zone: Zone, held: Experiment, one: PlacedExperiment, report: Report) -> None:
    """Warn of hosts of arms that other names or pools deal: all of their mail counts as the arm's."""
    for arm in held.arms:
        hosts = zone.hosts_reached[arm.pool]
        same = {pool for pool, others_hosts in zone.hosts_reached.items() if hosts & others_hosts}
        where = dict.fromkeys(
            owner
            for owner, pool in zone.dealt_at
            if pool in same and (owner, pool) != (held.owner, held.pool)
        )
        if where:
            names = first_and_count([*where], 3)
            what = f"hosts of arm {quoted(arm.name)} are dealt without the experiment, too: {names}"
            instead = "that mail counts as the arm's: compare pools that nothing else deals"
            report.warn(one.place("arms"), what, instead)


def _sources(zone: Zone, pool: str) -> frozenset[str]:
    hosts = zone.hosts_reached[pool]
    return frozenset(str(one) for host in hosts for one in zone.host_by_name[host].sources)
