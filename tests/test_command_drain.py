from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns import cli
from geodns.errors import AmbiguousError, GeodnsError, NotFoundError, ServerError
from tests.answering import NAME, Answering, answering, host, pool, status


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        yield found


def run(fake: Answering, *arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(cli.geodns, [*arguments, "--server", fake.url])


def test_draining_says_that_nobody_deals_it_and_how_long_caches_may(fake: Answering) -> None:
    fake.give("GET /status", status("mta1", "mta2"), status("mta2"))
    fake.give(f"POST /api/v1/hosts/{NAME}/mta1/drain", host(forced="drained"))
    result = run(fake, "drain", "mta1", "--reason", "disk", "--for", "2h", GEODNS_TOKEN="s3cret")
    assert result.exit_code == 0, result.output
    assert result.stdout == (f"mta1.{NAME}: up (drained), dealt no more; caches may hold it for 30 s\n")
    (order,) = (one for one in fake.asked if one[0] == "POST")
    assert order[3] == {"reason": "disk", "for": "2h"}
    assert order[2]["Authorization"] == "Bearer s3cret"


def test_undraining_says_who_deals_it(fake: Answering) -> None:
    fake.give("GET /status", status("mta2"), status("mta1", "mta2"))
    fake.give(f"POST /api/v1/hosts/{NAME}/mta1/undrain", host())
    result = run(fake, "undrain", f"MTA1.{NAME}.", "--reason", "done")
    assert (result.exit_code, result.stdout) == (0, f"mta1.{NAME}: up, dealt by main\n")
    assert [one[3] for one in fake.asked if one[0] == "POST"] == [{"reason": "done"}]


def test_a_last_resort_that_still_deals_it_is_not_hidden(fake: Answering) -> None:
    shown = status("mta1", pools={NAME: {"main": pool("mta1", last_resort="drained")}})
    fake.give("GET /status", shown)
    fake.give(f"POST /api/v1/hosts/{NAME}/mta1/drain", host(forced="drained"))
    assert run(fake, "drain", "mta1").stdout.endswith("up (drained), dealt by main\n")


def test_workers_that_have_not_taken_it_are_a_problem_that_is_named(fake: Answering) -> None:
    fake.give("GET /status", status("mta2"))
    pending = host(forced="drained", pending=["udp1", "tcp"])
    fake.give(f"POST /api/v1/hosts/{NAME}/mta1/drain", pending, status=202)
    result = run(fake, "drain", "mta1")
    assert result.exit_code == 1
    assert result.stderr == "still pending: udp1, tcp (it may deal the host a moment longer)\n"


def two_zones() -> dict[str, Any]:
    other = status("mta1", zone="in.example.net")
    first = status("mta1")
    return first | {name: first[name] | other[name] for name in ("zones", "hosts", "pools")}


@pytest.mark.parametrize(
    ("text", "error", "code"),
    [
        pytest.param("mta9", NotFoundError, 1, id="no such host"),
        pytest.param("mta1", AmbiguousError, 2, id="a short name of two zones"),
    ],
)
def test_a_host_that_is_not_clear_gets_no_order(
    fake: Answering, text: str, error: type[GeodnsError], code: int
) -> None:
    fake.give("GET /status", two_zones())
    result = run(fake, "drain", text)
    assert isinstance(result.exception, error)
    assert result.exception.status == code
    assert [one[0] for one in fake.asked] == ["GET"]


def test_what_the_server_refuses_is_told(fake: Answering) -> None:
    fake.give("GET /status", status("mta1"))
    fake.give(f"POST /api/v1/hosts/{NAME}/mta1/drain", {"error": "`for` is no duration"}, status=400)
    result = run(fake, "drain", "mta1", "--for", "soon")
    assert isinstance(result.exception, ServerError)
    assert str(result.exception) == "`for` is no duration"
