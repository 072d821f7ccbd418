"""The page's plots: a day of every host, dealt against intended, from what the server has kept."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geodns.storage.history_file import DAY, MINUTE, HistoryFile, Point
from tests.integration.browser import Browser, browsing, needs_browser
from tests.integration.cluster import Server, serving, zone_text
from tests.integration.mailhosts import mail_hosts

pytestmark = needs_browser

ZONE = "out.example.com"
WEIGHTS = {"mta1": 50, "mta2": 30, "mta3": 20}
MANY = [f"h{number}" for number in range(30)]
PLOTS = "[...document.querySelectorAll('.day .plot figcaption')].map((one) => one.innerText)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


def remember(state: Path) -> None:
    """Let a day have passed: mta2 was down for an hour of it, mta3 was dealt half of what was intended."""
    now = time.time()
    file, _ = HistoryFile.open(state, now)
    for minute in range(int(now // MINUTE) * MINUTE - DAY, int(now), MINUTE):
        down = 6 <= (now - minute) / 3600 < 7
        points = {
            host: Point(
                picks=weight / (2 if host == "mta3" else 1),
                intended=float(weight),
                probes=0 if down and host == "mta2" else 6,
                rtt=0.0 if down and host == "mta2" else 0.024,
                samples=12,
                up=0 if down and host == "mta2" else 12,
            )
            for host, weight in WEIGHTS.items()
        }
        young = {"many.example": {"h1": points["mta1"]}} if now - minute < 2400 else {}
        file.add(MINUTE, minute, {ZONE: points, **young})
    file.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("plots")
    (folder / "state").mkdir()
    remember(folder / "state")
    many = "".join(f"  {host}: 192.0.2.{at + 1}\n" for at, host in enumerate(MANY))
    many = f"ns: {{ns1: 192.0.2.53}}\nhosts:\n{many}pools: {{main: {{hosts: 'h*', check: none}}}}\n"
    many += "records: {'@': {pool: main}}\n"
    with mail_hosts(*WEIGHTS) as hosts:
        zones = {ZONE: zone_text(hosts, weights=WEIGHTS), "many.example": many}
        with serving(folder, zones) as one:
            yield one


def opened(browser: Browser, server: Server, zone: str, *, dark: bool = False, width: int = 1500) -> None:
    browser.look(dark=dark, width=width)
    browser.open(server.http)
    browser.run(f"document.querySelector('[aria-label=\"zone {zone}\"] details.day').open = true")
    browser.wait("document.querySelector('.day .plot')", what="the plots are drawn")


def test_a_day_is_shown_to_those_who_look_and_to_those_who_read(browser: Browser, server: Server) -> None:
    opened(browser, server, ZONE)
    shown = dict(text.split(" ", 1) for text in browser.value(PLOTS))
    assert shown.keys() == WEIGHTS.keys()
    # Half of 20 of 100 is 10 of 90; the hour in which mta2 was down is 60 of 1440 minutes.
    for host, parts, up in (
        ("mta1", "dealt 55.6 %, intended 50 %", "100 %"),
        ("mta2", "dealt 33.3 %, intended 30 %", "95.[89] %"),
        ("mta3", "dealt 11.1 %, intended 20 %", "100 %"),
    ):
        assert re.fullmatch(rf"{parts} · probes [0-9.]+ ms, at most [0-9.]+ ms · up {up}", shown[host])
    downs = "[...document.querySelectorAll('.day .plot')].map((one) => one.querySelectorAll('.down').length)"
    assert browser.value(downs)[0::2] == [0, 0]
    assert browser.value(downs)[1] >= 6
    # One scale for all: a plot of half the height is half the share.
    tops = (
        "[...document.querySelectorAll('.day .plot .dealt')].map((one) => one.getBBox()).map((box) => box.y)"
    )
    first, second, third = (64 - top for top in browser.value(tops))
    assert (second / first, third / first) == (pytest.approx(0.6, abs=0.02), pytest.approx(0.2, abs=0.02))
    assert browser.complaints() == []


def test_the_hours_are_chosen_and_plots_begin_where_data_begins(browser: Browser, server: Server) -> None:
    opened(browser, server, ZONE)
    marks = "[...document.querySelectorAll('.day .plot:first-child text')].map((one) => one.textContent)"
    seen = set()
    for span in ("1h", "6h", "24h"):
        select = "document.querySelector('.day[open] select')"
        browser.run(
            f"{select}.value = '{span}'; document.querySelector('.day[open] .plots').replaceChildren();"
            f"{select}.dispatchEvent(new Event('change'))"
        )
        browser.wait("document.querySelectorAll('.day .plot svg').length === 3", what=f"{span} is drawn")
        times = [text for text in browser.value(marks) if ":" in text]
        assert 2 <= len(times) <= 6
        seen.add(tuple(times))
        outside = (
            "[...document.querySelectorAll('.day .plot text')].filter((one) => {"
            "const box = one.getBBox(); return box.x < 0 || box.x + box.width > 320; }).length"
        )
        assert browser.value(outside) == 0, "labels are whole"
    assert len(seen) == 3
    opened(browser, server, "many.example")  # 40 minutes old
    times = [text for text in browser.value(marks.replace("first-child", "nth-child(2)")) if ":" in text]
    minutes = [60 * int(text[:2]) + int(text[3:]) for text in times]
    assert 2 <= len(minutes) <= 6
    assert (minutes[-1] - minutes[0]) % 1440 <= 50


def test_the_filter_chooses_the_plots(browser: Browser, server: Server) -> None:
    opened(browser, server, ZONE)
    browser.find("#filter").send_keys("mta2")
    browser.wait("document.querySelectorAll('.day .plot').length === 1")
    assert browser.value(PLOTS)[0].startswith("mta2 ")
    browser.run("document.getElementById('filter').value = ''")


def test_of_many_hosts_the_first_are_plotted(browser: Browser, server: Server) -> None:
    opened(browser, server, "many.example")
    assert len(browser.value(PLOTS)) == 24
    # After the first look at the states of the hosts it is known to be up.
    assert browser.value(PLOTS)[0] in {"h0 nothing is known of it yet", "h0 no answers · up 100 %"}
    shown = browser.value(
        "document.querySelector('[aria-label=\"zone many.example\"] .day > p.quiet:last-child').innerText"
    )
    assert shown == "The first 24 of 30 hosts: the filter chooses others."


def test_why_shows_the_day_of_the_host(browser: Browser, server: Server) -> None:
    browser.look()
    browser.open(server.http)
    browser.run("document.querySelector('[aria-label=\"Why: explain mta3 of out.example.com\"]').click()")
    browser.wait("document.querySelector('#why-day svg')")
    assert "the last 6 h" in browser.text("#why-day select")
    assert "dealt 11.1 %, intended 20 %" in browser.text("#why-day")
    assert browser.violations("'#why'") == []
    browser.run("document.getElementById('why').close()")


@pytest.mark.parametrize(("dark", "width"), [(False, 1500), (True, 320)], ids=["light-wide", "dark-narrow"])
def test_plots_are_for_everybody(browser: Browser, server: Server, dark: bool, width: int) -> None:
    opened(browser, server, ZONE, dark=dark, width=width)
    assert browser.violations("'.day[open]'") == []
    assert not browser.value("document.documentElement.scrollWidth > innerWidth"), "nothing is cut off"
