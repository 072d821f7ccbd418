from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.outcome import MAX_DETAIL, ProbeResult
from geodns.health.refusals import describe_refusal
from geodns.health.smtp import (
    MAX_LINE,
    MAX_LINES,
    Close,
    Dialogue,
    Event,
    Greeted,
    Phase,
    Replied,
    Requirements,
    Send,
    SmtpVerdict,
    StartTls,
    address_literal,
    decoded,
    one_text,
    plain_text,
)

EHLO = Send(b"EHLO probe.example.com\r\n")
QUIT = Send(b"QUIT\r\n")
GREETING = b"220 mta1 ESMTP\r\n"
KEYWORDS = b"250-mta1\r\n250-PIPELINING\r\n250-starttls\r\n250 8BITMIME\r\n"


def dialogue(*, starttls: bool = False) -> Dialogue:
    return Dialogue("probe.example.com", Requirements(tls="starttls" if starttls else None))


def verdict_of(events: list[Event]) -> SmtpVerdict:
    (judged,) = (event for event in events if isinstance(event, SmtpVerdict))
    return judged


def test_a_good_conversation() -> None:
    talk = dialogue()
    assert talk.receive(b"220-mta1 ESMTP wait\r\n220-more\r\n") == []
    assert talk.receive(b"220 ready\r\n") == [Greeted(), EHLO]
    expected = [Replied("EHLO"), SmtpVerdict(ProbeResult.OK, "220 mta1 ESMTP wait more ready"), QUIT]
    assert talk.receive(KEYWORDS) == expected
    assert talk.keywords == ("PIPELINING", "starttls", "8BITMIME")
    assert talk.phase is Phase.QUIT
    assert talk.receive(b"221-2.0.0\r\n221 Bye\r\n") == [Close()]
    assert talk.receive(b"220 mta1\r\n") == []
    assert talk.lost("connection closed") == []


def test_starttls() -> None:
    talk = dialogue(starttls=True)
    talk.receive(GREETING)
    assert talk.receive(KEYWORDS) == [Replied("EHLO"), Send(b"STARTTLS\r\n")]
    assert talk.receive(b"220 go\r\n") == [Replied("STARTTLS"), StartTls()]
    assert talk.tls_started() == [EHLO]
    assert talk.receive(b"250 mta1\r\n") == [
        Replied("EHLO"),
        SmtpVerdict(ProbeResult.OK, "220 mta1 ESMTP"),
        QUIT,
    ]
    assert talk.tls_started() == []


def test_starttls_whose_handshake_fails() -> None:
    talk = dialogue(starttls=True)
    talk.receive(GREETING + KEYWORDS + b"220 go\r\n")
    expected = [SmtpVerdict(ProbeResult.FAILURE, "STARTTLS is broken: wrong version"), Close()]
    assert talk.tls_failed("wrong version") == expected


