"""Compiles what overrides change in another thread: the loop would be held where pools have many hosts."""

from typing import NamedTuple

from geodns.compiler.compile import Compiled, recompile_pools
from geodns.compiler.live_set import LiveSet
from geodns.model.state import PoolKey


class Recompiled(NamedTuple):
    """What was compiled of a live set, and what before that."""

    before: Compiled
    live: LiveSet
    after: Compiled


class Overriding(NamedTuple):
    """Overrides that are still to be compiled; pure, for any thread."""

    before: Compiled
    pools: frozenset[PoolKey]
    live: LiveSet

    def compiled(self) -> Recompiled:
        return Recompiled(self.before, self.live, recompile_pools(self.before, self.pools, self.live))
