"""What differs between the routes of two versions of a zone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.routes import RouteRule
from geodns.model.zone import Zone
from geodns.zones.diff import zone_diff
from tests.sample_zones import zone

RULES = [
    "{recipient: [vip@example.net, '*.bank.example'], use: fast}",
    "{provider: google, use: gmail}",
    "{sender: 'news@*', class: bulk, use: bulk, port: 587}",
    "{size: over 5MB, use: bulk}",
    '{use: "@"}',
]
HEAD = """\
ns: {ns1: 192.0.2.53}
hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}
pools: {main: {hosts: [mta1, mta2]}}
records:
  "@": {pool: main}
  fast: {pool: main}
  gmail: {pool: main}
  gmail-bulk: {pool: main}
  bulk: {pool: main}
"""
MINUS = "\N{MINUS SIGN}"


def of(*rules: str, more: str = "") -> Zone:
    return zone("".join((f"{HEAD}routes:\n", *(f"  - {rule}\n" for rule in rules), more)))


CHANGES: dict[str, tuple[list[str], list[str]]] = {
    "name": (
        [RULES[0], "{provider: google, use: gmail-bulk}", *RULES[2:]],
        ["rule 2: use gmail → gmail-bulk"],
    ),
    "everything else": (
        [*RULES[:2], "{sender: 'a@*', client: 10.0.0.0/8, use: bulk, deal: host}", *RULES[3:]],
        [
            (
                "rule 3: sender news@* → a@*, class bulk → any, client any → 10.0.0.0/8, deal name → host, "
                "port 587 → 25"
            )
        ],
    ),
    "a value more": (
        ["{recipient: [vip@example.net, '*.bank.example', a.example], use: fast}", *RULES[1:]],
        ["rule 1: recipient +1 (a.example)"],
    ),
    "a value less": (
        ["{recipient: '*.bank.example', use: fast}", *RULES[1:]],
        [f"rule 1: recipient {MINUS}1 (vip@example.net)"],
    ),
    "values in another order": (
        ["{recipient: ['*.bank.example', vip@example.net], use: fast}", *RULES[1:]],
        ["rule 1: recipient in another order"],
    ),
    "size": ([*RULES[:3], "{size: over 1GiB, use: bulk}", RULES[4]], ["rule 4: size over 5MB → over 1GiB"]),
    "added": (
        [RULES[0], "{provider: [google, yahoo], sender: x.example, use: bulk}", *RULES[1:]],
        ["routes +1 (rule 2: bulk for sender x.example; provider google or yahoo)"],
    ),
    "removed": (
        [RULES[0], *RULES[2:]],
        [f"routes {MINUS}1 (rule 2: gmail for provider google)"],
    ),
    "moved": (
        [RULES[2], *RULES[:2], *RULES[3:]],
        ["routes moved: rule 3 → 1: bulk for sender news@*; class bulk"],
    ),
    "added and changed": (
        ["{class: tx, use: fast}", RULES[0], "{provider: google, use: '@'}", *RULES[2:]],
        ["rule 3: use gmail → @", "routes +1 (rule 1: fast for class tx)"],
    ),
    "no rule left": (
        [],
        [
            (
                f"routes {MINUS}5 (rule 1: fast for recipient vip@example.net or *.bank.example, rule 2: "
                "gmail for provider google, rule 3: bulk for sender news@*; class bulk, rule 4: "
                "bulk for size over 5MB, rule 5: @ for all)"
            )
        ],
    ),
}


@pytest.mark.parametrize(("rules", "lines"), CHANGES.values(), ids=CHANGES.keys())
def test_changes_of_rules(rules: list[str], lines: list[str]) -> None:
    after = of(*rules) if rules else zone(HEAD)
    assert list(zone_diff(of(*RULES), after)) == lines


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("local: [a.example]\n", "local: ['*.a.example', a.example]\n", ["local +1 (*.a.example)"]),
        ("local: [a.example]\n", "", [f"local {MINUS}1 (a.example)"]),
        (
            "local: [a.example, b.example]\n",
            "local: [b.example, a.example]\n",
            ["the same in another order: local"],
        ),
        (
            "",
            "classes: {bulk: {header: List-Id}, tx: {header: X-Class, value: tx}}\n",
            ["classes +2 (bulk, tx)"],
        ),
        (
            "classes: {bulk: {header: List-Id}}\n",
            "classes: {bulk: [{header: List-Id}, {header: Precedence, value: bulk|list}]}\n",
            ["class bulk: List-Id → List-Id, Precedence bulk|list"],
        ),
    ],
)
def test_changes_of_local_domains_and_classes(before: str, after: str, lines: list[str]) -> None:
    assert list(zone_diff(of(*RULES, more=before), of(*RULES, more=after))) == lines


def test_many_changes_are_counted() -> None:
    before = of(*(f"{{recipient: a{number}.example, use: fast}}" for number in range(20)))
    after = of(*(f"{{recipient: a{number}.example, use: bulk}}" for number in range(20)))
    assert list(zone_diff(before, after)) == [
        *(f"rule {number}: use fast → bulk" for number in range(1, 7)),
        "14 more rules changed",
    ]


def test_caps_by_provider_are_shown() -> None:
    text = HEAD.replace(
        "mta2: 192.0.2.12", "mta2: {address: 192.0.2.12, warmup: {plan: [9], start: 2026-12-01}}"
    )
    text = text.replace("[mta1, mta2]}", "[mta1, mta2], volume: 9}")
    capped = text.replace("2026-12-01}", "2026-12-01, caps: {google: 50%, yahoo: 7}}")
    lines = zone_diff(zone(text), zone(capped))
    assert "provider_caps google 50%, yahoo 7" in lines[0]


RULE: st.SearchStrategy[RouteRule] = st.builds(
    RouteRule,
    recipient=st.sampled_from([(), ("*@a",), ("*@a", "*@b"), ("*@b", "*@a")]),
    over=st.sampled_from([None, 0, 1]),
    use=st.sampled_from(["a.", "b."]),
    port=st.sampled_from([25, 587]),
)
ROUTES = st.lists(RULE, max_size=6).map(tuple)
BASE = zone(HEAD)


@given(before=ROUTES, after=ROUTES | st.just(None), data=st.data())
def test_nothing_is_told_exactly_when_nothing_differs(
    before: tuple[RouteRule, ...], after: tuple[RouteRule, ...] | None, data: st.DataObject
) -> None:
    if after is None:
        after = tuple(data.draw(st.permutations(before)))
    old: Any
    old, new = (BASE.model_copy(update={"routes": rules}) for rules in (before, after))
    lines = zone_diff(old, new)
    assert (lines == ()) == (before == after)
    assert "it differs" not in lines
    assert all("routes (" not in line for line in lines)
