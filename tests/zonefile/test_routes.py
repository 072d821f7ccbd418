"""The sections `local`, `routes` and `classes`: what is read, and every way in which they may be wrong."""

from ipaddress import ip_network

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.providers import PROVIDERS
from geodns.model.routes import HeaderSign, MailClass, RouteRule, size_text
from geodns.model.zone import Zone
from geodns.responder.route_patterns import fits_any
from geodns.responder.routes import normal_address
from geodns.zonefile.reader import parse_zone
from geodns.zonefile.route_patterns import address_pattern, domain_pattern
from geodns.zonefile.schema import zone_schema
from tests.zonetexts import NAME, SHORT, zone_of

HEAD = """
ns: {ns1: 192.0.2.53}
hosts: {a: 192.0.2.11, b: {address: [192.0.2.12, "2001:db8::12"]}}
pools: {main: {hosts: [a, b]}, other: {hosts: [b]}, third: {hosts: [b]}}
records:
  "@": {pool: main, MX: "0 ."}
  bulk: {pool: other, MX: "0 ."}
  gmail: {A: {pool: main}, MX: "0 ."}
  six: {AAAA: {pool: other}, MX: "0 ."}
  mixed: {A: {pool: main}, AAAA: {pool: other}, MX: "0 ."}
  "*.wild": {pool: main, MX: "0 ."}
  by-client: {pool: [{subnets: 10.0.0.0/8, use: main}, other], MX: "0 ."}
  tried: {pool: main, MX: "0 ."}
  mail: {MX: {pool: main}}
  service: {MX: {pool: main}, SRV: {pool: main, port: 587}}
  fixed: {A: 192.0.2.99}
  "odd!": {pool: main, MX: "0 ."}
experiments:
  new:
    arms: {control: {share: 1, pool: main}, trial: {share: 1, pool: third}}
    name: tried
    by: time
    slot: 1h
"""
LAST = '{use: "@"}'
VALIDATOR = jsonschema.Draft202012Validator(zone_schema())


def text_of(rules: str, more: str = "") -> str:
    return f"{HEAD}routes: {rules}\n{more}\n"


def told(rules: str, more: str = "") -> list[str]:
    """Return what the file says, without the place."""
    problems = parse_zone(NAME, text_of(rules, more).encode(), "zone.yaml").problems
    return [
        f"{'warning: ' if one.warning else ''}{one.what}: {one.instead}"
        for one in problems
        if "experiment" not in one.what or "deal" in one.what
    ]


def read(rule: str) -> RouteRule:
    parsed = parse_zone(NAME, text_of(f"[{rule}, {LAST}]").encode(), "zone.yaml")
    assert parsed.zone is not None, parsed.problems
    return parsed.zone.routes[0]


