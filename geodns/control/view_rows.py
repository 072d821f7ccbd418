"""The rules of a zone as they are shown: by owner name, numbered, with their conditions in words."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from geodns.model.views import Hours, PoolRule
from geodns.model.zone import Rule, Tier, Zone


class RuleRow(NamedTuple):
    """A rule of a list at an owner name, or the pool at its end.

    Attributes:
        types: that have the same list.
        preference: of MX, or the priority of SRV; None: of A and AAAA.
        number: from 1 on.
        when: its conditions; empty: the last pool, for all others.
        key: of what it says, whatever its number.

    """

    owner: str
    types: tuple[str, ...]
    preference: int | None
    number: int
    when: str
    pool: str
    hours: Hours | None
    key: str


def rule_rows(zone: Zone) -> tuple[RuleRow, ...]:
    """Return the rows of the names that have rules, in the order of the file."""
    lists: dict[tuple[str, int | None, tuple[PoolRule, ...], str], dict[str, None]] = {}
    for rule, tier, preference in _tiers(zone):
        lists.setdefault((rule.owner, preference, tier.rules, tier.pool), {})[rule.type] = None
    rows = []
    for (owner, preference, rules, pool), types in lists.items():
        for number, one in enumerate((*rules, PoolRule(use=pool)), 1):
            whole = f"{owner} {preference} {one.conditions} {one.use}"
            key = hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()
            rows.append(RuleRow(owner, (*types,), preference, number, one.when, one.use, one.hours, key))
    return tuple(rows)


def _tiers(zone: Zone) -> Iterator[tuple[Rule, Tier, int | None]]:
    for rule in zone.rules:
        for tier in rule.tiers:
            if tier.rules:
                yield rule, tier, tier.preference if rule.type in {"MX", "SRV"} else None


def in_force(row: RuleRow, now: float) -> bool:
    """Say whether a rule holds at a moment, in seconds since the epoch; its clients are another matter."""
    return row.hours is None or row.hours.include(now)


def describe(row: RuleRow) -> str:
    """Return what a rule is and where, as ``rule 2 of A and AAAA out.example.com``."""
    at = "" if row.preference is None else f" {row.preference}"
    return f"rule {row.number} of {' and '.join(row.types)}{at} {row.owner.rstrip('.')}"
