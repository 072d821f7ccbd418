"""The folder of zone files: what an edit changes, and what a slip of the hand does not."""

import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.model.hosts import HostSource
from geodns.zonefile.reader import ParsedZone, read_zone
from geodns.zonefile.sources import Finder, SourcedHost, SourceResult
from geodns.zones.folder import Edit, Folder
from geodns.zones.watch import BELIEVED_MISSING, LOOK_EVERY, QUIET
from tests.sample_zones import host, sources
from tests.unprivileged import unprivileged

GOOD = "ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.11}\nrecords: {'@': {MX: '0 .'}}\n"
BETTER = GOOD.replace("mta1: 192.0.2.11", "mta1: 192.0.2.11, mta2: 192.0.2.12")
BAD = "ns: {ns1: 192.0.2.53}\nhosts: {mta1: nonsense}\n"
A, B = "a.example", "b.example"


def parts(edit: Edit) -> tuple[set[str], set[str], set[str]]:
    """The zones that were read, those that are removed, those that are refused."""
    return set(edit.zones), set(edit.removed), set(edit.refused)


class Hand:
    """An operator's hand in a folder, and a clock that the folder is polled by."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = 1000.0
        self.write(A, GOOD)
        self.folder = Folder(directory)

    def write(self, name: str, text: str, suffix: str = "yaml") -> Path:
        path = self.directory / f"{name}.{suffix}"
        fresh = self.directory / f".{name}.new"
        fresh.write_text(text)
        fresh.rename(path)
        return path

    def remove(self, name: str, suffix: str = "yaml") -> None:
        (self.directory / f"{name}.{suffix}").unlink()

    def wait(self, seconds: float) -> list[Edit]:
        """Poll for so long; return what happened."""
        found = []
        end = self.now + seconds
        while self.now < end:
            self.now += 0.2
            edit = self.folder.poll(self.now)
            if edit is not None:
                found.append(edit)
        return found

    def one(self, seconds: float = QUIET + 0.5) -> Edit:
        (edit,) = self.wait(seconds)
        return edit


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[Hand]:
    found = Hand(tmp_path)
    edit = found.folder.read_all()
    assert parts(edit) == ({A}, set(), set())
    assert edit.problems == ()
    yield found
    tmp_path.chmod(0o755)


def test_a_quiet_folder_says_nothing(hand: Hand) -> None:
    assert hand.wait(10) == []
    assert hand.folder.warnings([A]) == []
    assert hand.folder.files == {A: hand.directory / f"{A}.yaml"}


def test_an_edit_is_read_once(hand: Hand) -> None:
    hand.write(A, BETTER)
    edit = hand.one(5)
    assert [host.name for host in edit.zones[A].hosts] == ["mta1", "mta2"]
    assert not edit.removed


def test_a_new_file_is_a_new_zone(hand: Hand) -> None:
    hand.write(B, GOOD)
    assert set(hand.one().zones) == {B}
    assert set(hand.folder.files) == {A, B}


def test_a_file_with_a_problem_changes_nothing_and_is_told_until_it_is_mended(hand: Hand) -> None:
    hand.write(A, BAD)
    edit = hand.one()
    assert parts(edit) == (set(), set(), {A})
    assert {problem.line for problem in edit.problems} == {2}
    (warning,) = hand.folder.warnings([A])
    assert f"{A}.yaml:2:" in warning
    assert warning.endswith("(the zone it had is served)")
    hand.write(A, BETTER)
    assert set(hand.one().zones) == {A}
    assert hand.folder.refused == {}
    assert hand.folder.warnings([A]) == []


def test_a_bad_file_that_never_was_a_zone_is_told_so(hand: Hand) -> None:
    hand.write(B, BAD)
    assert hand.one().refused == {B}
    assert hand.folder.warnings([A])[0].endswith("(the zone is not served)")
    hand.remove(B)
    assert hand.one(BELIEVED_MISSING + 1).removed == {B}
    assert hand.folder.warnings([A]) == []


def test_a_warning_is_told_and_refuses_nothing(hand: Hand) -> None:
    hand.write(B, "ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.11}\n")
    edit = hand.one()
    assert set(edit.zones) == {B}
    assert [problem.warning for problem in edit.problems] == [True]
    assert hand.folder.warnings([A, B]) == []


def test_a_missing_file_is_believed_after_a_while(hand: Hand) -> None:
    hand.write(B, GOOD)
    hand.one()
    hand.remove(B)
    assert hand.wait(BELIEVED_MISSING - 1) == []
    edit = hand.one(2)
    assert parts(edit) == (set(), {B}, set())
    assert set(hand.folder.files) == {A}


def test_a_file_that_comes_back_in_time_was_never_gone(hand: Hand) -> None:
    hand.write(B, GOOD)
    hand.one()
    hand.remove(B)
    hand.wait(BELIEVED_MISSING - 1)
    hand.write(B, GOOD)
    assert not any(edit.removed for edit in hand.wait(10))


def test_when_all_vanish_at_once_all_are_kept(hand: Hand) -> None:
    hand.write(B, GOOD)
    hand.one()
    hand.remove(A)
    hand.remove(B)
    assert hand.wait(60) == []
    (warning,) = hand.folder.warnings([A, B])
    assert "all zone files vanished at once" in warning
    assert hand.folder.read_all() == Edit(), "a reload of nothing is not believed either"
    hand.write(A, GOOD)
    assert not any(edit.removed for edit in hand.wait(60)), "whoever restores does so file by file"
    assert hand.folder.read_all().removed == {B}, "but a reload believes what is there"
    assert hand.folder.warnings([A]) == []


def test_a_folder_that_cannot_be_looked_at_changes_nothing(hand: Hand) -> None:
    away = hand.directory.with_name("away")
    hand.directory.rename(away)
    assert hand.wait(60) == []
    assert hand.folder.read_all() == Edit()
    hand.wait(1)
    assert "the zones it had are served" in hand.folder.warnings([A])[0]
    away.rename(hand.directory)
    assert hand.wait(10) == []
    assert hand.folder.warnings([A]) == []
    hand.write(B, GOOD)
    hand.wait(2)
    hand.remove(A)
    assert hand.one(BELIEVED_MISSING + 1).removed == {A}, "it has not forgotten which files there were"


def test_a_reload_reads_what_polling_would_still_wait_for(hand: Hand) -> None:
    hand.write(A, BETTER)
    hand.write(B, GOOD)
    edit = hand.folder.read_all()
    assert set(edit.zones) == {A, B}
    assert hand.wait(10) == []
    hand.remove(B)
    assert hand.folder.read_all().removed == {B}


def test_a_second_file_of_a_zone_is_refused_and_inherits(hand: Hand) -> None:
    hand.write(A, BETTER, "yml")
    edit = hand.one()
    assert parts(edit) == (set(), set(), {A})
    assert f"{A}.yaml is zone {A} already: make them one file" in str(edit.problems[0])
    assert hand.folder.warnings([A]) == [str(edit.problems[0])]
    hand.write(A, GOOD)
    hand.one()
    assert len(hand.folder.warnings([A])) == 1, "an edit of the first file does not hide the second"
    hand.remove(A)
    edit = hand.one(BELIEVED_MISSING + 1)
    assert not edit.removed
    assert len(edit.zones[A].hosts) == 2
    assert hand.folder.files[A].suffix == ".yml"
    assert hand.folder.warnings([A]) == []


def test_a_renamed_file_is_the_same_zone(hand: Hand) -> None:
    (hand.directory / f"{A}.yaml").rename(hand.directory / f"{A}.yml")
    hand.write(B, GOOD)
    edits = hand.wait(BELIEVED_MISSING + 2)
    assert not any(edit.removed for edit in edits)
    assert hand.folder.files[A].suffix == ".yml"


def test_a_zone_whose_other_file_is_broken_is_not_removed(hand: Hand) -> None:
    hand.write(A, BAD, "yml")
    hand.write(B, GOOD)
    hand.one()
    hand.remove(A)
    edit = hand.one(BELIEVED_MISSING + 1)
    assert parts(edit) == (set(), set(), {A})


def test_a_file_that_may_not_be_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # a folder of pytest's is root's alone
        hand = Hand(Path(directory))
        hand.write(A, BETTER).chmod(0)
        with unprivileged():
            found = hand.one()
    assert found.refused == {A}


def test_what_is_no_zone_file_is_passed_over(hand: Hand) -> None:
    (hand.directory / "README.md").write_text("hello")
    (hand.directory / f".{B}.yaml.swp").write_text(BAD)
    (hand.directory / "folder.yaml").mkdir()
    assert hand.wait(5) == []


def test_a_file_without_a_zone_name_is_refused(hand: Hand) -> None:
    hand.write("no zone at all", GOOD)
    edit = hand.one()
    assert edit.refused == {"no zone at all"}
    assert edit.problems


def test_zones_that_were_served_can_be_expected_back(tmp_path: Path) -> None:
    hand = Hand(tmp_path)
    hand.remove(A)
    assert hand.folder.read_all().zones == {}
    hand.folder.expect([A, B])
    assert hand.wait(60) == []
    assert "all zone files vanished at once" in hand.folder.warnings([A, B])[0]
    hand.write(A, BETTER)
    edits = hand.wait(60)
    assert [set(edit.zones) for edit in edits] == [{A}]
    assert not edits[0].removed


def test_who_read_the_mappings_before_an_edit_still_has_them(hand: Hand) -> None:
    files, refused = hand.folder.files, hand.folder.refused
    hand.write(B, BAD)
    hand.one()
    assert (set(files), refused) == ({A}, {})


def test_a_fault_of_ours_in_reading_a_file_is_that_files_problem(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control would end, start again, meet the file again, and end: with all zones frozen."""

    def fails(path: Path, finder: Finder) -> ParsedZone:
        if path.stem == B:
            raise RuntimeError("a bug")
        return read_zone(path, finder)

    monkeypatch.setattr("geodns.zones.folder.read_zone", fails)
    hand.write(A, BETTER)
    hand.write(B, GOOD)
    edit = hand.one()
    assert parts(edit) == ({A}, set(), {B})
    assert "a fault of geodns itself" in str(edit.problems[0])


