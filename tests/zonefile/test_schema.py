from typing import Any

import jsonschema
import jsonschema_rs
import pytest
import yaml

from geodns.zonefile.checks import CHECK
from geodns.zonefile.hosts import HOST
from geodns.zonefile.mail_classes import HEADER_SIGN
from geodns.zonefile.pools import POOL
from geodns.zonefile.record_types import schemas
from geodns.zonefile.routes import ROUTE
from geodns.zonefile.schema import ZONE, zone_schema
from geodns.zonefile.soa import SOA
from geodns.zonefile.sources import HOST_SOURCE
from tests.zonefile.test_reader import VALUES
from tests.zonetexts import LONG, NS, SHORT

VALIDATOR = jsonschema.Draft202012Validator(zone_schema())


def test_it_is_a_schema() -> None:
    jsonschema_rs.meta.validate(zone_schema())


@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
def test_the_design_s_zones_fit(text: str) -> None:
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize("text", [row[0] for row in VALUES.values()], ids=VALUES.keys())
def test_every_form_of_a_value_fits(text: str) -> None:
    VALIDATOR.validate(yaml.safe_load(f"{NS}records:\n  a:\n    {text}\n"))


@pytest.mark.parametrize("check", ["smtp", "[a, b]", "{any_of: [a, b]}", "{need: 2, of: [a, b, c]}", "none"])
def test_every_form_of_a_pools_check_fits(check: str) -> None:
    VALIDATOR.validate(yaml.safe_load(f"{NS}pools: {{main: {{hosts: [b], check: {check}, hold: 1m}}}}\n"))


def test_a_pool_under_srv_fits() -> None:
    text = "records: {a: {SRV: {pool: main, port: 587, priority: 0}}}\n"
    VALIDATOR.validate(yaml.safe_load(NS + text))


WRONG = {
    "no ns": "hosts: {a: 192.0.2.1}\n",
    "unknown key": NS + "host: {}\n",
    "unknown key of a pool": NS + "pools: {a: {hosts: [b], answer: 2}}\n",
    "port": NS + "checks: {a: {port: 70000}}\n",
    "need without of": NS + "pools: {a: {hosts: [b], check: {need: 2}}}\n",
    "no checks": NS + "pools: {a: {hosts: [b], check: []}}\n",
    "need and any_of": NS + "pools: {a: {hosts: [b], check: {any_of: [c], need: 1}}}\n",
    "duration": NS + "ttl: fast\n",
    "unknown type": NS + "records: {a: {TXTT: x}}\n",
    "pool under SRV without port": NS + "records: {a: {SRV: {pool: main}}}\n",
    "pool under TXT": NS + "records: {a: {TXT: {pool: main}}}\n",
    "provider": NS + "routes: {provider: gogle, use: a}\n",
    "no rules": NS + "routes: []\n",
    "rule without a name": NS + "routes: [{provider: google}]\n",
    "size": NS + "routes: {size: 5MB, use: a}\n",
    "cap": NS
    + "hosts: {a: {address: 192.0.2.1, warmup: {plan: [9], start: '2026-12-01', caps: {google: 5%%}}}}\n",
    "header": NS + "classes: {bulk: {header: 'X:'}}\n",
    "field missing": NS + "records: {a: {MX: {exchange: b}}}\n",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_does_not_fit(text: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(text))


def test_every_key_that_is_read_is_described() -> None:
    schema = zone_schema()

    def keys_of(part: dict[str, Any]) -> set[str]:
        assert all(value["description"] for value in part["properties"].values())
        return set(part["properties"])

    top = schema["properties"]
    assert keys_of(schema) == set(ZONE)
    assert keys_of(top["soa"]) == set(SOA)
    assert keys_of(top["checks"]["additionalProperties"]) == set(CHECK)
    assert keys_of(top["pools"]["additionalProperties"]) == set(POOL)
    assert keys_of(top["hosts"]["additionalProperties"]["anyOf"][-1]) == set(HOST)
    assert keys_of(top["routes"]["anyOf"][0]) == set(ROUTE)
    assert keys_of(top["classes"]["additionalProperties"]["anyOf"][0]) == set(HEADER_SIGN)
    by_kind = top["hosts_from"]["anyOf"][0]["anyOf"]
    assert set.union(*map(keys_of, by_kind)) == set(HOST_SOURCE)
    assert keys_of(schema["$defs"]["name"]) == {*schemas(), "ttl", "pool"}
