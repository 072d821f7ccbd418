import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.zonefile.reader import zone_files
from geodns.zones.watch import (
    BELIEVED_MISSING,
    QUIET,
    FileMark,
    FolderChange,
    Snapshot,
    Watch,
    look_pause,
    snapshot,
)

A, B, C = Path("zones/a.example.yaml"), Path("zones/b.example.yaml"), Path("zones/c.example.yaml")
NOTHING: frozenset[Path] = frozenset()


def mark(version: int, inode: int = 1) -> FileMark:
    return FileMark(inode, 100, version, version)


def seen(**versions: int) -> Snapshot:
    """Files by the letter of their name, each at a version."""
    return Snapshot({Path(f"zones/{letter}.example.yaml"): mark(n) for letter, n in versions.items()})


def changed(*paths: Path) -> FolderChange:
    return FolderChange(frozenset(paths), NOTHING)


def removed(*paths: Path) -> FolderChange:
    return FolderChange(NOTHING, frozenset(paths))


UNREADABLE = Snapshot(unreadable="Permission denied")


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([(0, seen(a=1, b=1)), (9, seen(a=1, b=1))], {}, id="baseline-is-no-change"),
        pytest.param(
            [(1, seen(a=2, b=1)), (1.4, seen(a=2, b=1)), (1.5, seen(a=2, b=1)), (9, seen(a=2, b=1))],
            {1.5: changed(A)},
            id="edit-counts-once-it-is-quiet",
        ),
        pytest.param(
            [(1, seen(a=1, b=1, c=1)), (1.6, seen(a=1, b=1, c=1))], {1.6: changed(C)}, id="new-file"
        ),
        pytest.param(
            [(n / 4, seen(a=n, b=1)) for n in range(2, 9)] + [(2.4, seen(a=8, b=1)), (2.5, seen(a=8, b=1))],
            {2.5: changed(A)},
            id="file-being-written-waits",
        ),
        pytest.param(
            [
                (1, Snapshot({A: mark(1, inode=2), B: mark(1)})),
                (2, Snapshot({A: mark(1, inode=2), B: mark(1)})),
            ],
            {2: changed(A)},
            id="renamed-over",
        ),
        pytest.param(
            [(1, seen(a=2, b=1)), (1.2, seen(a=1, b=1)), (9, seen(a=1, b=1))], {}, id="edit-taken-back"
        ),
        pytest.param(
            [(1, seen(a=2, b=1)), (1.2, seen(a=1, b=1)), (1.3, seen(a=2, b=1)), (1.6, seen(a=2, b=1))],
            {},
            id="clock-starts-again-after-an-edit-taken-back",
        ),
        pytest.param(
            [(1, seen(a=2, b=3)), (1.3, seen(a=2, b=4)), (1.6, seen(a=2, b=4)), (1.9, seen(a=2, b=4))],
            {1.6: changed(A), 1.9: changed(B)},
            id="each-file-has-its-own-clock",
        ),
        pytest.param(
            [(1, seen(a=1)), (5.9, seen(a=1)), (6, seen(a=1)), (9, seen(a=1))],
            {6: removed(B)},
            id="missing-is-believed-after-a-while",
        ),
        pytest.param(
            [(1, seen(a=1)), (5, seen(a=1, b=1)), (6, seen(a=1)), (10, seen(a=1))],
            {},
            id="file-that-comes-back-was-never-gone",
        ),
        pytest.param(
            [(1, seen(a=1)), (3, seen(a=1, b=2)), (3.5, seen(a=1, b=2))],
            {3.5: changed(B)},
            id="file-that-comes-back-changed",
        ),
        pytest.param(
            [(1, seen(a=1)), (6, seen(a=1)), (7, seen(a=1, b=1)), (7.5, seen(a=1, b=1))],
            {6: removed(B), 7.5: changed(B)},
            id="file-that-comes-back-after-it-was-given-up-is-new",
        ),
        pytest.param(
            [(1, seen(a=1, c=1)), (1.5, seen(a=1, c=1)), (6, seen(a=1, c=1))],
            {1.5: changed(C), 6: removed(B)},
            id="renamed-to-another-zone",
        ),
        pytest.param(
            [(1, seen(a=1, b=1, c=1)), (1.2, seen(a=1, b=1)), (9, seen(a=1, b=1))],
            {},
            id="new-file-gone-at-once",
        ),
        pytest.param([(1, seen()), (60, seen()), (90, seen(a=1, b=1))], {}, id="all-vanish-and-return"),
        pytest.param(
            [
                (1, seen(a=1)),
                (4, seen()),
                (30, seen(a=1)),
                (60, seen(a=1)),
                (61, seen(a=1, b=2)),
                (62, seen(a=1, b=2)),
            ],
            {62: changed(B)},
            id="all-vanish-and-are-restored-one-by-one",
        ),
        pytest.param(
            [(1, seen()), (2, seen(a=1, b=1)), (3, seen(a=1)), (8, seen(a=1))],
            {8: removed(B)},
            id="after-the-return-missing-counts-again",
        ),
        pytest.param(
            [(1, UNREADABLE), (60, UNREADABLE), (61, seen(a=1, b=1))], {}, id="unreadable-changes-nothing"
        ),
        pytest.param(
            [(1, seen(a=1)), (2, UNREADABLE), (7, seen(a=1)), (11, seen(a=1)), (12, seen(a=1))],
            {12: removed(B)},
            id="missing-is-not-counted-while-unreadable",
        ),
    ],
)
def test_watch_believes(looks: list[tuple[float, Snapshot]], expected: dict[float, FolderChange]) -> None:
    watch = Watch(seen(a=1, b=1))
    found = {now: watch.feed(look, now) for now, look in looks}
    assert {now: change for now, change in found.items() if change is not None} == expected


