"""Zone files half copied, renamed, emptied, spoilt, too many: what was served goes on being served."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration import product
from tests.integration.cluster import Server, serving
from tests.integration.hammer import Hammer
from tests.integration.mailhosts import wait_until

ZONE = "lab.example"
OTHER = "other.example"


def text(address: str) -> str:
    """A zone of one host that nobody probes; its end is cut off easily without being missed by YAML."""
    return f"""\
ns: {{ns1: 192.0.2.53}}
hosts: {{a: {address}}}
pools: {{main: {{hosts: [a], check: none}}}}
records:
  "@": {{A: {{pool: main}}, MX: {{pool: main, preference: 10}}}}
  last: {{TXT: "{address}"}}
"""


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of two zones; a test may give it other constants."""
    constants = getattr(request, "param", None)
    zones = {ZONE: text("192.0.2.1"), OTHER: text("192.0.2.101")}
    with serving(tmp_path, zones, constants=constants) as one, Hammer(one, ZONE) as load:
        yield one
        load.more()
        assert load.problems == []


def deals(server: Server, address: str, zone: str = ZONE) -> bool:
    """Say whether a zone is served as `text` writes it for an address, to its last line."""
    return server.values(zone) == [address] and server.values(f"last.{zone}", "TXT") == [f'"{address}"']


