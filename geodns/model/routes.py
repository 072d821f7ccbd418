"""Rules that say which name of a zone the mail of an MTA leaves by, and the classes of mail they know."""

import hashlib
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from pydantic import Field

from geodns.model.base import Frozen

NULL_SENDER = "<>"
"""How rules write the sender of bounces."""
SMTP = 25

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
    def conditional(self) -> bool:
        return bool(
            self.recipient
            or self.sender
            or self.mail_class
            or self.provider
            or self.client
            or self.sasl
            or self.over is not None
        )

    @cached_property
    def digest(self) -> str:
        """Tells rules apart, wherever they stand; counts are kept by it."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=6).hexdigest()


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