# ----- what is read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("recipient: Example.COM", {"recipient": ("*@example.com",)}),
        (
            'recipient: ["vip@Example.net", "*.bank.example."]',
            {"recipient": ("vip@example.net", "*@*.bank.example")},
        ),
        ('sender: ["news@*", "@lists.example.com", <>]', {"sender": ("news@*", "*@lists.example.com", "<>")}),
        ("recipient: Bücher.example", {"recipient": ("*@xn--bcher-kva.example",)}),
        ('recipient: "*.bücher.example"', {"recipient": ("*@*.xn--bcher-kva.example",)}),
        ('recipient: "**"', {"recipient": ("*@*",)}),
        ("sender: müller@example.com", {"sender": ("müller@example.com",)}),
        ("class: [bulk, tx]", {"mail_class": ("bulk", "tx")}),
        ("provider: [google, t-online]", {"provider": ("google", "t-online")}),
        (
            'client: [192.0.2.1, 10.0.0.0/8, "2001:db8::/32"]',
            {"client": tuple(map(ip_network, ("192.0.2.1/32", "10.0.0.0/8", "2001:db8::/32")))},
        ),
        ("sasl: [Shop-*, Jane Doe]", {"sasl": ("shop-*", "jane doe")}),
        ("size: over 5MB", {"over": 5_000_000}),
        ("size: over 1.5 KiB", {"over": 1536}),
        ("size: OVER 2gib", {"over": 2**31}),
        ("size: over 100", {"over": 100}),
        ("size: over 100B", {"over": 100}),
        ("port: 587", {"port": 587}),
        ("deal: host", {"deal": "host"}),
    ],
)
def test_a_rule_is_read(text: str, expected: dict[str, object]) -> None:
    assert read(f"{{{text}, use: bulk}}") == RouteRule.model_validate(
        {"use": "bulk.out.example.com.", **expected}
    )
    VALIDATOR.validate(yaml.safe_load(text_of(f"[{{{text}, use: bulk}}]")))


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ('"@"', "out.example.com."),
        ("bulk", "bulk.out.example.com."),
        ("BULK.out.example.com.", "bulk.out.example.com."),
        ("gmail", "gmail.out.example.com."),
        ("six", "six.out.example.com."),
        ("mixed", "mixed.out.example.com."),
        ("by-client", "by-client.out.example.com."),
        ("tried", "tried.out.example.com."),
    ],
)
def test_a_name_is_one_of_the_zone(use: str, expected: str) -> None:
    assert read(f"{{provider: google, use: {use}}}").use == expected


def test_one_rule_needs_no_list() -> None:
    assert told(LAST) == []


def test_all_sections_are_read() -> None:
    more = """
local: [Example.com., "*.example.com"]
classes:
  bulk: [{header: List-Unsubscribe}, {header: Precedence, value: bulk|list}]
  tx: {header: X-Class, value: tx}
"""
    zone = zone_of(text_of(f"[{{class: tx, use: gmail}}, {LAST}]", more))
    assert zone.local == ("example.com", "*.example.com")
    assert [one.use for one in zone.routes] == ["gmail.out.example.com.", "out.example.com."]
    assert zone.classes == (
        MailClass(
            name="bulk",
            signs=(HeaderSign(header="List-Unsubscribe"), HeaderSign(header="Precedence", value="bulk|list")),
        ),
        MailClass(name="tx", signs=(HeaderSign(header="X-Class", value="tx"),)),
    )
    assert told(f"[{{class: tx, use: gmail}}, {LAST}]", more) == []
    VALIDATOR.validate(yaml.safe_load(text_of(f"[{LAST}]", more)))
    assert Zone.model_validate_json(zone.model_dump_json()) == zone


def test_a_zone_without_routes_is_as_it_was() -> None:
    kept = zone_of(SHORT).model_dump(mode="json").keys()
    assert kept.isdisjoint({"local", "routes", "classes"})


# ----- errors

