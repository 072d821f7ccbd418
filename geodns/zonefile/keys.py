"""Every key of a zone file but record types: one table for the reader and for the JSON Schema."""

from typing import get_args

from geodns.model import MAX_ANSWERS, Check, CheckType
from geodns.scalars import (
    ADDRESS_SCHEMA,
    ADDRESSES,
    EHLO,
    MIN_LIVE,
    TTL,
    Key,
    Kind,
    Schema,
    choice,
    duration,
    part,
    section,
    whole,
    word,
)
from geodns.shown import MAX_WEIGHT
from geodns.zonefile.juries import JURY_SCHEMA
from geodns.zonefile.loadkinds import FULL, JSON_PATH, METRIC, URL
from geodns.zonefile.wishes import KEYWORDS, MAILBOX, NAME, PATH, PATTERN, PATTERNS, STATUS

PORT = whole(1, 65535, "port")
WEIGHT = whole(0, MAX_WEIGHT, "weight")
_TIMEOUT = duration(0.001, 600)
_SECONDS = duration(0, 2**32 - 1, whole=True)
_INTERVAL = duration(0.1, 86400)
_LEFT = duration(0, 366 * 86400)

SOA: dict[str, Key] = {
    "mname": Key(word("the name of the primary server"), "The primary server; default: the first of `ns`."),
    "rname": Key(
        word("a mailbox, as hostmaster or hostmaster@example.net"),
        "Who is responsible: a mailbox, with an @ or as a name; default: hostmaster.",
    ),
    "serial": Key(whole(0, 2**32 - 1, "serial"), "The serial number; default: automatic."),
    "ttl": Key(TTL, "The TTL of the SOA record itself; default: `record_ttl`."),
    "refresh": Key(_SECONDS, "Seconds between a secondary's checks; default 1h."),
    "retry": Key(_SECONDS, "Seconds until a secondary tries again; default 10m."),
    "expire": Key(_SECONDS, "Seconds after which a secondary gives up; default 7d."),
    "minimum": Key(_SECONDS, "How long resolvers may keep 'no such name' (RFC 2308); default 30s."),
}

CHECK: dict[str, Key] = {
    "type": Key(
        choice(*get_args(CheckType)),
        "The dialogue: smtp, submission, smtps, lmtp, http, https, agent (HAProxy's agent-check), or tcp, "
        "which only connects.",
    ),
    "port": Key(
        PORT, "The TCP port; default by type: 25, submission 587, smtps 465, lmtp 24, http 80, https 443."
    ),
    "source": Key(
        ADDRESSES, "The address to connect from, or one of each family; default: the system's choice."
    ),
    "proxy_protocol": Key(choice("v1", "v2"), "The PROXY header to send before the dialogue; default none."),
    "interval": Key(_INTERVAL, "From one probe's start to the next; default 10s."),
    "fast_interval": Key(_INTERVAL, "The same while a change is pending; default 2s."),
    "connect_timeout": Key(_TIMEOUT, "For the TCP handshake; default 3s."),
    "greeting_timeout": Key(_TIMEOUT, "For the whole greeting; default 10s."),
    "step_timeout": Key(_TIMEOUT, "For each later reply; default 5s."),
    "timeout": Key(_TIMEOUT, "For everything together; default 25s."),
    "rise": Key(whole(1, 1000, "rise"), "Good probes in a row that bring a host up; default 2."),
    "fall": Key(whole(1, 1000, "fall"), "Bad probes that take it down; default 3."),
    "ehlo": Key(EHLO, "The name given in EHLO; default: the server's own."),
    "expect": Key(
        PATTERN, "A regular expression that the greeting's text (http: the body) must match somewhere."
    ),
    "require": Key(KEYWORDS, "EHLO keywords that must be offered, as [SIZE, 8BITMIME]."),
    "starttls": Key(
        choice("ignore", "offered", "verified"),
        "offered: STARTTLS must be offered and its handshake must work; verified: and the certificate good. "
        "Default ignore, of submission offered.",
    ),
    "verify": Key(choice("none", "required"), "required: the certificate must be good; default none."),
    "sni": Key(
        NAME, "The name for TLS and for the certificate; default: `host`, or else the mail host's own."
    ),
    "cert_warning": Key(_LEFT, "Time left of a certificate from which to warn; default 14d."),
    "cert_critical": Key(_LEFT, "Time left of a verified certificate from which the host fails; default 0."),
    "mail_from": Key(MAILBOX, "The sender for `rcpt_to`; default: the null sender."),
    "rcpt_to": Key(MAILBOX, "A recipient that must be taken; no mail is sent."),
    "path": Key(PATH, "What to ask a web server; default /."),
    "host": Key(NAME, "The Host header; default: `sni`, or else the address."),
    "status": Key(STATUS, "Good HTTP status codes, as 200, 2xx or 200-399 (default), or a list of these."),
    "header": Key(
        PATTERNS, "Headers that the response must have, each with a regular expression for its value."
    ),
    "slow": Key(_TIMEOUT, "From EHLO to its 250: from here on an answer is slow; default: none is."),
    "degraded_weight": Key(
        part(0.01, 1), "What a host keeps of its weight while most of its answers are slow; default 0.5."
    ),
    "slowstart": Key(
        duration(0, 86400),
        "In how long a host that comes back from down rises from 5 % to its weight; default 0, at once.",
    ),
}

