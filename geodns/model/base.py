"""Base of all models: frozen values, addresses and their families, numbers as wide as a record's."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from geodns.model.limits import MAX_TTL

Address = IPv4Address | IPv6Address
Family = Literal["A", "AAAA"]
FAMILIES: tuple[Family, ...] = ("A", "AAAA")

Ttl = Annotated[int, Field(ge=0, le=MAX_TTL)]
"""Seconds."""

Seconds = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""Any number of 32 bits, as the SOA's times are (RFC 1035 section 3.3.13)."""


class Frozen(BaseModel):
    """Immutable; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the fields alone: what was derived from them may be another in the copy."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


def family_of(address: Address) -> Family:
    """Return the type of record that holds the address."""
    return "A" if address.version == 4 else "AAAA"
