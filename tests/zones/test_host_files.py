"""Files of hosts: which count, what a broken one keeps, and when a missing one is believed."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geodns.errors import Problem
from geodns.model.hosts import FileSource, Host
from geodns.storage.reading_log import MOST_DEATHS, ReadingLog
from geodns.zonefile.sources import in_files
from geodns.zones import host_files
from geodns.zones.host_files import HostFiles
from geodns.zones.listing import NEVER, read_listing
from geodns.zones.watch import BELIEVED_MISSING, QUIET

SOURCE = FileSource(file="hosts.d/*.yaml")


class Tool:
    """A deploy tool's hand in the folder, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "hosts.d"
        self.folder.mkdir()
        self.base = folder
        self.now = 1000.0
        self.files = HostFiles(folder, SOURCE, NEVER)

    def write(self, name: str, text: str) -> None:
        draft = self.folder / f".{name}"
        draft.write_text(text)
        draft.rename(self.folder / name)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def wait(self, seconds: float = QUIET + 0.3) -> bool:
        """Poll for so long; say whether hosts changed."""
        changed, end = False, self.now + seconds
        while self.now < end:
            self.now += 0.2
            changed |= self.files.poll(self.now, self.now)
        return changed

    def restart(self) -> None:
        self.files = HostFiles(self.base, SOURCE, read_listing(self.files.listing.text()))
        self.files.read_all(self.now)

    @property
    def hosts(self) -> list[str]:
        return [host.name for host in self.files.listing.hosts]


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    found = Tool(tmp_path)
    found.write("b.yaml", "b1: 192.0.2.2\nb2: 192.0.2.3\n")
    found.write("a.yaml", "a1: {address: 192.0.2.1, weight: 5}\n")
    assert found.files.read_all(found.now)
    assert found.hosts == ["a1", "b1", "b2"]
    return found


def test_a_quiet_folder_says_nothing(tool: Tool) -> None:
    tool.write("c.txt", "c1: 192.0.2.4\n")
    tool.write("#c.yaml", "c1: 192.0.2.4\n")
    (tool.folder / "d.yaml").mkdir()
    assert not tool.wait(3)
    assert tool.files.listing.error is None


def test_a_file_that_kills_its_reader_keeps_the_hosts_it_had(tool: Tool, tmp_path: Path) -> None:
    tool.write("b.yaml", "b3: 192.0.2.4\n")
    for _ in range(MOST_DEATHS):
        assert ReadingLog(tmp_path / "reading").begin(tool.folder / "b.yaml")
    deaths = ReadingLog(tmp_path / "reading")
    tool.files = HostFiles(tool.base, SOURCE, read_listing(tool.files.listing.text()), deaths)
    tool.files.read_all(tool.now)
    assert tool.hosts == ["a1", "b1", "b2"]
    assert "b.yaml: control died reading it, again and again" in str(tool.files.listing.error)
    os.utime(tool.folder / "b.yaml", ns=(1, 1))
    assert tool.wait()
    assert tool.hosts == ["a1", "b3"]
    deaths.close()
    assert '"deaths": {}' in (tmp_path / "reading").read_text()


def test_of_many_problems_a_hundred_are_logged(tool: Tool, caplog: pytest.LogCaptureFixture) -> None:
    tool.write("b.yaml", "".join(f"h{number}: nonsense\n" for number in range(5_000)))
    tool.files.read_all(tool.now)
    assert len(caplog.records) == 101
    assert "4,900 more problems in " in caplog.text


