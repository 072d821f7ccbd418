"""Votes over HTTP: only what changed, all where that is not known, and nothing unsigned."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from geodns.control.shared_votes import (
    NO_VOTES,
    OTHER_GROUP,
    OTHER_NODE,
    HeardVotes,
    VoteLedger,
    cursor_of,
    heard_votes,
    sealed_votes,
)
from geodns.errors import UsageError
from geodns.model.shared import AddressVote, Heartbeat, Vote
from geodns.storage.shared_messages import FORGED, NO_JSON, UNSIGNED, BadValueError, BadValues, Beat, Messages

SECRET = b"of all servers"
UP = AddressVote(vote=Vote.UP, held=Vote.UP, seq=1)
DOWN = AddressVote(vote=Vote.DOWN, held=Vote.UP, seq=2, why="refused")


def ledger() -> VoteLedger:
    one = VoteLedger()
    one.publish(3, {"a": UP, "b": UP})
    one.publish(3, {"b": DOWN})
    one.publish(3, {"a": None})
    return one


@pytest.mark.parametrize(
    ("cursor", "known", "votes"),
    [
        (None, False, {"b": DOWN}),
        ("3.1", True, {"b": DOWN, "a": None}),
        ("3.2", True, {"a": None}),
        ("3.3", True, {}),
        ("3.4", False, {"b": DOWN}),  # a number that was never given
        ("2.1", False, {"b": DOWN}),  # of another epoch
    ],
)
def test_only_what_changed_is_told(cursor: str | None, known: bool, votes: dict[str, Any]) -> None:
    part = ledger().since(cursor, 3)
    assert part == (3, cursor if known else None, "3.3", votes)


def test_a_new_epoch_begins_with_no_votes_and_no_place() -> None:
    one = ledger()
    assert one.since("3.3", 4).votes == {}
    one.publish(4, {"a": UP})
    part = one.since("3.3", 4)
    assert (part.since, part.votes) == (None, {"a": UP})


def test_ends_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodns.control.shared_votes.MAX_FIELDS", 1)
    one = ledger()
    one.publish(3, {"b": None})
    assert one.since("3.3", 3) == (3, None, "3.4", {})


@pytest.mark.parametrize("text", ["x", "1", "1.2.3", "-1.2", "1.", "1" * 17 + ".1", "²._"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no place in the votes"):
        cursor_of(text)


def said(secret: bytes | None = SECRET, **changes: Any) -> bytes:
    heartbeat = Heartbeat(node="ns2", epoch=3, seq=2, version="1", at=1.0)
    part = ledger().since("3.1", 3)
    fields = sealed_votes(Messages("out", secret), "out", Beat(heartbeat, "0" * 16, 1), part).model_dump()
    return json.dumps({**fields, **changes, "later": 1}).encode()


def read(body: bytes, bad: BadValues | None = None) -> HeardVotes:
    return heard_votes(Messages("out", SECRET), "out", "ns2", body, bad or BadValues())


def test_what_is_said_is_heard() -> None:
    heard = read(said())
    assert (heard.epoch, heard.votes, heard.gone) == (3, {"b": DOWN}, ("a",))
    assert (heard.whole, heard.next, heard.beat.heartbeat.seq) == (False, "3.3", 2)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "no JSON": (lambda: b"<html>", NO_VOTES),
    "deep": (lambda: b"[" * 100_000, NO_VOTES),
    "a place that is none": (lambda: said(next="1"), NO_VOTES),
    "too many": (lambda: said(gone=["a"] * 20_001), NO_VOTES),
    "too long": (lambda: said(beat="x" * 70_000), NO_VOTES),
    "another group": (lambda: said(group="in"), OTHER_GROUP),
    "another server": (lambda: said(node="ns3"), OTHER_NODE),
    "not signed": (lambda: said(None), UNSIGNED),
    "another secret": (lambda: said(b"another"), FORGED),
    "no heartbeat": (lambda: said(beat="{}"), NO_JSON),
}


@pytest.mark.parametrize("fault", BAD)
def test_an_answer_that_cannot_be_believed_is_skipped(fault: str) -> None:
    body, reason = BAD[fault]
    with pytest.raises(BadValueError) as caught:
        read(body())
    assert str(caught.value) == reason


def test_a_bad_vote_is_counted_and_the_others_are_heard() -> None:
    good = json.loads(said())["votes"]["b"]
    bad = BadValues()
    heard = read(said(votes={"b": good, "c": good, "d": "{}", "\x00": good}), bad)
    assert heard.votes == {"b": DOWN}
    assert sum(bad.counts.values()) == 3, bad.counts
