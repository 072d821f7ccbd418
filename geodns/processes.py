"""What is told of the server's own processes: their start, and deaths that nobody wanted."""

import logging

from geodns import __version__
from geodns.events import Events
from geodns.serve.frames import Born, Died
from geodns.serve.plan import ControlSeat


def tell_start(events: Events, seat: ControlSeat, zones: int) -> None:
    """Tell that the server answers, or that another control process has taken over.

    Args:
        events: told.
        seat: what the supervisor gave.
        zones: how many are served.

    """
    what = "the server is started"
    if seat.number:
        what = f"the control process was started again, the one before {seat.before or 'ended'}"
    data = {"version": __version__, "zones": zones, "again": bool(seat.number)}
    events.tell("server", f"{what}: geodns {__version__}, zones {zones}", level=logging.INFO, data=data)


def tell_worker(events: Events, message: Born | Died) -> None:
    """Tell that a worker has died, or that the next one is there."""
    if isinstance(message, Died):
        # The supervisor has logged it.
        text, level = f"worker {message.worker} {message.how}", logging.DEBUG
    else:
        text, level = f"worker {message.worker} is back (pid {message.pid})", logging.INFO
    events.tell("worker", text, level=level, data={"worker": message.worker})
