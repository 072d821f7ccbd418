"""Overrides, written out and taken up again: all of it, or one clear error."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.api.bodies import StateJson, read_body
from geodns.api.state import CHECKED_AT_ONCE, Imported, checked_state, export
from geodns.api.state import read as read_state
from geodns.control.cluster import Cluster
from geodns.control.overrides import file_weights
from geodns.errors import UsageError
from geodns.model.limits import MAX_AUTHOR, MAX_REASON
from geodns.model.state import Forced, ForcedState, ForcedWeight
from tests.control.test_orders import NOW, TEXT, cluster_of
from tests.sample_zones import NAME, zone

MTA1, MTA2 = (NAME, "mta1"), (NAME, "mta2")
ENTRY: dict[str, Any] = {
    "zone": NAME,
    "host": "mta1",
    "forced": "drained",
    "reason": "disk",
    "author": "ann",
    "since": "2026-11-23T06:59:00Z",
    "until": None,
}


def cluster() -> Cluster:
    return cluster_of(zone(TEXT))


def body(*forced: Any, weights: tuple[Any, ...] = (), **more: Any) -> dict[str, Any]:
    return {"geodns_state": 1, "forced": list(forced), "weights": list(weights)} | more


def read(given_body: Any, cluster: Cluster, now: float) -> Imported:
    return read_state(read_body(json.dumps(given_body).encode(), StateJson, "EXAMPLE"), cluster, now)


lines = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=20)
moments = st.integers(0, 3_000_000_000).map(float)
states = st.builds(ForcedState, st.sampled_from(Forced), lines, lines, moments, st.none() | st.just(NOW + 60))
heavies = st.builds(
    ForcedWeight, st.integers(0, 2**31 - 1), lines, lines, moments, st.none() | st.just(NOW + 60)
)
hosts = st.sampled_from([MTA1, MTA2, (NAME, "mta3")])


@given(st.dictionaries(hosts, states), st.dictionaries(hosts, heavies))
def test_what_is_written_is_read_as_it_was(
    forced: dict[tuple[str, str], ForcedState], weights: dict[tuple[str, str], ForcedWeight]
) -> None:
    one = cluster()
    weights = {
        host: ForcedWeight(
            weight.weight, weight.reason, weight.author, weight.since, weight.until,
            file_weights(one.zone(NAME), host[1]),
        )
        for host, weight in weights.items()
    }  # fmt: skip
    one.override(forced, weights)
    found = read(export(one, "ns1", NOW), cluster(), NOW)
    assert (found.plan.forced, found.plan.weights) == (forced, weights)
    assert (found.expired, found.unknown) == ((), ())


def test_an_export_says_whose_it_is() -> None:
    shown = export(cluster(), "ns1", NOW)
    assert shown == {
        "geodns_state": 1, "node": "ns1", "at": "2026-11-23T07:00:00Z", "forced": [], "weights": []
    }  # fmt: skip


def test_what_is_over_and_who_is_unknown_is_left_out_and_named() -> None:
    found = read(
        body(
            ENTRY | {"until": "2026-11-23T07:00:00Z"},
            ENTRY | {"host": "mta9"},
            ENTRY | {"zone": "x.example"},
            ENTRY | {"host": "MTA2", "zone": NAME.upper(), "until": "2026-11-23T08:00:01+01:00"},
        ),
        cluster(),
        NOW,
    )
    assert found.expired == ("mta1.out.example.com: its time was over at 2026-11-23T07:00:00Z",)
    assert [text.split(":")[0] for text in found.unknown] == ["mta9.out.example.com", "mta1.x.example"]
    state = found.plan.forced[MTA2]
    assert state is not None
    assert (list(found.plan.forced), state.until) == ([MTA2], NOW + 1)


HEAVY = {key: value for key, value in ENTRY.items() if key != "forced"} | {"weight": 5}


@pytest.mark.parametrize(
    ("given_body", "says"),
    [
        pytest.param([], "the body: a list of 0 is no object: write EXAMPLE", id="a list"),
        pytest.param({}, "`geodns_state`: missing: write EXAMPLE", id="nothing"),
        pytest.param(body(geodns_state=2), "`geodns_state`: 2: write 1", id="another format"),
        pytest.param(body(hosts=[]), "`hosts`: not known here", id="another key"),
        pytest.param(body() | {"forced": {}}, "`forced`: an object is no list", id="no list"),
        pytest.param(body("x"), "`forced[0]`: 'x' is no object", id="no object"),
        pytest.param(body({"zone": NAME, "forced": "up"}), "`forced[0].host`: missing", id="no host"),
        pytest.param(body(ENTRY | {"zone": 1}), "`forced[0].zone`: 1 is no text", id="no text"),
        pytest.param(body(ENTRY | {"wieght": 1}), "`forced[0].wieght`: not known here", id="unknown key"),
        pytest.param(body(ENTRY, ENTRY | {"forced": "out"}), "`forced[1].forced`: 'out': write", id="state"),
        pytest.param(
            body(ENTRY | {"forced": []}),
            "`forced[0].forced`: a list of 0: write 'drained', 'quarantined'",
            id="state of another kind",
        ),
        pytest.param(
            body(ENTRY | {"reason": "a\nb"}), "`forced[0].reason`: 'a\\nb': write one line", id="two lines"
        ),
        pytest.param(body(ENTRY | {"reason": "x" * (MAX_REASON + 1)}), "at most 500", id="long reason"),
        pytest.param(body(ENTRY | {"author": "x" * (MAX_AUTHOR + 1)}), "at most 200", id="long author"),
        pytest.param(body(ENTRY | {"since": None}), "`forced[0].since`: null is no text", id="no since"),
        pytest.param(body(ENTRY | {"since": 5}), "`forced[0].since`: 5 is no text", id="a number"),
        pytest.param(body(ENTRY | {"until": "2026-11-23T07:00:00"}), "is no time", id="no zone of time"),
        pytest.param(body(ENTRY | {"until": "9999-01-01T00:00:00Z"}), "is no time", id="too late"),
        pytest.param(
            body(weights=(HEAVY | {"weight": -1},)), "`weights[0].weight`: -1: write", id="negative"
        ),
        pytest.param(
            body(weights=(HEAVY | {"weight": True},)), "`weights[0].weight`: true is no", id="truth"
        ),
        pytest.param(
            body(weights=(HEAVY | {"weight": 2**31},)), "`weights[0].weight`: 2147483648: ", id="large"
        ),
        pytest.param(body(weights=(ENTRY,)), "`weights[0].weight`: missing", id="no weight"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(given_body: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(given_body, cluster(), NOW)
    assert says in str(caught.value)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*ENTRY, "weight", "x"]), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(json_values, json_values)
def test_no_json_raises_anything_else(forced: Any, weights: Any) -> None:
    with contextlib.suppress(UsageError):
        read({"geodns_state": 1, "forced": forced, "weights": weights}, cluster(), NOW)


@pytest.mark.parametrize("wrong", [None, {"forced": 5}, {"wieght": 1}])
def test_a_long_state_is_checked_in_parts_as_it_would_be_as_a_whole(wrong: Any) -> None:
    many = [ENTRY | {"host": f"mta{number}"} for number in range(CHECKED_AT_ONCE + 1)]
    some = [*many, ENTRY | wrong] if wrong else many
    content = json.dumps(body(*some, node="ns1", orders=[{"zone": NAME}])).encode()
    whole = None if wrong else read_body(content, StateJson, "EXAMPLE")
    assert checked_state(content) == whole
