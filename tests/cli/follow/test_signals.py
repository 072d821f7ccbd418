"""What lines say, as signals: attempts, addresses of ours, providers, and nobody's mail address."""

import json
from typing import Any

import pytest

from geodns.cli.follow import attempts as attempts_module
from geodns.cli.follow.attempts import Attempts
from geodns.cli.follow.said import Complaint, Delivery, Expired, Finished, Said
from geodns.cli.follow.signals import (
    Collector,
    Ours,
    Sender,
    batches,
    blanked,
    moment,
    provider_of,
    provider_of_reporter,
)
from geodns.model.mail import MailEvent

AT = 1795968653.0
OWN = "192.0.2.1"
Shown = list[dict[str, Any]]


def delivery(
    event: str = "delivered", at: float = 0.0, message: str = "M1", to: str = "joe@gmail.com", **more: Any
) -> Delivery:
    given: dict[str, Any] = {"queued": AT, "waited": at, "sender": "postfix", "address": "203.0.113.27"}
    return Delivery(at=AT + at, message=message, recipient=to, event=MailEvent(event), **(given | more))


def collector(sender: Sender | None = None, ours: Ours | None = None) -> Collector:
    return Collector(Sender(egress=OWN) if sender is None else sender, Attempts(), ours or Ours())


def shown(one: Collector, *said: Said) -> Shown:
    for what in said:
        one.add(what)
    return [one.shown(signal, count) for signal, count in one.take()]


def fates(*said: Said) -> list[tuple[str, int]]:
    """The event and the attempt of each line."""
    one = collector()
    found = [shown(one, what) for what in said]
    return [(given["event"], given.get("attempt", 1)) for some in found for given in some]


DEFERRED = delivery("deferred", text="421 later")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param([delivery()], [("delivered", 1)], id="at-once"),
        pytest.param(
            [DEFERRED, delivery("deferred", 300), delivery("delivered", 900)],
            [("deferred", 1), ("retried", 1), ("delivered", 3)],
            id="third-time",
        ),
        pytest.param(
            [DEFERRED, delivery("bounced", 300)], [("deferred", 1), ("bounced", 2)], id="refused-later"
        ),
        pytest.param(
            [DEFERRED, delivery(to="amy@gmail.com"), delivery("deferred", 300, "M2")],
            [("deferred", 1), ("delivered", 1), ("deferred", 1)],
            id="others-attempts-are-others",
        ),
        pytest.param([DEFERRED, Finished("M1"), DEFERRED], [("deferred", 1)] * 2, id="name-used-again"),
        pytest.param(
            [DEFERRED, delivery("deferred", 300), Expired(AT + 400, "M1"), Expired(AT + 400, "M1")],
            [("deferred", 1), ("retried", 1), ("expired", 3)],
            id="given-up",
        ),
        pytest.param(
            [
                delivery("deferred", tried=False),
                delivery("deferred", 300, tried=False),
                delivery("deferred", 600),
            ],
            [("retried", 1), ("retried", 1), ("deferred", 1)],
            id="not-tried-is-no-attempt",
        ),
        pytest.param(
            [delivery("deferred", tried=False), Expired(AT + 400, "M1")],
            [("retried", 1), ("expired", 1)],
            id="given-up-untried",
        ),
        pytest.param([Expired(AT, "M9"), Finished("M9")], [], id="unknown"),
        pytest.param([delivery("bounced", attempt=3)], [("bounced", 3)], id="the-log-counts"),
        pytest.param([delivery("deferred", attempt=2)], [("retried", 1)], id="the-log-counts-deferrals"),
        pytest.param(
            [delivery(at=1000, queued=AT + 100, waited=900.0)],
            [("delivered", 2)],
            id="older-than-what-was-read",
        ),
        pytest.param([delivery(at=1000, queued=AT, waited=9.0)], [("delivered", 1)], id="a-busy-queue"),
        pytest.param(
            [delivery(), delivery("deferred", 1000, "M2", queued=AT + 1, waited=900.0)],
            [("delivered", 1), ("deferred", 1)],
            id="newer-than-what-was-read",
        ),
    ],
)
def test_attempts(said: list[Said], expected: list[tuple[str, int]]) -> None:
    assert fates(*said) == expected


def test_only_later_attempts_that_end_say_so() -> None:
    found = [shown(one := collector(), DEFERRED), shown(one, delivery("deferred", 300))]
    assert ["attempt" in given for some in found for given in some] == [False, False]


