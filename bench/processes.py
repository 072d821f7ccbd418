"""CPU time and memory of processes, from /proc: their own figures, whoever they are."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SESSION, _UTIME, _STIME, _RSS = 3, 11, 12, 21
"""Places behind the command's name in /proc/PID/stat (proc(5) counts from its field 3)."""


def _stat(pid: int) -> list[str]:
    """Return the fields behind the command's name; none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def of_session(leader: int) -> list[int]:
    """Return the processes of a session, its leader first."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    found = [pid for pid in pids if (fields := _stat(pid)) and int(fields[_SESSION]) == leader]
    return sorted(found, key=lambda pid: (pid != leader, pid))


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of all threads of a process, in steps of a clock tick (10 ms)."""
    fields = _stat(pid)
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS if fields else 0.0


def memory(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    fields = _stat(pid)
    return int(fields[_RSS]) * _PAGE / 2**20 if fields else 0.0


def own_memory(pid: int) -> float:
    """Return the memory in MiB that a process shares with no other one."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run on one core within the block; so does every process that is started there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def two_cores() -> tuple[int, int]:
    """Return a core for the server and one for its client; the same where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]
