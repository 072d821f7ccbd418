"""Updates of a Table: slices that a worker can take between two queries."""

import random
from array import array
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.answers import Source
from geodns.compiler.compile import Compiled, compile_zones, recompile_pools
from geodns.compiler.live_set import LiveSet
from geodns.responder.answer_policy import Policy
from geodns.responder.respond import respond
from geodns.responder.route_table import RouteTarget, ZoneRoutes
from geodns.responder.table import EMPTY, SLICE, NameNode, Part, Rotation, RotationKey, Table, ZoneTable
from geodns.responder.table_changes import (
    MOST_ANSWERS,
    ROUTE_STORES,
    SLICE_ANSWERS,
    TableDelta,
    TableReplica,
    deltas,
    pack,
    unpack,
)
from geodns.responder.worker_state import WorkerState
from geodns.wire.message import Answer
from tests.responder.plain_routes import rule
from tests.sample_zones import DOWN, SERIAL, UDP, live_set, sources, zone


def key(number: int) -> RotationKey:
    return RotationKey("z", "A", 30, ((f"pool{number}", 0),))


def rotation(number: int) -> Rotation:
    part = Part(f"pool{number}", (Answer(b"x", an=1),), array("I", (0,)), (("mta1",),))
    return Rotation(key(number), (part,))


def zone_table(number: int, size: int) -> ZoneTable:
    nodes = {b"\x03%03d" % node: NameNode({1: key(node)}) for node in range(size)}
    return ZoneTable(f"z{number}", b"\x01%d\x00" % number, b"soa", nodes)


POOL_OF_ZONES = [zone_table(number % 4, size) for number, size in enumerate((0, 1, 2, 3, 99, 100, 101, 250))]
POOL_OF_ROTATIONS = [rotation(number % 6) for number in range(12)]
POOL_OF_ROUTES = [
    ZoneRoutes(f"z{number % 3}", ("example.com",), tuple(rule(one) for one in range(1, length)))
    for number, length in enumerate((1, 2, 3, 4, SLICE + 1, 2 * SLICE + 9))
]
POOL_OF_TARGETS = [
    RouteTarget("z1", f"name{number % 150}", "pool", {"mta1": number}, ("mta1", "mta2"))
    for number in range(300)
]
TABLES = st.builds(
    lambda zones, rotations, policy, routes, targets: Table(
        {one.origin: one for one in zones},
        {one.key: one for one in rotations},
        policy,
        routes={one.zone: one for one in routes},
        targets={(one.zone, one.name): one for one in targets},
    ),
    st.lists(st.sampled_from(POOL_OF_ZONES), max_size=5),
    st.lists(st.sampled_from(POOL_OF_ROTATIONS), max_size=8),
    st.sampled_from([Policy(), Policy(nsid=b"ns1"), Policy(cookie_secrets=(b"s" * 16,))]),
    st.lists(st.sampled_from(POOL_OF_ROUTES), max_size=3),
    st.integers(0, 299).map(lambda first: POOL_OF_TARGETS[first::2]),
)


def same(one: Table, other: Table) -> bool:
    """Say whether two Tables have the same content, whatever their identities."""

    def plain(table: Table) -> object:
        return (
            {
                origin: (each.name, each.origin, each.negative, {**each.nodes})
                for origin, each in table.zones.items()
            },
            {each: found.uid for each, found in table.rotations.items()},
            table.policy,
            {zone: (found.zone, found.local, found.rules) for zone, found in table.routes.items()},
            {**table.targets},
        )

    return plain(one) == plain(other)


def size(delta: TableDelta) -> int:
    given = (delta.nodes, delta.put, delta.drop_zones, delta.drop)
    return sum(len(some) for some in given if some is not None)


@given(TABLES, TABLES, st.booleans())
def test_any_table_becomes_any_other(old: Table, new: Table, over_a_pipe: bool) -> None:
    replica = TableReplica(old)
    update = list(deltas(old, new, 7))
    for delta in update[:-1]:
        assert replica.take(unpack(pack(delta)) if over_a_pipe else delta) is None
        assert replica.table is old, "nothing is seen before the last slice"
    assert replica.take(update[-1]) == 7
    assert same(replica.table, new)
    assert all(size(delta) <= SLICE for delta in update)


