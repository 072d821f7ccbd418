"""Why a name is answered as it is: the pools behind it, every host's part and reasons, the next answers."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from types import MappingProxyType
from typing import NamedTuple

import dnslib
from aiohttp import web

from geodns.api.explain_names import nearest_outside, unpooled
from geodns.api.explain_pools import PoolExplanation
from geodns.api.responses import SERVICES, RefusedError, cached_json
from geodns.api.schemas_explain import ExplanationJson, NextJson
from geodns.api.status import LastResult, last_result
from geodns.control.cluster import Cluster
from geodns.errors import NotFoundError, UsageError
from geodns.model.checks import Target
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.responder.lookup import deal_for, rrset_of
from geodns.responder.respond import respond
from geodns.responder.table import ViewKey
from geodns.responder.views import client_network
from geodns.responder.worker_state import WorkerState
from geodns.wire import codes
from geodns.wire.codes import number_of
from geodns.wire.edns import SUBNET
from geodns.wire.idn import to_ascii
from geodns.wire.names import name_to_wire
from geodns.wire.networks import Network, parse_network

ANSWERS = 3
"""So many of the next answers are shown."""


class Asking(NamedTuple):
    """The client that would ask.

    Attributes:
        client: the resolver's address.
        network: the network that it says it asks for (RFC 7871); None: it does not say.

    """

    client: str = "127.0.0.1"
    network: Network | None = None


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/explain", _explain)]


async def _explain(request: web.Request) -> web.Response:
    name = request.query.get("name")
    if not name:
        raise RefusedError(400, "say which name: /api/v1/explain?name=out.example.com&type=A")
    rtype = request.query.get("type", "A").upper()
    asking = Asking(_client(request.query.get("client", "127.0.0.1")), _network(request.query.get("ecs")))
    services = request.app[SERVICES]
    seen = partial(last_result, services.verdicts)
    make = partial(explain, services.cluster, name, rtype, asking, seen, services.warmup.describe())
    return cached_json(request, f"explain {(name, rtype, asking)}", make)


def _client(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise RefusedError(400, f"client {text!r} is no address: write one, as 192.0.2.7") from error


def _network(text: str | None) -> Network | None:
    try:
        return None if text is None else parse_network(text)
    except ValueError as error:
        raise RefusedError(400, f"ecs: {': '.join(map(str, error.args))}") from error


def explain(
    cluster: Cluster,
    name: str,
    rtype: str,
    asking: Asking = Asking(),  # noqa: B008 - it cannot change
    seen: Callable[[Target], LastResult | None] = lambda _: None,
    warmup: Mapping[HostKey, str] = MappingProxyType({}),
) -> ExplanationJson:
    """Return which pools stand behind a name, what every host's part in them is and why, and what comes next.

    Args:
        cluster: the running state.
        name: a name that may be asked for, with or without the final dot.
        rtype: A, AAAA, MX or SRV; no pool is behind another type.
        asking: who would ask.
        seen: returns a target's last result.
        warmup: where each host that warms up stands.

    Raises:
        NotFoundError: no zone that is served has the name.
        BadNameError: it is no name.
        UsageError: there is no such type.

    """
    owner = to_ascii(name).lower().rstrip(".") + "."
    rnumber = number_of(rtype)
    if rnumber is None:
        raise UsageError(f"{rtype} is no record type: write A, AAAA, MX or SRV")
    zone = _zone_of(cluster, owner)
    table = cluster.compiled.table
    wire = name_to_wire(owner)
    key = rrset_of(table, wire, rnumber)
    if isinstance(key, ViewKey):
        key = deal_for(table, key, client_network(_subnet(asking.network), asking.client)).key
    tiers = []
    if key is not None:
        rotation = table.rotations[key]
        shown = PoolExplanation(cluster, zone, cluster.live(), rotation, seen, warmup)
        tiers = [shown.tier(*tier) for tier in key.tiers]
    other = None if tiers else unpooled(table, table.zones[name_to_wire(zone.origin)], wire, rnumber)
    return {
        "name": owner,
        "type": rtype,
        "zone": zone.name,
        "serial": cluster.sources[zone.name].serial,
        "tiers": tiers,
        "no_pool": None if other is None else other.why,
        "near": [] if other is None else list(other.near),
        "next": _next(cluster, zone, owner, rnumber, asking),
        "hosts": _hosts_by_data(zone),
    }


def _zone_of(cluster: Cluster, owner: str) -> Zone:
    found = [
        source.zone
        for source in cluster.sources.values()
        if owner == source.zone.origin or owner.endswith(f".{source.zone.origin}")
    ]
    if not found:
        near = nearest_outside(cluster.compiled.table, owner)
        hint = f": did you mean {' or '.join(near)}?" if near else ""
        raise NotFoundError(f"{owner} is in no zone that is served{hint}")
    return max(found, key=lambda zone: len(zone.name))


def _hosts_by_data(zone: Zone) -> dict[str, str]:
    """Return hosts by what an answer shows of them: their addresses and their own names."""
    by_address = {str(address): host.name for host in zone.hosts for address in host.addresses}
    return by_address | {zone.host_name(host.name): host.name for host in zone.hosts}


def _next(cluster: Cluster, zone: Zone, owner: str, rtype: int, asking: Asking) -> list[NextJson]:
    """Return the answers that a worker gives one after another; each worker is at a place of its own.

    None where others answer: a referral is always the same.
    """
    question = dnslib.DNSRecord(q=dnslib.DNSQuestion(owner, rtype))
    options = [] if asking.network is None else [dnslib.EDNSOption(SUBNET, _subnet(asking.network))]
    question.add_ar(dnslib.EDNS0(udp_len=1232, opts=options))
    # A state of its own: nothing that is shown here takes a place in any rotation, or counts.
    state = WorkerState(random.Random())  # noqa: S311 - a place to start from
    asked, hosts = bytes(question.pack()), _hosts_by_data(zone)
    found: list[NextJson] = []
    for _ in range(ANSWERS):
        packet = respond(cluster.compiled.table, asked, (asking.client, 53, "udp"), 0.0, state)
        if packet is None:
            break
        answer = dnslib.DNSRecord.parse(packet)
        if not answer.header.aa and answer.header.rcode == codes.NOERROR:
            break
        data = [(record.ttl, str(record.rdata)) for record in answer.rr]
        found.append(
            {
                "rcode": dnslib.RCODE[answer.header.rcode],
                "ttl": min((ttl for ttl, _ in data), default=None),
                "data": [text for _, text in data],
                "hosts": [hosts[last] for _, text in data if (last := text.split()[-1].lower()) in hosts],
            }
        )
    return found


def _subnet(network: Network | None) -> bytes:
    """Return the data of the option that names a network (RFC 7871 section 6); empty: there is none."""
    if network is None:
        return b""
    length = network.prefixlen
    address = network.network_address.packed[: (length + 7) // 8]
    return (1 if network.version == 4 else 2).to_bytes(2, "big") + bytes((length, 0)) + address
