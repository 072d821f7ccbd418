"""Packs all that a program hands to the next in an upgrade: a sealed memfd, which names descriptors.

The memfd begins with a fixed head (magic, number of the format, length), then comes JSON. A key that the
reader does not know is left alone, and one that the writer did not know has its default, so most changes need
no new number.
"""

import base64
import binascii
import contextlib
import fcntl
import json
import os
import types
import typing
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from struct import Struct
from typing import Any

from geodns.errors import GeodnsError

HANDOVER = "GEODNS_HANDOVER"
"""The environment variable with the memfd's number."""

FORMAT = 1
"""To be raised where a reader of the number before would be wrong, and only then."""

_MAGIC = b"geodns-handover\n"
_HEAD = Struct(">16sII")
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class HandoverError(GeodnsError):
    """A handover that cannot be read."""


class NewerHandover(HandoverError):  # noqa: N818 - it says what it is
    """A handover in a format that this program does not know yet."""


@dataclass(frozen=True, slots=True)
class Program:
    """A version of the server, and how it is called.

    Attributes:
        version: of geodns.
        path: of the executable, absolute; links in it are followed when it is started. Empty: not known.
        args: after ``serve``.
        package: folder of the modules.
        fingerprint: of that folder's files when the program started.
        formats: that it writes, by the names of the files in the state folder.
        file: that `path` led to when the program started: a link may name another version since.

    """

    version: str
    path: str
    args: tuple[str, ...] = ()
    package: str = ""
    fingerprint: str = ""
    formats: Mapping[str, int] = field(default_factory=dict)
    file: str = ""

    def as_started(self) -> "Program":
        """Return it by its own file, to go back to: no link leads elsewhere."""
        return replace(self, path=self.file or self.path)


@dataclass(frozen=True, slots=True)
class AskedSockets:
    """What the settings say of sockets and the state folder; who is told something else needs a restart.

    Attributes:
        listen: for DNS, as `ServePlan` has it: port 0 stays 0.
        http: for control.
        routes: places for MTAs, as settings write them.
        workers: of UDP.
        state: the state folder, absolute; empty: none.

    """

    listen: tuple[tuple[str, int], ...]
    http: tuple[str, int]
    routes: tuple[str, ...]
    workers: int
    state: str = ""


@dataclass(frozen=True, slots=True)
class RoutesDescriptor:
    """A socket for MTAs: the descriptor, the real place, and the file of a UNIX socket (path empty: none)."""

    descriptor: int
    place: str
    path: str = ""
    device: int = 0
    inode: int = 0


@dataclass(frozen=True, slots=True)
class OldWorker:
    """A worker of the program before, which answers until new ones do.

    Attributes:
        stream: descriptor of the supervisor's end.
        unread: what came from it and is not taken yet: whole frames, and a part of one.
        restarts: workers of that name before it.
        acked: number of the newest Table it said it answers from.

    """

    name: str
    pid: int
    stream: int
    unread: bytes = b""
    restarts: int = 0
    acked: int = 0


@dataclass(frozen=True, slots=True)
class Handover:
    """Everything that crosses from a program to the next; descriptors are numbers.

    In a rehearsal the numbers mean nothing: it gets the memfd alone.

    Attributes:
        writer: the program that hands over, which the next one can go back to.
        asked: of sockets.
        listen: the real addresses for DNS.
        udp: each worker's sockets.
        tcp: listening for DNS.
        http: listening for control.
        routes: listening for MTAs.
        locks: of the state folder.
        word: memfd of the generation word.
        cells: memfd of the rate limits' cells.
        cells_secret: by which they are found.
        upgrade_socket: listening for `geodns upgrade`; None: there is none.
        client: connection of the one that asked for this upgrade; None: a signal did.
        workers: that run on.
        number: of the last Table; 0: none.
        counters: of the last control, in its own form.
        secrets: contents of files that only root may read, by path.
        earlier: program that the writer itself could go back to.
        going_back: why the writer failed; empty: this is an upgrade.
        failed_step: the step in which it did.
        back: whether ``geodns upgrade --back`` asked for it.
        begun: when the upgrade was asked for, by `time.monotonic`.

    """

    writer: Program
    asked: AskedSockets
    listen: tuple[tuple[str, int], ...]
    udp: tuple[tuple[int, ...], ...]
    tcp: tuple[int, ...]
    http: int
    routes: tuple[RoutesDescriptor, ...] = ()
    locks: tuple[int, ...] = ()
    word: int | None = None
    cells: int | None = None
    cells_secret: bytes = b""
    upgrade_socket: int | None = None
    client: int | None = None
    workers: tuple[OldWorker, ...] = ()
    number: int = 0
    counters: bytes = b""
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    earlier: Program | None = None
    going_back: str = ""
    failed_step: str = ""
    back: bool = False
    begun: float = 0.0

    def descriptors(self) -> Iterator[int]:
        """Yield the number of every descriptor that goes with it."""
        for sockets in self.udp:
            yield from sockets
        yield from self.tcp
        yield self.http
        yield from (one.descriptor for one in self.routes)
        yield from self.locks
        yield from (one.stream for one in self.workers)
        for maybe in (self.word, self.cells, self.upgrade_socket, self.client):
            if maybe is not None:
                yield maybe


