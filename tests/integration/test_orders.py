"""Orders as operators give them: to two name servers at once, over restarts, on a terminal."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Server, geodns, serving
from tests.integration.mailhosts import wait_until
from tests.integration.terminal import on_terminal

ZONE = "out.example.com"
TEXT = """\
ns: {ns1: 192.0.2.53}
hosts:
  mta1: {address: 192.0.2.1, weight: 50}
  mta2: {address: 192.0.2.2, weight: 30}
  mta3: {address: 192.0.2.3, weight: 20}
pools: {main: {hosts: "mta*", check: none}}
records: {"@": {A: {pool: main}}}
"""
ALL = {"192.0.2.1", "192.0.2.2", "192.0.2.3"}


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two name servers of the same zone."""
    with serving(tmp_path / "ns1", {ZONE: TEXT}) as one, serving(tmp_path / "ns2", {ZONE: TEXT}) as other:
        yield one, other


def order(servers: tuple[Server, ...], *arguments: str, **more: str) -> "tuple[int, str, str]":
    done = geodns(*arguments, env={"GEODNS_SERVER": ",".join(one.http for one in servers), **more})
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_an_order_reaches_every_server_and_one_that_is_stopped_is_named(two: tuple[Server, Server]) -> None:
    one, other = two
    code, out, err = order(two, "drain", "mta1", "--reason", "new disk", "--for", "2h")
    assert (code, err) == (0, "")
    assert out.startswith(f"{one.http}, {other.http}:\nmta1.{ZONE}: unchecked (drained until ")
    assert one.seen(ZONE) == other.seen(ZONE) == {"192.0.2.2", "192.0.2.3"}
    assert order(two, "status")[0] == 0
    other.stop()
    code, out, err = order(two, "undrain", "mta1")
    assert code == 1
    assert f"{one.http}:\nmta1.{ZONE}: unchecked, dealt by main" in out
    assert f"missed: {other.http}: nobody listens there (connection refused)" in err
    assert f"run this again with --server {other.http}" in err
    assert one.seen(ZONE) == ALL
    code, out, _ = order((other, one), "status")
    assert code == 1
    assert "nobody listens there" in out
    assert "mta1 50.0%, mta2 30.0%, mta3 20.0%" in out


def test_where_servers_disagree_is_shown(two: tuple[Server, Server]) -> None:
    _, other = two
    assert order((other,), "weight", "mta1", "5", "--reason", "slow", "--author", "ops")[0] == 0
    code, out, _ = order(two, "status")
    assert code == 1
    assert "they disagree on" in out
    (row,) = [line for line in out.splitlines() if line.startswith(f"host mta1.{ZONE}")]
    assert "weight 5 (forced by ops@127.0.0.1: slow; the file says 50)" in row
    assert order(two, "clear", "mta1")[0] == 0
    assert order(two, "status")[0] == 0


def test_overrides_of_one_are_taken_to_the_other(two: tuple[Server, Server], tmp_path: Path) -> None:
    one, other = two
    order((one,), "quarantine", "mta1", "--reason", "listed", "--for", "1d")
    order((one,), "weight", "mta2", "0", "--yes")
    state = tmp_path / "state.json"
    assert order((one,), "export-state", str(state))[0] == 0
    code, out, _ = order((other,), "import-state", str(state), "--dry-run")
    assert (code, other.seen(ZONE, number=10)) == (0, ALL)
    assert "override: mta2.out.example.com: weight forced to 0" in out
    assert order((other,), "import-state", str(state), "--yes")[0] == 0
    assert one.seen(ZONE) == other.seen(ZONE) == {"192.0.2.3"}
    assert order(two, "status")[0] == 0, "they agree"


def test_overrides_survive_a_kill_and_end_by_themselves(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: TEXT}) as server:
        order((server,), "weight", "mta1", "0", "--for", "1d")
        assert order((server,), "drain", "mta2", "--for", "3s", "--yes")[0] == 0
        server.kill()
    with serving(tmp_path) as server:
        assert server.host("mta1")["forced_weight"]["weight"] == 0
        wait_until(lambda: server.host("mta2")["forced"] is None, what="the drain ends")
        wait_until(lambda: server.seen(ZONE) == {"192.0.2.2", "192.0.2.3"}, what="it is dealt again")
        server.write(ZONE, TEXT.replace("weight: 50", "weight: 40"))
        wait_until(lambda: server.status()["warnings"], what="a warning")
        (warning,) = server.status()["warnings"]
        assert "hides an edit, the file has said 40 since" in warning
        assert warning in server.log()


