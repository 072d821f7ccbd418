"""The whole zone file: its sections put together, and the JSON Schema for editors made of them."""

from geodns.config.keys import Key, keys_of, objects
from geodns.config.value_types import ADDRESSES, TTL, Schema, duration, one_or_more, seconds, section
from geodns.model.zone import Zone
from geodns.zonefile.checks import CHECK
from geodns.zonefile.defaults import DEFAULTS
from geodns.zonefile.experiments import EXPERIMENT
from geodns.zonefile.hosts import HOST
from geodns.zonefile.mail_classes import CLASS_SCHEMA
from geodns.zonefile.pools import POOL
from geodns.zonefile.record_types import GENERIC_PATTERN, RecordType, record_type, schemas
from geodns.zonefile.records import POOL_PORT
from geodns.zonefile.reputation import REPUTATION
from geodns.zonefile.routes import LOCAL, MAX_RULES, ROUTE
from geodns.zonefile.soa import SOA
from geodns.zonefile.sources import SOURCE_SCHEMA
from geodns.zonefile.views import POOL_CHOICE


def _named(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


ZONE = keys_of(
    Zone,
    {
        "ttl": seconds,
        "min_ttl": seconds,
        "record_ttl": seconds,
        "retire": duration,
        "soa": section(objects(SOA)),
        "ns": section(_named({"anyOf": [*ADDRESSES.schema["anyOf"], {"type": "null"}]})),
        "checks": section(_named(objects(CHECK))),
        "hosts": section(_named({"anyOf": [*ADDRESSES.schema["anyOf"], objects(HOST, "address")]})),
        "hosts_from": section(one_or_more(SOURCE_SCHEMA, minItems=1)),
        "pools": section(_named(objects(POOL, "hosts"))),
        "records": section({"type": "object"}),
        "reputation": section(objects(REPUTATION)),
        "experiments": section(_named(objects(EXPERIMENT, "name", "arms"))),
        "local": LOCAL,
        "routes": section(one_or_more(objects(ROUTE, "use"), minItems=1, maxItems=MAX_RULES)),
        "classes": section(_named(CLASS_SCHEMA)),
    },
    fields={"hosts_from": "sources"},
) | {"defaults": Key(section(objects(DEFAULTS)), "Keys that hosts, pools and checks share.")}


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
            "pool": {
                "description": "A pool that answers for A and AAAA, or rules that say which.",
                **POOL_CHOICE,
            },
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
        pool: Schema = {"pool": POOL_CHOICE}
        if name == "MX":
            pool["preference"] = kind.fields[0].schema
        elif name == "SRV":
            pool |= {"priority": kind.fields[0].schema, "port": POOL_PORT.schema}
        forms.append(_object(pool, "pool", *(["port"] if name == "SRV" else [])))
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
