"""What to throw at a name server: proper queries, queries with something wrong, and noise, all by chance."""

import contextlib
import random
import struct
from collections.abc import Callable, Sequence

MAX_UDP = 1232

TYPES = [1, 28, 15, 16, 2, 6, 255, 5, 43, 65, 0, 41, 250, 251, 252, 65535]
SIZES = [0, 1, 511, 512, 513, 1231, 1232, 1233, 4096, 65535]
OPTIONS = (3, 8, 9, 10, 11, 12, 15)
CLASSES = (1, 1, 1, 1, 3, 254, 255)


def query(rng: random.Random, names: Sequence[bytes], types: Sequence[int] = TYPES) -> bytes:
    """A proper query for one of the names, often with EDNS."""
    edns = rng.random() < 0.7
    flags = rng.choice((0, 0x0100, 0x0110, 0x0020))
    packet = struct.pack(">6H", rng.randrange(65536), flags, 1, 0, 0, int(edns))
    packet += rng.choice(names) + struct.pack(">2H", rng.choice(types), rng.choice(CLASSES))
    if edns:
        options = b""
        for _ in range(rng.choice((0, 0, 1, 2))):
            data = rng.randbytes(rng.choice((0, 4, 8, 24, 40)))
            options += struct.pack(">2H", rng.choice((*OPTIONS, rng.randrange(65536))), len(data)) + data
        packet += opt(rng.choice(SIZES), version=rng.choice((0, 0, 0, 1)), options=options)
    return packet


def opt(size: int, *, version: int = 0, flags: int = 0, options: bytes = b"") -> bytes:
    """An OPT record (RFC 6891 section 6.1.2)."""
    return struct.pack(">BHHBBHH", 0, 41, size, 0, version, flags, len(options)) + options


def _pointer(rng: random.Random, packet: bytearray, at: int) -> None:
    packet[at : at + 2] = bytes((0xC0 | rng.randrange(64), rng.randrange(256)))


def _cut(_: random.Random, packet: bytearray, at: int) -> None:
    del packet[at:]


Mutation = Callable[[random.Random, bytearray, int], object]

MUTATIONS: tuple[Mutation, ...] = (
    lambda rng, packet, at: packet.__setitem__(at, rng.randrange(256)),
    lambda rng, packet, at: packet.__setitem__(at, packet[at] ^ 1 << rng.randrange(8)),
    lambda rng, packet, at: packet.insert(at, rng.randrange(256)),
    lambda rng, packet, _: packet.extend(rng.randbytes(rng.randrange(1, 200))),
    lambda rng, packet, _: packet.__setitem__(slice(4, 12), rng.randbytes(8)),  # counts
    lambda rng, packet, at: packet.__setitem__(at, rng.choice((63, 64, 128, 192, 255))),  # lengths of labels
    _pointer,
    _cut,
)


def mutated(
    rng: random.Random,
    names: Sequence[bytes],
    mutations: Sequence[Mutation] = MUTATIONS,
    times: Sequence[int] = (1, 1, 2, 4, 16),
) -> bytes:
    """A query with a few things wrong."""
    packet = bytearray(query(rng, names))
    for _ in range(rng.choice(times)):
        if packet:
            rng.choice(mutations)(rng, packet, rng.randrange(len(packet)))
    return bytes(packet)


def noise(rng: random.Random) -> bytes:
    """Anything at all."""
    size = rng.choice((0, 1, 11, 12, 13, 17, 40, 512, 1500, 4095, 4096, 4097, 9000))
    return rng.randbytes(rng.randrange(size + 1) if rng.random() < 0.5 else size)


def limit(packet: bytes) -> int:
    """The most that a UDP answer may have: what the one OPT asks for, else 512 (RFC 6891 section 6.2.5).

    Of a packet too odd to be read here it is what nobody may exceed.
    """
    with contextlib.suppress(IndexError, struct.error):
        counts = struct.unpack_from(">4H", packet, 4)
        at = 12
        while packet[at]:
            if packet[at] > 63:
                return MAX_UDP
            at += packet[at] + 1
        at += 5
        if counts == (1, 0, 0, 0) or (counts == (1, 0, 0, 1) and b"\0\x29" not in packet[at:]):
            return 512
        if counts == (1, 0, 0, 1) and packet[at] == 0 and packet[at + 1 : at + 3] == b"\0\x29":
            return min(MAX_UDP, max(512, int(struct.unpack_from(">H", packet, at + 3)[0])))
    return MAX_UDP
