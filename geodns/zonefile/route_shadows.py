"""Finds routes that no message ever reaches, because those before take all of theirs.

Sets of rules are whole numbers with a bit a rule. What contains a pattern is looked up by how the pattern
begins and ends, so that thousands of rules are not compared with each other one by one.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from geodns.model.address_ranges import Network
from geodns.model.routes import NULL_SENDER, RouteRule

MAX_STEPS = 8_000_000
"""Steps of some 0.3 µs in all, after which only equal patterns count as contained."""
_COMPARED = 24
"""Steps of a comparison, beside one for each character."""
_JOINED = 4
"""Steps of a set that is joined to another."""
_CACHED = 2_048
_WILD = re.compile("[*?]")
_RUN = re.compile("[*?]{2,}")

Rules = int | tuple[int, ...]
"""A set of rules: a bit each, or, of a few, their places."""
_FEW = 32
Covering = Callable[[Any], int]
"""Returns the rules one of whose values of a condition contains a given value."""


def hidden_routes(rules: Sequence[RouteRule], steps: int = MAX_STEPS) -> dict[int, list[int]]:
    """Return the places of rules that no message reaches, each with those of the rules that take its mail.

    One rule takes it all, or several do that each take a value of one condition. None is found that is not
    sure; rules are not searched for what only several values of another condition take together.
    """
    budget = _Budget(steps)
    kinds = [_indexed(rules, values, cover, budget) for values, cover in _KINDS]
    found = {number: _hiding(rule, (1 << number) - 1, kinds) for number, rule in enumerate(rules)}
    return {number: hiding for number, hiding in found.items() if hiding}


class _Budget:
    """The steps that are left."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def take(self, steps: int) -> bool:
        self.left -= steps
        return self.left >= 0


class _Kind:
    """One condition of all rules.

    Attributes:
        without: the rules that do not have it: they take any message by it.
        covering: by a value.

    """

    def __init__(
        self, values: Callable[[RouteRule], Sequence[Any]], without: int, covering: Covering
    ) -> None:
        self.values = values
        self.without = without
        self.covering = lru_cache(_CACHED)(covering)

    def taking(self, rule: RouteRule, among: int) -> int:
        """Return those of some rules that take, by this condition, all messages of a rule."""
        found = among if self.values(rule) else 0
        for value in self.values(rule):
            found &= self.covering(value)
            if not found:
                break
        return found | (self.without & among)


def _indexed(
    rules: Sequence[RouteRule],
    values: Callable[[RouteRule], Sequence[Any]],
    cover: Callable[[Mapping[Any, Rules], _Budget], Covering],
    budget: _Budget,
) -> _Kind:
    without, by_value = [], dict[Hashable, list[int]]()
    for number, rule in enumerate(rules):
        its = values(rule)
        for value in its:
            by_value.setdefault(value, []).append(number)
        if not its:
            without.append(number)
    sets = {one: tuple(some) if len(some) <= _FEW else _bits(some) for one, some in by_value.items()}
    return _Kind(values, _bits(without), cover(sets, budget))