def test_what_is_shown_first_is_what_is_served_then(two: tuple[Server, Server]) -> None:
    one, _ = two
    arguments = ("weight", "mta*", "192.0.2.3", "7", "--json", "--yes")
    tried = json.loads(order((one,), *arguments, "--dry-run")[1])[one.http]
    assert one.host("mta1")["forced_weight"] is None
    done = json.loads(order((one,), *arguments)[1])[one.http]
    assert tried["pools"] == done["pools"]
    share = one.status()["pools"][ZONE]["main"]["families"]["A"]["share"]
    assert share == done["pools"][ZONE]["main"]["after"]["shares"]["A"]
    assert share == pytest.approx(dict.fromkeys(("mta1", "mta2", "mta3"), 1 / 3))


@pytest.mark.parametrize(("typed", "code"), [(b"n\n", 1), (b"y\n", 0)], ids=["no", "yes"])
def test_on_a_terminal_it_asks_before_a_pool_is_left_dead(tmp_path: Path, typed: bytes, code: int) -> None:
    with serving(tmp_path, {ZONE: TEXT}) as server:
        command = [sys.executable, "-m", "geodns", "drain", "mta*"]
        with on_terminal(command, server) as screen:
            wait_until(lambda: "Go on? [y/N]" in screen.text(), what="it asks")
            assert f"pool main of {ZONE} would have no live host" in screen.text()
            assert server.host("mta1")["forced"] is None
            screen.type(typed)
            assert screen.process.wait(20) == code
        assert (server.host("mta1")["forced"] == "drained") == (code == 0)


def test_the_settings_name_the_servers_and_the_token(two: tuple[Server, Server], tmp_path: Path) -> None:
    (tmp_path / "geodns.yaml").write_text(f"servers: [{two[0].http}, {two[1].http}]\nwhatever: this is\n")
    done = geodns("force", "down", "mta1", "--config", str(tmp_path / "geodns.yaml"))
    assert done.returncode == 0, done.stderr
    assert [one.host("mta1")["forced"] for one in two] == ["down", "down"]


def test_no_token_and_a_wrong_one_are_told_apart(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: TEXT}, env={"GEODNS_TOKEN": "sesame"}) as server:
        code, _, err = order((server,), "drain", "mta1")
        assert (code, err.startswith("geodns: no token")) == (1, True)
        code, _, err = order((server,), "drain", "mta1", "--token", "open")
        assert (code, err.startswith("geodns: wrong token")) == (1, True)
        assert order((server,), "drain", "mta1", "--token", "sesame")[0] == 0


def test_programs_quarantine_within_max_out(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: TEXT}) as server:
        for badness, host in ((10, "mta1"), (90, "mta2")):
            arguments = ("--badness", str(badness), "--reason", "listed", "--author", "rbl")
            assert order((server,), "quarantine", host, *arguments)[0] == 0
        # Half of three is one: the worst is out, the other waits, and both are shown.
        share = server.status()["pools"][ZONE]["main"]["families"]["A"]["share"]
        assert set(share) == {"mta1", "mta3"}
        why = "1 of the 3 hosts of pool main are out, and max_out is 50%"
        assert server.host("mta1")["held_back"] == why
        assert any(f"mta1.{ZONE}: its quarantine waits: {why}" in one for one in server.status()["warnings"])
        code, _, err = order((server,), "drain", "mta3", "--yes")
        assert (code, err) == (0, "")
        code, _, err = order((server,), "quarantine", "mta3", "--badness", "99")
        assert code == 1
        assert "what a program says does not replace that" in err
    with serving(tmp_path) as server:
        assert server.host("mta2")["badness"] == 90
        assert server.host("mta1")["held_back"] is not None
