"""Shapes of unknown replies, and their count."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.signals.reply_shapes import MAX_SHAPE, MAX_SHAPES, SHOWN, Shapes, shape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("550 5.7.1 Denied", "550 5.7.1 Denied"),
        (
            "550-5.7.1 [192.0.2.1 15] One\n550 5.7.1 two q7si12345wrb.3 - x",
            "550 5.7.1 [ADDRESS #] One two ID.# - x",
        ),
        (
            "554 <kim@example.com>: no, says mx1.example.com[2001:db8::1]:25",
            "554 <MAILBOX>: no, says NAME[ADDRESS]:#",
        ),
        ("450 see https://example.com/a?b=c@d#1, id 4Xk2Bz1rTgz9vK", "450 see URL id ID"),
        ("421 4.7.0 from 192.0.2.0/24 at 10:15:00", "421 4.7.0 from ADDRESS at ADDRESS"),
        ("no code 17", "no code #"),
        ("", ""),
    ],
)
def test_a_shape(text: str, expected: str) -> None:
    assert shape(text) == expected


@given(
    st.one_of(
        st.text(max_size=2000),
        st.binary(max_size=500).map(lambda some: some.decode("utf-8", "surrogateescape")),
    )
)
def test_any_text_has_a_bounded_one(text: str) -> None:
    assert len(shape(text)) <= MAX_SHAPE


@given(st.lists(st.integers(0, 9), min_size=4, max_size=9), st.ip_addresses())  # three may be a code
def test_what_differs_between_messages_makes_no_other_shape(digits: list[int], address: object) -> None:
    number = "".join(map(str, digits))
    assert shape(f"550 you [{address}] sent {number}") == "550 you [ADDRESS] sent #" or str(
        address
    ).startswith("::")


@pytest.mark.parametrize("part", ["a", "1.", "a.", "a@", "1:", "-", "a-", "http://", "x@", ":", "_"])
def test_none_takes_long(part: str) -> None:
    start = time.process_time()
    shape(part * 100_000)
    assert time.process_time() - start < 0.25


def test_the_commonest_are_shown() -> None:
    shapes = Shapes()
    for number in range(50):
        shapes.add(f"550 no {number} " + "x" * (number % 12), count=number % 12 + 1)
    shown = shapes.commonest()
    assert len(shown) == SHOWN
    assert [count for _, count in shown] == sorted((count for _, count in shown), reverse=True)
    assert shown[0][0] == "550 no # " + "x" * 11


def test_a_flood_of_shapes_is_bounded_and_hides_no_common_one() -> None:
    shapes = Shapes()
    for number in range(5 * MAX_SHAPES):
        shapes.add("550 " + "".join(chr(97 + int(digit)) for digit in str(number)))
        if number % 10 == 0:
            shapes.add("554 the common one")
    assert shapes.commonest()[0] == ("554 the common one", MAX_SHAPES // 2)
    assert shapes.kept <= MAX_SHAPES
