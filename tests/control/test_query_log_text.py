"""Lines of the query log, as people and programs read them."""

from typing import Any

import dns.edns
import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.control.query_log_text import describe
from geodns.responder.answer_policy import Policy, QueryLog, RateLimit
from geodns.responder.query_log import Noted
from geodns.responder.respond import Client
from geodns.wire import edns
from geodns.wire.cookies import make
from tests.sample_zones import ORIGIN, WEIGHTED, Worker

SECRET = b"0123456789abcdef"
CLIENT: Client = ("192.0.2.7", 4242, "udp")
GOOD = make(b"cookies!", bytes((192, 0, 2, 7)), 0, SECRET)


def described(
    packet: bytes, client: Client = CLIENT, *, times: int = 1, **policy: Any
) -> tuple[str, dict[str, Any]]:
    """What the log says of a packet that is sent so often, the last time."""
    one = Worker(WEIGHTED, policy=Policy(cookie_secrets=(SECRET,), query_log=QueryLog(), **policy))
    for _ in range(times):
        one.raw(packet, client)
    assert one.state.recorder is not None
    return describe(one.state.recorder.take()[0][-1], (SECRET,))


def query(name: str = ORIGIN, rtype: str = "A", **options: Any) -> bytes:
    options.setdefault("use_edns", False)
    return dns.message.make_query(name, rtype, id=1, **options).to_wire()


def option(code: int, text: bytes) -> list[dns.edns.Option]:
    return [dns.edns.GenericOption(dns.edns.OptionType.make(code), text)]


@pytest.mark.parametrize(
    ("packet", "line"),
    [
        (query(), "out.example.com A IN + → NOERROR AA 2 answers 65 bytes"),
        (query(flags=0), "out.example.com A IN - → NOERROR AA 2 answers 65 bytes"),
        (query("Lone.out.EXAMPLE.com."), "lone.out.example.com A IN + → NOERROR AA 1 answer 54 bytes"),
        (
            query(use_edns=0, want_dnssec=True, flags=dns.flags.RD | dns.flags.CD),
            "out.example.com A IN +E(0)DC → NOERROR AA 2 answers 76 bytes",
        ),
        (query("x.out.example.com."), "x.out.example.com A IN + → NXDOMAIN AA 0 answers "),
        (query("example.net."), "example.net A IN + → REFUSED 0 answers 29 bytes"),
        (query("example.net.", use_edns=0), "example.net A IN +E(0) → REFUSED 0 answers "),
        (query("sub.out.example.com."), "sub.out.example.com A IN + → NOERROR 0 answers "),
        (query("id.server.", "TXT", rdclass="CH"), "id.server TXT CH + → REFUSED 0 answers "),
        (query(rtype="TYPE4711"), "out.example.com TYPE4711 IN + → NOERROR AA 0 answers "),
        (query(use_edns=7), "out.example.com A IN +E(7) → BADVERS 0 answers "),
        (query("."), ". A IN + → REFUSED 0 answers 17 bytes"),
        (
            query(use_edns=0, options=option(edns.COOKIE, GOOD)),
            "out.example.com A IN +E(0)V → NOERROR AA 2 answers ",
        ),
        (
            query(use_edns=0, options=option(edns.COOKIE, b"cookies!")),
            "out.example.com A IN +E(0)K → NOERROR AA 2 answers ",
        ),
        (
            query(use_edns=0, options=option(edns.SUBNET, b"\0\1\x18\0\xcb\0\x71")),
            "out.example.com A IN +E(0) [ECS 203.0.113.0/24] → NOERROR AA 2 answers ",
        ),
        (
            query(use_edns=0, options=option(edns.COOKIE, b"x")),
            "out.example.com A IN +E(0) → FORMERR 0 answers ",
        ),
        (query(f"big.{ORIGIN}", "TXT"), "big.out.example.com TXT IN + → NOERROR AA TC 0 answers 37 bytes"),
        (query(r"a\010\027[31m\.b.example.net."), r"a\010\027[31m\.b.example.net A IN + → REFUSED "),
        (b"\0\1\0\0\0\2" + bytes(6), "no name (no well-formed query) → FORMERR 0 answers 12 bytes"),
        (query() + b"x", "out.example.com (no well-formed query) → FORMERR 0 answers 12 bytes"),
        (b"\0\1\x80" + bytes(9), "no name (no well-formed query) → no answer"),
        (b"", "no name (no well-formed query) → no answer"),
    ],
)
def test_lines(packet: bytes, line: str) -> None:
    text, _ = described(packet)
    assert text.startswith(f"client 192.0.2.7#4242 udp: {line}")
    assert text.isprintable()


