import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from geodns.cli.probe import ProbeOptions, find_targets, probe
from geodns.errors import AmbiguousError, GeodnsError, NotFoundError, UsageError
from tests.health.certificates import authority, server
from tests.health.servers import GOOD, Handler, closed_port, mail_server, script, serving, silent

ZONE = """\
ns: {{ns1: 192.0.2.53}}
checks:
  smtp: {{type: smtp, port: {port}, ehlo: probe.example.org}}
  quick: {{type: tcp, port: {port}}}
hosts:
  mta1: 127.0.0.1
  mta2: {{address: [127.0.0.2, 127.0.0.3], probe: "127.0.0.1:{port}"}}
  mta3: [127.0.0.4, 127.0.0.5]
  mta4: 127.0.0.6
pools:
  main: {{hosts: [mta1, mta2, mta3], check: smtp}}
  more: {{hosts: [mta3], check: quick}}
  free: {{hosts: [mta4], check: none}}
records: {{"@": {{pool: main}}, more: {{pool: more}}, free: {{pool: free}}}}
"""


@contextlib.contextmanager
def running(handler: Handler) -> Iterator[int]:
    """A server in a thread of its own: the command has its own loop."""
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    started, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with serving(handler) as port:
            ports.append(port)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert started.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(probe, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def write(folder: Path, name: str = "out.example.com", port: int = 2525) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(ZONE.format(port=port))
    return file


def words(result: Result) -> list[str]:
    """The transcript's lines, without their times."""
    return [line.partition(" ms ")[2] for line in result.stdout.splitlines() if " ms " in line]


def test_the_transcript_and_the_verdict() -> None:
    with running(script(b"220-mta1 ESMTP\r\n220 ready\r\n", *GOOD[1:])) as port:
        result = call(f"127.0.0.1:{port}", "--ehlo", "probe.example.com")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"probe [127.0.0.1]:{port}, check smtp\n")
    assert words(result) == [
        "* connected",
        "< 220-mta1 ESMTP",
        "< 220 ready",
        "> EHLO probe.example.com",
        "< 250-mta1",
        "< 250 SIZE",
        "> QUIT",
        "< 221 Bye",
    ]
    assert result.stdout.splitlines()[-1].startswith("ok: 220 mta1 ESMTP ready (after ")


def test_a_refusal() -> None:
    with running(script(b"554 blocked: go away\r\n", b"221 Bye\r\n")) as port:
        result = call(f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert words(result) == ["* connected", "< 554 blocked: go away", "> QUIT", "< 221 Bye"]
    assert "failure: 554 blocked: go away (is the prober blocked?)" in result.stdout


def test_nobody_there() -> None:
    with closed_port() as port:
        result = call(f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert "failure: connection refused" in result.stdout


def test_half_a_line_is_shown_and_no_escape_reaches_the_terminal() -> None:
    with running(script(b"220-\x1b[2Jmta1\r\n220 unfini")) as port:
        result = call(f"127.0.0.1:{port}", "--timeout", "0.5")
    assert words(result) == ["* connected", "< 220-\ufffd[2Jmta1", "< 220 unfini"]
    assert "failure: timed out while waiting for the greeting after" in result.stdout
    assert "\x1b" not in result.stdout


def test_json() -> None:
    with running(script(*GOOD)) as port:
        result = call(f"127.0.0.1:{port}", "--json", "--ehlo", "[192.0.2.1]")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown["ok"] is True
    (one,) = shown["probes"]
    assert (one["check"], one["address"], one["port"]) == ("smtp", "127.0.0.1", port)
    assert (one["outcome"], one["detail"]) == ("ok", "220 mta1 ESMTP")
    assert one["rtt_ms"] > 0
    assert [(line["from"], line["text"]) for line in one["transcript"]][:3] == [
        ("remark", "connected"),
        ("server", "220 mta1 ESMTP"),
        ("prober", "EHLO [192.0.2.1]"),
    ]


def test_starttls() -> None:
    with running(script(*GOOD)) as port:
        result = call(f"127.0.0.1:{port}", "--starttls")
    assert result.exit_code == 1
    assert "failure: STARTTLS is not offered" in result.stdout


def test_tcp() -> None:
    with running(silent) as port:
        result = call(f"127.0.0.1:{port}", "--tcp")
    assert result.exit_code == 0
    assert "ok: connected" in result.stdout


def test_a_host_of_a_zone_is_probed_as_its_pool_says(tmp_path: Path) -> None:
    with running(script(*GOOD)) as port:
        write(tmp_path, port=port)
        result = call("mta1", "--zones", str(tmp_path))
    assert result.exit_code == 0
    assert "> EHLO probe.example.org" in words(result)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param("mta1", ["smtp 127.0.0.1 2525"], id="short"),
        pytest.param("MTA1.out.example.com.", ["smtp 127.0.0.1 2525"], id="whole"),
        pytest.param("mta1:25", ["smtp 127.0.0.1 25"], id="other-port"),
        pytest.param("mta2", ["smtp 127.0.0.1 2525"], id="probed-elsewhere-and-once"),
        pytest.param(
            "mta3",
            ["quick 127.0.0.4 2525", "smtp 127.0.0.4 2525", "quick 127.0.0.5 2525", "smtp 127.0.0.5 2525"],
            id="each-address-each-check",
        ),
        pytest.param("mta4", ["smtp 127.0.0.6 25"], id="no-check-so-smtp"),
        pytest.param("192.0.2.1", ["smtp 192.0.2.1 25"], id="v4"),
        pytest.param("192.0.2.1:2525", ["smtp 192.0.2.1 2525"], id="v4-port"),
        pytest.param("2001:db8::1", ["smtp 2001:db8::1 25"], id="v6"),
        pytest.param("[2001:db8::1]", ["smtp 2001:db8::1 25"], id="v6-brackets"),
        pytest.param("[2001:db8::1]:26", ["smtp 2001:db8::1 26"], id="v6-port"),
    ],
)
def test_what_is_probed(host: str, expected: list[str], tmp_path: Path) -> None:
    write(tmp_path)
    found = find_targets(host, tmp_path)
    assert [f"{one.check.name} {one.address} {one.port}" for one in found] == expected


