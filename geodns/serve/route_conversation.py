"""Tells by the first bytes which protocol an MTA speaks, and reads and writes it."""

from collections.abc import Collection
from typing import Protocol

from geodns.serve.route_http import HttpParser, http_reply
from geodns.serve.route_line import LineParser, line_malformed, line_reply
from geodns.serve.route_messages import Heard, RouteAnswer, RouteRequest
from geodns.serve.route_policy import PolicyParser, policy_reply
from geodns.serve.route_socketmap import SocketmapParser, socketmap_reply


class _Parser(Protocol):
    ended: bool

    @property
    def held(self) -> int: ...
    def feed(self, data: bytes) -> list[Heard]: ...
    def eof(self) -> list[Heard]: ...


class Conversation:
    """What comes over one connection; it never raises, and holds one unfinished request at most.

    Args:
        names: of this machine, by which HTTP may be asked beside its addresses.

    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = names
        self._parser: _Parser | None = None
        self._ended = False

    @property
    def held(self) -> int:
        """Bytes of an unfinished request; 0: none waits."""
        return 0 if self._parser is None else self._parser.held

    @property
    def ended(self) -> bool:
        """Whether nothing more is read: close after what is written."""
        return self._ended or (self._parser is not None and self._parser.ended)

    def feed(self, data: bytes) -> list[Heard]:
        """Return what is asked with these bytes and those before, in its order."""
        if self.ended or not data:
            return []
        if self._parser is None:
            self._parser = self._told_by(data[0])
            if self._parser is None:
                self._ended = True
                return [line_malformed("no protocol that is known here")]
        return self._parser.feed(data)

    def eof(self) -> list[Heard]:
        """Return what the half-close finishes; nothing is read any more."""
        found = [] if self._parser is None or self.ended else self._parser.eof()
        self._ended = True
        return found

    def _told_by(self, first: int) -> _Parser | None:
        letter = chr(first)
        if letter.isascii() and letter.isdigit():
            return SocketmapParser()
        if letter == "g":
            return LineParser()
        if letter.isascii() and letter.isupper():
            return HttpParser(self._names)
        # The order of a policy request's attributes is free (SMTPD_POLICY_README).
        return PolicyParser() if letter.isascii() and letter.islower() else None


def reply(request: RouteRequest, answer: RouteAnswer) -> bytes:
    """Write an answer in the protocol of its request."""
    match request.protocol:
        case "policy":
            return policy_reply(request, answer)
        case "socketmap":
            return socketmap_reply(answer)
        case "line":
            return line_reply(answer)
        case "http":
            return http_reply(request, answer)
