"""An authoritative DNS server that balances mail hosts by weight and by what a health check says of them."""

__version__ = "0.1.0"
