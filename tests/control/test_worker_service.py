"""Events of the server's own processes, and subscribers to their messages."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from geodns import __version__
from geodns.control.cluster import Cluster
from geodns.control.metrics import Metrics
from geodns.control.worker_service import WorkerService
from geodns.responder.worker_state import Counts
from geodns.serve.frames import CountsReport, Message, WorkerExited, WorkerHeartbeat, WorkerStarted
from geodns.serve.plan import ControlContext
from geodns.storage.event_log import EventLog
from tests.sample_zones import NAME


def service(folder: Path, number: int = 0, before: str = "") -> tuple[WorkerService, EventLog]:
    context = ControlContext(cast(Any, None), cast(Any, None), (), ("udp0",), number, before)
    events = EventLog(folder)
    return WorkerService(context, Cluster({}, {}, {}, {}), events, Metrics()), events


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
def test_a_start_is_an_event_with_its_cause(tmp_path: Path, number: int, before: str, text: str) -> None:
    workers, events = service(tmp_path, number, before)
    workers.report_start()
    (told,) = events._memory
    assert (told.kind, told.text) == ("server", f"{text}: geodns {__version__}, zones 0")


def test_death_and_return_of_a_worker_are_events(tmp_path: Path) -> None:
    workers, events = service(tmp_path)
    workers._on_message(WorkerStarted("udp0", 9, 0))
    workers._on_message(WorkerExited("udp0"))  # as it was to
    workers._on_message(WorkerStarted("udp0", 9, 0))
    workers._on_message(WorkerExited("udp0", "(pid 9) ended with status 3"))
    workers._on_message(WorkerStarted("udp0", 10, 1))
    assert [(one.kind, one.text) for one in events._memory] == [
        ("worker", "worker udp0 (pid 9) ended with status 3"),
        ("worker", "worker udp0 is back (pid 10)"),
    ]


def test_counts_that_come_before_the_first_table_wait_for_it(tmp_path: Path) -> None:
    workers, _ = service(tmp_path, 7)
    heard: list[Message] = []
    workers.subscribe(heard.append)
    reports = [CountsReport("udp0", "udp", Counts({}, {(b"uid", 0, 0): number})) for number in (1, 2, 3)]
    for report in reports[:2]:
        workers._on_message(report)
    assert heard == [], "nobody knows yet which hosts the uid stands for"
    asyncio.run(workers.publish())
    workers._on_message(reports[2])
    assert heard == reports


def test_all_who_subscribe_hear_everything_whatever_the_others_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(message: Message) -> None:
        raise RuntimeError(message)

    workers, _ = service(tmp_path)
    asyncio.run(workers.publish())
    heard: list[Message] = []
    workers.subscribe(broken)
    workers.subscribe(heard.append)
    said: list[Message] = [
        WorkerHeartbeat("udp0"),
        CountsReport("udp0", "udp", Counts({(NAME, 1, 0): 2}, {})),
    ]
    for message in said:
        workers._on_message(message)
    assert heard == said
    assert caplog.text.count("what udp0 said is lost") == 2
    labels = {"zone": NAME, "type": "A", "rcode": "NOERROR", "transport": "udp"}
    assert workers._metrics.registry.get_sample_value("geodns_queries_total", labels) == 2
