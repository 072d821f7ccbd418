"""Reads and writes socketmap: netstrings of a map's name and a key."""

from geodns.responder.routes import Carried, RouteQuery, normal_address
from geodns.serve.route_messages import (
    CUT_SHORT,
    NO_OTHER_HOST,
    NOT_SERVED,
    Heard,
    Malformed,
    RouteAnswer,
    RouteRequest,
    unwritable,
)

LONGEST_KEY = 10_000
"""Bytes; Postfix asks for no longer key (socketmap_table(5), since 3.12)."""

_MAPS = {b"recipient": Carried.RECIPIENT, b"sender": Carried.SENDER}
_LONGEST = LONGEST_KEY + 1 + max(map(len, _MAPS))
_DIGITS = len(str(_LONGEST))
_COMMA = 44
_NOBODY = RouteQuery(provider="")
"""No rule is answered by it: those that ask nothing are not answered in a map. No provider is looked up."""


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
    def held(self) -> int:
        """Bytes of an unfinished request."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Heard]:
        held, start, found = self._held, 0, list[Heard]()
        held += data
        while not self.ended and start + self._need < len(held):
            end, heard = self._next(start)
            if heard is None:
                break
            found.append(heard)
            start, self._need = end, 0
        if self.ended:
            held.clear()
        else:
            del held[:start]
        return found

    def eof(self) -> list[Heard]:
        self.ended, half = True, self.held > 0
        self._held.clear()
        return [self._refuse(CUT_SHORT)] if half else []

    def _next(self, start: int) -> tuple[int, Heard | None]:
        """Return the end of the request that begins somewhere, and what it is; None: it is unfinished."""
        held = self._held
        most = start + _DIGITS + 1
        colon = held.find(b":", start, most)
        digits = held[start : most if colon < 0 else colon]
        zeros = len(digits) > 1 and digits[:1] == b"0"
        if zeros or not digits.isdigit() or (length := int(digits)) > _LONGEST:
            # One reason for all: which it is may depend on how many digits have come.
            return start, self._refuse(f"no length of a netstring of at most {_LONGEST} bytes")
        if colon < 0:
            return start, None
        end = colon + 1 + length
        if end >= len(held):
            self._need = end - start
            return start, None
        if held[end] != _COMMA:
            return start, self._refuse("no comma after a netstring")
        return end + 1, self._read(bytes(held[colon + 1 : end]))

    def _read(self, payload: bytes) -> Heard:
        name, _, raw = payload.partition(b" ")
        carried = _MAPS.get(name)
        if carried is None:
            return self._refuse("the maps here are recipient and sender")
        key = raw.decode("utf-8", "surrogateescape")
        return RouteRequest("socketmap", None, _asked(key, carried), carried)

    def _refuse(self, why: str) -> Malformed:
        self.ended = True
        # PERM (socketmap_table(5)) would do no better: Postfix defers mail for either, as for any map that
        # fails, while other clients may take it for a reason to bounce.
        return Malformed("socketmap", _netstring(f"TEMP {why}"), why)


def _asked(key: str, carried: Carried) -> RouteQuery:
    # Postfix asks transport_maps for "*" too (transport(5)), and sender maps for "@domain" (postconf(5),
    # sender_dependent_default_transport_maps); others ask for parts of a domain. These are no addresses: an
    # answer would go for mail that rules have not seen. Bounces are asked for as "<>" (postconf(5),
    # empty_address_default_transport_maps_lookup_key).
    local, _, domain = key.rpartition("@")
    is_address = bool(local and domain) and not unwritable(key)
    if carried is Carried.SENDER and (is_address or key == "<>"):
        return RouteQuery(sender=normal_address(key))
    if carried is Carried.RECIPIENT and is_address:
        return RouteQuery(recipient=normal_address(key))
    return _NOBODY


def socketmap_reply(answer: RouteAnswer) -> bytes:
    """Write an answer."""
    if answer.outcome == "unserved":
        return _netstring(f"TEMP {NOT_SERVED}")
    if answer.outcome == "later":
        return _netstring(f"TEMP {NO_OTHER_HOST}")
    return _netstring("NOTFOUND " if answer.route is None else f"OK {answer.route.transport}")


def _netstring(text: str) -> bytes:
    raw = text.encode()
    return b"%d:%b," % (len(raw), raw)