def _bits(rules: Rules | Sequence[int]) -> int:
    """Return a set of rules as a bit each; places are in order."""
    if isinstance(rules, int):
        return rules
    octets = bytearray(rules[-1] // 8 + 1 if rules else 0)
    for number in rules:
        octets[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(octets, "little")


def _join(sets: Iterable[Rules], budget: _Budget) -> int:
    joined = 0
    for some in sets:
        budget.take(_JOINED)
        joined |= _bits(some)
    return joined


def _lowest(rules: int) -> int:
    return (rules & -rules).bit_length() - 1


def _hiding(rule: RouteRule, earlier: int, kinds: Sequence[_Kind]) -> list[int]:
    """Return the earlier rules that take all messages of a rule; none where that is not sure."""
    alone = _taking(rule, earlier, kinds)
    if alone:
        return [_lowest(alone)]
    for kind in kinds:
        values = kind.values(rule)
        others = _taking(rule, earlier, [one for one in kinds if one is not kind]) if len(values) > 1 else 0
        each: list[int] = []
        for value in values if others else ():
            taking = kind.covering(value) & others
            if not taking:
                break
            each.append(_lowest(taking))
        if each and len(each) == len(values):
            return sorted(set(each))
    return []


def _taking(rule: RouteRule, among: int, kinds: Sequence[_Kind]) -> int:
    for kind in kinds:
        among = kind.taking(rule, among) if among else 0
    return among


# --- what contains a value -------------------------------------------------------------------------------


def _equal(by_value: Mapping[Any, Rules], budget: _Budget) -> Covering:
    del budget
    return lambda value: _bits(by_value[value])


def _larger(by_value: Mapping[Any, Rules], budget: _Budget) -> Covering:
    """Of sizes: over less takes what is over more."""
    del budget
    upto, so_far = {}, 0
    for size in sorted(by_value):
        so_far |= _bits(by_value[size])
        upto[size] = so_far
    return lambda value: upto[value]


def _networks(by_value: Mapping[Any, Rules], budget: _Budget) -> Covering:
    known = {_network(one, one.prefixlen): rules for one, rules in by_value.items()}
    lengths = {version: sorted({one[1] for one in known if one[0] == version}) for version in (4, 6)}

    def covering(value: Network) -> int:
        wider = (_network(value, one) for one in lengths[value.version] if one <= value.prefixlen)
        return _join((known[one] for one in wider if one in known), budget)

    return covering


def _network(one: Network, length: int) -> tuple[int, int, int]:
    """Return a network, or a wider one around it, as a key."""
    return one.version, length, int(one.network_address) >> (one.max_prefixlen - length)


class Globs:
    """Patterns with ``*`` and ``?``, found by a pattern that they contain; each has something."""

    def __init__(self, budget: _Budget) -> None:
        self._budget = budget
        self._exact: dict[str, Any] = {}
        self._by_ends: dict[tuple[str, str], dict[str, tuple[str, Any]]] = {}
        self._ends: dict[tuple[int, int], None] = {}  # how long the ends are that there are

    def setdefault(self, pattern: str, value: Any) -> Any:
        """Return what a pattern has already, or else give it this."""
        if _WILD.search(pattern) is None:
            return self._exact.setdefault(pattern, value)
        parts = _WILD.split(pattern)
        begin, end = parts[0], parts[-1]
        self._ends[len(begin), len(end)] = None
        same_ends = self._by_ends.setdefault((begin, end), {})
        return same_ends.setdefault(pattern, (max(parts, key=len), value))[1]

    def containing(self, pattern: str) -> Iterator[Any]:
        """Yield what those patterns have that fit whatever a pattern does."""
        budget = self._budget
        exact = _WILD.search(pattern) is None
        if exact and pattern in self._exact:
            yield self._exact[pattern]
        parts = _WILD.split(pattern)
        begin, end = parts[0], parts[-1]
        if not budget.take(len(self._ends)):
            return
        for before, behind in self._ends:
            if before > len(begin) or behind > len(end) or (exact and before + behind > len(pattern)):
                continue
            found = self._by_ends.get((begin[:before], end[len(end) - behind :]), {})
            if not budget.take(len(found)):
                return
            for other, (part, value) in found.items():
                if part not in pattern:
                    continue
                if not budget.take(_COMPARED + len(other) + len(pattern)):
                    return
                if contains(other, pattern):
                    yield value


def _normal_runs(pattern: str) -> str:
    """Put ``?`` before ``*`` where they stand together: ``*?`` is ``?*``."""
    return _RUN.sub(lambda run: "?" * run[0].count("?") + "*" * ("*" in run[0]), pattern)


def contains(wide: str, narrow: str) -> bool:
    """Say whether a glob fits every text that another one fits, as far as is sure.

    The other one is read as a text: its ``?`` may only meet ``?`` or ``*``, its ``*`` only ``*``.
    """
    wide, narrow = _normal_runs(wide), _normal_runs(narrow)
    at = place = 0
    star, back = -1, 0
    while place < len(narrow):
        sign = narrow[place]
        if at < len(wide) and wide[at] == "*":
            star, back = at, place
            at += 1
        elif at < len(wide) and (wide[at] == sign or (wide[at] == "?" and sign != "*")):
            at, place = at + 1, place + 1
        elif star >= 0:
            back += 1
            at, place = star + 1, back
        else:
            return False
    return all(sign == "*" for sign in wide[at:])


def containing(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return what says whether one of some patterns contains a given one, as far as is sure."""
    known = Globs(_Budget(MAX_STEPS))
    for pattern in patterns:
        known.setdefault(pattern, pattern)
    return lambda pattern: next(known.containing(pattern), None) is not None


def _users(by_value: Mapping[Any, Rules], budget: _Budget) -> Covering:
    known = Globs(budget)
    for pattern, rules in by_value.items():
        known.setdefault(pattern, rules)
    return lambda value: _join(chain((by_value[value],), known.containing(value)), budget)


def _addresses(by_value: Mapping[Any, Rules], budget: _Budget) -> Covering:
    """Find by domain, then by local part: they are matched apart."""
    domains = Globs(budget)
    for pattern, rules in by_value.items():
        if pattern != NULL_SENDER:
            local, _, domain = pattern.rpartition("@")
            domains.setdefault(domain, Globs(budget)).setdefault(local, rules)

    def covering(value: str) -> int:
        if value == NULL_SENDER:
            return _bits(by_value[value])
        local, _, domain = value.rpartition("@")
        found = (rules for locals_ in domains.containing(domain) for rules in locals_.containing(local))
        return _join(chain((by_value[value],), found), budget)

    return covering


_KINDS: tuple[
    tuple[Callable[[RouteRule], Sequence[Any]], Callable[[Mapping[Any, Rules], _Budget], Covering]], ...
] = (
    (lambda rule: rule.recipient, _addresses),
    (lambda rule: rule.sender, _addresses),
    (lambda rule: rule.mail_class, _equal),
    (lambda rule: rule.provider, _equal),
    (lambda rule: rule.client, _networks),
    (lambda rule: rule.sasl, _users),
    (lambda rule: () if rule.over is None else (rule.over,), _larger),
)
