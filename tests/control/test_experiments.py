"""What is said of an experiment's mail, and what a verdict lacks."""

import importlib.util
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.control.experiments import INSTALL, ArmMail, Findings, effective, judge
from geodns.model.experiments import Arm, Experiment
from geodns.model.mail import MailEvent, MailTally

DAY = 86400
SINCE = 1_795_417_200.0
LATER = SINCE + 15 * DAY
PLENTY = {"control": 50.0, "trial": 30.0, "third": 25.0}


def experiment(
    by: str = "client", arms: Sequence[str] = ("control", "trial"), metric: str = "deferred"
) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "new-mta",
            "owner": "out.example",
            "pool": "main",
            "arms": [{"name": arm, "share": 50, "pool": arm} for arm in arms],
            "by": by,
            "metric": metric,
        }
    )


def mail_of(
    rates: Mapping[str, float], hosts: int = 4, hours: int = 48, bounced: float = 0.01, seed: int = 1
) -> list[ArmMail]:
    """Return the mail of hosts that are all alike, 200 messages an hour."""
    rng = np.random.default_rng(seed)
    found = []
    for arm, rate in rates.items():
        for host in range(hosts):
            for hour in range(hours):
                deferred, bounces = int(rng.binomial(200, rate)), int(rng.binomial(200, bounced))
                events = {
                    MailEvent.DEFERRED: deferred,
                    MailEvent.BOUNCED: bounces,
                    MailEvent.DELIVERED: 200 - bounces,
                }
                found.append(ArmMail(arm, f"{arm}{host}", int(SINCE) + 3600 * hour, MailTally(200, events)))
    return found


def judged(
    rates: Mapping[str, float],
    held: Experiment | None = None,
    *,
    mail: Sequence[ArmMail] | None = None,
    hosts: Mapping[str, int] | None = None,
    networks: Mapping[str, float] = PLENTY,
    now: float = LATER,
) -> Findings:
    mail = mail_of(rates) if mail is None else mail
    hosts = dict.fromkeys(rates, 4) if hosts is None else hosts
    return judge(held or experiment(), mail, hosts, networks, SINCE, now)


def test_a_difference_is_told_with_its_interval() -> None:
    found = judged({"control": 0.10, "trial": 0.05})
    verdict = found.verdict
    assert verdict.enough
    assert verdict.of[:3] == ("deferred", "trial", "control")
    assert verdict.of.difference == pytest.approx(-0.05, abs=0.01)
    assert verdict.of.high is not None
    assert verdict.of.high < 0
    assert "points below control" in verdict.why
    rate = found.rates["trial"]["deferred"]
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < 0.05 < rate.high
    assert rate.of == 4 * 48 * 200
    others = {(one.metric, one.arm): one for one in found.others}
    assert others.keys() == {(metric, "trial") for metric in ("delivered", "bounced", "expired", "complaint")}


def test_equal_arms_do_not_differ() -> None:
    verdict = judged({"control": 0.05, "trial": 0.05}).verdict
    assert verdict.enough
    assert verdict.why == "trial and control do not differ beyond chance"


def test_of_several_equal_metrics_seldom_one_differs() -> None:
    false = 0
    for seed in range(12):
        mail = mail_of({"control": 0.05, "trial": 0.05}, seed=seed)
        others = judged({}, mail=mail, hosts=dict.fromkeys(PLENTY, 4)).others
        false += any(
            one.low is not None and one.high is not None and not one.low <= 0 <= one.high for one in others
        )
    assert false <= 3


