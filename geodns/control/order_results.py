"""Says what has become of an order for its hosts: who deals them, and how long caches may hold them."""

from collections.abc import Mapping

from geodns.control.cluster import Cluster
from geodns.control.orders import (
    OrderResult,
    OverridePlan,
    PoolChange,
    cached_for,
    dealt_by,
    describe_pointing,
    pointing_at,
)
from geodns.model.state import Forced, HostKey, PoolKey


def result_of(
    cluster: Cluster, hosts: tuple[HostKey, ...], plan: OverridePlan, changes: Mapping[PoolKey, PoolChange]
) -> OrderResult:
    """Return the result of a plan, as far as the plan itself tells."""
    drained = [key for key, one in plan.forced.items() if one and one.forced is Forced.DRAINED]
    pointing = pointing_at(cluster, drained) if drained else {}
    ttls = {host: max(one.ttl for one in records) for host, records in pointing.items()}
    return OrderResult(
        hosts,
        changes,
        notes=(*plan.notes, *(describe_pointing(*one) for one in pointing.items())),
        left=plan.left,
        dealt_by=dealt_by(cluster, hosts, changes),
        cached_s={host: max(cached_for(cluster, [host]), ttls.get(host, 0)) for host in hosts},
    )
