"""What lines of Postfix say."""

import pytest

from geodns.cli.follow.said import Delivery, Expired, Finished
from tests.cli.follow.lines import (
    AT,
    BOUNCED,
    DEFERRED,
    DELIVERED,
    GMAIL,
    HEAD,
    failed,
    fields,
    postfix,
    read,
    sent,
)


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
