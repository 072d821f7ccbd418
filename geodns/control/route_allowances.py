"""Works out what hosts that warm up may still be dealt of a provider's mail by routes with `deal: host`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from geodns.control.warmup_service import WarmingHost

NOTHING: Mapping[str, int] = MappingProxyType({})


class ProviderRoom(NamedTuple):
    """What a host may get of a provider's mail today.

    Attributes:
        cap: messages of the day.
        sent: to that provider, by the report that this goes by.
        left: look-ups that this server may answer with the host until the next report.

    """

    cap: int
    sent: int
    left: int


def rooms(
    one: WarmingHost, sent: Mapping[str, int], servers: int, recent: Mapping[str, int] = NOTHING
) -> dict[str, ProviderRoom]:
    """Return what a host may get, by provider; nothing where its warm-up is over, or it has no such caps.

    Args:
        one: that warms up.
        sent: its first attempts today, by provider.
        servers: name servers that deal it, this one among them: none knows what the others do.
        recent: look-ups of this server that named it so recently that their mail may be on its way, by
            provider: no report counts that. Some of it is among `sent` already; then the host gets less.

    """
    cap = one.plan.cap(one.stage.day)
    if cap is None:
        return {}
    coming = sum(recent.get(limit.provider, 0) for limit in one.plan.provider_caps)
    room = max(0, cap - sum(sent.values()) - coming)
    found = {}
    for limit in one.plan.provider_caps:
        most, so_far = limit.of(cap), sent.get(limit.provider, 0)
        left = max(0, min(most // servers - so_far - recent.get(limit.provider, 0), room))
        found[limit.provider] = ProviderRoom(most, so_far, left)
    return found
