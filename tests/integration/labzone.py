"""Fixed zones with a name for every rule of the protocol, as zone files that every name server reads."""

from pathlib import Path

import dns.name
import dns.zone

from tests.integration.cluster import geodns

NAME = "lab.example"
CHILD = f"child.{NAME}"

_BIG = "\n".join(f'big TXT "number {number:03} {"x" * 80}"' for number in range(40))
_MID = "\n".join(f'mid TXT "{number} {"y" * 90}"' for number in range(6))
_LONG = "\n".join(f"long{number:02} CNAME long{number + 1:02}" for number in range(20))
_MANY = "\n".join(
    f"wide NS ns{number}.wide\nns{number}.wide A 198.51.100.{number}" for number in range(1, 14)
)

TEXT = f"""\
$ORIGIN {NAME}.
$TTL 3600
@ SOA ns1 hostmaster 7 7200 1800 1209600 300
@ NS ns1
@ NS ns2.elsewhere.example.
@ MX 10 mail
@ MX 20 mail.elsewhere.example.
@ TXT "v=spf1 mx -all"
ns1 A 192.0.2.53
ns1 AAAA 2001:db8::53
mail 600 A 192.0.2.25
mail 600 A 192.0.2.26
mail 600 AAAA 2001:db8::25
never 0 A 192.0.2.1

; RFC 4592: wildcards, what they cover and what keeps them out
*.wild A 192.0.2.90
*.wild MX 10 mail
exact.wild A 192.0.2.91
below.exact.wild TXT "below"
*.alias CNAME mail
*.abroad CNAME www.elsewhere.example.
*.void CNAME nothing
*.deep.wild TXT "a wildcard below a wildcard's name"
sub.*.inner A 192.0.2.92
*.both A 192.0.2.93
*.*.both A 192.0.2.94
a.b.c TXT "below two empty names"
_smtp._tcp SRV 0 5 25 mail

; RFC 1034: zone cuts; RFC 9471: their glue
sub NS ns.sub
ns.sub A 198.51.100.53
ns.sub AAAA 2001:db8::198
host.sub TXT "hidden below the cut"
*.sub A 198.51.100.54
sibling NS ns.sub
inside NS ns1
away NS ns.elsewhere.example.
mixed NS ns.mixed
mixed NS ns.sub
mixed NS ns1
mixed NS ns.elsewhere.example.
ns.mixed A 198.51.100.55
x.y.cut NS ns.x.y.cut
ns.x.y.cut A 198.51.100.56
secure NS ns.secure
secure DS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
ns.secure A 198.51.100.57
child NS ns.child
child DS 54321 13 2 fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210
ns.child A 198.51.100.58
{_MANY}

; CNAME, RFC 1034 section 3.6.2
chain1 CNAME chain2
chain2 CNAME chain3
chain3 CNAME mail
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
lost CNAME nothing
empty CNAME b.c
tosub CNAME www.sub
tochild CNAME www.{CHILD}.
towild CNAME any.wild
toalias CNAME any.alias
out CNAME www.elsewhere.example.
viadname CNAME host.old
{_LONG}

; DNAME, RFC 6672
old DNAME new
host.new A 192.0.2.95
back.new CNAME host.old
old2 DNAME old
gone DNAME elsewhere.example.
empties DNAME nothing
turn DNAME turn2
turn2 DNAME turn
narrow DNAME {"a" * 60}.{"b" * 60}.{"c" * 60}.new

; many types, known and unknown
types HINFO "a cpu" "an os"
types RP hostmaster types
types AFSDB 1 mail
types LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
types NAPTR 100 50 "s" "http+E2U" "" _smtp._tcp
types SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
types CERT 1 2 3 AAEC
types URI 10 1 "https://www.example/"
types SVCB 1 mail port=8053
types HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.25
types TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
types SMIMEA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
types CAA 0 issue "ca.example.net"
types PTR mail
types KX 10 mail
types DHCID AAEC
types OPENPGPKEY AAEC
types CDS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
types EUI48 00-00-5e-00-53-2a
types EUI64 00-00-5e-ef-10-00-00-2a
types APL 1:192.0.2.0/24 !1:192.0.2.64/28
types TYPE65280 \\# 4 00010203
types TXT "" "two" "strings; and a semicolon"
alone TYPE65281 \\# 0

; sizes
{_BIG}
{_MID}
"""

CHILD_TEXT = f"""\
$ORIGIN {CHILD}.
$TTL 3600
@ SOA ns hostmaster 9 7200 1800 1209600 300
@ NS ns
@ TXT "the child's own"
ns A 198.51.100.58
www A 198.51.100.80
up CNAME mail.{NAME}.
sub NS ns.sub
ns.sub A 198.51.100.81
"""

ZONES = {NAME: TEXT, CHILD: CHILD_TEXT}


def read(name: str, text: str) -> dns.zone.Zone:
    """Return a zone file's zone, with absolute names."""
    return dns.zone.from_text(text, name, relativize=False, check_origin=False)


def zones() -> dict[str, dns.zone.Zone]:
    """Return all the zones by name."""
    return {name: read(name, text) for name, text in ZONES.items()}


def own_names(zone: dns.zone.Zone) -> list[dns.name.Name]:
    """Return every name that has records, and the empty ones above them."""
    assert zone.origin is not None
    own = {name for name in zone if name.is_subdomain(zone.origin)}
    above = {parent for name in own for parent in parents(name) if parent.is_subdomain(zone.origin)}
    return sorted(own | above)


def other_names(zone: dns.zone.Zone) -> list[dns.name.Name]:
    """Return names below each of the zone's own, a few above it, and one beside."""
    assert zone.origin is not None
    own = own_names(zone)
    below = {
        dns.name.Name((*labels, *name.labels))
        for name in own
        for labels in ((b"nope",), (b"x", b"y"), (b"*",))
        if sum(len(label) + 1 for label in (*labels, *name.labels)) <= 255
    }
    outside = {dns.name.root, zone.origin.parent(), dns.name.from_text("www.elsewhere.example")}
    return sorted((below | outside) - set(own))


def parents(name: dns.name.Name) -> list[dns.name.Name]:
    """Return the names above a name."""
    found = []
    while name != dns.name.root:
        name = name.parent()
        found.append(name)
    return found


def import_all(folder: Path) -> None:
    """Write all the zones into a folder as our zone files."""
    for name, text in ZONES.items():
        file = folder / f"{name}.zone"
        file.write_text(text)
        done = geodns("import", str(file), "--origin", name, "--out", str(folder))
        assert done.returncode == 0, done.stdout + done.stderr
        file.unlink()