WRONG = {
    "no rules": ("[]", "no rules: write rules, as [{provider: google, use: gmail}, "),
    "a name alone": (
        '[{provider: google, use: bulk}, "@"]',
        "'@' where a rule is expected: write rules, as [{pro",
    ),
    "no name": (
        "[{provider: google}]",
        "a rule without `use`: write the name as well, as {class: bulk, use: bulk}",
    ),
    "unknown key": ("[{rcpt: a.example, use: bulk}]", "unknown key 'rcpt': "),
    "misspelt key": (
        "[{recipients: a.example, use: bulk}]",
        "unknown key 'recipients': did you mean 'recipient'?",
    ),
    "misspelt provider": (
        "[{provider: gogle, use: bulk}]",
        "no provider is called 'gogle': did you mean 'google'?",
    ),
    "unknown provider": (
        "[{provider: zzz, use: bulk}]",
        "no provider is called 'zzz': known here: apple, att, ",
    ),
    "provider of all others": ("[{provider: other, use: bulk}]", "no provider is called 'other': "),
    "empty list": (
        "[{recipient: [], use: bulk}]",
        "no addresses or domains: write one or more, or",
    ),
    "nothing": (
        "[{provider: , use: bulk}]",
        "no providers: write one or more, or take the key out",
    ),
    "bounces as recipient": (
        "[{recipient: <>, use: bulk}]",
        "<> is the sender of bounces, no recipient: write `sen",
    ),
    "angle brackets": (
        "[{sender: <a@b.example>, use: bulk}]",
        "'<a@b.example>' in angle brackets: write 'a@b.exam",
    ),
    "two addresses": (
        '[{sender: "a@b.example,c@d.example", use: bulk}]',
        "'a@b.example,c@d.example' has more than o",
    ),
    "no domain": ('[{sender: "news@", use: bulk}]', "'news@' has no domain: write 'news@*' for any"),
    "dot first": (
        "[{recipient: .bank.example, use: bulk}]",
        "'.bank.example' begins with a dot: write '*.bank.exampl",
    ),
    "set of letters": (
        '[{recipient: "[ab].example", use: bulk}]',
        "'[ab].example' is no domain: write a domain or a ",
    ),
    "odd local part": (
        "[{sender: 'a b@c.example', use: bulk}]",
        "'a b' is no local part of an address: write ? for",
    ),
    "odd domain": (
        "[{recipient: a_b!.example, use: bulk}]",
        "'a_b!.example' is no domain: write a domain or a glob",
    ),
    "empty label": ("[{recipient: a..example, use: bulk}]", "'a..example' is no domain: "),
    "long domain": (f"[{{recipient: {'a.' * 127}example, use: bulk}}]", "'a.a.a.a.a.a.a.a.a.a.a.a."),
    "glob beyond ASCII": (
        '[{recipient: "büch*.example", use: bulk}]',
        "a label of 'büch*.example' has letters beyond",
    ),
    "class": (
        "[{class: a b, use: bulk}]",
        "'a b' is no name for a class: write letters, digits, hyphens and under",
    ),
    "network": (
        "[{client: 10.0.0.0/33, use: bulk}]",
        "'10.0.0.0/33' is no network: write an address and how many",
    ),
    "bits": (
        "[{client: 10.0.0.1/8, use: bulk}]",
        "'10.0.0.1/8' has bits behind its prefix: write 10.0.0.0/8",
    ),
    "IPv6 without quotes": (
        "[{client: 2001:db8::/32, use: bulk}]",
        "2001:db8::/32 without quotes: quote this netwo",
    ),
    "IPv4 as IPv6": (
        '[{client: "::ffff:10.0.0.0/104", use: bulk}]',
        "::ffff:a00:0/104 is IPv4 in the form of IPv6",
    ),
    "user": (
        '[{sasl: "a\\nb", use: bulk}]',
        "'a\\nb' is no user's name: write 1 to 255 characters, or a glob",
    ),
    "size": (
        "[{size: big, use: bulk}]",
        "'big' is no size: write a size, as over 5MB; B, KB, MB and GB, or KiB, M",
    ),
    "size alone": ("[{size: 5MB, use: bulk}]", "'5MB' does not say whether over or under: write over 5MB"),
    "part of a byte": (
        "[{size: over 0.5, use: bulk}]",
        "'over 0.5' is no whole number of bytes: write a size, as",
    ),
    "huge": (
        "[{size: over 99999999GB, use: bulk}]",
        "'over 99999999GB' is larger than any message: write less",
    ),
    "port": ("[{port: 0, use: bulk}]", "port '0' is out of range: write 1 to 65535"),
    "deal": ("[{deal: hosts, use: bulk}]", "'hosts' is not known here: write one of: name, host"),
    "unknown name": ("[{use: gmial}]", "no name of this zone is called 'gmial': did you mean 'gmail'?"),
    "another zone": ("[{use: gmail.example.net.}]", "no name of this zone is called 'gmail.example.net.': "),
    "a host": (
        "[{use: a}]",
        "a.out.example.com. has fixed records alone: write a name that deals a pool, as `bulk:",
    ),
    "fixed": (
        "[{use: fixed}]",
        "fixed.out.example.com. has fixed records alone: write a name that deals a pool",
    ),
    "no dot": (
        "[{use: gmail.out.example.com}]",
        "'gmail.out.example.com' without a final dot is gmail.out.example.com.out.example.com.: write 'gm",
    ),
    "MX alone": (
        "[{use: mail}]",
        "mail.out.example.com. deals a pool by MX alone: MTAs are told a name with addre",
    ),
    "MX and SRV": (
        "[{use: service}]",
        "service.out.example.com. deals a pool by MX and SRV alone: MTAs are told a",
    ),
    "wildcard": (
        '[{use: "*.wild"}]',
        "*.wild.out.example.com. cannot stand in a transport: write a name of letters",
    ),
    "odd name": (
        '[{use: "odd!"}]',
        "odd!.out.example.com. cannot stand in a transport: write a name of letters, di",
    ),
    "host by client": (
        "[{use: by-client, deal: host}]",
        "`deal: host` at by-client.out.example.com., where rules say the pool: it depends on who asks DNS",
    ),
    "host in an experiment": (
        "[{use: tried, deal: host}]",
        "`deal: host` at tried.out.example.com., where the experiment 'new' is held: the pool depends",
    ),
    "host of two pools": (
        "[{use: mixed, deal: host}]",
        "`deal: host` at mixed.out.example.com., whose A and AAAA deal different pools: write",
    ),
}


