"""What differs between two readings of a zone: told in the file's words, and nothing where nothing does."""

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.experiments import Arm, Experiment
from geodns.model.hosts import Endpoint, Host, Origin
from geodns.model.reputation import Reputation
from geodns.model.views import PoolRule
from geodns.model.zone import Member, MinLive, Record, Rule, Tier, Zone
from geodns.zones.diff import summary, zone_diff
from tests.sample_zones import zone

TEXT = """\
ttl: 30
ns: {ns1: 192.0.2.53, ns2.example.net.: []}
checks: {smtp: {interval: 10s, fall: 3}}
hosts:
  mta1: {address: [192.0.2.11, "2001:db8::11"], weight: 50}
  mta2: {address: 192.0.2.12, weight: 30}
  mta3: {address: 192.0.2.13, weight: 20, probe: "10.0.0.13:2525"}
pools:
  main: {hosts: "*", check: smtp, answers: 2}
  reserve: {hosts: {mta3: 10}, check: smtp}
records:
  "@": {A: {pool: main}, AAAA: {pool: main}, MX: {pool: main, preference: 10}}
  static: {ttl: 300, A: 192.0.2.80}
  note: {TXT: "one"}
"""
MINUS = "\N{MINUS SIGN}"
BASE = zone(TEXT)


