"""What servers of a group tell one another as bytes: round trips, signatures, and what a store may hold."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.shared import (
    MAX_COUNTER,
    SHED_OUT,
    AddressVote,
    Heartbeat,
    OrderVersion,
    SharedOrder,
    Vote,
    ZoneContent,
)
from geodns.storage.shared_books import MAX_NUMBER, Book, Names, number_of, place_in_log
from geodns.storage.shared_messages import (
    BAD_NAME,
    FORGED,
    MAX_VALUE,
    MISPLACED,
    NO_JSON,
    TOO_LONG,
    UNSIGNED,
    BadValueError,
    BadValues,
    Beat,
    Messages,
    field_name,
    order_field,
)

OPEN, SIGNED = Messages("out", None), Messages("out", b"of the group")
KEY, FIELD = OPEN.key("votes", "ns1"), b"smtp/192.0.2.1:25"
names = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=40)
counters = st.integers(0, MAX_COUNTER)
times = st.floats(0, 2**32)
votes = st.builds(
    AddressVote,
    vote=st.sampled_from(Vote),
    level=st.integers(0, SHED_OUT),
    held=st.sampled_from(Vote),
    seq=counters,
    backs=names | st.just(""),
)
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)
orders = st.builds(
    SharedOrder,
    zone=names,
    host=names,
    kind=st.sampled_from(["state", "weight", "later"]),
    version=st.builds(OrderVersion, counter=counters, id=st.from_regex("[0-9a-f]{32}", fullmatch=True)),
    node=names,
    at=times,
    content=st.none() | st.dictionaries(names, json, max_size=4),
    more=st.dictionaries(st.text("xyz", min_size=1, max_size=4), json, max_size=3),
)
beats = st.builds(
    Heartbeat,
    node=names,
    epoch=counters,
    seq=counters,
    version=names,
    at=times,
    heard=st.lists(names, max_size=4).map(tuple),
    zones=st.dictionaries(
        names, st.builds(ZoneContent, digest=names, serial=st.integers(0, 2**32 - 1)), max_size=3
    ),
    digests=st.dictionaries(names, names, max_size=3),
)
groups = st.sampled_from([OPEN, SIGNED])


@given(groups, votes, counters)
def test_a_vote_comes_back(group: Messages, vote: AddressVote, epoch: int) -> None:
    assert group.open_vote(KEY, FIELD, group.seal_vote(KEY, FIELD, group.vote_body(epoch, vote))) == (
        epoch,
        vote,
    )


@given(groups, orders)
def test_an_order_comes_back_with_what_is_not_known_of_it(group: Messages, order: SharedOrder) -> None:
    assert group.open_order(order_field(order), group.seal_order(order)) == order


@given(groups, beats, st.integers(0, 10**15))
def test_a_heartbeat_comes_back(group: Messages, heartbeat: Heartbeat, number: int) -> None:
    beat = Beat(heartbeat, "0123456789abcdef", number)
    assert group.open_beat(heartbeat.node, group.seal_beat(beat)) == beat


@given(groups, json, counters)
def test_a_sum_and_a_claim_come_back(group: Messages, content: Any, epoch: int) -> None:
    assert group.open_sum(KEY, FIELD, group.seal_sum(KEY, FIELD, epoch, 1, content)) == content
    assert group.open_claim(KEY, group.seal_claim(KEY, "ns1")) == ("ns1", None)
    assert group.open_claim(KEY, group.seal_claim(KEY, "ns1", 7)) == ("ns1", 7)


VOTE = AddressVote(vote=Vote.DOWN, held=Vote.UP, seq=3)
ORDER = SharedOrder(
    zone="example.com",
    host="mx1",
    kind="state",
    version=OrderVersion(counter=7, id="a" * 32),
    node="ns1",
    at=1.5,
    content={"state": "drain", "reason": "new disk"},
)
BEAT = Beat(Heartbeat(node="ns1", epoch=1, seq=2, version="1.0", at=3.0), "0123456789abcdef", 4)


def _key(group: Messages) -> bytes:
    return group.key("votes", "ns1")


OPENERS: dict[str, tuple[Callable[[Messages, bytes], Any], Callable[[Messages], bytes]]] = {
    "vote": (
        lambda group, raw: group.open_vote(_key(group), FIELD, raw),
        lambda group: group.seal_vote(_key(group), FIELD, group.vote_body(1, VOTE)),
    ),
    "order": (
        lambda group, raw: group.open_order(order_field(ORDER), raw),
        lambda group: group.seal_order(ORDER),
    ),
    "beat": (lambda group, raw: group.open_beat("ns1", raw), lambda group: group.seal_beat(BEAT)),
    "sum": (
        lambda group, raw: group.open_sum(_key(group), FIELD, raw),
        lambda group: group.seal_sum(_key(group), FIELD, 1, 1, {"a": 1}),
    ),
    "claim": (
        lambda group, raw: group.open_claim(_key(group), raw),
        lambda group: group.seal_claim(_key(group), "ns1"),
    ),
}
kinds = st.sampled_from(sorted(OPENERS))


@given(groups, kinds, st.binary(max_size=300))
def test_any_bytes_are_a_bad_value_at_most(group: Messages, kind: str, raw: bytes) -> None:
    with pytest.raises(BadValueError):
        OPENERS[kind][0](group, raw)


@given(kinds, st.data())
def test_what_is_almost_right_is_a_value_or_a_bad_one(kind: str, data: st.DataObject) -> None:
    opened, sealed = OPENERS[kind]
    raw = bytearray(sealed(OPEN))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(
            st.sampled_from(b'\x00\x7f"\\{}[]9e-.:,\xff')
        )
    with contextlib.suppress(BadValueError):
        opened(OPEN, bytes(raw))


@given(kinds, st.data())
def test_one_changed_bit_breaks_the_signature(kind: str, data: st.DataObject) -> None:
    opened, sealed = OPENERS[kind]
    raw = bytearray(sealed(SIGNED))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadValueError):
        opened(SIGNED, bytes(raw))


@pytest.mark.parametrize("kind", sorted(OPENERS))
def test_who_may_be_read_by_whom(kind: str) -> None:
    opened, sealed = OPENERS[kind]
    with pytest.raises(BadValueError, match=UNSIGNED):
        opened(SIGNED, sealed(OPEN))
    with pytest.raises(BadValueError, match=FORGED):
        opened(Messages("out", b"another"), sealed(SIGNED))
    with pytest.raises(BadValueError, match=FORGED):
        opened(Messages("in", b"of the group"), sealed(SIGNED))
    assert opened(OPEN, sealed(SIGNED)) == opened(OPEN, sealed(OPEN)), "who has no secret believes anybody"


def test_a_signed_value_is_of_its_place_alone() -> None:
    raw = SIGNED.seal_vote(KEY, FIELD, SIGNED.vote_body(1, VOTE))
    for key, field in (
        (SIGNED.key("votes", "ns2"), FIELD),
        (KEY, FIELD + b"0"),
        (KEY + FIELD[:1], FIELD[1:]),
    ):
        with pytest.raises(BadValueError, match=FORGED):
            SIGNED.open_vote(key, field, raw)


@pytest.mark.parametrize(
    ("kind", "raw", "reason"),
    [
        ("vote", b'{"e":1,"c":{"vote":"maybe","held":"up","seq":1}}', NO_JSON),
        ("vote", b'{"e":1,"c":{"vote":"up","held":"up","seq":"1"}}', NO_JSON),
        ("vote", b'{"e":-1,"c":{"vote":"up","held":"up","seq":1}}', NO_JSON),
        ("vote", b'{"e":1,"c":{"vote":"up","held":"up","seq":1,"level":12}}', NO_JSON),
        ("vote", b'{"e":1,"c":{"vote":"up","held":"up","seq":1}} x', NO_JSON),
        ("vote", b"{" + b" " * MAX_VALUE, TOO_LONG),
        ("sum", b'{"e":1,"q":1,"c":NaN}', NO_JSON),
        ("sum", b'{"e":1,"q":1,"c":[1e999]}', NO_JSON),
        ("sum", b'{"e":1,"q":1,"c":' + b"[" * 30_000, NO_JSON),
        ("sum", b'{"e":1,"q":1,"c":' + b"9" * 30_000 + b"}", NO_JSON),
        ("sum", b'{"e":1,"q":1,"c":"\\ud800"}', NO_JSON),
        ("claim", b'{"node":""}', BAD_NAME),
        ("claim", b'{"node":"' + b"n" * 64 + b'"}', NO_JSON),
        (
            "beat",
            b"0123456789abcdef 1\n" + b'{"node":"ns2","epoch":1,"seq":1,"version":"1","at":1}',
            MISPLACED,
        ),
        (
            "beat",
            b"0123456789abcdef 1\n" + b'{"node":"ns1","epoch":1,"seq":1,"version":"1","at":1e999}',
            NO_JSON,
        ),
        ("beat", b'{"node":"ns1","epoch":1,"seq":1,"version":"1","at":1}', NO_JSON),
        ("order", OPEN.seal_order(ORDER).replace(b"7 ", b"8 ", 1), MISPLACED),
        ("order", OPEN.seal_order(ORDER).replace(b'"mx1"', b'"mx2"'), MISPLACED),
        ("order", OPEN.seal_order(ORDER).replace(b'"mx1"', b'"mx\\u0007"'), MISPLACED),
        ("order", OPEN.seal_order(ORDER).partition(b"\n")[2], NO_JSON),
        ("order", OPEN.seal_order(ORDER).replace(b"1.5", b"true"), NO_JSON),
    ],
)
def test_why_a_value_is_skipped(kind: str, raw: bytes, reason: str) -> None:
    with pytest.raises(BadValueError, match=re.escape(reason)):
        OPENERS[kind][0](OPEN, raw)


def test_later_versions_may_say_more() -> None:
    assert OPEN.open_vote(KEY, FIELD, b'{"e":1,"x":2,"c":{"vote":"down","held":"up","seq":3,"y":[4]}}') == (
        1,
        VOTE,
    )
    line, _, body = OPEN.seal_beat(BEAT).partition(b"\n")
    assert OPEN.open_beat("ns1", line + b"\n" + body.replace(b"{", b'{"mood":"good",', 1)) == BEAT
    later = ORDER.model_copy(
        update={"kind": "colour", "content": {"a\x07b": "\x1b"}, "more": {"mood": ["\x1b", 1]}}
    )
    assert OPEN.open_order(order_field(later), OPEN.seal_order(later)) == later, "kept as it is"


def test_control_characters_are_taken_out() -> None:
    order = ORDER.model_copy(update={"content": {"reason": "a\x1b[31m\u202eb\n\x7f"}})
    content = OPEN.open_order(order_field(order), OPEN.seal_order(order)).content
    assert content == {"reason": "a[31mb"}
    beat = Beat(BEAT.heartbeat.model_copy(update={"version": "1\x00\n0"}), BEAT.token, 1)
    assert OPEN.open_beat("ns1", OPEN.seal_beat(beat)).heartbeat.version == "10"
    assert OPEN.open_sum(KEY, FIELD, OPEN.seal_sum(KEY, FIELD, 1, 1, {"\x1bk": ["\x7f"]})) == {"k": [""]}


def test_what_is_too_long_is_not_written() -> None:
    with pytest.raises(BadValueError, match=TOO_LONG):
        OPEN.seal_order(ORDER.model_copy(update={"content": {"reason": "x" * MAX_VALUE}}))
    with pytest.raises(BadValueError, match=TOO_LONG):
        OPEN.seal_sum(KEY, FIELD, 1, 1, "x" * MAX_VALUE)


@given(st.binary(), st.binary())
def test_what_was_skipped_can_be_shown(key: bytes, field: bytes) -> None:
    bad = BadValues()
    bad.note(key, field, BadValueError(NO_JSON))
    assert bad.last.isprintable()
    assert len(bad.last) < 1000
    assert bad.counts == {NO_JSON: 1}


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.sampled_from([b"", b"1", b"2"]))))
def test_a_digest_is_of_what_there_is(steps: list[tuple[bytes, bytes]]) -> None:
    book, there = Book(), dict[bytes, bytes]()
    for field, raw in steps:
        changed = book.put(field, raw) if raw else book.drop(field)
        assert changed == (there.get(field, b"") != raw)
        there.pop(field, None)
        if raw:
            there[field] = raw
    fresh = Book()
    for field, raw in sorted(there.items(), reverse=True):
        fresh.put(field, raw)
    assert (fresh.digest, fresh.fields) == (book.digest, book.fields)
    assert book.differing(fresh) == []


def test_names_and_numbers_of_a_store() -> None:
    known = Names()
    first, again = (b"".join([b"smtp/", b"192.0.2.1:25"]) for _ in range(2))
    assert first is not again
    assert known.known(first) is known.known(again) is first
    for bad in (b"", b"\xff", b"a\x00", b"x" * 1025):
        assert known.known(bad) is bad
        with pytest.raises(BadValueError, match=BAD_NAME):
            field_name(bad)
    assert [number_of(raw) for raw in (None, b"", b"12", b"-1", b"1" * 17, b"x")] == [0, 0, 12, 0, 0, 0]
    assert [number_of(b"%d" % number) for number in (MAX_NUMBER, MAX_NUMBER + 1)] == [MAX_NUMBER, 0]
    assert place_in_log(b"17-2") == (17, 2)
