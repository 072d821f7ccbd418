"""Orders of several servers merged: commutative, associative, idempotent; none is lost, none comes back."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from geodns.control.order_versions import (
    MAX_CONTENT,
    MAX_TAKEN,
    STATE,
    WEIGHT,
    Digests,
    OrderKey,
    content_of,
    first_order,
    is_past,
    merge,
    newer,
    next_version,
    override_of,
    rank,
    restored_orders,
    same,
    shared_now,
    unfit,
    whose,
)
from geodns.model.shared import TOMBSTONE_KEPT, OrderVersion, SharedOrder
from geodns.model.state import Forced, ForcedState, ForcedWeight
from geodns.storage.state_rows import StoredOrder

ZONE = "out.example.com"
KEY = (ZONE, "mta1", STATE)
NOW = 1_800_000_000.0
DRAINED = ForcedState(Forced.DRAINED, "disk", "ann", NOW - 60)
Book = dict[OrderKey, SharedOrder]


def order(counter: int = 1, id: str = "a", **more: Any) -> SharedOrder:  # noqa: A002
    """An order; its id is a hex digit, 32 times."""
    kept = {"zone": ZONE, "host": "mta1", "kind": STATE, "node": "ns1", "at": NOW} | more
    kept.setdefault("content", content_of(DRAINED))
    return SharedOrder(version=OrderVersion(counter=counter, id=id * 32), **kept)


def joined(own: Book, others: Book) -> Book:
    return own | merge(own, others.values()).changes


_orders = st.builds(
    order,
    st.integers(1, 3),
    st.sampled_from("ab"),
    host=st.sampled_from(["mta1", "mta2"]),
    kind=st.sampled_from([STATE, WEIGHT, "color"]),
    content=st.sampled_from([None, {"forced": "up", "since": 1.0}, {"forced": "later", "x": [1]}]),
    node=st.sampled_from(["ns1", "ns2"]),
)
_books = st.lists(_orders, max_size=6).map(lambda some: joined({}, {}) | _book(some))


def _book(orders: list[SharedOrder]) -> Book:
    return dict(merge({}, orders).changes)


@given(_books, _books, _books)
def test_merging_does_not_depend_on_who_tells_whom_first(a: Book, b: Book, c: Book) -> None:
    assert joined(a, b) == joined(b, a)
    assert joined(joined(a, b), c) == joined(a, joined(b, c))
    assert joined(a, a) == a
    once = joined(a, b)
    again = merge(once, b.values())
    assert (again.changes, again.lost, again.unchanged) == ({}, (), frozenset(b))


@given(_books, _books)
def test_what_is_newer_here_is_what_the_other_needs(a: Book, b: Book) -> None:
    given_back = newer(a, b.values())
    missing = {key: one for key, one in a.items() if key not in b}
    assert b | {one.key: one for one in given_back} | missing == joined(b, a)
    assert {one.key for one in given_back} <= b.keys()


class Servers(RuleBasedStateMachine):
    """Servers that are ordered, tell one another, and are away."""

    def __init__(self) -> None:
        super().__init__()
        self.books: list[Book] = [{}, {}, {}]
        self.after: dict[str, set[str]] = {}
        """Orders that each order was given in knowledge of, by ids."""
        self.number = 0

    ids = Bundle("ids")
    who = st.integers(0, 2)

    @rule(server=who, host=st.sampled_from(["mta1", "mta2"]), ends=st.booleans())
    def give(self, server: int, host: str, ends: bool) -> None:
        book, key = self.books[server], (ZONE, host, STATE)
        known = book.get(key)
        self.number += 1
        id = f"{self.number * 7919 % 65536:032x}"  # noqa: A001
        content = None if ends else content_of(DRAINED)
        book[key] = SharedOrder(
            zone=ZONE, host=host, kind=STATE, version=next_version(known, id), node=f"ns{server}", at=NOW,
            content=content,
        )  # fmt: skip
        self.after[id] = set() if known is None else self.after[known.version.id] | {known.version.id}

    @rule(one=who, other=who)
    def tell(self, one: int, other: int) -> None:
        for key, new in merge(self.books[one], self.books[other].values()).changes.items():
            old = self.books[one].get(key)
            assert old is None or new.version.id not in self.after[old.version.id], "it had been replaced"
            self.books[one][key] = new

    @invariant()
    def all_agree_once_all_is_told(self) -> None:
        for order_ in ((0, 1, 2), (2, 0, 1)):
            found: Book = {}
            for server in order_:
                found = joined(found, self.books[server])
            for key, held in itertools.chain.from_iterable(book.items() for book in self.books):
                assert rank(found[key]) >= rank(held)
        again = joined(self.books[1], joined(self.books[2], self.books[0]))
        assert Digests(found.values()).all() == Digests(again.values()).all()


TestServers = Servers.TestCase


@pytest.mark.parametrize(
    ("winner", "lost"),
    [
        pytest.param(order(1, "b", content=None), True, id="given at the same time"),
        pytest.param(order(2, "b", content=None), False, id="given after it"),
        pytest.param(order(1, "b", content=content_of(DRAINED) | {"since": NOW}), False, id="says the same"),
        pytest.param(order(1, "a", at=NOW + 1), False, id="the same order, at another server"),
    ],
)
def test_who_loses_is_whoever_did_not_know_of_the_other(winner: SharedOrder, lost: bool) -> None:
    own = {KEY: order(1, "a")}
    found = merge(own, [winner])
    assert found.changes == {KEY: winner}
    assert found.lost == (((own[KEY], winner),) if lost else ())


@pytest.mark.parametrize(
    ("until", "other", "expected"),
    [(None, None, True), (NOW, None, False), (NOW, NOW + 1, True), (NOW, NOW + 3600, False), ("x", 3, False)],
)
def test_orders_say_the_same_if_they_end_at_about_the_same_time(
    until: Any, other: Any, expected: bool
) -> None:  # fmt: skip
    one, two = (order(content={"forced": "up", "until": end}) for end in (until, other))
    assert same(one, two) is expected


@pytest.mark.parametrize(
    "override",
    [DRAINED, ForcedState(Forced.QUARANTINED, "", "", 1.0, 2.0, 30.0), ForcedWeight(5, "", "b", 1.0)],
)
def test_an_override_becomes_an_order_and_comes_back(override: ForcedState | ForcedWeight) -> None:
    kind = STATE if isinstance(override, ForcedState) else WEIGHT
    made = first_order((ZONE, "mta1", kind), override)
    assert made == first_order((ZONE, "mta1", kind), override), "the same everywhere"
    assert override_of(made) == override


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"forced": "lame", "since": 1.0},
        {"forced": ["up"]},
        {"forced": "up", "until": "soon"},
        {"forced": {}, "reason": {"a": 1}},
    ],
)
def test_what_this_version_does_not_know_imposes_nothing(content: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        override_of(order(content=content))


@pytest.mark.parametrize(
    "more",
    [
        {"host": "mta\n1"},
        {"host": ""},
        {"zone": "OUT.example.com"},
        {"node": "\x1b[2J"},
        {"counter": MAX_TAKEN + 1},
        {"at": -1.0},
        {"content": {"reason": "x" * MAX_CONTENT}},
        {"content": {"until": float("inf")}},
        {"more": {"x": object()}},
    ],
)
def test_what_makes_no_sense_is_not_taken(more: dict[str, Any]) -> None:
    assert unfit(order()) is None
    assert unfit(order(**more)) is not None


def test_author_and_reason_are_of_whoever_gave_or_ended_it() -> None:
    assert whose(order()) == ("ann", "disk")
    assert whose(order(content=None, more={"by": "bob", "why": "new\x1b disk"})) == ("bob", "new\\x1b disk")
    assert whose(order(content=None)) == ("", "")


@pytest.mark.parametrize(
    ("content", "age", "expected"),
    [
        (None, TOMBSTONE_KEPT + 1, True),
        (None, TOMBSTONE_KEPT - 1, False),
        (content_of(DRAINED), 9 * TOMBSTONE_KEPT, False),
        ({"until": NOW - TOMBSTONE_KEPT - 1}, 2 * TOMBSTONE_KEPT, True),
        ({"until": NOW}, 2 * TOMBSTONE_KEPT, False),
    ],
)
def test_ends_are_remembered_for_a_year(content: Any, age: float, expected: bool) -> None:
    assert is_past(order(content=content, at=NOW - age), NOW) is expected


def test_a_revision_is_of_a_zone_and_of_versions_alone() -> None:
    book = _book([order(), order(host="mta2"), order(2, zone="b.example")])
    other = _book([*book.values(), order(3, zone="b.example")])
    one, two = Digests(book.values()), Digests(other.values())
    assert one.zone(ZONE) == two.zone(ZONE)
    assert one.zone("b.example") != two.zone("b.example")
    assert one.all() != two.all()
    one.change(order(2, zone="b.example"), order(3, zone="b.example"))
    assert (one.zones(), one.all()) == (two.zones(), two.all()), "by whatever way they came"
    one.change(order(3, zone="b.example"), None)
    assert list(one.zones()) == [ZONE]
    assert Digests().zone(ZONE) == one.zone("c.example")


@pytest.mark.parametrize(
    ("offset", "expected"), [(0.0, NOW), (5.0, NOW), (-3600.0, NOW + 3600), (6.0, NOW - 6)]
)
def test_the_others_time_counts_where_the_own_clock_is_far_off(offset: float, expected: float) -> None:
    assert shared_now(NOW, offset) == expected


# --- after a start --------------------------------------------------------------------------------------

ENDED = order(2, "c", content=None)
TIMED = order(content=content_of(DRAINED) | {"until": NOW + 60})
OVER = order(content=content_of(DRAINED) | {"until": NOW - 60})
LATER = order(content={"forced": "lame"})


@pytest.mark.parametrize(
    ("stored", "override", "counter", "in_force"),
    [
        pytest.param(None, DRAINED, 1, True, id="never had a version"),
        pytest.param(StoredOrder(order()), DRAINED, 1, True, id="as it is stored"),
        pytest.param(StoredOrder(ENDED), DRAINED, 3, True, id="imposed by an older version since"),
        pytest.param(StoredOrder(order(), gone=True), None, 2, False, id="ended by an older version since"),
        pytest.param(StoredOrder(TIMED, gone=True), None, 2, False, id="ended early by an older version"),
        pytest.param(StoredOrder(OVER), None, 1, True, id="its time is over"),
        pytest.param(StoredOrder(OVER, gone=True), None, 1, True, id="ended in time by an older version"),
        pytest.param(StoredOrder(order()), None, 1, True, id="lost on disk, and ended by nobody"),
        pytest.param(StoredOrder(TIMED, over=True), None, 1, True, id="its time was over by another clock"),
        pytest.param(StoredOrder(LATER), None, 1, True, id="of a later version"),
        pytest.param(StoredOrder(LATER), DRAINED, 1, True, id="of a later version, which is not known here"),
        pytest.param(StoredOrder(ENDED), None, 2, False, id="ended"),
    ],
)  # fmt: skip
def test_what_an_older_version_of_geodns_did_meanwhile_is_an_order_too(
    stored: StoredOrder | None, override: ForcedState | None, counter: int, in_force: bool
) -> None:  # fmt: skip
    kept = {} if stored is None else {KEY: stored}
    found = restored_orders(kept, {} if override is None else {KEY: override}, "ns1", NOW)
    got = found.orders[KEY]
    assert (got.version.counter, got.content is not None) == (counter, in_force)
    assert (KEY in found.changed) == (stored is None or stored.order != got)
    assert found == restored_orders(kept, {} if override is None else {KEY: override}, "ns1", NOW)


def test_a_name_that_nobody_can_have_is_no_order() -> None:
    long = (ZONE, "m" * 256, STATE)
    assert restored_orders({}, {long: DRAINED, KEY: DRAINED}, "ns1", NOW).orders.keys() == {KEY}
