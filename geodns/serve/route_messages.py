"""Questions of MTAs and answers to them, whatever the protocol."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from geodns.responder.route_deals import Route, by_name
from geodns.responder.route_table import CompiledRule, RouteTarget
from geodns.responder.routes import Carried, RouteQuery

RouteProtocol = Literal["policy", "socketmap", "line", "http"]
RouteOutcome = Literal["name", "host", "others", "none", "local", "stopped", "unserved", "later"]
"""As `frames.RouteKey` has them, without ``malformed``."""

MOST_UNFINISHED = 100_000
"""Bytes of a request; one that is longer is refused as soon as they have come."""

SIZE_DIGITS = 18

_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class RouteRequest(NamedTuple):
    """What an MTA asks.

    Attributes:
        zone: as asked, in lower case and without final dot; None: not told.
        writer: what the protocol needs to write the answer.

    """

    protocol: RouteProtocol
    zone: str | None
    query: RouteQuery
    carried: Carried = Carried.ALL
    writer: object = None

    @property
    def deals(self) -> bool:
        """Whether it may be answered with a single host: a FILTER is stored with the mail for days."""
        return self.protocol != "policy"

    @property
    def explains(self) -> bool:
        """Whether the answer needs `RouteAnswer.explained`."""
        return self.protocol == "http"


class Malformed(NamedTuple):
    """What is no request; nothing after it is read.

    Attributes:
        reply: the protocol's own error; the connection closes after it.
        why: for logs; nothing of the client's stands in it.

    """

    protocol: RouteProtocol
    reply: bytes
    why: str


Heard = RouteRequest | Malformed


class RouteAnswer(NamedTuple):
    """What an MTA is answered.

    Attributes:
        rule: that fits; None unless there is one.
        route: where the message goes; None where the outcome names nothing.
        target: of the rule's name.
        provider: of the recipient's domain; empty: not known.
        explained: the body of the answer over HTTP, see `RouteRequest.explains`.

    """

    outcome: RouteOutcome
    rule: CompiledRule | None = None
    route: Route | None = None
    target: RouteTarget | None = None
    provider: str = ""
    explained: Mapping[str, object] | None = None


def allowed(request: RouteRequest, answer: RouteAnswer) -> RouteAnswer:
    """Return what of an answer may be told in the request's protocol: for what is counted and written.

    A policy's FILTER is stored in the queue file, for all recipients of the message (access(5)): a single
    host there would keep the mail for days when it dies, so it becomes the name, or nothing beside `self`.
    """
    if request.deals or answer.route is None or answer.rule is None:
        return answer
    if answer.outcome == "host":
        return answer._replace(outcome="name", route=by_name(answer.rule))
    if answer.outcome == "others" and "," not in answer.route.transport:
        return answer._replace(outcome="later", route=None)
    return answer


def unwritable(text: str) -> bool:
    """Say whether a text has control characters, ends of lines, or bytes that were no UTF-8."""
    return _UNWRITABLE.search(text) is not None


def size_of(text: str) -> int | None:
    """Return a number of bytes; empty or 0: None; raises ValueError for what is none."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= SIZE_DIGITS):
        raise ValueError("size is no number of bytes")
    return int(text) or None


def zone_of(text: str | None) -> str | None:
    """Return a zone as it is asked for."""
    return text.lower().removesuffix(".") or None if text else None
