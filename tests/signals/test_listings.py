"""Listings: when they count, when they end, and what they ask for."""

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.hosts import Host
from geodns.model.reputation import Dnsbl, Reputation, ReputationAction
from geodns.signals.listings import BlockListing, Listings, codes_of, listed_codes, query_name

M1 = ip_address("192.0.2.1")
CODE = frozenset({IPv4Address("127.0.0.2")})
LISTED, CLEAN, FAILED = (CODE, "why"), (frozenset[IPv4Address](), ""), None


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.99", "99.2.0.192.bl.test."),
        ("2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test."),
    ],
)
def test_names_as_rfc_5782_has_them(address: str, name: str) -> None:
    assert query_name(ip_address(address), "bl.test") == name


def test_codes_are_addresses_of_loopback() -> None:
    assert codes_of(["127.0.0.2", "127.0.0.11"]) == {IPv4Address("127.0.0.2"), IPv4Address("127.0.0.11")}
    assert codes_of([]) == frozenset()


@pytest.mark.parametrize(
    ("rounds", "counts"),
    [
        ([LISTED], False),
        ([LISTED, LISTED], True),
        ([LISTED, CLEAN, LISTED], False),
        ([LISTED, FAILED, LISTED], True),
        ([LISTED, LISTED, CLEAN], True),
        ([LISTED, LISTED, FAILED, FAILED, FAILED], True),
        ([LISTED, LISTED, CLEAN, LISTED, CLEAN], True),
        ([LISTED, LISTED, CLEAN, CLEAN], False),
        ([LISTED, LISTED, CLEAN, FAILED, CLEAN], False),
    ],
)
def test_two_rounds_confirm_both_ways(
    rounds: list[tuple[frozenset[IPv4Address], str] | None],
    counts: bool,
) -> None:
    known = Listings()
    for number, answer in enumerate(rounds):
        known.took_round("bl", {M1: answer}, 2, float(number))
    one = known.known.get(("bl", M1))
    assert (one is not None and one.counts) is counts
    if counts:
        assert one is not None
        assert one.since == 0.0


def signs_of(dnsbl: Dnsbl, *codes: str) -> list[ReputationAction]:
    known = Listings()
    found = frozenset(IPv4Address(code) for code in codes)
    known.took_round(dnsbl.name, {M1: (found, "")}, 1, 0.0)
    host = Host(name="m1", addresses=(ip_address("10.0.0.1"),), egress=(M1,))
    return [one.action for one in known.signs(host, Reputation(dnsbl=(dnsbl,)))]


QUARANTINE, ALERT, IGNORE = (
    ReputationAction.model_validate({"kind": kind}) for kind in ("quarantine", "alert", "ignore")
)
REDUCE = ReputationAction(kind="reduce", percent=25)


@pytest.mark.parametrize(
    ("codes", "action"),
    [
        (["127.0.0.2"], [QUARANTINE]),
        (["127.0.0.10"], []),
        (["127.0.0.11"], [REDUCE]),
        (["127.0.0.10", "127.0.0.11"], [REDUCE]),
        (["127.0.0.10", "127.0.0.11", "127.0.0.2"], [QUARANTINE]),
    ],
)
def test_the_gravest_code_counts(codes: list[str], action: list[ReputationAction]) -> None:
    own = ((IPv4Address("127.0.0.10"), IGNORE), (IPv4Address("127.0.0.11"), REDUCE))
    assert signs_of(Dnsbl(zone="bl.test", codes=own), *codes) == action


def test_any_egress_address_takes_the_host_and_its_own_do_not() -> None:
    known = Listings()
    reputation = Reputation(dnsbl=(Dnsbl(zone="bl.test"),))
    known.took_round("bl.test", {M1: LISTED}, 1, 0.0)
    elsewhere = Host(name="m2", addresses=(M1,), egress=(ip_address("192.0.2.2"),))
    assert not list(known.signs(elsewhere, reputation))
    both = Host(name="m1", addresses=(ip_address("10.0.0.1"),), egress=(ip_address("192.0.2.2"), M1))
    assert [one.why for one in known.signs(both, reputation)] == ["192.0.2.1 is on bl.test (127.0.0.2: why)"]


def test_lists_and_addresses_that_leave_the_file_are_forgotten() -> None:
    known = Listings()
    known.took_round("bl.test", {M1: LISTED}, 1, 0.0)
    known.keep(Reputation(dnsbl=(Dnsbl(zone="bl.test"),)), {M1})
    assert known.known
    known.keep(Reputation(), {M1})
    assert not known.known


@given(st.lists(st.sampled_from([LISTED, CLEAN, FAILED]), max_size=40), st.integers(1, 5))
def test_failures_never_change_what_counts(
    rounds: list[tuple[frozenset[IPv4Address], str] | None], confirm: int
) -> None:
    with_failures, without = Listings(), Listings()
    for number, answer in enumerate(rounds):
        with_failures.took_round("bl", {M1: answer}, confirm, float(number))
        if answer is not None:
            without.took_round("bl", {M1: answer}, confirm, float(number))
    assert with_failures.known == without.known


def test_of_very_many_codes_a_few_are_shown() -> None:
    one = BlockListing(frozenset(IPv4Address(f"127.0.{n}.2") for n in range(200)))
    assert listed_codes(one).endswith(", 127.0.7.2 and 192 more")
