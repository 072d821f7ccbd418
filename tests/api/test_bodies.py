"""Request bodies: what they come to, and one line of everything that is wrong with one."""

import json
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.api.bodies import (
    COUNTED,
    FOR,
    MAX_HOSTS,
    MOST,
    HostOrderBody,
    LoadBody,
    OrderBody,
    QueryLogWish,
    ReloadBody,
    StateJson,
    order_of,
    query_log_of,
    read_body,
)
from geodns.config.answer_keys import MAX_ITEMS
from geodns.control.orders import Order, Verb
from geodns.errors import UsageError
from geodns.model.limits import MAX_REASON, MAX_WEIGHT
from geodns.responder.answer_policy import QueryLog
from geodns.wire.names import name_to_wire

NOW = 5000.0
MANY = {"verb": "drain", "hosts": ["mta1"]}


def read(kind: Any, body: Any) -> Any:
    return read_body(body if isinstance(body, bytes) else json.dumps(body).encode(), kind, "EXAMPLE")


def error_of(kind: Any, body: Any) -> str:
    with pytest.raises(UsageError) as caught:
        read(kind, body)
    return str(caught.value)


# --- any body -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [OrderBody, HostOrderBody, LoadBody, QueryLogWish, ReloadBody, StateJson])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(
            b"reason=x", "the body: no JSON (expected value at line 1 column 1): write", id="no JSON"
        ),
        pytest.param(b"\xff\xfe\x00", "the body: no JSON", id="no text"),
        pytest.param(b'{"\xff": 1}', "the body: no JSON", id="no UTF-8"),
        pytest.param(b'{"\\ud800": 1}', "the body: no JSON", id="half a surrogate"),
        pytest.param(b"[" * 60_000, "the body: no JSON", id="nested without end"),
        pytest.param(b'{"value": %b}' % (b"1" * 9_000), "the body: no JSON", id="a number without end"),
        pytest.param(b"[]", "the body: a list of 0 is no object: write EXAMPLE", id="a list"),
        pytest.param(b'"x"', "the body: 'x' is no object: write EXAMPLE", id="a text"),
        pytest.param(b"null", "the body: null is no object: write EXAMPLE", id="null"),
        pytest.param(b'{"wieght": 1}', "`wieght`: not known here", id="unknown key"),
    ],
)
def test_what_is_no_body_at_all(kind: Any, body: bytes, says: str) -> None:
    assert says in error_of(kind, body)


@pytest.mark.parametrize("content", [b"", b" \n", b"{}"])
def test_a_body_that_is_missing_is_an_empty_object(content: bytes) -> None:
    assert read(HostOrderBody, content) == HostOrderBody()
    assert read(ReloadBody, content) == ReloadBody()
    assert error_of(LoadBody, content) == "`value`: missing: write EXAMPLE"


def test_all_that_is_wrong_is_told_in_one_line() -> None:
    body = {"hosts": [5, ""], "reason": "a\nb", "weight": 1.5, "for": "2", "yes": 1, "colour": "red"}
    assert error_of(OrderBody, body) == (
        r"`reason`: 'a\nb': write one line that can be printed; `for`: '2' has no unit: write 2h or 2m; "
        "`weight`: 1.5 is no whole number: write one; `yes`: 1 is neither true nor false: write one of them; "
        "`verb`: missing; `hosts[0]`: 5 is no text: write one; `hosts[1]`: '': write 1 or more characters; "
        "`colour`: not known here (known: reason, for, weight, badness, dry_run, yes, id, revision, "
        "verb, hosts, zone)"
        ": write EXAMPLE"
    )


def test_of_very_many_problems_the_first_are_told() -> None:
    says = error_of(ReloadBody, {f"key{number}": 1 for number in range(MOST + 2)})
    assert says.count("not known here") == MOST
    assert says.endswith("; and 2 more (known: yes): write EXAMPLE")


def test_problems_without_number_are_only_counted() -> None:
    body = {f"key{number}": 1 for number in range(COUNTED + 1)}
    assert error_of(ReloadBody, body) == f"the body: {COUNTED + 1} problems: write EXAMPLE"


def test_of_many_wrong_entries_the_first_is_told() -> None:
    says = error_of(StateJson, {"geodns_state": 1, "forced": [{}] * 1_000})
    assert "`forced[0].zone`: missing; " in says
    assert "forced[1]" not in says