def test_a_file_joins_once_it_is_quiet_and_leaves_when_it_is_long_gone(tool: Tool) -> None:
    tool.write("c.yaml", "c1: 192.0.2.4\n")
    assert not tool.wait(QUIET - 0.2)
    assert tool.wait()
    assert tool.hosts == ["a1", "b1", "b2", "c1"]
    tool.remove("b.yaml")
    assert not tool.wait(BELIEVED_MISSING - 1)
    assert tool.wait(2)
    assert tool.hosts == ["a1", "c1"]
    assert tool.files.listing.error is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b1: nonsense\n", "b.yaml:1:5: 'nonsense' is no address"),
        (
            "b1: {address: 192.0.2.2, weigth: 3}\n",
            "b.yaml:1:26: unknown key 'weigth': did you mean 'weight'?",
        ),
        ("hosts:\n  b1: 192.0.2.2\n", "b.yaml:1:1: `hosts` on top: take it out"),
        ("- b1\n", "b.yaml:1:1: a list, not a mapping"),
        ("b1: [\n", "no valid YAML"),
        ("", "b.yaml: the file is empty: write `name: address` for each host"),
        ("{}\n", "b.yaml: no hosts"),
        ("b1: 0.0.0.0\n", "no machine can have the address 0.0.0.0"),
    ],
)
def test_a_broken_file_keeps_what_it_said_and_nobody_else_back(tool: Tool, text: str, message: str) -> None:
    tool.write("b.yaml", text)
    tool.write("c.yaml", "c1: 192.0.2.4\n")
    assert tool.wait()
    assert tool.hosts == ["a1", "b1", "b2", "c1"]
    assert message in (tool.files.listing.error or "")
    tool.restart()
    assert tool.hosts == ["a1", "b1", "b2", "c1"]
    assert message in (tool.files.listing.error or "")
    tool.write("b.yaml", "b3: 192.0.2.3\n")
    tool.wait()
    assert tool.hosts == ["a1", "b3", "c1"]
    assert tool.files.listing.error is None


def test_a_broken_file_that_is_removed_takes_its_hosts_and_the_error_along(tool: Tool) -> None:
    tool.write("b.yaml", "b1: nonsense\n")
    tool.wait()
    tool.remove("b.yaml")
    assert tool.wait(BELIEVED_MISSING + 1)
    assert (tool.hosts, tool.files.listing.error) == (["a1"], None)


def test_files_that_vanish_at_once_are_kept(tool: Tool) -> None:
    for name in ("a.yaml", "b.yaml"):
        tool.remove(name)
    assert not tool.wait(3 * BELIEVED_MISSING)
    assert tool.files.listing.error == "all its files are gone"
    since = tool.files.listing.since
    tool.restart()
    assert tool.hosts == ["a1", "b1", "b2"], "over a restart too"
    assert not tool.wait(3 * BELIEVED_MISSING)
    tool.write("a.yaml", "a1: 192.0.2.1\n")
    tool.wait(3 * BELIEVED_MISSING)
    assert tool.hosts == ["a1", "b1", "b2"], "whoever restores a folder does so file by file"
    assert tool.files.listing.error == "all its files vanished at once, and not all are back"
    assert since is not None
    tool.files.read_all(tool.now)
    assert tool.hosts == ["a1"], "as an operator asks for"


def test_a_folder_that_is_gone_is_a_failure(tool: Tool) -> None:
    tool.folder.rename(tool.base / "elsewhere")
    tool.wait(3 * BELIEVED_MISSING)
    assert tool.hosts == ["a1", "b1", "b2"]
    assert "No such file" in (tool.files.listing.error or "")
    (tool.base / "elsewhere").rename(tool.folder)
    tool.wait()
    assert tool.files.listing.error is None


def test_a_folder_that_is_swapped_as_a_whole_is_an_edit(tool: Tool) -> None:
    """Kubernetes mounts a ConfigMap as links into a folder, and swaps that."""
    for name in ("a.yaml", "b.yaml"):
        tool.remove(name)
    for number in (1, 2):
        (tool.folder / f"..{number}").mkdir()
        (tool.folder / f"..{number}" / "a.yaml").write_text(f"k{number}: 192.0.2.{number}\n")
    (tool.folder / "..data").symlink_to("..1")
    (tool.folder / "a.yaml").symlink_to("..data/a.yaml")
    tool.wait(BELIEVED_MISSING + 1)
    assert tool.hosts == ["k1"]
    (tool.folder / "..new").symlink_to("..2")
    (tool.folder / "..new").rename(tool.folder / "..data")
    assert tool.wait()
    assert tool.hosts == ["k2"]


