"""Tables on their way to the workers, and what the workers count on its way back to the hosts they dealt."""

import asyncio
from collections.abc import Callable

from geodns.dealing import Counts
from geodns.serve.frames import Born, Died, Logged
from geodns.serve.link import Link
from geodns.serve.plan import ControlSeat
from geodns.table import EMPTY, Rotation, Table


class Publisher:
    """Publishes each Table once, in order, and knows the rotations of those that workers may still count.

    Args:
        seat: what the supervisor gave.
        on_counts: called with a transport and what one of its workers counted.
        on_log: called with what a worker noted for the query log.
        on_worker: called when a worker has died, and when the next one is there.

    Attributes:
        link: to the workers.

    """

    def __init__(
        self,
        seat: ControlSeat,
        on_counts: Callable[[str, Counts], None],
        on_log: Callable[[Logged], None],
        on_worker: Callable[[Born | Died], None],
    ) -> None:
        self.link = Link(seat, lambda _, transport, counts: on_counts(transport, counts), on_log, on_worker)
        self._one_way = asyncio.Lock()
        self._table: Table = EMPTY
        self._number = 0
        self._rotations: dict[bytes, Rotation] = {}

    async def publish(self, table: Table) -> int:
        """Bring a Table on its way to the workers, unless it is; return its number."""
        async with self._one_way:
            if table is not self._table:
                self._remember(table)
                self._number = await self.link.publish(table)
                self._table = table
            return self._number

    def rotation(self, uid: bytes) -> Rotation | None:
        """Return the rotation that a worker counted by; also one that was replaced a moment ago."""
        return self._rotations.get(uid)

    def _remember(self, table: Table) -> None:
        before = self._table.rotations
        fresh = [one for key, one in table.rotations.items() if before.get(key) is not one]
        if len(self._rotations) > 2 * len(table.rotations) + 1000:
            # Workers may still count what they dealt from the Table before.
            self._rotations, fresh = {}, [*before.values(), *table.rotations.values()]
        self._rotations |= {one.uid: one for one in fresh}
