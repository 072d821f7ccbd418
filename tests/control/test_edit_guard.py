"""Edits that would take much away, and whether they wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.control.edit_guard import USED_FOR, large_losses, weight_lost
from tests.sample_zones import NAME, zone

NOW = 1_000_000.0
HOSTS = "hosts: {a: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3, d: 192.0.2.4, e: 192.0.2.5}"
RECORDS = 'records: {"@": {pool: main}, bulk: {pool: main}, txt: {TXT: x}, "*.w": {A: 192.0.2.9}}'


def text(main: str, records: str = RECORDS, hosts: str = HOSTS) -> str:
    return f"{hosts}\npools: {{main: {{hosts: {main}}}}}\n{records}"


BEFORE = text("[a, b, c, d, e]")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(BEFORE, [], id="nothing"),
        pytest.param(text("[a, b, c, d]"), [], id="one of five"),
        pytest.param(
            text("[a, b, c]"), ["pool main would have 40% of its weight out (d, e)"], id="two of five"
        ),
        pytest.param(
            text("{a: 1, b: 1, c: 1, d: 0, e: 0}"), ["would have 40% of its weight out"], id="weights of 0"
        ),
        pytest.param(
            text("[a]", hosts="hosts: {a: 192.0.2.1}"),
            ["pool main would have 80% of its weight out"],
            id="hosts too",
        ),
        pytest.param(
            f"{HOSTS}\npools: {{other: {{hosts: [a]}}}}\nrecords: {{'@': {{pool: other}}}}",
            [],
            id="the pool is gone, its names are not",
        ),
    ],
)
def test_hosts_of_a_pool(after: str, expected: list[str]) -> None:
    found = large_losses(zone(BEFORE), zone(after), {}, NOW)
    assert len(found) == len(expected)
    assert all(part in one for part, one in zip(expected, found, strict=True))


def test_one_host_may_always_go_while_another_stays() -> None:
    two, one = text("[a, b]"), text("[a]")
    assert large_losses(zone(two), zone(one), {}, NOW) == ()
    only, other = text("[a]"), text("[b]")
    assert large_losses(zone(only), zone(other), {}, NOW) == ()


def test_what_is_out_already_counts() -> None:
    after = text("[a, b, c, d]")
    (why,) = large_losses(zone(BEFORE), zone(after), {}, NOW, ["a"])
    assert why == "pool main would have 40% of its weight out (a, e)"
    assert large_losses(zone(BEFORE), zone(after), {}, NOW, ["e"]) == (), "it was out"


WEIGHTS = {"a": 50, "b": 30, "c": 20}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(WEIGHTS, WEIGHTS, None, id="nothing"),
        pytest.param(WEIGHTS, {"b": 30, "c": 20}, None, id="one alone, though it is half"),
        pytest.param({"a": 50, "b": 30}, {"a": 50}, "would have 50% of its weight out (b, c)", id="one more"),
        pytest.param({"a": 50, "b": 30}, {"a": 50, "b": 20}, None, id="30 % is allowed"),
        pytest.param(
            WEIGHTS, {"a": 5, "b": 3, "c": 20}, "would have 72% of its weight out (a, b)", id="lower weights"
        ),
        pytest.param({"c": 20}, {"a": 50, "c": 20}, None, id="one comes back"),
        pytest.param({"c": 20}, {"c": 20}, None, id="much is out, and no more goes"),
    ],
)
def test_weight_lost(before: dict[str, int], after: dict[str, int], expected: str | None) -> None:
    assert weight_lost(WEIGHTS, before, after) == expected


@pytest.mark.parametrize(
    ("last_queried", "expected"),
    [
        pytest.param({}, None, id="nobody asked"),
        pytest.param(
            {f"bulk.{NAME}.": NOW - 60}, "1 name that was asked for within a day would be gone", id="lately"
        ),
        pytest.param({f"bulk.{NAME}.": NOW - USED_FOR - 1}, None, id="long ago"),
        pytest.param({f"other.{NAME}.": NOW}, None, id="there was no such name"),
        pytest.param({f"x.y.w.{NAME}.": NOW}, f"(*.w.{NAME})", id="by a wildcard"),
        pytest.param(
            {f"bulk.{NAME}.": NOW, f"txt.{NAME}.": NOW}, "2 names that were asked for within a day", id="two"
        ),
        pytest.param({f"a.{NAME}.": NOW}, None, id="a host that leaves answers on for its own name"),
        pytest.param({f"{NAME}.": NOW}, None, id="a name that stays"),
    ],
)
def test_names_that_were_queried(last_queried: dict[str, float], expected: str | None) -> None:
    after = text("[b, c, d, e]", 'records: {"@": {pool: main}}', HOSTS.replace("a: 192.0.2.1, ", ""))
    found = large_losses(zone(BEFORE), zone(after), last_queried, NOW)
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]


def test_a_name_that_a_wildcard_answers_from_now_on_is_not_gone() -> None:
    after = text("[a, b, c, d, e]", 'records: {"@": {pool: main}, "*": {pool: main}}')
    assert large_losses(zone(BEFORE), zone(after), {f"bulk.{NAME}.": NOW}, NOW) == ()


def test_a_whole_zone_that_is_in_use() -> None:
    assert large_losses(zone(BEFORE), None, {}, NOW) == ()
    (found,) = large_losses(zone(BEFORE), None, {f"{NAME}.": NOW, f"a.{NAME}.": NOW}, NOW)
    assert "2 names that were asked for" in found


@given(st.integers(1, 12), st.data())
def test_the_rule_for_any_pool(size: int, data: st.DataObject) -> None:
    names = [f"h{number}" for number in range(size)]
    left = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    hosts = "hosts: {" + ", ".join(f"{name}: 192.0.2.{at + 1}" for at, name in enumerate(names)) + "}"
    before, after = (text(f"[{', '.join(some)}]", hosts=hosts) for some in (names, left))
    gone = size - len(left)
    waits = gone > 1 and gone / size > 0.3
    assert bool(large_losses(zone(before), zone(after), {}, NOW)) == waits
