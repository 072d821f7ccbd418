import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from geodns.errors import StartError, StoreError
from geodns.storage import lock
from geodns.storage.lock import lock_state

HOLD = """
import pathlib, sys
from geodns.storage.lock import lock_state
lock_state(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_lock_makes_a_private_directory_and_names_its_holder(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "state"
    lock = lock_state(directory)
    try:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert (directory / "lock").read_text() == f"{os.getpid()}\n"
    finally:
        lock.close()


def test_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StartError) as refused:
            lock_state(tmp_path)
        assert str(refused.value) == (
            f"{tmp_path} is in use by process {holder.pid} (another geodns serve?): "
            "give this one its own --state"
        )
        holder.kill()
        holder.wait()
    lock_state(tmp_path).close()


def test_without_its_file_it_is_locked_still(tmp_path: Path) -> None:
    lock = lock_state(tmp_path)
    try:
        (tmp_path / "lock").unlink()
        for _ in range(2):  # the second finds the first one's file
            with pytest.raises(StartError, match="in use by another process"):
                lock_state(tmp_path)
    finally:
        lock.close()
    lock_state(tmp_path).close()


def test_a_disk_that_locks_no_directory_locks_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = lock_state(tmp_path)
    with pytest.raises(StartError, match=f"in use by process {os.getpid()}"):
        lock_state(tmp_path)
    lock.close()


def test_shorter_pid_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789012\n")
    lock_state(tmp_path).close()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_file_in_the_directorys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="--state"):
        lock_state(tmp_path / "state")


def test_a_full_disk_keeps_nobody_from_locking(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        lock_state(tmp_path).close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FORKED = """
import os, pathlib, sys, time
from geodns.storage.lock import lock_state

lock_state(pathlib.Path(sys.argv[1]))
if os.fork() == 0:
    print("locked", flush=True)
    sys.stdin.read()  # until the test lets go
    os._exit(0)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "stays"])
def test_what_a_killed_server_leaves_is_waited_for(
    ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", FORKED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"locked\n"
    child.wait()
    if ends:
        monkeypatch.setattr("geodns.storage.lock.time.sleep", lambda _: child.stdin and child.stdin.close())
        lock_state(tmp_path).close()
    else:
        monkeypatch.setattr(lock, "ORPHANS", 0.1)
        with pytest.raises(StartError, match="is in use"):
            lock_state(tmp_path)
        child.stdin.close()
    child.stdout.close()
