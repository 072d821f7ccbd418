"""What a batch of signals comes to: whose mail it was, when it came in, what it counts as."""

from collections import Counter
from typing import Any

import pytest

from geodns.control.signal_intake import (
    AHEAD,
    IN_ALL,
    LATE,
    OLDEST,
    PER_HOST,
    Batch,
    HostIndex,
    Judged,
    ProviderPlaces,
    Signal,
    judge,
)
from geodns.errors import NotFoundError
from geodns.model.mail import About, MailEvent, MailKind
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.signals.text_rules import TextRules
from geodns.zonefile.reader import parse_zone

NOW = 1_795_478_400.0  # 2026-11-24T00:00:00Z
ZONE, OTHER_ZONE = "out.example.com", "in.example.com"
HOST = (ZONE, "mta1")


def zone(name: str, hosts: str) -> Zone:
    found = parse_zone(name, f"ns: {{ns1: 192.0.2.53}}\nhosts: {hosts}\n".encode(), name).zone
    assert found is not None
    return found


RULES = "[{provider: yahoo, text: TSS04}, {text: 'queue [0-9]+'}, {provider: google}]"
MTA2 = '{address: 192.0.2.12, egress: [203.0.113.12, "2001:db8::c"]}'
MTA4 = "{address: 192.0.2.14, egress: 203.0.113.4}"
OTHERS = "{mta1: 192.0.2.11, mta3: 192.0.2.13, mta4: 192.0.2.24}"
ZONES = {
    ZONE: zone(ZONE, f"{{mta1: 192.0.2.11, mta2: {MTA2}, mta4: {MTA4}}}"),
    OTHER_ZONE: zone(OTHER_ZONE, f"{OTHERS}\nreputation: {{rules: {RULES}}}"),
}
INDEX, TEXTS = HostIndex(ZONES), TextRules(ZONES)


@pytest.mark.parametrize(
    ("zone", "host", "egress", "expected"),
    [
        pytest.param(None, "mta2", None, ((ZONE, "mta2"), ""), id="short"),
        pytest.param(None, "MTA2.out.example.com.", None, ((ZONE, "mta2"), ""), id="whole"),
        pytest.param(ZONE.upper(), "mta1", None, (HOST, ""), id="with its zone"),
        pytest.param(None, None, "203.0.113.12", ((ZONE, "mta2"), "203.0.113.12"), id="IPv4"),
        pytest.param(None, None, "2001:DB8:0::c", ((ZONE, "mta2"), "2001:db8::c"), id="IPv6"),
        pytest.param(ZONE, None, "192.0.2.11", (HOST, "192.0.2.11"), id="address and zone"),
        pytest.param(None, "mta2", "203.0.113.12", ((ZONE, "mta2"), "203.0.113.12"), id="both"),
        pytest.param(
            None,
            "mta4",
            "203.0.113.4",
            ((ZONE, "mta4"), "203.0.113.4"),
            id="in two zones, but for its address",
        ),
        pytest.param(None, "mta2", "192.0.2.12", ((ZONE, "mta2"), ""), id="an address that is no source"),
        pytest.param(
            None, "mta1", None, "it is not clear which host 'mta1' it was (mta1.out", id="two zones"
        ),
        pytest.param(None, None, "192.0.2.11", "it is not clear which host with egress", id="two hosts"),
        pytest.param(None, None, "192.0.2.12", "no host with egress 192.0.2.12 is served", id="not a source"),
        pytest.param(
            OTHER_ZONE, "mta2", None, "zone in.example.com has no host 'mta2'", id="in another zone"
        ),
        pytest.param("nowhere", "mta2", None, "no zone 'nowhere' is served", id="no zone"),
        pytest.param(None, "mt\0a", None, "no host 'mt\\x00a' is served", id="no name"),
        pytest.param(None, None, None, "whose mail was it?", id="nobody"),
    ],
)
def test_whose_mail_it_was(zone: str | None, host: str | None, egress: str | None, expected: Any) -> None:
    if isinstance(expected, str):
        with pytest.raises(NotFoundError) as caught:
            INDEX.find(zone, host, egress)
        assert str(caught.value).startswith(expected)
    else:
        assert INDEX.find(zone, host, egress) == expected


def test_who_is_alive_is_so_in_all_zones() -> None:
    batch = Batch("1", (), (), ("mta1", "203.0.113.12", "mta9", "192.0.2.99"))
    found = judge(batch, INDEX, TEXTS, ProviderPlaces(), classify, NOW)
    assert found.hosts == {HOST, (OTHER_ZONE, "mta1"), (ZONE, "mta2")}
    assert found.strangers == ("mta9", "192.0.2.99")


