"""Feedback reports (ARF, RFC 5965): a recipient called a message spam."""

from email import message_from_bytes
from email.message import Message
from email.policy import default
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path

from geodns.cli.follow.said import Complaint
from geodns.errors import UsageError

MOST = 10_000
"""Incidents that one report may speak of."""


def read_report(content: bytes, now: float) -> Complaint | str:
    """Read a mail that holds a report; return why not where it tells of no complaint about an address.

    Args:
        content: the mail.
        now: seconds since the epoch; when the complaint counts.

    """
    mail = message_from_bytes(content)
    report = next(
        (part for part in mail.walk() if part.get_content_type() == "message/feedback-report"), None
    )
    if report is None:
        return "it has no part message/feedback-report"
    fields = _fields(report)
    kind = fields.get("Feedback-Type", "").strip().lower()
    if kind != "abuse":
        return f"its Feedback-Type is {kind!r}: no complaint"
    try:
        source = str(ip_address(fields.get("Source-IP", "").strip().strip("[]")))
    except ValueError:
        return "it has no Source-IP: nobody can say which address it speaks of"
    names = (
        fields.get("Reporting-MTA", "").partition(";")[2],
        str(mail.get("From", "")).rpartition("@")[2].partition(">")[0],
    )
    incidents = fields.get("Incidents", "1").strip()
    return Complaint(
        now,
        _moment(fields.get("Arrival-Date") or fields.get("Received-Date") or "", now),
        source,
        tuple(name.strip().rstrip(".").lower() for name in names),
        min(int(incidents), MOST) if incidents.isdecimal() and len(incidents) < 9 and int(incidents) else 1,
    )


def _fields(part: Message) -> Message:
    """Return a report's fields, which the parser takes for a message's header or for text."""
    inner = part.get_payload()
    if isinstance(inner, list) and inner and isinstance(inner[0], Message):
        return inner[0]
    content = part.get_payload(decode=True)
    return message_from_bytes(content if isinstance(content, bytes) else b"", policy=default)


def _moment(text: str, now: float) -> float | None:
    try:
        return min(parsedate_to_datetime(text).timestamp(), now)
    except (ValueError, TypeError, OverflowError):
        return None


def maildir(path: Path) -> tuple[Path, Path]:
    """Return the folders of a maildir for new mails and for those that were seen."""
    new, seen = path / "new", path / "cur"
    if not new.is_dir() or not seen.is_dir():
        raise UsageError(f"--arf {path}: that is no maildir: it has no new and cur")
    return new, seen
