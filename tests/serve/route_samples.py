"""Streams of requests as MTAs send them, and answers, for the tests of what reads and writes them."""

import re
from collections.abc import Iterable, Iterator

from geodns.responder.route_deals import Route, by_name
from geodns.responder.route_table import CompiledRule, RouteTarget
from geodns.serve.route_conversation import Conversation, reply
from geodns.serve.route_messages import Heard, Malformed, RouteAnswer, RouteProtocol, RouteRequest

ZONE = "out.example.com"

RULE = CompiledRule(
    number=3,
    digest="d3",
    recipient=("*@example.net",),
    sender=(),
    mail_class=(),
    provider=(),
    client=(),
    sasl=(),
    over=None,
    name="gmail.out.example.com",
    by_host=True,
    port=25,
)
LAST = RULE._replace(number=4, recipient=())
TARGET = RouteTarget(ZONE, RULE.name, "gmail", {"mta1": 1, "mta2": 1}, ("mta1", "mta2"))

BY_NAME = RouteAnswer("name", RULE, by_name(RULE), TARGET)
BY_HOST = RouteAnswer(
    "host", RULE, Route("relay:[mta2.out.example.com]:25, [gmail.out.example.com]:25", "mta2"), TARGET
)
TWO_OTHERS = RouteAnswer(
    "others", RULE, Route("relay:[mta2.out.example.com]:25, [mta3.out.example.com]:25", "mta2"), TARGET
)
ONE_OTHER = RouteAnswer("others", RULE, Route("relay:[mta2.out.example.com]:25"), TARGET)
NOTHING = (RouteAnswer("none"), RouteAnswer("local"), RouteAnswer("stopped"))
UNSERVED = RouteAnswer("unserved")
LATER = RouteAnswer("later", RULE, None, TARGET)

ANSWERS = (BY_NAME, BY_HOST, TWO_OTHERS, ONE_OTHER, *NOTHING, UNSERVED, LATER)


def policy(**attributes: str) -> bytes:
    """Return a policy request as Postfix sends it, with some attributes of others' values."""
    known = {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "protocol_name": "ESMTP",
        "client_address": "192.0.2.7",
        "client_name": "client.example",
        "helo_name": "client.example",
        "sender": "news@example.com",
        "recipient": "someone@example.net",
        "recipient_count": "0",
        "queue_id": "",
        "instance": "123.456.7",
        "size": "12345",
        "sasl_method": "plain",
        "sasl_username": "customer",
        "policy_context": "",
    }
    return "".join(f"{name}={value}\n" for name, value in {**known, **attributes}.items()).encode() + b"\n"


