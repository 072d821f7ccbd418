"""The query log where operators are: switched on and off while running, and written."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from geodns.api.json_types import Json
from geodns.api.query_log import _BODY, read_wish
from geodns.config.times import timestamp
from geodns.errors import BadNameError, UsageError
from geodns.responder.answer_policy import QueryLog
from geodns.responder.query_log import MAX_PACKET, Noted
from geodns.wire import codes, cookies, edns
from geodns.wire.codes import name_of, rcode_name
from geodns.wire.cookies import CookieStatus
from geodns.wire.message import BadQuery, Query, is_query, name_asked, outcome_of, parse
from geodns.wire.names import name_from_wire, name_to_wire
from geodns.wire.networks import parse_network

log = logging.getLogger("geodns.querylog")

MOST = 2_500
"""Lines a second, from all workers together: each costs what a probe's turn might need."""


def to_text(wanted: QueryLog | None) -> str:
    """Return what is logged as a text that another control process of the same server can read.

    Its end is of the machine's monotonic clock, which goes on for as long as the server can.
    """
    if wanted is None:
        return "null"
    zones = [name_from_wire(name) for name in wanted.zones]
    clients = [str(network) for network in wanted.clients]
    return json.dumps([zones, clients, wanted.sample, wanted.until])


def from_text(text: str) -> QueryLog | None:
    """Return what `to_text` was given.

    Raises:
        ValueError: another version has written the text.

    """
    found = json.loads(text)
    if found is None:
        return None
    try:
        zones, clients, sample, until = found
        return QueryLog(tuple(map(name_to_wire, zones)), tuple(map(parse_network, clients)), sample, until)
    except (TypeError, BadNameError) as error:
        raise ValueError(text) from error


Publish = Callable[[], Awaitable[tuple[str, ...]]]
"""Brings what is wanted to the workers, and returns those that have not taken it in time."""


