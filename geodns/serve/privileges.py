"""Giving up root once the ports are open: to which user, what it must read and write, and for good."""

import contextlib
import grp
import os
import pwd
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from geodns.errors import StartError

_PR_SET_NO_NEW_PRIVS = 38


class Identity(NamedTuple):
    """The user to become; `gid` is among its `groups`."""

    user: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def find(user: str | None, group: str | None) -> Identity | None:
    """Find the user to become; None where this process is that user already, or the settings name nobody.

    Raises:
        StartError: there is no such user or group, or only root could become it.

    """
    if user is None:
        if group is not None:
            raise StartError(f"group {group} without a user: give --user as well, or take --group out")
        return None
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise StartError(
            f"there is no user {user} on this machine: give --user another, "
            f"or make it: useradd --system --shell /usr/sbin/nologin {user}"
        ) from None
    try:
        gid = account.pw_gid if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise StartError(
            f"there is no group {group} on this machine: give --group another, or make it: groupadd {group}"
        ) from None
    if os.geteuid() != 0:
        if (account.pw_uid, gid) == (os.geteuid(), os.getegid()):
            return None
        raise StartError(
            f"only root can become {user}: start geodns as root or as {user}, or take --user and --group out"
        )
    return Identity(user, account.pw_uid, gid, tuple(os.getgrouplist(user, gid)))


def make_directory(directory: Path, identity: Identity) -> None:
    """Make a directory that belongs to the user, where it is missing; one that is there stays as it is.

    Its parents, where they are missing too, are root's and open to all, as others may need them.

    Raises:
        StartError: it cannot be made.

    """
    try:
        for parent in reversed(directory.parents):
            if not parent.exists():
                parent.mkdir()
                parent.chmod(0o755)
        if not directory.exists():
            directory.mkdir(mode=0o700)
            os.chown(directory, identity.uid, identity.gid, follow_symlinks=False)
    except OSError as error:
        raise StartError(
            f"{directory} cannot be made ({error.strerror}): make it a directory that {identity.user} "
            "can write, or give another with --state"
        ) from None


@contextlib.contextmanager
def acting_as(identity: Identity | None) -> Iterator[None]:
    """Use files as the user, for a while: what it may not do, root does not do either."""
    if identity is None:
        yield
        return
    gid, groups = os.getegid(), os.getgroups()
    os.setgroups(identity.groups)
    os.setegid(identity.gid)
    os.seteuid(identity.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def require_readable(paths: Iterable[Path], identity: Identity) -> None:
    """Require that the user, whom this process acts as, can read paths; missing ones are not checked.

    Raises:
        StartError: one cannot be read.

    """
    for path in paths:
        try:
            path.stat()
            readable = os.access(path, _wanted(path), effective_ids=True)
        except FileNotFoundError:
            continue
        except OSError:
            readable = False
        if not readable:
            raise StartError(
                f"{path} cannot be read by user {identity.user}: let it read that and enter every "
                "directory above (chgrp and chmod g+rX, say), or give --user another"
            )


def _wanted(path: Path) -> int:
    """Return the access mode that a reader needs: in a directory also to enter it."""
    return os.R_OK | (os.X_OK if os.path.isdir(path) else 0)  # noqa: PTH112 - Path's raises where none may look


def require_writable(directory: Path, identity: Identity) -> None:
    """Require that the user can write a directory and the files in it, where it is there.

    Raises:
        StartError: something in it cannot be written.

    """
    try:
        directory.stat()
        paths = (directory, *directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError as error:
        if error.filename != str(directory) or not os.access(directory.parent, os.X_OK, effective_ids=True):
            raise StartError(
                f"{directory} cannot be reached by user {identity.user}: let it enter every directory above "
                "(chmod o+x, say), or give another with --state"
            ) from None
        paths = (directory,)
    except OSError:
        paths = (directory,)
    for path in paths:
        if not os.access(path, os.W_OK | _wanted(path), effective_ids=True):
            raise StartError(
                f"{path} cannot be written by user {identity.user}: chown -R {identity.user} {directory}, "
                "or give another with --state"
            )


def drop(identity: Identity) -> None:
    """Become the user for good: real, effective and saved ids, its groups and no others.

    Raises:
        StartError: the kernel refuses.

    """
    try:
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        raise StartError(f"cannot become {identity.user} ({error.strerror}): take --user out") from None
    _no_new_privileges()


def _no_new_privileges() -> None:
    """Keep any program that might be started from regaining privileges (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    with contextlib.suppress(ImportError, OSError, AttributeError):  # one lock of several
        import ctypes  # noqa: PLC0415 - for this alone

        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
