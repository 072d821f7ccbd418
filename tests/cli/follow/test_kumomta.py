"""What records of KumoMTA say."""

from datetime import UTC, datetime

import pytest

from geodns.cli.follow.said import Complaint, Delivery
from tests.cli.follow.lines import (
    AT,
    BOUNCED,
    DEFERRED,
    DELIVERED,
    EXPIRED,
    REFUSED,
    fields,
    read,
    record,
)


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
