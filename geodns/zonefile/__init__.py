"""The zone file (DESIGN section 4): YAML text to `model.Zone`, with every problem at once and its place."""

from geodns.zonefile.reader import ParsedZone, is_zone_file, parse_zone, read_zone, read_zones, zone_files

__all__ = ["ParsedZone", "is_zone_file", "parse_zone", "read_zone", "read_zones", "zone_files"]
