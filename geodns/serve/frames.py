"""Frames between the processes: each with its length before it, on a stream socket that never blocks.

Downwards (control, supervisor, workers) every frame is a packed `TableDelta`, or `RouteNews` for the routes
worker, and the last one of control's may be `ControlLeaves`; upwards it is one of the messages below, and
`UpgradeBegins` and `UpgradeEnded` for control. Both ends are processes of this server, forked from one
another; but a worker may be one of another version's, which an upgrade has left behind.
"""

import pickle
import socket
import time
from collections import deque
from struct import Struct
from typing import NamedTuple

from geodns.responder.query_log import Noted
from geodns.responder.route_table import RouteNews
from geodns.responder.table_changes import TableDelta
from geodns.responder.worker_state import Counts

ROUTES = "routes"
"""The worker that answers MTAs; there is none unless the settings say where."""

_LENGTH = Struct(">I")
LENGTH = _LENGTH.size
"""Bytes before a frame that say how long it is."""

_CHUNK = 1 << 18


class WorkerStarted(NamedTuple):
    """A worker was started; `restarts` counts those that had its name before."""

    worker: str
    pid: int
    restarts: int


class WorkerExited(NamedTuple):
    """A worker is gone; `how` continues a sentence about it, and is empty where it was told to end."""

    worker: str
    how: str = ""


class TableApplied(NamedTuple):
    """A worker answers from the Table of this number, or a later one."""

    worker: str
    number: int


class CountsReport(NamedTuple):
    """A worker's counts since its last report."""

    worker: str
    transport: str
    counts: Counts


class QueryLogBatch(NamedTuple):
    """Queries that a worker has noted for the query log; `dropped` counts those that found no room."""

    worker: str
    noted: tuple[Noted, ...]
    dropped: int


class WorkerHeartbeat(NamedTuple):
    """A worker that has had nothing else to say for a while."""

    worker: str


class ProviderAsked(NamedTuple):
    """The routes worker wants to know who runs a domain's mail; `RouteNews` answers."""

    worker: str
    domain: str


class RouteKey(NamedTuple):
    """What answers to MTAs are counted by.

    Attributes:
        zone: empty: none was found to be asked.
        rule: the digest of the rule that answered; empty: none did.
        outcome: ``name``, ``host``, ``others``, ``none`` (no rule fits), ``local``, ``stopped``,
            ``unserved``, ``later`` (no other host) or ``malformed``.
        protocol: ``policy``, ``socketmap``, ``line`` or ``http``.

    """

    zone: str
    rule: str
    outcome: str
    protocol: str


ROUTE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
"""Upper bounds of the buckets in which the seconds of answers are counted; one more is for longer ones."""


class RouteCounts(NamedTuple):
    """What the routes worker has answered since its last report.

    Attributes:
        looked_up: answers that named a host, by zone, host and provider (empty: not known).
        buckets: answers by how long they took, see `ROUTE_SECONDS`.
        seconds: that all of them took together.
        since: when it began to count, in seconds since the epoch.

    """

    worker: str
    answers: dict[RouteKey, int]
    looked_up: dict[tuple[str, str, str], int]
    buckets: tuple[int, ...]
    seconds: float
    since: float


class UpgradeBegins(NamedTuple):
    """The supervisor wants control to finish what it is at, and to leave with `ControlLeaves`.

    What workers count is held back from here on, for the next control process; acks are passed on.
    """


class UpgradeEnded(NamedTuple):
    """The supervisor tells control how an upgrade has ended.

    Attributes:
        before: version that served when it began.
        failed: why it failed; empty: it did not, and control is of the new version.
        step: in which it failed.
        replaced: whether another program had taken this process over, and gone back.

    """

    before: str
    failed: str = ""
    step: str = ""
    replaced: bool = False


class ControlLeaves(NamedTuple):
    """The last that control says when it leaves for an upgrade; its counters are in its own form."""

    counters: bytes


Message = (
    WorkerStarted
    | WorkerExited
    | TableApplied
    | CountsReport
    | QueryLogBatch
    | WorkerHeartbeat
    | ProviderAsked
    | RouteCounts
)