@pytest.mark.parametrize("body", [{"for": "9999999w"}, {"weight": -1}, {"yes": 1}, {"reason": 5}])
def test_advice_is_given_once(body: Any) -> None:
    assert error_of(HostOrderBody, body).count("write") <= 1


@pytest.mark.parametrize("given", [5, None, [], "rome"])
def test_whatever_stands_where_a_state_comes_from_is_taken(given: Any) -> None:
    assert read(StateJson, {"geodns_state": 1, "node": given, "at": given})["node"] == given


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["verb", "hosts", "for", "weight", "on", "sample", "zones", "value", "forced", "x"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_json_raises_anything_else(body: Any) -> None:
    for kind in (OrderBody, HostOrderBody, LoadBody, QueryLogWish, ReloadBody, StateJson):
        with suppress(UsageError):
            read(kind, body)


# --- orders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "body", "expected"),
    [
        (Verb.DRAIN, {"reason": "disk", "for": "2h"}, Order(Verb.DRAIN, "disk", "ann", 7200.0)),
        (Verb.DRAIN, {"for": 90}, Order(Verb.DRAIN, "", "ann", 90.0)),
        (Verb.UP, {"for": None, "weight": None}, Order(Verb.UP, "", "ann")),
        (Verb.WEIGHT, {"weight": MAX_WEIGHT}, Order(Verb.WEIGHT, "", "ann", None, MAX_WEIGHT)),
        (Verb.QUARANTINE, {"badness": 12}, Order(Verb.QUARANTINE, "", "ann", None, None, 12.0)),
        (Verb.CLEAR, {}, Order(Verb.CLEAR, "", "ann")),
    ],
)
def test_an_order(verb: Verb, body: Any, expected: Order) -> None:
    assert order_of(verb, read(HostOrderBody, body), "ann") == expected


@pytest.mark.parametrize(
    ("verb", "body", "says"),
    [
        (Verb.UNDRAIN, {"for": "2h"}, "`for` has no meaning here: undrain ends something at once"),
        (Verb.DRAIN, {"badness": 5}, "`badness` has no meaning here"),
        (Verb.DRAIN, {"weight": 5}, "`weight` has no meaning here: drain leaves weights"),
        (Verb.WEIGHT, {}, "`weight`: missing: write a whole number"),
    ],
)
def test_a_key_that_a_verb_gives_no_meaning_or_lacks(verb: Verb, body: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        order_of(verb, read(HostOrderBody, body), "ann")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"verb": "explode"}, "`verb`: 'explode': write 'drain', 'undrain', 'quarantine', 'up', "),
        ({"verb": []}, "`verb`: a list of 0: write 'drain', "),
        ({"hosts": "mta1"}, "`hosts`: 'mta1' is no list: write one"),
        ({"hosts": []}, "`hosts`: a list of 0: write at least 1"),
        ({"hosts": ["a"] * (MAX_HOSTS + 1)}, "`hosts`: a list of 1001: write at most 1000"),
        ({"hosts": ["a" * 301]}, "write at most 300 characters"),
        ({"hosts": ["a\tb"]}, r"`hosts[0]`: 'a\tb': write one line"),
        ({"zone": 5}, "`zone`: 5 is no text"),
        ({"reason": "x" * (MAX_REASON + 1)}, "write at most 500 characters"),
        ({"for": True}, "`for`: 'True' is no duration: write a number and its unit"),
        ({"for": ["2h"]}, "is no duration: write"),
        ({"for": 10**400}, "is over ten years: leave it out"),
        ({"weight": -1}, "`weight`: -1: write at least 0"),
        ({"weight": MAX_WEIGHT + 1}, f"`weight`: {MAX_WEIGHT + 1}: write at most {MAX_WEIGHT}"),
        ({"weight": True}, "`weight`: true is no whole number"),
        ({"weight": 10**400}, "`weight`: a huge number: write at most"),
        ({"badness": 100.5}, "`badness`: 100.5: write at most 100"),
        ({"badness": float("nan")}, "`badness`: NaN is not finite"),
        ({"dry_run": "no"}, "`dry_run`: 'no' is neither true nor false"),
    ],
)
def test_what_is_wrong_with_an_order(body: Any, says: str) -> None:
    assert says in error_of(OrderBody, MANY | body)