def test_an_international_file_name_is_its_zone_s(hand: Hand) -> None:
    hand.write("bücher.example", GOOD)
    assert parts(hand.one()) == ({"xn--bcher-kva.example"}, set(), set())
    hand.write("xn--bcher-kva.example", GOOD)
    assert parts(hand.one()) == (set(), set(), {"xn--bcher-kva.example"})
    hand.write("bücher.example", "broken")
    assert "xn--bcher-kva.example" in parts(hand.one())[2]
    assert set(hand.folder.refused) == {"xn--bcher-kva.example"}


class Remembering:
    """Remembers what was read, and refuses some."""

    def __init__(self) -> None:
        self.deadly: set[Path] = set()
        self.told: list[str] = []

    def begin(self, path: Path) -> bool:
        self.told.append(path.stem)
        return path not in self.deadly

    def end(self) -> None:
        self.told.append("end")

    def survived(self, paths: Iterable[Path]) -> None:
        del paths
        self.told.append("survived")

    def is_suspected(self, path: Path) -> bool:
        return path in self.deadly

    def died(self) -> None:
        self.told.append("died")


def test_a_file_that_kills_its_reader_is_refused_and_its_zone_stays(hand: Hand) -> None:
    deaths = Remembering()
    hand.folder = Folder(hand.directory, None, deaths)
    hand.folder.read_all()
    assert deaths.told == [A, "end"]
    deaths.deadly.add(hand.write(A, BETTER))
    hand.write(B, GOOD)
    edit = hand.one()
    assert parts(edit) == ({B}, set(), {A})
    (problem,) = hand.folder.refused[A]
    assert problem.what == "control died reading it, again and again"
    (warning,) = hand.folder.warnings([A, B])
    assert "`touch` it" in warning
    assert warning.endswith("(the zone it had is served)")
    deaths.deadly.clear()
    hand.write(A, BETTER)
    assert parts(hand.one()) == ({A}, set(), set())


