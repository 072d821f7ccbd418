"""Mail hosts that misbehave, each in its way and all together: what is dealt, and what is said of them."""

import contextlib
import itertools
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dns.rcode
import pytest

from tests.integration.cluster import QUICK, Server, serving, zone_text
from tests.integration.hammer import Hammer
from tests.integration.mailhosts import MailHost, Manners, greets, mail_hosts, reset, silent, wait_until

ZONE = "lab.example"
UNHELD = """\
pools: {main: {hosts: '*', check: smtp, hold: 0}}
records: {"@": {pool: main, MX: {pool: main}}}"""
"""A pool that may fail as one without the prober's being suspected for a while."""


def slow(connection: socket.socket, name: str) -> None:
    """Greet so slowly that no time limit for silence would ever end it."""
    for octet in f"220 {name} {'x' * 400}\r\n".encode():
        connection.sendall(bytes((octet,)))
        time.sleep(0.1)


def flood(connection: socket.socket, name: str) -> None:
    """Greet with ten megabytes and no end of line."""
    connection.sendall(b"220 " + name.encode())
    for _ in range(160):
        connection.sendall(b"x" * 65536)


def endless(connection: socket.socket, name: str) -> None:
    """Greet with lines that never come to the last one."""
    for number in itertools.count():
        connection.sendall(f"220-{name} has more to say ({number})\r\n".encode())


def wide(connection: socket.socket, name: str) -> None:
    """Greet in UTF-16."""
    connection.sendall(f"220 {name} ESMTP\r\n".encode("utf-16"))
    connection.recv(100)


def leaves(connection: socket.socket, name: str) -> None:
    """Greet and close."""
    connection.sendall(f"220 {name} ESMTP\r\n".encode())


def leaves_without_a_word(connection: socket.socket, name: str) -> None:
    """Close at once."""
    del connection, name


def deaf(connection: socket.socket, name: str) -> None:
    """Greet and answer nothing."""
    connection.sendall(f"220 {name} ESMTP\r\n".encode())
    while connection.recv(4096):
        pass


def web(connection: socket.socket, name: str) -> None:
    """Be a web server."""
    del name
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def nul(connection: socket.socket, name: str) -> None:
    """Greet with what a terminal should not see."""
    del name
    connection.sendall(b"220 \x1b[2J\x07\xff\xfe\r\n")
    connection.recv(100)
    connection.sendall(b"500 \x1b[31m\r\n")


HOSTS: dict[str, tuple[Manners, str, str]] = {
    # What it does, the state that it ends in, and what of the detail tells why.
    "silent": (silent, "down", "timed out"),
    "slow": (slow, "down", "timed out"),
    "flood": (flood, "down", "too long"),
    "endless": (endless, "down", "too long"),
    "reset": (reset, "down", "reset by peer"),
    "wide": (wide, "down", "SMTP"),
    "web": (web, "down", "SMTP"),
    "leaves": (leaves, "down", "while waiting for the reply to EHLO"),
    "mute": (leaves_without_a_word, "down", "closed"),
    "deaf": (deaf, "down", "the reply to EHLO"),
    "nul": (nul, "down", "500"),
    "busy": (greets("421 too busy"), "shedding", "421 too busy"),
    "refusing": (greets("554 no mail here"), "down", "554 no mail here"),
    "teaser": (greets("220-wait", "554 not you"), "down", "554 wait not you"),
    "chatty": (greets(*["220-hello"] * 20, "220 chatty"), "up", "220"),
}


