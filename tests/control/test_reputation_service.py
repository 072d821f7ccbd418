"""Reputation in a control process: what speaks against hosts has effect, within bounds, and is given back."""

import asyncio
import logging
import time
from collections.abc import Iterator
from fractions import Fraction
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from types import SimpleNamespace

import pytest

from geodns.compiler.compile import compile_zones
from geodns.control import reputation_service
from geodns.control.order_versions import content_of
from geodns.control.reputation_service import BY_HAND, ReputationService
from geodns.control.signal_intake import Batch, Signal
from geodns.control.wall_clock import WallClock
from geodns.errors import NotFoundError, UsageError
from geodns.model.mail import MailEvent
from geodns.model.shared import OrderVersion, SharedOrder
from geodns.model.state import REPUTATION, Forced, ForcedState
from geodns.signals.listings import Listings
from tests.sample_zones import NAME
from tests.servicing import NOW, Rig
from tests.signals.test_reputation import Mail

HOUR = 3600.0
ZONE = """\
ns: {ns1: 192.0.2.53}
hosts: {m1: 192.0.2.1, m2: 192.0.2.2, m3: 192.0.2.3, m4: 192.0.2.4, in1: 192.0.2.9}
pools:
  main: {hosts: "m*", check: none, max_out: 2, answers: 1}
  inbound: {hosts: [in1], check: none, mail: in}
records: {"@": {pool: main}, in: {pool: inbound}}
reputation: {mode: act, dnsbl: [bl.test, other.test]}
"""
LISTED = frozenset({IPv4Address("127.0.0.2")})
LEAST = Fraction(1, 16)


class Judged:
    """The service with a clock and counts of the test's own; lists say what the test says.

    Attributes:
        mail: what became of mail.
        now: seconds since the epoch.

    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = ZONE) -> None:
        self.now = NOW
        clock = SimpleNamespace(time=lambda: self.now, monotonic=time.monotonic)
        monkeypatch.setattr(reputation_service, "time", clock)
        self.rig = Rig(folder, text)
        self.mail = Mail()
        self.service = self.rig.services.reputation
        self.service._counts = self.mail
        self.rig.serve()
        self.lists: dict[str, set[str]] = {}

    def again(self) -> ReputationService:
        """Make the service as the next process does."""
        services = self.rig.services
        return ReputationService(
            services.cluster,
            services.workers,
            services.orders,
            services.persistence,
            services.events,
            services.clock,
            self.mail,
        )

    def list_on(self, name: str, *hosts: int) -> None:
        """Let a list say that these hosts are on it, and no others."""
        known = self.service.listings.setdefault(NAME, Listings())
        answers = {
            ip_address(f"192.0.2.{n}"): (LISTED if n in hosts else frozenset[IPv4Address](), "spam")
            for n in (1, 2, 3, 4, 9)
        }
        known.took_round(name, answers, 1, self.now)

    def go(self, seconds: float = 10.0) -> None:
        self.now += seconds
        asyncio.run(self.service._review_now())

    def all_send(self, **refused: int) -> None:
        """Let each host have sent 100 messages to yahoo and 300 to google just now, some of them refused."""
        for host in ("m1", "m2", "m3", "m4", "in1"):
            self.mail.sent(host, "yahoo", self.now - 1, 100, refused.get(host, 0))
            self.mail.sent(host, "google", self.now - 1, 300)

    @property
    def ordered(self) -> dict[str, float | None]:
        """The badness of the quarantines that stand."""
        return {
            host: one.badness
            for (_, host), one in self.rig.services.cluster.forced.items()
            if one.forced is Forced.QUARANTINED
        }

    @property
    def dealt(self) -> set[str]:
        """Whom the pool deals."""
        return set(self.rig.services.cluster.compiled.choices[NAME, "main"].live)

    @property
    def factors(self) -> dict[str, float]:
        """What is left of hosts' weights."""
        return {host: float(one) for (_, host), one in self.rig.services.cluster.reputation.items()}


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judged]:
    one = Judged(tmp_path, monkeypatch)
    yield one
    one.rig.close()


