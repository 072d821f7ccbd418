"""What a query costs: CPU time of all processes of a name server per answer, and answers a second."""

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import load
from bench.figures import Figure, spread
from bench.processes import cpu_seconds, of_session, pinned, two_cores
from bench.servers import GDNSD, SERVERS, Running, Server, running
from geodns.errors import GeodnsError

GOAL = 1.7
"""Times gdnsd's CPU time for the Python worker."""

WARM_UP = 0.3


def measure(seconds: float, rounds: int, *, cookies: bool = False) -> list[Figure]:
    """Measure every server that is installed in turns, A B C A B C; it has a core, and the client another.

    Args:
        seconds: of load in a turn.
        rounds: turns of each.
        cookies: whether the client sends the cookie that the server gave it (RFC 7873), as resolvers do.

    """
    servers = [server for server in SERVERS if server.installed]
    cost: dict[str, list[float]] = {server.name: [] for server in servers}
    rate: dict[str, list[float]] = {server.name: [] for server in servers}
    lost = dict.fromkeys(cost, 0)
    serving, asking = two_cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        up: list[tuple[Server, Running]] = []
        for server in servers:
            with pinned(serving):
                up.append((server, stack.enter_context(running(server, folder / server.name))))
        sent = [load.learn_cookie(one.port) if cookies else b"" for _, one in up]
        for (_, one), cookie in zip(up, sent, strict=True):
            load.ask(one.port, WARM_UP, asking, cookie)
        for _ in range(rounds):
            for (server, one), cookie in zip(up, sent, strict=True):
                pids = of_session(one.pid)
                before = sum(map(cpu_seconds, pids))
                got = load.ask(one.port, seconds, asking, cookie)
                used = sum(map(cpu_seconds, pids)) - before
                if not got.answers:
                    raise GeodnsError(f"{server.name} answered nothing in {seconds:g} s")
                cost[server.name].append(used / got.answers * 1e6)
                rate[server.name].append(got.answers / got.seconds)
                lost[server.name] += got.lost
    what = " with a cookie" if cookies else ""
    return [
        *_rows(f"CPU a query{what}", "µs", cost, 2),
        *_rows(f"answers a second{what}", "", rate, 0),
        *_losses(lost),
    ]


def _rows(what: str, unit: str, values: dict[str, list[float]], digits: int) -> list[Figure]:
    base = values.get(GDNSD.name, [])
    rows = []
    for name, some in values.items():
        # Turn by turn: what slows the machine down for a while slows both.
        ratios = [one / other for one, other in zip(some, base, strict=False)]
        beside = f"{statistics.median(ratios):.2f} times gdnsd's" if ratios else ""
        if name == "geodns" and what == "CPU a query":
            beside += f", at most {GOAL}"
        rows.append(Figure(f"{what}: {name}", f"{spread(some, digits)} {unit}".rstrip(), beside))
    return rows


def _losses(lost: dict[str, int]) -> list[Figure]:
    return [
        Figure(f"queries without an answer: {name}", str(number)) for name, number in lost.items() if number
    ]


def missing() -> list[str]:
    """Say what is not measured because it is not installed, and how to get it."""
    lines = [
        f"{server.name} is not installed: apt-get install {server.package}"
        for server in SERVERS
        if not server.installed
    ]
    if not load.has_dnsperf():
        lines.append("dnsperf is not installed, a slower client of our own asks: apt-get install dnsperf")
    return lines
