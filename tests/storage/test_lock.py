import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from geodns.errors import StartError, StoreError
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
    descriptor = lock_state(directory)
    try:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert (directory / "lock").read_text() == f"{os.getpid()}\n"
    finally:
        os.close(descriptor)


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
    os.close(lock_state(tmp_path))


def test_shorter_pid_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789012\n")
    os.close(lock_state(tmp_path))
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_file_in_the_directorys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="--state"):
        lock_state(tmp_path / "state")


def test_a_full_disk_keeps_nobody_from_locking(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        os.close(lock_state(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
