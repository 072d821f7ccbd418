"""Epochs are kept whole over a restart; what makes no sense is left out alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.control.experiment_epochs import (
    FIVE,
    KEPT,
    ArmCounts,
    Epoch,
    SettledSlot,
    epochs_of,
    row_of,
    terms_of,
    text_of,
)
from geodns.model.mail import MailEvent, MailTally
from tests.control.test_experiments import experiment

KEY = "out.example", "new-mta"


def epoch() -> Epoch:
    return Epoch(
        3,
        1_795_417_200.5,
        "terms",
        {"trial": ArmCounts(7, 6, 1, {0: 5, 9_999: 2})},
        {"mta1": "trial"},
        {"mta1": [(1_795_417_300.0, 1_795_417_900.0), (1_795_419_000.0, None)]},
        [(300, 900)],
        {3600: SettledSlot(MailTally(9, {MailEvent.DEFERRED: 2}), 1)},
        {"trial": ["mta1"]},
        enough=True,
        looked=1_795_419_600.0,
    )


def test_a_long_time_without_a_look_is_left_out_and_a_clock_set_back_takes_the_future_from_it() -> None:
    one = Epoch(1, 0.0, "")
    for now in (10_000.0, 10_005.0, 10_300.0):
        one.look(now)
    assert one.left_out == []
    one.look(12_000.0)  # 10_300 falls into the five minutes from 10_200
    assert one.left_out == [(10_200, 12_300)]
    one.look(999_999.0)  # a clock that is wrong, and is set right
    one.look(12_900.0)
    one.look(12_905.0)
    assert one.left_out == [(10_200, 13_200)]


def test_epochs_are_read_as_they_were_written() -> None:
    assert epochs_of(text_of([row_of(KEY, epoch())])) == {KEY: epoch()}


@given(st.dictionaries(st.integers(0, 9_999), st.integers(1, 2**63), max_size=20))
def test_queries_by_seat_are_read_as_they_were_written(seats: dict[int, int]) -> None:
    one = Epoch(1, 0.0, "", {"a": ArmCounts(seats=seats)})
    assert epochs_of(text_of([row_of(KEY, one)]))[KEY].of("a").seats == seats


@pytest.mark.parametrize("text", [None, "", "{", "7", '{"a": 1}', "[7]", '[{"zone": "z"}]', "[null]"])
def test_what_makes_no_sense_is_left_out(text: str | None) -> None:
    assert epochs_of(text) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("since", "soon"),
        ("counts", {"a": [1, 2]}),
        ("counts", {"a": [1, 2, 3, "!"]}),
        ("counts", {"a": [1, 2, 3, "AAAA"]}),
        ("slots", {"x": 1}),
        ("slots", {"3": [1, 2, {"lost": 3}]}),
        ("left_out", [[1]]),
        ("hosts", []),
    ],
)
def test_a_row_that_makes_no_sense_hides_no_other(key: str, value: object) -> None:
    good = row_of(KEY, epoch())
    bad = json.dumps({**json.loads(good), "name": "bad", key: value})
    assert epochs_of(text_of([bad, good])) == {KEY: epoch()}


@given(st.lists(st.floats(0, 20_000), max_size=30).map(sorted))
def test_what_is_left_out_is_whole_five_minutes_and_no_more(times: list[float]) -> None:
    one = Epoch(1, 0.0, "")
    for at in times:
        one.leave_out(at)
    fives = {begin for first, end in one.left_out for begin in range(first, end, FIVE)}
    assert fives == {int(at // FIVE) * FIVE for at in times}
    assert all(before[1] < after[0] for before, after in zip(one.left_out, one.left_out[1:], strict=False))


def test_what_is_older_than_counts_of_mail_is_dropped() -> None:
    one = epoch()
    one.prune(KEPT)
    assert one.left_out
    one.prune(KEPT + 3600.0)
    assert not one.left_out
    assert not one.slots


def test_terms_are_arms_shares_pools_salt_by_and_the_slot() -> None:
    held = experiment("time")
    changes = (
        {"salt": 8},
        {"pool": "other"},
        {"by": "client"},
        {"slot": 7200},
        {"owner": "x"},
        {"arms": held.arms[::-1]},
    )
    assert len({terms_of(held.model_copy(update=change)) for change in ({}, *changes)}) == 7
    for change in ({"metric": "bounced"}, {"horizon": 9.0}):
        assert terms_of(held.model_copy(update=change)) == terms_of(held)
    by_client = experiment()
    assert terms_of(by_client.model_copy(update={"slot": 7200})) == terms_of(by_client)


def test_hosts_count_while_they_are_in_their_arm() -> None:
    one = Epoch(1, 0.0, "")
    assert one.note_hosts({"mta1": "trial", "mta2": "control"}, 1000.0)
    assert not one.note_hosts({"mta1": "trial", "mta2": "control"}, 1100.0)
    assert one.note_hosts({"mta2": "control"}, 2000.0)
    assert one.note_hosts({"mta1": "trial", "mta2": "control"}, 3000.0)
    assert [at for at in range(0, 4200, FIVE) if one.has("mta1", at)] == [
        900,
        1200,
        1500,
        1800,
        3000,
        3300,
        3600,
        3900,
    ]
    assert one.has("mta2", 2400)
    assert not one.has("other", 2400)
    for at in range(100):
        one.note_hosts({"mta2": "control"} if at % 2 else {}, 5000.0 + at)
    assert len(one.stays["mta2"]) == 20
