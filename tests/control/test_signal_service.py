"""The signal service over restarts and clocks: what it remembers, and what it says of long times."""

import asyncio
import itertools
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.control import signal_service
from geodns.control.metrics import Metrics
from geodns.control.signal_intake import Batch, Signal
from geodns.control.signal_service import SignalService
from geodns.control.signal_sharing import BusyError
from geodns.control.wall_clock import WallClock
from geodns.errors import Problem, StoreError
from geodns.model.mail import About, MailCounts, MailEvent
from geodns.signals.replies import Replies
from geodns.storage import signal_file, signal_rows
from geodns.storage.event_log import EventLog
from geodns.storage.signal_file import COUNTS_KEPT, SignalFile
from geodns.zonefile.reader import parse_zone

ZONE = "out.example.com"
HOST = (ZONE, "mta1")
TEXT = b"ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}\n"


def run(
    folder: Path, *tests: Callable[[SignalService], Awaitable[None]], problems: tuple[Problem, ...] = ()
) -> list[str]:
    """Run each test with a service of its own on the same file; return the lines of events."""
    zone = parse_zone(ZONE, TEXT, ZONE).zone
    assert zone is not None
    cluster = SimpleNamespace(sources={ZONE: zone}, zones={ZONE: zone})
    events = EventLog(folder)

    async def one(test: Callable[[SignalService], Awaitable[None]]) -> None:
        service = SignalService(
            folder,
            cast(Any, cluster),
            events,
            Metrics(),
            WallClock(),
            Replies(),
            problems,
        )
        watching = asyncio.create_task(service.watch())
        try:
            await test(service)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await service.close()

    for test in tests:
        asyncio.run(one(test))
    return [event.text for event in events._memory]


def signal(event: MailEvent = MailEvent.DELIVERED, provider: str = "google", **more: Any) -> Signal:
    return Signal(0, None, "mta1", None, event, provider, 0, "", "", None, 1, None, None, 1)._replace(**more)


async def take(service: SignalService, name: str, *signals: Signal, alive: tuple[str, ...] = ()) -> None:
    with service.room():
        await service.take(lambda: Batch(name, signals, (), alive))


def test_it_is_what_warm_up_and_rules_ask(tmp_path: Path) -> None:
    async def test(service: SignalService) -> None:
        counts: MailCounts = service  # mypy sees to that
        assert counts.by_provider(HOST, 0, 1) == {}

    run(tmp_path, test)


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    now = time.time()
    ages = (0, 600, 5 * 3600, 30 * 3600, 20 * 86400, 60 * 86400)

    async def before(service: SignalService) -> None:
        for age in ages:
            await take(service, f"{age}", signal(number=5, at=now, queued=now - age), alive=("mta2",))

    async def after(service: SignalService) -> None:
        await take(service, "600", signal(number=5))  # a duplicate
        for age in ages[:-1]:  # of sixty days ago, memory knows nothing
            start = (
                now - max(age * 1.01, age + 400) - (3600 if age > 3600 else 0) - (86400 if age > 86400 else 0)
            )
            found = service.total(HOST, start, now + 1)
            assert found[MailEvent.DELIVERED] == 5 * (1 + ages.index(age))
        for name in ("mta1", "mta2"):
            heard = service.heard((ZONE, name))
            assert heard is not None
            assert -1 < time.time() - heard < 10
        assert service.heard((ZONE, "mta3")) is None

    run(tmp_path, before, after)


def test_long_times_come_from_the_disk(tmp_path: Path) -> None:
    now = time.time()

    async def test(service: SignalService) -> None:
        for age in (60, 40 * 3600, 20 * 86400, 70 * 86400):
            delivered = signal(number=10, delay=2.0, at=now, queued=now - age)
            slow = delivered._replace(number=1, delay=500.0, provider="yahoo")
            late = signal(MailEvent.BOUNCED, at=now - age)
            await take(service, f"{age}", delivered, slow, late)
        assert service.unknown_replies() == []
        week = (await service.figures(ZONE, now - 7 * 86400, now))["mta1"]
        assert week.keys() == {"google", "yahoo"}
        assert week["google"].tally.events == {MailEvent.DELIVERED: 20, MailEvent.BOUNCED: 2}
        assert week["google"].tally.refused == {About.UNKNOWN: 2}
        assert week["google"].undated == 2
        assert week["google"].delay_p50 == pytest.approx(2.0, rel=0.05)
        assert week["yahoo"].delay_p95 == pytest.approx(500.0, rel=0.05)
        all_of_it = (await service.figures(ZONE, now - 90 * 86400, now))["mta1"]
        assert all_of_it["google"].tally.first == 44
        hour = (await service.figures(ZONE, now - 3600, now))["mta1"]
        assert hour["google"].tally.first == 11
        assert await service.figures("else.example", now - 3600, now) == {}

    run(tmp_path, test)


def test_unknown_replies_are_shown_by_their_shape_the_commonest_first(tmp_path: Path) -> None:
    async def test(service: SignalService) -> None:
        for number in range(30):
            often = signal(MailEvent.BOUNCED, code=550, text=f"550 go away {number}", number=2)
            rare = signal(MailEvent.DEFERRED, code=550, text=f"550 no {chr(97 + number)}")
            known = signal(MailEvent.BOUNCED, code=554, text="554 5.7.1 192.0.2.11 is on our blacklist")
            await take(service, f"{number}", often, rare, known)
        found = service.unknown_replies()
        assert found[0] == ("550 go away #", 60)
        assert len(found) == 10
        assert service.by_provider(HOST, 0, time.time())["google"].refused == {
            About.UNKNOWN: 90,
            About.IP: 30,
        }

    run(tmp_path, test)


