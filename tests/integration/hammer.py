"""A client that asks without a pause while a test changes what is answered."""

import threading
import time
from typing import Self

import dns.message
import dns.query

from tests.integration.cluster import ANSWER, Server
from tests.integration.mailhosts import wait_until

PAUSE = 0.001
"""Seconds between queries: two cores have the server to run as well."""


class Hammer:
    """A client that asks without a pause from a thread, and keeps what it got.

    Attributes:
        answers: how many came.
        problems: queries that got no answer in time, or one without the records asked for.
        values: every value seen, and when last.

    """

    def __init__(
        self,
        server: Server,
        name: str,
        rtype: str = "A",
        *,
        tcp: bool = False,
        patience: float = ANSWER,
        pause: float = PAUSE,
    ) -> None:
        self.answers = 0
        self.problems: list[str] = []
        self.values: dict[str, float] = {}
        self._ask = dns.message.make_query(name, rtype, flags=0)
        self._at = server.listen[0]
        self._tcp = tcp
        self._patience = patience
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def more(self, number: int = 50, seconds: float = 10.0) -> None:
        """Wait for so many further answers."""
        goal = self.answers + number
        wait_until(lambda: self.answers >= goal or self.problems, seconds, "further answers")

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                if self._tcp:
                    answer = dns.query.tcp(self._ask, self._at[0], self._patience, self._at[1])
                else:
                    answer = dns.query.udp(self._ask, self._at[0], self._patience, self._at[1])
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shall see it
                self.problems.append(repr(error))
                continue
            now = time.monotonic()
            found = [str(record) for rrset in answer.answer for record in rrset]
            if not found:
                self.problems.append(str(answer))
            self.values |= dict.fromkeys(found, now)
            self.answers += 1
            time.sleep(self._pause)
