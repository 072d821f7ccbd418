"""Points of hosts: what is dealt and intended, sums that merge, columns and sparklines."""

from collections import Counter

import pytest

from geodns.compiler.answers import compile_rotation
from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.control.history import Tally, step_for
from geodns.responder.table import Rotation, RotationKey
from geodns.responder.views import BUCKETS
from geodns.responder.worker_state import Counts
from geodns.storage.history_file import DAY, HOUR, MINUTE, Point
from tests.sample_zones import NAME, Worker, picking, sources, zone

TEXT = """
    hosts: {mta1: {address: 192.0.2.11, weight: 70}, mta2: {address: 192.0.2.12, weight: 20},
            mta3: {address: 192.0.2.13, weight: 10}}
    pools: {main: {hosts: [mta1, mta2, mta3], answers: 2}}
    records: {"@": {A: {pool: main}, MX: {pool: main, preference: 10}}}
"""


def test_a_whole_cycle_is_dealt_as_it_is_intended() -> None:
    worker, tally = Worker(zone(TEXT)), Tally()
    cycle = len(next(iter(worker.compiled.table.rotations.values())).parts[0].index)
    for _ in range(cycle):
        worker.ask("@")
    by_uid: dict[bytes, Rotation] = {one.uid: one for one in worker.compiled.table.rotations.values()}
    tally.add_answers(worker.state.take_counts(), by_uid.get, worker.compiled.choices)
    points = tally.close()[NAME]
    assert sum(point.picks for point in points.values()) == pytest.approx(cycle)
    for host, share in (("mta1", 0.7), ("mta2", 0.2), ("mta3", 0.1)):
        assert points[host].picks == pytest.approx(share * cycle)
        assert points[host].intended == pytest.approx(share * cycle)


@pytest.mark.parametrize("pool", ["main", "pair"])
def test_where_clients_keep_their_hosts_all_buckets_are_what_is_intended(pool: str) -> None:
    one = picking(TEXT.replace("answers: 2}", "answers: 1}, pair: {hosts: [mta1, mta2, mta3], answers: 2}"))
    compiled = compile_zones(Compiled(), sources(one), LiveSet())
    rotation = compile_rotation(
        compiled.sources[NAME], RotationKey(NAME, "A", 30, ((pool, 0),)), compiled.choices
    )
    (part,) = rotation.parts
    counts = Counts(
        queries={}, dealt={(rotation.uid, 0, at): number for at, number in Counter(part.index).items()}
    )
    tally = Tally()
    tally.add_answers(counts, {rotation.uid: rotation}.get, compiled.choices)
    points = tally.close()[NAME]
    assert sum(point.picks for point in points.values()) == pytest.approx(BUCKETS)
    for point in points.values():
        assert point.picks == pytest.approx(point.intended)


def test_what_is_intended_follows_the_choice_of_now() -> None:
    worker, tally = Worker(zone(TEXT)), Tally()
    worker.ask("@")
    counts = worker.state.take_counts()
    by_uid = {one.uid: one for one in worker.compiled.table.rotations.values()}
    tally.add_answers(counts, by_uid.get, worker.compiled.choices)
    tally.add_answers(counts, by_uid.get, {})  # the pool is gone
    nothing: dict[bytes, Rotation] = {}
    tally.add_answers(counts, nothing.get, worker.compiled.choices)  # the rotation is not known any more
    points = tally.close()[NAME]
    assert sum(point.picks for point in points.values()) == pytest.approx(2)
    assert sum(point.intended for point in points.values()) == pytest.approx(1)


def test_probes_and_states_are_gathered_by_zone_and_a_step_begins_anew() -> None:
    tally = Tally()
    tally.add_probe([(NAME, "mta1"), ("other.example", "mta1")], 0.25)
    tally.add_probe([(NAME, "mta1")], 0.75)
    tally.add_states({(NAME, "mta1"): True, (NAME, "mta2"): False})
    tally.add_states({(NAME, "mta1"): False, (NAME, "mta2"): False})
    assert tally.close() == {
        NAME: {"mta1": Point(0, 0, 2, 1.0, 2, 1), "mta2": Point(samples=2)},
        "other.example": {"mta1": Point(probes=1, rtt=0.25)},
    }
    assert tally.close() == {}


def test_time_outs_are_counted_and_are_no_latency() -> None:
    tally = Tally()
    for seconds in (0.1, None, 0.3, None):
        tally.add_probe([(NAME, "mta1")], seconds)
    point = tally.close()[NAME]["mta1"]
    assert (point.probes, round(point.rtt, 9), point.timeouts) == (2, 0.4, 2)


@pytest.mark.parametrize(
    ("seconds", "hosts", "step"),
    [
        pytest.param(DAY, 3, MINUTE, id="a day of few"),
        pytest.param(DAY, 500, 600, id="a day of many"),
        pytest.param(DAY, 4000, HOUR, id="a day of very many"),
        pytest.param(7 * DAY, 3, HOUR, id="a week"),
        pytest.param(90 * DAY, 500, DAY, id="all of many"),
        pytest.param(90 * DAY, 50_000, DAY, id="all of too many"),
    ],
)
def test_what_step_is_fine_enough(seconds: float, hosts: int, step: int) -> None:
    assert step_for(seconds, hosts) == step
