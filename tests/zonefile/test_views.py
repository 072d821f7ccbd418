"""Lists of rules in the place of a pool: what is read, what is refused, and what is warned of."""

from ipaddress import IPv4Network, IPv6Network, ip_address

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from geodns.cli.convert.draft import flow
from geodns.model.views import PoolRule
from geodns.model.zone import Tier, Zone
from geodns.zonefile.hours import DAYS
from geodns.zonefile.places import CONTINENTS, countries
from geodns.zonefile.reader import parse_zone
from geodns.zonefile.schema import zone_schema
from tests.zonetexts import NAME, zone_of

ZONE = """
ns: {ns1: 192.0.2.53}
hosts: {a: 192.0.2.11, b: 192.0.2.12, c: [192.0.2.13, "2001:db8::13"], d: 192.0.2.14}
pools: {main: {hosts: [a]}, eu: {hosts: [b]}, internal: {hosts: [d]}, both: {hosts: [c]}}
records:
  "@": {A: {pool: main}, MX: "0 ."}
  rest: {A: {pool: [{subnets: 10.0.0.0/8, use: eu}, {asns: 1, use: both}, internal]}, MX: "0 ."}
  bulk: {MX: "0 .", A: {pool: LIST}}
"""
VALIDATOR = jsonschema.Draft202012Validator(zone_schema())


def told(rules: str, text: str = ZONE) -> list[str]:
    """Return what the file says of a list, without the place."""
    problems = parse_zone(NAME, text.replace("LIST", rules).encode(), "zone.yaml").problems
    return [f"{'warning: ' if one.warning else ''}{one.what}: {one.instead}" for one in problems]


def tier(rules: str, text: str = ZONE, kind: str = "A") -> Tier:
    zone = zone_of(text.replace("LIST", rules))
    return next(rule.tiers[0] for rule in zone.rules if rule.owner.startswith("bulk.") and rule.type == kind)


def only(rules: str) -> PoolRule:
    (rule,) = tier(rules).rules
    return rule


@pytest.mark.parametrize(
    ("rules", "read"),
    [
        ("[main]", Tier(pool="main")),
        ("[{use: main}]", Tier(pool="main")),
        (
            '[{subnets: [10.0.0.0/8, "2001:db8::/32"], use: internal}, main]',
            Tier(
                pool="main",
                rules=(
                    PoolRule(
                        use="internal", subnets=(IPv4Network("10.0.0.0/8"), IPv6Network("2001:db8::/32"))
                    ),
                ),
            ),
        ),
        (
            "[{countries: [de, FR, DE], use: eu}, {continents: eu, asns: [64500, AS64501], use: eu}, main]",
            Tier(
                pool="main",
                rules=(
                    PoolRule(use="eu", countries=("DE", "FR")),
                    PoolRule(use="eu", continents=("EU",), asns=(64500, 64501)),
                ),
            ),
        ),
    ],
)
def test_what_is_read(rules: str, read: Tier) -> None:
    assert tier(rules) == read
    VALIDATOR.validate(yaml.safe_load(ZONE.replace("LIST", rules)))


def test_countries_that_yaml_takes_for_something_else_are_countries() -> None:
    assert only("[{countries: [NO, no, XK], use: eu}, main]").countries == ("NO", "XK")


def test_every_continent_is_known() -> None:
    assert only(f"[{{continents: [{', '.join(CONTINENTS)}], use: eu}}, main]").continents == CONTINENTS


def test_the_countries_are_those_of_iso_3166() -> None:
    assert len(countries()) == 250  # 249 and Kosovo
    assert {"DE", "GB", "US", "AX", "BQ", "SS", "XK"} <= countries().keys()
    assert not {"UK", "EU", "AN", "YU"} & countries().keys()


def test_hours_have_a_time_zone() -> None:
    hours = only('[{hours: ["Mon-Fri 08:00-18:00", Sat], tz: Europe/Berlin, use: eu}, main]').hours
    assert hours is not None
    assert (hours.text, hours.tz, len(hours.spans)) == (("Mon-Fri 08:00-18:00", "Sat"), "Europe/Berlin", 2)
    hours = only("[{hours: 22:00-06:00, use: eu}, main]").hours
    assert hours is not None
    assert (hours.text, hours.tz) == (("22:00-06:00",), "UTC")


DEALT = ZONE.replace("A: {pool: LIST}", "KIND")
LIST = "[{countries: DE, use: eu}, main]"
DE = (PoolRule(use="eu", countries=("DE",)),)


