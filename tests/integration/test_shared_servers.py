"""Three servers and a Redis: they serve one judgement, take one another's orders, and say who is alone."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Server, serving, zone_text
from tests.integration.mailhosts import MailHost, mail_hosts, polite, wait_until
from tests.integration.product import SHARED_LASTING, SHARED_LOOK
from tests.integration.redises import RedisServer, needs_redis, redis_server

ZONE = "out.example.com"
NODES = ("ns1", "ns2", "ns3")
SOURCES = {node: f"127.0.0.{number}" for number, node in enumerate(NODES, 11)}
CHECK = (
    "{{interval: 1s, fast_interval: 200ms, rise: 1, fall: 2, connect_timeout: 2s, greeting_timeout: 2s, "
    "source: {}}}"
)

CONSTANTS = {SHARED_LASTING: 1.0, SHARED_LOOK: 1.0}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as one:
        yield one


@pytest.fixture
def hosts() -> Iterator[dict[str, MailHost]]:
    with mail_hosts("mta1", "mta2", "mta3") as some:
        yield some


def refuses(*nodes: str) -> Callable[[socket.socket, str], None]:
    """Refuse these servers' probes, and no others."""

    def manners(connection: socket.socket, name: str) -> None:
        if connection.getpeername()[0] not in {SOURCES[node] for node in nodes}:
            polite(connection, name)

    return manners


@needs_redis
def test_three_servers_serve_one_judgement(
    tmp_path: Path, hosts: dict[str, MailHost], redis: RedisServer
) -> None:
    servers: dict[str, Server] = {}
    with contextlib.ExitStack() as stack:
        for node in NODES:
            folder = tmp_path / node
            folder.mkdir()
            text = f'node: {node}\nshared: {{url: "{redis.tcp_url}", group: out}}\n'
            (folder / "geodns.yaml").write_text(text)
            zone = zone_text(hosts, check=CHECK.format(SOURCES[node]))
            servers[node] = stack.enter_context(serving(folder, {ZONE: zone}, constants=CONSTANTS))
        first, _, third = servers.values()
        for server in servers.values():
            wait_until(lambda: server.status()["shared"]["known"] == 3, what="all are heard")  # noqa: B023
            shown = server.status()["shared"]
            assert (shown["connected"], shown["group"], shown["mode"]) == (True, "out", "quorum")
            assert shown["heard"] == list(NODES)

        # One alone cannot take a host out.
        hosts["mta1"].manners = refuses("ns3")
        wait_until(lambda: third.status()["shared"]["alone"], what="ns3 knows that it is alone")
        wait_until(lambda: first.status()["shared"]["alone"], what="and the others do")
        (lone,) = first.status()["shared"]["alone"]
        assert (lone["server"], lone["says"], lone["hosts"]) == ("ns3", "down", [f"mta1.{ZONE}"])
        assert lone["why"]
        assert f"ns3 alone says down: {lone['why']}" in first.command("explain", ZONE).stdout
        assert {server.state_of("mta1") for server in servers.values()} == {"up"}

        # Two of three can.
        hosts["mta1"].manners = refuses("ns2", "ns3")
        for server in servers.values():
            wait_until(lambda: server.state_of("mta1") == "down", what="all take it out")  # noqa: B023
        hosts["mta1"].manners = polite
        for server in servers.values():
            wait_until(lambda: server.state_of("mta1") == "up", what="all bring it back")  # noqa: B023

        # An order for one holds on all.
        first.order("mta2", "drain", ZONE, reason="disk")
        assert {server.host("mta2")["forced"] for server in servers.values()} == {"drained"}
        third.order("mta2", "undrain", ZONE)
        assert {server.host("mta2")["forced"] for server in servers.values()} == {None}
        assert not any(server.status()["warnings"] for server in servers.values())

        # Without Redis nothing changes, and an order says that it was not checked.
        redis.kill()
        for server in servers.values():
            wait_until(lambda: not server.status()["shared"]["connected"], what="all miss it")  # noqa: B023
        assert {server.status()["shared"]["mode"] for server in servers.values()} == {"frozen"}
        done = first.order("mta3", "drain", ZONE, reason="disk")
        assert done["unasked"] == ["ns2", "ns3"]
        assert first.command("shared", "status").returncode == 1
        assert {server.state_of("mta1") for server in servers.values()} == {"up"}

        # It comes back empty: all agree again, on the order too.
        redis.start()
        for server in servers.values():
            wait_until(lambda: server.status()["shared"]["heard"] == list(NODES), what="all are heard")  # noqa: B023
            wait_until(lambda: server.host("mta3")["forced"] == "drained", what="the order is taken")  # noqa: B023
        assert {server.status()["shared"]["mode"] for server in servers.values()} == {"quorum"}
        shown = first.command("shared", "status")
        assert "hears 3 of 3 servers: ns1, ns2, ns3" in shown.stdout
        assert shown.returncode == 0