def signal(place: int = 0, **more: Any) -> Signal:
    blank = Signal(
        place, ZONE, "mta1", None, MailEvent.DELIVERED, "google", 0, "", "", None, 1, None, None, 1
    )
    return blank._replace(**more)


def classify(code: int, enhanced: str, text: str, provider: str) -> About:
    assert (enhanced, provider) == ("5.7.1", "google")
    return {550: About.IP, 0: About.UNKNOWN}[code] if text else About.PASSING


def judged(*signals: Signal, places: ProviderPlaces | None = None) -> Judged:
    return judge(Batch("1", signals), INDEX, TEXTS, places or ProviderPlaces(), classify, NOW)


def kind_of(**more: Any) -> MailKind:
    ((((_, _, kind), _),),) = [list(five.counts.items()) for five in judged(signal(**more)).fives.values()]
    return kind


REPLY: dict[str, Any] = {"code": 550, "enhanced": "5.7.1", "text": "no"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, MailKind(MailEvent.DELIVERED, None, first=True, dated=False), id="delivered"),
        pytest.param({"queued": NOW}, MailKind(MailEvent.DELIVERED, None, first=True), id="dated"),
        pytest.param({"attempt": 2, "queued": NOW}, MailKind(MailEvent.DELIVERED), id="delivered later"),
        pytest.param(
            {"event": MailEvent.DEFERRED, "queued": NOW, **REPLY},
            MailKind(MailEvent.DEFERRED, About.IP, first=True),
            id="deferred",
        ),
        pytest.param(
            {"event": MailEvent.RETRIED, "queued": NOW, **REPLY},
            MailKind(MailEvent.RETRIED, About.IP),
            id="retried",
        ),
        pytest.param(
            {"event": MailEvent.EXPIRED, "queued": NOW, "attempt": 9, **REPLY},
            MailKind(MailEvent.EXPIRED, About.IP),
            id="expired",
        ),
        pytest.param(
            {"event": MailEvent.COMPLAINT, "queued": NOW, **REPLY},
            MailKind(MailEvent.COMPLAINT),
            id="complaint",
        ),
        pytest.param(
            {"at": NOW - LATE - 1, "queued": NOW - LATE - 1},
            MailKind(MailEvent.DELIVERED, None, first=True, late=True),
            id="told late",
        ),
        pytest.param(
            {"at": NOW - LATE, "queued": NOW - 5 * LATE},
            MailKind(MailEvent.DELIVERED, None, first=True),
            id="told in time, of mail that came in long ago",
        ),
    ],
)
def test_what_it_counts_as(more: dict[str, Any], expected: MailKind) -> None:
    assert kind_of(**more) == expected


@pytest.mark.parametrize(
    ("at", "queued", "expected"),
    [
        pytest.param(None, None, NOW, id="now"),
        pytest.param(NOW - 700, None, NOW - 900, id="when it happened"),
        pytest.param(NOW - 700, NOW - 1500, NOW - 1500, id="when it came in"),
        pytest.param(NOW + AHEAD, None, NOW, id="a clock a little ahead"),
        pytest.param(NOW - 700, NOW, NOW - 900, id="it came in before it was sent"),
        pytest.param(NOW + AHEAD + 1, None, "`at` is 301 s ahead", id="a clock far ahead"),
        pytest.param(NOW, NOW + 3601, "`queued` is 3,601 s ahead", id="it comes in within an hour"),
        pytest.param(NOW, NOW - OLDEST - 1, "`queued` is more than 89 days ago", id="it came in last year"),
    ],
)
def test_when_it_counts(at: float | None, queued: float | None, expected: Any) -> None:
    found = judged(signal(at=at, queued=queued))
    if isinstance(expected, str):
        ((place, error),) = found.rejected
        assert (found.accepted, place, error[: len(expected)]) == (0, 0, expected)
    else:
        assert [*found.fives] == [(HOST, int(expected))]


def test_replies_that_nobody_understands_are_gathered() -> None:
    unknown = REPLY | {"code": 0, "event": MailEvent.BOUNCED}
    found = judged(*(signal(number=3, **unknown) for _ in range(2)), signal(event=MailEvent.BOUNCED, **REPLY))
    assert found.unknown == Counter({"no": 6})


