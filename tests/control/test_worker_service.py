"""What is told of the server's own processes."""

from pathlib import Path

import pytest

from geodns import __version__
from geodns.control.worker_service import tell_start, tell_worker
from geodns.serve.frames import WorkerExited, WorkerStarted
from geodns.serve.plan import ControlContext
from geodns.storage.event_log import EventLog


@pytest.mark.parametrize(
    ("number", "before", "text"),
    [
        pytest.param(0, "", "the server is started", id="first"),
        pytest.param(
            7,
            "(pid 9) was killed by SIGKILL",
            "the control process was started again, the one before (pid 9) was killed by SIGKILL",
            id="again",
        ),
        pytest.param(
            7, "", "the control process was started again, the one before ended", id="nobody knows how"
        ),
    ],
)
def test_a_start_is_told_with_its_cause(tmp_path: Path, number: int, before: str, text: str) -> None:
    events = EventLog(tmp_path)
    tell_start(events, ControlContext(None, None, (), (), number, before), 3)  # type: ignore[arg-type]
    (told,) = events._memory
    assert (told.kind, told.text) == ("server", f"{text}: geodns {__version__}, zones 3")


def test_a_workers_death_and_return_are_told(tmp_path: Path) -> None:
    events = EventLog(tmp_path)
    tell_worker(events, WorkerExited("udp0", "(pid 9) ended with status 3"))
    tell_worker(events, WorkerStarted("udp0", 10, 1))
    assert [(one.kind, one.text) for one in events._memory] == [
        ("worker", "worker udp0 (pid 9) ended with status 3"),
        ("worker", "worker udp0 is back (pid 10)"),
    ]
