"""Whether the wall clock can be believed: steps, drifts, and restarts between them."""

import pytest

from geodns.control import wall_clock
from geodns.control.wall_clock import WallClock, since_boot

DAY = 86400.0


class Clocks:
    """A clock that is set, and one that nobody sets."""

    def __init__(self) -> None:
        self.wall, self.unset = 1_795_417_200.0, 500.0

    def clock(self, noted: str | None = None) -> WallClock:
        return WallClock(noted, lambda: self.wall, lambda: self.unset)

    def go(self, seconds: float, drift: float = 0.0) -> None:
        self.unset += seconds
        self.wall += seconds + drift


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def look(clocks: Clocks, clock: WallClock, seconds: float, drift: float = 0.0) -> None:
    """Let time pass, with a look five times a second."""
    for _ in range(round(seconds * 5)):
        clocks.go(0.2, drift)
        clock.look()


def text(clock: WallClock) -> str:
    return " ".join(one.text for one in clock.alerts())


def test_a_clock_that_is_a_day_ahead_for_six_seconds_is_believed_a_minute_later(clocks: Clocks) -> None:
    clock = clocks.clock()
    look(clocks, clock, 5)
    assert (clock.steady, text(clock)) == (True, "")
    clocks.wall += DAY
    look(clocks, clock, 6)
    assert not clock.steady
    assert text(clock).startswith(
        "the clock was set ahead by 86,400 s: orders with an end go on, and hours of rules turn nothing"
    )
    clocks.wall -= DAY
    look(clocks, clock, 59)
    assert "set back by 86,400 s" in text(clock)
    look(clocks, clock, 2)
    assert (clock.steady, text(clock)) == (True, "")


def test_a_clock_that_is_set_for_good_is_believed_in_the_end(clocks: Clocks) -> None:
    clock = clocks.clock()
    clocks.wall += DAY
    look(clocks, clock, 61)
    assert clock.steady


def test_turning_it_slowly_is_no_step(clocks: Clocks) -> None:
    clock = clocks.clock()
    look(clocks, clock, 600, drift=0.0005)
    assert clock.steady


def test_a_pause_between_looks_is_no_step(clocks: Clocks) -> None:
    clock = clocks.clock()
    clocks.go(3600)
    clock.look()
    assert clock.steady


def test_readings_that_are_torn_apart_say_nothing(clocks: Clocks) -> None:
    paused = False

    def wall() -> float:
        if paused:
            clocks.go(30)
            found = clocks.wall
            clocks.go(30)
            return found
        return clocks.wall

    clock = WallClock(None, wall, lambda: clocks.unset)
    paused = True
    clock.look()
    assert clock.steady


def test_a_step_is_noticed_although_the_first_readings_were_torn_apart(clocks: Clocks) -> None:
    pauses = [30.0, 0.0]

    def wall() -> float:
        clocks.go(pauses.pop(0) if pauses else 0)
        return clocks.wall

    clock = WallClock("", lambda: clocks.wall, lambda: clocks.unset)
    clock._wall = wall
    clocks.wall += DAY
    clock.look()
    assert not clock.steady


def test_a_step_between_two_processes_is_one_too(clocks: Clocks) -> None:
    clock = clocks.clock()
    noted = clock.note()
    clocks.go(30)
    assert clocks.clock(noted).steady
    clocks.wall += DAY
    again = clocks.clock(noted)
    assert not again.steady
    look(clocks, again, 10)
    assert again.note() == noted, "a restart within the minute does not believe it either"
    look(clocks, again, 51)
    assert again.steady
    assert again.note() != noted
    assert clocks.clock(again.note()).steady


@pytest.mark.parametrize("noted", ["another-boot 12.5", "x"])
def test_after_a_boot_the_clock_is_believed_a_minute_later(clocks: Clocks, noted: str) -> None:
    clock = clocks.clock(noted)
    look(clocks, clock, 59)
    assert (clock.steady, clock.was_set, text(clock)) == (False, False, "")
    assert not clocks.clock(clock.note()).steady, "control was killed meanwhile"
    look(clocks, clock, 2)
    assert clock.steady
    assert clocks.clock(clock.note()).steady


@pytest.mark.parametrize("noted", ["", "{boot} far"])
def test_a_note_that_says_nothing_of_this_boot_is_no_step(clocks: Clocks, noted: str) -> None:
    assert clocks.clock(noted.format(boot=wall_clock._boot())).steady


def test_a_note_stays_while_the_clock_hardly_drifts(clocks: Clocks) -> None:
    clock = clocks.clock()
    noted = clock.note()
    look(clocks, clock, 20, drift=0.0005)
    assert clock.note() == noted


def test_the_clocks_of_the_machine_go_on() -> None:
    before = since_boot()
    assert since_boot() >= before
    clock = WallClock()
    clock.look()
    assert clock.note().count(" ") == 1
