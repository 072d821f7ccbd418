"""Tells first attempts from later ones: remembers messages that were put off, within bounds.

A message that is delivered at once is never held; one that is put off is held until it is delivered, returned
or leaves the queue. Recipients are held as checksums.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from geodns.cli.follow.said import Delivery
from geodns.model.mail import MailEvent

MOST = 200_000
"""Recipients whose messages were put off. Beyond, the oldest message is forgotten."""
SOON = 200.0
"""Seconds in the queue below which an attempt is the first: mail servers try again after some minutes."""
UNKNOWN = 2
"""The attempt of a message that came in before all that is known: not the first, so that no rate has it."""


class Waiting(NamedTuple):
    """A recipient whose message was put off.

    Attributes:
        tries: attempts so far.
        queued: when the message came in.
        provider: whose mailbox it is.
        who: what it was sent from, by a name of the caller's.

    """

    tries: int
    queued: float
    provider: str
    who: str


class Attempts:
    """The messages that were put off, oldest first.

    Attributes:
        since: messages that came in before are not known: when the first line was read, or what was forgotten
            came in.
        changed: names of messages whose state is to be kept anew.

    """

    def __init__(self, since: float | None = None) -> None:
        self.since = since
        self.changed: set[str] = set()
        self._messages: dict[str, dict[int, Waiting]] = {}
        self._held = 0

    def __len__(self) -> int:
        return self._held

    def load(self, message: str, state: str) -> None:
        """Take up what `state_of` has given."""
        held = {int(key): Waiting(*one) for key, one in json.loads(state).items()}
        self._held += len(held) - len(self._messages.get(message, ()))
        self._messages[message] = held

    def state_of(self, message: str) -> str | None:
        """Return what to keep of a message; None: nothing any more."""
        held = self._messages.get(message)
        return None if held is None else json.dumps(held)

    def number(self, said: Delivery, provider: str, who: str) -> int:
        """Return which attempt it was, or will be if it was none; hold or forget its recipient."""
        if self.since is None:
            self.since = said.at
        held = self._messages.get(said.message)
        if held is None and said.event is not MailEvent.DEFERRED:  # most lines
            return said.attempt or self._first(said)
        key = crc32(said.recipient.lower().encode())
        known = None if held is None else held.get(key)
        attempt = said.attempt or (self._first(said) if known is None else known.tries + 1)
        if said.event is MailEvent.DEFERRED:
            tries = attempt if said.tried else attempt - 1
            queued = said.queued if known is None else known.queued
            self._hold(said.message, key, Waiting(tries, queued, provider, who))
        elif known is not None:
            self._drop(said.message, key)
        return attempt

    def sender_of(self, said: Delivery) -> str:
        """Return what a message that was put off was sent from; "": nothing is known of it."""
        held = self._messages.get(said.message, {}).get(crc32(said.recipient.lower().encode()))
        return "" if held is None else held.who

    def expire(self, message: str) -> Iterator[Waiting]:
        """Forget a message that was given up; yield its recipients."""
        held = self._messages.get(message)
        if held is not None:
            yield from held.values()
            self.finish(message)

    def finish(self, message: str) -> None:
        """Forget a message that left the queue."""
        held = self._messages.pop(message, None)
        if held is not None:
            self._held -= len(held)
            self.changed.add(message)

    def _first(self, said: Delivery) -> int:
        assert self.since is not None
        return UNKNOWN if said.queued < self.since and said.waited >= SOON else 1

    def _hold(self, message: str, key: int, waiting: Waiting) -> None:
        held = self._messages.setdefault(message, {})
        self._held += key not in held
        held[key] = waiting
        self.changed.add(message)
        while self._held > MOST:
            oldest = next(iter(self._messages))
            forgotten = max(one.queued for one in self._messages[oldest].values())
            self.since = max(self.since or 0.0, forgotten)
            self.finish(oldest)

    def _drop(self, message: str, key: int) -> None:
        held = self._messages[message]
        del held[key]
        self._held -= 1
        self.changed.add(message)
        if not held:
            del self._messages[message]
