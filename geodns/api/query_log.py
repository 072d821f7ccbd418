"""The routes of the query log: read it, switch it on and off."""

EXAMPLE = '{"on": true, "zones": ["out.example.com"], "clients": ["192.0.2.0/24"], "sample": "1%"}'
"""What a body that is wrong is told to be."""
