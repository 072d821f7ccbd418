"""Socketmap: which keys are addresses, and which answers never lose mail."""

import pytest

from geodns.responder.route_table import CompiledRule, ZoneRoutes
from geodns.responder.routes import Carried, RouteQuery, decide
from geodns.serve.route_conversation import reply
from geodns.serve.route_messages import Malformed, RouteAnswer, RouteRequest
from tests.serve.route_samples import (
    BAD,
    BY_HOST,
    BY_NAME,
    LAST,
    LATER,
    NOTHING,
    ONE_OTHER,
    RULE,
    TWO_OTHERS,
    UNSERVED,
    ZONE,
    asked,
    heard,
    netstring,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("recipient a@Example.NET.", RouteQuery(recipient="a@example.net")),
        ("recipient a b@example.net", RouteQuery(recipient="a b@example.net")),
        ("recipient a+x@bücher.example", RouteQuery(recipient="a+x@xn--bcher-kva.example")),
        ("recipient a@[192.0.2.1]", RouteQuery(recipient="a@[192.0.2.1]")),
        ("sender News@Example.com", RouteQuery(sender="news@example.com")),
        ("sender <>", RouteQuery(sender="<>")),
    ],
)
def test_addresses(text: str, expected: RouteQuery) -> None:
    request = asked(netstring(text))
    assert request.query == expected
    assert request.carried is Carried(text.split(maxsplit=1)[0])
    assert request.zone is None
    assert request.deals


NOBODY = [
    *(
        "",
        "*",
        "@",
        "a",
        "a@",
        "@example.net",
        "example.net",
        ".example.net",
        "<>",
        "a\x00@b",
        "a\n@b",
        "\x7f@b",
    ),
    *("a@b\u2028", "a\ud800@b"),
]
RULES: list[CompiledRule] = [
    RULE,
    LAST,
    LAST._replace(provider=("google",)),
    LAST._replace(recipient=("*@*",)),
    LAST._replace(sender=("*@*",)),
]


@pytest.mark.parametrize("name", ["recipient", "sender"])
@pytest.mark.parametrize("key", NOBODY)
@pytest.mark.parametrize("rule", RULES)
def test_what_is_no_address_is_not_found_by_any_rule(key: str, name: str, rule: CompiledRule) -> None:
    if (name, key) == ("sender", "<>"):
        return
    request = asked(netstring(f"{name} {key}".encode("utf-8", "surrogatepass")))
    assert not isinstance(decide(ZoneRoutes(ZONE, (), (rule,)), request.query, request.carried), CompiledRule)


def test_a_key_as_long_as_postfix_sends() -> None:
    key = f"{'x' * 9988}@example.net"
    assert len(key) == 10_000
    assert (asked(netstring(f"recipient {key}")).query.recipient or "").endswith("@example.net")
    (one,), *_ = heard([netstring(f"recipient xx{key}")])
    assert isinstance(one, Malformed)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (BY_NAME, "OK relay:[gmail.out.example.com]:25"),
        (BY_HOST, "OK relay:[mta2.out.example.com]:25, [gmail.out.example.com]:25"),
        (TWO_OTHERS, "OK relay:[mta2.out.example.com]:25, [mta3.out.example.com]:25"),
        (ONE_OTHER, "OK relay:[mta2.out.example.com]:25"),
        *((one, "NOTFOUND ") for one in NOTHING),
        (UNSERVED, "TEMP this zone has no routes here"),
        (LATER, "TEMP no host but the one that asks"),
    ],
)
def test_replies(answer: RouteAnswer, expected: str) -> None:
    assert reply(asked(netstring("recipient a@b.example")), answer) == netstring(expected)


@pytest.mark.parametrize("name", [name for name in BAD if name.startswith("socketmap")])
def test_nothing_is_a_permanent_error(name: str) -> None:
    found, _, _, more, _ = heard([BAD[name]])
    one = [*found, *more][-1]
    assert isinstance(one, Malformed)
    assert one.reply == netstring(f"TEMP {one.why}")


def test_many_at_once() -> None:
    found, half, ended, *_ = heard([netstring("recipient a@b.example") * 1000 + b"2"])
    assert len(found) == 1000
    assert all(isinstance(one, RouteRequest) for one in found)
    assert half
    assert not ended
