"""Finds the hosts that operators name: in full, in short, by address or by glob."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import normalize

from geodns.config.report import quoted
from geodns.config.value_types import parse_address
from geodns.errors import AmbiguousError, BadNameError, NotFoundError
from geodns.model.base import Address
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
    return find_among(
        texts,
        {name: {host.name: host.addresses for host in one.hosts} for name, one in zones.items()},
    )


Known = Mapping[str, Mapping[str, Iterable[Address | str]]]
"""The addresses of hosts, by zone and host."""


def find_among(texts: Sequence[str], known: Known) -> list[HostKey]:
    """Do as `find_hosts` does, among hosts of which no more is known."""
    found: set[HostKey] = set()
    nobody: list[str] = []
    for text in texts:
        some = _matching(text, known)
        if some is None:
            try:
                some = [find_host(text, known)]
            except NotFoundError as error:
                nobody.append(str(error))
                continue
        if not some:
            what = "fits" if is_glob(text) else "has the address"
            nobody.append(f"no host {what} {text}: `geodns status` lists them")
        found.update(some)
    if nobody:
        raise NotFoundError("; ".join(nobody))
    return [(name, host) for name, hosts in known.items() for host in hosts if (name, host) in found]


def _matching(text: str, known: Known) -> list[HostKey] | None:
    """Return the hosts of an address or a glob; None: the text is a name."""
    hosts = ((zone, host) for zone, some in known.items() for host in some)
    address = parse_address(text.removeprefix("[").removesuffix("]"))
    if address is not None:
        return [key for key in hosts if str(address) in map(str, known[key[0]][key[1]])]
    if not is_glob(text):
        return None
    glob = normalize("NFC", text.lower().rstrip("."))
    fits = matcher(glob)
    # Match names as people read them: `x*` is not all of punycode, unless the glob itself is punycode.
    read = str if "xn--" in glob else to_unicode
    return [(zone, host) for zone, host in hosts if any(map(fits, _shorter(read(f"{host}.{zone}"))))]


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
    return zones[zone_named(text, zones)]


def zone_named(text: str, zones: Iterable[str]) -> str:
    """Return the name of a zone as it is served; raises NotFoundError where none has it."""
    found = _ascii(text).lower().rstrip(".")
    if found not in (names := list(zones)):
        raise NotFoundError(f"no zone {text} is served; there are {', '.join(names) or 'none'}")
    return found
