"""Real Exim and Haraka with the lines of `geodns generate`: each message arrives at the right pool."""

import json
import os
import shutil
import signal
import smtplib
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple
from urllib.request import Request, urlopen

import pytest

from geodns.cli.generate.exim import exim
from geodns.cli.generate.haraka import haraka
from geodns.cli.generate.plan import Asked, Plan, plan_of
from geodns.config.server_keys import Listen
from geodns.zonefile.reader import read_zone
from tests.cli.generate.test_kumomta import LUA, run
from tests.integration.cluster import QUICK, Server, free_port, serving
from tests.integration.mailhosts import wait_until
from tests.integration.outgoing import alone_on_loopback, ip, may_have_a_network
from tests.integration.sending import EXIM, exim_starts
from tests.integration.submitting import DNS, Hosts, Mail, hosts_open

HARAKA = shutil.which("haraka")

pytestmark = pytest.mark.skipif(
    not may_have_a_network(), reason="needs root, unshare and ip: apt-get install iproute2"
)

NAME = "out.example.com"
ROUTES = Listen("127.0.0.1", 5310)
SOCKET = "routes"
"""In the server's folder."""
SLOW_CLIENT = "127.0.0.9"
POOLS = {"main": 2, "fast": 2, "bulk": 2, "dealt": 2}
"""How many hosts each pool has; they are called after it."""
DEAD = "dealt2"


def addresses() -> dict[str, str]:
    """The address of each host: none of 127.0.0.0/8, which an MTA takes for itself."""
    names = [f"{pool}{host}" for pool, hosts in POOLS.items() for host in range(1, hosts + 1)]
    return {name: f"192.0.2.{number}" for number, name in enumerate(names, 11)}


def zone_text() -> str:
    """The zone; one host is dead, and its probe does not see that."""
    hosts = addresses()
    lines = ["ttl: 5", f"ns: {{ns1: {DNS}}}", "checks:", f"  smtp: {QUICK}", "hosts:"]
    for name, address in hosts.items():
        probed = f', probe: "{hosts["dealt1"]}:25"' if name == DEAD else ""
        lines.append(f"  {name}: {{address: {address}{probed}}}")
    lines.append("pools:")
    for pool, number in POOLS.items():
        members = ", ".join(f"{pool}{host}" for host in range(1, number + 1))
        lines.append(f"  {pool}: {{hosts: [{members}], check: smtp}}")
    lines.append("records:")
    for pool in POOLS:
        owner = "@" if pool == "main" else pool
        lines.append(f'  "{owner}": {{A: {{pool: {pool}}}, MX: {{pool: {pool}, preference: 10}}}}')
    return (
        "\n".join(lines)
        + f"""
local: [own.example]
classes:
  bulk: [{{header: List-Unsubscribe}}, {{header: Precedence, value: "bulk|list"}}]
  tx: [{{header: X-Class, value: tx}}]
routes:
  - {{recipient: ["vip@example.net", "*.bank.example", "a&b=c%d@odd.example"], use: fast}}
  - {{recipient: dealt.example, use: dealt, deal: host}}
  - {{sender: "news@*", use: bulk, port: 587}}
  - {{class: tx, use: fast}}
  - {{class: bulk, use: bulk, port: 587}}
  - {{client: {SLOW_CLIENT}/32, use: bulk}}
  - {{size: over 50KB, use: bulk}}
  - {{sender: "<>", use: fast}}
  - {{use: "@"}}
"""
    )


KINDS = {
    "plain": (Mail("", ("x@else.example",)), "main"),
    "address": (Mail("", ("VIP@example.net",)), "fast"),
    "below": (Mail("", ("x@a.bank.example",)), "fast"),
    "odd": (Mail("", ("a&b=c%d@odd.example",)), "fast"),
    "dealt": (Mail("", ("x@dealt.example",)), "dealt"),
    "dealt-next": (Mail("", ("y@dealt.example",)), "dealt"),
    "sender": (Mail("", ("x@else.example",), "news@shop.example"), "bulk"),
    "bounce": (Mail("", ("x@else.example",), ""), "fast"),
    "class": (Mail("", ("x@else.example",), headers=(("X-Class", "TX"),)), "fast"),
    "no-class": (Mail("", ("x@else.example",), headers=(("X-Class", "txt"),)), "main"),
    "bulk": (Mail("", ("x@else.example",), headers=(("List-Unsubscribe", "<mailto:u@a.example>"),)), "bulk"),
    "list": (Mail("", ("x@else.example",), headers=(("Precedence", "list"),)), "bulk"),
    "client": (Mail("", ("x@else.example",), client=SLOW_CLIENT), "bulk"),
    "size": (Mail("", ("x@else.example",), size=60_000), "bulk"),
    "two": (Mail("", ("vip@example.net", "y@else.example")), ""),
}
"""Messages, and the pool whose hosts take them."""


