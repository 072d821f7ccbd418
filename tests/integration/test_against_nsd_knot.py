"""The same zones served by us, NSD and Knot: every answer is the same, or a rule says why it need not be."""

import random
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import dns.edns
import dns.message
import dns.name
import dns.zone
import pytest

from geodns.wire import codes
from tests.integration import differing, labzone, packets
from tests.integration.authorities import SECRET, Authority, authorities
from tests.integration.cluster import geodns, serving
from tests.integration.comparing import Case, Comparison, Told, told

SEED = 20261125
SAMPLE = "out.example.com"
ALL_TYPES = [
    *(
        0,
        1,
        2,
        3,
        5,
        6,
        10,
        12,
        13,
        15,
        16,
        17,
        18,
        28,
        29,
        33,
        35,
        36,
        37,
        39,
        42,
        43,
        44,
        46,
        47,
        48,
        49,
        50,
    ),
    *(52, 53, 59, 61, 64, 65, 99, 108, 109, 251, 252, 253, 255, 256, 257, 65280, 65281, 65535),
]
"""Every type that the zones have, every kind of type that is none, and some that nobody has."""
FEW_TYPES = [1, 2, 5, 16, 43, 255]
"""For names that the zones do not have themselves."""
RARELY = 8
"""At one in so many names a type is asked for that it does not have: each is much like another."""
VARIANTS, TCP_QUERIES, MUTATED = 1500, 600, 750


