"""Reputation on the page: what is known of hosts, and overruling it, in a real browser."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from selenium.webdriver.support.select import Select

from tests.integration import product
from tests.integration.browser import Browser, browsing, needs_browser
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until
from tests.signals.blocklist import BlockList, block_list

pytestmark = needs_browser

ZONE = "out.example.com"
SOON: dict[str, object] = {product.REVIEW_EVERY: 1.0}
TEXT = """ns: {{ns1: 192.0.2.53}}
hosts: {{mta1: 192.0.2.1, mta2: 192.0.2.2, mta3: 192.0.2.3, mta4: 192.0.2.4}}
pools: {{main: {{hosts: "*", check: none, max_out: 2}}}}
records: {{"@": {{pool: main}}}}
reputation:
  mode: act
  resolver: "127.0.0.1:{port}"
  interval: 1s
  dnsbl: [bl.test, mute.test]
"""
PLAIN = 'ns: {ns1: 192.0.2.53}\nhosts: {a: 192.0.2.9}\npools: {main: {hosts: "*", check: none}}\n'
REFUSAL = "421 4.7.0 [TSS04] Messages from 192.0.2.2 temporarily deferred due to unexpected volume"
NOTHING = "\N{EN DASH}"
SECTION = f"document.querySelector('[aria-label=\"zone {ZONE}\"] .reputation')"


def row(event: str, host: str, count: int, **more: Any) -> dict[str, Any]:
    return {"event": event, "host": host, "zone": ZONE, "count": count, "queued": time.time() - 5, **more}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


@pytest.fixture(scope="module")
def lists() -> Iterator[BlockList]:
    with block_list() as found:
        found.zones["bl.test"] = {"192.0.2.1": ["127.0.0.2"]}
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, lists: BlockList) -> Iterator[Server]:
    zones = {ZONE: TEXT.format(port=lists.port), "plain.example": PLAIN}
    with serving(tmp_path_factory.mktemp("reputation"), zones, constants=SOON) as found:
        signals = [
            row("delivered", "mta1", 40, provider="google", delay_s=2.0),
            row("delivered", "mta2", 150, provider="google", delay_s=600.0),
            row("delivered", "mta2", 50, provider="yahoo", delay_s=3.0),
            row("deferred", "mta2", 100, provider="yahoo", dsn="421 4.7.0", text=REFUSAL),
            row("delivered", "mta3", 150, provider="yahoo"),
            row("delivered", "mta4", 150, provider="yahoo"),
            row("complaint", "mta3", 3, provider="yahoo"),
            row("bounced", "mta4", 6, provider="small-isp", dsn="550 5.0.0", text="550 5.0.0 Zork <b>x</b>"),
        ]
        status, text = found.request("/api/v1/signals", {"batch": "1", "signals": signals})
        assert (status, '"accepted": 8' in text) == (200, True), text
        wait_until(lambda: len(standing(found)) == 2, 30, "two hosts are hit")
        yield found


def standing(server: Server) -> dict[str, str]:
    """What is in force, by host."""
    hosts = server.get("/api/v1/reputation")["zones"][ZONE]["hosts"]
    return {
        name: each["action"] for name, one in hosts.items() for each in one["actions"] if each["in_force"]
    }


def opened(browser: Browser, server: Server) -> None:
    browser.open(server.http)
    browser.wait(f"{SECTION} && !{SECTION}.hidden", what="the section is there")
    browser.run(f"{SECTION}.open = true")
    browser.wait(f"{SECTION}.querySelector('table')", what="it is drawn")


def rows(browser: Browser, caption: str) -> list[list[str]]:
    """The cells of a table of the section."""
    found: list[list[str]] = browser.value(
        f"[...[...{SECTION}.querySelectorAll('table')]"
        f".find((one) => one.caption.textContent.startsWith('{caption}'))?.tBodies[0].rows ?? []]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return found


def test_it_shows_what_is_known_of_hosts(browser: Browser, server: Server) -> None:
    browser.look()
    opened(browser, server)
    title = browser.value(f"{SECTION}.querySelector('summary').textContent")
    assert title == "Reputation, mode act, 2 hosts lose mail, 1 list not believed"
    assert browser.value("document.querySelector('[aria-label=\"zone plain.example\"] .reputation').hidden")
    hosts = {cells[0]: cells[1:] for cells in rows(browser, "Reputation in")}
    assert hosts["mta1"][:3] == ["in quarantine", "bl.test", NOTHING]
    assert hosts["mta2"][:2] == ["50 %", NOTHING]  # half of its mail goes to yahoo
    assert hosts["mta2"][2].startswith("yahoo until ")
    assert hosts["mta2"][3:8] == ["300", "200 (66.7 %)", "100 (33.3 %)", "0 (0 %)", "0 (0 %)"]
    assert hosts["mta3"][3:8] == ["150", "150 (100 %)", "0 (0 %)", "0 (0 %)", "3 (2 %)"]
    against = {(cells[0], cells[1]): cells[2:] for cells in rows(browser, "What stands against")}
    assert against.keys() == {("mta1", "bl.test"), ("mta2", "yahoo ip")}
    does, takes, _, until, why, _ = against["mta1", "bl.test"]
    assert (does, takes, until) == ("quarantine", "100 %", "while it lasts")
    assert why.startswith("192.0.2.1 is on bl.test (127.0.0.2")
    does, takes, _, _, why, _ = against["mta2", "yahoo ip"]
    assert (does, takes) == ("bar", "50 %")
    assert why.startswith("100 of 150 messages to yahoo were refused for the ip within the hour")
    ((name, state, why, _),) = rows(browser, "Block lists of")
    assert (name, state) == ("mute.test", "not believed")
    assert why
    assert "block list mute.test" in browser.text("#problems")
    ((reply, times),) = rows(browser, "Replies that no rule")
    assert (reply.endswith("Zork <b>x</b>"), times) == (True, "6")
    assert browser.complaints() == []


def test_providers_and_spans_on_demand(browser: Browser, server: Server) -> None:
    opened(browser, server)
    browser.run(f"{SECTION}.querySelector('[aria-label^=\"By provider: mta2\"]').click()")
    providers = {cells[0]: cells for cells in rows(browser, "Mail of mta2 by provider, the last day")}
    assert providers["yahoo"][1:4] == ["150", "50 (33.3 %)", "100 (66.7 %)"]
    assert providers["google"][6:] == ["10 min", "10 min"]
    assert providers["yahoo"][6] in {"2.9 s", "3 s", "3.1 s"}
    Select(browser.find(".reputation select")).select_by_visible_text("the last hour")
    assert rows(browser, "Mail of mta2 by provider, the last hour")
    assert browser.value(f"{SECTION}.querySelectorAll('.plot details[open]').length") == 1, "it stays open"
    # A bar of mail, and from the ground the part that was refused.
    bars = browser.value(
        f"[...{SECTION}.querySelectorAll('.plot')].map((one) => ['first', 'refused'].map((kind) =>"
        " Math.max(...[...one.querySelectorAll(`rect.${kind}`)].map((bar) => bar.height.baseVal.value))))"
    )
    assert [round(refused / first, 2) for first, refused in bars] == [0, 0.33, 0, 0.04]
    caption = browser.value(f"{SECTION}.querySelectorAll('.plot figcaption')[1].textContent")
    assert caption == "mta2 300 first attempts in 24 h, 100 (33.3 %) refused"


def test_the_filter_chooses_the_hosts(browser: Browser, server: Server) -> None:
    opened(browser, server)
    browser.find("#filter").send_keys("mta3")
    browser.wait(f"{SECTION}.querySelectorAll('.plot').length === 1")
    assert [cells[0] for cells in rows(browser, "Reputation in")] == ["mta3"]
    browser.run("document.getElementById('filter').value = ''")


def test_something_is_ignored_and_counts_again(browser: Browser, server: Server) -> None:
    opened(browser, server)
    browser.run(f"{SECTION}.querySelector('[aria-label=\"Ignore bl.test for mta1 of {ZONE}\"]').click()")
    assert browser.text("#overrule-title") == f"Ignore: mta1.{ZONE}"
    assert browser.value("document.getElementById('overrule-rule').value") == "bl.test"
    browser.find("#overrule-go").click()  # it wants a reason
    assert browser.value("document.getElementById('overrule').open")
    browser.find("#overrule-reason").send_keys("asked for removal")
    browser.find("#overrule-author").send_keys("Zoë")
    assert browser.violations("'#overrule'") == []
    browser.find("#overrule-go").click()
    browser.wait(f"{SECTION}.textContent.includes('asked for removal')", what="it is shown as ignored")
    ((host, rule, _, author, reason, _),) = rows(browser, "Ignored in")
    assert (host, rule, reason) == ("mta1", "bl.test", "asked for removal")
    assert author.startswith("Zoe@")
    assert standing(server) == {"mta2": "bar"}
    (said,) = server.get("/api/v1/reputation")["zones"][ZONE]["ignored"]
    assert 11.9 < hours_left(said["until"]) <= 12

    browser.run(f"{SECTION}.querySelector('[aria-label^=\"End ignoring bl.test\"]').click()")
    browser.find("#overrule-reason").send_keys("it is not removed")
    browser.find("#overrule-go").click()
    browser.wait(f"!{SECTION}.textContent.includes('asked for removal')", what="it is ended")
    wait_until(lambda: standing(server) == {"mta1": "quarantine", "mta2": "bar"}, 20, "it is out again")
    assert browser.complaints() == []


def test_it_only_observes_for_a_while(browser: Browser, server: Server) -> None:
    opened(browser, server)
    browser.run(f"{SECTION}.querySelector('[aria-label=\"Only observe in {ZONE}\"]').click()")
    browser.find("#overrule-reason").send_keys("too keen")
    Select(browser.find("#overrule-for")).select_by_visible_text("6 hours")
    browser.find("#overrule-go").click()
    browser.wait(f"{SECTION}.textContent.includes('Mode observe.')")
    assert (standing(server), server.host("mta1", ZONE)["forced"]) == ({}, None)
    assert 5.9 < hours_left(server.get("/api/v1/reputation")["zones"][ZONE]["mode_until"]) <= 6
    assert "mode observe, 2 hosts would lose mail" in browser.value(f"{SECTION}.textContent")
    assert {cells[2] for cells in rows(browser, "What stands against")} == {"would quarantine", "would bar"}

    browser.run(f"{SECTION}.querySelector('[aria-label=\"End the order of mode in {ZONE}\"]').click()")
    browser.find("#overrule-reason").send_keys("all is known")
    browser.find("#overrule-go").click()
    browser.wait(f"{SECTION}.textContent.includes('Mode act.')")
    wait_until(lambda: standing(server) == {"mta1": "quarantine", "mta2": "bar"}, 20, "both are hit again")
    assert server.get("/api/v1/reputation")["zones"][ZONE]["mode_until"] is None


def hours_left(until: str) -> float:
    return (datetime.fromisoformat(until).timestamp() - time.time()) / 3600


@pytest.mark.parametrize(("dark", "width"), [(False, 1500), (True, 320)], ids=["light-wide", "dark-narrow"])
def test_it_is_for_everybody(browser: Browser, server: Server, dark: bool, width: int) -> None:
    browser.look(dark=dark, width=width)
    opened(browser, server)
    browser.run(f"for (const one of {SECTION}.querySelectorAll('details')) one.open = true")
    assert browser.violations(f"document.querySelector('[aria-label=\"zone {ZONE}\"] .reputation')") == []
    assert not browser.value("document.documentElement.scrollWidth > innerWidth"), "nothing is cut off"
    browser.look()
