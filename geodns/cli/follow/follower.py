"""From lines to kept batches: reads, collects, and keeps signals and place together."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b

from geodns.cli.follow.attempts import Attempts
from geodns.cli.follow.feedback import read_report
from geodns.cli.follow.log_file import LogFile, Piece, Place
from geodns.cli.follow.log_reader import LogReader
from geodns.cli.follow.log_times import LogTimes
from geodns.cli.follow.signals import Collector, LogSignal, Ours, Sender, batches
from geodns.cli.follow.spool import Spool, SpooledBatch
from geodns.errors import StoreError

PAUSE = 5.0
"""Seconds until a disk that did not take a batch is tried again."""
OFTEN = 10.0
"""Seconds after which the place behind lines that say nothing is kept."""

Tell = Callable[[str], None]


class Follower:
    """Keeps what sources give as batches, each with the place behind it.

    Args:
        spool: where they are kept.
        sender: whom signals are of.
        tell: told what the operator should know.

    """

    def __init__(self, spool: Spool, sender: Sender, tell: Tell) -> None:
        self._spool = spool
        self._tell = tell
        since = spool.known("since")
        self._attempts = Attempts(float(since) if since else None)
        for message, state in spool.waiting():
            self._attempts.load(message, state)
        self.collector = Collector(sender, self._attempts, Ours())
        self.identity = spool.identity()
        self._turn = asyncio.Lock()
        self._kept: dict[str, float] = {}
        self._nameless = 0
        self.dropped = int(spool.known("dropped") or 0)

    def followed(self, log: LogFile) -> "FollowedFile":
        return FollowedFile(self, log)

    def opened(self, source: str) -> Place | None:
        """Return where reading of a file stands."""
        found = self._spool.known(f"place {source}")
        if found is None:
            return None
        number, mark, inode, offset = json.loads(found)
        return Place(number, bytes.fromhex(mark), inode, offset)

    async def keep_lines(
        self, source: str, reader: LogReader, data: bytes, name: str, known: Mapping[str, str]
    ) -> None:
        """Read lines; keep what they say under the name of a batch, with values that go with it.

        Comes back when that is on disk: what is not kept must not be passed over.
        """
        async with self._turn:
            add = self.collector.add
            for said in reader.read(data):
                add(said)
            await self._keep(source, name, known)

    async def keep_report(self, content: bytes, now: float) -> str | None:
        """Keep what a feedback report says, under its own name; return why it says nothing."""
        complaint = read_report(content, now)
        if isinstance(complaint, str):
            return complaint
        async with self._turn:
            self.collector.add(complaint)
            await self._keep("", f"arf-{blake2b(content, digest_size=12).hexdigest()}", {})
        return None

    async def _keep(self, source: str, name: str, known: Mapping[str, str]) -> None:
        signals = self.collector.take()
        now = time.monotonic()
        changed = self._attempts.changed
        if source and not signals and not changed and now - self._kept.get(source, now - OFTEN) < OFTEN:
            return
        rows = [
            SpooledBatch(
                f"{self.identity}-{name}-{part}",
                sum(count for _, count in some),
                self._body(name, part, some),
            )
            for part, some in enumerate(batches(signals))
        ]
        values = dict(known)
        if self.dropped:
            values["dropped"] = str(self.dropped)
        if self._attempts.since is not None:
            values["since"] = repr(self._attempts.since)
        states = {message: self._attempts.state_of(message) for message in changed}
        while True:
            try:
                dropped = self._spool.keep(rows, values, states)
                break
            except StoreError as error:
                self._tell(str(error))
                await asyncio.sleep(PAUSE)
        changed.clear()
        self._kept[source] = now
        self._remark(dropped)

    def _body(self, name: str, part: int, some: list[tuple[LogSignal, int]]) -> bytes:
        return self.collector.body(f"{self.identity}-{name}-{part}", some)

    def _remark(self, dropped: int) -> None:
        if dropped:
            self.dropped += dropped
            self._tell(
                f"no server takes signals and the spool is full: {dropped} events dropped, "
                f"{self.dropped} in all"
            )
        if self.collector.nameless and not self._nameless:
            self._tell(
                "deliveries that do not say which address they left from are left out: "
                "give --egress IP, --egress NAME=IP or --host NAME"
            )
        self._nameless = self.collector.nameless


class FollowedFile:
    """A file that is followed, with what reads its lines."""

    def __init__(self, follower: Follower, log: LogFile) -> None:
        self._follower = follower
        self.log = log
        self._source = str(log.path)
        self._digest = blake2b(self._source.encode(errors="surrogateescape"), digest_size=4).hexdigest()
        self._reader = LogReader(LogTimes(time.time()))

    async def step(self, now: float) -> int:
        """Read and keep what is new; return how many bytes."""
        piece = self.log.read(now)
        if piece is None:
            return 0
        self._reader.times.now = time.time()
        await self._follower.keep_lines(
            self._source, self._reader, piece.data, self._name(piece), self._place(piece)
        )
        return len(piece.data)

    def _name(self, piece: Piece) -> str:
        return f"{self._digest}-{piece.start.number}-{piece.start.offset}-{piece.end.offset}"

    def _place(self, piece: Piece) -> dict[str, str]:
        number, mark, inode, offset = piece.end
        return {f"place {self._source}": json.dumps([number, mark.hex(), inode, offset])}