@pytest.mark.parametrize(
    ("greeting", "kind", "detail", "quits"),
    [
        pytest.param(b"421 4.3.2 busy\r\n", ProbeResult.SHEDDING, "421 4.3.2 busy", False, id="421"),
        pytest.param(b"450 later\r\n", ProbeResult.SHEDDING, "450 later", True, id="450"),
        pytest.param(b"554 no\r\n", ProbeResult.FAILURE, "554 no", True, id="554"),
        pytest.param(b"554\n", ProbeResult.FAILURE, "554", True, id="bare-code-bare-lf"),
        pytest.param(b"554 mx220 no\r\n", ProbeResult.FAILURE, "554 mx220 no", True, id="220-in-the-text"),
        pytest.param(
            b"220-a\r\n421 b\r\n", ProbeResult.SHEDDING, "421 a b", False, id="codes-differ-last-decides"
        ),
        pytest.param(b"554-a\r\n450 b\r\n", ProbeResult.SHEDDING, "450 a b", True, id="codes-differ-4xx"),
        pytest.param(b"250 hi\r\n", ProbeResult.FAILURE, "unexpected 250 hi", True, id="250"),
        pytest.param(b"354 hi\r\n", ProbeResult.FAILURE, "unexpected 354 hi", True, id="354"),
        pytest.param(
            b"HTTP/1.1 400 Bad\r\n", ProbeResult.FAILURE, "not SMTP: b'HTTP/1.1 400", False, id="http"
        ),
        pytest.param(b"120 hi\r\n", ProbeResult.FAILURE, "not SMTP", False, id="no-such-code"),
        pytest.param(b"2200 hi\r\n", ProbeResult.FAILURE, "not SMTP", False, id="four-digits"),
        pytest.param(b"\r\n", ProbeResult.FAILURE, "not SMTP", False, id="empty-line"),
        pytest.param(b"220-hi\r\n\r\n", ProbeResult.FAILURE, "not SMTP", False, id="empty-second-line"),
        pytest.param(b"220 a\0b\r\n", ProbeResult.FAILURE, "not SMTP", False, id="nul"),
        pytest.param("220 hi\r\n".encode("utf-16"), ProbeResult.FAILURE, "not SMTP", False, id="utf-16"),
        pytest.param(
            "220 hi\r\n".encode("utf-16-be"), ProbeResult.FAILURE, "not SMTP", False, id="utf-16-be"
        ),
        pytest.param(
            "\uff12\uff12\uff10 hi\r\n".encode(), ProbeResult.FAILURE, "not SMTP", False, id="other-digits"
        ),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x0a", ProbeResult.FAILURE, "not SMTP", False, id="tls"),
        pytest.param(
            b"220 " + b"x" * MAX_LINE, ProbeResult.FAILURE, "banner too long", False, id="endless-line"
        ),
        pytest.param(
            b"220-x\r\n" * (MAX_LINES + 1), ProbeResult.FAILURE, "banner too long", False, id="many-lines"
        ),
        pytest.param(
            (b"220-" + b"x" * 4000 + b"\r\n") * 20,
            ProbeResult.FAILURE,
            "banner too long",
            False,
            id="many-bytes",
        ),
    ],
)
def test_greetings(greeting: bytes, kind: ProbeResult, detail: str, quits: bool) -> None:
    talk = dialogue()
    events = talk.receive(greeting)
    judged = verdict_of(events)
    assert judged.kind is kind
    assert judged.detail.startswith(detail)
    assert EHLO not in events
    assert events[-1] == (QUIT if quits else Close())


@pytest.mark.parametrize(
    ("reply", "kind", "detail", "quits"),
    [
        pytest.param(b"450 later\r\n", ProbeResult.SHEDDING, "EHLO: 450 later", True, id="450"),
        pytest.param(b"421 bye\r\n", ProbeResult.SHEDDING, "EHLO: 421 bye", False, id="421"),
        pytest.param(b"220 hi\r\n", ProbeResult.FAILURE, "EHLO: unexpected 220 hi", True, id="220"),
        pytest.param(b"what?\r\n", ProbeResult.FAILURE, "not SMTP", False, id="not-smtp"),
        pytest.param(
            b"250-" + b"x" * 5000, ProbeResult.FAILURE, "the reply to EHLO is too long", False, id="long"
        ),
    ],
)
def test_replies_to_ehlo(reply: bytes, kind: ProbeResult, detail: str, quits: bool) -> None:
    talk = dialogue()
    talk.receive(GREETING)
    events = talk.receive(reply)
    assert verdict_of(events).kind is kind
    assert verdict_of(events).detail.startswith(detail)
    assert events[-1] == (QUIT if quits else Close())


HELO = Send(b"HELO probe.example.com\r\n")


