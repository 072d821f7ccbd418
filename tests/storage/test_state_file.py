import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from geodns.errors import StoreError
from geodns.model.hosts import Endpoint, Host
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
from geodns.storage import database, replacing
from geodns.storage.state_file import FILE_NAME, StateFile

NOW = 1_795_417_200.0  # 2026-11-23T07:00:00Z
MTA1 = ("out.example.com", "mta1")
MTA2 = ("out.example.com", "mta2")
DRAINED = ForcedState(Forced.DRAINED, "disk swap, søndag", "ann", NOW, NOW + 7200)


def reopen(directory: Path) -> StateFile:
    store, warnings = StateFile.open(directory, NOW)
    assert warnings == []
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateFile]:
    opened = reopen(tmp_path / "state")
    yield opened
    opened.close()


def again(store: StateFile, tmp_path: Path) -> StateFile:
    store.close()
    return reopen(tmp_path / "state")


def test_directory_is_made_private(store: StateFile, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert store.load_forced() == {}


def test_verdicts_survive(store: StateFile, tmp_path: Path) -> None:
    verdicts = {
        "smtp [192.0.2.11]:25 aa": Verdict(HealthState.UP, failures=2),
        "smtp [2001:db8::11]:25 aa": Verdict(HealthState.DOWN, successes=1, sheds=3, level=4, shed_out=True),
    }
    store.save_verdicts(verdicts, NOW)
    store.save_verdicts({"smtp [192.0.2.11]:25 aa": Verdict(HealthState.DOWN)}, NOW + 1)
    store = again(store, tmp_path)
    assert store.load_verdicts(60, NOW + 2) == verdicts | {
        "smtp [192.0.2.11]:25 aa": Verdict(HealthState.DOWN)
    }
    store.close()


def test_whether_a_target_is_slow_is_not_kept(store: StateFile) -> None:
    store.save_verdicts({"smtp": Verdict(HealthState.UP, failures=1, degraded=True)}, NOW)
    assert store.load_verdicts(60, NOW) == {"smtp": Verdict(HealthState.UP, failures=1)}


def test_who_came_back_from_down_survives_and_only_the_last_ones(store: StateFile, tmp_path: Path) -> None:
    store.save_returned({MTA1: NOW, MTA2: NOW + 1})
    store.save_returned({MTA2: NOW + 2})
    store = again(store, tmp_path)
    assert store.load_returned() == {MTA2: NOW + 2}
    store.close()


def test_a_file_from_before_slow_starts_is_taken_as_it_is(store: StateFile, tmp_path: Path) -> None:
    store.save_forced(MTA1, DRAINED)
    store._run("FULL", ["DROP TABLE returned"])
    store = again(store, tmp_path)
    assert (store.load_forced(), store.load_returned()) == ({MTA1: DRAINED}, {})
    store.close()


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        pytest.param(NOW + 60, True, id="at-the-limit"),
        pytest.param(NOW + 61, False, id="too-old"),
        pytest.param(NOW - 61, False, id="from-the-future"),
    ],
)
def test_old_verdicts_are_not_believed_and_pruned(store: StateFile, asked: float, *, known: bool) -> None:
    store.save_verdicts({"old": Verdict(HealthState.UP)}, NOW)
    store.save_verdicts({"fresh": Verdict(HealthState.UP)}, asked)
    assert ("old" in store.load_verdicts(60, asked)) is known
    store.prune_verdicts(60, asked)
    assert ("old" in store.load_verdicts(1e9, asked)) is known
    assert "fresh" in store.load_verdicts(60, asked)


def test_forced_states_survive_and_are_cleared(store: StateFile, tmp_path: Path) -> None:
    endless = ForcedState(Forced.DOWN, "", "bob", NOW)
    store.save_forced(MTA1, DRAINED)
    store.save_forced(MTA2, endless)
    store = again(store, tmp_path)
    assert store.load_forced() == {MTA1: DRAINED, MTA2: endless}
    store.clear_forced(MTA1)
    store.clear_forced(("out.example.com", "nobody"))
    store = again(store, tmp_path)
    assert store.load_forced() == {MTA2: endless}
    store.close()


