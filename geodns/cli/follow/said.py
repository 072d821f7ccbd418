"""Holds one line of a mail server's log as values, before its host and provider are known."""

from typing import NamedTuple

from geodns.model.mail import MailEvent


class Delivery(NamedTuple):
    """What became of a message for one recipient, in the words of the log.

    Attributes:
        at: when, in seconds since the epoch.
        queued: when the message came in.
        waited: seconds that it lay in the queue before this attempt.
        message: the queue's name for it.
        recipient: the address.
        event: DELIVERED, DEFERRED, BOUNCED or EXPIRED.
        sender: how the log names what sent it: a syslog name, a transport, an egress source.
        local: the address that it left from, where the log tells.
        server: the name of the recipient's mail server.
        address: that server's.
        dsn: the enhanced status code, after the SMTP code where a server has replied.
        text: the reply, or why there is none.
        tried: False: put off without an attempt, since others had failed.
        attempt: which it was, where the log counts them.

    """

    at: float
    queued: float
    waited: float
    message: str
    recipient: str
    event: MailEvent
    sender: str
    local: str = ""
    server: str = ""
    address: str = ""
    dsn: str = ""
    text: str = ""
    tried: bool = True
    attempt: int | None = None


class Expired(NamedTuple):
    """A message was given up for all recipients that were left."""

    at: float
    message: str


class Finished(NamedTuple):
    """A message left the queue; its name may be used again."""

    message: str


class Complaint(NamedTuple):
    """A recipient called a message spam, by a feedback report.

    Attributes:
        at: when the report was made, or read.
        queued: when the message had arrived; None: the report does not say.
        local: the address that it had left from.
        reporters: names of who reports: domains or servers, the surest first.
        incidents: how many complaints.

    """

    at: float
    queued: float | None
    local: str
    reporters: tuple[str, ...]
    incidents: int = 1


Said = Delivery | Expired | Finished | Complaint
