"""The page in a real browser: it shows what is so at once, does what it is told, and serves everybody."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.integration.browser import MARKS, Browser, browsing, needs_browser, row
from tests.integration.cluster import Server, serving, zone_text
from tests.integration.mailhosts import MailHost, greets, mail_hosts, polite, wait_until

pytestmark = needs_browser

ZONE = "out.example.com"
LONE = "lone.example.org"
HOSTILE = "<img src=x onerror=document.title=1>"


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
    weights = {"mta1": 50, "mta2": 30, "mta3": 20}
    alone = {"only": hosts["mta3"]}
    return {ZONE: zone_text(hosts, weights=weights), LONE: zone_text(alone)}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, zones: dict[str, str]) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page"), zones) as server:
        yield server


@pytest.fixture
def server(running: Server, hosts: dict[str, MailHost], browser: Browser) -> Iterator[Server]:
    """The server as it was at first, before and after each test."""
    browser.look()
    yield running
    for host in hosts.values():
        host.manners = polite
        if not host._thread:
            host.open()
    for zone, some in running.status()["hosts"].items():
        for name, host_json in some.items():
            if host_json["forced"]:
                running.order(name, "undrain", zone)
    wait_until(lambda: all(running.state_of(name, ZONE) == "up" for name in hosts), what="all are up again")
    assert browser.complaints() == []


def cell(browser: Browser, host: str, kind: str, zone: str = ZONE) -> str:
    return " ".join(browser.value(f"{row(zone, host)}.querySelector('.{kind}').innerText").split())


def waits(browser: Browser, host: str, word: str, seconds: float = 10.0, zone: str = ZONE) -> None:
    browser.wait(f"{row(zone, host)}?.dataset.state === {json.dumps(word)}", seconds, f"{host} is {word}")


# --- it shows -------------------------------------------------------------------------------------------


def test_it_shows_what_the_status_says(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    status = server.status()
    assert browser.text("#headline-title") == "All is well"
    assert browser.text("#headline-counts") == "4 hosts: 4 up · 2 pools · 2 zones"
    for name, host in status["hosts"][ZONE].items():
        share = status["pools"][ZONE]["main"]["families"]["A"]["share"][name]
        assert cell(browser, name, "state").startswith("up for ")
        assert cell(browser, name, "share") == f"{share:.0%} of main".replace("%", " %")
        assert cell(browser, name, "reply") == host["checks"][0]["detail"] == f"220 {name} ESMTP"
        assert cell(browser, name, "number").endswith(" ms")
        assert cell(browser, name, "host").split() == [name, *host["addresses"]]
    bars = browser.value(
        f"[...document.querySelectorAll('[aria-label=\"zone {ZONE}\"] .bars .name')]"
        ".map((one) => one.textContent)"
    )
    assert bars == ["mta1", "mta2", "mta3"]
    assert "the server is started" in browser.text("#events")
    assert browser.strangers(server.http) == []


def test_a_host_that_goes_down_is_shown_within_two_seconds(
    browser: Browser, server: Server, hosts: dict[str, MailHost]
) -> None:
    browser.open(server.http)
    browser.run(
        f"const row = {row(ZONE, 'mta2')};"
        "new MutationObserver(() => { if (row.dataset.state === 'down') window.downAt ??= Date.now(); })"
        ".observe(row, {attributes: true})"
    )
    hosts["mta2"].close()
    shown = browser.wait("window.downAt", what="it is shown as down") / 1000
    events = server.get(f"/api/v1/events?kind=state&host=mta2&zone={ZONE}")["events"]
    told = datetime.fromisoformat(events[-1]["at"]).timestamp()
    assert events[-1]["data"]["after"] == "down"
    assert shown - told < 2.0
    browser.wait("document.title.startsWith('mta2 is down')")
    assert browser.text("#headline-title") == "mta2 is down"
    assert f"mta2.{ZONE} is down for" in browser.text("#problems")
    assert "connection refused" in cell(browser, "mta2", "reply")
    # Those who do not look are told as well.
    browser.wait("document.getElementById('told').textContent.includes('mta2.out.example.com: up → down')")
    browser.wait(f"{row(ZONE, 'mta2')}.querySelector('.share').innerText.trim() === 'none'")
    browser.find("#problems .link").click()
    assert browser.value(f"document.activeElement === {row(ZONE, 'mta2')}")


def test_a_pool_without_a_live_host_stands_above_everything(
    browser: Browser, server: Server, hosts: dict[str, MailHost]
) -> None:
    browser.open(server.http)
    hosts["mta3"].close()
    waits(browser, "only", "down", zone=LONE)
    browser.wait("document.getElementById('headline-title').textContent === 'Nobody is live in pool main'")
    assert browser.find("#headline").get_attribute("data-level") == "bad"
    first = browser.text("#problems").splitlines()[0]
    assert first == f"Pool main of {LONE}: nobody is live, hosts that are down are dealt as a last resort"


# --- it does --------------------------------------------------------------------------------------------


def test_drain_with_a_reason_and_undrain(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    browser.find(f"[aria-label='Drain mta1 of {ZONE}']").click()
    assert browser.text("#order-title") == f"Drain mta1.{ZONE}"
    browser.find("#order-reason").send_keys("disk swap")
    browser.find("#order-for").send_keys("2 hours")
    browser.find("#order-author").send_keys("Zoë")
    browser.find("#order-go").click()
    waits(browser, "mta1", "drained", 3)
    host = server.host("mta1", ZONE)
    assert (host["forced"], host["reason"]) == ("drained", "disk swap")
    assert host["author"].startswith("Zoe@")
    ends = datetime.fromisoformat(host["until"]) - datetime.fromisoformat(host["forced_since"])
    assert ends.total_seconds() == pytest.approx(7200, abs=2)
    assert "disk swap; probes say up" in cell(browser, "mta1", "state")
    browser.wait(f"{row(ZONE, 'mta1')}.querySelector('.share').innerText.trim() === 'none'")
    # The focus does not get lost with the button.
    assert browser.value(f"document.activeElement === {row(ZONE, 'mta1')}")

    browser.find(f"[aria-label='Undrain mta1 of {ZONE}']").click()
    browser.find("#order-go").click()
    waits(browser, "mta1", "up", 3)
    assert server.host("mta1", ZONE)["forced"] is None


def test_the_keyboard_alone_is_enough(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    browser.press(Keys.TAB)
    assert browser.value("document.activeElement.textContent") == "To the hosts"
    browser.press(Keys.ENTER)
    browser.tab_to(f"Drain mta1 of {ZONE}")
    browser.press(Keys.ENTER)
    assert browser.value("document.activeElement.id") == "order-reason"
    browser.press(Keys.ESCAPE)
    assert browser.value("document.querySelector('dialog[open]')") is None
    assert browser.value("document.activeElement.ariaLabel") == f"Drain mta1 of {ZONE}"
    browser.press(Keys.ENTER)
    browser.press("by keyboard", Keys.ENTER)
    waits(browser, "mta1", "drained", 3)
    assert server.host("mta1", ZONE)["reason"] == "by keyboard"


def test_a_drain_needs_a_reason(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    browser.find(f"[aria-label='Drain mta1 of {ZONE}']").click()
    browser.find("#order-go").click()
    assert browser.value("document.getElementById('order').open")
    assert server.host("mta1", ZONE)["forced"] is None


def test_why(browser: Browser, server: Server) -> None:
    server.order("mta2", "drain", ZONE, reason="a new disk")
    browser.open(server.http)
    browser.find(f"[aria-label='Why: explain mta2 of {ZONE}']").click()
    browser.wait("document.querySelector('#why-answer .verdict')")
    assert "mta2 has 0 % of the first picks in main: drained by api@127.0.0.1: a new disk" in browser.text(
        "#why"
    )
    assert "The next 3 answers" in browser.text("#why")
    browser.press(Keys.ESCAPE)
    assert not browser.value("document.getElementById('why').open")


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
        waits(browser, "mta1", "drained", 3)
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
        waits(browser, "mta1", "up", 3)
        browser.wait("document.getElementById('events').childElementCount", what="events are read with it")
        assert not browser.find("#away").is_displayed()


# --- what goes wrong ------------------------------------------------------------------------------------


def test_it_outlives_the_server(browser: Browser, zones: dict[str, str], tmp_path: Path) -> None:
    with serving(tmp_path, zones) as first:
        browser.open(first.http)
        first.order("mta1", "drain", ZONE, reason="before")
        waits(browser, "mta1", "drained", 3)
        browser.run("window.same = true")
    browser.wait("!document.getElementById('away').hidden", 8, "it says that the server is away")
    assert "No answer since " in browser.text("#away")
    assert "trying again" in browser.text("#away")
    assert cell(browser, "mta1", "state").startswith("drained")  # what was then stays
    with serving(tmp_path, http=first.http.removeprefix("http://")) as second:
        ready = time.monotonic()
        browser.wait("document.getElementById('away').hidden", 5, "it finds the server again")
        assert time.monotonic() - ready < 3.0
        second.order("mta1", "undrain", ZONE)
        waits(browser, "mta1", "up", 3)  # by an event: the stream is followed again
        assert browser.value("window.same")
        browser.complaints()


def test_texts_of_others_stay_texts(browser: Browser, server: Server, hosts: dict[str, MailHost]) -> None:
    browser.open(server.http)
    hosts["mta2"].manners = greets(f"220 {HOSTILE}</td><script>document.title=1</script> ESMTP")
    server.order("mta1", "drain", ZONE, reason=f"{HOSTILE}\"'><svg onload=document.title=1>")
    wait_until(lambda: HOSTILE in (server.host("mta2", ZONE)["checks"][0]["detail"] or ""))
    browser.wait(f"{row(ZONE, 'mta2')}.querySelector('.reply').innerText.includes('<img')")
    browser.wait("document.getElementById('problems').innerText.includes('<img')")
    browser.wait("document.getElementById('events').innerText.includes('<svg onload')")
    for name in ("mta1", "mta2"):
        browser.find(f"[aria-label='Why: explain {name} of {ZONE}']").click()
        browser.wait("document.querySelector('#why-answer .verdict')")
        assert "<img" in browser.text("#why")
        browser.press(Keys.ESCAPE)
    assert (
        browser.value("document.querySelectorAll('main img, main script, dialog img, [onerror]').length") == 0
    )
    assert "geodns" in browser.driver.title


# --- for everybody --------------------------------------------------------------------------------------


LOOKS = [(dark, width) for dark in (False, True) for width in (1500, 900, 320)]


def test_it_keeps_the_rules_of_accessibility(
    browser: Browser, server: Server, hosts: dict[str, MailHost]
) -> None:
    hosts["mta3"].close()
    server.order("mta2", "drain", ZONE, reason="a new disk")
    browser.open(server.http)
    waits(browser, "mta3", "down")
    waits(browser, "mta2", "drained")
    found = {}
    for dark, width in LOOKS:
        browser.look(dark=dark, width=width)
        broken = browser.violations("document")
        for opener, ready in (("Drain mta1", "#order[open]"), ("Why: explain mta2", "#why .verdict")):
            browser.run(f"document.querySelector('[aria-label^=\"{opener}\"]').click()")
            browser.wait(f"document.querySelector('{ready}')")
            broken += browser.violations("document.querySelector('dialog[open]')")
            browser.press(Keys.ESCAPE)
        if browser.value("document.documentElement.scrollWidth > innerWidth"):
            broken.append("it is wider than the window")
        if broken:
            found["dark" if dark else "light", width] = broken
    assert found == {}


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
    assert sorted(took)[len(took) // 2] < 50
    assert sum(size for _, size in sent) < 60_000
    browser.find("#filter").send_keys("mx42")
    assert browser.text("#found") == f"10 of {MANY} hosts"
    assert browser.value("[...document.querySelectorAll('tbody tr:not([hidden])')].length") == 10
    assert browser.value("location.hash") == "#filter=mx42"
    browser.driver.refresh()
    browser.wait("document.getElementById('found').textContent.startsWith('10 of')")


def test_rows_are_changed_and_not_made_again(browser: Browser, crowd: Server) -> None:
    browser.open(crowd.http)
    browser.run(
        "window.before = [...document.querySelectorAll('tbody tr')];"
        "window.drawn = performance.getEntriesByName('draw').length"
    )
    crowd.order("mx007", "drain", "crowd.example.com", reason="one of many")
    waits(browser, "mx007", "drained", 3, "crowd.example.com")
    assert browser.value("[...document.querySelectorAll('tbody tr')].every((row, at) => row === before[at])")
    redrawn = browser.value(
        "performance.getEntriesByName('draw').slice(window.drawn).map((entry) => entry.duration)"
    )
    print(f"{MANY} hosts drawn again in {[round(one, 1) for one in redrawn]} ms")  # noqa: T201 - to report
    assert min(redrawn) < 50
    browser.find("#trouble").click()
    assert browser.text("#found") == f"1 of {MANY} hosts"
