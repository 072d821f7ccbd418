"""Finds what of a zone's routes can be written into the files of a mail server, whichever it is."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

from geodns.config.server_keys import Listen
from geodns.model.routes import HeaderSign, RouteRule
from geodns.model.zone import Zone

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens everywhere is asked on loopback
_WIDTH = 100


class Asked(NamedTuple):
    """Where geodns is asked: one of its `routes_listen`.

    Attributes:
        address: of a socket of the internet, or the path of a UNIX socket.
        zone: the only one that it answers for; None: the request says.
        self_host: the host of the zone that runs on this machine; None: none does.

    """

    address: Listen | Path
    zone: str | None = None
    self_host: str | None = None

    @property
    def local(self) -> Listen | Path:
        """The address to connect to on this machine."""
        if isinstance(self.address, Path):
            return self.address
        return self.address._replace(host=_ANY.get(self.address.host, self.address.host))


class Hop(NamedTuple):
    """Where mail goes next: a name without the final dot, and a port."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}"


class RoutedClass(NamedTuple):
    """A class of mail with the name that its messages leave by.

    Attributes:
        rule: the number of the rule that says so.
        before: the numbers of the rules before it, which a server that goes by the class alone does not see.

    """

    name: str
    signs: tuple[HeaderSign, ...]
    hop: Hop
    rule: int
    before: tuple[int, ...]


class Plan(NamedTuple):
    """A zone's rules, as far as lines that are written once can say them.

    Attributes:
        asked: where geodns is asked.
        alone: whether no other zone of the folder has routes.
        static: where mail goes by that no rule with a condition is for; None: see `no_static`.
        no_static: why there is none.
        classes: those that lines can route by their headers alone, in the order of their rules.
        left_out: the other classes, each with the reason.

    """

    zone: Zone
    asked: Asked
    alone: bool
    static: Hop | None
    no_static: str
    classes: tuple[RoutedClass, ...]
    left_out: tuple[tuple[str, str], ...]


class Section(NamedTuple):
    """Lines for one file, with the remarks that belong to them.

    Attributes:
        where: the file, and the place in it.
        mark: what begins a remark there.

    """

    where: str
    text: str
    mark: str = "#"


def plan_of(zone: Zone, asked: Asked, *, alone: bool = True) -> Plan:
    """Return what can be written once and for all; everything else geodns is asked for."""
    reached = _reached(zone.routes)
    static, why = _static(zone, asked, reached)
    classes, left_out = [], []
    for one in zone.classes:
        found = _of_class(zone, asked, one.name, reached)
        if isinstance(found, str):
            left_out.append((one.name, found))
        else:
            number, hop = found
            classes.append(RoutedClass(one.name, one.signs, hop, number, tuple(range(1, number))))
    classes.sort(key=lambda one: one.rule)
    return Plan(zone, asked, alone, static, why, tuple(classes), tuple(left_out))


def _reached(rules: Iterable[RouteRule]) -> list[tuple[int, RouteRule]]:
    """Return the rules with their numbers, up to the first without a condition: it fits all that is left."""
    found = []
    for number, rule in enumerate(rules, 1):
        found.append((number, rule))
        if not rule.conditional:
            break
    return found


def _static(zone: Zone, asked: Asked, rules: list[tuple[int, RouteRule]]) -> tuple[Hop | None, str]:
    if not rules or rules[-1][1].conditional:
        return None, "the list has no last rule without a condition"
    number, rule = rules[-1]
    if _leads_home(zone, asked, rule):
        return None, _home(number, rule, asked)
    return _hop(rule), ""


def _of_class(
    zone: Zone, asked: Asked, name: str, rules: list[tuple[int, RouteRule]]
) -> tuple[int, Hop] | str:
    """Return the number and the hop of the first rule for a class alone, or why there is none."""
    more = []
    for number, rule in rules:
        if name not in rule.mail_class:
            continue
        if rule.conditions.keys() != {"class"}:
            more.append(number)
        elif _leads_home(zone, asked, rule):
            return _home(number, rule, asked)
        else:
            return number, _hop(rule)
    if more:
        return f"{numbered(more)} {'asks' if len(more) == 1 else 'ask'} for more than the class"
    return "no rule is for it"


def _hop(rule: RouteRule) -> Hop:
    return Hop(rule.use.removesuffix("."), rule.port)


def _leads_home(zone: Zone, asked: Asked, rule: RouteRule) -> bool:
    """Whether the host on this machine may be among those of a rule's name, whoever asks for them."""
    dealt = (one for one in zone.rules if one.owner == rule.use and one.type in {"A", "AAAA"})
    return any(asked.self_host in zone.hosts_reached[pool] for one in dealt for pool in zone.pools_of(one))


def _home(number: int, rule: RouteRule, asked: Asked) -> str:
    return f"{_hop(rule).name} (rule {number}) may lead back to this machine, {asked.self_host}"


def numbered(rules: Iterable[int]) -> str:
    """Return `rule 3`, or `rules 1 to 3 and 5`."""
    spans: list[list[int]] = []
    for number in rules:
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    words = [f"{span[0]} to {span[-1]}" if len(span) > 2 else " and ".join(map(str, span)) for span in spans]
    if len(words) > 1:
        words = [", ".join(words[:-1]), words[-1]]
    return f"{'rule' if words and words[0].isdigit() and len(words) == 1 else 'rules'} {' and '.join(words)}"


def sign_words(sign: HeaderSign) -> list[str] | None:
    """Return the words, in lower case, any of which a header says; None: whatever it says."""
    return None if sign.value is None else [word.strip().lower() for word in sign.value.split("|")]


def lines_of(*lines: str) -> str:
    """Return lines as a text that ends with one newline."""
    return "\n".join(lines).strip("\n") + "\n"


def remark(text: str, mark: str = "#") -> list[str]:
    """Return a sentence as lines of a comment."""
    return [f"{mark} {line}" for line in wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)]
