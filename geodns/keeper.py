"""What a restart must know, written down as it happens; trouble with the disk is a warning, never an end."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic import ValidationError

from geodns.cluster import Cluster
from geodns.compiler import Source
from geodns.errors import StoreError
from geodns.folder import Edit
from geodns.live import HostKey, Verdict
from geodns.model import Target, Zone
from geodns.serial import next_serial
from geodns.store import ForcedState, RetiredHost, Store, StoredZone

log = logging.getLogger(__name__)

VERDICTS_LAST = 3600.0
"""Seconds after which a stored verdict says nothing any more."""


class Keeper:
    """Writes to the store what happens, and reads back what happened before.

    Its methods block on the disk: the daemon calls them in threads.

    Attributes:
        trouble: why the last write failed; None while the disk does its work.

    """

    def __init__(self, store: Store) -> None:
        self.trouble: str | None = None
        self._store = store
        self._zones = store.load_zones()
        self._serials = store.load_serials()

    def cluster(self) -> Cluster:
        """Return a cluster that knows what was imposed on hosts, since when, and who is retired."""
        store = self._store
        return Cluster({}, store.load_forced(), store.load_host_states(), store.load_retired())

    def zone(self, name: str) -> Zone | None:
        """Return a zone as it was last served; None where it is not known, or in a form that is no more."""
        kept = self._zones.get(name)
        try:
            return None if kept is None else Zone.model_validate_json(kept.text)
        except ValidationError:
            return None

    def verdicts(self, targets: set[Target], now: float) -> dict[Target, Verdict]:
        """Return what was believed of targets not too long ago."""
        stored = self._store.load_verdicts(VERDICTS_LAST, now)
        return {target: stored[target.key] for target in targets if target.key in stored}

    def serial(self, zone: Zone) -> int:
        """Return the serial a zone is served with: the operator's, the one it had, or the next one."""
        if zone.soa.serial is not None:
            return zone.soa.serial
        kept = self._zones.get(zone.name)
        if kept is not None and kept.digest == zone.digest:
            return kept.serial
        serial = next_serial(self._serials.get(zone.name), datetime.now(UTC).date())
        self._serials[zone.name] = serial
        return serial

    def save_edit(self, edit: Edit, sources: Mapping[str, Source], now: float) -> None:
        """Keep the zones that an edit brought; let go of those that went."""
        with self._writing():
            for name in edit.zones:
                zone = sources[name].zone
                known = self._zones.get(name)
                if known is None or known.digest != zone.digest:
                    kept = StoredZone(zone.digest, sources[name].serial, zone.model_dump_json(), now)
                    self._store.save_zone(name, kept)
                    self._zones[name] = kept
            for name in edit.removed:
                self._store.drop_zone(name)
                self._zones.pop(name, None)

    def save_retired(self, retired: Mapping[HostKey, RetiredHost]) -> None:
        """Keep the hosts that answer for their own names only."""
        with self._writing():
            self._store.save_retired(retired)

    def save_forced(self, host: HostKey, state: ForcedState | None) -> None:
        """Keep what is imposed on a host; None: nothing any more."""
        with self._writing():
            if state is None:
                self._store.clear_forced(host)
            else:
                self._store.save_forced(host, state)

    def save_states(self, cluster: Cluster, now: float) -> None:
        """Keep what changes often: verdicts and host states."""
        # Copies, taken at once: the loop goes on changing the originals.
        verdicts, since = dict(cluster.verdicts), dict(cluster.since)
        with self._writing():
            self._store.save_verdicts({target.key: one for target, one in verdicts.items()}, now)
            self._store.prune_verdicts(VERDICTS_LAST, now)
            self._store.save_host_states(since)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            log.error("%s", error)  # noqa: TRY400 - the text says it all
            self.trouble = f"{error}: what changes now is forgotten at a restart"
        else:
            self.trouble = None
