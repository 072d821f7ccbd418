"""The settings of the rate limit and the query log: what they mean, and what is said of mistakes."""

from ipaddress import ip_network
from pathlib import Path

import jsonschema
import pytest
import yaml

from geodns.config.answer_keys import MAX_ITEMS, QUERY_LOG_KEY, RATE_LIMIT_KEY
from geodns.config.settings import Settings, load_settings, policy_of
from geodns.errors import SettingsError
from geodns.responder.answer_policy import QueryLog, RateLimit
from geodns.wire.names import name_to_wire

MANY = ", ".join(["192.0.2.1"] * (MAX_ITEMS + 1))


def load(text: str, folder: Path) -> Settings:
    file = folder / "geodns.yaml"
    file.write_text(text)
    return load_settings(file, {}, {})


@pytest.mark.parametrize(
    ("text", "limit", "required"),
    [
        ("{}", None, False),
        ("rate_limit: {}", RateLimit(), False),
        ("rate_limit: on", RateLimit(), False),
        ("rate_limit: off", None, False),
        ("rate_limit: {per_second: 50}", RateLimit(per_second=50), False),
        ("rate_limit: {slip: 0, require_cookie: off}", RateLimit(slip=0), False),
        ("rate_limit: {require_cookie: on}", RateLimit(), True),
        ("rate_limit: {exempt: 192.0.2.7}", RateLimit(exempt=(ip_network("192.0.2.7/32"),)), False),
        ("rate_limit: {exempt: []}", RateLimit(), False),
    ],
)
def test_a_rate_limit_goes_into_the_policy(
    text: str, limit: RateLimit | None, *, required: bool, tmp_path: Path
) -> None:
    policy = policy_of(load(text, tmp_path), ())
    assert (policy.rate_limit, policy.require_cookie) == (limit, required)


def test_the_default_limit() -> None:
    assert RateLimit() == RateLimit(per_second=200, slip=2, ipv4_prefix=24, ipv6_prefix=56, exempt=())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{}", None),
        ("query_log: {}", QueryLog()),
        ("query_log: on", QueryLog()),
        ("query_log: off", None),
        ("query_log: {zones: Bücher.example}", QueryLog((name_to_wire("xn--bcher-kva.example."),))),
        ("query_log: {zones: Out.Example.com.}", QueryLog((name_to_wire("out.example.com."),))),
        (
            "query_log: {zones: [a.example, b.example], sample: 1/4}",
            QueryLog((name_to_wire("a.example."), name_to_wire("b.example.")), (), 0.25),
        ),
        ('query_log: {clients: "2001:db8::/32"}', QueryLog((), (ip_network("2001:db8::/32"),))),
    ],
)
def test_a_query_log(text: str, wanted: QueryLog | None, tmp_path: Path) -> None:
    assert load(text, tmp_path).query_log == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "rate_limit: 200",
            "1:13: '200' where a rate limit is expected: write on for the defaults, off, or keys",
        ),
        ("rate_limit:", "1:12: nothing where a rate limit is expected"),
        (
            "rate_limit: maybe",
            "where a rate limit is expected: write on for the defaults, off, or keys: per_",
        ),
        ("rate_limit: {per_second: 0}", "per_second '0' is out of range: write 1 to 100000"),
        ("rate_limit: {per_second: 1.5}", "no whole number"),
        ("rate_limit: {slip: 11}", "out of range: write 0 to 10"),
        ("rate_limit: {ipv4_prefix: 33}", "out of range: write 8 to 32"),
        ("rate_limit: {ipv6_prefix: 200}", "out of range: write 16 to 128"),
        ("rate_limit: {persecond: 5}", "unknown key 'persecond': did you mean 'per_second'?"),
        ("rate_limit: {require_cookie: yes}", "'yes' is not known here: write one of: on, off"),
        ("rate_limit: {exempt: 192.0.2.7/24}", "bits behind its prefix: write 192.0.2.0/24"),
        ("rate_limit: {exempt: [mta1]}", "'mta1' is no network: write an address"),
        ("rate_limit: {exempt: [2001:db8::/32]}", 'quote this network, as "2001:db8::/32"'),
        ("rate_limit: {exempt: {a: b}}", "where a network is expected"),
        ("query_log: yes", "'yes' where a choice of queries is expected: write on for the defaults, off, or"),
        ("query_log: [on]", "where a choice of queries is expected"),
        (f"rate_limit: {{exempt: [{MANY}]}}", "65 networks: write at most 64, or larger ones"),
        (f"query_log: {{clients: [{MANY}]}}", "65 networks: write at most 64, or larger ones"),
        (f"query_log: {{zones: [{MANY}]}}", "65 zones: write at most 64, or larger ones"),
        ("query_log: {zones: [a.ü..b]}", "write a name, as out.example.com"),
        ("tcp: 5", "'5' where a mapping of TCP limits is expected: write keys: connections"),
        ("query_log: {sample: 0}", "'0' is no part of the queries: write 1 for all"),
        ("query_log: {sample: 200%}", "'200%' is no part of the queries"),
        ("query_log: {zones: [a..b]}", "write a name, as out.example.com"),
        ("query_log: {client: 192.0.2.1}", "did you mean 'clients'?"),
    ],
)
def test_mistakes_are_told_with_what_to_write(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load(text, tmp_path)
    assert len(str(error.value).splitlines()) == 1
    assert problem in str(error.value)


def test_the_schemas_take_what_the_reader_takes() -> None:
    for key, text in (
        (RATE_LIMIT_KEY, "{per_second: 5, exempt: [192.0.2.0/24, '2001:db8::/32'], require_cookie: 'on'}"),
        (RATE_LIMIT_KEY, "'off'"),
        (QUERY_LOG_KEY, "'on'"),
        (QUERY_LOG_KEY, "{zones: a.example, clients: [192.0.2.1], sample: 1%}"),
    ):
        jsonschema.Draft202012Validator.check_schema(key.kind.schema)
        jsonschema.validate(yaml.safe_load(text), key.kind.schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"other": 1}, key.kind.schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate("maybe", key.kind.schema)
