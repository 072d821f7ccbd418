"""GeoIP files, written by the library that others write theirs with."""

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import maxminddb
from mmdb_writer import MMDBWriter, SearchTreeNode
from netaddr import IPSet

Rows = Iterable[tuple[str, dict[str, Any]]]

COUNTRIES: dict[str, tuple[str, str]] = {"DE": ("EU", "Germany"), "FR": ("EU", "France"), "US": ("NA", "USA")}


def maxmind(country: str) -> dict[str, Any]:
    """A record as GeoLite2-Country and DB-IP's have it."""
    continent, name = COUNTRIES[country]
    return {
        "continent": {"code": continent, "geoname_id": 6255148, "names": {"en": continent}},
        "country": {"iso_code": country, "geoname_id": 2921044, "names": {"en": name, "de": name}},
        "registered_country": {"iso_code": "US", "names": {"en": "USA"}},
    }


def system(number: int) -> dict[str, Any]:
    """A record as GeoLite2-ASN has it."""
    return {"autonomous_system_number": number, "autonomous_system_organization": f"AS {number}"}


def write_mmdb(
    path: Path, rows: Rows, kind: str = "GeoLite2-Country", *, version: int = 6, aliases: bool = True
) -> Path:
    """Write a file; later rows replace what earlier ones say of the same addresses.

    Args:
        path: replaced by rename, as geoipupdate does.
        rows: networks and what is said of them.
        kind: the type that the file says it is.
        version: of the addresses in the tree.
        aliases: whether IPv4 is reached from ::ffff:0:0/96, 2001::/32 and 2002::/16 too, as in MaxMind's.

    """
    writer = MMDBWriter(version, kind, ipv4_compatible=version == 6, description={"en": "a test"})
    known = [(IPSet([str(ip_network(network))]), said) for network, said in rows]
    for network, said in known:
        writer.insert_network(network, said)
    if version == 6 and aliases:
        _alias(writer.tree)
    draft = path.with_suffix(".draft")
    writer.to_db_file(str(draft))
    return draft.replace(path)


def _alias(tree: SearchTreeNode) -> None:
    ipv4 = tree
    for _ in range(96):
        found = ipv4.get_or_create(0)
        if not isinstance(found, SearchTreeNode):
            return
        ipv4 = found
    for network in ("::ffff:0:0/96", "2001::/32", "2002::/16"):
        alias = ip_network(network)
        bits = f"{int(alias.network_address):0128b}"[: alias.prefixlen]
        node = tree
        for bit in bits[:-1]:
            below = node.get_or_create(int(bit))
            assert isinstance(below, SearchTreeNode)
            node = below
        node[int(bits[-1])] = ipv4


def widen(path: Path, size: int, filling: int = 0) -> None:
    """Give a file wider records than 24 bits, as larger ones have; its data comes behind so many bytes."""
    with maxminddb.open_database(path) as reader:
        nodes = reader.metadata().node_count
    whole = path.read_bytes()
    tree, rest = whole[: 6 * nodes], whole[6 * nodes :]
    data, mark, about = rest.rpartition(b"\xab\xcd\xefMaxMind.com")
    shift = len(data) - 16 + filling if filling else 0
    records = [int.from_bytes(tree[at : at + 3], "big") for at in range(0, len(tree), 3)]
    records = [one + shift if one > nodes else one for one in records]
    wide = bytearray()
    for left, right in zip(records[0::2], records[1::2], strict=True):
        if size == 28:
            wide += (left & 0xFFFFFF).to_bytes(3, "big") + bytes([left >> 24 << 4 | right >> 24])
            wide += (right & 0xFFFFFF).to_bytes(3, "big")
        else:
            wide += left.to_bytes(4, "big") + right.to_bytes(4, "big")
    assert about.count(b"record_size\xa1\x18") == 1
    about = about.replace(b"record_size\xa1\x18", b"record_size\xa1" + bytes([size]))
    path.write_bytes(b"".join([wide, data, bytes(filling), data[16:] if filling else b"", mark, about]))
