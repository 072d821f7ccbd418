"""Resolvers of the distribution with our zones, each on a port of loopback, with no way to anywhere else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dns.message
import dns.query
import dns.rrset

from bench import servers
from bench.servers import Server
from geodns.wire.message import question
from geodns.wire.names import name_to_wire
from tests.integration.cluster import ANSWER
from tests.integration.mailhosts import Address

Zones = Sequence[str]


class Resolver:
    """A running resolver."""

    def __init__(self, port: int) -> None:
        self._at = ("127.0.0.1", port)

    def ask(
        self, name: str, rtype: str = "A", patience: float = ANSWER, source: str | None = None
    ) -> dns.message.Message:
        """Ask it as a stub resolver does, from an address of loopback."""
        query = dns.message.make_query(name, rtype, use_edns=0, payload=1232)
        return dns.query.udp_with_fallback(query, self._at[0], patience, self._at[1], source=source)[0]

    def rrset(self, name: str, rtype: str = "A") -> dns.rrset.RRset:
        """Ask, and return the only RRset of the answer."""
        (found,) = self.ask(name, rtype).answer
        return found


def _unbound(
    folder: Path, port: int, dns: Address, zones: Zones, modules: str = "iterator", more: str = ""
) -> Sequence[str]:
    stubs = "".join(f'stub-zone:\n  name: "{zone}"\n  stub-addr: {dns[0]}@{dns[1]}\n' for zone in zones)
    # Nothing but loopback can be reached from 127.0.0.1; what a parent zone would say is said by the stub.
    (folder / "unbound.conf").write_text(f"""\
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  do-daemonize: no
  num-threads: 1
  interface: 127.0.0.1@{port}
  outgoing-interface: 127.0.0.1
  do-ip6: no
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "{modules}"
  {more}
  target-fetch-policy: "0 0 0 0 0"
  use-caps-for-id: yes
  qname-minimisation: yes
  qname-minimisation-strict: yes
  harden-below-nxdomain: yes
  harden-short-bufsize: yes
  harden-large-queries: yes
  harden-glue: yes
  harden-referral-path: yes
  unwanted-reply-threshold: 1
remote-control:
  control-enable: no
{stubs}""")
    return "unbound", "-d", "-p", "-c", str(folder / "unbound.conf")


def _unbound_with_subnets(folder: Path, port: int, dns: Address, zones: Zones) -> Sequence[str]:
    return _unbound(folder, port, dns, zones, "subnetcache iterator", f"send-client-subnet: {dns[0]}")


def _bind(folder: Path, port: int, dns: Address, zones: Zones) -> Sequence[str]:
    # Its static stubs know no port: it asks at the one that it listens on itself, at another address.
    assert port == dns[1]
    stubs = "".join(
        f'zone "{zone}" {{ type static-stub; server-addresses {{ {dns[0]}; }}; }};\n' for zone in zones
    )
    (folder / "named.conf").write_text(f"""\
options {{
  directory "{folder}";
  port {port};
  pid-file none;
  session-keyfile none;
  listen-on {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  query-source address 127.0.0.1;
  recursion yes;
  allow-query {{ 127.0.0.0/8; }};
  dnssec-validation no;
  qname-minimization strict;
  empty-zones-enable no;
}};
controls {{ }};
zone "." {{ type hint; file "hints"; }};
{stubs}""")
    (folder / "hints").write_text(". NS nowhere.example.\nnowhere.example. A 127.0.0.1\n")
    return "named", "-g", "-n", "1", "-c", str(folder / "named.conf")


def _knot_resolver(folder: Path, port: int, dns: Address, zones: Zones) -> Sequence[str]:
    names = ", ".join(f"'{zone}.'" for zone in zones)
    (folder / "kresd.conf").write_text(f"""\
net.ipv6 = false
net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
modules.unload('detect_time_skew')
trust_anchors.remove('.')
cache.size = 10 * MB
cache.min_ttl(0)
modules = {{ 'policy' }}
policy.add(policy.suffix(policy.FORWARD('{dns[0]}@{dns[1]}'), policy.todnames({{ {names} }})))
""")
    return "kresd", "-n", "-c", str(folder / "kresd.conf"), str(folder)


def _powerdns(folder: Path, port: int, dns: Address, zones: Zones) -> Sequence[str]:
    forwards = ", ".join(f"{zone}={dns[0]}:{dns[1]}" for zone in zones)
    (folder / "recursor.conf").write_text(f"""\
local-address=127.0.0.1
local-port={port}
query-local-address=127.0.0.1
socket-dir={folder}
daemon=no
disable-syslog=yes
write-pid=no
threads=1
allow-from=127.0.0.0/8
dont-query=
minimum-ttl-override=0
dnssec=off
security-poll-suffix=
qname-minimization=yes
forward-zones={forwards}
""")
    return "pdns_recursor", f"--config-dir={folder}"


KINDS = {
    "unbound": ("unbound", "unbound", _unbound),
    "BIND": ("named", "bind9", _bind),
    "Knot Resolver": ("kresd", "knot-resolver", _knot_resolver),
    "PowerDNS Recursor": ("pdns_recursor", "pdns-recursor", _powerdns),
}
"""Program, package and what makes its files, by name."""

WITH_SUBNETS = "unbound that sends client subnets"
_OTHERS = {WITH_SUBNETS: ("unbound", "unbound", _unbound_with_subnets)}


def server(name: str, dns: Address, zones: Zones) -> Server:
    """Return a resolver that asks for these zones, and whatever is below them, at one address."""
    program, package, prepare = (KINDS | _OTHERS)[name]
    return Server(name, program, package, partial(prepare, dns=dns, zones=zones))


@contextmanager
def resolving(
    name: str, folder: Path, dns: Address, zones: Zones, known: str, port: int | None = None
) -> Iterator[Resolver]:
    """Run a resolver until the block ends.

    Args:
        name: of its kind.
        folder: for its files.
        dns: the server that it asks.
        zones: what it asks there.
        known: a name with an address, which it has found when the block begins.
        port: where it listens; None takes a free one.

    """
    query = b"\0\1" + bytes((1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + question(name_to_wire(f"{known}."), 1)
    with servers.running(server(name, dns, zones), folder, query, port) as running:
        yield Resolver(running.port)
