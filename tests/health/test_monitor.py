import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise

import pytest

from geodns.health.mass_failure import News
from geodns.health.monitor import Monitor, OnRuling
from geodns.health.outcome import Certificate, Encryption, ProbeOutcome, ProbeResult
from geodns.health.pool_watch import WatchedPool
from geodns.model.checks import Check, Target
from geodns.model.state import HealthState, Verdict
from tests.health.virtual import run

CHECK = Check(name="smtp", interval=10, fast_interval=2, rise=2, fall=3)
UP, DOWN = Verdict(HealthState.UP), Verdict(HealthState.DOWN)
DOUBTED = Verdict(HealthState.UP, failures=1)
OK = ProbeOutcome(ProbeResult.OK, "220 mta1", 0.001)
HALF = ProbeOutcome(ProbeResult.OK, "50%", 0.001, weight=0.5)
FAILURE = ProbeOutcome(ProbeResult.FAILURE, "connection refused", 0.001)


def targets(number: int, check: Check = CHECK) -> list[Target]:
    return [Target(check=check, address=IPv4Address(0x0A000000 + index), port=25) for index in range(number)]


class World:
    """Hosts as a monitor sees them: what each answers and how long that takes, and what has happened."""

    def __init__(
        self,
        answer: Callable[[Target], ProbeOutcome] = lambda _: OK,
        concurrency: int = 512,
        on_ruling: OnRuling = lambda _, __: None,
    ) -> None:
        self.answer = answer
        self.seconds: Callable[[Target], float] = lambda _: 0.01
        self.starts: dict[Target, list[float]] = defaultdict(list)
        self.results: list[tuple[Target, ProbeOutcome, Verdict, Verdict]] = []
        self.running: Counter[Target] = Counter()
        self.abreast = 1
        """Probes that one target may have at once."""
        self.most = 0
        self.cancelled = 0
        self.monitor = Monitor(
            lambda *result: self.results.append(result),
            ehlo="probe.example.com",
            rng=random.Random(7),
            concurrency=concurrency,
            probe=self.probe,
            clock=lambda: 1e9 + asyncio.get_running_loop().time(),
            on_ruling=on_ruling,
        )

    async def probe(self, target: Target, *, ehlo: str | None) -> ProbeOutcome:
        assert ehlo == "probe.example.com"
        self.running[target] += 1
        assert self.running[target] <= self.abreast
        self.most = max(self.most, self.running.total())
        self.starts[target].append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep(self.seconds(target))
            return self.answer(target)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running[target] -= 1
            if not self.running[target]:
                del self.running[target]

    def gaps(self, target: Target, since: float = 0.0) -> list[float]:
        return [after - before for before, after in pairwise(self.starts[target]) if before >= since]


# --- the schedule ---------------------------------------------------------------------------------------


def test_new_targets_at_once_then_each_at_its_interval() -> None:
    async def main() -> World:
        world = World()
        world.monitor.set_targets(targets(200), {})
        await asyncio.sleep(1)
        assert all(len(starts) >= 1 for starts in world.starts.values())
        assert len(world.starts) == 200
        await asyncio.sleep(99)
        await world.monitor.close()
        return world

    world = run(main())
    for target in targets(200):
        first, *gaps = world.gaps(target)
        assert first <= 11.1  # spreads over the interval those that began together
        assert all(8.9 <= gap <= 11.1 for gap in gaps)
        assert 8 <= len(gaps) <= 11


def test_starts_spread_over_the_interval() -> None:
    async def main() -> World:
        world = World()
        world.monitor.set_targets(targets(1000), {})
        await asyncio.sleep(40)
        await world.monitor.close()
        return world

    starts = [start for starts in run(main()).starts.values() for start in starts]
    begun = min(starts)
    by_second = [
        sum(1 for start in starts if second <= start - begun < second + 1) for second in range(20, 40)
    ]
    assert max(by_second) < 3 * min(by_second)


