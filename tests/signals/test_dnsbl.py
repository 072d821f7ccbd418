"""Asking a block list: what is believed, what counts, and that a key is never named."""

import asyncio
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import dns.asyncresolver
import dns.rcode
import dns.resolver
import pytest

from geodns.model.base import Address
from geodns.model.reputation import Dnsbl, Reputation
from geodns.signals import dnsbl
from geodns.signals.dnsbl import Answers, ListAnswers, ask
from geodns.signals.listings import ListingError
from tests.signals.blocklist import BlockList, block_list

M1, M2, M6 = (ip_address(one) for one in ("192.0.2.1", "192.0.2.2", "2001:db8::1"))
LIST = "bl.test"


@pytest.fixture
def server() -> Iterator[BlockList]:
    with block_list() as found:
        found.zones[LIST] = {}
        yield found


def asked(server: BlockList, *addresses: Address, of: Dnsbl | None = None) -> tuple[Answers, str]:
    found = asked_whole(server, *addresses, of=of)
    return found.answers, found.why


def asked_whole(server: BlockList, *addresses: Address, of: Dnsbl | None = None) -> ListAnswers:
    reputation = Reputation(resolver=IPv4Address("127.0.0.1"), port=server.port)
    return asyncio.run(ask(reputation, of or Dnsbl(zone=LIST), addresses))


def test_both_families_are_asked_for(server: BlockList) -> None:
    server.zones[LIST] = {"192.0.2.1": ["127.0.0.3", "127.0.0.2"], "2001:db8::1": ["127.0.0.4"]}
    server.texts[LIST] = "bad mail"
    answers, why = asked(server, M1, M2, M6)
    assert why == ""
    assert answers == {
        M1: (frozenset({IPv4Address("127.0.0.2"), IPv4Address("127.0.0.3")}), "bad mail"),
        M2: (frozenset(), ""),
        M6: (frozenset({IPv4Address("127.0.0.4")}), "bad mail"),
    }


def nothing_listed(server: BlockList) -> None:
    server.tests[LIST] = {}


def everything_listed(server: BlockList) -> None:
    server.tests[LIST] = {"127.0.0.2": ["127.0.0.2"], "127.0.0.1": ["127.0.0.2"]}


def refuses(server: BlockList) -> None:
    server.tests[LIST] = {"127.0.0.2": ["127.255.255.254"]}


def odd_error(server: BlockList) -> None:
    server.tests[LIST] = {"127.0.0.2": ["127.255.255.7"]}


def parked(server: BlockList) -> None:
    server.tests[LIST] = {"127.0.0.2": ["203.0.113.80"]}


def fails(server: BlockList) -> None:
    server.rcode = dns.rcode.SERVFAIL


def silent(server: BlockList) -> None:
    server.silent = True


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (nothing_listed, "its test entry 127.0.0.2 is not listed, as it must be"),
        (everything_listed, "127.0.0.1 is listed, as it must never be: it may list everything"),
        (refuses, "the list refuses public resolvers (127.255.255.254): name a `resolver` of your own"),
        (odd_error, "the list answers with the error 127.255.255.7"),
        (parked, "the answer 203.0.113.80 lies outside 127.0.0.0/8: is this list still run?"),
        (fails, "the resolver answers SERVFAIL"),
        (silent, "no answer within 0.3 s"),
    ],
)
def test_a_list_that_fails_its_test_is_not_believed(
    server: BlockList, break_it: Callable[[BlockList], None], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dnsbl, "LIFETIME", 0.3)
    server.zones[LIST] = {"192.0.2.1": ["127.0.0.2"]}
    break_it(server)
    with pytest.raises(ListingError) as error:
        asked(server, M1)
    assert str(error.value) == says


def test_a_list_without_ipv6_says_nothing_of_it(server: BlockList) -> None:
    server.tests[LIST] = {"127.0.0.2": ["127.0.0.2"]}
    server.zones[LIST] = {"2001:db8::1": ["127.0.0.2"]}
    answers, why, lacks = asked_whole(server, M1, M6)
    assert answers == {M1: (frozenset(), "")}
    assert why == ""  # many lists have none: that is no alert
    assert lacks == "IPv6: its test entry ::ffff:7f00:2 is not listed, as it must be"
    server.tests[LIST] |= {"::ffff:7f00:2": ["127.255.255.254"]}
    why = asked_whole(server, M1, M6).why
    assert why.startswith("IPv6: the list refuses public resolvers")


def test_an_error_for_one_address_is_no_listing(server: BlockList) -> None:
    server.zones[LIST] = {"192.0.2.1": ["127.255.255.255"]}
    answers, why = asked(server, M1, M2)
    assert answers == {M1: None, M2: (frozenset(), "")}
    assert why == (
        "1 of 2 look-ups failed: 192.0.2.1: the list says that it is asked too often (127.255.255.255)"
    )


def test_the_key_of_a_zone_file_is_never_named(server: BlockList, tmp_path: Path) -> None:
    key = tmp_path / "dqs"
    key.write_text("s3cretkey.zen.test\n")
    server.zones["s3cretkey.zen.test"] = {"192.0.2.1": ["127.0.0.2"]}
    server.texts["s3cretkey.zen.test"] = "see https://S3CRETKEY.zen.test/192.0.2.1"
    one = Dnsbl(zone_file=str(key))
    answers, _ = asked(server, M1, of=one)
    assert answers[M1] == (frozenset({IPv4Address("127.0.0.2")}), "see https://***/192.0.2.1")
    server.rcode = dns.rcode.REFUSED
    with pytest.raises(ListingError) as error:
        asked(server, M1, of=one)
    assert "s3cret" not in f"{error.value!r}{error.value.__cause__!r}{one.name}".lower()


def test_a_key_need_not_be_the_first_label(server: BlockList, tmp_path: Path) -> None:
    key, zone = tmp_path / "dqs", "zen.s3cretkey.longerthananyword.zen.test"
    key.write_text(f"{zone}\n")
    server.zones[zone] = {"192.0.2.1": ["127.0.0.2"]}
    server.texts[zone] = "key=S3cretKey or LongerThanAnyWord, see test.example"
    answers, _ = asked(server, M1, of=Dnsbl(zone_file=str(key)))
    assert answers[M1] == (frozenset({IPv4Address("127.0.0.2")}), "key=*** or ***, see test.example")


def test_a_machine_without_a_resolver_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(**_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver, "Resolver", nothing)
    with pytest.raises(ListingError, match=r"names no resolver: name one as `resolver`"):
        asyncio.run(ask(Reputation(), Dnsbl(zone=LIST), [M1]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "cannot be read: it is no plain text"),
        (b"", "must hold one line: the name of the list's zone"),
        (b"a.example b.example", "must hold one line"),
        (b"no zone!", "must hold one line"),
        (b"http://zen.test", "must hold one line"),
    ],
)
def test_a_wrong_zone_file(server: BlockList, tmp_path: Path, text: bytes | None, says: str) -> None:
    key = tmp_path / "dqs"
    if text is not None:
        key.write_bytes(text)
    with pytest.raises(ListingError) as error:
        asked(server, M1, of=Dnsbl(zone_file=str(key)))
    assert says in str(error.value)
    assert not server.asked
