"""The section `ns` of a zone file: its reading."""

from geodns.config import yaml_nodes
from geodns.config.report import quoted
from geodns.config.value_types import address_text, check_unicast, entries_of, items_of
from geodns.config.yaml_nodes import Scalar, YamlNode, is_nothing
from geodns.model.zone import NameServer
from geodns.zonefile.names import is_within
from geodns.zonefile.record_fields import Context, read_name
from geodns.zonefile.records import Names, PlacedRrset, Ttls, add, add_addresses, record

NO_SERVERS = "a zone without name servers", "write `ns: {ns1: 192.0.2.53}`"


def read_name_servers(
    at: YamlNode, node: YamlNode | None, names: Names, ttls: Ttls, context: Context
) -> tuple[NameServer, ...]:
    """Read the name servers; add their addresses and the zone's NS, which stands at `at`, to the names."""
    report = context.report
    found: dict[str, NameServer] = {}
    if node is None:
        return ()
    items = entries_of(node, report, "a mapping of name servers", NO_SERVERS[1])
    if not items and (is_nothing(node) or isinstance(node, yaml_nodes.Mapping)):
        report.error(node, *NO_SERVERS)
    for key, body in items.values():
        name = read_name(key.text, key, context)
        if name is None:
            continue
        shown = f"name server {quoted(key.text)}"
        if name in found:
            report.error(key, f"{shown} is given twice", "take it out")
            continue
        if name.startswith("*."):
            report.warn(key, f"{shown} is a wildcard", "write a host's name")
        found[name] = _name_server(name, key, body, context)
        add_addresses(names, key, name, found[name].addresses, ttls.fixed, shown, context)
    if found:
        data = record(context.origin, "NS", ttls.fixed, tuple((name,) for name in found))
        add(names, PlacedRrset(at, data), context)
    return tuple(found.values())


def _name_server(name: str, key: Scalar, body: YamlNode, context: Context) -> NameServer:
    report = context.report
    items = items_of(body)
    if not is_within(name, context.origin) and items:
        what = f"name server {quoted(key.text)} is outside the zone: its addresses cannot be served here"
        report.error(items[0], what, "write []")
    addresses = []
    for item in items:
        text = address_text(item, report)
        address = None if text is None else check_unicast(text, item, report)
        if address in addresses:
            report.error(item, f"the address {address} is given twice", "take one out")
        elif address is not None:
            addresses.append(address)
    return NameServer(name=name, addresses=tuple(addresses))
