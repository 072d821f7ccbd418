"""The policy of a running server: what makes it another, and what an operator hears of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from geodns.api.query_log import read_wish
from geodns.config.settings import Settings
from geodns.control import answer_policy_service
from geodns.control.answer_policy_service import AnswerPolicyService
from geodns.control.persistence import Persistence
from geodns.errors import StartError
from geodns.responder.answer_policy import Policy, QueryLog, RateLimit
from geodns.responder.rate_limit import Action, Limited
from geodns.storage.event_log import EventLog
from geodns.storage.state_file import StateFile

SECRET, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2


class Carried(list[Policy]):
    """The policies that were brought to the workers."""

    async def __call__(self, policy: Policy) -> tuple[str, ...]:
        await asyncio.sleep(0)
        self.append(policy)
        return ()


def started(
    settings: Settings, carried: Carried | None = None, *, again: bool = False
) -> AnswerPolicyService:
    """Return what begins with what the state directory has."""
    store, _ = StateFile.open(settings.state, 0.0)
    carry = Carried() if carried is None else carried
    return AnswerPolicyService(settings, carry, Persistence(store), EventLog(settings.state), again=again)


def watch(one: AnswerPolicyService, test: Callable[[], Awaitable[None]]) -> None:
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
    monkeypatch.setattr(answer_policy_service, "LOOK_EVERY", 0.01)


def test_it_has_what_the_settings_say(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, rate_limit=(RateLimit(per_second=7), True), query_log=QueryLog())
    policy = started(settings).policy
    assert policy.rate_limit == RateLimit(per_second=7)
    assert policy.require_cookie
    assert policy.query_log == QueryLog()
    assert len(policy.cookie_secrets) == 1


def test_a_secret_file_of_the_operator_s_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StartError):
        started(Settings(state=tmp_path, cookie_secret_file=tmp_path / "none"))


def test_other_secrets_are_carried_and_a_broken_file_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secrets"
    file.write_text(SECRET)
    carried = Carried()
    one = started(Settings(state=tmp_path, cookie_secret_file=file), carried)

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
    one = started(Settings(state=tmp_path, query_log=wanted), carried)
    assert one.policy.query_log == wanted

    async def test() -> None:
        await until(lambda: carried)

    watch(one, test)
    assert [policy.query_log for policy in carried] == [None]


def test_a_control_process_that_is_started_again_goes_on_with_the_last_secrets(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"{SECRET}\n")
    settings = Settings(state=tmp_path / "state", cookie_secret_file=file)
    carried = Carried()
    one = started(settings, carried)

    async def test() -> None:
        file.write_text(f"{OTHER}\n{SECRET}\n")
        await until(lambda: carried)
        await asyncio.sleep(0.1)  # and is written down

    watch(one, test)
    file.unlink()
    one = started(settings, again=True)
    assert one.policy.cookie_secrets == (bytes.fromhex(OTHER), bytes.fromhex(SECRET))
    (warning,) = one.warnings()
    assert warning.startswith(f"{file}: there is no such file: write one: ")
    assert SECRET not in warning
    file.write_text(SECRET)

    async def mended() -> None:
        await until(lambda: not one.warnings())

    watch(one, mended)


def test_without_secrets_that_are_known_there_are_no_cookies(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state", cookie_secret_file=tmp_path / "none")
    one = started(settings, again=True)
    assert one.policy.cookie_secrets == ()
    assert "until then there are no cookies" in one.warnings()[0]


WISHES = {
    "on": (None, {"on": True, "zones": ["out.example.com", "."], "clients": ["192.0.2.1"], "for": "1h"}),
    "without end": (None, {"on": True, "sample": "1%", "for": "unlimited"}),
    "off": (QueryLog(), {"on": False}),
}


@pytest.mark.parametrize(("setting", "wish"), WISHES.values(), ids=WISHES.keys())
def test_what_an_operator_has_switched_holds_for_the_next_control_process(
    setting: QueryLog | None, wish: dict[str, object], tmp_path: Path
) -> None:
    settings = Settings(state=tmp_path, query_log=setting)
    one = started(settings)
    assert one.policy.query_log == setting
    wanted = read_wish(wish, time.monotonic())
    asyncio.run(one._log.switch(wanted, "a test"))
    assert started(settings, again=True).policy.query_log == wanted
    assert started(settings).policy.query_log == setting, "a server's own start begins by the settings"


def test_an_end_that_came_while_no_control_process_was_there(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, query_log=QueryLog())
    over = QueryLog(until=time.monotonic() - 1)
    asyncio.run(started(settings)._log.switch(over, "a test"))
    one = started(settings, again=True)

    async def test() -> None:
        await until(lambda: one.policy.query_log is None)

    watch(one, test)
    assert started(settings, again=True).policy.query_log is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[1, 2, 3, 4]", '[["a..b"], [], 1, null]', '[[], ["x"], 1, null]']
)
def test_a_note_of_another_version_is_none(text: str, tmp_path: Path) -> None:
    store, _ = StateFile.open(tmp_path, 0.0)
    store.save_note("query_log", text)
    store.save_note("cookie_secrets", "nonsense")
    store.close()
    settings = Settings(state=tmp_path, query_log=QueryLog(sample=0.5))
    assert started(settings, again=True).policy.query_log == settings.query_log


def test_limited_answers_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = started(Settings(state=tmp_path))
    one.limited(Limited({Action.DROPPED: 3}, {"192.0.2.0/24": 3}))
    text = "answers are rate limited: 3 dropped; most to 192.0.2.0/24 (3)"
    assert one.warnings() == [text]

    async def test() -> None:
        await until(lambda: text in caplog.text)
        one.limited(Limited({Action.DROPPED: 3}, {"192.0.2.0/24": 3}))
        await asyncio.sleep(0.1)

    watch(one, test)
    assert caplog.text.count(text) == 1