@pytest.mark.parametrize(("rules", "expected"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told(rules: str, expected: str) -> None:
    (error,) = [one for one in told(rules) if not one.startswith("warning: ")]
    assert error.startswith(expected)


WRONG_ELSEWHERE = {
    "local address": (
        "local: a@b.example",
        "'a@b.example' is an address: write the domain alone, as example.com",
    ),
    "no local": ("local: []", "no domains: write one or more, or take the key out"),
    "classes": ("classes: [bulk]", "a list where classes is expected: write `bulk: [{header: …}]`"),
    "class's name": (
        "classes: {a b: {header: X}}",
        "'a b' is no name for a class: write letters, digits, hyphens",
    ),
    "no header": (
        "classes: {bulk: []}",
        "class 'bulk' with no headers: write headers, as [{header: List-Unsubscribe}",
    ),
    "header alone": (
        "classes: {bulk: X-Bulk}",
        "'X-Bulk' where a header is expected: write keys: header, value",
    ),
    "colon": (
        'classes: {bulk: {header: "X-Bulk:"}}',
        "'X-Bulk:' is no header's name: write the header's name alone",
    ),
    "value alone": (
        "classes: {bulk: {value: x}}",
        "a sign without `header`: write {header: Precedence, value: bulk}",
    ),
    "expression": (
        "classes: {bulk: {header: X, value: '.*bulk'}}",
        "'.*bulk' is no value that every MTA can look for: write words of letters, digits, - and _",
    ),
    "empty word": (
        "classes: {bulk: {header: X, value: 'a||b'}}",
        "'a||b' is no value that every MTA can look for: ",
    ),
}


@pytest.mark.parametrize(("more", "expected"), WRONG_ELSEWHERE.values(), ids=WRONG_ELSEWHERE.keys())
def test_what_is_wrong_elsewhere_is_told(more: str, expected: str) -> None:
    (error,) = told(f"[{LAST}]", more)
    assert error.startswith(expected)


def test_an_error_has_its_place() -> None:
    text = text_of("\n  - {provider: google, use: bulk}\n  - {use: gmial}")
    (error,) = [one for one in parse_zone(NAME, text.encode(), "zone.yaml").problems if not one.warning]
    assert str(error).startswith(
        f"zone.yaml:{text[: text.index('gmial')].count(chr(10)) + 1}:11: no name of this"
    )


# ----- warnings

WARNED = {
    "hidden": (
        f"[{{provider: google, use: bulk}}, {{provider: google, sender: 'a@*', use: gmail}}, {LAST}]",
        "",
        "rule 2 never matches: rule 1 (line 24: provider google) takes all of its mail: put it before, or take it out",  # noqa: E501
    ),
    "hidden by two": (
        "[{recipient: a.b, use: six}, {recipient: c.d, use: six}, {recipient: [a.b, c.d], use: six}, {use: six}]",  # noqa: E501
        "",
        (
            "rule 3 never matches: rule 1 (line 24: recipient a.b) and rule 2 (line 24: recipient c.d) "
            "take all of its mail: put it before, or take it out"
        ),
    ),
    "behind a rule for all": (
        f"[{LAST}, {{provider: google, use: bulk}}]",
        "",
        "rule 2 never matches: rule 1 (line 24: no condition) takes all of its mail: put it before, or take it out",  # noqa: E501
    ),
    "no last rule": (
        "[{provider: google, use: bulk}]",
        "",
        (
            "no rule for mail that none of these fits: it leaves the way that the MTA has by itself: "
            'end the list with a rule without conditions, as {use: "@"}'
        ),
    ),
    "local recipients": (
        f"[{{recipient: [a@example.com, x.example.com], use: bulk}}, {LAST}]",
        "local: [example.com, '*.example.com']",
        "rule 1 never matches: its recipients are `local`: take it out: local mail is never routed",
    ),
    "undefined class": (
        f"[{{class: [bulk, txx], use: bulk}}, {LAST}]",
        "classes: {bulk: {header: List-Id}}",
        "`classes` does not define 'txx': define it there, unless the MTA says it: there is bulk",
    ),
    "a value twice": (
        f"[{{recipient: [a.example, '@A.example'], use: bulk}}, {LAST}]",
        "",
        "'@A.example' stands twice: take one out",
    ),
    "a local domain twice": (
        f"[{LAST}]",
        "local: [a.example, a.example.]",
        "'a.example.' stands twice: take one out",
    ),
    "a header twice": (
        f"[{LAST}]",
        "classes: {bulk: [{header: List-Id}, {header: list-id}]}",
        "header 'list-id' is a sign of class 'bulk' already: take one out: the first class that fits counts",
    ),
    "a header of two classes": (
        f"[{LAST}]",
        "classes: {bulk: {header: X, value: a}, tx: {header: x, value: A}}",
        "header 'x' with 'A' is a sign of class 'bulk' already: take one out: the first class that fits counts",  # noqa: E501
    ),
}


@pytest.mark.parametrize(("rules", "more", "expected"), WARNED.values(), ids=WARNED.keys())
def test_what_has_no_effect_is_warned_of(rules: str, more: str, expected: str) -> None:
    assert told(rules, more) == [f"warning: {expected}"]


@pytest.mark.parametrize(
    ("rules", "more"),
    [
        (f"[{{class: anything, use: bulk}}, {LAST}]", ""),
        (f"[{{recipient: [example.com, a.example], use: bulk}}, {LAST}]", "local: example.com"),
        (f"[{{recipient: '*.example.com', use: bulk}}, {LAST}]", "local: example.com"),
        (f"[{{sender: example.com, use: bulk}}, {LAST}]", "local: example.com"),
    ],
)
def test_what_may_match_is_not_warned_of(rules: str, more: str) -> None:
    assert told(rules, more) == []


def test_local_domains_alone_have_no_effect() -> None:
    parsed = parse_zone(NAME, f"{SHORT}local: a.example\n".encode(), "zone.yaml")
    assert "`local` without `routes` has no effect" in [one.what for one in parsed.problems]


def test_rules_that_cannot_be_read_are_not_taken_for_none() -> None:
    caps = f"{CAPPED}local: a.example\n".replace("CAPS", "{google: 50%}")
    parsed = parse_zone(NAME, caps.replace("ROUTES", "[{use: nowhere, deal: host}]").encode(), "zone.yaml")
    assert not [one.what for one in parsed.problems if one.warning]


# ----- caps of warm-up

CAPPED = """
ns: {ns1: 192.0.2.53}
hosts: {a: 192.0.2.11, b: {address: 192.0.2.12, warmup: {plan: [900, 1000], start: "2026-12-01", caps: CAPS}}}
pools: {main: {hosts: [a]}, new: {hosts: [b], volume: 1000, overflow: main}}
records: {"@": {pool: main, MX: "0 ."}, new: {ttl: 1s, pool: new, MX: "0 ."}}
min_ttl: 0
routes: ROUTES
"""


def told_of_caps(caps: str, routes: str) -> list[str]:
    text = CAPPED.replace("CAPS", caps).replace("ROUTES", routes)
    return [str(one) for one in parse_zone(NAME, text.encode(), "zone.yaml").problems]


@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        (
            "{}",
            "3:104: caps of no provider: write messages a day or a part of the day's, as {google: 50%, yahoo",
        ),
        ("5", "3:104: '5' where caps of providers is expected: write messages a day"),
        ("{gogle: 5}", "3:105: no provider is called 'gogle': did you mean 'google'?"),
        ("{google: half}", "3:113: messages a day 'half' is no whole number: write 0 to 1000000000"),
        ("{google: 101%}", "3:113: 101% is out of range: write 0% to 100%"),
        ("{google: -1}", "3:113: messages a day '-1' is out of range: write 0 to 1000000000"),
    ],
)
def test_what_is_wrong_with_caps_is_told(caps: str, expected: str) -> None:
    (error,) = [one for one in told_of_caps(caps, LAST) if ": warning: " not in one]
    assert error.startswith(f"zone.yaml:{expected}")


