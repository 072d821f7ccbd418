"""Knows since when this version runs, and how the last upgrade ended."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from geodns import __version__
from geodns.control.alert_service import Alert
from geodns.control.metrics import Metrics
from geodns.control.persistence import Persistence
from geodns.errors import printable
from geodns.serve.frames import UpgradeEnded
from geodns.serve.plan import ControlContext
from geodns.storage.event_log import EventLog

NOTE = "version"
"""Name of the note of what runs."""

UPGRADED = "upgraded"
REFUSED = "refused"
WENT_BACK = "went_back"


@dataclass(frozen=True, slots=True)
class LastUpgrade:
    """An upgrade that has ended.

    Attributes:
        at: seconds since the epoch.
        outcome: `UPGRADED`; `REFUSED`: nothing was changed; `WENT_BACK`: the new version had taken over.
        before: the version that served before it.
        why: it failed; empty: it did not.
        step: in which.

    """

    at: float
    outcome: str
    before: str
    why: str = ""
    step: str = ""


class UpgradeService:
    """What is told of versions and upgrades.

    Attributes:
        since: when this version was started first, of all that ran in turn; seconds since the epoch.
        last: None: there was none since the server was started.

    """

    def __init__(
        self,
        context: ControlContext,
        persistence: Persistence,
        events: EventLog,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._persistence = persistence
        self._events = events
        self._metrics = metrics
        self._clock = clock
        self.since, self.last = _read(persistence.note(NOTE), clock())
        if not context.number:  # started by hand: whoever did that knows
            self.last = None
        self._keep()

    def ended(self, told: UpgradeEnded) -> None:
        """Note how an upgrade has ended, and tell of it."""
        went_back = bool(told.failed) and told.replaced
        outcome = (WENT_BACK if went_back else REFUSED) if told.failed else UPGRADED
        why, step = printable(told.failed), printable(told.step)
        self.last = LastUpgrade(self._clock(), outcome, told.before, why, step)
        self._metrics.count_upgrade(outcome)
        self._keep()
        text = f"the server was upgraded from version {told.before} to {__version__}"
        level = logging.INFO
        if told.failed:
            level = logging.ERROR
            goes_on = f"version {__version__} goes on"
            text = f"an upgrade failed at step {step}, {goes_on}: {why}"
        data = {"version": __version__, "before": told.before, "outcome": outcome}
        self._events.tell("server", text, level=level, data=data | ({"step": step} if step else {}))

    def alerts(self) -> Iterator[Alert]:
        last = self.last
        if last is not None and last.outcome == WENT_BACK:
            yield Alert(
                "upgrade",
                f"the last upgrade failed at step {last.step}, and version {__version__} was taken back: "
                f"{last.why}",
                event="",  # there is one already
            )

    def _keep(self) -> None:
        last = None if self.last is None else asdict(self.last)
        told = {"version": __version__, "since": self.since, "last": last}
        self._persistence.keep_note(NOTE, json.dumps(told))


def _read(noted: str | None, now: float) -> tuple[float, LastUpgrade | None]:
    """Return since when this version runs, and the last upgrade."""
    try:
        found = json.loads(noted or "{}")
        since = float(found["since"]) if found.get("version") == __version__ else now
        last = found.get("last")
        return min(since, now), None if last is None else LastUpgrade(**last)
    except (ValueError, TypeError, KeyError, AttributeError):  # another version's note
        return now, None
