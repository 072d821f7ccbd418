"""Buckets of clients: a change moves what it must, shares are near the weights, all is fixed for ever."""

import hashlib
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.compiler.affinity import SEED, address_scores, by_client, ranked, scores_of
from geodns.compiler.choice import shares
from geodns.compiler.compile import Compiled, compile_zones, recompile_pools
from geodns.compiler.dealt import Bounded, Dealt
from geodns.compiler.live_set import LiveSet
from geodns.model.state import Forced
from geodns.responder.table import Part
from geodns.responder.views import BUCKETS, hash_seed
from tests.sample_zones import NAME, picking, sources

# Each drawn pool is 4096 buckets: few of them try many.
FEW = settings(max_examples=max(10, settings().max_examples // 3))
WEIGHTS = st.builds(Fraction, st.integers(1, 1000), st.integers(1, 50))
POOLS = st.dictionaries(st.sampled_from([f"mta{number}" for number in range(40)]), WEIGHTS, min_size=1)
LIMITS = st.none() | st.integers(0, BUCKETS)


def rows(
    pool: Mapping[str, Fraction], size: int = 1, limits: Mapping[str, int | None] | None = None
) -> list[tuple[str, ...]]:
    """Return the names of each bucket's hosts."""
    hosts = list(pool)
    found = ranked(hosts, list(map(float, pool.values())), [(limits or {}).get(host) for host in hosts], size)
    return [tuple(hosts[at] for at in row) for row in found]


def plainly(pool: Mapping[str, Fraction], size: int, limits: Mapping[str, int | None]) -> list[list[str]]:
    """Return the same from one sorted list of all pairs."""
    pairs = sorted(
        (score / float(weight), host, bucket)
        for host, weight in pool.items()
        for score, bucket in zip(*scores_of(host), strict=True)
    )
    found: list[list[str]] = [[] for _ in range(BUCKETS)]
    taken = Counter[str]()
    for _, host, bucket in pairs:
        limit = limits.get(host)
        if len(found[bucket]) < size and (limit is None or taken[host] < limit):
            found[bucket].append(host)
            taken[host] += 1
    return found


def without(names: Sequence[str], host: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != host)


# --- what never changes -----------------------------------------------------------------------------------


def test_scores_are_what_they_always_were() -> None:
    """Were one of these another, clients would lose their hosts with an upgrade, and servers would differ."""
    scores, buckets = scores_of("mta1")
    nearest = [score.hex() for score in scores[:3]]
    assert nearest == ["0x1.1926980000000p-12", "0x1.6f07ee0000000p-12", "0x1.7b296e0000000p-12"]
    assert list(buckets[:4]) == [2395, 739, 1286, 3109]
    assert list(address_scores(b"\xc0\x00\x02\x01")[:4]) == [8812, 26132, 56856, 23243]
    pool = {"mta1": Fraction(50), "mta2": Fraction(30), "mta3": Fraction(20)}
    assert Counter(row[0] for row in rows(pool)) == {"mta1": 2076, "mta2": 1184, "mta3": 836}
    first = ["".join(host[-1] for host in row) for row in rows(pool, 3)[:8]]
    assert first == ["123", "213", "132", "321", "231", "231", "123", "213"]
    assert SEED == hash_seed("affinity", 0) == b"\0\0\0\0\0\0\0\0affinity"


def test_another_process_finds_the_same() -> None:
    hosts, weights = ["mta1", "mta2", "mx-ä"], [50.0, 20 / 3, 1 / 7]
    told = f"ranked({hosts}, {weights}, [None] * 3, 3), ranked({hosts}, {weights}, [1000, None, 10], 1)"
    done = subprocess.run(
        [sys.executable, "-c", f"from geodns.compiler.affinity import ranked; print(({told}))"],
        env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    found = ranked(hosts, weights, [None] * 3, 3), ranked(hosts, weights, [1000, None, 10], 1)
    assert done.stdout.strip() == repr(found)


def test_scores_are_exponential() -> None:
    """Each is -ln of the hash of its bucket, but for the lines between the points of the logarithm."""
    for host in ("mta1", "b", "x" * 63):
        scores, buckets = scores_of(host)
        drawn = hashlib.shake_128(host.encode()).digest(8 * BUCKETS)
        assert sorted(buckets) == list(range(BUCKETS))
        assert list(scores) == sorted(scores)
        for score, bucket in zip(scores, buckets, strict=True):
            uniform = int.from_bytes(drawn[8 * bucket : 8 * bucket + 8], "little") / 2**64
            assert score == pytest.approx(-math.log(uniform), rel=1 / 2000)


@pytest.mark.parametrize("number", [0, 1, 2**40, 2**59 + 12345])
def test_the_smallest_hashes_have_scores(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = number.to_bytes(8, "little") + b"\xff" * 8 * (BUCKETS - 1)
    monkeypatch.setattr("geodns.compiler.affinity.hashlib.shake_128", lambda _: _Digest(drawn))
    scores, buckets = scores_of.__wrapped__("anything")
    assert buckets[-1] == 0
    assert scores[-1] == pytest.approx(-math.log(max(number, 1) / 2**64), rel=1 / 2000)
    assert scores[0] == pytest.approx(0, abs=1e-12)


class _Digest:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def digest(self, length: int) -> bytes:
        assert length == len(self._data)
        return self._data


# --- who gets which bucket --------------------------------------------------------------------------------


@FEW
@given(POOLS, st.integers(1, 4), st.data())
def test_buckets_are_dealt_as_from_one_sorted_list(
    pool: dict[str, Fraction], size: int, data: st.DataObject
) -> None:
    limits = {host: data.draw(LIMITS) for host in pool} if size == 1 else {}
    found = rows(pool, size, limits)
    assert [list(row) for row in found] == plainly(pool, size, limits)
    swapped = dict(reversed(pool.items()))
    assert rows(swapped, size, limits) == found, "whatever the order in the file"


@FEW
@given(POOLS.filter(lambda pool: len(pool) > 1), st.integers(1, 4), st.data())
def test_a_death_moves_only_its_own_buckets(
    pool: dict[str, Fraction], size: int, data: st.DataObject
) -> None:
    """And a birth, which is the same backwards."""
    dead = data.draw(st.sampled_from(sorted(pool)))
    before, after = rows(pool, size), rows({host: pool[host] for host in pool if host != dead}, size)
    for old, new in zip(before, after, strict=True):
        left = without(old, dead)
        assert new[: len(left)] == left
        assert dead in old or new == old


@FEW
@given(POOLS, st.integers(1, 4), WEIGHTS, st.data())
def test_another_weight_moves_buckets_to_or_from_that_host_alone(
    pool: dict[str, Fraction], size: int, weight: Fraction, data: st.DataObject
) -> None:
    host = data.draw(st.sampled_from(sorted(pool)))
    before, after = rows(pool, size), rows({**pool, host: weight}, size)
    led_before, led_after = (
        {at for at, row in enumerate(found) if row[0] == host} for found in (before, after)
    )
    assert led_before <= led_after if weight >= pool[host] else led_after <= led_before
    for at, (old, new) in enumerate(zip(before, after, strict=True)):
        assert old[0] == new[0] or at in led_before ^ led_after
        kept = min(len(without(old, host)), len(without(new, host)))
        assert without(old, host)[:kept] == without(new, host)[:kept], "the others keep their order"


@FEW
@given(POOLS.filter(lambda pool: len(pool) > 1), st.integers(0, BUCKETS), st.integers(0, BUCKETS), st.data())
def test_a_limit_that_moves_moves_as_many_buckets(
    pool: dict[str, Fraction], one: int, other: int, data: st.DataObject
) -> None:
    host = data.draw(st.sampled_from(sorted(pool)))
    low, high = (rows(pool, 1, {host: limit}) for limit in sorted((one, other)))
    gained = {at for at, (few, many) in enumerate(zip(low, high, strict=True)) if few != many}
    assert all(high[at] == (host,) for at in gained)
    assert len(gained) <= abs(one - other)


def spread(share: float) -> float:
    """Return how far a host's buckets may be from its share: they are drawn one by one.

    Bernstein's inequality for a binomial count, at one in a thousand million.
    """
    logarithm, variance = math.log(2e9), BUCKETS * share * (1 - share)
    return logarithm / 3 + math.sqrt(logarithm**2 / 9 + 2 * logarithm * variance)


@given(st.dictionaries(st.text("abcdefgh0123-", min_size=1, max_size=20), WEIGHTS, min_size=1, max_size=30))
def test_shares_are_near_the_weights(pool: dict[str, Fraction]) -> None:
    total = sum(pool.values())
    led = Counter(row[0] for row in rows(pool))
    for host, weight in pool.items():
        share = float(weight / total)
        assert abs(led[host] - BUCKETS * share) <= spread(share) + BUCKETS * share / 1000


# --- in the table -----------------------------------------------------------------------------------------

TEXT = """
    hosts:
      a: {address: [192.0.2.1, "2001:db8::1"], weight: 5}
      b: {address: [192.0.2.2, 192.0.2.12, 192.0.2.22], weight: 3}
      c: {address: [192.0.2.3, "2001:db8::3"], weight: 2}
      d: {address: [192.0.2.4, 192.0.2.14], weight: 3}
    pools:
      main: {hosts: [a, b, c, d], answers: 1}
      pair: {hosts: [a, b, c, d], answers: 2}
      some: {hosts: [a, b], answers: 1}
    records:
      "@":  {pool: main, MX: {pool: main, preference: 10}, SRV: {pool: main, port: 587, priority: 0}}
      two:  {pool: pair}
      each: {MX: [{pool: some, preference: 10}, {pool: main, preference: 10}]}
"""


@pytest.fixture(scope="module")
def table() -> Compiled:
    return compile_zones(Compiled(), sources(picking(TEXT)), LiveSet())


def parts(compiled: Compiled, rtype: str, pool: str = "main", tiers: int = 1) -> tuple[Part, ...]:
    (found,) = (
        rotation.parts
        for key, rotation in compiled.table.rotations.items()
        if key.type == rtype and key.tiers[-1][0] == pool and len(key.tiers) == tiers
    )
    return found


@pytest.mark.parametrize(("rtype", "pool"), [("A", "main"), ("AAAA", "main"), ("MX", "main"), ("A", "pair")])
def test_a_part_has_an_answer_for_each_bucket(table: Compiled, rtype: str, pool: str) -> None:
    (part,) = parts(table, rtype, pool)
    deal = table.choices[NAME, pool].of(rtype)
    assert part.seed == SEED
    assert len(part.index) == BUCKETS
    dealt = [part.sets[at] for at in part.index]
    assert dealt == [tuple(deal.dealt[host].host for host in row) for row in deal.rows]
    assert {len(hosts) for hosts in dealt} == {2 if pool == "pair" else 1}
    led = Counter(hosts[0] for hosts in dealt)
    assert shares(deal.dealt) == {host: Fraction(led[host], BUCKETS) for host in deal.hosts}


def test_a_host_has_the_same_buckets_in_each_type(table: Compiled) -> None:
    (a,), (mx,) = parts(table, "A"), parts(table, "MX")
    assert [a.sets[at] for at in a.index] == [mx.sets[at] for at in mx.index]


def test_srv_has_weights_and_no_buckets(table: Compiled) -> None:
    """Its clients choose by what stands in it, so that it stays exact and the same for all."""
    (part,) = parts(table, "SRV")
    assert (part.seed, len(part.answers)) == (b"", 1)
    assert [float(share) for share in shares(table.choices[NAME, "main"].srv.dealt).values()] == [
        pytest.approx(one / 13) for one in (5, 3, 2, 3)
    ]


def lent(part: Part) -> list[bytes]:
    """Return the address that each bucket gets."""
    return [part.answers[at].body[-4:] for at in part.index]


def test_a_bucket_keeps_its_address_while_that_lives(table: Compiled) -> None:
    (part,) = parts(table, "A")
    before = lent(part)
    counts = Counter(one for one in before if one[3] in {2, 12, 22})
    assert len(counts) == 3
    for number in counts.values():
        assert abs(number - sum(counts.values()) / 3) <= spread(1 / 3)
    fewer = picking(TEXT.replace(" 192.0.2.12,", ""))
    (part,) = parts(compile_zones(Compiled(), sources(fewer), LiveSet()), "A")
    for old, new in zip(before, lent(part), strict=True):
        assert new == old or (old[3] == 12 and new[3] in {2, 22})


def test_what_two_tiers_share_is_dealt_by_the_first(table: Compiled) -> None:
    first, second = parts(table, "MX", "main", 2)
    assert {host for hosts in first.sets for host in hosts} == {"a", "b"}
    assert {host for hosts in second.sets for host in hosts} == {"c", "d"}
    assert (second.seed, len(second.index)) == (SEED, BUCKETS)


def test_a_flip_moves_the_dead_hosts_clients_alone_and_brings_them_back(table: Compiled) -> None:
    pools = [(NAME, name) for name in ("main", "pair", "some")]
    down = recompile_pools(table, pools, LiveSet(forced={(NAME, "a"): Forced.DRAINED}))
    for rtype in ("A", "MX"):
        (before,), (after,) = parts(table, rtype), parts(down, rtype)
        for old, new in zip(before.index, after.index, strict=True):
            hosts, others = before.sets[old], after.sets[new]
            assert hosts == ("a",) or (
                hosts == others and before.answers[old].body == after.answers[new].body
            )
    back = recompile_pools(down, pools, LiveSet())
    for key, rotation in back.table.rotations.items():
        assert rotation.uid == table.table.rotations[key].uid


def test_what_no_host_may_take_is_dealt_in_turn() -> None:
    """Ceilings that leave a part of the buckets, but none of a cycle: nobody has a host then."""
    within = Bounded(tuple(Dealt(host, (), 1, units=one) for host, one in (("a", 1), ("b", 1))))
    assert by_client(within, {"a": Fraction(1, 4), "b": Fraction(1, 4)}, 1) is within
    found = by_client(within, {"a": Fraction(1, 4), "b": Fraction(3, 4)}, 1)
    assert [entry.units for entry in found.dealt] == [BUCKETS // 4, BUCKETS * 3 // 4]


def test_a_host_too_light_for_a_bucket_is_not_dealt() -> None:
    one = picking("""
        hosts: {a: {address: 192.0.2.1, weight: 1000000}, b: {address: 192.0.2.2, weight: 1}}
        pools: {main: {hosts: [a, b], answers: 1}, pair: {hosts: [a, b], answers: 2}}
        records: {"@": {pool: main}, two: {pool: pair}}
    """)
    compiled = compile_zones(Compiled(), sources(one), LiveSet())
    assert compiled.choices[NAME, "main"].hosts == ("a",)
    assert shares(compiled.choices[NAME, "pair"].of("A").dealt) == {"a": 1, "b": 0}
