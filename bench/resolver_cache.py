"""``python -m bench.resolver_cache``: what unbound keeps of names whose answer depends on the client.

Clients in some networks, each in a /24 of its own, ask it for one name. It asks us by client subnet, once for
each entry that its cache gets, and is given the scope that decides, or one as long as the source prefix.
"""

import random
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Network
from itertools import islice, product
from pathlib import Path

import click

from bench.figures import Figure, show
from bench.flip import parse
from bench.servers import Server, running
from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.control.cluster import source_of
from geodns.errors import GeodnsError
from geodns.model.views import PoolRule
from geodns.model.zone import Tier
from geodns.responder.respond import respond
from geodns.responder.table import Table
from geodns.responder.worker_state import WorkerState
from geodns.wire import edns
from geodns.wire.message import parse as parse_query
from geodns.wire.message import question
from geodns.wire.names import name_to_wire

POOLS = 10
ROOM = 100_000
"""Entries of a name, for unbound not to forget any."""
TTL = 86_400
"""Nothing may expire while it is measured."""
ZONE = "bench.example.com"
_HEAD = b"\0\1" + bytes((1, 0, 0, 1, 0, 0, 0, 0, 0, 0))
QUERY = _HEAD + question(name_to_wire(f"clients.{ZONE}."), 1)
_KNOWN = _HEAD + question(name_to_wire(f"ns1.{ZONE}."), 1)


def measure(clients: int, networks: int) -> list[Figure]:
    """Count what it asks us in two rounds of all clients: with room for all, the first is what it holds.

    Raises:
        GeodnsError: unbound is not there, or gives no answer.

    """
    found = []
    for (room, longest), (port, asked) in _authorities(networks):
        unbound = Server("unbound", "unbound", "unbound", partial(_configure, port=port, room=room))
        if not unbound.installed:
            raise GeodnsError("unbound is not installed: apt-get install unbound")
        with tempfile.TemporaryDirectory() as folder, running(unbound, Path(folder), _KNOWN) as one:
            rounds, answers = [], set()
            for _ in range(2):
                asked.clear()
                answers |= {_ask(one.port, source) for source in _clients(clients, networks)}
                rounds.append(len(asked))
        what = "as long as the source prefix" if longest else "that decides"
        how = f"room for {room:,} a name" if room else "as it is configured by itself (100 a name)"
        value = f"{rounds[0]:,} entries" if not rounds[1] else f"{rounds[0]:,} made, {rounds[1]:,} again"
        beside = f"{clients:,} clients in {networks} networks, {len(answers)} different answers; {how}"
        found.append(Figure(f"unbound's cache, a scope {what}", value, beside))
    return found


def _authorities(networks: int) -> Iterator[tuple[tuple[int, bool], tuple[int, list[bytes]]]]:
    """Yield how much room unbound has and whether scopes are the longest, and who answers so."""
    for room, longest in product((ROOM, 0), (False, True)):
        with _authority(networks, longest=longest) as found:
            yield (room, longest), found


def _clients(clients: int, networks: int) -> Iterator[str]:
    """Yield loopback addresses, each in a /24 of its own."""
    each = -(-clients // networks)
    places = [(network, third) for network, third in product(range(1, networks + 1), range(each))]
    random.Random(1).shuffle(places)
    for network, third in islice(places, clients):
        yield f"127.{network}.{third}.5"


def _ask(port: int, source: str) -> bytes:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.bind((source, 0))
        client.connect(("127.0.0.1", port))
        client.send(QUERY)
        answer = client.recv(4096)
    if answer[3] & 0x0F or not answer[7]:
        raise GeodnsError(f"unbound gives {source} no answer: RCODE {answer[3] & 0x0F}")
    return answer[-4:]


# --- our part ------------------------------------------------------------------------------------------


@contextmanager
def _authority(networks: int, *, longest: bool) -> Iterator[tuple[int, list[bytes]]]:
    """Answer on a port of loopback; give it, and the list of subnets that are asked for."""
    table, state, asked = _table(networks), WorkerState(random.Random(1)), list[bytes]()
    ending = threading.Event()
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)

        def serve() -> None:
            while not ending.is_set():
                try:
                    packet, client = server.recvfrom(4096)
                except TimeoutError:
                    continue
                answer = respond(table, packet, (*client, "udp"), 0.0, state) or b""
                query = parse_query(packet).edns
                if query is not None and query.subnet:
                    asked.append(query.subnet)
                    if longest:
                        answer = _with_longest_scope(answer, query.subnet)
                server.sendto(answer, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], asked
        finally:
            ending.set()
            thread.join()


def _with_longest_scope(answer: bytes, subnet: bytes) -> bytes:
    whole = edns.option(edns.SUBNET, subnet[:3])[4:]
    at = answer.rindex(whole) + len(whole)
    return answer[:at] + subnet[2:3] + answer[at + 1 :]


def _table(networks: int) -> Table:
    lines = [f"ttl: {TTL}", "ns: {ns1: 192.0.2.53}", "hosts:"]
    lines += [f"  h{number}: 192.0.2.{number + 1}" for number in range(POOLS)]
    lines += ["pools:", *(f"  p{number}: {{hosts: [h{number}]}}" for number in range(POOLS))]
    zone = parse("\n".join([*lines, "records: {clients: {A: {pool: p0}}}"]))
    rules = tuple(
        PoolRule(use=f"p{number % (POOLS - 1) + 1}", subnets=(IPv4Network(f"127.{number}.0.0/16"),))
        for number in range(1, networks + 1)
    )
    ruled = tuple(
        one.model_copy(update={"tiers": (Tier(pool="p0", rules=rules),)})
        if one.owner.startswith("clients.")
        else one
        for one in zone.rules
    )
    zone = zone.model_copy(update={"rules": ruled})
    return compile_zones(Compiled(), {zone.name: source_of(zone, 1, {})}, LiveSet()).table


def _configure(folder: Path, listen: int, port: int, room: int) -> Sequence[str]:
    size = f"max-ecs-tree-size-ipv4: {room}" if room else ""
    (folder / "unbound.conf").write_text(f"""\
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  do-daemonize: no
  num-threads: 1
  interface: 127.0.0.1@{listen}
  outgoing-interface: 127.0.0.1
  do-ip6: no
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "subnetcache iterator"
  send-client-subnet: 127.0.0.1
  {size}
  target-fetch-policy: "0 0 0 0 0"
  msg-cache-size: 256m
  rrset-cache-size: 256m
  cache-max-ttl: {TTL}
remote-control:
  control-enable: no
stub-zone:
  name: "{ZONE}"
  stub-addr: 127.0.0.1@{port}
""")
    return "unbound", "-d", "-p", "-c", str(folder / "unbound.conf")


@click.command()
@click.option("--clients", type=click.IntRange(1, 50_000), default=10_000, show_default=True)
@click.option("--networks", type=click.IntRange(1, 200), default=50, show_default=True)
def main(clients: int, networks: int) -> None:
    """Measure both kinds of scope, one after the other."""
    show(measure(clients, networks), [])


if __name__ == "__main__":
    main()
