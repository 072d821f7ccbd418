"""Reads and writes Postfix's policy delegation: attributes by line, up to an empty one."""

from geodns.responder.routes import RouteQuery, normal_address
from geodns.serve.route_messages import (
    MOST_UNFINISHED,
    Heard,
    Malformed,
    RouteAnswer,
    RouteRequest,
    allowed,
    size_of,
    unwritable,
    zone_of,
)

DUNNO = b"action=DUNNO\n\n"
"""Mail goes as it would without geodns."""
_READ = ("sender", "recipient", "client_address", "sasl_username", "size", "policy_context")


class PolicyParser:
    """Requests of one connection, one after the other.

    Attributes:
        half: an unfinished request waits.
        ended: nothing more is read.

    """

    def __init__(self) -> None:
        self.ended = False
        self._held = bytearray()
        self._seen = 0

    @property
    def half(self) -> bool:
        return bool(self._held)

    def feed(self, data: bytes) -> list[Heard]:
        held, start, found = self._held, 0, list[Heard]()
        held += data
        while not self.ended and start < len(held):
            end = held.find(b"\n\n", max(start, self._seen - 1))
            if (len(held) if end < 0 else end) - start > MOST_UNFINISHED:
                found.append(self._refuse(f"more than {MOST_UNFINISHED} bytes"))
            elif held[start] == 10:
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
        self.ended, half = True, self.half
        self._held.clear()
        return [self._refuse("the end within a request")] if half else []

    def _read(self, text: str) -> Heard:
        try:
            told = dict(line.split("=", 1) for line in text.split("\n"))
        except ValueError:
            return self._refuse("a line without =")
        if told.get("request") != "smtpd_access_policy":
            return self._refuse("not request=smtpd_access_policy")
        if any(unwritable(told.get(name, "")) for name in _READ):
            return self._refuse("control characters, or no UTF-8")
        try:
            size = size_of(told.get("size", ""))
        except ValueError as error:
            return self._refuse(str(error))
        sender, recipient = told.get("sender"), told.get("recipient")
        query = RouteQuery(
            recipient=normal_address(recipient) if recipient else None,
            sender=None if sender is None else normal_address(sender),
            client=told.get("client_address") or None,
            sasl=told.get("sasl_username") or None,
            size=size,
        )
        return RouteRequest("policy", zone_of(told.get("policy_context")), query)

    def _refuse(self, why: str) -> Malformed:
        self.ended = True
        return Malformed("policy", DUNNO, why)


def policy_reply(request: RouteRequest, answer: RouteAnswer) -> bytes:
    """Write an answer."""
    route = allowed(request, answer).route
    return DUNNO if route is None else b"action=FILTER %b\n\n" % route.transport.encode()
