"""One slow answer makes no host slow, and one fast answer makes none fast."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.state_machine import SlowAnswers

LIMIT = 0.5


def pace(answers: str, start: SlowAnswers | None = None) -> SlowAnswers:
    """Return the pace after answers, ``s`` for slow and ``f`` for fast."""
    found = start or SlowAnswers()
    for answer in answers:
        found = found.after(0.5 if answer == "s" else 0.499, LIMIT)
    return found


@pytest.mark.parametrize(
    ("answers", "slow"),
    [
        ("", False),
        ("s", False),
        ("ss", False),
        ("sss", True),
        ("ffffs", False),
        ("sfsfs", True),
        ("sffsfs", False),
        ("sffsffsff", False),
        ("sssf", True),
        ("sssff", True),
        ("sssfff", True),
        ("sssffff", False),
        ("sssfffs", True),
        ("sssffffs", False),
        ("ssssssssssf", True),
    ],
)
def test_most_of_the_last_answers_decide(answers: str, *, slow: bool) -> None:
    assert pace(answers).slow is slow


@given(st.text("sf", max_size=60))
def test_one_answer_among_others_changes_nothing(answers: str) -> None:
    found = pace(answers)
    assert len(found.recent) <= 5
    assert not pace("fffff" + "s" + "fffff", found).slow
    settled = pace("sssss", found)
    assert settled.slow
    assert pace("fss", settled).slow
    assert not pace("s", pace("fffff", found)).slow


def test_a_host_known_to_be_slow_is_so_until_it_has_shown_otherwise() -> None:
    assert SlowAnswers.known(slow=False) == SlowAnswers()
    known = SlowAnswers.known(slow=True)
    assert known.slow
    assert pace("fff", known).slow
    assert not pace("ffff", known).slow


def test_an_answer_that_is_like_the_others_makes_no_new_object() -> None:
    steady = pace("fffff")
    assert steady.after(0.1, LIMIT) is steady
