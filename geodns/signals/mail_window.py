"""Counts of the mail of the last weeks, in memory: what rules and warm-up ask again and again.

Every count stands in a step of five minutes, of an hour and of a day, by when the mail came in; the finer
steps are kept for a shorter time (`KEPT`). What is asked is put together of the longest steps that fit.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from geodns.model.mail import About, MailEvent, MailKey, MailKind, MailTally
from geodns.model.state import HostKey

FIVE, HOUR, DAY = 300, 3600, 86400
STEPS = (DAY, HOUR, FIVE)
"""Seconds of a step, the longest first."""
MARKS_KEPT = 2 * HOUR
"""Seconds that refusals are known whose text a rule looks for: rules look at one hour."""
KEPT: Mapping[int, int] = {FIVE: 3 * HOUR, HOUR: 26 * HOUR, DAY: 31 * DAY}
"""Seconds that steps are kept in memory."""
FIRST = frozenset({MailEvent.DELIVERED, MailEvent.DEFERRED, MailEvent.BOUNCED, MailEvent.EXPIRED})
"""Outcomes of a first attempt."""
REFUSALS = frozenset({MailEvent.DEFERRED, MailEvent.BOUNCED})


def begin_of(step: int, at: float) -> int:
    """Return when the step began that a time falls into."""
    return int(at // step) * step


def _end_of(step: int, at: float) -> int:
    """Return when the step ends that a time falls into, or the time itself where one has just ended."""
    return -int(-at // step) * step


def tally(counts: Iterable[tuple[MailKind, int]]) -> MailTally:
    """Add counts up."""
    first = 0
    events: dict[MailEvent, int] = {}
    refused: dict[About, int] = {}
    for kind, number in counts:
        events[kind.event] = events.get(kind.event, 0) + number
        if kind.first:
            first += number
            if kind.about is not None and kind.event in REFUSALS:
                refused[kind.about] = refused.get(kind.about, 0) + number
    return MailTally(first, events, refused)


def spans(start: float, end: float, kept: Mapping[int, int], now: float) -> Iterator[tuple[int, int, int]]:
    """Cover a time by whole steps, the longest that fit and are kept: the step, and begin and end of several.

    A step that begins before `start` is left out, and the one that `end` falls into is whole, if it is the
    shortest. Where the shorter steps are no longer kept, so are the ends that only they could cover.

    Args:
        start: seconds since the epoch.
        end: likewise.
        kept: seconds that steps are kept, by step; each step is a multiple of the shorter ones.
        now: nothing is counted later.

    """
    shortest, longest = min(kept), max(kept)
    at = max(_end_of(shortest, start), begin_of(longest, now - kept[longest]))
    last = _end_of(shortest, min(end, now))
    while at < last:
        step = next(one for one in sorted(kept, reverse=True) if at % one == 0 and at + one <= last)
        until = begin_of(step, last)
        longer = [one for one in kept if one > step]
        if longer:
            until = min(until, begin_of(min(longer), at) + min(longer))
        yield step, at, until
        at = until


class HourOfMail(NamedTuple):
    """A host's first attempts in an hour, and those of them that were refused."""

    first: int
    refused: int


NO_MAIL = HourOfMail(0, 0)
Mark = tuple[str, str]
"""A provider, and a rule whose text was found in its replies."""


