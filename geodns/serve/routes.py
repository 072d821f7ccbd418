"""The routes worker: tells MTAs which name or host a message leaves by, in the protocols they speak."""

import asyncio
import logging
import socket
import sys
import time
from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence

from geodns.responder.route_table import RouteNews
from geodns.serve.connections import UNSENT, Connection, ConnectionServer
from geodns.serve.frames import ROUTE_SECONDS, ProviderAsked, RouteCounts, RouteKey
from geodns.serve.known_providers import KnownProviders
from geodns.serve.plan import RoutesListener, RoutesPlan
from geodns.serve.provider_cache import WAIT, ProviderCache
from geodns.serve.recent_look_ups import RecentLookUps
from geodns.serve.route_conversation import Conversation, reply
from geodns.serve.route_messages import Heard, Malformed, RouteRequest
from geodns.serve.routes_answers import Answerer, Wanted
from geodns.serve.worker import TableFollower

log = logging.getLogger(__name__)

CONNECTIONS = 2000
"""Connections at one time: one for each smtpd of several large Postfixes. Past that, the one that was idle
longest goes."""

IDLE = 1200.0
"""Seconds that a connection may stay without a request. Where Postfix keeps one to a policy service, that is
for 300 s without a request and 1000 s in all (smtpd_policy_service_max_idle and _max_ttl), but it looks at
neither in the middle of an SMTP session. It shall be the one who closes: what it finds closed costs it a try,
and with try_limit=1 every answer until the session's end."""

UNUSED = 10.0
"""Seconds without a request after which a leaving worker lets go of a connection: the SMTP session in whose
middle it was should have ended."""

HALF = 10.0
"""Seconds that a request may take to arrive."""

HELD = 8 << 20
"""Bytes of requests that have not arrived whole, of all clients; past that, those that began first go."""

LINGER = 1.0
"""Seconds that a client has to read the last answer and close."""

TURN = 1
"""Requests of one connection that are answered before the others' turn. MTAs ask one at a time; of a crowd
that asks many at once each further one would keep all others waiting."""

PIECE = 4096
"""Bytes of one connection that are parsed in a turn."""

TAKEN = 1 << 14
"""Bytes that are read at once, and so those of one connection that may wait for its turn."""

TOLD_EVERY = 60.0
"""Seconds from one line about malformed requests, or one of our own faults, to the next."""


def serve(
    follower: TableFollower,
    listening: Sequence[socket.socket],
    plan: RoutesPlan,
    known: KnownProviders,
) -> None:
    """Answer until the worker shall end; raises SystemExit then.

    Args:
        follower: the worker's link.
        listening: the listeners' sockets, in their order.
        plan: the listeners.
        known: providers that control has told of before.

    """
    asyncio.run(_serve(follower, listening, plan, known))
    raise SystemExit(0)


async def _serve(
    follower: TableFollower,
    listening: Sequence[socket.socket],
    plan: RoutesPlan,
    known: KnownProviders,
) -> None:
    server = RoutesServer(follower, listening, plan, known)
    await server.run()
    server.report()


