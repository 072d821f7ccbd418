"""Counts what clients do wrong, and tells each kind at most once a minute: a flood must not fill the log."""

import logging
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from geodns.errors import printable

log = logging.getLogger(__name__)

TELL_EVERY = 60.0
"""Seconds from one line about a kind to the next."""
MAX_DETAIL = 200


class Nuisances:
    """Counts of nuisances that are not yet told; `counts` has all that ever were, by kind.

    Args:
        clock: seconds, of any beginning.

    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._told: dict[str, float] = {}
        self._more: dict[str, tuple[int, str]] = {}
        """Of each kind: how often since it was told, and the last one's words."""

    def note(self, kind: str, client: str, detail: str = "") -> None:
        """Count one; the first of a minute is told at once.

        Args:
            kind: of a fixed few.
            client: an address.
            detail: on one line, but of any length.

        """
        self.counts[kind] += 1
        words = printable(f"{client}: {detail}" if detail else client)[:MAX_DETAIL]
        if kind in self._told:
            self._more[kind] = self._more.get(kind, (0, ""))[0] + 1, words
        else:
            self._told[kind] = self._clock()
            log.warning("HTTP: %s from %s", kind, words)

    def tell(self) -> None:
        """Tell what has gathered for a minute; call it now and then."""
        now = self._clock()
        for kind, at in list(self._told.items()):
            if now - at < TELL_EVERY:
                continue
            number, words = self._more.pop(kind, (0, ""))
            if number:
                self._told[kind] = now
                log.warning(
                    "HTTP: %s: %d more in %.0f s, the last from %s",
                    kind,
                    number,
                    now - at,
                    words,
                    extra={"times": number},
                )
            else:
                del self._told[kind]


NUISANCES: web.AppKey[Nuisances] = web.AppKey("nuisances")