@pytest.mark.parametrize(
    ("edits", "lines"),
    [
        pytest.param([("ttl: 30", "ttl: 60")], ["ttl 30 → 60"], id="ttl"),
        pytest.param([("ttl: 30", "ttl: 30\nrecord_ttl: 2h")], ["record_ttl 3600 → 7200"], id="record-ttl"),
        pytest.param([("ttl: 30", "ttl: 30\nretire: 90m")], ["retire 1h → 90m"], id="retire"),
        pytest.param(
            [("ttl: 30", "ttl: 30\nsoa: {refresh: 1h, retry: 5m}")], ["soa retry 600 → 300"], id="soa"
        ),
        pytest.param([("ns1: 192.0.2.53", "ns1: 192.0.2.54")], ["ns ns1: addresses 192.0.2.53 → 192.0.2.54"]),
        pytest.param(
            [("ns2.example.net.", "ns3.example.net.")],
            [f"ns +1 (ns3.example.net.) {MINUS}1 (ns2.example.net.)"],
            id="ns",
        ),
        pytest.param(
            [("interval: 10s, fall: 3", "interval: 1s, fall: 2, expect: 'ESMTP'")],
            ["check smtp: interval 10s → 1s, fast_interval 2s → 1s, fall 3 → 2, expect none → ESMTP"],
            id="check",
        ),
        pytest.param(
            [
                ("weight: 30}", "weight: 30, warmup: {plan: [200, 500], start: 2026-12-01}}"),
                ("answers: 2}", "answers: 2, volume: 1000}"),
            ],
            [
                "host mta2: warmup none → {plan 200, 500, start 2026-12-01}",
                "main: volume none → 1000",
            ],
            id="warmup",
        ),
        pytest.param(
            [("weight: 50", "weight: 40"), ("weight: 30", "weight: 40")],
            ["main: weights 50/30/20 → 40/40/20 (mta1, mta2, mta3)"],
            id="weights",
        ),
        pytest.param(
            [("mta3: 10", "mta3: 5")],
            ["reserve: weights 10 → 5 (mta3)"],
            id="weights-of-a-pool-alone",
        ),
        pytest.param(
            [
                ("  mta2: {address: 192.0.2.12, weight: 30}\n", ""),
                ("2525", "2626"),
                ("pools:", "  mta4: {address: 192.0.2.14, weight: 7}\npools:"),
            ],
            [
                f"hosts +1 (mta4) {MINUS}1 (mta2)",
                "host mta3: probe [10.0.0.13]:2525 → [10.0.0.13]:2626",
                f"main: hosts +1 (mta4) {MINUS}1 (mta2)",
            ],
            id="hosts",
        ),
        pytest.param(
            [("192.0.2.12", "192.0.2.112")], ["host mta2: addresses 192.0.2.12 → 192.0.2.112"], id="address"
        ),
        pytest.param(
            [("answers: 2", "answers: 1, min_live: 2, fallback: reserve, hold: 1m")],
            ["main: answers 2 → 1, min_live 50% → 2, fallback none → reserve, hold 30s → 1m"],
            id="pool",
        ),
        pytest.param(
            [("  reserve: {", "  spare: {")],
            [f"pools +1 (spare) {MINUS}1 (reserve)"],
            id="pools",
        ),
        pytest.param(
            [("192.0.2.80", "[192.0.2.80, 192.0.2.81]"), ("ttl: 300", "ttl: 600")],
            ["static A: 192.0.2.80 → 192.0.2.80, 192.0.2.81, ttl 300 → 600"],
            id="record",
        ),
        pytest.param(
            [('note: {TXT: "one"}', "bulk: {pool: reserve}")],
            [f"records +2 (bulk A, bulk AAAA) {MINUS}1 (note TXT)"],
            id="records",
        ),
        pytest.param(
            [("A: {pool: main}, AAAA", "A: {pool: reserve}, AAAA"), ("preference: 10", "preference: 20")],
            ["@ A: pool main → pool reserve", "@ MX: pool 10 main → pool 20 main"],
            id="rules",
        ),
        pytest.param(
            [("A: {pool: main}, AAAA", "A: {pool: [{countries: [DE, FR], use: reserve}, main]}, AAAA")],
            ["@ A: rules +1 (reserve for countries DE, FR)"],
            id="rules-of-clients",
        ),
        pytest.param(
            [
                (
                    "MX: {pool: main, preference: 10}",
                    ("MX: [{pool: main, preference: 10}, "
                    "{pool: [{hours: Sat, use: main}, reserve], preference: 20}]"),
                )
            ],
            ["@ MX: pool 10 main → pool 10 main, 20 reserve (main for hours Sat, UTC)"],
            id="rules-of-a-new-pool",
        ),
        pytest.param(
            [
                (
                    'note: {TXT: "one"}',
                    ('note: {TXT: "one"}\nexperiments:\n  new: {name: "@", by: time, arms: '
                    "{control: {share: 80, pool: main}, trial: {share: 20, pool: reserve}}}"),
                )
            ],
            ["experiments +1 (new)"],
            id="experiment",
        ),
        pytest.param(
            [
                ('  mta3: {address: 192.0.2.13, weight: 20, probe: "10.0.0.13:2525"}\n', ""),
                ("{mta3: 10}", "{mta2: 10}"),
                ("  note:", "  mta3: {A: 192.0.2.99}\n  note:"),
            ],
            [
                f"hosts {MINUS}1 (mta3)",
                f"main: hosts {MINUS}1 (mta3)",
                f"reserve: hosts +1 (mta2) {MINUS}1 (mta3)",
                "mta3 A: 192.0.2.13 → 192.0.2.99",
            ],
            id="a-record-in-a-hosts-place",
        ),
    ],
)  # fmt: skip
def test_edits_in_the_files_words(edits: list[tuple[str, str]], lines: list[str]) -> None:
    text = TEXT
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    assert list(zone_diff(BASE, zone(text))) == lines


def other(one: Zone, **update: Any) -> Zone:
    """A zone with some fields changed; a mere copy would keep its digest."""
    return Zone.model_validate(one.model_copy(update=update).model_dump())


ARMS = (Arm(name="control", share=80, pool="main"), Arm(name="trial", share=20, pool="reserve"))
EXPERIMENT = Experiment(name="new", owner=BASE.origin, pool="main", arms=ARMS)
MORE = {"salt": 7, "owner": f"b.{BASE.origin}", "arms": (ARMS[0], ARMS[1].model_copy(update={"share": 50}))}
DE, US = (PoolRule(use="reserve", countries=(code,)) for code in ("DE", "US"))


