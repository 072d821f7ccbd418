"""Answers that are kept for a moment."""

from geodns.api.parts import Kept


def test_an_answer_is_made_anew_when_its_time_is_over_or_something_has_happened() -> None:
    now, made = 0.0, 0
    kept = Kept(lambda: now)

    def make() -> bytes:
        nonlocal made
        made += 1
        return str(made).encode()

    assert [kept.get("status", 1, make) for _ in range(3)] == [b"1"] * 3
    assert kept.get("metrics", 1, make) == b"2"
    assert kept.get("status", 2, make) == b"3"
    now = Kept.SECONDS / 2
    assert kept.get("status", 2, make) == b"3"
    now = Kept.SECONDS * 1.1
    assert kept.get("status", 2, make) == b"4"
