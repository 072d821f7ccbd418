"""Lines in the forms that Postfix, Exim, the journal and KumoMTA write, and what they say."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.cli.follow.attempts import Attempts
from geodns.cli.follow.log_reader import LogReader
from geodns.cli.follow.log_times import LogTimes
from geodns.cli.follow.said import Complaint, Delivery, Expired, Finished, Said
from geodns.cli.follow.signals import Collector, Ours, Sender
from geodns.model.mail import MailEvent

NOW = datetime(2026, 11, 29, 16, 30, tzinfo=UTC).timestamp()
AT = datetime(2026, 11, 29, 16, 10, 53, tzinfo=UTC).timestamp()


def read(*lines: str) -> list[Said]:
    return list(LogReader(LogTimes(NOW, UTC)).read("\n".join(lines).encode()))


def fields(line: str, *names: str) -> tuple[object, ...]:
    (said,) = read(line)
    return tuple(getattr(said, name) for name in names)


HEAD = "Nov 29 16:10:53 mta1 "
GMAIL = "gmail-smtp-in.l.google.com[142.250.1.27]"
DELIVERED, DEFERRED, BOUNCED, EXPIRED = (
    MailEvent.DELIVERED,
    MailEvent.DEFERRED,
    MailEvent.BOUNCED,
    MailEvent.EXPIRED,
)


def postfix(rest: str, tag: str = "postfix/smtp", to: str = "to=<joe@gmail.com>, ") -> str:
    return f"{HEAD}{tag}[2717]: 3F1A22C0D1: {to}{rest}"


def sent(relay: str = f"{GMAIL}:25", delay: str = "delay=1.2, delays=0.1/0.02/0.5/0.6") -> str:
    return f"relay={relay}, {delay}, dsn=2.0.0, status=sent (250 2.0.0 OK 17 a1 - gsmtp)"


def failed(
    status: str, dsn: str, text: str, relay: str = f"{GMAIL}:25", delays: str = "0.1/0/0.2/0.1"
) -> str:
    return f"relay={relay}, delay=0.4, delays={delays}, dsn={dsn}, status={status} ({text})"


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        pytest.param(postfix(sent()), "postfix", id="plain"),
        pytest.param(postfix(sent(), "postfix/smtp-b/smtp"), "postfix/smtp-b", id="service-with-its-name"),
        pytest.param(postfix(sent(), "postfix/smtp-b"), "postfix/smtp-b", id="service-as-the-process"),
        pytest.param(postfix(sent(), "postfix-out/smtp"), "postfix-out", id="instance"),
        pytest.param(postfix(sent(), "postfix/relay/smtp"), "postfix/relay", id="relay"),
        pytest.param(postfix(sent(), to="to=<joe@gmail.com>, orig_to=<root>, "), "postfix", id="alias"),
        pytest.param(
            postfix("relay=" + sent()[6:].replace(", delay=", ", conn_use=3, delay=")), "postfix", id="reused"
        ),
        pytest.param(postfix(sent(delay="delay=1.2")), "postfix", id="before-2.4"),
        pytest.param(
            postfix(sent()).replace("Nov 29 16:10:53", "2026-11-29T16:10:53+00:00"), "postfix", id="rfc3339"
        ),
        pytest.param(
            postfix(sent()).replace("Nov 29 16:10:53", "2026-11-29T17:10:53.000+01:00"), "postfix", id="zone"
        ),
        pytest.param(postfix(sent()).replace("3F1A22C0D1", "4YkWq52Hd3z1Lbx"), "postfix", id="long-name"),
        pytest.param(postfix(sent()).replace(": 3F", ": [ID 197553 mail.info] 3F"), "postfix", id="solaris"),
        pytest.param("<22>" + postfix(sent()), "postfix", id="priority"),
        pytest.param(postfix(sent()) + "\r", "postfix", id="carriage-return"),
    ],
)
def test_postfix_delivers(line: str, tag: str) -> None:
    (said,) = read(line)
    assert isinstance(said, Delivery)
    assert (said.at, said.waited) == (AT, 0.1 if "delays" in line else 1.2)
    assert said.queued == pytest.approx(AT - 1.2)
    assert (said.recipient, said.event, said.sender) == ("joe@gmail.com", DELIVERED, tag)
    assert (said.server, said.address) == ("gmail-smtp-in.l.google.com", "142.250.1.27")
    assert (said.dsn, said.text, said.tried) == ("2.0.0", "", True)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        pytest.param(
            failed(
                "deferred",
                "4.7.28",
                f"host {GMAIL} said: 421-4.7.28 Odd rate seen. 421 4.7.28 See (x) - gsmtp "
                "(in reply to end of DATA command)",
            ),
            (DEFERRED, "421 4.7.28", "421-4.7.28 Odd rate seen. 421 4.7.28 See (x) - gsmtp"),
            id="several-lines",
        ),
        pytest.param(
            failed("bounced", "5.1.1", f"host {GMAIL} said: 550 5.1.1 none (in reply to RCPT TO command)"),
            (BOUNCED, "550 5.1.1", "550 5.1.1 none"),
            id="no-such-user",
        ),
        pytest.param(
            failed(
                "deferred", "4.7.1", "host mx.b.example[2001:db8::7] refused to talk to me: 421 busy", "none"
            ),
            (DEFERRED, "421 4.7.1", "421 busy"),
            id="at-the-greeting",
        ),
        pytest.param(
            failed("SOFTBOUNCE", "5.1.1", f"host {GMAIL} said: 550 5.1.1 none (in reply to RCPT TO command)"),
            (DEFERRED, "550 5.1.1", "550 5.1.1 none"),
            id="soft-bounce",
        ),
        pytest.param(
            failed(
                "deferred", "4.4.1", "connect to mx.b.example[192.0.2.7]:25: Connection timed out", "none"
            ),
            (DEFERRED, "4.4.1", "connect to mx.b.example[192.0.2.7]:25: Connection timed out"),
            id="timed-out",
        ),
        pytest.param(
            failed("deferred", "4.4.2", f"lost connection with {GMAIL} while sending RCPT TO"),
            (DEFERRED, "4.4.2", f"lost connection with {GMAIL} while sending RCPT TO"),
            id="lost",
        ),
        pytest.param(
            failed("bounced", "5.4.4", "Host or domain name not found. Name service error", "none"),
            (BOUNCED, "5.4.4", "Host or domain name not found. Name service error"),
            id="no-such-domain",
        ),
        pytest.param(
            "relay=none, delay=1, delays=0/0/0/0, dsn=4.4.1, status=deferred (host 'b' said nothing",
            (DEFERRED, "4.4.1", "host 'b' said nothing"),
            id="cut-off",
        ),
    ],
)
def test_postfix_fails(rest: str, expected: tuple[object, ...]) -> None:
    assert fields(postfix(rest), "event", "dsn", "text") == expected
    assert fields(postfix(rest), "tried") == (True,)


@pytest.mark.parametrize("tag", ["postfix/error", "postfix/retry", "postfix/smtp", "postfix/smtp-b/error"])
def test_what_others_failures_put_off_was_no_attempt(tag: str) -> None:
    text = (
        f"delivery temporarily suspended: host {GMAIL} said: 421 4.7.28 rate (in reply to MAIL FROM command)"
    )
    line = postfix(failed("deferred", "4.7.28", text, "none"), tag)
    assert fields(line, "event", "tried", "dsn", "text") == (DEFERRED, False, "4.7.28", text)
    assert fields(line, "address") == ("142.250.1.27",)  # a filter of ours would be known by it


def test_postfix_ends_messages() -> None:
    assert read(
        f"{HEAD}postfix/qmgr[9]: 3F1A22C0D1: from=<a@b.example>, status=expired, returned to sender",
        f"{HEAD}postfix/qmgr[9]: 3F1A22C0D1: from=<>, status=force-expired, returned to sender",
        f"{HEAD}postfix-out/qmgr[9]: 3F1A22C0D1: removed",
    ) == [Expired(AT, "3F1A22C0D1"), Expired(AT, "3F1A22C0D1"), Finished("3F1A22C0D1")]


@pytest.mark.parametrize(
    "line",
    [
        postfix(sent("local"), "postfix/local"),
        postfix(sent("virtual"), "postfix/virtual"),
        postfix(sent("mail.b.example[private/dovecot-lmtp]"), "postfix/lmtp"),
        postfix(sent("192.0.2.9[192.0.2.9]:24"), "postfix/lmtp"),
        postfix(sent("maildrop"), "postfix/pipe"),
        postfix(sent("none"), "postfix/discard"),
        postfix(failed("bounced", "5.0.0", "nothing for you here", "none"), "postfix/error"),
        postfix(
            failed(
                "deferred", "4.3.0", "delivery temporarily suspended: unknown mail transport error", "none"
            ),
            "postfix/error",
        ),
        postfix("relay=local, delay=1, dsn=2.0.0, status=deliverable (delivered)"),
        postfix(failed("undeliverable", "5.1.1", f"host {GMAIL} said: 550 none")),
        f"{HEAD}postfix/smtpd[1]: 3F1A22C0D1: client=unknown[192.0.2.3]",
        f"{HEAD}postfix/smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.3]: 450 no; to=<a@b> status=sent",
        f"{HEAD}postfix/qmgr[9]: 3F1A22C0D1: from=<a@b.example>, size=99, nrcpt=1 (queue active)",
        f"{HEAD}dovecot: status=sent",
        "Foo 29 16:10:53 mta1 postfix/smtp[1]: 3F1A22C0D1: to=<a@b>, " + sent(),
        "Nov 99 16:10:53 mta1 postfix/smtp[1]: 3F1A22C0D1: to=<a@b>, " + sent(),
        postfix(sent(delay="delay=")),
        "",
        "\0\0\0",
        " status=",
        "x" * 100_000 + " status=sent",
    ],
)
def test_lines_that_say_nothing(line: str) -> None:
    assert read(line) == []


MESSAGE = "1vPSxV-00000000abC-0LwQ"  # came in at 12:49:45
QUEUED = 1795956585.0
MX = "H=mta7.am0.yahoodns.net [67.195.204.77]"
OLD = "1vPSxV-000abC-Lw"
TO = "joe@yahoo.com R=dns T=remote_smtp"


def test_the_name_of_exims_message_is_when_it_came_in() -> None:
    seconds = 0
    for letter in MESSAGE[:6]:
        seconds = seconds * 62 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".index(
            letter
        )
    assert fields(exim(f"=> {TO} {MX}"), "queued") == (float(seconds),)


def exim(rest: str, message: str = MESSAGE) -> str:
    return f"2026-11-29 16:10:53 {message} {rest}"


@pytest.mark.parametrize(
    ("line", "local"),
    [
        pytest.param(
            exim(f'=> {TO} {MX} X=TLS1.3:A_B:256 CV=yes C="250 ok dirdel"'),
            "",
            id="plain",
        ),
        pytest.param(exim(f"-> {TO} {MX}"), "", id="another-recipient"),
        pytest.param(exim(f">> {TO} {MX}"), "", id="cut-through"),
        pytest.param(exim(f"=> joe@yahoo.com <info@b.example> R=dns T=remote_smtp {MX}"), "", id="alias"),
        pytest.param(
            exim(f"=> joe@yahoo.com F=<a@b> P=<> R=dns T=remote_smtp S=9 {MX}:25 I=[192.0.2.5]:4711"),
            "192.0.2.5",
            id="interface-and-port",
        ),
        pytest.param(exim(f"=> {TO} {MX}* I=[2001:db8::5] K"), "2001:db8::5", id="reused"),
        pytest.param(exim(f"=> {TO} {MX}", OLD), "", id="before-4.97"),
        pytest.param(
            f"2026-11-29 17:10:53.000 +0100 [77] {MESSAGE} => {TO} {MX}",
            "",
            id="all-selectors",
        ),
        pytest.param(
            f"{HEAD}exim[77]: {MESSAGE} => {TO} {MX}",
            "",
            id="syslog-without-a-second-time",
        ),
        pytest.param(f"{HEAD}exim[77]: " + exim(f"=> {TO} {MX}"), "", id="syslog"),
    ],
)
def test_exim_delivers(line: str, local: str) -> None:
    (said,) = read(line)
    assert isinstance(said, Delivery)
    assert (said.at, said.recipient, said.event) == (AT, "joe@yahoo.com", DELIVERED)
    assert (said.sender, said.local) == ("remote_smtp", local)
    assert (said.server, said.address) == ("mta7.am0.yahoodns.net", "67.195.204.77")


AFTER = "SMTP error from remote mail server after"


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        pytest.param(
            f"== {TO} defer (-45) {MX}: {AFTER} MAIL FROM:<a@b> SIZE=9: 421 4.7.0 [TSS04] later",
            (DEFERRED, "421 4.7.0", "421 4.7.0 [TSS04] later", True),
            id="reply",
        ),
        pytest.param(
            f"== {TO} defer (-45): {AFTER} RCPT TO:<joe@yahoo.com>: host m [192.0.2.1]: 451 x",
            (DEFERRED, "451", "451 x", True),
            id="old-form",
        ),
        pytest.param(
            f"== {TO} defer (110): Connection timed out {MX} DT=2m: connect",
            (DEFERRED, "", "connect", True),
            id="connect",
        ),
        pytest.param(
            f"== {TO} defer (110): Connection timed out",
            (DEFERRED, "", "Connection timed out", True),
            id="timed-out",
        ),
        pytest.param(
            f"== {TO} defer (-53): retry time not reached for any host for 'yahoo.com'",
            (DEFERRED, "", "retry time not reached for any host for 'yahoo.com'", False),
            id="not-tried",
        ),
        pytest.param(
            f"** {TO} {MX} X=T:A:256: {AFTER} pipelined end of data: 554-5.7.9 no\\n554 5.7.9 really",
            (BOUNCED, "554 5.7.9", "554-5.7.9 no 554 5.7.9 really", True),
            id="several-lines",
        ),
        pytest.param(
            f"** {TO}: retry timeout exceeded",
            (EXPIRED, "", "retry timeout exceeded", True),
            id="given-up",
        ),
        pytest.param(
            f"** {TO}: all hosts for 'yahoo.com' have been failing for a long time "
            "(and retry time not reached)",
            (
                EXPIRED,
                "",
                "all hosts for 'yahoo.com' have been failing for a long time (and retry time not reached)",
                False,
            ),
            id="given-up-untried",
        ),
    ],
)
def test_exim_fails(rest: str, expected: tuple[object, ...]) -> None:
    assert fields(exim(rest), "event", "dsn", "text", "tried") == expected
    assert fields(exim(rest), "recipient") == ("joe@yahoo.com",)


@pytest.mark.parametrize(
    "rest",
    [
        "=> joe <joe@b.example> R=local_user T=local_delivery",
        "== joe@b.example R=local_user T=local_delivery defer (-22): mailbox is full",
        "=> |/usr/bin/vacation <joe@b.example> R=aliases T=address_pipe",
        "=> joe@b.example R=r T=dovecot_lmtp H=127.0.0.1 [127.0.0.1]",
        "** joe@nowhere.example: Unrouteable address",
        "== joe@nowhere.example R=dns defer (-1): host lookup did not complete",
        '<= a@b.example H=x [192.0.2.3] P=esmtp S=99 T="a => b"',
        f"*> {TO} " + MX,
        f"H=mx [192.0.2.1] {AFTER} RCPT TO:<joe@yahoo.com>: 451 x -> y",
    ],
)
def test_exims_lines_that_say_nothing(rest: str) -> None:
    assert read(exim(rest)) == []


def test_a_transport_is_known_after_its_first_delivery() -> None:
    late = exim("== joe@b.example R=dns T=outside defer (110): Connection timed out")
    assert read(late) == []
    assert len(read(exim(f"=> joe@yahoo.com R=dns T=outside {MX}"), late)) == 2
    assert read(exim("Completed"), exim("Completed QT=1s")) == [Finished(MESSAGE)] * 2


def entry(message: object, tag: str = "postfix/smtp", **more: object) -> str:
    at = str(int(AT * 1e6))
    return json.dumps({"MESSAGE": message, "SYSLOG_IDENTIFIER": tag, "__REALTIME_TIMESTAMP": at, **more})


def test_the_journal_says_the_same() -> None:
    text = postfix(sent()).partition("]: ")[2]
    assert read(entry(text)) == read(postfix(sent()))
    assert read(entry(list(text.encode()))) == read(postfix(sent()))  # how it gives what is no UTF-8
    (said,) = read(entry(f"{MESSAGE} => {TO} {MX}", "exim4"))
    assert isinstance(said, Delivery)
    assert (said.at, said.server) == (AT, "mta7.am0.yahoodns.net")
    assert read(entry(None), entry(""), entry("Started", "systemd")) == []


def record(kind: str, **more: Any) -> str:
    shown: dict[str, Any] = {
        "type": kind,
        "id": "1d98076abbbc11ed940250ebf67f93bd",
        "sender": "a@b.example",
        "recipient": "joe@outlook.com",
        "site": "s->mx",
        "response": {"code": 250, "enhanced_code": {"class": 2, "subject": 0, "detail": 0}, "content": "OK"},
        "peer_address": {"name": "outlook-com.olc.protection.outlook.com.", "addr": "52.101.8.34"},
        "timestamp": int(AT),
        "created": int(AT) - 3,
        "num_attempts": 0,
        "egress_source": "ip-5",
        "source_address": {"address": "192.0.2.5:41230"},
        "delivery_protocol": "ESMTP",
    }
    return json.dumps(shown | more)


REFUSED = {
    "code": 550,
    "enhanced_code": {"class": 5, "subject": 7, "detail": 1},
    "content": "no\nmail (S3150)",
}


def test_kumomta_tells_all() -> None:
    (said,) = read(record("Delivery"))
    assert said == Delivery(
        AT,
        AT - 3,
        3.0,
        "1d98076abbbc11ed940250ebf67f93bd",
        "joe@outlook.com",
        DELIVERED,
        "ip-5",
        "192.0.2.5",
        "outlook-com.olc.protection.outlook.com",
        "52.101.8.34",
        attempt=1,
    )
    assert fields(record("Bounce", response=REFUSED, num_attempts=2), "event", "dsn", "text", "attempt") == (
        BOUNCED,
        "550 5.7.1",
        "550 5.7.1 no mail (S3150)",
        3,
    )
    internal = {
        "code": 451,
        "enhanced_code": {"class": 4, "subject": 4, "detail": 1},
        "content": "KumoMTA internal: x",
    }
    assert fields(
        record("TransientFailure", response=internal, peer_address=None), "event", "dsn", "text"
    ) == (
        DEFERRED,
        "4.4.1",
        "KumoMTA internal: x",
    )
    assert fields(record("Expiration", peer_address=None), "event") == (EXPIRED,)
    assert fields(record("Delivery", source_address={"address": "[2001:db8::5]:2"}), "local") == (
        "2001:db8::5",
    )
    assert len(read(record("Delivery", recipient=["a@b.example", "c@b.example"]))) == 2


def test_kumomtas_feedback_is_a_complaint() -> None:
    report = {
        "feedback_type": "abuse",
        "source_ip": "192.0.2.5",
        "arrival_date": "2026-11-29T10:00:00Z",
        "reporting_mta": {"mta_type": "dns", "name": "Mail.Yahoo.com"},
    }
    arrived = datetime(2026, 11, 29, 10, tzinfo=UTC).timestamp()
    assert read(record("Feedback", feedback_report=report)) == [
        Complaint(AT, arrived, "192.0.2.5", ("mail.yahoo.com", "b.example"))
    ]
    assert read(record("Feedback", feedback_report={"feedback_type": "fraud"})) == []


@pytest.mark.parametrize(
    "line",
    [
        record("Reception"),
        record("AdminBounce"),
        record("Delivery", delivery_protocol="Maildir"),
        record("Delivery", reception_protocol="LogRecord"),
    ],
)
def test_kumomtas_records_that_say_nothing(line: str) -> None:
    assert read(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "{}",
        '{"type": "Delivery"}',
        '{"MESSAGE": 5}',
        '{"type": []}',
        record("Delivery", timestamp="x"),
        "{" * 70_000,
    ],
)
def test_what_is_no_record_is_counted(line: str) -> None:
    reader = LogReader(LogTimes(NOW, UTC))
    assert list(reader.read(line.encode())) == []
    assert reader.unreadable == 1


def test_bytes_that_are_no_text_are_read() -> None:
    line = postfix(failed("bounced", "5.1.1", f"host {GMAIL} said: 550 5.1.1 n\udcf6n")).encode(
        errors="surrogateescape"
    )
    (said,) = LogReader(LogTimes(NOW, UTC)).read(line)
    assert isinstance(said, Delivery)
    assert said.text == "550 5.1.1 n\ufffdn"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nov 29 16:10:53", "2026-11-29T16:10:53"),
        ("Nov  9 06:10:03", "2026-11-09T06:10:03"),
        ("Nov 30 01:00:00", "2026-11-30T01:00:00"),  # a clock that is a little ahead
        ("Dec 31 23:59:59", "2025-12-31T23:59:59"),
        ("Feb 29 00:00:00", "2024-02-29T00:00:00"),
        ("2026-11-29T16:10:53", "2026-11-29T16:10:53"),
        ("2026-11-29T16:10:53.5+00:00", "2026-11-29T16:10:53.500000"),
        ("2026-11-29T16:10:53Z", "2026-11-29T16:10:53"),
    ],
)
def test_times(text: str, expected: str) -> None:
    times = LogTimes(NOW, UTC)
    assert (
        times.read(text)
        == times.read(text)
        == datetime.fromisoformat(expected).replace(tzinfo=UTC).timestamp()
    )


@pytest.mark.parametrize(
    "text", ["", "Nov", "Nov 31 00:00:00", "Nov 29 16:61:00", "2026-13-01T00:00:00", "9999"]
)
def test_no_times(text: str) -> None:
    assert LogTimes(NOW, UTC).read(text) is None


LINES = [
    postfix(sent()),
    postfix(failed("bounced", "5.1.1", f"host {GMAIL} said: 550 5.1.1 none (in reply to RCPT TO command)")),
    f"{HEAD}postfix/qmgr[9]: 3F1A22C0D1: from=<a@b.example>, status=expired, returned to sender",
    exim(f"=> {TO} {MX} I=[192.0.2.5] X=T:A:256"),
    exim(f"** {TO} {MX}: {AFTER} RCPT TO:<joe@yahoo.com>: 550 x"),
    record("Bounce", response=REFUSED),
    entry(postfix(sent()).partition("]: ")[2]),
]


@given(
    line=st.sampled_from(LINES),
    cuts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30), st.binary(max_size=12)), max_size=4),
    digits=st.booleans(),
)
def test_broken_lines_break_nothing(line: str, cuts: list[tuple[int, int, bytes]], *, digits: bool) -> None:
    data = line.encode()
    for start, length, instead in cuts:
        data = data[:start] + (b"9" * len(instead) * 30 if digits else instead) + data[start + length :]
    collector = Collector(Sender(egress="192.0.2.1"), Attempts(), Ours())
    for said in LogReader(LogTimes(NOW, UTC)).read(data):
        collector.add(said)
    for signal, count in collector.take():
        body = json.loads(collector.body("b", [(signal, count)]))
        assert body["signals"][0]["event"]
        assert "joe@" not in str(body)
