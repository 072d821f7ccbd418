"""Feedback reports and SNDS's data, in the forms of who sends them."""

import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from geodns.cli.follow.command import follow
from geodns.cli.follow.feedback import read_report
from geodns.cli.follow.said import Complaint
from geodns.cli.follow.snds import read_days
from geodns.errors import GeodnsError

NOW = datetime(2026, 11, 29, 16, 30, tzinfo=UTC).timestamp()
ARRIVED = datetime(2026, 11, 29, 10, 5, tzinfo=UTC).timestamp()
REPORT = """\
From: <feedback@arf.mail.yahoo.com>
To: <fbl@example.com>
Subject: FW: news
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part"

--part
Content-Type: text/plain

Somebody did not want this.
--part
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <news@example.com>
Arrival-Date: Sun, 29 Nov 2026 11:05:00 +0100
Source-IP: 192.0.2.5
Reported-Domain: example.com

--part
Content-Type: message/rfc822

From: news@example.com
To: joe@yahoo.com

Good news.
--part--
"""


def report(*changes: tuple[str, str]) -> bytes:
    text = REPORT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(report(), Complaint(NOW, ARRIVED, "192.0.2.5", ("", "arf.mail.yahoo.com")), id="plain"),
        pytest.param(
            report(("Version: 1", "Version: 1\nReporting-MTA: dns; Mail.B.Example\nIncidents: 4")),
            Complaint(NOW, ARRIVED, "192.0.2.5", ("mail.b.example", "arf.mail.yahoo.com"), 4),
            id="reporter",
        ),
        pytest.param(
            report(("Arrival-Date", "Received-Date"), ("192.0.2.5", "[2001:DB8::5]")),
            Complaint(NOW, ARRIVED, "2001:db8::5", ("", "arf.mail.yahoo.com")),
            id="older-field-and-ipv6",
        ),
        pytest.param(
            report(
                (
                    "Arrival-Date: Sun, 29 Nov 2026 11:05:00 +0100",
                    "Arrival-Date: soon\nIncidents: 99999999999",
                )
            ),
            Complaint(NOW, None, "192.0.2.5", ("", "arf.mail.yahoo.com")),
            id="no-date",
        ),
        pytest.param(
            report(("2026", "2036")),
            Complaint(NOW, NOW, "192.0.2.5", ("", "arf.mail.yahoo.com")),
            id="future",
        ),
        pytest.param(
            report().replace(b"\n", b"\r\n"),
            Complaint(NOW, ARRIVED, "192.0.2.5", ("", "arf.mail.yahoo.com")),
            id="crlf",
        ),
        pytest.param(
            report(
                (
                    "Content-Type: message/feedback-report",
                    "Content-Type: message/feedback-report\nContent-Transfer-Encoding: 7bit",
                )
            ),
            Complaint(NOW, ARRIVED, "192.0.2.5", ("", "arf.mail.yahoo.com")),
            id="with-an-encoding",
        ),
        pytest.param(
            report(("abuse", "not-spam")), "its Feedback-Type is 'not-spam': no complaint", id="not-spam"
        ),
        pytest.param(
            report(("Source-IP: 192.0.2.5", "Source-IP: x")),
            "it has no Source-IP: nobody can say which address it speaks of",
            id="no-address",
        ),
        pytest.param(b"", "it has no part message/feedback-report", id="empty"),
        pytest.param(b"\xff\xfe\0" * 1000, "it has no part message/feedback-report", id="no-mail"),
    ],
)
def test_reports(content: bytes, expected: Complaint | str) -> None:
    assert read_report(content, NOW) == expected


ROWS = """\
192.0.2.5,11/27/2026 12:00 AM,11/28/2026 12:00 AM,9100,905,904,RED,0.4%,,,0,mta1.example.com,a@b.example,
192.0.2.6,11/27/2026 12:00 AM,11/28/2026 12:00 AM,9100,905,904,GREEN,< 0.1%,,,0,mta2.example.com,a@b.example,
"""
NEXT = """\
192.0.2.5,11/28/2026 12:00 AM,11/29/2026 12:00 AM,9100,905,904,RED,0.4%,,,2,mta1.example.com,a@b.example,
192.0.2.6,11/28/2026 12:00 AM,11/29/2026 12:00 AM,9100,905,904,RED,0.2%,,,0,mta2.example.com,a@b.example,
"""


def test_snds_is_shown_and_two_red_days_running_alert(tmp_path: Path) -> None:
    run = CliRunner()
    (tmp_path / "first").write_text(ROWS)
    (tmp_path / "second").write_text(NEXT)
    state = ["--state", str(tmp_path / "state")]
    first = run.invoke(follow, ["--snds", str(tmp_path / "first"), *state])
    assert first.exit_code == 0
    assert "192.0.2.5 │ 2026-11-27 │ 904        │ RED    │ 0.4%" in first.output
    assert "ALERT" not in first.output
    second = run.invoke(follow, ["--snds", str(tmp_path / "second"), *state])
    assert second.exit_code == 1
    assert "ALERT: 192.0.2.5 was RED with Microsoft on 2026-11-28 and the day before" in second.output
    assert "ALERT: 192.0.2.6" not in second.output
    assert "a@b" not in first.output + second.output


def test_snds_is_fetched_and_its_key_is_shown_nowhere(tmp_path: Path) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if len(asked) == 1 else 404)
            self.end_headers()
            self.wfile.write(ROWS.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/snds/data.aspx?key=s3cret"
        runs = [CliRunner().invoke(follow, ["--snds", url, "--state", str(tmp_path)]) for _ in range(2)]
        server.shutdown()
    runs.append(CliRunner().invoke(follow, ["--snds", url, "--state", str(tmp_path)]))
    assert asked == ["/snds/data.aspx?key=s3cret"] * 2
    assert "192.0.2.6" in runs[0].output
    assert str(runs[1].exception) == "no data from 127.0.0.1: status 404"
    assert str(runs[2].exception) == "no data from 127.0.0.1: Connection refused"
    assert "s3cret" not in "".join(run.output + str(run.exception) for run in runs)


@pytest.mark.parametrize(
    "text", ["<html>", "192.0.2.5,soon,x,1,1,1,RED,0,,,0", "192.0.2.5,11/27/2026 12:00 AM"]
)
def test_what_is_no_data_of_snds(text: str) -> None:
    with pytest.raises(GeodnsError, match="row 1 is none of SNDS's"):
        read_days(text)
