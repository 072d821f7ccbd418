"""EDNS options as a client sees them, by the clause: cookies, NSID, subnets, keepalive, extended errors."""

from dataclasses import replace
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from geodns.config.server_keys import MAX_TOLD
from geodns.responder.answer_policy import Policy
from geodns.wire import edns
from geodns.wire.cookies import make
from geodns.wire.names import name_to_wire
from tests.sample_zones import DOWN, NAME, ORIGIN, TCP, UDP, Worker, data, live_set, records, zone

ZONE = zone("""
    hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}
    pools:
      main: {hosts: [mta1, mta2], check: smtp}
      strict: {hosts: [mta1], check: smtp, when_down: servfail}
    records: {"@": {pool: main}, strict: {pool: strict}, text: {TXT: hello}}
""")
SECRET, BEFORE = b"0123456789abcdef", b"fedcba9876543210"
POLICY = Policy(
    nsid=b"ns1.example",
    chaos={name_to_wire("id.server"): b"ns1.example", name_to_wire("version.bind"): b"geodns"},
    cookie_secrets=(SECRET, BEFORE),
    idle=12.5,
)
CLIENT = b"cookies!"
GOOD = make(CLIENT, bytes((127, 0, 0, 1)), 0, SECRET)
"""Of UDP and TCP, whose address is 127.0.0.1, at the second 0."""


def worker(policy: Policy = POLICY) -> Worker:
    return Worker(ZONE, policy=policy)


def option(code: int, text: bytes = b"") -> dns.edns.Option:
    return dns.edns.GenericOption(dns.edns.OptionType.make(code), text)


def ask(one: Worker, *options: dns.edns.Option, name: str = "@", **other: Any) -> dns.message.Message:
    """Ask with options, twice over: the second answer comes from a cache, and is the same."""
    first, second = (
        one.ask(name, use_edns=0, payload=1232, options=list(options), **other) for _ in range(2)
    )
    assert (first.rcode(), first.options, first.flags) == (second.rcode(), second.options, second.flags)
    return first


def ask_badly(*options: dns.edns.Option, version: int = 0) -> dns.message.Message:
    """Ask with options that dnspython itself would not read."""
    one = worker()
    one.ask("@")
    packet = dns.message.make_query(
        ORIGIN, "A", use_edns=version, payload=1232, options=list(options)
    ).to_wire()
    first, second = (one.raw(packet) for _ in range(2))
    assert first is not None
    assert first == second
    return dns.message.from_wire(first)


def cookie_in(message: dns.message.Message) -> bytes | None:
    found = [one for one in message.options if one.otype == dns.edns.OptionType.COOKIE]
    return found[0].to_wire() if found else None


# --- cookies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (CLIENT, GOOD),
        (GOOD, GOOD),
        (make(CLIENT, bytes((127, 0, 0, 1)), 0, BEFORE), GOOD),
        (CLIENT + bytes(8), GOOD),
        (CLIENT + bytes(32), GOOD),
    ],
    ids=["client's alone", "ours", "by the secret before", "another's", "a long one"],
)
def test_whoever_sends_a_cookie_gets_one(sent: bytes, answered: bytes) -> None:
    """RFC 7873 section 5.2.3 to 5.2.5; without a flood all of them are answered."""
    found = ask(worker(), option(edns.COOKIE, sent))
    assert cookie_in(found) == answered
    assert len(data(found)) == 2


@pytest.mark.parametrize("length", [0, 1, 7, 9, 15, 41, 200])
def test_malformed_cookies(length: int) -> None:
    """RFC 7873 section 5.2.2; the answer has an OPT record, for the query's was well formed."""
    found = ask_badly(option(edns.COOKIE, bytes(length)))
    assert (found.rcode(), found.edns, found.options, found.answer) == (dns.rcode.FORMERR, 0, (), [])


def test_whoever_sends_none_gets_none() -> None:
    """RFC 7873 section 5.2.1."""
    assert ask(worker()).options == ()


def test_without_secrets_there_are_no_cookies() -> None:
    found = ask(worker(Policy()), option(edns.COOKIE, CLIENT))
    assert (found.rcode(), found.options) == (dns.rcode.NOERROR, ())


def test_a_cookie_that_ages_is_renewed() -> None:
    """RFC 9018 section 4.3; the cache forgets it in time."""
    one = worker()
    packet = dns.message.make_query(ORIGIN, "A", use_edns=0, options=[option(edns.COOKIE, GOOD)]).to_wire()
    one.state.epoch = -500.0
    for now in (0, 1799, 1800, 3601):
        found = [one.at(now + 500).send(packet) for _ in range(2)]
        expected = GOOD if now < 1800 else make(CLIENT, bytes((127, 0, 0, 1)), now, SECRET)
        assert [cookie_in(each) for each in found] == [expected] * 2