_MAIL = ("smtp", "submission", "smtps", "lmtp")
_WEB = ("http", "https")
_STARTTLS = ("smtp", "submission", "lmtp")
_IMPLICIT = ("smtps", "https")
_TLS = (*_MAIL, "https")

CHECK_USERS: dict[str, tuple[str, ...]] = {
    "proxy_protocol": (*_MAIL, "tcp", "agent"),
    "greeting_timeout": _MAIL,
    "step_timeout": (*_MAIL, *_WEB, "agent"),
    "ehlo": _MAIL,
    "expect": (*_MAIL, *_WEB),
    "require": _MAIL,
    "starttls": _STARTTLS,
    "slow": _MAIL,
    "degraded_weight": _MAIL,
    "verify": _IMPLICIT,
    "sni": _TLS,
    "cert_warning": _TLS,
    "cert_critical": _TLS,
    "mail_from": _MAIL,
    "rcpt_to": _MAIL,
    "path": _WEB,
    "host": _WEB,
    "status": _WEB,
    "header": _WEB,
}
"""The types that have a use for a key; all have it for those that are not here."""


def objects(keys: dict[str, Key], *required: str) -> Schema:
    """Return the JSON Schema of a mapping with these keys and no others."""
    schema: Schema = {
        "type": "object",
        "properties": {name: {"description": key.says, **key.kind.schema} for name, key in keys.items()},
        "additionalProperties": False,
    }
    return schema | {"required": list(required)} if required else schema


LOAD: dict[str, Key] = {
    "url": Key(URL, "Who is asked, as http://mta1:9154/metrics; without one the load is pushed to the API."),
    "metric": Key(
        METRIC,
        'Which samples of an answer in Prometheus\' format count, as postfix_queue_length{queue="active"}; '
        "several are added up.",
    ),
    "json": Key(JSON_PATH, "Which number of an answer in JSON counts, as queues.active or queues[0].size."),
    "full": Key(FULL, "The value at which the host has as much as it can bear."),
    "floor": Key(part(0.01, 1), "What it keeps of its weight even then; default 10%."),
    "interval": Key(_INTERVAL, "From one question to the next; default 10s."),
    "timeout": Key(_TIMEOUT, "For an answer; default 3s, at most `interval`."),
    "stale": Key(
        duration(1, 7 * 86400),
        "How long a value counts; after that the plain weight does. Default 1m, or three times `interval`.",
    ),
}

HOST: dict[str, Key] = {
    "address": Key(ADDRESSES, "Where it takes mail: one address or a list; ranges as 198.51.100.[11-14]."),
    "weight": Key(WEIGHT, "Its weight in pools that give none of their own; default 1, 0 is never dealt."),
    "egress": Key(ADDRESSES, "The addresses its mail leaves from, if not `address`."),
    "probe": Key(
        Kind(word("where to probe it, as 10.0.0.13:2525").read, ADDRESS_SCHEMA),
        "Where to probe it instead of its addresses, with or without a port.",
    ),
    "load": Key(section(objects(LOAD, "full")), "How busy it may be: its weight falls as that nears `full`."),
}

MAX_LABEL = 23
"""Characters of `name`: with an IPv6 address behind it a label has 63 (RFC 1035 section 2.3.4)."""