@pytest.mark.parametrize(
    ("kind", "body", "tiers"),
    [
        ("A", f"pool: {LIST}", [Tier(pool="main", rules=DE)]),
        ("MX", f"MX: {{pool: {LIST}, preference: 5}}", [Tier(pool="main", preference=5, rules=DE)]),
        (
            "MX",
            f"MX: [{{pool: {LIST}, preference: 5}}, {{pool: internal, preference: 9}}]",
            [Tier(pool="main", preference=5, rules=DE), Tier(pool="internal", preference=9)],
        ),
        ("SRV", f"SRV: {{pool: {LIST}, port: 25}}", [Tier(pool="main", port=25, rules=DE)]),
    ],
)  # fmt: skip
def test_every_type_that_a_pool_answers_for(kind: str, body: str, tiers: list[Tier]) -> None:
    text = DEALT.replace('MX: "0 .", KIND', body)
    zone = zone_of(text)
    rule = next(one for one in zone.rules if (one.owner, one.type) == (f"bulk.{NAME}.", kind))
    assert list(rule.tiers) == tiers
    VALIDATOR.validate(yaml.safe_load(text))


ENDS = "end the list with the name of a pool, as [{countries: [DE], use: eu}, main]"
SUBNET = 'write an address and how many bits count, as 192.0.2.0/24 or "2001:db8::/32"'
ERRORS = {
    "empty": (
        "[]",
        ("a list without rules: write the name of a pool, or rules and last a pool for all others, as "
        "[{countries: [DE], use: eu}, main]"),
    ),
    "no pool for the rest": ("[{countries: DE, use: eu}]", f"no pool for clients that meet no rule: {ENDS}"),
    "behind a plain pool": (
        "[main, {countries: DE, use: eu}, main]",
        "a rule behind 'main', which has no condition: it could never match: put it before",
    ),
    "two plain pools": (
        "[main, eu]",
        "a rule behind 'main', which has no condition: it could never match: put it before",
    ),
    "without a condition in the middle": (
        "[{countries: DE, use: eu}, {use: eu}, main]",
        "a rule without a condition before others: give it one, or put it last",
    ),
    "unknown pool": ("[{countries: DE, use: euu}, main]", "no pool is called 'euu': did you mean 'eu'?"),
    "unknown last pool": ("[{asns: 1, use: eu}, mian]", "no pool is called 'mian': did you mean 'main'?"),
    "no use": (
        "[{countries: DE}, main]",
        "a rule without `use`: write the pool as well, as {countries: [DE], use: eu}",
    ),
    "unknown key": (
        "[{country: DE, use: eu}, main]",
        "unknown key 'country': did you mean 'countries'?",
    ),
    "list in a list": ("[[main], main]", "a list in a list of rules: write one list"),
    "nothing": ("[~, main]", "'~' where the name of a pool is expected: write a name from `pools`"),
    "mapping": ("{use: main}", "a mapping where the name of a pool is expected: write a name from `pools`"),
    "tz alone": (
        "[{countries: DE, tz: Europe/Berlin, use: eu}, main]",
        "`tz` without `hours`: write `hours` too, or take it out",
    ),
    "no subnets": (
        "[{subnets: [], use: eu}, main]",
        'a condition without networks: write one or more, as [10.0.0.0/8, "2001:db8::/32"]',
    ),
    "nothing behind countries": (
        "[{countries: , use: eu}, main]",
        "a condition without countries: write one or more, as [DE, FR]",
    ),
    "no hours": (
        "[{hours: [], use: eu}, main]",
        "a condition without hours: write days, times or both, as Mon-Fri 08:00-18:00",
    ),
    "host bits": (
        "[{subnets: 10.1.0.0/8, use: eu}, main]",
        "'10.1.0.0/8' has bits behind its prefix: write 10.0.0.0/8",
    ),
    "no network": ("[{subnets: x, use: eu}, main]", f"'x' is no network: {SUBNET}"),
    "IPv6 without quotes": (
        "[{subnets: [2001:db8::/32], use: eu}, main]",
        '2001:db8::/32 without quotes: quote this network, as "2001:db8::/32"',
    ),
    "IPv4 in IPv6": (
        '[{subnets: "::ffff:10.0.0.0/104", use: eu}, main]',
        "::ffff:a00:0/104 is IPv4 in the form of IPv6, which no client has: write 10.0.0.0/8",
    ),
    "all of IPv4 in IPv6": (
        '[{subnets: "::ffff:0:0/96", use: eu}, main]',
        "::ffff:0:0/96 is IPv4 in the form of IPv6, which no client has: write 0.0.0.0/0",
    ),
    "UK": ("[{countries: UK, use: eu}, main]", "no country has the code 'UK': did you mean 'GB'?"),
    "a country's name": (
        "[{countries: germany, use: eu}, main]",
        "no country has the code 'germany': did you mean 'DE'?",
    ),
    "a continent for a country": (
        "[{countries: EU, use: eu}, main]",
        "no country has the code 'EU': write `continents: EU`",
    ),
    "no country": (
        "[{countries: ZZ, use: eu}, main]",
        "no country has the code 'ZZ': write two letters of ISO 3166-1, as DE",
    ),
    "no continent": (
        "[{continents: XX, use: eu}, main]",
        "no continent has the code 'XX': write one of: AF, AN, AS, EU, NA, OC, SA",
    ),
    "no AS": (
        "[{asns: AS0, use: eu}, main]",
        "'AS0' is no number of an autonomous system: write 1 to 4294967295, as 64500 or AS64500",
    ),
    "too large an AS": (
        "[{asns: 4294967296, use: eu}, main]",
        "'4294967296' is no number of an autonomous system: write 1 to 4294967295, as 64500 or AS64500",
    ),
    "bad hours": (
        "[{hours: 08:00-08:00, use: eu}, main]",
        "'08:00-08:00' ends where it begins: write 00:00-24:00 for whole days",
    ),
    "a city": (
        "[{hours: Sat, tz: Berlin, use: eu}, main]",
        "no time zone is called 'Berlin': did you mean 'Europe/Berlin'?",
    ),
    "a slip in a time zone": (
        "[{hours: Sat, tz: Europe/Berlni, use: eu}, main]",
        "no time zone is called 'Europe/Berlni': did you mean 'Europe/Berlin'?",
    ),
    "a folder of time zones": (
        "[{hours: Sat, tz: Europe, use: eu}, main]",
        "no time zone is called 'Europe': did you mean",
    ),
    "the machine's own time": (
        "[{hours: Sat, tz: localtime, use: eu}, main]",
        "no time zone is called 'localtime': ",
    ),
    "a path": (
        "[{hours: Sat, tz: ../../etc/passwd, use: eu}, main]",
        "no time zone is called '../../etc/passwd': write a name as Europe/Berlin",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "says"), ERRORS.values(), ids=ERRORS.keys())