def rests(server: Server, seconds: float, *, address: str = "192.0.2.1") -> None:
    """Watch both zones go on as they are."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert deals(server, address)
        assert deals(server, "192.0.2.101", OTHER)
        time.sleep(0.05)


def warning(server: Server) -> str:
    """The one warning there is."""
    (one,) = wait_until(lambda: server.status()["warnings"], what="a warning")
    return str(one)


def test_half_copied(server: Server) -> None:
    """A part is no zone: it is not read while more of it comes, and refused where the copy rests too long."""
    whole = text("192.0.2.2")
    part = whole.index("records:") + 20  # amid a mapping: a cut at a line's end cannot be told from an edit
    file = server.zones / f"{ZONE}.yaml"
    pauses = []
    with file.open("w") as copy:
        for at in range(0, part, 10):
            copy.write(whole[at : min(at + 10, part)])
            copy.flush()
            began = time.monotonic()
            assert deals(server, "192.0.2.1")
            time.sleep(0.1)
            pauses.append(time.monotonic() - began)
        # Unless this test itself was held up, and the file rested meanwhile.
        assert server.status()["warnings"] == [] or max(pauses) > 0.4
        assert "(the zone it had is served)" in warning(server)
        assert deals(server, "192.0.2.1")
        copy.write(whole[part:])
    wait_until(lambda: deals(server, "192.0.2.2"), what="the whole file is served")
    assert server.status()["warnings"] == []
    assert server.metric("geodns_zone_load_errors_total", zone=ZONE) >= 1


def test_editors(server: Server) -> None:
    """However an editor writes, one edit comes of it, and what it leaves about is no zone."""
    file = server.zones / f"{ZONE}.yaml"
    # A temporary file that is renamed over it (vim with backupcopy=no, sed -i, configuration management).
    draft = server.zones / "4913"
    draft.write_text(text("192.0.2.2"))
    draft.rename(file)
    wait_until(lambda: deals(server, "192.0.2.2"), what="renamed over")
    # The old one renamed away, a new one written (emacs, and vim with a backup).
    file.rename(server.zones / f"{ZONE}.yaml~")
    (server.zones / f".{ZONE}.yaml.swp").write_bytes(b"b0VIM 9.0")
    (server.zones / f".#{ZONE}.yaml").symlink_to("somebody@somewhere.1234")
    (server.zones / f"#{ZONE}.yaml#").write_text("half")
    time.sleep(1)
    file.write_text(text("192.0.2.3"))
    wait_until(lambda: deals(server, "192.0.2.3"), what="written anew")
    # Truncated and written again in place (nano, >).
    file.write_text(text("192.0.2.4"))
    wait_until(lambda: deals(server, "192.0.2.4"), what="written in place")
    # The same size within the same tick of the clock, as far as a coarse file system tells.
    file.write_text(text("192.0.2.5"))
    wait_until(lambda: deals(server, "192.0.2.5"), what="the same size")
    assert set(server.status()["zones"]) == {ZONE, OTHER}
    assert server.status()["warnings"] == []


@pytest.mark.parametrize("server", [{product.BELIEVED_MISSING: 1.0}], indirect=True, ids=["sooner"])
def test_emptied_at_once_and_refilled(server: Server) -> None:
    kept = {file: file.read_text() for file in server.zones.iterdir()}
    for file in kept:
        file.unlink()
    assert "all zone files vanished at once" in warning(server)
    rests(server, 2)  # longer than a single file that is missing is waited for
    server.send(signal.SIGHUP)  # nor does a reload take the last zones away
    rests(server, 0.7)
    assert "all zone files vanished at once" in warning(server)
    for file, old in kept.items():
        file.write_text(old)
        time.sleep(0.7)
    wait_until(lambda: not server.status()["warnings"], what="all is well again")
    rests(server, 0.2)


def test_the_folder_is_renamed_away_and_comes_back_changed(server: Server) -> None:
    away = server.zones.with_name("away")
    server.zones.rename(away)
    assert "No such file or directory: the zones it had are served" in warning(server)
    assert server.request("/readyz")[0] == 200
    server.send(signal.SIGHUP)
    rests(server, 1)
    (away / f"{ZONE}.yaml").write_text(text("192.0.2.2"))
    away.rename(server.zones)
    wait_until(lambda: deals(server, "192.0.2.2"), what="the edit")
    assert server.status()["warnings"] == []
    # A file in the folder's place is no folder either.
    server.zones.rename(away)
    server.zones.write_text("")
    assert "Not a directory" in warning(server)
    rests(server, 0.5, address="192.0.2.2")


def test_spoilt_and_mended(server: Server) -> None:
    file = server.zones / f"{ZONE}.yaml"

    def loop() -> None:
        file.unlink()
        file.symlink_to(file.name)

    spoilt: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: file.write_text("hosts: {a: 192.0.2.256}\n"), ":1:"),
        (lambda: file.write_bytes(b"\0" * 4096), ""),  # what a crash may leave of a file
        (lambda: file.write_text(""), "empty"),
        (loop, "symbolic links"),
    )
    for spoil, why in spoilt:
        spoil()
        told = wait_until(
            lambda why=why: [
                one for one in server.status()["warnings"] if f"{ZONE}.yaml" in one and why in one
            ],  # type: ignore[misc]
            what=f"a warning of {why}",
        )
        assert len(told) == 1
        assert told[0].endswith("(the zone it had is served)")
        shown = server.status()
        assert told[0].startswith(shown["zones"][ZONE]["error"])
        assert shown["ready"]
        assert server.command("status").returncode == 1
        assert deals(server, "192.0.2.1")
        assert deals(server, "192.0.2.101", OTHER)
    file.unlink()
    file.write_text(text("192.0.2.2"))
    wait_until(lambda: deals(server, "192.0.2.2"), what="the mended file")
    shown = server.status()
    assert (shown["warnings"], shown["zones"][ZONE]["error"]) == ([], None)
    assert server.command("status").returncode == 0


@pytest.mark.parametrize("server", [{product.BELIEVED_MISSING: 1.0}], indirect=True, ids=["sooner"])
def test_two_files_of_one_zone(server: Server) -> None:
    """The first goes on; should it go, the other is there at once, and no query in between finds nobody."""
    second = server.zones / f"{ZONE}.yml"
    second.write_text(text("192.0.2.2"))
    assert f"{ZONE}.yaml is zone {ZONE} already" in warning(server)
    rests(server, 0.5)
    (server.zones / f"{ZONE}.yaml").unlink()
    wait_until(lambda: deals(server, "192.0.2.2"), what="the other file")
    assert server.status()["warnings"] == []


def test_links_that_are_swapped(tmp_path: Path) -> None:
    """Kubernetes swaps one link, ..data, for all files of a ConfigMap at once."""
    zones = tmp_path / "zones"
    for number, version in enumerate(("..v1", "..v2"), 1):
        (zones / version).mkdir(parents=True)
        for zone in (ZONE, OTHER):
            (zones / version / f"{zone}.yaml").write_text(text(f"192.0.2.{number}"))
    (zones / "..data").symlink_to("..v1")
    for zone in (ZONE, OTHER):
        (zones / f"{zone}.yaml").symlink_to(f"..data/{zone}.yaml")
    with serving(tmp_path) as server, Hammer(server, ZONE) as load:
        assert set(server.status()["zones"]) == {ZONE, OTHER}
        assert deals(server, "192.0.2.1")
        (zones / "..new").symlink_to("..v2")
        (zones / "..new").rename(zones / "..data")
        shutil.rmtree(zones / "..v1")
        for zone in (ZONE, OTHER):
            wait_until(lambda zone=zone: deals(server, "192.0.2.2", zone), what=zone)  # type: ignore[misc]
        assert server.status()["warnings"] == []
        assert load.problems == []


def test_hundreds_of_files(tmp_path: Path) -> None:
    """They are served, watched at little cost, and changed in no more than a moment."""
    zones = {
        f"z{number}.example": text(f"198.51.{number // 250}.{number % 250 + 1}") for number in range(400)
    }
    with serving(tmp_path, zones) as server, Hammer(server, "z7.example") as load:
        assert len(server.status()["zones"]) == 400
        for number in (0, 199, 399):
            assert deals(server, f"198.51.{number // 250}.{number % 250 + 1}", f"z{number}.example")
        server.write("z7.example", text("192.0.2.7"))
        wait_until(lambda: deals(server, "192.0.2.7", "z7.example"), what="an edit")
        assert load.problems == []
