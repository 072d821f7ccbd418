"""Rules that say which name of a zone the mail of an MTA leaves by, and the classes of mail they know."""

import hashlib
import re
from decimal import Decimal
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from pydantic import Field

from geodns.model.base import Frozen

NULL_SENDER = "<>"
"""The sender of bounces, as rules write it."""
SMTP = 25
MOST_VALUES = 4
"""Values of one condition in words."""
_UNITS = tuple(
    (f"{letter}{kind}", base**power)
    for power, letter in ((3, "G"), (2, "M"), (1, "K"))
    for kind, base in (("B", 1000), ("iB", 1024))
)
_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,6})?) *([kmg]i?b|b)?", re.IGNORECASE)

DealBy = Literal["name", "host"]


class RouteRule(Frozen):
    """A rule: all its conditions must hold; the first rule that fits a message says the name.

    Attributes:
        recipient: patterns ``LOCAL@DOMAIN`` in lower case, with ``*`` and ``?``, the domain in A-labels;
            a domain alone has become ``*@DOMAIN``.
        sender: likewise; `NULL_SENDER` too.
        over: bytes that the message is larger than.
        use: absolute.

    """

    recipient: tuple[str, ...] = Field(
        default=(), description="Domains, addresses or globs of them, as *.example.net or news@*."
    )
    sender: tuple[str, ...] = Field(default=(), description="Likewise; <> is the sender of bounces.")
    mail_class: tuple[str, ...] = Field(default=(), description="What the MTA calls the message.")
    provider: tuple[str, ...] = Field(
        default=(), description="Who runs the mail of the recipient's domain, as google."
    )
    client: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Networks of the client that hands the message in."
    )
    sasl: tuple[str, ...] = Field(default=(), description="User names that it logged in with, or globs.")
    over: int | None = Field(default=None, ge=0, description="Its size, as over 5MB.")
    use: str = Field(description="The name of this zone that it leaves by: one that deals a pool.")
    deal: DealBy = Field(
        default="name",
        description="host: each message gets a host by the pool's weights, the name where that fails.",
    )
    port: int = Field(default=SMTP, ge=1, le=65535, description="Where the hosts take mail.")

    @property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """The values of each condition that there is, as files write them, by its key."""
        found = {
            "recipient": tuple(map(pattern_text, self.recipient)),
            "sender": tuple(map(pattern_text, self.sender)),
            "class": self.mail_class,
            "provider": self.provider,
            "client": tuple(map(str, self.client)),
            "sasl": self.sasl,
            "size": () if self.over is None else (f"over {size_text(self.over)}",),
        }
        return {key: values for key, values in found.items() if values}

    @property
    def conditional(self) -> bool:
        return bool(self.conditions)

    @property
    def when(self) -> str:
        """The conditions in words: of many values the first; empty: none."""
        return "; ".join(f"{key} {_either(values)}" for key, values in self.conditions.items())

    @cached_property
    def digest(self) -> str:
        """Tells rules apart, wherever they stand; counts are kept by it."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=6).hexdigest()


def size_of(text: str) -> Decimal | None:
    """Return the bytes that files and operators write as 12000, 5MB or 1.5 KiB; None: it is no size."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    unit = (found[2] or "B").lower()
    return Decimal(found[1]) * next((large for name, large in _UNITS if name.lower() == unit), 1)


def size_text(size: int) -> str:
    """Return a number of bytes as files write it, as 5MB."""
    if size:
        for unit, large in _UNITS:
            if size % large == 0:
                return f"{size // large}{unit}"
    return f"{size}B"


def pattern_text(pattern: str) -> str:
    """Return a pattern of addresses as files write it: of a domain's the domain."""
    return pattern.removeprefix("*@") or pattern


def _either(values: tuple[str, ...]) -> str:
    if len(values) > MOST_VALUES:
        return f"{', '.join(values[:MOST_VALUES])} or {len(values) - MOST_VALUES:,} more"
    return " or ".join([*([", ".join(values[:-1])] if values[1:] else []), values[-1]])


class HeaderSign(Frozen):
    """A header that makes a message one of a class.

    Attributes:
        value: an alternation of plain words, as ``bulk|list``, that the whole value is; None: any.

    """

    header: str = Field(description="The header's name.")
    value: str | None = Field(default=None, description="What it says, as bulk|list; without it anything.")


class MailClass(Frozen):
    """A class of mail, and the headers by any of which an MTA knows it."""

    name: str
    signs: tuple[HeaderSign, ...]