def test_what_is_refused(rules: str, says: str) -> None:
    errors = [one for one in told(rules) if not one.startswith("warning: ")]
    assert len(errors) == 1, errors
    assert errors[0].startswith(says)


def test_a_list_has_a_limit() -> None:
    rules = ", ".join(f"{{asns: {number}, use: eu}}" for number in range(1, 257))
    assert told(f"[{rules}, main]") == ["a list of 257 rules: write at most 256"]


@pytest.mark.parametrize(
    ("mx", "refused"),
    [
        (f"[{{pool: {LIST}, preference: 5}}, {{pool: main, preference: 9}}]", True),
        (
            f"[{{pool: {LIST}, preference: 5}}, {{pool: {LIST.replace('main', 'both')}, preference: 9}}]",
            True,  # clients in DE would have eu at both
        ),
        (("[{pool: [{countries: DE, use: eu}, main], preference: 5}, "
         "{pool: [{countries: DE, use: main}, eu], preference: 9}]"), False),
    ],
)  # fmt: skip
def test_a_pool_stands_once_in_what_a_client_gets(mx: str, refused: bool) -> None:
    says = [one for one in told("", DEALT.replace('MX: "0 .", KIND', f"MX: {mx}")) if "warning" not in one]
    assert says == (["one pool at several preferences: take all but one out"] if refused else [])


@pytest.mark.parametrize(
    ("rules", "warnings"),
    [
        (
            "[{subnets: 198.51.100.0/25, use: eu}, main]",
            [
                (
                    "warning: 198.51.100.0/25 is longer than resolvers tell: through them all of "
                    "198.51.100.0/24 gets what 198.51.100.0 gets: write /24 or shorter, unless these "
                    "clients ask by themselves"
                )
            ],
        ),
        (
            '[{subnets: "2001:db8:0:1::/64", use: eu}, main]',
            [
                (
                    "warning: 2001:db8:0:1::/64 is longer than resolvers tell: through them all of "
                    "2001:db8::/56 gets what 2001:db8:: gets: write /56 or shorter, unless these "
                    "clients ask by themselves"
                )
            ],
        ),
        ('[{subnets: [198.51.100.0/24, "2001:db8::/56"], use: eu}, main]', []),
    ],
)
def test_networks_that_resolvers_do_not_tell(rules: str, warnings: list[str]) -> None:
    assert told(rules) == warnings


