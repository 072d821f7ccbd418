"""Reputation in a report: mail, listings, what stands and what happened."""

from typing import Any

from geodns.cli.report.page import page
from geodns.cli.report.reputation import MOST, reputations_of

ZONE = "z.example"
HOSTILE = "<script>alert(1)</script>"


def tally(first: int, **more: Any) -> dict[str, Any]:
    return {"first": first, "delivered": 0, "deferred": 0, "bounced": 0, "complaint": 0, **more}


def action(rule: str, **more: Any) -> dict[str, Any]:
    return {
        "rule": rule,
        "provider": None,
        "action": "quarantine",
        "since": "2026-12-01T01:00:00Z",
        "until": None,
        "ended": None,
        "in_force": True,
        "took": 1.0,
        "why": HOSTILE,
        **more,
    }


def event(kind: str, text: str, minute: int = 0, author: str | None = None) -> dict[str, Any]:
    at = f"2026-12-01T{minute // 60:02}:{minute % 60:02}:00Z"
    return {"kind": kind, "zone": ZONE, "host": "mta1", "at": at, "text": text, "author": author, "data": {}}


BAR = action("any ip", provider="yahoo", action="bar", until="2026-12-01T03:00:00Z", in_force=False, took=0.0)
GIVEN_BACK = action("bl.test", ended="2026-12-01T02:00:00Z", took=0.9375)
YAHOO = tally(25, delivered=20, deferred=5, delay_p50_s=1.25, delay_p95_s=90.0)
MTA1 = {
    "factor": 1.0,
    "barred": {},
    "egress": {
        "192.0.2.1": {
            "listed": [
                {"list": "bl.test", "code": "127.0.0.2", "text": HOSTILE, "since": "2026-12-01T01:00:00Z"}
            ]
        }
    },
    "totals": {"1h": tally(0), "1d": tally(100, delivered=95, deferred=5, complaint=1), "7d": tally(0)},
    "providers": {"yahoo": {"1d": YAHOO}, "google": {"1d": tally(75, delivered=75), "7d": tally(900)}},
    "actions": [BAR, GIVEN_BACK],
}
REPUTATION = {
    "zones": {ZONE: {"mode": "act", "common": {"bl.test": ["mta1", "mta2"]}, "hosts": {"mta1": MTA1}}}
}


def test_mail_is_told_by_span_and_provider_the_largest_first() -> None:
    (zone,) = reputations_of(REPUTATION, ())
    assert [(one.span, one.provider, one.first) for one in zone.mail] == [
        ("1d", "", 100),
        ("1d", "google", 75),
        ("1d", "yahoo", 25),
        ("7d", "", 0),
        ("7d", "google", 900),
    ]
    yahoo = zone.mail[2]
    assert (yahoo.delivered, yahoo.deferred, yahoo.delays) == (0.8, 0.2, (1.25, 90.0))
    assert (zone.mail[3].delivered, zone.mail[0].complaints) == (None, 0.01)


def test_what_stands() -> None:
    (zone,) = reputations_of(REPUTATION, ())
    bar, given_back = zone.standing
    assert (bar.rule, bar.does, bar.took, bar.until) == (
        "any ip (yahoo)",
        "would bar",
        None,
        "2026-12-01T03:00:00Z",
    )
    assert (given_back.took, given_back.until) == (0.9375, "given back since 2026-12-01T02:00:00Z")
    assert zone.common == ("bl.test hits mta1, mta2 at once",)


def test_what_happened_the_latest_first_and_not_without_end() -> None:
    events = [event("reputation", f"bad {minute}", minute) for minute in range(MOST + 20)]
    events += [event("forced", "quarantined", 900, "reputation"), event("forced", "drained", 901, "ops")]
    events += [event("state", "down", 902), event("reputation", "of no zone", 903) | {"zone": None}]
    (zone,) = reputations_of(REPUTATION, events)
    assert zone.happened[0][1] == "quarantined"
    assert zone.happened[1][1] == f"bad {MOST + 19}"
    assert (len(zone.happened), zone.more) == (MOST, 21)


def test_the_page_has_all_of_it_and_texts_stay_texts() -> None:
    status = {
        "node": "ns1",
        "version": "1",
        "warnings": [],
        "zones": {ZONE: {"serial": 7}},
        "hosts": {ZONE: {"mta1": {"state": "up", "checks": []}}},
    }
    events = [event("reputation", f"mta1: {HOSTILE}")]
    text = page(status, {ZONE: {}}, events, 0, 1000, REPUTATION)
    assert HOSTILE not in text
    for part in (
        f"Reputation of {ZONE}",
        "bl.test hits mta1, mta2 at once: nobody is taken out for it",
        ">95.0%<",
        ">1.00%<",
        ">1.2 s<",
        ">90.0 s<",
        "127.0.0.2",
        "any ip (yahoo)",
        ">94%<",
        "mta1: &lt;script&gt;",
    ):
        assert part in text, part
    assert "Reputation of" not in page(status, {ZONE: {}}, events, 0, 1000)
    calm = {"zones": {ZONE: REPUTATION["zones"][ZONE] | {"mode": "observe", "hosts": {}, "common": {}}}}
    text = page(status, {ZONE: {}}, [], 0, 1000, calm)
    assert "what is shown here has no effect" in text
    assert "No block list has an address." in text
