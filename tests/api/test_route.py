"""Routes over HTTP: where a message leaves and why, what each rule answered, and what is asked wrongly."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import TypeAdapter

from geodns.api.route import zone_json
from geodns.api.schemas_routes import RoutesJson
from geodns.responder.route_explained import RouteJson
from geodns.responder.route_table import ZoneRoutes
from geodns.serve.frames import RouteKey
from geodns.storage.route_rows import NO_SUMS
from tests.api.test_app import ask
from tests.routing import ANY, BULK, FAST, answered, route
from tests.sample_zones import NAME
from tests.servicing import FakeServices

GOOGLE = {"example.org": "google", "slow.example": None}


class Providers:
    """Knows what a test says."""

    async def provider_of(self, domain: str) -> str | None:
        await asyncio.sleep(0)
        return GOOGLE.get(domain, "")


def routed(monkeypatch: pytest.MonkeyPatch, **others: Any) -> FakeServices:
    fake = FakeServices()
    route(fake.rig, **others)
    plain = fake.services
    fakes = {"providers": Providers()}

    def services(**more: Any) -> Any:
        return SimpleNamespace(**plain(**more)._asdict() | fakes)

    monkeypatch.setattr(fake, "services", services)
    return fake


def asked(query: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Any]:
    status, shown, _ = ask("GET", f"/api/v1/route?{query}", routed(monkeypatch))
    return status, shown


def test_where_a_message_leaves_and_why_takes_no_hosts_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    status, shown = asked("recipient=Bob@EXAMPLE.org.&sender=&size=12000", monkeypatch)
    assert status == 200
    TypeAdapter(RouteJson).validate_python(shown)
    assert shown == {
        "zone": NAME,
        "rule": 2,
        "provider": "google",
        "name": NAME,
        "pool": "main",
        "host": None,
        "transport": f"relay:[{NAME}]:25",
        "live": ["mta1"],
        "why": [{"rule": 1, "missed": "recipient bob@example.org is not vip@example.net or *.bank.example"}],
    }


@pytest.mark.parametrize(
    ("query", "rule", "last"),
    [
        ("recipient=vip@example.net", 1, None),
        ("recipient=a@elsewhere.example", 4, "nothing tells the class"),
        ("recipient=a@slow.example", 4, "nothing tells the class"),
        ("class=bulk&size=6000000", 3, "nothing tells the recipient, whose provider this rule asks for"),
        ("class=bulk&size=12000", 4, "size 12KB is not over 5MB"),
        (f"zone={NAME.upper()}.", 4, "nothing tells the class"),
        ("class=&sasl=&size=0", 4, "nothing tells the class"),
        ("class=bulk&size=0", 4, "nothing tells the size"),
        ("recipient=a@example.com", None, "example.com is local: no rule is asked for mail to it"),
    ],
)
def test_rules_are_asked_in_order(
    query: str, rule: int | None, last: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, shown = asked(query, monkeypatch)
    assert (status, shown["rule"]) == (200, rule)
    assert (shown["why"][-1]["missed"] if shown["why"] else None) == last


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        (
            "recipent=a@b",
            400,
            "there is no 'recipent': write zone, recipient, sender, class, client, sasl, size",
        ),
        ("recipient=", 400, "`recipient` is empty: write an address, as bob@example.org, or leave it out"),
        ("recipient=a@b&recipient=c@d", 400, "`recipient` is there twice: write it once"),
        ("client=home", 400, "`client` 'home' is no address: write one, as 192.0.2.7"),
        ("size=5MB", 400, "`size` '5MB' is no size: write bytes, as 12000"),
        ("size=-1", 400, "`size` '-1' is no size: write bytes, as 12000"),
        ("zone=", 400, f"say which zone: those with routes are {NAME}"),
        ("zone=else.example", 404, f"no zone 'else.example' is served; zones with routes: {NAME}"),
    ],
)
def test_wrong_questions_say_what_to_write(
    query: str, status: int, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(query, monkeypatch) == (status, {"error": error})


def test_a_server_without_routes_says_so() -> None:
    status, shown, _ = ask("GET", "/api/v1/route?recipient=a@b", FakeServices())
    assert (status, shown) == (404, {"error": "no zone has `routes`: write some in a zone's file"})
    status, shown, _ = ask("GET", f"/api/v1/route?recipient=a@b&zone={NAME}", FakeServices())
    assert (status, shown["error"]) == (404, f"zone {NAME} has no `routes`; zones with routes: none")
    status, shown, _ = ask("GET", "/api/v1/routes", FakeServices())
    assert (status, shown) == (200, {"listen": [], "zones": {}, "no_zone": {}})


def test_rules_are_shown_with_what_they_answered() -> None:
    fake, now = FakeServices(), time.time()
    route(fake.rig)
    counts = fake.rig.services.routes
    counts.look(now)
    answers = {
        RouteKey(NAME, "bulk", "name", "policy"): 3,
        RouteKey(NAME, "bulk", "name", "line"): 1,
        RouteKey(NAME, "gone", "name", "line"): 9,
        RouteKey(NAME, "", "local", "policy"): 2,
        RouteKey("", "", "malformed", "http"): 5,
    }
    answered(counts, now, answers, mta1={"google": 7, "": 1})
    status, shown, _ = ask("GET", f"/api/v1/routes?since=30m&zone={NAME}", fake)
    assert status == 200
    TypeAdapter(RoutesJson).validate_python(shown)
    one = shown["zones"][NAME]
    assert [rule["matched"] for rule in one["rules"]] == [0, 0, 4, 0]
    bulk = one["rules"][2]
    assert {key: bulk[key] for key in ("rule", "digest", "when", "use", "deal", "port", "answers")} == {
        "rule": 3,
        "digest": "bulk",
        "when": {"class": "bulk", "size": "over 5MB"},
        "use": NAME,
        "deal": "name",
        "port": 587,
        "answers": {"name": {"line": 1, "policy": 3}},
    }
    assert bulk["last"] is not None
    assert bulk["known"] == one["rules"][0]["known"] is not None
    assert one["rules"][0]["last"] is None
    assert (one["unmatched"], one["left"]) == ({"local": {"policy": 2}}, 0)
    assert one["looked_up"] == {"mta1": {"": 1, "google": 7}}
    assert shown["no_zone"] == {"malformed": {"http": 5}}


def test_of_many_rules_those_that_answered_most_are_shown() -> None:
    fake, now = FakeServices(), time.time()
    route(fake.rig, ANY._replace(digest="1"), BULK, FAST, ANY)
    answered(fake.rig.services.routes, now, {RouteKey(NAME, "fast", "name", "policy"): 1})
    _, shown, _ = ask("GET", "/api/v1/routes?most=2", fake)
    one = shown["zones"][NAME]
    assert ([rule["rule"] for rule in one["rules"]], one["left"]) == ([1, 3], 2)
    assert one["unused"] == 3


def test_rules_that_are_the_same_share_no_answer() -> None:
    routes = ZoneRoutes(NAME, (), (ANY, ANY._replace(number=2)))
    counts = cast(Any, SimpleNamespace(times=lambda *_: None))
    counted = cast(
        Any,
        SimpleNamespace(since=0.0, sums=NO_SUMS._replace(answers={("any", "name", "line"): 2})),
    )
    assert [one["matched"] for one in zone_json(routes, counted, counts)["rules"]] == [2, 0]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("sinze=1h", "there is no 'sinze': write zone, since, most"),
        ("since=soon", "`since` 'soon' is no time: write a duration, as 30m, 1h, 7d, or a time, as"),
        ("most=all", "`most` 'all' is no number of rules: write one, as 100"),
    ],
)
def test_wrong_questions_for_rules_say_what_to_write(query: str, error: str) -> None:
    status, shown, _ = ask("GET", f"/api/v1/routes?{query}", FakeServices())
    assert status == 400
    assert shown["error"].startswith(error)