@pytest.fixture(scope="module")
def misfits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose pool has one host of each kind, and two that are well."""
    with mail_hosts("good1", "good2", *HOSTS) as hosts:
        for name, (manners, _, _) in HOSTS.items():
            hosts[name].manners = manners
        # They all fail at once, and yet it is not the prober's fault.
        with serving(tmp_path_factory.mktemp("misfits"), {ZONE: zone_text(hosts, more=UNHELD)}) as server:
            yield server


@pytest.mark.parametrize(
    ("name", "state", "why"), [(name, *rest[1:]) for name, rest in HOSTS.items()], ids=HOSTS
)
def test_a_host_that_misbehaves(misfits: Server, name: str, state: str, why: str) -> None:
    host = wait_until(
        lambda: (one := misfits.host(name))["state"] == state and one, what=f"{name} is {state}"
    )
    (check,) = host["checks"]
    assert why in check["detail"], check
    assert check["detail"].isprintable()
    assert len(check["detail"]) < 400
    # Two seconds to connect and two to be greeted, as the zone says; a busy machine may add its own.
    assert check["rtt_ms"] is None or check["rtt_ms"] < 10_000


def test_the_others_are_dealt_meanwhile(misfits: Server) -> None:
    well = {"good1", "good2", "chatty"}
    wait_until(
        lambda: set(misfits.status()["pools"][ZONE]["main"]["live"]) == well, what="only those that are well"
    )
    addresses = {misfits.host(name)["addresses"][0] for name in well}
    assert misfits.seen(ZONE) == addresses
    assert all(misfits.state_of(name) == "up" for name in well)
    for name in HOSTS.keys() - well:
        # Whatever a host does, who asks for it by name finds it: HELO, PTR and TLSA depend on that.
        assert misfits.values(f"{name}.{ZONE}") == misfits.host(name)["addresses"]


# --- everybody down ------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_start", [True, False], ids=["from the start", "later"])
def test_everybody_down(tmp_path: Path, at_start: bool) -> None:
    """A sender that gets an address queues its mail; one that is told there is none may bounce it."""
    more = """\
pools:
  main: {hosts: [mta1, mta2], check: smtp}
  strict: {hosts: [mta1, mta2], check: smtp, when_down: servfail}
records:
  "@": {A: {pool: main}, MX: {pool: main, preference: 10}}
  strict: {pool: strict}
"""
    with mail_hosts("mta1", "mta2") as hosts:
        if at_start:
            for host in hosts.values():
                host.close()
        with serving(tmp_path, {ZONE: zone_text(hosts, more=more)}) as server, Hammer(server, ZONE) as load:
            for host in hosts.values():
                host.close()

            def pools() -> dict[str, str | None]:
                shown = server.status()["pools"][ZONE]
                return {name: pool["last_resort"] for name, pool in shown.items()}

            wait_until(lambda: pools() == {"main": "down", "strict": "servfail"}, what="the last resort")
            assert server.seen(ZONE) == {"192.0.2.1", "192.0.2.2"}
            assert {value.split()[1] for value in server.seen(ZONE, "MX")} == {
                f"mta1.{ZONE}.",
                f"mta2.{ZONE}.",
            }
            assert server.ask(f"strict.{ZONE}").rcode() == dns.rcode.SERVFAIL
            assert server.request("/readyz")[0] == 200
            hosts["mta2"].open()
            wait_until(lambda: pools() == {"main": None, "strict": None}, what="mta2 is back")
            wait_until(lambda: server.seen(ZONE) == {"192.0.2.2"}, what="mta2 alone is dealt")
            load.more()
            assert load.problems == []


def test_half_dead(tmp_path: Path) -> None:
    """Hosts that have lost IPv4 alone: A gets the fallback or the last resort, AAAA and MX go on."""
    with mail_hosts("spare", host="127.0.0.1") as spare, contextlib.ExitStack() as stack:
        six = MailHost("half", "::1").open()
        stack.callback(six.end)
        text = f"""\
ns: {{ns1: 192.0.2.53}}
checks:
  smtp: {QUICK.replace("{", "{port: " + str(six.address[1]) + ", ", 1)}
hosts:
  half: {{address: [127.0.0.1, "::1"]}}
  spare: {{address: 192.0.2.9, probe: "{spare["spare"].endpoint}"}}
pools:
  main: {{hosts: [half], check: smtp, fallback: reserve}}
  alone: {{hosts: [half], check: smtp}}
  reserve: {{hosts: [spare], check: smtp}}