def test_of_an_edit_that_is_applied_the_only_zone_is_to_blame(hand: Hand) -> None:
    deaths = Remembering()
    hand.folder = Folder(hand.directory, None, deaths)
    hand.write(B, GOOD)
    hand.folder.read_all()
    deaths.told.clear()
    with hand.folder.applying([A]):
        assert deaths.told == [A]
    with hand.folder.applying([A, B]):
        pass
    with pytest.raises(MemoryError), hand.folder.applying([B]):
        raise MemoryError
    assert deaths.told == [A, "end", "survived", "end", "survived", B, "died"]


def test_of_many_zones_the_one_that_killed_before_is_to_blame(hand: Hand) -> None:
    deaths = Remembering()
    hand.folder = Folder(hand.directory, None, deaths)
    hand.write(B, GOOD)
    hand.folder.read_all()
    deaths.told.clear()
    deaths.deadly = {hand.folder.files[B]}
    with hand.folder.applying([A, B]):
        assert deaths.told == [B]


def test_a_few_files_are_looked_at_often(hand: Hand) -> None:
    assert hand.wait(0.2) == []
    assert hand.folder.pause == LOOK_EVERY


def test_small_zones_take_time_in_proportion(tmp_path: Path) -> None:
    def cost(count: int) -> float:
        directory = tmp_path / str(count)
        directory.mkdir()
        for number in range(count):
            (directory / f"zone{number}.example.yaml").write_text(GOOD)
        began = time.process_time()
        edit = Folder(directory).read_all()
        compiled = compile_zones(Compiled(), sources(*edit.zones.values()), LiveSet())
        assert len(compiled.table.zones) == count
        return time.process_time() - began

    cost(20)
    assert cost(252) < 12 * 3 * cost(21)


