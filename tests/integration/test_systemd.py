"""Under systemd: sockets that it has opened, notices that it waits for, the unit files that are shipped."""

import configparser
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geodns.zones import apart
from tests.integration.cluster import Server, serving, starting, zone_text
from tests.integration.filtered import filtering
from tests.integration.launcher import Wanted, launching
from tests.integration.mailhosts import mail_hosts, wait_until
from tests.integration.serving import ask, process_state
from tests.integration.test_bad_days_start import GOOD, ZONE

DEPLOY = Path(__file__).parents[2] / "deploy"
RATING = 1.5
RATING_OF_FOLLOW = 1.3
"""What docs/settings.md says that `systemd-analyze security` makes of the unit."""
RATING_WITH_SOCKETS = 1.2


def by_tcp(server: Server) -> list[str]:
    return server.values(ZONE, tcp=True)


@pytest.mark.parametrize("share", [False, True], ids=["one-queue", "ReusePort"])
def test_it_answers_on_the_sockets_of_systemd(tmp_path: Path, share: bool) -> None:
    first, second = Wanted("dns", "127.0.0.1", share=share), Wanted("dns", "127.0.0.2", share=share)
    prefix = launching(first, second, Wanted("http", "127.0.0.3", ("tcp",)))
    with serving(tmp_path, {ZONE: GOOD}, workers=2, prefix=prefix) as server:
        assert [host for host, _ in server.listen] == ["127.0.0.1", "127.0.0.2"]
        assert server.http.startswith("http://127.0.0.3:")
        assert server.status()["ready"]
        for _ in range(2):
            assert server.seen(ZONE) == {"192.0.2.1"}
            assert by_tcp(server) == ["192.0.2.1"]
            assert server.ask(ZONE, "A", at=1).answer
            for pid in server.children():
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(server.children()) == 4, what="all are back, with the same sockets")
        assert "answering on sockets from systemd, not on `listen`: 127.0.0.1:" in server.log()


def test_a_wildcard_answers_from_the_address_asked(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: GOOD}, workers=2, prefix=launching(Wanted("dns", "0.0.0.0"))) as server:
        query = b"\0\1" + bytes((1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + b"\3lab\7example\0\0\1\0\1"
        assert ask(("127.0.0.5", server.listen[0][1]), query)[-4:] == bytes((192, 0, 2, 1))


# --- notices -------------------------------------------------------------------------------------------


class Manager:
    """What systemd is to a service: it takes every notice at once, as its queue holds but a few.

    Attributes:
        heard: the notices, in their order.

    """

    def __init__(self, path: Path) -> None:
        self.heard: list[bytes] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        while notice := self._socket.recv(100):
            self.heard.append(notice)

    def wait_for(self, notice: bytes, number: int = 1) -> None:
        wait_until(lambda: self.heard.count(notice) >= number, 20, f"{notice!r} in {self.heard}")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with contextlib.closing(Manager(tmp_path / "notify")) as one:
        yield one


def test_it_says_when_it_answers_and_when_it_ends(tmp_path: Path, manager: Manager) -> None:
    with starting(
        tmp_path, {ZONE: GOOD}, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}, fresh=True
    ) as server:
        manager.wait_for(b"READY=1")
        server.wait_ready()
        assert server.values(ZONE) == ["192.0.2.1"]
        assert server.stop() == 0
        manager.wait_for(b"STOPPING=1")
        assert manager.heard == [b"READY=1", b"STOPPING=1"]


def test_it_says_when_it_reloads(tmp_path: Path, manager: Manager) -> None:
    """As ``Type=notify-reload`` wants it: with a moment after the signal, and READY behind it."""
    with starting(
        tmp_path, {ZONE: GOOD}, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}, fresh=True
    ) as server:
        manager.wait_for(b"READY=1")
        before = time.monotonic()
        server.send(signal.SIGHUP)
        manager.wait_for(b"READY=1", 2)
        first, reloading, ready = manager.heard
        assert first == ready == b"READY=1"
        said, moment = reloading.split(b"\n")
        assert said == b"RELOADING=1"
        assert before <= int(moment.removeprefix(b"MONOTONIC_USEC=")) / 1e6 <= time.monotonic()


def test_the_drop_in_is_what_systemd_253_knows() -> None:
    drop_in = configparser.ConfigParser(delimiters="=")
    drop_in.optionxform = str  # type: ignore[assignment,method-assign]
    drop_in.read(DEPLOY / "notify-reload.conf")
    assert {name: dict(part) for name, part in drop_in.items() if part} == {
        "Service": {"Type": "notify-reload", "ReloadSignal": "SIGHUP", "ExecReload": ""}
    }


