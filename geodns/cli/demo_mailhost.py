"""The mail servers of ``geodns demo``: real SMTP on loopback, each a process that can be stopped by hand.

Run as ``python -m geodns.cli.demo_mailhost NAME ADDRESS PORT``. SIGUSR1 closes the port, and opens it again.
"""

import asyncio
import logging
import signal
import sys
from typing import Any

from aiosmtpd.smtp import SMTP

log = logging.getLogger(__name__)


class _MailSink:
    """Takes every message and keeps none."""

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        del server, session, envelope
        return "250 Message accepted and forgotten"


class MailServer:
    """An SMTP server whose port can be closed and opened."""

    def __init__(self, name: str, address: str, port: int) -> None:
        self._name = name
        self._address = address
        self._port = port
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(_MailSink(), hostname=self._name, ident="geodns demo"), self._address, self._port
        )

    async def toggle(self) -> None:
        if self._server is None:
            await self.open()
        else:
            self._server.close()
            self._server = None
        print(f"{self._name}: {'stopped' if self._server is None else 'started'}", flush=True)  # noqa: T201 - told


async def _run(name: str, address: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    server = MailServer(name, address, port)
    toggles: set[asyncio.Task[None]] = set()

    def toggle() -> None:
        task = loop.create_task(server.toggle())
        toggles.add(task)
        task.add_done_callback(toggles.discard)

    loop.add_signal_handler(signal.SIGUSR1, toggle)
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, ended.set)
    await server.open()
    await ended.wait()


if __name__ == "__main__":
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    try:
        asyncio.run(_run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
