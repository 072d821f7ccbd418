"""Finds rules of a list that no client ever reaches, because those before take all of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from geodns.config.report import Report, quoted
from geodns.config.yaml_nodes import YamlNode
from geodns.model.address_ranges import EVERYWHERE, AddressRanges, cover, ranges_of
from geodns.model.views import DAY, Hours, PoolRule

_WEEK = 7 * DAY
_ALWAYS = (1 << _WEEK) - 1
_MOST_SHOWN = 3
_WIDEST = 60
"""Characters of a rule's conditions."""


@dataclass(frozen=True)
class _Condition:
    """The clients or hours that one condition of a rule takes.

    Attributes:
        values: addresses, codes, or minutes of the week as bits; None: everything.
        clock: by which hours are meant; minutes by two clocks do not compare.

    """

    values: Any = None
    clock: str = ""

    def has(self, other: "_Condition") -> bool:
        """Say whether it takes whatever another does, as far as is known."""
        if self.values is None or other.values is None:
            return self.values is None
        return self.clock == other.clock and _take([self.values], other.values)

    def meets(self, other: "_Condition") -> bool:
        """Say whether it takes any of what another does."""
        return self.values is None or other.values is None or bool(self.values & other.values)


def check_shadows(rules: Sequence[tuple[YamlNode, PoolRule]], report: Report) -> None:
    """Warn of rules that never match; the last of them has no condition.

    Nobody asks the GeoIP files here: that DE lies in EU is not known.
    """
    for number, hiding in hidden_rules([rule for _, rule in rules]).items():
        at, rule = rules[number]
        by = " and ".join(_shown(one, *rules[one]) for one in hiding[:_MOST_SHOWN])
        verb = "takes" if len(hiding) == 1 else "take"
        if number == len(rules) - 1:
            what = f"nobody reaches the last pool, {quoted(rule.use)}: {by} {verb} everybody"
            report.warn(at, what, "take out the condition that all clients meet")
        else:
            what = f"rule {number + 1} never matches: {by} {verb} all of its clients"
            report.warn(at, what, "put it before, or take it out")


def hidden_rules(rules: Sequence[PoolRule]) -> dict[int, list[int]]:
    """Return the places of rules that never match, each with those of the rules that take all its clients."""
    conditions = [_conditions(rule) for rule in rules]
    found = {number: _hiding(own, conditions[:number]) for number, own in enumerate(conditions)}
    return {number: hiding for number, hiding in found.items() if hiding}


def _shown(number: int, at: YamlNode, rule: PoolRule) -> str:
    when = rule.when if len(rule.when) <= _WIDEST else rule.when[:_WIDEST] + "…"
    return f"rule {number + 1} (line {at.line}: {when})"


def _conditions(rule: PoolRule) -> tuple[_Condition, ...]:
    places = (rule.countries, rule.continents, rule.asns)
    return (
        _condition(ranges_of(rule.subnets)) if rule.subnets else _Condition(),
        *(_Condition(frozenset(values) or None) for values in places),
        _Condition() if rule.hours is None else _condition(_minutes(rule.hours), rule.hours.tz),
    )


def _condition(values: Any, clock: str = "") -> _Condition:
    everything = EVERYWHERE if isinstance(values, AddressRanges) else _ALWAYS if clock else None
    return _Condition() if values == everything else _Condition(values, clock)


def _minutes(hours: Hours) -> int:
    """Return the minutes of a week, a bit each."""
    minutes = 0
    for span in hours.spans:
        length = span.end - span.begin + (0 if span.begin < span.end else DAY)
        for day in span.days:
            minutes |= ((1 << length) - 1) << (day * DAY + span.begin)
    return minutes & _ALWAYS | minutes >> _WEEK  # Sunday's night ends on Monday


def _hiding(rule: Sequence[_Condition], earlier: Sequence[Sequence[_Condition]]) -> list[int]:
    """Return the earlier rules that take every client of a rule; none where that is not sure.

    Those do whose conditions of one kind together take its own, while each takes all of its other kinds.
    """
    for kind, own in enumerate(rule):
        wide = [
            number
            for number, before in enumerate(earlier)
            if all(before[other].has(rule[other]) for other in range(len(rule)) if other != kind)
        ]
        alone = [number for number in wide if earlier[number][kind].has(own)]
        if alone:
            return alone[:1]
        for clock in dict.fromkeys(earlier[number][kind].clock for number in wide):
            together = [number for number in wide if earlier[number][kind].clock == clock]
            if _take_together([earlier[number][kind] for number in together], own):
                return [number for number in together if earlier[number][kind].meets(own)]
    return []


def _take_together(conditions: Sequence[_Condition], own: _Condition) -> bool:
    """Say whether conditions by one clock, each of which has values, take all that another does."""
    clock, values = conditions[0].clock, [one.values for one in conditions]
    if own.values is not None:
        return own.clock == clock and _take(values, own.values)
    if isinstance(values[0], AddressRanges):
        return cover(values, EVERYWHERE)
    return bool(clock) and _take(values, _ALWAYS)


def _take(several: Sequence[Any], values: Any) -> bool:
    if isinstance(values, AddressRanges):
        return cover(several, values)
    return bool(reduce(or_, several) & values == values)
