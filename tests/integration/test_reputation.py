"""A running server and a block list: a listed host is taken out and comes back, over kills and orders."""

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geodns.config.times import timestamp
from geodns.storage.event_log import WRITE_EVERY
from tests.integration import product
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until
from tests.signals.blocklist import BlockList, block_list

ZONE = "out.example.com"
SOON: dict[str, object] = {product.REVIEW_EVERY: 1.0}
KEYED = "/nowhere/keyed"
TEXT = """ns: {{ns1: 192.0.2.53}}
hosts:
  mta1: 192.0.2.1
  mta2: 192.0.2.2
  mta3: 192.0.2.3
  mta4: {{address: 192.0.2.4, egress: "2001:db8::4"}}
pools:
  main: {{hosts: ["mta*"], check: none, answers: 1}}
  into: {{hosts: [mta1], check: none, mail: in}}
records: {{"@": {{pool: main}}, in: {{pool: into}}}}
reputation:
  mode: act
  resolver: "127.0.0.1:{port}"
  interval: 1s
  dnsbl: [bl.test, other.test, {{zone_file: {KEYED}}}]
  rules: [{{provider: gmx, text: "nemesis", min: 50, action: {{reduce: 50%}}}}]
"""
CODE = ["127.0.0.2"]


@pytest.fixture
def lists() -> Iterator[BlockList]:
    with block_list() as found:
        found.zones = {"bl.test": {}, "other.test": {}}
        yield found


@pytest.fixture
def server(tmp_path: Path, lists: BlockList) -> Iterator[Server]:
    with serving(tmp_path, {ZONE: TEXT.format(port=lists.port, KEYED=KEYED)}, constants=SOON) as found:
        yield found


def quarantined(server: Server) -> set[str]:
    hosts = server.status()["hosts"][ZONE]
    return {name for name, one in hosts.items() if one["forced"] == "quarantined"}


def told_of(server: Server, host: str) -> list[dict[str, Any]]:
    return [one for one in server.get("/api/v1/events?kind=forced")["events"] if one["host"] == host]


def overruled(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("/api/v1/reputation")["zones"][ZONE]["ignored"]
    return found


def ignored(server: Server) -> set[str]:
    return {one["host"] for one in overruled(server)}


def shown(server: Server, host: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/api/v1/reputation")["zones"][ZONE]["hosts"][host]
    return found


def test_a_listed_host_is_taken_out_and_comes_back_in_steps(server: Server, lists: BlockList) -> None:
    lists.zones["bl.test"] = {"192.0.2.1": CODE, "2001:db8::4": CODE}
    wait_until(lambda: quarantined(server) == {"mta1", "mta4"}, 20, "both listed hosts are out")
    assert server.seen(ZONE) == {"192.0.2.2", "192.0.2.3"}
    assert server.seen(f"in.{ZONE}") == {"192.0.2.1"}, "what it receives is another matter"
    assert "quarantined" not in server.command("explain", f"in.{ZONE}").stdout
    command = server.command("reputation", "mta4")
    assert "2001:db8::4 is on bl.test" in command.stdout

    time.sleep(2 * WRITE_EVERY)  # the event is on disk, too
    os.kill(server.control(), signal.SIGKILL)  # what stands goes on
    wait_until(lambda: server.status()["ready"], 20, "control is back")
    assert quarantined(server) == {"mta1", "mta4"}

    lists.silent = True  # a failed look-up changes nothing
    wait_until(
        lambda: not server.get("/api/v1/reputation")["lists"]["bl.test"]["ok"], 30, "the list is not believed"
    )
    assert quarantined(server) == {"mta1", "mta4"}
    lists.silent = False

    lists.zones["bl.test"] = {}
    wait_until(lambda: not quarantined(server), 20, "both are back")
    assert shown(server, "mta1")["factor"] == 0.0625
    assert server.host("mta1")["factors"] == {"reputation": 0.0625}
    forced = [one for one in server.get("/api/v1/events?kind=forced")["events"] if one["host"] == "mta1"]
    # The kill may have come before the first of these was on disk.
    assert {one["author"] for one in forced} == {"reputation"}
    assert any("it is over" in one["text"] for one in forced)


def test_one_list_for_all_takes_nobody(server: Server, lists: BlockList) -> None:
    lists.zones["bl.test"] = {f"192.0.2.{n}": CODE for n in (1, 2, 3)}
    wait_until(lambda: server.get("/api/v1/reputation")["zones"][ZONE]["common"], 20, "it is one cause")
    assert quarantined(server) == set()
    assert server.seen(ZONE) == {f"192.0.2.{n}" for n in (1, 2, 3, 4)}
    assert any("hits 3 hosts at once (mta1, mta2, mta3)" in one for one in server.status()["warnings"])


def test_on_call_overrules(server: Server, lists: BlockList) -> None:
    lists.zones = {"bl.test": {"192.0.2.1": CODE, "192.0.2.2": CODE}, "other.test": {"192.0.2.2": CODE}}
    wait_until(lambda: quarantined(server) == {"mta1", "mta2"}, 20, "both listed hosts are out")
    said = server.command(
        "reputation", "ignore", "mta1", "--rule", "bl.test", "--for", "12h", "--reason", "x"
    )
    assert said.stdout == "mta1: bl.test is ignored for 12h\n"
    assert quarantined(server) == {"mta2"}
    assert shown(server, "mta1")["factor"] == 1.0

    server.order("mta2", "clear", ZONE)  # by hand: it is not given again
    wait_until(lambda: ignored(server) == {"mta1", "mta2"}, 20, "what was ended by hand stays so")
    assert quarantined(server) == set()
    rules = {one["rule"] for one in overruled(server) if one["host"] == "mta2"}
    assert rules == {"bl.test", "other.test"}, "the other list does not bring it back"

    for rule in rules:
        said = server.command("reputation", "ignore", "mta2", "--rule", rule, "--for", "0m")
        assert said.stdout == f"mta2: {rule} counts again\n"
    assert quarantined(server) == {"mta2"}
    server.command("reputation", "ignore", "mta2", "--for", "1h")
    assert quarantined(server) == set()
    server.command("reputation", "ignore", "mta1", "--for", "0m")
    server.command("reputation", "ignore", "mta1", "--rule", KEYED, "--for", "1h")
    assert [one["rule"] for one in overruled(server)] == [None, f"*** ({KEYED})"]
    server.command("reputation", "ignore", "mta1", "--for", "1h")

    said = server.command("reputation", "mode", "observe", "--for", "6h")
    assert said.stdout == f"reputation mode observe for 6h: {ZONE}\n"
    lists.zones["bl.test"] |= {"192.0.2.3": CODE}
    wait_until(lambda: shown(server, "mta3")["actions"], 20, "the listing is seen")
    assert not quarantined(server)
    (action,) = shown(server, "mta3")["actions"]
    assert (action["action"], action["in_force"], action["took"]) == ("quarantine", False, 0.0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("mta9",), "no host mta9 in a zone whose file says something of reputation"),
        (
            ("ignore", "mta1", "--rule", "bl", "--for", "1h"),
            "no rule or list 'bl': there are gmx ip nemesis, yahoo ip",
        ),
        (("ignore", "mta1"), "Missing option '--for'"),
        (("mode", "act", "--for", "1h", "--zone", "example.net"), "no zone example.net is served"),
        (("mode", "quick", "--for", "1h"), "'quick' is not one of 'observe', 'act'"),
        (("ignore", "mta*", "--for", "1h"), "`host`: mta* fits 4 hosts: write one"),
    ],
)
def test_mistakes(server: Server, arguments: tuple[str, ...], says: str) -> None:
    said = server.command("reputation", *arguments)
    assert said.returncode != 0
    assert says in said.stderr


