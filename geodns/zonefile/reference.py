"""The reference of keys in Markdown, made from the tables that the reader uses."""

from collections.abc import Iterable, Mapping

from geodns.config.keys import Key
from geodns.config.value_types import Schema
from geodns.zonefile.checks import CHECK, CHECK_USERS
from geodns.zonefile.defaults import DEFAULTS
from geodns.zonefile.experiments import ARM, EXPERIMENT
from geodns.zonefile.host_load import LOAD
from geodns.zonefile.hosts import HOST
from geodns.zonefile.mail_classes import HEADER_SIGN
from geodns.zonefile.pools import POOL
from geodns.zonefile.record_types import IN_THE_FILE, RECORD_TYPES, RecordType
from geodns.zonefile.reputation import DNSBL, REPUTATION, RULE
from geodns.zonefile.routes import PROVIDER_NAMES, ROUTE
from geodns.zonefile.schema import ZONE
from geodns.zonefile.soa import SOA
from geodns.zonefile.sources import HOST_SOURCE
from geodns.zonefile.views import POOL_RULE
from geodns.zonefile.warmup import WARMUP

_TYPES = {
    "string": "text",
    "number": "number",
    "object": "mapping",
    "array": "list",
}

_SHARED = """\
Each takes the keys of its section, but for a host's `address` and `probe`, a pool's `hosts` and `fallback`,
and a check's `type`. What stands in the host, pool or check itself wins; `load` is joined key by key. A
default that a pool or a check of that type cannot use is left out there. Built-in checks take them too, hosts
of `hosts_from` do not."""

_RULES = """\
A list may stand wherever a name says `pool:`. The first rule counts whose conditions a client all meets; the
last item is the pool of all others. `use` must be there."""

_ROUTES = """\
One rule or a list; the first whose conditions a message all meets says its name. `use` must be there; the
last rule should have no condition. An address is `name@domain`; a domain stands for itself alone,
`*.example.com` for all names below it. `*` and `?` stand for any characters, and case is nothing.

Providers: {}."""

_SECTIONS: tuple[tuple[str, dict[str, Key], str], ...] = (
    ("Top level", ZONE, "A file has `ns`, `records` or both. All else may be left out."),
    ("`defaults`", DEFAULTS, _SHARED),
    ("`soa`", SOA, ""),
    ("`checks: NAME`", CHECK, "“Only for” lists the check types that use a key; without one, all do."),
    ("`hosts: NAME`", HOST, "A host is an address, a list of addresses, or a mapping that has `address`."),
    ("`hosts: NAME: load`", LOAD, "`full` must be there."),
    ("`hosts: NAME: warmup`", WARMUP, "`plan` and `start` must be there."),
    ("`hosts_from`", HOST_SOURCE, "One source or a list. A source has either `dns` or `file`."),
    ("`pools: NAME`", POOL, "`hosts` must be there."),
    ("`reputation`", REPUTATION, ""),
    (
        "`reputation: dnsbl`",
        DNSBL,
        "A list is the name of its zone, or a mapping with `zone` or `zone_file`.",
    ),
    ("`reputation: rules`", RULE, ""),
    (
        "Rules in the place of a pool",
        POOL_RULE,
        _RULES,
    ),
    ("`experiments: NAME`", EXPERIMENT, "`name` and `arms` must be there. A name has one experiment."),
    ("`experiments: NAME: arms: ARM`", ARM, "Both must be there; shares count in proportion to their sum."),
    ("`routes`", ROUTE, _ROUTES.format(", ".join(PROVIDER_NAMES))),
    ("`classes: NAME`", HEADER_SIGN, "One header or a list; any of them makes a message one of the class."),
)


def zone_reference() -> str:
    """Return the page of all keys and record types of the zone file."""
    parts = ["# Zone file reference: every key"]
    for title, keys, note in _SECTIONS:
        table = key_table(keys, more=("Only for", CHECK_USERS)) if keys is CHECK else key_table(keys)
        parts += [f"## {title}", note, table]
    pooled = ", ".join(f"`{name}`" for name, kind in RECORD_TYPES.items() if kind.pooled)
    parts += ["## `records: NAME`", _RECORDS.format(pooled), _record_table(RECORD_TYPES)]
    others = ", ".join(f"`{name}`" for name in IN_THE_FILE if name not in RECORD_TYPES)
    parts.append(f"These types take text as in a zone file: {others}, and others as `TYPE65280`.")
    return "\n\n".join(part for part in parts if part) + "\n"


_RECORDS = """\
A name has record types, `pool` (the pool that answers for A and AAAA) and `ttl` (of all that stands there). A
value is text as in a zone file, a mapping of the fields below, or a list of these. `{{ttl: 5m, values: […]}}`
gives one type a TTL of its own. These also take `{{pool: NAME}}`, MX with a `preference`, SRV with `port`
and `priority`: {}. In the place of NAME rules may say the pool."""


def key_table(keys: Mapping[str, Key], more: tuple[str, Mapping[str, Iterable[str]]] = ("", {})) -> str:
    """Return a table of keys; `more` is a last column's title, and its words by key."""
    title, words = more
    rows = []
    for name, key in keys.items():
        row = [f"`{name}`", key.kind.form or value_of(key.kind.schema), key.default, key.says]
        rows.append([*row, ", ".join(words.get(name, ()))] if title else row)
    return _table(["Key", "Value", "Default", "Meaning", *([title] if title else [])], rows)


def value_of(schema: Schema) -> str:
    """Return what a JSON Schema allows, in words: ``text or list``."""
    forms: list[Schema] = schema.get("anyOf", [])
    if forms:
        return " or ".join(dict.fromkeys(value_of(form) for form in forms))
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    kind = schema["type"]
    return _TYPES[kind if isinstance(kind, str) else kind[0]]


def _record_table(types: Mapping[str, RecordType]) -> str:
    rows = []
    for name, kind in types.items():
        fields = [
            f"`{field.name}`" + (f" ({field.default or 'none'})" if field.default is not None else "")
            for field in kind.fields
        ]
        shown = ", ".join(fields) if len(fields) > 1 else ""
        rows.append([f"`{name}`", shown, f"`{kind.example}`", kind.says])
    return _table(["Type", "Fields (default)", "Example", "Meaning"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