def test_patterns_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    async def test(service: SignalService) -> None:
        await take(service, "1", signal())
        assert [one.text for one in service.alerts()] == [
            "replies.toml:3: pattern 1 cannot be used and 1 more: no pattern of the file is used"
        ]

    problem = Problem("replies.toml", 3, 0, "pattern 1 cannot be used")
    run(tmp_path, test, problems=(problem, problem))


def test_a_file_that_breaks_while_in_use_is_set_aside(tmp_path: Path) -> None:
    async def test(service: SignalService) -> None:
        await take(service, "1", signal())
        file = service._file
        assert file is not None
        file._run("FULL", ["DROP TABLE counts"])
        with pytest.raises(StoreError):
            await take(service, "2", signal())
        assert [one.key for one in service.alerts()] == ["signals"]
        assert service._file is None
        (tmp_path / SignalFile.FILE_NAME).write_bytes(b"broken" * 5000)
        await take(service, "2", signal())
        assert list(service.alerts()) == []

    told = run(tmp_path, test)
    assert len(list(tmp_path.glob("signals.db.corrupt-*Z"))) == 1
    assert any("counts of mail begin anew" in line for line in told)


def test_a_clock_that_jumps_a_day_drops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ahead, all in memory would be too old; signals are refused until the clock has been steady."""
    real = time.time
    ahead = 0.0
    tended = 0
    tend = SignalService._tend

    def counted(*arguments: Any) -> None:
        nonlocal tended
        tend(*arguments)
        tended += 1

    async def test(service: SignalService) -> None:
        nonlocal ahead
        service._clock._wall = lambda: real() + ahead
        monkeypatch.setattr("geodns.control.signal_service.time.time", lambda: real() + ahead)
        await take(service, "1", signal(number=7))
        ahead = 86400.0 * 40
        service._clock.look()
        already = tended
        async with asyncio.timeout(10):
            while tended < already + 3:  # noqa: ASYNC110 - what is waited for knows nothing of us
                await asyncio.sleep(0.002)
        with pytest.raises(BusyError, match="clock was set"):
            await take(service, "2", signal())
        ahead = 0.0
        service._clock.look()
        with pytest.raises(BusyError):
            await take(service, "2", signal())
        monkeypatch.setattr(WallClock, "steady", True)
        await take(service, "2", signal())
        await take(service, "1", signal(number=7))
        assert service.total(HOST, real() - 600, real())[MailEvent.DELIVERED] == 8
        heard = service.heard(HOST)
        assert heard is not None
        assert abs(real() - heard) < 10

    monkeypatch.setattr(SignalService, "_tend", counted)
    monkeypatch.setattr(signal_service, "TEND_EVERY", 0.01)
    monkeypatch.setattr(signal_service, "TRY_EVERY", 0.01)
    run(tmp_path, test)


def failing(packed: Callable[[Any], bytes], times: int) -> Callable[[Any], bytes]:
    """What packs, but fails after so many times, once."""
    left = itertools.count(times, -1)

    def pack(counts: Any) -> bytes:
        if next(left) == 0:
            raise sqlite3.OperationalError("database or disk is full")
        return packed(counts)

    return pack


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 40)), max_size=8), max_size=4
    )
)
def test_whatever_is_repeated_fails_or_is_restarted_counts_once(
    runs: list[list[tuple[int, int, int]]],
) -> None:
    """In each run some batches come, at once, some of them again; of some, writing fails half way."""
    now = time.time()
    counted: dict[int, int] = {}

    def test_of(batches: list[tuple[int, int, int]]) -> Callable[[SignalService], Awaitable[None]]:
        async def test(service: SignalService) -> None:
            async with asyncio.timeout(10):
                while service._file is None:  # noqa: ASYNC110 - what is waited for knows nothing of us
                    await asyncio.sleep(0.002)
            for name, fails, ago in batches:
                one = signal(number=name + 1, at=now, queued=now - ago * 600)
                with pytest.MonkeyPatch.context() as broken:
                    if fails:
                        packed = signal_rows.packed_counts
                        broken.setattr(signal_file, "packed_counts", failing(packed, fails - 1))
                    answers = await asyncio.gather(
                        *(take(service, f"{name}", one) for _ in range(2)), return_exceptions=True
                    )
                if not all(isinstance(answer, StoreError) for answer in answers):
                    counted.setdefault(name, name + 1)
            await asyncio.sleep(0)
            total = service.total(HOST, now - 30 * 86400, now + 1)[MailEvent.DELIVERED]
            assert total == sum(counted.values())
            assert service._file is not None
            for step in COUNTS_KEPT:
                kept = sum(sum(some.values()) for _, _, some in service._file.counts(step, 0, 2**32))
                assert kept == sum(counted.values())

        return test

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), *map(test_of, [[(9, 0, 0)], *runs]))


def test_after_a_kill_all_that_was_counted_is_known_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SignalFile, "save_heard", lambda *_: None)  # a kill comes before that

    async def before(service: SignalService) -> None:
        await take(service, "1", signal(number=5))

    async def after(service: SignalService) -> None:
        await service.begin(5.0)
        assert service.total(HOST, time.time() - 600, time.time()).first == 5
        heard = service.heard(HOST)
        assert heard is not None
        assert -1 < time.time() - heard < 400
        assert service.heard((ZONE, "mta2")) is None

    run(tmp_path, before, after)
