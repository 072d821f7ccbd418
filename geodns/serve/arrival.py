"""The first seconds of a program that took over: new control, new workers beside the old ones."""

import logging
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence

from geodns.serve.handover import Handover
from geodns.serve.process import ProcessSlot
from geodns.serve.upgrade_socket import UpgradeClient, UpgradeStep
from geodns.serve.worker import LEAVE

log = logging.getLogger(__name__)

TIME = 30.0
"""Seconds in which all new workers must answer; else the program before is gone back to."""

DEATHS = 2
"""Deaths of a worker in that time, at which the new program is given up."""

STEADY = 1.0
"""Seconds that all new workers must live beside the old ones, which only then leave: a worker that breaks at
its first query has taken the Table before."""

OLD_END = 75.0
"""Seconds that an old worker may take to answer what its clients have asked."""


class Arrival:
    """What is left to be done after another program handed over.

    Attributes:
        old: workers of the program before.
        going_back: whether this is the old program again; then nothing is given up any more.

    """

    def __init__(
        self, handover: Handover, old: Sequence[ProcessSlot], client: UpgradeClient | None, version: str
    ) -> None:
        """Begin.

        Args:
            handover: from the program before.
            old: see above.
            client: who is to be told.
            version: of this program.

        """
        self.handover = handover
        self.old = tuple(old)
        self.client = client
        self.going_back = bool(handover.going_back)
        self._version = version
        self._step: UpgradeStep | None = UpgradeStep.CONTROL
        self._due = time.monotonic() + TIME
        self._deaths: Counter[str] = Counter()
        self._trouble = ""
        self._steady: float | None = None
        self._say(step=UpgradeStep.CONTROL)

    @property
    def step(self) -> UpgradeStep | None:
        """What is waited for; None: only for the old workers' ends."""
        return self._step

    @property
    def due(self) -> float:
        """When to call `turn` at the latest."""
        return self._due if self._steady is None else min(self._due, self._steady)

    def died(self, name: str, how: str) -> None:
        """Note the death of a new process."""
        self._deaths[name] += 1
        if self._step is UpgradeStep.CONTROL or self._deaths[name] >= DEATHS:
            self._trouble = self._trouble or f"{name} {how}"

    def turn(self, number: int, workers: Sequence[ProcessSlot]) -> str:
        """Go on as far as it goes now.

        Args:
            number: of the last Table of the new control; 0: none has come.
            workers: the new ones.

        Returns:
            Why this program has to be given up; empty: it goes on.

        """
        now = time.monotonic()
        if self._step is UpgradeStep.CONTROL and number:
            self._step = UpgradeStep.WORKERS
            self._say(step=self._step)
            for slot in self.old:  # their counts have somebody to go to
                slot.watch()
        if self._step is UpgradeStep.WORKERS:
            if not all(slot.pid is not None and slot.acked for slot in workers):
                self._steady = None
            elif self._steady is None:
                self._steady = now + STEADY
            elif now >= self._steady:
                self._let_go(now)
        if self._step is not None and not self.going_back:
            if now >= self._due:
                return f"the new version did not answer within {TIME:g} s"
            return self._trouble
        if now >= self._due:
            self._overdue(now)
        return ""

    def _let_go(self, now: float) -> None:
        self._step = self._steady = None
        self._due = now + OLD_END
        for slot in self.old:
            slot.signal(LEAVE)
        log.info("version %s answers; the workers before leave", self._version)

    def _overdue(self, now: float) -> None:
        self._due = now + TIME
        if self._step is not None:
            log.error("version %s does not answer yet; the workers before go on", self._version)
            self.tell_end()
            return
        for slot in self.old:
            if slot.pid is not None:
                log.error("the old %s (pid %d) did not leave: killed", slot.name, slot.pid)
                slot.signal(signal.SIGKILL)

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return self._step is None and all(slot.pid is None for slot in self.old)

    def tell_end(self) -> None:
        """Tell the client how it went."""
        handover = self.handover
        if handover.going_back:
            self._say(failed=handover.going_back, step=handover.failed_step, serving=self._version)
        else:
            seconds = round(time.monotonic() - handover.begun, 3)
            self._say(done={"version": self._version, "before": handover.writer.version, "seconds": seconds})
        self.leave()
        self.client = None

    def leave(self) -> None:
        """Let go of the client, in a child too."""
        if self.client is not None:
            self.client.socket.close()

    def _say(self, **words: object) -> None:
        if self.client is not None and not (self.going_back and "step" in words and "failed" not in words):
            self.client.say(**words)


def adopt_workers(handover: Handover, make: Callable[[str], ProcessSlot]) -> tuple[ProcessSlot, ...]:
    """Take over the workers of the program before; `make` makes a place for one."""
    slots = []
    for worker in handover.workers:
        slot = make(worker.name)
        slot.adopt(worker)
        slots.append(slot)
    return tuple(slots)
