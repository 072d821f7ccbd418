"""Reading the zone files anew, on one server and on several."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from geodns.errors import ServerError
from tests.answering import NAME, Answering, answering, status

RELOAD = "POST /api/v1/reload"


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        found.give(RELOAD, {"waiting": {}})
        found.give("GET /status", status("mta1"))
        yield found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["reload", *arguments])


def test_one_server_says_what_it_serves(fake: Answering) -> None:
    result = run("--yes", "--server", fake.url)
    assert (result.exit_code, result.stdout) == (0, "zones are served as their files say: 1\n")
    assert fake.asked[0][3] == {"yes": True}


def test_what_waits_is_a_problem(fake: Answering) -> None:
    fake.give(RELOAD, {"waiting": {NAME: ["3 of 4 hosts go"]}})
    result = run("--server", fake.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{NAME} waits: 3 of 4 hosts go: `geodns reload --yes`")


def test_every_server_reads_its_files_and_one_that_is_not_there_is_named(fake: Answering) -> None:
    result = run("--server", f"{fake.url},http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (1, f"{fake.url}: zones are served as their files say: 1\n")
    assert "nobody listens there" in result.stderr
    assert "run this again with --server http://127.0.0.1:1" in result.stderr


def test_what_the_only_server_says_is_the_error(fake: Answering) -> None:
    fake.give(RELOAD, {"error": "wrong token"}, status=401)
    result = run("--server", fake.url)
    assert isinstance(result.exception, ServerError)
    assert str(result.exception) == "wrong token"