def test_memory_is_bounded_and_what_is_forgotten_is_never_taken_for_a_first_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts_module, "MOST", 100)
    one = Attempts()
    for number in range(1000):
        said = delivery("deferred", number, f"M{number}", queued=AT + number, waited=0.0)
        assert one.number(said, "google", OWN) == 1
    assert len(one) == 100
    assert one.number(delivery("deferred", 2000, "M5", queued=AT + 5, waited=1995.0), "google", OWN) == 2
    assert one.number(delivery("deferred", 2000, "M990", queued=AT + 990, waited=1010.0), "google", OWN) == 2


def test_what_was_put_off_is_known_after_a_restart() -> None:
    before = Attempts()
    before.number(delivery("deferred"), "google", OWN)
    before.number(delivery("deferred", to="amy@gmail.com"), "google", OWN)
    before.number(delivery("deferred", message="M2"), "google", OWN)
    before.finish("M2")
    kept = {name: before.state_of(name) for name in before.changed}
    assert kept.keys() == {"M1", "M2"}
    assert kept["M2"] is None
    assert "@" not in str(kept)
    after = Attempts(before.since)
    state = kept["M1"]
    assert state is not None
    after.load("M1", state)
    assert len(after) == 2
    assert after.number(delivery("delivered", 300), "google", OWN) == 2


@pytest.mark.parametrize(
    ("sender", "given", "expected"),
    [
        (Sender(egress=OWN), {}, {"egress": OWN}),
        (Sender(host="mta1"), {}, {"host": "mta1"}),
        (Sender("out.example.com", "mta1"), {}, {"zone": "out.example.com", "host": "mta1"}),
        (Sender(egress=OWN), {"local": "192.0.2.9"}, {"egress": "192.0.2.9"}),
        (Sender(host="mta1"), {"local": "192.0.2.9"}, {"egress": "192.0.2.9"}),
        (Sender(egress=OWN, named={"postfix": "192.0.2.5"}), {}, {"egress": "192.0.2.5"}),
        (Sender(named={"10.0.0.5": "192.0.2.5"}), {"local": "10.0.0.5"}, {"egress": "192.0.2.5"}),
    ],
)
def test_who(sender: Sender, given: dict[str, Any], expected: dict[str, str]) -> None:
    (found,) = shown(collector(sender), delivery(**given))
    assert {name: found[name] for name in ("zone", "host", "egress") if name in found} == expected


def test_what_failed_to_connect_left_from_where_the_same_sender_did() -> None:
    one = collector(Sender())
    lines = [
        delivery(sender="remote_smtp", local="192.0.2.9"),
        delivery("deferred", sender="remote_smtp"),
        delivery("deferred", message="M2", sender="ip-5", local="192.0.2.8"),
        delivery("expired", 900, message="M2", sender="unspecified"),
    ]
    found = shown(one, *lines)
    assert [given["egress"] for given in found] == ["192.0.2.9", "192.0.2.9", "192.0.2.8", "192.0.2.8"]
    assert one.nameless == 0


@pytest.mark.parametrize(
    "given",
    [{"queued": -5.0}, {"at": float("inf")}, {"at": float("nan")}, {"at": 1e30}, {"queued": float("nan")}],
)
def test_impossible_times_are_not_told(given: dict[str, Any]) -> None:
    one = collector()
    assert shown(one, delivery(**given)) == []
    assert one.timeless == 1


def test_a_message_is_not_queued_after_it_was_sent() -> None:
    (found,) = shown(collector(), delivery("bounced", queued=AT + 500))
    assert found["queued"] == found["at"]


def test_deliveries_of_nobody_are_counted_and_not_told() -> None:
    one = collector(Sender())
    assert shown(one, delivery()) == []
    assert one.nameless == 1


def test_a_delivery_is_told_whole() -> None:
    one = collector(Sender("out.example.com", egress=OWN))
    said = delivery(
        "bounced", 2.7, dsn="550 5.1.1", text="550 5.1.1 <joe@gmail.com> unknown", queued=AT + 0.5
    )
    assert shown(one, said) == [
        {
            "zone": "out.example.com",
            "egress": OWN,
            "event": "bounced",
            "provider": "google",
            "at": "2026-11-29T16:10:55Z",
            "queued": "2026-11-29T16:10:53Z",
            "dsn": "550 5.1.1",
            "text": "550 5.1.1 <redacted> unknown",
        }
    ]


