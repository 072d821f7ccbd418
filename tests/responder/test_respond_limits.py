"""Answers over the rate limit as clients see them: which count together, what is left, who is exempt."""

import random
from collections import Counter
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from geodns.responder.answer_policy import Policy, QueryLog, RateLimit
from geodns.responder.rate_limit import Action
from geodns.responder.respond import Client
from geodns.wire import edns
from geodns.wire.cookies import make
from tests.sample_zones import ORIGIN, TCP, UDP, WEIGHTED, Worker, data, zone

SECRET = b"0123456789abcdef"
CLIENT = b"cookies!"
GOOD = make(CLIENT, bytes((127, 0, 0, 1)), 0, SECRET)
"""Of 127.0.0.1, at the second 0."""
ASKS = CLIENT
STALE = CLIENT + bytes(16)

RATE = 5


def limited(*, require_cookie: bool = False, **limit: Any) -> Worker:
    """A worker that passes a few answers of a kind, and drops the rest unless told otherwise."""
    given = RateLimit(**({"per_second": RATE, "slip": 0} | limit))
    policy = Policy(cookie_secrets=(SECRET,), rate_limit=given, require_cookie=require_cookie)
    return Worker(WEIGHTED, policy=policy)


def packet(name: str = "@", rtype: str = "A", *, cookie: bytes | None = None, use_edns: int = -1) -> bytes:
    absolute = ORIGIN if name == "@" else name if name.endswith(".") else f"{name}.{ORIGIN}"
    options: list[dns.edns.Option] = []
    if cookie is not None:
        options, use_edns = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)], 0
    return dns.message.make_query(absolute, rtype, use_edns=use_edns, options=options).to_wire()


def passed(one: Worker, *packets: bytes, times: int = 20, client: Client = UDP) -> int:
    """How many of a few rounds of packets are answered."""
    return sum(one.raw(each, client) is not None for _ in range(times) for each in packets)


# --- what counts together -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "packets",
    [
        pytest.param([packet()], id="packet cache"),
        pytest.param(
            [packet(), packet(use_edns=0), packet(cookie=ASKS), packet("oUt.exAmple.com.")], id="forms"
        ),
        pytest.param([packet("alias")], id="full lookup"),
        pytest.param([packet(f"x{number}.w") for number in range(50)], id="names below a wildcard"),
        pytest.param([packet(f"x{number}") for number in range(50)], id="names that there are not"),
        pytest.param([packet(f"x{number}.sub") for number in range(50)], id="referrals of a cut"),
        pytest.param(
            [packet("text", rtype) for rtype in ("A", "AAAA", "MX", "TLSA")], id="types without data"
        ),
        pytest.param([packet(f"x{number}.example.net.") for number in range(50)], id="names of others"),
        pytest.param([packet("text", "ANY")], id="any"),
        pytest.param([b"\0\1\0\0\0\2" + bytes(6), b"\0\1\x20\0\0\1" + bytes(6)], id="nonsense"),
        pytest.param([packet(use_edns=1), packet("text", use_edns=7)], id="other versions of EDNS"),
        pytest.param(
            [b"\0\1\0\0" + bytes(8), packet("x.example.org."), packet("@", "AXFR")], id="errors of all kinds"
        ),
    ],
)
def test_answers_of_one_kind_share_a_limit(packets: list[bytes]) -> None:
    assert passed(limited(), *packets) == RATE


@pytest.mark.parametrize(
    "packets",
    [
        pytest.param([packet(), packet("@", "AAAA"), packet("@", "MX")], id="types"),
        pytest.param([packet(), packet("a"), packet("mta1")], id="names"),
        pytest.param(
            [packet("no"), packet("no.example.net."), packet("text")], id="no such name, not ours, no data"
        ),
        pytest.param([packet("x.sub"), packet("x.w"), packet("text", "TXT")], id="a cut, a wildcard, a name"),
        pytest.param([packet(use_edns=1), packet("x.example.net.")], id="versions and other errors"),
    ],
)
def test_kinds_do_not_limit_each_other(packets: list[bytes]) -> None:
    assert passed(limited(), *packets) == RATE * len(packets)


def test_networks_do_not_limit_each_other() -> None:
    one = limited()
    clients: list[Client] = [("192.0.2.1", 1, "udp"), ("192.0.3.1", 1, "udp"), ("2001:db8::1", 1, "udp")]
    assert [passed(one, packet(), client=client) for client in clients] == [RATE] * 3
    assert passed(one, packet(), client=("192.0.2.99", 7, "udp")) == 0, "the same network"


