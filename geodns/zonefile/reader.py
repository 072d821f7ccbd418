"""Zone files → zones: every problem of a file at once, each with its place."""

import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geodns.config import yaml_nodes
from geodns.config.keys import read_keys
from geodns.config.report import Report, quoted
from geodns.config.yaml_nodes import YamlNode
from geodns.errors import BadNameError, GeodnsError, Problem
from geodns.model.base import FAMILIES
from geodns.model.checks import Check
from geodns.model.hosts import Host, HostSource, Origin
from geodns.model.zone import NameServer, Pool, Record, Rule, Tier, Zone
from geodns.zonefile.checks import read_checks
from geodns.zonefile.crosschecks import check_names, check_use, check_views
from geodns.zonefile.defaults import Defaults
from geodns.zonefile.experiments import read_experiments, with_experiments
from geodns.zonefile.hosts import read_hosts
from geodns.zonefile.mail_classes import read_classes
from geodns.zonefile.name_servers import NO_SERVERS, read_name_servers
from geodns.zonefile.names import zone_name
from geodns.zonefile.pools import implied_pool, link_fallbacks, read_pools, used_checks
from geodns.zonefile.record_fields import Context
from geodns.zonefile.records import Names, PlacedRrset, Ttls, add, add_addresses, read_records
from geodns.zonefile.reputation import read_reputation
from geodns.zonefile.route_checks import check_routes
from geodns.zonefile.routes import PlacedRoute, read_routes
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
from geodns.zonefile.warmup import check_warmups

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ParsedZone:
    """A file's zone, None exactly when a problem is more than a warning.

    Attributes:
        problems: sorted by place; those of files with further hosts are among them.
        text: the file's, kept only of zones whose hosts come and go.

    """

    zone: Zone | None
    problems: tuple[Problem, ...]
    text: bytes = b""


def is_zone_file(name: str) -> bool:
    """Tell whether a file of a folder is a zone file, by its name; hidden files and editors' own are not."""
    return name.endswith(SUFFIXES) and not name.startswith((".", "#"))


