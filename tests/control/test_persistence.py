"""The state that must survive a restart: written, read back, and never a reason to end."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from geodns.compiler.answers import Source
from geodns.control.persistence import VERDICTS_LAST, Persistence, Restored
from geodns.errors import StoreError
from geodns.model.checks import Target
from geodns.model.state import (
    Forced,
    ForcedState,
    ForcedWeight,
    HealthState,
    HostSince,
    RetiredHost,
    StoredZone,
    Verdict,
)
from geodns.model.zone import Zone
from geodns.storage.state_file import StateFile
from geodns.zones.folder import Edit
from tests.sample_zones import DOWN, NAME, UP, host, zone

NOW = 1_795_417_200.0
MTA1, MTA2 = (NAME, "mta1"), (NAME, "mta2")
DRAINED = ForcedState(Forced.DRAINED, "disk", "ann", NOW, NOW + 60)
TEXT = "hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}"
ONE = zone(TEXT)
OTHER = zone("hosts: {mta1: 192.0.2.11}")
FIXED = zone("soa: {serial: 4000000000}\n" + TEXT)


class Disk:
    """A state file on a real disk that fails when a test wants it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.store = self.open()
        self.full = False

    def open(self) -> StateFile:
        store, warnings = StateFile.open(self._folder, NOW)
        assert not warnings
        return store

    def restart(self) -> Persistence:
        self.store.close()
        self.store = self.open()
        self.full = False
        return Persistence(self.store)

    def fail(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = self.store._write

        def write(*arguments: Any, **options: Any) -> None:
            if self.full:
                raise StoreError("geodns.db: the disk is full: free some space")
            real(*arguments, **options)

        monkeypatch.setattr(self.store, "_write", write)
        self.full = True


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    found = Disk(tmp_path / "state")
    yield found
    found.store.close()


def serve(persistence: Persistence, *zones: Zone, removed: frozenset[str] = frozenset()) -> dict[str, int]:
    """Serve zones as the daemon does; return the serials."""
    sources = {one.name: Source(one, persistence.serial(one)) for one in zones}
    persistence.save_edit(Edit({one.name: one for one in zones}, removed), sources, NOW)
    return {name: source.serial for name, source in sources.items()}


def targets_of(one: Zone) -> set[Target]:
    return {
        target for some in one.targets_by_host.values() for targets in some.values() for target in targets
    }


# --- what comes back ------------------------------------------------------------------------------------


def test_a_fresh_state_knows_nothing(disk: Disk) -> None:
    persistence = Persistence(disk.store)
    assert all(one == {} for one in persistence.restored())
    assert list(persistence.alerts()) == []
    assert persistence.zone(NAME) is None
    assert persistence.earlier(ONE) is None
    assert persistence.verdicts(targets_of(ONE), NOW) == {}


def test_everything_comes_back_after_a_restart(disk: Disk) -> None:
    persistence = Persistence(disk.store)
    serve(persistence, ONE)
    retired = {(NAME, "old"): RetiredHost(host("old", "192.0.2.90"), NOW + 5)}
    verdicts = dict.fromkeys(targets_of(ONE), DOWN)
    since = {MTA1: HostSince(HealthState.DOWN, NOW), MTA2: HostSince(HealthState.UP, NOW - 9)}
    persistence.keep_forced(MTA1, DRAINED)
    persistence.save_retired(retired)
    persistence.save_states(verdicts, since, {MTA2: NOW - 9}, NOW)
    persistence = disk.restart()
    cluster = persistence.restored()
    assert (cluster.forced, cluster.retired, cluster.since) == ({MTA1: DRAINED}, retired, since)
    assert cluster.returned == {MTA2: NOW - 9}
    assert persistence.verdicts(targets_of(ONE), NOW + 1) == verdicts
    assert persistence.zone(NAME) == ONE
    assert persistence.trouble is None


def test_what_is_ended_stays_ended(disk: Disk) -> None:
    persistence = Persistence(disk.store)
    persistence.keep_forced(MTA1, DRAINED)
    persistence.write()
    persistence.keep_forced(MTA1, None)
    persistence.write()
    assert disk.restart().restored().forced == {}


def test_nothing_is_on_disk_before_it_is_written(disk: Disk) -> None:
    persistence = Persistence(disk.store)
    persistence.keep_forced(MTA1, DRAINED)
    assert disk.store.load_forced() == {}


@pytest.mark.parametrize(("age", "known"), [(VERDICTS_LAST - 1, True), (VERDICTS_LAST + 1, False)])
def test_a_verdict_says_nothing_after_too_long(disk: Disk, age: float, *, known: bool) -> None:
    Persistence(disk.store).save_states(dict.fromkeys(targets_of(ONE), UP), {}, {}, NOW)
    assert bool(disk.restart().verdicts(targets_of(ONE), NOW + age)) is known


def test_a_verdict_is_of_the_check_as_it_was(disk: Disk) -> None:
    changed = zone("checks: {smtp: {fall: 9}}\n" + TEXT)
    Persistence(disk.store).save_states(dict.fromkeys(targets_of(ONE), UP), {}, {}, NOW)
    assert disk.restart().verdicts(targets_of(changed), NOW) == {}


def test_states_of_hosts_that_are_no_more_are_forgotten(disk: Disk) -> None:
    persistence = Persistence(disk.store)
    persistence.save_states(
        {}, {MTA1: HostSince(HealthState.UP, NOW), MTA2: HostSince(HealthState.UP, NOW)}, {}, NOW
    )
    persistence.save_states({}, {MTA2: HostSince(HealthState.UP, NOW)}, {}, NOW)
    assert set(disk.store.load_host_states()) == {MTA2}
    persistence = disk.restart()
    persistence.save_states({}, {}, {}, NOW)
    assert disk.store.load_host_states() == {}


def test_a_zone_kept_in_a_form_that_is_no_more_is_not_known(disk: Disk) -> None:
    disk.store.save_zone(NAME, StoredZone("x", 1, '{"name": "out.example.com"}', NOW))
    persistence = disk.restart()
    assert persistence.zone(NAME) is None
    assert persistence.earlier(ONE) is None


def test_what_a_zone_said_before_is_known_where_it_said_something_else(disk: Disk) -> None:
    serve(Persistence(disk.store), ONE)
    persistence = disk.restart()
    assert persistence.earlier(ONE) is None
    assert persistence.earlier(OTHER) == ONE


# --- serials --------------------------------------------------------------------------------------------


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the test say which day of November 2026 it is."""
    day = [23]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            del tz
            return cls(2026, 11, day[0], 12, tzinfo=UTC)

    monkeypatch.setattr("geodns.control.persistence.datetime", Clock)
    return day


def test_a_serial_rises_with_the_content_and_never_goes_back(disk: Disk, today: list[int]) -> None:
    persistence = Persistence(disk.store)
    assert serve(persistence, ONE) == {NAME: 2026112301}
    assert serve(persistence, ONE) == {NAME: 2026112301}
    assert serve(persistence, OTHER) == {NAME: 2026112302}
    persistence = disk.restart()
    assert serve(persistence, OTHER) == {NAME: 2026112302}
    assert serve(persistence, ONE) == {NAME: 2026112303}
    today[0] = 24
    assert serve(persistence, OTHER) == {NAME: 2026112401}
    today[0] = 20
    assert serve(persistence, ONE) == {NAME: 2026112402}


@pytest.mark.usefixtures("today")
def test_a_zone_that_went_and_returns_goes_on_where_it_was(disk: Disk) -> None:
    persistence = Persistence(disk.store)
    serve(persistence, ONE)
    serve(persistence, removed=frozenset({NAME}))
    assert persistence.zone(NAME) is None
    assert serve(persistence, ONE) == {NAME: 2026112302}
    serve(persistence, removed=frozenset({NAME}))
    persistence = disk.restart()
    assert persistence.zone_names == frozenset()
    assert serve(persistence, ONE) == {NAME: 2026112303}


@pytest.mark.usefixtures("today")
def test_an_operators_serial_is_taken_and_the_automatic_one_goes_on_from_it(disk: Disk) -> None:
    persistence = Persistence(disk.store)
    serve(persistence, ONE)
    assert serve(persistence, FIXED) == {NAME: 4000000000}
    assert serve(persistence, OTHER) == {NAME: 4000000001}


@pytest.mark.usefixtures("today")
def test_a_serial_does_not_go_back_when_the_disk_fails(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    persistence = Persistence(disk.store)
    serve(persistence, ONE)
    disk.fail(monkeypatch)
    assert serve(persistence, OTHER) == {NAME: 2026112302}
    assert serve(persistence, ONE) == {NAME: 2026112303}


# --- a disk that fails ----------------------------------------------------------------------------------


def writes(persistence: Persistence) -> Mapping[str, Any]:
    retired = {(NAME, "old"): RetiredHost(host("old", "192.0.2.90"), NOW + 5)}

    def forced() -> None:
        persistence.keep_forced(MTA1, DRAINED)
        persistence.write()

    return {
        "forced": forced,
        "zone": lambda: serve(persistence, ONE),
        "retired": lambda: persistence.save_retired(retired),
        "states": lambda: persistence.save_states({}, {MTA1: HostSince(HealthState.UP, NOW)}, {}, NOW),
    }


def known(cluster: Restored, persistence: Persistence) -> dict[str, bool]:
    return {
        "forced": bool(cluster.forced),
        "zone": bool(persistence.zone_names),
        "retired": bool(cluster.retired),
        "states": bool(cluster.since),
    }


def test_a_forced_weight_is_known_after_a_restart_until_it_is_ended(disk: Disk) -> None:
    persistence = Persistence(disk.store)
    weight = ForcedWeight(5, "slow", "ann", NOW, NOW + 60, "[50, {}]")
    persistence.keep_weight(MTA1, weight)
    persistence.write()
    persistence = disk.restart()
    assert persistence.restored().weights == {MTA1: weight}
    persistence.keep_weight(MTA1, None)
    persistence.write()
    assert disk.restart().restored().weights == {}


@pytest.mark.parametrize("what", ["forced", "zone", "retired", "states"])
def test_a_failed_write_is_a_warning_until_it_succeeds(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    persistence = Persistence(disk.store)
    disk.fail(monkeypatch)
    writes(persistence)[what]()
    (alert,) = persistence.alerts()
    assert (alert.text, alert.level) == (
        "geodns.db: the disk is full: free some space: what changes now is forgotten at a restart",
        logging.ERROR,
    )
    disk.full = False
    persistence.write()
    assert list(persistence.alerts()) == []
    persistence = disk.restart()
    assert known(persistence.restored(), persistence)[what]


def test_the_latest_about_a_host_is_what_is_written_in_the_end(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    persistence = Persistence(disk.store)
    disk.fail(monkeypatch)
    persistence.keep_forced(MTA1, DRAINED)
    persistence.keep_forced(MTA2, DRAINED)
    persistence.write()
    persistence.keep_forced(MTA1, None)
    disk.full = False
    persistence.write()
    assert disk.restart().restored().forced == {MTA2: DRAINED}


def test_an_order_that_comes_while_an_older_one_is_written_is_not_lost(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    persistence = Persistence(disk.store)
    real = disk.store.save_forced

    def save(*arguments: Any) -> None:
        real(*arguments)
        persistence.keep_forced(MTA1, None)

    monkeypatch.setattr(disk.store, "save_forced", save)
    persistence.keep_forced(MTA1, DRAINED)
    persistence.write()
    persistence.write()
    assert disk.restart().restored().forced == {}


def test_zones_and_notes_that_are_not_on_disk_are_told(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Mock(side_effect=StoreError("geodns.db: no"))
    monkeypatch.setattr(disk.store, "save_note", save)
    persistence = Persistence(disk.store)
    persistence.keep_note("query_log", "off")
    persistence.write()
    assert "geodns.db: no" in str(persistence.note_unkept("query_log"))
    assert persistence.note_unkept("names") is None
    assert persistence.zones_unkept() is None
    save.side_effect = None
    persistence.write()
    assert persistence.note_unkept("query_log") is None


def test_orders_are_written_first_and_one_that_fails_holds_nothing_else_up(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    persistence = Persistence(disk.store)

    broken, real = True, disk.store.save_forced

    def save(*arguments: Any) -> None:
        if broken:
            raise StoreError("geodns.db: no")
        real(*arguments)

    monkeypatch.setattr(disk.store, "save_forced", save)
    persistence.keep_note("names", "x")
    persistence.keep_forced(MTA1, DRAINED)
    assert (
        asyncio.run(persistence.orders_written([MTA1]))
        == "geodns.db: no: what changes now is forgotten at a restart"
    )
    assert asyncio.run(persistence.orders_written([MTA2])) is None
    assert disk.store.load_notes() == {"names": "x"}
    broken = False
    assert asyncio.run(persistence.orders_written([MTA1])) is None
    assert disk.store.load_forced() == {MTA1: DRAINED}


def test_unknown_verdicts_need_no_probe_to_be_kept(disk: Disk) -> None:
    shed = dict.fromkeys(targets_of(ONE), Verdict(sheds=1, level=1))
    Persistence(disk.store).save_states(shed, {}, {}, NOW)
    assert disk.restart().verdicts(targets_of(ONE), NOW) == shed


def test_what_comes_while_the_disk_is_full_from_the_start_is_written_in_the_end(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.store.offline = StoreError("geodns.db: the disk is full: free some space")
    full = True

    def reopen() -> None:
        if full:
            raise StoreError("geodns.db: the disk is full: free some space")
        disk.store.offline = None

    monkeypatch.setattr(disk.store, "reopen", reopen)
    persistence = Persistence(disk.store)
    assert persistence.trouble == (
        "geodns.db: the disk is full: free some space: what changes now is forgotten at a restart"
    )
    persistence.write()
    assert persistence.trouble is not None
    persistence.keep_forced(MTA1, DRAINED)
    assert asyncio.run(persistence.orders_written([MTA1])) == persistence.trouble
    full = False
    assert asyncio.run(persistence.orders_written([MTA1])) is None
    assert persistence.trouble is None
    assert disk.store.load_forced() == {MTA1: DRAINED}


def test_lists_of_sources_are_kept_and_tried_again(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    persistence = Persistence(disk.store)
    assert persistence.source_lists == {}
    disk.fail(monkeypatch)
    persistence.save_source_lists({(NAME, "dns a.example"): "a list"})
    assert "disk is full" in (persistence.trouble or "")
    disk.full = False
    persistence.write()
    assert disk.restart().source_lists == {(NAME, "dns a.example"): "a list"}


def test_orders_that_meet_a_locked_file_wait_together_and_once(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []

    def locked(*_: Any, **__: Any) -> None:
        begun.append(time.monotonic())
        time.sleep(0.2)
        raise StoreError("locked")

    persistence = Persistence(disk.store)
    monkeypatch.setattr(disk.store, "_write", locked)

    async def order(number: int) -> None:
        await asyncio.sleep(number / 200)
        persistence.keep_forced((NAME, f"mta{number}"), DRAINED)
        await persistence.written()
        assert persistence.trouble is not None

    async def many() -> None:
        threads = [asyncio.to_thread(persistence.save_retired, {}) for _ in range(5)]
        await asyncio.gather(*map(order, range(30)), *threads)

    at = time.monotonic()
    asyncio.run(many())
    assert len(begun) <= 3
    assert time.monotonic() - at < 0.2 * 30
    monkeypatch.undo()
    asyncio.run(persistence.written())
    assert len(disk.store.load_forced()) == 30


def test_whoever_awaits_a_write_has_his_change_on_disk(disk: Disk) -> None:
    persistence = Persistence(disk.store)

    async def order(number: int) -> None:
        await asyncio.sleep(number % 7 / 1_000)
        persistence.keep_forced((NAME, f"mta{number}"), DRAINED)
        await persistence.written()
        assert (NAME, f"mta{number}") in disk.store.load_forced()

    async def many() -> None:
        await asyncio.gather(*map(order, range(100)))

    asyncio.run(many())


def test_many_orders_are_one_transaction_and_one_that_cannot_be_kept_keeps_none_of_the_others_away(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    persistence = Persistence(disk.store)
    begun = Mock(wraps=disk.store._reopen)
    monkeypatch.setattr(disk.store, "_reopen", begun)
    for number in range(100):
        persistence.keep_forced((NAME, f"mta{number}"), DRAINED)
    persistence.write()
    assert begun.call_count < 10
    persistence.keep_forced(MTA1, None)
    persistence.keep_forced(MTA2, ForcedState(Forced.DRAINED, "\ud800", "ann", NOW))
    persistence.write()
    assert "text that is no Unicode" in (persistence.trouble or "")
    kept = disk.restart().restored().forced
    assert MTA1 not in kept
    assert kept[MTA2] == DRAINED
