"""Exim: lines of its main log, alone or by syslog.

Of a delivery tell ``=>`` and ``->`` (delivered), ``>>`` (while it came in), ``==`` (put off) and ``**``
(given up). What went to another server has ``H=name [address]``; a transport that never had one is local.
The first six letters of a message's name are the second in which it came in.
"""

import re
from string import ascii_lowercase, ascii_uppercase, digits

from geodns.cli.follow.log_times import LogTimes
from geodns.cli.follow.said import Delivery, Finished, Said
from geodns.model.mail import MailEvent

_LINE = re.compile(
    r"(?:(?P<time>\d{4}-\d\d-\d\d) (?P<clock>\d\d:\d\d:\d\d(?:\.\d+)?)(?: (?P<zone>[+-]\d{4}))? )?"
    r"(?:\[\d+\] )?"
    r"(?P<id>[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})) "
    r"(?:(?P<flag>=>|->|>>|\*\*|==) (?P<to>\"[^\"]*\"@\S+|\S+)(?P<rest>.*)|(?P<done>Completed))",
    re.DOTALL,
)
_SYSLOG = re.compile(
    r"(?:<\d+>)?(?P<time>[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\dT\S+) \S+ exim\w*(?:\[\d+\])?: "
)
_TRANSPORT = re.compile(r" T=(\S+?)(?=[: ]|$)")
_HOST = re.compile(r" H=(\S+) (?:DS )?\[([^\]]*)\]")
_LOCAL = re.compile(r" I=\[([^\]]*)\]")
_DEFER = re.compile(r" defer \(-?\d+\)(?:: )?")
_REPLY = re.compile(
    r"mail server after .*?: (?:host \S+ \[[^\]]*\]: )?"
    r"(?P<reply>(?P<code>[245]\d\d)(?:[ -](?P<dsn>\d\.\d+\.\d+)?.*)?)$",
    re.DOTALL,
)
_GIVEN_UP = re.compile(r"retry timeout exceeded|failing for a long time|after a long failure period")
NOT_REACHED = "retry time not reached"
_LETTERS = {letter: value for value, letter in enumerate(digits + ascii_uppercase + ascii_lowercase)}
_EVENTS = {
    "=>": MailEvent.DELIVERED,
    "->": MailEvent.DELIVERED,
    ">>": MailEvent.DELIVERED,
    "==": MailEvent.DEFERRED,
    "**": MailEvent.BOUNCED,
}


class Exim:
    """Reads lines, and learns which transports go to servers of others."""

    def __init__(self) -> None:
        self._remote: set[str] = set()

    def read_line(self, line: str, times: LogTimes) -> Said | None:
        """Read a line of a log file; None: it says nothing of a delivery to another's mail server."""
        at = None
        syslog = _SYSLOG.match(line)
        if syslog is not None:
            line = line[syslog.end() :]
            at = times.read(syslog["time"])
        return self.read(line, at, times)

    def read(self, text: str, at: float | None, times: LogTimes) -> Said | None:
        """Read Exim's own text; `at` is when, if it does not say itself."""
        found = _LINE.match(text)
        if found is None:
            return None
        if found["done"]:
            return Finished(found["id"])
        if found["time"]:
            at = times.read(f"{found['time']}T{found['clock']}{found['zone'] or ''}")
        rest = found["rest"]
        transport, host = _TRANSPORT.search(rest), _HOST.search(rest)
        if at is None or transport is None or "lmtp" in transport[1].lower():
            return None
        if host is not None:
            self._learn(transport[1])
        elif transport[1] not in self._remote and "smtp" not in transport[1].lower():
            return None
        event = _EVENTS[found["flag"]]
        local = _LOCAL.search(rest)
        queued = float(_began(found["id"]))
        dsn = why = ""
        if event is not MailEvent.DELIVERED:
            why = _why(rest, (host or transport).end())
            reply = _REPLY.search(why)
            if reply is not None:
                why = reply["reply"].replace("\\n", " ")
                dsn = f"{reply['code']} {reply['dsn'] or ''}".rstrip()
            elif event is MailEvent.BOUNCED and _GIVEN_UP.search(why):
                event = MailEvent.EXPIRED
        return Delivery(
            at,
            queued,
            at - queued,
            found["id"],
            found["to"].rstrip(":"),
            event,
            transport[1],
            local[1] if local else "",
            host[1] if host else "",
            host[2] if host else "",
            dsn,
            why,
            NOT_REACHED not in why,
        )

    def _learn(self, transport: str) -> None:
        if len(self._remote) < 1000:
            self._remote.add(transport)


def _why(rest: str, place: int) -> str:
    """Return the text of a refusal: what stands behind the fields; or the system's error before them."""
    _, _, text = rest[place:].partition(": ")
    defer = _DEFER.search(rest)
    if defer is not None and (not text or defer.start() > place):
        text = rest[defer.end() :]
    return text.strip()


def _began(message: str) -> int:
    """Return the seconds since the epoch in which a message came in, by its name."""
    seconds = 0
    for letter in message[:6]:
        seconds = seconds * 62 + _LETTERS[letter]
    return seconds
