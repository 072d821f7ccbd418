"""The report as a file: it needs nothing else, and what hosts say of themselves does nothing in it."""

import html.parser
from typing import Any

from geodns.cli.report.page import page
from tests.cli.report.test_figures import ZERO, columns, event

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def report(**more: Any) -> str:
    history = {
        "mta1": columns(
            answers=[3.0, 5.0], share=[0.75, 1.0], intended=[0.5, 1.0], up=[1.0, 0.0], rtt_ms=[2.0, None]
        ),
        "mta2": columns(answers=[1.0, 0.0], share=[0.25, 0.0], intended=[0.5, 0.0], up=[0.5, 1.0]),
    }
    status = {
        "node": "ns1",
        "version": "1.2.3",
        "warnings": [],
        "zones": {"z.example": {"serial": 7}},
        "hosts": {"z.example": {name: {"state": "up", "checks": []} for name in history}},
        **more,
    }
    events = [event(1, "mta1", "down", HOSTILE), event(9, "mta1", "up")]
    return page(status, {"z.example": history}, events, ZERO - 3600, ZERO + 60)


class Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "rect", "path", "polyline"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"meta", "rect", "path", "polyline"}:
            assert self.open.pop() == tag


def test_it_says_what_there_is_to_say() -> None:
    text = report(warnings=["the disk is full"])
    for part in ("ns1", "2026-11-25 02:00:00 to 2026-11-25 03:01:00", "the disk is full", "z.example", "8 s"):
        assert part in text
    # mta1: up half of the time, 8 of 9 answers, of which (4 * 0.5 + 5) / 9 were intended.
    assert all(part in text for part in ("50.00%", "88.9%", "77.8%", "2.0 ms"))


def test_it_says_from_when_there_is_data_and_has_axes() -> None:
    text = report()
    assert "There is data from 1970-01-01 00:00:00 on" not in text  # older than what was asked for
    history = {"mta1": columns(at=[ZERO - 600, ZERO - 540], answers=[1.0, 1.0], share=[1.0, 1.0])}
    status = {
        "node": "ns1",
        "identity": "eu-1",
        "version": "1",
        "warnings": [],
        "zones": {"z.example": {"serial": 7}},
        "hosts": {"z.example": {"mta1": {"state": "up", "forced": "drained", "checks": []}}},
    }
    text = page(status, {"z.example": history}, [], ZERO - 86400, ZERO)
    assert "There is data from 2026-11-25 02:50:00 on" in text
    assert "(eu-1)" in text
    assert all(f">{mark}</text>" in text for mark in ("0 %", "50 %", "100 %", "02:55", "03:00"))
    assert "10 min" in text, "drained for all the time that is known"


def test_time_outs_stand_beside_the_mean() -> None:
    history = {"mta1": columns(answers=[1.0, 1.0], rtt_ms=[2.0, 4.0], timeouts=[0, 17])}
    shown = Tags(report()).open
    text = page(
        {
            "node": "ns1",
            "version": "1",
            "warnings": [],
            "zones": {"z.example": {"serial": 7}},
            "hosts": {"z.example": {"mta1": {"state": "up", "checks": []}}},
        },
        {"z.example": history},
        [],
        ZERO,
        ZERO,
    )
    assert shown == []
    assert '3.0 ms</td><td class="number">17</td>' in text


def test_it_needs_nothing_else_and_closes_what_it_opens() -> None:
    tags = Tags(report())
    assert tags.open == []
    assert {tag for tag, _ in tags.seen}.isdisjoint({"script", "img", "link", "iframe", "object"})
    for _, attributes in tags.seen:
        assert not {"src", "href", "onerror", "onclick", "srcset"} & attributes.keys()


def test_hostile_texts_are_only_text() -> None:
    text = report(warnings=[HOSTILE], node=HOSTILE)
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


def test_a_server_that_has_just_begun_has_a_report() -> None:
    status = {
        "node": "ns1",
        "version": "1",
        "warnings": [],
        "zones": {"z.example": {"serial": 1}},
        "hosts": {"z.example": {}},
    }
    text = page(status, {"z.example": {}}, [], ZERO, ZERO)
    assert "No answer was dealt" in text
    assert "No host went down" in text
