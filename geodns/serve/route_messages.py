"""Questions of MTAs and answers to them, whatever the protocol."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from geodns.responder.route_deals import Route, by_name
from geodns.responder.route_table import CompiledRule, RouteTarget
from geodns.responder.routes import Carried, RouteQuery, normal_address

RouteProtocol = Literal["policy", "socketmap", "line", "http"]
RouteOutcome = Literal["name", "host", "others", "none", "local", "stopped", "unserved", "later"]
"""As `frames.RouteKey` has them, without ``malformed``."""

MOST_UNFINISHED = 100_000
"""Bytes of a request; a longer one is refused as soon as they have come."""

MOST_LINES = 300
"""Lines of a request. MTAs send 40 at most, and thousands that say nothing cost more than all else."""

SIZE_DIGITS = 18
"""Of a message's bytes: so many fit 64 bits."""

_EXIM_KNOWS_NO_SIZE = "-1"
"""As `$message_size` is before the message has come."""

TOLD = ("recipient", "sender", "class", "client", "sasl", "size", "zone")
"""What an MTA may tell of a message, as rules name it."""

CUT_SHORT = "the end within a request"
UNWRITABLE = "control characters, or no UTF-8"
NOT_SERVED = "this zone has no routes here"
NO_OTHER_HOST = "no host but the one that asks"

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
        why: for logs and the error; printable.

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
    """Return what of an answer may be told in the request's protocol: that is written, and counted.

    Only policies are told less. Their FILTER is stored in the queue file, and goes for all recipients of
    the message (access(5), FILTER, note 2):

    - A single host would keep its mail for days after it died, so the name takes its place; where the name
      may not be told for `self`, nothing does.
    - Without a recipient (DATA and END-OF-MESSAGE of a message that has several) nobody knows whether some
      are local, and a rule that asks nothing would move their mail: it is not answered. One that asks for
      the sender, the client, the user or the size is.
    """
    if request.deals or answer.route is None or answer.rule is None:
        return answer
    if request.query.recipient is None and not answer.rule.conditional:
        return answer._replace(outcome="none", rule=None, route=None, target=None)
    if answer.outcome == "others":
        return answer if "," in answer.route.transport else answer._replace(outcome="later", route=None)
    if answer.route.host:
        return answer._replace(outcome="name", route=by_name(answer.rule))
    return answer


def told_request(protocol: RouteProtocol, told: Mapping[str, str], writer: object = None) -> RouteRequest:
    """Return the request that tells values of `TOLD`.

    An empty value is as good as none, but for the sender: nobody is who sends bounces. So is a size of 0.

    Raises:
        ValueError: says why it is malformed.

    """
    if unwritable("".join(told.values())):
        raise ValueError(UNWRITABLE)
    recipient, sender = told.get("recipient"), told.get("sender")
    query = RouteQuery(
        recipient=normal_address(recipient) if recipient else None,
        sender=None if sender is None else normal_address(sender),
        mail_class=told.get("class") or None,
        client=told.get("client") or None,
        sasl=told.get("sasl") or None,
        size=_size(told.get("size")),
    )
    zone = told.get("zone", "").lower().removesuffix(".")
    return RouteRequest(protocol, zone or None, query, writer=writer)


def unwritable(text: str) -> bool:
    """Say whether a text has control characters, ends of lines, or bytes that were no UTF-8."""
    return _UNWRITABLE.search(text) is not None


def _size(text: str | None) -> int | None:
    if not text or text == _EXIM_KNOWS_NO_SIZE:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= SIZE_DIGITS):
        raise ValueError("size is no number of bytes")
    return int(text) or None
