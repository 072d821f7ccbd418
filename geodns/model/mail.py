"""Names events of deliveries and whom a reply speaks of, and counts them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from geodns.model.state import HostKey


class MailEvent(StrEnum):
    """What happened to a message for one recipient; those after `COMPLAINT` are counted and shown alone."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    """Put off at the first attempt; later ones are `RETRIED`, which stands in no rate."""
    RETRIED = "retried"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    COMPLAINT = "complaint"
    INBOX = "inbox"
    SPAM = "spam"
    OPENED = "opened"
    CLICKED = "clicked"


class About(StrEnum):
    """Whom a refusing reply speaks of. Only `IP` may move a host."""

    IP = "ip"
    NETBLOCK = "netblock"
    """The neighbours' doing as well: told, never acted on."""
    DOMAIN = "domain"
    CONTENT = "content"
    RECIPIENT = "recipient"
    RATE = "rate"
    """Passing trouble that says: you send too fast."""
    PASSING = "passing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MailTally:
    """Counts of message-recipients over some time, by when the mail came in.

    Attributes:
        first: first attempts, whatever became of them; what rates are of.
        events: every event, retries and later attempts included.
        refused: first attempts that were deferred or bounced, by whom the reply speaks of.
        marked: those whose reply a rule's `text` is found in, by the rule's name.

    """

    first: int = 0
    events: Mapping[MailEvent, int] = field(default_factory=dict)
    refused: Mapping[About, int] = field(default_factory=dict)
    marked: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, event: MailEvent) -> int:
        return self.events.get(event, 0)

    def rate(self, about: About) -> float:
        """Return the part of the first attempts that was refused for this; 0 where nothing was sent."""
        return self.refused.get(about, 0) / self.first if self.first else 0.0


def summed(tallies: Iterable[MailTally]) -> MailTally:
    """Return the tally of several together."""
    first = 0
    events: Counter[MailEvent] = Counter()
    refused: Counter[About] = Counter()
    marked: Counter[str] = Counter()
    for one in tallies:
        first += one.first
        events.update(one.events)
        refused.update(one.refused)
        marked.update(one.marked)
    return MailTally(first, events, refused, marked)


class MailKind(NamedTuple):
    """What is counted apart within a host's mail to one provider.

    Attributes:
        about: whom the reply speaks of that put off or refused the mail; None: there was no such reply.
        first: whether it is what became of a first attempt.
        late: whether it was told more than an hour after it happened: counted, and never acted on.
        dated: whether it is known when the mail came in; else it counts as if it came in when this happened.

    """

    event: MailEvent
    about: About | None = None
    first: bool = False
    late: bool = False
    dated: bool = True


MailKey = tuple[str, str, MailKind]
"""Key of a counter: the address that the mail left from (empty: not known), the provider, the kind."""


class MailCounts(Protocol):
    """What is known of the mail that hosts sent; times are seconds since the epoch.

    `by_provider` is what rules look at: it leaves out what was told too late to act on. `total` has that as
    well: the mail was sent, whenever it was told. Times are taken in whole steps of five minutes, and of
    hours and days where they are long ago: a step that begins before `start` is left out.
    """

    def by_provider(self, host: HostKey, start: float, end: float) -> Mapping[str, MailTally]:
        """Return the tally of each provider for mail that came in from `start` to `end`."""

    def total(self, host: HostKey, start: float, end: float) -> MailTally:
        """Return the tally over all providers, of what was told late, too."""

    def heard(self, host: HostKey) -> float | None:
        """Return when a signal or a heartbeat for the host came last; None: never."""
