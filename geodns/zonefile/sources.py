"""The section `hosts_from` of a zone file → sources; the hosts that they find → hosts of the zone.

A source never makes a zone bad: a found host that does not fit is left out, with a warning.
"""

import os.path
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from geodns.config import yaml_nodes
from geodns.config.answer_keys import NETWORKS
from geodns.config.keys import keys_of, objects, read_keys
from geodns.config.report import Report, quoted
from geodns.config.value_types import (
    FLAG,
    RESOLVER,
    Schema,
    choice,
    duration,
    entries_of,
    items_of,
    parse_address,
    whole,
    word,
)
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.errors import BadNameError, Problem, printable
from geodns.model.base import Address
from geodns.model.hosts import DnsSource, Endpoint, FileSource, Host, HostSource, Origin
from geodns.model.zone import Pool, Zone
from geodns.zonefile import names
from geodns.zonefile.hosts import MAX_HOSTS, read_hosts
from geodns.zonefile.names import is_host_label, is_within, owner
from geodns.zonefile.sections import HOST_NAME, Placed

MAX_LABEL = 23
"""Characters of `name`: with an IPv6 address behind it a label has 63 (RFC 1035 section 2.3.4)."""

_DNS = keys_of(
    DnsSource,
    {
        "dns": HOST_NAME,
        "weight": whole,
        "name": word("the beginning of the hosts' names, as mta"),
        "interval": duration,
        "resolver": RESOLVER,
        "family": choice,
        "networks": NETWORKS,
        "trust": FLAG,
    },
    fields={"name": "label"},
    defaults={
        "name": "the first label",
        "interval": "the answer's TTL, 5s to 5m",
        "resolver": "what /etc/resolv.conf says",
        "family": "both",
        "networks": "all but loopback and link-local",
        "trust": "false",
    },
)
_FILES = keys_of(
    FileSource,
    {"file": word("the path of a file, or a glob, as hosts.d/*.yaml"), "trust": FLAG},
    defaults={"trust": "false"},
)
HOST_SOURCE = {"dns": _DNS["dns"], **_FILES, **_DNS}
SOURCE_SCHEMA: Schema = {"anyOf": [objects(_DNS, "dns"), objects(_FILES, "file")]}

_EXAMPLES = "write `dns: mta.internal.example` or `file: hosts.d/*.yaml`"
_FILE = "`name: address` for each host, as under `hosts` of a zone"
_ADDRESSES = {"A", "AAAA", "CNAME", "DNAME", "NS", "pool"}
"""Keys of a name under `records` that exclude a host's addresses."""


class SourcedHost(NamedTuple):
    """A host, and the source or the file that it is from."""

    host: Host
    source: str


class SourceResult(NamedTuple):
    """The hosts that a source has found, and the problems of its files."""

    hosts: tuple[SourcedHost, ...] = ()
    problems: tuple[Problem, ...] = ()


Finder = Callable[[str, HostSource], SourceResult]
"""Returns what a source of a zone, given by its name, has found so far."""


def nothing(zone: str, source: HostSource) -> SourceResult:
    """Find no hosts: for a zone's text alone."""
    del zone, source
    return SourceResult()


def in_files(folder: Path) -> Finder:
    """Return a finder of hosts in files beside a zone file; it looks up no names."""

    def find(zone: str, source: HostSource) -> SourceResult:
        del zone
        if isinstance(source, DnsSource):
            return SourceResult()
        place, fits = files_of(folder, source)
        report = Report(str(place))
        try:
            paths = sorted(path for path in place.iterdir() if fits(path.name) and not path.is_dir())
        except OSError as error:
            report.warn(None, f"cannot be read: {error.strerror}", f"{source.title} finds no host")
            return SourceResult((), report.problems())
        if not paths:
            report.warn(None, f"no file fits {quoted(source.file)}", "it finds no host")
        found: list[SourcedHost] = []
        problems = list(report.problems())
        for path in paths:
            hosts, wrong = read_host_file(path)
            found += [SourcedHost(host, file_title(source, path)) for host in hosts or ()]
            problems += wrong
        return SourceResult(tuple(found), tuple(problems))

    return find


def files_of(folder: Path, source: FileSource) -> tuple[Path, Callable[[str], bool]]:
    """Return the folder of a source's files, and a test of their names."""
    path = folder / source.file
    fits = names.matcher(path.name)
    return path.parent, lambda name: not name.startswith((".", "#")) and fits(name) is not None


def file_title(source: FileSource, path: Path) -> str:
    """Return the title of a file of a source, as its hosts are shown with."""
    return FileSource(file=os.path.join(os.path.dirname(source.file), path.name)).title  # noqa: PTH118, PTH120 - text


