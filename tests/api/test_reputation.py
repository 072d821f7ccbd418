"""Reputation over HTTP: what is shown of hosts, and what is refused of those who overrule it."""

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from geodns.api.reputation import reputation_json
from geodns.api.schemas_reputation import ReputationHostJson
from geodns.control.figures_service import FiguresService
from geodns.control.signal_figures import Figures
from geodns.errors import StoreError
from geodns.model.mail import About, MailEvent, MailTally
from geodns.model.reputation import ReputationAction
from geodns.model.state import Forced, ForcedState
from geodns.signals.listings import Listings, ListState
from geodns.signals.reputation import Cause, Standing, StandingKey, Standings
from tests.controlling import Control, Running, ready, until
from tests.sample_zones import NAME
from tests.servicing import NOW, Rig

__all__ = ["ready"]

TEXT = """\
ns: {ns1: 192.0.2.53}
hosts: {m1: 192.0.2.1, m2: {address: 192.0.2.2, egress: ["2001:db8::2"]}, m3: 192.0.2.3}
pools: {main: {hosts: "*", check: none, max_out: 1}}
records: {"@": {pool: main, MX: {pool: main, preference: 10}}}
reputation: {mode: act, dnsbl: [{zone_file: /etc/geodns/dqs}, bl.test]}
"""
BAR = Standing(ReputationAction(kind="bar", seconds=7200), "refused", 40, 0.25, NOW - 600, NOW + 6600)
OUT = Standing(ReputationAction(kind="quarantine"), "listed", 80, 0.0, NOW - 600, 0.0)
YAHOO = Cause("yahoo ip", "yahoo")
LISTED = Cause("bl.test", None)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    one = Rig(tmp_path, TEXT)
    one.serve()
    yield one
    one.close()


def shown(
    rig: Rig, standings: dict[StandingKey, Standing], figures: Any = None
) -> dict[str, ReputationHostJson]:
    rig.services.reputation.standings[NAME] = Standings(standings)
    return reputation_json(rig.services, figures or {}, NOW)["zones"][NAME]["hosts"]


def actions(host: ReputationHostJson) -> list[tuple[str, bool, float]]:
    return [(one["action"], one["in_force"], one["took"]) for one in host["actions"]]


