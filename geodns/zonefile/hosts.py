"""The section `hosts` of a zone file: its keys and their reading.

What is wrong is reported and left out, and reading goes on: the models of a file with errors serve only to
find more errors.
"""

from collections.abc import Mapping
from typing import Any

from geodns.config import yaml_nodes
from geodns.config.keys import keys_of, objects, read_keys
from geodns.config.report import Report, quoted
from geodns.config.value_types import (
    ADDRESS_SCHEMA,
    ADDRESSES,
    ValueType,
    address_text,
    check_unicast,
    entries_of,
    items_of,
    parse_endpoint,
    section,
    whole,
    word,
)
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.errors import BadNameError
from geodns.model.base import Address
from geodns.model.hosts import Endpoint, Host, Load
from geodns.wire.idn import to_ascii
from geodns.zonefile.host_load import LOAD, read_loads
from geodns.zonefile.names import expand, is_host_label
from geodns.zonefile.sections import Placed, halves, written_out
from geodns.zonefile.warmup import WARMUP, read_warmup

MAX_HOSTS = 100_000

HOST = keys_of(
    Host,
    {
        "address": ADDRESSES,
        "weight": whole,
        "egress": ADDRESSES,
        "probe": ValueType(word("where to probe it, as 10.0.0.13:2525").read, ADDRESS_SCHEMA, "address"),
        "load": section(objects(LOAD) | {"minProperties": 1}),  # `full` may stand in `defaults`
        "warmup": section(objects(WARMUP, "plan", "start")),
    },
    fields={"address": "addresses"},
)


def read_hosts(node: YamlNode | None, report: Report) -> dict[str, Placed[Host]]:
    """Read the hosts, ranges written out; warn of addresses that two of them have."""
    hosts: dict[str, Placed[Host]] = {}
    if node is None:
        return hosts
    instead = "write `name: address` for each host"
    for key, body in entries_of(node, report, "a mapping of hosts", instead).values():
        names = _host_names(key, report)
        if len(hosts) + len(names) > MAX_HOSTS:
            report.error(key, f"more than {MAX_HOSTS:,} hosts", "split the zone into several")
            break
        for host in _hosts_of(names, body, report):
            if host.name in hosts:
                first = hosts[host.name].at.line
                report.error(
                    key, f"host {quoted(host.name)} is given twice", f"it stands at line {first} already"
                )
            else:
                hosts[host.name] = Placed(key, host)
    _warn_of_shared_addresses(hosts, report)
    return hosts


def _host_names(key: Scalar, report: Report) -> tuple[str, ...]:
    try:
        names = tuple(to_ascii(name).lower() for name in expand(key.text))
    except (ValueError, BadNameError) as error:
        report.error(key, *halves(error))
        return ()
    for name in names:
        if not is_host_label(name):
            instead = "write one label of at most 63 letters, digits and hyphens"
            report.error(key, f"{quoted(name)} is no name for a host", instead)
            return ()
    return names


def is_short(body: YamlNode) -> bool:
    """Tell whether a host is its address or addresses alone; YAML reads some of IPv6 as a mapping."""
    return not isinstance(body, yaml_nodes.Mapping) or any(":" in key for key in body.items)


def _hosts_of(names: tuple[str, ...], body: YamlNode, report: Report) -> list[Host]:
    given: dict[str, Any] = {"address": body} if is_short(body) else read_keys(body, report, HOST, "a host")
    address = given.get("address")
    if address is None or not items_of(address):
        report.error(body, "a host without an address", "write `address: 192.0.2.1`, or a list of addresses")
    addresses = None if address is None else _addresses(address, len(names), report)
    egress = _addresses(given["egress"], len(names), report) if "egress" in given else None
    probes = _endpoints(given["probe"], len(names), report) if "probe" in given else None
    loads = read_loads(given["load"], len(names), report) if "load" in given else None
    loads = _own_urls(loads, names, addresses)
    warmup = read_warmup(given["warmup"], report) if "warmup" in given else None
    plans = None if warmup is None else [warmup] * len(names)
    columns = {"egress": egress, "probe": probes, "load": loads, "warmup": plans}
    weight = {"weight": given["weight"]} if "weight" in given else {}
    return [
        Host(
            name=name,
            addresses=addresses[number] if addresses else (),
            # What is not written is not set: `defaults` fill it in hosts of sources.
            **{field: column[number] for field, column in columns.items() if column},
            **weight,
        )
        for number, name in enumerate(names)
    ]


def _own_urls(
    loads: list[Load] | None, names: tuple[str, ...], addresses: list[tuple[Address, ...]] | None
) -> list[Load] | None:
    """Put each host's name and address into the URL that several hosts share."""
    if loads is None or not any("{" in (load.url or "") for load in loads):
        return loads
    firsts = [one[0] for one in addresses] if addresses else [None] * len(names)
    return [
        load.model_copy(update={"url": _own_url(load.url, name, first)}) if load.url else load
        for load, name, first in zip(loads, names, firsts, strict=True)
    ]


def _own_url(url: str, name: str, address: Address | None) -> str:
    shown = "" if address is None else str(address) if address.version == 4 else f"[{address}]"
    return url.replace("{host}", name).replace("{address}", shown)


def _written_out(text: str, at: YamlNode, count: int, report: Report) -> tuple[str, ...] | None:
    return written_out(text, at, count, "addresses", "mx[01-04] and 198.51.100.[11-14]", report)


def _addresses(node: YamlNode, count: int, report: Report) -> list[tuple[Address, ...]] | None:
    """Read one or more addresses, each perhaps with a range, for so many hosts."""
    columns: list[list[Address]] = []
    for item in items_of(node):
        text = address_text(item, report)
        texts = None if text is None else _written_out(text, item, count, report)
        column: list[Address] = []
        for one in texts or ():
            address = check_unicast(one, item, report)
            if address is None:
                break
            column.append(address)
        if texts is None or len(column) < len(texts):
            continue
        if column in columns:
            report.error(item, f"the address {quoted(text or '')} is given twice", "take one out")
        columns.append(column)
    return list(zip(*columns, strict=True)) if count and columns else None


def _endpoints(node: Scalar, count: int, report: Report) -> list[Endpoint] | None:
    texts = _written_out(node.text, node, count, report)
    if texts is None:
        return None
    found = [endpoint for text in texts if (endpoint := parse_endpoint(text)) is not None]
    if len(found) < len(texts):
        instead = 'write an address with or without a port, as "10.0.0.13:2525" or "[2001:db8::13]:2525"'
        report.error(node, f"{quoted(node.text)} is no place to probe", instead)
        return None
    return found


def _warn_of_shared_addresses(hosts: Mapping[str, Placed[Host]], report: Report) -> None:
    owners: dict[Address, str] = {}
    for at, host in hosts.values():
        for address in host.addresses:
            first = owners.setdefault(address, host.name)
            if first != host.name:
                what = f"hosts {quoted(first)} and {quoted(host.name)} have the address {address} both"
                report.warn(at, what, "it is dealt as often as both weights say: make them one host")