def test_caps_are_read() -> None:
    text = CAPPED.replace("CAPS", "{google: 50%, yahoo: 1000}").replace("ROUTES", LAST)
    warmup = zone_of(text).host_by_name["b"].warmup
    assert warmup is not None
    caps = [(one.provider, one.amount, one.percent) for one in warmup.provider_caps]
    assert caps == [("google", 50, True), ("yahoo", 1000, False)]
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("routes", "idle"),
    [
        (LAST, "google, yahoo"),
        ("[{use: new}]", "google, yahoo"),
        ("[{provider: google, use: new, deal: host}, {use: new}]", "yahoo"),
        ('[{provider: google, use: "@", deal: host}, {use: new}]', "google, yahoo"),
        ("[{use: new, deal: host}]", ""),
    ],
)
def test_caps_that_nothing_obeys_are_warned_of(routes: str, idle: str) -> None:
    what = (
        f"zone.yaml:3:24: warning: no route with `deal: host` deals host 'b' mail to {idle}: take its `caps` "
    )
    problems = told_of_caps("{google: 50%, yahoo: 9}", routes)
    assert [one[: len(what)] for one in problems if "DNS deals it" not in one] == ([what] if idle else [])


# ----- forms

SIZES = st.integers(0, 2**50)


@given(size=SIZES | st.builds(int.__mul__, st.integers(0, 999), st.sampled_from([1000, 1024, 10**6, 2**30])))
def test_a_size_is_read_as_it_is_written(size: int) -> None:
    assert read(f"{{size: over {size_text(size)}, use: bulk}}").over == size


@given(text=st.text(max_size=30) | st.text("ab.@*?<>ü[", max_size=12))
def test_any_text_is_a_pattern_or_said_not_to_be(text: str) -> None:
    for form in (address_pattern, domain_pattern):
        try:
            found = form(text)
        except ValueError as error:
            what, instead = error.args
            assert what
            assert instead.startswith("write ")
        else:
            assert form(found) == found


@pytest.mark.parametrize("text", ["A@Example.COM.", "@Example.com", "ü@bücher.example", "Bücher.Example"])
def test_a_pattern_fits_its_own_address(text: str) -> None:
    address = text if text.rpartition("@")[0] else f"x@{text.removeprefix('@')}"
    assert fits_any([address_pattern(text)], normal_address(address))


def test_every_provider_may_be_named() -> None:
    names = [one.name for one in PROVIDERS]
    assert read(f"{{provider: [{', '.join(names)}], use: bulk}}").provider == tuple(names)