def test_a_host_that_two_zones_have(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "in.example.com")
    with pytest.raises(AmbiguousError, match=r"mta1\.in\.example\.com, mta1\.out\.example\.com"):
        find_targets("mta1", tmp_path)
    assert len(find_targets("mta1.in.example.com", tmp_path)) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        pytest.param(["mta9"], NotFoundError, "no zone file in .* has a host mta9", id="unknown-host"),
        pytest.param(["mta1:0"], UsageError, "no host and no address", id="port-0"),
        pytest.param(["mta1:99999"], UsageError, "no host and no address", id="port-too-large"),
        pytest.param(["[::1"], UsageError, "no host and no address", id="half-a-bracket"),
        pytest.param(["127.0.0.1", "--ehlo", "a b"], UsageError, "--ehlo", id="ehlo-with-a-space"),
        pytest.param(["127.0.0.1", "--ehlo", "a\r\nMAIL"], UsageError, "--ehlo", id="ehlo-with-a-line"),
        pytest.param(["127.0.0.1", "--ehlo", ""], UsageError, "--ehlo", id="ehlo-empty"),
        pytest.param(["127.0.0.1", "--tcp", "--starttls"], UsageError, "leave out", id="tcp-and-starttls"),
        pytest.param(["127.0.0.1", "--type", "agent"], UsageError, "without a port", id="agent-port"),
        pytest.param(
            ["127.0.0.1", "--type", "smtps", "--starttls"],
            UsageError,
            "--starttls with a check of type smtps: it is of smtp, submission, lmtp",
            id="starttls-of-smtps",
        ),
        pytest.param(
            ["127.0.0.1", "--type", "http", "--verify"], UsageError, "--verify with a check", id="verify-http"
        ),
        pytest.param(
            ["127.0.0.1", "--sni", "a.example"], UsageError, "--sni without TLS", id="sni-without-tls"
        ),
        pytest.param(["127.0.0.1", "--starttls", "--sni", "a b"], UsageError, "--sni", id="sni-with-a-space"),
    ],
)
def test_wrong_usage(arguments: list[str], error: type[GeodnsError], says: str, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(error, match=says):
        call(*arguments, "--zones", str(tmp_path))


def test_no_folder_of_zones(tmp_path: Path) -> None:
    with pytest.raises(GeodnsError, match="does not exist: say with --zones"):
        call("mta1", "--zones", str(tmp_path / "nowhere"))


def test_a_host_missing_beside_a_file_with_problems(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "bad.example.com.yaml").write_text("hosts: 7\n")
    with pytest.raises(NotFoundError, match=r"bad\.example\.com\.yaml cannot be read: see `geodns check`"):
        find_targets("mta9", tmp_path)
    assert find_targets("mta1", tmp_path)


def test_what_is_seen_of_tls(tmp_path: Path) -> None:
    context = server(tmp_path, authority(), names=("mta1.example.net",), days=5.5)
    with running(mail_server(context)) as port:
        result = call(f"127.0.0.1:{port}", "--starttls", "--sni", "mta1.example.net", "--ehlo", "me.example")
        shown = call(f"127.0.0.1:{port}", "--starttls", "--sni", "mta2.example.net", "--json")
        strict = call(f"127.0.0.1:{port}", "--verify", "--sni", "mta1.example.net")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    made = "* TLSv1.3 TLS_AES_256_GCM_SHA384, certificate: mta1.example.net, issued by Test Authority, good "
    assert [line for line in words(result) if line.startswith(made)]
    tls, certificate, warning, keywords, times, verdict = lines[-6:]
    assert tls == "  TLS: TLSv1.3, TLS_AES_256_GCM_SHA384"
    assert certificate.startswith("  certificate: mta1.example.net, issued by Test Authority, good from ")
    assert certificate.endswith(", 5.5 days left")
    assert warning.startswith(f"  warning: certificate of mta1.example.net at [127.0.0.1]:{port} expires in ")
    assert keywords == "  EHLO keywords: AUTH PLAIN, SIZE 1000, 8BITMIME"
    assert [one.split()[0] for one in times.removeprefix("  times: ").split(", ")] == [
        "connect",
        "greeting",
        "EHLO",
        "STARTTLS",
        "TLS",
        "EHLO",
    ]
    assert verdict.startswith("ok: 220 mta1 ESMTP (after ")
    (one,) = json.loads(shown.stdout)["probes"]
    assert one["tls"] == {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "old": False}
    assert one["certificate"]["subject"] == "mta1.example.net"
    assert one["certificate"]["problem"] == "wrong name"
    assert one["certificate"]["days_left"] == 5.5
    assert one["keywords"] == ["AUTH PLAIN", "SIZE 1000", "8BITMIME"]
    assert [step["step"] for step in one["steps"]][:2] == ["connect", "greeting"]
    assert strict.exit_code == 1
    assert "failure: STARTTLS is broken: certificate unknown issuer: mta1.example.net" in strict.stdout
    assert "  certificate: unknown issuer: mta1.example.net, issued by Test Authority" in strict.stdout


def test_an_agent() -> None:
    with running(script(b"up 75% # busy\n")) as port:
        result = call(f"127.0.0.1:{port}", "--type", "agent")
    assert result.exit_code == 0
    assert "  weight: 75%\nok: up 75% # busy" in result.stdout


def test_a_web_server_of_a_zone(tmp_path: Path) -> None:
    with running(script(b"", b"HTTP/1.0 200 OK\r\nX-Queue: 7\r\n\r\n")) as port:
        text = f"ns: {{ns1: 192.0.2.53}}\nchecks: {{web: {{type: http, port: {port}, path: /health}}}}\n"
        text += "hosts: {mta1: 127.0.0.1}\npools: {main: {hosts: [mta1], check: web}}\n"
        (tmp_path / "out.example.com.yaml").write_text(text)
        result = call("mta1", "--zones", str(tmp_path))
    assert result.exit_code == 0
    assert words(result) == ["* connected", "> GET /health HTTP/1.1", "< HTTP/1.1 200 OK", "< X-Queue: 7"]
    assert result.stdout.splitlines()[-1].startswith("ok: 200 OK")


@pytest.mark.parametrize(
    ("host", "change", "expected"),
    [
        ("192.0.2.1", ProbeOptions(type="submission"), ("submission", 587, "offered", None)),
        ("192.0.2.1", ProbeOptions(type="smtps", verify=True), ("smtps", 465, "ignore", None)),
        ("192.0.2.1:2465", ProbeOptions(type="smtps"), ("smtps", 2465, "ignore", None)),
        ("192.0.2.1", ProbeOptions(starttls=True), ("smtp", 25, "offered", None)),
        ("192.0.2.1", ProbeOptions(verify=True), ("smtp", 25, "verified", None)),
        ("mta1", ProbeOptions(verify=True), ("smtp", 2525, "verified", "mta1.out.example.com")),
        ("mta1", ProbeOptions(type="lmtp"), ("lmtp", 24, "ignore", None)),
        ("mta1:26", ProbeOptions(type="submission"), ("submission", 26, "offered", "mta1.out.example.com")),
    ],
)
def test_options_change_the_check(
    host: str, change: ProbeOptions, expected: tuple[str, int, str, str | None], tmp_path: Path
) -> None:
    write(tmp_path)
    (found,) = find_targets(host, tmp_path, change)
    assert (found.check.type, found.port, found.check.starttls, found.host) == expected
    assert found.check.verify == ("required" if change.verify and change.type == "smtps" else "none")
