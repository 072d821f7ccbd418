"""Verdicts while the prober may be cut off: held, counted, forgotten."""

from collections.abc import Mapping
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.mass_failure import GuardDecision, MassFailureGuard, refuses_prober
from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.health.pool_watch import watched_pools
from geodns.health.state_machine import advance
from geodns.model.checks import Target
from geodns.model.state import NOTHING_KNOWN, HealthState, Verdict
from geodns.model.zone import Zone
from tests.sample_zones import DOWN, NAME, UP, failing, zone

KINDS = {
    "+": ProbeOutcome(ProbeResult.OK, "220 mta ESMTP"),
    "-": ProbeOutcome(ProbeResult.FAILURE, "timed out while connecting", silent=True),
    "r": ProbeOutcome(ProbeResult.FAILURE, "connection refused"),
    "s": ProbeOutcome(ProbeResult.SHEDDING, "421 too busy"),
    "b": ProbeOutcome(ProbeResult.SHEDDING, "421 4.7.0 mta Error: too many connections from 192.0.2.53"),
    "d": ProbeOutcome(ProbeResult.DEFERRED, "RCPT TO: 450 later"),
    "u": ProbeOutcome(ProbeResult.UNKNOWN, "trouble of the prober's own: network is unreachable"),
}


@cache
def one(hosts: int = 4, fall: int = 3) -> Zone:
    return zone(f"""
        checks: {{smtp: {{interval: 10s, fast_interval: 2s, rise: 2, fall: {fall}}}}}
        hosts: {{"mx[1-{hosts}]": {{address: "192.0.2.[1-{hosts}]"}}}}
        pools: {{main: {{hosts: "*", check: smtp, hold: 30s}}}}
        records: {{a: {{pool: main}}}}
    """)


class World:
    """A pool that is probed: what is believed of its hosts, by number."""

    def __init__(self, hosts: int = 4, start: Verdict = UP, fall: int = 3, down: str = "") -> None:
        zone = one(hosts, fall)
        self.targets: dict[str, Target] = {
            name[2:]: target
            for name, addresses in zone.targets_by_host.items()
            for some in addresses.values()
            for target in some
        }
        self.verdicts = {target: DOWN if name in down else start for name, target in self.targets.items()}
        self.guard = MassFailureGuard(self.verdicts)
        self.guard.watch(watched_pools([zone]))
        self.now = 0.0
        self.told: list[str] = []

    def take(self, decision: GuardDecision) -> None:
        self.verdicts |= decision.verdicts
        self.told += [str(news.stage) for news in decision.news]

    def hear(self, story: str) -> "World":
        """Take words as ``1-`` (host 1 fails), ``@40`` (so late is it)."""
        for word in story.split():
            if word[0] == "@":
                self.now = float(word[1:])
                self.take(self.guard.advance(self.now))
            else:
                self.take(self.guard.judge(self.targets[word[:-1]], KINDS[word[-1]], self.now))
        return self

    def believed(self) -> dict[str, Verdict]:
        return {name: self.verdicts[target] for name, target in self.targets.items()}

    def down(self) -> str:
        return "".join(name for name, verdict in self.believed().items() if verdict.state is HealthState.DOWN)


