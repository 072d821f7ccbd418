"""The page's dialog of orders in a real browser: what it warns of, and what is typed while it thinks."""

import time
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys

from tests.integration.browser import Browser, browsing, needs_browser
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until

pytestmark = needs_browser

ZONE = "out.example.com"
TEXT = """\
ns: {ns1: 192.0.2.53}
hosts:
  four: 192.0.2.11
  six: "2001:db8::12"
  both: [192.0.2.13, "2001:db8::13"]
  spare: [192.0.2.14, "2001:db8::14"]
pools:
  main: {hosts: [four, six], check: none}
  other: {hosts: [four, both, spare], check: none}
records: {"@": {pool: main}, other: {pool: other}}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("dialogs"), {ZONE: TEXT}) as server:
        yield server


@pytest.fixture
def server(running: Server, browser: Browser) -> Iterator[Server]:
    browser.look()
    browser.open(running.http)
    yield running
    for name in ("four", "six", "both"):
        running.order(name, "clear", ZONE)
    assert browser.complaints() == []


def choose(browser: Browser, verb: str) -> None:
    browser.run(
        f"const verb = document.getElementById('order-verb'); verb.value = '{verb}';"
        "verb.dispatchEvent(new Event('change'))"
    )


def is_open(browser: Browser) -> bool:
    return bool(browser.value("document.getElementById('order').open"))


def test_a_warning_names_the_family_that_nobody_serves_any_more(browser: Browser, server: Server) -> None:
    browser.find(f"[aria-label='Drain four of {ZONE}']").click()
    browser.wait("!document.getElementById('order-after').hidden", what="it shows what it would do")
    told = browser.text("#order-after").splitlines()
    assert told[0] == f"Nobody is live then in pool main of {ZONE} on IPv4."
    browser.find("#order-reason").send_keys("it burns", Keys.ENTER)
    browser.wait("!document.getElementById('order-error').hidden")
    assert browser.text("#order-error").startswith(
        f"Pool main of {ZONE} would have no live host for A (last resort: drained"
    )
    assert server.host("four", ZONE)["forced"] is None


def test_a_weight_that_was_typed_and_is_hidden_stands_in_no_one_s_way(
    browser: Browser, server: Server
) -> None:
    browser.find(f"[aria-label='Override both of {ZONE}']").click()
    choose(browser, "weight")
    browser.find("#order-weight").clear()
    browser.find("#order-weight").send_keys("-5")
    browser.find("#order-reason").send_keys("listed")
    browser.find("#order-go").click()
    assert is_open(browser), "the weight is judged while it is shown"
    choose(browser, "quarantine")
    browser.find("#order-go").click()
    wait_until(lambda: not is_open(browser), what="it is done")
    host = server.host("both", ZONE)
    assert (host["forced"], host["forced_weight"]) == ("quarantined", None)


def test_the_preview_follows_what_is_typed(browser: Browser, server: Server) -> None:
    browser.find(f"[aria-label='Override both of {ZONE}']").click()
    choose(browser, "weight")
    browser.find("#order-weight").clear()
    browser.find("#order-weight").send_keys("3")
    browser.wait("document.getElementById('order-after').innerText.includes('75 %')", what="of IPv6: 3 of 4")
    assert server.host("both", ZONE)["forced_weight"] is None


def test_a_weight_typed_just_before_the_order_takes_no_question_back(
    browser: Browser, server: Server
) -> None:
    browser.find(f"[aria-label='Override four of {ZONE}']").click()
    choose(browser, "weight")
    browser.find("#order-reason").send_keys("full disk")
    browser.find("#order-weight").clear()
    browser.find("#order-weight").send_keys("0", Keys.ENTER)
    browser.wait("!document.getElementById('order-error').hidden")
    question = browser.text("#order-error")
    assert question.endswith(": go on?")
    time.sleep(0.6)  # twice the time after which what was typed is previewed
    assert browser.text("#order-error") == question
    assert browser.text("#order-go") == "Set weight all the same"
    browser.find("#order-go").click()
    wait_until(lambda: not is_open(browser), what="it is done")
    assert server.host("four", ZONE)["forced_weight"]["weight"] == 0
