"""The PROXY header, for hosts that expect one before the dialogue.

https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, versions 1 (a line) and 2 (binary). The client
that it names is the prober itself: the host sees it as it would see it without a proxy.
"""

import struct
from ipaddress import ip_address
from typing import Literal

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""How version 2 begins (its section 2.2)."""


def header(version: Literal["v1", "v2"], source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """Return the header of a TCP connection.

    Args:
        version: of the protocol.
        source: address and port of the client's end, both of the same family.
        destination: of the server's.

    """
    here, there = (ip_address(address.partition("%")[0]) for address, _ in (source, destination))
    ports = source[1], destination[1]
    if version == "v1":
        family = "TCP4" if here.version == 4 else "TCP6"
        return f"PROXY {family} {here} {there} {ports[0]} {ports[1]}\r\n".encode()
    addresses = here.packed + there.packed + struct.pack("!HH", *ports)
    # Version 2, command PROXY; then the family with STREAM, and the length of what follows.
    return (
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11 if here.version == 4 else 0x21, len(addresses)) + addresses
    )
