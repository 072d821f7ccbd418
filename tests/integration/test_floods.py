"""Floods and the query log with real processes: the workers hold one limit, and log what they are told."""

import json
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.rcode
import pytest

from tests.integration.cluster import Server, geodns, serving
from tests.integration.mailhosts import wait_until
from tests.integration.test_bad_days_processes import is_back

ZONE = "out.example.com"
TEXT = """\
ns: {ns1: 192.0.2.53}
hosts: {mta1: 192.0.2.1}
pools: {main: {hosts: mta1, check: none}}
records: {"@": {pool: main, MX: {pool: main, preference: 10}, TXT: hello}}
"""
"""A zone that probes nobody."""
RATE = 50
FLOOD = 3000
WORKERS = 3
LIMIT = f"rate_limit: {{per_second: {RATE}, slip: 2, exempt: 127.0.9.0/24, require_cookie: on}}\n"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("limited")
    (folder / "geodns.yaml").write_text(LIMIT)
    with serving(folder, {ZONE: TEXT}, workers=WORKERS) as running:
        yield running


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("plain"), {ZONE: TEXT}, workers=2) as running:
        yield running


def query(name: str = ZONE, rtype: str = "TXT", cookie: bytes | None = None) -> bytes:
    options: list[dns.edns.Option] = []
    if cookie is not None:
        options = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)]
    return dns.message.make_query(
        name, rtype, use_edns=-1 if cookie is None else 0, options=options
    ).to_wire()


class Flood:
    """What came back of a flood: answers in full, with TC, and with BADCOOKIE; the rest was dropped."""

    AHEAD = 100
    """Queries on their way that no buffer of the server is too small for."""

    def __init__(
        self,
        server: Server,
        source: str,
        packets: list[bytes],
        sockets: int = 24,
        *,
        all_answered: bool = False,
    ) -> None:
        """Send packets as fast as they are taken, from many ports so that every worker gets some.

        Where all are answered, no more are sent than the server has room for, however busy the machine is.
        """
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(sockets)]
        self.seen: Counter[str] = Counter()
        began = time.monotonic()
        try:
            for client in clients:
                client.bind((source, 0))
                client.connect(tuple(server.listen[0]))
                client.setblocking(False)
            for number, packet in enumerate(packets):
                clients[number % sockets].send(packet)
                if number % 20 == 19:  # the server's buffers must not be what drops them
                    self._read(clients)
                    time.sleep(0.002)
                    late = time.monotonic() + 10
                    while (
                        all_answered and number - self.seen.total() > self.AHEAD and time.monotonic() < late
                    ):
                        self._read(clients)
                        time.sleep(0.001)
            self.seconds = time.monotonic() - began
            quiet = time.monotonic() + 0.5
            while time.monotonic() < quiet:
                if self._read(clients):
                    quiet = time.monotonic() + 0.5
                time.sleep(0.01)
        finally:
            for client in clients:
                client.close()

    def _read(self, clients: list[socket.socket]) -> int:
        number = 0
        for client in clients:
            while True:
                try:
                    answer = client.recv(4096)
                except BlockingIOError:
                    break
                number += 1
                tc, badcookie = answer[2] & 0x02, answer[3] & 0x0F == dns.rcode.BADCOOKIE & 0x0F
                kind = "BADCOOKIE" if badcookie else "tc" if tc else "full"
                self.seen[kind] += 1
        return number


def ask(server: Server, source: str, packet: bytes) -> dns.message.Message | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.settimeout(2)
        client.connect(tuple(server.listen[0]))
        client.send(packet)
        try:
            return dns.message.from_wire(client.recv(4096))
        except TimeoutError:
            return None


def test_a_flood_is_limited_over_all_workers_together(limited: Server) -> None:
    before = limited.samples("geodns_rate_limited_total")
    flood = Flood(limited, "127.0.1.1", [query()] * FLOOD)
    expected = RATE * (1 + flood.seconds)
    assert 0.7 * expected <= flood.seen["full"] <= 1.15 * expected + 5, (flood.seen, flood.seconds)
    over = FLOOD - flood.seen["full"]
    assert 0.4 * over < flood.seen["tc"] < 0.6 * over

    # Others have not noticed anything, whether in another network, over TCP, exempt, or of another kind.
    for _ in range(10):
        answer = ask(limited, "127.0.2.1", query())
        assert answer is not None
        assert answer.answer
    assert all(limited.ask(ZONE, "TXT", tcp=True).answer for _ in range(20))
    exempt = Flood(limited, "127.0.9.1", [query()] * 600, all_answered=True)
    assert exempt.seen == {"full": 600}
    other = ask(limited, "127.0.1.1", query(rtype="SOA"))
    assert other is not None
    assert other.answer

    def counted() -> bool:
        after = limited.samples("geodns_rate_limited_total")
        by_action = {dict(key)["action"]: after[key] - before[key] for key in after}
        return (by_action["dropped"], by_action["truncated"]) == (over - flood.seen["tc"], flood.seen["tc"])

    wait_until(counted, what="every limited answer is counted")
    (warning,) = limited.status()["warnings"]
    assert re.match(r"answers are rate limited: \d+ dropped, \d+ truncated; most to 127\.0\.1\.0/24", warning)
    wait_until(lambda: "answers are rate limited: " in limited.log(), what="the log says so")
    assert limited.log().count("answers are rate limited: ") == 1, "once, and not for each packet"