@pytest.mark.parametrize(
    ("reply", "kind", "detail", "quits"),
    [
        pytest.param(b"250 mta1\r\n", ProbeResult.OK, "220 mta1 ESMTP", True, id="250"),
        pytest.param(b"250-mta1\r\n250 DSN\r\n", ProbeResult.OK, "220 mta1 ESMTP", True, id="two-lines"),
        pytest.param(b"550 nor that\r\n", ProbeResult.FAILURE, "EHLO: 502 what?", True, id="550"),
        pytest.param(b"450 later\r\n", ProbeResult.SHEDDING, "HELO: 450 later", True, id="450"),
        pytest.param(b"421 bye\r\n", ProbeResult.SHEDDING, "HELO: 421 bye", False, id="421"),
        pytest.param(b"what?\r\n", ProbeResult.FAILURE, "not SMTP", False, id="not-smtp"),
    ],
)
def test_a_5xx_to_ehlo_is_followed_by_one_helo(
    reply: bytes, kind: ProbeResult, detail: str, quits: bool
) -> None:
    talk = dialogue()
    talk.receive(GREETING)
    assert talk.receive(b"502 what?\r\n") == [Replied("EHLO", good=False), HELO]
    events = talk.receive(reply)
    assert HELO not in events
    assert verdict_of(events).kind is kind
    assert verdict_of(events).detail.startswith(detail)
    assert talk.keywords == (), "HELO offers none"
    assert events[-1] == (QUIT if quits else Close())


def test_a_host_that_closes_after_its_5xx_to_ehlo_fails_with_that_text() -> None:
    talk = dialogue()
    talk.receive(GREETING + b"554 5.7.1 go away\r\n")
    assert verdict_of(talk.lost("connection closed")).detail.startswith("EHLO: 554 5.7.1 go away")


def test_helo_is_not_enough_where_more_is_asked_for() -> None:
    talk = dialogue(starttls=True)
    talk.receive(GREETING + b"502 what?\r\n")
    assert verdict_of(talk.receive(b"250 mta1\r\n")).detail == "STARTTLS is not offered"
    talk = Dialogue("probe.example.com", Requirements(require=("SIZE",)))
    talk.receive(GREETING + b"502 what?\r\n")
    assert verdict_of(talk.receive(b"250 mta1\r\n")).detail == "SIZE is not offered"


def test_lmtp_has_no_helo() -> None:
    talk = Dialogue("probe.example.com", Requirements(lmtp=True))
    assert verdict_of(talk.receive(GREETING + b"500 what?\r\n")).detail.startswith("LHLO: 500 what?")


@pytest.mark.parametrize(
    ("replies", "kind", "detail"),
    [
        pytest.param(
            b"250-mta1\r\n250 SIZE\r\n", ProbeResult.FAILURE, "STARTTLS is not offered", id="missing"
        ),
        pytest.param(
            b"250 STARTTLS\r\n", ProbeResult.FAILURE, "STARTTLS is not offered", id="host-of-that-name"
        ),
        pytest.param(
            b"250-a\r\n250 STARTTLSX\r\n", ProbeResult.FAILURE, "STARTTLS is not offered", id="other-word"
        ),
        pytest.param(
            KEYWORDS + b"454 no TLS\r\n", ProbeResult.FAILURE, "STARTTLS is broken: 454 no TLS", id="454"
        ),
        pytest.param(
            KEYWORDS + b"500 what?\r\n", ProbeResult.FAILURE, "STARTTLS is broken: 500 what?", id="500"
        ),
        pytest.param(KEYWORDS + b"421 bye\r\n", ProbeResult.SHEDDING, "STARTTLS: 421 bye", id="421"),
        pytest.param(
            KEYWORDS + b"220 go\r\n250 mta1\r\n",
            ProbeResult.FAILURE,
            "STARTTLS is broken: plain text",
            id="injected",
        ),
    ],
)
def test_starttls_that_is_missing_or_broken(replies: bytes, kind: ProbeResult, detail: str) -> None:
    talk = dialogue(starttls=True)
    judged = verdict_of(talk.receive(GREETING + replies))
    assert judged.kind is kind
    assert judged.detail.startswith(detail)


@pytest.mark.parametrize(
    ("received", "detail"),
    [
        pytest.param(b"", "timed out while waiting for the greeting", id="silence"),
        pytest.param(b"220-wa", "timed out while waiting for the greeting after b'220-wa'", id="half"),
        pytest.param(b"220 x\r\n", "timed out while waiting for the reply to EHLO", id="after-greeting"),
    ],
)
def test_lost_before_the_verdict(received: bytes, detail: str) -> None:
    talk = dialogue()
    talk.receive(received)
    assert talk.lost("timed out") == [SmtpVerdict(ProbeResult.FAILURE, detail), Close()]


