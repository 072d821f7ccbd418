"""The time limits of one probe, how long each of its steps took, and its transcript."""

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple

from geodns.model.checks import Check

STALLED = 1.0
"""Seconds that a time limit may be noticed too late before the fault is ours: the process was suspended or
overloaded, so the host's answer may lie unread."""


class TranscriptLine(NamedTuple):
    """An entry of a transcript.

    Attributes:
        at: seconds since the probe began.
        who: ``<`` the server, ``>`` the prober, ``*`` a remark.
        data: the bytes as they came, which need not be whole lines.

    """

    at: float
    who: Literal["<", ">", "*"]
    data: bytes


Transcript = Callable[[TranscriptLine], None]


class ProbeClock:
    """The time limits of one probe, as one timer that is moved.

    Attributes:
        limit: the timer.
        steps: the steps that were made, as `Outcome.steps`.

    """

    def __init__(self, check: Check, transcript: Transcript | None) -> None:
        self._now = asyncio.get_running_loop().time
        self._transcript = transcript
        self._started = self._now()
        self._end = self._started + check.timeout
        self._step = self._started
        self.limit = asyncio.timeout_at(min(self._end, self._started + check.connect_timeout))
        self.steps: list[tuple[str, float]] = []

    def elapsed(self) -> float:
        """Return the seconds since the probe began."""
        return self._now() - self._started

    def begin(self) -> None:
        """Begin a step: what was done since the last one does not count."""
        self._step = self._now()

    def done(self, step: str) -> None:
        """End a step, and begin the next."""
        now = self._now()
        self.steps.append((step, now - self._step))
        self._step = now

    def allow(self, seconds: float) -> None:
        """Move the limit: so long from now, but never past the whole probe's."""
        if not self.limit.expired():
            self.limit.reschedule(min(self._end, self._now() + seconds))

    def left(self) -> float:
        """Return the seconds to the limit."""
        when = self.limit.when()
        assert when is not None
        return max(0.001, when - self._now())

    def stalled(self) -> bool:
        """Tell whether the limit that has passed is noticed so late that it means nothing."""
        when = self.limit.when()
        return when is not None and self._now() - when > STALLED

    def note(self, who: Literal["<", ">", "*"], data: bytes) -> None:
        """Write into the transcript."""
        if self._transcript is not None:
            self._transcript(TranscriptLine(self.elapsed(), who, data))
