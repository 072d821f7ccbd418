"""Says what differs between the routes, local domains and classes of mail of two versions of a zone."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from geodns.model.routes import HeaderSign, RouteRule
from geodns.model.zone import Zone
from geodns.zones.change_words import NAMED, arrow, came_and_gone, few, keyed, line


def route_changes(before: Zone, after: Zone) -> Iterator[str]:
    """Yield a line for each change; of rules that change one by one the first."""
    yield from keyed("local", dict.fromkeys(before.local), dict.fromkeys(after.local))
    yield from _rules(before, after)
    old, new = ({one.name: one.signs for one in zone.classes} for zone in (before, after))
    yield from keyed("classes", old, new)
    for name, signs in new.items():
        if name in old and old[name] != signs:
            yield f"class {name}: {arrow(_signs(old[name]), _signs(signs))}"


def _signs(signs: Iterable[HeaderSign]) -> str:
    return few(one.header if one.value is None else f"{one.header} {one.value}" for one in signs)


def _rules(before: Zone, after: Zone) -> Iterator[str]:
    old, new = before.routes, after.routes
    if old == new:
        return
    kept = _kept(old, new)
    still = _in_order(kept)
    changed = dict(_changed(old, new, kept, still))
    known, taken = kept.keys() | changed.keys(), {*kept.values(), *changed.values()}
    for was, now in [*changed.items()][:NAMED]:
        yield from line(f"rule {now + 1}", _rule_changes(before, old[was], after, new[now]))
    if len(changed) > NAMED:
        yield f"{len(changed) - NAMED} more rules changed"
    came = [f"rule {now + 1}: {_shown(after, one)}" for now, one in enumerate(new) if now not in taken]
    gone = [f"rule {was + 1}: {_shown(before, one)}" for was, one in enumerate(old) if was not in known]
    yield from came_and_gone("routes", came, gone)
    moved = [
        f"rule {was + 1} → {now + 1}: {_shown(after, new[now])}"
        for was, now in kept.items()
        if was not in still
    ]
    if moved:
        yield f"routes moved: {few(moved)}"


def _shown(zone: Zone, rule: RouteRule) -> str:
    return f"{_relative(zone, rule.use)} for {rule.when or 'all'}"


def _relative(zone: Zone, name: str) -> str:
    return "@" if name == zone.origin else name.removesuffix(f".{zone.origin}")


# --- which rule is which ----------------------------------------------------------------------------------


def _kept(old: Sequence[RouteRule], new: Sequence[RouteRule]) -> dict[int, int]:
    """Return where each rule that is in both stood, and where it stands: of equal ones the first first."""
    there = defaultdict[str, list[int]](list)
    for place in reversed(range(len(new))):
        there[new[place].digest].append(place)
    return {place: there[rule.digest].pop() for place, rule in enumerate(old) if there[rule.digest]}


def _in_order(kept: Mapping[int, int]) -> dict[int, int]:
    """Return those of the kept rules that stand in the same order, as many as may be; the others moved."""
    ends: list[int] = []  # of the rises of each length, where the lowest ends
    last: list[int] = []  # the rules that these end with
    previous: dict[int, int | None] = {}
    for was, now in kept.items():
        length = bisect_left(ends, now)
        ends[length : length + 1], last[length : length + 1] = [now], [was]
        previous[was] = last[length - 1] if length else None
    found: list[int] = []
    one = last[-1] if last else None
    while one is not None:
        found.append(one)
        one = previous[one]
    return {was: kept[was] for was in reversed(found)}


def _changed(
    old: Sequence[RouteRule], new: Sequence[RouteRule], kept: Mapping[int, int], still: Mapping[int, int]
) -> Iterator[tuple[int, int]]:
    """Yield where each rule that changed stood, and where it stands.

    Between two rules that stayed, those with the same conditions are the same rule, then those with the same
    name; then all, where there are as many.
    """
    stands = {*kept.values()}
    for (was, now), (was_next, now_next) in pairwise([(-1, -1), *still.items(), (len(old), len(new))]):
        gone = [place for place in range(was + 1, was_next) if place not in kept]
        came = [place for place in range(now + 1, now_next) if place not in stands]
        for same in (_conditions, _target):
            pairs = dict(_pairs(old, gone, new, came, same))
            yield from pairs.items()
            found = {*pairs.values()}
            gone = [place for place in gone if place not in pairs]
            came = [place for place in came if place not in found]
        if len(gone) == len(came):
            yield from zip(gone, came, strict=True)


def _pairs(
    old: Sequence[RouteRule],
    gone: Iterable[int],
    new: Sequence[RouteRule],
    came: Sequence[int],
    same: Callable[[RouteRule], Hashable],
) -> Iterator[tuple[int, int]]:
    there = defaultdict[Hashable, list[int]](list)
    for place in reversed(came):
        there[same(new[place])].append(place)
    for place in gone:
        if places := there[same(old[place])]:
            yield place, places.pop()


def _conditions(rule: RouteRule) -> Hashable:
    return tuple(rule.conditions.items())


def _target(rule: RouteRule) -> Hashable:
    return rule.use


# --- what of a rule changed -------------------------------------------------------------------------------


def _rule_changes(before: Zone, old: RouteRule, after: Zone, new: RouteRule) -> Iterator[str]:
    conditions = [{key: dict.fromkeys(some) for key, some in rule.conditions.items()} for rule in (old, new)]
    for key in dict.fromkeys(key for one in conditions for key in one):
        was, now = (one.get(key, {}) for one in conditions)
        if was.keys() & now.keys() and was.keys() != now.keys():
            yield from keyed(key, was, now)
        elif was.keys() != now.keys():
            yield f"{key} {arrow(few(was) or 'any', few(now) or 'any')}"
        elif [*was] != [*now]:
            yield f"{key} in another order"
    if old.use != new.use:
        yield f"use {arrow(_relative(before, old.use), _relative(after, new.use))}"
    if old.deal != new.deal:
        yield f"deal {arrow(old.deal, new.deal)}"
    if old.port != new.port:
        yield f"port {arrow(str(old.port), str(new.port))}"
