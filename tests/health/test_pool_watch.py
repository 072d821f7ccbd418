"""When a pool's hosts fail as one, for how long that is doubted, and when the doubt is over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.pool_watch import FailureWindow, GuardStage, PoolWatch, watched_pools
from tests.sample_zones import NAME, zone

WINDOW, HOLD = 10.0, 30.0


def stages(hosts: str, story: str, failing: str = "") -> str:
    """Tell a story of ``-a`` (a fails), ``+a`` (it is good), ``@12`` (the time); return the stage after."""
    watch = FailureWindow(hosts, failing, WINDOW, HOLD)
    now = 0.0
    for word in story.split():
        if word[0] == "@":
            now = float(word[1:])
            watch.advance(now)
        else:
            watch.note(word[1:], failing=word[0] == "-", now=now)
    return str(watch.stage)


@pytest.mark.parametrize(
    ("hosts", "story", "stage"),
    [
        pytest.param("abcd", "", "normal", id="nothing"),
        pytest.param("abcd", "-a", "normal", id="one-of-four"),
        pytest.param("abcd", "-a -b", "normal", id="half"),
        pytest.param("abcd", "-a -b -c", "holding", id="more-than-half"),
        pytest.param("abcd", "-a @5 -b @10 -c", "holding", id="within-the-window"),
        pytest.param("abcd", "-a @5 -b @10.1 -c", "normal", id="the-first-too-long-ago"),
        pytest.param("abcd", "-a -a -a -b -b", "normal", id="the-same-hosts-again"),
        pytest.param("abcd", "-a +a -a +a -b", "normal", id="flapping"),
        pytest.param("abc", "-a -b -c", "normal", id="three-are-no-pool-to-judge-by"),
        pytest.param("abcdefgh", "-a -b -c -d", "normal", id="half-of-eight"),
        pytest.param("abcdefgh", "-a -b -c -d -e", "holding", id="five-of-eight"),
        pytest.param("abcd", "-a -b -c @29.9", "holding", id="just-before-the-end"),
        pytest.param("abcd", "-a -b -c @30", "counting", id="the-end-of-hold"),
        pytest.param("abcd", "-a -b -c @30 -d @100", "counting", id="not-held-again"),
        pytest.param("abcd", "-a -b -c +a", "holding", id="half-good"),
        pytest.param("abcd", "-a -b -c +a +b", "normal", id="a-majority-good"),
        pytest.param("abcd", "-a -b -c @40 +a +b", "normal", id="a-majority-good-after-all"),
        pytest.param("abcd", "-a -b -c +a +b -a -b", "normal", id="over-what-failed-then-counts-no-more"),
        pytest.param("abcd", "-a -b -c +a +b +c -a -b -c", "holding", id="another-time"),
    ],
)
def test_stories(hosts: str, story: str, stage: str) -> None:
    assert stages(hosts, story) == stage


@pytest.mark.parametrize(
    ("failing", "story", "stage"),
    [
        pytest.param("a", "-b", "normal", id="one-is-no-mass-failure"),
        pytest.param("a", "-b -c -d", "holding", id="all-that-were-left"),
        pytest.param("ab", "-c -d", "normal", id="two-are-no-mass-failure"),
        pytest.param("a", "-a", "normal", id="what-fails-already-is-nothing-new"),
        pytest.param("a", "-b -c -d +a", "holding", id="one-more-good"),
        pytest.param("a", "-b -c -d +a +b", "holding", id="as-many-good"),
        pytest.param("a", "-b -c -d +a +b +c", "normal", id="most-of-them-good"),
    ],
)
def test_hosts_that_failed_before_are_no_news(failing: str, story: str, stage: str) -> None:
    assert stages("abcd", story, failing) == stage


EVENTS = st.lists(
    st.tuples(st.floats(0, 15), st.sampled_from("abcdefgh"), st.booleans()), min_size=1, max_size=80
)


@given(EVENTS, st.integers(1, 8), st.floats(0, 60))
def test_never_held_for_longer_than_hold_and_once_an_episode(
    events: list[tuple[float, str, bool]], size: int, hold: float
) -> None:
    hosts = "abcdefgh"[:size]
    watch = FailureWindow(hosts, "", WINDOW, hold)
    now, before = 0.0, GuardStage.NORMAL
    for wait, host, failing in events:
        now += wait
        stage = watch.advance(now)
        if host in hosts:
            stage = watch.note(host, failing=failing, now=now)
        if stage is GuardStage.HOLDING:
            assert size >= 4
            assert now < watch.since + hold
            assert before is not GuardStage.COUNTING, "an episode that counts is not held again"
            assert watch.end == watch.since + hold
        else:
            assert watch.end is None
        before = stage


@given(st.lists(st.tuples(st.floats(0, 15), st.booleans()), max_size=50), st.integers(4, 8))
def test_a_single_host_is_never_doubted(events: list[tuple[float, bool]], size: int) -> None:
    watch = FailureWindow("abcdefgh"[:size], "", WINDOW, HOLD)
    now = 0.0
    for wait, failing in events:
        now += wait
        assert watch.note("a", failing=failing, now=now) is GuardStage.NORMAL


def test_which_pools_are_watched() -> None:
    one = zone("""
        checks: {smtp: {interval: 7s}}
        hosts: {"mx[1-5]": {address: "192.0.2.[1-5]"}}
        pools:
          five:   {hosts: "*", check: smtp, hold: 1m}
          four:   {hosts: {mx1: 1, mx2: 1, mx3: 1, mx4: 1, mx5: 0}, check: smtp}
          three:  {hosts: {mx1: 1, mx2: 1, mx3: 1, mx4: 0, mx5: 0}, check: smtp}
          free:   {hosts: "*", check: none}
        records: {a: {pool: five}, b: {pool: four}, c: {pool: three}, d: {pool: free}}
    """)
    found = watched_pools([one])
    assert {pool for _, pool in found} == {"five", "four"}
    five, four = found[NAME, "five"], found[NAME, "four"]
    assert (five.window, five.hold, four.hold) == (7, 60, 30)
    assert list(four.hosts) == ["mx1", "mx2", "mx3", "mx4"], "weight 0 is never dealt"
    assert [str(some[0].address) for (some,) in four.hosts.values()] == [f"192.0.2.{n}" for n in (1, 2, 3, 4)]


def test_a_pool_with_several_checks_is_watched_by_what_it_needs() -> None:
    one = zone("""
        checks: {smtp: {interval: 10s}, submission: {port: 587, interval: 20s}, spare: {port: 1}}
        hosts: {"mx[1-4]": {address: "192.0.2.[1-4]"}}
        pools:
          main: {hosts: "*", check: {any_of: [smtp, submission]}}
          side: {hosts: "*", check: spare}
        records: {a: {pool: main}, b: {pool: side}}
    """)
    watched = watched_pools([one])[NAME, "main"]
    assert (watched.need, watched.window) == (1, 20)
    (targets,) = watched.hosts["mx1"]
    assert sorted(target.port for target in targets) == [25, 587]
    pool = PoolWatch((NAME, "main"), watched, ())
    bad = [target for (some,) in watched.hosts.values() for target in some if target.port == 25]
    for host in watched.hosts:
        pool.note(host, bad, 0.0)
    assert pool.failures.end is None, "the other check will do"
    both = [target for (some,) in watched.hosts.values() for target in some]
    for host in watched.hosts:
        pool.note(host, both, 0.0)
    assert pool.failures.end == 30