def test_delays_are_of_deliveries_alone() -> None:
    found = judged(
        signal(delay=1.0, number=4),
        signal(delay=1.0, event=MailEvent.BOUNCED, enhanced="5.7.1"),
        signal(delay=1.0),
    )
    ((_, five),) = found.fives.items()
    assert five.delays == {"google": {0: 5}}


class TestProviderPlaces:
    def admitted(
        self, places: ProviderPlaces, *providers: str, host: HostKey = HOST, at: float = NOW
    ) -> set[str]:
        return set(places.admit(host, Counter(providers), at).values())

    def test_the_largest_come_first(self) -> None:
        names = [f"p{number}" for number in range(PER_HOST + 50) for _ in range(number + 1)]
        found = self.admitted(ProviderPlaces(), *names, "google", "other")
        expected = {f"p{number}" for number in range(50, PER_HOST + 50)}
        assert found == expected | {"google", "other"}

    def test_a_place_is_given_up_after_a_day(self) -> None:
        places = ProviderPlaces()
        assert self.admitted(places, *(f"p{number}" for number in range(PER_HOST))) >= {"p0"}
        assert self.admitted(places, "p0", "new", at=NOW + 86400) == {"p0", "other"}
        assert places.full(NOW + 86400) == [HOST]
        assert self.admitted(places, "new", at=NOW + 86401) == {"new"}
        assert places.full(NOW + 2 * 86400 + 2) == []

    def test_all_hosts_have_a_bound_together(self) -> None:
        places = ProviderPlaces()
        for number in range(IN_ALL // PER_HOST):
            self.admitted(places, *(f"p{one}" for one in range(PER_HOST)), host=(ZONE, f"h{number}"))
        assert self.admitted(places, "p0", "google", host=(ZONE, "more")) == {"other", "google"}

    def test_hosts_that_send_no_more_give_their_places_up(self) -> None:
        places = ProviderPlaces()
        for number in range(IN_ALL // PER_HOST):
            self.admitted(places, *(f"p{one}" for one in range(PER_HOST)), host=(ZONE, f"h{number}"))
        new = (ZONE, "new")
        assert self.admitted(places, "p0", host=new, at=NOW + 86400) == {"other"}
        assert self.admitted(places, "p0", host=new, at=NOW + 86401) == {"p0"}

    def test_places_of_before_a_restart_are_kept(self) -> None:
        places = ProviderPlaces()
        places.note(HOST, [f"p{number}" for number in range(PER_HOST)], NOW - 10)
        assert self.admitted(places, "p5", "new") == {"p5", "other"}


@pytest.mark.parametrize(
    ("more", "rules"),
    [
        pytest.param(
            {"provider": "yahoo", "text": "421 [TSS04] later"}, ["yahoo ip TSS04"], id="its provider"
        ),
        pytest.param({"provider": "google", "text": "421 [TSS04] later"}, [], id="another provider"),
        pytest.param({"provider": "gmx", "text": "see queue 17"}, ["any ip queue [0-9]+"], id="any provider"),
        pytest.param(
            {"provider": "yahoo", "text": "TSS04 queue 1"},
            ["yahoo ip TSS04", "any ip queue [0-9]+"],
            id="both",
        ),
        pytest.param({"provider": "yahoo", "text": "TSS04", "attempt": 2}, [], id="a later attempt"),
        pytest.param({"provider": "yahoo", "text": "TSS04", "event": MailEvent.RETRIED}, [], id="a retry"),
        pytest.param(
            {"provider": "yahoo", "text": "TSS04", "event": MailEvent.DELIVERED}, [], id="delivered"
        ),
        pytest.param({"provider": "yahoo", "text": "TSS04", "at": NOW - LATE - 1}, [], id="told late"),
        pytest.param(
            {"provider": "yahoo", "text": "TSS04", "zone": ZONE, "host": "mta2"}, [], id="a zone without"
        ),
    ],
)
def test_refusals_are_marked_by_rules_that_look_for_a_text(more: dict[str, Any], rules: list[str]) -> None:
    said = {"zone": OTHER_ZONE, "host": "mta3", "event": MailEvent.DEFERRED, "number": 3, **more}
    batch = Batch("1", [signal(**said)])
    found = judge(batch, INDEX, TEXTS, ProviderPlaces(), lambda *_: About.IP, NOW).marked
    assert [(rule, number) for one in found.values() for (_, rule), number in one.items()] == [
        (rule, 3) for rule in rules
    ]
