"""A running server holds an experiment: clients count by arm, mail comes to a verdict."""

import json
import random
import time
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.query

from geodns.storage.state_file import StateFile
from tests.integration import product
from tests.integration.browser import browsing, needs_browser
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until

ZONE = "out.example.com"
SOON: dict[str, object] = {product.EXPERIMENT_LOOK: 0.1, product.EXPERIMENT_SHARE: 0}
TEXT = """\
ns: {ns1: 192.0.2.53}
hosts:
  "c[1-3]": {address: "192.0.2.[1-3]"}
  "t[1-3]": {address: "192.0.2.[11-13]"}
pools:
  main: {hosts: "c*", check: none, answers: 1}
  trial: {hosts: "t*", check: none, answers: 1}
records: {"@": {pool: main}}
experiments:
  new-mta:
    name: "@"
    arms: {control: {share: 50, pool: main}, trial: {share: 50, pool: trial}}
    horizon: 40h
"""
HOUR = 3600
AGO = 48 * HOUR


def held(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/api/v1/experiments")["experiments"]
    return dict(found.get(ZONE, {}).get("new-mta", {}))


def begun_earlier(folder: Path) -> None:
    """Say that the experiment began two days ago: its horizon is over then."""
    store, _ = StateFile.open(folder, time.time())
    note = json.loads(store.load_notes()["experiments"])
    for row in note:
        row["since"] -= AGO
        row["stays"] = {host: [(stays[0][0] - AGO, None)] for host, stays in row["stays"].items()}
    store.save_note("experiments", json.dumps(note))
    store.close()


def mail(now: float) -> list[dict[str, Any]]:
    """Two days of mail: each host has 50 messages an hour, of which some are put off."""
    rng = random.Random(3)
    found = []
    for host in ("c1", "c2", "c3", "t1", "t2", "t3"):
        for hour in range(1, 40):
            deferred = sum(rng.random() < (0.3 if host.startswith("c") else 0.1) for _ in range(50))
            for event, count in (("deferred", deferred), ("delivered", 50 - deferred)):
                queued = now - AGO + hour * HOUR
                more = {"dsn": "421 4.7.0"} if event == "deferred" else {}
                found.append(
                    {"event": event, "host": host, "count": count, "queued": queued, "at": queued + 5, **more}
                )
    return found


def ask(server: Server, network: str) -> str:
    """Return the address that a client in a network is dealt."""
    subnet = dns.edns.ECSOption(network, 24, 0)
    query = dns.message.make_query(ZONE, "A", use_edns=0, options=[subnet], flags=0)
    host, port = server.listen[0]
    return str(dns.query.udp(query, host, 5, port).answer[0][0])


def test_an_experiment_comes_to_a_verdict_over_a_restart_and_a_change_begins_anew(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: TEXT}, constants=SOON) as server:
        wait_until(lambda: held(server), 20, "the epoch is begun")
        assert "the horizon of 40h is over at" in held(server)["verdict"]["why"]
    begun_earlier(tmp_path / "state")
    with serving(tmp_path, {ZONE: TEXT}, constants=SOON) as server:
        wait_until(lambda: held(server), 20, "the epoch is read")
        networks = [f"203.{number}.113.0" for number in range(60)]
        dealt = [ask(server, network) for network in networks]
        assert [ask(server, network)[:9] for network in networks] == [address[:9] for address in dealt]
        trial = sum(address.startswith("192.0.2.1") and len(address) > 9 for address in dealt)
        wait_until(
            lambda: sum(arm["queries"] for arm in held(server)["arms"].values()) == 120, 20, "all count"
        )
        arms = held(server)["arms"]
        assert arms["trial"]["queries"] == arms["trial"]["answers"] == 2 * trial
        assert arms["trial"]["realised"] == trial / 60
        assert arms["trial"]["networks"] in {trial, trial - 1}  # two may hash to the same
        assert not held(server)["verdict"]["enough"]

        batch = {"batch": "1", "signals": mail(time.time())}
        status, text = server.request("/api/v1/signals", batch)
        assert status == 200, text
        found = held(server)
        assert found["verdict"]["enough"], found["verdict"]
        assert found["epoch"] == 1
        assert -0.3 < found["verdict"]["low"] < -0.2 < found["verdict"]["high"] < -0.1
        assert "points below control" in found["verdict"]["why"]
        rate = found["arms"]["control"]["rates"]["deferred"]
        assert rate["n"] == 3 * 39 * 50
        assert 0.2 < rate["low"] < rate["value"] < rate["high"] < 0.4

        said = server.command("experiments", "new-mta")
        assert said.returncode == 0, said.stderr
        assert f"experiment new-mta at {ZONE} ({ZONE}), by client" in said.stdout
        assert "enough: trial is" in said.stdout
        assert json.loads(server.command("experiments", "--json").stdout)["experiments"][ZONE].keys() == {
            "new-mta"
        }
        kinds = [one["text"] for one in server.get("/api/v1/events?kind=experiment")["events"]]
        assert any("can be judged by deferred" in text for text in kinds)

        control = held(server)["arms"]["control"]["queries"]
        (server.zones / f"{ZONE}.yaml").write_text(
            TEXT.replace("share: 50, pool: trial", "share: 20, pool: trial")
        )
        wait_until(lambda: held(server)["epoch"] == 2, 20, "another epoch")
        assert held(server)["arms"]["control"]["queries"] < control
        assert held(server)["arms"]["control"]["rates"]["deferred"]["n"] == 0


@needs_browser
def test_the_page_shows_the_arms_and_what_is_lacking(tmp_path: Path) -> None:
    section = f"document.querySelector('[aria-label=\"zone {ZONE}\"] .experiments')"
    with serving(tmp_path, {ZONE: TEXT}, constants=SOON) as server, browsing() as browser:
        wait_until(lambda: held(server), 20, "the epoch is begun")
        ask(server, "203.0.113.0")
        wait_until(lambda: sum(arm["queries"] for arm in held(server)["arms"].values()) == 1, 20, "it counts")
        browser.open(server.http)
        browser.wait(f"{section} && !{section}.hidden", what="the section is there")
        browser.run(f"{section}.open = true")
        rows = browser.value(
            f"[...{section}.querySelector('tbody').rows]"
            ".map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        assert [row[:3] for row in rows] == [["control", "main", "50 %"], ["trial", "trial", "50 %"]]
        assert sorted(row[4] for row in rows) == ["0", "1"]
        text = browser.value(f"{section}.textContent")
        assert "Not enough: the horizon of 40h is over at" in text
        assert "deferred, trial against control: no mail yet" in text
        assert browser.violations(section) == []
        browser.look(width=320)
        assert not browser.value("document.documentElement.scrollWidth > innerWidth"), "nothing is cut off"
        assert browser.complaints() == []
