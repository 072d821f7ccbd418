"""Reads and writes the line that Exim's ${readsocket} sends: one question, one answer, then the end."""

from urllib.parse import unquote_to_bytes

from geodns.responder.routes import RouteQuery, normal_address
from geodns.serve.route_messages import (
    Heard,
    Malformed,
    RouteAnswer,
    RouteRequest,
    size_of,
    unwritable,
    zone_of,
)

LONGEST = 10_000
"""Bytes of a line."""
_GET = b"get "
_KEYS = ("recipient", "sender", "class", "client", "sasl", "size", "zone")


class LineParser:
    """The one request of a connection.

    Attributes:
        ended: nothing more is read.

    """

    def __init__(self) -> None:
        self.ended = False
        self._held = bytearray()

    @property
    def half(self) -> bool:
        """Whether an unfinished request waits."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Heard]:
        held = self._held
        end = data.find(b"\n")
        held += data if end < 0 else data[:end]
        if len(held) > LONGEST:
            return self._end(line_malformed(f"more than {LONGEST} bytes"))
        if held[: len(_GET)] != _GET[: len(held)]:
            return self._end(line_malformed("no line that begins with get"))
        return [] if end < 0 else self._end(_heard(bytes(held)))

    def eof(self) -> list[Heard]:
        return self._end(_heard(bytes(self._held))) if self._held else []

    def _end(self, heard: Heard) -> list[Heard]:
        self.ended = True
        self._held.clear()
        return [heard]


def _heard(line: bytes) -> Heard:
    if not line.startswith(_GET):
        return line_malformed("no line that begins with get")
    raw = line.removesuffix(b"\r")[len(_GET) :].strip(b" ")
    if not raw:
        return line_malformed("get without an address")
    key = raw.partition(b"=")[0].decode("ascii", "replace")
    if b"=" not in raw or (key not in _KEYS and b"@" in raw):
        told = {"recipient": _decoded(raw)}
    else:
        told = {}
        for part in raw.split(b"&"):
            name, equals, value = part.partition(b"=")
            key = name.decode("ascii", "replace")
            if not equals or key not in _KEYS:
                return line_malformed(f"not among {', '.join(_KEYS)}")
            if key in told:
                return line_malformed(f"{key} twice")
            told[key] = _decoded(value)
    return _request(told)


def _decoded(raw: bytes) -> str:
    return unquote_to_bytes(raw).decode("utf-8", "surrogateescape")


def _request(told: dict[str, str]) -> Heard:
    if any(map(unwritable, told.values())):
        return line_malformed("control characters, or no UTF-8")
    try:
        size = size_of(told.get("size", ""))
    except ValueError as error:
        return line_malformed(str(error))
    sender, recipient = told.get("sender"), told.get("recipient")
    query = RouteQuery(
        recipient=normal_address(recipient) if recipient else None,
        sender=None if sender is None else normal_address(sender),
        mail_class=told.get("class") or None,
        client=told.get("client") or None,
        sasl=told.get("sasl") or None,
        size=size,
    )
    return RouteRequest("line", zone_of(told.get("zone")), query)


def line_malformed(why: str) -> Malformed:
    """Return what is no line."""
    return Malformed("line", f"400 malformed: {why}\n".encode(), why)


def line_reply(answer: RouteAnswer) -> bytes:
    """Write an answer."""
    if answer.outcome == "unserved":
        return b"400 this zone has no routes here\n"
    if answer.outcome == "later":
        return b"400 no host but the one that asks\n"
    return b"500 no route\n" if answer.route is None else b"200 %b\n" % answer.route.transport.encode()
