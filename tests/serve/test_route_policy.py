"""Policy delegation: what of a message is told, and which FILTER may stand in a queue file."""

import pytest

from geodns.responder.route_deals import Route
from geodns.responder.routes import Carried, RouteQuery
from geodns.serve.route_conversation import reply
from geodns.serve.route_messages import RouteAnswer, allowed
from tests.serve.route_samples import (
    BY_HOST,
    BY_NAME,
    LAST,
    LATER,
    NOTHING,
    ONE_OTHER,
    TWO_OTHERS,
    UNSERVED,
    asked,
    policy,
)

DUNNO = b"action=DUNNO\n\n"
TOLD = RouteQuery(
    recipient="someone@example.net",
    sender="news@example.com",
    client="192.0.2.7",
    sasl="customer",
    size=12345,
)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param({}, TOLD, id="all"),
        pytest.param({"sender": ""}, TOLD._replace(sender="<>"), id="the null sender"),
        pytest.param({"sasl_username": ""}, TOLD._replace(sasl=None), id="no user"),
        pytest.param({"size": "0"}, TOLD._replace(size=None), id="size not known"),
        pytest.param({"size": ""}, TOLD._replace(size=None), id="no size"),
        pytest.param({"recipient": ""}, TOLD._replace(recipient=None), id="several recipients"),
        pytest.param({"recipient": "A@EXAMPLE.NET."}, TOLD._replace(recipient="a@example.net"), id="case"),
        pytest.param({"recipient": "a@ü.example"}, TOLD._replace(recipient="a@xn--tda.example"), id="IDN"),
        pytest.param({"recipient": "a=b@example.net"}, TOLD._replace(recipient="a=b@example.net"), id="="),
        pytest.param({"client_address": "unknown"}, TOLD._replace(client="unknown"), id="no address"),
        pytest.param({"future": "1", "sender_": "x"}, TOLD, id="unknown attributes"),
        pytest.param({"helo_name": "\x01\x7f"}, TOLD, id="control characters in what is not read"),
    ],
)  # fmt: skip
def test_what_is_told(attributes: dict[str, str], expected: RouteQuery) -> None:
    request = asked(policy(**attributes))
    assert (request.query, request.carried, request.zone) == (expected, Carried.ALL, None)
    assert not request.deals


def test_what_is_not_sent_is_not_told() -> None:
    assert asked(b"request=smtpd_access_policy\n\n").query == RouteQuery()


def test_the_last_value_counts() -> None:
    assert asked(b"size=1\nrequest=smtpd_access_policy\nsize=2\n\n").query.size == 2


def test_the_context_is_the_zone() -> None:
    assert asked(policy(policy_context="Out.Example.COM.")).zone == "out.example.com"


NAME = b"action=FILTER relay:[gmail.out.example.com]:25\n\n"


@pytest.mark.parametrize(
    ("answer", "expected", "counted"),
    [
        pytest.param(BY_NAME, NAME, "name", id="name"),
        pytest.param(BY_HOST, NAME, "name", id="never a single host"),
        pytest.param(
            TWO_OTHERS,
            b"action=FILTER relay:[mta2.out.example.com]:25, [mta3.out.example.com]:25\n\n",
            "others",
            id="others than the one that asks",
        ),
        pytest.param(ONE_OTHER, DUNNO, "later", id="never the only other one"),
        pytest.param(BY_NAME._replace(rule=LAST), NAME, "name", id="the last rule"),
        pytest.param(LATER, DUNNO, "later", id="no other host"),
        pytest.param(UNSERVED, DUNNO, "unserved", id="a zone that is not served"),
        *(pytest.param(one, DUNNO, one.outcome, id=one.outcome) for one in NOTHING),
    ],
)
def test_replies(answer: RouteAnswer, expected: bytes, counted: str) -> None:
    request = asked(policy())
    assert reply(request, answer) == expected
    assert allowed(request, answer).outcome == counted
    assert allowed(request, allowed(request, answer)) == allowed(request, answer)


def test_a_message_with_several_recipients_is_not_moved_by_a_rule_that_asks_nothing() -> None:
    """Some of them may be local."""
    request = asked(policy(protocol_state="END-OF-MESSAGE", recipient="", recipient_count="2"))
    by_sender = LAST._replace(sender=("news@example.com",))
    assert reply(request, BY_NAME._replace(rule=by_sender)) == NAME
    assert reply(request, BY_NAME._replace(rule=LAST)) == DUNNO
    assert allowed(request, BY_NAME._replace(rule=LAST)) == RouteAnswer("none")


def test_a_host_that_is_dealt_beside_the_one_that_asks_is_a_single_one() -> None:
    one = ONE_OTHER._replace(route=Route("relay:[mta2.out.example.com]:25", "mta2"))
    assert reply(asked(policy()), one) == DUNNO
