"""The sockets on which MTAs ask for routes: ports, and UNIX sockets with their files."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from geodns.errors import StartError
from geodns.serve.handover import RoutesDescriptor
from geodns.serve.plan import RoutesListener
from geodns.serve.privileges import Identity
from geodns.serve.sockets import BACKLOG, bind, format_address

MAX_PATH = 107
"""Bytes of a UNIX socket's path (unix(7), sun_path)."""

_PATIENCE = 1.0
"""Seconds that another server may take to accept the connection that shows it lives."""

_NOBODY = {errno.ECONNREFUSED, errno.ENOENT}


class SocketFile(NamedTuple):
    """A UNIX socket's file, and which one it was: another server may have put its own there since."""

    path: Path
    device: int
    inode: int


class RoutesSockets:
    """Every socket for routes, in the order of the listeners; leaving the block takes their files away.

    Attributes:
        listening: the sockets.
        places: where they are, as settings write it, with the real ports.

    """

    def __init__(self) -> None:
        self.listening: list[socket.socket] = []
        self._places: list[str] = []
        self._files: list[SocketFile] = []

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        for file in self._files:
            with contextlib.suppress(OSError):  # the folder may be root's, who is nobody here any more
                if _is(file):
                    file.path.unlink()

    def given(self) -> tuple[RoutesDescriptor, ...]:
        """Return them as another program takes them over."""
        files = {f"unix:{one.path}": one for one in self._files}
        return tuple(
            RoutesDescriptor(
                one.fileno(), place, *((str(file.path), *file[1:]) if (file := files.get(place)) else ())
            )
            for one, place in zip(self.listening, self._places, strict=True)
        )

    def adopt(self, descriptors: Sequence[RoutesDescriptor]) -> None:
        """Take over what another program has opened."""
        for one in descriptors:
            self.listening.append(socket.socket(fileno=one.descriptor))
            self._places.append(one.place)
            if one.path:
                self._files.append(SocketFile(Path(one.path), one.device, one.inode))

    def close(self) -> None:
        for one in self.listening:
            one.close()

    def open(self, listener: RoutesListener, identity: Identity | None) -> None:
        """Open a listener's socket.

        Raises:
            StartError: it cannot be had; its text says why, and what to do.

        """
        if isinstance(listener.place, Path):
            opened, file = _open_file(listener.place, listener.mode, identity)
            self._files.append(file)
            self._places.append(f"unix:{listener.place}")
        else:
            opened = bind(listener.place, socket.SOCK_STREAM, "routes")
            self._places.append(format_address((listener.place[0], opened.getsockname()[1])))
        self.listening.append(opened)
        opened.listen(BACKLOG)


def open_routes(listeners: Sequence[RoutesListener], identity: Identity | None) -> RoutesSockets:
    """Open every listener's socket, or none.

    Args:
        listeners: where.
        identity: to whom UNIX sockets shall belong; None: to this process's user.

    Raises:
        StartError: one cannot be had; its text says which and why, and what to do.

    """
    with contextlib.ExitStack() as undo:
        sockets = undo.enter_context(RoutesSockets())
        for one in listeners:
            sockets.open(one, identity)
        undo.pop_all()
        return sockets


def _open_file(path: Path, mode: int, identity: Identity | None) -> tuple[socket.socket, SocketFile]:
    """Make a UNIX socket under a name of its own, then move it to its place.

    So nobody meets one without its mode and owner, and what stands in its place is replaced at once, or not
    at all. None of these calls follows a link that somebody puts there.
    """
    if len(os.fsencode(path)) > MAX_PATH:
        raise StartError(f"unix:{path}: a socket's path has at most {MAX_PATH} bytes: give a shorter one")
    _require_free(path)
    aside = path.with_name(f".{os.getpid()}")
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~mode)
    try:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
        opened.bind(str(aside))
        if identity is not None:
            os.chown(aside, identity.uid, identity.gid, follow_symlinks=False)
        made = aside.lstat()
        opened.listen(BACKLOG)
        aside.rename(path)
    except OSError as error:
        opened.close()
        with contextlib.suppress(OSError):
            aside.unlink()
        raise StartError(f"unix:{path}: {_trouble(path, error)}") from None
    finally:
        os.umask(umask)
    return opened, SocketFile(path, made.st_dev, made.st_ino)


def _require_free(path: Path) -> None:
    """Require that nothing stands at a path but, at most, the socket of a server that has ended."""
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise StartError(f"unix:{path}: {_trouble(path, error)}") from None
    if not stat.S_ISSOCK(found):
        raise StartError(
            f"unix:{path}: there is a file that is no socket: give another path, or take it away"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_PATIENCE)
        try:
            asking.connect(str(path))
        except TimeoutError:
            pass  # whoever lets clients wait is there
        except OSError as error:
            if error.errno in _NOBODY:
                return
            if error.errno not in {errno.EAGAIN, errno.EACCES, errno.EPROTOTYPE}:
                raise StartError(f"unix:{path}: {_trouble(path, error)}") from None
    raise StartError(f"unix:{path}: another server answers there: end that one, or give another path")


def _trouble(path: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return f"there is no folder {path.parent}: make it, or give another path"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"not allowed to make it in {path.parent}: let the user write there, or give another path"
        case errno.EISDIR:
            return "that is a folder: give the path of a socket in it"
        case _:
            return f"cannot be opened: {error.strerror or error}"


def _is(file: SocketFile) -> bool:
    found = file.path.lstat()
    return (found.st_dev, found.st_ino) == (file.device, file.inode)