class World(NamedTuple):
    """A server, the hosts of its pools, and a file by which programs find its DNS."""

    server: Server
    hosts: Hosts
    resolver: Path

    def start(self, *words: str | Path, said: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Start a program that looks names up at the server."""
        mount = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return subprocess.Popen(
            ["unshare", "-m", "sh", "-c", mount, self.resolver, *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Have nobody answer routes, while DNS goes on."""
        pids = (self.server.process.pid, self.server.accepting(ROUTES.port))
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in reversed(pids):
                os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mtas")
    (folder / "geodns.yaml").write_text(f"routes_listen: [{ROUTES}, unix:{SOCKET}]\n")
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {DNS}\noptions timeout:2 attempts:2\n")
    with alone_on_loopback(), hosts_open() as hosts, ExitStack() as stack:
        for name, address in addresses().items():
            ip("addr", "add", f"{address}/32", "dev", "lo")
            if name != DEAD:
                hosts.open(name, address)
            if name.startswith("bulk"):
                hosts.open(name, address, 587)
        server = stack.enter_context(
            serving(
                folder,
                {NAME: zone_text()},
                listen=(f"{DNS}:53",),
                arguments=("--config", str(folder / "geodns.yaml")),
                fresh=True,
            )
        )
        wait_until(
            lambda: {one["state"] for one in server.status()["hosts"][NAME].values()} == {"up"},
            what="all hosts are up",
        )
        yield World(server, hosts, resolver)


def plan_in(folder: Path, where: Listen | Path = ROUTES) -> Plan:
    zone = read_zone(folder / f"{NAME}.yaml").zone
    assert zone is not None
    return plan_of(zone, Asked(where))


def hand_in(port: int, mails: Iterable[Mail]) -> None:
    """Hand each message in by a session of its own, from the client's address."""
    for mail in mails:
        with smtplib.SMTP(
            "127.0.0.1", port, local_hostname="client.example", timeout=30, source_address=(mail.client, 0)
        ) as session:
            refused = session.sendmail(mail.sender, mail.recipients, mail.text().replace(b"\n", b"\r\n"))
            assert not refused, refused


def everything_goes_right(world: World, port: int, name: str) -> None:
    """Hand in a message of each kind, and see who took it."""
    mails = [(mail._replace(number=f"{name}/{kind}"), pool) for kind, (mail, pool) in KINDS.items()]
    hand_in(port, [mail for mail, _ in mails])
    arrived = world.hosts.wait_for(f"{name}/", len(KINDS) + 1)
    expected = [
        (mail.number, recipient.lower(), pool or ("fast" if recipient.startswith("vip") else "main"))
        for mail, pool in mails
        for recipient in mail.recipients
    ]
    assert sorted((one.number, one.recipient.lower(), one.host[:-1]) for one in arrived) == sorted(expected)
    by_class = {one.port for one in arrived if one.number.endswith(("/sender", "/bulk", "/list"))}
    assert by_class == {587}
    assert {one.host for one in arrived if one.host.startswith("dealt")} == {"dealt1"}


def the_static_way_while_nobody_answers(world: World, port: int, name: str) -> None:
    """By class where headers tell it, else by the last rule's name."""
    static = {"plain": "main", "address": "main", "class": "fast", "bulk": "bulk", "sender": "main"}
    with world.hanging():
        hand_in(port, [KINDS[kind][0]._replace(number=f"{name}-away/{kind}") for kind in static])
        arrived = world.hosts.wait_for(f"{name}-away/", len(static))
    assert {one.number.partition("/")[2]: one.host[:-1] for one in arrived} == static
    hand_in(port, [KINDS["address"][0]._replace(number=f"{name}-back/")])
    (back,) = world.hosts.wait_for(f"{name}-back/")
    assert back.host.startswith("fast")


EXIM_CONF = """\
primary_hostname = mta.example.com
spool_directory = {folder}/spool
log_file_path = {folder}/log-%s
keep_environment =
exim_path = {exim}
daemon_smtp_ports = {port}
local_interfaces = <; 127.0.0.1
tls_advertise_hosts =
message_size_limit = 1M
domainlist local_domains = here.example
acl_smtp_rcpt = takes
begin acl
takes:
  require verify = recipient
  accept
begin routers
{routers}
own:
  driver = accept
  transport = box
begin transports
remote_smtp:
  driver = smtp
  hosts_try_fastopen =
box:
  driver = appendfile
  file = {folder}/box
  user = Debian-exim
begin retry
* * F,2h,1m
"""


@pytest.fixture
def exim_port(world: World) -> Iterator[tuple[int, Path]]:
    with tempfile.TemporaryDirectory(prefix="geodns-exim-") as name:
        folder, port = Path(name), free_port()
        (folder / "spool").mkdir()
        (section,) = exim(plan_in(world.server.zones))
        text = EXIM_CONF.format(folder=folder, exim=EXIM, port=port, routers=section.text)
        (folder / "conf").write_text(text)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o644)  # for its own user, whatever that is called
        process = world.start(str(EXIM), "-C", folder / "conf", "-bdf", "-oP", folder / "spool/pid")
        log = folder / "log-main"
        try:
            wait_until(lambda: log.exists() and "daemon started" in log.read_text(), what="Exim starts")
            yield port, folder
        finally:
            _end(process)
            print(*(path.read_text() for path in folder.glob("log-*")))  # noqa: T201 - shown where it fails


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(not exim_starts(), reason="no Exim here: apt-get install exim4")
def test_exim(world: World, exim_port: tuple[int, Path]) -> None:
    port, folder = exim_port
    everything_goes_right(world, port, "exim")
    newsletter = (("List-Unsubscribe", "<mailto:u@a.example>"),)
    hand_in(
        port, [Mail("own/1", ("ann@here.example",), headers=newsletter), Mail("own/2", ("a@own.example",))]
    )
    box = folder / "box"
    wait_until(lambda: box.exists() and box.read_text().count("X-Number: own/") == 2, what="local mail")
    assert not world.hosts.of("own/")
    the_static_way_while_nobody_answers(world, port, "exim")
    log = (folder / "log-main").read_text()
    for bad in ("**", "Frozen", "failed", "panic"):
        assert bad not in log


