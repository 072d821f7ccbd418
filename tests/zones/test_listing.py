"""What a source gave last: kept when it fails, the same over a restart, looked up again in time."""

import json
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.base import Address
from geodns.model.hosts import DnsSource
from geodns.zonefile.names import is_host_label
from geodns.zonefile.sources import MAX_LABEL
from geodns.zones.listing import NEVER, Listing, hosts_of, lookup_pause, read_listing

SOURCE = DnsSource(dns="mta.internal.example", label="mta", weight=3)
ADDRESSES = st.ip_addresses()


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("192.0.2.11", "mta-192-0-2-11"),
        ("2001:db8::11", "mta-2001-db8-0-0-0-0-0-11"),
        ("2001:db8::", "mta-2001-db8-0-0-0-0-0-0"),
    ],
)
def test_a_host_is_called_by_its_address(address: str, label: str) -> None:
    (host,) = hosts_of(SOURCE, (ip_address(address),))
    assert (host.name, host.weight, [str(one) for one in host.addresses]) == (label, 3, [address])


@given(st.sets(ADDRESSES, max_size=50))
def test_labels_are_valid_and_tell_addresses_apart(addresses: set[Address]) -> None:
    longest = DnsSource(dns="x.example", label="a" * MAX_LABEL)
    hosts = hosts_of(longest, tuple(addresses))
    assert all(is_host_label(host.name) for host in hosts)
    assert len({host.name for host in hosts}) == len(addresses)
    assert hosts == hosts_of(longest, tuple(sorted(addresses, key=str, reverse=True)))


LISTS = st.lists(ADDRESSES, max_size=5, unique=True)
STEPS = st.lists(st.one_of(LISTS.map(tuple), st.sampled_from(["SERVFAIL", "no answer"])), max_size=20)


@given(STEPS)
def test_a_failure_keeps_the_last_list_and_since_when(steps: list[tuple[Address, ...] | str]) -> None:
    known, last = NEVER, hosts_of(SOURCE, ())
    good, bad = None, None
    for now, step in enumerate(steps):
        if isinstance(step, str):
            known = known.failed(step, now)
            bad = now if bad is None else bad
            assert known.error == step
        else:
            known = known.gave({"": hosts_of(SOURCE, step)}, now)
            last, good, bad = hosts_of(SOURCE, step), now, None
            assert known.error is None
        assert (known.hosts, known.at, known.since) == (last, good, bad)
        kept = read_listing(known.text())
        assert (kept.hosts, kept.at, kept.error) == (last, good, None)


def test_a_kept_list_knows_what_its_hosts_do_not_say() -> None:
    plain = DnsSource(dns="mta.example", label="mta")
    for source, said in ((plain, {"name", "addresses"}), (SOURCE, {"name", "addresses", "weight"})):
        (one,) = hosts_of(source, (ip_address("192.0.2.11"),))
        (kept,) = read_listing(Listing({"": (one,)}, 1.0).text()).hosts
        assert (kept, kept.model_fields_set) == (one, said)


def _kept(at: str = "1", **host: object) -> str:
    return (
        f'{{"at": {at}, "members": {json.dumps({"": [{"name": "a", "addresses": ["192.0.2.1"], **host}]})}}}'
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "nonsense", "[" * 100_000),
        *(_kept(at) for at in ('"x"', '"1"', "true", "-1", "1e300", "NaN", "[1]")),
        *(_kept(name=name) for name in (3, "", "a b", "a.b", "a" * 64)),
        *(_kept(addresses=addresses) for addresses in ([], ["x"])),
        *(_kept(weight=weight) for weight in (-5, 10**12, "x")),
    ],
)
def test_a_list_that_cannot_be_read_any_more_is_none(text: str) -> None:
    """`/status` shows the time, and zones are made of the hosts."""
    assert read_listing(_kept()).at == 1
    assert read_listing(text) == NEVER


def test_what_is_told_of_a_failure() -> None:
    assert (
        NEVER.failed("SERVFAIL", 1.0).describe_failure("dns a")
        == "dns a: SERVFAIL: it has never given a host"
    )
    known = Listing({"": hosts_of(SOURCE, (ip_address("192.0.2.11"),))}).failed("SERVFAIL", 1.0)
    assert known.describe_failure("dns a") == "dns a: SERVFAIL: its last list is kept (1 host)"


@pytest.mark.parametrize(
    ("interval", "ttl", "failures", "seconds"),
    [
        pytest.param(None, 30.0, 0, 30.0, id="the ttl"),
        pytest.param(None, 0.0, 0, 5.0, id="not sooner"),
        pytest.param(None, 86400.0, 0, 300.0, id="not later"),
        pytest.param(10.0, 300.0, 0, 10.0, id="as the operator says"),
        pytest.param(None, None, 1, 1.0, id="tried again soon"),
        pytest.param(None, None, 3, 4.0, id="and less often"),
        pytest.param(None, None, 10_000, 30.0, id="but often enough"),
        pytest.param(2.0, None, 9, 2.0, id="not less often than usual"),
    ],
)
def test_when_it_is_looked_up_again(
    interval: float | None, ttl: float | None, failures: int, seconds: float
) -> None:
    source = DnsSource(dns="a.example", label="a", interval=interval)
    assert lookup_pause(source, ttl, failures) == seconds