def test_what_stands_in_mode_act(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    cluster = rig.services.cluster
    for host, badness in (("m2", 80.0), ("m3", 90.0)):
        order = ForcedState(Forced.QUARANTINED, "listed", "reputation", NOW, None, badness)
        cluster.force((NAME, host), order)
    given_back = Standing(OUT.action, "it was", 80, 0.0, NOW - 9000, 0.0, NOW - 2000)
    hosts = shown(
        rig,
        {
            StandingKey("m1", YAHOO): BAR,
            StandingKey("m1", LISTED): given_back,
            StandingKey("m2", LISTED): OUT,
            StandingKey("m3", LISTED): OUT,
        },
    )
    assert actions(hosts["m1"]) == [("bar", True, 0.25), ("quarantine", True, 0.875)]
    assert hosts["m1"]["factor"] == 0.75 * 0.125
    assert hosts["m1"]["barred"] == {"yahoo": "2026-11-23T08:50:00Z"}
    assert [one["ended"] for one in hosts["m1"]["actions"]] == [None, "2026-11-23T06:26:40Z"]
    assert [one["until"] for one in hosts["m1"]["actions"]] == ["2026-11-23T08:50:00Z", None]
    assert actions(hosts["m2"]) == [("quarantine", False, 0.0)], "max_out holds it back"
    assert actions(hosts["m3"]) == [("quarantine", True, 1.0)]


def test_what_would_stand_in_mode_observe(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    rig.file.write_text(TEXT.replace("mode: act", "mode: observe"))
    rig.serve()
    alert = Standing(ReputationAction(kind="alert"), "all are refused", 40, 0.0, NOW - 60, NOW + 60)
    never = Standing(OUT.action, "common", 80, 0.0, NOW - 60, 0.0, 0.0)
    hosts = shown(
        rig,
        {StandingKey("m1", YAHOO): BAR, StandingKey("m2", YAHOO): alert, StandingKey("m3", LISTED): never},
    )
    assert (hosts["m1"]["factor"], hosts["m1"]["barred"]) == (0.75, {})
    assert actions(hosts["m1"]) == [("bar", False, 0.0)]
    assert actions(hosts["m2"]) == [("alert", False, 0.0)]
    assert hosts["m3"]["actions"][0]["ended"] == hosts["m3"]["actions"][0]["since"], "it never took anything"


def test_lists_never_show_a_key_and_say_whether_they_are_believed(rig: Rig) -> None:
    service = rig.services.reputation
    said = reputation_json(rig.services, {}, NOW)
    assert said["lists"].keys() == {"*** (/etc/geodns/dqs)", "bl.test"}
    assert said["zones"][NAME]["lists"] == ["*** (/etc/geodns/dqs)", "bl.test"]
    assert said["lists"]["bl.test"] == {"ok": False, "why": "it was not asked yet", "at": None}
    service.listings[NAME] = Listings({}, {"bl.test": ListState(ok=True, at=NOW)})
    said = reputation_json(rig.services, {}, NOW)
    assert said["lists"]["bl.test"] == {"ok": True, "why": "", "at": "2026-11-23T07:00:00Z"}


def test_mail_is_shown_by_span_and_provider(rig: Rig) -> None:
    tally = MailTally(10, {MailEvent.DELIVERED: 6, MailEvent.DEFERRED: 4}, {About.IP: 4, About.CONTENT: 0})
    figures = {
        NAME: {"1d": {"m1": {"yahoo": Figures(tally, 3, 1.5, None), "google": Figures(tally, 0, None, None)}}}
    }
    host = shown(rig, {}, figures)["m1"]
    assert (host["totals"]["1d"]["first"], host["totals"]["1d"]["undated"]) == (20, 3)
    assert (host["totals"]["1h"]["first"], host["totals"]["7d"]["first"]) == (0, 0)
    yahoo = host["providers"]["yahoo"]["1d"]
    assert (yahoo["deferred"], yahoo["refused"], yahoo["delay_p50_s"], yahoo["delay_p95_s"]) == (
        4,
        {"ip": 4},
        1.5,
        None,
    )
    assert host["hours"] == {"since": "2026-11-22T08:00:00Z", "first": [0] * 24, "refused": [0] * 24}
    assert host["egress"] == {"192.0.2.1": {"listed": []}}
    assert shown(rig, {})["m2"]["egress"] == {"2001:db8::2": {"listed": []}}


PATH = "/api/v1/reputation"


def test_over_http(ready: Control) -> None:
    ready.file.write_text(TEXT)

    async def test(running: Running) -> None:
        batch = {"batch": "1", "signals": [{"host": "m1", "event": "delivered", "count": 7, "delay_s": 2}]}
        assert (await running.post("/api/v1/signals", batch))[0] == 200
        await until(lambda: running.daemon.services.reputation.standings)
        host = (await running.get(PATH))["zones"][NAME]["hosts"]["m1"]
        assert (host["totals"]["1h"]["first"], host["hours"]["first"][-1]) == (7, 7)
        assert host["providers"]["other"]["7d"]["delay_p50_s"] == pytest.approx(2, rel=0.05)

        code, said = await running.post(f"{PATH}/ignore", {"host": "m1", "rule": "bl.test", "for": "2h"})
        (one,) = said["zones"][NAME]["ignored"]
        assert (code, one["host"], one["rule"]) == (200, "m1", "bl.test")
        left = datetime.fromisoformat(one["until"]).timestamp() - time.time()
        assert 7190 < left <= 7200
        code, said = await running.post(f"{PATH}/ignore", {"host": "m1", "rule": "bl.test", "for": 0})
        assert (code, said["zones"][NAME]["ignored"]) == (200, [])
        code, said = await running.post(f"{PATH}/mode", {"mode": "observe", "for": 60})
        assert (code, said["zones"][NAME]["mode"]) == (200, "observe")
        code, said = await running.post(f"{PATH}/mode", {"mode": "observe", "for": "0s", "zone": NAME})
        assert (code, said["zones"][NAME]["mode"], said["zones"][NAME]["mode_until"]) == (200, "act", None)
        for path, body, status, says in WRONG:
            code, said = await running.post(f"{PATH}/{path}", body)
            assert (code, says in said["error"]) == (status, True), said

    ready.run(test)


WRONG: list[tuple[str, Any, int, str]] = [
    ("ignore", {"host": "m9", "for": "1h"}, 404, "m9"),
    ("ignore", {"host": "m*", "for": "1h"}, 400, "`host`: m* fits 3 hosts: write one"),
    ("ignore", {"host": "m1", "rule": "x", "for": "1h"}, 404, "no rule or list 'x': there are"),
    ("ignore", {"host": "m1"}, 400, "`for`: missing"),
    ("ignore", {"host": "m1", "for": True}, 400, "`for`"),
    ("ignore", {"host": "m1", "for": "2"}, 400, "has no unit: write 2h or 2m"),
    ("mode", {"mode": "act", "for": -1}, 400, "`for`"),
    ("mode", {"mode": "off", "for": "1h"}, 400, "`mode`"),
    ("mode", {"mode": "act", "for": "1h", "zone": "else.example"}, 404, "no zone else.example is served"),
]


def test_where_no_zone_is_judged(ready: Control) -> None:
    async def test(running: Running) -> None:
        assert (await running.get(PATH)) == {"zones": {}, "lists": {}, "unknown_replies": []}
        code, said = await running.post(f"{PATH}/mode", {"mode": "act", "for": "1h"})
        assert (code, said["error"]) == (404, "no zone file says anything of reputation")
        code, said = await running.post(f"{PATH}/ignore", {"host": "mta1", "for": "1h"})
        assert (code, "says nothing of reputation" in said["error"]) == (400, True)

    ready.run(test)


def test_orders_need_a_token(ready: Control) -> None:
    ready.token = "secret"
    ready.file.write_text(TEXT)

    async def test(running: Running) -> None:
        for path, body in (("ignore", {"host": "m1", "for": "1h"}), ("mode", {"mode": "act", "for": "1h"})):
            assert (await running.post(f"{PATH}/{path}", body))[0] == 401

    ready.run(test)


def test_figures_that_cannot_be_read_hide_nothing_else(ready: Control) -> None:
    ready.file.write_text(TEXT)

    async def test(running: Running) -> None:
        async def fail(*_: object) -> None:
            await asyncio.sleep(0)
            raise StoreError("signals.db: the disk is gone")

        cast(Any, running.daemon.services.signals).recent = FiguresService(fail)
        hosts = (await running.get(PATH))["zones"][NAME]["hosts"]
        assert hosts["m1"]["totals"]["1d"]["first"] == 0

    ready.run(test)
