"""Counts in memory: what is asked is put together of steps, each counted once."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.mail import About, MailCounts, MailEvent, MailKind, MailTally
from geodns.signals.mail_window import DAY, FIVE, HOUR, KEPT, STEPS, MailWindow, begin_of, spans, tally

HOST = ("out.example.com", "mta1")
NOW = 1_795_478_400  # 2026-11-24T00:00:00Z
GOOD = MailKind(MailEvent.DELIVERED, first=True)
REFUSED = MailKind(MailEvent.DEFERRED, About.IP, first=True)


def counted(
    window: MailWindow, at: float, number: int = 1, kind: MailKind = GOOD, provider: str = "google"
) -> None:
    for step in STEPS:
        window.add(HOST, step, begin_of(step, at), {("", provider, kind): number})


def test_it_is_what_rules_ask() -> None:
    counts: type[MailCounts] | object = MailWindow
    assert {"by_provider", "total"} <= set(dir(counts))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param(NOW, NOW + 300, [(FIVE, NOW, NOW + 300)], id="five minutes"),
        pytest.param(NOW + 1, NOW + 301, [(FIVE, NOW + 300, NOW + 600)], id="the last step is whole"),
        pytest.param(NOW + 0.5, NOW + 0.9, [], id="less than a step"),
        pytest.param(
            NOW - HOUR + 1, NOW, [(FIVE, NOW - HOUR + FIVE, NOW)], id="an hour but for its first second"
        ),
        pytest.param(NOW - 2 * HOUR, NOW, [(HOUR, NOW - 2 * HOUR, NOW)], id="two hours"),
        pytest.param(
            NOW - 2 * DAY - HOUR - FIVE,
            NOW + FIVE,
            [
                (FIVE, NOW - 2 * DAY - HOUR - FIVE, NOW - 2 * DAY - HOUR),
                (HOUR, NOW - 2 * DAY - HOUR, NOW - 2 * DAY),
                (DAY, NOW - 2 * DAY, NOW),
                (FIVE, NOW, NOW + FIVE),
            ],
            id="days, an hour and ends",
        ),
        pytest.param(NOW, NOW - 1, [], id="nothing"),
    ],
)
def test_times_are_covered_by_the_longest_steps(
    start: float, end: float, expected: list[tuple[int, int, int]]
) -> None:
    assert list(spans(start, end, KEPT, NOW + DAY)) == expected


def test_the_last_hours_are_told_apart() -> None:
    window = MailWindow()
    counted(window, NOW - DAY)  # an hour too old
    counted(window, NOW - 2 * HOUR, 5)
    counted(window, NOW - HOUR, 2, REFUSED)
    counted(window, NOW - FIVE, 3)
    counted(window, NOW + FIVE, 7, REFUSED, "yahoo")
    hours = window.hours(HOST, NOW + 600)
    assert hours == [(0, 0)] * 21 + [(5, 0), (5, 2), (7, 7)]
    window.prune(NOW + 25 * HOUR + 1)
    assert window.hours(HOST, NOW + 600) == [(0, 0)] * 22 + [(5, 2), (7, 7)]
    window.prune(NOW + 40 * DAY)
    assert window.hours(HOST, NOW + 600) == [(0, 0)] * 24


@given(st.integers(0, 3 * DAY), st.integers(0, 3 * DAY))
def test_each_moment_is_covered_once(start: int, length: int) -> None:
    def moments() -> Iterator[int]:
        for step, begin, last in spans(NOW + start, NOW + start + length, KEPT, NOW + 9 * DAY):
            assert begin % step == last % step == 0
            yield from range(begin, last, FIVE)

    first, last = -(-start // FIVE) * FIVE, -(-(start + length) // FIVE) * FIVE
    assert list(moments()) == list(range(NOW + first, NOW + last, FIVE))


@given(
    st.lists(st.tuples(st.integers(0, 2 * HOUR - 1), st.integers(1, 9)), max_size=30),
    st.integers(0, 24),
    st.integers(0, 24),
)
def test_sums_are_those_of_the_mail_that_came_in_then(
    mail: list[tuple[int, int]], first: int, last: int
) -> None:
    window = MailWindow()
    for at, number in mail:
        counted(window, NOW + at, number)
    expected = sum(number for at, number in mail if first * FIVE <= at < last * FIVE)
    assert window.total(HOST, NOW + first * FIVE, NOW + last * FIVE)[MailEvent.DELIVERED] == expected


def test_rules_do_not_see_what_was_told_late() -> None:
    window = MailWindow()
    counted(window, NOW)
    counted(window, NOW, 5, GOOD._replace(late=True))
    counted(window, NOW, 7, provider="yahoo")
    assert window.by_provider(HOST, NOW, NOW + FIVE) == {
        "google": MailTally(1, {MailEvent.DELIVERED: 1}),
        "yahoo": MailTally(7, {MailEvent.DELIVERED: 7}),
    }
    assert window.total(HOST, NOW, NOW + FIVE) == MailTally(13, {MailEvent.DELIVERED: 13})
    assert window.total((HOST[0], "mta2"), NOW, NOW + FIVE) == MailTally()


def test_only_first_attempts_are_refused() -> None:
    later = MailKind(MailEvent.BOUNCED, About.IP)
    retried = MailKind(MailEvent.RETRIED, About.IP)
    found = tally(
        [(GOOD, 6), (REFUSED, 3), (REFUSED._replace(event=MailEvent.BOUNCED), 1), (later, 10), (retried, 50)]
    )
    assert (found.first, found.refused, found.rate(About.IP)) == (10, {About.IP: 4}, 0.4)
    assert (found[MailEvent.BOUNCED], found[MailEvent.RETRIED]) == (11, 50)


def test_finer_steps_go_first_and_sums_of_whole_ones_stay() -> None:
    window = MailWindow()
    for hour in range(40):
        counted(window, NOW + hour * HOUR)
    now = NOW + 40 * HOUR
    window.prune(now)
    assert window.total(HOST, NOW, now).first == 40
    # The hours of the first day are gone but the last ten, and so are the five minutes but of three hours.
    assert window.total(HOST, NOW + HOUR, now).first == 26
    assert window.total(HOST, now - 3 * HOUR - 1800, now).first == 3
    window.prune(now + 40 * DAY)
    assert window.total(HOST, NOW, now + 40 * DAY) == MailTally()
    assert window._steps == {}
