"""Makes the state directory and locks it against a second server."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from geodns.errors import StartError, StoreError

LOCK_NAME = "lock"
ORPHANS = 5.0
"""Seconds in which the processes of a killed server end."""


def make_state_directory(directory: Path) -> None:
    """Make the state directory (mode 0700) if it is missing, or raise StoreError."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise unusable(directory, error) from error


def unusable(directory: Path, error: OSError) -> StoreError:
    """Return the error for a state directory that the system refuses."""
    why = error.strerror or str(error)
    return StoreError(
        f"the state directory {directory} cannot be used ({why}): "
        "make it a directory that this user can write, or give another with --state"
    )


class StateLock:
    """A locked state directory.

    The locks are the kernel's (``flock``): they end with the last process that holds their descriptors,
    however that process ends, so no stale lock is ever left behind. The directory itself is locked as well as
    the file in it, which somebody may remove.
    """

    def __init__(self, *descriptors: int) -> None:
        self.descriptors = descriptors

    def close(self) -> None:
        """Give the lock up, as far as this process holds it."""
        for one in self.descriptors:
            os.close(one)


def lock_state(directory: Path) -> StateLock:
    """Lock the state directory for this process and those it forks; make it if it is missing.

    Raises:
        StartError: another server holds it.
        StoreError: the directory cannot be used.

    """
    make_state_directory(directory)
    with contextlib.ExitStack() as undo:
        try:
            file = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            undo.callback(os.close, file)
            folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, folder)
            _lock(file)
            _lock_folder(folder)
        except BlockingIOError as error:
            raise StartError(
                f"{directory} is in use by {_holder(file)} (another geodns serve?): "
                "give this one its own --state"
            ) from error
        except OSError as error:
            raise unusable(directory, error) from error
        undo.pop_all()
    with contextlib.suppress(OSError):  # a full disk keeps no server from starting
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return StateLock(file, folder)


def _lock(file: int) -> None:
    """Lock the file; where its holder was killed, wait for those that it forked: they end by themselves."""
    end = time.monotonic() + ORPHANS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _holder_lives(file) or time.monotonic() >= end:
                raise
            time.sleep(0.05)


def _holder_lives(file: int) -> bool:
    found = os.pread(file, 32, 0).decode("ascii", "replace").strip()
    return not found.isdigit() or Path(f"/proc/{found}").exists()


def _lock_folder(folder: int) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # NFS locks only what is open for writing, which no directory is
        pass


def _holder(file: int) -> str:
    found = os.pread(file, 32, 0).decode("ascii", "replace").strip()
    return f"process {found}" if found else "another process"