def test_time_gives_answers_back() -> None:
    one = limited()
    assert passed(one, packet()) == RATE
    assert passed(one.at(1.0 / RATE), packet()) == 1
    assert passed(one.at(60.0), packet()) == RATE


def test_two_workers_share_a_limit() -> None:
    one, other = limited(), limited()
    one.raw(packet())
    other.state._cells = one.state._cells
    assert passed(one, packet()) + passed(other, packet()) == RATE - 1


ALIASES = zone("""
    hosts: {mta1: 192.0.2.11}
    records:
      "*.old":  {CNAME: mta1}
      "*.gone": {CNAME: nobody}
      "*.away": {CNAME: www.example.net.}
      alias:    {CNAME: mta1}
      "*.mine": {CNAME: mta1}
      moved:    {DNAME: example.net.}
""")


@pytest.mark.parametrize("below", ["old", "gone", "away"])
def test_random_names_that_an_alias_takes_elsewhere_are_one_kind(below: str) -> None:
    one = Worker(ALIASES, policy=Policy(rate_limit=RateLimit(per_second=RATE, slip=0)))
    assert passed(one, *(packet(f"x{number}.{below}") for number in range(50)), times=2) == RATE


@pytest.mark.parametrize("name", ["alias", "x.mine", "x.moved"])
def test_all_types_of_an_alias_are_one_kind(name: str) -> None:
    """It answers whatever type is asked, so a flood could ask for each of them."""
    one = Worker(ALIASES, policy=Policy(rate_limit=RateLimit(per_second=RATE, slip=0)))
    types = [f"TYPE{number}" for number in range(1000, 1040)]
    assert passed(one, *(packet(name, rtype) for rtype in ("A", *types)), times=2) == RATE


# --- who is exempt --------------------------------------------------------------------------------------


def test_tcp_is_never_limited() -> None:
    one = limited()
    passed(one, packet())
    assert passed(one, packet(), packet("x"), b"\0\1\0\0\0\2" + bytes(6), client=TCP) == 60


@pytest.mark.parametrize("name", ["@", "alias", "x", "x.example.net."])
def test_a_good_cookie_is_never_limited_and_takes_nothing_from_others(name: str) -> None:
    one = limited()
    assert passed(one, packet(name, cookie=GOOD), times=50) == 50
    assert passed(one, packet(name)) == RATE
    assert passed(one, packet(name, cookie=GOOD)) == 20


@pytest.mark.parametrize("cookie", [ASKS, STALE])
def test_other_cookies_are_no_excuse(cookie: bytes) -> None:
    assert passed(limited(), packet(cookie=cookie)) == RATE


def test_exempt_networks_are_never_limited() -> None:
    one = limited(exempt=(ip_network("127.0.0.0/8"),))
    assert passed(one, packet()) == 20
    assert passed(one, packet(), client=("192.0.2.1", 1, "udp")) == RATE


# --- what is left of an answer --------------------------------------------------------------------------


def over_the_limit(one: Worker, sent: bytes) -> bytes | None:
    passed(one, sent)
    return one.raw(sent)


@pytest.mark.parametrize("name", ["@", "alias", "x", "x.sub", "x.example.net."])
@pytest.mark.parametrize("cookie", [None, ASKS, STALE])
def test_what_slips_through_is_the_question_with_tc(name: str, cookie: bytes | None) -> None:
    sent = packet(name, cookie=cookie, use_edns=0)
    answer = over_the_limit(limited(slip=1), sent)
    assert answer is not None
    found = dns.message.from_wire(answer)
    assert found.flags & ~dns.flags.RD == dns.flags.QR | dns.flags.TC
    assert (found.rcode(), found.answer, found.authority, found.additional) == (0, [], [], [])
    assert found.question == dns.message.from_wire(sent).question
    errors = [one for one in found.options if isinstance(one, dns.edns.EDEOption)]
    assert [(one.code, one.text) for one in errors] == [(0, "rate limited")]
    given = [one.to_wire() for one in found.options if one.otype == dns.edns.OptionType.COOKIE]
    assert given == ([] if cookie is None else [GOOD]), "with it the next query passes"
    assert len(answer) <= len(sent) + 40


def test_without_edns_it_is_shorter_than_any_answer() -> None:
    sent = packet()
    answer = over_the_limit(limited(slip=1), sent)
    assert answer == sent[:2] + b"\x83\0\0\1\0\0\0\0\0\0" + sent[12:]


def test_what_cannot_be_read_keeps_its_header() -> None:
    sent = b"\0\1\1\0\0\2" + bytes(6)
    assert over_the_limit(limited(slip=1), sent) == b"\0\1\x83\1" + bytes(8)