class RoutesServer(ConnectionServer):
    """All connections of MTAs.

    Attributes:
        answerer: answers them.
        halves: connections with part of a request, the one that began first stands first, and when it began.
        taken: what is read into, for all of them.

    """

    UNUSED = UNUSED
    PARTS = False  # see `IDLE`

    def __init__(
        self,
        follower: TableFollower,
        listening: Sequence[socket.socket],
        plan: RoutesPlan,
        known: KnownProviders,
    ) -> None:
        super().__init__(follower, listening, "routes", most=CONNECTIONS, per_client=sys.maxsize, idle=IDLE)
        self.plan = plan
        self.halves: OrderedDict[_MtaConnection, float] = OrderedDict()
        self.taken = bytearray(TAKEN)
        self._held = 0
        self.answerer = Answerer(ProviderCache(plan.providers, known, self._ask))
        follower.on_news = self._take
        self._targets = follower.table.targets
        self._since = time.time()
        self._answers: Counter[RouteKey] = Counter()
        self._looked_up = RecentLookUps()
        self._buckets = [0] * (len(ROUTE_SECONDS) + 1)
        self._seconds = 0.0
        self._malformed = 0
        self._malformed_told = self._fault_told = -TOLD_EVERY

    def connection(self, listener: int) -> Connection:
        return _MtaConnection(self, self.plan.listeners[listener])

    def tick(self, now: float) -> None:
        """Report, and close what sends no whole request."""
        super().tick(now)
        if not self.follower.stream.backlog:  # while the supervisor does not read, counts add up here
            self.report()
        while self.halves and now - next(iter(self.halves.values())) > HALF:
            self._drop_half()

    def note_half(self, connection: "_MtaConnection", held: int) -> None:
        """Note that a connection has so many bytes of a request that is not whole."""
        self.halves.setdefault(connection, connection.heard)
        self._held += held - connection.held
        connection.held = held
        while self._held > HELD:
            self._drop_half()

    def no_half(self, connection: "_MtaConnection") -> None:
        """Note that a connection has no part of a request any more."""
        if self.halves.pop(connection, None) is not None:
            self._held -= connection.held
            connection.held = 0

    def _drop_half(self) -> None:
        oldest = next(iter(self.halves))
        self.no_half(oldest)
        oldest.drop()

    def reply(self, request: RouteRequest, listener: RoutesListener, *, waited: bool) -> bytes | Wanted:
        """Return the answer as it is written, or whose provider to wait for."""
        self.keep_up()
        table = self.follower.table
        if table.targets is not self._targets:
            self._targets = table.targets
            self.answerer.dealer.keep(table.targets)
        found = self.answerer.answer(table, listener, request, (time.monotonic(), time.time()), waited=waited)
        if isinstance(found, Wanted):
            return found
        zone, answer = found
        digest = answer.rule.digest if answer.rule is not None else ""
        self._answers[RouteKey(zone, digest, answer.outcome, request.protocol)] += 1
        if answer.route is not None and answer.route.host:
            host, target = answer.route.host, answer.target
            capped = target is not None and host in target.capped.get(answer.provider, ())
            self._looked_up.add(zone, host, answer.provider, capped=capped)
        return reply(request, answer)

    def refuse(self, malformed: Malformed) -> bytes:
        """Count what is no request, tell of it now and then; return its answer."""
        self._answers[RouteKey("", "", "malformed", malformed.protocol)] += 1
        self._malformed += 1
        now = time.monotonic()
        if now - self._malformed_told >= TOLD_EVERY:
            self._malformed_told = now
            log.warning(
                "%d malformed requests for routes since the last line like this, now by %s: %s",
                self._malformed,
                malformed.protocol,
                malformed.why,
            )
            self._malformed = 0
        return malformed.reply

    def fault(self, error: Exception) -> None:
        """Tell of a fault of our own, now and then."""
        now = time.monotonic()
        if now - self._fault_told >= TOLD_EVERY:
            self._fault_told = now
            log.error("a request for a route could not be answered", exc_info=error)

    def took(self, seconds: float, number: int) -> None:
        """Count so many answers that were written after so many seconds."""
        self._buckets[bisect_left(ROUTE_SECONDS, seconds)] += number
        self._seconds += seconds * number

    def report(self) -> None:
        """Send control what was counted, if anything was."""
        if not self._answers:
            return
        self.follower.tell(
            RouteCounts(
                self.follower.name,
                dict(self._answers),
                self._looked_up.tell(time.monotonic()),
                tuple(self._buckets),
                self._seconds,
                self._since,
            )
        )
        self._since = time.time()
        self._answers.clear()
        self._buckets = [0] * len(self._buckets)
        self._seconds = 0.0

    def left(self, connection: Connection) -> None:
        super().left(connection)
        if isinstance(connection, _MtaConnection):
            self.no_half(connection)

    def _ask(self, domain: str) -> None:
        self.follower.tell(ProviderAsked(self.follower.name, domain))

    def _take(self, news: RouteNews) -> None:
        if news.allowances:
            self.answerer.dealer.allow(self._looked_up.without(news.allowances, time.monotonic()))
        self.answerer.providers.take(news, time.time())