class MailWindow:
    """The counts in memory."""

    def __init__(self) -> None:
        self._marks: dict[HostKey, dict[int, dict[Mark, int]]] = {}
        """By host and the begin of five minutes; of the last hours, and not kept over a restart."""
        self._steps: dict[HostKey, dict[tuple[int, int], dict[MailKey, int]]] = {}
        """By host; then by the seconds of the step and its begin."""
        self._keys: dict[MailKey, MailKey] = {}
        """Each key once: there are as many of them in every step."""
        self._hours: dict[HostKey, dict[int, HourOfMail]] = {}
        """By host and begin of the hour: what is drawn, ready."""

    def add(self, host: HostKey, step: int, at: int, counts: Mapping[MailKey, int]) -> None:
        """Add counts to a step that begins at a time."""
        known = self._steps.setdefault(host, {}).setdefault((step, at), {})
        for key, number in counts.items():
            one = self._keys.setdefault(key, key)
            known[one] = known.get(one, 0) + number
        if step == HOUR:
            some = tally((kind, number) for (_, _, kind), number in counts.items())
            hours = self._hours.setdefault(host, {})
            before = hours.get(at, NO_MAIL)
            hours[at] = HourOfMail(before.first + some.first, before.refused + sum(some.refused.values()))

    def mark(self, host: HostKey, at: int, counts: Mapping[Mark, int]) -> None:
        """Add refusals whose text a rule looks for to the five minutes that begin at a time."""
        known = self._marks.setdefault(host, {}).setdefault(at, {})
        for mark, number in counts.items():
            known[mark] = known.get(mark, 0) + number

    def prune(self, now: float) -> None:
        """Drop the steps that are over for longer than they are kept."""
        self._marks = {
            host: left
            for host, fives in self._marks.items()
            if (left := {at: one for at, one in fives.items() if at > now - MARKS_KEPT})
        }
        for host, steps in list(self._steps.items()):
            for step, at in [one for one in steps if one[1] + one[0] <= now - KEPT[one[0]]]:
                del steps[step, at]
                if step == HOUR:
                    self._hours[host].pop(at, None)
            if not steps:
                del self._steps[host]
                self._hours.pop(host, None)

    def _within(self, host: HostKey, start: float, end: float) -> Iterator[Mapping[MailKey, int]]:
        """Return the counts of the steps that cover a time, each part of it once."""
        steps = self._steps.get(host)
        if steps:
            newest = max(begin + step for step, begin in steps)
            for step, begin, last in spans(start, end, KEPT, newest):
                for at in range(begin, last, step):
                    if (step, at) in steps:
                        yield steps[step, at]

    def by_provider(self, host: HostKey, start: float, end: float) -> dict[str, MailTally]:
        """See `MailCounts`."""
        found: dict[str, list[tuple[MailKind, int]]] = {}
        for (_, provider, kind), number in self._sums(host, start, end).items():
            if not kind.late:
                found.setdefault(provider, []).append((kind, number))
        marked = self._marked(host, start, end)
        return {
            provider: replace(tally(some), marked=marked.get(provider, {}))
            for provider, some in found.items()
        }

    def hours(self, host: HostKey, now: float) -> list[HourOfMail]:
        """Return the last 24 hours of the clock, the one of now last; of what was told late, too."""
        hours = self._hours.get(host, {})
        last = begin_of(HOUR, now)
        return [hours.get(at, NO_MAIL) for at in range(last - DAY + HOUR, last + HOUR, HOUR)]

    def _marked(self, host: HostKey, start: float, end: float) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for at, counts in self._marks.get(host, {}).items():
            if start <= at <= end:
                for (provider, rule), number in counts.items():
                    known = found.setdefault(provider, {})
                    known[rule] = known.get(rule, 0) + number
        return found

    def total(self, host: HostKey, start: float, end: float) -> MailTally:
        """See `MailCounts`."""
        return tally((kind, number) for (_, _, kind), number in self._sums(host, start, end).items())

    def firsts(self, host: HostKey, start: float, end: float) -> dict[str, int]:
        """Return the first attempts to each provider, those that were told late, too."""
        found: dict[str, int] = {}
        for (_, provider, kind), number in self._sums(host, start, end).items():
            if kind.first:
                found[provider] = found.get(provider, 0) + number
        return found

    def _sums(self, host: HostKey, start: float, end: float) -> dict[MailKey, int]:
        # Many steps have the same few keys, and rules ask for every host every ten seconds.
        found: dict[MailKey, int] = {}
        for counts in self._within(host, start, end):
            for key, number in counts.items():
                found[key] = found.get(key, 0) + number
        return found