def test_a_family_that_some_views_have_is_warned_of() -> None:
    text = ZONE.replace("A: {pool: LIST}", "pool: [{countries: DE, use: both}, {asns: 1, use: eu}, main]")
    assert told("", text) == [
        (
            f"warning: AAAA of bulk.{NAME}.: pools 'eu', 'main' have no such address, and other pools have: "
            "resolvers tell all clients that there is none (RFC 7871 section 7.4): give it one"
        )
    ]
    assert told("", text.replace("countries: DE", "hours: Sat").replace("asns: 1", "hours: Sun")) == []
    assert told("", text.replace("countries: DE, use: both", "countries: DE, use: internal")) == []


def test_a_pool_that_a_rule_names_is_used() -> None:
    unused = "warning: no name deals pool 'both': name it under `records`, or take it out"
    text = ZONE.replace("use: both", "use: eu")
    assert unused in told("main", text)
    assert unused not in told("[{countries: DE, use: both}, main]", text)


def test_pick_by_client_deals_one_host_unless_told_otherwise() -> None:
    zone = zone_of(ZONE.replace("LIST", "main").replace("hosts: [a]", "hosts: [a, b], pick: client"))
    assert (zone.pool_by_name["main"].pick, zone.pool_by_name["main"].answers) == ("client", 1)
    assert zone.pool_by_name["eu"].answers == 2
    assert told("main", ZONE.replace("hosts: [a]", "hosts: [a, b], pick: client, answers: 2")) == [
        (
            "warning: `pick: client` with 2 answers: a client that shuffles them uses any of these hosts: "
            "leave `answers` out, so that a network keeps one host"
        )
    ]
    shared = ZONE.replace("pools:", "defaults: {pools: {pick: client}}\npools:")
    assert {pool.answers for pool in zone_of(shared.replace("LIST", "main")).pools} == {1}


# --- rules that never match ---------------------------------------------------------------------------

NEVER = {
    "inside another": (
        "[{subnets: 10.0.0.0/8, use: eu}, {subnets: 10.1.0.0/16, use: both}, main]",
        ["rule 2 never matches: rule 1 (line 8: subnets 10.0.0.0/8) takes all of its clients"],
    ),
    "inside another, and more": (
        "[{subnets: 10.0.0.0/8, use: eu}, {subnets: 10.1.0.0/16, countries: DE, use: both}, main]",
        ["rule 2 never matches: rule 1 (line 8: subnets 10.0.0.0/8) takes all of its clients"],
    ),
    "inside two": (
        ("[{subnets: 10.0.0.0/9, use: eu}, {countries: DE, use: eu}, {subnets: 10.128.0.0/9, use: both}, "
        "{subnets: 10.0.0.0/8, use: internal}, main]"),
        [
            ("rule 4 never matches: rule 1 (line 8: subnets 10.0.0.0/9) and rule 3 (line 8: subnets "
            "10.128.0.0/9) take all of its clients")
        ],
    ),
    "the same countries": (
        "[{countries: [DE, FR], use: eu}, {countries: FR, use: both}, main]",
        ["rule 2 never matches: rule 1 (line 8: countries DE, FR) takes all of its clients"],
    ),
    "hours inside hours": (
        "[{hours: 22:00-06:00, use: eu}, {hours: Sun 23:00-02:00, use: both}, main]",
        ["rule 2 never matches: rule 1 (line 8: hours 22:00-06:00, UTC) takes all of its clients"],
    ),
    "hours that are all hours": (
        "[{hours: Mon-Sun, tz: Asia/Tokyo, use: eu}, {hours: Sat, use: both}, main]",
        [
            "rule 2 never matches: rule 1 (line 8: hours Mon-Sun, Asia/Tokyo) takes all of its clients",
            "nobody reaches the last pool, 'main': rule 1 (line 8: hours Mon-Sun, Asia/Tokyo) takes every",
        ],
    ),
    "everybody, in two rules": (
        '[{subnets: "::/0", use: eu}, {subnets: 0.0.0.0/0, use: both}, main]',
        [
            ("nobody reaches the last pool, 'main': rule 1 (line 8: subnets ::/0) and rule 2 (line 8: "
            "subnets 0.0.0.0/0) take everybody")
        ],
    ),
    # What is not so, or not sure
    "a wider one behind": (
        "[{subnets: 10.1.0.0/16, use: eu}, {subnets: 10.0.0.0/8, use: both}, main]", []
    ),
    "a narrower condition before": (
        "[{subnets: 10.0.0.0/8, countries: DE, use: eu}, {subnets: 10.1.0.0/16, use: both}, main]", []
    ),
    "a part of its countries": ("[{countries: DE, use: eu}, {countries: [DE, FR], use: both}, main]", []),
    "a country in a continent": ("[{continents: EU, use: eu}, {countries: DE, use: both}, main]", []),
    "hours of another clock": (
        "[{hours: 00:00-12:00, tz: Asia/Tokyo, use: eu}, {hours: 03:00-04:00, use: both}, main]", []
    ),
    "hours of two clocks": (
        "[{hours: Mon-Wed, tz: Asia/Tokyo, use: eu}, {hours: Thu-Sun, use: both}, main]", []
    ),
    "another family": ('[{subnets: "::/0", use: eu}, {subnets: 10.0.0.0/8, use: both}, main]', []),
    "each takes another part of two conditions": (
        ("[{countries: DE, asns: 1, use: eu}, {countries: FR, asns: 2, use: eu}, "
        "{countries: [DE, FR], asns: [1, 2], use: both}, main]"),
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "warnings"), NEVER.values(), ids=NEVER.keys())
def test_rules_that_never_match(rules: str, warnings: list[str]) -> None:
    says = told(rules)
    assert len(says) == len(warnings), says
    assert all(one.startswith(f"warning: {part}") for one, part in zip(says, warnings, strict=True)), says


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "subnets": st.lists(
            st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "::/0"]), min_size=1
        ),
        "countries": st.lists(st.sampled_from(["DE", "FR", "NO"]), min_size=1),
        "continents": st.lists(st.sampled_from(CONTINENTS), min_size=1),
        "asns": st.lists(st.integers(1, 2).map(str), min_size=1),
        "hours": st.builds(
            "{}-{} {:02}:00-{:02}:30".format,
            st.sampled_from(DAYS), st.sampled_from(DAYS), st.integers(0, 23), st.integers(0, 23),
        ),
    },
).filter(bool)  # fmt: skip


