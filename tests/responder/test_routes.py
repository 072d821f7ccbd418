"""Which rule fits a message: an index that reads few rules says what reading all of them says."""

import pickle
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from geodns.responder.route_index import MANY
from geodns.responder.route_table import CompiledRule, ZoneRoutes
from geodns.responder.routes import (
    CONDITIONS,
    LONGEST,
    Carried,
    RouteQuery,
    Undecided,
    decide,
    domain_of,
    holds,
    is_local,
    normal_address,
)
from tests.responder.plain_routes import plain_decide, rule

LOCALS = ["vip", "news", "v", "", "a.b"]
DOMAINS = [
    "bank.example",
    "x.bank.example",
    "y.x.bank.example",
    "example.net",
    "xn--bcher-kva.example",
    "com",
]
ADDRESSES = st.one_of(
    st.builds(lambda local, domain: f"{local}@{domain}", st.sampled_from(LOCALS), st.sampled_from(DOMAINS)),
    st.sampled_from(["<>", "root@", "@example.net", "a@b@example.net"]),
)
PATTERNS = st.one_of(
    st.builds(
        lambda local, domain: f"{local}@{domain}",
        st.sampled_from(["*", "vip", "news", "n*s", "?ip", "*.b", "**"]),
        st.sampled_from(
            [*DOMAINS, "*", "*.bank.example", "*bank.example", "*.example", "?om", "b*k.example", "x.*", "*."]
        ),
    ),
    st.just("<>"),
)
NETWORKS = [ip_network(one) for one in ("192.0.2.0/24", "192.0.2.64/26", "192.0.2.65", "0.0.0.0/0", "::/0")]
NETWORKS += [ip_network("2001:db8::/32"), ip_network("2001:db8::1")]
CLIENTS = [
    "192.0.2.65",
    "192.0.2.1",
    "203.0.113.5",
    "2001:db8::1",
    "::ffff:192.0.2.65",
    "mx",
    "1.2.3.4\0",
    "",
]
USERS = ["ann", "bob@shop.example", "ann@b@shop.example", "shop.example", "Ann"]


