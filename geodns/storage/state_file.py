"""Keeps what a restart must know: verdicts, what is forced, zones, hosts, lists of sources, notes.

One SQLite file, ``geodns.db`` in the state directory. Times are seconds since the epoch. What is saved with
FULL is on disk when the call returns.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple

from geodns.model.hosts import Host
from geodns.model.state import (
    Forced,
    ForcedState,
    ForcedWeight,
    HealthState,
    HostKey,
    HostSince,
    RetiredHost,
    StoredZone,
    Verdict,
)
from geodns.storage.database import Database

FILE_NAME = "geodns.db"
SCHEMA_VERSION = 1

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
    PRIMARY KEY (zone, host)) WITHOUT ROWID
"""


class StateFile(Database):
    """The open state file."""

    FILE_NAME = FILE_NAME
    VERSION = SCHEMA_VERSION
    SCHEMA = _SCHEMA
    LATER = _LATER
    LOSS = "hosts that were drained or forced must be so again"

    def _read_through(self) -> None:
        self.load_verdicts(math.inf, 0)
        self.load_forced()
        self.load_forced_weights()
        self.load_zones()
        self.load_host_states()
        self.load_retired()
        self.load_returned()
        self.load_notes()
        self.load_found()

    # ----- verdicts

    def save_verdicts(self, verdicts: Mapping[str, Verdict], now: float) -> None:
        """Keep verdicts by `Target.key`; those of other targets stay."""
        self._write(
            "NORMAL",
            "INSERT OR REPLACE INTO verdict VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(target, *astuple(verdict)[:STORED], now) for target, verdict in verdicts.items()],
        )

    def load_verdicts(self, max_age: float, now: float) -> dict[str, Verdict]:
        """Return the verdicts that were saved at most so many seconds ago, by `Target.key`.

        One from the future has an age too: the clock was wrong, or is.
        """
        rows = self._read(
            "SELECT target, state, failures, successes, sheds, level, shed_out FROM verdict"
            " WHERE abs(? - at) <= ?",
            (now, max_age),
        )
        return {
            target: Verdict(HealthState(state), failures, successes, sheds, level, bool(shed_out))
            for target, state, failures, successes, sheds, level, shed_out in rows
        }

    def prune_verdicts(self, max_age: float, now: float) -> None:
        self._write("NORMAL", "DELETE FROM verdict WHERE abs(? - at) > ?", [(now, max_age)])

    # ----- what is forced

    def save_forced(self, host: HostKey, state: ForcedState) -> None:
        *kept, badness = astuple(state)
        # First: a badness without a forced state means nothing.
        if badness is None:
            self._write("NORMAL", "DELETE FROM badness WHERE zone = ? AND host = ?", [host])
        else:
            self._write("NORMAL", "INSERT OR REPLACE INTO badness VALUES (?, ?, ?)", [(*host, badness)])
        self._write("FULL", "INSERT OR REPLACE INTO forced VALUES (?, ?, ?, ?, ?, ?, ?)", [(*host, *kept)])

    def clear_forced(self, host: HostKey) -> None:
        self._write("FULL", "DELETE FROM forced WHERE zone = ? AND host = ?", [host])

    def load_forced(self) -> dict[HostKey, ForcedState]:
        """Return all forced states, also those that have ended since."""
        rows = self._read(
            "SELECT zone, host, forced, reason, author, since, until, badness FROM forced"
            " LEFT JOIN badness USING (zone, host)"
        )
        return {(zone, host): ForcedState(Forced(forced), *rest) for zone, host, forced, *rest in rows}

    def save_forced_weight(self, host: HostKey, weight: ForcedWeight) -> None:
        self._write(
            "FULL",
            "INSERT OR REPLACE INTO forced_weight VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*host, *astuple(weight))],
        )

    def clear_forced_weight(self, host: HostKey) -> None:
        self._write("FULL", "DELETE FROM forced_weight WHERE zone = ? AND host = ?", [host])

    def load_forced_weights(self) -> dict[HostKey, ForcedWeight]:
        """Return all forced weights, also those that have ended since."""
        rows = self._read(
            "SELECT zone, host, weight, reason, author, since, until, file, edited FROM forced_weight"
        )
        return {(zone, host): ForcedWeight(*rest) for zone, host, *rest in rows}

    # ----- zones

    def save_zone(self, name: str, zone: StoredZone) -> None:
        self._write("FULL", "INSERT OR REPLACE INTO zone VALUES (?, ?, ?, ?, ?)", [(name, *astuple(zone))])

    def drop_zone(self, name: str) -> None:
        """Forget a zone but for its serial, which must not go back should the zone return."""
        self._write("FULL", "UPDATE zone SET text = NULL WHERE name = ?", [(name,)])

    def load_zones(self) -> dict[str, StoredZone]:
        rows = self._read("SELECT name, digest, serial, text, at FROM zone WHERE text IS NOT NULL")
        return {name: StoredZone(digest, serial, text, at) for name, digest, serial, text, at in rows}

    def load_serials(self) -> dict[str, int]:
        """Return the last serial of every zone, also of dropped ones."""
        return dict(self._read("SELECT name, serial FROM zone"))

    # ----- hosts

    def save_host_states(self, states: Mapping[HostKey, HostSince]) -> None:
        """Keep the states of hosts; those of others stay."""
        self._write(
            "NORMAL",
            "INSERT OR REPLACE INTO host_state VALUES (?, ?, ?, ?)",
            [(*host, *astuple(state)) for host, state in states.items()],
        )

    def forget_host_states(self, hosts: Iterable[HostKey]) -> None:
        self._write("NORMAL", "DELETE FROM host_state WHERE zone = ? AND host = ?", list(hosts))

    def load_host_states(self) -> dict[HostKey, HostSince]:
        rows = self._read("SELECT zone, host, state, since FROM host_state")
        return {(zone, host): HostSince(HealthState(state), since) for zone, host, state, since in rows}

    def save_returned(self, hosts: Mapping[HostKey, float]) -> None:
        """Keep when these hosts, and no others, came back from down."""
        self._write(
            "NORMAL",
            "INSERT INTO returned VALUES (?, ?, ?)",
            [(*host, at) for host, at in hosts.items()],
            first="DELETE FROM returned",
        )

    def load_returned(self) -> dict[HostKey, float]:
        """Return when hosts came back from down, of those that were still in their slow start."""
        return {(zone, host): at for zone, host, at in self._read("SELECT zone, host, at FROM returned")}

    def save_retired(self, hosts: Mapping[HostKey, RetiredHost]) -> None:
        """Keep these retired hosts and no others."""
        self._write(
            "FULL",
            "INSERT INTO retired VALUES (?, ?, ?, ?)",
            [(*key, retired.host.model_dump_json(), retired.until) for key, retired in hosts.items()],
            first="DELETE FROM retired",
        )

    def load_retired(self) -> dict[HostKey, RetiredHost]:
        """Return the retired hosts, also those whose `until` has passed."""
        rows = self._read("SELECT zone, host, model, until FROM retired")
        return {
            (zone, host): RetiredHost(Host.model_validate_json(model), until)
            for zone, host, model, until in rows
        }

    # ----- sources of hosts

    def save_found(self, lists: Mapping[tuple[str, str], str]) -> None:
        """Keep the last lists of these sources, by zone and title, and of no others."""
        self._write(
            "FULL",
            "INSERT INTO found VALUES (?, ?, ?)",
            [(*key, text) for key, text in lists.items()],
            first="DELETE FROM found",
        )

    def load_found(self) -> dict[tuple[str, str], str]:
        rows = self._read("SELECT zone, source, text FROM found")
        return {(zone, source): text for zone, source, text in rows}

    # ----- notes

    def save_note(self, name: str, text: str) -> None:
        """Keep a text under a name, instead of the one before."""
        self._write("FULL", "INSERT OR REPLACE INTO note VALUES (?, ?)", [(name, text)])

    def load_notes(self) -> dict[str, str]:
        return dict(self._read("SELECT name, text FROM note"))