def test_restored_targets_are_spread_and_keep_their_verdicts() -> None:
    async def main() -> None:
        world = World()
        some = targets(100)
        begun = asyncio.get_running_loop().time()
        world.monitor.set_targets(some, dict.fromkeys(some, DOWN))
        assert dict(world.monitor.verdicts) == dict.fromkeys(some, DOWN)
        await world.monitor.first_round()
        assert asyncio.get_running_loop().time() == begun  # known already: nothing to wait for
        await asyncio.sleep(5)
        assert 25 <= len(world.starts) <= 75
        await asyncio.sleep(6)
        assert len(world.starts) == 100
        await world.monitor.close()

    run(main())


def test_pending_changes_are_probed_fast() -> None:
    async def main() -> None:
        world = World()
        (target,) = targets(1)
        world.monitor.set_targets([target], {target: UP})
        await asyncio.sleep(30)
        world.answer = lambda _: FAILURE
        await asyncio.sleep(17)
        assert world.monitor.verdicts[target] == DOWN
        world.answer = lambda _: OK
        await asyncio.sleep(15)
        assert world.monitor.verdicts[target] == UP
        await world.monitor.close()
        changes = [(before, after) for _, _, before, after in world.results if before != after]
        assert [after for _, after in changes] == [
            DOUBTED,
            Verdict(HealthState.UP, failures=2),
            DOWN,
            Verdict(HealthState.DOWN, successes=1),
            UP,
        ]
        assert [before for before, _ in changes[1:]] == [after for _, after in changes[:-1]]
        fast = [gap for gap in world.gaps(target) if gap < 3]
        assert len(fast) == 3
        assert all(1.8 <= gap <= 2.3 for gap in fast)

    run(main())


def test_a_probe_that_is_asked_for_comes_at_once_and_changes_nothing_else() -> None:
    async def go(world: World) -> None:
        one, other = targets(2)
        world.monitor.set_targets([one, other], {one: UP, other: UP})
        await asyncio.sleep(11.5)
        before = {target: len(starts) for target, starts in world.starts.items()}
        now = asyncio.get_running_loop().time()
        world.monitor.probe_now([one, *targets(3)[2:]])
        await asyncio.sleep(0.1)
        assert {target: len(starts) for target, starts in world.starts.items()} == before | {
            one: before[one] + 1
        }
        assert world.starts[one][-1] - now < 0.01
        await asyncio.sleep(30)
        assert 9 <= world.starts[one][before[one] + 1] - world.starts[one][before[one]] <= 11
        await world.monitor.close()

    run(go(World()))


def test_who_is_being_probed_is_not_probed_beside_that_and_all_wait_for_a_place() -> None:
    async def go(world: World) -> None:
        some = targets(3)
        world.seconds = lambda _: 0.5
        world.monitor.set_targets(some, dict.fromkeys(some, UP))
        await asyncio.sleep(20.2)
        world.monitor.probe_now(some)
        await asyncio.sleep(3)
        assert world.most == 1
        await world.monitor.close()

    run(go(World(concurrency=1)))


def test_never_more_at_once_than_allowed_and_each_in_its_turn() -> None:
    async def main() -> World:
        world = World(concurrency=10)
        world.seconds = lambda _: 0.5
        world.monitor.set_targets(targets(100), {})
        await asyncio.sleep(60)
        await world.monitor.close()
        return world

    world = run(main())
    assert world.most == 10
    assert all(len(world.starts[target]) >= 4 for target in targets(100))


def test_dead_hosts_do_not_keep_the_others_waiting() -> None:
    async def main() -> World:
        world = World(concurrency=64)
        dead = set(targets(600)[200:])
        world.seconds = lambda target: 10.0 if target in dead else 0.01
        world.answer = lambda target: FAILURE if target in dead else OK
        world.monitor.set_targets(targets(600), {})
        await asyncio.sleep(400)
        assert world.monitor.lateness > 5  # there are not places enough, and it says so
        await world.monitor.close()
        return world

    world = run(main())
    healthy, dead = targets(600)[:200], targets(600)[200:]
    settled = 1000 + 120.0
    assert max(gap for target in healthy for gap in world.gaps(target, settled)) < 12
    assert min(len(world.starts[target]) for target in dead) >= 3


