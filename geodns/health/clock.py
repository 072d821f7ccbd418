"""Keeps the time limits of one probe, the time that each step takes, and the transcript."""

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple

from geodns.model.checks import Check

STALLED = 1.0
"""Seconds after a time limit from which noticing it is too late: this process was suspended or overloaded,
and the host's answer may lie unread."""


class TranscriptLine(NamedTuple):
    """Bytes as they came, which need not be whole lines.

    Attributes:
        at: seconds since the probe began.
        who: ``<`` the server, ``>`` the prober, ``*`` a remark.

    """

    at: float
    who: Literal["<", ">", "*"]
    data: bytes


Transcript = Callable[[TranscriptLine], None]


class ProbeClock:
    """Time limits of one probe, as one timer that is moved.

    Attributes:
        steps: as `ProbeOutcome.steps`.
        reached: whether the host has accepted the connection: its answer came back to us.

    """

    def __init__(self, check: Check, transcript: Transcript | None) -> None:
        self._now = asyncio.get_running_loop().time
        self._transcript = transcript
        self._started = self._now()
        self._end = self._started + check.timeout
        self._step = self._started
        self.limit = asyncio.timeout_at(min(self._end, self._started + check.connect_timeout))
        self.steps: list[tuple[str, float]] = []
        self.reached = False

    def elapsed(self) -> float:
        return self._now() - self._started

    def begin(self) -> None:
        """Begin a step; the time since the last one does not count."""
        self._step = self._now()

    def done(self, step: str) -> None:
        """End a step, and begin the next."""
        now = self._now()
        self.steps.append((step, now - self._step))
        self._step = now

    def allow(self, seconds: float) -> None:
        """Set the limit to so many seconds from now, but never past the whole probe's."""
        if not self.limit.expired():
            self.limit.reschedule(min(self._end, self._now() + seconds))

    def left(self) -> float:
        when = self.limit.when()
        assert when is not None
        return max(0.001, when - self._now())

    def stalled(self) -> bool:
        """Tell whether the limit was noticed so late that it says nothing of the host."""
        when = self.limit.when()
        return when is not None and self._now() - when > STALLED

    def note(self, who: Literal["<", ">", "*"], data: bytes) -> None:
        if self._transcript is not None:
            self._transcript(TranscriptLine(self.elapsed(), who, data))