@given(TABLES, TABLES, TABLES, st.integers(0, 10))
def test_a_restart_forgets_an_update_that_was_broken_off(
    old: Table, lost: Table, new: Table, taken: int
) -> None:
    replica = TableReplica(old)
    for delta in list(deltas(old, lost, 1))[:-1][:taken]:
        replica.take(delta)
    for delta in deltas(None, new, 2):
        replica.take(delta)
    assert same(replica.table, new)


@given(TABLES, TABLES, TABLES)
def test_updates_follow_one_another(first: Table, second: Table, third: Table) -> None:
    replica = TableReplica()
    before = EMPTY
    for number, table in enumerate((first, second, third)):
        (done,) = {replica.take(delta) for delta in deltas(before, table, number)} - {None}
        assert done == number
        before = table
    assert same(replica.table, third)


@given(TABLES, TABLES)
def test_a_table_that_was_handed_out_never_changes(first: Table, second: Table) -> None:
    replica = TableReplica()
    for delta in deltas(None, first, 1):
        replica.take(unpack(pack(delta)))
    handed_out = replica.table
    for delta in deltas(first, second, 2):
        replica.take(delta)
    assert same(handed_out, first)


@given(TABLES)
def test_nothing_but_the_number_travels_when_nothing_changed(table: Table) -> None:
    assert list(deltas(table, table, 3)) == [TableDelta(commit=3)]


def test_only_what_is_not_the_very_same_travels() -> None:
    big = zone_table(9, 5000)
    old = Table({big.origin: big}, {key(number): rotation(number) for number in range(1000)})
    flipped = rotation(5)
    new = Table(old.zones, {**old.rotations, key(5): flipped})
    assert list(deltas(old, new, 1)) == [
        TableDelta(store="rotations", put={key(5): flipped}),
        TableDelta(commit=1),
    ]


def test_workers_of_dns_can_do_without_what_routes_need() -> None:
    """Each delta is of one store, so that whoever hands them on can leave out those of routes."""
    (one,), some = POOL_OF_ROUTES[-1:], POOL_OF_TARGETS[:150]
    new = Table(
        {POOL_OF_ZONES[1].origin: POOL_OF_ZONES[1]},
        {key(1): rotation(1)},
        routes={one.zone: one},
        targets={(each.zone, each.name): each for each in some},
    )
    there, replica = TableReplica(), TableReplica()
    for old, wanted in ((EMPTY, new), (new, EMPTY), (None, new)):
        for delta in deltas(old, wanted, 1):
            there.take(delta)
            if delta.store not in ROUTE_STORES:
                replica.take(unpack(pack(delta)))
        assert same(there.table, wanted)
        assert same(replica.table, replace(wanted, routes={}, targets={}))


@pytest.mark.parametrize("size_of_zone", [0, SLICE, SLICE + 1, 10 * SLICE])
def test_what_goes_goes_in_slices_too(size_of_zone: int) -> None:
    rotations = {key(number): rotation(number) for number in range(size_of_zone)}
    big = zone_table(1, size_of_zone)
    update = list(deltas(Table({big.origin: big}, rotations), EMPTY, 1))
    assert all(size(delta) <= SLICE for delta in update)
    assert sum(len(delta.drop) for delta in update) == size_of_zone


def test_slices_of_rotations_are_cut_by_their_answers() -> None:
    """Rotations of many answers must not make a worker's queries wait because they are few."""

    def weighing(number: int, answers: int) -> Rotation:
        ready = tuple(Answer(b"%d" % one, an=1) for one in range(answers))
        index = array("I", range(answers))
        return Rotation(key(number), (Part("p", ready, index, (("mta1",),) * answers),))

    weights = [1, SLICE_ANSWERS, *([100] * 7), 4 * SLICE_ANSWERS, *([1] * 250)]
    new = Table({}, {key(number): weighing(number, weight) for number, weight in enumerate(weights)})
    update = [delta.put for delta in deltas(EMPTY, new, 1) if delta.put]
    assert [one for some in update for one in some] == list(new.rotations)
    for some in update:
        answers = [len(one.parts[0].answers) for one in some.values()]
        assert len(answers) == 1 or sum(answers) <= SLICE_ANSWERS
        assert len(answers) <= SLICE
    assert len(update) == 10, "1; 250; 200 thrice; 100; 1000; then 100, 100 and 50 small ones"


