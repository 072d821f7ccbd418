"""How commands talk to a running server, over real HTTP on loopback."""

import getpass
import os
import socket
from collections.abc import Iterator

import pytest

from geodns.commands.client import Server
from geodns.errors import NotFoundError, ServerError
from tests.answering import Answering, answering


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        yield found


def test_what_is_asked_and_given(fake: Answering) -> None:
    fake.give("GET /api/v1/explain", {"zone": "x"})
    assert Server(f"{fake.url}/").get("/api/v1/explain", name="a b", type="A") == {"zone": "x"}
    ((method, path, headers, _),) = fake.asked
    assert (method, path) == ("GET", "/api/v1/explain?name=a+b&type=A")
    assert "Authorization" not in headers


def test_a_change_says_who_asks_and_shows_the_token(fake: Answering) -> None:
    fake.give("POST /x", {"pending": ["udp1"]}, status=202)
    assert Server(fake.url, "s3cret").post("/x", {"reason": "søndag"}) == (202, {"pending": ["udp1"]})
    ((_, _, headers, body),) = fake.asked
    assert body == {"reason": "søndag"}
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["X-Geodns-Author"] == getpass.getuser()


def test_a_user_without_a_name_has_a_number(fake: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    fake.give("GET /status", {})
    Server(fake.url).get("/status")
    assert fake.asked[0][2]["X-Geodns-Author"] == str(os.getuid())


def test_an_address_needs_no_scheme(fake: Answering) -> None:
    fake.give("GET /status", {})
    assert Server(fake.url.removeprefix("http://")).get("/status") == {}


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        pytest.param(404, {"error": "no host x"}, NotFoundError, "^no host x$", id="not found"),
        pytest.param(401, {"error": "needs a token"}, ServerError, "^needs a token$", id="refused"),
        pytest.param(500, {}, ServerError, "^status 500$", id="no reason"),
        pytest.param(503, ["x"], ServerError, "^status 503$", id="an error that is a list"),
        pytest.param(200, b"<html>", ServerError, "no JSON: is that a geodns", id="a page"),
        pytest.param(502, b"<html>", ServerError, "no JSON: is that a geodns", id="a proxy's page"),
        pytest.param(200, b"\xff\xfe\xfd", ServerError, "no JSON", id="bytes"),
        pytest.param(200, b"", ServerError, "no JSON", id="nothing"),
        pytest.param(200, [], ServerError, "no JSON object", id="a list"),
    ],
)
def test_every_other_answer_is_one_clear_error(
    fake: Answering, status: int, body: object, error: type[Exception], said: str
) -> None:
    fake.give("GET /status", body, status=status)
    with pytest.raises(error, match=said) as caught:
        Server(fake.url).get("/status")
    assert "\n" not in str(caught.value)


def test_where_nobody_answers_it_asks_whether_the_server_runs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServerError, match=r"is `geodns serve` running\? --server names it"):
        Server(f"http://127.0.0.1:{port}").get("/status")


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", "ftp://127.0.0.1", "127.0.0.1:99999", "http://a b"]
)
def test_what_is_no_url_is_an_error_too(url: str) -> None:
    with pytest.raises(ServerError):
        Server(url).get("/status")
