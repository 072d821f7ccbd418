"""The rules of names as the status shows them: in order, with their conditions, since when in force."""

from geodns.api.schemas_status import RuleJson
from geodns.config.times import timestamp
from geodns.control.services import Services
from geodns.control.view_service import ShownRule


def views_of(services: Services) -> dict[str, dict[str, list[RuleJson]]]:
    """Return the rules by zone and name; zones without any are not there."""
    found: dict[str, dict[str, list[RuleJson]]] = {}
    for name, zone in services.cluster.zones.items():
        for one in services.views.rules(zone):
            found.setdefault(name, {}).setdefault(one.row.owner, []).append(_rule(one))
    return found


def _rule(one: ShownRule) -> RuleJson:
    row = one.row
    shown: RuleJson = {
        "rule": row.number,
        "types": list(row.types),
        "when": row.when,
        "pool": row.pool,
        "since": None if one.since is None else timestamp(one.since),
    }
    if row.preference is not None:
        shown["preference"] = row.preference
    return shown