records:
  "@": {{pool: main, MX: {{pool: main, preference: 10}}}}
  alone: {{pool: alone, MX: {{pool: alone, preference: 10}}}}
"""
        with serving(tmp_path, {ZONE: text}) as server:
            families = {"A": "down", "AAAA": "up"}
            wait_until(
                lambda: server.status()["hosts"][ZONE]["half"]["families"] == families, what="half dead"
            )
            alone = f"alone.{ZONE}"
            wait_until(lambda: server.seen(ZONE) == {"192.0.2.9"}, what="the fallback")
            assert server.seen(ZONE, "AAAA") == {"::1"}
            assert server.seen(alone) == {"127.0.0.1"}, "the last resort, no NODATA"
            assert server.seen(alone, "AAAA") == {"::1"}
            (beside,) = server.ask(alone, "MX").additional
            assert [str(record) for record in beside] == ["::1"], "MX brings live addresses alone"
            shown = server.command("status")
            assert "up, IPv4 down" in shown.stdout
            text = f"host half.{ZONE}: down on IPv4 alone (127.0.0.1)"
            wait_until(lambda: any(one.startswith(text) for one in server.status()["warnings"]), what=text)
            events = server.request("/api/v1/events?limit=100")[1]
            assert text in str(events)


def test_drained_to_the_last(tmp_path: Path) -> None:
    """Who drains one host after the other is left with answers all the same."""
    with mail_hosts("mta1", "mta2") as hosts, serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
        server.order("mta1", "drain", ZONE)
        assert server.seen(ZONE) == {"192.0.2.2"}
        server.order("mta2", "drain", ZONE)
        assert server.status()["pools"][ZONE]["main"]["last_resort"] == "drained"
        assert server.seen(ZONE) == {"192.0.2.1", "192.0.2.2"}


# --- five hundred at once ------------------------------------------------------------------------------


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that, on every address of 127.0.0.0/8, takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen(4096)
        over = threading.Event()
        taken: list[socket.socket] = []

        def accept() -> None:
            listener.settimeout(0.2)
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    taken.append(listener.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()
            for one in taken:
                one.close()


def test_five_hundred_hosts_that_time_out_at_once(tmp_path: Path) -> None:
    """The loop that judges them goes on answering, and so do the workers."""
    lines = ["ns: {ns1: 192.0.2.53}", "checks:"]
    lines += [
        "  smtp: {interval: 1s, fast_interval: 200ms, rise: 1, fall: 1, timeout: 2s, greeting_timeout: 1s}"
    ]
    with mail_hosts("well") as hosts, black_hole() as port:
        lines += ["hosts:", f'  well: {{address: 192.0.2.1, probe: "{hosts["well"].endpoint}"}}']
        lines += [
            f"  h{number}: {{address: 198.51.{number // 250}.{number % 250 + 1}, "
            f'probe: "127.1.{number // 250}.{number % 250 + 1}:{port}"}}'
            for number in range(500)
        ]
        lines.append(UNHELD)
        with serving(tmp_path, {ZONE: "\n".join(lines)}) as server, Hammer(server, ZONE) as load:
            wait_until(
                lambda: server.status()["pools"][ZONE]["main"]["live"] == ["well"], 30, "500 hosts are down"
            )

            def percentile() -> float:
                """The time that 95 of 100 requests are within; all 500 are probed once a second meanwhile."""
                took = []
                for _ in range(60):
                    began = time.monotonic()
                    assert server.request("/healthz") == (200, "alive\n")
                    took.append(time.monotonic() - began)
                    time.sleep(0.02)
                return statistics.quantiles(took, n=20)[-1]

            # Other work on this machine may spoil a measurement, but hardly five in a row.
            measured = []
            for _ in range(5):
                measured.append(percentile())
                if measured[-1] < 0.1:
                    break
            assert min(measured) < 0.1, measured
            assert server.seen(ZONE) == {"192.0.2.1"}
            assert server.state_of("well") == "up"
            load.more()
            assert load.problems == []
