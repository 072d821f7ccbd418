"""Runs readers, poster and heartbeat side by side, until all input has ended or the program is told to."""

import asyncio
import json
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from geodns.cli.client import Server
from geodns.cli.follow.feedback import maildir
from geodns.cli.follow.follower import Follower, Tell
from geodns.cli.follow.log_file import CHUNK, LogFile
from geodns.cli.follow.poster import Poster, host_addresses, open_session
from geodns.cli.follow.signals import Network, Ours, Sender
from geodns.cli.follow.sources import read_journal, read_stdin, webhook_application
from geodns.cli.follow.spool import Spool
from geodns.errors import GeodnsError, StoreError

STDIN = "-"
MAIL = 5.0
"""Seconds between looks into a maildir."""
PAUSE = 1.0
"""Seconds between looks at a file in which nothing is new."""
LAST = 10.0
"""Seconds in which what waits is posted once all input has ended."""
FULL = 32 << 20
"""Bytes of waiting batches at which files are left unread for now: they keep their lines themselves."""
RENEW = 300.0
"""Seconds after which the servers are asked for the addresses of their hosts again."""
PATIENCE = 10.0
"""Seconds that standard input, the journal and the webhook wait for those addresses; files wait for ever."""


class Run:
    """One run of the command.

    Args:
        spool: what outlives it.
        sender: whom signals are of.
        networks: what is inside beside the zone's hosts.
        servers: where signals go.
        tell: told what the operator should know.

    """

    def __init__(
        self, spool: Spool, sender: Sender, networks: tuple[Network, ...], servers: Server, tell: Tell
    ) -> None:
        self._spool = spool
        self._networks = networks
        self._zone = sender.zone
        self._tell = tell
        self._follower = Follower(spool, sender, tell)
        self._servers = servers
        self._poster = Poster(spool, servers, tell)
        self._known = asyncio.Event()
        self._logs: list[LogFile] = []
        self._reads = False
        kept = spool.known("hosts")
        if kept is not None:
            self._take_hosts(frozenset(json.loads(kept)))

    async def until_ended(
        self,
        files: tuple[str, ...],
        listen: tuple[str, int] | None,
        maildirs: tuple[str, ...],
        *,
        journal: bool,
    ) -> int:
        """Read, post and beat until all input has ended; return how many batches no server has taken."""
        inputs: list[Coroutine[Any, Any, None]] = [
            self._stdin() if one == STDIN else self._file(Path(one)) for one in files
        ]
        self._reads = bool(inputs or journal or listen)  # complaints alone do not tell how mail fares
        inputs += [self._maildir(Path(one)) for one in maildirs]
        if journal:
            inputs.append(self._journal())
        if listen is not None:
            inputs.append(self._webhook(listen))
        reading = asyncio.gather(*inputs)
        beat = self._poster.beat(self._alive, self._follower.identity)
        others: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(one) for one in (self._poster.run(), self._hosts(), beat)
        ]
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        others.append(asyncio.ensure_future(stop.wait()))
        try:
            await asyncio.wait({reading, *others}, return_when=asyncio.FIRST_COMPLETED)
            for one in (*others, reading):
                if one.done():
                    one.result()  # its error is the command's
        finally:
            for one in (*others, reading):
                one.cancel()
            await asyncio.gather(*others, reading, return_exceptions=True)
            for log in self._logs:
                log.close()
        if stop.is_set():
            return 0
        with suppress(TimeoutError):
            await asyncio.wait_for(self._poster.until_empty(), LAST)
        return self._spool.count()

    async def one_report(self, content: bytes) -> str | None:
        """Keep a feedback report and post what waits; return why it says nothing.

        Where no server takes it, the next run posts it.
        """
        why = await self._follower.keep_report(content, time.time())
        if why is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._poster.until_empty(), LAST)
        return why

    async def _maildir(self, path: Path) -> None:
        """Keep the reports that come into a maildir; those that were read are marked as seen."""
        new, seen = maildir(path)
        done: set[str] = set()
        while True:
            for report in sorted(one for one in new.iterdir() if one.name not in done):
                try:
                    content = report.read_bytes()
                except OSError as error:
                    self._tell(f"{report} cannot be read: {error.strerror}")
                    continue
                why = await self._follower.keep_report(content, time.time())
                if why is not None:
                    self._tell(f"{report.name}: left out: {why}")
                self._poster.more.set()
                try:
                    report.rename(seen / f"{report.name}:2,S")
                except OSError as error:
                    self._tell(f"{report} cannot be marked as seen: {error.strerror}")
                    done.add(report.name)
            await asyncio.sleep(MAIL)

    def _alive(self) -> list[str]:
        """Return whose mail is read; nobody's while a log cannot be read."""
        if not self._reads or not all(log.readable for log in self._logs):
            return []
        return self._follower.collector.alive()

    async def _file(self, path: Path) -> None:
        log = LogFile(path, self._follower.opened(str(path)), self._tell)
        self._logs.append(log)
        await self._known.wait()
        followed = self._follower.followed(log)
        loop = asyncio.get_running_loop()
        trouble = ""
        while True:
            size = 0
            try:
                if self._spool.waiting_bytes() < FULL:
                    size = await followed.step(loop.time())
                trouble = ""
            except OSError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    self._tell(f"{path} cannot be read: {error.strerror}")
                log.close()
            if size:
                self._poster.more.set()
            # A look each second, so that a batch is what comes within one.
            await asyncio.sleep(0 if size > CHUNK // 2 else PAUSE)

    async def _stdin(self) -> None:
        await self._short_wait()
        await read_stdin(self._follower, self._poster.more.set)

    async def _journal(self) -> None:
        await self._short_wait()
        await read_journal(self._follower, self._spool, self._tell, self._poster.more.set)

    async def _webhook(self, listen: tuple[str, int]) -> None:
        await self._short_wait()
        runner = web.AppRunner(webhook_application(self._follower, self._poster.more.set), access_log=None)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, *listen).start()
            except OSError as error:
                raise GeodnsError(f"--webhook {listen[0]}:{listen[1]}: {error.strerror}") from error
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _short_wait(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._known.wait(), PATIENCE)

    async def _hosts(self) -> None:
        """Ask the servers for the addresses of their hosts, now and again."""
        told: set[str] = set()

        def tell_once(text: str) -> None:
            if text not in told:
                told.add(text)
                self._tell(text)

        async with open_session(self._servers) as session:
            while True:
                found = await host_addresses(session, self._servers.urls, self._zone, tell_once)
                if found is not None:
                    with suppress(StoreError):
                        self._spool.keep((), {"hosts": json.dumps(sorted(found))}, {})
                    self._take_hosts(found)
                elif not self._known.is_set():
                    tell_once(
                        "no server has said yet which addresses are the zone's own: files are left unread"
                    )
                await asyncio.sleep(RENEW if self._known.is_set() else PAUSE)

    def _take_hosts(self, hosts: frozenset[str]) -> None:
        self._follower.collector.ours = Ours(self._networks, hosts)
        self._known.set()
