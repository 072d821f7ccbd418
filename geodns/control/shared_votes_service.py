"""Asks other servers for their votes over HTTP while Redis does not bring them: the quorum outlives it.

Without `servers` nobody is asked. What is heard goes to the same `Quorum` as what comes from Redis.
"""

import asyncio
import logging
import random
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from geodns.control.peer_service import VOTES_PATH
from geodns.control.shared_votes import (
    MAX_BODY,
    HeardVotes,
    SealedVotes,
    VoteLedger,
    heard_votes,
    sealed_votes,
)
from geodns.model.shared import AddressVote, Heartbeat, SharedSettings
from geodns.signals.http_client import UnreadError
from geodns.storage.shared_messages import BadValueError, BadValues, Beat, Messages

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds from one question to the next."""
JITTER = 0.1
"""The part of it by which a question comes earlier or later."""
HEARD_FOR = 5.0
"""Seconds after the last good answer, where there was none since, that a server is heard no more."""
SILENT_IN_STORE = 3.0
"""Seconds without a heartbeat in Redis after which a server is asked itself."""
PIECE = 1_000
"""Votes taken at once."""

Ask = Callable[[str, int], Awaitable[bytes]]
"""Gets a path of a server, of at most so many bytes; raises `UnreadError`."""


class VotesTaker(Protocol):
    """Who gets what is heard."""

    def on_votes(
        self, node: str, epoch: int, changes: Mapping[str, AddressVote | None], *, whole: int | None = None
    ) -> None:
        """Take votes; `whole`: they are all that the server had when it had told this seq."""

    def on_beat_by_http(self, heartbeat: Heartbeat) -> None:
        """Take another server's heartbeat."""


class AskedServer:
    """A server that is asked for its votes.

    Attributes:
        heard_at: when it gave the last good answer, by the monotonic clock.
        why: why the last answer was none; empty: it was good.

    """

    def __init__(self) -> None:
        self.heard_at = float("-inf")
        self.why = "not asked yet"
        self.cursor: str | None = None
        self.last: tuple[str, int] = ("", 0)

    def is_heard(self, now: float) -> bool:
        """Tell whether it is; while we did not run nobody falls silent."""
        return not self.why or now - self.heard_at < HEARD_FOR


