import random
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.schedule import JITTER, PATIENCE, SLOW, Schedule, Start, first_start, next_start
from geodns.model.checks import Check, Target
from geodns.model.state import HealthState, Verdict

CHECK = Check(name="smtp", interval=10, fast_interval=2, rise=2, fall=3)
UP, DOWN = Verdict(HealthState.UP), Verdict(HealthState.DOWN)
DOUBTED = Verdict(HealthState.UP, failures=1)
FLOATS = st.floats(min_value=0, max_value=1e6)


@given(FLOATS, FLOATS, st.sampled_from([Verdict(), UP, DOWN, DOUBTED]), st.booleans(), st.randoms())
def test_the_next_start(
    started: float, took: float, verdict: Verdict, spread: bool, rng: random.Random
) -> None:
    period = CHECK.fast_interval if verdict.pending else CHECK.interval
    ended = started + took
    due = next_start(CHECK, verdict, started, ended, rng, spread=spread)
    assert due >= ended
    if due > ended:
        least = 0 if spread and not verdict.pending else 1 - JITTER
        assert least * period - 1e-6 <= due - started <= (1 + JITTER) * period + 1e-6
    assert took <= period * 2 or due == ended


def test_starts_are_jittered_to_both_sides() -> None:
    rng = random.Random(1)
    dues = [next_start(CHECK, UP, 0, 0, rng) for _ in range(1000)]
    assert 9 <= min(dues) < 9.1
    assert 10.9 < max(dues) <= 11


@pytest.mark.parametrize(
    ("verdict", "latest"),
    [
        pytest.param(Verdict(), 100, id="unknown-at-once"),
        pytest.param(UP, 110, id="up-in-its-interval"),
        pytest.param(DOWN, 110, id="down-in-its-interval"),
        pytest.param(DOUBTED, 102, id="pending-soon"),
    ],
)
def test_the_first_start(verdict: Verdict, latest: float) -> None:
    rng = random.Random(1)
    dues = [first_start(CHECK, verdict, 100, rng) for _ in range(1000)]
    assert 100 <= min(dues) <= 100 + (latest - 100) * 0.1
    assert 100 + (latest - 100) * 0.9 <= max(dues) <= latest


def test_what_is_hurried_comes_as_soon_as_what_is_pending() -> None:
    rng = random.Random(1)
    dues = [next_start(CHECK, UP, 0, 0, rng, hurried=True) for _ in range(1000)]
    assert 1.8 <= min(dues) < max(dues) <= 2.2


A, B, C, D, E = (Target(check=CHECK, address=IPv4Address(number), port=25) for number in range(1, 6))


def schedule(places: int, *targets: Target) -> Schedule:
    """Return a schedule in which targets are due at 0, 1, 2 ..."""
    made = Schedule(places, random.Random(1))
    for number, target in enumerate(targets):
        made.change((), {target: Verdict()}, number)
    return made


def taken(made: Schedule, now: float) -> list[Target]:
    found = []
    while (entry := made.take(now)) is not None:
        found.append(entry.target)
    return found


def test_what_is_due_is_taken_in_its_order_while_there_are_places() -> None:
    made = schedule(2, A, B, C)
    assert made.next_due == 0
    assert taken(made, 0.5) == [A]
    assert made.next_due == 1
    assert taken(made, 5) == [B]
    assert made.next_due is None, "every place is taken"
    assert made.lateness(5) == 3


def test_a_place_that_is_given_up_is_for_the_next() -> None:
    made = schedule(1, A, B)
    first = made.take(5)
    assert first is not None
    assert made.take(5) is None
    made.free(first)
    made.put_back(first, UP, 6, hurried=False)
    assert taken(made, 6) == [B]


def test_slow_targets_leave_places_to_the_others() -> None:
    made = schedule(4, A, B, C, D)
    entries = [made.take(10) for _ in range(4)]
    for entry in entries:
        assert entry is not None
        made.free(entry)
        made.put_back(entry, DOUBTED, 10 + SLOW, hurried=False)
    made.change((), {E: Verdict()}, 20)
    first = taken(made, 20)
    assert len(first) == 4
    assert E in first, "though it was due last, one of four places is not for slow ones"
    assert made.lateness(20) > 0, "the fourth slow one waits"


