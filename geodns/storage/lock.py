"""Makes the state directory and locks it against a second server."""

import contextlib
import fcntl
import os
from pathlib import Path

from geodns.errors import StartError, StoreError

LOCK_NAME = "lock"


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


def lock_state(directory: Path) -> int:
    """Lock the state directory for this process and those it forks; make it if it is missing.

    The lock is the kernel's (``flock``): it ends with the last process that holds the descriptor, however
    that process ends, so no stale lock is ever left behind.

    Returns:
        The descriptor that holds the lock; closing it gives the lock up.

    Raises:
        StartError: another server holds it.
        StoreError: the directory cannot be used.

    """
    make_state_directory(directory)
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(directory, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(OSError):  # a full disk keeps no server from starting
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StartError(
            f"{directory} is in use by process {holder} (another geodns serve?): "
            "give this one its own --state"
        ) from error
    except OSError as error:
        os.close(descriptor)
        raise unusable(directory, error) from error
    return descriptor
