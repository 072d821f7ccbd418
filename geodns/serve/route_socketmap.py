"""Reads and writes socketmap: netstrings of a map's name and a key."""

from geodns.responder.routes import Carried, RouteQuery, normal_address
from geodns.serve.route_messages import Heard, Malformed, RouteAnswer, RouteRequest, unwritable

LONGEST = 10_000
"""Bytes of a request; Postfix sends no longer ones (socketmap_table(5))."""
_MAPS = {b"recipient": Carried.RECIPIENT, b"sender": Carried.SENDER}
_NOBODY = RouteQuery(provider="")
"""Fits no rule but those that a map does not answer by."""
_DIGITS = len(str(LONGEST))


class SocketmapParser:
    """Requests of one connection, one after the other.

    Attributes:
        ended: nothing more is read.

    """

    def __init__(self) -> None:
        self.ended = False
        self._held = bytearray()
        self._need = 0

    @property
    def half(self) -> bool:
        """Whether an unfinished request waits."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Heard]:
        held, start, found = self._held, 0, list[Heard]()
        held += data
        while not self.ended and start + self._need < len(held):
            one = self._next(start)
            if one is None:
                break
            end, heard = one
            found.append(heard)
            start, self._need = end, 0
        if self.ended:
            held.clear()
        else:
            del held[:start]
        return found

    def eof(self) -> list[Heard]:
        self.ended, half = True, self.half
        self._held.clear()
        return [self._refuse("the end within a request")] if half else []

    def _next(self, start: int) -> tuple[int, Heard] | None:
        """Return the end of the request that begins somewhere, and what it is; None: it is unfinished."""
        held = self._held
        colon = held.find(b":", start, start + _DIGITS + 1)
        digits = bytes(held[start : start + _DIGITS + 1] if colon < 0 else held[start:colon])
        if not digits.isdigit() or len(digits) > _DIGITS or (len(digits) > 1 and digits[:1] == b"0"):
            return start, self._refuse("no length of a netstring")
        if int(digits) > LONGEST:
            return start, self._refuse(f"more than {LONGEST} bytes")
        if colon < 0:
            return None
        end = colon + 1 + int(digits)
        if end >= len(held):
            self._need = end - start
            return None
        if held[end] != 44:
            return start, self._refuse("no comma after a netstring")
        return end + 1, self._read(bytes(held[colon + 1 : end]))

    def _read(self, payload: bytes) -> Heard:
        name, _, raw = payload.partition(b" ")
        carried = _MAPS.get(name)
        if carried is None:
            return self._refuse("no map that is known here: recipient or sender")
        key = raw.decode("utf-8", "surrogateescape")
        return RouteRequest("socketmap", None, _asked(key, carried), carried)

    def _refuse(self, why: str) -> Malformed:
        self.ended = True
        return Malformed("socketmap", _netstring(f"TEMP {why}"), why)


def _asked(key: str, carried: Carried) -> RouteQuery:
    if carried is Carried.SENDER and key == "<>":
        return RouteQuery(sender=normal_address(key), provider="")
    local, _, domain = key.rpartition("@")
    # Postfix asks for "*" too, others for "@domain" and parts of a domain.
    if not local or not domain or unwritable(key):
        return _NOBODY
    if carried is Carried.SENDER:
        return RouteQuery(sender=normal_address(key), provider="")
    return RouteQuery(recipient=normal_address(key))


def socketmap_reply(answer: RouteAnswer) -> bytes:
    """Write an answer."""
    if answer.outcome == "unserved":
        return _netstring("TEMP this zone has no routes here")
    if answer.outcome == "later":
        return _netstring("TEMP no host but the one that asks")
    route = answer.route
    return _netstring("NOTFOUND " if route is None else f"OK {route.transport}")


def _netstring(text: str) -> bytes:
    raw = text.encode()
    return b"%d:%b," % (len(raw), raw)
