"""Posts batches to the first server that takes them, and says that it is alive."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import aiohttp

from geodns.cli.client import Server, in_words
from geodns.cli.follow.spool import Spool, SpooledBatch
from geodns.errors import StoreError

SIGNALS = "/api/v1/signals"
STATUS = "/status"
TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
AGAIN = (1.0, 30.0)
"""Seconds until all servers are tried again: at first, and at most after doubling."""
LOOK = 5.0
"""Seconds between looks for batches that another process has kept, as `--arf -` does."""
HEARTBEAT = 60.0
MISSED = 5.0
"""Seconds until the next heartbeat where nothing was read, or no server took one."""
CLOSED = {401, 403, 404}
"""Statuses of a server that tells no stranger of its hosts."""
HOPELESS = {400, 413, 422}
"""Statuses of a batch that no server will ever take."""


class Poster:
    """Posts what the spool holds, oldest first, to the first server that takes it.

    Args:
        spool: the batches.
        servers: where to; the next one is tried where one does not answer.
        tell: told what the operator should know.

    """

    def __init__(self, spool: Spool, servers: Server, tell: Callable[[str], None]) -> None:
        self._spool = spool
        self._servers = servers
        self._tell = tell
        self._current = 0
        self._trouble = ""
        self._rejected = ""
        self._strangers: tuple[str, ...] = ()
        self.more = asyncio.Event()
        """Set by whoever keeps a batch."""

    async def run(self) -> None:
        """Post for ever."""
        pause = AGAIN[0]
        async with open_session(self._servers) as session:
            while True:
                self.more.clear()
                if await self._drain(session):
                    pause = AGAIN[0]
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self.more.wait(), LOOK)
                else:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, AGAIN[1])

    async def until_empty(self) -> None:
        """Post all that waits, however often that needs to be tried."""
        async with open_session(self._servers) as session:
            while not await self._drain(session):  # noqa: ASYNC110 - it waits for a server
                await asyncio.sleep(AGAIN[0])

    async def _drain(self, session: aiohttp.ClientSession) -> bool:
        """Post all that waits; return False where no server takes it now."""
        while (batch := self._spool.oldest()) is not None:
            if not await self._post(session, batch):
                return False
        return True

    async def _post(self, session: aiohttp.ClientSession, batch: SpooledBatch) -> bool:
        status, answer = await self._ask(session, batch.body)
        if status in HOPELESS:
            self._tell(f"{self._url}: refused a batch of {batch.events} events, which are lost: {answer}")
        elif status != 200:
            return False
        elif isinstance(answer, dict) and answer.get("rejected"):
            why = str(answer["rejected"][0]["error"])
            if why != self._rejected:
                self._rejected = why
                self._tell(f"{self._url}: refused {len(answer['rejected'])} signals, the first: {why}")
        try:
            self._spool.done(batch.name)
        except StoreError as error:  # it is posted again, and known by its name
            self._tell(str(error))
            return False
        return True

    def _remark(self, answer: Any) -> None:
        """Tell, once, which names of a heartbeat are nobody's."""
        strangers = tuple(answer.get("strangers", ())) if isinstance(answer, dict) else ()
        if strangers and strangers != self._strangers:
            self._tell(f"{self._url}: no host of a zone is, or sends from: {', '.join(map(str, strangers))}")
        self._strangers = strangers

    @property
    def _url(self) -> str:
        return self._servers.urls[self._current]

    async def _ask(self, session: aiohttp.ClientSession, body: bytes) -> tuple[int, Any]:
        """Post to the servers, each once, until one takes it or will never; return its status and answer."""
        troubles = []
        for _ in self._servers.urls:
            url = self._url
            try:
                async with session.post(url + SIGNALS, data=body) as response:
                    status, text = response.status, await response.text()
                answer = json.loads(text)
                if status in {200, *HOPELESS}:
                    if self._trouble:
                        self._tell(f"{url} takes signals again")
                        self._trouble = ""
                    return status, answer
                why = str(answer.get("error", f"status {status}") if isinstance(answer, dict) else status)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = in_words(error)
            except ValueError:
                why = "the answer is no JSON: is that a geodns?"
            troubles.append(f"{url}: {why}")
            self._current = (self._current + 1) % len(self._servers.urls)
        trouble = "; ".join(sorted(troubles))
        if trouble != self._trouble:
            self._trouble = trouble
            self._tell(f"no server takes signals, they are kept: {trouble}")
        return 0, None

    async def beat(self, names: Callable[[], Iterable[str]], identity: str) -> None:
        """Say each minute whose mail is read, as long as it is."""
        async with open_session(self._servers) as session:
            while True:
                self._current = 0  # the others' signals are there as well, if it is back
                alive = list(names())
                status = 0
                if alive:
                    body = {"batch": f"{identity}-alive-{time.time_ns()}", "signals": [], "alive": alive}
                    status, answer = await self._ask(session, json.dumps(body).encode())
                    self._remark(answer)
                await asyncio.sleep(HEARTBEAT if status else MISSED)


def open_session(servers: Server) -> aiohttp.ClientSession:
    """Return a session for requests to the servers."""
    headers = {"Content-Type": "application/json", **servers.headers()}
    return aiohttp.ClientSession(timeout=TIMEOUT, headers=headers)


async def host_addresses(
    session: aiohttp.ClientSession, urls: Iterable[str], zone: str, tell: Callable[[str], None]
) -> frozenset[str] | None:
    """Return the addresses of the hosts of all zones, or of one; None: no server knows any now.

    Where a server answers and does not tell, there are none.
    """
    for url in urls:
        try:
            # Reading is often open, and a token for signals is refused here.
            for headers in ({"Authorization": ""}, {}):
                async with session.get(url + STATUS, headers=headers) as response:
                    status, text = response.status, await response.text()
                if status not in {401, 403}:
                    break
            if status in CLOSED:
                tell(f"{url}{STATUS}: status {status}: name the zone's own hosts by --inside")
                return frozenset()
            found = addresses_in(json.loads(text), zone) if status == 200 else frozenset()
            if found:  # a server that has just started has read no zone yet
                return found
        except (aiohttp.ClientError, TimeoutError, OSError):
            continue
        except (ValueError, AttributeError, TypeError, KeyError):
            tell(f"{url}{STATUS}: the answer is not as expected: is that a geodns?")
            return frozenset()
    return None


def addresses_in(status: Any, zone: str) -> frozenset[str]:
    """Return the addresses of hosts in an answer of `/status`."""
    return frozenset(
        address
        for name, hosts in status["hosts"].items()
        if zone in {"", name}
        for host in hosts.values()
        for address in (*host.get("addresses", ()), *host.get("egress", ()))
    )
