"""The section `experiments`: what is read, and every way in which it may be wrong."""

import jsonschema
import pytest
import yaml

from geodns.model.experiments import METRICS, PROMPT_METRICS, Arm, Experiment
from geodns.model.mail import MailEvent
from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone
from geodns.zonefile.schema import zone_schema
from tests.zonetexts import NAME, zone_of

ZONE = """
ns: {ns1: 192.0.2.53}
hosts:
  a: 192.0.2.11
  b: 192.0.2.12
  c: {address: 192.0.2.13, egress: [203.0.113.1]}
  d: {address: 192.0.2.14, egress: [203.0.113.1, 203.0.113.2]}
  e: {address: 192.0.2.15, egress: 192.0.2.12}
pools:
  main: {hosts: [a]}
  trial: {hosts: [b]}
  third: {hosts: [c]}
  same-egress: {hosts: [d]}
  same-host: {hosts: [e], fallback: main}
  same-address: {hosts: [e]}
records:
  "@": {A: {pool: main}, MX: {pool: main}}
  many: {MX: [{pool: main, preference: 10}, {pool: third, preference: 20}]}
  rules: {A: {pool: [{countries: DE, use: trial}, main]}, MX: "0 ."}
  slow: {ttl: 20m, A: {pool: main}, MX: "0 ."}
  fixed: {A: 192.0.2.99}
  rest:
    MX:
      - {pool: trial, preference: 1}
      - {pool: same-egress, preference: 2}
      - {pool: same-host, preference: 3}
      - {pool: same-address, preference: 4}
      - {pool: third, preference: 5}
experiments:
  new-mta: EXPERIMENT
"""
ARMS = "arms: {control: {share: 80, pool: main}, trial: {share: 20, pool: trial}}"
READ = (Arm(name="control", share=80, pool="main"), Arm(name="trial", share=20, pool="trial"))
VALIDATOR = jsonschema.Draft202012Validator(zone_schema())


def text_of(experiment: str) -> str:
    return ZONE.replace("EXPERIMENT", experiment)


def told(experiment: str) -> list[str]:
    """Return what the file says, without the place."""
    problems = parse_zone(NAME, text_of(experiment).encode(), "zone.yaml").problems
    return [f"{'warning: ' if one.warning else ''}{one.what}: {one.instead}" for one in problems]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (f'{{name: "@", {ARMS}}}', Experiment(name="new-mta", owner=f"{NAME}.", pool="main", arms=READ)),
        (
            (
                f"{{name: many, pool: main, {ARMS}, by: time, slot: 2h, salt: 7, metric: delivered, "
                "horizon: 7d}"
            ),
            Experiment(
                name="new-mta",
                owner=f"many.{NAME}.",
                pool="main",
                arms=READ,
                by="time",
                slot=7200,
                salt=7,
                metric="delivered",
                horizon=7 * 86400.0,
            ),
        ),
        (
            f"{{name: rules.{NAME}., pool: main, {ARMS}, metric: complaint}}",
            Experiment(name="new-mta", owner=f"rules.{NAME}.", pool="main", arms=READ, metric="complaint"),
        ),
    ],
)
def test_what_is_read(written: str, read: Experiment) -> None:
    zone = zone_of(text_of(written))
    assert zone.experiments == (read,)
    VALIDATOR.validate(yaml.safe_load(text_of(written)))
    assert Zone.model_validate_json(zone.model_dump_json()) == zone


def test_a_zone_without_experiments_keeps_its_digest() -> None:
    text = ZONE.partition("experiments:")[0]
    assert "experiments" not in zone_of(text).model_dump_json()


def test_the_metrics_are_events_of_mail() -> None:
    assert set(PROMPT_METRICS) < set(METRICS) <= set(MailEvent)


TWO = "write two or more, as {control: {share: 80, pool: main}, trial: {share: 20, pool: trial}}"
OWN = "give each arm hosts and addresses of its own, in its fallbacks too: mail is counted by host"


def arms(pool: str, share: str = "20") -> str:
    return f"arms: {{control: {{share: 80, pool: main}}, trial: {{share: {share}, pool: {pool}}}}}"


