"""Every way a zone file can be wrong, with the place that is named and a part of the message.

In the texts below § marks the place; it is taken out before the text is read.
"""

import pytest

from geodns.errors import Problem
from geodns.zonefile.reader import parse_zone
from tests.zonetexts import NAME, NS

HOSTS = NS + "hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}\n"
POOLED = HOSTS + "pools: {main: {hosts: [mta1, mta2]}}\n"
TWO_POOLS = HOSTS + "pools: {a: {hosts: [mta1]}, b: {hosts: [mta2]}}\n"
NAMED = NS + "records:\n"


def marked(text: str) -> tuple[str, tuple[int, int]]:
    before, mark, after = text.partition("§")
    if not mark:
        return text, (0, 0)
    return before + after, (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def problems_of(text: str) -> tuple[Problem, ...]:
    parsed = parse_zone(NAME, text.encode(), "zone.yaml")
    assert (parsed.zone is None) == any(not problem.warning for problem in parsed.problems)
    return parsed.problems


ERRORS = {
    # The file
    "empty file": ("", "the file is empty"),
    "only a comment": ("# nothing\n", "the file is empty"),
    "a list": ("§- a\n- b\n", "not a mapping"),
    "a text": ("§ns\n", "not a mapping"),
    "broken YAML": ("ns: §{ns1: 192.0.2.53\nhosts: {}\n", "no valid YAML"),
    "control character": (NS + "hosts: §\x00\n", "U+0000"),
    "two documents": (NS + "§---\n" + NS, "a second document"),
    "tag": ("ns: §!include ns.yaml\n", "'!include'"),
    "unknown alias": ("ns: §*nowhere\n", "no finished anchor &nowhere"),
    "alias inside itself": ("ns: &a [§*a]\n", "no finished anchor &a"),
    "deep nesting": ("[" * 20 + "§" + "[" * 500, "nested more than 20 deep"),
    "list as a key": (NS + "§[a, b]: c\n", "a list as a key"),
    "duplicate key": (NS + "ttl: 30\n§ttl: 40\n", "duplicate key 'ttl': it stands at line 2"),
    "duplicate host": (NS + "hosts:\n  a: 192.0.2.1\n  §a: 192.0.2.2\n", "duplicate key 'a'"),
    # Keys and numbers
    "unknown key": (NS + "§host: {}\n", "unknown key 'host': did you mean 'hosts'?"),
    "unknown key of a check": (NS + "checks: {smtp: {§risee: 2}}\n", "did you mean 'rise'?"),
    "unknown key of a host": (
        NS + "hosts: {a: {address: 192.0.2.1, §wieght: 2}}\n",
        "did you mean 'weight'?",
    ),
    "unknown key of a pool": (
        HOSTS + "pools: {main: {hosts: [mta1], §answer: 2}}\n",
        "did you mean 'answers'?",
    ),
    "unknown key of the SOA": (NS + "soa: {§minimun: 2}\n", "did you mean 'minimum'?"),
    "unknown type": (NAMED + "  a: {§TXTT: x}\n", "did you mean 'TXT'?"),
    "type in lower case": (NAMED + "  a: {§txt: x}\n", "did you mean 'TXT'?"),
    "key far from any": (NS + "§qqqq: 1\n", "known here: ttl"),
    "bad duration": (NS + "ttl: §fast\n", "'fast' is no duration: write seconds or a unit"),
    "negative duration": (NS + "ttl: §-5\n", "'-5' is no duration"),
    "TTL over 2^31-1": (NS + "ttl: §2147483648\n", "out of range"),
    "TTL not whole": (NS + "ttl: §1.5s\n", "no whole number of seconds"),
    "TTL of a name": (NAMED + "  a: {ttl: §x, A: 192.0.2.1}\n", "'x' is no duration"),
    "min_ttl over ttl": (NS + "ttl: 10\nmin_ttl: §20\n", "min_ttl 20 is over ttl 10"),
    "duration is a list": (NS + "ttl: §[1]\n", "a list where a duration is expected"),
    "nothing behind the colon": (NS + "ttl:§\n", "nothing where a duration is expected"),
    "serial out of range": (NS + "soa: {serial: §4294967296}\n", "out of range"),
    "no mailbox": (NS + 'soa: {rname: §"@example.net"}\n', "no mailbox"),
    # Name servers
    "no name server": ("§hosts: {mta1: 192.0.2.11}\n", "a zone without name servers: write `ns:"),
    "empty ns": ("ns: §{}\n", "a zone without name servers"),
    "outside with address": ("ns: {ns1.example.net.: §192.0.2.1}\n", "outside the zone"),
    "bad address of a server": ("ns: {ns1: §192.0.2.256}\n", "'192.0.2.256' is no address"),
    "server twice": (f"ns: {{ns1: 192.0.2.1, §ns1.{NAME}.: 192.0.2.2}}\n", "is given twice"),
    "server's address twice": ("ns: {ns1: [192.0.2.1, §192.0.2.1]}\n", "given twice"),
    "server's name": ("ns: {ns1: 192.0.2.1, §a..b: 192.0.2.2}\n", "an empty label"),
    # Checks
    "check not a mapping": (NS + "checks: {fast: §tcp}\n", "'tcp' where a check is expected"),
    "check type": (NS + "checks: {web: {type: §ftp}}\n", "write one of: smtp, submission, smtps"),
    "port": (NS + "checks: {smtp: {port: §70000}}\n", "port '70000' is out of range: write 1 to 65535"),
    "rise 0": (NS + "checks: {smtp: {rise: §0}}\n", "rise '0' is out of range"),
    "interval": (NS + "checks: {smtp: {interval: §0}}\n", "out of range"),
    "fast_interval over interval": (
        NS + "checks: {smtp: {interval: 1s, §fast_interval: 2s}}\n",
        "fast_interval 2s is over interval 1s",
    ),
    "step over timeout": (NS + "checks: {smtp: {§greeting_timeout: 60s}}\n", "give `timeout` as well"),
    "starttls of tcp": (
        NS + "checks: {x: {type: tcp, §starttls: offered}}\n",
        "`starttls` in a check of type tcp",
    ),
    "slow": (NS + "checks: {smtp: {slow: §soon}}\n", "'soon' is no duration"),
    "slow over a step": (
        NS + "checks: {smtp: {step_timeout: 2s, §slow: 2s}}\n",
        "slow 2s is not under step_timeout 2s, where it fails: write less",
    ),
    "slow for tcp": (NS + "checks: {x: {type: tcp, §slow: 1s}}\n", "`slow` in a check of type tcp"),
    "degraded_weight": (
        NS + "checks: {smtp: {slow: 1s, degraded_weight: §half}}\n",
        "'half' is no part: write 0.01 to 1, or 1% to 100%",
    ),
    "degraded_weight 0": (NS + "checks: {smtp: {slow: 1s, degraded_weight: §0}}\n", "0 is out of range"),
    "degraded_weight over 1": (NS + "checks: {smtp: {slow: 1s, degraded_weight: §110%}}\n", "out of range"),
    "slowstart": (NS + "checks: {smtp: {slowstart: §2d}}\n", "2d is out of range: write 0s to 86400s"),
    "ehlo of http": (
        NS + "checks: {x: {type: http, §ehlo: a.example}}\n",
        "`ehlo` in a check of type http: it is of smtp, submission, smtps and lmtp: take it out",
    ),
    "path of smtp": (NS + "checks: {smtp: {§path: /}}\n", "it is of http and https: take it out"),
    "starttls of smtps": (
        NS + "checks: {x: {type: smtps, §starttls: offered}}\n",
        "it is of smtp, submission and lmtp: take it out",
    ),
    "verify of smtp": (NS + "checks: {smtp: {§verify: required}}\n", "it is of smtps and https: take it out"),
    "step_timeout of tcp": (NS + "checks: {tcp: {§step_timeout: 1s}}\n", "in a check of type tcp"),
    "agent's name without a port": (NS + "checks: {§agent: {rise: 1}}\n", "give `port`: agents have none"),
    "send in a check of smtp": (NS + "checks: {a: {§send: x}}\n", "`send` in a check of type smtp"),
    "nothing to send": (NS + "checks: {a: {type: agent, port: 1, send: §''}}\n", "has not 1 to 1000 bytes"),
    "agent without a port": (NS + "checks: {§a: {type: agent}}\n", "give `port`: agents have none"),
    "sni without TLS": (
        NS + "checks: {smtp: {§sni: a.example}}\n",
        "`sni` without TLS: write `starttls: offered`",
    ),
    "cert_warning without TLS": (NS + "checks: {smtp: {§cert_warning: 7d}}\n", "`cert_warning` without TLS"),
    "cert_critical unverified": (
        NS + "checks: {smtp: {starttls: offered, §cert_critical: 1d}}\n",
        "a certificate that nobody verifies: write `starttls: verified` as well",
    ),
    "cert_critical unverified of smtps": (
        NS + "checks: {x: {type: smtps, §cert_critical: 1d}}\n",
        "write `verify: required` as well",
    ),
    "cert_critical over cert_warning": (
        NS + "checks: {x: {type: smtps, verify: required, §cert_critical: 30d}}\n",
        "cert_critical 30d is over cert_warning 14d",
    ),
    "rcpt_4xx alone": (NS + "checks: {smtp: {§rcpt_4xx: shed}}\n", "`rcpt_4xx` without `rcpt_to`"),
    "mail_from alone": (NS + "checks: {smtp: {§mail_from: a@b.example}}\n", "`mail_from` without `rcpt_to`"),
    "rcpt_to": (NS + "checks: {smtp: {rcpt_to: §postmaster at home}}\n", "is no mailbox: write a mailbox"),
    "a mailbox with a command": (NS + 'checks: {smtp: {rcpt_to: §"a@b>\\r\\nDATA"}}\n', "is no mailbox"),
    "two sources of one family": (
        NS + "checks: {smtp: {source: [192.0.2.1, §192.0.2.2]}}\n",
        "a second IPv4 address to connect from",
    ),
    "a source that is of one link": (
        NS + 'checks: {smtp: {source: [§"fe80::1", 192.0.2.1]}}\n',
        "fe80::1 is the address of one link, which is not named: write a global one",
    ),
    "slower than the whole probe may be": (
        NS + "checks: {smtp: {timeout: 1s, §slow: 2s}}\n",
        "slow 2s is not under timeout 1s, where it fails: write less",
    ),
    "a source that is none": (NS + "checks: {smtp: {source: §eth0}}\n", "'eth0' is no address"),
    "proxy version": (NS + "checks: {smtp: {proxy_protocol: §v3}}\n", "write one of: v1, v2"),
    "a pattern that repeats too much": (
        NS + "checks: {smtp: {expect: §'((a{1000}){1000}){1000}'}}\n",
        "'((a{1000}){1000}){1000}' repeats too much: count to at most 100,000 in all",
    ),
    "a pattern of pluses in pluses": (
        NS + "checks: {smtp: {expect: §'" + "(" * 20 + "a+" + ")+" * 20 + "'}}\n",
        "repeats too much: count to at most 48,387 in all, with 2 for the + of a group",
    ),
    "a long pattern that repeats too much": (
        NS + "checks: {smtp: {expect: §'(" + "|".join(["mta-in"] * 40) + "){20000}'}}\n",
        "repeats too much: count to at most 10,416 in all",
    ),
    "a broken pattern": (NS + "checks: {smtp: {expect: §'(mta'}}\n", "'(mta' is no regular expression"),
    "a keyword with a parameter": (
        NS + "checks: {smtp: {require: [§SIZE 1000]}}\n",
        "'SIZE 1000' is no EHLO keyword: write EHLO keywords without their parameters",
    ),
    "sni that is no name": (NS + "checks: {x: {type: smtps, sni: §a_b.example}}\n", "is no name of a host"),
    "a path without a slash": (NS + "checks: {x: {type: http, path: §healthz}}\n", "with its first slash"),
    "a status": (NS + "checks: {x: {type: http, status: §20}}\n", "'20' is no HTTP status"),
    "a status backwards": (NS + "checks: {x: {type: http, status: §300-200}}\n", "is no HTTP status"),
    "headers as a list": (NS + "checks: {x: {type: http, header: §[a]}}\n", "no headers of a response"),
    "a header's name": (
        NS + "checks: {x: {type: http, header: {§a b: c}}}\n",
        "'a b' is no name of a header",
    ),
    "ehlo": (NS + 'checks: {smtp: {ehlo: §"a b"}}\n', "no name for EHLO"),
    "a long word in ehlo": (NS + 'checks: {smtp: {ehlo: §"' + "a" * 60 + ' b"}}\n', "no name for EHLO"),
    "a label of over 63 in ehlo": (
        NS + "checks: {smtp: {ehlo: §" + "a" * 64 + ".example}}\n",
        "no name for EHLO",
    ),
    "check's name": (NS + 'checks: {§"a b": {}}\n', "no name for a check"),
    # Hosts
    "bad address": (NS + "hosts: {a: §192.0.2.300}\n", "'192.0.2.300' is no address"),
    "a network": (NS + "hosts: {a: §192.0.2.0/24}\n", "no address"),
    "scoped address": (NS + 'hosts: {a: §"fe80::1%eth0"}\n', "no address"),
    "multicast": (NS + "hosts: {a: §224.0.0.1}\n", "no machine can have the address"),
    "a typo's address": (NS + "hosts: {a: §0.0.0.3}\n", "no machine can have the address"),
    "unquoted IPv6": (NS + "hosts: {a: §2001:db8::11}\n", "quote this address"),
    "unquoted IPv6 read as a key": (NS + "hosts: {a: [§2001:db8::]}\n", "quote this address"),
    "unquoted IPv6 as the host": (NS + "hosts: {a: §{2001:db8:: }}\n", "quote this address"),
    "no address": (NS + "hosts: {a: §{weight: 3}}\n", "a host without an address"),
    "empty host": (NS + "hosts:\n  a:§\n  b: 192.0.2.1\n", "a host without an address"),
    "empty list": (NS + "hosts: {a: §[]}\n", "a host without an address"),
    "address twice": (NS + "hosts: {a: [192.0.2.1, §192.0.2.1]}\n", "given twice"),
    "negative weight": (
        NS + "hosts: {a: {address: 192.0.2.1, weight: §-1}}\n",
        "weight '-1' is out of range",
    ),
    "half a weight": (NS + "hosts: {a: {address: 192.0.2.1, weight: §1.5}}\n", "no whole number"),
    "weight in words": (NS + "hosts: {a: {address: 192.0.2.1, weight: §many}}\n", "no whole number"),
    "weight beyond all": (
        NS + f"hosts: {{a: {{address: 192.0.2.1, weight: §{'9' * 5000}}}}}\n",
        "out of range",
    ),
    "probe": (NS + 'hosts: {a: {address: 192.0.2.1, probe: §"10.0.0.1:99999"}}\n', "no place to probe"),
    "host's name": (NS + "hosts: {§a_b: 192.0.2.1}\n", "no name for a host"),
    "host's name with dots": (NS + "hosts: {§a.b: 192.0.2.1}\n", "write one label"),
    "host's name not in a domain name": (NS + "hosts: {§bü_r: 192.0.2.1}\n", "or the punycode form"),
    "hosts is a list": (NS + "hosts: §[192.0.2.1]\n", "a list where a mapping of hosts is expected"),
    "range count": (NS + 'hosts: {"mx[1-4]": §"192.0.2.[1-3]"}\n', "stands for 3 of 4 hosts' addresses"),
    "range without range": (NS + 'hosts: {"mx[1-4]": §192.0.2.1}\n', "stands for 1 of 4"),
    "range backwards": (NS + 'hosts: {§"mx[4-1]": 192.0.2.1}\n', "runs backwards"),
    "range out of bounds": (NS + 'hosts: {"m[1-2]": §"192.0.2.[255-256]"}\n', "'192.0.2.256' is no address"),
    "range collides": (
        NS + 'hosts: {mx2: 192.0.2.9, §"mx[1-3]": "192.0.2.[1-3]"}\n',
        "host 'mx2' is given twice",
    ),
    "range unfinished": (NS + 'hosts: {§"mx[1-": 192.0.2.1}\n', "a range that cannot be read"),
    "two ranges": (NS + 'hosts: {§"mx[1-2]-[1-2]": 192.0.2.1}\n', "has 2 ranges: one is allowed"),
    "range of letters": (NS + 'hosts: {§"mx[a-c]": 192.0.2.1}\n', "letters in its range"),
    "range too long": (NS + 'hosts: {§"mx[1-99999999]": 192.0.2.1}\n', "99,999,999 names: at most 10,000"),
    "range of two widths": (NS + 'hosts: {§"mx[01-100]": 192.0.2.1}\n', "ends of different width"),
    "range of addresses backwards": (NS + 'hosts: {"m[1-2]": §"192.0.2.[2-1]"}\n', "runs backwards"),
    "no host has weight": (
        NS + "§hosts: {a: {address: 192.0.2.1, weight: 0}}\n",
        "no host of the pool has weight",
    ),
    "range of probes": (
        NS + 'hosts: {"m[1-2]": {address: "192.0.2.[1-2]", probe: §"10.0.0.[1-3]"}}\n',
        "stands for 3 of 2",
    ),
    # Pools
    "host that is not": (
        HOSTS + "pools: {main: {hosts: [mta1, §mta3]}}\n",
        "no host is called 'mta3': did you mean",
    ),
    "glob of nothing": (HOSTS + 'pools: {main: {hosts: [§"mx*"]}}\n', "matches no host"),
    "range in a pool": (HOSTS + 'pools: {main: {hosts: [§"mta[1-3]"]}}\n', "no host is called 'mta3'"),
    "broken range in a pool": (HOSTS + 'pools: {main: {hosts: [§"mta[3-1]"]}}\n', "runs backwards"),
    "hold": (HOSTS + "pools: {main: {hosts: [mta1], hold: §2h}}\n", "2h is out of range: write 0s to 3600s"),
    "checks, one that is not": (
        HOSTS + "pools: {main: {hosts: [mta1], check: [smtp, §tcpp]}}\n",
        "did you mean 'tcp'?",
    ),
    "check twice": (HOSTS + "pools: {main: {hosts: [mta1], check: [smtp, §smtp]}}\n", "is named twice"),
    "a check called none": (NS + "checks: {§none: {rise: 1}}\n", "a check cannot be called `none`"),
    "none beside a check": (
        HOSTS + "pools: {main: {hosts: [mta1], check: [smtp, §none]}}\n",
        "`none` among checks: write `check: none`, or the checks alone",
    ),
    "no checks": (HOSTS + "pools: {main: {hosts: [mta1], check: §[]}}\n", "a pool's `check` without a check"),
    "check in a list in a list": (
        HOSTS + "pools: {main: {hosts: [mta1], check: [§[smtp]]}}\n",
        "where a check's name is expected",
    ),
    "need too many": (
        HOSTS + "pools: {main: {hosts: [mta1], check: {need: §3, of: [smtp, tcp]}}}\n",
        "need 3 of 2 checks: write at most 2",
    ),
    "need none": (
        HOSTS + "pools: {main: {hosts: [mta1], check: {need: §0, of: [smtp, tcp]}}}\n",
        "need '0' is out of range: write 1 to 16",
    ),
    "need of what": (
        HOSTS + "pools: {main: {hosts: [mta1], check: §{need: 1}}}\n",
        "which checks a pool needs",
    ),
    "of without need": (
        HOSTS + "pools: {main: {hosts: [mta1], check: §{of: [smtp, tcp]}}}\n",
        "`of` without `need`: write a name, [a, b] when all must pass",
    ),
    "any_of and need": (
        HOSTS + "pools: {main: {hosts: [mta1], check: §{any_of: [smtp, tcp], need: 1}}}\n",
        "any_of is a need of 1",
    ),
    "any of": (
        HOSTS + "pools: {main: {hosts: [mta1], check: {§anyof: [smtp, tcp]}}}\n",
        "did you mean 'any_of'?",
    ),
    "too many checks": (
        HOSTS + f"pools: {{main: {{hosts: [mta1], check: §[{', '.join(['smtp'] * 17)}]}}}}\n",
        "17 checks for one pool: name at most 16",
    ),
    "check that is not": (HOSTS + "pools: {main: {hosts: [mta1], check: §smpt}}\n", "did you mean 'smtp'?"),
    "fallback that is not": (
        POOLED.replace("]}", "], fallback: §mian}"),
        "no pool is called 'mian': did you mean 'main'?",
    ),
    "fallback to itself": (POOLED.replace("]}", "], fallback: §main}"), "a loop of fallbacks: main → main"),
    "fallback loop": (
        HOSTS + "pools:\n  a: {hosts: [mta1], fallback: §b}\n  b: {hosts: [mta2], fallback: a}\n",
        "a loop of fallbacks: a → b → a",
    ),
    "pool without hosts": (HOSTS + "pools: {§main: {answers: 2}}\n", "pool 'main' has no `hosts`"),
    "pool with no host": (HOSTS + "pools: {main: {hosts: §[]}}\n", "a pool without hosts"),
    "pool without weight": (
        HOSTS + "pools: {main: {hosts: §{mta1: 0, mta2: 0}}}\n",
        "no host of this pool has weight",
    ),
    "pool's weight": (
        HOSTS + "pools: {main: {hosts: {mta1: §-3, mta2: 1}}}\n",
        "weight '-3' is out of range",
    ),
    "host twice": (HOSTS + "pools: {main: {hosts: [mta1, §mta1]}}\n", "stands in the pool twice"),
    "globs that disagree": (
        HOSTS + 'pools: {main: {hosts: {"mta*": 1, §"*1": 2}}}\n',
        "'mta*' and '*1' give host 'mta1' different weights",
    ),
    "answers 0": (HOSTS + "pools: {main: {hosts: [mta1], answers: §0}}\n", "answers '0' is out of range"),
    "answers 33": (HOSTS + "pools: {main: {hosts: [mta1], answers: §33}}\n", "write 1 to 32"),
    "percentage": (
        HOSTS + "pools: {main: {hosts: [mta1], min_live: §101%, fallback: b}, b: {hosts: [mta2]}}\n",
        "101% is out of range: write 0% to 100%",
    ),
    "percentage in words": (
        HOSTS + "pools: {main: {hosts: [mta1], min_live: §half, fallback: b}, b: {hosts: [mta2]}}\n",
        "no number of hosts and no percentage",
    ),
    "min_live over hosts": (
        HOSTS + "pools: {main: {hosts: [mta1], min_live: §2, fallback: b}, b: {hosts: [mta2]}}\n",
        "min_live 2 is over the pool's 1 hosts",
    ),
    "when_down": (
        HOSTS + "pools: {main: {hosts: [mta1], when_down: §nothing}}\n",
        "write one of: serve-all, servfail",
    ),
    # Names
    "outside the zone": (NAMED + "  §www.example.net.: {A: 192.0.2.1}\n", "outside the zone"),
    "outside by a dot of a label": (
        NAMED + "  §'www\\.out.example.com.': {A: 192.0.2.1}\n",
        "outside the zone",
    ),
    "owner with a backslash at its end": (NAMED + "  §'www\\': {A: 192.0.2.1}\n", "ends in a backslash"),
    "target with a backslash at its end": (NAMED + "  a: {CNAME: §'www\\'}\n", "ends in a backslash"),
    "label over 63": (NAMED + f"  §{'a' * 64}: {{A: 192.0.2.1}}\n", "a label of 64 bytes"),
    "name over 255": (NAMED + f"  §{'.'.join(['a' * 60] * 4)}: {{A: 192.0.2.1}}\n", "at most 255"),
    "empty label": (NAMED + "  §a..b: {A: 192.0.2.1}\n", "an empty label"),
    "not in a domain name": (NAMED + "  §a.bü☎: {A: 192.0.2.1}\n", "or the punycode form"),
    "name twice": (
        NAMED + f"  a: {{A: 192.0.2.1}}\n  §A.{NAME}.: {{TXT: x, A: 192.0.2.2}}\n",
        "is given twice",
    ),
    "name without records": (NAMED + "  a: §{}\n", "a name without records"),
    "name is a list": (NAMED + "  a: §[192.0.2.1]\n", "a list where a mapping of types is expected"),
    "octoDNS's type": (NAMED + "  a: {§type: A, A: 192.0.2.1}\n", "octoDNS's"),
    "SOA among records": (NAMED + '  "@": {§SOA: x}\n', "write it under `soa`"),
    "NS at the apex": (NAMED + '  "@": {§NS: ns9.example.net.}\n', "list its name servers under `ns`"),
    # Values
    "IPv6 under A": (NAMED + '  a: {A: §"2001:db8::1"}\n', "write it under AAAA"),
    "IPv4 under AAAA": (NAMED + "  a: {AAAA: §192.0.2.1}\n", "write it under A"),
    "unquoted AAAA": (NAMED + "  a: {AAAA: §2001:db8::1}\n", "quote this address"),
    "unquoted AAAA read as a key": (NAMED + "  a: {AAAA: [§2001:db8::]}\n", "quote this address"),
    "value twice": (NAMED + "  a: {A: [192.0.2.1, §192.0.2.1]}\n", "given twice"),
    "no value": (NAMED + "  a: {A: §[]}\n", "A without a value"),
    "only a ttl": (NAMED + "  a: {A: §{ttl: 5}}\n", "A without a value"),
    "list in a list": (NAMED + "  a: {A: [§[192.0.2.1]]}\n", "a list in a list"),
    "value in value": (NAMED + "  a: {A: {value: §{value: 192.0.2.1}}}\n", "`value` in `value`"),
    "unknown key beside value": (NAMED + "  a: {A: {value: 192.0.2.1, §tttl: 5}}\n", "did you mean 'ttl'?"),
    "empty mapping": (NAMED + "  a: {A: §{}}\n", "A without a value"),
    "unquoted AAAA as a mapping": (NAMED + "  a:\n    AAAA:\n      §2001:db8:: \n", "quote this address"),
    "unknown key of a value": (NAMED + "  a: {A: {§valu: 192.0.2.1}}\n", "did you mean 'value'?"),
    "mixed TTLs": (
        NAMED + "  a: {A: [{ttl: 60, value: 192.0.2.1}, {ttl: 30, value: §192.0.2.2}]}\n",
        "mixed TTLs in A of a.out.example.com.: 60 and 30",
    ),
    "TTL on one value only": (NAMED + "  a: {A: [{ttl: 60, value: 192.0.2.1}, §192.0.2.2]}\n", "mixed TTLs"),
    "MX preference": (NAMED + "  a: {MX: §70000 mail.example.net.}\n", "preference '70000' is out of range"),
    "MX without preference": (NAMED + "  a: {MX: §mail.example.net.}\n", "preference, exchange"),
    "MX field missing": (NAMED + "  a: {MX: §{exchange: mail.example.net.}}\n", "MX without `preference`"),
    "MX to an address": (
        NAMED + "  a: {MX: §10 192.0.2.1}\n",
        "the address '192.0.2.1' where a name is needed",
    ),
    "SRV port": (NAMED + "  a: {SRV: §0 0 70000 mail.example.net.}\n", "port '70000' is out of range"),
    "SRV port as a field": (
        NAMED + "  a: {SRV: {priority: 0, weight: 0, port: §-1, target: m.example.net.}}\n",
        "port '-1' is out of range",
    ),
    "CAA flags": (NAMED + "  a: {CAA: §256 issue ca.example.net}\n", "flags '256' is out of range"),
    "CAA tag": (NAMED + "  a: {CAA: {tag: §is-sue, value: x}}\n", "no CAA tag"),
    "CAA value": (NAMED + "  a: {CAA: {tag: issue, value: §é}}\n", "no CAA value"),
    "unknown field": (
        NAMED + "  a: {MX: {preference: 1, exchange: b.example.net., §weight: 2}}\n",
        "unknown key 'weight'",
    ),
    "TLSA data": (NAMED + "  a: {TLSA: §3 1 0 xyz}\n", "no hexadecimal data"),
    "TXT quotes": (NAMED + "  a: {TXT: §'\"open'}\n", "quotation marks do not come out even"),
    "TXT backslash": (NAMED + "  a: {TXT: §a\\}\n", "nothing follows the backslash"),
    "TXT too long": (NAMED + f"  a: {{TXT: §{'x' * 66_000}}}\n", "does not fit a DNS message"),
    "target's label": (NAMED + f"  a: {{CNAME: §{'b' * 64}.example.net.}}\n", "a label of 64 bytes"),
    # Pools under records
    "pool that is not": (HOSTS + "records: {bulk: {pool: §mian}}\n", "did you mean 'main'?"),
    "pool beside A": (HOSTS + "records: {b: {§pool: main, A: 192.0.2.1}}\n", "`pool` beside A"),
    "pool under SRV without a port": (
        HOSTS + "records: {b: {SRV: §{pool: main}}}\n",
        "a pool under SRV without its `port`: write it, as {pool: main, port: 587}",
    ),
    "pool under SRV with a preference": (
        HOSTS + "records: {b: {SRV: {pool: main, port: 25, §preference: 1}}}\n",
        "unknown key 'preference'",
    ),
    "pool under SRV with a weight": (
        HOSTS + "records: {b: {SRV: {pool: main, port: 25, §weight: 1}}}\n",
        "unknown key 'weight'",
    ),
    "pool under SRV at port 0": (
        HOSTS + "records: {b: {SRV: {pool: main, port: §0}}}\n",
        "port '0' is out of range",
    ),
    "pools under SRV without priorities": (
        HOSTS + "pools: {x: {hosts: mta1}, y: {hosts: mta1}}\n"
        "records: {b: {SRV: [§{pool: x, port: 25}, {pool: y, port: 26, priority: 2}]}}\n",
        "a pool without its `priority` among several",
    ),
    "pool under SRV twice": (
        HOSTS + "records: {b: {SRV: [{pool: main, port: 25, priority: 1}, "
        "§{pool: main, port: 26, priority: 2}]}}\n",
        "one pool at several priorities",
    ),
    "pool under TXT": (
        HOSTS + "records: {b: {TXT: §{pool: main}}}\n",
        "pools answer for A, AAAA, MX and SRV",
    ),
    "pool and value": (HOSTS + "records: {b: {A: §[{pool: main}, 192.0.2.1]}}\n", "pools and fixed values"),
    "two pools under A": (
        TWO_POOLS + "records: {c: {A: [{pool: a}, §{pool: b}]}}\n",
        "several pools under A",
    ),
    "pool's preference": (
        HOSTS + "records: {b: {MX: {pool: main, preference: §-1}}}\n",
        "preference '-1' is out of range",
    ),
    "preference under A": (
        HOSTS + "records: {b: {A: {pool: main, §preference: 1}}}\n",
        "unknown key 'preference'",
    ),
    "preferences missing": (
        TWO_POOLS + "records: {c: {MX: [§{pool: a}, {pool: b, preference: 5}]}}\n",
        "without its `preference`",
    ),
    "one pool at two preferences": (
        HOSTS + "records: {b: {MX: [{pool: main, preference: 1}, §{pool: main, preference: 2}]}}\n",
        "one pool at several preferences",
    ),
    "no pool at all": (NAMED + "  a: {pool: §main}\n", "no pool is called 'main': there are none"),
    # Between names
    "A at a host's name": (HOSTS + "records: {mta1: {§A: 192.0.2.99}}\n", "is the address of host 'mta1'"),
    "CNAME at a host's name": (
        HOSTS + "records: {mta1: {§CNAME: mta2}}\n",
        "CNAME of mta1.out.example.com. beside other data: A, the addresses of host 'mta1'",
    ),
    "pool at a host's name": (HOSTS + "records: {mta1: {§A: {pool: main}}}\n", "host 'mta1'"),
    "A at a name server": (NAMED + "  ns1: {§A: 192.0.2.99}\n", "is the address of name server 'ns1'"),
    "host and name server": (NS + "hosts: {§ns1: 192.0.2.99}\n", "is the address of name server 'ns1'"),
    "CNAME beside data": (NAMED + "  a: {TXT: x, §CNAME: b.example.net.}\n", "beside other data: TXT"),
    "CNAME at the apex": (NAMED + '  "@": {§CNAME: b.example.net.}\n', "CNAME at the zone's own name"),
    "two CNAMEs": (NAMED + "  a: {CNAME: §[b.example.net., c.example.net.]}\n", "an alias has one target"),
    "host below a DNAME": (
        NS
        + "hosts: {§mta1: 192.0.2.1}\nrecords: {'@': {DNAME: b.example.net., A: 192.0.2.2}, ns1: {TXT: x}}\n",
        "A of mta1.out.example.com. lies below the DNAME",
    ),
    "pool below a delegation": (
        HOSTS + "records: {sub: {NS: ns.example.net.}, a.sub: {§A: {pool: main}}}\n",
        "A of a.sub.out.example.com. lies at or below the delegation",
    ),
    "host at a delegation": (
        NS + "hosts: {§sub: 192.0.2.1}\nrecords: {sub: {NS: ns.example.net.}}\n",
        "A of sub",
    ),
}


@pytest.mark.parametrize(("text", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_is_named_with_its_place(text: str, message: str) -> None:
    text, place = marked(text)
    errors = [problem for problem in problems_of(text) if not problem.warning]
    assert [(problem.line, problem.column) for problem in errors] == [place], list(map(str, errors))
    assert message in str(errors[0])
    assert errors[0].instead
    assert "\n" not in str(errors[0])


WARNINGS = {
    "unused pool": (HOSTS + "pools: {§main: {hosts: [mta1, mta2]}}\n", "no name deals pool 'main'"),
    "degraded_weight without slow": (
        HOSTS + "checks: {smtp: {§degraded_weight: 0.2}}\npools: {main: {hosts: '*', check: smtp}}\n"
        "records: {a: {pool: main, MX: {pool: main}}}\n",
        "`degraded_weight` without `slow` has no effect",
    ),
    "unused check": (NS + "checks: {§fast: {interval: 1s}}\n", "no pool uses check 'fast'"),
    "unused host": (
        NS
        + "hosts: {a: 192.0.2.1, §b: 192.0.2.2}\npools: {m: {hosts: [a]}}\nrecords: {m: {MX: {pool: m}}}\n",
        "no pool has host 'b'",
    ),
    "shared address": (
        NS + 'hosts: {a: 192.0.2.1, §b: 192.0.2.1}\nrecords: {"@": {MX: {pool: main}}}\n',
        "hosts 'a' and 'b' have the address 192.0.2.1",
    ),
    "-all alone": (
        HOSTS + 'records: {"@": {MX: {pool: main}, §TXT: "v=spf1 -all"}}\n',
        "its SPF record `-all`",
    ),
    "no MX": (
        HOSTS + 'records: {b: {§pool: main}, "@": {A: 192.0.2.1}}\n',
        "b.out.example.com. has pool addresses and no MX",
    ),
    "no MX in the shortest zone": (
        NS + "§hosts: {mta1: 192.0.2.11}\n",
        "out.example.com. has pool addresses and no MX",
    ),
    "min_live without fallback": (
        HOSTS + 'pools: {m: {hosts: [mta1, mta2], min_live: §1}}\nrecords: {"@": {MX: {pool: m}}}\n',
        "`min_live` without a `fallback`",
    ),
    "MX to nowhere": (
        NAMED + '  a: {§MX: "10 mail.example.net"}\n',
        "points at mail.example.net.out.example.com.",
    ),
    "NS to nowhere": (
        NAMED + "  sub: {§NS: ns.sub}\n",
        "points at ns.sub.out.example.com., which has no address",
    ),
    "alias of nothing": (NAMED + "  a: {§CNAME: b}\n", "alias of b.out.example.com., which does not exist"),
    "forgotten dot of an owner": (NAMED + f"  §a.{NAME}: {{A: 192.0.2.1}}\n", f"write 'a.{NAME}.'"),
    "forgotten dot of a target": (NAMED + f"  a: {{PTR: §b.{NAME}}}\n", f"write 'b.{NAME}.'"),
    # What other servers load, and serve or leave out
    "inside without address": ("§ns: {ns1: []}\n", "which has no address"),
    "wildcard server": ('ns: {ns1: 192.0.2.1, §"*": 192.0.2.2}\n', "is a wildcard"),
    "wildcard inside": (NAMED + '  §"a.*": {A: 192.0.2.1}\n', "is no wildcard"),
    "DS digest's length": (NAMED + "  a: {DS: §1 8 2 abcd, NS: b.example.net.}\n", "that has 32 bytes"),
    "null MX beside others": (
        NAMED + '  a: {MX: §["0 .", "10 mail.example.net."]}\n',
        "a null MX beside others",
    ),
    "TLSA usage": (NAMED + "  a: {TLSA: §4 1 0 00}\n", "certificate_usage 4 means nothing yet"),
    "TLSA digest's length": (
        NAMED + "  a: {TLSA: §3 1 1 00ff}\n",
        "a digest of 2 bytes does not go with type 1",
    ),
    "CNAME to itself": (NAMED + "  a: {§CNAME: a}\n", "a loop of aliases"),
    "CNAME loop": (NAMED + "  a: {CNAME: b}\n  b: {CNAME: c}\n  c: {§CNAME: a}\n", "a loop of aliases"),
    "CNAME loop of a wildcard": (NAMED + '  "*.a": {§CNAME: b.a}\n', "a loop of aliases"),
    "MX to an alias": (
        NAMED + '  c: {CNAME: m.example.net.}\n  a: {§MX: "10 c"}\n',
        "MX of a.out.example.com. points at the alias c.out.example.com.",
    ),
    "NS to an alias": (NAMED + "  c: {CNAME: m.example.net.}\n  a: {§NS: c}\n", "points at the alias"),
    "SRV to an alias": (
        NAMED + '  c: {CNAME: m.example.net.}\n  a: {§SRV: "0 0 25 c"}\n',
        "points at the alias",
    ),
    "data below a delegation": (
        NAMED + "  sub: {NS: ns.example.net.}\n  a.sub: {§TXT: x}\n",
        "TXT of a.sub.out.example.com. lies at or below the delegation of sub.out.example.com.",
    ),
    "data below a delegation, escaped": (
        NAMED + "  sub: {NS: ns.example.net.}\n  a\\.b.sub: {§TXT: x}\n",
        "at or below the delegation",
    ),
    "data at a delegation": (NAMED + "  sub: {NS: ns.example.net., §TXT: x}\n", "at or below the delegation"),
    "data below a DNAME": (
        NAMED + "  a: {DNAME: b.example.net., TXT: x}\n  c.b.a: {§TXT: x}\n",
        "TXT of c.b.a.out.example.com. lies below the DNAME of a.out.example.com.: it is not served",
    ),
    "DS at the zone's own name": (NAMED + f'  "@": {{§DS: 1 8 2 {"00" * 32}}}\n', "into the parent zone"),
    "a multicast address": (NAMED + "  a: {A: §224.0.0.1}\n", "no machine can have the address 224.0.0.1"),
    "MX to an address as a name": (NAMED + "  a: {MX: §10 192.0.2.1.}\n", "the address '192.0.2.1.'"),
    "wildcard delegation": (NAMED + '  "*": {§NS: ns.example.net.}\n', "wildcard"),
}


@pytest.mark.parametrize(("text", "message"), WARNINGS.values(), ids=WARNINGS.keys())
def test_what_is_only_advised_against_is_a_warning(text: str, message: str) -> None:
    text, place = marked(text)
    found = problems_of(text)
    assert [(problem.line, problem.column) for problem in found] == [place], list(map(str, found))
    assert found[0].warning
    assert "warning" in str(found[0])
    assert message in str(found[0])


def test_all_problems_are_reported_in_the_order_of_the_file() -> None:
    found = problems_of(
        """\
ttl: x
ns: {ns1: 1}
hosts: {a: 2, b: {address: 3, wight: 4}}
records: {a: {A: y}, "@": {A: 192.0.2.1}}
recordz: {}
"""
    )
    errors = [(problem.line, problem.column) for problem in found if not problem.warning]
    assert errors == [(1, 6), (2, 11), (3, 12), (3, 28), (3, 31), (4, 18), (5, 1)]


def test_invalid_utf8_is_placed() -> None:
    parsed = parse_zone(NAME, NS.encode() + b"ttl: 3\xff\n", "zone.yaml")
    assert [str(problem) for problem in parsed.problems] == [
        "zone.yaml:2:7: invalid UTF-8, byte 0xff: save the file as UTF-8"
    ]


@pytest.mark.parametrize(
    "name", ["b\u00fc_cher.example", "a..b", "-a.example", "", "a b", "x" * 64, ".".join(["a" * 60] * 5)]
)
def test_a_file_must_be_called_like_a_zone(name: str) -> None:
    parsed = parse_zone(name, NS.encode(), "zone.yaml")
    assert parsed.zone is None
    assert "the file's name" in str(parsed.problems[0])


def test_a_broken_host_is_not_reported_again_where_it_is_used() -> None:
    found = problems_of(NS + "hosts: {a: x}\npools: {m: {hosts: [a]}}\nrecords: {m: {MX: {pool: m}}}\n")
    assert [problem.line for problem in found] == [2]


def test_an_alias_bomb_is_one_problem() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    for before, here in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{here}: &{here} [{','.join([f'*{before}'] * 10)}]")
    (found,) = problems_of("\n".join(lines))
    assert "aliases that expand to more than 100,000 values" in found.what


def test_a_target_below_a_delegation_is_its_servers_business() -> None:
    assert problems_of(NAMED + '  sub: {NS: ns.example.net.}\n  a: {MX: "10 m.sub"}\n') == ()


def test_half_a_character_is_refused() -> None:
    (found,) = problems_of(NS + 'ttl: "\\ud800"\n')
    assert found.line == 2
    assert not found.warning
