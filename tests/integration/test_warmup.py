"""A warm-up on a running server: shares that are dealt, orders over a restart, the page."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.browser import browsing, needs_browser
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until

ZONE = "out.example.com"
TEXT = """
ns: {ns1: 192.0.2.53}
ttl: 5
hosts:
  mta1: 192.0.2.11
  mta2: 192.0.2.12
  new1: {address: 192.0.2.13, warmup: {plan: [1000, 4000, 16000, 64000], start: 2020-01-01}}
  new2: {address: 192.0.2.14, warmup: {plan: sendgrid, start: 2099-01-01}}
pools: {main: {hosts: "*", check: none, volume: 100000}}
records: {"@": {pool: main, MX: {pool: main, preference: 10}}}
"""
CYCLE = 1200
"""Queries: a cycle, and more."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, {ZONE: TEXT}) as running:
        yield running


def dealt(server: Server, queries: int = CYCLE) -> Counter[str]:
    """Return how often each address stands first."""
    return Counter(server.values(f"{ZONE}.")[0] for _ in range(queries))


def stage(server: Server, host: str = "new1") -> tuple[int, str | None]:
    one = server.get("/api/v1/warmup")["zones"][ZONE]["hosts"][host]
    return one["day"], one["held"]


def test_a_new_host_gets_its_share_and_orders_outlast_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: TEXT}) as server:
        first = dealt(server)
        assert 4 <= first["192.0.2.13"] <= 20, "1 % of 1,200"
        shown = server.get("/api/v1/warmup")["zones"][ZONE]["hosts"]["new1"]
        assert 0.009 < shown["share"] <= shown["ceiling"] == 0.01
        assert first["192.0.2.14"] == 0
        assert stage(server, "new2") == (0, "its plan starts on 2099-01-01")
        told = server.command("warmup", "skip-to", "3", "new1", "--reason", "known IP")
        assert told.stdout == f"new1.{ZONE}: day 3 of 4, 16,000 messages today\n"
        assert 160 <= dealt(server)["192.0.2.13"] <= 220, "16 % of 1,200"
        server.command("warmup", "hold", "new1", "--reason", "wait")
        table = server.command("warmup").stdout
        assert f"new1.{ZONE}" in table
        assert "held by" in table
        assert server.metric("geodns_warmup_day", host="new1") == 3
    with serving(tmp_path, {ZONE: TEXT}) as server:
        day, held = stage(server)
        assert (day, held is not None and held.endswith("(wait)")) == (3, True)


def test_what_was_sent_bounds_the_share_right_after_a_kill(server: Server) -> None:
    sent = {"host": "new1", "event": "delivered", "count": 1001}
    assert server.request("/api/v1/signals", {"batch": "1", "signals": [sent]})[0] == 200
    wait_until(lambda: dealt(server, 300)["192.0.2.13"] == 0, 20, "its day is over")
    os.kill(server.control(), signal.SIGKILL)
    wait_until(lambda: server.get("/api/v1/warmup")["zones"], 20, "control is back")
    assert dealt(server)["192.0.2.13"] == 0


@needs_browser
def test_the_page_shows_warm_ups(server: Server) -> None:
    with browsing() as browser:
        browser.open(server.http)
        browser.wait("document.querySelector('.warmup:not([hidden])')", what="the warm-ups are there")
        browser.run("document.querySelector('.warmup').open = true")
        cells = browser.value(
            "[...document.querySelectorAll('.warmup tbody tr:first-child > *')].map((one) => one.innerText)"
        )
        assert cells[:4] == ["new1", "own", "1 of 4", "1,000"]
        assert browser.text(".warmup summary") == "Warm-up of 2 hosts"
        assert browser.value("document.querySelectorAll('.warmup .plot svg').length") == 2
        assert "ahead: " in browser.text(".warmup .plot figcaption")
        assert browser.violations("document.querySelector('.warmup')") == []
        assert browser.complaints() == []


def test_json_is_what_the_server_says(server: Server) -> None:
    shown = json.loads(server.command("warmup", "--json").stdout)
    assert shown["zones"][ZONE]["hosts"].keys() == {"new1", "new2"}
