"""Rules that no message reaches: what is found, and that nothing is found that is not so."""

import itertools
from ipaddress import ip_network
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.routes import compile_routes
from geodns.model.routes import NULL_SENDER, RouteRule
from geodns.responder.route_patterns import fits
from geodns.responder.routes import Carried, RouteQuery, Undecided, decide
from geodns.zonefile.route_patterns import address_pattern
from geodns.zonefile.route_shadows import contains, hidden_routes
from tests.zonetexts import SHORT, zone_of


def rule(**conditions: object) -> RouteRule:
    return RouteRule.model_validate({"use": "a.", **conditions})


def to(*patterns: str, **conditions: object) -> RouteRule:
    return rule(recipient=tuple(map(address_pattern, patterns)), **conditions)


def sent_by(*patterns: str, **conditions: object) -> RouteRule:
    return rule(sender=tuple(map(address_pattern, patterns)), **conditions)


def of(*networks: str) -> RouteRule:
    return rule(client=tuple(map(ip_network, networks)))


FOUND = {
    "the same": ([to("a.example"), to("a.example")], {1: [0]}),
    "behind a rule for all": ([rule(), to("a.example"), rule(over=5)], {1: [0], 2: [0]}),
    "an address of a domain": ([to("a.example"), to("vip@a.example")], {1: [0]}),
    "a domain below": ([to("*.example"), to("a.example", "*.b.example")], {1: [0]}),
    "a glob in a glob": ([to("news*@*"), to("news-*@a*.example")], {1: [0]}),
    "any": ([to("*"), to("a.example")], {1: [0]}),
    "a question mark": ([to("mx?.example"), to("mx1.example")], {1: [0]}),
    "the null sender": ([sent_by("<>", "a.example"), sent_by("<>")], {1: [0]}),
    "fewer conditions": ([rule(provider=("google",)), to("a.example", provider=("google",))], {1: [0]}),
    "more providers": ([rule(provider=("google", "yahoo")), rule(provider=("yahoo",))], {1: [0]}),
    "a larger network": ([of("10.0.0.0/8"), of("10.1.0.0/16", "10.2.3.4/32")], {1: [0]}),
    "IPv6": ([of("2001:db8::/32"), of("2001:db8:1::/48")], {1: [0]}),
    "larger messages": ([rule(over=5), rule(over=6)], {1: [0]}),
    "users": ([rule(sasl=("shop-*",)), rule(sasl=("shop-1", "shop-?2"))], {1: [0]}),
    "the first that does": ([to("a.example"), rule(), to("b.example"), to("a.example")], {2: [1], 3: [0]}),
    "one a value": ([to("a.example"), to("b.example"), to("a.example", "b.example")], {2: [0, 1]}),
    "one a value, all else equal": (
        [
            to("a.example", provider=("google",)),
            to("b.example"),
            to("a.example", "b.example", provider=("google",), over=5),
        ],
        {2: [0, 1]},
    ),
}  # fmt: skip
NOT_FOUND = {
    "the domain itself": [to("*.example.com"), to("example.com")],
    "any user is no bounce": [sent_by("*"), sent_by("<>")],
    "bounces are no other": [sent_by("<>"), sent_by("a@b")],
    "none is told": [to("*"), rule()],
    "any size is not told": [rule(over=0), rule()],
    "smaller messages": [rule(over=6), rule(over=5)],
    "a smaller network": [of("10.1.0.0/16"), of("10.0.0.0/8")],
    "a smaller network that begins there": [of("10.0.0.0/16"), of("10.0.0.0/8")],
    "another family": [of("0.0.0.0/0"), of("::/0")],
    "another condition": [sent_by("a@b"), to("a@b")],
    "two conditions, each in part": [
        to("a.example", provider=("google",)),
        to("b.example", provider=("yahoo",)),
        to("a.example", "b.example", provider=("google", "yahoo")),
    ],
    "case of classes": [rule(mail_class=("Bulk",)), rule(mail_class=("bulk",))],
    "a mark is a character": [to("a?@b"), to("a@b")],
    "a star is a star": [to("a?@b"), to("a*@b")],
}


@pytest.mark.parametrize(("rules", "expected"), FOUND.values(), ids=FOUND.keys())
def test_a_hidden_rule_is_found(rules: list[RouteRule], expected: dict[int, list[int]]) -> None:
    assert hidden_routes(rules) == expected


@pytest.mark.parametrize("rules", NOT_FOUND.values(), ids=NOT_FOUND.keys())
def test_a_rule_that_may_match_is_not_called_hidden(rules: list[RouteRule]) -> None:
    assert hidden_routes(rules) == {}


# ----- against messages

TEXTS = ["".join(some) for length in range(5) for some in itertools.product("ab", repeat=length)]
GLOBS = st.text("ab*?", min_size=1, max_size=4)


