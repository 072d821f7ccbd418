"""The history of a running server: what it was asked is in it, and is there after a restart."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import Server, serving, zone_text
from tests.integration.hammer import Hammer
from tests.integration.mailhosts import MailHost, mail_hosts, wait_until

ZONE = "lab.example"


@pytest.fixture
def hosts() -> Iterator[dict[str, MailHost]]:
    with mail_hosts("mta1", "mta2") as opened:
        yield opened


def answers(server: Server) -> float:
    shown = server.get(f"/api/v1/history?zone={ZONE}&since=1h")["hosts"]
    return float(sum(sum(columns["answers"]) for columns in shown.values()))


def test_what_was_dealt_is_remembered(tmp_path: Path, hosts: dict[str, MailHost]) -> None:
    with serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
        with Hammer(server, ZONE) as load:
            load.more(200)
        wait_until(lambda: server.metric("geodns_picks_total") >= 200, what="counted")
        counted = server.metric("geodns_picks_total")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
    with serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
        assert answers(server) >= counted
        shown: Any = server.get(f"/api/v1/history?zone={ZONE}&since=1h")["hosts"]
        assert shown.keys() == {"mta1", "mta2"}
        for columns in shown.values():
            assert columns["intended"][0] == pytest.approx(0.5, abs=0.01)
            assert columns["share"][0] == pytest.approx(0.5, abs=0.05)
            assert columns["rtt_ms"][0] > 0
        recent = server.get("/api/v1/history/recent")
        assert recent["zones"][ZONE].keys() == {"mta1", "mta2"}
        for path, status in (
            ("/api/v1/history?zone=none.example", 404),
            ("/api/v1/history?step=5m", 400),
            ("/api/v1/history?since=soon", 400),
        ):
            code, text = server.request(path)
            assert (code, "error" in json.loads(text)) == (status, True)
        assert server.get("/api/v1/history?since=7d")["step_s"] == 3600
        assert server.get("/api/v1/history?step=10m")["step_s"] == 600
        assert server.get("/api/v1/history?host=MTA1.lab.example")["hosts"].keys() == {"mta1"}
        assert server.get("/api/v1/history?host=mta1&host=mta2")["hosts"].keys() == {"mta1", "mta2"}


def test_a_report_is_written_of_it(tmp_path: Path, hosts: dict[str, MailHost]) -> None:
    with serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
        with Hammer(server, ZONE) as load:
            load.more(100)
        hosts["mta1"].close()
        wait_until(lambda: server.state_of("mta1") == "down", what="mta1 is down")
        file = tmp_path / "report.html"
        run = server.command("report", "--since", "1h", "-o", str(file))
        assert run.returncode == 0, run.stderr
        assert run.stdout == f"{file}: 1 zones, 2 hosts\n"
        text = file.read_text()
        assert f"mta1.{ZONE}" in text
        assert "so far" in text
        assert "connection refused" in text
        assert server.command("report", "--since", "soon").returncode == 2
        assert server.command("report", "-o", str(tmp_path / "no" / "folder")).returncode == 1
        assert server.command("report", "-o", "-").stdout.startswith("<!doctype html>")