def test_a_pipe_is_no_file_to_wait_for(tool: Tool) -> None:
    os.mkfifo(tool.folder / "c.yaml")
    tool.wait()
    assert tool.hosts == ["a1", "b1", "b2"]
    assert "c.yaml: no regular file" in (tool.files.listing.error or "")


@pytest.mark.parametrize("name", ["b\udcff.yaml", "b\n.yaml", "b\x1b[2J.yaml"])
def test_a_file_whose_name_is_no_text_gives_no_host(tool: Tool, name: str) -> None:
    tool.write(name, "c1: 192.0.2.9")
    tool.wait()
    assert tool.hosts == ["a1", "b1", "b2"]
    error = tool.files.listing.error
    assert error is not None
    assert error.isprintable()
    assert "a name that cannot be shown: rename it" in error
    finding = in_files(tool.base)("out.example.com", SOURCE)
    assert [one.host.name for one in finding.hosts] == ["a1", "b1", "b2"]
    assert [one.what for one in finding.problems] == ["a name that cannot be shown"]


def test_too_many_hosts_are_a_failure(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_files, "MAX_FOUND", 3)
    tool.write("c.yaml", "c1: 192.0.2.4\n")
    tool.wait()
    assert tool.hosts == ["a1", "b1", "b2"]
    assert tool.files.listing.error == "4 hosts in its files: at most 3 are taken"
    tool.remove("a.yaml")
    tool.wait(BELIEVED_MISSING + 1)
    assert tool.hosts == ["b1", "b2", "c1"]


def test_a_fault_of_ours_is_a_problem_of_that_file(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> tuple[tuple[Host, ...] | None, tuple[Problem, ...]]:
        raise RuntimeError(f"a bug at {path}")

    monkeypatch.setattr(host_files, "read_host_file", fails)
    tool.write("a.yaml", "a2: 192.0.2.1\n")
    tool.wait()
    assert tool.hosts == ["a1", "b1", "b2"]
    assert "a fault of geodns itself" in (tool.files.listing.error or "")


DEEDS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["write", "break", "remove", "wait", "long", "restart"]),
        st.integers(1, 9),
    ),
    max_size=12,
)


@given(DEEDS)
@example([("a", "break", 1), ("b", "write", 1), ("a", "wait", 1), ("b", "break", 1), ("a", "restart", 1)])
def test_whatever_is_done_to_files_the_hosts_are_some_that_stood_there(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[tuple[str, str, int]]
) -> None:
    tool = Tool(tmp_path_factory.mktemp("deeds"))
    good: dict[str, set[str]] = {"a": set(), "b": set(), "c": set()}
    for name, deed, number in deeds:
        file = tool.folder / f"{name}.yaml"
        before = tool.hosts
        if deed == "write":
            tool.write(file.name, f"{name}{number}: 192.0.2.{number}\n")
            good[name].add(f"{name}{number}")
        elif deed == "break":
            tool.write(file.name, "- nothing\n")
        elif deed == "remove":
            file.unlink(missing_ok=True)
        elif deed == "restart":
            tool.restart()
        else:
            tool.wait(2 * BELIEVED_MISSING if deed == "long" else QUIET + 0.5)
        hosts = tool.hosts
        assert len(hosts) == len({host[0] for host in hosts}), "one file, one host"
        assert all(host in good[host[0]] for host in hosts), "only what has stood there, and whole"
        assert hosts or not before, "a source that had hosts is never empty"
    for name in "abc":
        tool.write(f"{name}.yaml", f"{name}0: 192.0.2.1\n")
    tool.wait(3 * BELIEVED_MISSING)
    assert tool.hosts == ["a0", "b0", "c0"]
    assert tool.files.listing.error is None
