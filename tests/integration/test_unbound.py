"""A real resolver with the zone as a stub: what its clients get, keep, and see of a failover."""

import shutil
import time
from collections.abc import Iterator

import dns.rcode
import pytest

from tests.integration import richzone
from tests.integration.cluster import ANSWER, Server, serving, zone_text
from tests.integration.mailhosts import MailHost, mail_hosts, wait_until
from tests.integration.resolvers import Resolver, resolving

NAME = "out.example.com"
RICH = "rich.example.com"
TTL = 3

pytestmark = pytest.mark.skipif(
    shutil.which("unbound") is None, reason="no unbound here: apt-get install unbound"
)


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, MailHost]]:
    with mail_hosts("mta1", "mta2", "mta3") as opened:
        yield opened


@pytest.fixture(scope="module")
def server(hosts: dict[str, MailHost], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    texts = {NAME: zone_text(hosts, ttl=TTL), RICH: richzone.yaml(hosts["mta2"].endpoint)}
    with serving(tmp_path_factory.mktemp("stub"), texts) as running:
        yield running


@pytest.fixture(scope="module")
def resolver(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resolver]:
    folder = tmp_path_factory.mktemp("unbound")
    with resolving("unbound", folder, server.listen[0], (NAME, RICH), f"ns1.{NAME}") as running:
        yield running


ANSWERED = {
    "a host": ("mta1", "A", {"192.0.2.11"}),
    "a host by IPv6": ("mta1", "AAAA", {"2001:db8::11"}),
    "beside the host": ("mta1", "TXT", {'"v=spf1 a -all"'}),
    "below empty names": ("a.b.c", "TXT", {'"below two empty names"'}),
    "below underscores": ("_smtp._tcp", "SRV", {f"0 5 25 mta1.{RICH}."}),
    "a wildcard": ("any.wild", "A", {"192.0.2.90"}),
    "deep below a wildcard": ("x.y.z.wild", "A", {"192.0.2.90"}),
    "an alias by wildcard": ("mx7.old", "A", {"192.0.2.80", "192.0.2.81"}),
    "CAA": ("static", "CAA", {'0 issue "ca.example.net"'}),
}


@pytest.mark.parametrize(("owner", "rtype", "values"), ANSWERED.values(), ids=ANSWERED.keys())
def test_answers_come_through(resolver: Resolver, owner: str, rtype: str, values: set[str]) -> None:
    answer = resolver.ask(f"{owner}.{RICH}", rtype)
    assert answer.rcode() == dns.rcode.NOERROR
    assert {str(record) for record in answer.answer[-1]} == values


def test_pools_come_through(resolver: Resolver) -> None:
    for owner, rtype, number in (
        ("", "A", 2),
        ("", "AAAA", 1),
        ("", "MX", 2),
        ("bulk.", "A", 2),
        ("in.", "MX", 4),
    ):
        assert len(resolver.rrset(f"{owner}{RICH}", rtype)) == number
    alias, link, addresses = resolver.ask(f"chain.{RICH}").answer
    assert (len(alias), len(link), len(addresses)) == (1, 1, 2)


def test_what_is_too_large_for_udp_comes_through(resolver: Resolver) -> None:
    assert len(resolver.rrset(f"many.{RICH}", "TXT")) == 40


def test_no_is_no(resolver: Resolver) -> None:
    assert resolver.ask(f"nope.{RICH}").rcode() == dns.rcode.NXDOMAIN
    no_data = resolver.ask(f"static.{RICH}", "MX")
    assert (no_data.rcode(), no_data.answer) == (dns.rcode.NOERROR, [])
    # An empty name must not be denied: what lies below it would be gone as well (harden-below-nxdomain).
    assert resolver.ask(f"b.c.{RICH}").rcode() == dns.rcode.NOERROR
    assert resolver.ask(f"a.b.c.{RICH}", "TXT").answer


def test_an_answer_is_kept_for_its_ttl_and_no_longer(resolver: Resolver, server: Server) -> None:
    wait_until(lambda: len(server.seen(NAME)) == 3, what="all are dealt")
    began = time.monotonic()
    first = resolver.rrset(NAME)
    assert first.ttl <= TTL
    time.sleep(1.2)
    second = resolver.rrset(NAME)
    assert set(second) == set(first)
    assert second.ttl < first.ttl

    def renewed() -> bool:
        # One set of three is dealt after the other: some later one differs from the first.
        return set(resolver.rrset(NAME)) != set(first)

    wait_until(renewed, 40, "another set comes through")
    assert time.monotonic() - began >= first.ttl


def test_failover_is_seen_through_the_cache(
    resolver: Resolver, server: Server, hosts: dict[str, MailHost]
) -> None:
    wait_until(lambda: len(server.seen(NAME)) == 3, what="all are dealt")
    gone = str(resolver.rrset(NAME)[0])
    name = f"mta{gone[-1]}"
    hosts[name].close()
    wait_until(lambda: gone not in server.seen(NAME), what="the host is dealt no more")
    down = time.monotonic()
    wait_until(lambda: gone not in {str(one) for one in resolver.rrset(NAME)}, what="the cache lets it go")
    assert time.monotonic() - down < TTL + ANSWER
    for _ in range(3):
        assert gone not in {str(one) for one in resolver.rrset(NAME)}
        assert gone not in {str(one) for one in resolver.rrset(NAME.upper())}
    hosts[name].open()
    wait_until(lambda: server.state_of(name) == "up", what="the host is back")
    wait_until(lambda: gone in {str(one) for one in resolver.rrset(NAME)}, 40, "the cache has it again")
