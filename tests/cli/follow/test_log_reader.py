"""Lines of all kinds: from the journal, broken ones, and their times."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.cli.follow.attempts import Attempts
from geodns.cli.follow.log_reader import LogReader
from geodns.cli.follow.log_times import LogTimes
from geodns.cli.follow.said import Delivery
from geodns.cli.follow.signals import Collector, Ours, Sender
from tests.cli.follow.lines import (
    AFTER,
    AT,
    GMAIL,
    HEAD,
    MESSAGE,
    MX,
    NOW,
    REFUSED,
    TO,
    entry,
    exim,
    failed,
    postfix,
    read,
    record,
    sent,
)


def test_the_journal_says_the_same() -> None:
    text = postfix(sent()).partition("]: ")[2]
    assert read(entry(text)) == read(postfix(sent()))
    assert read(entry(list(text.encode()))) == read(postfix(sent()))  # how it gives what is no UTF-8
    (said,) = read(entry(f"{MESSAGE} => {TO} {MX}", "exim4"))
    assert isinstance(said, Delivery)
    assert (said.at, said.server) == (AT, "mta7.am0.yahoodns.net")
    assert read(entry(None), entry(""), entry("Started", "systemd")) == []


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