def test_tcp() -> None:
    text, fields = described(query(), ("2001:db8::1", 7, "tcp"))
    assert text == "client 2001:db8::1#7 tcp: out.example.com A IN +T → NOERROR AA 2 answers 65 bytes"
    assert fields["transport"] == "tcp"


def test_a_question_for_a_cookie_alone() -> None:
    empty = dns.message.Message(id=1)
    empty.use_edns(0, options=option(edns.COOKIE, b"cookies!" + bytes(8)))
    text, fields = described(empty.to_wire())
    assert "udp: no question -E(0)K → BADCOOKIE 0 answers" in text
    assert (fields["qname"], fields["cookie"]) == ("", "not ours")


@pytest.mark.parametrize(("padding", "says"), [(3000, "A IN +E(0) → NOERROR"), (5000, "(a long query)")])
def test_a_long_query(padding: int, says: str) -> None:
    """What is kept of it may end anywhere: that must not be called its fault."""
    options = edns.option(12, bytes(padding))
    text, fields = described(query(use_edns=0)[:-2] + len(options).to_bytes(2, "big") + options)
    assert fields["qname"] == "out.example.com"
    assert says in text
    assert "no well-formed query" not in text


def test_what_is_limited() -> None:
    limit: dict[str, Any] = {"rate_limit": RateLimit(per_second=1, slip=0)}
    assert described(query(), times=3, **limit)[0].endswith("+ → dropped (rate limited)")
    slip: dict[str, Any] = {"rate_limit": RateLimit(per_second=1, slip=1)}
    text, fields = described(query(), times=3, **slip)
    assert text.endswith("+ → NOERROR TC 0 answers 33 bytes (rate limited)")
    assert fields["limited"] == "truncated"
    asks = query(use_edns=0, options=option(edns.COOKIE, b"cookies!"))
    text, _ = described(asks, times=3, require_cookie=True, **slip)
    assert " → BADCOOKIE 0 answers " in text
    assert text.endswith("bytes (rate limited)")


def test_fields() -> None:
    options = option(edns.COOKIE, GOOD) + option(edns.SUBNET, b"\0\1\x18\0\xcb\0\x71")
    _, fields = described(query(use_edns=0, payload=4096, want_dnssec=True, options=options))
    assert fields == {
        "client": "192.0.2.7",
        "port": 4242,
        "transport": "udp",
        "qname": "out.example.com",
        "qtype": "A",
        "qclass": "IN",
        "flags": "+E(0)DV",
        "edns": 0,
        "edns_size": 4096,
        "do": True,
        "cookie": "valid",
        "ecs": "203.0.113.0/24",
        "rcode": "NOERROR",
        "answers": 2,
        "answer_flags": "AA",
        "size": fields["size"],
    }


@given(packet=st.binary(max_size=60), answer=st.just(b"") | st.binary(min_size=12, max_size=60))
def test_any_bytes_make_one_printable_line(packet: bytes, answer: bytes) -> None:
    text, _ = describe(Noted(0.0, CLIENT, packet, answer, len(answer), ""), (SECRET,))
    assert text.isprintable()