def test_the_watchdog_hears_from_it(tmp_path: Path, manager: Manager) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with starting(tmp_path, {ZONE: GOOD}, env=env, fresh=True) as server:
        server.wait_ready()
        manager.wait_for(b"READY=1")
        manager.wait_for(b"WATCHDOG=1", manager.heard.count(b"WATCHDOG=1") + 3)
        assert manager.heard[0] == b"READY=1", "until then nobody watches"
        assert set(manager.heard) == {b"READY=1", b"WATCHDOG=1"}
        server.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: process_state(server.process.pid) == "T", what="it is stopped")
        time.sleep(0.3)
        before = len(manager.heard)
        time.sleep(1)
        assert len(manager.heard) == before, "a loop that does not turn says nothing"
        server.process.send_signal(signal.SIGCONT)
        manager.wait_for(b"WATCHDOG=1", manager.heard.count(b"WATCHDOG=1") + 1)


# --- the unit files ------------------------------------------------------------------------------------


def analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is needed: apt-get install systemd")
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout + done.stderr


def rated(unit: Path) -> float:
    said = analyze("security", "--offline=yes", "--no-pager", str(unit))
    found = re.search(rf"Overall exposure level for {re.escape(unit.name)}: ([0-9.]+)", said)
    assert found is not None, said
    return float(found[1])


def test_the_rating_is_what_the_readme_says() -> None:
    assert rated(DEPLOY / "geodns.service") <= RATING
    assert rated(DEPLOY / "geodns-follow.service") <= RATING_OF_FOLLOW


def test_the_rating_with_sockets_from_systemd(tmp_path: Path) -> None:
    # What the comment of geodns.socket says to add.
    found = re.search(
        r"^#   \[Service\]\n(?:#   .*\n)+", (DEPLOY / "geodns.socket").read_text(), re.MULTILINE
    )
    assert found is not None
    more = found[0].replace("#   ", "")
    unit = tmp_path / "geodns.service"
    unit.write_text(f"{(DEPLOY / 'geodns.service').read_text()}\n{more}")
    assert rated(unit) <= RATING_WITH_SOCKETS


def test_heavy_work_is_nice_under_the_filter() -> None:
    analyze("--version")
    script = "import os; from geodns.zones import apart; apart._lower(); print(os.nice(0))"
    command = (*filtering(DEPLOY / "geodns.service"), sys.executable, "-c", script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == min(19, os.nice(0) + apart.NICE)


def test_the_units_have_no_mistakes(tmp_path: Path) -> None:
    units = ("geodns.service", "geodns.socket", "geodns-follow.service")
    for unit in units:
        text = (DEPLOY / unit).read_text()
        (tmp_path / unit).write_text(text.replace("/opt/geodns/bin/geodns", "/bin/true"))
    said = analyze("verify", "--man=no", *(str(tmp_path / unit) for unit in units))
    assert [line for line in said.splitlines() if "geodns" in line] == []


def test_it_runs_under_the_filter_of_its_unit(tmp_path: Path, manager: Manager) -> None:
    analyze("--version")
    prefix = filtering(DEPLOY / "geodns.service")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no system-call filter to be had here, or no libseccomp (apt-get install libseccomp2)")
    # The filter is real: what it takes away fails.
    chroot = [*prefix, sys.executable, "-c", "import os; os.chroot('/')"]
    done = subprocess.run(chroot, capture_output=True, text=True, check=False)
    assert "PermissionError: [Errno 1]" in done.stderr
    notify = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "GEODNS_LOG_FORMAT": "json"}
    with mail_hosts("mta1") as hosts:
        zones = {ZONE: zone_text(hosts)}
        listen = ("127.0.0.1:0", "0.0.0.0:0")
        with serving(tmp_path, zones, workers=2, listen=listen, prefix=prefix, env=notify) as server:
            manager.wait_for(b"READY=1")
            assert server.seen(ZONE) == {"192.0.2.1"}
            assert by_tcp(server) == ["192.0.2.1"]
            assert server.order("mta1", "drain", ZONE)["forced"] == "drained"
            assert server.metric("process_resident_memory_bytes") > 0
            for pid in server.children():
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(server.children()) == 4, what="all are back")
            server.send(signal.SIGHUP)
            wait_until(lambda: server.seen(ZONE, number=4) == {"192.0.2.1"}, what="it answers")
            assert server.stop() == 0
            assert "Operation not permitted" not in server.log()
            assert "Traceback" not in server.log()