def test_a_schedule_that_is_kept_is_not_late() -> None:
    async def main() -> None:
        world = World()
        assert world.monitor.lateness == 0
        world.monitor.set_targets(targets(100), {})
        for _ in range(100):
            await asyncio.sleep(0.3)
            assert world.monitor.lateness < 0.1
        await world.monitor.close()
        assert world.monitor.lateness == 0

    run(main())


def _value_error(target: Target) -> ProbeOutcome:
    raise ValueError(f"a bug with {target.address}")


def _cancelled(target: Target) -> ProbeOutcome:
    del target
    raise asyncio.CancelledError


@pytest.mark.parametrize("fault", [_value_error, _cancelled], ids=["raises", "cancelled-from-within"])
def test_a_probe_with_a_bug_stops_nothing_and_blames_nobody(fault: Callable[[Target], ProbeOutcome]) -> None:
    async def main() -> None:
        world = World(fault)
        (target,) = targets(1)
        world.monitor.set_targets([target], {target: UP})
        await asyncio.sleep(50)
        assert len(world.results) >= 4
        assert {outcome.kind for _, outcome, _, _ in world.results} == {ProbeResult.UNKNOWN}
        assert world.monitor.verdicts[target] == UP
        world.answer = lambda _: FAILURE
        await asyncio.sleep(50)
        assert world.monitor.verdicts[target] == DOWN
        await world.monitor.close()

    run(main())


def test_a_listener_with_a_bug_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int:
        world = World()
        calls = 0

        def listen(*_: object) -> None:
            nonlocal calls
            calls += 1
            raise ValueError("a bug in the listener")

        monitor = Monitor(listen, ehlo="probe.example.com", rng=random.Random(1), probe=world.probe)
        monitor.set_targets(targets(1), {})
        await asyncio.sleep(100)
        assert monitor.verdicts[targets(1)[0]] == UP
        await monitor.close()
        return calls

    assert run(main()) >= 9
    assert "a bug in the listener" in caplog.text


# --- other targets --------------------------------------------------------------------------------------


def test_targets_come_and_go_and_the_rest_is_undisturbed() -> None:
    async def main() -> None:
        world = World()
        kept, gone, added = targets(3)
        world.seconds = lambda _: 3.0
        world.monitor.set_targets([kept, gone], {})
        await asyncio.sleep(1)
        assert world.running.keys() == {kept, gone}
        world.monitor.set_targets([kept, added], {kept: DOWN})
        await asyncio.sleep(0.1)
        assert world.running.keys() == {kept, added}
        assert set(world.monitor.verdicts) == {kept, added}
        assert world.cancelled == 1
        await asyncio.sleep(60)
        assert [target for target, _, _, _ in world.results].count(gone) == 0
        assert len(world.starts[gone]) == 1
        assert world.monitor.verdicts[kept] == UP  # what was believed came from its probes alone
        assert world.monitor.last(gone) is None
        world.monitor.set_targets([kept, gone, added], {})
        await asyncio.sleep(4)
        assert len(world.starts[gone]) >= 2
        await world.monitor.close()

    run(main())


def test_a_listener_may_take_the_target_out() -> None:
    async def main() -> None:
        world = World()
        monitor = Monitor(
            lambda *_: monitor.set_targets([], {}),
            ehlo="probe.example.com",
            rng=random.Random(1),
            probe=world.probe,
        )
        monitor.set_targets(targets(1), {})
        await asyncio.sleep(60)
        assert len(world.starts[targets(1)[0]]) == 1
        await monitor.close()

    run(main())


def test_the_last_outcome_and_when() -> None:
    async def main() -> None:
        world = World()
        (target,) = targets(1)
        world.monitor.set_targets([target], {})
        assert world.monitor.last(target) is None
        await asyncio.sleep(1)
        last = world.monitor.last(target)
        assert last is not None
        assert last[0] == OK
        assert 1e9 + 1000 <= last[1] <= 1e9 + 1001
        await world.monitor.close()

    run(main())


