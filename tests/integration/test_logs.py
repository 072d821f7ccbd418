"""The log of a running server: an object a line from every process, and never in the way of answers."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import geodns, serving
from tests.integration.mailhosts import wait_until
from tests.integration.serving import ask, eventually
from tests.integration.serving import serving as serving_tables
from tests.integration.test_bad_days_start import GOOD, ZONE


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_process_writes_objects(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: GOOD}, env={"GEODNS_LOG_FORMAT": "json"}) as server:
        os.kill(server.children()[-1], signal.SIGKILL)
        wait_until(lambda: "started again" in server.log(), what="the supervisor says so")
        (server.zones / f"{ZONE}.yaml").write_text("hosts: {a: nonsense}\n")
        wait_until(lambda: "nonsense" in server.log(), what="control says so")
        server.order("a", "drain", ZONE, reason="disk is full")
        said = objects(server.log())
    assert {one["process"] for one in said} >= {"supervisor", "control"}
    (death,) = [one for one in said if "was killed by SIGKILL: started again" in one["message"]]
    assert (death["level"], death["process"]) == ("error", "supervisor")
    assert {"time", "level", "process", "logger", "message"} <= set(death)
    assert (death["worker"], death["status"]) == ("tcp", -signal.SIGKILL)
    (mistake,) = [one for one in said if "nonsense" in one["message"]]
    assert (Path(mistake["file"]).name, mistake["line"]) == (f"{ZONE}.yaml", 1)
    (order,) = [one for one in said if "author" in one]
    assert (order["zone"], order["host"], order["reason"]) == (ZONE, "a", "disk is full")


def test_what_is_below_the_level_is_left_out(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: GOOD}, arguments=("--log-level", "error")) as server:
        assert server.values(ZONE) == ["192.0.2.1"]
        assert server.log() == ""


@pytest.mark.parametrize("zone", ["", "hosts: {a: nonsense}\n"], ids=["no zones", "a zone with a mistake"])
def test_a_start_that_fails_says_why_in_an_object(tmp_path: Path, zone: str) -> None:
    (tmp_path / "zones").mkdir()
    if zone:
        (tmp_path / "zones" / f"{ZONE}.yaml").write_text(zone)
    addresses = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
    done = geodns("serve", *addresses, "--log-format", "json", cwd=tmp_path)
    assert done.returncode == 1
    *_, last = objects(done.stderr)
    assert last["level"] == "critical"
    assert ("nonsense" if zone else "no zones in zones/") in last["message"]


def test_a_log_that_nobody_reads_holds_up_no_answer() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    try:
        with serving_tables(workers=1, logs=True, stderr=writer) as server:
            for _ in range(3):  # each death is a line of the supervisor's
                pid = server.pids()["tcp"]
                os.kill(pid, signal.SIGKILL)
                assert eventually(lambda pid=pid: server.pids()["tcp"] not in {pid, None})  # type: ignore[misc]
                assert ask(server.listen[0])
            os.read(reader, 1 << 20)
            os.kill(server.pids()["tcp"], signal.SIGKILL)
            assert eventually(lambda: server.status()["workers"]["tcp"][2] == 4)
            text = os.read(reader, 1 << 16).decode()
    finally:
        os.close(reader)
        os.close(writer)
    told = re.search(r"WARNING supervisor: (\d+) log lines were lost: stderr took no more\n", text)
    assert told is not None
    assert int(told[1]) >= 3
    assert "was killed by SIGKILL: started again" in text
