"""The counters of a running server: all workers' together, exact, and not lost with a worker."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dns.rcode
import pytest

from tests.integration.cluster import Server, serving, zone_text
from tests.integration.mailhosts import MailHost, mail_hosts, wait_until

ZONE = "out.example.com"
OTHER = "in.example.com"
HOSTS = {f"192.0.2.{number}": f"mta{number}" for number in (1, 2, 3)}

Queries = Counter[tuple[str, str, str, str]]
"""By zone, type, rcode and transport."""
Dealt = Counter[tuple[str, str, str]]
"""By zone, pool and host."""

PLAN = [  # zone, name, type, over TCP, times
    (ZONE, ZONE, "A", False, 60),
    (ZONE, ZONE, "A", True, 9),
    (ZONE, ZONE, "MX", False, 20),
    (ZONE, f"alias.{ZONE}", "A", False, 11),
    (ZONE, f"mta1.{ZONE}", "A", False, 7),
    (ZONE, f"nope.{ZONE}", "A", False, 5),
    (ZONE, ZONE, "TXT", True, 4),
    (OTHER, OTHER, "A", False, 13),
    (OTHER, OTHER, "SOA", False, 3),
    ("", "elsewhere.example", "A", False, 6),
]


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, MailHost]]:
    with mail_hosts("mta1", "mta2", "mta3") as opened:
        yield opened


@pytest.fixture
def server(hosts: dict[str, MailHost], tmp_path: Path) -> Iterator[Server]:
    more = """\
pools:
  main: {hosts: [mta1, mta2], check: smtp}
  other: {hosts: "*", check: smtp, answers: 1}
records:
  "@": {A: {pool: main}, MX: {pool: other, preference: 10}}
  alias: {CNAME: "@"}
"""
    zones = {ZONE: zone_text(hosts, more=more), OTHER: zone_text(hosts)}
    with serving(tmp_path, zones, workers=2) as running:
        yield running


def run(server: Server, queries: Queries, dealt: Dealt) -> None:
    """Ask everything that is planned, and count what must be counted."""
    for zone, name, rtype, tcp, times in PLAN:
        for _ in range(times):
            answer = server.ask(name, rtype, tcp=tcp)
            queries[zone, rtype, dns.rcode.to_text(answer.rcode()), "tcp" if tcp else "udp"] += 1
            if name.startswith("mta") or rtype not in {"A", "MX"} or not answer.answer:
                continue
            pool = "other" if (zone, rtype) == (ZONE, "MX") else "main"
            for record in answer.answer[-1]:
                text = str(record)
                host = HOSTS.get(text) or text.rsplit(maxsplit=1)[-1].partition(".")[0]
                dealt[zone, pool, host] += 1


def shown_queries(server: Server) -> Queries:
    return Counter(
        {
            (labels["zone"], labels["type"], labels["rcode"], labels["transport"]): int(value)
            for key, value in server.samples("geodns_queries_total").items()
            for labels in (dict(key),)
        }
    )


def shown_dealt(server: Server) -> Dealt:
    return Counter(
        {
            (labels["zone"], labels["pool"], labels["host"]): int(value)
            for key, value in server.samples("geodns_answers_total").items()
            for labels in (dict(key),)
        }
    )


def restarts(server: Server) -> float:
    return server.metric("geodns_worker_restarts_total")


def test_counters_are_exact_and_outlive_their_workers(server: Server) -> None:
    queries: Queries = Counter()
    dealt: Dealt = Counter()
    run(server, queries, dealt)
    wait_until(lambda: shown_queries(server) == queries, what=f"{queries} is shown\n{shown_queries(server)}")
    assert shown_dealt(server) == dealt
    for number, pid in enumerate(server.workers(), 1):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda number=number: restarts(server) == number, what="the restart is counted")  # type: ignore[misc]
    wait_until(lambda: len(server.workers()) == 3, what="all are back")
    assert shown_queries(server) == queries
    assert shown_dealt(server) == dealt
    run(server, queries, dealt)
    wait_until(lambda: shown_queries(server) == queries, what="what was asked afterwards came to it")
    assert shown_dealt(server) == dealt


def test_hosts_and_probes_are_measured(server: Server, hosts: dict[str, MailHost]) -> None:
    def state(host: str) -> dict[str, float]:
        found = server.samples("geodns_host_state", zone=ZONE, host=host)
        return {dict(key)["state"]: value for key, value in found.items()}

    assert state("mta1") == {"up": 1, "down": 0, "shedding": 0, "unknown": 0}
    assert server.metric("geodns_host_effective_weight", zone=ZONE, host="mta1") == 1
    assert server.metric("geodns_ready") == 1
    assert server.metric("geodns_build_info", backend="python") == 1
    assert server.metric("geodns_probes_total", check="smtp", outcome="ok") >= 3
    assert server.metric("geodns_probe_duration_seconds_count", check="smtp") >= 3
    recompiled = server.metric("geodns_recompile_seconds_count")
    hosts["mta1"].close()
    wait_until(lambda: state("mta1")["down"] == 1, what="mta1 is down")
    assert server.metric("geodns_host_effective_weight", zone=ZONE, host="mta1") == 0
    assert server.metric("geodns_host_transitions_total", zone=ZONE, host="mta1", to="down") == 1
    assert server.metric("geodns_probes_total", check="smtp", outcome="failure") >= 2
    assert server.metric("geodns_recompile_seconds_count") > recompiled
    server.order("mta2", "drain", ZONE)
    assert server.metric("geodns_host_forced", zone=ZONE, host="mta2", forced="drained") == 1
    hosts["mta1"].open()
    wait_until(lambda: state("mta1")["up"] == 1, what="mta1 is up again")
    assert server.metric("geodns_host_transitions_total", zone=ZONE, host="mta1", to="up") == 1


def test_every_metric_says_what_it_is(server: Server) -> None:
    text = server.request("/metrics")[1]
    named = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert named == {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert all(name.startswith(("geodns_", "process_")) for name in named)