def ruled(*lists: tuple[PoolRule, ...]) -> Zone:
    tiers = tuple(
        Tier(pool=pool, preference=10 * number, rules=rules)
        for number, (pool, rules) in enumerate(zip(("main", "reserve"), lists, strict=False), 1)
    )
    return other(BASE, rules=(Rule(owner=f"a.{BASE.origin}", type="MX", ttl=30, tiers=tiers),))


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (
            ruled((DE,)),
            ruled((US,)),
            f"a MX: rules +1 (reserve for countries US) {MINUS}1 (reserve for countries DE)",
        ),
        (ruled((DE, US)), ruled((US, DE)), "a MX: rules in another order"),
        (ruled((DE,), ()), ruled((DE,), (US,)), "a MX: 20 reserve rules +1 (reserve for countries US)"),
        (
            other(BASE, experiments=(EXPERIMENT,)),
            other(BASE, experiments=(EXPERIMENT.model_copy(update=MORE),)),
            ("experiment new: salt 0 → 7, name @ → b, arms control 80 of main, trial 20 of reserve → "
            "control 80 of main, trial 50 of reserve"),
        ),
    ],
)  # fmt: skip
def test_rules_and_experiments_change(before: Zone, after: Zone, line: str) -> None:
    assert list(zone_diff(before, after)) == [line]


def test_the_same_in_another_order_is_said() -> None:
    hosts = BASE.hosts[::-1]
    assert zone_diff(BASE, other(BASE, hosts=hosts)) == ("the same in another order: hosts",)


def test_many_are_counted_and_some_named() -> None:
    hosts = f"hosts: {{{', '.join(f'mx{number}: 192.0.2.{number}' for number in range(1, 10))}}}"
    few, many = zone("hosts: {mx1: 192.0.2.1}"), zone(hosts)
    (line, pool) = zone_diff(few, many)
    assert line == "hosts +8 (mx2, mx3, mx4, mx5, mx6, mx7, … 2 more)"
    assert pool == "main: hosts +8 (mx2, mx3, mx4, mx5, mx6, mx7, … 2 more)"
    three = zone(hosts + "\npools: {main: {hosts: {'*': 3}}}")
    assert "main: weights mx1 1 → 3, mx2 1 → 3, mx3 1 → 3, mx4 1 → 3, mx5 1 → 3, mx6 1 → 3, … 3 more" in (
        zone_diff(many, three)
    )


def test_what_stands_in_a_file_cannot_steer_a_terminal() -> None:
    record = Record(owner=f"x.{BASE.origin}", type="TXT", ttl=3600, values=(("\x1b[2J",),))
    one = other(BASE, records=(*BASE.records, record))
    longer = record.model_copy(update={"values": (("y" * 200,),)})
    two = other(BASE, records=(*BASE.records, longer))
    assert zone_diff(one, two) == (r"x TXT: \x1b[2J → " + "y" * 80 + "…",)


def test_a_zones_size() -> None:
    assert summary(BASE) == "hosts 3, pools 2, names 7"


def test_hosts_that_sources_find_are_hosts() -> None:
    text = "hosts_from: [{dns: mta.internal.example, weight: 1}]\nhosts: {mta1: 192.0.2.11}\n"
    before, after = zone(text), zone(text.replace("weight: 1", "weight: 2"))
    assert zone_diff(before, after) == ("hosts_from dns mta.internal.example: weight 1 → 2",)
    assert zone_diff(zone("hosts: {mta1: 192.0.2.11}"), after) == (
        "hosts_from +1 (dns mta.internal.example)",
    )
    origins = (Origin(host="mta1", source="file a.yaml"),)
    (line,) = zone_diff(after, other(after, origins=origins))
    assert line == "origins none → {host mta1, source file a.yaml}"


# --- nothing is told exactly when nothing differs --------------------------------------------------------

NAMES = st.sampled_from(["mta1", "mta2", "mta3", "mta4"])
SOME = st.integers(0, 3)


@st.composite
def mutations(draw: st.DrawFn) -> Zone:
    """A zone with some of its parts changed, taken out, added or put into another order."""
    found = BASE
    for _ in range(draw(st.integers(0, 4))):
        found = found.model_copy(update=draw(_update(found)))
    return Zone.model_validate(found.model_dump())