def test_another_version_of_edns_gets_no_options() -> None:
    answer = over_the_limit(limited(slip=1), packet(use_edns=1, cookie=None))
    assert answer is not None
    found = dns.message.from_wire(answer)
    assert (found.rcode(), found.flags & dns.flags.TC) == (0, dns.flags.TC)


@pytest.mark.parametrize("cookie", [ASKS, STALE])
@pytest.mark.parametrize("name", ["@", "alias"])
def test_with_require_cookie_clients_are_told_to_use_theirs(name: str, cookie: bytes) -> None:
    """RFC 7873 section 5.2.3: the answer has the cookie that the next query needs."""
    one = limited(require_cookie=True, slip=1)
    answer = over_the_limit(one, packet(name, cookie=cookie))
    assert answer is not None
    found = dns.message.from_wire(answer)
    assert (found.rcode(), found.answer, found.authority) == (dns.rcode.BADCOOKIE, [], [])
    assert found.flags & dns.flags.TC == 0
    assert found.question[0].name.to_text() in {ORIGIN, f"{name}.{ORIGIN}"}
    (given,) = [each.to_wire() for each in found.options]
    again = one.raw(packet(name, cookie=given))
    assert again is not None
    assert len(data(dns.message.from_wire(again))) > 0


def test_with_require_cookie_others_are_treated_as_before() -> None:
    assert over_the_limit(limited(require_cookie=True), packet(use_edns=0)) is None
    assert over_the_limit(limited(require_cookie=True, slip=1), packet()) is not None


# --- counting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["@", "alias", "x.w", "tiers"])
def test_what_is_limited_counts_as_limited_alone(name: str) -> None:
    one = limited()
    assert passed(one, packet(name, "MX" if name == "tiers" else "A"), times=12) == RATE
    counts = one.state.take_counts()
    assert sum(counts.queries.values()) == RATE
    parts = 2 if name == "tiers" else 1
    assert sum(counts.dealt.values()) == RATE * parts, "nobody was dealt who was not answered"
    assert counts.limited is not None
    assert counts.limited.actions == {Action.DROPPED: 12 - RATE}
    assert counts.limited.networks == {"127.0.0.0/24": 12 - RATE}
    assert not one.state.take_counts()


def test_the_limit_goes_with_the_policy() -> None:
    one = limited()
    passed(one, packet())
    for policy, expected in (
        (Policy(), 20),
        (Policy(rate_limit=RateLimit(per_second=7, slip=0)), 7),
        (Policy(rate_limit=RateLimit(per_second=7, slip=0), nsid=b"x"), 0),
    ):
        one.compiled = replace(one.compiled, table=replace(one.compiled.table, policy=policy))
        assert passed(one.at(one.now + 100 if expected else one.now), packet()) == expected


def test_answers_under_the_limit_are_the_same_as_without() -> None:
    """The same bytes, in the same turn, by all ways."""
    plain = Worker(WEIGHTED, policy=Policy(cookie_secrets=(SECRET,)))
    guarded = [
        limited(per_second=100_000),
        Worker(WEIGHTED, policy=Policy(cookie_secrets=(SECRET,), query_log=QueryLog())),
    ]
    rng = random.Random(2)
    names = ["@", "a", "alias", "x.w", "tiers", "text", "big", "sub", "nope", "x.example.net."]
    seen: Counter[str] = Counter()
    for _ in range(500):
        name = rng.choice(names)
        sent = packet(
            name,
            rng.choice(["A", "AAAA", "MX", "TXT"]),
            cookie=rng.choice([None, GOOD, ASKS]),
            use_edns=rng.choice([-1, 0]),
        )
        client = rng.choice([UDP, TCP])
        answer = plain.raw(sent, client)
        assert [one.raw(sent, client) for one in guarded] == [answer, answer]
        seen[name] += 1
    assert len(seen) == len(names)
    counted = plain.state.take_counts()
    assert [one.state.take_counts() for one in guarded] == [counted, counted]


def test_no_packet_at_all_gets_more_than_it_may() -> None:
    rng = random.Random(3)
    one = limited(slip=1, require_cookie=True, per_second=1)
    samples = [packet(name, cookie=cookie) for name in ("@", "x", "alias") for cookie in (None, ASKS, GOOD)]
    for _ in range(3000):
        sent = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(4)):
            sent[rng.randrange(len(sent))] = rng.randrange(256)
        answer = one.raw(bytes(sent[: rng.randrange(len(sent) + 1)]))
        assert answer is None or len(answer) <= edns.UDP_SIZE