@st.composite
def lists(draw: st.DrawFn) -> str:
    conditions = draw(st.lists(CONDITIONS, max_size=5))
    clocks = [
        draw(st.sampled_from([{}, {"tz": "Europe/Berlin"}])) if "hours" in one else {} for one in conditions
    ]
    rules = [
        {**one, **clock, "use": draw(st.sampled_from(["main", "eu"]))}
        for one, clock in zip(conditions, clocks, strict=True)
    ]
    return flow([*rules, "main"])


def first_match(rules: tuple[PoolRule, ...], client: tuple[str, str, str, int, float]) -> int:
    """Return the number of the rule that a client meets, by a plain scan."""
    address, country, continent, asn, now = client
    for number, rule in enumerate(rules):
        if (
            (not rule.subnets or any(ip_address(address) in one for one in rule.subnets))
            and (not rule.countries or country in rule.countries)
            and (not rule.continents or continent in rule.continents)
            and (not rule.asns or asn in rule.asns)
            and (rule.hours is None or rule.hours.include(now))
        ):
            return number
    return len(rules)


CLIENTS = st.tuples(
    st.sampled_from(["10.0.0.1", "10.200.0.1", "192.0.2.1", "2001:db8::1"]),
    st.sampled_from(["DE", "FR", "NO", ""]),
    st.sampled_from(["", *CONTINENTS]),
    st.integers(0, 3),
    st.integers(0, 7 * 24 * 4 - 1).map(lambda quarter: 1_800_000_000.0 + 900 * quarter),
)


@given(lists(), st.lists(CLIENTS, min_size=20, max_size=20))
def test_what_is_said_to_never_match_never_does(
    rules: str, clients: list[tuple[str, str, str, int, float]]
) -> None:
    says = told(rules)
    never = {int(one.split()[2]) - 1 for one in says if one.startswith("warning: rule ")}
    read = tier(rules).rules
    never |= {len(read)} if any("nobody reaches the last pool" in one for one in says) else set()
    assert not never & {first_match(read, client) for client in clients}


@given(lists())
def test_a_list_reads_back_from_every_form_that_it_is_written_in(rules: str) -> None:
    zone = zone_of(ZONE.replace("LIST", rules))
    assert Zone.model_validate_json(zone.model_dump_json()) == zone
    assert Zone.model_validate_json(zone.model_dump_json()).digest == zone.digest
    block = ZONE.replace("LIST", yaml.safe_dump(yaml.safe_load(rules), default_flow_style=True).strip())
    assert zone_of(block) == zone
    VALIDATOR.validate(yaml.safe_load(block))
