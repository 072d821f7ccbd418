"""What of control's frames goes to which workers, and what newborn ones get."""

import time
from dataclasses import replace

import pytest

from geodns.responder.route_table import Allowance, KnownProvider, RouteNews
from geodns.responder.table import EMPTY, Table
from geodns.responder.table_changes import TableReplica, deltas, pack
from geodns.serve.frames import LENGTH, pack_news, unpack_change
from geodns.serve.table_relay import TableRelay
from tests.integration.serving import KEY, ORIGIN, rotation, zone
from tests.serve.routing import SIMPLE, rule, table


def whole(number: int, routes: Table = SIMPLE) -> Table:
    return replace(routes, zones={ORIGIN: zone(0)}, rotations={KEY: rotation(number)})


def sent(before: Table | None, after: Table, number: int) -> list[bytes]:
    return [pack(one) for one in deltas(before, after, number)]


def applied(frames: bytes, born: Table = EMPTY) -> tuple[Table, list[int]]:
    """The Table that a worker has after some frames, and the numbers that it acknowledges."""
    replica, numbers = TableReplica(born), []
    while frames:
        end = LENGTH + int.from_bytes(frames[:LENGTH], "big")
        change = unpack_change(frames[LENGTH:end])
        assert not isinstance(change, RouteNews)
        number = replica.take(change)
        numbers += [] if number is None else [number]
        frames = frames[end:]
    return replica.table, numbers


def relayed(relay: TableRelay, payloads: list[bytes]) -> tuple[bytes, bytes]:
    taken = [relay.take(one) for one in payloads]
    return b"".join(dns for dns, _ in taken), b"".join(routes for _, routes in taken)


def test_each_gets_what_it_needs_and_all_acknowledge() -> None:
    relay = TableRelay()
    first, second = whole(1), whole(2, table(rule(1, "bulk")))
    dns, routes = relayed(relay, sent(None, first, 1) + sent(first, second, 2))
    for_dns, numbers = applied(dns)
    assert numbers == [1, 2]
    assert for_dns.rotations[KEY].uid == rotation(2).uid
    assert (for_dns.routes, for_dns.targets) == ({}, {})
    for_routes, numbers = applied(routes)
    assert numbers == [1, 2]
    assert {zone: one.rules for zone, one in for_routes.routes.items()} == {
        zone: one.rules for zone, one in second.routes.items()
    }
    assert for_routes.targets == second.targets
    assert (for_routes.zones, for_routes.rotations) == ({}, {})
    assert relay.number == 2


@pytest.mark.parametrize("routes", [False, True], ids=["DNS", "routes"])
def test_whoever_is_born_in_the_middle_of_an_update_gets_the_rest(*, routes: bool) -> None:
    first, second = whole(1), whole(2, table(rule(1, "bulk")))
    payloads = sent(first, second, 2)
    for cut in range(len(payloads) + 1):
        relay = TableRelay()
        relayed(relay, sent(None, first, 1))
        relayed(relay, payloads[:cut])
        born, since = relay.table(routes=routes), relay.since(routes=routes)
        rest = relayed(relay, payloads[cut:])[routes]
        found, numbers = applied(since + rest, born)
        assert numbers == ([] if cut == len(payloads) else [2])
        assert bool(found.zones) != routes
        rules = {one.rules for one in found.routes.values()}
        assert rules == ({one.rules for one in second.routes.values()} if routes else set())


@pytest.mark.parametrize("routes", [False, True], ids=["DNS", "routes"])
def test_a_new_control_process_starts_afresh(*, routes: bool) -> None:
    """The one before died in the middle of an update."""
    first, second, third = whole(1), whole(2, table(rule(1, "bulk"))), whole(3, table(rule(1, "fast")))
    payloads = sent(first, second, 2)
    for cut in range(len(payloads)):
        relay = TableRelay()
        relayed(relay, sent(None, first, 1))
        before = relay.table(routes=routes)
        half = relayed(relay, payloads[:cut])[routes]
        anew = relayed(relay, sent(None, third, 3))[routes]
        for start, frames in (
            (before, half + anew),
            (relay.table(routes=routes), relay.since(routes=routes)),
        ):
            found, _ = applied(frames, start)
            assert {one.rules for one in found.routes.values()} == (
                {one.rules for one in third.routes.values()} if routes else set()
            )


def test_news_goes_to_the_routes_worker_and_providers_to_its_successors() -> None:
    relay = TableRelay()
    now = time.time()
    news = RouteNews(
        {"shop.example": KnownProvider("google", now + 60, now + 60)}, {("z", "h"): Allowance({}, 1.0)}
    )
    frame = pack_news(news)
    assert relay.take(frame[LENGTH:]) == (b"", frame)
    known = relay.providers.get("shop.example", now)
    assert known is not None
    assert known.provider == "google"
    assert relay.since(routes=True) == b"", "what hosts may be dealt is for who counted what it dealt"
