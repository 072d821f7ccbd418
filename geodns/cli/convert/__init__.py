"""Zones from and for other programs: BIND zone files, octoDNS's YAML."""
