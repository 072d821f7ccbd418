"""Plans by day: what brings the next day, what holds it, the pace of a cap, orders."""

from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.warmup import simulate, worst
from geodns.model.mail import About, MailEvent, MailTally
from geodns.model.warmup import SECONDS, Warmup, WarmupStage, peak_of
from geodns.signals.warmup import (
    IDLE,
    LOOK_EVERY,
    SILENT,
    Sending,
    WarmupVerb,
    ahead,
    ceiling_of,
    first_stage,
    held,
    midnight,
    ordered,
    pace,
    sent,
    step,
)

START = date(2026, 12, 1)
DAY1 = midnight(START)
PLAN = Warmup(plan=(480, 1000, 2000, 4000), start=START)
BY_SENDING = PLAN.model_copy(update={"days": "sending"})
VOLUME = 100_000


def sending(rate: float = 0.0, heard: float | None = None, **counts: Any) -> Sending:
    return Sending(VOLUME, peak_of(VOLUME), 5, Fraction(rate), heard=heard, **counts)


def mail(first: int, delivered: int | None = None, **refused: int) -> MailTally:
    done = first if delivered is None else delivered
    return MailTally(
        first, {MailEvent.DELIVERED: done}, {About(about): one for about, one in refused.items()}
    )


def at_night(
    plan: Warmup, ended: MailTally | None = None, *, rate: float = 480.0, heard: bool = True, **stage: Any
) -> WarmupStage:
    """Return the stage just after the first midnight."""
    now = DAY1 + SECONDS + 1
    before = replace(first_stage(plan, DAY1), **{"begun": True, **stage})
    seen = sending(rate, now if heard else None, ended=ended or MailTally())
    return step(plan, before, seen, now, LOOK_EVERY)


# --- days -----------------------------------------------------------------------------------------------


def test_before_the_start_nothing_is_dealt_and_the_first_day_comes_with_it() -> None:
    stage = step(PLAN, None, sending(), DAY1 - 5, 0)
    assert stage.day == 0
    assert not ceiling_of(PLAN, stage, sending(), DAY1 - 5).share
    assert held(PLAN, stage, sending(), DAY1 - 5) == "its plan starts on 2026-12-01"
    stage = step(PLAN, stage, sending(), DAY1, 5)
    assert (stage.day, stage.date) == (1, START)
    assert ceiling_of(PLAN, stage, sending(), DAY1).share == Fraction(480, VOLUME)


@pytest.mark.parametrize(
    ("plan", "ended", "given", "day"),
    [
        pytest.param(PLAN, mail(480), {}, 2, id="calendar"),
        pytest.param(PLAN, mail(3), {}, 2, id="calendar, however little"),
        pytest.param(PLAN, None, {"heard": False}, 2, id="calendar, nobody counts"),
        pytest.param(PLAN, None, {"rate": 0, "begun": False}, 1, id="neither dealt nor sent"),
        pytest.param(BY_SENDING, mail(440), {}, 2, id="90 % sent"),
        pytest.param(BY_SENDING, mail(300), {}, 1, id="not enough sent"),
        pytest.param(BY_SENDING, None, {"heard": False, "dealt": 470.0}, 2, id="dealt, nobody counts"),
        pytest.param(BY_SENDING, None, {"heard": False, "dealt": 99.0}, 1, id="dealt for an hour only"),
        pytest.param(PLAN, mail(480, 400), {}, 1, id="under 90 % delivered"),
        pytest.param(PLAN, mail(480, 480, ip=30, rate=30), {}, 1, id="refused for IP and rate"),
        pytest.param(PLAN, mail(480, 480, content=200, recipient=100), {}, 2, id="refused for others"),
        pytest.param(PLAN, mail(480), {"held": "wait", "author": "ops"}, 1, id="held by an order"),
        pytest.param(PLAN, mail(480), {"day": 4}, 5, id="the plan is over"),
    ],
)
def test_what_brings_the_next_day(plan: Warmup, ended: MailTally | None, given: Any, day: int) -> None:
    assert at_night(plan, ended, **given).day == day


