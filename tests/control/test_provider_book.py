"""What is known of domains: how long it holds, when to ask again, and that forged ones push out nobody."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.control import provider_book
from geodns.control.provider_book import (
    KEPT,
    NOBODY_TTL,
    OUTAGE_AFTER,
    OUTAGE_DOMAINS,
    OUTAGE_OVER,
    RETRY,
    SOON,
    TTL,
    Outage,
    ProviderBook,
    after_failure,
    is_outage,
)
from geodns.model.providers import LookedUp
from geodns.responder.route_table import KnownProvider
from geodns.serve import bounded_providers

NOW = 1_800_000_000.0
DAY = 86400.0


@pytest.fixture
def book() -> ProviderBook:
    return ProviderBook({})


@pytest.mark.parametrize(
    ("ttl", "exists", "holds"),
    [
        (3600, True, 3600),
        (0, True, TTL[0]),
        (60, True, TTL[0]),
        (10 * DAY, True, TTL[1]),
        (2**31 - 1, True, TTL[1]),
        (60, False, TTL[0]),
        (900, False, 900),
        (DAY, False, NOBODY_TTL),
    ],
)
def test_an_answer_holds_for_its_ttl_within_bounds(
    book: ProviderBook, ttl: float, exists: bool, holds: float
) -> None:
    assert book.wants("a.example", NOW)
    book.learn("a.example", "google" if exists else "", ttl, NOW, exists=exists)
    assert not book.wants("a.example", NOW + holds - 1)
    assert book.wants("a.example", NOW + holds)
    told = book.told("a.example", NOW)
    assert told == KnownProvider("google" if exists else "", NOW + holds, NOW + KEPT)
    assert told.learned


def test_what_is_no_longer_fresh_is_used_for_seven_days(book: ProviderBook) -> None:
    book.learn("a.example", "google", 3600, NOW, exists=True)
    later = NOW + 7 * DAY - 1
    assert book.wants("a.example", later)
    assert book.provider("a.example", later) == "google"
    assert book.told("a.example", later) == KnownProvider("google", later + SOON, NOW + KEPT)
    assert book.provider("a.example", later + 2) is None
    assert book.told("a.example", later + 2) is None


def test_a_look_up_that_fails_keeps_what_was_known_and_comes_again_later_and_later(
    book: ProviderBook,
) -> None:
    book.learn("a.example", "google", 300, NOW, exists=True)
    at, delays = NOW + 400, []
    for _ in range(8):
        assert book.wants("a.example", at)
        book.fail("a.example", at)
        told = book.told("a.example", at)
        assert told is not None
        assert (told.provider, told.until) == ("google", NOW + KEPT)
        assert not book.wants("a.example", told.fresh - 1)
        delays.append(told.fresh - at)
        at = told.fresh
    assert delays == [30, 60, 120, 240, 480, 600, 600, 600]
    book.learn("a.example", "", 300, at, exists=True)
    book.fail("a.example", at + 300)
    assert book.told("a.example", at + 300) == KnownProvider("", at + 300 + RETRY[0], at + KEPT)


def test_of_a_domain_that_cannot_be_looked_up_nobody_is_told_for_a_moment(book: ProviderBook) -> None:
    book.fail("a.example", NOW)
    told = book.told("a.example", NOW)
    assert told == KnownProvider("", NOW + RETRY[0], NOW + RETRY[0])
    assert not told.learned
    assert book.provider("a.example", NOW) is None
    assert book.told("a.example", NOW + RETRY[0]) is None


def test_own_domains_are_never_looked_up(book: ProviderBook) -> None:
    assert not book.wants("gmail.com", NOW)
    assert book.provider("gmail.com", NOW) == "google"
    told = book.told("gmail.com", NOW)
    assert told is not None
    assert told.fresh == told.until == float("inf")
    assert book.wants("mail.gmail.com", NOW), "names below them are somebody else's"


def test_forged_domains_push_out_no_provider(book: ProviderBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_providers, "MOST_OTHERS", 10)
    book.learn("a.example", "google", 300, NOW, exists=True)
    for number in range(100):
        book.learn(f"x{number}.example", "", 300, NOW, exists=False)
        book.fail(f"y{number}.example", NOW)
    assert len(book) == 11
    assert book.provider("a.example", NOW) == "google"
    assert book.provider("x99.example", NOW) == ""
    assert book.provider("x0.example", NOW) is None


def test_those_asked_for_last_are_kept(book: ProviderBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_providers, "MOST_NAMED", 2)
    for domain in ("a.example", "b.example"):
        book.learn(domain, "google", 300, NOW, exists=True)
    assert book.provider("a.example", NOW) == "google"
    book.learn("c.example", "google", 300, NOW, exists=True)
    assert list(book.domains) == ["a.example", "c.example"]


def test_a_domain_may_change_its_provider(book: ProviderBook) -> None:
    for provider in ("google", "", "microsoft"):
        book.learn("a.example", provider, 300, NOW, exists=True)
        assert book.provider("a.example", NOW) == provider
        assert len(book) == 1


def test_what_was_kept_is_known_again_and_what_is_too_old_is_dropped() -> None:
    book = ProviderBook(
        {
            "old.example": LookedUp("google", NOW - KEPT, NOW - KEPT + 300),
            "odd.example": LookedUp("google", NOW + 30 * DAY, NOW + 31 * DAY),
            "a.example": LookedUp("google", NOW - 2 * DAY, NOW - DAY),
        }
    )
    assert not book.changed
    assert book.provider("old.example", NOW) is None
    assert book.provider("odd.example", NOW) is None, "of a time that has not come"
    assert book.provider("a.example", NOW) == "google"
    book.prune(NOW)
    assert book.changed
    assert list(book.domains) == ["a.example"]


def test_a_clock_that_was_set_back_puts_nothing_off_for_days(book: ProviderBook) -> None:
    book.learn("a.example", "google", 3600, NOW, exists=True)
    book.fail("b.example", NOW)
    assert book.wants("a.example", NOW - 2 * DAY)
    assert book.wants("b.example", NOW - 2 * DAY)


def outage(*failures: tuple[str, float]) -> Outage:
    one = None
    for domain, at in failures:
        one = after_failure(one, domain, "the resolver answers SERVFAIL", at)
    assert one is not None
    return one


def test_an_outage_is_of_many_domains_and_lasts() -> None:
    some = [(f"x{number}.example", NOW + 20 * number) for number in range(OUTAGE_DOMAINS)]
    assert is_outage(outage(*some), NOW + 90)
    assert not is_outage(None, NOW)
    assert not is_outage(outage(*some[:-1]), NOW + 90), "a few are always broken"
    at_once = [(domain, NOW) for domain, _ in some]
    assert not is_outage(outage(*at_once), NOW + OUTAGE_AFTER), "nobody asked since"
    assert not is_outage(outage(*some), some[-1][1] + OUTAGE_OVER + 1)
    again = outage(*some, ("z.example", some[-1][1] + OUTAGE_OVER + 1))
    assert again.failed == 1


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["found", "nobody", "failed", "asked", "pruned"]),
        st.integers(0, 9),
        st.sampled_from([0.0, 1.0, 20.0, 400.0, 5000.0, DAY, 8 * DAY]),
    ),
    max_size=60,
)


@given(EVENTS)
def test_whatever_happens_it_is_bounded_and_says_what_was_learned_last(
    events: list[tuple[str, int, float]],
) -> None:
    book, now = ProviderBook({}), NOW
    learned: dict[str, tuple[str, float]] = {}
    with (
        patch.object(bounded_providers, "MOST_NAMED", 4),
        patch.object(bounded_providers, "MOST_OTHERS", 3),
        patch.object(provider_book, "MOST_FAILED", 3),
    ):
        for what, number, seconds in events:
            now += seconds
            domain = f"x{number}.example"
            match what:
                case "found" | "nobody":
                    provider = "google" if what == "found" else ""
                    book.learn(domain, provider, seconds, now, exists=what == "found")
                    learned[domain] = provider, now
                    assert not book.wants(domain, now)
                case "failed":
                    book.fail(domain, now)
                    assert not book.wants(domain, now)
                case "pruned":
                    book.prune(now)
            told, known = book.told(domain, now), book.provider(domain, now)
            last, at = learned.get(domain, ("", -KEPT))
            assert known is None or (known == last and now < at + KEPT)
            assert told is None or told.fresh > now
            assert told is None or told.until == (at + KEPT if told.learned else told.fresh)
            assert told is None or told.learned == (known is not None)
            assert len(book) <= 7
            assert len(book._failed) <= 3
    again = ProviderBook(book.domains)
    assert again.domains == book.domains