def test_a_target_that_fails_keeps_the_certificate_it_showed_last() -> None:
    old, new = (Certificate("mta1", "Someone", 0.0, until) for until in (1.0, 2.0))
    shown = [None, old, None, new, None]
    outcomes = [
        FAILURE if one is None else replace(OK, tls=Encryption("TLSv1.3", "AES", one)) for one in shown
    ]

    async def main() -> None:
        seen: list[Certificate | None] = []
        world = World(lambda _: outcomes.pop(0))
        (target,) = targets(1)
        world.monitor.set_targets([target])
        while outcomes:
            await asyncio.sleep(0.5)
            if len(world.results) > len(seen):
                seen.append(world.monitor.certificate(target))
        await world.monitor.close()
        assert seen == [None, old, old, new, new]

    run(main())


def test_verdicts_are_a_view_that_cannot_be_written() -> None:
    async def main() -> None:
        world = World()
        view = world.monitor.verdicts
        world.monitor.set_targets(targets(1), {})
        await asyncio.sleep(1)
        assert view == {targets(1)[0]: UP}
        with pytest.raises(TypeError):
            view[targets(1)[0]] = DOWN  # type: ignore[index]
        await world.monitor.close()

    run(main())


# --- beginning and end ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [pytest.param(0.5, 0.5, id="all-answered"), pytest.param(30, 5, id="one-takes-too-long")],
)
def test_the_first_round(seconds: float, expected: float) -> None:
    async def main() -> None:
        world = World()
        some = targets(3)
        world.seconds = lambda target: seconds if target == some[1] else 0.01
        begun = asyncio.get_running_loop().time()
        world.monitor.set_targets(some, {some[2]: UP})
        await world.monitor.first_round()
        assert abs(asyncio.get_running_loop().time() - begun - expected) < 0.1
        await world.monitor.close()

    run(main())


def test_the_first_round_of_nothing_is_over() -> None:
    async def main() -> None:
        world = World()
        begun = asyncio.get_running_loop().time()
        await world.monitor.first_round()
        assert asyncio.get_running_loop().time() == begun
        await world.monitor.close()

    run(main())


def test_an_unanswered_target_that_goes_is_not_waited_for() -> None:
    async def main() -> None:
        world = World()
        world.seconds = lambda _: 100
        begun = asyncio.get_running_loop().time()
        world.monitor.set_targets(targets(1), {})
        asyncio.get_running_loop().call_later(1, world.monitor.set_targets, [], {})
        await world.monitor.first_round(50)
        assert asyncio.get_running_loop().time() - begun < 2
        await world.monitor.close()

    run(main())


def test_after_closing_nothing_happens_any_more() -> None:
    async def main() -> None:
        world = World()
        world.seconds = lambda _: 3.0
        world.monitor.set_targets(targets(20), {})
        await asyncio.sleep(1)
        await world.monitor.close()
        assert not world.running
        assert world.cancelled == 20
        await asyncio.sleep(100)
        assert not world.results
        assert sum(map(len, world.starts.values())) == 20

    run(main())


@pytest.mark.parametrize("usual", [0.01, 3.0])
@pytest.mark.parametrize("fall", [2, 3, 5])
def test_a_host_that_accepts_and_never_greets_is_down_soon(usual: float, fall: int) -> None:
    check = CHECK.model_copy(update={"fall": fall})
    (target,) = targets(1, check)

    async def main() -> float:
        world = World()
        world.abreast = fall
        world.seconds = lambda _: usual
        world.monitor.set_targets([target])
        await asyncio.sleep(100)
        assert world.most == 1, "it answers as it usually does"
        before = len(world.starts[target]) - 1
        since = world.starts[target][before]
        await asyncio.sleep(since + 5 - asyncio.get_running_loop().time())  # between two probes
        assert not world.running[target]
        world.seconds = lambda _: check.greeting_timeout
        world.answer = lambda _: replace(FAILURE, silent=True)
        for _ in range(400):
            await asyncio.sleep(0.1)
            if world.monitor.verdicts[target] == DOWN:
                break
        took = asyncio.get_running_loop().time() - world.starts[target][before + 1]
        await world.monitor.close()
        return took

    bound = usual + 2 + (fall - 2) * check.fast_interval + check.greeting_timeout
    assert bound - 0.2 < run(main()) <= bound + 0.2