# --- what rules do ----------------------------------------------------------------------------------------


def test_a_bar_lowers_the_weight_by_the_providers_share(judged: Judged) -> None:
    judged.all_send(m2=40)
    judged.go()
    assert judged.factors == {"m2": 0.75}, "a quarter of its mail goes to yahoo"
    assert judged.rig.services.cluster.live().factors[NAME, "m2"]["reputation"] == Fraction(3, 4)
    assert judged.rig.published, "workers deal by it"
    assert judged.service.barred((NAME, "m2")) == {"yahoo": NOW + 10 + 2 * HOUR}
    assert judged.ordered == {}
    judged.go(3 * HOUR)  # nothing was refused since
    assert judged.service.barred((NAME, "m2")) == {}
    assert judged.factors == {"m2": 0.75}, "it comes back in steps"
    judged.go(1801)
    assert judged.factors == {}


def test_the_worst_are_quarantined_within_max_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = Judged(tmp_path, monkeypatch, ZONE.replace("max_out: 2", "max_out: 1"))
    for host, bounced, complaints in (("m1", 0, 4), ("m2", 150, 0), ("m3", 0, 12), ("m4", 0, 1)):
        judged.mail.sent(host, "yahoo", judged.now - 60, 1000, bounced=bounced, complaints=complaints)
    judged.go()
    # m3 has 1.2 % complaints, m2 15 % bounces: both are quarantined, and max_out is 1.
    assert judged.ordered == {"m2": pytest.approx(15), "m3": pytest.approx(1.2)}
    assert judged.dealt == {"m1", "m3", "m4"}
    assert judged.service.is_quarantined((NAME, "m2"))
    assert not judged.service.is_quarantined((NAME, "m3"))
    one = judged.rig.services.cluster.forced[NAME, "m2"]
    assert one.author == "reputation"
    assert one.reason.startswith("bounces over 10%: 150 of 1000 messages were bounced within the day (15.00%")
    judged.go(24 * HOUR)
    judged.go(13 * HOUR)
    assert judged.ordered == {}
    judged.rig.close()


def test_rules_with_a_text_count_what_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = 'rules: [{provider: yahoo, text: "TSS0[45]", min: 10, above: 20%, action: quarantine}]}\n'
    one = Judged(tmp_path, monkeypatch, ZONE.replace("dnsbl: [bl.test, other.test]}", rules))
    one.now = time.time()
    signals = one.rig.services.signals
    one.service._counts = signals
    texts = {"m1": "421 4.7.0 [TSS04] later", "m2": "421 4.7.0 [TSS09] later", "m3": "", "m4": ""}
    rows = [
        Signal(0, None, host, None, event, "yahoo", 421, "4.7.0", text, None, number, None, one.now, 1)
        for host, text in texts.items()
        for event, number in ((MailEvent.DELIVERED, 20), (MailEvent.DEFERRED, 8 if text else 0))
        if number
    ]

    async def take() -> None:
        with signals.room():
            await signals.take(lambda: Batch("1", rows))
        await asyncio.sleep(0)

    asyncio.run(take())
    marked = signals.by_provider((NAME, "m1"), one.now - 3600, one.now + 1)["yahoo"].marked
    assert marked == {"yahoo ip TSS0[45]": 8}
    assert signals.by_provider((NAME, "m1"), one.now - 7200, one.now - 3600) == {}
    one.go(1)
    assert one.ordered.keys() == {"m1"}
    one.rig.close()


def test_pools_that_receive_are_left_alone(judged: Judged) -> None:
    judged.all_send(in1=90)
    judged.list_on("bl.test", 9)
    judged.go()
    assert (judged.factors, judged.ordered) == ({}, {})


# --- lists ------------------------------------------------------------------------------------------------