def some(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    """Mostly none, sometimes a few, sometimes so many that they are tried as a set."""
    many = st.lists(values, min_size=MANY, max_size=MANY + 4)
    return st.one_of(st.just([]), st.lists(values, max_size=most), many).map(tuple)


RULES = st.builds(
    lambda **given: given,
    recipient=some(PATTERNS),
    sender=some(PATTERNS),
    mail_class=some(st.sampled_from(["bulk", "tx"]), 2),
    provider=some(st.sampled_from(["google", "yahoo"]), 2),
    client=some(st.sampled_from([(int(n[0]), int(n[-1]), n.version == 6) for n in NETWORKS])),
    sasl=some(st.sampled_from(["ann", "*@shop.example", "*", "a?n", "bob@*", "*.example"])),
    over=st.sampled_from([None, None, None, 0, 1000]),
)


def zone_routes(given: list[dict[str, Any]], local: tuple[str, ...] = ()) -> ZoneRoutes:
    rules = tuple(rule(number, **one) for number, one in enumerate(given, 1))
    return ZoneRoutes("out.example.com", local, rules)


# Rules that ask for little come last, else they hide the others.
ROUTES = st.builds(
    lambda given, local: zone_routes(sorted(given, key=lambda one: -sum(map(bool, one.values()))), local),
    st.lists(RULES, max_size=12),
    some(st.sampled_from(["example.net", "*.bank.example", "c*", "*"]), 2),
)
QUERIES = st.builds(
    RouteQuery,
    st.one_of(st.none(), ADDRESSES),
    st.one_of(st.none(), ADDRESSES),
    st.sampled_from([None, "bulk", "tx", "other"]),
    st.sampled_from([None, *CLIENTS]),
    st.sampled_from([None, *USERS]),
    st.sampled_from([None, 0, 1, 1001]),
    st.sampled_from([None, "", "google", "yahoo", "gmx"]),
)


@given(ROUTES, st.lists(QUERIES, min_size=1, max_size=20))
def test_the_index_says_what_reading_all_rules_says(routes: ZoneRoutes, queries: list[RouteQuery]) -> None:
    for carried in Carried:
        for query in queries:
            assert decide(routes, query, carried) == plain_decide(routes, query, carried)


@given(ROUTES, QUERIES)
def test_routes_travel_with_their_index(routes: ZoneRoutes, query: RouteQuery) -> None:
    expected = decide(routes, query._replace(recipient=None)), decide(routes, query)
    there: ZoneRoutes = pickle.loads(pickle.dumps(routes))
    assert "index" in vars(there)
    assert (decide(there, query._replace(recipient=None)), decide(there, query)) == expected
    assert there.index == routes.index


@given(RULES, QUERIES)
def test_a_condition_alone_is_judged_as_in_the_rule(given: dict[str, Any], query: RouteQuery) -> None:
    query = query._replace(provider=query.provider or "")
    routes = zone_routes([given])
    assume(query.recipient is None or not is_local(routes, query.recipient))
    all_hold = all(holds(routes, 0, name, query) for name in CONDITIONS)
    assert (decide(routes, query) is not Undecided.NO_RULE) == all_hold


@pytest.mark.parametrize("number", [0, 77, 199])
def test_of_a_thousand_rules_only_those_that_fit_are_tried(number: int) -> None:
    """Whichever of a rule's conditions has the rare keys."""
    kinds: list[dict[str, Any]] = []
    for one in range(200):
        kinds += [
            {"recipient": (f"*@c{one}.example",), "provider": ("google",)},
            {"sender": (f"news@*.s{one}.example",), "mail_class": ("bulk",)},
            {"sasl": (f"*@u{one}.example",), "recipient": ("*@*.com",)},
            {"client": ((one << 8, (one << 8) + 255, False),), "sender": ("*@*",)},
            {"recipient": (f"boss{one}@*",)},
        ]
    index = zone_routes(kinds).index.full
    assert not index.rest
    found = index.candidates(
        f"boss{number}@c{number}.example",
        f"news@x.s{number}.example",
        "bulk",
        "google",
        (number << 8, False),
        f"a@u{number}.example",
    )
    assert list(found) == [5 * number + kind for kind in range(5)]


def decided(given: list[dict[str, Any]], query: RouteQuery, carried: Carried = Carried.ALL) -> Any:
    found = decide(zone_routes(given, ("example.com", "*.example.com")), query, carried)
    return found.number if isinstance(found, CompiledRule) else found


GOOGLE: dict[str, Any] = {"provider": ("google",)}
VIP: dict[str, Any] = {"recipient": ("vip@example.net",)}
NEWS: dict[str, Any] = {"sender": ("news@*",)}
BULK: dict[str, Any] = {"mail_class": ("bulk",)}
ANY: dict[str, Any] = {}
TO_VIP = RouteQuery("vip@example.net", "news@shop.example")
TO_JOE = RouteQuery("joe@example.net", "news@shop.example")


@pytest.mark.parametrize(
    ("rules", "query", "carried", "expected"),
    [
        ([VIP, ANY], TO_VIP, Carried.ALL, 1),
        ([VIP, ANY], TO_JOE, Carried.ALL, 2),
        ([VIP, BULK], TO_JOE, Carried.ALL, Undecided.NO_RULE),
        ([], TO_VIP, Carried.ALL, Undecided.NO_RULE),
        ([VIP, ANY], TO_VIP._replace(recipient="vip@example.com"), Carried.ALL, Undecided.LOCAL),
        ([ANY], TO_VIP._replace(recipient="vip@x.example.com"), Carried.RECIPIENT, Undecided.LOCAL),
        # What a map does not tell.
        ([VIP, ANY], TO_VIP, Carried.RECIPIENT, 1),
        ([VIP, ANY], TO_JOE, Carried.RECIPIENT, Undecided.STOPPED),
        ([VIP, ANY], TO_VIP, Carried.SENDER, Undecided.STOPPED),
        ([NEWS], RouteQuery(sender="news@shop.example"), Carried.SENDER, 1),
        ([NEWS, VIP], TO_VIP, Carried.RECIPIENT, Undecided.STOPPED),
        ([{**VIP, **NEWS}, VIP], TO_VIP, Carried.RECIPIENT, Undecided.STOPPED),
        ([{**VIP, **NEWS}, VIP], TO_JOE, Carried.RECIPIENT, Undecided.NO_RULE),
        ([{**NEWS, "over": 5}], TO_JOE, Carried.SENDER, Undecided.STOPPED),
        # Who runs the domain's mail, and whether that matters.
        ([VIP, GOOGLE, ANY], TO_VIP, Carried.ALL, 1),
        ([VIP, GOOGLE, ANY], TO_JOE, Carried.ALL, Undecided.PROVIDER),
        ([VIP, GOOGLE, ANY], TO_JOE._replace(provider="google"), Carried.ALL, 2),
        ([VIP, GOOGLE, ANY], TO_JOE._replace(provider=""), Carried.ALL, 3),
        ([{**GOOGLE, **BULK}, ANY], TO_JOE, Carried.ALL, 2),
        ([GOOGLE, ANY], TO_JOE._replace(recipient=None), Carried.ALL, 2),
        # It may be the asking machine's own mail.
        ([ANY], TO_JOE._replace(recipient="root@"), Carried.ALL, Undecided.LOCAL),
        ([ANY], TO_JOE._replace(recipient="ann@[127.0.0.1]"), Carried.ALL, Undecided.LOCAL),
        ([{**GOOGLE, **NEWS}, VIP], TO_VIP, Carried.RECIPIENT, Undecided.PROVIDER),
        ([{**GOOGLE, **NEWS}, VIP], TO_VIP._replace(provider="gmx"), Carried.RECIPIENT, 2),
        ([{**GOOGLE, **NEWS}, VIP], TO_VIP._replace(provider="google"), Carried.RECIPIENT, Undecided.STOPPED),
        ([{**GOOGLE, **NEWS}], TO_VIP, Carried.SENDER, Undecided.STOPPED),
        ([{**GOOGLE, **NEWS}, BULK, VIP], TO_VIP, Carried.RECIPIENT, Undecided.STOPPED),
        ([{**GOOGLE, **NEWS}], TO_VIP, Carried.RECIPIENT, Undecided.PROVIDER),
        # Bounces.
        ([{"sender": ("<>",)}, ANY], RouteQuery("a@b", "<>"), Carried.ALL, 1),
        ([{"sender": ("*@*",)}, ANY], RouteQuery("a@b", "<>"), Carried.ALL, 2),
        # What is not told does not hold.
        ([BULK, ANY], TO_VIP, Carried.ALL, 2),
        ([{"over": 0}, ANY], TO_VIP, Carried.ALL, 2),
        ([{"sasl": ("*",)}, ANY], TO_VIP, Carried.ALL, 2),
    ],
)
def test_decide(rules: list[dict[str, Any]], query: RouteQuery, carried: Carried, expected: Any) -> None:
    assert decided(rules, query, carried) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("Vip@Example.NET.", "vip@example.net"),
        ("vip+x@bücher.example", "vip+x@xn--bcher-kva.example"),
        ("vip@BÜCHER。example。", "vip@xn--bcher-kva.example"),
        ("", "<>"),
        ("<>", "<>"),
        ("root", "root@"),
        ('"a@b"@example.net', '"a@b"@example.net'),
        ("a@xn--\u0301.example", "a@xn--\u0301.example"),
        ("@", "@"),
        ("ann@" + "x" * 256, "ann@"),
        ("x" * 99_000 + "@example.net", "x" * LONGEST + "@example.net"),
    ],
)
def test_normal_address(address: str, expected: str) -> None:
    assert normal_address(address) == expected
    assert normal_address(expected) == expected