@pytest.mark.parametrize(
    ("old", "young", "shown", "verdict"),
    [
        pytest.param(OK, FAILURE, FAILURE, replace(UP, failures=2), id="good-after-bad"),
        pytest.param(FAILURE, OK, OK, replace(UP, failures=1), id="bad-after-good"),
        pytest.param(OK, HALF, HALF, replace(UP, share=50), id="weight"),
        pytest.param(OK, ProbeOutcome(ProbeResult.UNKNOWN, "no route"), OK, UP, id="good-after-unknown"),
    ],
)
def test_a_probe_that_younger_ones_have_overtaken_is_old_news(
    old: ProbeOutcome, young: ProbeOutcome, shown: ProbeOutcome, verdict: Verdict
) -> None:
    """But its failure counts: that connection was lost."""
    (target,) = targets(1, CHECK.model_copy(update={"rise": 1}))

    async def main() -> None:
        world = World(lambda _: young)
        world.abreast = 3
        hangs = asyncio.Event()

        def seconds(_: Target) -> float:
            if hangs.is_set():
                return 0.01
            hangs.set()
            return 8.0

        world.seconds = seconds
        world.monitor.set_targets([target], {target: UP})
        await hangs.wait()
        await asyncio.sleep(7.98)
        assert world.running[target] == 1
        assert {outcome for _, outcome, _, _ in world.results} == {young}
        world.answer = lambda _: old
        await asyncio.sleep(0.03)
        assert world.results[-1][1] == old
        last = world.monitor.last(target)
        assert last is not None
        assert (last[0], world.monitor.verdicts[target]) == (shown, verdict)
        await world.monitor.close()

    run(main())


def test_a_host_that_goes_while_several_probes_hang_ends_them_all() -> None:
    (target,) = targets(1)

    async def main() -> World:
        world = World()
        world.abreast = 3
        world.seconds = lambda _: 60.0
        world.monitor.set_targets([target], {target: UP})
        await asyncio.sleep(16)
        assert world.running[target] == 3
        world.monitor.set_targets([])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await world.monitor.close()
        return world

    world = run(main())
    assert world.cancelled == 3
    assert world.results == []


# --- trouble of the prober's own --------------------------------------------------------------------------


def test_when_most_of_a_pool_fails_it_is_held_and_probed_fast_then_it_counts() -> None:
    hosts = targets(6)
    pool = WatchedPool({str(n): ((target,),) for n, target in enumerate(hosts)}, 1, 10, 30)
    told: list[tuple[float, str]] = []
    falls: list[float] = []

    def decided(verdicts: Mapping[Target, Verdict], news: tuple[News, ...]) -> None:
        now = asyncio.get_running_loop().time()
        told.extend((now, str(one.stage)) for one in news)
        falls.extend(now for verdict in verdicts.values() if verdict == DOWN)

    async def main() -> World:
        world = World(on_ruling=decided)
        world.monitor.set_targets(hosts, dict.fromkeys(hosts, UP), {("z", "main"): pool})
        await asyncio.sleep(50)
        world.answer = lambda target: replace(FAILURE, silent=True) if target in hosts[:5] else OK
        await asyncio.sleep(12)
        assert ("z", "main") in world.monitor.suspects
        down = [target for target in hosts if world.monitor.verdicts[target] == DOWN]
        assert len(down) <= 2, "who had failed three times by then stays down"
        await asyncio.sleep(12)
        assert [target for target in hosts if world.monitor.verdicts[target] == DOWN] == down
        await asyncio.sleep(48)
        assert [target for target in hosts if world.monitor.verdicts[target] == DOWN] == hosts[:5]
        assert world.monitor.suspects["z", "main"].held_for is None
        world.answer = lambda _: OK
        await asyncio.sleep(30)
        assert not world.monitor.suspects
        await world.monitor.close()
        return world

    world = run(main())
    (held, _), (counted, _), _ = told
    assert [stage for _, stage in told] == ["holding", "counting", "normal"]
    assert counted == pytest.approx(held + 30)
    assert 3 <= len(falls) <= 5
    assert set(falls) == {counted}, "all at once, and not before"
    fast = [start for start in world.starts[hosts[5]] if held < start < counted]
    assert len(fast) >= 13, "who is good is probed every 2 s too"


