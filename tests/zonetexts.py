"""Zone files that several tests read: the two of the design, and the least that any file has."""

from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone

NAME = "out.example.com"

SHORT = """\
ns: {ns1: 192.0.2.53}
hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12, mta3: 192.0.2.13}
"""

LONG = """\
ttl: 30                                   # of pool answers; min_ttl (5s) is what it may fall to, 0 allowed
record_ttl: 1h                            # of everything else
soa: {mname: ns1, rname: hostmaster, minimum: 30}     # optional; the serial is automatic unless given
ns:
  ns1: [192.0.2.53, "2001:db8::53"]       # in the zone: address records and glue come with it
  ns2.example.net.: []                    # outside: no glue

checks:                                   # `smtp` (port 25) and `tcp` are built in
  smtp: {type: smtp, port: 25, interval: 10s, connect_timeout: 3s, greeting_timeout: 10s,
         rise: 2, fall: 3, fast_interval: 2s, ehlo: probe.out.example.com, starttls: offered}

hosts:                                    # each also gets its own address records: mta1.out.example.com
  mta1: {address: [192.0.2.11, "2001:db8::11"], weight: 50}
  mta2: {address: 192.0.2.12, weight: 30, egress: [203.0.113.12]}   # the IPs its mail leaves from
  mta3: {address: 192.0.2.13, weight: 20, probe: "10.0.0.13:2525"}  # probed elsewhere than dealt
  "mx[01-04]": {address: "198.51.100.[11-14]"}                      # mx01 … mx04, weight 1

pools:
  main:    {hosts: [mta1, mta2, mta3], check: smtp, answers: 2, min_live: 50%, fallback: reserve}
  reserve: {hosts: {"mx*": 10}, check: smtp}          # a pool may give its own weights; globs over host names

records:
  "@":    {A: {pool: main}, AAAA: {pool: main}, MX: {pool: main, preference: 10},
           TXT: "v=spf1 ip4:203.0.113.0/24 ~all"}
  bulk:   {pool: reserve}                 # short for A and AAAA
  in:     {MX: [{pool: main, preference: 10}, {pool: reserve, preference: 20}]}
  static: {ttl: 300, A: [192.0.2.80, 192.0.2.81], CAA: {flags: 0, tag: issue, value: ca.example.net}}
  "*.old": {CNAME: static}
  mta1:   {TXT: "v=spf1 a -all"}          # any type but A, AAAA, CNAME beside a host's own addresses
"""

NS = "ns: {ns1: 192.0.2.53}\n"


def zone_of(text: str) -> Zone:
    """Return the zone of a text that has no errors."""
    parsed = parse_zone(NAME, text.encode(), "zone.yaml")
    assert parsed.zone is not None, "\n".join(map(str, parsed.problems))
    return parsed.zone


def record_of(zone: Zone, owner: str, kind: str) -> tuple[tuple[str, ...], ...]:
    """Return the values of a fixed RRset; none when the zone has none."""
    name = zone.origin if owner == "@" else f"{owner}.{zone.origin}"
    return next((one.values for one in zone.records if (one.owner, one.type) == (name, kind)), ())