def test_a_listed_host_is_out_while_it_lasts_and_comes_back_in_steps(judged: Judged) -> None:
    judged.list_on("bl.test", 1)
    judged.list_on("other.test", 1)
    judged.go()
    assert judged.ordered.keys() == {"m1"}
    assert judged.dealt == {"m2", "m3", "m4"}
    judged.list_on("bl.test")
    judged.go(24 * HOUR)
    assert judged.ordered.keys() == {"m1"}, "the other list has it still"
    judged.list_on("other.test")
    judged.go()
    assert judged.ordered == {}
    steps = []
    for _ in range(5):
        steps.append(judged.factors.get("m1", 1))
        judged.go(1801)
    assert steps == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]


def test_one_cause_for_many_takes_nobody(judged: Judged, caplog: pytest.LogCaptureFixture) -> None:
    judged.list_on("bl.test", 1)
    judged.go()
    assert judged.ordered.keys() == {"m1"}
    judged.list_on("bl.test", 1, 2, 3)
    judged.go(600)
    assert judged.ordered == {}
    assert judged.factors == {"m1": float(LEAST)}, "what was taken for it is given back in steps"
    assert {str(cause): hosts for cause, hosts in judged.service.common(NAME).items()} == {
        "bl.test": {"m1", "m2", "m3"}
    }
    (alert,) = [one for one in judged.service.alerts() if one.level == logging.ERROR]
    assert "bl.test hits 3 hosts at once (m1, m2, m3), more than max_out" in alert.text
    judged.list_on("bl.test", 1)
    for _ in range(3):  # what is over is forgotten first
        judged.go(2 * HOUR)
    assert judged.ordered.keys() == {"m1"}, "it is one host's alone again"
    assert "m1.out.example.com" in caplog.text


# --- modes, orders ----------------------------------------------------------------------------------------


def test_mode_observe_shows_and_does_nothing(judged: Judged, caplog: pytest.LogCaptureFixture) -> None:
    judged.all_send(m2=40)
    judged.list_on("bl.test", 1)
    judged.go()
    assert judged.ordered.keys() == {"m1"}
    assert judged.factors == {"m2": 0.75}
    asyncio.run(judged.service.set_mode(NAME, "observe", 6 * HOUR, "ops", "too keen"))
    assert (judged.ordered, judged.factors, judged.dealt) == ({}, {}, {"m1", "m2", "m3", "m4"})
    assert judged.service.barred((NAME, "m2")) == {}
    assert judged.service.factor((NAME, "m2")) == Fraction(3, 4), "what would be"
    judged.list_on("bl.test", 1, 3)
    judged.go()
    assert judged.ordered == {}
    assert (
        f"host m3.{NAME}: bl.test: 192.0.2.3 is on bl.test (127.0.0.2: spam): would quarantine" in caplog.text
    )
    asyncio.run(judged.service.set_mode(NAME, "observe", 0, "ops", "known now"))
    assert judged.service.mode_order(NAME) is None
    assert judged.ordered.keys() == {"m1", "m3"}, "as the file says"
    asyncio.run(judged.service.set_mode(NAME, "observe", HOUR, "ops", ""))
    judged.go(HOUR + 1)
    assert judged.ordered.keys() == {"m1", "m3"}, "its time is over"
    assert judged.service.ignored == ()


def test_reviews_at_once_take_no_order_of_their_own_for_an_operators(judged: Judged) -> None:
    judged.list_on("bl.test", 1)
    judged.list_on("other.test", 2)
    judged.go()
    assert judged.ordered.keys() == {"m1", "m2"}

    async def test() -> None:
        mode = judged.service.set_mode(NAME, "observe", HOUR, "ops", "")
        await asyncio.gather(mode, *(judged.service._review_now() for _ in range(5)))

    asyncio.run(test())
    assert (judged.ordered, judged.service.ignored) == ({}, ())