@pytest.fixture
def haraka_port(world: World) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="geodns-haraka-") as name:
        folder, port = Path(name) / "haraka", free_port()
        subprocess.run([str(HARAKA), "-i", folder], check=True, capture_output=True, timeout=60)
        loaded, outbound, plugin = haraka(plan_in(world.server.zones, world.server.zones.parent / SOCKET))
        (folder / "config/plugins").write_text("submits\n" + loaded.text)
        (folder / "config/outbound.ini").write_text(outbound.text + "local_mx_ok=true\n")
        (folder / plugin.where).write_text(plugin.text)
        (folder / "plugins/submits.js").write_text(
            "exports.hook_connect = (next, connection) => { connection.relaying = true; next() }\n"
            "exports.hook_rcpt = (next) => next(OK)\n"
        )
        (folder / "config/smtp.ini").write_text(f"listen=127.0.0.1:{port}\nnodes=0\n")
        (folder / "config/me").write_text("mta.example.com\n")
        (folder / "config/host_list").write_text("here.example\n")
        (folder / "config/loglevel").write_text("NOTICE\n")
        log = folder / "log"
        with log.open("wb") as said:
            process = world.start(str(HARAKA), "-c", folder, said=said)
            try:
                wait_until(lambda: _greets(port), what=f"Haraka starts: {log.read_text()}")
                yield port
            finally:
                _end(process)
                print(log.read_text())  # noqa: T201 - shown where the test fails


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.skipif(
    HARAKA is None,
    reason="no Haraka here: npm install --omit=optional --ignore-scripts Haraka, or .ci/run",
)
def test_haraka(world: World, haraka_port: int) -> None:
    everything_goes_right(world, haraka_port, "haraka")
    the_static_way_while_nobody_answers(world, haraka_port, "haraka")


@pytest.mark.skipif(LUA is None, reason="no Lua here: apt-get install lua5.4")
def test_what_kumomta_asks_is_understood(world: World, tmp_path: Path) -> None:
    """The keys and kinds of its question; its JSON and HTTP are KumoMTA's own."""
    script = """
    local _, asked = receive { recipient = 'x@else.example', headers = { ['x-class'] = { 'tx' } } }
    for key, value in pairs(asked) do print(key, math.type(value) or 'text', value) end
    """
    printed = run(plan_in(world.server.zones), script, tmp_path)
    rows = [line.split("\t") for line in printed.splitlines()]
    question = {key: int(value) if kind == "integer" else value for key, kind, value in rows}
    assert question["class"] == "tx"
    assert isinstance(question["size"], int)
    request = Request(
        f"http://{ROUTES}/route", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=10) as said:
        answer = json.load(said)
    assert (answer["rule"], answer["name"]) == (4, f"fast.{NAME}")
    assert answer["transport"] == f"relay:[fast.{NAME}]:25"
