"""A real resolver that sends client subnets: each client gets its view, and the cache stays truthful."""

import shutil
from collections import Counter
from collections.abc import Iterator

import dns.edns
import dns.message
import dns.query
import pytest

from tests.integration.cluster import ANSWER, Server, serving
from tests.integration.resolvers import WITH_SUBNETS, Resolver, resolving

NAME = "views.example.com"
TEXT = """
ttl: 600
ns: {ns1: 192.0.2.53}
hosts: {a: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3, d1: 192.0.2.11, d2: 192.0.2.12, d3: 192.0.2.13}
pools:
  a: {hosts: [a], check: none}
  b: {hosts: [b], check: none}
  c: {hosts: [c], check: none}
  near: {hosts: [d1, d2, d3], check: none, pick: client}
records:
  "@": {A: {pool: [{subnets: [127.1.0.0/16], use: a}, {subnets: [127.2.8.0/24], use: b}, c]}}
  alias: {CNAME: "@"}
  near: {A: {pool: near}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("views"), {NAME: TEXT}) as running:
        yield running


@pytest.fixture(scope="module")
def resolver(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resolver]:
    if shutil.which("unbound") is None:
        pytest.skip("no unbound here: apt-get install unbound")
    folder = tmp_path_factory.mktemp("unbound")
    with resolving(WITH_SUBNETS, folder, server.listen[0], (NAME,), f"ns1.{NAME}") as running:
        yield running


CLIENTS = {
    "127.1.0.1": "192.0.2.1",
    "127.1.0.2": "192.0.2.1",
    "127.1.200.7": "192.0.2.1",
    "127.2.8.1": "192.0.2.2",
    "127.2.8.200": "192.0.2.2",
    "127.2.9.1": "192.0.2.3",
    "127.2.7.255": "192.0.2.3",
    "127.3.0.1": "192.0.2.3",
    "127.0.0.9": "192.0.2.3",
}


@pytest.mark.parametrize("owner", [NAME, f"alias.{NAME}"])
def test_each_client_of_a_resolver_gets_its_view(resolver: Resolver, owner: str) -> None:
    """Also when the cache is warm, whoever filled it."""
    for source, address in [*CLIENTS.items(), *reversed(CLIENTS.items())]:
        (found,) = resolver.ask(owner, source=source).answer[-1]
        assert str(found) == address, source


def test_clients_within_one_scope_share_an_entry(resolver: Resolver) -> None:
    """Else the second would get a whole TTL, or another host."""
    hosts = Counter[str]()
    for third in range(12):
        kept = set()
        for last in (1, 77, 200):
            answer = resolver.ask(f"near.{NAME}", source=f"127.4.{third}.{last}").answer[-1]
            kept |= {str(one) for one in answer}
        assert len(kept) == 1, "a network keeps its host"
        hosts.update(kept)
    assert len(hosts) > 1


def direct(server: Server, subnet: str, owner: str = NAME) -> tuple[set[str], int]:
    """Ask the server itself, as `dig +subnet` does; return the addresses and the scope."""
    address, _, length = subnet.partition("/")
    option = dns.edns.ECSOption(address, int(length))
    query = dns.message.make_query(owner, "A", use_edns=0, options=[option])
    answer = dns.query.udp(query, server.listen[0][0], ANSWER, server.listen[0][1])
    (told,) = [one for one in answer.options if isinstance(one, dns.edns.ECSOption)]
    return {str(one) for one in answer.answer[-1]}, told.scopelen


def test_the_scope_is_what_decides(server: Server) -> None:
    assert direct(server, "127.1.5.0/24") == ({"192.0.2.1"}, 16)
    assert direct(server, "127.2.8.0/24") == ({"192.0.2.2"}, 24)
    assert direct(server, "127.2.9.0/24") == ({"192.0.2.3"}, 24)
    assert direct(server, "127.0.0.0/8") == ({"192.0.2.3"}, 16), "its first address decides"
    assert direct(server, "128.0.0.0/8") == ({"192.0.2.3"}, 1)
    assert direct(server, "198.51.0.0/16", f"near.{NAME}")[1] == 24
    assert direct(server, "0.0.0.0/0") == ({"192.0.2.3"}, 0)
