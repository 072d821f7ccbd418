"""Reads and writes POST /route: questions in JSON over HTTP."""

from collections.abc import Collection

from geodns.serve.route_messages import Heard, Malformed, RouteAnswer, RouteRequest


class HttpParser:
    """Requests of one connection, one after the other.

    Attributes:
        ended: nothing more is read.

    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self.ended = False
        self._names = names

    @property
    def half(self) -> bool:
        """Whether an unfinished request waits."""
        return False

    def feed(self, data: bytes) -> list[Heard]:  # noqa: ARG002 - comes next
        self.ended = True
        return [Malformed("http", b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n", "not yet")]

    def eof(self) -> list[Heard]:
        return []


def http_reply(request: RouteRequest, answer: RouteAnswer) -> bytes:  # noqa: ARG001 - comes next
    """Write an answer."""
    return b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n"
