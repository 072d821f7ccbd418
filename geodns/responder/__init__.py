"""Packet to packet: `respond`, and the Table it deals from."""
