"""The mail servers of ``geodns demo``: real SMTP on loopback, each a process that can be stopped by hand.

Run as ``python -m geodns.cli.demo_mailhost NAME ADDRESS PORT``. SIGUSR1 closes the port, and opens it again;
SIGUSR2 refuses the probes of the demo's second name server, and takes them again.
"""

import asyncio
import logging
import signal
import sys
from typing import Any

from aiosmtpd.smtp import SMTP

log = logging.getLogger(__name__)

REFUSED = "ns2."
"""After SIGUSR2, clients whose name in EHLO begins so are refused."""
_REFUSAL = "554 no service for you, as a firewall would say"


class _MailSink:
    """Takes every message and keeps none.

    Attributes:
        refuses: whether it refuses the second name server.

    """

    def __init__(self) -> None:
        self.refuses = False

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        del server, envelope
        session.host_name = hostname
        return [_REFUSAL] if self._refused(hostname) else responses

    async def handle_HELO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Any, hostname: str
    ) -> str:
        del envelope
        session.host_name = hostname
        return _REFUSAL if self._refused(hostname) else f"250 {server.hostname}"

    def _refused(self, hostname: str) -> bool:
        return self.refuses and hostname.startswith(REFUSED)

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        del server, session, envelope
        return "250 Message accepted and forgotten"


class MailServer:
    """An SMTP server whose port can be closed and opened, and that can refuse one client."""

    def __init__(self, name: str, address: str, port: int) -> None:
        self._name = name
        self._address = address
        self._port = port
        self._server: asyncio.Server | None = None
        self._sink = _MailSink()

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(self._sink, hostname=self._name, ident="geodns demo"), self._address, self._port
        )

    async def toggle(self) -> None:
        if self._server is None:
            await self.open()
        else:
            self._server.close()
            self._server = None
        self._tell("stopped" if self._server is None else "started")

    def toggle_refusing(self) -> None:
        self._sink.refuses = not self._sink.refuses
        self._tell("refuses ns2" if self._sink.refuses else "takes ns2 again")

    def _tell(self, what: str) -> None:
        print(f"{self._name}: {what}", flush=True)  # noqa: T201 - told


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
    loop.add_signal_handler(signal.SIGUSR2, server.toggle_refusing)
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