def test_a_rule_is_ignored_for_a_host_for_a_while(judged: Judged) -> None:
    judged.list_on("bl.test", 1, 2)
    judged.list_on("other.test", 1)
    judged.go()
    assert judged.ordered.keys() == {"m1", "m2"}

    def ignore(host: str, rule: str | None, seconds: float) -> None:
        asyncio.run(judged.service.ignore((NAME, host), rule, seconds, "ops", "known"))

    ignore("m1", "bl.test", HOUR)
    assert judged.ordered.keys() == {"m1", "m2"}, "for the other list"
    ignore("m1", None, HOUR)
    assert judged.ordered.keys() == {"m2"}
    assert judged.factors == {}, "nothing is left to give back"
    ignore("m1", None, 0)
    assert judged.ordered.keys() == {"m1", "m2"}
    ignore("m1", "other.test", HOUR)
    assert judged.ordered.keys() == {"m1", "m2"}, "all that was ignored counts again"
    ignore("m1", "bl.test", HOUR)
    assert judged.ordered.keys() == {"m2"}
    judged.go(HOUR + 1)
    assert judged.ordered.keys() == {"m1", "m2"}
    assert judged.service.ignored == ()
    with pytest.raises(NotFoundError, match="no rule or list 'bl': there are yahoo ip, any ip"):
        ignore("m1", "bl", HOUR)


def test_zones_that_are_not_judged_take_no_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Judged(tmp_path, monkeypatch, ZONE.partition("reputation:")[0])
    one.go()
    with pytest.raises(UsageError, match="says nothing of reputation"):
        asyncio.run(one.service.set_mode(NAME, "act", HOUR, "ops", ""))
    with pytest.raises(UsageError, match="says nothing of reputation"):
        asyncio.run(one.service.ignore((NAME, "m1"), None, HOUR, "ops", ""))
    assert (one.service.standings, list(one.service.alerts())) == ({}, [])
    one.rig.close()


def test_another_server_ends_its_quarantines_itself(judged: Judged) -> None:
    state = ForcedState(Forced.QUARANTINED, "yahoo", REPUTATION, NOW, None, 50.0)
    key = {"zone": NAME, "host": "m1", "kind": "state", "node": "ns2", "at": NOW}
    orders = [
        SharedOrder(**key, version=OrderVersion(counter=1, id="0" * 32), content=content_of(state)),
        SharedOrder(**key, version=OrderVersion(counter=2, id="0" * 32)),
    ]
    taken = judged.rig.services.orders.shared_changed
    asyncio.run(taken(orders[:1], "ns2"))
    judged.go()  # nothing stands against it here
    assert judged.ordered == {"m1": 50.0}
    assert judged.service.is_quarantined((NAME, "m1"))
    asyncio.run(taken(orders[1:], "ns2"))
    judged.go()
    assert judged.ordered == {}
    assert judged.service.ignored == ()


def test_what_somebody_ends_by_hand_stays_so(judged: Judged) -> None:
    judged.list_on("bl.test", 1, 2)
    judged.go()
    cluster = judged.rig.services.cluster
    cluster.force((NAME, "m1"), None)
    judged.go()
    assert judged.ordered.keys() == {"m2"}
    (one,) = judged.service.ignored
    assert (one.host, one.rule, one.reason) == ((NAME, "m1"), "bl.test", "its quarantine was ended by hand")
    drained = ForcedState(Forced.DRAINED, "disk", "ops", judged.now)
    cluster.force((NAME, "m2"), drained)
    judged.go()
    assert cluster.forced == {(NAME, "m2"): drained}, "an operator's order is left alone"
    judged.go(BY_HAND)
    assert judged.ordered.keys() == {"m1"}


# --- clocks, restarts, edits ------------------------------------------------------------------------------


