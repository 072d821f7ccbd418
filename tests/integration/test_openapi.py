"""The API as it is described: every description is asked of a running server, and answers as it says."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from geodns.api.openapi import OPERATIONS, document
from tests.integration.cluster import Server, serving, zone_text
from tests.integration.mailhosts import mail_hosts

ZONE = "lab.example"
EXAMPLES = 25
"""Of each operation and kind of data, at most."""
PAUSE = 0.006
"""Seconds between two requests: the server bounds how often one client asks."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS = "/api/v1/events/stream"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("openapi")
    with mail_hosts("mta1", "mta2", "mta3") as hosts:
        text = zone_text(hosts).replace("mta3: {", "mta3: {load: {full: 10}, ")
        with serving(folder, {ZONE: text}) as running:
            yield running


def test_the_description_is_valid_and_served(server: Server) -> None:
    shown = server.get("/api/v1/openapi.json")
    assert shown == json.loads(json.dumps(document()))
    validate(shown)


COUNTED: Counter[str] = Counter()


ASKED = [
    pytest.param(one.method, one.path, mode, id=f"{one.method} {one.path} {mode.value}")
    for one in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    # Nothing can be wrong with what takes nothing; the stream has no end.
    if one.path != ENDLESS and (mode is GenerationMode.POSITIVE or one.query or one.takes)
]


@pytest.mark.parametrize(("method", "path", "mode"), ASKED)
def test_every_operation_answers_as_it_is_described(
    server: Server, method: str, path: str, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_dict(document())
    schema.config.update(base_url=server.http)
    schema.config.generation.update(modes=[mode])
    # What is in the path is there, half of the time: else all would be "no such zone".
    operation = schema[path][method.upper()]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        for name, real in (("zone", ZONE), ("host", "mta3")):
            if name in (case.path_parameters or {}) and COUNTED.total() % 2:
                case.path_parameters[name] = real
        COUNTED[f"{method} {path}"] += 1
        time.sleep(PAUSE)
        case.call_and_validate(checks=CHECKS, timeout=20)

    ask()


def test_after_all_that_the_server_is_well(server: Server) -> None:
    print(f"asked: {COUNTED.total()}")  # noqa: T201
    assert COUNTED.total() > 500
    assert server.status()["ready"] is True
    assert server.ask(ZONE).answer
    log = server.log()
    assert "Traceback" not in log
    assert not re.search(r"(GET|POST) \S+ failed", log)


def test_whoever_has_no_token_changes_nothing(tmp_path: Path) -> None:
    tokens = {"GEODNS_TOKEN": "c0ntrol", "GEODNS_READ_TOKEN": "r3ad"}
    with serving(tmp_path, {ZONE: "ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.1}"}, env=tokens) as server:

        def ask(path: str, data: dict[str, Any] | None, token: str | None) -> int:
            shown = {} if token is None else {"Authorization": f"Bearer {token}"}
            return server.request(path, data, headers=shown)[0]

        for one in OPERATIONS:
            path = one.path.replace("{zone}", ZONE).replace("{host}", "mta1")
            data: dict[str, Any] | None = None if one.method == "get" else {}
            if one.path == ENDLESS:
                codes = [ask(path, data, token) for token in (None, "gu3ss")]
                assert codes == [401, 401]
                continue
            codes = [ask(path, data, token) for token in (None, "gu3ss", "r3ad")]
            if one.path in {"/healthz", "/readyz"}:
                assert codes == [200] * 3
            elif one.method == "get":
                assert codes[:2] == [401, 401], path
                assert codes[2] != 401, path
            else:
                assert codes == [401, 401, 403], path
        assert ask("/status", None, "c0ntrol") == 200
