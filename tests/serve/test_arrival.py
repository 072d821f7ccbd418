"""The first seconds of a program that took over."""

import selectors
import signal
from collections.abc import Iterator

import pytest

from geodns.serve import arrival
from geodns.serve.arrival import Arrival
from geodns.serve.handover import AskedSockets, Handover, Program
from geodns.serve.process import ProcessSlot
from geodns.serve.upgrade_socket import UpgradeStep
from geodns.serve.worker import LEAVE

HANDOVER = Handover(
    Program("1", "/opt/1/bin/geodns"),
    AskedSockets((), ("127.0.0.1", 0), (), 1),
    (),
    (),
    (),
    0,
    going_back="",
)


class Slot(ProcessSlot):
    """A place whose process is made up."""

    def __init__(self, name: str, selector: selectors.BaseSelector) -> None:
        super().__init__(name, (0.1, 0.3), selector)
        self.pid = 1
        self.heard: list[signal.Signals] = []

    def signal(self, number: signal.Signals) -> None:
        self.heard.append(number)


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr("geodns.serve.arrival.time.monotonic", lambda: one.now)
    return one


@pytest.fixture
def slots() -> Iterator[tuple[Slot, Slot]]:
    """An old worker, and the new one of its name."""
    with selectors.DefaultSelector() as selector:
        yield Slot("udp0", selector), Slot("udp0", selector)


def test_the_old_leave_when_the_new_have_answered_for_a_while(clock: Clock, slots: tuple[Slot, Slot]) -> None:
    old, new = slots
    come = Arrival(HANDOVER, [old], None, "2")
    assert (come.turn(0, [new]), come.step) == ("", UpgradeStep.CONTROL)
    assert (come.turn(8, [new]), come.step) == ("", UpgradeStep.WORKERS)
    new.acked = 8
    assert (come.turn(8, [new]), old.heard) == ("", [])
    assert come.due == clock.now + arrival.STEADY
    clock.now += arrival.STEADY
    assert (come.turn(8, [new]), come.step, old.heard, come.over) == ("", None, [LEAVE], False)
    clock.now += arrival.OLD_END
    assert (come.turn(8, [new]), old.heard) == ("", [LEAVE, signal.SIGKILL])
    old.pid = None
    assert come.over


def test_a_worker_that_dies_soon_after_its_first_table_is_waited_for_again(
    clock: Clock, slots: tuple[Slot, Slot]
) -> None:
    old, new = slots
    come = Arrival(HANDOVER, [old], None, "2")
    new.acked = 8
    come.turn(8, [new])
    new.pid = None
    come.died("udp0", "died")
    clock.now += arrival.STEADY
    assert (come.turn(8, [new]), old.heard) == ("", [])
    new.pid = 2
    assert (come.turn(8, [new]), old.heard) == ("", [])
    come.died("udp0", "died again")
    assert come.turn(8, [new]) == "udp0 died again"


@pytest.mark.parametrize("number", [0, 8])
def test_a_program_that_does_not_answer_in_time_is_given_up(
    clock: Clock, slots: tuple[Slot, Slot], number: int
) -> None:
    old, new = slots
    come = Arrival(HANDOVER, [old], None, "2")
    assert come.turn(number, [new]) == ""
    clock.now += arrival.TIME
    assert "did not answer within 30 s" in come.turn(number, [new])


def test_control_may_die_once_its_table_is_there(slots: tuple[Slot, Slot]) -> None:
    old, new = slots
    before = Arrival(HANDOVER, [old], None, "2")
    before.died("control", "died")
    assert before.turn(0, [new]) == "control died"
    after = Arrival(HANDOVER, [old], None, "2")
    after.turn(8, [new])
    after.died("control", "died")
    assert after.turn(8, [new]) == ""


def test_the_program_before_never_gives_up(clock: Clock, slots: tuple[Slot, Slot]) -> None:
    old, new = slots
    back = Arrival(
        Handover(HANDOVER.writer, HANDOVER.asked, (), (), (), 0, going_back="it broke"), [old], None, "1"
    )
    for _ in range(5):
        back.died("control", "died")
        clock.now += arrival.TIME
        assert (back.turn(0, [new]), old.heard) == ("", [])
