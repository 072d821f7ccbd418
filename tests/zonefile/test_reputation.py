"""The section `reputation`: what it reads, and what it says of mistakes."""

import pytest

from geodns.model.reputation import ReputationAction
from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone

HEAD = "ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.11}\nreputation:\n"


def read(text: str) -> tuple[Zone | None, list[str]]:
    lines = "".join(f"  {line}\n" for line in text.splitlines())
    parsed = parse_zone("out.example.com", (HEAD + lines).encode(), "z.yaml")
    return parsed.zone, [str(one) for one in parsed.problems if "warning" not in str(one)]


def test_every_key_is_read() -> None:
    zone, problems = read(
        """mode: act
dnsbl:
  - zen.spamhaus.org
  - {zone: bl.example, codes: {127.0.0.10: ignore, 127.0.0.3: {reduce: 25%}}, action: alert}
  - {zone_file: /etc/geodns/dqs}
resolver: "127.0.0.1:5301"
interval: 15m
confirm: 3
rules:
  - {provider: yahoo, about: ip, text: "TSS04", min: 50, above: 30%, action: {bar: 4h}}
  - {about: content, action: alert}"""
    )
    assert not problems
    assert zone is not None
    said = zone.reputation
    assert said is not None
    assert (said.mode, str(said.resolver), said.port) == ("act", "127.0.0.1", 5301)
    assert (said.interval, said.confirm) == (900, 3)
    spamhaus, bl, dqs = said.dnsbl
    assert spamhaus.action == ReputationAction(kind="quarantine")
    assert {str(code): str(action) for code, action in bl.codes} == {
        "127.0.0.10": "ignore",
        "127.0.0.3": "reduce 25%",
    }
    assert bl.action == ReputationAction(kind="alert")
    assert dqs.name == "*** (/etc/geodns/dqs)"
    yahoo, content = said.rules
    assert (yahoo.name, yahoo.min, yahoo.above) == ("yahoo ip TSS04", 50, 0.3)
    assert yahoo.action == ReputationAction(kind="bar", seconds=4 * 3600)
    assert content.name == "any content"


def test_without_the_section_nothing_is_judged() -> None:
    parsed = parse_zone("out.example.com", HEAD.removesuffix("reputation:\n").encode(), "z.yaml")
    assert parsed.zone is not None
    assert parsed.zone.reputation is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mode: actt", "4:9: 'actt' is not known here: write one of: observe, act"),
        ("dnsbl: [a.example, a.example]", "4:22: the list a.example is given twice"),
        ("dnsbl: {action: alert}", "neither `zone` nor `zone_file`"),
        ("dnsbl: {zone: a.example, zone_file: /a}", "both `zone` and `zone_file`"),
        ("dnsbl: {zone: a.example, action: ignore}", "'ignore' is no action: write one of: alert"),
        (
            "dnsbl: {zone: a.example, action: {bar: 2h}}",
            "no action: write one of: alert, quarantine, {reduce",
        ),
        ("dnsbl: {zone: a.example, codes: {127.255.255.254: ignore}}", "is no code of a list"),
        ("dnsbl: {zone: a.example, codes: {10.0.0.1: ignore}}", "is no code of a list"),
        ('resolver: "127.0.0.1:x"', "is no resolver"),
        ("interval: 0.5s", "0.5s is out of range: write 1s to 86400s"),
        ("confirm: 0", "write 1 to 100"),
        ("rules: [{provider: yaho}]", "no provider 'yaho': did you mean 'yahoo'?"),
        ("rules: [{text: '('}]", "'(' is no regular expression"),
        ("rules: [{above: 120%}]", "120% is out of range"),
        (
            "rules: [{action: {baar: 2h}}]",
            "no action: write one of: alert, quarantine, {reduce: 25%}, {bar: 2h}",
        ),
        ("rules: [{about: domain}]", "only what speaks of the IP may move a host"),
        ("rules: [{provider: yahoo}, {provider: yahoo, min: 5}]", "a second rule for 'yahoo ip'"),
        ("rules: [{abuot: ip}]", "unknown key 'abuot': did you mean 'about'?"),
    ],
)
def test_mistakes_are_told(text: str, says: str) -> None:
    zone, problems = read(text)
    assert zone is None
    assert len(problems) == 1
    assert says in problems[0]