# --- hosts that come and go ----------------------------------------------------------------------------

GROWING = "ns: {ns1: 192.0.2.53}\nhosts_from: {file: hosts.d/a.yaml}\nrecords: {'@': {MX: '0 .'}}\n"


class Given:
    """What a source gives, whatever the source."""

    def __init__(self) -> None:
        self.hosts: tuple[SourcedHost, ...] = ()

    def has(self, *addresses: str) -> None:
        self.hosts = tuple(SourcedHost(host(f"h-{one[-1]}", one), "file hosts.d/a.yaml") for one in addresses)

    def find(self, zone: str, source: HostSource) -> SourceResult:
        assert (zone, source.title) == (A, "file hosts.d/a.yaml")
        return SourceResult(self.hosts)


def hosts_in(edit: Edit) -> list[str]:
    return [one.name for one in edit.zones[A].hosts]


def test_zones_are_read_again_as_their_files_were_when_last_good(tmp_path: Path) -> None:
    given = Given()
    given.has("192.0.2.1")
    hand = Hand(tmp_path)
    hand.write(A, GROWING)
    hand.write(B, GOOD)
    hand.folder = Folder(tmp_path, given.find)
    assert hosts_in(hand.folder.read_all()) == ["h-1"]
    given.has("192.0.2.1", "192.0.2.2")
    edit = hand.folder.read_again([A, B, "unknown.example"])
    assert (parts(edit), hosts_in(edit), edit.by_sources) == (({A}, set(), set()), ["h-1", "h-2"], True)

    hand.write(A, GROWING.replace("ns1: 192", "ns1: nonsense"))
    given.has("192.0.2.3")
    assert hosts_in(hand.folder.read_again([A])) == ["h-3"], "what has not settled is not read"
    assert parts(hand.one()) == (set(), set(), {A})
    given.has("192.0.2.4")
    assert hosts_in(hand.folder.read_again([A])) == ["h-4"], "what is refused is not read"
    assert A in hand.folder.refused

    hand.write(A, GOOD)
    assert parts(hand.one()) == ({A}, set(), set())
    assert parts(hand.folder.read_again([A])) == (set(), set(), set()), "it has no sources any more"


def test_hosts_that_a_zone_is_not_good_with_are_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader leaves out whatever does not fit; should it fail nonetheless, the zone stays as it was."""
    given = Given()
    hand = Hand(tmp_path)
    hand.write(A, GROWING)
    hand.folder = Folder(tmp_path, given.find)
    hand.folder.read_all()

    def fails(*_: object) -> ParsedZone:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("geodns.zones.folder.parse_zone", fails)
        edit = hand.folder.read_again([A])
    assert parts(edit) == (set(), set(), set())
    (warning,) = hand.folder.warnings([A])
    assert "a fault of geodns itself" in warning
    assert "(the hosts it had are served)" in warning
    hand.folder.read_again([A])
    assert hand.folder.warnings([A]) == []


def test_files_of_hosts_are_no_zone_files(hand: Hand) -> None:
    folder = hand.directory / "hosts.d"
    folder.mkdir()
    (folder / "more.yaml").write_text("mta9: 192.0.2.9\n")
    assert hand.wait(3) == []