def test_recipients_that_are_deferred_again_and_again_are_told_and_take_no_weight() -> None:
    (target,) = targets(1)
    deferred = ProbeOutcome(ProbeResult.DEFERRED, "RCPT TO: 452 4.3.1 disk full", 0.001)
    said = [deferred]

    async def main() -> None:
        world = World(lambda _: said[0])
        world.monitor.set_targets([target], {target: UP})
        await asyncio.sleep(22)
        assert list(world.monitor.deferring()) == [], "two may be greylisting"
        said[0] = ProbeOutcome(ProbeResult.UNKNOWN, "no route")
        await asyncio.sleep(11)
        said[0] = deferred
        await asyncio.sleep(22)
        assert list(world.monitor.deferring()) == [(target, deferred)]
        assert world.monitor.verdicts[target] == UP
        said[0] = OK
        await asyncio.sleep(12)
        assert list(world.monitor.deferring()) == []
        await world.monitor.close()

    run(main())


def test_a_host_has_the_share_that_its_agent_named_last() -> None:
    (target,) = targets(1)
    said = [ProbeOutcome(ProbeResult.OK, "up 75%", 0.001, weight=0.75)]

    async def main() -> World:
        world = World(lambda _: said[0])
        world.monitor.set_targets([target])
        await asyncio.sleep(15)
        assert world.monitor.verdicts[target] == Verdict(HealthState.UP, share=75)
        said[0] = ProbeOutcome(ProbeResult.FAILURE, "timed out", 0.001)
        await asyncio.sleep(11)
        assert world.monitor.verdicts[target].share == 75, "one failure says nothing of its weight"
        said[0] = ProbeOutcome(ProbeResult.OK, "0.1%", 0.001, weight=0.001)
        await asyncio.sleep(25)
        assert world.monitor.verdicts[target].share == 1
        said[0] = ProbeOutcome(ProbeResult.OK, "up", 0.001)
        await asyncio.sleep(25)
        assert world.monitor.verdicts[target] == UP
        await world.monitor.close()
        return world

    run(main())


def test_most_of_its_answers_slow_a_target_is_degraded_until_most_are_not() -> None:
    slow = CHECK.model_copy(update={"slow": 0.5})
    (target,) = targets(1, slow)
    ehlo = [0.1]

    async def main() -> World:
        world = World(lambda _: ProbeOutcome(ProbeResult.OK, "220 mta1", 0.001, ehlo[0]))
        world.monitor.set_targets([target])
        await asyncio.sleep(50)
        ehlo[0] = 0.6
        await asyncio.sleep(21)  # two or three
        ehlo[0] = 0.1
        await asyncio.sleep(60)
        ehlo[0] = 0.6
        await asyncio.sleep(60)
        assert world.monitor.verdicts[target] == Verdict(HealthState.UP, degraded=True)
        ehlo[0] = 0.1
        await asyncio.sleep(9)  # one, perhaps
        assert world.monitor.verdicts[target].degraded
        await asyncio.sleep(60)
        assert world.monitor.verdicts[target] == UP
        world.monitor.set_targets(targets(1), {targets(1)[0]: Verdict(HealthState.UP, degraded=True)})
        await asyncio.sleep(20)
        assert world.monitor.verdicts[targets(1)[0]] == UP, "an edit that takes `slow` out ends it"
        await world.monitor.close()
        return world

    changes = [(before.degraded, after.degraded) for _, _, before, after in run(main()).results]
    assert changes.count((False, True)) <= 2
