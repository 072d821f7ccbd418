"""What tests shorten is as long as it should be where nobody does."""

from importlib import import_module

import pytest

from tests.integration.product import PACKAGE, REAL


@pytest.mark.parametrize(("name", "value"), REAL.items(), ids=REAL)
def test_a_delay_is_what_it_should_be(name: str, value: object) -> None:
    module, _, attribute = name.rpartition(".")
    assert getattr(import_module(f"{PACKAGE}.{module}"), attribute) == value