@pytest.mark.parametrize("many", [0, MANY], ids=["few", "many"])
@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("vip@example.net", ["vip@example.net"], ["vip+x@example.net", "vip@x.example.net", "<>"]),
        ("*@example.net", ["a@example.net", "@example.net"], ["a@x.example.net", "a@example.net.org"]),
        ("*@*.example.net", ["a@x.example.net", "a@z.y.x.example.net"], ["a@example.net", "a@xexample.net"]),
        ("*@*example.net", ["a@example.net", "a@myexample.net", "a@x.example.net"], ["a@example.com"]),
        ("news@*", ["news@x", "news@"], ["news2@x", "<>"]),
        ("n?ws@*.net", ["news@a.b.net"], ["nws@a.net", "news@net"]),
        (
            "a*@mail?.example.net",
            ["ann@mail1.example.net"],
            ["ann@mail.example.net", "bob@mail1.example.net"],
        ),
        ("*@*", ["a@b", "a@", "@"], ["<>"]),
        ("<>", ["<>"], ["a@b", "@"]),
    ],
)
def test_what_patterns_of_addresses_fit(
    pattern: str, fitting: list[str], others: list[str], many: int
) -> None:
    patterns = (*(f"x{one}@nowhere.invalid" for one in range(many)), pattern)
    for place in ("recipient", "sender"):
        for address, expected in (*((one, 1) for one in fitting), *((one, None) for one in others)):
            query = RouteQuery(address) if place == "recipient" else RouteQuery(sender=address)
            routes = zone_routes([{place: patterns}])
            if place == "recipient" and is_local(routes, address):
                continue
            found = decide(routes, query)
            assert found == (rule(1, **{place: patterns}) if expected else Undecided.NO_RULE), address


def test_local_domains_are_of_recipients_alone() -> None:
    routes = zone_routes([ANY], ("example.com",))
    assert is_local(routes, "a@example.com")
    assert not is_local(routes, "a@x.example.com")
    assert not isinstance(decide(routes, RouteQuery("a@b", "a@example.com")), Undecided)
    assert domain_of("<>") == ""
