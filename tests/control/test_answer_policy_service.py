"""The answer policy of a running server: what changes it, its alerts, and floods."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from geodns.api.bodies import QueryLogWish, query_log_of
from geodns.compiler.compile import compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.config.settings import Settings
from geodns.control import answer_policy_service
from geodns.control.alert_service import Alert, Alerts
from geodns.control.answer_policy_service import (
    FLOOD_EVERY,
    NETWORKS_KEPT,
    AnswerPolicyService,
    FloodWatch,
)
from geodns.control.cluster import Cluster
from geodns.control.metrics import Metrics
from geodns.control.persistence import Persistence
from geodns.errors import StartError
from geodns.responder.answer_policy import Policy, QueryLog, RateLimit
from geodns.responder.rate_limit import Action, Limited
from geodns.responder.worker_state import Counts
from geodns.serve.frames import CountsReport, Message
from geodns.storage.event_log import EventLog
from geodns.storage.state_file import StateFile
from tests.sample_zones import sources, zone

SECRET, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2


class Workers:
    """What is brought to the workers, and what they say."""

    def __init__(self) -> None:
        self.cluster = Cluster({}, {}, {}, {})
        self.cluster.serve_zones(
            compile_zones(self.cluster.compiled, sources(zone("hosts: {mta1: 192.0.2.11}")), LiveSet()), 0.0
        )
        self.carried: list[Policy] = []
        self.say: Callable[[Message], None] = print

    async def deliver(self) -> tuple[str, ...]:
        await asyncio.sleep(0)
        self.carried.append(self.cluster.compiled.table.policy)
        return ()

    def subscribe(self, on_message: Callable[[Message], None]) -> None:
        self.say = on_message

    @property
    def policy(self) -> Policy:
        return self.cluster.compiled.table.policy


def started(
    settings: Settings, workers: Workers | None = None, *, again: bool = False
) -> tuple[AnswerPolicyService, Workers]:
    """Return what begins with what the state directory has."""
    store, _ = StateFile.open(settings.state, 0.0)
    workers = Workers() if workers is None else workers
    events, metrics = EventLog(settings.state), Metrics()
    one = AnswerPolicyService(
        settings, workers.cluster, cast(Any, workers), Persistence(store), events, metrics, again=again
    )
    return one, workers


def policy_of(settings: Settings, *, again: bool = False) -> Policy:
    return started(settings, again=again)[1].policy


def warnings(one: AnswerPolicyService) -> list[str]:
    return [alert.text for alert in one.alerts()]


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


def is_written(one: AnswerPolicyService) -> bool:
    """Whether a thread writes the last change at least; the end of the loop waits for it."""
    return not one._persistence._unwritten


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_policy_service, "LOOK_EVERY", 0.01)


def test_it_has_what_the_settings_say(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, rate_limit=(RateLimit(per_second=7), True), query_log=QueryLog())
    policy = policy_of(settings)
    assert policy.rate_limit == RateLimit(per_second=7)
    assert policy.require_cookie
    assert policy.query_log == QueryLog()
    assert len(policy.cookie_secrets) == 1


def test_a_secret_file_of_the_operator_s_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StartError):
        started(Settings(state=tmp_path, cookie_secret_file=tmp_path / "none"))


def test_other_secrets_are_carried_and_a_broken_file_is_an_alert(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(SECRET)
    one, workers = started(Settings(state=tmp_path, cookie_secret_file=file))

    async def test() -> None:
        file.write_text(f"{OTHER}\n{SECRET}\n")
        await until(lambda: workers.carried)
        assert workers.carried[0].cookie_secrets == (bytes.fromhex(OTHER), bytes.fromhex(SECRET))
        file.write_text("secret")
        await until(lambda: any("no secret" in text for text in warnings(one)))
        assert SECRET not in warnings(one)[0]
        file.write_text(SECRET)
        await until(lambda: not warnings(one))

    watch(one, test)


def test_a_query_log_whose_time_is_over_is_carried(tmp_path: Path) -> None:
    wanted = QueryLog(until=time.monotonic() + 0.05)
    one, workers = started(Settings(state=tmp_path, query_log=wanted))
    assert workers.policy.query_log == wanted

    async def test() -> None:
        await until(lambda: workers.carried)

    watch(one, test)
    assert [policy.query_log for policy in workers.carried] == [None]


def test_a_control_process_that_is_started_again_goes_on_with_the_last_secrets(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"{SECRET}\n")
    settings = Settings(state=tmp_path / "state", cookie_secret_file=file)
    one, workers = started(settings)

    async def test() -> None:
        file.write_text(f"{OTHER}\n{SECRET}\n")
        await until(lambda: workers.carried)
        await one._persistence.written()

    watch(one, test)
    file.unlink()
    one, workers = started(settings, again=True)
    assert workers.policy.cookie_secrets == (bytes.fromhex(OTHER), bytes.fromhex(SECRET))
    (warning,) = warnings(one)
    assert warning.startswith(f"{file}: there is no such file: write one: ")
    assert SECRET not in warning
    file.write_text(SECRET)

    async def mended() -> None:
        await until(lambda: not warnings(one))

    watch(one, mended)


def test_without_secrets_that_are_known_there_are_no_cookies(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state", cookie_secret_file=tmp_path / "none")
    one, workers = started(settings, again=True)
    assert workers.policy.cookie_secrets == ()
    assert "until then there are no cookies" in warnings(one)[0]


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
    one, workers = started(settings)
    assert workers.policy.query_log == setting
    wanted = query_log_of(QueryLogWish.model_validate_json(json.dumps(wish)), time.monotonic())
    asyncio.run(one.switch_query_log(wanted, "a test"))
    assert policy_of(settings, again=True).query_log == wanted
    assert policy_of(settings).query_log == setting, "a server's own start begins by the settings"


def test_an_end_that_came_while_no_control_process_was_there(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, query_log=QueryLog())
    over = QueryLog(until=time.monotonic() - 1)
    asyncio.run(started(settings)[0].switch_query_log(over, "a test"))
    one, workers = started(settings, again=True)

    async def test() -> None:
        await until(lambda: workers.policy.query_log is None and is_written(one))

    watch(one, test)
    assert policy_of(settings, again=True).query_log is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[1, 2, 3, 4]", '[["a..b"], [], 1, null]', '[[], ["x"], 1, null]']
)
def test_a_note_of_another_version_is_none(text: str, tmp_path: Path) -> None:
    store, _ = StateFile.open(tmp_path, 0.0)
    store.save_note("query_log", text)
    store.save_note("cookie_secrets", "nonsense")
    store.close()
    settings = Settings(state=tmp_path, query_log=QueryLog(sample=0.5))
    assert policy_of(settings, again=True).query_log == settings.query_log


def test_limited_answers_are_an_alert(tmp_path: Path) -> None:
    one, workers = started(Settings(state=tmp_path))
    limited = Limited({Action.DROPPED: 3}, {"192.0.2.0/24": 3})
    workers.say(CountsReport("udp0", "udp", Counts({}, {}, limited=limited)))
    assert warnings(one) == ["answers are rate limited: 3 dropped; most to 192.0.2.0/24 (3)"]


# --- floods ---------------------------------------------------------------------------------------------

SOME = Limited({Action.DROPPED: 30, Action.TRUNCATED: 10}, {"192.0.2.0/24": 35, "2001:db8::/56": 5})


class Reported:
    """A flood watch, and the events of its alerts."""

    def __init__(self, folder: Path) -> None:
        self.watch = FloodWatch()
        self.now = 0.0
        self._events = EventLog(folder)
        self._alerts = Alerts(self._events, [self])

    def alerts(self) -> list[Alert]:
        return list(self.watch.alerts(self.now))

    def look(self, now: float) -> None:
        self.now = now
        self.watch.advance(now)
        self._alerts.report()

    def lines(self) -> list[str]:
        found = [one.text for one in self._events._memory]
        self._events._memory.clear()
        return found


def flood_warnings(watch: FloodWatch, now: float) -> list[str]:
    return [one.text for one in watch.alerts(now)]


def test_a_flood_is_an_event_at_once_and_then_once_a_minute(tmp_path: Path) -> None:
    flood = Reported(tmp_path)
    flood.look(999.0)
    assert flood.lines() == []
    for second in range(150):
        flood.watch.note(SOME, 1000.0 + second)
        flood.watch.note(SOME, 1000.0 + second)
        flood.look(1000.0 + second)
    first, second_line, third = flood.lines()
    assert first == (
        "answers are rate limited: 60 dropped, 20 truncated; most to 192.0.2.0/24 (70), 2001:db8::/56 (10)"
    )
    assert second_line == third
    assert second_line == (
        "answers are rate limited: 3600 dropped, 1200 truncated; "
        "most to 192.0.2.0/24 (4200), 2001:db8::/56 (600) in the last minute"
    )


def test_the_last_minute_of_a_flood_is_not_forgotten(tmp_path: Path) -> None:
    flood = Reported(tmp_path)
    flood.watch.note(SOME, 0.0)
    flood.look(0.0)
    flood.watch.note(SOME, 1.0)
    flood.look(1.0)
    assert len(flood.lines()) == 1
    flood.look(FLOOD_EVERY)
    assert "30 dropped, 10 truncated" in flood.lines()[0]
    flood.look(2 * FLOOD_EVERY)
    assert flood.lines() == []


def test_three_limited_networks_are_named() -> None:
    watch = FloodWatch()
    watch.note(Limited({Action.BADCOOKIE: 10}, {f"192.0.{one}.0/24": one for one in range(1, 5)}), 0.0)
    assert flood_warnings(watch, 0.0) == [
        "answers are rate limited: 10 badcookie; most to 192.0.4.0/24 (4), 192.0.3.0/24 (3), 192.0.2.0/24 (2)"
    ]


def test_the_warning_goes_a_minute_after_a_flood() -> None:
    watch = FloodWatch()
    assert flood_warnings(watch, 0.0) == []
    watch.note(SOME, 10.0)
    watch.advance(10.0)
    (shown,) = flood_warnings(watch, 10.0)
    assert shown.startswith("answers are rate limited: 30 dropped, 10 truncated; most to 192.0.2.0/24 (35)")
    assert flood_warnings(watch, 10.0 + FLOOD_EVERY - 1) == [shown]
    assert flood_warnings(watch, 10.0 + FLOOD_EVERY) == []


def test_many_limited_networks_do_not_grow_memory() -> None:
    watch = FloodWatch()
    for number in range(3 * NETWORKS_KEPT):
        watch.note(Limited({Action.DROPPED: 2}, {f"network {number}": 1, "the worst": 1}), 0.0)
    assert len(watch._networks) <= NETWORKS_KEPT
    assert "most to the worst (3000)" in flood_warnings(watch, 0.0)[0]


def test_a_flood_that_comes_back_is_not_told_by_what_was_before(tmp_path: Path) -> None:
    told = Reported(tmp_path)
    told.watch.note(SOME, 0.0)
    told.look(0.9)
    told.look(60.2)
    told.watch.note(Limited({Action.DROPPED: 7}, {"192.0.2.0/24": 7}), 60.5)
    told.look(60.7)
    assert flood_warnings(told.watch, 60.7) == [
        "answers are rate limited: 7 dropped; most to 192.0.2.0/24 (7)"
    ]
    told.look(61.2)
    assert [line.partition(";")[0] for line in told.lines()] == [
        "answers are rate limited: 30 dropped, 10 truncated",
        "answers are rate limited: 7 dropped",
    ]
