"""Postfix: lines of its SMTP client and its queue manager.

The process is the last part of a line's tag (``postfix/smtp``, ``postfix/relay/smtp``, ``postfix-out/smtp``).
Before it stands `syslog_name`, which tells instances and services apart. Only the SMTP client speaks to
mail servers of others; ``error`` and ``retry`` tell what was put off because the client had failed before.
"""

import re
from typing import NamedTuple

from geodns.cli.follow.log_times import LogTimes
from geodns.cli.follow.said import Delivery, Expired, Finished, Said
from geodns.model.mail import MailEvent

_HEAD = re.compile(
    r"(?:<\d+>)?(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \S+ "
    r"(?P<tag>[^\s\[\]:]+)(?:\[\d+\])?: (?:\[ID [^\]]*\] )?"
)
_BODY = re.compile(
    r"(?P<id>[0-9A-Za-z]{5,}): to=<(?P<to>.*?)>, (?:orig_to=<.*?>, )?relay=(?P<relay>\S+), "
    r"(?:\w+=\S+, )*?delay=(?P<delay>[\d.]+), (?:delays=(?P<before>[\d.]+)/\S+, )?(?:\w+=\S+, )*?"
    r"dsn=(?P<dsn>\d\.\d+\.\d+), (?:\w+=\S+, )*?status=(?P<status>\w+) ?(?P<text>.*)",
    re.DOTALL,
)
_QUEUE = re.compile(r"([0-9A-Za-z]{5,}): (?:(removed)$|from=<.*>, status=(?:force-)?expired\b)")
_RELAY = re.compile(r"(\S+?)\[([^\]]*)\]")
_REPLY = re.compile(
    r"(?:host (?P<host>\S+?)\[(?P<address>[^\]]*)\](?::\d+)? )?(?:said|refused to talk to me): "
    r"(?P<reply>(?P<code>[245]\d\d)(?:[ -].*)?)",
    re.DOTALL,
)
_IN_REPLY = re.compile(r" \(in reply to [^()]*\)$")

_EVENTS = {
    "sent": MailEvent.DELIVERED,
    "deferred": MailEvent.DEFERRED,
    "bounced": MailEvent.BOUNCED,
    "SOFTBOUNCE": MailEvent.DEFERRED,
}
SUSPENDED = "delivery temporarily suspended"
_NO_NAME = "Host or domain name not found"


class _Tag(NamedTuple):
    """What a tag says: the process, and the name of what sends."""

    process: str
    sender: str


class Postfix:
    """Reads lines; tags are few, and kept."""

    def __init__(self) -> None:
        self._tags: dict[str, _Tag] = {}

    def read_line(self, line: str, times: LogTimes) -> Said | None:
        """Read a line of a log file; None: it says nothing of a delivery to another's mail server."""
        head = _HEAD.match(line)
        if head is None:
            return None
        tag = self._tag(head["tag"])
        if not tag.process:
            return None
        at = times.read(head["time"])
        return None if at is None else self._said(tag, line[head.end() :], at)

    def read(self, tag: str, text: str, at: float) -> Said | None:
        """Read what follows the tag, as a journal has it."""
        known = self._tag(tag)
        return self._said(known, text, at) if known.process else None

    def _tag(self, text: str) -> _Tag:
        found = self._tags.get(text)
        if found is None:
            sender, _, process = text.rpartition("/")
            if process.startswith("smtp-"):  # a name of the service, and not of the process
                sender, process = text, "smtp"
            if process not in {"smtp", "error", "retry", "qmgr"}:
                process = ""
            if len(self._tags) > 1000:
                self._tags.clear()
            found = self._tags[text] = _Tag(process, sender)
        return found

    def _said(self, tag: _Tag, text: str, at: float) -> Said | None:
        if tag.process == "qmgr":
            return _queue(text, at)
        found = _BODY.match(text)
        event = None if found is None else _EVENTS.get(found["status"])
        if found is None or event is None:  # else a probe of an address: deliverable, undeliverable
            return None
        why = found["text"]
        why = why[1 : -1 if why.endswith(")") else None] if why.startswith("(") else why
        delay = float(found["delay"])
        server = address = ""
        if found["relay"] != "none" and (relay := _RELAY.match(found["relay"])):
            server, address = relay[1], relay[2]
        dsn = found["dsn"]
        if event is MailEvent.DELIVERED:
            if tag.process != "smtp":
                return None
            why = ""
        suspended = why.startswith(SUSPENDED)
        if tag.process != "smtp" and not suspended:
            return None  # the administrator's own refusal
        reply = None if suspended or not why else _REPLY.search(why)
        if reply is not None:
            dsn = f"{reply['code']} {dsn}"
            why = _IN_REPLY.sub("", reply["reply"])
            server, address = reply["host"] or server, reply["address"] or address
        elif not server and (named := _RELAY.search(why)):
            server, address = named[1], named[2]
        elif tag.process != "smtp" and not server and _NO_NAME not in why:
            return None  # a transport of this machine fails
        return Delivery(
            at,
            at - delay,
            float(found["before"] or delay),
            found["id"],
            found["to"],
            event,
            tag.sender,
            "",
            server,
            address,
            dsn,
            why,
            not suspended,
        )


def _queue(text: str, at: float) -> Said | None:
    found = _QUEUE.match(text)
    if found is None:
        return None
    return Finished(found[1]) if found[2] else Expired(at, found[1])
