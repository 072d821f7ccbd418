"""Work that a process of its own does: what comes of it, and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geodns.zones import apart
from geodns.zones.apart import ApartError, run_apart

WORK = """
import os, sys, time
from geodns.zones.apart import end_with_control, serve_apart

def work(stream):
    words = stream.readline().split()
    end_with_control()
    if words[0] == b"wait":
        print(os.getpid(), flush=True)
        time.sleep(60)
    yield from (words[-1], str(os.nice(0)).encode())

if __name__ == "__main__":
    serve_apart("geodns: test", work)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that a process of its own can load."""
    (tmp_path / "worker_of_the_test.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "worker_of_the_test"


def test_another_process_does_it(module: str) -> None:
    data = asyncio.run(run_apart(module, (b"one ", b"two\n"), 60))
    assert data == b"two" + str(min(19, os.nice(0) + apart.NICE)).encode()


@pytest.mark.parametrize(
    ("script", "wrong"),
    [
        ("import time; time.sleep(60)", "it takes longer than 0 s"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its process ended with status -9"),
        ("import sys; sys.exit(3)", "its process ended with status 3"),
    ],
)
def test_work_that_is_not_done(module: str, tmp_path: Path, script: str, wrong: str) -> None:
    (tmp_path / f"{module}.py").write_text(script)
    within = 0.2 if "sleep" in script else 60
    with pytest.raises(ApartError, match=wrong):
        asyncio.run(run_apart(module, (b"\n",), within))


def test_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(ApartError, match=r"no process can be started \(No such file"):
        asyncio.run(run_apart("any", (), 60))


def test_it_ends_with_control(module: str) -> None:
    """Control is killed while the process waits, for a disk, say."""
    control = (
        "import subprocess, sys, time\n"
        f"work = subprocess.Popen([sys.executable, '-m', {module!r}], stdin=subprocess.PIPE)\n"
        "work.stdin.write(b'wait\\n')\n"
        "work.stdin.flush()\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", control], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while _lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
