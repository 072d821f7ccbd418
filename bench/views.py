"""What a query costs where the answer depends on the client: CPU time of a worker's loop."""

import gc
import random
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network
from itertools import cycle
from struct import pack

from bench.figures import Figure
from bench.flip import parse
from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.control.cluster import source_of
from geodns.model.experiments import Arm, Experiment
from geodns.model.views import PoolRule
from geodns.model.zone import Rule, Tier, Zone
from geodns.responder.respond import respond
from geodns.responder.table import Table
from geodns.responder.worker_state import WorkerState
from geodns.wire import edns
from geodns.wire.message import question
from geodns.wire.names import name_to_wire

BOUND = 1.3
"""Times the CPU time of a name without rules."""
POOLS = 10
EXPERIMENTS = 50
PREFIXES = 100_000
RESOLVERS = 2_000
"""Clients that ask again and again; a quarter as many networks come in their options."""
BATCH = 64
"""Packets that wait in the socket when the clock starts."""
_OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


def measure(seconds: float, rounds: int, prefixes: int = PREFIXES) -> list[Figure]:
    """Ask for each kind of name in turns, forwards and backwards; a turn lasts about so many seconds."""
    table = _table(prefixes)
    names = {
        "a plain name": ["plain"],
        "10 rules": ["rules"],
        f"{prefixes:,} prefixes": ["prefixes"],
        "affinity": ["affinity"],
        f"{EXPERIMENTS} experiments": [f"e{number}" for number in range(EXPERIMENTS)],
    }
    rng = random.Random(1)
    sources = [_address(rng) for _ in range(RESOLVERS)]
    plain = [_OPT] * RESOLVERS
    networks = [_subnet(rng) for _ in range(RESOLVERS // 4)]
    ways: dict[str, tuple[Callable[[], Sequence[str]], list[bytes]]] = {
        "": (lambda: sources, plain),
        ", with a client subnet": (lambda: sources, [rng.choice(networks) for _ in range(RESOLVERS)]),
        ", from another address each time": (lambda: [_address(rng) for _ in range(RESOLVERS)], plain),
    }
    found = []
    gc.disable()  # as in a worker
    try:
        with closing(_Loop(table)) as loop:
            for way, (clients, tails) in ways.items():
                packets = {kind: _packets(asked, tails) for kind, asked in names.items()}
                cost: dict[str, list[float]] = {kind: [] for kind in names}
                for some in packets.values():
                    loop.run(some, clients(), 0.1)
                for turn in range(rounds):
                    for kind in list(names)[:: -1 if turn % 2 else 1]:
                        cost[kind].append(loop.run(packets[kind], clients(), seconds))
                found += _rows(way, cost)
    finally:
        gc.enable()
    return found


def _rows(way: str, cost: dict[str, list[float]]) -> list[Figure]:
    base = next(iter(cost.values()))
    rows = []
    for kind, some in cost.items():
        ratios = [one / other for one, other in zip(some, base, strict=True)]
        beside = f"{statistics.median(ratios):.2f} times a plain name's" if some is not base else ""
        value = f"{statistics.median(some):.2f} ({min(some):.2f}-{max(some):.2f}) µs"
        rows.append(
            Figure(
                f"CPU a query: {kind}{way}",
                value,
                beside + (f", at most {BOUND}" if beside and not way else ""),
            )
        )
    return rows


class _Loop:
    """A worker's loop on a socket of its own: receive, answer, send."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._state = WorkerState(random.Random(1))
        self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._server.bind(("127.0.0.1", 0))
        self._client.bind(("127.0.0.1", 0))
        self._client.connect(self._server.getsockname())
        for one in (self._server, self._client):
            one.settimeout(1.0)

    def close(self) -> None:
        self._server.close()
        self._client.close()

    def run(self, packets: Sequence[bytes], sources: Sequence[str], seconds: float) -> float:
        """Return the microseconds of CPU time that a query took."""
        table, state, answer_to, monotonic = self._table, self._state, respond, time.monotonic
        receive, send = self._server.recvfrom, self._server.sendto
        sent, sources_ = cycle(packets), cycle(sources)
        used, number, end = 0.0, 0, monotonic() + seconds
        while monotonic() < end:
            for _ in range(BATCH):
                self._client.send(next(sent))
            begun = time.thread_time()
            for _ in range(BATCH):
                packet, client = receive(4096)
                now = monotonic()
                # Its own address is always the same: the one that counts is of our choice.
                answer = answer_to(table, packet, (next(sources_), client[1], "udp"), now, state)
                if answer is not None:
                    send(answer, client)
            used += time.thread_time() - begun
            for _ in range(BATCH):
                self._client.recv(4096)
            number += BATCH
        state.take_counts()
        return used / number * 1e6


def _address(rng: random.Random) -> str:
    return str(IPv4Address(rng.randrange(0x0B000000, 0xDF000000)))


def _subnet(rng: random.Random) -> bytes:
    """Return an OPT record that names a /24."""
    data = pack(">HBB", 1, 24, 0) + IPv4Address(rng.randrange(0x0B000000, 0xDF000000)).packed[:3]
    option = edns.option(edns.SUBNET, data)
    return _OPT[:-2] + len(option).to_bytes(2, "big") + option


def _packets(names: Sequence[str], tails: Sequence[bytes]) -> list[bytes]:
    turns = cycle(names)
    head = bytes((1, 0, 0, 1, 0, 0, 0, 0, 0, 1))
    return [
        number.to_bytes(2, "big")
        + head
        + question(name_to_wire(f"{next(turns)}.bench.example.com."), 1)
        + tail
        for number, tail in enumerate(tails)
    ]


def _table(prefixes: int) -> Table:
    zone = _zone(prefixes)
    return compile_zones(Compiled(), {zone.name: source_of(zone, 1, {})}, LiveSet()).table


def _zone(prefixes: int) -> Zone:
    pools = [f"p{number}" for number in range(POOLS)]
    lines = ["ns: {ns1: 192.0.2.53}", "hosts:"]
    for number, pool in enumerate((*pools, "near")):
        lines += [f"  {pool}-{host}: 10.0.{number}.{host}" for host in range(1, 4)]
    lines.append("pools:")
    lines += [f"  {pool}: {{hosts: [{pool}-1, {pool}-2, {pool}-3]}}" for pool in pools]
    lines.append("  near: {hosts: [near-1, near-2, near-3], pick: client}")
    lines.append("records:")
    experiments = [f"e{number}" for number in range(EXPERIMENTS)]
    lines += [f"  {name}: {{A: {{pool: p0}}}}" for name in ("plain", "rules", "prefixes", *experiments)]
    lines.append("  affinity: {A: {pool: near}}")
    zone = parse("\n".join(lines))
    rng = random.Random(2)
    lists = {
        "rules": [_networks(rng, 20) for _ in pools],
        "prefixes": [_networks(rng, prefixes // POOLS) for _ in pools],
    }
    rules = tuple(
        _with_rules(rule, pools, lists.get(rule.owner.partition(".")[0], ())) for rule in zone.rules
    )
    held = tuple(
        Experiment(
            name=name,
            owner=f"{name}.{zone.origin}",
            pool="p0",
            arms=(Arm(name="control", share=80, pool="p0"), Arm(name="trial", share=20, pool="p1")),
            salt=number,
        )
        for number, name in enumerate(experiments)
    )
    return zone.model_copy(update={"rules": rules, "experiments": held})


def _networks(rng: random.Random, number: int) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network((rng.randrange(0x0B0000, 0xDF0000) << 8, 24)) for _ in range(number))


def _with_rules(rule: Rule, pools: Sequence[str], lists: Sequence[tuple[IPv4Network, ...]]) -> Rule:
    ruled = tuple(PoolRule(use=pool, subnets=some) for pool, some in zip(pools, lists, strict=False))
    return rule.model_copy(update={"tiers": (Tier(pool=rule.tiers[0].pool, rules=ruled),)})