class _MtaConnection(Connection, asyncio.BufferedProtocol):
    """One connection of an MTA; a request that waits for a provider holds up those behind it.

    Attributes:
        held: bytes of a request that has not arrived whole.

    """

    def __init__(self, server: RoutesServer, listener: RoutesListener) -> None:
        super().__init__(server)
        self.held = 0
        self._server = server
        self._listener = listener
        self._conversation = Conversation(server.plan.names)
        self._in = b""
        self._parsed = 0
        self._heard: deque[Heard] = deque()
        self._ended = False
        """Whether the client will send no more."""
        self._wanted: Wanted | None = None
        self._patience: asyncio.TimerHandle | None = None
        """For the provider, or at the end for the client to close."""
        self._waited = False

    @property
    def unread(self) -> bool:
        return bool(self._heard or self._parsed < len(self._in) or self._conversation.held)

    def connection_lost(self, error: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(error)

    def get_buffer(self, _sizehint: int) -> bytearray:
        return self._server.taken

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(memoryview(self._server.taken)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        if self.over:
            return
        self._in = self._in[self._parsed :] + data
        self._parsed = 0
        self.answer()

    def eof_received(self) -> bool:
        self._ended = True
        if self.over:
            return False
        self.heard = time.monotonic()
        self._heard += self._conversation.eof()
        self.answer()
        return True  # answers may still be on their way

    def answer(self) -> None:
        self.begin_turn()
        if self._wanted is not None:
            return
        try:
            answers, number = self._answers()
        except Exception as error:  # noqa: BLE001 - whatever it is, other clients are none the worse
            self._server.fault(error)
            self.drop()
            return
        if answers:
            self.transport.write(answers)
            now = time.monotonic()
            self.touch(now)
            self._server.took(now - self.heard, number)
        if self._wanted is not None:
            self._server.no_half(self)
            self.transport.pause_reading()
            return
        more = bool(self._heard or (self._parsed < len(self._in) and not self._conversation.ended))
        if more or not (self._ended or self._conversation.ended):
            if not more:
                self._in, self._parsed = b"", 0
            self._note_half(progress=number > 0, more=more)
            self.end_turn(more=more)
        else:
            self._close()

    def _answers(self) -> tuple[bytes, int]:
        """Return a turn's answers, and how many there are."""
        answers = bytearray()
        number = 0
        parsed = False
        while number < TURN and len(answers) < UNSENT:
            if not self._heard:
                if parsed or self._parsed == len(self._in) or self._conversation.ended:
                    break
                parsed = True
                piece = self._in[self._parsed : self._parsed + PIECE]
                self._parsed += len(piece)
                self._heard += self._conversation.feed(piece)
                continue
            first = self._heard[0]
            if isinstance(first, Malformed):
                answers += self._server.refuse(first)
            else:
                found = self._server.reply(first, self._listener, waited=self._waited)
                if isinstance(found, Wanted) and self._wait(found):
                    break
                if isinstance(found, Wanted):
                    self._waited = True
                    continue
                answers += found
            self._heard.popleft()
            self._waited = False
            number += 1
        return bytes(answers), number

    def _wait(self, wanted: Wanted) -> bool:
        """Wait for a provider; False: it is not worth it."""
        if not self._server.answerer.providers.wait(wanted.domain, time.monotonic(), self._told):
            return False
        self.touch(self.heard)
        self._wanted = wanted
        self._patience = asyncio.get_running_loop().call_later(WAIT, self._go_on)
        return True

    def _told(self) -> None:
        # Not now: this may be in the middle of another connection's answer.
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Answer with the provider that has come, or without."""
        if self._wanted is None:
            return
        self._wait_no_more()
        self._waited = True
        if not self.transport.is_closing() and not self.over and not self.full:
            self.answer()

    def _wait_no_more(self) -> None:
        if self._wanted is not None:
            self._server.answerer.providers.forget(self._wanted.domain, self._told)
            self._wanted = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _note_half(self, *, progress: bool, more: bool) -> None:
        """Note since when part of a request has been there; where more has come, the client is not late."""
        held = self._conversation.held
        if progress or not held:
            self._server.no_half(self)
        if held and not more:
            self._server.note_half(self, held)

    def _close(self) -> None:
        """Say the end behind the last answer, and give the client the time to read it."""
        self._server.no_half(self)
        self._in, self._parsed = b"", 0
        self.over = True
        if self.transport.is_closing():
            return
        if self._ended:
            self.transport.close()
            return
        # Closed with bytes unread, the kernel would reset the connection, and the answer would be lost.
        self.say_end()
        self._patience = asyncio.get_running_loop().call_later(LINGER, self.drop)
