"""The commands and the API against a running server, as operators and their scripts use them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import dns.message
import pytest

from geodns.cli.main import _FILES
from geodns.cli.main import geodns as geodns_group
from tests.integration import from_nothing
from tests.integration.cluster import ANSWER, Server, geodns, serving, zone_text
from tests.integration.hammer import Hammer
from tests.integration.mailhosts import MailHost, closed, mail_hosts, wait_until
from tests.integration.template import environment
from tests.integration.terminal import on_terminal

ZONE = "out.example.com"
API = f"/api/v1/hosts/{ZONE}/mta1"
ALL = {"192.0.2.1", "192.0.2.2", "192.0.2.3"}


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, MailHost]]:
    with mail_hosts("mta1", "mta2", "mta3") as opened:
        yield opened


@pytest.fixture(scope="module")
def running(hosts: dict[str, MailHost], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    more = "records: {'@': {A: {pool: main}, MX: {pool: main, preference: 10}}, www: {A: 192.0.2.80}}"
    with serving(
        tmp_path_factory.mktemp("commands"), {ZONE: zone_text(hosts, more=more)}, workers=2
    ) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """The server, given back as it was: everything up and nothing forced."""
    yield running
    for host in ("mta1", "mta2", "mta3"):
        if running.host(host)["forced"] is not None:
            running.order(host, "undrain", ZONE)


# --- drain and undrain ---------------------------------------------------------------------------------


def test_once_a_drain_returns_no_worker_deals_the_host(server: Server) -> None:
    with (
        Hammer(server, ZONE) as one,
        Hammer(server, ZONE) as two,
        Hammer(server, ZONE, "MX", tcp=True) as tcp,
    ):
        for _ in range(8):
            server.order("mta1", "drain", ZONE)
            assert "192.0.2.1" not in server.seen(ZONE, number=30)
            assert not any("192.0.2.1" in server.values(ZONE, tcp=True) for _ in range(6))
            assert not any("mta1" in value for value in server.seen(ZONE, "MX", number=10))
            server.order("mta1", "undrain", ZONE)
            assert server.seen(ZONE, number=30) == ALL
    assert one.problems + two.problems + tcp.problems == []


def test_drain_and_undrain_commands(server: Server) -> None:
    drained = server.command("drain", "mta1", "--reason", "new disk")
    assert drained.returncode == 0, drained.stderr
    assert f"mta1.{ZONE}: up (drained by " in drained.stdout
    assert "new disk), dealt no more" in drained.stdout
    assert f"pool main of {ZONE} now deals mta2 50.0%, mta3 50.0%" in drained.stdout
    assert "caches may hold it for 5 s" in drained.stdout
    assert "192.0.2.1" not in server.seen(ZONE)
    shown = server.host("mta1")
    assert (shown["forced"], shown["reason"], shown["state"]) == ("drained", "new disk", "up")
    assert shown["effective_weight"] == 0
    assert server.values(f"mta1.{ZONE}") == ["192.0.2.1"]
    undrained = server.command("undrain", f"mta1.{ZONE}.")
    assert undrained.returncode == 0, undrained.stderr
    assert server.seen(ZONE) == ALL


def test_drain_says_so_when_a_worker_has_not_taken_it(server: Server) -> None:
    stopped = server.workers()[0]
    queries = [dns.message.make_query(ZONE, "A", flags=0) for _ in range(16)]
    with contextlib.ExitStack() as stack:
        os.kill(stopped, signal.SIGSTOP)
        stack.callback(os.kill, stopped, signal.SIGCONT)
        code, text = server.request(f"{API}/drain", {})
        shown = json.loads(text)
        assert (code, shown["forced"], len(shown["pending"])) == (202, "drained", 1)
        done = server.command("drain", "mta1")
        assert done.returncode == 1
        assert f"still pending: {shown['pending'][0]}" in done.stderr
        # These come to the worker before the change does; it answers them after the change all the same.
        clients = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in queries]
        for client, query in zip(clients, queries, strict=True):
            client.settimeout(ANSWER)
            client.connect(server.listen[0])
            client.send(query.to_wire())
        os.kill(stopped, signal.SIGCONT)
        answers = [dns.message.from_wire(client.recv(4096)) for client in clients]
    assert not any("192.0.2.1" in str(answer.answer[0]) for answer in answers)
    assert server.request(f"{API}/drain", {})[0] == 200


def test_drain_of_every_host_goes_on_answering(server: Server) -> None:
    for host in ("mta1", "mta2", "mta3"):
        server.order(host, "drain", ZONE)
    assert server.seen(ZONE) == ALL
    assert server.status()["pools"][ZONE]["main"]["last_resort"] == "drained"


def test_drain_for_a_time_ends_by_itself(server: Server) -> None:
    shown = server.order("mta1", "drain", ZONE, **{"for": "1s"})
    assert (shown["forced"], shown["until"] is None) == ("drained", False)
    assert "192.0.2.1" not in server.seen(ZONE, number=10)
    wait_until(lambda: server.host("mta1")["forced"] is None, what="the drain ends")
    wait_until(lambda: server.seen(ZONE) == ALL, what="it is dealt again")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("drain", "nobody"), 1, "no host nobody"),
        (("drain", "mta1", "--for", "soon"), 2, "`for` 'soon' is no duration"),
        (("drain", "mta1", "--for", "2"), 2, "`for` '2' has no unit: write 2h or 2m"),
        (("weight", "mta1", "-1"), 2, "No such option"),
        (("drain",), 2, "Missing argument"),
        (("query", "not..a.name"), 2, "not..a.name"),
        (("query", ZONE, "NONSENSE"), 2, "no record type"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_use_is_told(server: Server, arguments: tuple[str, ...], status: int, says: str) -> None:
    done = server.command(*arguments)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_host_of_two_zones_needs_its_whole_name(tmp_path: Path, hosts: dict[str, MailHost]) -> None:
    other = "in.example.com"
    with serving(tmp_path, {ZONE: zone_text(hosts), other: zone_text(hosts)}) as server:
        done = server.command("drain", "mta1")
        assert done.returncode == 2
        assert f"mta1.{ZONE}" in done.stderr
        assert f"mta1.{other}" in done.stderr
        assert server.command("drain", f"mta1.{other}").returncode == 0
        assert server.seen(other) == {"192.0.2.2", "192.0.2.3"}
        assert server.seen(ZONE) == ALL


def test_no_server_is_told() -> None:
    with closed() as address:
        done = geodns("status", "--server", f"http://{address[0]}:{address[1]}")
    assert done.returncode == 1
    assert "is `geodns serve` running?" in done.stderr
    assert "Traceback" not in done.stderr


# --- the API -------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, Any, int]] = {
    "no such host": (f"/api/v1/hosts/{ZONE}/nobody/drain", {}, 404),
    "no such zone": ("/api/v1/hosts/elsewhere.example/mta1/drain", {}, 404),
    "no such verb": (f"{API}/explode", {}, 404),
    "not JSON": (f"{API}/drain", b"{nonsense", 400),
    "not UTF-8": (f"{API}/drain", b"\xff\xfe", 400),
    "no mapping": (f"{API}/drain", ["reason"], 400),
    "unknown key": (f"{API}/drain", {"reson": "typo"}, 400),
    "reason of another kind": (f"{API}/drain", {"reason": 7}, 400),
    "no duration": (f"{API}/drain", {"for": "soon"}, 400),
    "no time at all": (f"{API}/drain", {"for": "0s"}, 400),
    "for ever and a day": (f"{API}/drain", {"for": "99999999d"}, 400),
    "too much": (f"{API}/drain", b" " * 100_000, 413),
}


@pytest.mark.parametrize(("path", "body", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_orders_are_refused_in_json(server: Server, path: str, body: Any, status: int) -> None:
    code, text = server.request(path, body)
    assert code == status
    assert set(json.loads(text)) == {"error"}
    assert server.host("mta1")["forced"] is None


def test_an_empty_body_drains(server: Server) -> None:
    code, text = server.request(f"{API}/drain", b"")
    assert (code, json.loads(text)["forced"]) == (200, "drained")


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}], ids=str)
def test_a_page_in_a_browser_writes_nothing(server: Server, headers: dict[str, str]) -> None:
    assert server.request(f"{API}/drain", {}, headers=headers)[0] == 403
    assert server.host("mta1")["forced"] is None


def test_token(tmp_path: Path, hosts: dict[str, MailHost]) -> None:
    with serving(tmp_path, {ZONE: zone_text(hosts)}, env={"GEODNS_TOKEN": "sesame"}) as server:
        for token in (None, "", "wrong", "sesam", "sesame1"):
            assert server.request(f"{API}/drain", {}, token=token)[0] == 401
        assert server.host("mta1")["forced"] is None
        assert server.request("/status")[0] == 200  # reading needs none
        assert server.request(f"{API}/drain", {}, token="sesame")[0] == 200
        denied = server.command("undrain", "mta1")
        assert denied.returncode == 1
        assert "GEODNS_TOKEN" in denied.stderr
        assert server.command("undrain", "mta1", "--token", "sesame").returncode == 0
        assert "sesame" not in server.log()


# --- status, query, probe ------------------------------------------------------------------------------

# The fields that programs rely on.
TOP = {
    "node",
    "version",
    "version_since",
    "backend",
    "uptime_s",
    "ready",
    "warnings",
    "zones",
    "hosts",
    "pools",
    "views",
}
HOST = {
    "state",
    "families",
    "forced",
    "weight",
    "factors",
    "effective_weight",
    "addresses",
    "since",
    "checks",
}
CHECK = {"check", "address", "port", "state", "outcome", "detail", "rtt_ms", "at"}
POOL = {"using", "last_resort", "live", "answers", "ttl", "families"}
MORE = {
    *("identity", "processes"),
    *("listen", "failures", "probed", "max_ttl", "degraded", "ehlo_ms", "certificate"),
    *("need", "prober_suspect", "held_until", "forced_weight", "unchecked"),
}


def test_each_process_says_its_name_and_the_status_its_pid(
    tmp_path: Path, hosts: dict[str, MailHost]
) -> None:
    with serving(tmp_path, {ZONE: zone_text(hosts)}, fresh=True) as server:
        pids = server.status()["processes"]
        assert pids["supervisor"] == server.process.pid
        assert set(server.children()) == set(pids.values()) - {server.process.pid}
        for name, pid in pids.items():
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
            assert line.startswith(f"geodns: {name} (serve ")


def test_status_json_has_the_fields_of_the_design(server: Server) -> None:
    done = server.command("status", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert set(shown) - MORE == TOP
    assert shown["ready"] is True
    assert shown["warnings"] == []
    assert set(shown["zones"][ZONE]) == {"serial", "digest", "file", "error"}
    host = shown["hosts"][ZONE]["mta1"]
    assert set(host) - MORE == HOST
    assert (host["state"], host["forced"], host["weight"], host["effective_weight"]) == ("up", None, 1, 1)
    assert host["addresses"] == ["192.0.2.1"]
    (check,) = host["checks"]
    assert set(check) - MORE == CHECK
    assert (check["check"], check["outcome"], check["detail"]) == ("smtp", "ok", "220 mta1 ESMTP")
    assert isinstance(check["rtt_ms"], float)
    pool = shown["pools"][ZONE]["main"]
    assert set(pool) - MORE - {"checks"} == POOL
    assert pool["families"]["A"]["live"] == ["mta1", "mta2", "mta3"]
    assert sum(pool["families"]["A"]["share"].values()) == pytest.approx(1)
    assert pool["families"]["AAAA"] == {"using": [], "last_resort": None, "live": [], "share": {}}


def test_status_is_a_table(server: Server) -> None:
    server.order("mta2", "drain", ZONE)
    done = server.command("status")
    assert done.returncode == 0, done.stderr
    rows = {row.split()[0]: row for row in done.stdout.splitlines() if row.strip()}
    assert "220 mta1 ESMTP" in rows["mta1"]
    assert "up (drained by api@127.0.0.1)" in rows["mta2"]
    assert "mta1 50.0%, mta3 50.0%" in rows["main"]


def test_status_watch_shows_changes_until_it_is_interrupted(server: Server) -> None:
    with on_terminal(
        [sys.executable, "-m", "geodns", "status", "--watch", "--interval", "0.2"], server
    ) as screen:
        wait_until(lambda: screen.text().count(f"{ZONE}  serial") > 2, what="a few refreshes")
        server.order("mta2", "drain", ZONE)
        wait_until(lambda: "(drained by" in screen.text(), what="the change is shown")
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(10) in {1, 130}
        assert "Traceback" not in screen.text()


def test_query_tells_who_is_behind_the_answer(server: Server) -> None:
    for rtype, found in (("A", "192.0.2."), ("MX", "10 mta")):
        done = server.command("query", ZONE, rtype)
        assert done.returncode == 0, done.stderr
        assert found in done.stdout
        assert "pool main" in done.stdout
        assert "is host mta" in done.stdout
    assert "no pool is behind it" in server.command("query", f"www.{ZONE}", "--tcp").stdout
    assert "NXDOMAIN" in (nothing := server.command("query", f"nope.{ZONE}")).stdout
    assert nothing.returncode == 1


def test_probe_looks_names_up_in_zone_files(server: Server, hosts: dict[str, MailHost]) -> None:
    done = geodns("probe", "mta1", "--zones", str(server.zones))
    assert done.returncode == 0, done.stderr
    assert "ok: 220 mta1 ESMTP" in done.stdout
    assert "> QUIT" in done.stdout
    done = geodns("probe", hosts["mta2"].endpoint, "--json")
    assert json.loads(done.stdout)["probes"][0]["detail"] == "220 mta2 ESMTP"
    assert geodns("probe", "nobody", "--zones", str(server.zones)).returncode == 1


# --- as a shell starts them ----------------------------------------------------------------------------

FRESH: dict[str, tuple[str, ...]] = {
    "check": ("check", "zones"),
    "status": ("status",),
    "events": ("events", "--since", "1h"),
    "query": ("query", ZONE),
    "explain": ("explain", ZONE),
    "probe": ("probe", "mta1"),
    "drain": ("drain", "mta1"),
    "warmup": ("warmup",),
    "export-state": ("export-state", "state.json"),
    "reload": ("reload",),
    "export": ("export", ZONE),
    "import": ("import", "db.example", "--origin", "db.example", "--out", "new"),
    "report": ("report", "-o", "report.html"),
    "reputation": ("reputation",),
    "experiments": ("experiments",),
    "route": ("route", "--recipient", "a@example.net"),
    "routes": ("routes",),
    "generate": ("generate", "postfix", ZONE),
    "simulate": ("simulate", ZONE),
    "follow": ("follow", "--dry-run", "--egress", "192.0.2.1", "mail.log"),
    "delegation": ("delegation", ZONE),
    "shared": ("shared", "status"),
    "schema": ("schema",),
}
"""A use of a command of each file; see `ELSEWHERE`, too."""
ELSEWHERE = ("serve", "demo", "upgrade")
"""Those that `test_readme`, `test_demo` and `test_upgrade_versions` start."""


def test_a_command_of_every_file_is_started_from_nothing_somewhere() -> None:
    every = geodns_group.list_commands(click.Context(geodns_group))
    assert FRESH.keys() | {*ELSEWHERE} <= set(every)
    assert {_FILES.get(one, one) for one in (*FRESH, *ELSEWHERE)} == {_FILES.get(one, one) for one in every}


def test_commands_work_from_nothing(tmp_path: Path, hosts: dict[str, MailHost]) -> None:
    """All other tests take copies of a process that has loaded what they need."""
    (tmp_path / "db.example").write_text("$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\n")
    (tmp_path / "new").mkdir()
    (tmp_path / "mail.log").touch()
    (tmp_path / "geodns.yaml").write_text("routes_listen: unix:routes\nroutes_resolver: 127.0.0.1:1\n")
    with serving(tmp_path, {ZONE: zone_text(hosts, more='routes: [{use: "@"}]')}, fresh=True) as server:
        done = subprocess.run(
            [sys.executable, "-m", from_nothing.__name__, json.dumps([*FRESH.values()])],
            env=environment({"GEODNS_SERVER": server.http}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
    for name, (status, said) in zip(FRESH, json.loads(done.stdout), strict=True):
        assert status == 0, (name, said)
        assert "Traceback" not in said, name