def test_a_clock_that_jumps_a_day_ends_and_begins_nothing(
    judged: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged.all_send(m2=40)
    judged.list_on("bl.test", 1)
    judged.go()
    before = (judged.ordered, judged.factors, dict(judged.service.standings[NAME].known))
    unset = 1000.0
    clock = WallClock(None, lambda: judged.now, lambda: unset)
    monkeypatch.setattr(judged.service, "_clock", clock)
    judged.now += 24 * HOUR
    clock.look()
    assert not clock.steady
    judged.list_on("bl.test", 1, 3)
    judged.go(1)
    asyncio.run(judged.service.ignore((NAME, "m1"), None, HOUR, "ops", ""))
    assert (judged.ordered, judged.factors, judged.service.standings[NAME].known) == before
    judged.now -= 24 * HOUR  # it is set right
    unset += 2
    clock.look()
    unset += 61
    judged.now += 61
    clock.look()
    assert clock.steady
    judged.go(0)
    assert judged.factors == {"m2": 0.75}
    assert judged.ordered.keys() == {"m3"}, "m1 is ignored"


def test_the_next_process_goes_on_where_this_one_was(judged: Judged) -> None:
    judged.all_send(m2=40)
    judged.list_on("bl.test", 1)
    judged.go()
    asyncio.run(judged.service.ignore((NAME, "m3"), "other.test", HOUR, "ops", "known"))
    cluster = judged.rig.services.cluster
    cluster.set_reputation({})
    again = judged.again()
    again.resume()
    assert judged.factors == {"m2": 0.75}, "before the first review"
    judged.mail.slots.clear()  # counts are not known yet, and lists have not been asked
    asyncio.run(again._review_now())
    assert judged.ordered.keys() == {"m1"}
    assert judged.factors == {"m2": 0.75}
    assert again.barred((NAME, "m2")) == {"yahoo": NOW + 10 + 2 * HOUR}
    assert again.ignored == judged.service.ignored
    assert again.lists_with((NAME, "m1")) == ("bl.test",)
    # What somebody has ended while nobody was there is no surprise either.
    cluster.force((NAME, "m1"), None)
    asyncio.run(again._review_now())
    assert judged.ordered == {}


def test_what_stood_is_told_before_the_first_review_where_no_list_has_anybody(judged: Judged) -> None:
    judged.all_send(m2=40)
    judged.go()
    assert [one.hosts for one in judged.again().alerts()] == [((NAME, "m2"),)]


def test_a_note_that_makes_no_sense_is_forgotten(judged: Judged) -> None:
    judged.rig.services.persistence.keep_note("reputation", '{"standings": [1, [2]], "ignored": "x"}')
    again = judged.again()
    asyncio.run(again._review_now())
    assert (again.ignored, judged.ordered) == ((), {})


def test_hosts_and_zones_that_go(judged: Judged) -> None:
    judged.mail.sent("m1", "yahoo", judged.now - 60, 1000, bounced=150)
    for host in ("m2", "m3", "m4"):
        judged.mail.sent(host, "yahoo", judged.now - 60, 1000)
    judged.go()
    assert judged.ordered.keys() == {"m1"}
    cluster = judged.rig.services.cluster
    judged.rig.file.write_text(ZONE.replace("hosts: {m1: 192.0.2.1,", "hosts: {"))
    judged.rig.serve()
    judged.go()  # the rule's time is not over, and the host is gone
    assert judged.ordered == {}
    judged.rig.file.write_text(ZONE)
    judged.rig.serve()
    judged.go()
    assert judged.ordered.keys() == {"m1"}

    known = dict(judged.service.standings[NAME].known)
    cluster.serve_zones(compile_zones(cluster.compiled, {}, cluster.live()), judged.now)
    judged.go()  # the file cannot be served just now
    assert judged.service.standings[NAME].known == known
    assert judged.ordered.keys() == {"m1"}
    judged.rig.file.write_text(ZONE.partition("reputation:")[0])
    judged.rig.serve()
    judged.go()
    assert (judged.service.standings, judged.ordered) == ({}, {})
