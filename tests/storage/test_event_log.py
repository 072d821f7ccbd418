"""What happens, told in one place: log, memory, disk, and whoever follows."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from geodns.errors import StoreError
from geodns.storage import event_log
from geodns.storage.event_file import Event, EventFile, EventFilter
from geodns.storage.event_log import EventLog

ALL = EventFilter()


def running(directory: Path, test: Callable[[EventLog], Awaitable[None]]) -> None:
    """Run a test with open events, and close them."""

    async def run() -> None:
        events = EventLog(directory)
        await events.open()
        try:
            await test(events)
        finally:
            await events.close()

    asyncio.run(run())


def texts(found: list[Event]) -> list[str]:
    return [one.text for one in found]


def test_what_is_told_is_logged_remembered_and_there_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Event] = []

    async def before(events: EventLog) -> None:
        with caplog.at_level(logging.INFO):
            told.append(events.tell("server", "the server is started", level=logging.INFO))
            told.append(
                events.tell("state", "host a.z: up → down", zone="z", host="a", data={"before": "up"})
            )
        assert await events.after(0, 10, ALL) == told

    async def after(events: EventLog) -> None:
        assert await events.after(0, 10, ALL) == told
        later = events.tell("server", "again")
        assert later.id > told[-1].id
        assert await events.after(told[0].id, 10, ALL) == [told[1], later]
        assert await events.after(0, 1, ALL) == told[:1]
        assert await events.newest(2, ALL) == [told[1], later]

    running(tmp_path, before)
    running(tmp_path, after)
    assert [record.getMessage() for record in caplog.records][:2] == texts(told)
    assert vars(caplog.records[1])["host"] == "a"
    assert vars(caplog.records[1])["before"] == "up"


def test_a_clock_that_goes_back_takes_no_id_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[int] = []

    async def tell(events: EventLog) -> None:
        ids.extend(events.tell("server", "x").id for _ in range(3))

    running(tmp_path, tell)
    monkeypatch.setattr("geodns.storage.event_log.time.time", lambda: 1_000_000_000.0)
    running(tmp_path, tell)
    assert ids == sorted(set(ids))


def test_what_was_told_before_a_kill_and_is_not_on_disk_leaves_its_id_unused(tmp_path: Path) -> None:
    lost: list[int] = []

    async def killed() -> None:
        events = EventLog(tmp_path)
        await events.open()
        lost.append(events.tell("server", "lost").id)
        assert events._task is not None
        events._task.cancel()
        assert events._file is not None
        events._file.close()

    async def after(events: EventLog) -> None:
        new = events.tell("server", "new")
        assert new.id > lost[0]
        assert await events.after(lost[0], 10, ALL) == [new]

    asyncio.run(killed())
    running(tmp_path, after)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(ALL, "abcd", id="all"),
        pytest.param(EventFilter(kinds=frozenset({"forced", "server"})), "cd", id="kinds"),
        pytest.param(EventFilter(zone="z1"), "ac", id="zone"),
        pytest.param(EventFilter(host="h"), "abc", id="host"),
        pytest.param(EventFilter(host="h.z2"), "b", id="whole host"),
        pytest.param(EventFilter(host="h", zone="z1", kinds=frozenset({"state"})), "a", id="together"),
        pytest.param(EventFilter(since=4_000_000_000.0), "", id="since"),
    ],
)
def test_filters_are_the_same_in_memory_and_on_disk(tmp_path: Path, wanted: EventFilter, found: str) -> None:
    async def tell(events: EventLog) -> None:
        events.tell("state", "a", zone="z1", host="h")
        events.tell("state", "b", zone="z2", host="h")
        events.tell("forced", "c", zone="z1", host="h")
        events.tell("server", "d")
        await look(events)

    async def look(events: EventLog) -> None:
        assert "".join(texts(await events.after(0, 10, wanted))) == found
        assert "".join(texts(await events.newest(10, wanted))) == found
        assert "".join(texts(await events.newest(1, wanted))) == found[-1:]

    running(tmp_path, tell)
    running(tmp_path, look)


def test_memory_is_bounded_and_the_disk_has_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "IN_MEMORY", 10)
    monkeypatch.setattr(event_log, "WRITE_EVERY", 0.01)

    async def test(events: EventLog) -> None:
        first = events.tell("server", "0")
        for number in range(1, 100):
            events.tell("server", str(number))
        assert len(events._memory) == 100, "what is not on disk stays"
        await asyncio.to_thread(events.write)
        events.tell("server", "100")
        assert len(events._memory) == 10
        assert texts(await events.after(0, 200, ALL)) == [str(number) for number in range(101)]
        assert texts(await events.after(first.id, 5, ALL)) == ["1", "2", "3", "4", "5"]
        assert texts(await events.newest(15, ALL)) == [str(number) for number in range(86, 101)]

    running(tmp_path, test)


class Full:
    """A disk that is full until it is not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        real = EventFile._write

        def write(file: EventFile, *arguments: Any, **options: Any) -> None:
            if self.full:
                raise StoreError("events.db: the disk is full: free some space")
            real(file, *arguments, **options)

        monkeypatch.setattr(EventFile, "_write", write)