def test_the_first_few_of_a_day_say_nothing_yet() -> None:
    stage = replace(first_stage(PLAN, DAY1), begun=True)
    assert held(PLAN, stage, sending(480, DAY1 + 60, today=mail(19, 3)), DAY1 + 60) is None
    assert held(PLAN, stage, sending(480, DAY1 + 60, today=mail(20, 3)), DAY1 + 60) is not None


def test_silent_signals_hold_the_day_and_what_was_dealt_counts() -> None:
    now = DAY1 + SECONDS + 1
    stage = replace(first_stage(PLAN, DAY1), begun=True, dealt=300.0)
    seen = sending(480, now - SILENT - 1, ended=mail(480))
    assert step(PLAN, stage, seen, now, 5).day == 1
    assert "no signals for 15 min" in str(held(PLAN, stage, seen, now))
    noon = DAY1 + SECONDS / 2
    silent = sending(480, noon - SILENT - 1, today=mail(120))
    assert sent(stage, silent, noon) == 300
    assert sent(stage, replace(silent, heard=noon), noon) == 120
    assert sent(stage, replace(silent, heard=None), noon) == 300


def test_idle_hosts_begin_anew_if_signals_are_alive() -> None:
    now = DAY1 + 40 * SECONDS
    stage = replace(first_stage(PLAN, DAY1), day=5, begun=True, active=now - IDLE - 1)
    assert step(PLAN, stage, sending(0, now), now, 5).day == 1
    assert step(PLAN, stage, sending(0, now - SILENT - 1), now, 5).day == 5
    assert step(PLAN, stage, sending(0, None), now, 5).day == 5


def test_another_start_begins_anew_and_another_plan_does_not() -> None:
    stage = replace(first_stage(PLAN, DAY1), day=3, begun=True)
    later = PLAN.model_copy(update={"start": START + timedelta(days=1)})
    assert step(later, stage, sending(), DAY1 + 5, 5).day == 0
    other = PLAN.model_copy(update={"plan": (10, 20, 30, 40)})
    assert step(other, stage, sending(), DAY1 + 5, 5).day == 3


