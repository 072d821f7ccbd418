"""``geodns demo`` up to where the processes begin: which hosts get a mail server, and what to try."""

import asyncio
import smtplib
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from geodns.cli import main
from geodns.cli.demo import what_to_try
from geodns.cli.demo_mailhost import MailServer
from geodns.cli.demo_processes import loopback_hosts
from geodns.errors import StartError, UsageError, ZoneError

pytest.importorskip("aiosmtpd", reason="the demo's mail servers need it: pip install 'geodns[demo]'")


SAMPLE = Path(__file__).parents[2] / "zones"
NS = "ns: {ns1: 192.0.2.53}\n"


def folder_of(tmp_path: Path, text: str) -> Path:
    (tmp_path / "out.example.com.yaml").write_text(NS + text)
    return tmp_path


def test_the_sample_zone_has_three_hosts_probed_here() -> None:
    found = loopback_hosts(SAMPLE)
    assert [(zone, host.name) for zone, host, _ in found] == [
        ("out.example.com", name) for name in ("mta1", "mta2", "mta3")
    ]


def test_hosts_that_are_probed_elsewhere_get_no_mail_server(tmp_path: Path) -> None:
    text = """hosts:
  a: {address: 192.0.2.1, probe: "127.0.0.1:2501"}
  b: {address: 192.0.2.2, probe: "10.0.0.1:2502"}
  c: {address: 192.0.2.3, probe: 127.0.0.1}
  d: 192.0.2.4
  e: {address: 192.0.2.5, probe: "[::1]:2505"}
"""
    assert [host.name for _, host, _ in loopback_hosts(folder_of(tmp_path, text))] == ["a", "e"]


def test_without_such_hosts_it_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r'no host with a `probe` on loopback, as in `probe: "127'):
        loopback_hosts(folder_of(tmp_path, "hosts: {a: 192.0.2.1}\n"))


def test_a_bad_zone_file_is_told_as_check_would(tmp_path: Path) -> None:
    with pytest.raises(ZoneError, match=r"out\.example\.com\.yaml:2:"):
        loopback_hosts(folder_of(tmp_path, "hosts: {a: nonsense}\n"))


def test_without_its_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodns.cli.demo.find_spec", lambda _: None)
    result = CliRunner().invoke(main.geodns, ["demo"])
    assert isinstance(result.exception, UsageError)
    assert "pip install 'geodns[demo]'" in str(result.exception)


def test_four_commands_are_shown_to_try() -> None:
    class Process:
        pid = 4711

    servers = {"mta1": Process(), "mta3": Process()}
    shown = what_to_try("out.example.com", "127.0.0.1:5300,[::1]:5300", "127.0.0.1:8053", servers)  # type: ignore[arg-type]
    lines = [line.strip() for line in shown.splitlines() if line.startswith("  ")]
    assert lines[:3] == [
        "dig @127.0.0.1 -p 5300 out.example.com A +short",
        "dig @127.0.0.1 -p 5300 out.example.com MX +short",
        "curl -s http://127.0.0.1:8053/status",
    ]
    assert lines[3].startswith("kill -USR1 4711;")
    assert lines[3].endswith("status --watch --server http://127.0.0.1:8053")
    assert "stops mta3" in shown


def test_its_mail_server_takes_mail_and_stops_and_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = MailServer("mta1.out.example.com", "127.0.0.1", port)

    def send() -> str:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.sendmail("a@example.com", ["b@example.com"], "Subject: x\r\n\r\ny")
            return client.ehlo()[1].decode()

    async def run() -> None:
        await server.open()
        assert "mta1.out.example.com" in await asyncio.to_thread(send)
        await server.toggle()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(send)
        await server.toggle()
        await asyncio.to_thread(send)
        await server.toggle()

    asyncio.run(run())
    said = capsys.readouterr().out.splitlines()
    assert said == [f"mta1.out.example.com: {word}" for word in ("stopped", "started", "stopped")]


def test_its_mail_server_refuses_the_second_name_server_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = MailServer("mta1.out.example.com", "127.0.0.1", port)

    def greeted(name: str) -> tuple[int, int]:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            return client.ehlo(name)[0], client.helo(name)[0]

    async def run() -> None:
        await server.open()
        names = "ns1.geodns.example", "ns2.geodns.example"
        found = []
        for _ in range(3):
            found.append([await asyncio.to_thread(greeted, name) for name in names])
            server.toggle_refusing()
        assert found == [[(250, 250)] * 2, [(250, 250), (554, 554)], [(250, 250)] * 2]
        await server.toggle()

    asyncio.run(run())
    said = capsys.readouterr().out.splitlines()[:2]
    assert said == ["mta1.out.example.com: refuses ns2", "mta1.out.example.com: takes ns2 again"]
