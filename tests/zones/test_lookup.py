"""One look-up: which answers are lists of hosts, and which are failures that keep the last."""

import asyncio
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import dns.rcode
import pytest

from geodns.errors import SourceError
from geodns.model.hosts import DnsSource
from geodns.zones import lookup
from geodns.zones.lookup import MAX_FOUND, Addresses, look_up
from tests.zones.nameserver import NAME, NameServer, addresses, name_server


def ask(
    tell: Callable[[NameServer], object], *, tcp: bool = True, **more: Any
) -> tuple[Addresses, list[str]]:
    async def run() -> tuple[Addresses, list[str]]:
        async with name_server(tcp=tcp) as server:
            tell(server)
            source = DnsSource(
                dns=NAME, label="mta", resolver=ip_address("127.0.0.1"), port=server.port, **more
            )
            return await look_up(source), server.asked

    return asyncio.run(run())


def found(answer: Addresses) -> list[str]:
    return sorted(str(address) for address in answer.addresses)


def test_both_families_are_asked_for_over_tcp() -> None:
    answer, asked = ask(lambda server: server.has("192.0.2.11", "192.0.2.12", "2001:db8::11", ttl=7))
    assert found(answer) == ["192.0.2.11", "192.0.2.12", "2001:db8::11"]
    assert answer.ttl == 7
    assert asked == ["tcp", "tcp"]


@pytest.mark.parametrize("one", ["192.0.2.11", "2001:db8::11"])
def test_one_family_may_be_empty(one: str) -> None:
    assert found(ask(lambda server: server.has(one))[0]) == [one]


def test_the_shortest_ttl_on_the_way_counts() -> None:
    def tell(server: NameServer) -> None:
        server.has("192.0.2.11", ttl=60)
        server.records["CNAME"] = (5, ["pods.internal.example."])

    assert ask(tell)[0].ttl == 5


def test_a_server_that_gives_a_part_over_udp_is_heard_in_full() -> None:
    def tell(server: NameServer) -> None:
        server.has(*addresses(1, 101))
        server.few = 3

    assert len(ask(tell)[0].addresses) == 100


def test_where_tcp_is_refused_udp_is_asked() -> None:
    answer, asked = ask(lambda server: server.has("192.0.2.11"), tcp=False)
    assert (found(answer), set(asked)) == (["192.0.2.11"], {"udp"})


def test_what_no_machine_can_have_is_left_out() -> None:
    answer, _ = ask(lambda server: server.has("0.0.0.0", "224.0.0.1", "192.0.2.11", "ff02::1"))
    assert found(answer) == ["192.0.2.11"]
    assert sorted(str(one) for one in answer.refused) == ["0.0.0.0", "224.0.0.1", "ff02::1"]


def rcode(code: dns.rcode.Rcode, *, only: str | None = None) -> Callable[[NameServer], None]:
    def tell(server: NameServer) -> None:
        server.has("192.0.2.11", "2001:db8::11")
        if only is None:
            server.rcode = code
        else:
            server.rcodes[only] = code

    return tell


@pytest.mark.parametrize(
    ("code", "only", "expected", "error"),
    [
        pytest.param(dns.rcode.NXDOMAIN, "AAAA", "192.0.2.11", None, id="Consul"),
        pytest.param(dns.rcode.NXDOMAIN, "A", "2001:db8::11", None, id="the other way round"),
        pytest.param(dns.rcode.SERVFAIL, "AAAA", "192.0.2.11", "AAAA: Do53:127.0.0.1", id="half a failure"),
    ],
)
def test_the_family_that_answers_counts(
    code: dns.rcode.Rcode, only: str, expected: str, error: str | None
) -> None:
    answer, _ = ask(rcode(code, only=only))
    assert found(answer) == [expected]
    assert answer.silent == {only}
    assert (answer.error or "").startswith(error or "")
    assert (answer.error is None) == (error is None)


def test_one_family_may_be_asked_for_alone() -> None:
    answer, asked = ask(rcode(dns.rcode.NXDOMAIN, only="AAAA"), family="A")
    assert (found(answer), asked) == (["192.0.2.11"], ["tcp"])
    assert not answer.silent


LOCAL = ("127.0.0.1", "169.254.1.1", "::1", "fe80::1", "::ffff:127.0.0.1")
MAPPED = ("::ffff:127.0.0.1", "::ffff:192.0.2.12")


def test_local_addresses_are_taken_only_where_the_source_says_so() -> None:
    answer, _ = ask(lambda server: server.has("192.0.2.11", *LOCAL))
    assert found(answer) == ["192.0.2.11"]
    assert len(answer.refused) == len(LOCAL)
    networks = [ip_network("127.0.0.0/8"), ip_network("fe80::/10")]
    answer, _ = ask(lambda server: server.has("192.0.2.11", "0.0.0.0", *LOCAL), networks=networks)
    assert found(answer) == ["127.0.0.1", "fe80::1"]
    with pytest.raises(SourceError, match="outside `networks`"):
        ask(lambda server: server.has("127.0.0.1"))


def test_an_ipv4_address_in_aaaa_is_never_taken() -> None:
    """A check would reach it over IPv4, and nobody else over IPv6."""
    for networks in ([], [ip_network("::/0"), ip_network("0.0.0.0/0")]):
        answer, _ = ask(lambda server: server.has("2001:db8::11", *MAPPED), networks=networks)
        assert (found(answer), len(answer.refused)) == (["2001:db8::11"], len(MAPPED))


def quiet(server: NameServer) -> None:
    server.silent = True


@pytest.mark.parametrize(
    ("tell", "message"),
    [
        pytest.param(rcode(dns.rcode.NXDOMAIN), "there is no name mta.internal.example", id="nxdomain"),
        pytest.param(rcode(dns.rcode.SERVFAIL), "answers SERVFAIL", id="servfail"),
        pytest.param(rcode(dns.rcode.REFUSED), "answers REFUSED", id="refused"),
        pytest.param(lambda server: server.has(), "has no address", id="nodata"),
        pytest.param(
            lambda server: server.has("0.0.0.0"), "no address that may become a host", id="no machine's"
        ),
        pytest.param(quiet, "no answer within", id="silence"),
        pytest.param(
            lambda server: server.has(*addresses(1, MAX_FOUND + 2)), "has 1,001 addresses: at most", id="many"
        ),
    ],
)
def test_what_is_a_failure(
    tell: Callable[[NameServer], object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "LIFETIME", 1.0)
    with pytest.raises(SourceError, match=message) as raised:
        ask(tell)
    assert "\n" not in str(raised.value)


def test_a_dead_resolver_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "LIFETIME", 1.0)

    async def run() -> None:
        async with name_server() as server:
            port = server.port
        await look_up(DnsSource(dns=NAME, label="mta", resolver=ip_address("127.0.0.1"), port=port))

    with pytest.raises(SourceError):
        asyncio.run(run())


def test_a_system_without_resolvers_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**options: bool) -> None:
        assert options == {"configure": True}
        raise OSError("cannot open /etc/resolv.conf")

    monkeypatch.setattr("dns.asyncresolver.Resolver", fails)
    with pytest.raises(SourceError, match="cannot be looked up: cannot open"):
        asyncio.run(look_up(DnsSource(dns=NAME, label="mta")))
