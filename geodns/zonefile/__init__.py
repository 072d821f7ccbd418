"""The zone file (DESIGN section 4): YAML text to `model.Zone`, with every problem at once and its place."""

from geodns.zonefile.hostsfrom import Finder, Finding, Found
from geodns.zonefile.reader import ParsedZone, is_zone_file, parse_zone, read_zone, read_zones, zone_files

__all__ = [
    "Finder",
    "Finding",
    "Found",
    "ParsedZone",
    "is_zone_file",
    "parse_zone",
    "read_zone",
    "read_zones",
    "zone_files",
]
