"""Simulations against a running server: what dig is answered afterwards, client by client."""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import Server, serving, zone_text
from tests.integration.mailhosts import mail_hosts, wait_until

ZONE = "out.example.com"
TEXT = """
ns: {ns1: 192.0.2.53}
ttl: 5
hosts:
  main1: 192.0.2.1
  main2: 192.0.2.2
  near1: 192.0.2.3
  near2: 192.0.2.4
  near3: 192.0.2.5
  trial1: 192.0.2.6
pools:
  main: {hosts: "main*", check: none, answers: 1}
  near: {hosts: "near*", check: none, pick: client}
  trial: {hosts: trial1, check: none}
records:
  "@": {A: {pool: [{subnets: 203.0.0.0/16, use: near}, main]}}
experiments:
  new: {name: "@", pool: main, arms: {old: {share: 60, pool: main}, new: {share: 40, pool: trial}}}
"""
HOSTS = {
    f"192.0.2.{number}": host
    for number, host in enumerate(("main1", "main2", "near1", "near2", "near3", "trial1"), 1)
}
NETWORKS = [f"{start}.{number}.0/24" for start in ("203.0", "198.51") for number in range(12)]

pytestmark = pytest.mark.skipif(shutil.which("dig") is None, reason="no dig here: apt-get install dnsutils")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, {ZONE: TEXT}) as running:
        yield running


def dig(server: Server, network: str) -> str:
    """Return the host that dig is answered for a network."""
    host, port = server.listen[0]
    command = [
        "dig",
        f"@{host}",
        "-p",
        str(port),
        "+norec",
        "+tries=1",
        "+short",
        f"+subnet={network}",
        ZONE,
        "A",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    (found,) = {HOSTS[word] for word in done.stdout.split() if word in HOSTS}
    return found


def simulated(server: Server, *words: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(server.command("simulate", ZONE, "--json", *words).stdout)["names"][0]
    return shown


def first(shown: dict[str, Any]) -> dict[str, float]:
    return {host["host"]: host["first"] for host in shown["hosts"]}


def test_the_query_log_and_a_list_are_dealt_as_dig_was(server: Server, tmp_path: Path) -> None:
    server.command("querylog", "on")
    asked = {network: dig(server, network) for network in NETWORKS}
    wait_until(lambda: server.log().count(f": {ZONE} A IN ") >= len(NETWORKS), 20, "the log has them")
    (tmp_path / "log").write_text(server.log())
    shown = simulated(server, "--log", str(tmp_path / "log"))
    assert shown["queries"] == len(NETWORKS)
    assert [rule["share"] for rule in shown["rules"]] == [0.5, 0.5]
    got = Counter(asked.values())
    # What goes by the client's network is told to the host, and what is dealt in turn to the pool.
    parts = first(shown)
    for host in ("near1", "near2", "near3", "trial1"):
        assert round(parts.get(host, 0.0) * len(NETWORKS), 6) == got[host]
    assert parts["main1"] == pytest.approx(parts["main2"])
    arms = {arm["arm"]: arm["share"] for arm in shown["arms"]}
    assert arms["new/new"] == pytest.approx(parts["trial1"])
    for network, host in list(asked.items())[::4]:
        (tmp_path / "one").write_text(f"127.0.0.1 ecs={network}\n")
        assert host in first(simulated(server, "--clients", str(tmp_path / "one")))


def test_a_weight_is_simulated_before_it_is_given(server: Server) -> None:
    now = first(simulated(server))
    assert now["main1"] == pytest.approx(now["main2"])
    before = first(simulated(server, "--weight", "main1=0"))
    assert "main1" not in before
    assert before["main2"] == pytest.approx(now["main1"] + now["main2"])
    assert first(simulated(server)) == now, "nothing has changed"
    server.command("weight", "main1", "0")
    assert first(simulated(server)) == before
    assert "main1" not in {dig(server, network) for network in NETWORKS}
    printed = server.command("simulate", "--down", "main2").stdout
    assert f"main2.{ZONE} has no check: no probe finds it down" in printed
    refused = server.command("simulate", "--down", "nobody")
    assert (refused.returncode, "no host nobody" in refused.stderr) == (1, True)


def test_a_host_is_simulated_down_before_it_is(tmp_path: Path) -> None:
    more = "pools: {main: {hosts: [a, b], fallback: help}, help: {hosts: [c]}}\n"
    more += 'records: {"@": {A: {pool: main}}}\n'
    with (
        mail_hosts("a", "b", "c") as hosts,
        serving(tmp_path, {ZONE: zone_text(hosts, weights={"a": 3}, more=more)}) as server,
    ):
        wait_until(lambda: {server.state_of(host) for host in hosts} == {"up"}, 20, "all are up")
        before = simulated(server, "--down", "a")
        assert before["pools"][0]["using"] == ["main", "help"]
        assert set(first(simulated(server))) == {"a", "b"}
        hosts["a"].close()
        wait_until(lambda: server.state_of("a") == "down", 20, "a is down")
        after = simulated(server)
        for key in ("hosts", "pools", "ttl"):
            assert after[key] == before[key]
        assert server.seen(ZONE) == {"192.0.2.2", "192.0.2.3"}
        assert simulated(server, "--down", "*")["pools"][0]["last_resort"] == "down"