def test_random_names_are_one_kind(limited: Server) -> None:
    flood = Flood(limited, "127.0.3.1", [query(f"x{number}.{ZONE}") for number in range(800)])
    assert flood.seen["full"] <= 1.15 * RATE * (1 + flood.seconds) + 5


def test_clients_with_cookies_come_through(limited: Server) -> None:
    flood = Flood(limited, "127.0.4.1", [query(cookie=b"cookies!")] * 600)
    assert 0.35 * 600 < flood.seen["BADCOOKIE"] < 0.65 * 600, "in the place of TC, and no more often"
    assert flood.seen["tc"] == 0
    told = next(one for _ in range(50) if (one := ask(limited, "127.0.4.1", query(cookie=b"cookies!"))))
    (cookie,) = [one.to_wire() for one in told.options]
    good = Flood(limited, "127.0.4.1", [query(cookie=cookie)] * 600, all_answered=True)
    assert good.seen == {"full": 600}
    forged = Flood(limited, "127.0.5.1", [query(cookie=cookie)] * 600)
    assert forged.seen["BADCOOKIE"] > 150, "it is good from one address only"


# --- the query log --------------------------------------------------------------------------------------


def switch(server: Server, *words: str, status: int = 0) -> str:
    done = geodns("querylog", *words, "--server", server.http)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def logged(server: Server, name: str) -> list[str]:
    return [line for line in server.log().splitlines() if "client 127." in line and name in line]


def test_the_query_log_is_switched_while_running(plain: Server) -> None:
    plain.ask(f"before.{ZONE}")
    assert switch(plain) == "the query log is off\n"
    shown = switch(plain, "on", "--zone", ZONE, "--client", "127.0.0.1", "--for", "5m")
    assert shown.startswith(f"the query log is on: {ZONE}; 127.0.0.1/32; every query; until 20")
    plain.ask(ZONE, "TXT")
    plain.ask(ZONE, "TXT", tcp=True)
    plain.ask(f"nope.{ZONE}", edns=1232)
    plain.ask("elsewhere.example")
    assert ask(plain, "127.0.0.2", query(f"client2.{ZONE}")) is not None
    wait_until(lambda: len(logged(plain, ZONE)) >= 3, what="three lines")
    assert switch(plain).endswith("(3 written, 0 dropped)\n")
    lines = [line.partition("client ")[2] for line in logged(plain, ZONE)]
    patterns = [
        rf"127\.0\.0\.1#\d+ udp: {ZONE} TXT IN - → NOERROR AA 1 answer \d+ bytes",
        rf"127\.0\.0\.1#\d+ tcp: {ZONE} TXT IN -T → NOERROR AA 1 answer \d+ bytes",
        rf"127\.0\.0\.1#\d+ udp: nope\.{ZONE} A IN -E\(0\) → NXDOMAIN AA 0 answers \d+ bytes",
    ]
    assert all(sum(re.fullmatch(pattern, line) is not None for line in lines) == 1 for pattern in patterns)
    assert not logged(plain, "before") + logged(plain, "elsewhere") + logged(plain, "client2")
    assert plain.metric("geodns_query_log_total", outcome="written") == 3

    assert switch(plain, "off") == "the query log is off (3 written, 0 dropped)\n"
    plain.ask(f"after.{ZONE}")
    time.sleep(1.5)
    assert not logged(plain, "after")
    assert len(logged(plain, ZONE)) == 3


def test_a_sample_of_the_queries_is_logged(plain: Server) -> None:
    switch(plain, "on", "--sample", "1/4")
    flood = Flood(plain, "127.0.6.1", [query(f"sampled.{ZONE}")] * 800, all_answered=True)
    assert flood.seen == {"full": 800}
    wait_until(lambda: len(logged(plain, "sampled")) > 100, what="some lines")
    time.sleep(1.5)
    assert 120 < len(logged(plain, "sampled")) < 290
    switch(plain, "off")


