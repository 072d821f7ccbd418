"""Mail counts for the arm of its host or its slot, and not at all while an arm was on a fallback."""

from hypothesis import given
from hypothesis import strategies as st

from geodns.control.experiment_epochs import Epoch
from geodns.control.experiment_mail import (
    client_steps,
    clients_mail,
    counted_slot,
    open_slots,
    slots_mail,
    steps_of,
    without,
)
from geodns.control.signal_figures import MailStep
from geodns.model.mail import MailEvent, MailTally
from tests.control.test_experiments import experiment

FIVE, HOUR, DAY = 300, 3600, 86400
SINCE = 1_795_417_200  # a whole hour
fives = st.integers(0, 100).map(lambda number: number * FIVE)
spans = st.tuples(fives, fives).map(sorted).map(tuple)


def tally(first: int, deferred: int = 0) -> MailTally:
    return MailTally(first, {MailEvent.DEFERRED: deferred})


@given(spans, st.lists(spans, max_size=5))
def test_what_is_left_out_is_taken_away(span: tuple[int, int], others: list[tuple[int, int]]) -> None:
    out = {at for first, end in others for at in range(first, end, FIVE)}
    apart = [(at, at + FIVE) for at in sorted(out)]
    found = [at for first, end in without(span, apart) for at in range(first, end, FIVE)]
    assert found == [at for at in range(*span, FIVE) if at not in out]


@given(spans)
def test_steps_cover_a_span_once_by_hours_where_they_fit(span: tuple[int, int]) -> None:
    steps = list(steps_of(span))
    assert [at for step, first, end in steps for at in range(first, end, FIVE)] == list(range(*span, FIVE))
    assert all(first % step == end % step == 0 for step, first, end in steps)
    assert sum(end - first for step, first, end in steps if step == FIVE) < 2 * HOUR


def test_a_hosts_mail_is_its_arms_since_it_is_in_it() -> None:
    epoch = Epoch(1, float(SINCE), "")
    epoch.hosts = {"mta1": "control", "mta2": "trial"}
    epoch.stays = {"mta1": [(float(SINCE), None)], "mta2": [(SINCE + 2 * HOUR + 10.0, None)]}
    steps = [
        MailStep("mta1", HOUR, SINCE, tally(10, 1), 2),
        MailStep("mta1", FIVE, SINCE + HOUR, tally(1), 0),
        MailStep("mta1", FIVE, SINCE + HOUR + FIVE, tally(2, 1), 1),
        MailStep("mta2", HOUR, SINCE + HOUR, tally(50), 0),
        MailStep("mta2", HOUR, SINCE + 2 * HOUR, tally(5), 0),
        MailStep("other", HOUR, SINCE, tally(99), 9),
    ]
    found = clients_mail(epoch, steps)
    assert sorted(found.mail) == [
        ("control", "mta1", SINCE, tally(10, 1)),
        ("control", "mta1", SINCE + HOUR, tally(3, 1)),
        ("trial", "mta2", SINCE + 2 * HOUR, tally(5, 0)),
    ]
    assert found.hosts == {"control": {"mta1"}, "trial": {"mta2"}}
    assert found.undated == {"control": 3, "trial": 0}


def test_time_on_a_fallback_is_not_read() -> None:
    epoch = Epoch(1, SINCE + 10.0, "", left_out=[(SINCE + HOUR + FIVE, SINCE + HOUR + 2 * FIVE)])
    steps = list(client_steps(epoch, experiment(), SINCE + 3 * HOUR + 1.0))
    read = [at for step, first, end in steps for at in range(first, end, FIVE)]
    whole = range(SINCE + FIVE, SINCE + 3 * HOUR + FIVE, FIVE)
    assert read == [at for at in whole if at != SINCE + HOUR + FIVE]
    assert (HOUR, SINCE + 2 * HOUR, SINCE + 3 * HOUR) in steps


def test_nothing_after_the_horizon_is_read() -> None:
    short = experiment().model_copy(update={"horizon": 2.0 * HOUR})
    epoch = Epoch(1, float(SINCE), "")
    assert max(end for *_, end in client_steps(epoch, short, SINCE + 9.0 * HOUR)) == SINCE + 2 * HOUR + FIVE
    slots = open_slots(epoch, short.model_copy(update={"by": "time"}), 30, SINCE + 9.0 * HOUR)
    assert sorted(slots) == [SINCE, SINCE + HOUR]


def test_after_a_switch_a_slot_begins_to_count_when_caches_have_forgotten() -> None:
    held = experiment("time")
    begins = range(SINCE, SINCE + 7 * DAY, HOUR)
    switched = 0
    for at in begins:
        before, arm = (held.place_at(at + off).arm.name for off in (-1, 0))
        name, (begin, end) = counted_slot(held, at + 600, ttl=301)
        assert name == arm
        assert end == at + HOUR
        assert begin == at + (2 * FIVE if before != arm else 0)
        switched += before != arm
    assert 60 < switched < 130
    assert counted_slot(held, SINCE, ttl=5)[1][0] in {SINCE, SINCE + FIVE}


def test_only_slots_that_are_over_count_and_each_for_its_arm() -> None:
    held = experiment("time")
    epoch = Epoch(1, SINCE + 10.0, "")
    slots = open_slots(epoch, held, 30, SINCE + 4 * HOUR + 10.0)
    assert sorted(slots) == [SINCE + HOUR, SINCE + 2 * HOUR, SINCE + 3 * HOUR]
    arms = {at: held.place_at(at).arm.name for at in slots}
    members = {"control": {"c1", "both"}, "trial": {"t1", "both"}}
    steps = [
        MailStep(host, FIVE, at + HOUR - FIVE, tally(10, 1), 1)
        for at in slots
        for host in ("c1", "t1", "both")
    ]
    found = slots_mail(epoch, held, members, slots, steps)
    assert found.mail == [(arms[at], "", at, tally(20, 2)) for at in sorted(slots)]
    assert found.hosts == {arm: members[arm] for arm in set(arms.values())}
    assert sum(found.undated.values()) == 6

    epoch.slots = dict(found.settled)
    assert open_slots(epoch, held, 30, SINCE + 4 * HOUR + 10.0) == {}
    again = slots_mail(epoch, held, members, {}, [])
    assert again.mail == found.mail
    assert again.undated == found.undated