HOST_SOURCE: dict[str, Key] = {
    "dns": Key(NAME, "A name: each address that A and AAAA of it give is a host."),
    "file": Key(
        word("the path of a file, or a glob, as hosts.d/*.yaml"),
        "Files with hosts as they stand under `hosts`; relative to the zone file's folder.",
    ),
    "weight": Key(WEIGHT, "Of `dns`: the weight of each host; default 1."),
    "name": Key(
        word("the beginning of the hosts' names, as mta"),
        "Of `dns`: what the hosts' names begin with, as mta in mta-192-0-2-11; default: the first label.",
    ),
    "interval": Key(
        duration(1, 86400), "Of `dns`: from one look-up to the next; default: the answer's TTL, 5s to 5m."
    ),
    "resolver": Key(
        Kind(word("whom to ask, as 10.0.0.53 or 127.0.0.1:8600").read, ADDRESS_SCHEMA),
        "Of `dns`: whom to ask, with or without a port; default: what /etc/resolv.conf says.",
    ),
}

POOL: dict[str, Key] = {
    "hosts": Key(
        section(
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}},
                    {"type": "object", "additionalProperties": WEIGHT.schema},
                ]
            }
        ),
        "Names, ranges or globs of hosts; as a mapping each with its weight in this pool.",
    ),
    "check": Key(
        section(JURY_SCHEMA),
        "What judges its hosts: a check, [a, b] when all must pass, {any_of: [a, b]}, or "
        "{need: 2, of: [a, b, c]}; without one they are always up.",
    ),
    "answers": Key(whole(1, MAX_ANSWERS, "answers"), "How many hosts an answer names; default 2."),
    "min_live": Key(
        MIN_LIVE, "What must be live for the fallback to stay out: a count or a share of weight; default 50%."
    ),
    "fallback": Key(word("the name of a pool"), "The pool that helps out."),
    "fallback_mode": Key(
        choice("add", "replace"), "add the fallback's hosts to the survivors (default), or replace these."
    ),
    "when_down": Key(
        choice("serve-all", "servfail"), "With nobody live: deal everybody (default), or answer SERVFAIL."
    ),
    "max_out": Key(
        MIN_LIVE,
        "How many hosts may be out by quarantines that programs give, those down counted in: a count or a "
        "share; default 50%.",
    ),
    "hold": Key(
        duration(0, 3600),
        "How long verdicts are held when most of four or more hosts fail at once: the prober may be cut off; "
        "default 30s.",
    ),
}


def _named(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


_ADDRESSES_OR_NONE: Schema = {"anyOf": [*ADDRESSES.schema["anyOf"], {"type": "null"}]}

_DNS = {name: key for name, key in HOST_SOURCE.items() if name != "file"}
_SOURCE: Schema = {"anyOf": [objects(_DNS, "dns"), objects({"file": HOST_SOURCE["file"]}, "file")]}

ZONE: dict[str, Key] = {
    "ttl": Key(TTL, "TTL of answers that are dealt; default 30s."),
    "min_ttl": Key(TTL, "What that may fall to while hosts fail; default 5s, 0 allowed."),
    "record_ttl": Key(TTL, "TTL of everything else; default 1h."),
    "retire": Key(
        duration(0, 30 * 86400), "How long a host taken out of the file answers for its name; default 1h."
    ),
    "soa": Key(section(objects(SOA)), "What the SOA says, where that is not the default."),
    "ns": Key(
        section(_named(_ADDRESSES_OR_NONE)),
        "Name servers: those in the zone with their addresses, those outside with [].",
    ),
    "checks": Key(
        section(_named(objects(CHECK))), "How hosts are judged; one of each type but agent is built in."
    ),
    "hosts": Key(
        section(_named({"anyOf": [*ADDRESSES.schema["anyOf"], objects(HOST, "address")]})),
        "The mail hosts by their labels; ranges as mx[01-04].",
    ),
    "hosts_from": Key(
        section({"anyOf": [_SOURCE, {"type": "array", "items": _SOURCE, "minItems": 1}]}),
        "Where further hosts come from, which join and leave while the server runs.",
    ),
    "pools": Key(section(_named(objects(POOL, "hosts"))), "Hosts that are dealt together."),
    "records": Key(section({"type": "object"}), "Owner names and what they answer; @ is the zone itself."),
}

DEFAULT_CHECK = Check(name="smtp")
