"""A server without zones or checks: the supervisor with a control process that tests tell what to do.

`main` serves a hand-made Table, whose one name has its Table's number as its address. The test's side starts
that and talks to it.
"""

import asyncio
import contextlib
import json
import logging
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from geodns import logs
from geodns.responder.route_table import CompiledRule, KnownProvider, RouteNews, RouteTarget, ZoneRoutes
from geodns.responder.table import NameNode, Part, Rotation, RotationKey, Table, ZoneTable
from geodns.serve import supervisor, worker
from geodns.serve.control_link import ControlLink
from geodns.serve.frames import (
    CountsReport,
    Message,
    ProviderAsked,
    RouteCounts,
    UpgradeBegins,
    UpgradeEnded,
)
from geodns.serve.handover import Program
from geodns.serve.plan import ControlContext, RoutesListener, RoutesPlan, ServePlan, TcpLimits
from geodns.serve.takeover import insist, take_over
from geodns.wire import codes, records
from geodns.wire.message import Answer
from geodns.wire.names import name_to_wire
from tests.integration import template

ORIGIN = name_to_wire("lab.example.")
NAME = name_to_wire("n.lab.example.")
LONG = name_to_wire("long.lab.example.")
KEY = RotationKey("lab.example", "A", 30, (("main", 0),))
TXT = 16
QUERY = b"\0\1" + bytes((1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + NAME + b"\0\1\0\1"
LONG_QUERY = QUERY[:12] + LONG + b"\0\x10\0\1"
LONG_RECORDS = 200


def zone(names: int) -> ZoneTable:
    """A zone with so many further names."""
    fixed = Answer(records.record(1, 300, b"\x0a\0\0\1"), an=1)
    long = Answer(records.record(TXT, 300, b"\xff" + bytes(255)) * LONG_RECORDS, an=LONG_RECORDS)
    nodes = {ORIGIN: NameNode(), NAME: NameNode({1: KEY}), LONG: NameNode({TXT: long})}
    for number in range(names):
        nodes[name_to_wire(f"h{number}.lab.example.")] = NameNode({1: fixed, TXT: fixed})
    negative = records.record(codes.SOA, 30, b"\0\0" + bytes(20), ORIGIN)
    return ZoneTable("lab.example", ORIGIN, negative, nodes)


def rotation(number: int) -> Rotation:
    """A cycle of one answer: the number as an address."""
    answer = Answer(records.record(1, 30, number.to_bytes(4, "big")), an=1)
    return Rotation(KEY, (Part("main", (answer,), array("H", [0]), (("mta1",),)),))


def routes(number: int) -> ZoneRoutes:
    """Two rules; the last one's port is the number."""
    known = CompiledRule(1, "1", (), (), (), ("google",), (), (), None, "gmail.lab.example", False, 25)
    rest = CompiledRule(2, "2", (), (), (), (), (), (), None, "n.lab.example", True, number)
    return ZoneRoutes("lab.example", (), (known, rest))


TARGET = RouteTarget("lab.example", "n.lab.example", "main", {"mta1": 1}, ("mta1",))


# --- the control process -------------------------------------------------------------------------------


class Puppet:
    """Control that does what it is told, a JSON line each, on the HTTP socket."""

    def __init__(self, seat: ControlContext, names: int) -> None:
        self.seat = seat
        self.link = ControlLink(seat, self.count, self.upgrade)
        self.zone = zone(names)
        self.counted: Counter[str] = Counter(json.loads(seat.carried or b"{}"))
        self.ended: list[str] = []
        self.asked: list[str] = []
        self.reloads = 0
        self.end = asyncio.Event()

    def count(self, message: Message) -> None:
        if isinstance(message, CountsReport):
            assert message.worker.startswith(message.transport)
            self.counted[message.transport] += sum(message.counts.queries.values())
        if isinstance(message, RouteCounts):
            self.counted[message.worker] += sum(message.answers.values())
        if isinstance(message, ProviderAsked):
            self.asked.append(message.domain)

    def upgrade(self, told: UpgradeBegins | UpgradeEnded) -> None:
        if isinstance(told, UpgradeEnded):
            self.ended.append(told.failed)
        else:
            self.leaving = asyncio.create_task(self.leave())

    async def leave(self) -> None:
        await self.link.leave(json.dumps(self.counted).encode())
        self.end.set()

    def reload(self) -> None:
        self.reloads += 1

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.end.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self.link.start()
        await self.publish(10.0)
        async with await asyncio.start_server(self.talk, sock=self.seat.http):
            if self.link.number == 1:
                said = self.seat.listen, self.seat.http.getsockname()[:2], self.seat.routes
                sys.stdout.write(json.dumps(said) + "\n")
                sys.stdout.flush()
            await self.end.wait()
        await self.link.close()
        return 0

    async def publish(self, patience: float) -> dict[str, Any]:
        number = self.link.number + 1
        table = Table({ORIGIN: self.zone}, {KEY: rotation(number)})
        if self.seat.routes:
            targets = {(TARGET.zone, TARGET.name): TARGET}
            table = replace(table, routes={"lab.example": routes(number)}, targets=targets)
        assert await self.link.publish(table) == number
        return {"number": number, "pending": await self.link.delivered(number, patience)}

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match json.loads(await reader.readline()):
            case "publish", patience, names:
                if names is not None:
                    self.zone = zone(names)
                reply: Any = await self.publish(patience)
            case "half-way", number:
                self.zone = zone(50_000)
                way = asyncio.create_task(self.publish(10.0))
                before = self.link.number
                for _ in range(5):  # a turn for each batch of changes; there are many more
                    await asyncio.sleep(0)
                assert self.link.number == before
                os.kill(os.getpid(), number)
                reply = await way
            case "provider", domain, name:
                now = time.time()
                await self.link.tell(RouteNews({domain: KnownProvider(name, now + 60, now + 60)}))
                reply = domain
            case ["status"]:
                workers = {
                    name: [one.pid, one.number, one.restarts] for name, one in self.link.workers.items()
                }
                reply = {
                    "pid": os.getpid(),
                    "workers": workers,
                    "counted": self.counted,
                    "asked": self.asked,
                    "reloads": self.reloads,
                    "ended": self.ended,
                    "came": [self.seat.upgraded_from, self.seat.went_back],
                    "number": self.link.number,
                }
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
        writer.close()


def main(options: dict[str, Any]) -> int:
    if options["logs"]:
        logs.configure("text", "debug")
    else:
        logging.basicConfig(level=logging.INFO, format="%(process)d %(message)s")

    program = Program(options["version"], options["program"], (json.dumps(options),))
    handover = take_over(os.environ)
    fault = options["fault"] if handover is not None else ""

    def control(seat: ControlContext) -> int:
        if fault == "control dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "control hangs":
            time.sleep(1000)
        if options["status"] is not None:
            return int(options["status"])
        return asyncio.run(_life(seat, options["names"]))

    def prepared() -> ServePlan:
        if fault == "begin" or (fault == "back" and Path(options["state"], "broken").exists()):
            raise RuntimeError("no")
        if fault == "worker dies":
            setattr(worker, "work", _die)  # noqa: B010 - mypy takes no assignment
        listen = tuple((host, port) for host, port in options["listen"])
        tcp = TcpLimits(**{"connections": 1000, "per_client": 100, "idle": 10.0} | options["tcp"])
        if options["files"] is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (options["files"], options["files"]))
        places = [Path(one) if isinstance(one, str) else (one[0], one[1]) for one in options["routes"]]
        asking = RoutesPlan(
            tuple(RoutesListener(place, mode=0o606) for place in places), {"gmail.com": "google"}
        )
        return ServePlan(
            listen,
            ("127.0.0.1", 0),
            options["workers"],
            control,
            tcp,
            asking,
            state=None if options["state"] is None else Path(options["state"]),
            program=program,
            handover=handover,
        )

    plan = prepared() if handover is None else insist(prepared, handover, program, {})
    return supervisor.run(plan)


def _die(_follower: worker.TableFollower, _serve: Callable[[], None]) -> int:
    signal.raise_signal(signal.SIGKILL)
    return 0


async def _life(seat: ControlContext, names: int) -> int:
    return await Puppet(seat, names).run()


# --- the test's side -----------------------------------------------------------------------------------


class Server:
    """A running server.

    Attributes:
        process: the supervisor.
        listen: where it answers.
        routes: where it answers MTAs.

    """

    def __init__(self, process: "template.Process | subprocess.Popen[str]") -> None:
        self.process = process
        with selectors.DefaultSelector() as selector:
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(20), "the server did not get ready"
        listen, http, self.routes = json.loads(process.stdout.readline())
        self.listen: list[tuple[str, int]] = [(host, port) for host, port in listen]
        self.http: tuple[str, int] = (http[0], http[1])

    def tell(self, *command: Any) -> Any:
        """Have control do something; return what it says."""
        with socket.create_connection(self.http, timeout=20) as connection:
            connection.sendall(json.dumps(command).encode() + b"\n")
            with connection.makefile() as lines:
                return json.loads(lines.readline())

    def publish(self, timeout: float = 10.0, names: int | None = None) -> dict[str, Any]:
        reply: dict[str, Any] = self.tell("publish", timeout, names)
        return reply

    def status(self) -> dict[str, Any]:
        reply: dict[str, Any] = self.tell("status")
        return reply

    def pids(self) -> dict[str, int]:
        """Every process but the supervisor."""
        status = self.status()
        return {"control": status["pid"]} | {name: one[0] for name, one in status["workers"].items()}


def options_of(**options: Any) -> dict[str, Any]:
    """Options as `main` reads them, of which some have another value than most tests want."""
    defaults = {
        "listen": [["127.0.0.1", 0]],
        "workers": 2,
        "names": 0,
        "status": None,
        "tcp": {},
        "routes": [],
        "files": None,
        "logs": False,
        "state": None,
        "program": "",
        "version": "1",
        "fault": "",
    }
    return defaults | options


def refused(**options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a server that cannot start."""
    return template.run("main", options_of(**options), module=__name__, timeout=20)


@contextlib.contextmanager
def serving(
    constants: Mapping[str, Any] | None = None, *, stderr: int = 2, **options: Any
) -> Iterator[Server]:
    """A server that ends with the block, whatever became of it.

    Args:
        constants: as for `cluster.starting`.
        stderr: where it goes.
        options: as `main` reads them.

    """
    arguments = options_of(**options)
    with template.start("main", arguments, module=__name__, stderr=stderr, constants=constants) as process:
        try:
            yield Server(process)
        finally:
            process.terminate()
            try:
                process.wait(10)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def ask(address: tuple[str, int], packet: bytes = QUERY, timeout: float = 5.0) -> bytes:
    """One UDP query from a socket of its own; only the address asked may answer."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect(address)
        client.send(packet)
        return client.recv(65535)


def number_in(answer: bytes) -> int:
    """The number of the Table that an answer came from."""
    assert answer[3] & 0x0F == codes.NOERROR
    return int.from_bytes(answer[-4:], "big")


class Load:
    """Clients that ask one query after the other, each from its own socket, until the block ends.

    Attributes:
        least: what `number_in` must be at least for queries sent from now on.
        answered: by client.
        lost: queries without an answer within a second.
        stale: numbers that were less than `least` when the query was sent.

    """

    def __init__(
        self, address: tuple[str, int], clients: int = 4, patience: float = 1.0, pause: float = 0.0
    ) -> None:
        self.address = address
        self.least = 1
        self.answered = [0] * clients
        self.lost = 0
        self.stale: list[tuple[int, int]] = []
        self._patience = patience
        self._pause = pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(one,)) for one in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _client(self, number: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(self._patience)
            client.connect(self.address)
            serial = 0
            while not self._over.is_set():
                serial = (serial + 1) % 65536
                least = self.least
                client.send(serial.to_bytes(2, "big") + QUERY[2:])
                try:
                    answer = client.recv(4096)
                    while int.from_bytes(answer[:2], "big") != serial:
                        answer = client.recv(4096)
                except TimeoutError:
                    self.lost += 1
                    continue
                self.answered[number] += 1
                if self._pause:
                    time.sleep(self._pause)
                if number_in(answer) < least:
                    self.stale.append((number_in(answer), least))

    def wait_for_more(self, timeout: float = 5.0) -> bool:
        """Say whether every client gets a further answer in time."""
        before = list(self.answered)
        return eventually(
            lambda: all(now > then for now, then in zip(self.answered, before, strict=True)), timeout
        )


def eventually(true: Callable[[], object], timeout: float = 10.0) -> bool:
    """Say whether something becomes true in time."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def process_state(pid: int) -> str:
    """The letter that /proc gives (proc(5)); Z also when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def gone(pid: int) -> bool:
    """Say whether a process has ended, buried by its parent or not."""
    return process_state(pid) == "Z"