@pytest.mark.parametrize(
    ("story", "down", "told"),
    [
        pytest.param("1- 1- 1-", "1", "", id="a-single-host-goes-down"),
        pytest.param("1- 1- 1- 2- 2- 2-", "12", "", id="half-of-them-go-down"),
        pytest.param("1- 2- 3- 1- 2- 3- 1- 2- 3-", "", "holding", id="most-of-them-are-held"),
        pytest.param("1- 1- 1- 2- 2- 2- 3-", "12", "holding", id="who-was-down-by-then-stays-so"),
        pytest.param("1- 2- 3- 1- 2- 3- 1- 2- 3- @30", "123", "holding counting", id="then-they-count"),
        pytest.param("1- 2- 3- @30", "", "holding counting", id="no-more-than-there-were"),
        pytest.param("1r 1r 1r 2r 2r 2r 3r 3r 3r", "123", "", id="refusals-count-at-once"),
        pytest.param("1r 2r 3r 4r 1r 2r 3r 4r 1r 2r 3r 4r", "1234", "", id="of-all-hosts-too"),
        pytest.param("1- 2- 3- 1r 2r 1r", "1", "holding normal", id="a-refusal-shows-that-it-was-reached"),
        pytest.param("1- 2- 3- 4- 1r 1r", "1", "holding", id="and-is-not-held-with-the-others"),
        pytest.param("1r 2- 3- 4- @30", "", "holding counting", id="a-refusal-is-not-counted-as-silence"),
        pytest.param("1r 2r 3- 4- 3- 4- 3- 4-", "34", "", id="nor-do-two-silent-ones-of-four-make-doubt"),
        pytest.param("1- 2- 3- 1- 1- @29 1+ 2+ @60", "", "holding normal", id="good-again-in-time"),
        pytest.param("1- 2- 3- 3- 3- 1+ 2+ 3-", "3", "holding normal", id="who-fails-on-goes-down-at-once"),
        pytest.param("1- 2- 3- 3- 3- 1+ 2+ 3+ 3-", "", "holding normal", id="who-was-good-since-does-not"),
        pytest.param("1- 2- 3- 4- @31 1- 1- 2- 2-", "12", "holding counting", id="not-held-twice"),
        pytest.param("1b 2b 3b 1b 2b 3b 1b 2b 3b", "", "", id="nor-are-replies-that-refuse-the-prober"),
        pytest.param("1u 2u 3u 4u", "", "", id="our-own-trouble-is-no-failure"),
        pytest.param("1d 2d 3d 4d 1s 2s 3s 4s", "", "", id="a-busy-pool-neither"),
    ],
)
def test_stories(story: str, down: str, told: str) -> None:
    world = World().hear(story)
    assert world.down() == down
    assert " ".join(world.told) == told


def test_what_is_held_is_near_to_falling_and_says_so_in_the_ttl() -> None:
    world = World().hear("1- 1- 2- 3- 2- 2- 2-")
    believed = world.believed()
    assert believed["1"] == failing(2)
    assert believed["2"] == failing(2), "held"
    assert believed["3"] == failing(1)
    assert believed["4"] == UP
    assert len(world.guard.held) == 4, "whoever is good is probed faster too"


def test_what_the_prober_did_is_forgotten() -> None:
    assert World().hear("1- 1- 2- 3- 1- 1+ 2+").believed()["1"] == UP


def test_a_busy_host_sheds_while_others_are_held() -> None:
    world = World(5).hear("1- 2- 3- 4- 1s 1s 1s")
    assert world.told == ["holding"]
    assert not world.believed()["1"].live
    assert world.believed()["2"].live


@pytest.mark.parametrize("fall", [1, 3])
def test_a_prober_that_is_cut_off_from_the_start_takes_no_more_down_than_half(fall: int) -> None:
    world = World(start=Verdict(), fall=fall).hear("1- 2- 3- 4-")
    assert world.down() == "12", "the first result decides, and what has counted is not undone"
    world.hear("@30")
    assert world.down() == "1234", "for a time"


def test_with_a_fall_of_one_the_first_failures_have_counted() -> None:
    world = World(fall=1).hear("1- 2-")
    assert world.down() == "12"
    world.hear("3- 4-")
    assert world.down() == "12"
    assert world.hear("1+ 2+ 3+ 1+ 2+").down() == ""


def test_hosts_that_refused_before_are_news_when_they_fall_silent_too() -> None:
    world = World(6).hear("1r 2r 3r 1r 2r 3r 1r 2r 3r @100")
    assert world.down() == "123"
    assert world.hear("4- 5- 6-").told == [], "three that refuse show that the prober is not cut off"
    assert world.hear("1-").told == ["holding"]
    assert world.hear("4- 4- 4- 1r").down() == "123"


def test_hosts_that_were_down_before_the_start_may_be_silent_or_not() -> None:
    world = World(6, down="123").hear("4- 5- 6-")
    assert world.told == ["holding"], "nobody has been reached"
    world = World(6, down="123").hear("1r 2r 3r")
    world.guard.watch({})
    world.guard.watch(watched_pools([one(6)]))
    assert world.hear("4- 5- 6-").told == [], "an edit does not forget who was reached"


