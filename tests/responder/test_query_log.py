"""What a worker notes for the query log: which queries, and never more than there is room for."""

import random
from collections import Counter
from ipaddress import ip_network
from typing import Any

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.responder import query_log
from geodns.responder.answer_policy import Policy, QueryLog, RateLimit
from geodns.responder.query_log import MAX_NOTED, MAX_PACKET, Recorder
from geodns.responder.respond import Client
from geodns.wire.names import name_to_wire
from tests.sample_zones import ORIGIN, TCP, UDP, WEIGHTED, Worker


def query(name: str = ORIGIN, rtype: str = "A") -> bytes:
    return dns.message.make_query(name, rtype, use_edns=False).to_wire()


def noted(wanted: QueryLog, *asked: tuple[bytes, Client], now: float = 0.0) -> int:
    one = Recorder(wanted, random.Random(1))
    for packet, client in asked:
        one.note(packet, client, b"", "", now, 0.0)
    return len(one.take()[0])


@pytest.mark.parametrize(
    ("name", "zones", "wanted"),
    [
        ("out.example.com.", ["out.example.com."], True),
        ("OUT.example.com.", ["out.example.com."], True),
        ("a.b.out.example.com.", ["out.example.com."], True),
        ("xout.example.com.", ["out.example.com."], False),
        ("example.com.", ["out.example.com."], False),
        ("in.example.com.", ["out.example.com.", "in.example.com."], True),
        ("anything.", ["."], True),
        (r"a\003out\007example\003com\000.", ["out.example.com."], False),
        (".", ["out.example.com."], False),
    ],
)
def test_zones(name: str, zones: list[str], *, wanted: bool) -> None:
    log = QueryLog(zones=tuple(name_to_wire(zone) for zone in zones))
    assert noted(log, (query(name), UDP)) == wanted


@given(packet=st.binary(max_size=80))
def test_any_bytes_can_be_asked_for_a_zone(packet: bytes) -> None:
    assert noted(QueryLog(zones=(name_to_wire("x."),)), (packet, UDP)) in {0, 1}


@pytest.mark.parametrize(
    ("client", "wanted"),
    [("", False), ("192.0.2.9", True), ("192.0.3.9", False), ("2001:db8::5", True), ("2001:db9::5", False)],
)
def test_clients(client: str, *, wanted: bool) -> None:
    log = QueryLog(clients=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    assert noted(log, (query(), (client, 1, "udp")), (query(), (client, 2, "tcp"))) == 2 * wanted


def test_a_sample_is_that_part() -> None:
    one = Recorder(QueryLog(sample=0.1), random.Random(1))
    number = 0
    for _ in range(100):
        for _ in range(100):
            one.note(query(), UDP, b"", "", 0.0, 0.0)
        number += len(one.take()[0])
    assert 850 < number < 1150


def test_it_ends_by_itself() -> None:
    log = QueryLog(until=100.0)
    assert noted(log, (query(), UDP), now=99.9) == 1
    assert noted(log, (query(), UDP), now=100.0) == 0


def test_what_there_is_no_room_for_is_counted() -> None:
    one = Recorder(QueryLog(), random.Random(1))
    for _ in range(MAX_NOTED + 7):
        one.note(bytes(5000), TCP, bytes(60_000), "", 5.0, 1000.0)
    lines, dropped = one.take()
    assert (len(lines), dropped) == (MAX_NOTED, 7)
    assert (lines[0].at, len(lines[0].packet), lines[0].size) == (1005.0, MAX_PACKET, 60_000)
    assert len(lines[0].answer) < 300
    assert one.take() == ((), 0)


def test_forged_clients_do_not_grow_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_log, "REMEMBERED", 50)
    one = Recorder(QueryLog(clients=(ip_network("192.0.2.0/24"),)), random.Random(1))
    for number in range(500):
        one.note(query(), (f"10.0.{number >> 8}.{number & 255}", 1, "udp"), b"", "", 0.0, 0.0)
    assert len(one._clients) <= 50


# --- in a worker ----------------------------------------------------------------------------------------


def worker(**policy: Any) -> Worker:
    return Worker(WEIGHTED, policy=Policy(query_log=QueryLog(), **policy))


def test_every_way_to_an_answer_is_noted() -> None:
    one = worker()
    sent = [
        query(),
        query(),
        query(),
        query(f"alias.{ORIGIN}"),
        query("example.net."),
        b"\0\1\x80" + bytes(9),
    ]
    answers = [one.raw(each, client) for each in sent for client in (UDP, TCP)]
    assert one.state.recorder is not None
    lines, _ = one.state.recorder.take()
    assert [line.packet for line in lines] == [each for each in sent for _ in range(2)]
    assert [line.client for line in lines] == [UDP, TCP] * len(sent)
    assert [line.size for line in lines] == [len(answer or b"") for answer in answers]
    assert all((answer or b"").startswith(line.answer) for line, answer in zip(lines, answers, strict=True))


def test_what_is_limited_is_noted_as_that() -> None:
    one = worker(rate_limit=RateLimit(per_second=2, slip=2))
    for _ in range(40):
        one.raw(query())
    one.raw(query(), TCP)
    assert one.state.recorder is not None
    lines, _ = one.state.recorder.take()
    assert [line.limited for line in lines[:2]] == ["", ""]
    assert Counter(line.limited for line in lines).keys() == {"", "dropped", "truncated"}
    assert lines[-1].limited == ""
    assert all(bool(line.size) == (line.limited != "dropped") for line in lines)
