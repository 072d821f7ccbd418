"""KumoMTA: records of its log as JSON, from its tailer or by a webhook."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from geodns.cli.follow.said import Complaint, Delivery, Said
from geodns.model.mail import MailEvent

_EVENTS = {
    "Delivery": MailEvent.DELIVERED,
    "TransientFailure": MailEvent.DEFERRED,
    "Bounce": MailEvent.BOUNCED,
    "Expiration": MailEvent.EXPIRED,
}
INTERNAL = "KumoMTA internal"
"""Begins the replies that KumoMTA gives itself."""


def read_record(record: Mapping[str, Any]) -> Iterator[Said]:
    """Yield what a record says, one delivery for each recipient; of mail that goes nowhere by SMTP nothing.

    Raises:
        ValueError, TypeError: it is no record of KumoMTA's.

    """
    if record.get("type") == "Feedback":
        yield from _feedback(record)
        return
    event = _EVENTS.get(record.get("type", ""))
    # What hooks send is mail to KumoMTA as well, delivered by Lua.
    if event is None or (record.get("delivery_protocol") or "ESMTP") != "ESMTP":
        return
    if record.get("reception_protocol") == "LogRecord":
        return
    at = _seconds(record["timestamp"])
    queued = _seconds(record.get("created") or at)
    peer = record.get("peer_address") or {}
    response = record.get("response") or {}
    dsn, text = _reply(response) if event is not MailEvent.DELIVERED else ("", "")
    recipients = record["recipient"]
    source = record.get("source_address") or {}
    for one in recipients if isinstance(recipients, list) else (recipients,):
        yield Delivery(
            at,
            queued,
            at - queued,
            str(record.get("id", "")),
            str(one),
            event,
            str(record.get("egress_source") or ""),
            _address(str(source.get("address") or "")),
            str(peer.get("name") or "").rstrip("."),
            _address(str(peer.get("addr") or "")),
            dsn,
            text,
            attempt=int(record.get("num_attempts") or 0) + 1,  # counted after the record is written
        )


def _reply(response: Mapping[str, Any]) -> tuple[str, str]:
    """Return the status codes and the text; without the SMTP code where no server has replied."""
    enhanced = response.get("enhanced_code") or {}
    dsn = ".".join(str(int(enhanced[part])) for part in ("class", "subject", "detail")) if enhanced else ""
    content = " ".join(str(response.get("content") or "").split())
    if content.startswith(INTERNAL) or not response.get("code"):
        return dsn, content
    codes = f"{int(response['code'])} {dsn}".rstrip()
    return codes, f"{codes} {content}".rstrip()


def _feedback(record: Mapping[str, Any]) -> Iterator[Complaint]:
    report = record.get("feedback_report") or {}
    if report.get("feedback_type") != "abuse" or not report.get("source_ip"):
        return
    at = _seconds(record["timestamp"])
    arrived = report.get("arrival_date")
    reporter = report.get("reporting_mta") or {}
    names = str(reporter.get("name") or ""), str(record.get("sender") or "").rpartition("@")[2]
    reporters = tuple(name.lower() for name in names)
    yield Complaint(at, _seconds(arrived) if arrived else None, str(report["source_ip"]), reporters)


def _seconds(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    at = datetime.fromisoformat(str(value))
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp()


def _address(text: str) -> str:
    """Return an address without the port behind it."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
