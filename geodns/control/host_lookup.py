"""Finds the hosts that operators name: in full, in short, by address or by glob."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import normalize

from geodns.config.report import quoted
from geodns.config.value_types import parse_address
from geodns.errors import AmbiguousError, BadNameError, NotFoundError
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.wire.idn import to_ascii, to_unicode
from geodns.zonefile.names import is_glob, matcher


def find_hosts(texts: Sequence[str], zones: Mapping[str, Zone], zone: str | None = None) -> list[HostKey]:
    """Return the hosts that some texts name, each once, in the order of the zones.

    Args:
        texts: each a name as for `find_host`, an address (every host that has it), or a glob over the
            names of all hosts, short or with their zones.
        zones: those that are served.
        zone: the only one to look in; None: all.

    Raises:
        NotFoundError: some texts name no host; the error has all of them.
        AmbiguousError: several zones have a host of a short name.

    """
    if zone is not None:
        only = _zone_named(zone, zones)
        zones = {only.name: only}
    names = {name: one.host_by_name for name, one in zones.items()}
    found: set[HostKey] = set()
    nobody: list[str] = []
    for text in texts:
        some = _matching(text, zones)
        if some is None:
            try:
                some = [find_host(text, names)]
            except NotFoundError as error:
                nobody.append(str(error))
                continue
        if not some:
            what = "fits" if is_glob(text) else "has the address"
            nobody.append(f"no host {what} {text}: `geodns status` lists them")
        found.update(some)
    if nobody:
        raise NotFoundError("; ".join(nobody))
    return [(name, host) for name, hosts in names.items() for host in hosts if (name, host) in found]


def _matching(text: str, zones: Mapping[str, Zone]) -> list[HostKey] | None:
    """Return the hosts of an address or a glob; None: the text is a name."""
    address = parse_address(text.removeprefix("[").removesuffix("]"))
    if address is not None:
        return [
            (zone.name, host.name)
            for zone in zones.values()
            for host in zone.hosts
            if address in host.addresses
        ]
    if not is_glob(text):
        return None
    glob = normalize("NFC", text.lower().rstrip("."))
    fits = matcher(glob)
    # Match names as people read them: `x*` is not all of punycode, unless the glob itself is punycode.
    read = str if "xn--" in glob else to_unicode
    return [
        (zone.name, host.name)
        for zone in zones.values()
        for host in zone.hosts
        if any(map(fits, _shorter(read(f"{host.name}.{zone.name}"))))
    ]


def _shorter(name: str) -> Iterable[str]:
    """Return the short forms of a whole name: ``mta1``, ``mta1.out`` … the name itself."""
    labels = name.split(".")
    return (".".join(labels[:count]) for count in range(1, len(labels) + 1))


def find_host(text: str, zones: Mapping[str, Iterable[str]]) -> HostKey:
    """Return the host of a name.

    Args:
        text: ``mta1``, the whole name ``mta1.out.example.com`` with or without the final dot, or its first
            labels (``mta1.out``); in punycode or not.
        zones: names of hosts, by zone.

    Raises:
        NotFoundError: no zone has it.
        AmbiguousError: several zones have a host of a short form.

    """
    wanted = _ascii(text).lower().rstrip(".")
    known = [(zone, host) for zone, hosts in zones.items() for host in hosts]
    found = (
        [key for key in known if f"{key[1]}.{key[0]}" == wanted]
        or [key for key in known if key[1] == wanted]
        or [key for key in known if wanted and f"{key[1]}.{key[0]}".startswith(f"{wanted}.")]
    )
    if not found:
        near = difflib.get_close_matches(wanted[:100], dict.fromkeys(host for _, host in known[:2000]), 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise NotFoundError(f"no host {text}: {hint}`geodns status` lists them")
    if len(found) > 1:
        names = ", ".join(f"{host}.{zone}" for zone, host in found)
        raise AmbiguousError(f"{text} is in several zones: write one of {names}")
    return found[0]


def _ascii(text: str) -> str:
    try:
        return to_ascii(text)
    except BadNameError as error:
        raise NotFoundError(f"no host {quoted(text)}: {error}") from error


def require_host(zones: Mapping[str, Zone], zone: str, host: str) -> HostKey:
    """Return the key of a host; raise NotFoundError where there is no such zone or host."""
    found = _zone_named(zone, zones)
    name = _ascii(host).lower()
    if name not in found.host_by_name:
        raise NotFoundError(
            f"zone {zone} has no host {host}; it has {', '.join(found.host_by_name) or 'none'}"
        )
    return found.name, name


def _zone_named(text: str, zones: Mapping[str, Zone]) -> Zone:
    found = zones.get(_ascii(text).lower().rstrip("."))
    if found is None:
        raise NotFoundError(f"no zone {text} is served; there are {', '.join(zones) or 'none'}")
    return found