class Lab(NamedTuple):
    """The servers, and what they serve."""

    zones: dict[str, dns.zone.Zone]
    ours: Authority
    others: list[Authority]

    def types_at(self) -> dict[bytes, set[int]]:
        """The types that each of the zones' own names has."""
        return {
            _wire(name): {int(some.rdtype) for some in zone.get_node(name) or ()}
            for zone in self.zones.values()
            for name in labzone.own_names(zone)
        }

    def own_names(self) -> list[bytes]:
        """Every name that owns something, or has something below it."""
        return [_wire(name) for zone in self.zones.values() for name in labzone.own_names(zone)]

    def other_names(self) -> list[bytes]:
        """Names below, above and beside those."""
        return [_wire(name) for zone in self.zones.values() for name in labzone.other_names(zone)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    config, secret = folder / "geodns.yaml", folder / "secret"
    config.write_text(f"node: ours\ncookie_secret_file: {secret}\n")
    secret.write_text(f"{SECRET}\n")
    served = folder / "geodns" / "zones"
    served.mkdir(parents=True)
    labzone.import_all(served)
    (served / f"{SAMPLE}.yaml").write_text(sample_text())
    exported = geodns("export", SAMPLE, "--zones", str(served))
    assert exported.returncode == 0, exported.stderr
    texts = {**labzone.ZONES, SAMPLE: exported.stdout}
    zones = {name: labzone.read(name, text) for name, text in texts.items()}
    with (
        serving(folder / "geodns", arguments=("--config", str(config))) as server,
        authorities(folder, texts) as others,
    ):
        if not others:
            pytest.skip("neither NSD nor Knot is here: apt-get install nsd knot")
        known = _wire(dns.name.from_text(labzone.NAME))
        yield Lab(zones, Authority("geodns", server.listen[0], known), others)


def sample_text() -> str:
    """The sample zone, without checks: nobody is there to be probed."""
    text = Path("zones", f"{SAMPLE}.yaml").read_text()
    assert ", check: smtp" in text
    return text.replace(", check: smtp", ", check: none")


def _wire(name: dns.name.Name) -> bytes:
    return name.to_wire() or b""


def _query(name: bytes, rtype: int, *, flags: int = 0, opt: bytes = b"", rclass: int = 1) -> bytes:
    return (
        struct.pack(">6H", 0, flags, 1, 0, 0, int(bool(opt))) + name + struct.pack(">2H", rtype, rclass) + opt
    )


def compare(
    lab: Lab, queries: Sequence[bytes], way: Callable[[Authority], Sequence[bytes | None]]
) -> Comparison:
    """Ask everybody, and hold each answer of ours against everybody else's."""
    comparison = Comparison(differing.RULES)
    answers = way(lab.ours)
    ours = [told(answer) for answer in answers]
    broken = [answer for answer, one in zip(answers, ours, strict=True) if one.malformed]
    assert not broken, f"a malformed answer of ours: {broken[0]!r}"
    for other in lab.others:
        theirs = [told(answer) for answer in way(other)]
        for case in map(Case, queries, [other.name] * len(queries), ours, theirs):
            comparison.add(case)
    assert not comparison.unexplained, comparison.report()
    return comparison


@pytest.mark.timeout(400)  # a quarter of a minute of computing
def test_every_name_and_type(lab: Lab) -> None:
    asked = [
        (name, rtype)
        for number, (name, own) in enumerate(lab.types_at().items())
        for place, rtype in enumerate(ALL_TYPES)
        if rtype in own or rtype in FEW_TYPES or (number + place) % RARELY == 0
    ]
    asked += [
        (name, rtype)
        for number, name in enumerate(lab.other_names())
        for place, rtype in enumerate(FEW_TYPES)
        if (number + place) % 2 == 0
    ]
    # Large enough that next to nothing is cut off: whole answers say more.
    queries = [_query(name, rtype, opt=packets.opt(1232)) for name, rtype in asked]
    compare(lab, queries, lambda one: one.ask(queries))


def variants(lab: Lab, rng: random.Random, number: int) -> list[bytes]:
    """Proper queries by chance: any letters, names that nobody has, header bits, and every kind of OPT."""
    own, other = lab.own_names(), lab.other_names()
    found = []
    for _ in range(number):
        name = rng.choice(rng.choice((own, other)))
        if rng.random() < 0.2:
            label = rng.randbytes(rng.randrange(1, 20))
            name = name if len(name) > 200 else bytes((len(label),)) + label + name
        opt = b""
        if rng.random() < 0.7:
            options = b"".join(
                struct.pack(">2H", code, length) + rng.randbytes(length)
                for code, length in ((65001, rng.randrange(8)), (100, 0), (12, rng.randrange(40)))
                if rng.random() < 0.2
            )
            flags = rng.choice((0, 0x8000, 0x8000, 0x0080, 0x4001))
            opt = packets.opt(rng.choice(packets.SIZES), version=rng.choice((0,) * 9 + (1,)), flags=flags,
                              options=options)  # fmt: skip
        flags = (
            rng.choice((0, 0x0100))
            | rng.choice((0, 0x10, 0x20, 0x30))
            | rng.choice((0, 0, 0x40, 0x80, 0x400))
        )
        found.append(_query(cased(rng, name), rng.choice(ALL_TYPES), flags=flags, opt=opt,
                            rclass=rng.choice((1,) * 19 + (3,))))  # fmt: skip
    return found


def cased(rng: random.Random, name: bytes) -> bytes:
    """The same name in any letters (0x20)."""
    found = bytearray(name)
    for at in labels_at(name):
        for place in range(at + 1, at + 1 + name[at]):
            if bytes((name[place],)).isalpha() and rng.random() < 0.5:
                found[place] ^= 0x20
    return bytes(found)


def labels_at(name: bytes) -> Iterator[int]:
    """Where each label of a name starts."""
    at = 0
    while name[at]:
        yield at
        at += 1 + name[at]


def test_letters_bits_sizes_and_options(lab: Lab) -> None:
    queries = variants(lab, random.Random(SEED), VARIANTS)
    compare(lab, queries, lambda one: one.ask(queries))


def case_of(query: bytes) -> Case:
    """A query without answers, to be read."""
    return Case(query, "", Told(), Told())


def test_over_tcp(lab: Lab) -> None:
    # Zone transfers are left out: over TCP they may end the connection (RFC 5936 section 4.1.1).
    asked = variants(lab, random.Random(SEED + 1), TCP_QUERIES)
    queries = [query for query in asked if case_of(query).qtype not in {codes.AXFR, codes.IXFR}]
    compare(lab, queries, lambda one: one.ask_over_tcp(queries))


def test_packets_with_something_wrong(lab: Lab) -> None:
    rng = random.Random(SEED + 2)
    names = lab.own_names()
    queries = [packets.mutated(rng, names, packets.MUTATIONS, (1, 1, 1, 2, 4)) for _ in range(MUTATED)]
    queries = [packet for packet in queries if len(packet) > 2]
    compare(lab, queries, lambda one: one.ask(queries, one_by_one=one.name == "NSD"))


def test_a_cookie_of_one_server_is_good_for_all(lab: Lab) -> None:
    """RFC 9018 section 5: they share a secret; a fresh cookie is given back as it is (section 4.3)."""
    servers = [lab.ours, *lab.others]
    made = {maker.name: cookie_of(maker, bytes(range(8))) for maker in servers}
    time.sleep(1.1)  # whoever makes another one now writes another time into it
    for maker, cookie in made.items():
        assert len(cookie) == 24, maker
        spoiled = cookie[:-1] + bytes((cookie[-1] ^ 1,))
        for other in servers:
            assert cookie_of(other, cookie) == cookie, f"made by {maker}, asked of {other.name}"
            assert cookie_of(other, spoiled) not in {cookie, spoiled}, f"{maker}, {other.name}"


def cookie_of(server: Authority, sent: bytes) -> bytes:
    """Send a cookie; return the one that comes back."""
    opt = packets.opt(1232, options=struct.pack(">2H", 10, len(sent)) + sent)
    (answer,) = server.ask([_query(_wire(dns.name.from_text(labzone.NAME)), codes.SOA, opt=opt)])
    assert answer is not None
    (found,) = (
        one for one in dns.message.from_wire(answer).options if one.otype == dns.edns.OptionType.COOKIE
    )
    return found.to_wire() or b""