def test_folder_emptied_is_said_as_long_as_it_lasts() -> None:
    watch = Watch(seen(a=1, b=1))
    watch.feed(seen(), 1)
    assert (watch.all_missing, watch.kept) == (True, frozenset({A, B}))
    watch.feed(seen(a=1), 2)
    assert (watch.all_missing, watch.kept) == (False, frozenset({B}))
    watch.feed(seen(a=1, b=1), 3)
    assert (watch.all_missing, watch.kept) == (False, NOTHING)


def test_empty_folder_from_the_start_is_nothing_missing() -> None:
    watch = Watch(seen())
    assert watch.feed(seen(), 1) is None
    assert not watch.all_missing


def test_unreadable_folder_is_said_as_long_as_it_lasts() -> None:
    watch = Watch(seen(a=1))
    watch.feed(UNREADABLE, 1)
    assert watch.unreadable == "Permission denied"
    assert not watch.all_missing
    watch.feed(seen(a=1), 2)
    assert watch.unreadable is None


def test_folder_unreadable_at_the_start_brings_its_files_later() -> None:
    watch = Watch(UNREADABLE)
    assert watch.unreadable == "Permission denied"
    assert watch.feed(seen(a=1), 1) is None
    assert watch.feed(seen(a=1), 2) == changed(A)


folders = st.dictionaries(st.sampled_from([A, B, C]), st.integers(1, 3).map(mark)).map(Snapshot)
steps = st.lists(st.tuples(st.floats(0, 3), folders | st.just(UNREADABLE)), max_size=40)


@given(baseline=folders, steps=steps)
def test_whoever_follows_the_changes_ends_with_the_folder(
    baseline: Snapshot, steps: list[tuple[float, Snapshot]]
) -> None:
    """Whatever happened, once the folder is left alone all is known that is not kept."""
    watch = Watch(baseline)
    served = set(baseline.files)
    now = 0.0
    last = baseline
    for wait, look in steps:
        now += wait
        change = watch.feed(look, now)
        if look.unreadable is None:
            last = look
        if change is not None:
            assert change.changed <= look.files.keys()
            assert change.removed.isdisjoint(look.files)
            assert look.files, "an empty folder takes nothing away"
            served = (served | change.changed) - change.removed
    for wait in (0.0, QUIET, BELIEVED_MISSING):
        now += wait + 0.001
        change = watch.feed(last, now)
        if change is not None:
            served = (served | change.changed) - change.removed
    assert served == last.files.keys() | watch.kept
    assert watch.feed(last, now + 100) is None