def test_what_is_contained_fits() -> None:
    globs = ["".join(some) for length in range(1, 4) for some in itertools.product("ab*?", repeat=length)]
    fitting = {glob: {text for text in TEXTS if fits(glob, text)} for glob in globs}
    wrong = [
        (wide, narrow)
        for wide, narrow in itertools.product(globs, repeat=2)
        if contains(wide, narrow) and not fitting[narrow] <= fitting[wide]
    ]
    assert wrong == []


@given(glob=GLOBS)
def test_a_glob_contains_itself_and_what_it_fits(glob: str) -> None:
    assert contains(glob, glob)
    assert contains("*", glob)
    assert [text for text in TEXTS if contains(glob, text)] == [text for text in TEXTS if fits(glob, text)]


PATTERN = st.builds(
    "{}@{}".format, GLOBS, st.sampled_from(["*", "a", "b", "*.a", "*.b.a", "?.a", "b*", "*a"])
)
T = TypeVar("T")


def several(one: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(one, max_size=3, unique=True).map(tuple)


NETWORKS = [
    *map(
        ip_network,
        ("10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.1/32", "::/0", "::1/128"),
    )
]
RULE = st.builds(
    lambda **conditions: rule(**{key: value for key, value in conditions.items() if value}),
    recipient=several(PATTERN),
    sender=several(PATTERN | st.just(NULL_SENDER)),
    mail_class=several(st.sampled_from(["bulk", "tx"])),
    provider=several(st.sampled_from(["google", "yahoo"])),
    client=several(st.sampled_from(NETWORKS)),
    sasl=several(GLOBS),
    over=st.none() | st.integers(1, 3),
)
LISTED = {
    "recipient": PATTERN,
    "sender": PATTERN | st.just(NULL_SENDER),
    "client": st.sampled_from(NETWORKS),
    "sasl": GLOBS,
}
RULE |= st.one_of(
    *(
        st.builds(lambda values, key: rule(**{key: tuple(values)}), several(values), st.just(key))
        for key, values in LISTED.items()
    )
)
ADDRESS = st.builds("{}@{}".format, st.sampled_from(TEXTS), st.sampled_from(["a", "b", "b.a", "a.b.a", "bb"]))
QUERY = st.builds(
    RouteQuery,
    recipient=st.none() | ADDRESS,
    sender=st.none() | ADDRESS | st.just(NULL_SENDER),
    mail_class=st.sampled_from([None, "bulk", "tx"]),
    client=st.sampled_from([None, "10.1.1.1", "10.1.1.2", "10.1.2.1", "10.2.1.1", "::1", "::2"]),
    sasl=st.none() | st.sampled_from(TEXTS),
    size=st.none() | st.integers(0, 5),
    provider=st.sampled_from([None, "", "google", "yahoo"]),
)


def like(text: str, pattern: str) -> str:
    """Return a text that a pattern fits."""
    return pattern.replace("*", text).replace("?", text[:1] or "a")


@given(
    rules=st.lists(RULE, min_size=2, max_size=5),
    queries=st.lists(QUERY, min_size=5, max_size=20),
    carried=st.sampled_from(Carried),
    data=st.data(),
)
def test_no_message_reaches_a_hidden_rule(
    rules: list[RouteRule], queries: list[RouteQuery], carried: Carried, data: st.DataObject
) -> None:
    hidden = hidden_routes(rules)
    compiled = compile_routes(zone_of(SHORT).model_copy(update={"routes": tuple(rules)}))
    assert compiled is not None
    for number in hidden:
        one = rules[number]
        close = data.draw(st.lists(QUERY, min_size=5, max_size=5))
        text = data.draw(st.sampled_from(["", "a", "b", "ab", "b.a"]))
        for query in close:
            # A message that the rule would fit, were it the first.
            pick: dict[str, Any] = {
                "recipient": like(text, one.recipient[0]) if one.recipient else query.recipient,
                "sender": like(text, one.sender[-1]) if one.sender else query.sender,
                "mail_class": one.mail_class[0] if one.mail_class else query.mail_class,
                "provider": one.provider[-1] if one.provider else query.provider,
                "client": str(one.client[0][-1]) if one.client else query.client,
                "sasl": like(text, one.sasl[0]) if one.sasl else query.sasl,
                "size": one.over + 1 if one.over is not None else query.size,
            }
            queries.append(query._replace(**pick))
    for query in queries:
        found = decide(compiled, query, carried)
        assert isinstance(found, Undecided) or found.number - 1 not in hidden


# ----- thousands


def test_thousands_of_rules_are_compared() -> None:
    many = 3_000
    domains = [to(f"*.customer{number}.example", provider=("google",)) for number in range(many)]
    middles = [sent_by(f"*a{number}b*@*") for number in range(many)]
    hidden = hidden_routes([*domains, *middles, domains[0], middles[-1]])
    assert hidden == {2 * many: [0], 2 * many + 1: [2 * many - 1]}


def test_a_search_that_takes_too_long_finds_less() -> None:
    rules = [sent_by("*a*@*"), sent_by("*aa*@*"), sent_by("*aa*@*")]
    assert hidden_routes(rules) == {1: [0], 2: [0]}
    assert hidden_routes(rules, steps=0) == {2: [1]}