# --- the text ------------------------------------------------------------------------------------------


def pack(handover: Handover) -> bytes:
    """Return head and JSON."""
    text = json.dumps(_plain(handover), separators=(",", ":")).encode()
    return _HEAD.pack(_MAGIC, FORMAT, len(text)) + text


def unpack(data: bytes) -> Handover:
    """Read what `pack` wrote, here or in another version.

    Raises:
        NewerHandover: its format is not known here.
        HandoverError: it is none, cut off, or says nonsense; the text says where.

    """
    if len(data) < _HEAD.size:
        raise HandoverError("the handover is cut off in its head")
    magic, number, length = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise HandoverError("this is no handover")
    if number > FORMAT:
        raise NewerHandover(f"the handover has format {number}; this program knows up to {FORMAT}")
    text = data[_HEAD.size :]
    if len(text) < length:
        raise HandoverError(f"the handover is cut off: {len(text)} of {length} bytes")
    try:
        found = json.loads(text[:length])
    except ValueError as error:
        raise HandoverError(f"the handover is no JSON: {error}") from None
    except RecursionError:
        raise HandoverError("the handover is no JSON: nested too deep") from None
    try:
        handover: Handover = _read(Handover, found, "handover")
    except OverflowError:
        raise HandoverError("a number in the handover is out of all bounds") from None
    return handover


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: bytes become base64."""
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _read(kind: Any, found: Any, where: str) -> Any:
    """Return what was found as the type that it shall have, or raise HandoverError."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    read: Any = found
    if origin is types.UnionType:
        read = None if found is None else _read(inner[0], found, where)
    elif is_dataclass(kind) and isinstance(found, dict):
        read = _read_fields(kind, found, where)
    elif origin is tuple and isinstance(found, list) and (inner[-1] is Ellipsis or len(inner) == len(found)):
        kinds = inner[:1] * len(found) if inner[-1] is Ellipsis else inner
        read = tuple(_read(kinds[n], one, f"{where}[{n}]") for n, one in enumerate(found))
    elif origin is Mapping and isinstance(found, dict):
        read = {key: _read(inner[1], one, f"{where}.{key}") for key, one in found.items()}
    elif kind is bytes and isinstance(found, str):
        read = _bytes(found, where)
    elif kind is float and type(found) is int:
        read = float(found)
    elif type(found) is not kind:
        raise HandoverError(f"{where} is {type(found).__name__}, not {getattr(kind, '__name__', kind)}")
    return read


def _bytes(found: str, where: str) -> bytes:
    try:
        return base64.b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        raise HandoverError(f"{where} is no base64") from None


def _read_fields(kind: Any, found: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    values = {}
    for one in fields(kind):
        if one.name in found:
            values[one.name] = _read(hints[one.name], found[one.name], f"{where}.{one.name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise HandoverError(f"{where}.{one.name} is missing")
    return kind(**values)


# --- the memfd -----------------------------------------------------------------------------------------


def seal(handover: Handover) -> int:
    """Write a handover into a new memfd that nobody can change; return its descriptor (closed on exec)."""
    descriptor = os.memfd_create("geodns-handover", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(descriptor, "wb", closefd=False) as out:
            out.write(pack(handover))
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read(descriptor: int) -> Handover:
    """Read a handover from its memfd.

    Raises:
        NewerHandover: its format is not known here.
        HandoverError: it cannot be read, or somebody could still change it.

    """
    try:
        sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        if sealed & _SEALS != _SEALS:
            raise HandoverError("the handover is not sealed")
        data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    except OSError as error:
        raise HandoverError(f"the handover cannot be read: {error.strerror}") from None
    return unpack(data)


def take_handover(environ: MutableMapping[str, str]) -> Handover | None:
    """Take the handover that this process was started with, and the variable that tells of it; None: none.

    Raises:
        NewerHandover: its format is not known here.
        HandoverError: it cannot be read.

    """
    number = environ.pop(HANDOVER, "")
    if not number:
        return None
    if not number.isascii() or not number.isdecimal():
        raise HandoverError(f"{HANDOVER}={number} is no descriptor: unset it")
    try:
        return read(int(number))
    finally:
        with contextlib.suppress(OSError):
            os.close(int(number))