# ----- the look at a real folder


def test_snapshot_sees_zone_files_only(tmp_path: Path) -> None:
    for name in ("a.example.yaml", ".hidden.yaml", "a.example.yaml~", "#a.yaml#", ".a.yaml.swp", "README"):
        (tmp_path / name).touch()
    (tmp_path / "folder.yaml").mkdir()
    assert set(snapshot(tmp_path).files) == {tmp_path / "a.example.yaml"}
    assert zone_files([tmp_path]) == [tmp_path / "a.example.yaml"]


def test_snapshot_changes_with_edit_replacement_and_mode(tmp_path: Path) -> None:
    file = tmp_path / "a.example.yaml"
    file.write_text("one")
    looks = [snapshot(tmp_path)]
    file.write_text("longer")
    looks.append(snapshot(tmp_path))
    replacement = tmp_path / "new"
    replacement.write_text("longer")
    os.utime(replacement, ns=(0, file.stat().st_mtime_ns))
    replacement.rename(file)
    looks.append(snapshot(tmp_path))
    time.sleep(0.02)  # the kernel's clock of files moves in ticks
    file.chmod(0)
    looks.append(snapshot(tmp_path))
    assert len({look.files[file] for look in looks}) == 4
    assert snapshot(tmp_path) == looks[-1]


def test_snapshot_follows_links_as_mounted_configuration_uses_them(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.example.yaml").write_text(version)
    (tmp_path / "data").symlink_to("v1")
    file = tmp_path / "a.example.yaml"
    file.symlink_to("data/a.example.yaml")
    first = snapshot(tmp_path)
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(tmp_path / "data")
    assert snapshot(tmp_path).files[file] != first.files[file]
    (tmp_path / "data").unlink()
    assert snapshot(tmp_path).files == {}


def test_link_in_a_circle_is_there_but_unknown(tmp_path: Path) -> None:
    file = tmp_path / "a.example.yaml"
    file.symlink_to(file.name)
    assert set(snapshot(tmp_path).files) == {file}


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda _: None, "No such file or directory", id="missing"),
        pytest.param(lambda path: path.touch(), "Not a directory", id="file"),
    ],
)
def test_snapshot_says_why_a_folder_cannot_be_read(
    make: Callable[[Path], None], why: str, tmp_path: Path
) -> None:
    make(tmp_path / "zones")
    assert snapshot(tmp_path / "zones") == Snapshot(unreadable=why)


def test_thousands_of_files_are_cheap(tmp_path: Path) -> None:
    """Far less than a core at several looks a second; the bound is generous for busy machines."""
    for number in range(3000):
        (tmp_path / f"zone{number}.example.yaml").touch()
    first = snapshot(tmp_path)
    watch = Watch(first)
    start = time.process_time()
    for turn in range(10):
        assert watch.feed(snapshot(tmp_path), turn) is None
    assert len(first.files) == 3000
    assert time.process_time() - start < 4


@pytest.mark.parametrize(
    ("cost", "restless", "seconds"),
    [
        (0.0, False, 0.2),
        (0.004, False, 0.2),
        (0.02, False, 1.0),
        (0.02, True, QUIET),
        (0.004, True, 0.2),
        (3.0, False, 5.0),
    ],
)
def test_a_look_takes_a_fiftieth_of_a_core_at_most(cost: float, *, restless: bool, seconds: float) -> None:
    assert look_pause(cost, restless=restless) == pytest.approx(seconds)


def test_a_watch_is_restless_until_it_believes() -> None:
    watch = Watch(seen(a=1))
    assert not watch.restless
    watch.feed(seen(a=2), 1.0)
    assert watch.restless
    watch.feed(seen(a=2), 2.0)
    assert not watch.restless
    watch.feed(seen(a=2, b=1), 3.0)
    assert watch.restless
