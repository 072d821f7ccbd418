"""Names of response codes, as dnspython has them."""

import dns.rcode
import pytest

from geodns.wire.codes import rcode_name


@pytest.mark.parametrize("rcode", [*range(11), 16, 23])
def test_the_names_of_the_register(rcode: int) -> None:
    assert rcode_name(rcode) == dns.rcode.to_text(dns.rcode.Rcode(rcode))


def test_one_without_a_name() -> None:
    assert rcode_name(3841) == "RCODE3841"
