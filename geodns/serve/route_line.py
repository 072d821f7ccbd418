"""Reads and writes the line that Exim's ${readsocket} sends: one question, one answer, then the end."""

from urllib.parse import unquote_to_bytes

from geodns.serve.route_messages import (
    NO_OTHER_HOST,
    NOT_SERVED,
    TOLD,
    Heard,
    Malformed,
    RouteAnswer,
    told_request,
)

LONGEST_LINE = 10_000
"""Bytes, without its end."""

_GET = b"get "
_NO_GET = "no line that begins with get"


class LineParser:
    """The one request of a connection.

    Attributes:
        ended: nothing more is read.

    """

    def __init__(self) -> None:
        self.ended = False
        self._held = bytearray()

    @property
    def held(self) -> int:
        """Bytes of an unfinished request."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Heard]:
        held = self._held
        end = data.find(b"\n")
        held += data if end < 0 else data[:end]
        if held[: len(_GET)] != _GET[: len(held)]:
            return self._end(line_malformed(_NO_GET))
        if len(held) > LONGEST_LINE:
            return self._end(line_malformed(f"more than {LONGEST_LINE} bytes"))
        return [] if end < 0 else self._end(_heard(bytes(held)))

    def eof(self) -> list[Heard]:
        return self._end(_heard(bytes(self._held))) if self._held else []

    def _end(self, heard: Heard) -> list[Heard]:
        self.ended = True
        self._held.clear()
        return [heard]


def _heard(line: bytes) -> Heard:
    if not line.startswith(_GET):
        return line_malformed(_NO_GET)
    raw = line.removesuffix(b"\r")[len(_GET) :].strip(b" ")
    if not raw:
        return line_malformed("get without an address")
    try:
        return told_request("line", _told(raw))
    except ValueError as error:
        return line_malformed(str(error))


def _told(raw: bytes) -> dict[str, str]:
    """Return what a line tells; raises ValueError."""
    first, equals, _ = raw.partition(b"=")
    # An address may have "=" in it, as senders of mailing lists do: bounce+user=example.net@example.com.
    if not equals or (b"@" in raw and _text(first) not in TOLD):
        return {"recipient": _decoded(raw)}
    told = dict[str, str]()
    for part in raw.split(b"&"):
        key, equals, value = part.partition(b"=")
        name = _text(key)
        if not equals or name not in TOLD:
            raise ValueError(f"what can be told is {', '.join(TOLD)}")
        if name in told:
            raise ValueError(f"{name} is told twice")
        told[name] = _decoded(value)
    return told


def _text(key: bytes) -> str:
    return key.decode("ascii", "replace")


def _decoded(raw: bytes) -> str:
    """Undo percent-encoding; a percent sign before anything else is one, and a plus is a plus."""
    return unquote_to_bytes(raw).decode("utf-8", "surrogateescape")


def line_malformed(why: str) -> Malformed:
    """Return what is no line."""
    return Malformed("line", f"400 malformed: {why}\n".encode(), why)


def line_reply(answer: RouteAnswer) -> bytes:
    """Write an answer."""
    if answer.outcome == "unserved":
        return f"400 {NOT_SERVED}\n".encode()
    if answer.outcome == "later":
        return f"400 {NO_OTHER_HOST}\n".encode()
    return b"500 no route\n" if answer.route is None else b"200 %b\n" % answer.route.transport.encode()
