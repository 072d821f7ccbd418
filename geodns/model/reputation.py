"""Reputation as a zone file has it: block lists, rules, and what they may do to a host."""

from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from pydantic import Field

from geodns.model.base import Address, Frozen

MAX_RULES = 100
CODES = IPv4Network("127.0.0.0/8")
"""Holds the answers of every block list (RFC 5782 section 2.1)."""
ERRORS = IPv4Network("127.255.255.0/24")
"""Answers that tell of an error, as Spamhaus publishes them; they never mean a listing."""


class ReputationAction(Frozen):
    """What a listing or a rule does to a host.

    Attributes:
        kind: `bar` takes it from one provider, `reduce` lowers its weight, `quarantine` takes it out.
        percent: of the weight that `reduce` takes.
        seconds: how long `bar` lasts.

    """

    kind: Literal["ignore", "alert", "bar", "reduce", "quarantine"]
    percent: float = Field(default=0, ge=0, le=100)
    seconds: float = Field(default=0, ge=0)

    def __str__(self) -> str:
        if self.kind == "reduce":
            return f"reduce {self.percent:g}%"
        return self.kind


class Dnsbl(Frozen):
    """A DNS block list (RFC 5782)."""

    zone: str = Field(default="", description="The list's zone, as zen.spamhaus.org.")
    zone_file: str = Field(
        default="",
        description="A file whose one line is the zone, where that has a key in it; it is shown as ***.",
    )
    codes: tuple[tuple[IPv4Address, ReputationAction], ...] = Field(
        default=(),
        description="What single codes of the list do instead of `action`: alert, ignore, quarantine or "
        "{reduce: 25%}.",
    )
    action: ReputationAction = Field(
        default=ReputationAction(kind="quarantine"),
        description="What a listing does while it lasts: alert, quarantine, or {reduce: 25%} of the weight.",
    )

    @property
    def name(self) -> str:
        """The list's name where people read it; never the zone of a `zone_file`, which has a key."""
        return self.zone or f"*** ({self.zone_file})"


class ReputationRule(Frozen):
    """When a host's mail is refused so often that it should lose some of it.

    Attributes:
        name: in events and orders.
        of: what is counted: first attempts that a provider refused, all bounces, or complaints.
        events: of these, below which the rule says nothing.
        times_others: how many times the median of the pool's other hosts the rate must be.
        lasts: seconds that `reduce` and `quarantine` last after the last sign of trouble.
        source: where its figures are from.

    """

    name: str
    of: Literal["refused", "bounced", "complaint"] = "refused"
    provider: str | None = Field(default=None, description="The provider that refuses; any unless given.")
    about: Literal["ip", "netblock", "domain", "content", "recipient", "passing"] = Field(
        default="ip", description="Whom the refusals speak of. Only `ip` may do more than alert."
    )
    text: str | None = Field(default=None, description="An expression that is found in the reply, as TSS04.")
    min: int = Field(
        default=100,
        ge=1,
        le=10**9,
        description="First attempts to the provider within the hour, below which the rule says nothing.",
    )
    events: int = 1
    above: float = Field(default=0.2, ge=0, le=1, description="The part of them that must be refused.")
    times_others: float = 2.0
    action: ReputationAction = Field(
        default=ReputationAction(kind="bar", seconds=7200),
        description="alert, quarantine, {reduce: 50%} of the weight, or {bar: 2h} from that provider.",
    )
    lasts: float = 7200.0
    source: str = ""


class Reputation(Frozen):
    """How a zone's hosts are judged by what becomes of their mail."""

    mode: Literal["observe", "act"] = Field(
        default="observe", description="observe shows what would be done; act does it."
    )
    dnsbl: tuple[Dnsbl, ...] = Field(
        default=(), description="Block lists that the addresses mail leaves from are looked up in."
    )
    resolver: Address | None = Field(
        default=None,
        description='Whom to ask for the lists, as 127.0.0.1 or "127.0.0.1:5301"; lists refuse large public '
        "resolvers.",
    )
    port: int = Field(default=53, ge=1, le=65535)
    interval: float = Field(
        default=900.0, ge=1, le=86400, description="From one round of look-ups to the next."
    )
    confirm: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Rounds in a row that must say the same before a listing counts, and before it ends.",
    )
    rules: tuple[ReputationRule, ...] = Field(default=(), description="Rules beside the built-in ones.")