@pytest.mark.parametrize("greeting", [b"220 a\r\n250 b\r\n", b"554 no\r\n"], ids=["ok", "failure"])
def test_lost_after_the_verdict_changes_nothing(greeting: bytes) -> None:
    talk = dialogue()
    talk.receive(greeting)
    assert talk.lost("connection closed") == [Close()]


def test_the_detail_is_one_short_printable_line() -> None:
    talk = dialogue()
    detail = verdict_of(
        talk.receive(b"554 blocked a\x1b[2J\xff\xe2\x80\xae" + b"long " * 700 + b"\r\n")
    ).detail
    assert detail.isprintable()
    assert len(detail) <= MAX_DETAIL
    assert detail.endswith("(is the prober blocked?)")


@pytest.mark.parametrize(
    ("address", "literal"),
    [("192.0.2.1", "[192.0.2.1]"), ("2001:db8::1", "[IPv6:2001:db8::1]")],
)
def test_address_literals(address: str, literal: str) -> None:
    assert address_literal(ip_address(address)) == literal


LINES = st.builds(
    lambda code, separator, text, end: code + separator + text + end,
    st.sampled_from([b"220", b"250", b"221", b"421", b"450", b"454", b"554", b"354", b"99", b""]),
    st.sampled_from([b" ", b"-", b""]),
    st.one_of(st.sampled_from([b"STARTTLS", b"hi", b""]), st.binary(max_size=20)),
    st.sampled_from([b"\r\n", b"\n", b""]),
)
TALK = st.one_of(
    st.binary(max_size=200),
    st.lists(LINES, max_size=12).map(b"".join),
    st.lists(LINES, max_size=6).map(lambda lines: GREETING + KEYWORDS + b"".join(lines)),
    st.integers(min_value=4000, max_value=4200).map(
        lambda size: b"220-" + b"x" * size + b"\r\n220 y\r\n250 z\r\n"
    ),
)


WISHES = st.builds(
    Requirements,
    lmtp=st.booleans(),
    tls=st.sampled_from([None, "starttls", "implicit"]),
    expect=st.sampled_from([None, "hi", "^(a|aa)*$"]),
    require=st.sampled_from([(), ("STARTTLS",), ("SIZE", "DSN")]),
    envelope=st.sampled_from([None, ("", "a@example.com"), ("b@example.com", "a@example.com")]),
)


@given(TALK, TALK, st.lists(st.integers(min_value=0, max_value=4300), max_size=20), WISHES)
def test_whatever_comes_however_it_is_cut_there_is_one_and_the_same_verdict(
    talk: bytes, encrypted: bytes, cuts: list[int], required: Requirements
) -> None:
    def events_of(edges: list[int]) -> list[Event]:
        """Hold a conversation whose texts, before TLS and in it, come cut there."""
        one = Dialogue("probe.example.com", required)
        events: list[Event] = []
        if one.phase is not Phase.HANDSHAKE:
            for start, end in pairwise([0, *edges, len(talk)]):
                events += one.receive(talk[start:end])
        if one.phase is Phase.HANDSHAKE:
            events += one.tls_started()
            for start, end in pairwise([0, *edges, len(encrypted)]):
                events += one.receive(encrypted[start:end])
        return events + one.lost("connection closed")

    at_once, pieces = events_of([]), events_of(sorted(cuts))
    judged = verdict_of(at_once)
    assert pieces == at_once
    assert at_once[-1] == Close()
    assert judged.kind is not ProbeResult.UNKNOWN
    assert judged.detail.isprintable()
    assert 0 < len(judged.detail) <= MAX_DETAIL


@given(st.lists(LINES, max_size=20))
def test_nothing_is_sent_but_in_reply_to_a_final_line(lines: list[bytes]) -> None:
    talk = dialogue()
    received = b""
    for byte in b"".join(lines):
        received += bytes([byte])
        sent = [event for event in talk.receive(bytes([byte])) if isinstance(event, Send)]
        last = received.rstrip(b"\r\n").rpartition(b"\n")[2]
        assert not sent or (byte == 10 and last[3:4] in {b"", b" ", b"\r"})


