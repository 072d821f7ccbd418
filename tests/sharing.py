"""Several servers in one loop that share verdicts and orders through a store in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from geodns.control import shared_group, shared_order_service, shared_service, verdict_service
from geodns.control.shared_service import SharedService
from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.health.state_machine import advance
from geodns.model.checks import Target
from geodns.model.shared import AddressVote, Heartbeat, SharedOrder, SharedSettings
from geodns.model.state import NOTHING_KNOWN, HealthState
from geodns.storage.shared_link import Claim, LinkDownError, LinkState, Put, SharedEvents
from tests.sample_zones import NAME
from tests.servicing import Rig

TEXT = """\
ns: {ns1: 192.0.2.53}
checks: {smtp: {interval: 1h, fast_interval: 1h, rise: 1, fall: 1}}
hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12, mta3: 192.0.2.13}
pools: {main: {hosts: "*", check: smtp}}
records: {"@": {A: {pool: main}}}
"""
OK, FAILURE = ProbeResult.OK, ProbeResult.FAILURE
SOON = 20.0
AT_ONCE = 250
"""Orders that the store takes at once."""


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(SOON):
        while not true():  # noqa: ASYNC110 - what is waited for knows nothing of us
            await asyncio.sleep(0.005)


class Store:
    """What a Redis holds, and the links to it."""

    def __init__(self) -> None:
        self.links: dict[str, FakeLink] = {}
        self.votes: dict[str, tuple[int, dict[str, AddressVote]]] = {}
        self.orders: dict[tuple[str, str, str], SharedOrder] = {}
        self.revisions: dict[str, str] = {}
        self.sums: dict[str, dict[str, JsonValue]] = {}
        self.claims: dict[str, tuple[str, int | None]] = {}

    def others(self, node: str) -> list["FakeLink"]:
        return [link for name, link in self.links.items() if name != node and link.state.connected]

    def put(self, order: SharedOrder) -> bool:
        known = self.orders.get(order.key)
        if known is not None and known.version.rank >= order.version.rank:
            return known.version == order.version
        self.orders[order.key] = order
        self.revisions[order.zone] = str(int(self.revisions.get(order.zone) or 0) + 1)
        for link in self.links.values():
            link.soon(link.events.on_orders, [order], dict(self.revisions), whole=False)
        return True


class FakeLink:
    """A link to the store; everything arrives with the next turn of the loop.

    Attributes:
        state: of the link; `connect` and `cut` change it.
        deaf: whether no orders arrive.

    """

    def __init__(self, store: Store, node: str, events: SharedEvents, **state: Any) -> None:
        self.store = store
        self.node = node
        self.events = events
        self.state = LinkState(**state)
        self.lags: dict[str, float] = {}
        self.deaf = False
        self.beats: list[Heartbeat] = []
        self.rereads = 0
        self._there = asyncio.Event()
        store.links[node] = self

    def soon(self, call: Callable[..., None], *arguments: Any, **more: Any) -> None:
        def arrive() -> None:
            if self.state.connected and not (self.deaf and call == self.events.on_orders):
                call(*arguments, **more)

        asyncio.get_running_loop().call_soon(arrive)

    def set(self, **state: Any) -> None:
        self.state = replace(self.state, **state)
        self.events.on_state(self.state)

    def connect(self) -> None:
        """Read everything, as after connecting."""
        self.set(connected=True, why="", server="Redis 7.0.15")
        for node, (epoch, votes) in self.store.votes.items():
            if node != self.node:
                self.soon(self.events.on_votes, node, epoch, dict(votes))
        for link in self.store.others(self.node):
            if link.beats:
                self.soon(self.events.on_beat, link.beats[-1], 0.0)
        if self.node in self.store.votes:  # what waited is written now
            epoch, votes = self.store.votes[self.node]
            for link in self.store.others(self.node):
                link.soon(link.events.on_votes, self.node, epoch, dict(votes))
        for node, sums in self.store.sums.items():
            self.soon(self.events.on_sums, node, dict(sums))
        for link in self.store.others(self.node):
            link.soon(link.events.on_sums, self.node, dict(self.store.sums.get(self.node, {})))
        orders = list(self.store.orders.values())
        self.soon(self.events.on_orders, orders, dict(self.store.revisions), whole=True)
        asyncio.get_running_loop().call_soon(self._there.set)

    def cut(self, why: str = "connection refused") -> None:
        self.set(connected=False, why=why)

    async def run(self) -> None:
        if not self.state.why:
            self.connect()
        await asyncio.Event().wait()

    async def first_read(self, seconds: float) -> bool:
        if self.state.why:
            return False
        async with asyncio.timeout(seconds):
            await self._there.wait()
        return True

    def beat(self, heartbeat: Heartbeat) -> None:
        self.beats.append(heartbeat)
        for link in self.store.others(self.node) if self.state.connected else ():
            link.soon(link.events.on_beat, heartbeat, 0.0)

    def publish_votes(self, epoch: int, changes: Mapping[str, AddressVote | None]) -> None:
        known = self.store.votes.get(self.node)
        if known is None or known[0] != epoch:
            known = self.store.votes[self.node] = epoch, {}
        for key, vote in changes.items():
            if vote is None:
                known[1].pop(key, None)
            else:
                known[1][key] = vote
        for link in self.store.others(self.node) if self.state.connected else ():
            link.soon(link.events.on_votes, self.node, epoch, dict(changes))

    async def put_orders(
        self, orders: Sequence[SharedOrder], expected: Mapping[str, str] | None = None
    ) -> list[Put]:
        await asyncio.sleep(0)
        if not self.state.connected:
            raise LinkDownError("connection refused")
        done: list[Put] = []
        seen: set[str] = set()
        for order in orders:
            revision = self.store.revisions.get(order.zone, "")
            known = self.store.orders.get(order.key)
            if order.zone not in seen and expected is not None and expected[order.zone] != revision:
                return [*done, Put(accepted=False, there=known, revision=revision, moved=True)]
            seen.add(order.zone)
            accepted = self.store.put(order)
            done.append(
                Put(accepted, self.store.orders.get(order.key), self.store.revisions.get(order.zone, ""))
            )
            if not accepted:
                break
            if len(done) % AT_ONCE == 0:
                await asyncio.sleep(0)
        return done

    def offer_orders(self, orders: Iterable[SharedOrder]) -> None:
        for order in orders if self.state.connected else ():
            self.store.put(order)

    def publish_sums(self, epoch: int, changes: Mapping[str, JsonValue]) -> None:
        del epoch
        known = self.store.sums.setdefault(self.node, {})
        for field, content in changes.items():
            if content is None:
                known.pop(field, None)
            else:
                known[field] = content
        told = {field: content for field, content in changes.items() if content is not None}
        for link in self.store.others(self.node) if self.state.connected else ():
            link.soon(link.events.on_sums, self.node, told)

    async def claim_batch(self, batch: str) -> Claim:
        await asyncio.sleep(0)
        if not self.state.connected:
            raise LinkDownError("connection refused")
        fresh = batch not in self.store.claims
        node, accepted = self.store.claims.setdefault(batch, (self.node, None))
        return Claim(node, fresh, accepted)

    async def settle_batch(self, batch: str, accepted: int | None) -> None:
        await asyncio.sleep(0)
        if not self.state.connected:
            raise LinkDownError("connection refused")
        if self.store.claims.get(batch, (self.node, None)) == (self.node, None):
            if accepted is not None:
                self.store.claims[batch] = self.node, accepted
            else:
                self.store.claims.pop(batch, None)

    def reread(self) -> None:
        self.rereads += 1
        orders = list(self.store.orders.values())
        self.soon(self.events.on_orders, orders, dict(self.store.revisions), whole=True)


class Member(Rig):
    """A server of a group, whose probes find what a test says."""

    def __init__(self, folder: Path, node: str, **settings: Any) -> None:
        folder.mkdir()
        shared = SharedSettings(url="unix:///none", group="out", agree=settings.pop("agree", "quorum"))
        super().__init__(folder, settings.pop("text", TEXT), node=node, shared=shared, **settings)

    @property
    def shared(self) -> SharedService:
        assert self.services.shared is not None
        return self.services.shared

    @property
    def link(self) -> FakeLink:
        link = self.shared.link
        assert isinstance(link, FakeLink)
        return link

    @property
    def monitor(self) -> Any:
        return self.services.verdicts._monitor

    def target(self, host: str = "mta1") -> Target:
        return next(
            target for target in self.services.cluster.targets if str(target.address).endswith(host[-1])
        )

    def probe(self, host: str, kind: ProbeResult, detail: str = "connection refused") -> None:
        target = self.target(host)
        before = self.monitor.verdicts.get(target, NOTHING_KNOWN)
        after = self.monitor.verdicts[target] = advance(before, kind, target.check)
        outcome = ProbeOutcome(kind, detail)
        self.seen[str(target.address)] = outcome
        self.services.verdicts._on_result(target, outcome, before, after)

    def probe_all(self, kind: ProbeResult = OK) -> None:
        for host in ("mta1", "mta2", "mta3"):
            self.probe(host, kind)

    def state(self, host: str = "mta1") -> HealthState:
        return self.services.cluster.state_of((NAME, host))

    def alerts(self) -> list[str]:
        return [alert.text for alert in self.shared.alerts()]

    async def begin(self) -> None:
        """Serve the file, and take part."""
        self.serve()
        self.services.verdicts.follow()
        await self.shared.begin()


class Group:
    """Servers of a group; those that a test names are made when it asks for them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store()
        self._folder = folder
        self._members: list[Member] = []
        self.link_state: dict[str, Any] = {"why": ""}
        monkeypatch.setattr(verdict_service, "RECOMPILE_EVERY", 0.0)
        monkeypatch.setattr(shared_order_service, "CONFIRM_WAIT", 0.5)
        monkeypatch.setattr(shared_service, "BEATS_WAIT", 0.05)
        monkeypatch.setattr(shared_service, "BEAT_EVERY", 0.1)
        monkeypatch.setattr(shared_group, "SharedLink", self._link)

    def _link(self, _: SharedSettings, node: str, events: SharedEvents) -> FakeLink:
        return FakeLink(self.store, node, events, **self.link_state)

    def member(self, node: str, **settings: Any) -> Member:
        one = Member(self._folder / f"{node}.{len(self._members)}", node, **settings)
        self._members.append(one)
        return one

    @contextlib.asynccontextmanager
    async def of(self, *nodes: str, **settings: Any) -> AsyncIterator[list[Member]]:
        """Run servers that hear one another, and to which all hosts are up."""
        members = [self.member(node, **settings) for node in nodes]
        try:
            for one in members:
                await one.begin()
                one.probe_all()
            for one in members:
                await until(lambda: len(one.shared.view().heard) == len(nodes))  # noqa: B023
                await until(lambda: one.shared.view().known == len(nodes))  # noqa: B023
                await until(lambda: one.state() is HealthState.UP)  # noqa: B023
            yield members
        finally:
            await self.close()

    async def close(self) -> None:
        for one in self._members:
            await one.shared.close()
            one.close()


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Group:
    """A group, of which a test starts the servers."""
    return Group(tmp_path, monkeypatch)