def zone_files(paths: Iterable[Path]) -> list[Path]:
    """Return the given files, and the zone files in the given folders; raises GeodnsError."""
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

    The finder gives the hosts of `hosts_from`; None: only those in files beside the zone file.
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
    """Read files; no two may be of the same zone."""
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
    """Warn of sources that look up names in these zones."""
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
        name: the zone's, from the file's name.
        text: up to one byte more than `MAX_BYTES`.
        file: the path, for messages.
        finder: gives the hosts of `hosts_from`.

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
    """Reads a zone file's mapping."""

    def __init__(self, root: yaml_nodes.Mapping, context: Context, finder: Finder) -> None:
        self.found: list[Problem] = []  # in files of hosts
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
        servers = read_name_servers(self._root.place("ns"), given.get("ns"), self._names, ttls, self._context)
        shared = Defaults(given.get("defaults"), report)
        checks = read_checks(shared.fill("checks", given.get("checks")), report)
        errors = report.errors
        hosts = read_hosts(shared.fill("hosts", given.get("hosts")), report)
        if "hosts" in given and not hosts and report.errors == errors:
            # Every host commented out would leave the cluster's name without an address: mail would bounce.
            report.error(given["hosts"], "no hosts", "write one, as mta1: 192.0.2.11, or leave `hosts` out")
        own = dict(hosts)
        sources = read_sources(given.get("hosts_from"), report, self._origin)
        origins = self._gather(sources, hosts, given.get("records"), servers)
        self._complete(sources, hosts, origins, shared)
        for at, host in hosts.values():
            owner = f"{host.name}.{self._origin}"
            add_addresses(
                self._names, at, owner, host.addresses, ttls.fixed, f"host {quoted(host.name)}", self._context
            )
        before = report.errors
        implied = "pools" not in given and bool(hosts or sources)
        pools: dict[str, Placed[Pool]] = {}
        if "pools" in given:
            pools = self._declared_pools(given["pools"], hosts, shared, checks, growing=bool(sources))
        elif implied:
            pool = self._implied_pool(hosts, shared, checks, growing=bool(sources))
            pools["main"] = Placed(self._hosts_place(), pool)
        checks |= _built_in(shared, checks, pools, report)
        if "records" in given:
            read_records(given["records"], self._names, pools, ttls, self._context)
        if implied:
            self._implied_rules(given.get("records"), ttls.dealt)
        experiments = read_experiments(given.get("experiments"), pools, self._context)
        well_read = report.errors == before
        if "ns" not in given:
            servers = self._servers_in_records(given.get("records"))
        soa = read_soa(given.get("soa"), servers, self._context)
        reputation = read_reputation(given.get("reputation"), report)
        routes = read_routes(given.get("routes"), self._context)
        check_names(self._names, self._origin, report)
        self._names.get(self._origin, {}).pop("DS", None)  # it is the parent's to answer
        data = [rrset.data for kinds in self._names.values() for rrset in kinds.values()]
        zone = Zone(
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
            reputation=reputation,
            local=given.get("local", ()),
            routes=tuple(one.rule for one in routes),
            classes=read_classes(given.get("classes"), report),
        )
        if well_read:
            zone = with_experiments(zone, experiments, report)
            check_sources(sources, origins, pools, report)
            self._check_whole(zone, checks, own, pools, routes)
        return zone

    def _check_whole(
        self,
        zone: Zone,
        checks: Mapping[str, Placed[Check]],
        own: Mapping[str, Placed[Host]],
        pools: Mapping[str, Placed[Pool]],
        routes: Sequence[PlacedRoute],
    ) -> None:
        """Report what does not go together; `own` are the hosts that the file itself has."""
        report = self._report
        check_views(zone, self._names, report)
        check_use(zone, checks, own, pools, report)
        check_warmups(zone, own, {name: pool.at for name, pool in pools.items()}, report)
        check_routes(zone, routes, self._root, own, report)

    def _gather(
        self,
        sources: Mapping[HostSource, YamlNode],
        hosts: dict[str, Placed[Host]],
        records: YamlNode | None,
        servers: tuple[NameServer, ...],
    ) -> tuple[Origin, ...]:
        """Add the hosts that sources have found to those of the file."""
        if not sources:
            return ()
        taken = taken_names(records, [server.name for server in servers], self._origin)
        gathering = Gathering(hosts, taken, self._origin, self._report)
        for source, at in sources.items():
            finding = self._finder(self._origin[:-1], source)
            gathering.add(at, finding.hosts)
            self.found += finding.problems
        return tuple(gathering.origins)

    def _complete(
        self,
        sources: Mapping[HostSource, YamlNode],
        hosts: dict[str, Placed[Host]],
        origins: tuple[Origin, ...],
        shared: Defaults,
    ) -> None:
        """Let the hosts of sources take what they do not say from the defaults."""
        if sources:
            found = {one.host: hosts[one.host] for one in origins}
            complete = shared.complete({name: one.value for name, one in found.items()}, self._report)
            hosts |= {name: Placed(one.at, complete[name]) for name, one in found.items()}

    def _hosts_place(self) -> YamlNode:
        return self._root.place("hosts" if "hosts" in self._root.items else "hosts_from")

    def _servers_in_records(self, records: YamlNode | None) -> tuple[NameServer, ...]:
        """Take the name servers from `records`, where that has NS at the zone's own name."""
        found = self._names.get(self._origin, {}).get("NS")
        if found is None or not isinstance(found.data, Record):
            if not _says(records, self._origin, {"NS"}):
                self._report.error(self._root, *NO_SERVERS)
            return ()
        return tuple(NameServer(name=value[0]) for value in found.data.values)

    def _declared_pools(
        self,
        node: YamlNode,
        hosts: Mapping[str, Placed[Host]],
        shared: Defaults,
        checks: Mapping[str, Placed[Check]],
        *,
        growing: bool,
    ) -> dict[str, Placed[Pool]]:
        filled = shared.fill("pools", node) or node
        placed = read_pools(filled, self._report, hosts, checks, growing=growing)
        link_fallbacks(placed, self._report)
        return {name: Placed(pool.at, pool.value) for name, pool in placed.items()}

    def _implied_pool(
        self,
        hosts: Mapping[str, Placed[Host]],
        shared: Defaults,
        checks: Mapping[str, Placed[Check]],
        *,
        growing: bool,
    ) -> Pool:
        pool = implied_pool(hosts)
        written = shared.implied_pool(self._hosts_place(), hosts)
        if written is not None:
            told = self._report if hosts else Report("")  # that it is empty is told elsewhere
            read = read_pools(written, told, hosts, checks, growing=growing)
            pool = read["main"].value.model_copy(update={"members": pool.members})
        if not growing and not any(member.weight for member in pool.members):
            at = self._root.place("hosts")
            self._report.error(at, "no host of the pool has weight", "give at least one a weight over 0")
        return pool

    def _implied_rules(self, records: YamlNode | None, ttl: int) -> None:
        """Deal pool `main` at the zone's own name, unless `records` has addresses there."""
        apex = self._names.get(self._origin, {})
        if apex.keys() & {"A", "AAAA", "CNAME"} or _says(
            records, self._origin, {"A", "AAAA", "CNAME", "pool"}
        ):
            return
        for family in FAMILIES:
            data = Rule(owner=self._origin, type=family, ttl=ttl, tiers=(Tier(pool="main"),))
            add(self._names, PlacedRrset(self._hosts_place(), data), self._context)


def _built_in(
    shared: Defaults, checks: Mapping[str, Placed[Check]], pools: Mapping[str, Placed[Pool]], report: Report
) -> dict[str, Placed[Check]]:
    """Return the built-in checks that pools use, where they differ by the file's defaults."""
    used = {check for _, pool in pools.values() for check in pool.checks}
    return read_checks(shared.built_in_checks(used - checks.keys()), report)


def _default(field: str) -> Any:
    return Zone.model_fields[field].default


def _says(records: YamlNode | None, origin: str, words: set[str]) -> bool:
    """Tell whether `records` has one of some types at the zone's own name, be it with an error."""
    if not isinstance(records, yaml_nodes.Mapping):
        return False
    apex = (records.get("@"), records.get(origin))
    return any(isinstance(node, yaml_nodes.Mapping) and bool(words & node.items.keys()) for node in apex)
