"""Lines in the forms that Postfix, Exim, the journal and KumoMTA write."""

import json
from datetime import UTC, datetime
from typing import Any

from geodns.cli.follow.log_reader import LogReader
from geodns.cli.follow.log_times import LogTimes
from geodns.cli.follow.said import Said
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


MESSAGE = "1vPSxV-00000000abC-0LwQ"
MX = "H=mta7.am0.yahoodns.net [67.195.204.77]"
OLD = "1vPSxV-000abC-Lw"
TO = "joe@yahoo.com R=dns T=remote_smtp"


AFTER = "SMTP error from remote mail server after"


def exim(rest: str, message: str = MESSAGE) -> str:
    return f"2026-11-29 16:10:53 {message} {rest}"


def entry(message: object, tag: str = "postfix/smtp", **more: object) -> str:
    at = str(int(AT * 1e6))
    return json.dumps({"MESSAGE": message, "SYSLOG_IDENTIFIER": tag, "__REALTIME_TIMESTAMP": at, **more})


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