class QueryLogService:
    """The query log of a running server.

    Args:
        wanted: what the settings say; None: off.
        publish: called when something else is wanted.
        tell: called with what was wanted, and by whom.

    Attributes:
        wanted: which queries are logged now; None: none.

    """

    def __init__(
        self, wanted: QueryLog | None, publish: Publish, tell: Callable[[str], object] = log.info
    ) -> None:
        self.wanted = wanted
        self._tell = tell
        self._publish = publish
        self._written = 0
        self._dropped = 0
        self._second = float("-inf")
        self._room = MOST

    def routes(self) -> list[web.RouteDef]:
        """Return what the HTTP side answers for it."""
        return [web.get("/api/v1/querylog", self._get), web.post("/api/v1/querylog", self._post)]

    def show(self) -> Json:
        """Return which queries are logged."""
        wanted = self.wanted
        shown: Json = {"on": wanted is not None, "written": self._written, "dropped": self._dropped}
        if wanted is None:
            return shown
        left = None if wanted.until is None else max(0.0, wanted.until - time.monotonic())
        return shown | {
            "zones": [name_from_wire(name).removesuffix(".") for name in wanted.zones],
            "clients": [str(network) for network in wanted.clients],
            "sample": wanted.sample,
            "until": None if left is None else timestamp(time.time() + left),
        }

    def write(
        self, noted: Sequence[Noted], dropped: int, secrets: Sequence[bytes], now: float
    ) -> tuple[int, int]:
        """Write what a worker has noted; return how many lines that were, and how many there are not.

        Args:
            noted: the queries.
            dropped: how many more there would have been.
            secrets: by which cookies are judged.
            now: seconds of the monotonic clock.

        """
        if now >= self._second + 1:
            self._second, self._room = now, MOST
        taken = noted[: self._room]
        self._room -= len(taken)
        dropped += len(noted) - len(taken)
        for one in taken:
            text, fields = describe(one, secrets)
            record = log.makeRecord(
                log.name, logging.INFO, __file__, 0, "%s", (text,), None, extra=dict(fields)
            )
            # The time when it was asked, not when it was written.
            record.created, record.msecs = one.at, one.at % 1 * 1000
            log.handle(record)
        self._written += len(taken)
        self._dropped += dropped
        return len(taken), dropped

    def expired(self, now: float) -> bool:
        """Switch off what is over; say whether anything was.

        Args:
            now: seconds of the monotonic clock.

        """
        if self.wanted is None or self.wanted.until is None or now < self.wanted.until:
            return False
        self.wanted = None
        self._tell(f"the query log is off: its time is over ({self._sums()})")
        return True

    async def switch(self, wanted: QueryLog | None, who: str) -> tuple[str, ...]:
        """Log other queries from now on; return the workers that have not heard of it yet.

        Args:
            wanted: which; None: none.
            who: asks.

        """
        if wanted is None and self.wanted is not None:
            self._tell(f"the query log is off, by {who} ({self._sums()})")
        elif wanted is not None:
            self._tell(f"the query log is on, by {who}: {_told(wanted)}")
            self._written = self._dropped = 0
        self.wanted = wanted
        return await self._publish()

    def _sums(self) -> str:
        return f"{self._written} queries written, {self._dropped} dropped"

    async def _get(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self.show())

    async def _post(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the body is no JSON ({error}): {_BODY}") from error
        wanted = read_wish(body, time.monotonic())
        pending = await self.switch(wanted, str(request.remote))
        shown = self.show()
        if pending:
            return web.json_response({**shown, "pending": list(pending)}, status=202)
        return web.json_response(shown)


def _told(wanted: QueryLog) -> str:
    """Say which queries are logged."""
    zones = ", ".join(name_from_wire(name).removesuffix(".") for name in wanted.zones) or "all zones"
    clients = ", ".join(map(str, wanted.clients)) or "all clients"
    left = "no end" if wanted.until is None else f"for {wanted.until - time.monotonic():.0f} s"
    return f"{zones}, {clients}, {100 * wanted.sample:g}% of the queries, {left}"


Fields = dict[str, str | int | bool]


_CLASSES = {codes.IN: "IN", codes.CH: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_COOKIES = {
    CookieStatus.NONE: "none",
    CookieStatus.CLIENT_ONLY: "asked for",
    CookieStatus.STALE: "not ours",
    CookieStatus.VALID: "valid",
}
_CD = 0x10


def describe(noted: Noted, secrets: Sequence[bytes]) -> tuple[str, Fields]:
    """Return a line, and the same as fields.

    In the line, as other name servers write it: ``+`` recursion desired or ``-`` not, ``E(0)`` EDNS and its
    version, ``T`` TCP, ``D`` DNSSEC OK, ``C`` checking disabled, ``V`` a valid cookie of ours, ``K`` another
    cookie; then what went back.

    Args:
        noted: the query and its answer.
        secrets: by which cookies are judged.

    """
    address, port, transport = noted.client
    packet = noted.packet
    fields: Fields = {"client": address, "port": port, "transport": transport}
    query = _parsed(packet)
    if query is None:
        name = name_asked(packet)
        if name is not None:
            fields["qname"] = _shown(name)
        # Of one that is longer than what is kept of it, nobody can say.
        why = "a long query" if len(packet) >= MAX_PACKET else "no well-formed query"
        asked = f"{fields.get('qname', 'no name')} ({why})"
    else:
        fields |= {
            "qname": _shown(query.name) if query.question else "",
            "qtype": name_of(query.type) if query.question else "",
            "qclass": _CLASSES.get(query.qclass, f"CLASS{query.qclass}") if query.question else "",
            "flags": _flags(query, packet, noted, secrets, fields),
        }
        what = f"{fields['qname']} {fields['qtype']} {fields['qclass']}" if query.question else "no question"
        asked = f"{what} {fields['flags']}"
        if "ecs" in fields:
            asked += f" [ECS {fields['ecs']}]"
    return f"client {address}#{port} {transport}: {asked} → {_outcome(noted, fields)}", fields


def _parsed(packet: bytes) -> Query | None:
    if not is_query(packet):
        return None
    try:
        return parse(packet)
    except BadQuery:
        return None


def _flags(query: Query, packet: bytes, noted: Noted, secrets: Sequence[bytes], fields: Fields) -> str:
    """Return the flags of a query, and add what they do not say to the fields."""
    flags = "+" if query.rd else "-"
    asked = query.edns
    cookie_status = CookieStatus.NONE
    if asked is not None:
        flags += f"E({asked.version})"
        fields |= {"edns": asked.version, "edns_size": asked.size, "do": asked.do}
        if asked.cookie and not asked.broken:
            cookie_status = CookieStatus.CLIENT_ONLY
            if secrets:
                cookie_status = cookies.judge(asked.cookie, noted.client[0], noted.at, secrets).cookie_status
        fields["cookie"] = _COOKIES[cookie_status]
        if asked.subnet and not asked.broken:
            fields["ecs"] = str(edns.network(asked.subnet) or "nobody")
    flags += "T" if noted.client[2] == "tcp" else ""
    flags += "D" if asked is not None and asked.do else ""
    flags += "C" if packet[3] & _CD else ""
    return flags + ("V" if cookie_status is CookieStatus.VALID else "K" if cookie_status else "")


def _outcome(noted: Noted, fields: Fields) -> str:
    """Say what went back, and add that to the fields."""
    if noted.limited:
        fields["limited"] = noted.limited
    answer = noted.answer
    if not answer:
        return "dropped (rate limited)" if noted.limited else "no answer"
    outcome = outcome_of(answer)
    rcode, count = rcode_name(outcome.rcode), outcome.answers
    fields |= {"rcode": rcode, "answers": count, "size": noted.size}
    marks = [*(["AA"] if outcome.authoritative else []), *(["TC"] if outcome.truncated else [])]
    fields["answer_flags"] = " ".join(marks)
    answers = "1 answer" if count == 1 else f"{count} answers"
    text = " ".join((rcode, *marks, answers, f"{noted.size} bytes"))
    return f"{text} (rate limited)" if noted.limited else text


def _shown(name: bytes) -> str:
    """Return a name without its final dot, as people write it."""
    text = name_from_wire(name)
    return text if text == "." else text.removesuffix(".")
