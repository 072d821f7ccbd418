"""Signs, what stands by them, and how it ends."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.mail import About, MailEvent, MailTally
from geodns.model.reputation import Reputation, ReputationAction, ReputationRule
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.signals.reputation import DOUBLES, LEAST, Cause, Standing, StandingKey, Standings
from geodns.signals.reputation_rules import ALERT, Judging, Sign
from geodns.zonefile.reader import parse_zone

T0 = 1_800_000_000.0
HOUR = 3600.0
BAR = ReputationAction(kind="bar", seconds=2 * HOUR)
QUARANTINE = ReputationAction(kind="quarantine")


def zone_of(hosts: int, max_out: str = "50%", rules: tuple[ReputationRule, ...] = ()) -> Zone:
    listed = ", ".join(f"m{n}: 192.0.2.{n}" for n in range(1, hosts + 1))
    names = ", ".join(f"m{n}" for n in range(1, hosts + 1))
    text = (
        f"ns: {{ns1: 192.0.2.253}}\nhosts: {{{listed}}}\n"
        f"pools: {{main: {{hosts: [{names}], max_out: {max_out}}}}}\nrecords: {{'@': {{pool: main}}}}\n"
    )
    zone = parse_zone("out.example.com", text.encode(), "z.yaml").zone
    assert zone is not None
    return zone.model_copy(update={"reputation": Reputation(mode="act", rules=rules)})


@dataclass
class Mail:
    """Counts as the server keeps them: by host, provider and when the mail came in."""

    slots: dict[tuple[str, str], dict[float, list[MailTally]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def sent(
        self,
        host: str,
        provider: str,
        queued: float,
        first: int,
        refused: int = 0,
        *,
        about: About = About.IP,
        bounced: int = 0,
        complaints: int = 0,
        retried: int = 0,
        marked: Mapping[str, int] | None = None,
    ) -> None:
        events = {
            MailEvent.DEFERRED: refused,
            MailEvent.BOUNCED: bounced,
            MailEvent.COMPLAINT: complaints,
            MailEvent.RETRIED: retried,
        }
        tally = MailTally(first, events, {about: refused}, marked or {})
        self.slots[host, provider][queued].append(tally)

    def by_provider(self, host: HostKey, start: float, end: float) -> dict[str, MailTally]:
        found = {}
        for (name, provider), slots in self.slots.items():
            if name != host[1]:
                continue
            inside = [one for at, some in slots.items() if start <= at <= end for one in some]
            if inside:
                found[provider] = _joined(inside)
        return found

    def total(self, host: HostKey, start: float, end: float) -> MailTally:
        return _joined(list(self.by_provider(host, start, end).values()))

    def heard(self, host: HostKey) -> float | None:
        del host
        return None


def _joined(tallies: list[MailTally]) -> MailTally:
    events: dict[MailEvent, int] = defaultdict(int)
    refused: dict[About, int] = defaultdict(int)
    marked: dict[str, int] = defaultdict(int)
    for one in tallies:
        for event, count in one.events.items():
            events[event] += count
        for about, count in one.refused.items():
            refused[about] += count
        for name, count in one.marked.items():
            marked[name] += count
    return MailTally(sum(one.first for one in tallies), events, refused, marked)


def signs_of(zone: Zone, mail: Mail, now: float = T0, standings: Standings | None = None) -> list[Sign]:
    known = standings or Standings({})
    judging = Judging(zone, zone.pools, mail, known.since, now)
    for host in judging.hosts:
        judging.read(host)
    return [one for host in judging.hosts for one in judging.signs(host)]


def moving(found: list[Sign]) -> list[tuple[str, str, str | None]]:
    return [(one.host, one.rule, one.provider) for one in found if one.action.kind != "alert"]


# --- rules ---------------------------------------------------------------------------------------------


def refusing(
    refused: int, first: int = 200, others: int = 2, provider: str = "yahoo", about: About = About.IP
) -> Mail:
    """Mail of four hosts within the hour: one is refused, the others are refused a little."""
    mail = Mail()
    mail.sent("m1", provider, T0 - 600, first, refused, about=about)
    for name in ("m2", "m3", "m4"):
        mail.sent(name, provider, T0 - 600, 200, others, about=about)
    return mail


def test_a_provider_that_refuses_one_ip_bars_it() -> None:
    found = signs_of(zone_of(4), refusing(60))
    assert moving(found) == [("m1", "yahoo ip", "yahoo")]
    assert found[0].why == (
        "60 of 200 messages to yahoo were refused for the ip within the hour (30.00%; of the others 1.00%)"
    )
    found = signs_of(zone_of(4), refusing(60, provider="google"))
    assert moving(found) == [("m1", "any ip", "google")]


def test_a_providers_own_rule_stands_in_the_place_of_that_for_any() -> None:
    """An operator who allows one provider more must not be held to less by the rule for all."""
    lenient = ReputationRule(name="google ip", provider="google", above=0.5, action=BAR)
    assert signs_of(zone_of(4, rules=(lenient,)), refusing(60, provider="google")) == []
    found = signs_of(zone_of(4, rules=(lenient,)), refusing(120, provider="google"))
    assert moving(found) == [("m1", "google ip", "google")]
    assert moving(signs_of(zone_of(4, rules=(lenient,)), refusing(60, provider="gmx"))) == [
        ("m1", "any ip", "gmx")
    ]
    text = lenient.model_copy(update={"name": "google ip x", "text": "x"})
    assert moving(signs_of(zone_of(4, rules=(text,)), refusing(60, provider="google"))) == [
        ("m1", "any ip", "google")
    ]


@pytest.mark.parametrize(
    ("mail", "says"),
    [
        (refusing(39), "under a fifth"),
        (refusing(60, first=99), "too few to tell"),
        (refusing(60, about=About.NETBLOCK), "the neighbours share it"),
        (refusing(60, about=About.DOMAIN), "the domain"),
        (refusing(60, about=About.CONTENT), "the content"),
        (refusing(60, about=About.RECIPIENT), "the list"),
        (refusing(60, about=About.RATE), "too fast"),
        (refusing(60, about=About.UNKNOWN), "nobody knows"),
        (refusing(60, provider="other"), "no provider"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_does_not_speak_of_the_ip_moves_nobody(mail: Mail, says: str) -> None:
    assert moving(signs_of(zone_of(4), mail)) == [], says


def test_a_refused_netblock_is_told() -> None:
    found = signs_of(zone_of(4), refusing(60, about=About.NETBLOCK))
    assert [(one.host, one.rule, one.action) for one in found] == [("m1", "any netblock", ALERT)]


def test_a_rise_of_the_whole_pool_alerts_only() -> None:
    mail = refusing(60, others=40)
    found = signs_of(zone_of(4), mail)
    assert moving(found) == []
    assert {one.host for one in found} == {"m1", "m2", "m3", "m4"}


def test_without_others_to_compare_with_it_alerts_only() -> None:
    found = signs_of(zone_of(1), refusing(60))
    assert moving(found) == []
    assert "no other host of its pools sends enough to compare" in found[0].why


def test_mail_from_before_the_hour_says_nothing() -> None:
    mail = Mail()
    mail.sent("m1", "yahoo", T0 - HOUR - 1, 500, 400)
    mail.sent("m2", "yahoo", T0 - 60, 500)
    assert signs_of(zone_of(2), mail) == []


def test_an_own_rule_counts_the_replies_that_its_text_is_found_in() -> None:
    rule = ReputationRule(name="yahoo ip TSS04", provider="yahoo", text="TSS04", above=0.3, action=QUARANTINE)
    mail = Mail()
    mail.sent("m1", "yahoo", T0 - 60, 100, 30, about=About.PASSING, marked={"yahoo ip TSS04": 30})
    mail.sent("m2", "yahoo", T0 - 60, 100)
    assert moving(signs_of(zone_of(2, rules=(rule,)), mail)) == [("m1", "yahoo ip TSS04", "yahoo")]


def test_above_0_is_any_refusal() -> None:
    rule = ReputationRule(name="gmx ip", provider="gmx", above=0, action=QUARANTINE)
    mail = Mail()
    mail.sent("m1", "gmx", T0 - 60, 1000, 1)
    mail.sent("m2", "gmx", T0 - 60, 1000)
    assert moving(signs_of(zone_of(2, rules=(rule,)), mail)) == [("m1", "gmx ip", "gmx")]


@pytest.mark.parametrize(
    ("first", "bounced", "complaints", "rules"),
    [
        (2000, 99, 0, set()),
        (2000, 100, 0, {"bounces over 5%"}),
        (2000, 200, 0, {"bounces over 5%", "bounces over 10%"}),
        (999, 200, 0, set()),
        (2000, 0, 4, set()),
        (2000, 0, 5, {"complaints over 0.1%"}),
        (2000, 0, 6, {"complaints over 0.1%", "complaints over 0.3%"}),
    ],
)
def test_bounces_and_complaints(first: int, bounced: int, complaints: int, rules: set[str]) -> None:
    mail = Mail()
    mail.sent("m1", "yahoo", T0 - 5 * HOUR, first, bounced=bounced, complaints=complaints)
    mail.sent("m2", "yahoo", T0 - 5 * HOUR, 5000, bounced=20, complaints=1)
    found = {rule for host, rule, _ in moving(signs_of(zone_of(2), mail))}
    assert found == rules


def test_providers_that_tell_of_no_complaints_do_not_thin_the_rate() -> None:
    mail = Mail()
    mail.sent("m1", "yahoo", T0 - HOUR, 1000, complaints=5)
    mail.sent("m1", "google", T0 - HOUR, 1_000_000)
    mail.sent("m2", "yahoo", T0 - HOUR, 10_000, complaints=1)
    assert {rule for _, rule, _ in moving(signs_of(zone_of(2), mail))} == {
        "complaints over 0.1%",
        "complaints over 0.3%",
    }


def test_others_of_whom_nobody_complains_are_others_to_compare_with() -> None:
    mail = Mail()
    mail.sent("m1", "yahoo", T0 - HOUR, 2000, complaints=20)
    for host in ("m2", "m3"):
        mail.sent(host, "yahoo", T0 - HOUR, 2000)
    found = signs_of(zone_of(3), mail)
    assert moving(found) == [("m1", "complaints over 0.1%", None), ("m1", "complaints over 0.3%", None)]
    assert found[0].why.endswith("within the day (1.00%; of the others 0.00%)")


# --- what stands ---------------------------------------------------------------------------------------


def sign(
    host: str = "m1", rule: str = "yahoo ip", action: ReputationAction = BAR, lasts: float = 2 * HOUR
) -> Sign:
    return Sign(host, rule, "yahoo" if action.kind == "bar" else None, action, 0.3, "why", lasts)


def review(
    standings: Standings,
    zone: Zone,
    now: float,
    *found: Sign,
    share: float = 0.25,
    ignored: frozenset[str] = frozenset(),
) -> None:
    standings.review(found, zone.pools, now, lambda *_: share, lambda host, _: host in ignored)


def test_a_bar_takes_the_providers_share_and_gives_it_back() -> None:
    zone, standings = zone_of(4), Standings({})
    review(standings, zone, T0, sign())
    assert standings.factor("m1", T0) == Fraction(3, 4)
    assert standings.barred("m1") == {"yahoo": T0 + 2 * HOUR}
    assert standings.factor("m2", T0) == 1
    review(standings, zone, T0 + HOUR, sign())  # mail that came in since is refused, too
    assert standings.barred("m1") == {"yahoo": T0 + 3 * HOUR}
    review(standings, zone, T0 + 3 * HOUR)
    assert standings.barred("m1") == {}
    assert standings.factor("m1", T0 + 3 * HOUR) == Fraction(3, 4)
    assert standings.factor("m1", T0 + 3 * HOUR + DOUBLES) == 1
    review(standings, zone, T0 + 3 * HOUR + DOUBLES)
    assert not standings.known


def test_two_rules_for_one_provider_take_its_share_once() -> None:
    zone, standings = zone_of(4), Standings({})
    review(standings, zone, T0, sign(), sign(rule="any ip"))
    assert standings.factor("m1", T0) == Fraction(3, 4)


def test_a_quarantine_comes_back_by_doubling() -> None:
    zone, standings = zone_of(4), Standings({})
    listed = sign(rule="zen.spamhaus.org", action=QUARANTINE, lasts=0)
    review(standings, zone, T0, listed)
    assert standings.quarantines().keys() == {"m1"}
    assert standings.factor("m1", T0) == 1  # it is out anyway
    review(standings, zone, T0 + 60)
    assert not standings.quarantines()
    steps = [standings.factor("m1", T0 + 60 + step * DOUBLES) for step in range(6)]
    assert steps == [LEAST, LEAST * 2, LEAST * 4, LEAST * 8, 1, 1]


def test_one_cause_for_too_many_takes_nobody() -> None:
    zone, standings = zone_of(4), Standings({})
    listed = [sign(f"m{n}", "zen.spamhaus.org", QUARANTINE, 0) for n in (1, 2, 3)]
    review(standings, zone, T0, *listed[:2])
    assert standings.quarantines().keys() == {"m1", "m2"}
    review(standings, zone, T0 + 1800, *listed)
    assert standings.common == {Cause("zen.spamhaus.org", None): {"m1", "m2", "m3"}}
    assert not standings.quarantines()
    assert standings.factor("m1", T0 + 1800) == LEAST  # given back in steps
    assert standings.factor("m3", T0 + 1800) == 1  # nothing was taken
    review(standings, zone, T0 + 5400, *listed)
    assert not standings.quarantines()
    assert standings.factor("m1", T0 + 1800 + 4 * DOUBLES) == 1
    review(standings, zone, T0 + 9000)
    review(standings, zone, T0 + 9060)
    assert not standings.common


def test_hits_more_than_an_hour_apart_are_no_common_cause() -> None:
    zone, standings = zone_of(4), Standings({})
    first = [sign(f"m{n}", "bl.example", QUARANTINE, 0) for n in (1, 2)]
    review(standings, zone, T0, *first)
    review(standings, zone, T0 + HOUR + 1, *first, sign("m3", "bl.example", QUARANTINE, 0))
    assert not standings.common
    assert standings.quarantines().keys() == {"m1", "m2", "m3"}  # `max_out` bounds these


def test_on_call_overrules_at_once() -> None:
    zone, standings = zone_of(4), Standings({})
    review(standings, zone, T0, sign())
    review(standings, zone, T0 + 60, sign(), ignored=frozenset({"m1"}))
    assert standings.factor("m1", T0 + 60) == 1
    assert not standings.known


def test_what_becomes_the_same_for_all_keeps_nothing_taken() -> None:
    zone, standings = zone_of(4), Standings({})
    review(standings, zone, T0, sign())
    alert = Sign("m1", "yahoo ip", "yahoo", ALERT, 0.3, "all rise", 2 * HOUR)
    for minute in range(130):
        review(standings, zone, T0 + 60 * minute, alert)
    assert standings.barred("m1") == {}


def test_a_clock_set_back_keeps_nothing_for_long() -> None:
    zone, standings = zone_of(4), Standings({})
    review(standings, zone, T0 + 86400, sign())
    review(standings, zone, T0)
    review(standings, zone, T0 + DOUBLES)
    assert standings.barred("m1") == {}


HOSTS = st.sampled_from(["m1", "m2", "m3", "m4", "m5"])
ACTIONS = st.sampled_from(
    [
        BAR,
        QUARANTINE,
        ReputationAction(kind="reduce", percent=90),
        ReputationAction(kind="reduce", percent=100),
        ALERT,
    ]
)
SIGNS = st.builds(
    lambda host, rule, action, lasts, to: Sign(
        host, rule, to if action.kind == "bar" else None, action, 0.5, "", lasts
    ),
    HOSTS,
    st.sampled_from(["a", "b", "c"]),
    ACTIONS,
    st.sampled_from([0.0, 600.0, 7200.0]),
    st.sampled_from(["yahoo", "google", "microsoft"]),
)


@given(
    st.lists(st.tuples(st.integers(-4000, 9000), st.lists(SIGNS, max_size=9)), max_size=30), st.floats(0, 1)
)
def test_whatever_comes_factors_are_parts_and_one_cause_takes_few(
    rounds: list[tuple[int, list[Sign]]], share: float
) -> None:
    zone, standings, now = zone_of(5, "40%"), Standings({}), T0
    for step, found in rounds:
        now += step
        review(standings, zone, now, *found, share=share)
        for n in range(1, 6):
            assert LEAST <= standings.factor(f"m{n}", now) <= 1
            assert all(until >= 0 for until in standings.barred(f"m{n}").values())
        fresh: dict[Cause, set[str]] = defaultdict(set)
        for key, one in standings.known.items():
            if one.ended is None and one.action.kind != "alert" and now - one.since < HOUR:
                fresh[key.cause].add(key.host)
        assert all(len(hosts) <= 2 for hosts in fresh.values())
    for _ in range(20):  # nothing stands for ever without a sign
        now += HOUR
        review(standings, zone, now)
    assert not standings.known
    assert not standings.common


def test_a_barred_hosts_retry_queue_cannot_keep_it_barred() -> None:
    """Yahoo refuses m1 for half an hour; what it then has in its queue is refused for ten hours more."""
    zone, standings, mail = zone_of(4), Standings({}), Mail()
    barred = []
    for minute in range(600):
        now = T0 + 60 * minute
        bad = minute < 30
        share = 0 if standings.barred("m1") else 1
        for name in ("m1", "m2", "m3", "m4"):
            refused = 50 * share if bad and name == "m1" else 0
            mail.sent(name, "yahoo", now, 50 * (share if name == "m1" else 1), refused)
        # What came in during the trouble is refused again, hour after hour; some of it for the first time.
        mail.sent("m1", "yahoo", T0 + 60 * min(minute, 29), 5, 5, retried=200)
        review(standings, zone, now, *signs_of(zone, mail, now, standings))
        if standings.barred("m1"):
            barred.append(minute)
    assert barred
    assert barred[0] <= 3  # 100 first attempts
    assert barred[-1] <= 30 + 60 + 120  # the trouble, the hour that is looked at, the bar


def test_what_stands_goes_on_after_a_restart() -> None:
    key = StandingKey("m1", Cause("yahoo ip", "yahoo"))
    standings = Standings({key: Standing(BAR, "why", 0.3, 0.25, T0, T0 + HOUR)})
    review(standings, zone_of(4), T0 + 60)
    assert standings.factor("m1", T0 + 60) == Fraction(3, 4)
    review(standings, zone_of(4), T0 + HOUR)
    assert standings.barred("m1") == {}
