"""The page and servers of several kinds: with tokens, away for a while, in rare trouble, with many hosts."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from geodns.config.times import timestamp
from tests.integration.browser import MARKS, Browser, browsing, needs_browser
from tests.integration.cluster import Server, serving, zone_text
from tests.integration.mailhosts import MailHost, mail_hosts, wait_until
from tests.integration.pretending import pretending

pytestmark = needs_browser

ZONE = "out.example.com"
LONE = "lone.example.org"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, MailHost]]:
    with mail_hosts("mta1", "mta2", "mta3") as some:
        yield some


@pytest.fixture(scope="module")
def zones(hosts: dict[str, MailHost]) -> dict[str, str]:
    return {ZONE: zone_text(hosts), LONE: zone_text({"only": hosts["mta3"]})}


@pytest.fixture
def status(zones: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """What a real server shows, to be changed."""
    with serving(tmp_path, zones) as server:
        return server.status()


def hour_ago() -> str:
    return timestamp(time.time() - 3600)


# --- tokens ---------------------------------------------------------------------------------------------


def kept(browser: Browser) -> dict[str, Any]:
    shown: dict[str, Any] = browser.value(
        "{session: {...sessionStorage}, local: {...localStorage}, cookie: document.cookie,"
        " url: location.href, asked: performance.getEntriesByType('resource').map((entry) => entry.name)}"
    )
    return shown


def test_an_order_asks_for_the_token_and_the_tab_alone_keeps_it(
    browser: Browser, zones: dict[str, str], tmp_path: Path
) -> None:
    with serving(tmp_path, zones, env={"GEODNS_TOKEN": "sesame"}) as server:
        browser.open(server.http)
        browser.find(f"[aria-label='Drain mta1 of {ZONE}']").click()
        browser.find("#order-reason").send_keys("disk")
        browser.find("#order-go").click()
        browser.wait("document.getElementById('token').open")
        for text, rest in (("wrong", "open"), ("sesame", "closed")):
            browser.find("#token-value").send_keys(text, Keys.ENTER)
            if rest == "open":
                browser.wait("document.getElementById('token-text').textContent.includes('ong token')")
        browser.wait_state(ZONE, "mta1", "drained", 3)
        assert server.host("mta1", ZONE)["reason"] == "disk"
        found = kept(browser)
        assert found.pop("session")["geodns-token"] == "sesame"
        assert "sesame" not in str(found)
        browser.find("#token-button").click()
        browser.find("#token-forget").click()
        assert "geodns-token" not in kept(browser)["session"]


def test_reading_asks_for_the_token_too(browser: Browser, zones: dict[str, str], tmp_path: Path) -> None:
    with serving(tmp_path, zones, env={"GEODNS_READ_TOKEN": "look"}) as server:
        browser.open(server.http, wait=False)
        browser.wait("document.getElementById('token').open")
        assert browser.value("document.querySelectorAll('tbody tr').length") == 0
        browser.press(Keys.ESCAPE)
        assert "wants a token" in browser.text("#away")
        browser.find("#token-button").click()
        browser.press("look", Keys.ENTER)
        browser.wait_state(ZONE, "mta1", "up", 3)
        browser.wait("document.getElementById('events').childElementCount", what="events are read with it")
        assert not browser.find("#away").is_displayed()


# --- a server that is away ---


def test_it_outlives_the_server(browser: Browser, zones: dict[str, str], tmp_path: Path) -> None:
    with serving(tmp_path, zones) as first:
        browser.open(first.http)
        first.order("mta1", "drain", ZONE, reason="before")
        browser.wait_state(ZONE, "mta1", "drained", 3)
        browser.run("window.same = true")
    browser.wait("!document.getElementById('away').hidden", 8, "it says that the server is away")
    assert "No answer since " in browser.text("#away")
    assert "trying again" in browser.text("#away")
    assert browser.cell(ZONE, "mta1", "state").startswith("drained")  # what was then stays
    with serving(tmp_path, http=first.http.removeprefix("http://")) as second:
        browser.wait("document.getElementById('away').hidden", 5, "it finds the server again")
        second.order("mta1", "undrain", ZONE)
        browser.wait_state(ZONE, "mta1", "up", 3)  # by an event: the stream is followed again
        assert browser.value("window.same")
        browser.complaints()


# --- what a server says seldom ---


def test_a_refused_order_says_why_and_stays_open(browser: Browser, status: dict[str, Any]) -> None:
    with pretending(status) as other:
        other.answers = [(400, {"error": "`reason` is one line"}), (403, {"error": "this token is for read"})]
        browser.open(other.http)
        browser.find(f"[aria-label='Drain only of {LONE}']").click()
        wait_until(lambda: other.orders, what="the order is tried first")
        browser.find("#order-reason").send_keys("it burns", Keys.ENTER)
        browser.wait("!document.getElementById('order-error').hidden")
        assert browser.text("#order-error") == "This token is for read"


def test_certificates_weights_and_fallbacks_are_shown(browser: Browser, status: dict[str, Any]) -> None:
    hosts = status["hosts"][ZONE]
    for name, days in (("mta1", 71.4), ("mta2", 5.9), ("mta3", -1.0)):
        hosts[name]["checks"][0]["certificate"] = {"days_left": days, "subject": name, "problem": None}
    hosts["mta1"]["forced_weight"] = {
        "weight": 5,
        "file_weight": 50,
        "reason": "careful",
        "author": "ops",
        "since": hosts["mta1"]["since"],
        "until": None,
        "hides": "the file has said 40 since 2026-11-25",
    }
    hosts["mta2"] |= {"state": "down", "forced": "up", "forced_since": hosts["mta2"]["since"], "until": None}
    hosts["mta2"] |= {"author": "ops", "reason": "testing"}
    hosts["mta3"]["factors"] = {"slowstart": 0.25}
    hosts["mta3"]["load"] = {"value": 214, "full": 500, "at": None, "stale": False, "error": None}
    main = status["pools"][ZONE]["main"]
    main["families"]["A"]["using"] = main["using"] = ["main", "reserve"]
    status["warnings"] = ["the state disk is full"]
    with pretending(status) as other:
        browser.open(other.http)
        shown = ["71 days", "5 days, soon", "expired"]
        wait_until(
            lambda: [browser.cell(ZONE, name, "certificate") for name in hosts] == shown, what="certificates"
        )
        assert browser.cell(ZONE, "mta1", "notes") == (
            "weight 5 instead of 50 by ops: careful; the file has said 40 since 2026-11-25"
        )
        assert "forced up" in browser.cell(ZONE, "mta2", "state")
        assert "by ops: testing; probes say down" in browser.cell(ZONE, "mta2", "state")
        assert browser.cell(ZONE, "mta3", "load") == "load 214 of 500"
        assert "slowstart 25 %" in browser.cell(ZONE, "mta3", "notes")
        problems = browser.text("#problems")
        assert f"Pool main of {ZONE} has too few live hosts: reserve helps out" in problems
        assert "the state disk is full" in problems
        assert f"mta2.{ZONE} has been forced up for" in problems


def test_routes_are_shown_with_their_look_ups(browser: Browser, status: dict[str, Any]) -> None:
    rule: dict[str, Any] = {"rule": 1, "digest": "a", "deal": "host", "port": 25, "matched": 1234}
    rule |= {"when": {"recipient": "vip@<b>x</b>", "size": "over 5MB"}, "use": f"fast.{ZONE}"}
    rule |= {"answers": {"host": {"line": 1234}}, "known": None, "last": hour_ago()}
    last = rule | {"rule": 2, "deal": "name", "port": 587, "matched": 0, "when": {}, "use": ZONE}
    routes = {"since": hour_ago(), "rules": [rule, last | {"last": None}], "unused": 4, "left": 3}
    routes |= {
        "unmatched": {"local": {"policy": 5, "line": 1}},
        "looked_up": {"mta1": {"": 34, "google": 1200}},
    }
    with pretending(status) as other:
        other.also = {
            "/api/v1/history/recent": {"zones": {}},
            "/api/v1/warmup": {"zones": {}},
            "/api/v1/reputation": {"zones": {}, "lists": {}, "unknown_replies": {}},
            "/api/v1/experiments": {"experiments": {}},
            "/api/v1/routes": {"listen": ["127.0.0.1:5310"], "zones": {ZONE: routes}, "no_zone": {}},
        }
        browser.open(other.http)
        section = f"[aria-label='zone {ZONE}'] .routes"
        browser.wait(f'document.querySelector("{section}:not([hidden])")', what="the rules are there")
        assert browser.text(f"{section} summary") == "5 routes, 4 not used in the last hour"
        browser.run(f'document.querySelector("{section}").open = true')
        cells = browser.value(
            f'[...document.querySelectorAll("{section} tbody tr")]'
            ".map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        assert [row[:4] for row in cells] == [
            ["1", "recipient vip@<b>x</b>; size over 5MB", "fast, by host", "1,234"],
            ["2", "every message", "@:587", "0"],
            ["mta1", "1,234", "google 1,200 and not known 34"],
        ]
        assert cells[1][4] == "never"
        assert "Not by a rule: local recipients 6." in browser.text(section)
        assert browser.violations(f'document.querySelector("{section}")') == []
        assert browser.value(f"document.querySelector(\"[aria-label='zone {LONE}'] .routes\").hidden")


def test_name_servers_are_shown_side_by_side(browser: Browser, status: dict[str, Any]) -> None:
    zone = {"digest": "0123456789abcdef", "serial": 7}
    peer = {"url": "http://192.0.2.54:8053", "seen": hour_ago(), "version": "9.9", "clock_offset_s": -7.25}
    peer |= {"lag_ms": 1.5, "error": None, "zones": {ZONE: zone}}
    differs = {
        "topic": "content",
        "zone": ZONE,
        "what": f"zone {ZONE} differs at <b>ns2</b>",
        "since": hour_ago(),
    }
    with pretending(status) as other:
        browser.open(other.http)
        assert browser.value("document.getElementById('peers').hidden")  # this server is alone
        status["peers"] = {"ns2": peer | {"differs": [differs]}}
        browser.wait("!document.getElementById('peers').hidden", 10, what="there is another")
        assert browser.text("#peers summary") == "2 name servers: ns2 differs"
        browser.run("document.getElementById('peers').open = true")
        cells = browser.value(
            "[...document.querySelectorAll('#peers tbody tr')]"
            ".map((row) => [row.cells[0].textContent, row.cells[2].textContent])"
        )
        found = dict(cells)
        assert found["version"] == "9.9"
        assert found["clock"] == "7.3 s behind"
        assert found[ZONE] == "serial 7, content 01234567"
        assert found[LONE] == "not served"
        assert found["differs in"] == f"zone {ZONE} differs at <b>ns2</b>"
        assert browser.violations("document.getElementById('peers')") == []


# --- many hosts -----------------------------------------------------------------------------------------

MANY = 500
TYPE = """return arguments[0].map((text) => {
    const box = document.getElementById('filter');
    box.value = text;
    const begun = performance.now();
    box.dispatchEvent(new Event('input'));
    document.body.offsetHeight; // laid out, too
    return performance.now() - begun;
})"""
"""Fill the filter with one text after another; how long each took, in milliseconds."""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, hosts: dict[str, MailHost]) -> Iterator[Server]:
    """A server of many hosts, all of them probed at one."""
    probe = f'probe: "{hosts["mta1"].endpoint}"'
    lines = [
        f"  mx{number:03}: {{address: 198.51.{100 + number // 250}.{number % 250 + 1}, {probe}}}"
        for number in range(MANY)
    ]
    text = "\n".join(["ns: {ns1: 192.0.2.53}", "checks: {smtp: {interval: 60s}}", "hosts:", *lines, ""])
    with serving(tmp_path_factory.mktemp("crowd"), {"crowd.example.com": text}) as server:
        yield server


def test_many_hosts_are_drawn_and_filtered_at_once(browser: Browser, crowd: Server) -> None:
    browser.driver.get("about:blank")
    browser.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    browser.driver.get(crowd.http)
    browser.wait(f"{MARKS}.length > 0", what="the first status is drawn")
    assert browser.value("document.querySelectorAll('tbody tr').length") == MANY
    assert browser.text("#found") == f"{MANY} hosts"
    took = browser.run(TYPE, ["m", "mx", "mx4", "mx42", "mx421", "mx42", "mx4", "198.51.101", "nobody", ""])
    drawn = browser.value("performance.getEntriesByName('draw').map((entry) => entry.duration)")
    paint = browser.value("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    first = browser.value("performance.getEntriesByName('first-status')[0].startTime")
    sent = browser.value(
        "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
        ".filter((entry) => /\\/$|assets/.test(entry.name)).map((entry) => [entry.name, entry.transferSize])"
    )
    print(  # noqa: T201 - figures to report
        f"page {sum(size for _, size in sent)} bytes in {len(sent)} files; first paint {paint:.0f} ms, "
        f"{MANY} hosts drawn at {first:.0f} ms; keystrokes {[round(one, 1) for one in took]} ms; "
        f"draws {[round(one, 1) for one in drawn]} ms"
    )
    assert sum(size for _, size in sent) < 60_000
    browser.find("#filter").send_keys("mx42")
    assert browser.text("#found") == f"10 of {MANY} hosts"
    assert browser.value("[...document.querySelectorAll('tbody tr:not([hidden])')].length") == 10
    browser.wait("location.hash === '#filter=mx42'", what="a bookmark keeps the filter")
    browser.driver.refresh()
    browser.wait("document.getElementById('found').textContent.startsWith('10 of')")


def test_rows_are_changed_and_not_made_again(browser: Browser, crowd: Server) -> None:
    browser.open(crowd.http)
    browser.run(
        "window.before = [...document.querySelectorAll('tbody tr')];"
        "window.drawn = performance.getEntriesByName('draw').length"
    )
    crowd.order("mx007", "drain", "crowd.example.com", reason="one of many")
    browser.wait_state("crowd.example.com", "mx007", "drained", 3)
    assert browser.value("[...document.querySelectorAll('tbody tr')].every((row, at) => row === before[at])")
    redrawn = browser.value(
        "performance.getEntriesByName('draw').slice(window.drawn).map((entry) => entry.duration)"
    )
    print(f"{MANY} hosts drawn again in {[round(one, 1) for one in redrawn]} ms")  # noqa: T201 - to report
    assert redrawn, "it was drawn again"
    browser.find("#trouble").click()
    assert browser.text("#found") == f"1 of {MANY} hosts"
