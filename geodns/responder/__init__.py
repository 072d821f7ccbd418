"""Packet to packet: `respond`, and the Table that it deals from."""
