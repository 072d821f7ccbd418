"""The policy of a running server: what makes it another, and what an operator hears of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from geodns import policing as policing_module
from geodns.errors import StartError
from geodns.policing import Policing
from geodns.policy import Policy
from geodns.querylog import QueryLog
from geodns.ratelimit import Action, Limited, RateLimit
from geodns.settings import Settings

SECRET, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2


class Carried(list[Policy]):
    """The policies that were brought to the workers."""

    async def __call__(self, policy: Policy) -> tuple[str, ...]:
        await asyncio.sleep(0)
        self.append(policy)
        return ()


def watch(one: Policing, test: Callable[[], Awaitable[None]]) -> None:
    """Run a test while it watches."""

    async def run() -> None:
        task = asyncio.create_task(one.watch())
        try:
            await test()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is waited for knows nothing of us
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policing_module, "LOOK_EVERY", 0.01)


def test_it_has_what_the_settings_say(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, rate_limit=(RateLimit(per_second=7), True), query_log=QueryLog())
    policy = Policing(settings, Carried()).policy
    assert policy.rate_limit == RateLimit(per_second=7)
    assert policy.require_cookie
    assert policy.query_log == QueryLog()
    assert len(policy.cookie_secrets) == 1


def test_a_secret_file_of_the_operator_s_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StartError):
        Policing(Settings(state=tmp_path, cookie_secret_file=tmp_path / "none"), Carried())


def test_other_secrets_are_carried_and_a_broken_file_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secrets"
    file.write_text(SECRET)
    carried = Carried()
    one = Policing(Settings(state=tmp_path, cookie_secret_file=file), carried)

    async def test() -> None:
        file.write_text(f"{OTHER}\n{SECRET}\n")
        await until(lambda: carried)
        assert carried[0].cookie_secrets == (bytes.fromhex(OTHER), bytes.fromhex(SECRET))
        file.write_text("secret")
        await until(one.warnings)
        await until(lambda: "no secret" in caplog.text)
        file.write_text(SECRET)
        await until(lambda: not one.warnings())

    watch(one, test)
    assert caplog.text.count("no secret") == 1
    assert SECRET not in caplog.text


def test_a_query_log_whose_time_is_over_is_carried(tmp_path: Path) -> None:
    carried = Carried()
    wanted = QueryLog(until=time.monotonic() + 0.05)
    one = Policing(Settings(state=tmp_path, query_log=wanted), carried)
    assert one.policy.query_log == wanted

    async def test() -> None:
        await until(lambda: carried)

    watch(one, test)
    assert [policy.query_log for policy in carried] == [None]


def test_limited_answers_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = Policing(Settings(state=tmp_path), Carried())
    one.limited(Limited({Action.DROPPED: 3}, {"192.0.2.0/24": 3}))
    text = "answers are rate limited: 3 dropped; most to 192.0.2.0/24 (3)"
    assert one.warnings() == [text]

    async def test() -> None:
        await until(lambda: text in caplog.text)
        one.limited(Limited({Action.DROPPED: 3}, {"192.0.2.0/24": 3}))
        await asyncio.sleep(0.1)

    watch(one, test)
    assert caplog.text.count(text) == 1