@st.composite
def _update(draw: st.DrawFn, one: Zone) -> dict[str, Any]:
    field = draw(st.sampled_from(sorted(Zone.model_fields.keys() - {"name"})))
    value = getattr(one, field)
    if isinstance(value, tuple):
        items = list(value)
        match draw(st.sampled_from(["drop", "add", "change", "order"])):
            case "drop" if items and field not in {"checks", "hosts", "pools"}:
                items.pop(draw(st.integers(0, len(items) - 1)))
            case "add":
                items += draw(_more(field, one))
            case "change" if items:
                place = draw(st.integers(0, len(items) - 1))
                items[place] = items[place].model_copy(update=draw(_other(items[place])))
            case "order":
                items = draw(st.permutations(items))
        return {field: tuple(items)}
    if field == "soa":
        return {"soa": one.soa.model_copy(update={"retry": draw(SOME), "serial": draw(st.none() | SOME)})}
    if field == "reputation":
        modes = st.sampled_from(["observe", "act"])
        return {"reputation": draw(st.none() | st.builds(Reputation, mode=modes, confirm=st.integers(1, 9)))}
    return {field: draw(SOME)}


@st.composite
def _more(draw: st.DrawFn, field: str, one: Zone) -> list[Any]:
    host = Host(name="mta4", addresses=(ip_address("192.0.2.14"),), weight=draw(SOME))
    record = Record(owner=f"new.{one.origin}", type="A", ttl=draw(SOME), values=(("192.0.2.1",),))
    rule = Rule(owner=f"dealt.{one.origin}", type="A", ttl=draw(SOME), tiers=(Tier(pool="main"),))
    known = {"hosts": host, "records": record, "rules": rule, "experiments": EXPERIMENT}
    names = {getattr(item, "name", getattr(item, "owner", None)) for item in getattr(one, field)}
    new = known.get(field)
    if new is None or getattr(new, "name", getattr(new, "owner", None)) in names:
        return []
    return [new]


@st.composite
def _other(draw: st.DrawFn, item: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    match type(item).__name__:
        case "Check":
            found = {"interval": draw(st.floats(0.1, 100)), "fall": draw(st.integers(1, 5))}
        case "Host":
            address = draw(
                st.ip_addresses(network="192.0.2.0/29") | st.ip_addresses(network="2001:db8::/125")
            )
            probe = draw(st.none() | st.just(Endpoint(address=address)))
            found = {"addresses": (address,), "weight": draw(SOME), "probe": probe}
        case "Pool":
            members = tuple(
                Member(host=host, weight=draw(SOME)) for host in draw(st.lists(NAMES, unique=True))
            )
            known = {member.host for member in item.members}
            fits = tuple(member for member in members if member.host in known)
            low = MinLive(amount=draw(SOME), percent=draw(st.booleans()))
            found = {"members": fits, "min_live": low, "answers": draw(st.integers(1, 3))}
        case "NameServer":
            found = {"addresses": tuple(draw(st.lists(st.ip_addresses(v=4), max_size=2)))}
        case "Record":
            found = {"ttl": draw(SOME), "values": (draw(st.tuples(st.text(max_size=5))),)}
        case "Rule":
            pool = draw(st.sampled_from(["main", "reserve"]))
            rules = tuple(draw(st.lists(st.sampled_from([DE, US]), max_size=3)))
            found = {"ttl": draw(SOME), "tiers": (Tier(pool=pool, rules=rules),)}
        case "Experiment":
            found = {"salt": draw(SOME), "arms": tuple(draw(st.permutations(ARMS)))}
    return found


@given(mutations(), mutations())
def test_nothing_is_told_exactly_when_the_digest_is_the_same(before: Zone, after: Zone) -> None:
    for one, other in ((before, after), (before, Zone.model_validate_json(before.model_dump_json()))):
        lines = zone_diff(one, other)
        assert (not lines) is (one.digest == other.digest)
        assert "it differs" not in lines
        assert all(line.isprintable() for line in lines)