def netstring(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return b"%d:%b," % (len(raw), raw)


def post(
    body: bytes = b'{"recipient": "someone@example.net"}',
    *,
    start: bytes = b"POST /route HTTP/1.1",
    headers: Iterable[tuple[str, str | None]] = (),
) -> bytes:
    """Return an HTTP request; a header with None is left out."""
    known: dict[str, str | None] = {
        "Host": "127.0.0.1:5310",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **dict(headers),
    }
    lines = [f"{name}: {value}".encode() for name, value in known.items() if value is not None]
    return b"\r\n".join([start, *lines, b"", body])


def pieces(stream: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """Yield a stream in pieces that end at some places."""
    start = 0
    for cut in sorted({*cuts, len(stream)}):
        yield stream[start:cut]
        start = cut


Ending = tuple[list[Heard], bool, bool, list[Heard], bool]
"""What was heard, whether half a request waited, whether it was the end; and what a half-close added."""


def heard(parts: Iterable[bytes]) -> Ending:
    conversation = Conversation()
    found = [one for part in parts for one in conversation.feed(part)]
    half, ended = conversation.held > 0, conversation.ended
    return found, half, ended, conversation.eof(), conversation.ended


def asked(stream: bytes) -> RouteRequest:
    """Return the one request of a stream."""
    found, half, _, more, _ = heard([stream])
    (one,) = [*found, *more]
    assert isinstance(one, RouteRequest)
    assert half == bool(more)
    return one


WELL_FORMED: dict[RouteProtocol, re.Pattern[bytes]] = {
    "policy": re.compile(rb"action=(DUNNO|FILTER relay:\[[ -~]+)\n\n"),
    "socketmap": re.compile(rb"[1-9][0-9]*:(OK relay:\[[ -~]+|NOTFOUND |TEMP [ -~]+),"),
    "line": re.compile(rb"(200 relay:\[[ -~]+|500 no route|400 [ -~]+)\n"),
    "http": re.compile(rb"HTTP/1\.1 [2-5][0-9][0-9] [ -~]+\r\n([A-Za-z-]+: [ -~]+\r\n)+\r\n({[ -~]+})?"),
}
"""What an answer looks like, by protocol; nothing that is not printable stands in one."""


def is_orderly(ending: Ending) -> None:
    """Hold what was heard to what every stream must do."""
    found, half, ended, more, closed = ending
    assert closed
    assert not (half and ended)
    assert not (more and not half)
    every = [*found, *more]
    assert not any(isinstance(one, Malformed) for one in every[:-1])
    assert not every or isinstance(every[-1], RouteRequest) or more or ended
    for one in every:
        replies = [one.reply] if isinstance(one, Malformed) else [reply(one, it) for it in ANSWERS]
        for raw in replies:
            assert WELL_FORMED[one.protocol].fullmatch(raw), (one, raw)
        assert not isinstance(one, Malformed) or one.why.isprintable()


GOOD: dict[str, bytes] = {
    "policy": policy(),
    "policy, twice": policy() + policy(recipient="", recipient_count="2", sender=""),
    "policy, another order": b"sender=a@b.example\nfuture=1\nrequest=smtpd_access_policy\n\n",
    "socketmap": netstring("recipient someone@example.net") + netstring("recipient *"),
    "socketmap, senders": netstring("sender <>") + netstring("sender @example.com") + netstring("sender "),
    "line": b"get recipient=a%40b.example&sender=&class=bulk&size=5\n",
    "line, an address": b"get a+b@example.net\r\n",
    "line, without its end": b"get someone@example.net",
    "http": post() + post(b"{}"),
    "http, chunked": post(
        b'b\r\n{"recipient\r\n8\r\n": "a@b"\r\n1;more=x\r\n}\r\n0\r\nLate: 1\r\n\r\n',
        headers=[("Content-Length", None), ("Transfer-Encoding", "chunked")],
    )
    + post(),
    "http, the last": post(headers=[("Connection", "close")]) + post(),
    "http 1.0": post(start=b"POST /route HTTP/1.0", headers=[("Host", None)]) + b"x",
}
"""Streams of requests, as they shall be."""

BAD: dict[str, bytes] = {
    "nothing known": b"\x16\x03\x01\x02\x00",
    "an empty line first": b"\n" + policy(),
    "policy, another request": policy(request="junk") + policy(),
    "policy, no request": b"sender=a\n\n",
    "policy, a line without =": b"request=smtpd_access_policy\nsender\n\n",
    "policy, very many lines": b"request=smtpd_access_policy\n" + b"x=\n" * 300 + b"\n",
    "policy, two empty lines": policy() + b"\n" + policy(),
    "policy, half": policy()[:-1],
    "policy, a size in words": policy(size="big"),
    "policy, control characters": policy(recipient="a\x00@example.net"),
    "policy, no UTF-8": policy().replace(b"someone", b"\xff"),
    "policy, too long": b"request=smtpd_access_policy\nx=" + b"y" * 100_000 + b"\n\n",
    "policy, endless": b"request=" + b"y" * 100_001,
    "socketmap, another map": netstring("transport a@b") + netstring("sender a@b"),
    "socketmap, no key": netstring("recipient") + netstring("x"),
    "socketmap, empty": b"0:,",
    "socketmap, no comma": b"6:sender;",
    "socketmap, no length": b"1x:sender,",
    "socketmap, zeros first": b"006:sender,",
    "socketmap, a long length": b"999999999999999",
    "socketmap, too long": b"10012:",
    "socketmap, half": b"29:recipient someone",
    "socketmap, half a length": b"29",
    "line, no get": b"gett a@b\n",
    "line, nothing": b"get \n",
    "line, g": b"g",
    "line, another key": b"get recipient=a%40b&to=c\n",
    "line, twice": b"get recipient=a%40b&recipient=c\n",
    "line, control characters": b"get recipient=a%40b%0aX\n",
    "line, no UTF-8": b"get %ff@example.net\n",
    "line, too long": b"get " + b"x" * 10_000 + b"\n",
    "http, another path": post(start=b"POST / HTTP/1.1") + post(),
    "http, another method": post(start=b"GET /route HTTP/1.1"),
    "http, HEAD": post(start=b"HEAD /route HTTP/1.1"),
    "http, a query": post(start=b"POST /route?recipient=a HTTP/1.1"),
    "http, from a page": post(headers=[("Origin", "http://127.0.0.1:5310")]),
    "http, another host": post(headers=[("Host", "evil.example")]),
    "http, no host": post(headers=[("Host", None)]),
    "http, a form": post(headers=[("Content-Type", "text/plain")]),
    "http, expecting": post(headers=[("Expect", "100-continue")]),
    "http, no JSON": post(b"{"),
    "http, nested": post(b"[" * 30_000),
    "http, no object": post(b"[]"),
    "http, an unknown key": post(b'{"recipient": "a@b", "to\\n": "c"}'),
    "http, a number": post(b'{"recipient": 1}'),
    "http, control characters": post(b'{"recipient": "a\\u0000@b"}'),
    "http, half a character": post(b'{"recipient": "\\ud800@b"}'),
    "http, much": post(headers=[("Content-Length", "32769")]),
    "http, much in chunks": post(
        b"1\r\n \r\n" * 6_000, headers=[("Content-Length", None), ("Transfer-Encoding", "chunked")]
    ),
    "http, long headers": post(headers=[("X", "y" * 17_000)]),
    "http, two lengths": post(headers=[("Content-Length", "1, 2")]),
    "http, no number": post(headers=[("Content-Length", "9" * 5000)]),
    "http, very many headers": post(start=b"POST /route HTTP/1.1" + b"\r\na: b" * 300) + post(),
    "http, half a head": b"POST /route HTTP/1.1\r\nHo",
    "http, half a body": post()[:-1],
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
"""Streams with something that is no request, as the first thing or after good ones."""
