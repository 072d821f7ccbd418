"""The shortest zone file, as `geodns init` writes it."""

import json
from collections.abc import Sequence

from geodns.errors import UsageError
from geodns.zonefile.names import is_within
from geodns.zonefile.reader import parse_zone

PLACEHOLDER = "192.0.2.53"
"""An address of TEST-NET-1 (RFC 5737): no machine has it."""


def shortest_zone(name: str, addresses: Sequence[str], servers: Sequence[str]) -> str:
    """Return a zone file that deals some addresses.

    Args:
        name: the zone's.
        addresses: of the hosts mta1, mta2, …
        servers: name servers, as ``ns1=192.0.2.53`` or ``ns2.example.net.``; without any, ns1 at a
            made-up address.

    Raises:
        UsageError: what the file would say is wrong.

    """
    lines = [
        "# A zone of geodns. `geodns check` tells what is wrong with it, `geodns schema` every key.",
        "",
        "ns:                                     # the name servers: this program's own addresses",
        *_servers(servers),
        "",
        "hosts:                                  # the mail hosts that are dealt, while they take mail",
        *(f"  mta{number}: {json.dumps(address)}" for number, address in enumerate(addresses, 1)),
        "",
        "records:",
        '  "@": {MX: {pool: main, preference: 10}}     # mail to the zone itself goes to the same hosts',
        "",
    ]
    text = "\n".join(lines)
    parsed = parse_zone(name, text.encode(), "")
    if parsed.zone is None:
        errors = [problem for problem in parsed.problems if not problem.warning]
        raise UsageError("; ".join(f"{problem.what}: {problem.instead}" for problem in errors))
    for server in parsed.zone.ns:
        if not server.addresses and is_within(server.name, parsed.zone.origin):
            raise UsageError(f"{server.name} is in the zone and has no address: write it as ns1=192.0.2.53")
    return text


def _servers(servers: Sequence[str]) -> list[str]:
    if not servers:
        return [
            f"  ns1: {PLACEHOLDER}                       # CHANGE THIS to the public address of this server"
        ]
    addresses: dict[str, list[str]] = {}
    for server in servers:
        name, equals, address = server.partition("=")
        addresses.setdefault(name, []).extend([address] if equals else [])
    return [f"  {json.dumps(name)}: {json.dumps(found)}" for name, found in addresses.items()]
