"""Rules that choose a name's pool by client and time, and the networks that GeoIP files give for them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from zoneinfo import ZoneInfo

from pydantic import Field

from geodns.model.address_ranges import AddressRanges
from geodns.model.base import Frozen

MOST_VALUES = 8
"""Values of one condition in words."""

DAY = 1440
"""Minutes; the end of a span may be this, which is midnight."""


_AHEAD = ((range(-1, 2), 43_200.0), (range(-1, 9), 604_800.0), (range(-1, 17), float("inf")))
"""Days to look at for the next change, and seconds within which that is sure to be the next: most are near,
and one week may lack a span, where a clock jumps."""


class HourSpan(Frozen):
    """A span of every week in which a rule holds.

    Attributes:
        days: on which it begins; 0 is Monday.
        begin: minutes after midnight.
        end: minutes after midnight, exclusive; not above `begin`: on the next day.

    """

    days: frozenset[int] = frozenset(range(7))
    begin: int = Field(default=0, ge=0, lt=DAY)
    end: int = Field(default=DAY, ge=0, le=DAY)

    def has(self, weekday: int, minute: int) -> bool:
        """Say whether a minute of a day lies in the span."""
        if self.begin < self.end:
            return weekday in self.days and self.begin <= minute < self.end
        return (weekday in self.days and minute >= self.begin) or (
            (weekday - 1) % 7 in self.days and minute < self.end
        )


class Hours(Frozen):
    """Hours of the week by the clock of one time zone; `text` is as the file writes them."""

    text: tuple[str, ...]
    spans: tuple[HourSpan, ...]
    tz: str = "UTC"

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.tz)

    def include(self, now: float) -> bool:
        """Say whether a moment, in seconds since the epoch, lies in them.

        By the wall's clock: an hour that comes twice counts twice, one that is left out not at all.
        """
        local = self.clock(now)
        minute = local.hour * 60 + local.minute
        return any(span.has(local.weekday(), minute) for span in self.spans)

    def clock(self, now: float) -> datetime:
        """Return what the wall's clock shows at a moment."""
        return _local(now, self.zone)

    def next_change(self, now: float) -> float | None:
        """Return when they begin or end next, in seconds since the epoch; None: never."""
        within = self.include(now)
        today = _local(now, self.zone).date()
        for days, sure in _AHEAD:
            found = sorted(at for at in self._turns(today, days) if now < at <= now + sure)
            change = next((at for at in found if self.include(at) != within), None)
            if change is not None:
                return change
        return None

    def _turns(self, today: date, days: range) -> Iterator[float]:
        """Yield when a span may begin or end in some days: by the wall's clock, and where that jumps."""
        for ahead in days:
            day = today + timedelta(days=ahead)
            midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
            for minute in {one for span in self.spans for one in (span.begin, span.end % DAY)} | {0}:
                # Both, where an hour comes twice.
                for fold in (0, 1):
                    yield midnight.replace(hour=minute // 60, minute=minute % 60, fold=fold).timestamp()
            begin = int(midnight.timestamp())
            end = int((midnight + timedelta(days=1)).timestamp())
            jump = _jump(begin, end, self.zone)
            if jump is not None:
                yield jump


def _local(now: float, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=now)).astimezone(zone)


def _jump(begin: int, end: int, zone: ZoneInfo) -> float | None:
    """Return when a clock jumps between two moments; None: it does not."""
    before = _local(begin, zone).utcoffset()
    if _local(end, zone).utcoffset() == before:
        return None
    while end - begin > 1:
        middle = (begin + end) // 2
        if _local(middle, zone).utcoffset() == before:
            begin = middle
        else:
            end = middle
    return float(end)


class PoolRule(Frozen):
    """A rule of a list: the pool for clients that meet every condition; values of one condition are any of.

    Attributes:
        countries: in capitals.

    """

    use: str = Field(description="The pool for clients that meet every condition of the rule.")
    subnets: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Networks of clients, any of which it must be."
    )
    countries: tuple[str, ...] = Field(
        default=(), description="Where the client is, by ISO 3166-1: two letters, as DE. Needs `geoip` files."
    )
    continents: tuple[str, ...] = Field(
        default=(), description="Where the client is: AF, AN, AS, EU, NA, OC or SA. Needs `geoip` files."
    )
    asns: tuple[int, ...] = Field(
        default=(),
        description="The autonomous system of the client's network, as 64500 or AS64500. Needs `geoip` "
        "files.",
    )
    hours: Hours | None = Field(
        default=None, description="When the rule holds, as Mon-Fri 08:00-18:00, 22:00-06:00 or Sat,Sun."
    )

    @cached_property
    def digest(self) -> str:
        """Changes when the rule does; it may name thousands of networks, and is looked for often."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=12).hexdigest()

    @property
    def by_place(self) -> bool:
        """Whether GeoIP files decide."""
        return bool(self.countries or self.continents or self.asns)

    @property
    def by_client(self) -> bool:
        return bool(self.subnets) or self.by_place

    def network_of(self, address: int, *, ipv6: bool) -> IPv4Network | IPv6Network | None:
        """Return the smallest of its networks that has an address; quick, however many there are."""
        kind, width = (IPv6Network, 128) if ipv6 else (IPv4Network, 32)
        lengths, prefixes = self._prefixes[ipv6]
        for length in lengths:
            behind = width - length
            if (length, address >> behind) in prefixes:
                return kind((address >> behind << behind, length))
        return None

    @cached_property
    def _prefixes(self) -> tuple[tuple[list[int], set[tuple[int, int]]], ...]:
        """Of IPv4 and IPv6 networks the lengths, the longest first, and each length with its bits."""
        found: tuple[set[tuple[int, int]], set[tuple[int, int]]] = (set(), set())
        for one in self.subnets:
            bits = int(one.network_address) >> (one.max_prefixlen - one.prefixlen)
            found[one.version == 6].add((one.prefixlen, bits))
        return tuple((sorted({length for length, _ in some}, reverse=True), some) for some in found)

    @property
    def when(self) -> str:
        """The conditions in words, as status and `explain` show them: of many values the first."""
        return self._in_words(MOST_VALUES)

    @property
    def conditions(self) -> str:
        """The conditions in words, whole."""
        return self._in_words(None)

    def _in_words(self, most: int | None) -> str:
        listed: tuple[tuple[str, tuple[object, ...]], ...] = (
            ("subnets", self.subnets),
            ("countries", self.countries),
            ("continents", self.continents),
            ("asns", self.asns),
            ("hours", () if self.hours is None else (*self.hours.text, self.hours.tz)),
        )
        return "; ".join(f"{word} {_words(values, most)}" for word, values in listed if values)


def _words(values: tuple[object, ...], most: int | None) -> str:
    more = 0 if most is None else len(values) - most
    return ", ".join(map(str, values[:most])) + (f" and {more:,} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class GeoNetworks:
    """The networks of what rules name; nothing for what no file knows."""

    countries: Mapping[str, AddressRanges] = field(default_factory=lambda: MappingProxyType({}))
    continents: Mapping[str, AddressRanges] = field(default_factory=lambda: MappingProxyType({}))
    asns: Mapping[int, AddressRanges] = field(default_factory=lambda: MappingProxyType({}))


NO_NETWORKS = GeoNetworks()
