"""Hosts that come and go: looks up and reads what `hosts_from` of the zones says, while the server runs."""

from geodns.discovery.discovery import Discovery
from geodns.discovery.listing import Listing

__all__ = ["Discovery", "Listing"]