@pytest.mark.parametrize(
    ("story", "skip_slow_start"),
    [
        ("1- 1- 1-", ""),
        ("1- 1- 1- 2- 3-", "1"),
        ("1- 2- 3- 4- 2r 2r 2r", ""),
        ("1- 2- 3- 1- 1- @30 2- 2-", "12"),
        ("1- 2- 3- 1- 1- @30 2- 2- 1+ 2+ 3+ 1+ 2+", "12"),
        ("1- 2- 3- 1- 1- @30 1+ 2+ 3+ 1+ @99 1- 1- 1-", ""),
    ],
)
def test_who_was_down_in_doubt_skips_slow_start_until_he_is_down_for_certain(
    story: str, skip_slow_start: str
) -> None:
    world = World().hear(story)
    assert {name for name, target in world.targets.items() if target in world.guard.skip_slow_start} == set(
        skip_slow_start
    )


def test_hosts_that_were_down_stay_so_and_may_come_back_while_others_are_held() -> None:
    world = World(5, down="5").hear("1- 2- 3- 1- 1- 5-")
    assert (world.down(), world.told) == ("5", ["holding"])
    assert world.hear("5+ 5+").down() == ""


def test_hosts_with_an_override_do_not_count() -> None:
    drained = [(NAME, f"mx{number}") for number in "1234"]
    world = World(7)
    world.guard.ignore_hosts(drained)
    assert world.hear("1- 2- 3- 4- 1- 1-").told == [], "somebody works on them"
    assert world.down() == "1"
    world.guard.ignore_hosts(())
    assert world.hear("5- 6-").told == [], "they fail already: that is no news"
    assert world.hear("1+ 2+ 3+ 4+ 7-").told == []
    assert world.hear("1- 2-").told == ["holding"], "they count again"
    world.guard.ignore_hosts(drained)
    assert world.hear("7+ 6+ 5+").told == ["holding", "normal"]


def test_who_is_suspect_and_for_how_long() -> None:
    world = World().hear("1- 2- 3-")
    assert world.guard.suspects(12.0)[NAME, "main"] == (3, 4, 18.0)
    assert world.guard.end == 30.0
    world.hear("@30")
    assert world.guard.suspects(31.0)[NAME, "main"] == (3, 4, None)
    assert world.guard.end is None
    assert world.hear("1+ 2+").guard.suspects(32.0) == {}


def joined(world: World) -> World:
    """Let a fifth host join a pool of four."""
    zone = one(5)
    (target,) = zone.targets_by_host["mx5"][zone.host_by_name["mx5"].addresses[0]]
    world.targets["5"] = target
    world.verdicts[target] = NOTHING_KNOWN
    world.guard.watch(watched_pools([zone]))
    return world


def test_a_host_that_joins_ends_no_hold() -> None:
    world = joined(World().hear("1- 2- 3- 4- 1- 2- 3- 4- @5 1- 2- 3- 4-"))
    assert world.hear("1- 2- 3- 4- 5- 5-").down() == ""
    assert world.guard.suspects(10.0)[NAME, "main"] == (5, 5, 20.0)
    assert world.hear("@30").down() == "12345"
    assert world.told == ["holding", "counting"]


def test_a_host_that_joins_while_others_begin_to_fail_does_not_hide_it() -> None:
    world = joined(World().hear("1- 2-"))
    assert world.hear("3-").told == ["holding"]


def test_a_pool_without_the_hosts_that_failed_is_held_no_longer() -> None:
    world = World(7).hear("4- 5- 6- 7-")
    world.guard.watch(watched_pools([one(4)]))
    assert world.hear("1+ @30").told == ["holding", "normal"]


def test_an_edit_of_another_zone_leaves_the_hold_alone_and_one_of_this_ends_it() -> None:
    world = World().hear("1- 2- 3-")
    world.guard.watch(watched_pools([one()]))
    assert world.guard.held
    world.guard.watch({})
    assert not world.guard.held
    assert world.guard.end is None
    assert world.hear("1- 1-").down() == "1"


