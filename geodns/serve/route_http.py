"""Reads and writes POST /route: questions in JSON over HTTP, one after the other on a connection."""

import json
from collections.abc import Collection, Mapping
from http import HTTPStatus
from ipaddress import ip_address

import h11

from geodns.serve.route_messages import (
    CUT_SHORT,
    MOST_LINES,
    NO_OTHER_HOST,
    NOT_SERVED,
    TOLD,
    Heard,
    Malformed,
    RouteAnswer,
    RouteRequest,
    told_request,
)

LONGEST_HEAD = 16_384
"""Bytes of a request line and its headers."""

LONGEST = 32_768
"""Bytes of a request."""

_PIECE = 4096
"""Bytes that are parsed at once: those of the next request among them are parsed again."""

_HERE = "POST /route is all that is here: the API is where `http` in geodns.yaml says"


class _RefusedRequest(Exception):  # noqa: N818 - named as what it is about
    """A request that is answered with a status and an error in JSON."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class HttpParser:
    """Requests of one connection, one after the other.

    Args:
        names: of this machine, in lower case, by which it may be asked beside its addresses.

    Attributes:
        ended: nothing more is read.

    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self.ended = False
        self._names = names
        self._begin()

    def _begin(self) -> None:
        # Each request has its own: h11 reads none before the one before is answered, but answers are made
        # elsewhere. Its own limit depends on how the bytes are split, so it is set out of reach.
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * LONGEST)
        self._taken = self._lines = 0
        self._head: h11.Request | None = None
        self._body = bytearray()

    @property
    def held(self) -> int:
        """Bytes of an unfinished request."""
        return self._taken

    def feed(self, data: bytes) -> list[Heard]:
        at, found = 0, list[Heard]()
        while not self.ended and at < len(data):
            try:
                piece = self._piece(data[at : at + min(_PIECE, self._room())])
                at += len(piece)
                self._taken += len(piece)
                self._parser.receive_data(piece)
                heard = self._advance()
            except _RefusedRequest as error:
                heard = self._refuse(error.status, str(error))
            except h11.RemoteProtocolError as error:  # its text may have the client's bytes in it
                heard = self._refuse(error.error_status_hint, "no HTTP that is understood here")
            if heard is not None:
                found.append(heard)
                at -= len(self._parser.trailing_data[0])
                self._begin()
        return found

    def eof(self) -> list[Heard]:
        half = self.held > 0
        self.ended = True
        heard = [self._refuse(400, CUT_SHORT)] if half else []
        self._begin()
        return [*heard]

    def _piece(self, data: bytes) -> bytes:
        """Return as much as has no more lines than the request may still have; raises _RefusedRequest.

        Headers, chunks and trailers cost most by their number.
        """
        left = MOST_LINES - self._lines
        if left == 0:
            raise _RefusedRequest(431 if self._head is None else 413, f"{MOST_LINES} lines and no end")
        lines = data.split(b"\n", left)
        self._lines += len(lines) - 1
        return data[: len(data) - len(lines[-1])] if len(lines) > left else data

    def _room(self) -> int:
        """Return how many bytes the request may still have; raises _RefusedRequest."""
        room = (LONGEST_HEAD if self._head is None else LONGEST) - self._taken
        if room > 0:
            return room
        if self._head is None:
            raise _RefusedRequest(431, f"more than {LONGEST_HEAD} bytes of headers")
        raise _RefusedRequest(413, f"more than {LONGEST} bytes")

    def _advance(self) -> Heard | None:
        """Return the request that is complete now; raises _RefusedRequest and h11's own."""
        while True:
            event = self._parser.next_event()
            if isinstance(event, h11.Request):
                self._head = event
                _check_head(event, self._names)
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                request = self._request()
                self.ended = request.writer is not None
                return request
            else:
                return None

    def _request(self) -> RouteRequest:
        close = self._parser.their_state is h11.MUST_CLOSE
        try:
            return told_request("http", _told(bytes(self._body)), "close" if close else None)
        except ValueError as error:
            raise _RefusedRequest(400, str(error)) from error

    def _refuse(self, status: int, why: str) -> Malformed:
        self.ended = True
        head_only = self._head is not None and self._head.method == b"HEAD"
        raw = _response(status, {"error": why}, close=True)
        return Malformed("http", raw[: raw.index(b"\r\n\r\n") + 4] if head_only else raw, why)


def _check_head(head: h11.Request, names: Collection[str]) -> None:
    """Refuse what is no question before its body is read; raises _RefusedRequest."""
    headers = {bytes(name): bytes(value).decode("latin-1") for name, value in head.headers}
    path, _, query = bytes(head.target).decode("latin-1").partition("?")
    if path != "/route":
        raise _RefusedRequest(404, _HERE)
    if head.method != b"POST":
        raise _RefusedRequest(
            405, "ask by POST, or the API for GET /api/v1/route: `http` in geodns.yaml says where"
        )
    if query:
        raise _RefusedRequest(400, "what is asked stands in the body, as JSON")
    # A page in a browser on this machine must not move rotations, or read which hosts are live. It cannot
    # leave out Origin from a POST, nor can a name that was pointed here (DNS rebinding) be an address.
    if b"origin" in headers:
        raise _RefusedRequest(403, "no page in a browser may ask here")
    if b"host" in headers and not _is_ours(headers[b"host"], names):
        raise _RefusedRequest(403, "ask by an address, as 127.0.0.1, or a name of this machine")
    if headers.get(b"content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _RefusedRequest(415, "Content-Type must be application/json")
    if b"expect" in headers and head.http_version >= b"1.1":
        # Who waits for 100 Continue need not: RFC 9110 section 10.1.1 lets a server say so.
        raise _RefusedRequest(417, "nothing to expect: send the body at once")
    if int(headers.get(b"content-length", "0")) > LONGEST:
        raise _RefusedRequest(413, f"more than {LONGEST} bytes")


def _is_ours(host: str, names: Collection[str]) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    name = name.lower()
    if name == "localhost" or name in names:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _told(body: bytes) -> dict[str, str]:
    """Return what a body tells; raises ValueError."""
    try:
        found = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise ValueError("no JSON that is understood here") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - one kind says all that is malformed
    told = dict[str, str]()
    for key, value in found.items():
        if key not in TOLD:
            raise ValueError(f"unknown key {json.dumps(key[:40])}: what can be told is {', '.join(TOLD)}")
        if isinstance(value, int) and not isinstance(value, bool) and key == "size":
            told[key] = str(value)
        elif isinstance(value, str):
            told[key] = value
        elif value is not None:
            raise ValueError(f"{key} is no string" + (", and no number" if key == "size" else ""))
    return told


def http_reply(request: RouteRequest, answer: RouteAnswer) -> bytes:
    """Write an answer; who is told no host keeps the mail, or sends it another way."""
    close = request.writer is not None
    if answer.outcome == "unserved":
        return _response(404, {"error": NOT_SERVED}, close=close)
    if answer.outcome == "later":
        return _response(503, {"error": NO_OTHER_HOST}, close=close)
    if answer.explained is None:
        return _response(500, {"error": "this failed by a fault of the server's own"}, close=close)
    return _response(200, answer.explained, close=close)


def _response(status: int, body: Mapping[str, object], *, close: bool) -> bytes:
    raw = json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(raw)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *(["Allow: POST"] if status == 405 else []),
        *(["Connection: close"] if close else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + raw
