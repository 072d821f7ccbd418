"""Answers that are kept for a moment."""

import gzip

import pytest

from geodns.api.responses import ResponseCache


class Costly:
    """An answer that takes its time, and says how often it was made."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.now, self.seconds, self.made = 0.0, seconds, 0
        self.kept = ResponseCache(lambda: self.now, lambda: self.now)

    def make(self) -> bytes:
        self.now += self.seconds
        self.made += 1
        return str(self.made).encode()

    def get(self, name: str, mark: object = 1) -> bytes:
        return self.kept.get(name, mark, self.make).plain


def test_an_answer_is_made_anew_when_its_time_is_over_or_something_has_happened() -> None:
    costly = Costly()
    assert [costly.get("status") for _ in range(3)] == [b"1"] * 3
    assert costly.get("metrics") == b"2"
    assert costly.get("status", 2) == b"3"
    costly.now = ResponseCache.LEAST / 2
    assert costly.get("status", 2) == b"3"
    costly.now = ResponseCache.LEAST * 1.1
    assert costly.get("status", 2) == b"4"


@pytest.mark.parametrize(("took", "seconds"), [(0.001, 0.2), (0.05, 0.5), (60.0, 2.0)])
def test_an_answer_is_kept_the_longer_the_more_it_cost(took: float, seconds: float) -> None:
    costly = Costly(took)
    costly.get("status")
    began = costly.now
    costly.now = began + seconds * 0.9
    assert costly.get("status") == b"1"
    costly.now = began + seconds * 1.1
    assert costly.get("status") == b"2"


def test_answers_to_what_clients_say_do_not_fill_the_memory() -> None:
    costly = Costly()
    for number in range(1000):
        costly.get(f"explain {number}")
    assert len(costly.kept._kept) <= ResponseCache.MOST


def test_what_is_packed_is_no_older_than_what_is_not() -> None:
    costly = Costly()
    body = costly.kept.get("status", 1, costly.make)
    costly.now = ResponseCache.LEAST * 0.9
    assert costly.kept.get("status", 1, costly.make).packed is body.packed, "packed once"
    costly.now = ResponseCache.LEAST * 1.1
    assert gzip.decompress(costly.kept.get("status", 1, costly.make).packed) == b"2"