# --- texts of replies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"220 mta1 ESMTP\r\n", "mta1 ESMTP"),
        (b"220-mta1\n", "mta1"),
        (b"220\r\n", ""),
        (b"220 m\xe4il\r\n", "m\ufffdil"),
    ],
)
def test_a_line_s_text(line: bytes, text: str) -> None:
    assert decoded(line) == text


def test_several_lines() -> None:
    lines = [b"220-a\r\n", b"220-\r\n", b"220 b\r\n"]
    assert one_text(220, lines) == "220 a b"
    assert plain_text(lines) == "a\n\nb"
    assert one_text(220, lines * 20) == "220 a b a b a b a"  # the first ten


def test_a_refusal_has_room_for_the_question() -> None:
    assert describe_refusal(354, "354 go on") == "unexpected 354 go on"
    assert describe_refusal(554, "554 no") == "554 no"
    assert len(describe_refusal(554, "554 blocked " + "x" * 500)) < MAX_DETAIL


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("530 5.7.0 Must issue a STARTTLS command first", "(write `starttls: offered`)"),
        ("550 5.7.1 Session encryption is required", "(write `starttls: offered`)"),
        (
            "504 5.5.2 <probe>: Helo command rejected: need fully-qualified hostname",
            "(write `ehlo: NAME`, a full name with an address)",
        ),
        ("550 need fully-qualified hostname", "(write `ehlo: NAME`, a full name with an address)"),
        (
            "450 4.7.1 <p.example>: Helo command rejected: Host not found",
            "(write `ehlo: NAME`, a full name with an address)",
        ),
        (
            "504 5.5.2 <probe>: Sender address rejected: need fully-qualified address",
            "(write another `mail_from`)",
        ),
        (
            "504 5.5.2 <x>: Recipient address rejected: need fully-qualified address",
            "(write an `rcpt_to` that the host takes)",
        ),
        ("554 5.7.1 <a@b.example>: Relay access denied", "(write an `rcpt_to` that the host takes)"),
        ("530 5.7.0 Authentication required", "(it asks for a login: take `rcpt_to` out)"),
        (
            "554 5.7.1 Service unavailable; Client host [192.0.2.53] blocked using zen.example.net",
            "(is the prober blocked?)",
        ),
        ("550 5.7.1 Access denied", "(is the prober blocked?)"),
        ("554 Your access to this mail system has been rejected", "(is the prober blocked?)"),
        (
            "550 5.7.25 Client host rejected: cannot find your reverse hostname, [192.0.2.53]",
            "(give this server's address a reverse name)",
        ),
        ("554 mta1 no mail here", None),
        ("550 5.1.1 no such user", "(write an `rcpt_to` that the host takes)"),
        (
            "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)",
            "(write an `rcpt_to` that the host takes)",
        ),
        ("554 5.7.1 <p>: Sender address rejected: Access denied", "(write another `mail_from`)"),
        ("450 4.2.0 <a@b>: Recipient address rejected: Greylisted", None),
        ("530 5.7.57 Client not authenticated to send mail", "(it asks for a login: take `rcpt_to` out)"),
        ("550 The sending IP has no PTR record", "(give this server's address a reverse name)"),
        ("451 4.3.0 Temporary lookup failure", None),
        ("500 what?", None),
    ],
)
def test_hints_say_what_to_do_where_the_text_gives_it_away(text: str, hint: str | None) -> None:
    assert describe_refusal(int(text[:3]), text) == (text if hint is None else f"{text} {hint}")


def test_a_check_that_asks_for_tls_is_not_told_to() -> None:
    text = "530 Must issue a STARTTLS command first"
    assert describe_refusal(530, text, encrypts=True) == text
    talk = Dialogue("probe", Requirements(envelope=("", "postmaster")))
    talk.receive(GREETING)
    talk.receive(KEYWORDS)
    assert verdict_of(talk.receive(text.encode() + b"\r\n")).detail == (
        f"MAIL FROM: {text} (write `starttls: offered`)"
    )
