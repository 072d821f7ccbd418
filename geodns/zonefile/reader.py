"""Zone files → zones: every problem of a file at once, each with its place (DESIGN section 4)."""

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geodns.config import yaml_nodes
from geodns.config.keys import read_keys
from geodns.config.report import Report, quoted
from geodns.config.value_types import address_text, check_unicast, entries_of, items_of
from geodns.config.yaml_nodes import Scalar, YamlNode, is_nothing
from geodns.errors import BadNameError, GeodnsError, Problem
from geodns.model.base import FAMILIES
from geodns.model.hosts import Host, HostSource, Origin
from geodns.model.zone import NameServer, Pool, Record, Rule, Tier, Zone
from geodns.zonefile.checks import read_checks
from geodns.zonefile.crosschecks import check_names, check_use
from geodns.zonefile.hosts import read_hosts
from geodns.zonefile.names import is_within, zone_name
from geodns.zonefile.pools import PlacedPool, implied_pool, link_fallbacks, read_pools, used_checks
from geodns.zonefile.record_fields import Context, read_name
from geodns.zonefile.records import Names, PlacedRrset, Ttls, add, add_addresses, read_records, record
from geodns.zonefile.schema import ZONE
from geodns.zonefile.sections import Placed
from geodns.zonefile.soa import read_soa
from geodns.zonefile.sources import (
    Finder,
    Gathering,
    check_sources,
    in_files,
    nothing,
    read_sources,
    taken_names,
    zone_over,
)

_NO_SERVERS = "a zone without name servers", "write `ns: {ns1: 192.0.2.53}`"
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ParsedZone:
    """What became of a file.

    Attributes:
        zone: None exactly when a problem is more than a warning.
        problems: errors and warnings, sorted by place; those of files with further hosts are among them.
        text: what the file says; kept of zones alone whose hosts come and go.

    """

    zone: Zone | None
    problems: tuple[Problem, ...]
    text: bytes = b""


def is_zone_file(name: str) -> bool:
    """Tell whether a file of this name in a folder is a zone file; hidden ones and editors' own are not."""
    return name.endswith(SUFFIXES) and not name.startswith((".", "#"))


def zone_files(paths: Iterable[Path]) -> list[Path]:
    """Return the zone files that are meant: files as they are, of folders what ends in .yaml or .yml.

    Hidden files and those that editors leave about are left out.

    Raises:
        GeodnsError: a folder cannot be read.

    """
    files: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            files[path] = None
            continue
        try:
            children = sorted(path.iterdir())
        except OSError as error:
            raise GeodnsError(f"{path}: {error.strerror}") from error
        files |= dict.fromkeys(child for child in children if is_zone_file(child.name) and not child.is_dir())
    return list(files)


