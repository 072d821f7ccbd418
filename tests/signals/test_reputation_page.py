"""What docs/reputation.md says of lists and rules is so."""

import re
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from geodns.model.reputation import ReputationAction
from geodns.signals.reputation import DOUBLES, LEAST
from geodns.signals.reputation_rules import BUILT_IN
from geodns.zonefile.reader import parse_zone

PAGE = (Path(__file__).parents[2] / "docs/reputation.md").read_text()
DOES = {"alert": "alert", "bar": "bars it for", "reduce": "halves its weight", "quarantine": "quarantines it"}


def test_the_example_means_what_the_page_says() -> None:
    text = PAGE.partition("## Block lists\n\n```yaml\n")[2].partition("```")[0]
    zone = parse_zone("out.example.com", text.encode(), "z.yaml").zone
    assert zone is not None
    assert zone.reputation is not None
    said = zone.reputation
    assert (said.mode, str(said.resolver), said.port, said.interval, said.confirm) == (
        "observe",
        "127.0.0.1",
        5301,
        900,
        2,
    )
    first, second, third = said.dnsbl
    assert (first.name, first.action.kind) == ("zen.spamhaus.org", "quarantine")
    assert dict(second.codes) == {
        IPv4Address("127.0.0.10"): ReputationAction(kind="ignore"),
        IPv4Address("127.0.0.4"): ReputationAction(kind="reduce", percent=25),
    }
    assert third.name == "*** (/etc/geodns/dqs)"
    (rule,) = said.rules
    assert (rule.name, rule.provider, rule.text, rule.action) == (
        "yahoo ip TSS04",
        "yahoo",
        "TSS04",
        ReputationAction(kind="bar", seconds=7200),
    )
    assert zone.host_by_name["mta1"].egress == (ip_address("203.0.113.11"), ip_address("2001:db8::11"))


def test_the_table_has_the_built_in_rules() -> None:
    rows = re.findall(
        r"^\| `([^`]+)` \|[^|]*\| ([^|]*) \| ([\d.]+) % \| ([^|]*) \| \[.*\]\((.*)\) \|$", PAGE, re.MULTILINE
    )
    assert [row[0] for row in rows] == [rule.name for rule in BUILT_IN]
    for (_, least, above, does, source), rule in zip(rows, BUILT_IN, strict=True):
        counts = [int(number) for number in re.findall(r"\d+", least.replace(",", ""))]
        assert counts == ([rule.min] if rule.events == 1 else [rule.min, rule.events])
        assert float(above) == 100 * rule.above
        assert does.startswith(DOES[rule.action.kind])
        assert rule.action.kind != "bar" or does == f"bars it for {rule.action.seconds / 3600:g} h"
        assert source == rule.source
        assert rule.of == "refused" or rule.lasts == 12 * 3600
    assert {rule.times_others for rule in BUILT_IN} == {2}
    assert (DOUBLES, float(LEAST)) == (1800, 1 / 16)
