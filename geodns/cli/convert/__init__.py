"""Zones from and to what other programs read: BIND zone files, octoDNS's YAML."""