def test_a_full_disk_stops_nothing_and_what_waits_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Full(monkeypatch)
    monkeypatch.setattr(event_log, "IN_MEMORY", 2)
    monkeypatch.setattr(event_log, "UNWRITTEN", 4)

    async def test(events: EventLog) -> None:
        for number in range(6):
            events.tell("server", str(number))
        await asyncio.to_thread(events.write)
        await asyncio.to_thread(events.write)
        assert events.trouble is not None
        assert events.trouble.startswith("events.db: the disk is full: free some space: what happens now")
        assert texts(await events.after(0, 10, ALL)) == ["2", "3", "4", "5"]
        disk.full = False
        await asyncio.to_thread(events.write)
        assert events.trouble is None

    async def after(events: EventLog) -> None:
        assert texts(await events.after(0, 10, ALL)) == ["2", "3", "4", "5"]

    running(tmp_path, test)
    running(tmp_path, after)


def test_a_directory_that_cannot_be_used_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    async def test(events: EventLog) -> None:
        event = events.tell("server", "on we go")
        assert await events.newest(5, ALL) == [event]
        assert events.trouble is not None

    running(tmp_path / "state", test)


def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "events.db").write_text("no database at all " * 100)

    async def test(events: EventLog) -> None:
        assert events.trouble is None
        event = events.tell("server", "on we go")
        await asyncio.to_thread(events.write)
        assert await events.after(0, 5, ALL) == [event]

    running(tmp_path, test)
    assert "was set aside" in caplog.text


def test_who_waits_is_woken_at_once_also_by_a_thread(tmp_path: Path) -> None:
    async def test(events: EventLog) -> None:
        waiting = asyncio.create_task(events.wait(events.last, 60))
        await asyncio.sleep(0)
        thread = threading.Thread(target=events.tell, args=("server", "x"))
        thread.start()
        async with asyncio.timeout(10):
            await waiting
            await events.wait(0, 60)
        thread.join()
        assert events.last
        await events.wait(events.last, 0.01)
        events.end()
        async with asyncio.timeout(10):
            await events.wait(events.last, 60)

    running(tmp_path, test)


def test_what_hosts_say_cannot_steer_a_terminal(tmp_path: Path) -> None:
    async def test(events: EventLog) -> None:
        told = events.tell("state", "220 \x1b[2J", reason="\x1b[2J")
        assert (told.text, told.reason) == (r"220 \x1b[2J", r"\x1b[2J")
        assert len(events.tell("state", "x" * 10_000).text) == event_log.MAX_TEXT + 1

    running(tmp_path, test)
