"""Why a name is answered as it is: the pools behind it, every host's part and reasons, the next answers."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from types import MappingProxyType
from typing import NamedTuple

import dnslib
from aiohttp import web

from geodns.api.explain_clients import ClientAnswer
from geodns.api.explain_names import nearest_outside, unpooled
from geodns.api.explain_pools import PoolExplanation
from geodns.api.responses import SERVICES, RefusedError, cached_json
from geodns.api.schemas_explain import ExplanationJson, NextJson
from geodns.api.status import LastResult, last_result
from geodns.control.cluster import Cluster
from geodns.errors import NotFoundError, UsageError
from geodns.model.checks import Target
from geodns.model.state import HostKey
from geodns.model.views import NO_NETWORKS, GeoNetworks
from geodns.model.zone import Zone
from geodns.responder.lookup import deal_for, rrset_of
from geodns.responder.respond import respond
from geodns.responder.table import RotationKey, ViewKey
from geodns.responder.views import client_network
from geodns.responder.worker_state import WorkerState
from geodns.wire import codes
from geodns.wire.codes import number_of
from geodns.wire.edns import SUBNET, subnet_of
from geodns.wire.idn import to_ascii
from geodns.wire.names import name_to_wire
from geodns.wire.networks import Network, parse_network

ANSWERS = 3
"""So many of the next answers are shown."""


class Asking(NamedTuple):
    """The client that would ask.

    Attributes:
        client: the resolver's address; None: nobody in particular asks.
        network: the network that it says it asks for (RFC 7871); None: it does not say.

    """

    client: str | None = None
    network: Network | None = None

    @property
    def source(self) -> str:
        return self.client or "127.0.0.1"

    @property
    def known(self) -> bool:
        return self.client is not None or self.network is not None


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/explain", _explain)]


async def _explain(request: web.Request) -> web.Response:
    name = request.query.get("name")
    if not name:
        raise RefusedError(400, "say which name: /api/v1/explain?name=out.example.com&type=A")
    rtype = request.query.get("type", "A").upper()
    asking = Asking(_client(request.query.get("client")), _network(request.query.get("ecs")))
    services = request.app[SERVICES]
    seen = partial(last_result, services.verdicts)
    geo, warmup = services.geoip.networks, services.warmup.describe()
    more = {} if services.shared is None else {"remark": services.shared.verdicts.remark}
    make = partial(explain, services.cluster, name, rtype, asking, seen, warmup, geo, **more)
    return cached_json(request, f"explain {(name, rtype, asking)}", make)


def _client(text: str | None) -> str | None:
    try:
        return None if text is None else str(ip_address(text))
    except ValueError as error:
        how = "write one, as 192.0.2.7, or a network as `ecs`"
        raise RefusedError(400, f"client {text!r} is no address: {how}") from error


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
    geo: GeoNetworks = NO_NETWORKS,
    remark: Callable[[Target], str] = lambda _: "",
) -> ExplanationJson:
    """Return which pools stand behind a name, what every host's part in them is and why, and what comes next.

    Args:
        cluster: the running state.
        name: a name that may be asked for, with or without the final dot.
        rtype: A, AAAA, MX or SRV; no pool is behind another type.
        asking: who would ask.
        seen: returns a target's last result.
        warmup: where each host that warms up stands.
        geo: the networks of places that rules name.
        remark: says what the servers that judge together do not agree on of a target; empty: nothing.

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
    viewed = None
    if isinstance(key, ViewKey):
        client = client_network(subnet_of(asking.network), asking.source)
        deal = deal_for(table, key, client) if asking.known else None
        viewed = ClientAnswer(cluster.compiled, zone, key, geo, asking.network, deal)
        keys = viewed.rotations()
    else:
        keys = [] if key is None else [key]
    live = cluster.live()
    first: dict[tuple[str, int], RotationKey] = {}
    for one in keys:
        for tier in one.tiers:
            first.setdefault(tier, one)
    tiers = {
        tier: PoolExplanation(cluster, zone, live, table.rotations[one], seen, warmup, remark).tier(*tier)
        for tier, one in first.items()
    }
    other = None if tiers else unpooled(table, table.zones[name_to_wire(zone.origin)], wire, rnumber)
    return {
        "name": owner,
        "type": rtype,
        "zone": zone.name,
        "serial": cluster.sources[zone.name].serial,
        "tiers": list(tiers.values()),
        "no_pool": None if other is None else other.why,
        "near": [] if other is None else list(other.near),
        "by_client": None if viewed is None else viewed.explain(),
        "next": _next(cluster, zone, owner, rnumber, asking) if viewed is None or asking.known else [],
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
    options = [] if asking.network is None else [dnslib.EDNSOption(SUBNET, subnet_of(asking.network))]
    question.add_ar(dnslib.EDNS0(udp_len=1232, opts=options))
    # A state of its own: nothing that is shown here takes a place in any rotation, or counts.
    state = WorkerState(random.Random())  # noqa: S311 - a place to start from
    asked, hosts = bytes(question.pack()), _hosts_by_data(zone)
    found: list[NextJson] = []
    for _ in range(ANSWERS):
        packet = respond(cluster.compiled.table, asked, (asking.source, 53, "udp"), 0.0, state)
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