def test_how_bad_a_host_is_survives_and_goes_with_the_next_order(store: StateFile) -> None:
    bad = ForcedState(Forced.QUARANTINED, "listed", "rbl", NOW, None, 12.5)
    store.save_forced(MTA1, bad)
    assert store.load_forced() == {MTA1: bad}
    store.clear_forced(MTA1)
    assert store.load_forced() == {}
    store.save_forced(MTA1, DRAINED)
    assert store.load_forced() == {MTA1: DRAINED}


def test_forced_weights_survive_and_are_cleared(store: StateFile, tmp_path: Path) -> None:
    never = ForcedWeight(0, "", "bob", NOW)
    heavy = ForcedWeight(2**31 - 1, "søndag", "ann", NOW, NOW + 60, '[50, {"main": 50}]', NOW + 5)
    store.save_forced_weight(MTA1, never)
    store.save_forced_weight(MTA1, heavy)
    store.save_forced_weight(MTA2, never)
    store = again(store, tmp_path)
    assert store.load_forced_weights() == {MTA1: heavy, MTA2: never}
    assert store.load_forced() == {}
    store.clear_forced_weight(MTA1)
    store = again(store, tmp_path)
    assert store.load_forced_weights() == {MTA2: never}
    store.close()


def test_zones_survive_and_dropped_ones_leave_their_serial(store: StateFile, tmp_path: Path) -> None:
    first = StoredZone("abc", 2**32 - 1, "ns: {ns1: 192.0.2.53}\n", NOW)
    store.save_zone("out.example.com", StoredZone("old", 7, "", NOW - 5))
    store.save_zone("out.example.com", first)
    store.save_zone("in.example.com", StoredZone("def", 8, "x", NOW))
    store.drop_zone("in.example.com")
    store = again(store, tmp_path)
    assert store.load_zones() == {"out.example.com": first}
    assert store.load_serials() == {"out.example.com": 2**32 - 1, "in.example.com": 8}
    store.close()


def test_host_states_survive_and_are_forgotten(store: StateFile, tmp_path: Path) -> None:
    store.save_host_states({MTA1: HostSince(HealthState.UP, NOW), MTA2: HostSince(HealthState.DOWN, NOW)})
    store.save_host_states({MTA1: HostSince(HealthState.SHEDDING, NOW + 1)})
    store = again(store, tmp_path)
    assert store.load_host_states() == {
        MTA1: HostSince(HealthState.SHEDDING, NOW + 1),
        MTA2: HostSince(HealthState.DOWN, NOW),
    }
    store.forget_host_states([MTA1])
    assert store.load_host_states() == {MTA2: HostSince(HealthState.DOWN, NOW)}
    store.close()


def test_retired_hosts_survive_as_one_set(store: StateFile, tmp_path: Path) -> None:
    host = Host(
        name="mta1",
        addresses=(IPv4Address("192.0.2.11"), IPv6Address("2001:db8::11")),
        weight=50,
        probe=Endpoint(address=IPv4Address("10.0.0.1"), port=2525),
    )
    store.save_retired({MTA2: RetiredHost(host, NOW)})
    store.save_retired({MTA1: RetiredHost(host, NOW + 3600)})
    store = again(store, tmp_path)
    assert store.load_retired() == {MTA1: RetiredHost(host, NOW + 3600)}
    store.close()


def test_notes_survive_also_in_a_file_that_had_none(store: StateFile, tmp_path: Path) -> None:
    store.save_note("one", "first")
    store.save_note("one", "sécond")
    store = again(store, tmp_path)
    assert store.load_notes() == {"one": "sécond"}
    store.close()
    sql("DROP TABLE note")(tmp_path / "state" / FILE_NAME)
    store = reopen(tmp_path / "state")
    assert store.load_notes() == {}
    store.save_note("one", "third")
    assert store.load_notes() == {"one": "third"}
    store.close()


def test_lists_of_sources_survive_also_in_a_file_that_had_none(store: StateFile, tmp_path: Path) -> None:
    one, other = ("a.example", "dns mta.internal.example"), ("a.example", "file hosts.d/*.yaml")
    store.save_found({one: "first", other: "a list"})
    store.save_found({one: "sécond"})
    store = again(store, tmp_path)
    assert store.load_found() == {one: "sécond"}
    store.close()
    sql("DROP TABLE found")(tmp_path / "state" / FILE_NAME)
    store = reopen(tmp_path / "state")
    assert store.load_found() == {}
    store.save_found({other: "third"})
    assert store.load_found() == {other: "third"}
    store.close()


