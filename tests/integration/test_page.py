"""The page in a real browser: it shows what is so at once, does what it is told, and serves everybody."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.integration.browser import Browser, browsing, needs_browser, row
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


# --- it shows -------------------------------------------------------------------------------------------


def test_it_shows_what_the_status_says(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    status = server.status()
    assert browser.text("#headline-title") == "All is well"
    assert browser.text("#headline-counts") == "4 hosts: 4 up · 2 pools · 2 zones"
    for name, host in status["hosts"][ZONE].items():
        share = status["pools"][ZONE]["main"]["families"]["A"]["share"][name]
        assert browser.cell(ZONE, name, "state").startswith("up for ")
        assert browser.cell(ZONE, name, "share") == f"{share:.0%} of main".replace("%", " %")
        assert browser.cell(ZONE, name, "reply") == host["checks"][0]["detail"] == f"220 {name} ESMTP"
        assert browser.cell(ZONE, name, "number").endswith(" ms")
        assert browser.cell(ZONE, name, "host").split() == [name, *host["addresses"]]
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
    assert f"mta2.{ZONE} has been down for" in browser.text("#problems")
    assert "connection refused" in browser.cell(ZONE, "mta2", "reply")
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
    browser.wait_state(LONE, "only", "down")
    browser.wait("document.getElementById('headline-title').textContent === 'Nobody is live in pool main'")
    assert browser.find("#headline").get_attribute("data-level") == "bad"
    first = browser.text("#problems").splitlines()[0]
    assert first == f"Pool main of {LONE}: nobody is live, hosts that are down are dealt as a last resort"


# --- it does --------------------------------------------------------------------------------------------


def test_drain_with_a_reason_and_undrain(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    browser.find(f"[aria-label='Drain mta1 of {ZONE}']").click()
    assert browser.text("#order-title") == f"Drain: mta1.{ZONE}"
    browser.find("#order-reason").send_keys("disk swap")
    browser.find("#order-for").send_keys("2 hours")
    browser.find("#order-author").send_keys("Zoë")
    browser.find("#order-go").click()
    browser.wait_state(ZONE, "mta1", "drained", 3)
    host = server.host("mta1", ZONE)
    assert (host["forced"], host["reason"]) == ("drained", "disk swap")
    assert host["author"].startswith("Zoe@")
    ends = datetime.fromisoformat(host["until"]) - datetime.fromisoformat(host["forced_since"])
    assert ends.total_seconds() == pytest.approx(7200, abs=2)
    assert "disk swap; probes say up" in browser.cell(ZONE, "mta1", "state")
    browser.wait(f"{row(ZONE, 'mta1')}.querySelector('.share').innerText.trim() === 'none'")
    # The focus does not get lost with the button.
    browser.wait(f"document.activeElement === {row(ZONE, 'mta1')}", 3, "the row has the focus")

    browser.find(f"[aria-label='Undrain mta1 of {ZONE}']").click()
    browser.find("#order-go").click()
    browser.wait_state(ZONE, "mta1", "up", 3)
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
    browser.wait_state(ZONE, "mta1", "drained", 3)
    assert server.host("mta1", ZONE)["reason"] == "by keyboard"


def test_a_drain_needs_a_reason(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    browser.find(f"[aria-label='Drain mta1 of {ZONE}']").click()
    browser.find("#order-go").click()
    assert browser.value("document.getElementById('order').open")
    assert server.host("mta1", ZONE)["forced"] is None


def test_what_would_leave_a_pool_dead_asks_first(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    browser.find(f"[aria-label='Drain mta1 of {ZONE}']").click()
    browser.wait("!document.getElementById('order-after').hidden", what="it shows what it would do")
    rows = browser.text("#order-after").splitlines()
    assert rows[1:] == [
        "Host Pool Type Now Then",
        "mta1 main A 50 % 0 %",
        "mta2 main A 30 % 60 %",
        "mta3 main A 20 % 40 %",
    ]
    browser.press(Keys.ESCAPE)
    browser.find(f"[aria-label='Drain only of {LONE}']").click()
    browser.find("#order-reason").send_keys("it burns", Keys.ENTER)
    browser.wait("!document.getElementById('order-error').hidden")
    what = "would have no live host (last resort: drained, 1 host dealt all the same)"
    assert browser.text("#order-error") == f"Pool main of {LONE} {what}: go on?"
    assert server.host("only", LONE)["forced"] is None
    assert browser.text("#order-go") == "Drain all the same"
    browser.find("#order-go").click()
    browser.wait_state(LONE, "only", "drained", 3)
    assert server.host("only", LONE)["reason"] == "it burns"


def test_what_is_forced_is_cleared(browser: Browser, server: Server) -> None:
    server.order("mta2", "weight", ZONE, weight=5, reason="careful")
    server.order("mta2", "quarantine", ZONE, reason="listed")
    browser.open(server.http)
    assert browser.cell(ZONE, "mta2", "state").startswith("quarantined")
    assert "weight 5 instead of 30" in browser.cell(ZONE, "mta2", "notes")
    browser.find(f"[aria-label='Clear the overrides of mta2 of {ZONE}']").click()
    browser.find("#order-go").click()
    browser.wait_state(ZONE, "mta2", "up", 3)
    assert server.host("mta2", ZONE)["forced_weight"] is None


@pytest.mark.parametrize(
    ("verb", "forced", "weight"),
    [("quarantine", "quarantined", None), ("up", "up", None), ("down", "down", None), ("weight", None, 7)],
)
def test_every_order_is_given(
    browser: Browser, server: Server, verb: str, forced: str | None, weight: int | None
) -> None:
    browser.open(server.http)
    browser.find(f"[aria-label='Override mta2 of {ZONE}']").click()
    browser.run(
        f"const verb = document.getElementById('order-verb'); verb.value = '{verb}';"
        "verb.dispatchEvent(new Event('change'))"
    )
    if weight is not None:
        browser.run(f"document.getElementById('order-weight').value = {weight}")
    browser.find("#order-reason").send_keys("by hand")
    assert browser.violations("'#order'") == []
    browser.find("#order-go").click()
    wait_until(lambda: not browser.value("document.getElementById('order').open"), what="it is done")
    host = server.host("mta2", ZONE)
    assert (host["forced"], (host["forced_weight"] or {}).get("weight")) == (forced, weight)
    server.order("mta2", "clear", ZONE)


def test_a_yes_to_one_weight_is_none_to_another(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    browser.find(f"[aria-label='Override only of {LONE}']").click()
    browser.run(
        "const verb = document.getElementById('order-verb'); verb.value = 'weight';"
        "verb.dispatchEvent(new Event('change')); document.getElementById('order-weight').value = ''"
    )
    browser.find("#order-reason").send_keys("slow")
    browser.find("#order-weight").send_keys("0", Keys.ENTER)
    browser.wait("!document.getElementById('order-error').hidden")
    browser.find("#order-weight").send_keys("0", Keys.ENTER)  # before the page has looked at it
    browser.wait("!document.getElementById('order-error').hidden")
    assert browser.value("document.getElementById('order').open")
    assert server.host("only", LONE)["forced_weight"] is None


def test_close_is_in_sight_however_long_an_explanation_is(browser: Browser, server: Server) -> None:
    browser.look(width=900)
    browser.open(server.http)
    browser.find(f"[aria-label='Why: explain mta2 of {ZONE}']").click()
    browser.wait("document.querySelector('#why-verdict .verdict')")
    browser.run("document.getElementById('why').scrollTop = 10000")
    box = browser.value("document.querySelector('#why button[value=no]').getBoundingClientRect().toJSON()")
    assert 0 <= box["top"] < box["bottom"] <= browser.value("innerHeight")
    assert 0 <= box["left"] < box["right"] <= 900
    browser.find("#why button[value=no]").click()
    assert not browser.value("document.getElementById('why').open")


def test_why(browser: Browser, server: Server) -> None:
    server.order("mta2", "drain", ZONE, reason="a new disk")
    browser.open(server.http)
    browser.find(f"[aria-label='Why: explain mta2 of {ZONE}']").click()
    browser.wait("document.querySelector('#why-verdict .verdict')")
    assert "mta2 has 0 % of the first picks in main: drained by api@127.0.0.1: a new disk" in browser.text(
        "#why"
    )
    assert "The next 3 answers" in browser.text("#why")
    browser.press(Keys.ESCAPE)
    assert not browser.value("document.getElementById('why').open")


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
        browser.wait("document.querySelector('#why-verdict .verdict')")
        assert "<img" in browser.text("#why")
        browser.press(Keys.ESCAPE)
    assert (
        browser.value("document.querySelectorAll('main img, main script, dialog img, [onerror]').length") == 0
    )
    assert "geodns" in browser.driver.title


def test_it_says_which_family_is_down(browser: Browser, tmp_path: Path) -> None:
    half = MailHost("half", "::1").open()
    check = f"{{port: {half.address[1]}, interval: 1s, fast_interval: 200ms, rise: 1, fall: 2}}"
    text = f"""\
