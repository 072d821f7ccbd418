"""Reads who asks from a list of clients or from the query log, for `geodns simulate`."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from geodns.config.report import quoted
from geodns.control.simulation import SimulatedClient
from geodns.errors import UsageError
from geodns.model.limits import MAX_ASKED
from geodns.wire.networks import Network, parse_network

_HOW = "write ADDRESS [ecs=NET] [COUNT], as 192.0.2.7 ecs=198.51.100.0/24 3"
_QUERY = re.compile(
    r"\bclient (?P<client>[0-9A-Fa-f:.]+)(?:%\S+)?#\d+ (?:udp|tcp): (?P<qname>\S+) \S+ IN \S+"
    r"(?: \[ECS (?P<ecs>\S+)\])? → "
)
"""A line of the query log, as `control.query_log_text` describes queries."""
_Asked = tuple[str, str, Network | None]
"""Name, client, and the network that it says it asks for."""


@dataclass(slots=True)
class ClientList:
    """The clients of a file or log.

    Attributes:
        counts: queries by who asks.
        problems: of lines that were left out, each with its place.
        others: queries for other names than the one that is wanted.
        unread: lines of a log that are no queries.

    """

    counts: Counter[_Asked] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    others: int = 0
    unread: int = 0

    def most(self, number: int) -> tuple[list[SimulatedClient], int]:
        """Return those that ask most, so many at the most, and the queries of all others."""
        kept = [
            SimulatedClient(client, network, count, name)
            for (name, client, network), count in self.counts.most_common(number)
        ]
        return kept, self.counts.total() - sum(one.queries for one in kept)


def read_clients(path: Path) -> ClientList:
    """Read a file of clients, one a line; wrong lines are told, and the others count.

    Raises:
        UsageError: it cannot be read, or has no client.

    """
    found = ClientList()
    for number, line in _lines(path):
        text = line.partition("#")[0]
        if not text.strip():
            continue
        try:
            asked, count = _client(text.split())
        except ValueError as error:
            found.problems.append(f"{path}:{number}: {error}")
        else:
            found.counts[asked] += count
    return _filled(found, path, f"no client in it: {_HOW}")


def _client(words: list[str]) -> tuple[_Asked, int]:
    client, *more = words
    network, count = None, None
    for word in more:
        if word.startswith("ecs=") and network is None:
            network = _network(word.removeprefix("ecs="))
        elif count is None and not word.startswith("ecs="):
            count = _count(word)
        else:
            raise ValueError(f"{quoted(word)} is one word too many: {_HOW}")
    return ("", _address(client), network), 1 if count is None else count


def _address(text: str) -> str:
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        raise ValueError(f"{quoted(text)} is no address: {_HOW}") from None


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        raise ValueError(": ".join(map(str, error.args))) from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= len(text) <= len(str(MAX_ASKED))):
        raise ValueError(f"{quoted(text)} is no number of queries: write 1 to {MAX_ASKED:,}")
    if not 1 <= int(text) <= MAX_ASKED:
        raise ValueError(f"{text} queries are out of range: write 1 to {MAX_ASKED:,}")
    return int(text)


def read_log(path: Path, name: str | None) -> ClientList:
    """Read the queries of a server's log, text or JSON; `name` is the only one wanted, None: all.

    Raises:
        UsageError: it cannot be read, or has no such query.

    """
    wanted = None if name is None else name.lower().rstrip(".")
    found = ClientList()
    for _, line in _lines(path):
        asked = _query(line)
        if asked is None:
            found.unread += 1
        elif wanted is not None and asked[0] != wanted:
            found.others += 1
        else:
            found.counts[f"{asked[0]}.", asked[1], asked[2]] += 1
    what = "no query" if name is None else f"no query for {wanted}"
    return _filled(found, path, f"{what} in it: `geodns querylog on` has a server log them")


def _query(line: str) -> _Asked | None:
    """Return who asks for what in a line of the log; None: it is no query of class IN."""
    fields: Callable[[str], object]
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or found.get("qclass") != "IN":
            return None
        fields = found.get
    else:
        match = _QUERY.search(line)
        if match is None:
            return None
        fields = match.groupdict().get
    name, client, ecs = (fields(key) for key in ("qname", "client", "ecs"))
    if not isinstance(name, str) or not isinstance(client, str):
        return None
    try:
        network = None if not isinstance(ecs, str) or ecs == "nobody" else _network(ecs)
        return name.lower().rstrip("."), _address(client), network
    except ValueError:
        return None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            yield from enumerate(file, 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _filled(found: ClientList, path: Path, otherwise: str) -> ClientList:
    if found.counts:
        return found
    raise UsageError("\n".join([*some(found.problems), f"{path}: {otherwise}"]))


MOST_PROBLEMS = 20


def some(problems: list[str]) -> Iterable[str]:
    """Return the first problems, and how many more there are."""
    yield from problems[:MOST_PROBLEMS]
    if len(problems) > MOST_PROBLEMS:
        yield f"and {len(problems) - MOST_PROBLEMS:,} lines more"
