"""Asking the other servers for their votes: whom, with what, and what becomes of a bad answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from geodns.control.shared_votes import cursor_of
from geodns.control.shared_votes_service import REPLAYED, VotesByHttp
from geodns.model.shared import AddressVote, Heartbeat, SharedSettings, Vote
from geodns.signals.http_client import UnreadError

SETTINGS = SharedSettings(url="unix:///none", group="out", secret=b"of all servers")
UP = AddressVote(vote=Vote.UP, held=Vote.UP, seq=1)


class Taker:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.beats: list[Heartbeat] = []
        self.votes: list[tuple[dict[str, AddressVote | None], int | None]] = []

    def on_votes(
        self, node: str, epoch: int, changes: Mapping[str, AddressVote | None], *, whole: int | None = None
    ) -> None:
        assert (node, epoch) == ("ns2", 3)
        self.votes.append((dict(changes), whole))

    def on_beat_by_http(self, heartbeat: Heartbeat) -> None:
        self.beats.append(heartbeat)


class Pair:
    """A server that asks another one."""

    def __init__(self) -> None:
        self.taker = Taker()
        self.one = VotesByHttp(SETTINGS, "ns1", self.taker)
        self.other = VotesByHttp(SETTINGS, "ns2", Taker())
        self.other.ledger.publish(3, {"a": UP, "b": UP})
        self.paths: list[str] = []
        self.fails = ""
        self.replays: bytes | None = None
        self.one.ask_by(lambda: {"ns1": self._ask, "ns2": self._ask})

    async def _ask(self, path: str, most: int) -> bytes:
        del most
        self.paths.append(path)
        if self.fails:
            raise UnreadError(self.fails)
        if self.replays is not None:
            return self.replays
        heartbeat = Heartbeat(node="ns2", epoch=3, seq=1, version="1", at=1.0)
        cursor = cursor_of(path.partition("since=")[2])
        return (await self.other.answer(heartbeat, cursor)).model_dump_json().encode()


def run(go: Callable[[Pair], Awaitable[None]]) -> None:
    async def begin() -> None:
        await go(Pair())

    asyncio.run(begin())


def test_all_votes_first_then_what_changed_then_all_again_where_some_were_lost() -> None:
    async def go(pair: Pair) -> None:
        await pair.one.look(connected=False)
        assert pair.taker.votes == [({"a": UP, "b": UP}, None), ({"a": UP, "b": UP}, 1)]
        assert pair.one.heard == {"ns2"}
        pair.taker.votes.clear()
        pair.other.ledger.publish(3, {"a": None})
        await pair.one.look(connected=False)
        assert pair.taker.votes == [({"a": None}, None)]
        pair.one.reread("ns2")
        await pair.one.look(connected=False)
        assert pair.paths == ["/api/v1/votes", "/api/v1/votes?since=3.1", "/api/v1/votes"]
        assert len(pair.taker.beats) == 3

    run(go)


def test_who_is_heard_through_redis_is_not_asked() -> None:
    async def go(pair: Pair) -> None:
        pair.one.in_store("ns2")
        await pair.one.look(connected=True)
        assert (pair.paths, pair.one.asked) == ([], {})
        await pair.one.look(connected=False)
        assert pair.one.asked == {"ns2": ""}

    run(go)


def test_an_older_server_is_not_heard_and_told_as_such() -> None:
    async def go(pair: Pair) -> None:
        pair.fails = "status 404 Not Found"
        await pair.one.look(connected=False)
        assert pair.one.heard == frozenset()
        assert "geodns of an earlier version" in pair.one.asked["ns2"]
        assert not pair.taker.beats

    run(go)


def test_an_answer_of_before_is_no_sign_of_life() -> None:
    async def go(pair: Pair) -> None:
        pair.replays = await pair._ask("/api/v1/votes", 0)
        await pair.one.look(connected=False)
        await pair.one.look(connected=False)
        assert len(pair.taker.beats) == 1
        assert pair.one.bad.counts == {REPLAYED: 1}

    run(go)