def test_forced_state_is_there_after_the_process_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from geodns.model.state import Forced, ForcedState\n"
        "from geodns.storage.state_file import StateFile\n"
        "store, _ = StateFile.open(pathlib.Path(sys.argv[1]), 0)\n"
        "store.save_forced(('z', 'h'), ForcedState(Forced.DOWN, 'r', 'a', 1.5))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    store = reopen(tmp_path)
    assert store.load_forced() == {("z", "h"): ForcedState(Forced.DOWN, "r", "a", 1.5)}
    store.close()


def test_threads_may_share_it(store: StateFile) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                store.save_forced((f"zone{number}", f"host{turn}"), DRAINED)
                store.save_verdicts({f"target {number}": Verdict(HealthState.UP, failures=turn)}, NOW)
                store.load_forced()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a thread must reach the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.load_forced()) == 80
    assert store.load_verdicts(1, NOW) == {
        f"target {n}": Verdict(HealthState.UP, failures=19) for n in range(4)
    }


# ----- files that cannot be used: set aside


def no_database(path: Path) -> None:
    path.write_bytes(b"this is no database, but it is long enough to look at\n" * 100)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scribbled(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    for page in range(4096, len(whole), 4096):
        whole[page : page + 64] = b"\xa5" * 64
    path.write_bytes(whole)


def sql(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        database = sqlite3.connect(path)
        with database:
            database.execute(statement)
        database.close()

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(no_database, id="no-database"),
        pytest.param(cut_short, id="cut-short"),
        pytest.param(scribbled, id="scribbled-over"),
    ],
)
def test_unusable_file_is_set_aside_and_said_so(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    store = reopen(tmp_path)
    store.save_forced(MTA1, DRAINED)
    store.close()
    path = tmp_path / FILE_NAME
    spoil(path)
    spoilt = path.read_bytes()

    store, (warning,) = StateFile.open(tmp_path, NOW)
    aside = tmp_path / "geodns.db.corrupt-20261123T070000Z"
    assert aside.name in warning
    assert "\n" not in warning
    assert store.load_forced() == {}
    store.save_forced(MTA2, DRAINED)
    store.close()
    assert aside.exists()
    assert len(aside.read_bytes()) >= len(spoilt)
    store = reopen(tmp_path)
    assert store.load_forced() == {MTA2: DRAINED}
    store.close()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(["PRAGMA user_version = 0"], id="somebody-elses"),
        pytest.param(["DROP TABLE retired"], id="table-missing"),
        pytest.param(
            [
                "PRAGMA user_version = 0",
                "ALTER TABLE forced ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'",
                "ALTER TABLE verdict DROP COLUMN level",
            ],
            id="other-columns",
        ),
    ],
)
def test_what_another_version_wrote_is_taken_over(tmp_path: Path, spoil: list[str]) -> None:
    store = reopen(tmp_path)
    bad = ForcedState(Forced.QUARANTINED, "rbl", "bot", NOW, None, 80.0)
    store.save_forced(MTA1, DRAINED)
    store.save_forced(MTA2, bad)
    store.save_forced_weight(MTA1, ForcedWeight(5, "slow", "ann", NOW, None, "[50, {}]"))
    store.save_zone("out.example.com", StoredZone("d", 2026112301, "{}", NOW))
    store.close()
    for statement in spoil:
        sql(statement)(tmp_path / FILE_NAME)
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert "set aside as geodns.db.corrupt-20261123T070000Z and the server took over" in warning
    assert store.load_forced() == {MTA1: DRAINED, MTA2: bad}
    assert store.load_forced_weights() == {MTA1: ForcedWeight(5, "slow", "ann", NOW, None, "[50, {}]")}
    assert store.load_serials() == {"out.example.com": 2026112301}
    store.close()
    reopen(tmp_path).close()