def test_a_target_that_goes_is_not_taken_and_its_probe_keeps_its_place_until_it_ends() -> None:
    made = schedule(1, A, B)
    first = made.take(5)
    assert first is not None
    made.change([A, B], {A: Verdict()}, 5)
    assert first.entry.gone
    assert made.next_due is None
    made.free(first)
    again = made.take(5)
    assert again is not None
    assert again is not first
    assert again.target == A
    assert made.next_due is None
    assert made.lateness(50) == 0


def begun(made: Schedule, now: float) -> Start:
    start = made.take(now)
    assert start is not None
    return start


def end(made: Schedule, start: Start, verdict: Verdict, now: float, *, answered: bool = False) -> None:
    made.free(start)
    made.put_back(start, verdict, now, hurried=False, answered=answered)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        pytest.param(UP, [2, 4], id="three-failures-take-it-down"),
        pytest.param(DOUBTED, [2], id="one-has-failed-already"),
        pytest.param(Verdict(HealthState.UP, failures=2), [], id="the-next-failure-decides"),
        pytest.param(DOWN, [], id="it-is-down"),
        pytest.param(Verdict(), [], id="the-first-result-decides"),
    ],
)
def test_beside_a_probe_that_hangs_start_those_that_can_take_its_target_down(
    verdict: Verdict, expected: list[float]
) -> None:
    made = Schedule(9, random.Random(1))
    made.change((), {A: verdict}, 0)
    first = begun(made, 20)
    starts = []
    while (due := made.next_due) is not None:
        assert made.take(due - 0.001) is None
        starts.append(begun(made, due).at - first.at)
    assert starts == expected


def test_how_long_a_probe_may_take_is_what_its_target_usually_takes_and_a_little() -> None:
    made = Schedule(9, random.Random(1))
    made.change((), {A: UP}, 0)
    for now, took in ((100, 4.0), (200, 4.0), (300, 8.0)):
        end(made, begun(made, now), UP, now + took, answered=True)
    end(made, begun(made, 400), UP, 400.01)
    begun(made, 500)
    assert made.next_due == 500 + 5 + PATIENCE, "4 and 4 and 8 s; the quick failure says nothing of it"


def test_once_one_of_several_probes_has_ended_the_others_go_on() -> None:
    made = Schedule(9, random.Random(1))
    made.change((), {A: UP}, 0)
    first, second, third = begun(made, 20), begun(made, 22), begun(made, 24)
    assert made.next_due is None
    end(made, first, DOUBTED, 30)
    assert made.next_due is None, "two more may fail, and two run"
    end(made, second, UP, 30.5, answered=True)
    assert made.next_due == 32.5, "it has answered: it takes three again"
    end(made, third, UP, 31, answered=True)
    assert made.next_due is not None
    assert made.next_due >= 32.5, "none runs: it waits for its interval"
    assert begun(made, 50).target == A
    assert made.next_due is not None


def test_probes_beside_others_take_the_places_of_slow_ones_and_leave_with_their_target() -> None:
    made = Schedule(4, random.Random(1))
    made.change((), dict.fromkeys([A, B], UP), 0)
    starts = [begun(made, 20), begun(made, 20), begun(made, 22)]
    made.change([A, B], {}, 23)
    assert made.take(30) is None
    for start in starts:
        made.free(start)
    made.change((), dict.fromkeys([A, B, C, D], UP), 30)
    starts = [begun(made, 50) for _ in range(2)]
    made.change([C, D], {}, 50)
    starts += [begun(made, 52) for _ in range(2)]
    assert made.next_due is None, "four places are taken"
    made.free(starts[0])
    assert made.next_due is not None


def test_hurried_targets_come_forward_and_no_others() -> None:
    made = Schedule(9, random.Random(1))
    far = CHECK.model_copy(update={"interval": 1000.0})
    some = [Target(check=far, address=IPv4Address(number), port=25) for number in range(100)]
    made.change((), dict.fromkeys(some, UP), 0)
    made.hurry(frozenset(some[:3]), 10)
    by_then = {entry.target for _ in range(9) if (entry := made.take(12)) is not None}
    assert set(some[:3]) <= by_then
    assert len(by_then) < 9
