"""Moves hosts through their warm-up plans: the day's cap, its pace, and what holds a day back.

DNS deals shares: a cap becomes the largest share, cap / volume. Where signals say what a host has sent, the
cap is paced by the hour; a share that falls to 0 holds nobody back who still has an answer in a cache.
No clock: time is an argument, in seconds since the epoch.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from geodns.config.times import duration_text
from geodns.model.limits import CYCLE
from geodns.model.mail import About, MailEvent, MailTally
from geodns.model.warmup import (
    SECONDS,
    Warmup,
    WarmupStage,
    first_day,
    longest_ttl,
    may_be_dealt,
)
from geodns.signals.slow_start import RISE_EVERY

LOOK_EVERY = RISE_EVERY
"""Seconds from one look at what was sent to the next: weights move together."""
SILENT = 900.0
"""Seconds without a signal or heartbeat after which nobody knows what a host sends."""
IDLE = 30 * SECONDS
"""Seconds without mail after which receivers have forgotten an IP (SendGrid: warm up again after 30 days)."""
ENOUGH = 0.9
"""Part of what a day allowed that must be sent for it to count (SparkPost: 90 % of a stage's volume)."""
DELIVERED = 0.9
"""Part of the first attempts that must be delivered for the next day to come."""
DEFERRED = 0.1
"""Part of the first attempts that receivers may defer for the IP or its rate."""
LEAST = 20
"""First attempts of a day that is not over under which its rates say nothing yet."""
NOTHING = MailTally()


@dataclass(frozen=True, slots=True)
class Sending:
    """What a host sends, and what its pools do.

    Attributes:
        volume: messages that its pools send a day.
        peak: messages a second that they send in their busiest moments.
        ttl: of the answers that name it, in seconds, when all is well.
        rate: messages a day that DNS deals it now.
        today: counted today (UTC).
        ended: counted on the date that its stage counts for.
        heard: when a signal or a heartbeat came last; None: nobody sends any.

    """

    volume: int
    peak: Fraction
    ttl: int
    rate: Fraction = Fraction(0)
    today: MailTally = NOTHING
    ended: MailTally = NOTHING
    heard: float | None = None

    def silent(self, now: float) -> bool:
        """Say whether signals came, and come no more."""
        return self.heard is not None and now - self.heard > SILENT

    @property
    def overshoot(self) -> int:
        """Messages that may still come after its share has fallen to 0: one cached answer's, at the peak."""
        return -int(-self.peak * (self.ttl + Fraction(LOOK_EVERY)) // 1)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The largest share of a host; `why` it is 0, where it is, `paced` if only until the hour is over."""

    share: Fraction
    why: str | None = None
    paced: bool = False


def utc_date(now: float) -> date:
    """Return the date of a time."""
    return datetime.fromtimestamp(now, UTC).date()


def midnight(day: date) -> float:
    """Return the start of a date, in seconds since the epoch."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


# --- stages ---------------------------------------------------------------------------------------------


def first_stage(plan: Warmup, now: float) -> WarmupStage:
    """Return where a host begins."""
    today = utc_date(now)
    return WarmupStage(plan.start, 1 if today >= plan.start else 0, today, active=now)


def sent(stage: WarmupStage, seen: Sending, now: float) -> float:
    """Return what a host has sent today: counted, or by what it was dealt where nobody counts."""
    dealt = stage.dealt if stage.date == utc_date(now) else 0.0
    if seen.heard is None:
        return dealt
    return max(float(seen.today.first), dealt) if seen.silent(now) else float(seen.today.first)


def step(
    plan: Warmup, stage: WarmupStage | None, seen: Sending, now: float, elapsed: float, *, steady: bool = True
) -> WarmupStage:
    """Return where a host stands now.

    Args:
        plan: of its file.
        stage: where it stood at the last look; None: it begins.
        seen: what it sends.
        now: seconds since the epoch.
        elapsed: seconds since the last look, by a clock that nobody sets.
        steady: whether `now` can be believed: else no day ends.

    """
    if stage is None or stage.start != plan.start:
        return first_stage(plan, now)
    counted = seen.heard is not None and not seen.silent(now)
    active = seen.rate > 0 or (counted and seen.today.first > 0)
    stage = replace(
        stage,
        dealt=stage.dealt + float(seen.rate) * elapsed / SECONDS,
        begun=stage.begun or (active and stage.day > 0),
        active=now if active else min(stage.active, now),
    )
    if not steady:
        return stage
    if counted and now - stage.active > IDLE and stage.day > 1:
        return replace(stage, day=1, date=utc_date(now), begun=False, dealt=0.0, active=now)
    return _next_day(plan, stage, seen, now)


def _next_day(plan: Warmup, stage: WarmupStage, seen: Sending, now: float) -> WarmupStage:
    today = utc_date(now)
    if stage.day == 0:
        return replace(stage, day=int(today >= plan.start), date=today, dealt=0.0)
    # A clock that was set back, or ahead and back again, must not bring a day twice.
    if today == stage.date or stage.date - timedelta(days=2) < today < stage.date:
        return stage
    over = today > stage.date and stage.begun and stage.day <= len(plan.caps)
    moves = over and held(plan, stage, seen, now) is None and _counts(plan, stage, seen)
    return replace(stage, day=stage.day + int(moves), date=today, dealt=0.0)


def _counts(plan: Warmup, stage: WarmupStage, seen: Sending) -> bool:
    """Say whether a day that is over counts."""
    if plan.days == "calendar":
        return True
    most = allowed(plan, stage, seen)
    return (stage.dealt if seen.heard is None else seen.ended.first) >= ENOUGH * float(most)


def allowed(plan: Warmup, stage: WarmupStage, seen: Sending) -> Fraction:
    """Return what DNS may have a host send on its day: its cap, in whole answers of the cycle."""
    cap = plan.cap(stage.day) or 0
    if not seen.volume or cap >= seen.volume:
        return Fraction(cap)
    units = cap * CYCLE // seen.volume
    return min(Fraction(cap), Fraction(max(1, units) * seen.volume, CYCLE))


def held(plan: Warmup, stage: WarmupStage, seen: Sending, now: float) -> str | None:
    """Return what holds a host at its day; None: nothing."""
    if stage.held is not None:
        return f"held by {stage.author} ({stage.held or 'no reason'})"
    if stage.day == 0:
        return f"its plan starts on {plan.start}"
    if plan.cap(stage.day) is None:
        return None
    if seen.heard is not None and seen.silent(now):
        return f"no signals for {int(now - seen.heard) // 60} min: what it sends is not known"
    if stage.date != utc_date(now):
        return _trouble(seen.ended, 1)
    return _trouble(seen.today, LEAST)


def _trouble(mail: MailTally, least: int) -> str | None:
    """Return why a day's mail says that a host must not send more; None: it does not."""
    if mail.first < least:
        return None
    delivered = mail[MailEvent.DELIVERED] / mail.first
    if delivered < DELIVERED:
        return f"{delivered:.0%} of {mail.first} first attempts delivered, under {DELIVERED:.0%}"
    refused = mail.rate(About.IP) + mail.rate(About.RATE)
    if refused > DEFERRED:
        what = f"{refused:.0%} of {mail.first} first attempts refused for the IP or its rate"
        return f"{what}, over {DEFERRED:.0%}"
    return None


# --- orders ---------------------------------------------------------------------------------------------


class WarmupVerb(StrEnum):
    """What an operator may order."""

    HOLD = "hold"
    RESUME = "resume"
    RESTART = "restart"
    SKIP_TO = "skip-to"


def ordered(
    plan: Warmup, stage: WarmupStage, verb: WarmupVerb, now: float, *, day: int, reason: str, author: str
) -> WarmupStage:
    """Return where a host stands after an order; `day` is of `SKIP_TO` alone."""
    match verb:
        case WarmupVerb.HOLD:
            return replace(stage, held=reason, author=author)
        case WarmupVerb.RESUME:
            return replace(stage, held=None, author="")
        case WarmupVerb.RESTART:
            again = first_stage(plan, now)
            return replace(stage, day=again.day, date=again.date, begun=False, active=now)
        case WarmupVerb.SKIP_TO:
            return replace(stage, day=day, date=utc_date(now), begun=True, active=now)


# --- ceilings -------------------------------------------------------------------------------------------


def ceiling_of(plan: Warmup, stage: WarmupStage, seen: Sending, now: float) -> Ceiling:
    """Return the largest share that a host may have now; 1 or more once its plan is over."""
    cap = plan.cap(stage.day)
    if cap is None:
        return Ceiling(Fraction(1))
    if (why := _not_dealt(plan, cap, seen)) is not None:
        return Ceiling(Fraction(0), why)
    if (why := _over_pace(cap, stage, seen, now)) is not None:
        return Ceiling(Fraction(0), why, paced=True)
    return Ceiling(Fraction(cap, seen.volume))


def _not_dealt(plan: Warmup, cap: int, seen: Sending) -> str | None:
    """Return why DNS does not deal a host of this cap at all."""
    if not cap:
        return f"its plan starts on {plan.start}"
    if not seen.volume:
        return "its pools have no `volume`"
    day = first_day(plan, seen.volume, seen.peak, seen.ttl, CYCLE)
    when = "never" if day is None else f"from day {day} on"
    if not may_be_dealt(cap, seen.peak, seen.ttl):
        longest = longest_ttl(cap, seen.peak)
        way = f"with `ttl: {longest}s` or less" if longest else "with a ttl under a second"
        what = f"with ttl {duration_text(seen.ttl)} one cached answer may send over a quarter of its {cap:,}"
        return f"{what} messages: dealt {way}, or {when}"
    if cap * CYCLE < seen.volume:
        return f"{cap:,} messages of {seen.volume:,} are under one answer of a cycle: dealt {when}"
    return None


def _over_pace(cap: int, stage: WarmupStage, seen: Sending, now: float) -> str | None:
    hour, so_far = int(now % SECONDS // 3600), sent(stage, seen, now)
    if seen.heard is None or so_far <= pace(cap, hour):
        return None
    what = f"{so_far:,.0f} sent, {pace(cap, hour):,.0f} by this hour"
    return f"{what}: it waits until {(hour + 1) % 24:02}:00 UTC"


def pace(cap: int, hour: int) -> float:
    """Return what may be sent by the end of an hour of the day, counted from 0."""
    return cap * (hour + 1) / 24


def ahead(plan: Warmup, stage: WarmupStage) -> list[tuple[date, int]]:
    """Return the days that come, if nothing holds them, each with its cap."""
    first = max(stage.date, plan.start)
    return [
        (first + timedelta(days=number), cap)
        for number, cap in enumerate(plan.caps[max(0, stage.day - 1) :])
        if stage.day == 0 or number
    ]
