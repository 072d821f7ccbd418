"""POST /route: what JSON tells, and whom no browser's page can ask for."""

import json

import h11
import pytest

from geodns.responder.routes import RouteQuery
from geodns.serve.route_conversation import Conversation, reply
from geodns.serve.route_messages import Malformed, RouteAnswer
from tests.serve.route_samples import BY_HOST, LATER, NOTHING, UNSERVED, asked, heard, post


def parsed(raw: bytes, method: str = "POST") -> tuple[int, dict[str, str], object, bool]:
    """Read an answer as a client does: status, headers, JSON, and whether the connection stays."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/route", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    headers = {name.decode(): value.decode() for name, value in head.headers}
    stays = client.our_state is not h11.MUST_CLOSE
    return head.status_code, headers, json.loads(body) if body else None, stays


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, RouteQuery()),
        ({"recipient": "A@Example.net", "sender": ""}, RouteQuery("a@example.net", "<>")),
        ({"recipient": None, "sender": None, "size": None}, RouteQuery()),
        ({"size": 5}, RouteQuery(size=5)),
        ({"size": "5"}, RouteQuery(size=5)),
        ({"size": 0}, RouteQuery()),
        (
            {"class": "tx", "client": "192.0.2.1", "sasl": "Me", "recipient": "ü@b", "zone": ""},
            RouteQuery("ü@b", None, "tx", "192.0.2.1", "Me"),
        ),
    ],
)
def test_what_is_told(body: dict[str, object], expected: RouteQuery) -> None:
    request = asked(post(json.dumps(body).encode()))
    assert request.query == expected
    assert request == asked(post(json.dumps(body, ensure_ascii=False).encode()))
    assert request.deals
    assert request.explains


def test_the_zone() -> None:
    assert asked(post(b'{"zone": "Out.example.com."}')).zone == "out.example.com"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:5310", "[::1]:5310", "[2001:db8::1]", "192.0.2.1", "LOCALHOST:1", "mta1:5310"],
)
def test_whom_it_is_asked_as(host: str) -> None:
    (one,) = Conversation({"mta1"}).feed(post(headers=[("Host", host)]))
    assert not isinstance(one, Malformed)


CHUNKED: list[tuple[str, str | None]] = [("Content-Length", None), ("Transfer-Encoding", "chunked")]


def refused(stream: bytes, method: str = "POST") -> tuple[int, dict[str, str], object]:
    found, _, _, more, _ = heard([stream])
    last = [*found, *more][-1]
    assert isinstance(last, Malformed)
    status, headers, body, stays = parsed(last.reply, method)
    assert not stays
    assert body == {"error": last.why} or method == "HEAD"
    assert headers["x-content-type-options"] == "nosniff"
    return status, headers, body


@pytest.mark.parametrize(
    ("status", "stream"),
    [
        (400, post(b"{")),
        (400, post(b"\xff")),
        (400, post(b'"x"')),
        (400, post(b"{}", start=b"POST /route?zone=x HTTP/1.1")),
        (400, post(b'{"size": -2}')),
        (400, post(b'{"size": 1.5}')),
        (400, post(b'{"size": true}')),
        (400, post(b'{"size": %s}' % (b"9" * 5000))),
        (400, post(b'{"recipient": ["a@b"]}')),
        (400, b"POST /route\r\n\r\n"),
        (400, post()[:-1]),
        (403, post(headers=[("Origin", "null")])),
        (403, post(headers=[("Origin", "https://evil.example")])),
        (403, post(headers=[("Host", "evil.example")])),
        (403, post(headers=[("Host", "localhost.evil.example:5310")])),
        (403, post(headers=[("Host", "127.0.0.1.evil.example")])),
        (403, post(headers=[("Host", "")])),
        (404, post(start=b"POST /routes HTTP/1.1")),
        (404, post(start=b"GET / HTTP/1.1")),
        (413, post(headers=[("Content-Length", "32769")])),
        (413, post(b"{" + b"\n" * 300)),
        (413, post(b"1\r\na\r\n" * 200, headers=CHUNKED)),
        (413, post(b"0\r\n" + b"a: b\r\n" * 400, headers=CHUNKED)),
        (415, post(headers=[("Content-Type", "text/plain")])),
        (415, post(headers=[("Content-Type", "application/x-www-form-urlencoded")])),
        (415, post(headers=[("Content-Type", None)])),
        (417, post(headers=[("Expect", "100-continue")])),
        (431, post(headers=[("X", "y" * 17_000)])),
        (431, post(start=b"POST /route HTTP/1.1" + b"\r\na: b" * 400)),
        (501, post(headers=[("Content-Length", None), ("Transfer-Encoding", "gzip")])),
    ],
)
def test_refusals(status: int, stream: bytes) -> None:
    assert refused(stream)[0] == status


def test_asking_by_get_is_told_of_the_api() -> None:
    status, headers, body = refused(post(start=b"GET /route HTTP/1.1"))
    assert (status, headers["allow"]) == (405, "POST")
    assert "/api/v1/route" in json.dumps(body)


def test_head_has_no_body() -> None:
    assert refused(post(start=b"HEAD /route HTTP/1.1"), "HEAD")[2] is None


def test_an_unknown_key_is_named_in_print() -> None:
    _, _, body = refused(post(b'{"to\\u001b[1m": "a@b"}'))
    assert isinstance(body, dict)
    assert body["error"].startswith(r'unknown key "to\u001b[1m": what can be told is recipient, sender')


EXPLAINED: dict[str, object] = {"zone": "out.example.com", "host": "mta2", "why": []}


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        (BY_HOST._replace(explained=EXPLAINED), 200, EXPLAINED),
        *((one._replace(explained=EXPLAINED), 200, EXPLAINED) for one in NOTHING),
        (UNSERVED, 404, {"error": "this zone has no routes here"}),
        (LATER, 503, {"error": "no host but the one that asks"}),
        (BY_HOST, 500, {"error": "this failed by a fault of the server's own"}),
    ],
)
@pytest.mark.parametrize(
    ("stream", "stays"),
    [
        (post(), True),
        (post(headers=[("Connection", "close")]), False),
        (post(start=b"POST /route HTTP/1.0"), False),
        (post(start=b"POST /route HTTP/1.0", headers=[("Expect", "100-continue")]), False),
    ],
)
def test_replies(answer: RouteAnswer, status: int, expected: object, stream: bytes, *, stays: bool) -> None:
    found, headers, body, keeps = parsed(reply(asked(stream), answer))
    assert (found, body, keeps) == (status, expected, stays)
    assert headers["content-type"].startswith("application/json")


def test_requests_follow_each_other() -> None:
    found, _, ended, *_ = heard([post(b'{"size": 1}') + post(b'{"size": 2}') * 200])
    assert [one.query.size for one in found if not isinstance(one, Malformed)] == [1, *[2] * 200]
    assert not ended
