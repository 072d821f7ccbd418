"""Orders over HTTP: what a body may say, and what the answer has."""

from typing import Any

import pytest

from geodns.api.bodies import MAX_HOSTS
from geodns.control.orders import Order, OrderRequest, Verb
from geodns.errors import NotFoundError
from geodns.model.state import HostKey
from tests.api.test_app import ask
from tests.sample_zones import NAME
from tests.servicing import FakeServices

ORDERS = "/api/v1/orders"


def one(verb: str) -> str:
    return f"/api/v1/hosts/{NAME}/mta1/{verb}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"verb": "drain", "hosts": ["mta1", "mta*"], "reason": "disk", "for": "2h"},
            OrderRequest(Order(Verb.DRAIN, "disk", "api@127.0.0.1", 7200.0), ("mta1", "mta*")),
            id="drain",
        ),
        pytest.param(
            {"verb": "weight", "hosts": ["192.0.2.11"], "weight": 0, "zone": NAME, "yes": True},
            OrderRequest(Order(Verb.WEIGHT, "", "api@127.0.0.1", None, 0), ("192.0.2.11",), NAME, yes=True),
            id="weight",
        ),
        pytest.param(
            {"verb": "clear", "hosts": ["mta1"], "zone": None, "for": None, "weight": None, "dry_run": True},
            OrderRequest(Order(Verb.CLEAR, "", "api@127.0.0.1"), ("mta1",), dry_run=True),
            id="clear, only tried",
        ),
    ],
)
def test_an_order_for_many(body: dict[str, Any], expected: OrderRequest) -> None:
    fake = FakeServices()
    status, shown, _ = ask("POST", ORDERS, fake, json=body)
    assert (status, fake.wishes) == (200, [expected])
    assert shown["hosts"][NAME]["mta1"]["state"] == "up"
    assert shown["pools"][NAME]["main"]["before"]["shares"] == {"A": {"mta1": 1.0}, "AAAA": {}}
    assert (shown["pending"], shown["notes"], shown["left"]) == ([], ["a note"], [])
    assert (shown["dealt_by"], shown["cached_s"]) == ({NAME: {"mta1": ["main"]}}, {NAME: {"mta1": 30}})
    assert (shown["dry_run"], shown["confirm"]) == (expected.dry_run, None)


@pytest.mark.parametrize("verb", list(Verb))
def test_an_order_for_one(verb: Verb) -> None:
    fake = FakeServices()
    body = {"weight": 7} if verb is Verb.WEIGHT else {}
    status, shown, _ = ask("POST", one(verb), fake, json=body)
    assert (status, shown["addresses"], shown["notes"]) == (200, ["192.0.2.11"], ["a note"])
    (wish,) = fake.wishes
    assert (wish.order.verb, wish.order.weight) == (verb, body.get("weight"))
    assert wish == OrderRequest(wish.order, (f"mta1.{NAME}",), NAME)


def test_an_order_for_one_that_is_only_tried_shows_the_shares() -> None:
    fake = FakeServices()
    status, shown, _ = ask("POST", one("drain"), fake, json={"dry_run": True})
    assert (status, shown["state"], shown["dry_run"]) == (200, "up", True)
    assert shown["pools"][NAME]["main"].keys() == {"before", "after"}


def test_workers_that_have_not_taken_an_order_for_many_are_named() -> None:
    body = {"verb": "drain", "hosts": ["mta1"]}
    status, shown, _ = ask("POST", ORDERS, FakeServices(pending=("tcp",)), json=body)
    assert (status, shown["pending"]) == (202, ["tcp"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(ORDERS, {"verb": "drain", "hosts": ["mta1"]}, id="for many"),
        pytest.param(one("drain"), {}, id="for one"),
    ],
)
def test_what_leaves_a_pool_dead_asks_for_a_yes(path: str, body: dict[str, Any]) -> None:
    fake = FakeServices()
    fake.refused = "pool main would have no live host"
    status, shown, _ = ask("POST", path, fake, json=body)
    assert (status, shown["confirm"], fake.wishes) == (409, True, [])
    assert shown["error"].startswith("pool main would have no live host: nothing was changed")
    assert shown["why"] == fake.refused
    assert shown["pools"][NAME]["main"]["before"]["shares"] == {"A": {"mta1": 1.0}, "AAAA": {}}
    fake = FakeServices()
    fake.refused = "pool main would have no live host"
    assert ask("POST", path, fake, json=body | {"yes": True})[0] == 200
    assert len(fake.wishes) == 1


