"""Reads and writes Postfix's policy delegation: attributes by line, up to an empty one."""

from geodns.serve.route_messages import (
    CUT_SHORT,
    MOST_LINES,
    MOST_UNFINISHED,
    Heard,
    Malformed,
    RouteAnswer,
    RouteRequest,
    allowed,
    told_request,
)

DUNNO = b"action=DUNNO\n\n"
"""Mail goes as it would without geodns.

What is malformed is answered so, too. SMTPD_POLICY_README wants no reply then, but a closed connection:
Postfix asks once more, and unless `default_action` says otherwise its client is told 451, for as long as
that request is not understood here. No mail shall wait for that.
"""

_NEWLINE = 10
_READ = {
    "sender": "sender",
    "recipient": "recipient",
    "client_address": "client",
    "sasl_username": "sasl",
    "size": "size",
    "policy_context": "zone",
}
"""Attributes by what they tell; all others are ignored, in any order (SMTPD_POLICY_README, notes)."""


class PolicyParser:
    """Requests of one connection, one after the other.

    Attributes:
        ended: nothing more is read.

    """

    def __init__(self) -> None:
        self.ended = False
        self._held = bytearray()
        self._seen = 0

    @property
    def held(self) -> int:
        """Bytes of an unfinished request."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Heard]:
        held, start, found = self._held, 0, list[Heard]()
        held += data
        while not self.ended and start < len(held):
            # Only what came last is searched: bytes that trickle in would cost their square.
            end = held.find(b"\n\n", max(start, self._seen - 1))
            if (len(held) if end < 0 else end) - start > MOST_UNFINISHED:
                found.append(self._refuse(f"more than {MOST_UNFINISHED} bytes"))
            elif held[start] == _NEWLINE:
                found.append(self._refuse("an empty request"))
            elif end < 0:
                break
            else:
                found.append(self._read(held[start:end].decode("utf-8", "surrogateescape")))
                start = self._seen = end + 2
        if self.ended:
            held.clear()
        else:
            del held[:start]
            self._seen = len(held)
        return found

    def eof(self) -> list[Heard]:
        self.ended, half = True, self.held > 0
        self._held.clear()
        return [self._refuse(CUT_SHORT)] if half else []

    def _read(self, text: str) -> Heard:
        lines = text.split("\n")
        if len(lines) > MOST_LINES:
            return self._refuse(f"more than {MOST_LINES} lines")
        try:
            attributes = dict(line.split("=", 1) for line in lines)  # the last value is kept
        except ValueError:
            return self._refuse("a line without =")
        if attributes.get("request") != "smtpd_access_policy":
            return self._refuse("not request=smtpd_access_policy")
        told = {name: attributes[key] for key, name in _READ.items() if key in attributes}
        try:
            return told_request("policy", told)
        except ValueError as error:
            return self._refuse(str(error))

    def _refuse(self, why: str) -> Malformed:
        self.ended = True
        return Malformed("policy", DUNNO, why)


def policy_reply(request: RouteRequest, answer: RouteAnswer) -> bytes:
    """Write an answer.

    A list of hosts may stand in a FILTER: what follows its transport is the delivery agent's business
    (access(5), FILTER), and smtp(8) takes destinations with commas or blanks between (SMTP DESTINATION
    SYNTAX; since 3.5).
    """
    route = allowed(request, answer).route
    return DUNNO if route is None else b"action=FILTER %b\n\n" % route.transport.encode()