def test_another_address_does_not_get_anothers_cookie() -> None:
    one = worker()
    ask(one, option(edns.COOKIE, GOOD))
    other = ("192.0.2.99", 40000, "udp")
    assert cookie_in(ask(one, option(edns.COOKIE, GOOD), client=other)) != GOOD


def test_a_secret_that_changes_is_taken_at_once() -> None:
    one = worker()
    ask(one, option(edns.COOKIE, GOOD))
    after = replace(POLICY, cookie_secrets=(b"another secret!!", SECRET))
    one.compiled = replace(one.compiled, table=replace(one.compiled.table, policy=after))
    renewed = make(CLIENT, bytes((127, 0, 0, 1)), 0, b"another secret!!")
    assert cookie_in(ask(one, option(edns.COOKIE, GOOD))) == renewed


@pytest.mark.parametrize(
    ("cookie", "rcode"),
    [(CLIENT, "NOERROR"), (GOOD, "NOERROR"), (CLIENT + bytes(16), "BADCOOKIE"), (b"short", "FORMERR")],
)
def test_a_query_for_a_cookie_alone(cookie: bytes, rcode: str) -> None:
    """RFC 7873 section 5.4."""
    header = b"\xab\xcd\x01\x00" + bytes(7) + b"\x01"
    data = edns.option(edns.COOKIE, cookie)
    packet = header + b"\0\0\x29\x04\xd0\0\0\0\0" + len(data).to_bytes(2, "big") + data
    answer = worker().raw(packet)
    assert answer is not None
    found = dns.message.from_wire(answer)
    assert dns.rcode.to_text(found.rcode()) == rcode
    assert (found.question, found.answer, found.authority) == ([], [], [])
    assert cookie_in(found) == (None if rcode == "FORMERR" else GOOD)


# --- NSID, subnets, keepalive --------------------------------------------------------------------------


def test_nsid() -> None:
    """RFC 5001 section 2.3."""
    assert [one.to_text() for one in ask(worker(), option(edns.NSID)).options] == ["NSID ns1.example"]
    assert ask(worker(Policy()), option(edns.NSID)).options == ()


@pytest.mark.parametrize("subnet", ["192.0.2.0/24", "2001:db8::/56", "0.0.0.0/0"])
def test_a_subnet_comes_back_with_scope_0(subnet: str) -> None:
    """RFC 7871 section 7.2.1: what does not depend on the client is for everybody."""
    address, length = subnet.split("/")
    asked = dns.edns.ECSOption(address, int(length))
    [found] = ask(worker(), asked).options
    assert isinstance(found, dns.edns.ECSOption)
    assert (found.address, found.srclen, found.scopelen) == (address, int(length), 0)


@pytest.mark.parametrize("text", [b"", b"\0\1\x18\x18\xc0\0\2", b"\0\1\x17\0\xc0\0\3", b"\0\3\x08\0\xc0"])
def test_malformed_subnets(text: bytes) -> None:
    """RFC 7871 section 7.1.2."""
    found = ask_badly(option(edns.SUBNET, text))
    assert (found.rcode(), found.edns, found.options) == (dns.rcode.FORMERR, 0, ())


def test_keepalive_is_for_connections() -> None:
    """RFC 7828 sections 3.3.1 and 3.3.2."""
    assert ask(worker(), option(edns.KEEPALIVE)).options == ()
    [found] = ask(worker(), option(edns.KEEPALIVE), client=TCP).options
    assert found.to_wire() == (125).to_bytes(2, "big")


def test_another_version_gets_no_options() -> None:
    """RFC 6891 section 6.1.3."""
    options = [option(edns.COOKIE, CLIENT), option(edns.NSID), option(edns.SUBNET, b"x")]
    found = ask_badly(*options, version=1)
    assert (found.rcode(), found.edns, found.options) == (dns.rcode.BADVERS, 0, ())


def test_options_count_towards_the_size() -> None:
    one = Worker(zone(f"records: {{t: {{TXT: [{'x' * 250}, {'y' * 185}]}}}}"), policy=POLICY)
    plain = one.ask("t", "TXT", use_edns=0, payload=512)
    assert not plain.flags & dns.flags.TC
    for _ in range(2):
        found = one.ask("t", "TXT", use_edns=0, payload=512, options=[option(edns.COOKIE, CLIENT)])
        assert found.flags & dns.flags.TC
        assert cookie_in(found) == GOOD, "also where the rest does not fit"


# --- extended errors -----------------------------------------------------------------------------------