def test_a_rotation_of_very_many_answers_comes_in_pieces() -> None:
    """As where a pool of many hosts picks by client, and answers name several."""

    def part(pool: str, answers: int) -> Part:
        ready = tuple(Answer(b"%s%d" % (pool.encode(), one), an=1) for one in range(answers))
        sets = tuple((f"{pool}{one}",) for one in range(answers))
        return Part(pool, ready, array("I", range(answers)), sets, b"s" * 16)

    large = Rotation(key(0), (part("p", 2 * MOST_ANSWERS - 10), part("q", 30)), note="late")
    other = Rotation(key(1), (part("p", MOST_ANSWERS + 1),))
    new = Table({}, {large.key: large, other.key: other, key(2): rotation(2)})
    update = list(deltas(EMPTY, new, 1))
    pieces = [len(delta.piece) for delta in update if delta.piece]
    assert pieces == [*[SLICE_ANSWERS] * 8, 20, *[SLICE_ANSWERS] * 4, 1]
    replica = TableReplica()
    for number, delta in enumerate(update):
        put = delta.put or {}
        assert sum(len(part.answers) for one in put.values() for part in one.parts) <= 1
        if number == 1:
            for broken_off in update[:2]:
                replica.take(unpack(pack(broken_off)))
            replica.take(TableDelta(restart=True))
            replica.take(unpack(pack(update[0])))
        replica.take(unpack(pack(delta)))
    for one in (large, other):
        found = replica.table.rotations[one.key]
        assert found.parts is not one.parts
        assert vars(found)["uid"] == one.uid
        assert repr(found) == repr(one)
        assert [(part.pool, part.answers, part.index, part.sets, part.seed) for part in found.parts] == [
            (part.pool, part.answers, part.index, part.sets, part.seed) for part in one.parts
        ]
        assert (found.note, found.servfail) == (one.note, one.servfail)


def test_very_many_rules_come_in_pieces_and_are_ready_to_be_looked_up() -> None:
    rules = tuple(rule(number, recipient=(f"*@c{number}.example",)) for number in range(2 * SLICE + 1))
    large = ZoneRoutes("z1", ("example.com",), rules)
    small = ZoneRoutes("z2", (), rules[:SLICE])
    assert small.index is not large.index  # the compiler makes it
    update = list(deltas(EMPTY, Table(routes={"z1": large, "z2": small}), 1))
    assert [len(delta.piece) for delta in update if delta.piece] == [SLICE, SLICE, 1]
    assert {delta.store for delta in update[:-1]} == {"routes"}
    replica = TableReplica()
    for delta in update[:2]:
        replica.take(delta)
    for delta in deltas(None, Table(routes={"z1": large, "z2": small}), 2):
        replica.take(unpack(pack(delta)))
    for one in (large, small):
        found = replica.table.routes[one.zone]
        assert (found.local, found.rules, vars(found)["index"]) == (one.local, one.rules, one.index)
    assert large.rules == rules


def _answers(table: Table) -> Iterator[bytes | None]:
    state = WorkerState(random.Random(3))
    for owner in (b"", b"\x02in", b"\x04mta1", b"\x03sub", b"\x01x", b"\x03old"):
        for rtype in (1, 2, 6, 15, 16, 28, 255):
            query = b"\0\1\1\0\0\1\0\0\0\0\0\0" + owner + b"\x03out\x07example\x03com\0\0%c\0\1" % rtype
            yield respond(table, query, UDP, 0.0, state)


def test_a_table_from_a_pipe_answers_the_same_bytes() -> None:
    one = zone("""
        hosts: {mta1: {address: [192.0.2.1, "2001:db8::1"]}, mta2: 192.0.2.2}
        records:
          "@": {A: {pool: main}, MX: {pool: main, preference: 10}}
          in: {MX: {pool: main, preference: 5}}
          sub: {NS: ns.sub}
          ns.sub: {A: 192.0.2.99}
          "*.old": {CNAME: in}
    """)
    first = compile_zones(Compiled(), sources(one), LiveSet())
    second = recompile_pools(first, [(one.name, "main")], live_set(one, {"mta1": DOWN}))
    edited = zone("hosts: {mta1: 192.0.2.7}")
    third = compile_zones(second, {edited.name: Source(edited, SERIAL)}, LiveSet())
    replica, before = TableReplica(), None
    for number, compiled in enumerate((first, second, third)):
        for delta in deltas(before, compiled.table, number):
            replica.take(unpack(pack(delta)))
        assert list(_answers(replica.table)) == list(_answers(compiled.table))
        before = compiled.table