def read_host_file(path: Path) -> tuple[tuple[Host, ...] | None, tuple[Problem, ...]]:
    """Read a file of hosts; None instead of them when it has an error."""
    report = Report(printable(str(path)))
    if not path.name.isprintable():
        # Names are shown and kept as text: stray bytes would break that.
        report.error(None, "a name that cannot be shown", "rename it, to letters and digits, say")
        return None, report.problems()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            report.error(None, "no regular file", f"write a file in YAML: {_FILE}")
            return None, report.problems()
        with path.open("rb") as file:
            text = file.read(yaml_nodes.MAX_BYTES + 1)
    except OSError as error:
        report.error(None, f"cannot be read: {error.strerror}", "look at its name and permissions")
        return None, report.problems()
    root = yaml_nodes.load(text, report, _FILE)
    if root is None:
        return None, report.problems()
    if root.items.keys() == {"hosts"} and isinstance(root.get("hosts"), yaml_nodes.Mapping):
        report.error(root.place("hosts"), "`hosts` on top", f"take it out: write {_FILE}")
        return None, report.problems()
    hosts = tuple(host for _, host in read_hosts(root, report).values())
    if not hosts and not report.errors:
        report.error(None, "no hosts", f"write {_FILE}, or remove the file")
    return (None if report.errors else hosts), report.problems()


# --- the section ---------------------------------------------------------------------------------------


def read_sources(node: YamlNode | None, report: Report, origin: str) -> dict[HostSource, YamlNode]:
    """Read the sources; no two may be the same."""
    found: dict[HostSource, YamlNode] = {}
    if node is None:
        return found
    items = items_of(node)
    if not items:
        report.error(node, "no sources", f"{_EXAMPLES}, or leave `hosts_from` out")
    titles: set[str] = set()
    for item in items:
        source = _source(item, report, origin)
        if source is None:
            continue
        if source.title in titles:
            report.error(item, f"{source.title} is given twice", "take one out")
            continue
        titles.add(source.title)
        found[source] = item
    return found


def _source(node: YamlNode, report: Report, origin: str) -> HostSource | None:
    before = report.errors
    given = read_keys(node, report, HOST_SOURCE, "a source of hosts")
    if report.errors > before:
        return None
    if ("dns" in given) == ("file" in given):
        what = (
            "a source that is both `dns` and `file`" if "dns" in given else "a source without `dns` or `file`"
        )
        report.error(node, what, _EXAMPLES)
        return None
    if "file" in given:
        for key, _ in entries_of(node, report, "", "").values():
            if key.text not in _FILES:
                what = f"`{key.text}` goes with `dns`"
                report.error(key, what, "each host in the files has its own: take it out")
        source: HostSource | None = _file_source(given, report)
    else:
        source = _dns_source(node, given, report, origin)
    return None if report.errors > before else source


def _file_source(given: Mapping[str, Any], report: Report) -> HostSource:
    at: Scalar = given["file"]
    text = at.text
    folder, name = os.path.split(os.path.normpath(text))
    zones = os.path.normpath(os.path.dirname(report.file))  # noqa: PTH120 - likewise
    if text.endswith("/") or name in {"", ".", ".."}:
        report.error(at, f"{quoted(text)} is a folder", "write which files are meant, as hosts.d/*.yaml")
    elif names.is_glob(folder):
        report.error(at, f"{quoted(text)} has a glob in a folder's name", "write it in the last part only")
    elif os.path.normpath(os.path.join(zones, folder)) == zones:  # noqa: PTH118 - likewise
        what = f"{quoted(text)} lies among the zone files"
        report.error(at, what, "put hosts into a folder of their own, as hosts.d/*.yaml")
    path = os.path.join(folder, name)  # noqa: PTH118 - likewise
    return FileSource(file=path, trust=given.get("trust", False))


def _dns_source(node: YamlNode, given: Mapping[str, Any], report: Report, origin: str) -> HostSource | None:
    assert isinstance(node, yaml_nodes.Mapping)
    name: str = given["dns"]
    if parse_address(name) is not None:
        report.error(node.get("dns"), f"the address {name} where a name is needed", "write it under `hosts`")
    label = given["name"].text.lower() if "name" in given else name.partition(".")[0]
    if not is_host_label(label) or len(label) > MAX_LABEL:
        what = f"{quoted(label)} cannot begin the names of hosts"
        instead = f"write `name: mta`, or another label of at most {MAX_LABEL} letters, digits and hyphens"
        report.error(node.get("name") or node.get("dns"), what, instead)
        return None
    endpoint: Endpoint | None = given.get("resolver")
    if endpoint is None and is_within(f"{name}.", origin):
        what = f"{name} lies in this zone: geodns would have to ask itself"
        report.error(
            node.get("dns"), what, "write another name, or a `resolver` that answers for it otherwise"
        )
    kept = {key: given[key] for key in ("weight", "interval", "family", "networks", "trust") if key in given}
    if endpoint is not None:
        kept |= {"resolver": endpoint.address} | ({"port": endpoint.port} if endpoint.port else {})
    return DnsSource(dns=name, label=label, **kept)