def told(server: Server, *signals: dict[str, object]) -> None:
    queued = timestamp(time.time() // 300 * 300)
    body = {
        "batch": uuid.uuid4().hex,
        "signals": [{"zone": ZONE, "queued": queued, **one} for one in signals],
    }
    code, text = server.request("/api/v1/signals", body)
    assert (code, json.loads(text)["rejected"]) == (200, [])


def test_refusals_for_the_ip_bar_a_host_for_the_provider(server: Server) -> None:
    blocked = {"event": "deferred", "dsn": "421 4.7.0", "text": "[TSS04] messages from 192.0.2.1 deferred"}
    for host in ("mta1", "mta2", "mta3", "mta4"):
        told(
            server,
            {"host": host, "event": "delivered", "provider": "yahoo", "count": 200, "delay_s": 2.5},
            {"host": host, "event": "delivered", "provider": "google", "count": 300},
            {"host": host, "event": "delivered", "provider": "gmx", "count": 100},
        )
    told(server, {"host": "mta1", "provider": "yahoo", "count": 100, **blocked})
    wait_until(lambda: shown(server, "mta1")["barred"], 30, "yahoo bars it")
    found = shown(server, "mta1")
    assert found["barred"].keys() == {"yahoo"}
    assert found["factor"] == pytest.approx(1 - 300 / 700, abs=0.01)
    assert server.host("mta1")["factors"].keys() == {"reputation"}
    yahoo = found["providers"]["yahoo"]["1h"]
    assert (yahoo["first"], yahoo["delivered"], yahoo["deferred"], yahoo["refused"]) == (
        300,
        200,
        100,
        {"ip": 100},
    )
    assert yahoo["delay_p50_s"] == pytest.approx(2.5, rel=0.06)
    assert shown(server, "mta2")["barred"] == {}

    nemesis = {"event": "bounced", "dsn": "554 5.0.0", "text": "nemesis ESMTP service not available"}
    told(server, {"host": "mta2", "provider": "gmx", "count": 60, **nemesis})
    wait_until(lambda: shown(server, "mta2")["actions"], 30, "the file's own rule speaks")
    assert [(one["rule"], one["action"]) for one in shown(server, "mta2")["actions"]] == [
        ("gmx ip nemesis", "reduce 50%")
    ]
    assert shown(server, "mta2")["factor"] == 0.5
