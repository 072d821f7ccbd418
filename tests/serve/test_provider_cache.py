"""What the routes worker knows of providers, and its bounded questions."""

import pytest

from geodns.responder.route_table import KnownProvider, RouteNews
from geodns.serve import provider_cache
from geodns.serve.known_providers import KnownProviders
from geodns.serve.provider_cache import ASK_AGAIN, MOST_ASKED, WAIT, ProviderCache

DATE = 1_800_000_000.0


class Asking:
    """A cache, and what it has asked."""

    def __init__(self, **known: KnownProvider) -> None:
        self.asked: list[str] = []
        self.told: list[str] = []
        names = {name.replace("_", "."): one for name, one in known.items()}
        self.cache = ProviderCache({"gmail.com": "google"}, KnownProviders(names), self.asked.append)

    def tell(self, domain: str, provider: str) -> None:
        self.cache.take(RouteNews({domain: KnownProvider(provider, DATE + 60, DATE + 600)}), DATE)


def test_what_is_built_in_or_fresh_needs_no_question() -> None:
    asking = Asking(shop_example=KnownProvider("yahoo", DATE + 1, DATE + 2))
    for ask in (asking.cache.fresh, lambda domain, date: asking.cache.provider(domain, 0.0, date)):
        assert ask("gmail.com", DATE) == "google"
        assert ask("shop.example", DATE) == "yahoo"
    assert asking.cache.fresh("shop.example", DATE + 1) is None
    assert asking.asked == []


def test_a_question_is_asked_once_and_again_only_after_a_while() -> None:
    asking = Asking()
    for now in (0.0, 1.0, ASK_AGAIN - 0.1):
        assert asking.cache.provider("shop.example", now, DATE) is None
    assert asking.asked == ["shop.example"]
    asking.cache.provider("shop.example", ASK_AGAIN, DATE)
    assert asking.asked == ["shop.example"] * 2


def test_who_waits_is_told_once_and_nobody_waits_for_a_question_that_is_old() -> None:
    asking = Asking()
    assert asking.cache.wait("shop.example", 0.0, lambda: asking.told.append("first"))

    def second() -> None:
        asking.told.append("second")

    assert asking.cache.wait("shop.example", WAIT - 0.1, second)
    asking.cache.forget("shop.example", second)
    assert not asking.cache.wait("shop.example", WAIT, lambda: asking.told.append("third"))
    for _ in range(2):
        asking.tell("shop.example", "google")
    assert asking.told == ["first"]
    assert asking.cache.fresh("shop.example", DATE) == "google"


def test_questions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_cache, "MOST_ASKED", 3)
    asking = Asking()
    for number in range(5):
        assert asking.cache.provider(f"s{number}.example", 0.0, DATE) is None
    assert not asking.cache.wait("s4.example", 0.0, lambda: None)
    assert asking.asked == ["s0.example", "s1.example", "s2.example"]
    asking.tell("s1.example", "")
    asking.cache.provider("s3.example", 1.0, DATE)
    asking.cache.provider("s4.example", 1.0, DATE)
    assert asking.asked[3:] == ["s3.example"]
    asking.cache.provider("s4.example", ASK_AGAIN, DATE)
    assert asking.asked[4:] == ["s4.example"], "those without an answer have given up their places"
    assert MOST_ASKED == 1000


@pytest.mark.parametrize(
    "domain",
    ["", "localhost", "[192.0.2.1]", "a b.example", "x" * 64 * 4 + ".example", "ü.example", ".example"],
)
def test_what_cannot_be_looked_up_is_nobodys(domain: str) -> None:
    asking = Asking()
    assert asking.cache.provider(domain, 0.0, DATE) == ""
    assert asking.asked == []
