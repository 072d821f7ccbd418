"""Tables made by hand whose answers depend on the client, and what each client must get of them."""

import random
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv6Network, ip_address, ip_network
from typing import NamedTuple

import dns.edns
import dns.message

from geodns.responder.lookup import deal_for
from geodns.responder.respond import Client, respond
from geodns.responder.table import (
    ClientViews,
    NameNode,
    Part,
    Rotation,
    RotationKey,
    Rrset,
    Table,
    View,
    ViewKey,
    ZoneTable,
)
from geodns.responder.views import BUCKETS, SEATS, ClientNetwork, Partition, hash_seed
from geodns.responder.worker_state import WorkerState
from geodns.wire import codes, records
from geodns.wire.message import Answer
from geodns.wire.names import name_to_wire

ZONE = "v.test"
AFFINITY = hash_seed("affinity", 0)
ARM = hash_seed("arm", 7)
POOLS = {"one": 1, "two": 2, "three": 3, "near": 4, "dead": 5, "plain": 6, "far": 7}
"""Their number is the second octet of their hosts."""

Ranges = tuple[Sequence[int], Sequence[int]]
EVERYBODY: Ranges = ((0,), (0,))


def key(pool: str, *more: str, rtype: str = "A", arm: str = "") -> RotationKey:
    return RotationKey(ZONE, rtype, 30, tuple((one, at) for at, one in enumerate((pool, *more))), arm=arm)


def view_key(name: str, rtype: str = "A") -> ViewKey:
    return ViewKey(ZONE, rtype, 30, ((name, 0),))


def part(pool: str, rtype: str, seed: int = 0) -> Part:
    """Return a part that deals 10.pool.0.host; of pools `near` and `far` by client."""
    hosts = 5  # of every pool: places are kept modulo a cycle's length
    addresses = [bytes((10, POOLS[pool], 0, number)) for number in range(hosts)]
    if rtype == "MX":
        addresses = [b"\0\0" + name_to_wire(f"{pool}{number}.{ZONE}.") for number in range(hosts)]
    number = codes.NUMBERS[rtype]
    answers = tuple(Answer(records.record(number, 30, address), an=1) for address in addresses)
    sets = tuple((f"{pool}{number}",) for number in range(hosts))
    if pool in {"near", "far"}:
        rng = random.Random(seed)
        index = array("I", (rng.randrange(hosts) for _ in range(BUCKETS)))
        return Part(pool, answers, index, sets, AFFINITY)
    return Part(pool, answers, array("I", ((at + seed) % hosts for at in range(hosts))), sets)


def rotation(one: RotationKey, seed: int = 0) -> Rotation:
    """Return a rotation of a key; pool `dead` has nobody, which is SERVFAIL."""
    if one.tiers[0][0] == "dead":
        return Rotation(one, (), servfail=True, note="nobody in pool dead is live")
    return Rotation(one, tuple(part(pool, one.type, seed) for pool, _ in one.tiers))


RULES = View((key("one"),)), View((key("two"),)), View((key("three"),))
MIXED = (
    View((key("near"),), near=True),
    View((key("one", arm="x/a"), key("two", arm="x/b")), bounds=(8000, SEATS), seed=ARM, near=True),
    View((None,)),
    View((key("dead"),)),
    View((key("far"),), near=True),
)
TIERS = View((key("near", "one", rtype="MX"),), near=True), View((key("two", rtype="MX"),))
TIMED = (View((key("one", arm="t/a"),), seed=ARM), View((key("two", arm="t/b"),), seed=ARM))
VIEWS: Mapping[ViewKey, tuple[View, ...]] = {
    view_key("rules"): RULES,
    view_key("mixed"): MIXED,
    view_key("tiers", "MX"): TIERS,
    view_key("timed"): TIMED,
}
"""By their keys; the last two have a tier more, and an experiment by time."""

NODES: Mapping[str, Mapping[int, Rrset]] = {
    "@": {codes.NUMBERS["SOA"]: Answer(b"", an=0), 1: view_key("rules")},
    "rules": {1: view_key("rules")},
    "mixed": {1: view_key("mixed"), 15: view_key("tiers", "MX")},
    "timed": {1: view_key("timed")},
    "plain": {1: key("plain")},
    "w": {},
    "*.w": {1: view_key("mixed")},
    "alias": {5: Answer(records.record(5, 30, name_to_wire(f"mixed.{ZONE}.")), an=1)},
    "again": {5: Answer(records.record(5, 30, name_to_wire(f"x.w.{ZONE}.")), an=1)},
    "text": {16: Answer(records.record(16, 30, b"\1x"), an=1)},
}
NEGATIVE = records.record(6, 30, b"\0\0" + bytes(20), name_to_wire(f"{ZONE}."))


def _owner(name: str) -> bytes:
    return name_to_wire(f"{ZONE}." if name == "@" else f"{name}.{ZONE}.")