@given(
    st.lists(
        st.tuples(
            st.integers(-3 * SECONDS, 3 * SECONDS),
            st.booleans(),
            st.sampled_from((0.0, 480.0)),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_whatever_the_clock_does_no_day_is_skipped(looks: list[tuple[int, bool, float, bool]]) -> None:
    """A clock that jumps brings one day at most for each jump ahead, and none where it is not believed."""
    stage, now = first_stage(PLAN, DAY1), DAY1
    for jump, steady, rate, counted in looks:
        before, now = stage, max(DAY1, now + jump)
        seen = sending(rate, now if counted else None)
        stage = step(PLAN, stage, seen, now, 5, steady=steady)
        assert before.day <= stage.day <= before.day + 1 or stage.day == 1
        if not steady or now <= midnight(before.date):
            assert stage.day in {before.day, 1}


def test_a_clock_that_jumps_a_day_and_back_costs_no_day() -> None:
    stage = replace(first_stage(PLAN, DAY1), begun=True)
    seen = sending(480)
    days = []
    for now in (DAY1 + 100, DAY1 + SECONDS + 100, DAY1 + 200, DAY1 + SECONDS + 300, DAY1 + 2 * SECONDS + 5):
        stage = step(PLAN, stage, seen, now, 5)
        days.append(stage.day)
    assert days == [1, 2, 2, 2, 3]


# --- ceilings and pace ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "hour", "why"),
    [
        (20, 0, None),
        (21, 0, "21 sent, 20 by this hour: it waits until 01:00 UTC"),
        (40, 1, None),
        (481, 23, "481 sent, 480 by this hour: it waits until 00:00 UTC"),
    ],
)
def test_a_cap_is_paced_by_the_hour(first: int, hour: int, why: str | None) -> None:
    now = DAY1 + 3600 * hour + 60
    stage = first_stage(PLAN, DAY1)
    found = ceiling_of(PLAN, stage, sending(480, now, today=mail(first)), now)
    assert (found.why, found.share, found.paced) == (why, 0 if why else Fraction(480, VOLUME), bool(why))


def test_it_is_not_dealt_while_one_cached_answer_would_send_too_much() -> None:
    """4 x 100,000 / 86,400 x 30 s are 139 messages, over a quarter of 480."""
    stage = first_stage(PLAN, DAY1)
    seen = replace(sending(), ttl=30)
    found = ceiling_of(PLAN, stage, seen, DAY1)
    assert found.share == 0
    assert found.why == (
        "with ttl 30s one cached answer may send over a quarter of its 480 messages: dealt with `ttl: 25s` "
        "or less, or from day 2 on"
    )
    assert ceiling_of(PLAN, stage, replace(seen, peak=Fraction(1)), DAY1).share, "by the measured peak"
    assert ceiling_of(PLAN, stage, replace(seen, volume=10**6, ttl=1), DAY1).why == (
        "480 messages of 1,000,000 are under one answer of a cycle: dealt from day 2 on"
    )


@given(
    st.integers(0, 22),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=12, max_size=12),
    st.sampled_from((1, 5, 20)),
)
def test_pacing_never_exceeds_the_cap_and_the_stated_overshoot(
    hour: int, before: float, rates: list[float], ttl: int
) -> None:
    """Whoever has an answer in a cache sends all that the pools send at their peak until it expires."""
    plan = PLAN.model_copy(update={"plan": (2000,)})
    stage = first_stage(plan, DAY1)
    count, dealt_until = before * pace(2000, hour), 0.0
    start = DAY1 + 3600 * hour
    for second in range(0, 7200, int(LOOK_EVERY)):
        now = start + second
        seen = Sending(VOLUME, peak_of(VOLUME), ttl, heard=now, today=mail(int(count)))
        if ceiling_of(plan, stage, seen, now).share:
            dealt_until = now + LOOK_EVERY + ttl
        sending_for = max(0.0, min(LOOK_EVERY, dealt_until - now))
        count += rates[second // 600] * float(seen.peak) * sending_for
        assert count <= pace(2000, min(23, hour + second // 3600)) + seen.overshoot + 1
    assert count <= 2000 + seen.overshoot + 1


def test_a_warm_up_of_two_beside_six() -> None:
    """As it would be in the first week: within the cap and the overshoot, and near the cap."""
    rows = simulate(6, 400_000, 5)
    most = worst(rows)
    assert most.excess <= most.overshoot
    assert {row.stage for row in rows if row.date == 6} == {6}
    for row in rows:
        assert row.cap is not None
        assert row.sent >= 0.95 * row.cap, row


# --- orders ---------------------------------------------------------------------------------------------


def test_orders() -> None:
    def give(verb: WarmupVerb, stage: WarmupStage, day: int = 0) -> WarmupStage:
        return ordered(PLAN, stage, verb, DAY1 + 5, day=day, reason="new lists", author="ops@here")

    stage = replace(first_stage(PLAN, DAY1), day=3, begun=True)
    holding = give(WarmupVerb.HOLD, stage)
    assert held(PLAN, holding, sending(), DAY1 + 5) == "held by ops@here (new lists)"
    assert give(WarmupVerb.RESUME, holding) == stage
    assert give(WarmupVerb.RESTART, stage).day == 1
    assert not give(WarmupVerb.RESTART, stage).begun
    assert give(WarmupVerb.SKIP_TO, stage, 4).day == 4


def test_the_days_ahead() -> None:
    stage = replace(first_stage(PLAN, DAY1), day=2)
    assert ahead(PLAN, stage) == [(date(2026, 12, 2), 2000), (date(2026, 12, 3), 4000)]
    early = first_stage(PLAN, DAY1 - 3 * SECONDS)
    assert ahead(PLAN, early)[0] == (START, 480)
    assert ahead(PLAN, replace(stage, day=5)) == []
