"""What a zone file says, as frozen models: zone, host, pool, check, record, rule.

Names of hosts, pools and checks are the short ones of the file. Owner names and names in record data are
absolute, in lower case and end in a dot (``mta1.out.example.com.``); a zone's own name has none
(``out.example.com``), like its file. Times are whole or fractional seconds.
"""

from geodns.model.base import FAMILIES, Address, Family, Frozen, Seconds, Ttl, family_of
from geodns.model.checks import BUILT_IN_CHECKS, PORTS, Check, CheckType, Jury, Target
from geodns.model.load import Load, Matcher, Metric
from geodns.model.sources import DnsSource, FileSource, HostSource, Origin
from geodns.model.zone import (
    MAX_ANSWERS,
    Endpoint,
    Host,
    Member,
    MinLive,
    NameServer,
    Pool,
    Record,
    Rule,
    Soa,
    Tier,
    Zone,
    target_of,
)

__all__ = [
    "BUILT_IN_CHECKS",
    "FAMILIES",
    "MAX_ANSWERS",
    "PORTS",
    "Address",
    "Check",
    "CheckType",
    "DnsSource",
    "Endpoint",
    "Family",
    "FileSource",
    "Frozen",
    "Host",
    "HostSource",
    "Jury",
    "Load",
    "Matcher",
    "Member",
    "Metric",
    "MinLive",
    "NameServer",
    "Origin",
    "Pool",
    "Record",
    "Rule",
    "Seconds",
    "Soa",
    "Target",
    "Tier",
    "Ttl",
    "Zone",
    "family_of",
    "target_of",
]