def test_what_lies_beside_a_damaged_page_is_taken_over(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    hosts = [("out.example.com", f"mta{number:03}") for number in range(300)]
    for one in hosts:
        store.save_forced(one, DRAINED)
    store.save_zone("out.example.com", StoredZone("d", 2026112301, "{}", NOW))
    store.close()
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    middle = whole.rindex(b"mta150")
    begin = middle // 4096 * 4096
    path.write_bytes(whole[:begin] + b"\xa5" * 64 + whole[begin + 64 :])
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert "took over what can be read of it" in warning
    found = store.load_forced()
    assert hosts[0] in found
    assert hosts[-1] in found
    assert hosts[150] not in found
    assert store.load_serials() == {"out.example.com": 2026112301}
    store.close()


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (
            "UPDATE forced SET forced = 'sideways' WHERE host = 'mta2'",
            "forced mta2.out.example.com ('sideways'",
        ),
        ("UPDATE forced SET until = 'tomorrow' WHERE host = 'mta2'", "'tomorrow' is no time in seconds"),
        ("UPDATE forced SET until = 1e300 WHERE host = 'mta2'", "1e+300 is no time"),
        ("INSERT INTO retired VALUES ('z', 'h', '{', 0)", "retired h.z"),
        (
            "INSERT INTO forced_weight VALUES ('z', 'h', -5, '', '', 1, NULL, '', NULL)",
            "-5 is no whole number",
        ),
        (
            "INSERT INTO forced_weight VALUES ('z', 'h', 'x', '', '', 1, NULL, '', NULL)",
            "'x' is no whole number",
        ),
        (
            "INSERT INTO forced_weight VALUES ('z', 'h', 1e300, '', '', 1, NULL, '', NULL)",
            "1e+300 is no whole",
        ),
        ("INSERT INTO verdict VALUES ('smtp', 'poorly', 0, 0, 0, 0, 0, 0)", "verdict smtp ('poorly'"),
        ("INSERT INTO verdict VALUES ('smtp', 'up', 0, 0, 0, 1000000, 0, 0)", "verdict smtp (1000000 is no"),
        ("INSERT INTO host_state VALUES ('z', 'h', 'odd', 0)", "host_state h.z"),
        ("INSERT INTO returned VALUES ('z', 'h', 'noon')", "returned h.z"),
        ("INSERT INTO zone VALUES ('z', 'd', 'today', '{}', 1)", "zone z ('today' is no whole number"),
        ("INSERT INTO note VALUES ('n', x'00')", "note n"),
        ("INSERT INTO found VALUES ('z', 'dns x', x'00')", "found dns x.z"),
    ],
)
def test_a_row_that_makes_no_sense_is_left_out_alone_and_told(
    tmp_path: Path, statement: str, names: str
) -> None:
    store = reopen(tmp_path)
    store.save_forced(MTA1, DRAINED)
    store.save_forced(MTA2, DRAINED)
    store.close()
    sql(statement)(tmp_path / FILE_NAME)
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert names in warning
    assert warning.isprintable()
    assert "geodns.db: " in warning
    assert "left out" in warning
    forced = store.load_forced()
    assert forced.pop(MTA1) == DRAINED
    assert list(forced) in ([], [MTA2])
    store.load_verdicts(60, NOW)
    store.save_forced(MTA2, DRAINED)
    assert store.load_forced() == {MTA1: DRAINED, MTA2: DRAINED}
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE forced SET since = -1",
        "UPDATE forced SET reason = x'ff'",
        "UPDATE forced SET reason = CAST(x'ff' AS TEXT)",
        "UPDATE forced SET reason = 'a' || char(10) || 'b'",
        "UPDATE forced SET author = char(27) || '[2J'",
        "INSERT INTO badness VALUES ('out.example.com', 'mta1', 'bad')",
    ],
)
def test_what_people_are_told_of_an_order_ends_none(tmp_path: Path, statement: str) -> None:
    store = reopen(tmp_path)
    store.save_forced(MTA1, DRAINED)
    store.close()
    sql(statement)(tmp_path / FILE_NAME)
    store, warnings = StateFile.open(tmp_path, NOW)
    assert not warnings
    (one,) = store.load_forced().values()
    assert one.forced is DRAINED.forced
    assert (one.reason + one.author).isprintable()
    assert one.badness is None
    store.close()