def read_zone(path: Path, finder: Finder | None = None) -> ParsedZone:
    """Read a zone file; one that cannot be read is a problem of that file.

    Args:
        path: the file.
        finder: finds what `hosts_from` is about; by default what stands in files beside the zone file.

    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return _refused(path, "no regular file", "a zone is a file in YAML")
        with path.open("rb") as file:
            text = file.read(yaml_nodes.MAX_BYTES + 1)
    except OSError as error:
        return _refused(path, f"cannot be read: {error.strerror}", "look at its name and permissions")
    name = path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name
    return parse_zone(name, text, str(path), in_files(path.parent) if finder is None else finder)


def _refused(path: Path, what: str, instead: str) -> ParsedZone:
    return ParsedZone(None, (Problem(str(path), 0, 0, what, instead),))


def read_zones(paths: Iterable[Path]) -> dict[Path, ParsedZone]:
    """Read files of which no two may be of the same zone."""
    parsed: dict[Path, ParsedZone] = {}
    first: dict[str, Path] = {}
    for path in paths:
        parsed[path] = read_zone(path)
        zone = parsed[path].zone
        if zone is not None and first.setdefault(zone.name, path) != path:
            what, instead = f"{first[zone.name]} is zone {zone.name} already", "make them one file"
            problems = (Problem(str(path), 0, 0, what, instead), *parsed[path].problems)
            parsed[path] = ParsedZone(None, problems)
    return {path: _with_loops(path, one, first) for path, one in parsed.items()}


def _with_loops(path: Path, one: ParsedZone, zones: Iterable[str]) -> ParsedZone:
    """Warn of sources that look up what these zones answer."""
    report = Report(str(path))
    for source in () if one.zone is None else one.zone.sources:
        over = zone_over(source, zones)
        if over is not None:
            what = f"{source.title} lies in zone {over}, which is served here"
            report.warn(None, what, "geodns may ask itself: name a `resolver` that does not come back to it")
    return replace(one, problems=(*report.problems(), *one.problems))


def parse_zone(name: str, text: bytes, file: str, finder: Finder = nothing) -> ParsedZone:
    """Read a zone file's text.

    Args:
        name: the zone's name, as the file's name gives it.
        text: what the file says, up to one byte more than may be read.
        file: the file's path, for messages.
        finder: finds what `hosts_from` is about.

    """
    report = Report(file)
    zone, found = None, []
    try:
        origin = f"{zone_name(name)}."
    except BadNameError as error:
        what, _, instead = str(error).partition(": ")
        report.error(None, f"the file's name {what}", instead)
        origin = "invalid."
    root = yaml_nodes.load(text, report)
    if root is not None:
        reader = _Reader(root, Context(origin, report), finder)
        zone, found = reader.read(), reader.found
    problems = (*report.problems(), *found)
    if zone is None or report.errors:
        return ParsedZone(None, problems)
    return ParsedZone(zone, problems, text if zone.sources else b"")


class _Reader:
    """Reads the mapping that a zone file is.

    Attributes:
        found: problems of other files, in which hosts were found.

    """

    def __init__(self, root: yaml_nodes.Mapping, context: Context, finder: Finder) -> None:
        self.found: list[Problem] = []
        self._finder = finder
        self._root = root
        self._context = context
        self._origin = context.origin
        self._report = context.report
        self._names: Names = {}

    def read(self) -> Zone:
        report = self._report
        given = read_keys(self._root, report, ZONE, "a zone")
        ttls = Ttls(given.get("ttl", _default("ttl")), given.get("record_ttl", _default("record_ttl")))
        min_ttl = given.get("min_ttl", min(_default("min_ttl"), ttls.dealt))
        if min_ttl > ttls.dealt:
            at = self._root.get("min_ttl")
            report.error(at, f"min_ttl {min_ttl} is over ttl {ttls.dealt}", f"write at most {ttls.dealt}")
        servers = self._name_servers(given.get("ns"), ttls.fixed)
        checks = read_checks(given.get("checks"), report)
        errors = report.errors
        hosts = read_hosts(given.get("hosts"), report)
        if "hosts" in given and not hosts and report.errors == errors:
            # Every host commented out would leave the cluster's name without an address: mail would bounce.
            report.error(given["hosts"], "no hosts", "write one, as mta1: 192.0.2.11, or leave `hosts` out")
        own = dict(hosts)
        sources = read_sources(given.get("hosts_from"), report, self._origin)
        origins = self._gather(sources, hosts, given.get("records"), servers)
        for at, host in hosts.values():
            owner = f"{host.name}.{self._origin}"
            add_addresses(
                self._names, at, owner, host.addresses, ttls.fixed, f"host {quoted(host.name)}", self._context
            )
        before = report.errors
        implied = "pools" not in given and bool(hosts or sources)
        placed: Mapping[str, PlacedPool] = {}
        if "pools" in given:
            placed = read_pools(given["pools"], report, hosts, checks, growing=bool(sources))
            link_fallbacks(placed, report)
        pools: dict[str, tuple[YamlNode, Pool]] = {
            name: (pool.at, pool.value) for name, pool in placed.items()
        }
        if implied:
            pools["main"] = (self._hosts_place(), self._implied_pool(hosts, growing=bool(sources)))
        if "records" in given:
            read_records(given["records"], self._names, pools, ttls, self._context)
        if implied:
            self._implied_rules(given.get("records"), ttls.dealt)
        well_read = report.errors == before
        if "ns" not in given:
            servers = self._servers_in_records()
        soa = read_soa(given.get("soa"), servers, self._context)
        check_names(self._names, self._origin, report)
        self._names.get(self._origin, {}).pop("DS", None)  # it is the parent's to answer
        if well_read:
            check_use(self._names, checks, own, pools, report)
            check_sources(sources, origins, pools, report)
        data = [rrset.data for kinds in self._names.values() for rrset in kinds.values()]
        return Zone(
            name=self._origin[:-1],
            ttl=ttls.dealt,
            record_ttl=ttls.fixed,
            min_ttl=min(min_ttl, ttls.dealt),
            retire=given.get("retire", _default("retire")),
            soa=soa,
            ns=servers,
            checks=used_checks(checks, {name: pool for name, (_, pool) in pools.items()}),
            hosts=tuple(host for _, host in hosts.values()),
            sources=tuple(sources),
            origins=origins,
            pools=tuple(pool for _, pool in pools.values()),
            records=tuple(one for one in data if isinstance(one, Record)),
            rules=tuple(one for one in data if isinstance(one, Rule)),
        )

    def _gather(
        self,
        sources: Mapping[HostSource, YamlNode],
        hosts: dict[str, Placed[Host]],
        records: YamlNode | None,
        servers: tuple[NameServer, ...],
    ) -> tuple[Origin, ...]:
        """Put what sources have found beside the hosts of the file."""
        if not sources:
            return ()
        taken = taken_names(records, [server.name for server in servers], self._origin)
        gathering = Gathering(hosts, taken, self._origin, self._report)
        for source, at in sources.items():
            finding = self._finder(self._origin[:-1], source)
            gathering.add(at, finding.hosts)
            self.found += finding.problems
        return tuple(gathering.origins)

    def _hosts_place(self) -> YamlNode:
        return self._root.place("hosts" if "hosts" in self._root.items else "hosts_from")

    def _name_servers(self, node: YamlNode | None, ttl: int) -> tuple[NameServer, ...]:
        report = self._report
        found: dict[str, NameServer] = {}
        if node is None:
            return ()
        items = entries_of(node, report, "a mapping of name servers", _NO_SERVERS[1])
        if not items and (is_nothing(node) or isinstance(node, yaml_nodes.Mapping)):
            report.error(node, *_NO_SERVERS)
        for key, body in items.values():
            name = read_name(key.text, key, self._context)
            if name is None:
                continue
            if name in found:
                report.error(key, f"name server {quoted(key.text)} is given twice", "take it out")
                continue
            if name.startswith("*."):
                report.warn(key, f"name server {quoted(key.text)} is a wildcard", "write a host's name")
            found[name] = self._name_server(name, key, body)
            add_addresses(
                self._names,
                key,
                name,
                found[name].addresses,
                ttl,
                f"name server {quoted(key.text)}",
                self._context,
            )
        if found:
            values = tuple((name,) for name in found)
            data = record(self._origin, "NS", ttl, values)
            add(self._names, PlacedRrset(self._root.place("ns"), data), self._context)
        return tuple(found.values())

    def _servers_in_records(self) -> tuple[NameServer, ...]:
        """Take the name servers from `records`, where that has NS at the zone's own name."""
        found = self._names.get(self._origin, {}).get("NS")
        if found is None or not isinstance(found.data, Record):
            if not _says(self._root.get("records"), self._origin, {"NS"}):
                self._report.error(self._root, *_NO_SERVERS)
            return ()
        return tuple(NameServer(name=value[0]) for value in found.data.values)

    def _name_server(self, name: str, key: Scalar, body: YamlNode) -> NameServer:
        inside = is_within(name, self._origin)
        items = items_of(body)
        if not inside and items:
            what = f"name server {quoted(key.text)} is outside the zone: its addresses cannot be served here"
            self._report.error(items[0], what, "write []")
        addresses = []
        for item in items:
            text = address_text(item, self._report)
            address = None if text is None else check_unicast(text, item, self._report)
            if address in addresses:
                self._report.error(item, f"the address {address} is given twice", "take one out")
            elif address is not None:
                addresses.append(address)
        return NameServer(name=name, addresses=tuple(addresses))

    def _implied_pool(self, hosts: Mapping[str, Placed[Any]], *, growing: bool) -> Pool:
        pool = implied_pool(hosts)
        if not growing and not any(member.weight for member in pool.members):
            at = self._root.place("hosts")
            self._report.error(at, "no host of the pool has weight", "give at least one a weight over 0")
        return pool

    def _implied_rules(self, records: YamlNode | None, ttl: int) -> None:
        """Deal pool `main` at the zone's own name, unless `records` says what its addresses are."""
        apex = self._names.get(self._origin, {})
        if apex.keys() & {"A", "AAAA", "CNAME"} or _says(
            records, self._origin, {"A", "AAAA", "CNAME", "pool"}
        ):
            return
        for family in FAMILIES:
            data = Rule(owner=self._origin, type=family, ttl=ttl, tiers=(Tier(pool="main"),))
            add(self._names, PlacedRrset(self._hosts_place(), data), self._context)


def _default(field: str) -> Any:
    return Zone.model_fields[field].default


def _says(records: YamlNode | None, origin: str, words: set[str]) -> bool:
    """Tell whether `records` speaks of some types at the zone's own name, be it with an error."""
    if not isinstance(records, yaml_nodes.Mapping):
        return False
    apex = (records.get("@"), records.get(origin))
    return any(isinstance(node, yaml_nodes.Mapping) and bool(words & node.items.keys()) for node in apex)
