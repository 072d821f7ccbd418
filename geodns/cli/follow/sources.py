"""Reads lines from standard input, the journal and KumoMTA's webhook."""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from hashlib import blake2b

from aiohttp import web

from geodns.cli.follow.follower import Follower, Tell
from geodns.cli.follow.log_reader import LogReader
from geodns.cli.follow.log_times import LogTimes
from geodns.cli.follow.spool import Spool
from geodns.errors import GeodnsError

GATHER = 1.0
"""Seconds of lines that make a batch, at most."""
PIECE = 1 << 20
"""Bytes of lines that make a batch, at most."""
MOST_HOOK = 16 << 20
CURSOR = "cursor"
MAIL = "SYSLOG_FACILITY=2"
"""Mail servers log to the facility `mail`, whatever their units are called."""
RESTART = 5.0
"""Seconds until journalctl is started again."""


async def gathered(read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    """Yield whole lines of a stream, as many as come within a second; at the end the rest.

    Args:
        read: gives the next bytes; none: it has ended.

    """
    held = b""
    pending = asyncio.ensure_future(read())
    try:
        while True:
            end = None if not held else asyncio.get_running_loop().time() + GATHER
            ended = False
            while len(held) < PIECE:
                rest = None if end is None else end - asyncio.get_running_loop().time()
                await asyncio.wait({pending}, timeout=rest)
                if not pending.done():
                    break
                data = pending.result()
                if not data:
                    ended = True
                    break
                held += data
                end = end or asyncio.get_running_loop().time() + GATHER
                pending = asyncio.ensure_future(read())
            cut = len(held) if ended else held.rfind(b"\n") + 1
            if cut == 0 and len(held) >= PIECE:
                cut = len(held)  # no line of a mail server
            if cut:
                yield held[:cut]
                held = held[cut:]
            if ended:
                return
    finally:
        pending.cancel()


async def _read_stdin() -> bytes:
    """Read standard input, a file or a pipe, in a thread that keeps nobody from ending."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes) -> None:
        if not found.done():
            found.set_result(data)

    def read() -> None:
        data = os.read(sys.stdin.fileno(), PIECE)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, data)

    threading.Thread(target=read, daemon=True).start()
    return await found


async def read_stdin(follower: Follower, kept: Callable[[], None]) -> None:
    """Keep what comes by standard input, until it ends."""
    reader = LogReader(LogTimes(time.time()))
    run = f"stdin-{time.time_ns()}"
    number = 0
    async for data in gathered(_read_stdin):
        reader.times.now = time.time()
        number += 1
        await follower.keep_lines("", reader, data, f"{run}-{number}", {})
        kept()


async def read_journal(follower: Follower, spool: Spool, tell: Tell, kept: Callable[[], None]) -> None:
    """Keep what the journal says, from where an earlier run stopped, else from now on."""
    reader = LogReader(LogTimes(time.time()))
    while True:
        cursor = spool.known(CURSOR)
        begin = f"--after-cursor={cursor}" if cursor else "--lines=0"
        try:
            process = await asyncio.create_subprocess_exec(
                *("journalctl", "--output=json", "--follow", "--no-pager", "--quiet", begin),
                MAIL,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                limit=PIECE,
            )
        except OSError as error:
            raise GeodnsError(f"journalctl cannot be started: {error.strerror}") from error
        assert process.stdout is not None
        try:
            async for data in gathered(partial(process.stdout.read, PIECE)):
                digest = blake2b(data, digest_size=12).hexdigest()
                cursor = _last_cursor(data) or cursor
                known = {CURSOR: cursor} if cursor else {}
                await follower.keep_lines(CURSOR, reader, data, f"journal-{digest}", known)
                kept()
        finally:
            if process.returncode is None:
                process.kill()
            status = await process.wait()
        tell(f"journalctl ended with status {status}; it is started again")
        await asyncio.sleep(RESTART)


def _last_cursor(data: bytes) -> str:
    for line in reversed(data.splitlines()):
        try:
            return str(json.loads(line)["__CURSOR"])
        except (ValueError, KeyError, TypeError):
            continue
    return ""


def webhook_application(follower: Follower, kept: Callable[[], None]) -> web.Application:
    """Return what takes KumoMTA's records: one, several in a list, or one a line; each request is a batch."""
    reader = LogReader(LogTimes(time.time()))

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            given = json.loads(body)
        except ValueError:
            lines = body
        else:
            records = given if isinstance(given, list) else [given]
            lines = b"\n".join(json.dumps(one).encode() for one in records)
        before = reader.unreadable
        # A request that is repeated, since its answer was lost, is the same batch again.
        await follower.keep_lines("", reader, lines, f"hook-{blake2b(body, digest_size=12).hexdigest()}", {})
        kept()
        if reader.unreadable > before:
            return web.json_response({"error": "a line is no record of KumoMTA's"}, status=400)
        return web.json_response({})

    application = web.Application(client_max_size=MOST_HOOK)
    application.router.add_post("/{path:.*}", take)
    return application
