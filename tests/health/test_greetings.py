"""What servers say first, from RFC examples and real hosts, and what is to be thought of it."""

import asyncio
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.outcome import MAX_DETAIL, ProbeResult
from geodns.health.probe import probe
from geodns.health.smtp import Close, Dialogue, Event, Phase, Send, SmtpVerdict
from geodns.model.checks import Check, Target
from tests.health.servers import serving
from tests.health.test_smtp import LINES

OK, SHEDDING, FAILURE = ProbeResult.OK, ProbeResult.SHEDDING, ProbeResult.FAILURE

GREETINGS: dict[str, tuple[bytes, ProbeResult, str]] = {
    # RFC 5321, RFC 821 and RFC 2821
    "RFC 5321 appendix D.1": (
        b"220 foo.com Simple Mail Transfer Service Ready\r\n",
        OK,
        "220 foo.com Simple",
    ),
    "RFC 821": (b"220 BBN-UNIX.ARPA Simple Mail Transfer Service Ready\r\n", OK, "220 BBN-UNIX.ARPA"),
    "several lines": (
        b"220-foo.com ESMTP\r\n220-No spam.\r\n220 Go on\r\n",
        OK,
        "220 foo.com ESMTP No spam. Go",
    ),
    "several lines without text": (b"220-\r\n220-\r\n220 \r\n", OK, "220"),
    "code and space": (b"220 \r\n", OK, "220"),
    "code alone": (b"220\r\n", OK, "220"),
    "a final line that is a code alone": (b"220-foo.com\r\n220\r\n", OK, "220 foo.com"),
    "ESMTP is not in it": (b"220 mail.example.com ready\r\n", OK, "220 mail.example.com ready"),
    "an address literal": (b"220 [192.0.2.1] ESMTP\r\n", OK, "220 [192.0.2.1] ESMTP"),
    "554 of section 3.1": (b"554 No SMTP service here\r\n", FAILURE, "554 No SMTP service here"),
    "521 of RFC 7504": (
        b"521 mail.example.com does not accept mail\r\n",
        FAILURE,
        "521 mail.example.com does",
    ),
    "421 of section 3.8": (b"421 foo.com Service not available\r\n", SHEDDING, "421 foo.com Service not"),
    # Real banners
    "Postfix": (
        b"220 mail.example.com ESMTP Postfix (Debian/GNU)\r\n",
        OK,
        "220 mail.example.com ESMTP Postfix",
    ),
    "Exim": (
        b"220 mx.example.com ESMTP Exim 4.96 Tue, 24 Nov 2026 10:11:12 +0000\r\n",
        OK,
        "220 mx.example.com ESMTP Exim 4.96",
    ),
    "Exim of a hosting company": (
        (
            b"220-srv1.example.com ESMTP Exim 4.97.1 #2 Tue, 24 Nov 2026 10:11:12 +0100 \r\n"
            b"220-We do not authorize the use of this system to transport unsolicited, \r\n"
            b"220 and/or bulk e-mail.\r\n"
        ),
        OK,
        "220 srv1.example.com ESMTP Exim 4.97.1",
    ),
    "Sendmail": (
        b"220 mail.example.com ESMTP Sendmail 8.17.1/8.17.1; Tue, 24 Nov 2026 10:11:12 GMT\r\n",
        OK,
        "220 mail.example.com ESMTP Sendmail 8.17.1",
    ),
    "qmail": (b"220 mail.example.com ESMTP\r\n", OK, "220 mail.example.com ESMTP"),
    "qmail of old": (b"220 mail.example.com SMTP\n", OK, "220 mail.example.com SMTP"),
    "OpenSMTPD": (b"220 mail.example.com ESMTP OpenSMTPD\r\n", OK, "220 mail.example.com ESMTP OpenSMTPD"),
    "Exchange": (
        b"220 EX01.corp.example.com Microsoft ESMTP MAIL Service ready at Tue, 24 Nov 2026 10:11:12\r\n",
        OK,
        "220 EX01.corp.example.com Microsoft ESMTP",
    ),
    "Exchange Online": (
        (
            b"220 DB3EUR04FT010.mail.protection.outlook.com Microsoft ESMTP MAIL Service ready at "
            b"Tue, 24 Nov 2026 09:11:12 +0000 [08DE2A1B2C3D4E5F]\r\n"
        ),
        OK,
        "220 DB3EUR04FT010.mail.protection.outlook.com",
    ),
    "Gmail": (
        b"220 mx.google.com ESMTP 5b1f17b1804b1-477bf1e8a5esi1234567.89 - gsmtp\r\n",
        OK,
        "220 mx.google.com",
    ),
    "Yahoo": (b"220 mtaproxy501.free.mail.ne1.yahoo.com ESMTP ready\r\n", OK, "220 mtaproxy501.free.mail"),
    "SES": (
        b"220 inbound-smtp.eu-west-1.amazonaws.com ESMTP SimpleEmailService-d-ABC\r\n",
        OK,
        "220 inbound-smtp",
    ),
    "a firewall that blots out the banner": (b"220 " + b"*" * 60 + b"\r\n", OK, "220 *****"),
    "a Lotus Domino": (
        b"220 notes.example.com ESMTP Service (HCL Domino Release 12.0.2) ready at Tue, 24 Nov 2026\r\n",
        OK,
        "220 notes.example.com ESMTP Service",
    ),
    "an LMTP server": (b"220 mail.example.com Dovecot ready.\r\n", OK, "220 mail.example.com Dovecot ready."),
    "Haraka": (
        b"220 mx.example.com ESMTP Haraka/3.0.3 ready (6A3F1E2B)\r\n",
        OK,
        "220 mx.example.com ESMTP Haraka",
    ),
    "Google's refusal": (
        (
            b"421-4.7.0 IP not in whitelist for RCPT domain, closing connection.\r\n"
            b"421 4.7.0 For more information, go to the help. - gsmtp\r\n"
        ),
        SHEDDING,
        "421 4.7.0 IP not in whitelist",
    ),
    "Postfix at its limit": (
        b"421 4.7.0 mail.example.com Error: too many connections from 192.0.2.9\r\n",
        SHEDDING,
        "421 4.7.0 mail.example.com Error: too many",
    ),
    "Exim at its limit": (
        b"421 Too many concurrent SMTP connections; please try again later.\r\n",
        SHEDDING,
        "421 Too",
    ),
    "Exchange under pressure": (
        b"421 4.3.2 Service not available\r\n",
        SHEDDING,
        "421 4.3.2 Service not available",
    ),
    "Exchange in maintenance": (
        b"421 4.3.2 The maximum number of connections\r\n",
        SHEDDING,
        "421 4.3.2 The",
    ),
    "Yahoo's deferral": (
        b"421 4.7.0 [TSS04] Messages from 192.0.2.9 temporarily deferred\r\n",
        SHEDDING,
        "421 4.7.0 [TSS",
    ),
    "Sendmail with too high a load": (
        b"421 4.3.2 Connection rate limit exceeded.\r\n",
        SHEDDING,
        "421 4.3.2 Connection",
    ),
    "Sendmail without disk": (
        b"452 4.4.5 Insufficient disk space; try again later\r\n",
        SHEDDING,
        "452 4.4.5 Insuff",
    ),
    "greylisting at the greeting": (b"450 4.7.1 Try again later\r\n", SHEDDING, "450 4.7.1 Try again later"),
    "several lines of 421": (b"421-busy\r\n421 really\r\n", SHEDDING, "421 busy really"),
    "421 alone": (b"421\r\n", SHEDDING, "421"),
    # Refusals
    "a block list": (
        b"554-mx.example.com\r\n554 Your access to this mail system has been rejected\r\n",
        FAILURE,
        "554 mx.example.com Your access",
    ),
    "220 in the text": (b"554 mx220.example.com refuses\r\n", FAILURE, "554 mx220.example.com"),
    "554 mx220 alone": (b"554 mx220\r\n", FAILURE, "554 mx220"),
    "220 at the end": (b"554 5.7.1 220\r\n", FAILURE, "554 5.7.1 220"),
    "220 in the first line": (b"554-220 ready\r\n554 no\r\n", FAILURE, "554 220 ready no"),
    "Exim's synchronization error": (
        b"554 SMTP synchronization error\r\n",
        FAILURE,
        "554 SMTP synchronization",
    ),
    "550 at once": (b"550 5.7.1 Service unavailable; client blocked\r\n", FAILURE, "550 5.7.1 Service"),
    "500": (b"500 what?\r\n", FAILURE, "500 what?"),
    # postscreen and other pauses
    "postscreen's teaser and then the greeting": (
        b"220-mail.example.com ESMTP Postfix\r\n220 mail.example.com ESMTP Postfix\r\n",
        OK,
        "220 mail.example.com ESMTP Postfix mail.example.com",
    ),
    "postscreen's teaser and then too many": (
        b"220-mail.example.com ESMTP\r\n421 4.3.2 All server ports are busy\r\n",
        SHEDDING,
        "421 mail.example.com ESMTP 4.3.2 All server",
    ),
    "postscreen's teaser and then no": (
        b"220-mail.example.com ESMTP\r\n550 5.7.1 Service unavailable; listed\r\n",
        FAILURE,
        "550 mail.example.com ESMTP 5.7.1 Service",
    ),
    "postscreen's teaser and then the caught early talker": (
        b"220-mail.example.com ESMTP\r\n521 5.5.1 Protocol error\r\n",
        FAILURE,
        "521 mail.example.com ESMTP 5.5.1 Protocol",
    ),
    "the teaser alone": (
        b"220-mail.example.com ESMTP\r\n",
        FAILURE,
        "connection closed while waiting for the gree",
    ),
    # Wrong codes
    "continued by another code": (b"220-a\r\n250 b\r\n", FAILURE, "unexpected 250 a b"),
    "a refusal that ends well": (b"554-a\r\n220 b\r\n", OK, "220 a b"),
    "250": (b"250 mail.example.com\r\n", FAILURE, "unexpected 250 mail.example.com"),
    "354": (b"354 go on\r\n", FAILURE, "unexpected 354 go on"),
    "221": (b"221 Bye\r\n", FAILURE, "unexpected 221 Bye"),
    "two digits": (b"22 mail\r\n", FAILURE, "not SMTP: b'22 mail"),
    "four digits": (b"2200 mail\r\n", FAILURE, "not SMTP: b'2200 mail"),
    "a code of the 100s": (b"120 soon\r\n", FAILURE, "not SMTP: b'120 soon"),
    "a code of the 600s": (b"620 mail\r\n", FAILURE, "not SMTP: b'620 mail"),
    "a letter behind the code": (b"220x\r\n", FAILURE, "not SMTP: b'220x"),
    "a space before the code": (b" 220 mail\r\n", FAILURE, "not SMTP: b' 220 mail"),
    "no code in the second line": (b"220-mail\r\nhello\r\n220 x\r\n", FAILURE, "not SMTP: b'hello"),
    "an empty line first": (b"\r\n220 mail\r\n", FAILURE, "not SMTP: b'\\r\\n'"),
    # Ends of lines, and what is in them
    "a bare LF": (b"220 mail.example.com ESMTP\n", OK, "220 mail.example.com ESMTP"),
    "bare LFs in several lines": (b"220-a\n220-b\n220 c\n", OK, "220 a b c"),
    "both kinds of ends": (b"220-a\r\n220-b\n220 c\r\n", OK, "220 a b c"),
    "CR CR LF": (b"220 mail\r\r\n", OK, "220 mail"),
    "a bare CR is no end": (b"220 mail\r", FAILURE, "connection closed while waiting for the greeting after"),
    "no end at all": (
        b"220 mail",
        FAILURE,
        "connection closed while waiting for the greeting after b'220 mail'",
    ),
    "nothing": (b"", FAILURE, "connection closed while waiting for the greeting"),
    "NUL in the text": (b"220 ma\0il\r\n", FAILURE, "not SMTP: b'220 ma\\x00il"),
    "NULs alone": (b"\0" * 64 + b"\r\n", FAILURE, "not SMTP: b'\\x00"),
    "Latin-1": (b"220 m\xe4il ESMTP\r\n", OK, "220 m\ufffdil ESMTP"),
    "UTF-8": ("220 mäil ESMTP\r\n".encode(), OK, "220 mäil ESMTP"),
    "8-bit rubbish behind the code": (b"220 \xff\xfe\xfd\r\n", OK, "220 \ufffd\ufffd\ufffd"),
    "a terminal's escapes": (b"220 \x1b[2Jmail\r\n", OK, "220 \ufffd[2Jmail"),
    "a tab in the text": (b"220 mail\tESMTP\r\n", OK, "220 mail\ufffdESMTP"),
    "600 bytes": (b"220 " + b"x" * 596 + b"\r\n", OK, "220 xxxx"),
    "600 bytes of 554": (b"554 " + b"x" * 596 + b"\r\n", FAILURE, "554 xxxx"),
    "ten lines of 600 bytes": ((b"220-" + b"x" * 596 + b"\r\n") * 10 + b"220 y\r\n", OK, "220 xxxx"),
    "5,000 bytes": (b"220 " + b"x" * 5000 + b"\r\n", FAILURE, "banner too long"),
    "UTF-16": ("220 mail\r\n".encode("utf-16"), FAILURE, "not SMTP: b'\\xff\\xfe2"),
    "UTF-8 with a mark before it": (b"\xef\xbb\xbf220 mail\r\n", FAILURE, "not SMTP: b'\\xef\\xbb\\xbf220"),
    # Other servers on the port
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n", FAILURE, "not SMTP: b'HTTP/1.1 400 Bad"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", FAILURE, "not SMTP: b'SSH-2.0-OpenSSH_9.6"),
    "POP3": (b"+OK Dovecot ready.\r\n", FAILURE, "not SMTP: b'+OK Dovecot"),
    "IMAP": (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", FAILURE, "not SMTP: b'* OK"),
    "MySQL": (b"J\0\0\0\n8.0.36\0", FAILURE, "not SMTP: b'J\\x00"),
    "a TLS alert": (b"\x15\x03\x01\x00\x02\x02\x0a", FAILURE, "not SMTP: b'\\x15\\x03"),
    "a TLS alert without a line's end": (
        b"\x15\x03\x03\x00\x02\x02\x28",
        FAILURE,
        "connection closed while wait",
    ),
    "Telnet": (
        b"\xff\xfd\x18\xff\xfd\x20login:",
        FAILURE,
        "connection closed while waiting for the greeting after",
    ),
    "VNC": (b"RFB 003.008\n", FAILURE, "not SMTP: b'RFB 003.008"),
    "FTP, which sounds the same": (b"220 (vsFTPd 3.0.5)\r\n", OK, "220 (vsFTPd 3.0.5)"),
}


Cut = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def bytewise(data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        yield data[position : position + 1]


@pytest.mark.parametrize("cut", [whole, bytewise])
@pytest.mark.parametrize(("greeting", "kind", "detail"), GREETINGS.values(), ids=GREETINGS.keys())
def test_greetings(greeting: bytes, kind: ProbeResult, detail: str, cut: Cut) -> None:
    talk = Dialogue("probe.example.com")
    events: list[Event] = []
    for chunk in cut(greeting):
        assert not events, "it talked before the greeting was whole, or has judged it early"
        events += talk.receive(chunk)
        if events and isinstance(events[-1], Close):
            break
    if talk.phase is Phase.EHLO:
        assert [event for event in events if isinstance(event, Send)] == [Send(b"EHLO probe.example.com\r\n")]
        events += talk.receive(b"250 mta1\r\n")
    events += talk.lost("connection closed")
    (judged,) = (event for event in events if isinstance(event, SmtpVerdict))
    assert judged.kind is kind
    assert judged.detail.startswith(detail)
    assert judged.detail.isprintable()
    assert len(judged.detail) <= MAX_DETAIL


def test_there_are_enough_greetings() -> None:
    assert len(GREETINGS) >= 60


LIMIT = 0.15
"""Seconds for a whole probe."""

CHUNKS = st.lists(
    st.one_of(st.binary(max_size=60), LINES, st.sampled_from([b"220 a\r\n", b"250-a\r\n", b"250 b\r\n"])),
    max_size=8,
)


@given(CHUNKS, st.booleans())
def test_any_bytes_in_any_chunks_end_in_a_verdict_in_time(chunks: list[bytes], stays: bool) -> None:
    async def main() -> None:
        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for chunk in chunks:
                writer.write(chunk)
                await asyncio.sleep(0)
            if stays:
                await reader.read()

        async with serving(say) as port:
            check = Check(name="smtp", timeout=LIMIT)
            target = Target(check=check, address=ip_address("127.0.0.1"), port=port)
            loop = asyncio.get_running_loop()
            started = loop.time()
            outcome = await probe(target, ehlo="probe.example.com")
            assert loop.time() - started < LIMIT + 1.0
            assert outcome.kind is not ProbeResult.UNKNOWN
            assert outcome.detail.isprintable()
            assert 0 < len(outcome.detail) <= MAX_DETAIL

    asyncio.run(main())