def test_deliveries_that_are_alike_are_one_signal() -> None:
    one = collector()
    found = shown(one, *(delivery(at=1.23 + number / 1000, message=f"M{number}") for number in range(9)))
    assert [(given["count"], given["delay_s"]) for given in found] == [(9, 1.2)]
    assert found[0]["queued"] == "2026-11-29T16:10:00Z"
    assert one.take() == []


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("private/filter", True),
        ("192.0.2.7", True),
        ("2001:db8::7", True),
        ("2001:DB8:0::7", True),
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("10.2.0.1", False),
        ("203.0.113.27", False),
        ("2001:db8::8", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("mx", False),
    ],
)
def test_what_is_ours(address: str, inside: bool) -> None:
    from ipaddress import ip_network

    ours = Ours((ip_network("10.1.0.0/16"),), frozenset({"192.0.2.7", "2001:db8::7"}))
    one = collector(ours=ours)
    assert len(shown(one, delivery(address=address))) == (not inside)
    assert one.inside == inside


@pytest.mark.parametrize(
    ("domain", "server", "expected"),
    [
        ("gmail.com", "", "google"),
        ("gmail.com", "mx.yahoodns.net", "google"),
        ("b.example", "aspmx.l.google.com", "google"),
        ("b.example", "b-example.mail.protection.outlook.com.", "microsoft"),
        ("yahoo.com", "", "yahoo"),
        ("b.example", "mx.notgoogle.com", "other"),
        ("b.example", "", "other"),
    ],
)
def test_providers(domain: str, server: str, expected: str) -> None:
    assert provider_of(domain, server) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("mail.yahoo.com", "b.example"), "yahoo"),
        (("feedback.b.example", "arf.mail.yahoo.com"), "yahoo"),
        (("", "b.example"), "other"),
        ((), "other"),
    ],
)
def test_reporters(names: tuple[str, ...], expected: str) -> None:
    (found,) = shown(collector(), Complaint(AT, AT - 60, OWN, names, 3))
    assert found == {
        "egress": OWN,
        "event": "complaint",
        "provider": expected,
        "at": moment(AT),
        "queued": moment(AT - 60),
        "count": 3,
    }
    assert provider_of_reporter(names) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("550 5.1.1 <joe@gmail.com> unknown", "550 5.1.1 <redacted> unknown"),
        ("550 5.1.1 joe@gmail.com... unknown", "550 5.1.1 <redacted> unknown"),
        ("550 joe.x+tag=1@b.example: unknown", "550 <redacted>: unknown"),
        ('550 "joe.x"@b.example unknown', "550 <redacted> unknown"),
        ("550 jo\xf6@b.example no", "550 <redacted> no"),
        ("550 mailto:joe@b.example (joe@b.example)", "550 mailto:<redacted> (<redacted>)"),
        ("550 see https://b.example/?a=joe%40b.example&n=1", "550 see https://b.example/<redacted>&n=1"),
        (
            "550 5.1.1 <joe>: no such user, 'JOE' neither",
            "550 5.1.1 <redacted>: no such user, <redacted> neither",
        ),
        ("550 joe is no word to blank", "550 joe is no word to blank"),
        (
            "550 5.1.1 User joe unknown, recipient: Joe.",
            "550 5.1.1 User <redacted> unknown, recipient: <redacted>",
        ),
        ("550 user unknown", "550 user unknown"),
        ("421 4.7.0 [192.0.2.1] rate", "421 4.7.0 [192.0.2.1] rate"),
        ("550 a\x00\x1b[2J\nb", "550 a [2J b"),
        ("550 " + "x" * 5000, "550 " + "x" * 996),
    ],
)
def test_nobodys_address_leaves(text: str, expected: str) -> None:
    assert blanked(text, "joe@gmail.com") == expected


def test_blanking_takes_no_long_time() -> None:
    for nasty in ("a" * 60_000 + "@", "<" * 60_000, '"' * 60_000 + "@", "@" * 60_000, "a@" * 30_000):
        assert len(blanked(nasty, "a@b")) <= 1000


def test_a_body_is_what_the_api_takes_and_no_larger() -> None:
    one = collector()
    for number in range(12_000):
        one.add(delivery("bounced", 0, f"M{number}", text=f"550 {number} \ud800"))
    parts = list(batches(one.take()))
    assert [len(part) for part in parts] == [5000, 5000, 2000]
    for number in range(5_000):
        one.add(delivery("bounced", 0, f"M{number}", text=f"550 {number}" + '\u20ac\x01\x02"' * 330))
    bodies = [one.body("b-2", part) for part in batches(one.take())]
    assert max(map(len, bodies)) < 4_000_000
    assert sum(len(json.loads(body)["signals"]) for body in bodies) == 5_000
    body = json.loads(one.body("b-1", parts[0]))
    assert body["batch"] == "b-1"
    assert len(body["signals"]) == 5000


def test_the_heartbeat_names_who_is_read() -> None:
    one = collector(Sender(host="mta1", named={"postfix/b": "192.0.2.5"}))
    one.add(delivery(local="192.0.2.9"))
    assert one.alive() == ["192.0.2.5", "192.0.2.9", "mta1"]
