"""Upgrades of a running server: nothing is lost, whatever becomes of the new version."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration import upgrading
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
    print(said, status, load.answered)
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