def test_it_ends_by_itself(plain: Server) -> None:
    switch(plain, "on", "--for", "1s")
    wait_until(lambda: switch(plain).startswith("the query log is off"), what="it is off")
    assert "the query log is off: its time is over" in plain.log()


def test_too_many_queries_are_dropped_from_the_log_and_counted(plain: Server) -> None:
    dropped = plain.metric("geodns_query_log_total", outcome="dropped")
    switch(plain, "on")
    flood = Flood(plain, "127.0.7.1", [query()] * 4000, sockets=1, all_answered=True)
    assert flood.seen == {"full": 4_000}, "answers wait for no log"
    time.sleep(1.0)
    shown = json.loads(plain.request("/api/v1/querylog")[1])
    assert shown["written"] + shown["dropped"] == 4_000
    assert plain.metric("geodns_query_log_total", outcome="dropped") - dropped == shown["dropped"]
    switch(plain, "off")


def test_while_control_hangs_the_log_waits_for_it_in_no_more_than_a_little_memory(plain: Server) -> None:
    switch(plain, "on")
    control = plain.control()
    before = memory(plain.process.pid)
    os.kill(control, signal.SIGSTOP)
    try:
        long = query(f"{'.'.join('x' * 60 for _ in range(3))}.{ZONE}")
        flood = Flood(plain, "127.0.8.1", [long] * 12_000, all_answered=True)
        assert flood.seen == {"full": 12_000}, "answers wait for no log"
        assert memory(plain.process.pid) - before < 4 << 20
    finally:
        os.kill(control, signal.SIGCONT)

    def sums() -> bool:
        shown = json.loads(plain.request("/api/v1/querylog")[1])
        return bool(shown["written"] + shown["dropped"] == 12_000 and shown["written"] > 500)

    wait_until(sums, what="every query is written or counted as dropped")
    switch(plain, "off")


def memory(pid: int) -> int:
    """Bytes that a process has for itself."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) << 10 for size in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE))


def test_mistakes_are_told(plain: Server) -> None:
    assert "`sample`: '10' is no part of the queries" in switch(plain, "on", "--sample", "10", status=2)
    assert "'mta1' is no network" in switch(plain, "on", "--client", "mta1", status=2)


def test_the_settings_may_switch_it_on_and_programs_can_read_it(tmp_path: Path) -> None:
    text = f"query_log: {{zones: {ZONE}}}\nlog_format: json\nlog_level: warning\n"
    (tmp_path / "geodns.yaml").write_text(text)
    with serving(tmp_path, {ZONE: TEXT}, workers=1) as running:
        running.ask(f"first.{ZONE}", edns=1232)

        def line() -> dict[str, Any] | None:
            lines = [json.loads(each) for each in running.log().splitlines()]
            return next((each for each in lines if each["logger"] == "geodns.querylog"), None)

        found = wait_until(line, what="the first query is logged")
        assert found is not None
        says = f"udp: first.{ZONE} A IN -E(0) → NXDOMAIN AA 0 answers {found['size']} bytes"
        assert found["message"].endswith(says)
        shown = {key: found[key] for key in ("client", "qname", "qtype", "rcode", "do", "cookie", "flags")}
        assert shown == {
            "client": "127.0.0.1",
            "qname": f"first.{ZONE}",
            "qtype": "A",
            "rcode": "NXDOMAIN",
            "do": False,
            "cookie": "none",
            "flags": "-E(0)",
        }
        assert "until it is switched off" in switch(running)


def test_as_it_was_switched_it_stays_when_control_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "geodns.yaml").write_text("query_log: on\n")
    config = ("--config", str(tmp_path / "geodns.yaml"))

    def killed(server: Server) -> str:
        before = server.control()
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: is_back(server, but=before), 30, "another control process")
        return switch(server)

    with serving(tmp_path, {ZONE: TEXT}, arguments=config) as server:
        assert switch(server).startswith("the query log is on: all zones; ")
        switch(server, "off")
        assert killed(server) == "the query log is off\n"
        server.ask(f"off.{ZONE}")
        shown = switch(server, "on", "--zone", "bücher.example", "--sample", "1/8", "--for", "1h")
        assert "xn--bcher-kva.example" in shown
        start = shown.partition("; until")[0]
        assert killed(server).startswith(start)
        assert logged(server, f"off.{ZONE}") == []
    with serving(tmp_path, arguments=config) as server:
        assert switch(server).startswith("the query log is on: all zones; "), "a new start has the settings"
