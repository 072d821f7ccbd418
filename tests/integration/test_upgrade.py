"""Upgrades of a running server: nothing is lost, whatever becomes of the new version."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import children_of, free_port
from tests.integration.serving import (
    Load,
    Server,
    ask,
    eventually,
    gone,
    number_in,
    options_of,
    process_state,
    serving,
)
from tests.integration.upgrading import asking, upgrade, write_program

PAUSE = 0.01
"""Seconds between two queries of a client."""


@pytest.fixture(scope="module")
def upgradable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """A server and its state folder."""
    folder = tmp_path_factory.mktemp("upgradable")
    with serving(state=str(folder), program=write_program(folder)) as server:
        yield folder, server


def test_a_new_version_takes_over_and_no_query_is_lost(tmp_path: Path) -> None:
    program = write_program(tmp_path)
    old = options_of(state=str(tmp_path), program=program)
    with serving(**old) as server, Load(server.listen[0], pause=PAUSE) as load:
        before = server.pids()
        assert server.publish()["pending"] == []
        assert load.wait_for_more()
        said = upgrade(tmp_path, program, old | {"version": "2"})
        assert load.wait_for_more()
        status = server.status()
        assert server.publish()["pending"] == []
    assert [one["step"] for one in said if "step" in one] == [
        "rehearsal",
        "handover",
        "new control",
        "new workers",
    ]
    assert said[-1]["done"]["before"] == "1"
    assert said[-1]["done"]["version"] == "2"
    assert (load.lost, load.stale) == (0, [])
    assert not set(before.values()) & {one[0] for one in status["workers"].values()}
    assert all(process_state(pid) == "Z" for pid in before.values())
    assert status["came"] == ["1", ""]


@pytest.mark.parametrize(
    ("fault", "step", "why"),
    [
        ("rehearsal", "rehearsal", "the rehearsal failed (status 1): heard"),
        ("exec", "handover", "cannot be started: No such file or directory"),
        ("control dies", "new control", "control (pid"),
        ("control hangs", "new control", "did not answer within 1 s"),
        ("worker dies", "new workers", "was killed by SIGKILL"),
        ("begin", "new control", "RuntimeError: no"),
    ],
)
def test_a_broken_version_is_left_and_the_old_one_goes_on(
    tmp_path: Path, fault: str, step: str, why: str
) -> None:
    program = write_program(tmp_path)
    constants = {"serve.arrival.TIME": 1.0} if "hangs" in fault else {}
    old = options_of(state=str(tmp_path), program=program)
    with serving(**old) as server, Load(server.listen[0], pause=PAUSE) as load:
        assert load.wait_for_more()
        (tmp_path / "new").mkdir()
        new = write_program(tmp_path / "new")
        broken = old | {"version": "2", "program": new, "fault": fault, "constants": constants}
        said = upgrade(tmp_path, new, broken)
        assert said[-1]["step"] == step
        assert why in said[-1]["failed"]
        assert said[-1]["serving"] == "1"
        assert load.wait_for_more()
        assert server.publish()["pending"] == []
        status = server.status()
        assert len(status["ended"]) == 1
        assert why in status["ended"][0]
        if fault == "worker dies":
            assert upgrade(tmp_path, program, old | {"version": "3"})[-1]["done"]["before"] == "1"
        answered = sum(load.answered)
        assert eventually(lambda: server.status()["counted"]["udp"] >= answered)
    assert (load.lost, load.stale) == (0, [])


def test_a_signal_upgrades_to_the_same_program(tmp_path: Path) -> None:
    program = write_program(tmp_path)
    with serving(state=str(tmp_path), program=program) as server, Load(server.listen[0], pause=PAUSE) as load:
        os.kill(server.process.pid, signal.SIGUSR2)
        assert eventually(lambda: server.status()["ended"] == [""], 30)
        assert server.status()["came"] == ["1", ""]
    assert load.lost == 0


@pytest.mark.parametrize(
    ("step", "fault"),
    [("rehearsal", ""), ("handover", ""), ("new control", ""), ("new workers", "worker dies")],
)
def test_a_server_that_is_told_to_end_in_an_upgrade_ends(tmp_path: Path, step: str, fault: str) -> None:
    program = write_program(tmp_path)
    old = options_of(state=str(tmp_path), program=program)
    with serving(**old) as server:
        before = server.pids()
        request = {"program": program, "args": [json.dumps(old | {"version": "2", "fault": fault})]}
        for said in asking(tmp_path, upgrade=request):
            if said.get("step") == step:
                server.process.terminate()
        assert server.process.wait(20) == 0
        assert all(gone(pid) for pid in before.values())
    assert not (tmp_path / "upgrade.sock").exists()


@pytest.mark.parametrize("step", ["handover", "new workers"])
def test_nobody_is_left_of_a_server_that_is_killed_in_an_upgrade(tmp_path: Path, step: str) -> None:
    program = write_program(tmp_path)
    old = options_of(state=str(tmp_path), program=program)
    with serving(**old) as server:
        group = os.getpgid(server.process.pid)
        request = {"program": program, "args": [json.dumps(old | {"version": "2"})]}
        for said in asking(tmp_path, upgrade=request):
            if said.get("step") == step:
                server.process.kill()
        assert eventually(lambda: not members(group), 20)
        with serving(**old | {"listen": [list(server.listen[0])]}) as again:
            assert number_in(ask(again.listen[0]))


def members(group: int) -> list[int]:
    """The processes of a group that live."""
    found = []
    for one in Path("/proc").iterdir():
        with contextlib.suppress(ProcessLookupError, ValueError):
            if os.getpgid(int(one.name)) == group and not gone(int(one.name)):
                found.append(int(one.name))
    return found


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"upgrade": {"program": "/nowhere/geodns"}}, "/nowhere/geodns is no program"),
        ({"upgrade": {"program": "/tmp"}}, "/tmp is no program"),
        ({"back": {}}, "there is no program to go back to"),
        ({"forth": {}}, "neither an upgrade nor a way back"),
    ],
)
def test_a_request_that_asks_for_nothing_possible(
    upgradable: tuple[Path, Server], request_: dict[str, Any], why: str
) -> None:
    folder, _ = upgradable
    (said,) = asking(folder, **request_)
    assert why in said["failed"]


def test_one_upgrade_at_a_time(upgradable: tuple[Path, Server]) -> None:
    folder, _ = upgradable
    first = asking(folder, upgrade={"program": str(folder / "geodns")})
    assert next(first) == {"step": "rehearsal"}
    (second,) = asking(folder, upgrade={"program": str(folder / "geodns")})
    assert second["failed"] == "another upgrade is under way"
    assert "done" in list(first)[-1]
    assert list(asking(folder, back={}))[-1]["done"]["version"] == "1"


def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with serving(state=str(folder)):
        assert (folder / "upgrade.sock").is_socket()
        assert (folder / "upgrade.sock").stat().st_mode & 0o777 == 0o600


def test_what_is_handed_over_in_a_newer_format_is_let_go_of(tmp_path: Path) -> None:
    program = write_program(tmp_path)
    old = options_of(state=str(tmp_path), program=program, listen=[["127.0.0.1", free_port()]])
    with serving(**old) as server:
        newer = old | {"version": "2", "constants": {"serve.handover.FORMAT": 2}}
        assert "done" in upgrade(tmp_path, program, newer)[-1]
        before = server.pids()
        assert "done" not in upgrade(tmp_path, program, old)[-1]
        again = Server(server.process)
        assert number_in(ask(again.listen[0])) == 1
        assert all(gone(pid) for pid in before.values())


def test_the_way_back_is_tried_until_it_can_be_gone(tmp_path: Path) -> None:
    program = write_program(tmp_path)
    old = options_of(state=str(tmp_path), program=program)
    waits = {"fault": "back", "constants": {"serve.takeover.AGAIN": 0.1}}
    with serving(**old) as server, Load(server.listen[0], pause=PAUSE) as load:
        assert "done" in upgrade(tmp_path, program, old | waits | {"version": "2"})[-1]
        (tmp_path / "broken").touch()
        broken = old | {"version": "3", "fault": "control dies"}
        said = asking(tmp_path, upgrade={"program": program, "args": [json.dumps(broken)]})
        assert {"step": "new control"} in said
        assert load.wait_for_more()
        assert load.wait_for_more()
        (tmp_path / "broken").unlink()
        assert list(said)[-1]["serving"] == "2"
        assert server.publish()["pending"] == []
    assert load.lost == 0


def test_whoever_is_killed_in_an_upgrade_the_server_goes_on(tmp_path: Path) -> None:
    program = write_program(tmp_path)
    old = options_of(state=str(tmp_path), program=program)

    def to(version: str, fault: str = "") -> Iterator[dict[str, Any]]:
        arguments = [json.dumps(old | {"version": version, "fault": fault})]
        return asking(tmp_path, upgrade={"program": program, "args": arguments})

    with serving(**old) as server, Load(server.listen[0], pause=PAUSE) as load:
        before = server.pids()
        for said in to("2", "rehearsal waits"):
            if said.get("said") == "heard":
                (rehearsal,) = set(children_of(server.process.pid)) - set(before.values())
                os.kill(rehearsal, signal.SIGKILL)
        assert (said["step"], said["serving"]) == ("rehearsal", "1")
        assert server.pids() == before

        os.kill(before["control"], signal.SIGSTOP)
        for said in to("2"):
            if said.get("step") == "handover":
                os.kill(before["control"], signal.SIGKILL)
            if said.get("step") == "new control":
                os.kill(before["udp0"], signal.SIGKILL)  # an old one
        assert said["done"]["version"] == "2"
        assert all(gone(pid) for pid in before.values())

        before = server.pids()
        for said in to("3"):
            if said.get("step") == "new workers":
                assert eventually(lambda: server.pids().get("udp0", 0) not in {0, before["udp0"]})
                os.kill(server.pids()["udp0"], signal.SIGKILL)
        assert said["done"]["version"] == "3"
        assert load.wait_for_more()
        assert server.publish()["pending"] == []
    # Each worker that was killed may have had a query of each client in its hands.
    assert load.lost <= 2 * len(load.answered)