def errors(message: dns.message.Message) -> list[str]:
    return [one.to_text() for one in message.options if one.otype == dns.edns.OptionType.EDE]


def test_why_it_is_refused() -> None:
    """RFC 8914 sections 4.21 and 4.22."""
    assert errors(ask(worker(), name="example.net.")) == ["EDE 20 (Not Authoritative)"]
    assert errors(ask(worker(), rtype="AXFR")) == ["EDE 21 (Not Supported)"]
    assert worker().ask("example.net.").options == (), "nothing for whoever knows no EDNS"


def test_who_is_dealt_as_the_last_resort() -> None:
    one = worker()
    one.believe(live_set(ZONE, {"mta1": DOWN, "mta2": DOWN}), "main", "strict")
    why = "EDE 0 (Other): nobody in pool main is live: hosts are dealt that are down"
    for options in ([], [option(edns.COOKIE, CLIENT)]):
        found = ask(one, *options)
        assert errors(found) == [why]
        assert (cookie_in(found) is not None) is bool(options)
    assert len(data(one.ask("@"))) == 2
    found = ask(one, name="strict")
    assert (found.rcode(), errors(found)) == (
        dns.rcode.SERVFAIL,
        ["EDE 0 (Other): nobody in pool strict is live"],
    )


POOLS = range(30)
MANY = zone(
    f"""
    hosts: {{{", ".join(f"h{n}: 192.0.2.{n + 1}" for n in POOLS)}}}
    pools: {{{", ".join(f"p{n}: {{hosts: [h{n}], check: smtp}}" for n in POOLS)}}}
    records:
      "@": {{MX: [{", ".join(f"{{pool: p{n}, preference: {n}}}" for n in POOLS)}]}}
      few: {{MX: [{", ".join(f"{{pool: p{n}, preference: {n}}}" for n in POOLS[:12])}]}}
    """
)


@pytest.mark.parametrize("payload", [512, 600, 700, 800, 1232])
@pytest.mark.parametrize("name", ["@", "few"])
def test_what_is_said_takes_no_room_from_an_answer(name: str, payload: int) -> None:
    """When all pools are dead, the same fits as when all live, and nothing is over the limit."""
    one = Worker(MANY, policy=POLICY)
    options: dict[str, Any] = {"use_edns": 0, "payload": payload}
    alive = one.ask(name, "MX", **options)
    one.believe(live_set(MANY, {f"h{n}": DOWN for n in POOLS}), *(f"p{n}" for n in POOLS))
    dead = [one.ask(name, "MX", **options) for _ in range(2)]
    assert {len(data(each)) for each in dead} == {len(data(alive))}
    whole = one.ask(name, "MX", client=TCP, **options)
    (why,) = errors(whole)
    assert why.startswith("EDE 0 (Other): nobody in pool p0 (and ")
    assert len(why) < 140


def test_the_longest_of_everything_is_within_512_bytes() -> None:
    long = replace(POLICY, nsid=b"n" * MAX_TOLD)
    name = ".".join(["a" * 63] * 3 + ["b" * 47]) + ".example.net."
    subnet = dns.edns.ECSOption("2001:db8::1", 128)
    options = [option(edns.COOKIE, CLIENT), option(edns.NSID), subnet]
    query = dns.message.make_query(name, "A", use_edns=0, payload=512, options=options)
    answer = worker(long).raw(query.to_wire())
    assert answer is not None
    assert len(answer) <= 512
    assert len(dns.message.from_wire(answer).options) == 4


def test_all_is_well_says_nothing() -> None:
    assert errors(ask(worker())) == []


# --- about ourselves -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rtype", ["TXT", "ANY"])
@pytest.mark.parametrize(("name", "text"), [("id.server.", "ns1.example"), ("VERSION.bind.", "geodns")])
def test_who_we_are(name: str, text: str, rtype: str) -> None:
    """RFC 4892 section 2.1."""
    found = worker().ask(name, rtype, rdclass="CH")
    assert [str(rrset) for rrset in found.answer] == [f'{name} 0 CH TXT "{text}"']
    assert found.flags & dns.flags.AA


@pytest.mark.parametrize(("name", "rtype"), [("hostname.bind.", "TXT"), ("id.server.", "A"), ("@", "A")])
def test_what_is_not_told(name: str, rtype: str) -> None:
    found = worker().ask(name, rtype, rdclass="CH")
    assert (found.rcode(), found.answer) == (dns.rcode.REFUSED, [])


def test_the_zone_is_not_of_that_class() -> None:
    assert list(records(worker().ask("text", "TXT").answer)) == ['text 3600 TXT "hello"']
    assert worker().ask("text", "TXT", rdclass="CH", client=UDP).answer == []
    assert NAME in worker().compiled.sources