def test_a_third_arm_is_told_beside_the_verdict() -> None:
    mail = mail_of({"control": 0.05, "trial": 0.05, "third": 0.02})
    hosts = dict.fromkeys(PLENTY, 4)
    two = judged({}, mail=[one for one in mail if one.arm != "third"], hosts=hosts)
    three = judged({}, experiment(arms=("control", "trial", "third")), mail=mail, hosts=hosts)
    assert three.verdict.of == two.verdict.of
    found = next(one for one in three.others if one[:2] == ("deferred", "third"))
    assert found.against == "control"
    assert found.high is not None
    assert found.high < 0


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"now": SINCE + 13.9 * DAY}, "the horizon of 14d is over at"),
        ({"networks": {"control": 50.0, "trial": 19.9}}, "trial has 19.9 effective networks, under 20"),
        ({"networks": {}}, "control has 0.0 effective networks"),
        ({"hosts": {"control": 3, "trial": 2}}, "trial has mail of 2 hosts, under 3"),
        (
            {"mail": mail_of({"control": 0.1, "trial": 0.1}, hours=4)},
            "control has mail of 16 hours of hosts, under 20",
        ),
    ],
)
def test_without_enough_the_verdict_says_what_is_lacking(given: dict[str, object], why: str) -> None:
    found = judged({"control": 0.1, "trial": 0.02}, **given)  # type: ignore[arg-type]
    assert not found.verdict.enough
    assert why in found.verdict.why
    assert found.verdict.of.difference is not None


def test_without_numpy_there_are_rates_but_no_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    found = judged({"control": 0.1, "trial": 0.02})
    assert not found.verdict.enough
    assert found.verdict.why == INSTALL
    assert found.verdict.of.difference == pytest.approx(-0.08, abs=0.01)
    assert found.rates["trial"]["deferred"].value == pytest.approx(0.02, abs=0.005)
    assert found.rates["trial"]["deferred"].low is None


def test_an_experiment_without_mail_has_no_rates() -> None:
    found = judged({}, hosts={})
    assert found.verdict.of.difference is None
    assert not found.verdict.enough
    assert found.rates["trial"]["deferred"] == (0.0, None, None, 0)


def slots(held: Experiment, rates: Mapping[str, float], days: int = 14) -> list[ArmMail]:
    rng = np.random.default_rng(1)
    found = []
    at = int(SINCE) // 3600 * 3600
    for _ in range(24 * days):
        place = held.place_at(at)
        deferred = int(rng.binomial(500, rates[place.arm.name]))
        tally = MailTally(500, {MailEvent.DEFERRED: deferred, MailEvent.DELIVERED: 500, MailEvent.BOUNCED: 9})
        found.append(ArmMail(place.arm.name, "", at, tally))
        at = place.end
    return found


def test_by_time_slots_are_compared_and_networks_do_not_matter() -> None:
    held, rates = experiment("time"), {"control": 0.1, "trial": 0.08}
    found = judged(rates, held, mail=slots(held, rates), networks={})
    assert found.verdict.enough
    assert "below control" in found.verdict.why
    assert [one.metric for one in found.others] == ["delivered"]
    few = judged(rates, held, mail=slots(held, rates)[:30], networks={})
    assert not few.verdict.enough
    assert "slots, under 20" in few.verdict.why


def test_what_comes_late_gets_no_verdict_by_time() -> None:
    held = experiment("time", metric="complaint")
    found = judged({}, held, mail=slots(held, {"control": 0.1, "trial": 0.1}))
    assert not found.verdict.enough
    assert found.verdict.why == "complaint gets no verdict by time: it is known too late to be one arm's"
    assert found.rates["trial"]["bounced"].value == pytest.approx(9 / 500)


@given(st.dictionaries(st.integers(0, 9999), st.integers(1, 10**6), max_size=30))
def test_effective_networks_are_as_many_as_they_seem_only_where_they_ask_alike(
    queries: dict[int, int],
) -> None:
    found = effective(queries)
    assert found <= len(queries) + 1e-9
    assert effective(dict.fromkeys(queries, 7)) == pytest.approx(len(queries))
    assert not queries or found >= 1


def test_arms_swapped_swap_the_verdict() -> None:
    mail = mail_of({"control": 0.10, "trial": 0.05})
    there = judged({}, mail=mail, hosts=dict.fromkeys(PLENTY, 4)).verdict.of
    arms = tuple(Arm(name=name, share=50, pool=name) for name in ("trial", "control"))
    swapped = experiment().model_copy(update={"arms": arms})
    back = judged({}, swapped, mail=mail, hosts=dict.fromkeys(PLENTY, 4)).verdict.of
    assert there.difference == -(back.difference or 0)
    assert there.low == -(back.high or 0)