ns: {{ns1: 192.0.2.53}}
checks: {{smtp: {check}}}
hosts: {{half: [127.0.0.1, "::1"]}}
"""
    with serving(tmp_path, {ZONE: text}) as server:
        browser.open(server.http)
        said = "up, IPv4 down for "
        wait_until(lambda: browser.cell(ZONE, "half", "state").startswith(said), what=said)
        browser.wait("document.querySelector('#problems').textContent.includes('down on IPv4 alone')")
        first = browser.text("#problems li p")
        assert (
            first
            == f"Pool main of {ZONE}: nobody is live on IPv4, hosts that are down are dealt as a last resort"
        )
        assert browser.text("#headline-title") == "Nobody is live on IPv4 in pool main"
        assert "nobody is live on IPv4, last resort" not in browser.text("#problems"), "told once"
    half.end()


# --- for everybody --------------------------------------------------------------------------------------


LOOKS = [(False, 1500), (True, 1500), (True, 900), (False, 320)]
"""Dark or not, and how wide: colours do not depend on widths."""


def test_it_keeps_the_rules_of_accessibility(
    browser: Browser, server: Server, hosts: dict[str, MailHost]
) -> None:
    hosts["mta3"].close()
    server.order("mta2", "drain", ZONE, reason="a new disk")
    browser.open(server.http)
    browser.wait_state(ZONE, "mta3", "down")
    browser.wait_state(ZONE, "mta2", "drained")
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
