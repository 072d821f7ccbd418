"""Tells whether the wall clock can be believed: wrong for a moment, or since boot, it must end no order."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from geodns.control.alert_service import Alert

STEP = 2.0
"""Seconds by which the clock must be set at once for it to be a step: NTP turns it far more slowly."""
STEADY = 60.0
"""Seconds without a step after which the clock is believed again."""
TORN = 0.1
"""Seconds between two readings that belong together after which they say nothing."""
TRIES = 3
"""Readings in one look: orders end right after it, so it should say something."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def since_boot() -> float:
    """Return seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WallClock:
    """The wall clock beside the one that nobody sets; it begins with the `note` of an earlier process."""

    def __init__(
        self,
        noted: str | None = None,
        wall: Callable[[], float] = time.time,
        unset: Callable[[], float] = since_boot,
    ) -> None:
        self._noted = noted
        self._wall = wall
        self._unset = unset
        self._ahead = self._told = wall() - unset()
        """By how much the wall clock is ahead, at the last look and when it was last believed."""
        self._until = float("-inf")
        self._step = 0.0
        boot, _, ahead = (noted or "").partition(" ")
        if boot and boot != _boot():
            self._until = unset() + STEADY  # without a battery it is wrong until the network tells the time
        elif boot:
            try:
                self._told = float(ahead)
            except ValueError:
                self._noted = None
                return
            if abs(self._ahead - self._told) > STEP:
                self._stepped(self._ahead - self._told)

    def look(self) -> None:
        """Compare the clocks; to be called several times a second."""
        for _ in range(TRIES):
            before = self._unset()
            wall = self._wall()
            now = self._unset()
            if now - before <= TORN:
                self._compare(wall - now)
                return

    def _compare(self, ahead: float) -> None:
        step = ahead - self._ahead
        self._ahead = ahead
        if abs(step) > STEP:
            self._stepped(step)
        elif self.steady:
            self._told = self._ahead

    def _stepped(self, seconds: float) -> None:
        self._step = seconds
        self._until = self._unset() + STEADY

    @property
    def was_set(self) -> bool:
        """Whether it was set a moment ago, and may be set again."""
        return not self.steady and bool(self._step)

    @property
    def steady(self) -> bool:
        """Whether what the clock says may end something."""
        return self._unset() >= self._until

    def note(self) -> str:
        """Return what the next process must know; it changes only if the clock was set or has drifted."""
        boot, _, ahead = (self._noted or "").partition(" ")
        if boot != _boot() and not self.steady:
            return self._noted or ""  # the next process, too, must doubt
        if boot != _boot() or abs(float(ahead) - self._told) > STEP / 2:
            self._noted = f"{_boot()} {self._told:.3f}"
        return self._noted or ""

    def alerts(self) -> Iterator[Alert]:
        if self.was_set:
            way = "ahead" if self._step > 0 else "back"
            text = (
                f"the clock was set {way} by {abs(self._step):,.0f} s: orders with an end go on, and hours "
                f"of rules turn nothing, until it has been steady for {STEADY:.0f} s"
            )
            over = "the clock is steady: orders end when their time is over, and hours turn"
            yield Alert("clock", text, grade=text, resolved=over)


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"
