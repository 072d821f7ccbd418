import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.wire.networks import Networks, packed, parse_network


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
    ],
)
def test_networks_are_read(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    ("text", "what", "instead"),
    [
        ("192.0.2.7/24", "has bits behind its prefix", "write 192.0.2.0/24"),
        ("2001:db8::1/32", "has bits behind its prefix", "write 2001:db8::/32"),
        ("192.0.2.0/33", "is no network", "192.0.2.0/24"),
        ("192.0.2.0/255.255.255.0", "is no network", "192.0.2.0/24"),
        ("192.0.2", "is no network", "192.0.2.0/24"),
        ("mta1", "is no network", "192.0.2.0/24"),
        ("fe80::%eth0/64", "is no network", "192.0.2.0/24"),
        ("", "is no network", "192.0.2.0/24"),
        ("192.0.2.0/", "is no network", "192.0.2.0/24"),
        ("x" * 500, "is no network", "192.0.2.0/24"),
    ],
)
def test_what_is_no_network_is_told(text: str, what: str, instead: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_network(text)
    assert what in error.value.args[0]
    assert instead in error.value.args[1]
    assert len(error.value.args[0]) < 120


networks = st.lists(
    st.builds(
        lambda address, bits: ipaddress.ip_network((address, min(bits, address.max_prefixlen)), strict=False),
        st.ip_addresses(),
        st.integers(0, 128),
    ),
    max_size=5,
)


@given(some=networks, address=st.ip_addresses())
def test_they_have_the_addresses_that_the_standard_library_says(some: Any, address: Any) -> None:
    assert Networks(some).have(packed(str(address))) == any(address in one for one in some)
    assert bool(Networks(some)) == bool(some)


def test_a_link_s_name_is_no_part_of_an_address() -> None:
    assert packed("fe80::1%eth0") == packed("fe80::1")
