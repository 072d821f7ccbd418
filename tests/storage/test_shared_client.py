"""What is said of the errors of Redis, of each version."""

import asyncio

import pytest

from geodns.model.shared_url import parse_url
from geodns.storage.shared_client import Troubles, told

PLACE = parse_url("redis://192.0.2.60")
IN_6 = "Error running script (call to f_55eb): @user_script:26: @user_script: 26: -{} some words of it."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "OOM command not allowed when used memory > 'maxmemory'. script: f_55eb, on @user_script:26.",
            "full",
        ),
        (IN_6.format("OOM"), "is full"),
        (IN_6.format("READONLY"), "read-only replica"),
        (IN_6.format("NOREPLICAS"), "too few replicas"),
        ("ERR unknown command `HELLO`, with args beginning with: ", "older than Redis 6"),
        ("ERR what nobody foresaw", "says: "),
    ],
)
def test_an_error_is_a_sentence(text: str, sentence: str) -> None:
    redis = pytest.importorskip("redis.exceptions")
    assert sentence in told(redis.ResponseError(text), PLACE)


def test_a_replica_is_left_also_where_a_script_finds_out() -> None:
    redis = pytest.importorskip("redis.exceptions")

    async def refuse(code: str) -> None:
        raise redis.ResponseError(IN_6.format(code))

    async def go() -> None:
        troubles = Troubles(PLACE, lambda: None)
        assert not await troubles.attempt("votes", refuse("OOM"))
        with pytest.raises(redis.ResponseError):
            await troubles.attempt("votes", refuse("READONLY"))

    asyncio.run(go())
