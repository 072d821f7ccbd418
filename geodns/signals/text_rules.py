"""Finds which rules of reputation a reply's text fits, for rules that look for one."""

from collections.abc import Mapping

from geodns.model.zone import Zone
from geodns.signals.reply_patterns import Patterns


class TextRules:
    """The rules with a `text` of all zones, made ready once for each version of them."""

    def __init__(self, zones: Mapping[str, Zone]) -> None:
        self._zones = {
            name: (Patterns(rule.text or "" for rule in rules), rules)
            for name, zone in zones.items()
            if zone.reputation is not None
            if (rules := [rule for rule in zone.reputation.rules if rule.text is not None])
        }

    def fitting(self, zone: str, provider: str, text: str) -> list[str]:
        """Return the names of a zone's rules that are for a provider and whose text is found in a reply."""
        known = self._zones.get(zone)
        if known is None or not text:
            return []
        patterns, rules = known
        found = (rules[index] for index in patterns.found_in(text))
        return [rule.name for rule in found if rule.provider in {None, provider}]
