"""Keeps what a restart must know: verdicts, what is forced, zones, hosts, lists of sources, providers, notes.

One SQLite file, ``geodns.db`` in the state directory. Times are seconds since the epoch. What is saved with
FULL is on disk when the call returns.

Columns are read and written by their names, and a row that makes no sense is left out alone. So
other versions, earlier or later, can read the orders: `forced`, `badness` and `forced_weight` keep their
columns, and get new ones only with a default.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any, TypeVar

from geodns.errors import printable
from geodns.model.providers import LookedUp
from geodns.model.state import (
    ForcedState,
    ForcedWeight,
    HostKey,
    HostSince,
    RetiredHost,
    StoredZone,
    Verdict,
)
from geodns.model.warmup import WarmupStage
from geodns.storage import state_rows
from geodns.storage.database import Database
from geodns.storage.formats import FORMATS
from geodns.storage.state_rows import StoredOrder

FILE_NAME = "geodns.db"
SCHEMA_VERSION = FORMATS[FILE_NAME]

_SCHEMA = """
CREATE TABLE verdict (target TEXT PRIMARY KEY, state TEXT NOT NULL, failures INT NOT NULL,
    successes INT NOT NULL, sheds INT NOT NULL, level INT NOT NULL, shed_out INT NOT NULL, at REAL NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE forced (zone TEXT NOT NULL, host TEXT NOT NULL, forced TEXT NOT NULL, reason TEXT NOT NULL,
    author TEXT NOT NULL, since REAL NOT NULL, until REAL, PRIMARY KEY (zone, host)) WITHOUT ROWID;
CREATE TABLE zone (name TEXT PRIMARY KEY, digest TEXT NOT NULL, serial INT NOT NULL, text TEXT,
    at REAL NOT NULL);
CREATE TABLE host_state (zone TEXT NOT NULL, host TEXT NOT NULL, state TEXT NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (zone, host)) WITHOUT ROWID;
CREATE TABLE retired (zone TEXT NOT NULL, host TEXT NOT NULL, model TEXT NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (zone, host)) WITHOUT ROWID
"""

STORED = 6
"""Fields of a verdict that are kept, the first ones: whether a target is slow is soon found out anew."""

_LATER = """
CREATE TABLE IF NOT EXISTS returned (zone TEXT NOT NULL, host TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (zone, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS found (zone TEXT NOT NULL, source TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (zone, source)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forced_weight (zone TEXT NOT NULL, host TEXT NOT NULL, weight INT NOT NULL,
    reason TEXT NOT NULL, author TEXT NOT NULL, since REAL NOT NULL, until REAL,
    file TEXT NOT NULL, edited REAL, PRIMARY KEY (zone, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS badness (zone TEXT NOT NULL, host TEXT NOT NULL, badness REAL NOT NULL,
    PRIMARY KEY (zone, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS warmup (zone TEXT NOT NULL, host TEXT NOT NULL, start TEXT NOT NULL,
    day INT NOT NULL, date TEXT NOT NULL, begun INT NOT NULL, dealt REAL NOT NULL, active REAL NOT NULL,
    held TEXT, author TEXT NOT NULL, PRIMARY KEY (zone, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shared_order (zone TEXT NOT NULL, host TEXT NOT NULL, kind TEXT NOT NULL,
    counter INT NOT NULL, id TEXT NOT NULL, node TEXT NOT NULL, at REAL NOT NULL, content TEXT,
    more TEXT NOT NULL, over INT NOT NULL DEFAULT 0, PRIMARY KEY (zone, host, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS provider (domain TEXT PRIMARY KEY, provider TEXT NOT NULL,
    confirmed REAL NOT NULL, fresh REAL NOT NULL) WITHOUT ROWID
"""


_TRIGGERS = tuple(
    f"CREATE TRIGGER IF NOT EXISTS {table}_ended AFTER DELETE ON {table} BEGIN UPDATE shared_order"  # noqa: S608 - ours
    f" SET over = {state_rows.GONE} WHERE zone = OLD.zone AND host = OLD.host AND kind = '{kind}'; END"
    for table, kind in (("forced", "state"), ("forced_weight", "weight"))
)
"""Note the ends that an earlier version gives, which knows no orders: a row that is lost is none."""

SHOWN = 5
"""Rows left out that are named; of more, only the number is told."""
_KEYS = {
    "forced": 2,
    "forced_weight": 2,
    "host_state": 2,
    "returned": 2,
    "retired": 2,
    "found": 2,
    "warmup": 2,
    "shared_order": 3,
}
"""Columns that name a row, where it is not the first alone."""

K = TypeVar("K")
V = TypeVar("V")


class StateFile(Database):
    """The open state file."""

    FILE_NAME = FILE_NAME
    VERSION = SCHEMA_VERSION
    SCHEMA = _SCHEMA
    LATER = _LATER
    TRIGGERS = _TRIGGERS
    LOSS = "hosts that were drained or forced must be so again"
    TAKEN = (
        "forced",
        "badness",
        "forced_weight",
        "shared_order",
        "zone",
        "retired",
        "returned",
        "host_state",
        "verdict",
        "note",
        "found",
        "warmup",
        "provider",
    )

    def _read_through(self) -> None:
        self._left_out: dict[tuple[str, str], str] = {}
        self.load_verdicts(math.inf, 0)
        self.load_forced()
        self.load_forced_weights()
        self.load_orders()
        self.load_zones()
        self.load_serials()
        self.load_host_states()
        self.load_retired()
        self.load_returned()
        self.load_notes()
        self.load_found()
        self.load_warmups()
        self.load_providers()

    def remarks(self) -> list[str]:
        found = [f"{what} {which} ({why})" for (what, which), why in self._left_out.items()]
        if not found:
            return []
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        rows = "a row makes" if len(found) == 1 else f"{len(found)} rows make"
        named = f"{', '.join(found[:SHOWN])}{more}"
        return [
            f"{self._path}: {rows} no sense: left out, and to be ordered again if it was an order: {named}"
        ]

    def _load(
        self, what: str, query: str, made: Callable[..., tuple[K, V]], values: Sequence[float] = ()
    ) -> dict[K, V]:
        """Return what the rows of a query are made into, but for those that make no sense."""
        found = {}
        for row in self._read(query, values):
            try:
                key, value = made(*row)
            except (ValueError, TypeError) as error:
                which = ".".join(str(part) for part in reversed(row[: _KEYS.get(what, 1)]))
                self._left_out[what, printable(which)] = printable(str(error).splitlines()[0])
            else:
                found[key] = value
        return found

    # ----- verdicts

    def save_verdicts(self, verdicts: Mapping[str, Verdict], now: float) -> None:
        """Keep verdicts by `Target.key`; those of other targets stay."""
        self._write(
            "NORMAL",
            "INSERT OR REPLACE INTO verdict (target, state, failures, successes, sheds, level, shed_out, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(target, *astuple(verdict)[:STORED], now) for target, verdict in verdicts.items()],
        )

    def load_verdicts(self, max_age: float, now: float) -> dict[str, Verdict]:
        """Return the verdicts that were saved at most so many seconds ago, by `Target.key`.

        One from the future has an age too: the clock was wrong, or is.
        """
        return self._load(
            "verdict",
            "SELECT target, state, failures, successes, sheds, level, shed_out FROM verdict"
            " WHERE abs(? - at) <= ?",
            state_rows.verdict,
            (now, max_age),
        )

    def prune_verdicts(self, max_age: float, now: float) -> None:
        self._write("NORMAL", "DELETE FROM verdict WHERE abs(? - at) > ?", [(now, max_age)])

    # ----- what is forced

    def save_forced(self, host: HostKey, state: ForcedState, order: StoredOrder | None = None) -> None:
        """Keep a forced state, and the order that imposes it where it is known."""
        *kept, badness = astuple(state)
        also = [_saved(order)] if order is not None else []
        if badness is not None:
            also.append(("INSERT INTO badness (zone, host, badness) VALUES (?, ?, ?)", (*host, badness)))
        self._write(
            "FULL",
            "INSERT OR REPLACE INTO forced (zone, host, forced, reason, author, since, until)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(*host, *kept)],
            also=[("DELETE FROM badness WHERE zone = ? AND host = ?", host), *also],
        )

    def clear_forced(self, host: HostKey, order: StoredOrder | None = None) -> None:
        """Forget a forced state, and keep the order that ended it where there is one."""
        also = [] if order is None else [_saved(order)]
        self._write("FULL", "DELETE FROM forced WHERE zone = ? AND host = ?", [host], also=also)

    def load_forced(self) -> dict[HostKey, ForcedState]:
        """Return all forced states, also those that have ended since."""
        return self._load(
            "forced",
            "SELECT zone, host, forced, reason, author, since, until, badness FROM forced"
            " LEFT JOIN badness USING (zone, host)",
            state_rows.forced,
        )

    def save_forced_weight(
        self, host: HostKey, weight: ForcedWeight, order: StoredOrder | None = None
    ) -> None:
        """Keep a forced weight, and the order that imposes it where it is known."""
        self._write(
            "FULL",
            "INSERT OR REPLACE INTO forced_weight"
            " (zone, host, weight, reason, author, since, until, file, edited)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*host, *astuple(weight))],
            also=[] if order is None else [_saved(order)],
        )

    def clear_forced_weight(self, host: HostKey, order: StoredOrder | None = None) -> None:
        """Forget a forced weight, and keep the order that ended it where there is one."""
        also = [] if order is None else [_saved(order)]
        self._write("FULL", "DELETE FROM forced_weight WHERE zone = ? AND host = ?", [host], also=also)

    def load_forced_weights(self) -> dict[HostKey, ForcedWeight]:
        """Return all forced weights, also those that have ended since."""
        return self._load(
            "forced_weight",
            "SELECT zone, host, weight, reason, author, since, until, file, edited FROM forced_weight",
            state_rows.forced_weight,
        )

    def save_order(self, order: StoredOrder) -> None:
        """Keep an order that imposes nothing here."""
        query, row = _saved(order)
        self._write("FULL", query, [row])

    def forget_orders(self, keys: Iterable[tuple[str, str, str]]) -> None:
        query = "DELETE FROM shared_order WHERE zone = ? AND host = ? AND kind = ?"
        self._write("NORMAL", query, list(keys))

    def load_orders(self) -> dict[tuple[str, str, str], StoredOrder]:
        """Return the last order of every override, ended ones too, by zone, host and kind."""
        return self._load(
            "shared_order",
            "SELECT zone, host, kind, counter, id, node, at, content, more, over FROM shared_order",
            state_rows.shared_order,
        )

    # ----- zones

    def save_zone(self, name: str, zone: StoredZone) -> None:
        self._write(
            "FULL",
            "INSERT OR REPLACE INTO zone (name, digest, serial, text, at) VALUES (?, ?, ?, ?, ?)",
            [(name, *astuple(zone))],
        )

    def drop_zone(self, name: str) -> None:
        """Forget a zone but for its serial, which must not go back should the zone return."""
        self._write("FULL", "UPDATE zone SET text = NULL WHERE name = ?", [(name,)])

    def load_zones(self) -> dict[str, StoredZone]:
        query = "SELECT name, digest, serial, text, at FROM zone WHERE text IS NOT NULL"
        return self._load("zone", query, state_rows.zone)

    def load_serials(self) -> dict[str, int]:
        """Return the last serial of every zone, also of dropped ones."""
        return self._load("zone", "SELECT name, serial FROM zone", state_rows.serial)

    # ----- hosts

    def save_host_states(self, states: Mapping[HostKey, HostSince]) -> None:
        """Keep the states of hosts; those of others stay."""
        self._write(
            "NORMAL",
            "INSERT OR REPLACE INTO host_state (zone, host, state, since) VALUES (?, ?, ?, ?)",
            [(*host, *astuple(state)) for host, state in states.items()],
        )

    def forget_host_states(self, hosts: Iterable[HostKey]) -> None:
        self._write("NORMAL", "DELETE FROM host_state WHERE zone = ? AND host = ?", list(hosts))

    def load_host_states(self) -> dict[HostKey, HostSince]:
        return self._load(
            "host_state", "SELECT zone, host, state, since FROM host_state", state_rows.host_since
        )

    def save_returned(self, hosts: Mapping[HostKey, float]) -> None:
        """Keep when these hosts, and no others, came back from down."""
        self._write(
            "NORMAL",
            "INSERT INTO returned (zone, host, at) VALUES (?, ?, ?)",
            [(*host, at) for host, at in hosts.items()],
            first="DELETE FROM returned",
        )

    def load_returned(self) -> dict[HostKey, float]:
        """Return when hosts came back from down, of those that were still in their slow start."""
        return self._load("returned", "SELECT zone, host, at FROM returned", state_rows.returned)

    def save_retired(self, hosts: Mapping[HostKey, RetiredHost]) -> None:
        """Keep these retired hosts and no others."""
        self._write(
            "FULL",
            "INSERT INTO retired (zone, host, model, until) VALUES (?, ?, ?, ?)",
            [(*key, retired.host.model_dump_json(), retired.until) for key, retired in hosts.items()],
            first="DELETE FROM retired",
        )

    def load_retired(self) -> dict[HostKey, RetiredHost]:
        """Return the retired hosts, also those whose `until` has passed."""
        return self._load("retired", "SELECT zone, host, model, until FROM retired", state_rows.retired)

    # ----- sources of hosts

    def save_found(self, lists: Mapping[tuple[str, str], str]) -> None:
        """Keep the last lists of these sources, by zone and title, and of no others."""
        self._write(
            "FULL",
            "INSERT INTO found (zone, source, text) VALUES (?, ?, ?)",
            [(*key, text) for key, text in lists.items()],
            first="DELETE FROM found",
        )

    def load_found(self) -> dict[tuple[str, str], str]:
        return self._load("found", "SELECT zone, source, text FROM found", state_rows.found)

    # ----- warm-ups

    def save_warmups(self, stages: Mapping[HostKey, WarmupStage]) -> None:
        """Keep where these hosts stand in their warm-ups, and no others."""
        self._write(
            "FULL",
            "INSERT INTO warmup (zone, host, start, day, date, begun, dealt, active, held, author)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (*host, str(one.start), one.day, str(one.date), *astuple(one)[3:])
                for host, one in stages.items()
            ],
            first="DELETE FROM warmup",
        )

    def load_warmups(self) -> dict[HostKey, WarmupStage]:
        return self._load(
            "warmup",
            "SELECT zone, host, start, day, date, begun, dealt, active, held, author FROM warmup",
            state_rows.warmup,
        )

    # ----- who runs domains' mail

    def save_providers(self, known: Mapping[str, LookedUp], gone: Iterable[str]) -> None:
        """Keep who runs the mail of these domains, and forget those that are gone; others stay."""
        self._write("NORMAL", "DELETE FROM provider WHERE domain = ?", [(domain,) for domain in gone])
        self._write(
            "NORMAL",
            "INSERT OR REPLACE INTO provider (domain, provider, confirmed, fresh) VALUES (?, ?, ?, ?)",
            [(domain, *astuple(one)) for domain, one in known.items()],
        )

    def load_providers(self) -> dict[str, LookedUp]:
        """Return who runs domains' mail, what was confirmed last at the end."""
        return self._load(
            "provider",
            "SELECT domain, provider, confirmed, fresh FROM provider ORDER BY confirmed",
            state_rows.provider,
        )

    # ----- notes

    def save_note(self, name: str, text: str) -> None:
        """Keep a text under a name, instead of the one before."""
        self._write("FULL", "INSERT OR REPLACE INTO note (name, text) VALUES (?, ?)", [(name, text)])

    def load_notes(self) -> dict[str, str]:
        return self._load("note", "SELECT name, text FROM note", state_rows.note)


def _saved(kept: StoredOrder) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that keeps an order, and its row."""
    order = kept.order
    texts = (None if one is None else json.dumps(one) for one in (order.content, dict(order.more)))
    query = (
        "INSERT OR REPLACE INTO shared_order (zone, host, kind, counter, id, node, at, content, more, over)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    return query, (*order.key, *order.version.rank, order.node, order.at, *texts, kept.over)