# --- what is found -------------------------------------------------------------------------------------


def taken_names(records: YamlNode | None, name_servers: Collection[str], origin: str) -> set[str]:
    """Return the owner names whose addresses a zone gives itself: no host can have them."""
    found = set(name_servers)
    if isinstance(records, yaml_nodes.Mapping):
        for text, (_, body) in records.items.items():
            if isinstance(body, yaml_nodes.Mapping) and _ADDRESSES & body.items.keys():
                try:
                    found.add(owner(text, origin))
                except BadNameError:
                    continue  # `read_records` reports it
    return found


class Gathering:
    """Adds found hosts behind a zone's own hosts, which win; no host can have a `taken` owner name."""

    def __init__(
        self, hosts: dict[str, Placed[Host]], taken: Collection[str], origin: str, report: Report
    ) -> None:
        self.origins: list[Origin] = []
        self._hosts = hosts
        self._taken = taken
        self._origin = origin
        self._report = report
        self._names = dict.fromkeys(hosts, "`hosts`")
        self._owners = {address: "`hosts`" for _, host in hosts.values() for address in host.addresses}

    def add(self, at: YamlNode, found: Collection[SourcedHost]) -> None:
        """Add the hosts of the source that stands at `at`."""
        for one in found:
            host = self._fitting(at, one)
            if host is None:
                continue
            self._hosts[host.name] = Placed(at, host)
            self._names[host.name] = one.source
            self._owners |= dict.fromkeys(host.addresses, one.source)
            self.origins.append(Origin(host=host.name, source=one.source))

    def _fitting(self, at: YamlNode, one: SourcedHost) -> Host | None:
        host, what = one.host, f"host {quoted(one.host.name)} of {one.source}"
        if len(self._hosts) >= MAX_HOSTS:
            self._report.warn(at, f"{what} is one more than {MAX_HOSTS:,}", "it is left out")
            return None
        if host.name in self._names:
            self._report.warn(at, f"{what} stands in {self._names[host.name]} already", "that one is taken")
            return None
        if f"{host.name}.{self._origin}" in self._taken:
            self._report.warn(at, f"{what} has a name that `records` or `ns` speaks of", "it is left out")
            return None
        rest = tuple(self._free(at, what, host.addresses))
        if rest == host.addresses:
            return host
        return host.model_copy(update={"addresses": rest}) if rest else None

    def _free(self, at: YamlNode, what: str, addresses: tuple[Address, ...]) -> Iterator[Address]:
        for address in addresses:
            if address in self._owners:
                first = self._owners[address]
                told = f"{what} has the address {address}, which a host in {first} has already"
                self._report.warn(at, told, "that one is taken")
            else:
                yield address


def check_sources(
    sources: Mapping[HostSource, YamlNode],
    origins: Collection[Origin],
    pools: Mapping[str, Placed[Pool]],
    report: Report,
) -> None:
    """Warn of found hosts that no pool has."""
    members = {member.host for _, pool in pools.values() for member in pool.members}
    idle = [one for one in origins if one.host not in members]
    if idle:
        more = f" (and {len(idle) - 1} more)" if len(idle) > 1 else ""
        what = f"no pool has host {quoted(idle[0].host)} of {idle[0].source}{more}"
        instead = 'put it into a pool, by a glob as "mta-*", or take the source out'
        report.warn(next(iter(sources.values())), what, instead)


def trusted_hosts(zone: Zone, after: Zone) -> frozenset[str]:
    """Return a zone's hosts of sources that the zone after it still has, and trusts."""
    trusting = [source for source in after.sources if source.trust]
    return frozenset(one.host for one in zone.origins if any(_gives(source, one) for source in trusting))


def _gives(source: HostSource, origin: Origin) -> bool:
    if isinstance(source, DnsSource):
        return origin.source == source.title
    return bool(names.matcher(source.title)(origin.source))


def zone_over(source: HostSource, zones: Iterable[str]) -> str | None:
    """Return the zone that a source would look up names in, of some, if it asks the system's resolvers."""
    if not isinstance(source, DnsSource) or source.resolver is not None:
        return None
    return next((name for name in zones if is_within(f"{source.dns}.", f"{name}.")), None)
