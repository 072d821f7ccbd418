"""`geodns demo` as a newcomer has it: what it prints really works, and nothing of it is left behind."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cluster import geodns, zone_text
from tests.integration.mailhosts import mail_hosts, wait_until
from tests.integration.redises import needs_redis
from tests.integration.terminal import ROOT, on_terminal

ZONE = "out.example.com"


def demo_zone(folder: Path) -> None:
    """Write a zone whose mail hosts the demo starts, on ports that are free now."""
    with mail_hosts("mta1", "mta2", "mta3") as free:
        text = zone_text(free, more="records: {'@': {A: {pool: main}, MX: {pool: main, preference: 10}}}")
    folder.mkdir()
    (folder / f"{ZONE}.yaml").write_text(text)


def processes_with(text: str) -> set[int]:
    """The processes whose command line has a text in it."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if text.encode() in line:
                found.add(int(entry.name))
    return found


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=str)
def test_demo(tmp_path: Path, ending: int) -> None:
    zones = tmp_path / "zones"
    demo_zone(zones)
    ports = re.findall(r'probe: "127.0.0.1:(\d+)"', (zones / f"{ZONE}.yaml").read_text())
    command = [sys.executable, "-m", "geodns", "demo", "--zones", str(zones)]
    command += ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    with on_terminal(command) as screen:
        wait_until(lambda: "Ctrl-C ends everything" in screen.text(), 30, "the demo is up")
        text = screen.text().replace("\r", "")
        ready = next(line for line in text.splitlines() if line.startswith("ready: "))
        assert ready.endswith("zones 1 backend python")
        a, mx, status, watch = [line.strip() for line in text.splitlines() if line.startswith("  ")]
        assert shell(a).startswith("192.0.2.")
        assert shell(mx).startswith("10 mta")
        assert json.loads(shell(status))["ready"] is True
        with on_terminal(watch) as watched:
            wait_until(lambda: "down" in watched.text(), 20, "the watcher sees the host go down")
        wait_until(
            lambda: {line for _ in range(10) for line in shell(a).split()} <= {"192.0.2.1", "192.0.2.2"}
        )
        shell(watch.partition(";")[0])
        wait_until(lambda: "192.0.2.3" in shell(a), 20, "the host comes back")
        family = processes_with(str(zones)) | {pid for port in ports for pid in processes_with(f"\0{port}\0")}
        assert len(family) >= 5
        screen.process.send_signal(ending)
        assert screen.process.wait(60) == 0, screen.text()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), what="nobody is left")
        assert "Traceback" not in screen.text()


@needs_redis
def test_two_servers(tmp_path: Path) -> None:
    """Each line that is printed does what stands above it, and Ctrl-C leaves nobody."""
    zones = tmp_path / "zones"
    demo_zone(zones)
    command = [sys.executable, "-m", "geodns", "demo", "--two", "--zones", str(zones)]
    command += ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    with on_terminal(command) as screen:
        wait_until(lambda: "without it" in screen.text(), 60, "both servers are up")
        text = screen.text().replace("\r", "")
        (
            both,
            shared,
            drain,
            status,
            undrain,
            blind,
            _,
            see,
            kill,
            shared_still,
            drain_still,
            undrain_still,
        ) = [line.strip() for line in text.splitlines() if line.startswith("  ")]
        assert len(shell(both).split()) >= 2
        wait_until(lambda: done(shared).stdout.count("hears 2 of 2") == 2, 30, "they hear each other")

        assert "dealt no more" in shell(drain)
        assert "drained" in done(status).stdout
        assert "192.0.2.3" not in {line for _ in range(5) for line in shell(both).split()}
        shell(undrain)

        blinding, _, explain = blind.split("; ")
        shell(blinding)
        wait_until(lambda: "ns1 says up, ns2 down: it stays up" in shell(explain), 30, "ns2 is outvoted")
        wait_until(
            lambda: (
                {line for _ in range(5) for line in shell(both).split()}
                == {f"192.0.2.{number}" for number in (1, 2, 3)}
            ),
            what="all are dealt",
        )
        shell(see)

        assert len(shell(kill).split()) >= 2
        wait_until(lambda: done(shared_still).stdout.count("not connected") == 2, 30, "Redis is missed")
        assert "dealt no more" in shell(drain_still)
        assert "dealt by main" in shell(undrain_still)
        wait_until(lambda: "is gone; it comes back" in screen.text(), what="it is told")

        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(60) == 0, screen.text()
        wait_until(lambda: not processes_with(str(zones)), what="nobody is left")
        assert "Traceback" not in screen.text()


def done(line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line in a shell, as a reader would, whatever its status is."""
    return subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


def shell(line: str) -> str:
    """Run a line in a shell, as a reader would, and return what it prints."""
    ended = done(line)
    ended.check_returncode()
    return ended.stdout


def test_demo_on_taken_ports_is_one_line(tmp_path: Path) -> None:
    with mail_hosts("mta1") as hosts:
        (tmp_path / f"{ZONE}.yaml").write_text(zone_text(hosts))
        done = geodns("demo", "--zones", str(tmp_path), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert hosts["mta1"].endpoint in done.stderr
