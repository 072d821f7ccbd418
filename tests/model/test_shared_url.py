"""The URL of a Redis: what it says, and what is wrong with one."""

import pytest

from geodns.model.shared_url import RedisPlace, parse_url


@pytest.mark.parametrize(
    ("url", "expected", "shown", "near"),
    [
        (
            "redis://192.0.2.1",
            RedisPlace(scheme="redis", hosts=(("192.0.2.1", 6379),)),
            "redis://192.0.2.1:6379",
            False,
        ),
        (
            "rediss://geo%40dns@redis.example.com:7000/3",
            RedisPlace(scheme="rediss", hosts=(("redis.example.com", 7000),), database=3, user="geo@dns"),
            "rediss://redis.example.com:7000",
            False,
        ),
        ("redis://[::1]/", RedisPlace(scheme="redis", hosts=(("::1", 6379),)), "redis://[::1]:6379", True),
        (
            "unix:///run/redis/redis.sock?db=2",
            RedisPlace(scheme="unix", path="/run/redis/redis.sock", database=2),
            "unix:///run/redis/redis.sock",
            True,
        ),
        (
            "redis+sentinel://localhost:26380,192.0.2.2/mail/1",
            RedisPlace(
                scheme="redis+sentinel",
                hosts=(("localhost", 26380), ("192.0.2.2", 26379)),
                service="mail",
                database=1,
            ),
            "redis+sentinel://localhost:26380,192.0.2.2:26379/mail",
            False,
        ),
    ],
)
def test_a_place(url: str, expected: RedisPlace, shown: str, *, near: bool) -> None:
    place = parse_url(url)
    assert (place, str(place), place.near) == (expected, shown, near)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "no URL of a Redis"),
        ("http://192.0.2.1", "no URL of a Redis"),
        ("redis://", "no host and port"),
        ("redis://host:0", "no host and port"),
        ("redis://host:x", "no host and port"),
        ("redis://[::1", "no URL"),
        ("redis://host/mail", "no number of a database"),
        ("redis://host?ssl=no", "nothing may follow"),
        ("redis://host#1", "nothing may follow"),
        ("redis://one,two", "several hosts"),
        ("redis://:secret@host", "password_file"),
        ("redis://user:secret@host", "password_file"),
        ("unix://run/redis.sock", "no path of a socket"),
        ("unix:///", "no path of a socket"),
        ("unix:///run/redis.sock?timeout=1", "nothing but"),
        ("redis+sentinel://host:26379", "the name is missing"),
        ("redis+sentinel://host,/mail", "no host and port"),
    ],
)
def test_what_is_no_place(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