NAMES = ZoneTable(
    ZONE, _owner("@"), NEGATIVE, {_owner(name): NameNode(rrsets) for name, rrsets in NODES.items()}
)


def spread(starts: Sequence[int], views: int) -> Ranges:
    """Return ranges that begin at 0 and at these, with one view after the other."""
    begins = sorted({0, *starts})
    return begins, [place % views for place in range(len(begins))]


def table(four: Sequence[int], six: Sequence[int], seed: int = 0) -> Table:
    """Return a Table whose partitions have ranges that begin at these addresses; all names have views."""
    keys = [one for views in VIEWS.values() for view in views for one in view.keys if one is not None]
    partitions, views = {}, {}
    for one, each in VIEWS.items():
        mark = one.lists[0][0].encode()
        partitions[mark] = Partition(spread(four, len(each)), spread(six, len(each)))
        views[one] = ClientViews(each, mark)
    return Table(
        zones={NAMES.origin: NAMES},
        rotations={one: rotation(one, seed) for one in (*keys, key("plain"))},
        views=views,
        partitions=partitions,
    )


def with_other_view(before: Table, name: str) -> Table:
    """Return the Table where everybody gets the last view of some views."""
    one = view_key(name)
    return replace(before, views={**before.views, one: ClientViews(VIEWS[one][-1:])})


class Asked(NamedTuple):
    """A query and who sends it.

    Attributes:
        subnet: what its option names; empty: it has none.

    """

    name: str = "rules"
    rtype: str = "A"
    source: str = "192.0.2.53"
    subnet: str = ""
    edns: bool = True
    transport: str = "udp"

    @property
    def client(self) -> Client:
        return self.source, 5353, self.transport

    @property
    def packet(self) -> bytes:
        options: list[dns.edns.Option] = []
        if self.subnet:
            network = ip_network(self.subnet)
            options = [dns.edns.ECSOption(str(network.network_address), network.prefixlen)]
        name = self.name if self.name.endswith(".") else f"{self.name}.{ZONE}."
        query = dns.message.make_query(
            name, self.rtype, use_edns=0 if self.edns else False, options=options, id=7
        )
        return query.to_wire()


class Dealt(NamedTuple):
    """What an answer says: its data but for aliases, and for how many bits; None: it does not say."""

    data: tuple[str, ...]
    scope: int | None


def dealt_by(of: Table, asked: Asked, state: WorkerState) -> Dealt:
    """Ask, and read the answer."""
    answer = respond(of, asked.packet, asked.client, 0.0, state)
    assert answer is not None
    return _dealt(dns.message.from_wire(answer))


def _dealt(found: dns.message.Message) -> Dealt:
    scopes = [one.scopelen for one in found.options if isinstance(one, dns.edns.ECSOption)]
    texts = [str(one) for rrset in found.answer for one in rrset if rrset.rdtype != codes.NUMBERS["CNAME"]]
    return Dealt(tuple(texts), scopes[0] if scopes else None)


class Got(NamedTuple):
    """What a client can tell of its view: the pools, and the hosts of those that pick by client."""

    rcode: int
    pools: tuple[str, ...]
    scope: int | None


def ask(of: Table, asked: Asked, state: WorkerState | None = None, now: float = 0.0) -> Got:
    """Return what a client gets; without a state from a fresh one."""
    answer = respond(of, asked.packet, asked.client, now, state or WorkerState(random.Random(1)))
    assert answer is not None
    return got(answer)


def got(answer: bytes) -> Got:
    found = dns.message.from_wire(answer)
    dealt = _dealt(found)
    return Got(int(found.rcode()), tuple(map(_pool, dealt.data)), dealt.scope)


def _pool(text: str) -> str:
    if text.startswith("10."):
        _, number, _, host = text.split(".")
        pool = next(name for name, known in POOLS.items() if known == int(number))
    else:
        label = text.rpartition(" ")[2].partition(".")[0]
        pool, host = label.rstrip("0123456789"), label[-1]
    return pool + (host if pool in {"near", "far"} else "")


def scanned(of: Table, one: ViewKey, client: ClientNetwork, starts: Sequence[int]) -> View:
    """Return a client's view by a plain scan of where the ranges begin."""
    views = VIEWS[one]
    place = max(at for at, start in enumerate(sorted({0, *starts})) if start <= client.address)
    view = views[place % len(views)]
    assert deal_for(of, one, client).key in view.keys
    return view


def network_of(text: str) -> ClientNetwork:
    """Return a network, or an address, as a client's option names it."""
    address = ip_address(text.partition("/")[0])
    return ClientNetwork(address.version == 6, int(address), scoped=True)


def option(text: str) -> bytes:
    """Return the data of the option that names a network."""
    network = ip_network(text)
    family = bytes((0, 2 if isinstance(network, IPv6Network) else 1))
    length = (network.prefixlen + 7) // 8
    return family + bytes((network.prefixlen, 0)) + network.network_address.packed[:length]
