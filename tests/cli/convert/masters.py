"""Zone files that tests share, and their records as dnspython reads them."""

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.zonefile

Rrsets = dict[tuple[str, str], tuple[int, frozenset[bytes]]]
"""(owner, type) → TTL and the data of every record, names in lower case."""


def rrsets_of(text: str, origin: str) -> Rrsets:
    """Return a zone file's RRsets, each with its lowest TTL, by dnspython alone."""
    found: dict[tuple[str, str], list[tuple[int, bytes]]] = {}
    name = dns.name.from_text(origin)

    class Taker:
        manager = property(lambda self: self)

        def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
            return name, False, name

        def check_put_rdataset(self, check: object) -> None:
            del check

        def _set_origin(self, origin: dns.name.Name) -> None:
            del origin

        def add(self, owner: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
            key = owner.to_text().lower(), dns.rdatatype.to_text(rdata.rdtype)
            found.setdefault(key, []).append((ttl, rdata.to_digestable()))

    tokens = dns.tokenizer.Tokenizer(text, "zone")
    dns.zonefile.Reader(tokens, dns.rdataclass.IN, Taker()).read()  # type: ignore[arg-type]
    return {
        key: (min(ttl for ttl, _ in rows), frozenset(data for _, data in rows)) for key, rows in found.items()
    }


DIGEST = "ab" * 32
RICH = f"""\
$ORIGIN example.com.
$TTL 1h
@       IN SOA NS1 Host\\.Master 2024010101 2h 30m 14d 5m
        IN NS  NS1
        IN NS  ns2.example.net.
        IN NS  sub
        300 IN MX 10 mail
        300 IN MX 20 mail2.example.net.
        IN TXT "v=spf1 mx -all"
        IN TXT "one" "two \\" \\\\ ; \\255"
        IN CAA 0 issue "ca.example.net; a=\\"b\\""
        IN A   192.0.2.1
        IN AAAA 2001:db8::1
        IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1
        IN DNSKEY 257 3 13 ( mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+Gq
        JxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ== )
        IN CDS 1 13 2 {DIGEST}
ns1     60 A   192.0.2.53
ns1     60 AAAA 2001:db8::53
sub     A      192.0.2.54
mail    A      192.0.2.25
mail    TLSA   3 1 1 {DIGEST}
www     CNAME  @
*.wild  MX     10 mail
*.wild  TXT    "" ""
_sip._tcp SRV  0 5 5060 mail
_443._tcp.www TLSA 3 1 1 {DIGEST}
deleg   NS     ns.deleg
deleg   NS     ns9.example.net.
deleg   DS     12345 13 2 {DIGEST}
ns.deleg A     192.0.2.55
alias   DNAME  other.example.
loc     LOC    52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
naptr   NAPTR  10 10 "s" "SIP+D2U" "!^(.*)$!sip:\\\\1@x!" _sip._udp
ssh     SSHFP  4 2 {DIGEST}
uri     URI    10 1 "https://example.com/a;b\\"c"
hinfo   HINFO  "a b" c
rp      RP     host.master txt.rp
afsdb   AFSDB  1 mail
cert    CERT   PKIX 1 8 AQPMskmw
minfo   MINFO  a b.example.net.
mb      MB     mail
eui     EUI48  00-00-5e-00-53-2a
apl     APL    1:192.0.2.0/24 !2:2001:db8::/32
wks     WKS    192.0.2.1 6 25 53
csync   CSYNC  66 3 A NS AAAA
key     OPENPGPKEY AQPMskmw
smime   SMIMEA 3 1 1 {DIGEST}
svcb    SVCB   0 target.example.
raw     TYPE65280 \\# 3 abcdef
raw     TYPE65281 \\# 0
as\\.dot TXT   "a label with a dot"
sp\\032ce\\000\\@ TXT "any byte"
no      A      192.0.2.9
010     A      192.0.2.9
null    TXT    "null"
deep.er.name A 192.0.2.9
"""
"""Every type that NSD, BIND and Knot all read, and every way to write names."""

ODD = f"""\
$ORIGIN example.com.
$TTL 1h
@       SOA NS1 hostmaster 1 2 3 4 5
@       NS  ns1
a       60 A 192.0.2.1
a       5 A 192.0.2.2
a       60 A 192.0.2.2
null    MX 0 .
null    MX 5 mail
loop    CNAME loop2
loop2   CNAME loop
self    CNAME self
mx      MX 10 loop
mx      MX 10 192.0.2.1
mx      MX 10 192.0.2.1.
mx      MX 10 mail.example.com
srv     SRV 0 0 25 loop
sub     NS  ns.sub
sub     TXT "not served"
x.sub   TXT "not served"
*.sub   A   192.0.2.1
ns.sub  A   192.0.2.1
ds      DS  1 8 2 {DIGEST}
@       DS  1 8 2 {DIGEST}
*       TXT "wild"
a.*.b   TXT "an asterisk within"
*a      TXT "a part of a label"
multi   A   224.0.0.1
multi   A   255.255.255.255
multi   AAAA ff02::1
multi   AAAA ::
t       TLSA 4 5 6 00
t       TLSA 3 1 1 00ff
empty   TXT ""
long    2147483647 TXT "x"
zero    0 TXT "x"
@       NSEC3PARAM 1 0 0 -
@       NSEC a A
@       RRSIG A 8 2 3600 20300101000000 20200101000000 1 example.com. AQPMskmw
www.example.net. A 192.0.2.1
"""
"""What others load, and we advise against or leave out."""
