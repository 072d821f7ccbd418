"""A routes worker in this process, over real sockets, whose supervisor is the test."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from geodns.responder.route_table import CompiledRule, KnownProvider, RouteNews, RouteTarget, ZoneRoutes
from geodns.responder.table import EMPTY, Table
from geodns.responder.table_changes import deltas, pack
from geodns.serve.frames import Message, RouteCounts, RouteKey, Stream, framed, pack_news, unpack_message
from geodns.serve.known_providers import KnownProviders
from geodns.serve.plan import RoutesListener, RoutesPlan
from geodns.serve.routes import RoutesServer
from geodns.serve.worker import TableFollower

M = TypeVar("M")

ZONE = "out.example.com"
LOOPBACK = ("127.0.0.1", 0)


def rule(number: int, name: str, **conditions: Any) -> CompiledRule:
    """A rule whose name is a label of the zone; `by_host` and `port` too."""
    fields: dict[str, Any] = {
        "recipient": (),
        "sender": (),
        "mail_class": (),
        "provider": (),
        "client": (),
        "sasl": (),
        "over": None,
        "by_host": False,
        "port": 25,
    }
    return CompiledRule(
        number=number, digest=f"rule-{number}", name=f"{name}.{ZONE}", **(fields | conditions)
    )


def target(name: str, **fields: Any) -> RouteTarget:
    """A target with three equal hosts, unless told otherwise."""
    weights = {"mta1": 1, "mta2": 1, "mta3": 1}
    return RouteTarget(
        **(
            {"zone": ZONE, "name": f"{name}.{ZONE}", "pool": name, "weights": weights, "hosts": (*weights,)}
            | fields
        )
    )


def table(*rules: CompiledRule, targets: tuple[RouteTarget, ...] = (), zone: str = ZONE) -> Table:
    """A Table of one zone's rules, with a target for every name that has none."""
    found = {one.name: target(one.name.partition(".")[0]) for one in rules}
    found |= {one.name: one for one in targets}
    routes = ZoneRoutes(zone, (f"local.{zone}",), rules)
    return Table(routes={zone: routes}, targets={(zone, name): one for name, one in found.items()})


SIMPLE = table(
    rule(1, "fast", recipient=("*@*.bank.example",)),
    rule(2, "gmail", provider=("google",)),
    rule(3, "spread", recipient=("*@spread.example",), by_host=True),
    rule(4, "bulk"),
)


def policy(**told: str) -> bytes:
    """A request of Postfix's for a policy."""
    attributes = {"request": "smtpd_access_policy", **told}
    return "".join(f"{key}={value}\n" for key, value in attributes.items()).encode() + b"\n"


def socketmap(name: str, key: str) -> bytes:
    body = f"{name} {key}".encode()
    return b"%d:%b," % (len(body), body)


async def socketmap_reply(reader: asyncio.StreamReader) -> str:
    length = int((await reader.readuntil(b":"))[:-1])
    return (await reader.readexactly(length + 1))[:-1].decode()


async def policy_reply(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\n\n")).decode().strip()


class Running:
    """The worker, and its supervisor's end.

    Attributes:
        server: the worker's own.
        addresses: of its listeners.

    """

    def __init__(self, server: RoutesServer, addresses: list[Any], stream: Stream, word: memoryview) -> None:
        self.server = server
        self.addresses = addresses
        self._stream = stream
        self._word = word
        self._table: Table | None = None
        self._number = 1
        self._said: list[Message] = []

    @contextlib.asynccontextmanager
    async def client(
        self, listener: int = 0
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        address = self.addresses[listener]
        if isinstance(address, str):
            reader, writer = await asyncio.open_unix_connection(address)
        else:
            reader, writer = await asyncio.open_connection(*address[:2])
        try:
            yield reader, writer
        finally:
            writer.close()

    async def asked(self, request: bytes, listener: int = 0) -> str:
        """The whole answer to what is sent over a connection of its own, with a half-close."""
        async with self.client(listener) as (reader, writer):
            writer.write(request)
            writer.write_eof()
            return (await asyncio.wait_for(reader.read(), 20)).decode()

    def publish(self, after: Table) -> None:
        self._number += 1
        for one in deltas(self._table, after, self._number):
            self._put(framed(pack(one)))
        self._table = after

    def tell(self, news: RouteNews) -> None:
        self._put(pack_news(news))

    def _put(self, frame: bytes) -> None:
        self._stream.put(frame)
        self._word[0] += 1

    def said(self, kind: type[M]) -> list[M]:
        """Everything of a kind that the worker has said so far."""
        while self._stream.fill():
            pass
        while (payload := self._stream.take()) is not None:
            self._said.append(unpack_message(payload))
        return [one for one in self._said if isinstance(one, kind)]

    def answered(self) -> int:
        return sum(self.counted().values())

    def counted(self) -> Mapping[RouteKey, int]:
        """The answers that the worker has counted, reported or not."""
        self.server.report()
        found: dict[RouteKey, int] = {}
        for one in self.said(RouteCounts):
            for key, number in one.answers.items():
                found[key] = found.get(key, 0) + number
        return found


def provider(name: str, fresh: float = 3600.0, until: float = 86400.0) -> KnownProvider:
    now = time.time()
    return KnownProvider(name, now + fresh, now + until)


async def until(true: Callable[[], object]) -> None:
    """Wait until something becomes true."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)


def run(
    test: Callable[[Running], Awaitable[None]],
    born: Table = SIMPLE,
    *listeners: RoutesListener,
    providers: Mapping[str, str] | None = None,
    known: Mapping[str, KnownProvider] | None = None,
    end: bool = True,
) -> None:
    """Run a test beside a worker that is born with a Table.

    Args:
        test: gets the worker.
        born: its Table.
        listeners: one on a free port unless given; those with a path get no file.
        providers: of domains built in.
        known: providers told before.
        end: whether the worker is ended with SIGTERM after the test; else the test does so.

    """
    plan = RoutesPlan(listeners or (RoutesListener(LOOPBACK),), providers or {"gmail.com": "google"})

    async def whole() -> None:
        ours, theirs = socket.socketpair()
        word = memoryview(bytearray(8)).cast("Q")
        with contextlib.ExitStack() as sockets:
            listening = []
            for _ in plan.listeners:
                one = sockets.enter_context(socket.socket())
                one.bind(LOOPBACK)
                one.listen()
                listening.append(one)
            follower = TableFollower("routes", "routes", Stream(theirs), word, (born, 1), os.getppid())
            server = RoutesServer(follower, listening, plan, KnownProviders(known))
            serving = asyncio.create_task(server.run())
            await asyncio.sleep(0)
            running = Running(server, [one.getsockname() for one in listening], Stream(ours), word)
            running.publish(EMPTY if born is EMPTY else born)
            try:
                await test(running)
            finally:
                if end:
                    signal.raise_signal(signal.SIGTERM)
                await asyncio.wait_for(serving, 20)
                ours.close()
                theirs.close()

    asyncio.run(whole())
