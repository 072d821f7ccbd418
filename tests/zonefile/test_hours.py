"""Hours of the week as operators write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.views import DAY, HourSpan
from geodns.zonefile.hours import DAYS, parse_span

EVERY = frozenset(range(7))


@pytest.mark.parametrize(
    ("text", "days", "begin", "end"),
    [
        ("Mon-Fri 08:00-18:00", {0, 1, 2, 3, 4}, 480, 1080),
        ("mon-fri 8:00-18:00", {0, 1, 2, 3, 4}, 480, 1080),
        ("Sat,Sun", {5, 6}, 0, DAY),
        ("Wed", {2}, 0, DAY),
        ("Fri-Mon", {4, 5, 6, 0}, 0, DAY),
        ("Mon-Wed,Sat 00:00-24:00", {0, 1, 2, 5}, 0, DAY),
        ("22:00-06:00", EVERY, 1320, 360),
        ("22:00-24:00", EVERY, 1320, DAY),
        ("22:00-00:00", EVERY, 1320, 0),
        ("  Mon   00:00-00:01 ", {0}, 0, 1),
    ],
)
def test_what_is_read(text: str, days: set[int], begin: int, end: int) -> None:
    assert parse_span(text) == HourSpan(days=frozenset(days), begin=begin, end=end)


HOW = "write days, times or both, as Mon-Fri 08:00-18:00"


@pytest.mark.parametrize(
    ("text", "what", "instead"),
    [
        ("", "'' is no hours of the week", HOW),
        ("Mon 08:00 - 18:00", "'Mon 08:00 - 18:00' is no hours of the week", HOW),
        ("Mon Tue", "'Tue' is no time of day", HOW),
        ("08-18", "'08-18' is no time of day", HOW),
        ("08:00", "'08:00' is no time of day", HOW),
        ("٠٨:00-18:00", "'٠٨:00-18:00' is no time of day", HOW),
        ("Mo-Fr", "'Mo' is no day", "write Mon, Tue, Wed, Thu, Fri, Sat, Sun, or days as Mon-Fri"),
        ("Mon-", "'' is no day", "write Mon, Tue, Wed, Thu, Fri, Sat, Sun, or days as Mon-Fri"),
        ("Mon,,Tue", "'' is no day", "write Mon, Tue, Wed, Thu, Fri, Sat, Sun, or days as Mon-Fri"),
        ("08:00-18:60", "'08:00-18:60' is out of range", "write 00:00 to 24:00"),
        ("08:00-24:01", "'08:00-24:01' is out of range", "write 00:00 to 24:00"),
        ("25:00-08:00", "'25:00-08:00' is out of range", "write 00:00 to 24:00"),
        (
            "24:00-08:00",
            "24:00 is where a day ends, not where one begins",
            "write 00:00, of the next day",
        ),
        ("08:00-08:00", "'08:00-08:00' ends where it begins", "write 00:00-24:00 for whole days"),
    ],
)
def test_what_is_refused(text: str, what: str, instead: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        parse_span(text)
    assert caught.value.args == (what, instead)


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@given(
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, DAY - 1),
    st.integers(0, DAY),
)
def test_what_is_written_out_is_read_back(days: frozenset[int], begin: int, end: int) -> None:
    text = f"{','.join(DAYS[day] for day in days)} {clock(begin)}-{clock(end)}"
    if begin == end:
        with pytest.raises(ValueError, match="ends where it begins"):
            parse_span(text)
    else:
        assert parse_span(text) == HourSpan(days=days, begin=begin, end=end)


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
def test_a_range_of_days_has_what_lies_between(first: int, last: int, day: int) -> None:
    inside = (day - first) % 7 <= (last - first) % 7
    assert (day in parse_span(f"{DAYS[first]}-{DAYS[last]}").days) is inside


@given(st.text("MonTueSat0123456789:-, ", max_size=24))
def test_any_text_is_hours_or_says_what_it_should_be(text: str) -> None:
    try:
        span = parse_span(text)
    except ValueError as error:
        what, instead = error.args
        assert what
        assert instead.startswith("write ")
    else:
        assert span.days
        assert span.begin != span.end
