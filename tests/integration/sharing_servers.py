"""Servers that share one judgement through a Redis, each by a way of its own that a test can close."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.integration.cluster import Server, free_port, serving, zone_text
from tests.integration.gates import Gate, gates
from tests.integration.hammer import Hammer
from tests.integration.mailhosts import MailHost, mail_hosts, polite
from tests.integration.product import (
    PEERS_EVERY,
    PEERS_FILES,
    SHARED_ASK,
    SHARED_FROZEN,
    SHARED_LASTING,
    SHARED_LOOK,
    SHARED_READ,
    SHARED_SILENT,
)
from tests.integration.redises import RedisServer

ZONE = "out.example.com"
CONSTANTS = {
    SHARED_LASTING: 1.0,
    SHARED_LOOK: 1.0,
    SHARED_FROZEN: 2.0,
    SHARED_SILENT: 3.0,
    SHARED_READ: 3.0,
    SHARED_ASK: 0.5,
    PEERS_EVERY: 1.0,
    PEERS_FILES: 1.0,
}
CHECK = (
    "{{interval: 1s, fast_interval: 200ms, rise: 1, fall: 2, connect_timeout: 2s, greeting_timeout: 2s, "
    "source: {}}}"
)
ASK_EVERY = 0.04
"""Seconds between the queries that each server gets all the time."""
LOOK_EVERY = 0.1
PATIENCE = 30.0
ORDERED = "mta4"
"""The host that all orders are for."""


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> float:
    """Wait until something is so; return the seconds that it took."""
    begun = time.monotonic()
    while not (value := condition()):
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}; it is {value!r}"
        time.sleep(LOOK_EVERY)
    return time.monotonic() - begun


class Stalls:
    """Counts how often this machine left a thread that only sleeps without its turn for a second or more.

    Attributes:
        count: of them.

    """

    SLEEP = 0.1
    LATE = 1.0

    def __init__(self) -> None:
        self.count = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        before = time.monotonic()
        while not self._over.wait(self.SLEEP):
            now = time.monotonic()
            self.count += now - before > self.SLEEP + self.LATE
            before = now


class Moment(NamedTuple):
    """What had happened at a moment.

    Attributes:
        changes: of hosts' states.
        starved: signs that a server, or this test, did not run for a while.
        gone: servers that the test itself takes from the others.

    """

    changes: int
    starved: int
    gone: frozenset[str]


class Sharing:
    """Some servers, their Redis, the mail hosts that they probe, and clients that ask each without an end.

    Attributes:
        hosts: mta1 to mta4, and those of a file.
        gates: each server's way to Redis.
        servers: those that run.
        ordered: state and reason that hold for `ORDERED`.
        took: seconds from a repair till all agreed, by what it was.
        lag: the longest time that a control process did one thing, in seconds.

    """

    def __init__(
        self,
        folder: Path,
        nodes: Sequence[str],
        hosts: dict[str, MailHost],
        ways: dict[str, Gate],
        stalls: Stalls,
        *,
        listed: Sequence[str] = (),
        known: bool = False,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            folder: for all of it.
            nodes: of the servers.
            hosts: to be probed.
            ways: to Redis, by node.
            stalls: of this machine.
            listed: hosts that come by `hosts_from`.
            known: whether the servers know each other by `servers`.

        """
        self.nodes = tuple(nodes)
        self.hosts = hosts
        self.gates = ways
        self.servers: dict[str, Server] = {}
        self.ordered: tuple[str | None, str] = (None, "")
        self.took: dict[str, float] = {}
        self.lag = 0.0
        self.sources = {node: f"127.0.0.{number}" for number, node in enumerate(nodes, 11)}
        self._stacks: dict[str, contextlib.ExitStack] = {}
        self._hammers: dict[str, Hammer] = {}
        self._http = {node: f"127.0.0.1:{free_port()}" for node in nodes}
        self._turn = 0
        self._listed = tuple(listed)
        self._stalls = stalls
        urls = ", ".join(f'"http://{http}"' for http in self._http.values())
        self._folder = folder
        for node in nodes:
            (folder / node / "zones" / "hosts.d").mkdir(parents=True)
            if listed:
                self.list_hosts(node, *listed)
            host, port = ways[node].address
            (folder / node / "geodns.yaml").write_text(
                f'node: {node}\nshared: {{url: "redis://{host}:{port}", group: out}}\n'
                + (f"servers: [{urls}]\n" if known else "")
            )

    # --- servers ----------------------------------------------------------------------------------------

    def start(self, node: str) -> Server:
        stack = self._stacks[node] = contextlib.ExitStack()
        own = {name: host for name, host in self.hosts.items() if name not in self._listed}
        more = "hosts_from: [{file: hosts.d/*.yaml}]" if self._listed else ""
        zone = zone_text(own, check=CHECK.format(self.sources[node]), more=more)
        server = stack.enter_context(
            serving(self._folder / node, {ZONE: zone}, http=self._http[node], constants=CONSTANTS)
        )
        self.servers[node] = server
        self._hammers[node] = stack.enter_context(Hammer(server, ZONE, pause=ASK_EVERY))
        return server

    def stop(self, node: str, *, kill: bool = False) -> None:
        """End a server, or have it die."""
        self.answered(node)
        del self._hammers[node]
        server = self.servers.pop(node)
        stack = self._stacks.pop(node)
        if kill:
            server.kill()
        stack.close()

    def list_hosts(self, node: str, *names: str) -> None:
        """Have `hosts_from` give a server these hosts."""
        listed = list(self.hosts)
        lines = [
            f'{name}: {{address: 192.0.2.{listed.index(name) + 1}, probe: "{self.hosts[name].endpoint}"}}'
            for name in names
        ]
        (self._folder / node / "zones" / "hosts.d" / "more.yaml").write_text("\n".join([*lines, ""]))

    def close(self) -> None:
        """End all servers."""
        for stack in self._stacks.values():
            stack.close()
        self._stacks.clear()

    # --- what is asked ----------------------------------------------------------------------------------

    def answered(self, *nodes: str) -> None:
        """See that every query had its answer so far."""
        for node in nodes or self.servers:
            hammer = self._hammers[node]
            until(lambda: hammer.answers or hammer.problems, f"{node} was asked")  # noqa: B023
            assert not hammer.problems, node

    def shared(self, node: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.servers[node].status()["shared"]
        return shown

    def why(self, node: str) -> str:
        return str(self.shared(node)["why"])

    def states(self, node: str) -> dict[str, str]:
        return {name: str(one["state"]) for name, one in self.servers[node].status()["hosts"][ZONE].items()}

    def warned(self, node: str, words: str) -> bool:
        return any(words in text for text in self.servers[node].status()["warnings"])

    def changes(self, *nodes: str) -> int:
        """How many states of hosts have changed, but for `ORDERED`, whose orders are such changes too."""
        return sum(
            one["host"] != ORDERED
            for node in nodes or self.servers
            for one in self.servers[node].get("/api/v1/events?kind=state&limit=1000")["events"]
        )

    def moment(self, *gone: str) -> Moment:
        """Return how things are before what may change no state; name the servers that it takes away."""
        return Moment(self.changes(), self._starved(frozenset(gone)), frozenset(gone))

    def starved_since(self, before: Moment) -> bool:
        """Tell whether the machine was too busy: who is not heard for that lets the others decide alone."""
        return self._starved(before.gone) > before.starved

    def unchanged_since(self, before: Moment) -> bool:
        """Tell whether no state has changed; what a machine that is too busy changes is no fault."""
        # The signs are counted last: they come before the changes that they excuse.
        return self.changes() == before.changes or self.starved_since(before)

    def _starved(self, gone: frozenset[str]) -> int:
        return self._stalls.count + sum(
            "is heard no more" in one["text"] and one["data"].get("node") not in gone
            for node in self.servers.keys() - gone
            for one in self.servers[node].get("/api/v1/events?kind=peer&limit=1000")["events"]
        )

    # --- orders -----------------------------------------------------------------------------------------

    def order(self, node: str) -> dict[str, Any]:
        """Give this server another order than the last one; return what it says."""
        self._turn += 1
        drain = self.ordered[0] is None
        reason = f"order {self._turn}"
        path = f"/api/v1/hosts/{ZONE}/{ORDERED}/{'drain' if drain else 'undrain'}"
        code, text = self.servers[node].request(path, {"yes": True, "reason": reason})
        assert code in (200, 202), (code, text)
        self.ordered = ("drained", reason) if drain else (None, "")
        assert self.holds(node), "at once where it was given"
        shown: dict[str, Any] = json.loads(text)
        return shown

    def holds(self, *nodes: str) -> bool:
        """Say whether these servers have the last order in force; all of them, where none is named."""
        return all(
            ((one := self.servers[node].host(ORDERED))["forced"], one.get("reason") or "") == self.ordered
            for node in nodes or self.servers
        )

    # --- all together -----------------------------------------------------------------------------------

    def differing(self) -> str:
        """Say what is not as it is where all agree and nothing is the matter; empty: all is well."""
        for node in self.servers:
            status = self.servers[node].status()
            shared = status["shared"]
            if shared["why"] or not shared["connected"]:
                return f"{node}: {shared['why'] or 'not connected'}"
            if shared["mode"] != "quorum" or set(shared["heard"]) != self.servers.keys():
                return f"{node}: {shared['mode']}, hears {shared['heard']}"
            hosts = status["hosts"][ZONE]
            forced = hosts[ORDERED]
            order = forced["forced"], forced.get("reason") or ""
            if order != self.ordered:
                return f"{node}: {ORDERED} is {order}, not {self.ordered}"
            states = {name: one["state"] for name, one in hosts.items()}
            if any(states[name] != "up" for name in states.keys() - {ORDERED}):
                return f"{node}: {states}"
            if shared["alone"] or shared["tied"]:
                return f"{node}: alone {shared['alone']}, tied {shared['tied']}"
        return ""

    def agree(self, after: str) -> None:
        """Wait until all agree, and every query had its answer."""
        begun = time.monotonic()
        while said := self.differing():
            assert time.monotonic() - begun < PATIENCE, f"after {after}: {said}"
            time.sleep(LOOK_EVERY)
        self.took[after] = time.monotonic() - begun
        self.answered()
        self.lag = max(
            self.lag, *(server.metric("geodns_loop_lag_seconds") for server in self.servers.values())
        )

    def refuse(self, host: str, *nodes: str) -> None:
        """Have a mail host refuse the probes of these servers, and of no others."""
        sources = {self.sources[node] for node in nodes}

        def manners(connection: socket.socket, name: str) -> None:
            if connection.getpeername()[0] not in sources:
                polite(connection, name)

        self.hosts[host].manners = manners


@contextlib.contextmanager
def sharing(folder: Path, redis: RedisServer, *nodes: str, **options: Any) -> Iterator[Sharing]:
    """Run these servers till they agree, and until the block ends; options as for `Sharing`."""
    with (
        mail_hosts("mta1", "mta2", "mta3", ORDERED, *options.get("listed", ())) as hosts,
        gates(("127.0.0.1", redis.port), *nodes) as ways,
        Stalls() as stalls,
    ):
        one = Sharing(folder, nodes, hosts, ways, stalls, **options)
        try:
            for node in nodes:
                one.start(node)
            one.agree("the start")
            yield one
        finally:
            one.close()