class VotesByHttp:
    """Tells our votes to who asks, and asks the others.

    Attributes:
        bad: counts what was skipped.

    """

    def __init__(self, settings: SharedSettings, node: str, taker: VotesTaker) -> None:
        self._node = node
        self._group = settings.group
        self._messages = Messages(settings.group, settings.secret)
        self._taker = taker
        self._token = secrets.token_hex(8)
        self._beats = 0
        self._sealing = threading.Lock()
        self._servers: Callable[[], Mapping[str, Ask]] = dict
        self._asked: dict[str, AskedServer] = {}
        self._in_store: dict[str, float] = {}
        self.bad = BadValues()
        self.ledger = VoteLedger()

    def ask_by(self, servers: Callable[[], Mapping[str, Ask]]) -> None:
        """Ask these servers, by node."""
        self._servers = servers

    # --- what we say ------------------------------------------------------------------------------------

    async def answer(self, heartbeat: Heartbeat, cursor: str | None) -> SealedVotes:
        """Return our votes since a place in them.

        Raises:
            BadValueError: there are too many zones to share.

        """
        self._beats += 1
        beat = Beat(heartbeat, self._token, self._beats)
        part = self.ledger.since(cursor, heartbeat.epoch)
        return await asyncio.to_thread(sealed_votes, self._messages, self._group, beat, part)

    # --- what we hear -----------------------------------------------------------------------------------

    def in_store(self, node: str) -> None:
        """Note that a server was heard through Redis."""
        self._in_store[node] = time.monotonic()

    def reread(self, node: str) -> None:
        """Ask a server for all of its votes the next time: some of them were lost."""
        if node in self._asked:
            self._asked[node].cursor = None

    def is_away(self, node: str) -> bool:
        """Tell whether a server is heard by HTTP, and not through Redis."""
        now = time.monotonic()
        silent = self._in_store.get(node, float("-inf")) <= now - SILENT_IN_STORE
        return silent and node in self._asked and self._asked[node].is_heard(now)

    @property
    def asked(self) -> dict[str, str]:
        """The servers that are asked now, each with why it is not heard; empty: it is."""
        now = time.monotonic()
        return {node: "" if one.is_heard(now) else one.why for node, one in sorted(self._asked.items())}

    @property
    def heard(self) -> frozenset[str]:
        """The servers that are heard by HTTP."""
        now = time.monotonic()
        return frozenset(node for node, one in self._asked.items() if one.is_heard(now))

    async def ask_for_ever(self, connected: Callable[[], bool]) -> None:
        """Ask whoever is not heard through Redis.

        Args:
            connected: whether Redis is there.

        """
        while True:
            await asyncio.sleep(EVERY * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - it spreads
            try:
                await self.look(connected=connected())
            except Exception:
                log.exception("the other servers could not be asked for their votes")

    async def look(self, *, connected: bool) -> None:
        """Ask each once that is not heard through Redis."""
        silent = time.monotonic() - SILENT_IN_STORE
        servers = {
            node: ask
            for node, ask in self._servers().items()
            if node != self._node and not (connected and self._in_store.get(node, float("-inf")) > silent)
        }
        self._asked = {node: self._asked.get(node) or AskedServer() for node in servers}
        await asyncio.gather(*(self._ask(node, self._asked[node], ask) for node, ask in servers.items()))

    async def _ask(self, node: str, one: AskedServer, ask: Ask) -> None:
        try:
            query = "" if one.cursor is None else f"?since={one.cursor}"
            body = await ask(VOTES_PATH + query, MAX_BODY)
            heard = await asyncio.to_thread(self._read, node, body)
            _require_news(one, heard)
        except UnreadError as error:
            one.why = _explained(str(error))
            return
        except BadValueError as error:
            self.bad.note(self._messages.key("votes", node), b"", error)
            one.why, one.cursor = f"it gives {error}", None
            return
        await self._take(node, heard)
        one.last = heard.beat.token, heard.beat.number
        one.cursor, one.why, one.heard_at = heard.next, "", time.monotonic()
        self._taker.on_beat_by_http(heard.beat.heartbeat)

    def _read(self, node: str, body: bytes) -> HeardVotes:
        with self._sealing:  # what is skipped is counted by one thread at a time
            return heard_votes(self._messages, self._group, node, body, self.bad)

    async def _take(self, node: str, heard: HeardVotes) -> None:
        changes: dict[str, AddressVote | None] = dict(heard.votes)
        names = list(changes)
        for start in range(0, len(names), PIECE):
            part = {name: changes[name] for name in names[start : start + PIECE]}
            self._taker.on_votes(node, heard.epoch, part)
            if start + PIECE < len(names):
                await asyncio.sleep(0)
        if heard.whole:
            self._taker.on_votes(node, heard.epoch, changes, whole=heard.beat.heartbeat.seq)
        elif heard.gone:
            self._taker.on_votes(node, heard.epoch, dict.fromkeys(heard.gone))


def _require_news(one: AskedServer, heard: HeardVotes) -> None:
    if heard.beat.token == one.last[0] and heard.beat.number <= one.last[1]:
        raise BadValueError(REPLAYED)
    if not heard.whole and one.cursor is None:
        raise BadValueError(NOT_ASKED)


REPLAYED = "an answer of before"
NOT_ASKED = "changes where all votes were asked for"
_HINTS = {
    "status 401": "have all servers the same `read_token`, or `token`?",
    "status 403": "is this server's token one for reading?",
    "status 404": "is it a geodns of an earlier version, or without `shared`?",
}


def _explained(error: str) -> str:
    """Return why a server gives no votes, with what an operator would try."""
    for start, hint in _HINTS.items():
        if error.startswith(start):
            return f"{error} ({hint})"
    return error
