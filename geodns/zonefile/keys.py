"""Every key of a zone file but record types: one table for the reader and for the JSON Schema."""

from geodns.model import MAX_ANSWERS, Check
from geodns.scalars import (
    ADDRESS_SCHEMA,
    ADDRESSES,
    EHLO,
    MAX_WEIGHT,
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
from geodns.zonefile.juries import JURY_SCHEMA

PORT = whole(1, 65535, "port")
WEIGHT = whole(0, MAX_WEIGHT, "weight")
_TIMEOUT = duration(0.001, 600)
_SECONDS = duration(0, 2**32 - 1, whole=True)
_INTERVAL = duration(0.1, 86400)

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
    "type": Key(choice("smtp", "tcp"), "The dialogue: smtp, or tcp, which only connects."),
    "port": Key(PORT, "The TCP port; default 25."),
    "interval": Key(_INTERVAL, "From one probe's start to the next; default 10s."),
    "fast_interval": Key(_INTERVAL, "The same while a change is pending; default 2s."),
    "connect_timeout": Key(_TIMEOUT, "For the TCP handshake; default 3s."),
    "greeting_timeout": Key(_TIMEOUT, "For the whole greeting; default 10s."),
    "step_timeout": Key(_TIMEOUT, "For each later reply; default 5s."),
    "timeout": Key(_TIMEOUT, "For everything together; default 25s."),
    "rise": Key(whole(1, 1000, "rise"), "Good probes in a row that bring a host up; default 2."),
    "fall": Key(whole(1, 1000, "fall"), "Bad probes that take it down; default 3."),
    "ehlo": Key(EHLO, "The name given in EHLO; default: the server's own."),
    "starttls": Key(
        choice("ignore", "offered"), "offered: STARTTLS must be offered and its handshake must work."
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

HOST: dict[str, Key] = {
    "address": Key(ADDRESSES, "Where it takes mail: one address or a list; ranges as 198.51.100.[11-14]."),
    "weight": Key(WEIGHT, "Its weight in pools that give none of their own; default 1, 0 is never dealt."),
    "egress": Key(ADDRESSES, "The addresses its mail leaves from, if not `address`."),
    "probe": Key(
        Kind(word("where to probe it, as 10.0.0.13:2525").read, ADDRESS_SCHEMA),
        "Where to probe it instead of its addresses, with or without a port.",
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
    "hold": Key(
        duration(0, 3600),
        "How long verdicts are held when most of four or more hosts fail at once: the prober may be cut off; "
        "default 30s.",
    ),
}


def objects(keys: dict[str, Key], *required: str) -> Schema:
    """Return the JSON Schema of a mapping with these keys and no others."""
    schema: Schema = {
        "type": "object",
        "properties": {name: {"description": key.says, **key.kind.schema} for name, key in keys.items()},
        "additionalProperties": False,
    }
    return schema | {"required": list(required)} if required else schema


def _named(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


_ADDRESSES_OR_NONE: Schema = {"anyOf": [*ADDRESSES.schema["anyOf"], {"type": "null"}]}

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
    "checks": Key(section(_named(objects(CHECK))), "How hosts are judged; smtp and tcp are built in."),
    "hosts": Key(
        section(_named({"anyOf": [*ADDRESSES.schema["anyOf"], objects(HOST, "address")]})),
        "The mail hosts by their labels; ranges as mx[01-04].",
    ),
    "pools": Key(section(_named(objects(POOL, "hosts"))), "Hosts that are dealt together."),
    "records": Key(section({"type": "object"}), "Owner names and what they answer; @ is the zone itself."),
}

SMTP_ONLY = ("greeting_timeout", "step_timeout", "ehlo", "starttls", "slow", "degraded_weight")
"""Keys that a check of type tcp has no use for."""

DEFAULT_CHECK = Check(name="smtp")