def test_the_files_weights_that_are_not_known_cost_no_forced_weight(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    store.save_forced_weight(MTA1, ForcedWeight(5, "slow", "ann", NOW, None, "[50, 3]"))
    assert store.load_forced_weights() == {MTA1: ForcedWeight(5, "slow", "ann", NOW)}
    store.close()


def test_of_many_rows_that_make_no_sense_a_few_are_named(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    for number in range(9):
        store.save_forced(("z", f"h{number}"), DRAINED)
    store.close()
    sql("UPDATE forced SET until = 'then'")(tmp_path / FILE_NAME)
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert "9 rows make no sense" in warning
    assert warning.endswith(" and 4 more")
    store.close()


def test_a_zone_whose_serial_makes_no_sense_is_named_once(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    store.save_zone("out.example.com", StoredZone("d", 5, "{}", NOW))
    store.close()
    sql("UPDATE zone SET serial = -1")(tmp_path / FILE_NAME)
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert "a row makes no sense" in warning
    assert warning.count("out.example.com") == 1
    store.close()


def test_second_file_set_aside_in_a_second_does_not_replace_the_first(tmp_path: Path) -> None:
    for content in ("first", "second"):
        (tmp_path / FILE_NAME).write_text(content * 100)
        (tmp_path / f"{FILE_NAME}-wal").write_text(content)
        store, warnings = StateFile.open(tmp_path, NOW)
        store.close()
        assert len(warnings) == 1
    first = tmp_path / "geodns.db.corrupt-20261123T070000Z"
    assert first.read_text() == "first" * 100
    assert first.with_name(first.name + "-2").read_text() == "second" * 100


def test_empty_file_is_a_fresh_start(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    reopen(tmp_path).close()


# ----- places that cannot be used: refused


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory that anyone may read, in a process that is not root."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    else:
        place.chmod(0o555)
    try:
        yield place
    finally:
        if root:
            os.seteuid(0)
        place.chmod(0o755)
        shutil.rmtree(place)


def test_unwritable_directory_is_refused(unprivileged: Path) -> None:
    for directory in (unprivileged, unprivileged / "state"):
        with pytest.raises(StoreError) as refused:
            StateFile.open(directory, NOW)
        assert "writ" in str(refused.value)
        assert str(directory) in str(refused.value)
        assert "\n" not in str(refused.value)


def test_file_in_the_directorys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StoreError, match="--state"):
        StateFile.open(tmp_path / "state", NOW)


def test_directory_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        StateFile.open(tmp_path, NOW)


# ----- a disk that is full at the start


@pytest.fixture
def full() -> Iterator[Callable[[], None]]:
    """No file may grow, as on a full disk, until what this gives is called."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))

    def free() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    yield free
    free()


def killed(directory: Path) -> None:
    """Leave the state of a process that was killed: an order that is in the log of the file alone."""
    store = reopen(directory)
    store.save_forced(MTA1, DRAINED)
    saved = [(one, one.read_bytes()) for one in directory.iterdir() if not one.name.endswith("-shm")]
    store.close()
    for path, content in saved:
        path.write_bytes(content)


def test_a_full_disk_keeps_nobody_from_starting_with_what_there_is(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    killed(tmp_path)
    free = request.getfixturevalue("full")
    store, warnings = StateFile.open(tmp_path, NOW)
    assert warnings == []
    assert "geodns.db" in str(store.offline)
    assert store.load_forced() == {MTA1: DRAINED}
    with pytest.raises(StoreError):
        store.save_forced(MTA2, DRAINED)
    with pytest.raises(StoreError):
        store.reopen()
    free()
    store.save_forced(MTA2, DRAINED)
    assert store.offline is None
    store.close()
    store = reopen(tmp_path)
    assert store.load_forced() == {MTA1: DRAINED, MTA2: DRAINED}
    store.close()


def test_a_damaged_file_stays_until_the_disk_takes_another(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    killed(tmp_path)
    sql("PRAGMA user_version = 0")(tmp_path / FILE_NAME)
    free = request.getfixturevalue("full")
    with_index = 32 << 10  # enough to read what is there, too little for another
    resource.setrlimit(resource.RLIMIT_FSIZE, (with_index, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    for _ in range(2):  # killed, and started again
        store, (warning,) = StateFile.open(tmp_path, NOW)
        assert "it stays until the disk takes a new one" in warning
        assert store.load_forced() == {MTA1: DRAINED}
        store.close()
    free()
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert "took over" in warning
    assert store.load_forced() == {MTA1: DRAINED}
    store.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == [FILE_NAME, "geodns.db.corrupt-20261123T070000Z"]


def test_a_damaged_file_is_replaced_as_soon_as_the_disk_takes_another(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    killed(tmp_path)
    sql("PRAGMA user_version = 0")(tmp_path / FILE_NAME)
    free = request.getfixturevalue("full")
    store, _ = StateFile.open(tmp_path, NOW)
    free()
    store.save_forced(MTA2, DRAINED)
    store.close()
    assert list(tmp_path.glob("geodns.db.corrupt-*"))
    store = reopen(tmp_path)
    assert store.load_forced() == {MTA1: DRAINED, MTA2: DRAINED}
    store.close()


@pytest.mark.parametrize("moment", ["being made", "set aside", "in its place"])
def test_who_is_killed_while_a_file_is_replaced_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> object:
        raise Killed

    killed(tmp_path)
    path = tmp_path / FILE_NAME
    sql("PRAGMA user_version = 0")(path)
    with monkeypatch.context() as patch:
        patch.setattr(database, "remove", lambda _: None)  # the dead tidy nothing up
        if moment == "being made":
            patch.setattr(StateFile, "_take", kill)
        elif moment == "set aside":
            patch.setattr(database, "set_aside", lambda *given: kill(replacing.set_aside(*given)))
        else:

            def end(one: Path) -> None:
                replacing.end_replacing(one)
                if aside := list(tmp_path.glob("*.corrupt-*")):
                    kill(aside)

            patch.setattr(database, "end_replacing", end)
        with pytest.raises(Killed):
            StateFile.open(tmp_path, NOW)
    (tmp_path / "geodns.db-wal").write_bytes(b"of the old one")
    store, _ = StateFile.open(tmp_path, NOW)
    assert store.load_forced() == {MTA1: DRAINED}
    store.close()
    assert not list(tmp_path.glob("*.new*"))


def test_a_full_disk_without_any_state_is_a_start_with_none(tmp_path: Path, full: Callable[[], None]) -> None:
    store, _ = StateFile.open(tmp_path, NOW)
    assert store.load_forced() == {}
    full()
    store.reopen()
    store.save_forced(MTA1, DRAINED)
    store.close()
    store = reopen(tmp_path)
    assert store.load_forced() == {MTA1: DRAINED}
    store.close()


def test_whoever_is_started_again_reads_also_what_it_may_not_write(tmp_path: Path) -> None:
    killed(tmp_path)
    path = tmp_path / FILE_NAME
    program = (
        "import os, pathlib, sys\n"
        "from geodns.storage.state_file import StateFile\n"
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "store, _ = StateFile.open(pathlib.Path(sys.argv[1]), 0, must=False)\n"
        "print(len(store.load_forced()), store.offline)\n"
    )
    home = Path(tempfile.mkdtemp())
    try:
        for one in (path, tmp_path / f"{FILE_NAME}-wal"):
            shutil.copy(one, home)
            (home / one.name).chmod(0o444)
        home.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", program, str(home)], check=True, capture_output=True, text=True
        )
    finally:
        home.chmod(0o755)
        shutil.rmtree(home)
    assert "writ" in done.stdout


def test_what_another_program_has_locked_for_itself_is_no_start_without_it(tmp_path: Path) -> None:
    killed(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="another program has locked it"):
        StateFile.open(tmp_path, NOW, must=False)
    other.close()


# ----- trouble while running


def test_full_disk_is_one_line_and_changes_nothing(store: StateFile) -> None:
    store.save_forced(MTA1, DRAINED)
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"geodns\.db: the disk is full: free some space$"):
        store.save_zone("big.example", StoredZone("d", 1, "x" * 1_000_000, NOW))
    assert store.load_zones() == {}
    assert store.load_forced() == {MTA1: DRAINED}
    store.clear_forced(MTA1)
    assert store.load_forced() == {}


def test_locked_file_is_one_line(store: StateFile, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "state" / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._database.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(StoreError, match="another program has locked it"):
        store.save_forced(MTA1, DRAINED)
    other.execute("ROLLBACK")
    other.close()
    store.save_forced(MTA1, DRAINED)
    assert store.load_forced() == {MTA1: DRAINED}


def test_text_that_is_no_unicode_is_refused(store: StateFile) -> None:
    with pytest.raises(StoreError, match="no Unicode"):
        store.save_forced(MTA1, ForcedState(Forced.DOWN, "\udcff", "ann", NOW))
    assert store.load_forced() == {}


def test_closed_store_is_refused(store: StateFile) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.load_forced()
