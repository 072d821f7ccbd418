"""The query log where operators are: switched on and off while running, and written."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from geodns.errors import BadNameError, UsageError
from geodns.guardkeys import MAX_ITEMS, zone_on_wire
from geodns.networks import parse_network
from geodns.querylog import HOW_MANY, Noted, QueryLog, parse_share
from geodns.querytext import describe
from geodns.report import quoted
from geodns.shown import Json
from geodns.status import timestamp
from geodns.when import seconds_asked
from geodns.wire import name_from_wire, name_to_wire

log = logging.getLogger("geodns.querylog")

FOR = 600.0
"""Seconds after which a query log that an operator switched on ends by itself, unless told otherwise."""

MOST = 2_500
"""Lines a second, from all workers together: each costs what a probe's turn might need."""

_BODY = 'write {"on": true, "zones": ["out.example.com"], "clients": ["192.0.2.0/24"], "sample": "1%"}'
_KEYS = {"on", "zones", "clients", "sample", "for"}


def read_wish(body: Any, now: float) -> QueryLog | None:
    """Return what an operator asks for; None is off.

    Args:
        body: as it came, already read as JSON.
        now: seconds of the monotonic clock.

    Raises:
        UsageError: says what is wrong, and what to write instead.

    """
    if not isinstance(body, dict) or not isinstance(body.get("on"), bool):
        raise UsageError(f"`on` is true or false: {_BODY}")
    for key in body.keys() - _KEYS:
        raise UsageError(f"{quoted(key)} is not known here: {_BODY}")
    if not body["on"]:
        if len(body) > 1:
            raise UsageError("with `on` false nothing else has a meaning")
        return None
    share = body.get("sample", 1)
    sample = _share(share)
    if sample is None:
        raise UsageError(f"`sample` {quoted(str(share))} is no part of the queries: {HOW_MANY}")
    return QueryLog(
        tuple(_zone(text) for text in _texts(body, "zones")),
        tuple(_network(text) for text in _texts(body, "clients")),
        sample,
        _end(body.get("for", FOR), now),
    )


def _texts(body: Json, key: str) -> list[str]:
    given = body.get(key, [])
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise UsageError(f"`{key}` is a list of texts: {_BODY}")
    if len(given) > MAX_ITEMS:
        raise UsageError(f"`{key}` names {len(given)}, at most {MAX_ITEMS} are looked for")
    return given


def _share(given: object) -> float | None:
    if isinstance(given, str):
        return parse_share(given)
    # Numbers as they are: as text 0.00001 is 1e-05, which nobody writes.
    return float(given) if isinstance(given, int | float) and given is not True and 0 < given <= 1 else None


def _zone(text: str) -> bytes:
    try:
        return zone_on_wire(text)
    except BadNameError as error:
        raise UsageError(f"`zones`: {error}") from error


def _network(text: str) -> Any:
    try:
        return parse_network(text)
    except ValueError as error:
        raise UsageError(f"`clients`: {error.args[0]}: {error.args[1]}") from error


def _end(given: Any, now: float) -> float | None:
    return None if given == "unlimited" else now + seconds_asked(given, "write unlimited")


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


class LogSwitch:
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