def test_what_would_have_to_be_confirmed_is_said_when_it_is_tried() -> None:
    fake = FakeServices()
    fake.refused = "pool main would have no live host"
    body = {"verb": "drain", "hosts": ["mta1"], "dry_run": True}
    status, shown, _ = ask("POST", ORDERS, fake, json=body)
    assert (status, shown["confirm"]) == (200, fake.refused)


MANY = {"verb": "drain", "hosts": ["mta1"]}


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        pytest.param(ORDERS, {}, "`verb`: missing; `hosts`: missing: write", id="no verb"),
        pytest.param(
            ORDERS, MANY | {"verb": "explode"}, "`verb`: 'explode': write 'drain', ", id="another verb"
        ),
        pytest.param(ORDERS, MANY | {"verb": []}, "`verb`: a list of 0: write 'drain', ", id="no text"),
        pytest.param(ORDERS, {"verb": "drain"}, "`hosts`: missing", id="no hosts"),
        pytest.param(ORDERS, MANY | {"hosts": "mta1"}, "`hosts`: 'mta1' is no list", id="a text"),
        pytest.param(ORDERS, MANY | {"hosts": []}, "`hosts`: a list of 0: write at least 1", id="nobody"),
        pytest.param(ORDERS, MANY | {"hosts": [""]}, "`hosts[0]`: '': write 1 or more", id="an empty name"),
        pytest.param(ORDERS, MANY | {"hosts": [5]}, "`hosts[0]`: 5 is no text", id="a number"),
        pytest.param(ORDERS, MANY | {"hosts": ["a"] * (MAX_HOSTS + 1)}, "write at most 1000", id="too many"),
        pytest.param(ORDERS, MANY | {"zone": 5}, "`zone`: 5 is no text", id="zone"),
        pytest.param(ORDERS, MANY | {"host": "mta1"}, "`host`: not known here", id="unknown key"),
        pytest.param(ORDERS, MANY | {"yes": 1}, "`yes`: 1 is neither true nor false", id="yes"),
        pytest.param(
            ORDERS, MANY | {"dry_run": "no"}, "`dry_run`: 'no' is neither true nor false", id="dry_run"
        ),
        pytest.param(ORDERS, MANY | {"for": "2"}, "`for`: '2' has no unit: write 2h or 2m", id="no unit"),
        pytest.param(ORDERS, MANY | {"weight": 5}, "`weight` has no meaning here: drain", id="drain to 5"),
        pytest.param(ORDERS, MANY | {"verb": "weight"}, "`weight`: missing: write a whole", id="no weight"),
        pytest.param(one("weight"), {}, "`weight`: missing: write a whole", id="no weight for one"),
        pytest.param(one("weight"), {"weight": -1}, "`weight`: -1: write at least 0", id="negative"),
        pytest.param(
            one("weight"), {"weight": 2**31}, "`weight`: 2147483648: write at most 2147483647", id="too large"
        ),
        pytest.param(one("weight"), {"weight": True}, "`weight`: true is no whole number", id="truth"),
        pytest.param(one("weight"), {"weight": 1.5}, "`weight`: 1.5 is no whole number", id="broken"),
        pytest.param(one("undrain"), {"for": "2h"}, "`for` has no meaning here: undrain", id="undrain for"),
        pytest.param(one("clear"), {"for": "2h"}, "`for` has no meaning here: clear", id="clear for"),
        pytest.param(one("drain"), {"verb": "drain"}, "`verb`: not known here", id="a verb for one"),
    ],
)
def test_a_wrong_order_is_refused(path: str, body: Any, error: str) -> None:
    fake = FakeServices()
    status, shown, _ = ask("POST", path, fake, json=body)
    assert (status, fake.wishes) == (400, [])
    assert error in shown["error"]


def test_a_host_that_an_edit_takes_meanwhile_is_named_beside_those_that_are_as_ordered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeServices()

    def gone(key: HostKey) -> Any:
        raise NotFoundError(f"zone {key[0]} has no host {key[1]} any more")

    monkeypatch.setattr("geodns.api.order_answers.statuses", lambda _: gone)
    status, shown, _ = ask("POST", ORDERS, fake, json=MANY)
    assert (status, shown["hosts"], shown["left"]) == (200, {}, [f"zone {NAME} has no host mta1 any more"])
    assert len(fake.wishes) == 1
