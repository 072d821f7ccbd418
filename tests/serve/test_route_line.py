"""One line, one answer: what Exim's ${readsocket} asks and gets."""

import pytest

from geodns.responder.routes import RouteQuery
from geodns.serve.route_conversation import reply
from geodns.serve.route_messages import RouteAnswer
from tests.serve.route_samples import (
    BY_HOST,
    BY_NAME,
    LATER,
    NOTHING,
    ONE_OTHER,
    TWO_OTHERS,
    UNSERVED,
    asked,
    heard,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("get a@example.net", RouteQuery(recipient="a@example.net")),
        ("get a%40example.net", RouteQuery(recipient="a@example.net")),
        ("get a+x@example.net", RouteQuery(recipient="a+x@example.net")),
        ("get a%2bx@example.net", RouteQuery(recipient="a+x@example.net")),
        ("get 50%off@example.net", RouteQuery(recipient="50%off@example.net")),
        ("get b=example.com&x@example.net", RouteQuery(recipient="b=example.com&x@example.net")),
        ("get a@b%C3%BCcher.example", RouteQuery(recipient="a@xn--bcher-kva.example")),
        ("get recipient=a@example.net", RouteQuery(recipient="a@example.net")),
        ("get sender=", RouteQuery(sender="<>")),
        ("get sender=%3C%3E", RouteQuery(sender="<>")),
        ("get sasl=&class=&client=&size=&recipient=&zone=", RouteQuery()),
        ("get size=0", RouteQuery()),
        ("get size=-1", RouteQuery()),
        ("get zone=&sender=a b=c@d.example&size=9", RouteQuery(sender="a b=c@d.example", size=9)),
        (
            "get recipient=a%40b&sender=c%26d%40e&class=bulk&client=2001%3Adb8%3A%3A1&sasl=me&size=7",
            RouteQuery("a@b", "c&d@e", "bulk", "2001:db8::1", "me", 7),
        ),
    ],
)
def test_what_is_told(line: str, expected: RouteQuery) -> None:
    request = asked(line.encode())
    assert request.query == expected
    assert request == asked(f"{line}\n".encode()) == asked(f"{line}\r\n".encode())
    assert request.deals


def test_the_zone() -> None:
    assert asked(b"get recipient=a%40b&zone=Out.example.com.\n").zone == "out.example.com"


def test_nothing_is_read_after_the_line() -> None:
    found, half, ended, more, _ = heard([b"get a@b\nget c@d\n"])
    assert (len(found), half, ended, more) == (1, False, True, [])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (BY_NAME, "200 relay:[gmail.out.example.com]:25\n"),
        (BY_HOST, "200 relay:[mta2.out.example.com]:25, [gmail.out.example.com]:25\n"),
        (TWO_OTHERS, "200 relay:[mta2.out.example.com]:25, [mta3.out.example.com]:25\n"),
        (ONE_OTHER, "200 relay:[mta2.out.example.com]:25\n"),
        *((one, "500 no route\n") for one in NOTHING),
        (UNSERVED, "400 this zone has no routes here\n"),
        (LATER, "400 no host but the one that asks\n"),
    ],
)
def test_replies(answer: RouteAnswer, expected: str) -> None:
    assert reply(asked(b"get a@b\n"), answer) == expected.encode()
