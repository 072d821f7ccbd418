"""What an answer to one message says: where it goes, and what the rules before it miss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model import routes
from geodns.responder.route_deals import Route, by_name
from geodns.responder.route_explained import route_answer
from geodns.responder.route_index import MANY
from geodns.responder.route_table import CompiledRule, RouteTarget, ZoneRoutes
from geodns.responder.route_words import MOST_CHARACTERS, MOST_WANTED, size_text, wanted
from geodns.responder.routes import RouteQuery, Undecided, decide, normal_address

ANY = CompiledRule(1, "d1", (), (), (), (), (), (), None, "out.example.com", by_host=False, port=25)
TARGET = RouteTarget(
    "out.example.com", "out.example.com", "all", {"mta2": 3, "mta1": 1}, ("mta1", "mta2", "mta3")
)
BOB = RouteQuery(recipient="bob@example.org")


def rules(*each: CompiledRule) -> ZoneRoutes:
    numbered = tuple(one._replace(number=number) for number, one in enumerate(each, 1))
    return ZoneRoutes("out.example.com", ("example.com",), numbered)


@pytest.mark.parametrize(
    ("rule", "told", "missed"),
    [
        (
            ANY._replace(recipient=("vip@example.net", "*@*.bank.example")),
            BOB,
            "recipient bob@example.org is not vip@example.net or *.bank.example",
        ),
        (ANY._replace(recipient=("*@a.example",)), RouteQuery(), "nothing tells the recipient"),
        (ANY._replace(sender=("<>",)), RouteQuery(sender="a@b.example"), "sender a@b.example is not <>"),
        (ANY._replace(sender=("news@*",)), RouteQuery(sender="<>"), "sender <> is not news@*"),
        (ANY._replace(sender=("news@*",)), RouteQuery(sender="root@"), "sender root is not news@*"),
        (ANY._replace(mail_class=("bulk",)), RouteQuery(), "nothing tells the class"),
        (
            ANY._replace(mail_class=("bulk", "list", "spam")),
            RouteQuery(mail_class=""),
            "class that is empty is not bulk, list or spam",
        ),
        (
            ANY._replace(client=((10 << 24, (11 << 24) - 1, False), (1, 1, True))),
            RouteQuery(client="192.0.2.1"),
            "client 192.0.2.1 is not in 10.0.0.0/8 or ::1/128",
        ),
        (ANY._replace(sasl=("team-*",)), RouteQuery(sasl="bob"), "SASL user bob is not team-*"),
        (ANY._replace(over=5_000_000), RouteQuery(size=12_000), "size 12KB is not over 5MB"),
        (ANY._replace(over=5_000_000), RouteQuery(), "nothing tells the size"),
        (
            ANY._replace(provider=("microsoft",)),
            BOB._replace(provider="google"),
            "provider of example.org is google, not microsoft",
        ),
        (
            ANY._replace(provider=("microsoft",)),
            BOB._replace(provider=""),
            "provider of example.org is not known",
        ),
        (
            ANY._replace(provider=("microsoft",)),
            RouteQuery(provider=""),
            "nothing tells the recipient, whose provider this rule asks for",
        ),
        (
            ANY._replace(recipient=tuple(f"*@{number}.example" for number in range(9))),
            BOB,
            "recipient bob@example.org is not 0.example, 1.example, 2.example, 3.example or 5 more",
        ),
        (
            ANY._replace(client=tuple((number, number, False) for number in range(9))),
            RouteQuery(client="192.0.2.1"),
            "client 192.0.2.1 is not in 0.0.0.0/32, 0.0.0.1/32, 0.0.0.2/32, 0.0.0.3/32 or 5 more",
        ),
        (
            ANY._replace(sasl=("a" * 500,)),
            RouteQuery(sasl="x\n" + "y" * 500),
            rf"SASL user x\n{'y' * 78}… is not {'a' * 80}…",
        ),
    ],
)
def test_a_rule_that_does_not_fit_says_what_it_wants_and_what_was_told(
    rule: CompiledRule, told: RouteQuery, missed: str
) -> None:
    routes = rules(rule, ANY)
    answer = route_answer(routes, told, decide(routes, told), TARGET, by_name(ANY))
    assert answer["rule"] == 2
    assert answer["why"] == [{"rule": 1, "missed": missed}]


TEXT = st.text(max_size=300)
SOME = st.lists(TEXT, max_size=6).map(tuple)
RULES = st.builds(
    CompiledRule,
    st.just(1),
    st.just("d"),
    *(SOME,) * 4,
    st.lists(st.sampled_from([(0, 255, False), (1, 1, True)]), max_size=6).map(tuple),
    SOME,
    st.none() | st.integers(0, 2**50),
    st.just("out.example.com"),
    by_host=st.booleans(),
    port=st.just(25),
)
TOLD = st.none() | TEXT
QUERIES = st.builds(RouteQuery, TOLD, TOLD, TOLD, TOLD, TOLD, st.none() | st.integers(0, 2**60), TEXT)


@given(st.lists(RULES, max_size=5), QUERIES)
def test_whatever_is_told_is_explained_in_a_line(some: list[CompiledRule], query: RouteQuery) -> None:
    routes = rules(*some)
    query = query._replace(
        recipient=query.recipient and normal_address(query.recipient),
        sender=query.sender and normal_address(query.sender),
        provider=(query.provider or "")[:20],
    )
    decision = decide(routes, query)
    answer = route_answer(routes, query, decision, None, None)
    if decision is not Undecided.LOCAL:
        assert len(answer["why"]) == (answer["rule"] or len(some) + 1) - 1
    for one in answer["why"]:
        assert len(one["missed"]) < 10 * MOST_CHARACTERS * MOST_WANTED
        assert one["missed"].isprintable()


def test_the_answer_names_hosts_that_are_live_and_the_one_that_is_dealt() -> None:
    routes, told = rules(ANY), BOB._replace(provider="google")
    route = Route("relay:[mta2.out.example.com]:25, [out.example.com]:25", "mta2")
    assert route_answer(routes, told, routes.rules[0], TARGET, route) == {
        "zone": "out.example.com",
        "rule": 1,
        "provider": "google",
        "name": "out.example.com",
        "pool": "all",
        "host": "mta2",
        "transport": "relay:[mta2.out.example.com]:25, [out.example.com]:25",
        "live": ["mta1", "mta2"],
        "why": [],
    }


def test_where_no_rule_fits_every_rule_says_why_but_no_more_than_a_bound() -> None:
    routes = rules(*[ANY._replace(mail_class=("bulk",))] * 150)
    answer = route_answer(routes, BOB, decide(routes, BOB), None, None)
    assert (answer["rule"], answer["name"], answer["transport"], answer["live"]) == (None, None, None, [])
    assert len(answer["why"]) == 101
    assert answer["why"][99:] == [
        {"rule": 100, "missed": "nothing tells the class"},
        {"rule": None, "missed": "50 rules more do not fit"},
    ]


def test_mail_to_local_domains_asks_no_rule() -> None:
    routes = rules(ANY)
    told = RouteQuery(recipient="a@example.com")
    answer = route_answer(routes, told, Undecided.LOCAL, None, None)
    assert answer["why"] == [
        {"rule": None, "missed": "example.com is local: no rule is asked for mail to it"}
    ]


@given(
    st.integers(0, 2**50)
    | st.builds(int.__mul__, st.integers(0, 999), st.sampled_from([1000, 1 << 10, 10**6]))
)
def test_sizes_are_told_as_files_write_them(size: int) -> None:
    assert size_text(size) == routes.size_text(size)


def test_conditions_are_put_into_words_in_the_order_of_reading() -> None:
    rule = ANY._replace(provider=("google",), recipient=("*@a.example",), over=10)
    assert list(wanted(rule).items()) == [
        ("recipient", "a.example"),
        ("size", "over 10B"),
        ("provider", "google"),
    ]
    assert wanted(ANY) == {}


def test_long_lists_are_not_read_to_explain_them(monkeypatch: pytest.MonkeyPatch) -> None:
    many = range(MANY)
    routes = rules(
        ANY._replace(recipient=tuple(f"*@r{one}.example" for one in many)),
        ANY._replace(sender=tuple(f"*@s{one}.example" for one in many)),
        ANY._replace(sasl=tuple(f"u{one}" for one in many)),
        ANY._replace(client=tuple((one << 8, (one << 8) + 255, False) for one in many)),
    )

    def read(*_: object) -> bool:
        raise AssertionError("a list is read")

    for name in ("fits", "fits_any", "_in_any"):
        monkeypatch.setattr(f"geodns.responder.routes.{name}", read)
    query = BOB._replace(sender="a@b.example", sasl="u", client="192.0.2.1", provider="")
    answer = route_answer(routes, query, Undecided.NO_RULE, None, None)
    assert len(answer["why"]) == 4
    assert not any("nobody has looked" in one["missed"] for one in answer["why"])
