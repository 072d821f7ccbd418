"""A real browser without a window, pointed at the page of a running server."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.integration.mailhosts import wait_until

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="not here: apt-get install chromium chromium-driver"
)

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --window-size=1500,1000"
)
AXE = resources.files("selenium_axe_python").joinpath("axe-core", "axe.min.js").read_text("utf-8")
"""The rules of accessibility, as https://github.com/dequelabs/axe-core has them."""


class Browser:
    """A tab, and what the tests ask of it.

    Attributes:
        driver: of selenium.

    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, *, wait: bool = True) -> None:
        """Open the page with a session that knows nothing, and wait until it has drawn a status."""
        if self.driver.current_url.startswith("http"):
            self.run("sessionStorage.clear()")
        self.driver.get("about:blank")
        self._log()  # what was before
        self.driver.get(url)
        if wait:
            self.wait(f"{MARKS}.length > 0", what="the first status is drawn")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script's statements."""
        return self.driver.execute_script(script, *arguments)

    def value(self, expression: str) -> Any:
        """What an expression is worth."""
        return self.run(f"return {expression}")

    def wait(self, expression: str, seconds: float = 10.0, what: str = "") -> Any:
        """Wait until an expression is true, and return it."""
        return wait_until(lambda: self.value(expression), seconds, what or expression)

    def find(self, selector: str) -> WebElement:
        """The first element that a selector means."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """The text of an element as it is seen."""
        return self.find(selector).text

    def cell(self, zone: str, host: str, kind: str) -> str:
        """The text in a host's row, in the cell of a kind."""
        # A row that is not in sight is not laid out, and has no text: see it first, and let it be drawn.
        text: str = self.driver.execute_async_script(
            f"const row = {row(zone, host)}, done = arguments[0]; row.scrollIntoView({{block: 'nearest'}});"
            f"const read = () => done(row.querySelector('.{kind}').innerText);"
            "requestAnimationFrame(() => requestAnimationFrame(read));"
        )
        return " ".join(text.split())

    def wait_state(self, zone: str, host: str, word: str, seconds: float = 10.0) -> None:
        """Wait until a host is shown in a state."""
        self.wait(f"{row(zone, host)}?.dataset.state === {json.dumps(word)}", seconds, f"{host} is {word}")

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def tab_to(self, label: str, most: int = 60) -> None:
        """Go on with Tab alone until the focus is on what has a label."""
        for _ in range(most):
            if self.value("document.activeElement.ariaLabel || document.activeElement.textContent") == label:
                return
            self.press(Keys.TAB)
        raise AssertionError(f"no Tab leads to {label}")

    def look(self, *, dark: bool = False, width: int = 1500) -> None:
        """Show it in light or dark, so many pixels wide."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def violations(self, where: str) -> list[str]:
        """What axe finds against its rules in a part of the page: each rule with what breaks it."""
        if not self.value("'axe' in window"):
            self.run(AXE)
        found = self.driver.execute_async_script(
            f"axe.run({where}, {{resultTypes: ['violations']}})"
            ".then(arguments[0], (error) => arguments[0]({error}))"
        )
        assert "violations" in found, found
        return [
            f"{rule['id']}: {node['html'][:200]} ({node.get('failureSummary', '')})"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def complaints(self) -> list[str]:
        """What the browser has complained of, but for answers that say no and servers that are away."""
        return [
            line["message"]
            for line in self._log()
            if "the server responded with a status of 40" not in line["message"]
            and "net::ERR_" not in line["message"]
        ]

    def _log(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return found

    def strangers(self, origin: str) -> list[str]:
        """What the page has asked of others than its server."""
        names = self.value("performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert names
        return [name for name in names if not name.startswith(f"{origin}/")]


MARKS = "performance.getEntriesByName('first-status')"


def row(zone: str, host: str) -> str:
    """A host's row, as a script finds it."""
    return f"document.getElementById({json.dumps(f'host/{zone}/{host}')})"


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Run a browser of its own, that keeps nothing and asks nobody by itself."""
    options = Options()
    options.binary_location = CHROMIUM or ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for flag in (*FLAGS.split(), f"--user-data-dir={folder}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options, Service(DRIVER))
        try:
            driver.set_script_timeout(30)
            yield Browser(driver)
        finally:
            driver.quit()
