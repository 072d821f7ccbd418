"""A running server against its own description: what is asked rightly, wrongly, or by nobody it knows."""

import contextlib
import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from geodns.api.connections import SIGNALS, SIMULATE
from geodns.api.openapi import document
from geodns.api.operations import OPERATIONS, PATH, STREAM, Operation
from tests.integration.cluster import Server, serving, zone_text
from tests.integration.mailhosts import mail_hosts

ZONE = "lab.example"
HOST = "mta3"
EXAMPLES = max(4, settings().max_examples // 8)
"""Requests for each operation and kind of data; `make nightly` takes hundreds."""
PAUSE = 0.005
"""Seconds before each request: the server lets one client ask 200 times a second."""
CHECKS: list[Any] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
]
ONE_BY_ONE = frozenset({SIGNALS})
"""Paths that take a body whose parts are wrong, and reject those parts alone."""
ASKED = [one for one in OPERATIONS if one.path != STREAM]
"""The stream has no end, and is asked for elsewhere."""
cases: Counter[str] = Counter()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mail_hosts("mta1", "mta2", HOST) as hosts:
        pools = "pools: {main: {hosts: '*', volume: 1000}}\nrecords: {'@': {pool: main}}"
        plan = "load: {full: 10}, warmup: {plan: sendgrid, start: 2020-01-01}"
        text = zone_text(hosts, more=pools).replace(f"{HOST}: {{", f"{HOST}: {{{plan}, ")
        text += "reputation: {mode: act}\n"
        with serving(tmp_path_factory.mktemp("openapi"), {ZONE: text}) as running:
            yield running


def _modes() -> Iterator[Any]:
    for one in ASKED:
        for mode in GenerationMode:
            # Nothing can be wrong in a request that says nothing; any text is a name.
            if mode is GenerationMode.POSITIVE or one.takes or one.query:
                yield pytest.param(one, mode, id=f"{one.method} {one.path} {mode.value}")


@pytest.fixture(scope="module")
def described(server: Server) -> Any:
    """What the server says of itself."""
    one = schemathesis.openapi.from_dict(server.get(PATH))
    one.config.update(base_url=server.http)
    rejection = one.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]  # what is wrong may be too large
    return one


@pytest.mark.parametrize(("one", "mode"), list(_modes()))
def test_an_operation_answers_as_it_is_described(
    described: Any, one: Operation, mode: GenerationMode
) -> None:
    operation = described[one.path][one.method.upper()]
    real = {name: value for name, value in (("zone", ZONE), ("host", HOST)) if f"{{{name}}}" in one.path}
    ways = [operation.as_strategy(generation_mode=mode)]
    if real:  # what is made up is hardly ever there
        ways.append(operation.as_strategy(generation_mode=mode, path_parameters=real))

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(ways))
    def ask(case: Any) -> None:
        cases[mode.value] += 1
        time.sleep(PAUSE)
        checked = [one for one in CHECKS if one is not CHECKS[-1]] if one.path in ONE_BY_ONE else CHECKS
        case.call_and_validate(checks=checked, timeout=20)

    ask()


def test_after_all_that_the_server_is_well(server: Server) -> None:
    print(f"cases: {dict(cases)}")  # noqa: T201 - for whoever wants the figure
    assert cases.total() > 60
    assert server.ask(f"ns1.{ZONE}").answer
    assert server.status()["zones"].keys() == {ZONE}
    log = server.log()
    assert "Traceback" not in log
    assert " failed" not in "".join(line for line in log.splitlines() if "/api/v1" in line)


def _asked(server: Server, one: Operation, method: str | None = None, token: str | None = None) -> int:
    """Ask, and look no further than at the status: the stream has no end."""
    place = urlsplit(server.http)
    with contextlib.closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)) as way:
        path = one.path.replace("{zone}", ZONE).replace("{host}", "mta1")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        way.request(method or one.method.upper(), path, None if one.takes is None else "{}", headers)
        response = way.getresponse()
        if response.status >= 400:
            assert json.loads(response.read()).keys() >= {"error"}
        return response.status


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {"GEODNS_TOKEN": "c0ntrol-c0ntrol-c0ntrol", "GEODNS_READ_TOKEN": "r3ad-r3ad-r3ad-r3ad"}
    zones = {
        ZONE: "{ns: {ns1: 192.0.2.53}, hosts: {mta1: 192.0.2.1}, pools: {main: {hosts: mta1, check: none}}}"
    }
    with serving(tmp_path_factory.mktemp("closed"), zones, env=env) as running:
        yield running


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_nobody_gets_further_than_the_token_says(closed: Server, one: Operation) -> None:
    security = document()["paths"][one.path][one.method]["security"]
    if one.open:
        assert (security, _asked(closed, one)) == ([], 200)
        return
    reads = one.method == "get" or one.path == SIMULATE
    scope = "read" if reads else "signals" if one.path == SIGNALS else "control"
    assert security == [{}, {"token": [scope]}]
    assert [_asked(closed, one), _asked(closed, one, token="wr0ng")] == [401, 401]
    read = _asked(closed, one, token="r3ad-r3ad-r3ad-r3ad")
    assert read not in {401, 403} if reads else read == 403
    assert _asked(closed, one, token="c0ntrol-c0ntrol-c0ntrol") not in {401, 403}


@pytest.mark.parametrize("path", sorted({one.path for one in OPERATIONS}))
def test_a_method_that_is_not_described_is_not_there(server: Server, path: str) -> None:
    described = {one.method.upper() for one in OPERATIONS if one.path == path}
    (one, *_) = (one for one in OPERATIONS if one.path == path)
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - described:
        assert _asked(server, one, method) == 405


def test_the_stream_begins_as_it_is_described(server: Server) -> None:
    place = urlsplit(server.http)
    with contextlib.closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)) as way:
        way.request("GET", f"{STREAM}?after=0")
        response = way.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        assert response.readline() == b"retry: 1000\n"
