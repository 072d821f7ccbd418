"""Compiled routes: what the routes worker answers MTAs from, as plain data of the Table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from geodns.responder.route_index import Conditions, Network, RouteIndex, index_of


class CompiledRule(NamedTuple):
    """A rule; conditions that are empty hold for every message.

    Attributes:
        number: its place in the file, from 1.
        digest: tells it from other rules, wherever it stands.
        recipient: patterns ``LOCAL@DOMAIN`` in lower case, with ``*`` and ``?``, the domain in A-labels.
        sender: likewise; ``<>`` too.
        over: bytes that the message is larger than; None: any size.
        name: that it leaves by, without final dot: a key of `Table.targets`.
        by_host: whether each message gets a host.

    """

    number: int
    digest: str
    recipient: tuple[str, ...]
    sender: tuple[str, ...]
    mail_class: tuple[str, ...]
    provider: tuple[str, ...]
    client: tuple[Network, ...]
    sasl: tuple[str, ...]
    over: int | None
    name: str
    by_host: bool
    port: int

    @property
    def conditions(self) -> Conditions:
        """Those that a look-up may have keys for."""
        return Conditions(self.recipient, self.sender, self.mail_class, self.provider, self.client, self.sasl)

    @property
    def conditional(self) -> bool:
        return any(self.conditions) or self.over is not None


@dataclass(frozen=True, eq=False)
class ZoneRoutes:
    """A zone's rules, the first that fits wins; `local` are domain patterns of recipients never routed."""

    zone: str
    local: tuple[str, ...]
    rules: tuple[CompiledRule, ...]

    def __repr__(self) -> str:
        return f"ZoneRoutes({self.zone}, {len(self.rules)} rules)"

    @cached_property
    def index(self) -> RouteIndex:
        """What rules are looked up by; it travels along once it is made."""
        return index_of([(one.conditions, one.over is not None) for one in self.rules], self.local)

    def with_rules(self, rules: tuple[CompiledRule, ...]) -> "ZoneRoutes":
        """Return these routes while their rules travel, and thereafter, by the same index."""
        found = ZoneRoutes(self.zone, self.local, rules)
        vars(found)["index"] = self.index  # where `cached_property` keeps it
        return found


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """The hosts behind a name that rules use; names of hosts are labels of the zone.

    Attributes:
        pool: the one that the name deals.
        weights: what each live host is dealt in proportion to; none: nobody is live.
        hosts: all that the pool may deal, those of its fallbacks too, live or not.
        barred: by provider, the hosts that it bars.
        capped: by provider, the hosts that warm up and get of its mail what an `Allowance` says.

    """

    zone: str
    name: str
    pool: str
    weights: Mapping[str, int]
    hosts: tuple[str, ...]
    barred: Mapping[str, frozenset[str]] = field(default_factory=dict)
    capped: Mapping[str, frozenset[str]] = field(default_factory=dict)


TargetKey = tuple[str, str]
"""Zone and name of a `RouteTarget`."""


class KnownProvider(NamedTuple):
    """Who runs a domain's mail; times in seconds since the epoch.

    Attributes:
        provider: empty: nobody who is known.
        fresh: until then nobody asks again.
        until: the last moment at which this is used, while nothing newer is known.

    """

    provider: str
    fresh: float
    until: float

    @property
    def learned(self) -> bool:
        """Whether somebody was found, or nobody for certain; else the look-up failed, and comes again."""
        return bool(self.provider) or self.until > self.fresh


class Allowance(NamedTuple):
    """The messages that a host which warms up may still be dealt.

    Attributes:
        left: by provider, counted from when this came; what was left of others stays.
        until: seconds of the monotonic clock; thereafter none.

    """

    left: Mapping[str, int]
    until: float


class RouteNews(NamedTuple):
    """What control tells the routes worker between two Tables.

    Attributes:
        providers: by recipient domain in lower case.
        allowances: by zone and host.

    """

    providers: Mapping[str, KnownProvider] = {}
    allowances: Mapping[tuple[str, str], Allowance] = {}
