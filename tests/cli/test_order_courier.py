"""Whom an order is brought to: each server, or where they share orders the first that answers; by one id."""

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from tests.answering import NAME, Answering, answering
from tests.cli.test_orders import DANGEROUS, ORDERS, TRIED, asked, ordered

GONE = "http://127.0.0.1:1"
OURS: dict[str, Any] = {"revision": {NAME: "0123456789abcdef"}, "shared": False, "peers": []}
SHARED: dict[str, Any] = OURS | {"shared": True}


@pytest.fixture
def fakes() -> Iterator[list[Answering]]:
    with answering() as one, answering() as two:
        yield [one, two]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads a geodns.yaml that happens to lie about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")


def run(*arguments: str, servers: list[str]) -> Result:
    return CliRunner().invoke(main.geodns, ["drain", "mta1", *arguments, "--server", ",".join(servers)])


def urls(fakes: list[Answering]) -> list[str]:
    return [one.url for one in fakes]


def given(fake: Answering) -> list[Any]:
    """The orders that were no tries."""
    return [one for one in asked(fake) if not one.get("dry_run")]


@pytest.mark.parametrize("arguments", [[], ["--yes"]], ids=str)
def test_without_sharing_all_get_it_with_one_id(fakes: list[Answering], arguments: list[str]) -> None:
    for number, fake in enumerate(fakes):
        mine = OURS | {"revision": {NAME: f"{number:016x}"}}
        tried = [] if arguments else [TRIED | mine]
        fake.give(ORDERS, *tried, ordered(**mine))
    result = run(*arguments, servers=urls(fakes))
    assert result.exit_code == 0, result.output
    (one,), (two,) = map(given, fakes)
    assert one["id"] == two["id"]
    assert len(one["id"]) == 32
    if not arguments:
        assert [one["revision"], two["revision"]] == [{NAME: f"{0:016x}"}, {NAME: f"{1:016x}"}]


@pytest.mark.parametrize("arguments", [[], ["--yes"]], ids=str)
def test_who_shares_orders_gets_it_once_and_tells_the_others(
    fakes: list[Answering], arguments: list[str]
) -> None:
    for fake in fakes:
        fake.give(ORDERS, *([] if arguments else [TRIED | SHARED]), ordered(**SHARED))
    result = run(*arguments, servers=urls(fakes))
    assert result.exit_code == 0, result.output
    assert [len(given(fake)) for fake in fakes] == [1, 0]


def test_the_next_gets_it_with_the_same_id_if_the_first_fails(fakes: list[Answering]) -> None:
    fakes[0].give(ORDERS, {"error": "too many connections"}, status=503)
    fakes[1].give(ORDERS, ordered(**SHARED))
    result = run("--yes", servers=urls(fakes))
    assert result.exit_code == 0, result.output
    assert f"too many connections; {fakes[1].url} has told the others" in result.stderr
    (one,), (two,) = map(given, fakes)
    assert one["id"] == two["id"]


def test_who_is_away_is_told_by_the_others_where_orders_are_shared(fakes: list[Answering]) -> None:
    fakes[0].give(ORDERS, TRIED | SHARED, ordered(**SHARED) | {"peers": ["ns3"]})
    result = run(servers=[GONE, fakes[0].url])
    assert result.exit_code == 1
    assert "missed" not in result.output
    assert "not yet confirmed by ns3" in result.stderr


def test_a_refusal_is_an_answer_and_nobody_else_is_asked(fakes: list[Answering]) -> None:
    fakes[0].give(ORDERS, TRIED | SHARED)
    fakes[1].give(ORDERS, TRIED | SHARED, ordered(**SHARED))
    fakes[0].gives[ORDERS].append((409, {"error": "orders are others now"}))
    result = run(servers=urls(fakes))
    assert result.exit_code == 1
    assert [len(given(fake)) for fake in fakes] == [1, 0]


def test_a_server_from_before_ids_gets_none(fakes: list[Answering]) -> None:
    fakes[0].give(ORDERS, TRIED, ordered())
    assert run(servers=urls(fakes[:1])).exit_code == 0
    assert "id" not in given(fakes[0])[0]


def test_a_server_from_before_ids_that_was_not_tried_is_asked_again(fakes: list[Answering]) -> None:
    fakes[0].give(ORDERS, ordered())
    fakes[0].gives[ORDERS].insert(0, (400, {"error": "`id`: not known here (known: reason, for)"}))
    assert run("--yes", servers=urls(fakes[:1])).exit_code == 0
    assert ["id" in one for one in given(fakes[0])] == [True, False]


def test_nobody_asks_twice_what_is_not_confirmed(fakes: list[Answering]) -> None:
    fakes[0].give(ORDERS, DANGEROUS | SHARED)
    assert run(servers=urls(fakes[:1])).exit_code == 1
    assert given(fakes[0]) == []