ERRORS = {
    "no mapping": ("main", "'main' where an experiment is expected"),
    "nothing": ("{}", "experiment 'new-mta' has no `arms`: write two"),
    "no arms": ('{name: "@"}', f"experiment 'new-mta' has no `arms`: {TWO}"),
    "unknown key": (f'{{name: "@", {ARMS}, arm: x}}', "unknown key 'arm': did you mean 'arms'?"),
    "empty arms": ('{name: "@", arms: {}}', f"an experiment with no arms: {TWO}"),
    "one arm": (
        '{name: "@", arms: {control: {share: 80, pool: main}}}',
        f"an experiment with 1 arm: {TWO}",
    ),
    "a share of 0": (
        f'{{name: "@", {arms("trial", "0")}}}',
        "a share of 0: nobody would be in the arm: write 1 or more, or take the arm out",
    ),
    "a share that is none": (
        f'{{name: "@", {arms("trial", "20%")}}}',
        "share '20%' is no whole number: write 1 to 10000",
    ),
    "no share": (
        '{name: "@", arms: {control: {share: 80, pool: main}, trial: {pool: trial}}}',
        "arm 'trial' has no `share`: write {share: 20, pool: trial}",
    ),
    "no pool": (
        '{name: "@", arms: {control: {share: 80, pool: main}, trial: {share: 20}}}',
        "arm 'trial' has no `pool`: write {share: 20, pool: trial}",
    ),
    "no arm": (
        '{name: "@", arms: {control: {share: 80, pool: main}, trial: trial}}',
        "'trial' where an arm is expected",
    ),
    "the same pool twice": (
        f'{{name: "@", {arms("main")}}}',
        ("arm 'trial' has the pool of arm 'control': give each arm a pool of its own: there is nothing to "
        "compare"),
    ),
    "unknown pool of an arm": (
        f'{{name: "@", {arms("trail")}}}',
        "no pool is called 'trail': did you mean 'trial'?",
    ),
    "unknown pool": (f'{{name: "@", pool: mian, {ARMS}}}', "no pool is called 'mian': did you mean 'main'?"),
    "another pool": (
        f'{{name: "@", pool: third, {ARMS}}}',
        f"{NAME}. does not deal the pool 'third': known here: main",
    ),
    "several pools": (
        f"{{name: many, {ARMS}}}",
        f"many.{NAME}. deals several pools: main, third: write which one the arms replace, as `pool: main`",
    ),
    "pools of rules": (
        f"{{name: rules, {ARMS}}}",
        f"rules.{NAME}. deals several pools: trial, main: write which one the arms replace, as `pool: main`",
    ),
    "no pool at the name": (
        f"{{name: fixed, {ARMS}}}",
        f"fixed.{NAME}. deals no pool: there is nothing to compare: write a name",
    ),
    "no such name": (
        f"{{name: nowhere, {ARMS}}}",
        f"nowhere.{NAME}. deals no pool: there is nothing to compare: write a name",
    ),
    "a bad name": (f"{{name: a..b, {ARMS}}}", f"'a..b.{NAME}.': an empty label"),
    "two at a name": (
        f'{{name: "@", {ARMS}}}\n  second: {{name: {NAME}., {ARMS}}}',
        f"{NAME}. has the experiment 'new-mta' already: hold one at a name: end that first",
    ),
    "too small a share": (
        ('{name: "@", arms: {trial: {share: 1, pool: trial}, control: {share: 10000, pool: main}, '
        "third: {share: 10000, pool: third}}}"),
        "arm 'trial' has a share of 1 in 20001: under one client in 10000",
    ),
    "a shared host": (
        f'{{name: "@", {arms("same-host")}}}',
        f"arms 'control' and 'trial' share a host: a: {OWN}",
    ),
    "a shared egress": (
        f'{{name: many, pool: main, {arms("same-egress").replace("main", "third")}}}',
        f"arms 'control' and 'trial' share an address that mail leaves from: 203.0.113.1: {OWN}",
    ),
    "a shared address": (
        '{name: "@", arms: {one: {share: 1, pool: trial}, two: {share: 1, pool: same-address}}}',
        f"arms 'one' and 'two' share an address that mail leaves from: 192.0.2.12: {OWN}",
    ),
    "a slot under four TTLs": (
        f"{{name: slow, {ARMS}, by: time}}",
        f"a slot of 1h is under four times the TTL of slow.{NAME}., 1200s: write 80m or more",
    ),
    "a slot between two steps": (
        f'{{name: "@", {ARMS}, by: time, slot: 7m}}',
        "a slot of 7m: write a multiple of 5m, as 1h: mail is counted by five minutes",
    ),
    "too short a slot": (f'{{name: "@", {ARMS}, by: time, slot: 1m}}', "1m is out of range: write 300s"),
    "unknown metric": (
        f'{{name: "@", {ARMS}, metric: bounce}}',
        "no metric is called 'bounce': did you mean 'bounced'?",
    ),
    "a late metric by time": (
        f'{{name: "@", {ARMS}, metric: complaint, by: time}}',
        ("`metric: complaint` with `by: time`: it is known too late to be one arm's: write deferred or "
        "delivered, or `by: client`"),
    ),
    "unknown way": (f'{{name: "@", {ARMS}, by: host}}', "'host' is not known here"),
    "a name for an arm": (
        '{name: "@", arms: {a/b: {share: 80, pool: main}, trial: {share: 20, pool: trial}}}',
        "'a/b' is no name for an arm: write letters, digits, hyphens and underscores",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("written", "says"), ERRORS.values(), ids=ERRORS.keys())
def test_what_is_refused(written: str, says: str) -> None:
    errors = [one for one in told(written) if not one.startswith("warning: ")]
    assert errors, "nothing is wrong"
    assert errors[0].startswith(says)


ALONE = """
ns: {ns1: 192.0.2.53}
hosts: {a: 192.0.2.11, b: 192.0.2.12, c: 192.0.2.13}
pools: {main: {hosts: [a], fallback: FALLBACK}, trial: {hosts: [b], fallback: rest}, rest: {hosts: [c]}}
records: {"@": {A: {pool: main}, MX: {pool: main}}, bulk: {MX: {pool: BULK}}}
experiments: {new: {name: "@", ARMS}}
"""


def warnings(bulk: str = "rest", arms: str = f"{ARMS}, by: time", fallback: str = "rest") -> list[str]:
    text = ALONE.replace("BULK", bulk).replace("FALLBACK", fallback).replace("ARMS", arms)
    parsed = parse_zone(NAME, text.encode(), "zone.yaml")
    assert parsed.zone is not None
    return [f"{one.what}: {one.instead}" for one in parsed.problems]


def test_arms_by_time_may_share_hosts() -> None:
    assert warnings(fallback="trial") == []


def test_an_arms_pool_is_used() -> None:
    assert warnings(arms="by: time, " + ARMS.replace("pool: trial", "pool: rest"), bulk="main") == [
        "no name deals pool 'trial': name it under `records`, or take it out"
    ]
    assert warnings(bulk="main") == []


BY_CLIENT = (
    ALONE.replace("trial: {hosts: [b], fallback: rest}", "trial: {hosts: [b]}")
    .replace("ARMS", ARMS)
    .replace("FALLBACK", "rest")
)


@pytest.mark.parametrize(
    ("bulk", "arm"),
    [
        ("rest", "control"),  # where its fallback helps out
        ("trial", "trial"),
        ("[{countries: DE, use: trial}, trial]", "trial"),
    ],
)
def test_hosts_that_send_other_mail_too_are_warned_of(bulk: str, arm: str) -> None:
    problems = parse_zone(NAME, BY_CLIENT.replace("BULK", bulk).encode(), "zone.yaml").problems
    assert [(one.what, one.instead, one.warning) for one in problems] == [
        (
            f"hosts of arm '{arm}' are dealt without the experiment, too: bulk.{NAME}.",
            "that mail counts as the arm's: compare pools that nothing else deals",
            True,
        )
    ]


def test_shares_of_time_that_take_longer_than_the_horizon_are_warned_of() -> None:
    odd = ARMS.replace("share: 80", "share: 997").replace("share: 20", "share: 3")
    assert warnings(arms=f"{odd}, by: time") == [
        (
            "arms have their shares of slots after 1000h, which is over the horizon: write shares as small "
            "whole numbers, as 4 and 1, shorter slots or a longer `horizon`"
        )
    ]
    assert warnings(arms=f"{odd}, by: time, horizon: 42d") == []
    assert warnings(arms=f"{ARMS.replace('80', '8000').replace('20', '2000')}, by: time") == []


def test_a_slot_without_time_is_warned_of() -> None:
    assert "warning: `slot` without `by: time` has no effect: take it out" in told(
        f'{{name: "@", {ARMS}, slot: 1h}}'
    )


def test_a_slot_of_which_nothing_counts_after_a_switch_is_warned_of() -> None:
    assert warnings(arms=f"{ARMS}, by: time, slot: 5m") == [
        (
            "a slot of 5m: all of it is left out where the slot before was another arm's: write 10m or more, "
            "as 1h: the first 5m after a switch do not count"
        )
    ]
    assert warnings(arms=f"{ARMS}, by: time, slot: 10m") == []


def test_hosts_that_a_source_finds_do_not_make_the_file_bad() -> None:
    text = text_of(f'{{name: "@", {arms("same-host")}}}').replace(
        "hosts:\n", "hosts_from: {dns: mta.example.net}\nhosts:\n", 1
    )
    problems = parse_zone(NAME, text.encode(), "zone.yaml").problems
    assert any("share a host: a" in one.what and one.warning for one in problems)
