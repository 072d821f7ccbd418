"""Warm-up plans: how much a new IP may send on each day, and what that means for its share of answers."""

import datetime as dt
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from pydantic import Field

from geodns.model.base import Frozen

PlanName = Literal["sendgrid", "sparkpost"]
MAX_CAP = 10**9
"""Messages a day that a plan may say, at most."""
MAX_VOLUME = 10**12
MAX_DAYS = 366
"""Days of a plan, at most."""
SECONDS = 86400
"""Of a day."""

# fmt: off
_SENDGRID_HOURLY = (
    # https://sendgrid.kke.co.jp/docs/API_Reference/Web_API_v3/IP_Management/ip_warmup_schedule.html,
    # days 0 to 41 of the automated warm-up: messages an *hour*.
    20, 28, 39, 55, 77, 108, 151, 211, 295, 413, 579, 810, 1_000, 1_587, 2_222, 3_111, 4_356, 6_098, 8_583,
    11_953, 16_734, 23_427, 32_798, 45_917, 64_284, 89_998, 125_997, 176_395, 246_953, 345_735, 484_029,
    677_640, 948_696, 1_328_175, 1_859_444, 2_603_222, 3_644_511, 5_102_316, 7_143_242, 10_000_539,
    14_000_754, 19_601_056,
)
_SPARKPOST = (
    # https://support.sparkpost.com/docs/deliverability/ip-warm-up-overview, days 1 to 13: the stages of the
    # automated warm-up.
    200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 50_000, 75_000, 100_000, 150_000, 200_000,
)
# fmt: on
PLANS: dict[PlanName, tuple[int, ...]] = {
    "sendgrid": tuple(24 * hourly for hourly in _SENDGRID_HOURLY),
    "sparkpost": _SPARKPOST,
}
"""Messages a UTC day, from day 1 on."""
PLAN_NAMES: tuple[PlanName, ...] = get_args(PlanName)


class ProviderCap(Frozen):
    """What a host may get of a provider's mail by `deal: host`: messages, or percent of the day's cap."""

    provider: str
    amount: int = Field(ge=0, le=MAX_CAP)
    percent: bool = False

    def of(self, cap: int) -> int:
        """Return the messages of a day with this cap."""
        return cap * self.amount // 100 if self.percent else min(cap, self.amount)


class Warmup(Frozen):
    """How a host's IPs are warmed up; caps are for the host as a whole, in messages a UTC day."""

    plan: PlanName | tuple[int, ...] = Field(
        description="What may be sent on each day: sendgrid, sparkpost, or the messages of day 1, 2, 3 …"
    )
    start: dt.date = Field(description="The first day, in UTC, as 2026-12-01; until then it gets no mail.")
    days: Literal["calendar", "sending"] = Field(
        default="calendar",
        description="What brings the next day of the plan: the calendar, or only days on which the host sent "
        "90 % of what it might.",
    )
    provider_caps: tuple[ProviderCap, ...] = Field(
        default=(),
        exclude_if=lambda caps: not caps,
        description="What of it may go to a provider by routes with `deal: host`, as {google: 50%}.",
    )

    @property
    def caps(self) -> tuple[int, ...]:
        """Messages of each day."""
        return PLANS[self.plan] if isinstance(self.plan, str) else self.plan

    def cap(self, day: int) -> int | None:
        """Return the messages of a day from 1 on; 0 before, None once the plan is over."""
        if day < 1:
            return 0
        return self.caps[day - 1] if day <= len(self.caps) else None


PEAK = 4
"""A pool's busiest moments, as a multiple of its mean, where they have not been measured."""
PART = 4
"""One cached answer may send a quarter of the day's cap, at most."""


def peak_of(volume: int) -> Fraction:
    """Return the messages a second at the peak of a day with so many."""
    return Fraction(PEAK * volume, SECONDS)


def may_be_dealt(cap: int, peak: Fraction, ttl: int) -> bool:
    """Say whether a resolver that keeps an answer for its TTL sends no more than a quarter of the cap."""
    return PART * peak * ttl <= cap


def longest_ttl(cap: int, peak: Fraction) -> int:
    """Return the longest TTL, in whole seconds, with which a host of this cap is dealt."""
    return math.floor(cap / (PART * peak))


def first_day(plan: Warmup, volume: int, peak: Fraction, ttl: int, cycle: int) -> int | None:
    """Return the first day on which a host is dealt with this TTL; None: on none.

    Args:
        plan: of the host.
        volume: messages that its pools send a day.
        peak: messages that they send a second, at most.
        ttl: seconds.
        cycle: answers of a cycle; less than one of these cannot be dealt.

    """
    return next(
        (
            day
            for day, cap in enumerate(plan.caps, 1)
            if may_be_dealt(cap, peak, ttl) and cap * cycle >= volume
        ),
        None,
    )


@dataclass(frozen=True, slots=True)
class WarmupStage:
    """Where a host stands in its plan; times are seconds since the epoch, dates are in UTC.

    Attributes:
        start: the plan's, as the file gave it when this began; with another one it begins anew.
        day: of the plan; 0 before `start`, one more than the plan has once it is over.
        date: the date that this day of the plan counts for.
        begun: whether it has been dealt, or has sent, since day 1 began.
        dealt: messages that it must have got on `date`, by the shares that DNS dealt it.
        active: when it was dealt or sent last.
        held: why an operator holds it; None: nobody does.
        author: who does.

    """

    start: dt.date
    day: int
    date: dt.date
    begun: bool = False
    dealt: float = 0.0
    active: float = 0.0
    held: str | None = None
    author: str = ""
