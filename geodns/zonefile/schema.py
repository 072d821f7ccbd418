"""The JSON Schema of the zone file, for editors; made from the tables that the reader uses."""

from geodns.config.value_types import (
    _SECONDS,
    ADDRESSES,
    TTL,
    Key,
    Schema,
    duration,
    objects,
    section,
    whole,
    word,
)
from geodns.zonefile.checks import CHECK
from geodns.zonefile.hosts import HOST
from geodns.zonefile.pools import POOL
from geodns.zonefile.record_types import GENERIC_PATTERN, RecordType, record_type, schemas
from geodns.zonefile.sources import HOST_SOURCE


def zone_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a zone file."""
    schema = objects(ZONE) | {"anyOf": [{"required": ["ns"]}, {"required": ["records"]}]}
    schema["properties"]["records"] |= {"additionalProperties": {"$ref": "#/$defs/name"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "geodns zone file",
        "description": "One DNS zone; the file's name is the zone's, as in out.example.com.yaml.",
        **schema,
        "$defs": {"name": _name()},
    }


def _name() -> Schema:
    types: Schema = {
        name: {"description": f"{kind.says} Example: {kind.example}", **_rrset(name, kind)}
        for name, kind in schemas().items()
    }
    return {
        "type": "object",
        "properties": {
            "ttl": {"description": "TTL of everything that stands here.", **TTL.schema},
            "pool": {"description": "A pool that answers for A and AAAA.", "type": "string"},
            **types,
        },
        "patternProperties": {GENERIC_PATTERN: _rrset("TYPE65280", record_type("TYPE65280"))},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _object(properties: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "properties": {"ttl": TTL.schema, **properties},
        "required": list(required),
        "additionalProperties": False,
    }


def _rrset(name: str, kind: RecordType) -> Schema:
    """Return the schema of an RRset: text, fields, a pool, a list of these, or `{ttl, value}` around them."""
    forms: list[Schema] = [{"type": "string"}]
    if len(kind.fields) > 1:
        fields = {field.name: field.schema for field in kind.fields}
        forms.append(_object(fields, *(field.name for field in kind.fields if field.default is None)))
    if kind.pooled:
        pool: Schema = {"pool": {"type": "string"}}
        if name == "MX":
            pool["preference"] = kind.fields[0].schema
        forms.append(_object(pool, "pool"))
    if len(kind.fields) == 1:
        forms[0] = kind.fields[0].schema
    values: Schema = {"anyOf": [*forms, {"type": "array", "items": {"anyOf": forms}, "minItems": 1}]}
    wrapped = [_object({word: values}, word) for word in ("value", "values")]
    return {
        "anyOf": [
            *forms,
            *wrapped,
            {"type": "array", "items": {"anyOf": [*forms, *wrapped]}, "minItems": 1},
        ]
    }


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
