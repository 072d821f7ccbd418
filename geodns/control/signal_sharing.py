"""Names what taking signals needs of the other servers: batches claimed, and what they come to told."""

from collections.abc import Callable
from typing import Protocol

from geodns.control.signal_intake import Batch, Judged
from geodns.storage.signal_file import Taken


class BusyError(Exception):
    """A batch cannot be taken now, and should come again; says why."""


class AwayError(BusyError):
    """It cannot be known now whether another server of the group has counted a batch."""


class SignalSharing(Protocol):
    """The way to the other servers."""

    async def take(self, read: Callable[[], Batch], now: float) -> tuple[Taken, tuple[str, ...]]:
        """Take a batch as `SignalService.take`, once in the whole group.

        Raises:
            BusyError: it should come again.

        """
        ...

    def counted(self, judged: Judged) -> None:
        """Tell the others soon what has just been counted here."""
