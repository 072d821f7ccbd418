"""Rules on a running server, asked by dig and kdig: networks, hours, and GeoIP files replaced meanwhile."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.browser import browsing, needs_browser
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until
from tests.zones.mmdb import maxmind, write_mmdb

ZONE = "out.example.com"
TEXT = """
ns: {ns1: 192.0.2.53}
ttl: 5
hosts: {main1: 192.0.2.1, inside1: 192.0.2.2, eu1: 192.0.2.3, day1: 192.0.2.4}
pools:
  main: {hosts: main1, check: none}
  inside: {hosts: inside1, check: none}
  eu: {hosts: eu1, check: none}
  day: {hosts: day1, check: none}
records:
  "@": {A: {pool: [{subnets: [10.0.0.0/8, "2001:db8::/40"], use: inside}, {countries: DE, use: eu}, main]}}
  always: {A: {pool: [{hours: "00:00-24:00", use: day}, main]}}
  alias: {CNAME: "@"}
"""
HOSTS = {"192.0.2.1": "main", "192.0.2.2": "inside", "192.0.2.3": "eu", "192.0.2.4": "day"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    file = tmp_path / "country.mmdb"
    write_mmdb(file, [("203.0.112.0/24", maxmind("DE"))])
    settings = tmp_path / "geodns.yaml"
    settings.write_text(f"geoip: {file.name}\n")
    with serving(tmp_path, {ZONE: TEXT}, arguments=("--config", str(settings))) as running:
        yield running


def asked(server: Server, program: str, subnet: str = "", name: str = ZONE) -> tuple[str, str]:
    """Return the pool that a client is dealt from, and what the answer says of its network."""
    host, port = server.listen[0]
    retry = "+tries=1" if program == "dig" else "+retry=0"
    command = [program, f"@{host}", "-p", str(port), "+norec", retry, name, "A", "+subnet=" + subnet]
    output = subprocess.run(
        command if subnet else command[:-1], capture_output=True, text=True, timeout=20, check=True
    ).stdout
    (pool,) = {HOSTS[word] for word in output.split() if word in HOSTS}
    told = [line.partition(":")[2] for line in output.splitlines() if "CLIENT-SUBNET" in line]
    return pool, "".join(told).strip()


@pytest.mark.parametrize("program", ["dig", "kdig"])
def test_clients_are_dealt_by_their_networks(server: Server, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    found = {
        subnet: asked(server, program, subnet)
        for subnet in (
            "10.1.2.0/24",
            "2001:db8:1::/56",
            "2001:db8:100::/56",
            "203.0.112.0/24",
            "203.0.113.0/24",
        )
    }
    assert {subnet: pool for subnet, (pool, _) in found.items()} == {
        "10.1.2.0/24": "inside",  # counts, since whoever asks is local himself
        "2001:db8:1::/56": "inside",
        "2001:db8:100::/56": "main",
        "203.0.112.0/24": "eu",
        "203.0.113.0/24": "main",
    }
    assert found["10.1.2.0/24"][1] == "10.1.2.0/24/8"
    assert found["203.0.112.0/24"][1] == "203.0.112.0/24/24"
    assert asked(server, program)[0] == "main"
    assert asked(server, program, "203.0.112.0/24", f"alias.{ZONE}") == found["203.0.112.0/24"]
    assert asked(server, program, name=f"always.{ZONE}")[0] == "day"


def test_rules_are_seen_and_explained_while_files_change(server: Server, tmp_path: Path) -> None:
    rules = server.status()["views"][ZONE]
    assert [(one["rule"], one["when"], one["pool"]) for one in rules[f"{ZONE}."]] == [
        (1, "subnets 10.0.0.0/8, 2001:db8::/40", "inside"),
        (2, "countries DE", "eu"),
        (3, "", "main"),
    ]
    assert all(one["since"] for one in rules[f"{ZONE}."])
    assert "GeoIP: country DE" in server.command("explain", ZONE, "--ecs", "203.0.112.0/24").stdout

    write_mmdb(tmp_path / "country.mmdb", [("203.0.113.0/24", maxmind("DE"))])
    wait_until(lambda: asked(server, "dig", "203.0.113.0/24")[0] == "eu", what="the new file is dealt by")
    assert asked(server, "dig", "203.0.112.0/24")[0] == "main"
    shown = server.command("explain", ZONE, "--ecs", "203.0.112.0/24").stdout
    assert "GeoIP: not country DE" in shown

    # An edit meanwhile keeps what the file says, and hours that are not are seen as such.
    server.write(ZONE, TEXT.replace('hours: "00:00-24:00"', 'hours: "Mon 00:00-00:01"'))
    wait_until(lambda: asked(server, "dig", name=f"always.{ZONE}")[0] != "day", what="the edit is served")
    assert asked(server, "dig", "203.0.113.0/24")[0] == "eu"
    (first, *_) = server.status()["views"][ZONE][f"always.{ZONE}."]
    assert first["since"] is None
    assert server.metric("geodns_view_ranges", zone=ZONE) >= 4


@needs_browser
def test_the_page_shows_answers_by_view_and_explains_a_client(server: Server) -> None:
    with browsing() as browser:
        browser.open(server.http)
        browser.wait("document.querySelector('.views:not([hidden])')", what="the rules are there")
        browser.run("document.querySelector('.views').open = true")
        rows = browser.value(
            "[...document.querySelectorAll('.views tbody tr')].map((row) => "
            "[...row.children].map((one) => one.innerText))"
        )
        assert [row[:4] for row in rows][:3] == [
            [ZONE, "1", "subnets 10.0.0.0/8, 2001:db8::/40", "inside"],
            [ZONE, "2", "countries DE", "eu"],
            [ZONE, "3", "all others", "main"],
        ]
        assert all(row[4].startswith("since ") for row in rows)
        assert [row[5] for row in rows[:2]] == ["inside1 100 %", "eu1 100 %"]
        assert browser.text(".views summary") == "Answers by view of 2 names"
        assert browser.violations("document.querySelector('.views')") == []
        browser.run("document.querySelector('[aria-label^=\"Why: explain main1\"]').click()")
        browser.wait("document.querySelector('#why[open] #why-answer h3')", what="it is explained")
        assert "name one to see" in browser.text("#why-answer")
        browser.run(
            "document.querySelector('#why-client').value = '203.0.112.0/24';"
            "document.querySelector('#why form').requestSubmit()"
        )
        browser.wait(
            "[...document.querySelectorAll('#why-answer [data-mark]')]"
            ".some((one) => one.textContent.includes('GeoIP: country DE'))",
            what="the rule that applies is marked",
        )
        assert browser.violations("document.querySelector('dialog[open]')") == []
        browser.look(width=320)
        assert not browser.value("document.documentElement.scrollWidth > innerWidth")
        assert browser.complaints() == []