@pytest.mark.parametrize(
    ("detail", "refused"),
    [
        ("421 4.7.0 mta1.example.net Error: too many connections from 192.0.2.53", True),
        ("421 Too many concurrent SMTP connections; please try again later", False),
        ("421 Too many concurrent SMTP connections from this IP address; please try again later.", True),
        ("421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing", True),
        ("421 4.3.2 The maximum number of concurrent server connections has exceeded a limit", False),
        (
            "421 4.3.2 The maximum number of concurrent server connections has exceeded a per-source limit",
            True,
        ),
        ("421 4.3.2 Too many simultaneous connections", True),
        ("554 5.7.1 Service unavailable; Client host [192.0.2.53] blocked using zen.example.net", True),
        ("550 192.0.2.53 is on our blocklist", True),
        ("550 blacklisted", True),
        ("EHLO: 550 5.7.1 Client host blocked (is the prober blocked?)", True),
        ("554 mx1 no service", False),
        ("RCPT TO: 554 5.7.1 <a@b.example>: Relay access denied", False),
        ("RCPT TO: 550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", False),
        ("MAIL FROM: 554 5.7.1 <p@b.example>: Sender address rejected: Access denied", False),
        ("554 5.7.1 <unknown[192.0.2.53]>: Client host rejected: Access denied", True),
        ("421 4.3.2 System not accepting network messages", False),
        ("450 4.3.2 try again later", False),
        ("220 blocked.example.net ESMTP", False),
        ("connection refused", False),
        ("timed out while waiting for the greeting", False),
    ],
)
def test_texts_that_are_about_the_prober(detail: str, *, refused: bool) -> None:
    assert refuses_prober(detail) is refused


def test_several_hosts_that_refuse_the_prober_are_a_hint() -> None:
    world = World().hear("1b")
    assert world.guard.hint is None, "one host may have its reasons"
    assert world.hear("2b").guard.hint == (
        "2 addresses refuse the prober (421 4.7.0 mta Error: too many connections from 192.0.2.53): "
        "allow the prober's address there"
    )
    assert world.hear("1u").guard.hint, "trouble of our own says nothing of it"
    assert world.hear("1+").guard.hint is None
    world.hear("1b").guard.watch({})
    assert world.guard.hint is not None, "whether a pool is watched or not"


# --- whatever happens -----------------------------------------------------------------------------------

WORDS = st.tuples(st.floats(0, 12), st.sampled_from("1234567"), st.sampled_from("+---b-sdur"))


def run(world: World, words: list[tuple[float, str, str]]) -> None:
    """Tell a world words, and the time whenever it asks for it."""
    longest = 0.0
    since: float | None = None
    for wait, host, word in words:
        until = world.now + wait
        while (end := world.guard.end) is not None and end <= until:
            world.hear(f"@{end}")
        world.now = until
        believed = world.believed()
        held = world.guard.held
        if host in world.targets:
            world.hear(f"{host}{word}")
        if held and world.guard.held:
            fell = [
                n for n, v in world.believed().items() if v.state is HealthState.DOWN and v != believed[n]
            ]
            by_silence = [] if word == "r" else fell
            assert all(believed[n].state is HealthState.DOWN for n in by_silence), "none goes down while held"
            assert all(
                world.believed()[n].state is HealthState.DOWN or n == host
                for n, verdict in believed.items()
                if verdict.state is HealthState.DOWN
            ), "what has counted is not undone"
        if world.guard.held:
            since = world.now if since is None else since
            longest = max(longest, world.now - since)
        else:
            since = None
    assert longest <= 30


@given(st.lists(WORDS, max_size=120), st.integers(4, 7), st.integers(1, 3))
def test_nobody_falls_while_held_and_nobody_is_held_for_long(
    words: list[tuple[float, str, str]], hosts: int, fall: int
) -> None:
    run(World(hosts, fall=fall), words)


@given(st.lists(st.tuples(st.floats(0, 12), st.sampled_from("1234567"), st.sampled_from("+rsbdu"))))
def test_what_was_reached_is_never_held(words: list[tuple[float, str, str]]) -> None:
    world = World(7)
    run(world, words)
    assert world.believed() == plain(world, words)
    assert not world.told


def plain(world: World, words: list[tuple[float, str, str]]) -> Mapping[str, Verdict]:
    """Return what is believed where nothing is ever held."""
    believed = dict.fromkeys(world.targets, UP)
    for _, host, word in words:
        if host in believed:
            believed[host] = advance(believed[host], KINDS[word].kind, world.targets[host].check)
    return believed


@given(st.lists(WORDS, max_size=80), st.integers(1, 3))
def test_a_pool_of_three_is_never_held(words: list[tuple[float, str, str]], hosts: int) -> None:
    world = World(hosts)
    run(world, words)
    assert world.believed() == plain(world, words)
    assert not world.told


@given(st.lists(st.tuples(st.floats(0, 12), st.just("1"), st.sampled_from("+-sbr")), max_size=80))
def test_a_single_host_is_never_held(words: list[tuple[float, str, str]]) -> None:
    world = World(6)
    run(world, words)
    assert world.believed() == plain(world, words)
    assert not world.told