# --- loads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b'{"value": 412}', b'{"value": 412.0}', b' {"value":412}\n'])
def test_a_load(content: bytes) -> None:
    assert read(LoadBody, content).value == 412


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("412", "the body: 412 is no object: write EXAMPLE"),
        ('{"load": 0.8}', "`value`: missing; `load`: not known here (known: value): write EXAMPLE"),
        ('{"value": "412"}', "`value`: '412' is no number"),
        ('{"value": true}', "`value`: true is no number"),
        ('{"value": null}', "`value`: null is no number"),
        ('{"value": [1]}', "`value`: a list of 1 is no number: write one"),
        ('{"value": NaN}', "`value`: NaN is not finite"),
        ('{"value": Infinity}', "`value`: Infinity is not finite"),
        ('{"value": 1e999}', "is not finite"),
        ('{"value": -1}', "`value`: -1: write at least 0"),
    ],
)
def test_what_is_no_load(content: str, says: str) -> None:
    assert says in error_of(LoadBody, content.encode())


# --- the query log --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"on": False}, None),
        ({"on": True}, QueryLog(until=NOW + FOR)),
        ({"on": True, "for": "unlimited"}, QueryLog()),
        ({"on": True, "for": 30}, QueryLog(until=NOW + 30)),
        (
            {
                "on": True,
                "zones": ["Out.Example.com", "."],
                "clients": ["192.0.2.0/24", "2001:db8::1"],
                "sample": "1%",
                "for": "2h",
            },
            QueryLog(
                (name_to_wire("out.example.com."), b"\0"),
                (ip_network("192.0.2.0/24"), ip_network("2001:db8::1")),
                0.01,
                NOW + 7200,
            ),
        ),
        ({"on": True, "sample": 0.5, "for": "1s"}, QueryLog(sample=0.5, until=NOW + 1)),
        ({"on": True, "sample": 0.00001, "for": 0.5}, QueryLog(sample=0.00001, until=NOW + 0.5)),
        (
            {"on": True, "zones": ["Bücher.example。"], "for": 1e3},
            QueryLog((name_to_wire("xn--bcher-kva.example."),), until=NOW + 1000),
        ),
    ],
)
def test_a_wish(body: Any, wanted: QueryLog | None) -> None:
    assert query_log_of(read(QueryLogWish, body), NOW) == wanted


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "`on`: missing: write EXAMPLE"),
        ({"on": 1}, "`on`: 1 is neither true nor false"),
        ({"on": True, "zone": "x"}, "`zone`: not known here"),
        ({"on": True, "zones": "x"}, "`zones`: 'x' is no list"),
        ({"on": True, "zones": [1]}, "`zones[0]`: 1 is no text"),
        ({"on": True, "zones": ["a..b"]}, "`zones[0]`: "),
        ({"on": True, "zones": ["a..ü"]}, "`zones[0]`: "),
        ({"on": True, "zones": ["x"] * (MAX_ITEMS + 1)}, "`zones`: a list of 65: write at most 64"),
        ({"on": True, "clients": ["mta1"]}, "`clients[0]`: 'mta1' is no network: write an address"),
        ({"on": True, "sample": 0}, "`sample`: 0 is no part of the queries: write 1 for all"),
        ({"on": True, "sample": True}, "`sample`: true is no part"),
        ({"on": True, "sample": "10"}, "`sample`: '10' is no part"),
        ({"on": True, "sample": float("nan")}, "`sample`: NaN is no part"),
        ({"on": True, "sample": 10**400}, "is no part"),
        ({"on": True, "sample": ["1%"]}, "is no part"),
        ({"on": True, "for": "soon"}, "`for`: 'soon' is no duration: write a number and its unit"),
        ({"on": True, "for": "2"}, "`for`: '2' has no unit: write 2h or 2m"),
        ({"on": True, "for": 0}, "`for`: '0' is no duration"),
        ({"on": True, "for": "9999999w"}, "`for`: '9999999w' is over ten years: write unlimited"),
        ({"on": True, "for": 10**400}, "is over ten years: write unlimited"),
        ({"on": True, "for": float("nan")}, "`for`: 'nan' is no duration"),
        ({"on": True, "for": True}, "no duration"),
        ({"on": True, "for": None}, "no duration"),
    ],
)
def test_a_wish_that_cannot_be_granted(body: Any, says: str) -> None:
    assert says in error_of(QueryLogWish, body)


def test_a_wish_for_nothing_says_no_more() -> None:
    with pytest.raises(UsageError, match="with `on` false nothing else has a meaning"):
        query_log_of(read(QueryLogWish, {"on": False, "zones": []}), NOW)
