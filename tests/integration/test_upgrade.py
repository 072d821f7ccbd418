"""Upgrades of a running server: nothing is lost, whatever becomes of the new version."""

from pathlib import Path

import pytest

from tests.integration.serving import Load, eventually, options_of, process_state, serving
from tests.integration.upgrading import upgrade, write_program


def test_a_new_version_takes_over_and_no_query_is_lost(tmp_path: Path) -> None:
    program = write_program(tmp_path)
    old = options_of(state=str(tmp_path), program=program)
    with serving(**old) as server, Load(server.listen[0]) as load:
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
    with serving(**old) as server, Load(server.listen[0]) as load:
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
        assert upgrade(tmp_path, program, old | {"version": "3"})[-1]["done"]["before"] == "1"
        answered = sum(load.answered)
        assert eventually(lambda: server.status()["counted"]["udp"] >= answered)
    assert (load.lost, load.stale) == (0, [])
