"""The switch of the query log, and the lines that it writes."""

import logging
import time
from pathlib import Path

import pytest

from geodns.control.query_log_service import MAX_LINES, QueryLogService
from geodns.responder.answer_policy import QueryLog
from geodns.responder.query_log import Noted
from geodns.storage.event_log import EventLog
from geodns.wire.names import name_to_wire
from geodns.wire.networks import parse_network


def service(wanted: QueryLog | None, folder: Path) -> QueryLogService:
    return QueryLogService(wanted, EventLog(folder))


def test_it_ends_when_its_time_is_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = time.monotonic()
    switch = service(QueryLog(until=now + 100), tmp_path)
    assert not switch.end_expired(now + 99)
    assert switch.end_expired(now + 100)
    assert switch.wanted is None
    assert not switch.end_expired(now + 101)
    assert [one.getMessage() for one in caplog.records] == [
        "the query log is off: its time is over (0 queries written, 0 dropped)"
    ]


def test_lines_have_the_time_of_the_query_and_its_fields(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "geodns.querylog")
    switch = service(QueryLog(), tmp_path)
    packet = b"\0\1\1\0\0\1" + bytes(6) + name_to_wire("a.example.") + b"\0\1\0\1"
    noted = Noted(1_700_000_000.25, ("192.0.2.1", 5, "udp"), packet, b"\0\1\x81\5" + bytes(8), 12, "")
    assert switch.write([noted, noted], 3, (), 0.0) == (2, 3)
    assert (switch.written, switch.dropped) == (2, 3)
    record, _ = caplog.records
    assert record.getMessage() == "client 192.0.2.1#5 udp: a.example A IN + → REFUSED 0 answers 12 bytes"
    assert (record.name, record.levelname, record.created) == ("geodns.querylog", "INFO", noted.at)
    assert record.msecs == pytest.approx(250)
    assert vars(record)["qname"] == "a.example"


def test_so_many_lines_a_second_and_no_more(tmp_path: Path) -> None:
    """However many workers there are: the process that writes them also probes and obeys."""
    switch = service(QueryLog(), tmp_path)
    noted = Noted(0.0, ("192.0.2.1", 5, "udp"), bytes(12), b"", 0, "")
    assert switch.write([noted] * (MAX_LINES - 1), 0, (), 7.0) == (MAX_LINES - 1, 0)
    assert switch.write([noted] * 5, 2, (), 7.9) == (1, 6)
    assert switch.write([noted] * 5, 0, (), 8.0) == (5, 0)
    assert (switch.written, switch.dropped) == (MAX_LINES + 5, 6)


def test_an_event_names_who_switches_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    switch = service(None, tmp_path)
    clients = (parse_network("192.0.2.1"),)
    switch.switch(QueryLog((), clients, 0.125, time.monotonic() + 300), "127.0.0.1")
    switch.switch(None, "127.0.0.1")
    switch.switch(None, "127.0.0.1")
    assert [one.getMessage() for one in caplog.records] == [
        "the query log is on, by 127.0.0.1: all zones, 192.0.2.1/32, 12.5% of the queries, for 300 s",
        "the query log is off, by 127.0.0.1 (0 queries written, 0 dropped)",
    ]