def framed(payload: bytes) -> bytes:
    """Put its length before a frame."""
    return _LENGTH.pack(len(payload)) + payload


def frame_length(head: bytes) -> int:
    """Read the length that stands before a frame."""
    length: int = _LENGTH.unpack(head)[0]
    return length


def pack_message(message: Message | UpgradeBegins | UpgradeEnded | ControlLeaves) -> bytes:
    """Return a message as a frame."""
    return framed(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))


def unpack_message(payload: bytes) -> Message:
    """Read what `pack_message` wrote; only for bytes of this server's own processes."""
    message: Message = pickle.loads(payload)  # noqa: S301 - from a socket pair that only our processes hold
    return message


def unpack_for_control(payload: bytes) -> Message | UpgradeBegins | UpgradeEnded:
    """Read what the supervisor sends control."""
    message: Message | UpgradeBegins | UpgradeEnded = pickle.loads(payload)  # noqa: S301 - see `unpack_message`
    return message


def unpack_from_control(payload: bytes) -> TableDelta | RouteNews | ControlLeaves:
    """Read what control sends the supervisor."""
    change: TableDelta | RouteNews | ControlLeaves = pickle.loads(payload)  # noqa: S301 - see `unpack_message`
    return change


def pack_news(news: RouteNews) -> bytes:
    """Return news as a frame."""
    return framed(pickle.dumps(news, protocol=pickle.HIGHEST_PROTOCOL))


def unpack_change(payload: bytes) -> TableDelta | RouteNews:
    """Read what came down; only for bytes of this server's own processes."""
    change: TableDelta | RouteNews = pickle.loads(payload)  # noqa: S301 - see `unpack_message`
    return change


class Stream:
    """One end of a socket pair: whole frames in and out, without ever waiting for the other end.

    Attributes:
        backlog: bytes that were put and are not sent yet.
        moved: when the other end last made room, or there was nothing to send, by `time.monotonic`.
        ended: whether the other end is gone.

    """

    def __init__(self, end: socket.socket, unread: bytes = b"") -> None:
        end.setblocking(False)
        self.socket = end
        self.backlog = 0
        self.moved = time.monotonic()
        self.ended = False
        self._out: deque[memoryview] = deque()
        self._in = bytearray(unread)
        self._start = 0

    def put(self, frames: bytes) -> None:
        """Send frames, as far as the other end takes them now; `flush` goes on with the rest."""
        if not self._out:
            self.moved = time.monotonic()
        self._out.append(memoryview(frames))
        self.backlog += len(frames)
        self.flush()

    def flush(self) -> None:
        while self._out:
            try:
                sent = self.socket.send(self._out[0])
            except BlockingIOError:
                return
            except OSError:  # broken pipe: reading finds the end, and what it said before
                self._out.clear()
                self.backlog = 0
                return
            self.backlog -= sent
            self.moved = time.monotonic()
            if sent < len(self._out[0]):
                self._out[0] = self._out[0][sent:]
            else:
                self._out.popleft()

    def fill(self) -> bool:
        """Read once; say whether anything came."""
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self.ended = not data
        if self._start:
            del self._in[: self._start]
            self._start = 0
        self._in += data
        return bool(data)

    @property
    def ready(self) -> bool:
        """Whether `take` has a frame."""
        rest = len(self._in) - self._start
        return rest >= LENGTH and rest >= LENGTH + _LENGTH.unpack_from(self._in, self._start)[0]

    @property
    def partial(self) -> bool:
        """Whether a frame has come in part."""
        return len(self._in) > self._start and not self.ready

    @property
    def unread(self) -> bytes:
        """What has come and was not taken."""
        return bytes(memoryview(self._in)[self._start :])

    def take(self) -> bytes | None:
        """Return the next whole frame of what was read, without its length; None when there is none."""
        if not self.ready:
            return None
        start = self._start + LENGTH
        self._start = start + _LENGTH.unpack_from(self._in, self._start)[0]
        return bytes(memoryview(self._in)[start : self._start])

    def close(self) -> None:
        self.socket.close()
