"""The copy of who runs which domain's mail, in the routes worker and for its successors."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.responder.route_table import KnownProvider
from geodns.serve import bounded_providers
from geodns.serve.known_providers import KnownProviders

NOW = 1_800_000_000.0
GOOGLE = KnownProvider("google", NOW + 300, NOW + 9000)
NOBODY = KnownProvider("", NOW + 300, NOW + 9000)
FAILED = KnownProvider("", NOW + 30, NOW + 30)


@pytest.fixture
def known() -> KnownProviders:
    return KnownProviders()


def test_the_newest_holds_until_its_end(known: KnownProviders) -> None:
    assert known.get("a.example", NOW) is None
    known.take({"a.example": GOOGLE}, NOW)
    assert known.get("a.example", NOW + 8999) == GOOGLE
    known.take({"a.example": NOBODY}, NOW)
    assert known.get("a.example", NOW) == NOBODY
    assert len(known) == 1
    assert known.get("a.example", NOW + 9000) is None
    assert len(known) == 0


@pytest.mark.parametrize("before", [GOOGLE, NOBODY])
def test_a_look_up_that_failed_only_puts_off_the_next(known: KnownProviders, before: KnownProvider) -> None:
    known.take({"a.example": before}, NOW)
    known.take({"a.example": FAILED, "b.example": FAILED}, NOW)
    assert known.get("a.example", NOW) == before._replace(fresh=NOW + 30)
    assert known.get("b.example", NOW) == FAILED
    assert known.get("b.example", NOW + 30) is None


def test_it_is_bounded_and_nobodys_domains_push_out_no_providers(
    known: KnownProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_providers, "MOST_NAMED", 3)
    monkeypatch.setattr(bounded_providers, "MOST_OTHERS", 2)
    known.take({f"g{number}.example": GOOGLE for number in range(3)}, NOW)
    assert known.get("g0.example", NOW) == GOOGLE
    known.take({f"x{number}.example": NOBODY for number in range(99)}, NOW)
    assert len(known) == 5
    known.take({"g3.example": GOOGLE}, NOW)
    assert known.get("g1.example", NOW) is None, "nobody asked for it for longest"
    assert known.get("g0.example", NOW) == GOOGLE


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from([GOOGLE, NOBODY, FAILED]), st.integers(0, 20000)),
        max_size=60,
    )
)
def test_whatever_is_told_it_is_bounded_and_the_last_that_was_learned_holds(
    news: list[tuple[int, KnownProvider, int]],
) -> None:
    known = KnownProviders()
    last: dict[str, KnownProvider] = {}
    with patch.object(bounded_providers, "MOST_NAMED", 3), patch.object(bounded_providers, "MOST_OTHERS", 2):
        for number, one, later in news:
            domain, now = f"x{number}.example", NOW + later
            known.take({domain: one}, now)
            if one.learned or domain not in last:
                last[domain] = one
            found = known.get(domain, now)
            assert found is None or found.provider == last[domain].provider
            assert found is None or now < found.until
            assert len(known) <= 5
