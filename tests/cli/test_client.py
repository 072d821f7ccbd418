"""How commands talk to a running server, over real HTTP on loopback."""

import contextlib
import errno
import getpass
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner, Result

from geodns.cli import client, main
from geodns.cli.client import HttpReply, Server, UnreachableError, in_words
from geodns.errors import NotFoundError, ServerError, SettingsError, UsageError
from tests.answering import Answering, answering, status


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
    (answer,) = Server(fake.url, "s3cret").post_all("/x", {"reason": "søndag"}).values()
    assert answer == (202, {"pending": ["udp1"]})
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


# --- why a server cannot be asked -----------------------------------------------------------------------


@contextlib.contextmanager
def saying(data: bytes) -> Iterator[str]:
    """A listener that says something to whoever connects, and hangs up; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)

        def serve() -> None:
            with contextlib.suppress(OSError):
                for _ in range(2):  # whoever is hung up on tries again
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(5)
                        connection.recv(4096)
                        connection.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


@pytest.mark.parametrize(
    ("data", "scheme", "says"),
    [
        pytest.param(b"220 mta1 ESMTP\r\n", "http", "speaks no HTTP", id="SMTP"),
        pytest.param(b"", "http", "is that the HTTP side of a geodns", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", "https", "it does not speak TLS", id="no TLS"),
    ],
)
def test_what_is_no_geodns_is_told(data: bytes, scheme: str, says: str) -> None:
    with saying(data) as address, pytest.raises(UnreachableError) as caught:
        Server(f"{scheme}://{address}").get("/status")
    assert str(caught.value).startswith(f"{scheme}://{address}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        pytest.param(TimeoutError(), "no answer in time (timed out)", id="timed out"),
        pytest.param(aiohttp.ServerTimeoutError(), "timed out", id="timed out, says the library"),
        pytest.param(OSError(errno.ECONNREFUSED, "x"), "nobody listens there (conn", id="refused"),
        pytest.param(OSError(errno.EHOSTUNREACH, "x"), "no route to it", id="no route to the host"),
        pytest.param(OSError(errno.ENETUNREACH, "x"), "no route to it", id="no route to the network"),
        pytest.param(OSError(errno.ECONNRESET, "x"), "it closed the connection", id="reset"),
        pytest.param(OSError(errno.ETIMEDOUT, "x"), "no answer in time", id="the kernel's patience"),
        pytest.param(socket.gaierror(-2, "x"), "there is no such name", id="no name"),
        pytest.param(aiohttp.InvalidURL("x"), "that is no URL of a server", id="no URL"),
        pytest.param(ValueError(), "ValueError: is `geodns serve` running?", id="anything else"),
    ],
)
def test_in_an_operators_words(error: Exception, says: str) -> None:
    assert says in in_words(error)


def test_a_certificate_that_is_not_trusted_is_told() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("ns1", 443, True, True, None, None, None)
    error = aiohttp.ClientConnectorCertificateError(key, ssl.SSLCertVerificationError("self-signed"))
    assert "its certificate is not trusted" in in_words(error)


def test_what_is_asked_wrongly_is_wrong_usage(fake: Answering) -> None:
    fake.give("GET /status", {"error": "write A, AAAA or MX"}, status=400)
    with pytest.raises(ServerError, match="write A, AAAA or MX") as caught:
        Server(fake.url).get("/status")
    assert caught.value.status == 2


# --- several servers ------------------------------------------------------------------------------------


@pytest.fixture
def other() -> Iterator[Answering]:
    with answering() as found:
        yield found


NOBODY = "http://127.0.0.1:1"


def test_the_first_that_is_there_is_read(
    fake: Answering, other: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in (fake, other):
        one.give("GET /status", {"node": one.url})
    assert Server(f"{fake.url}, {other.url}").get("/status") == {"node": fake.url}
    assert (other.asked, capsys.readouterr().err) == ([], "")
    assert Server(f"{NOBODY},{other.url}").get("/status") == {"node": other.url}
    assert capsys.readouterr().err.startswith(f"{NOBODY}: nobody listens there")


def test_an_error_of_the_first_that_is_there_counts(fake: Answering, other: Answering) -> None:
    other.give("GET /status", {})
    with pytest.raises(NotFoundError):
        Server(f"{fake.url},{other.url}").get("/status")


def test_all_are_asked_at_once_and_each_says_something(fake: Answering, other: Answering) -> None:
    fake.give("POST /x", {"done": 1}, status=202)
    found = Server(f"{fake.url},{other.url},{NOBODY},{fake.url}/").post_all("/x", {"a": 1}, q="1")
    assert list(found) == [fake.url, other.url, NOBODY]
    assert found[fake.url] == HttpReply(202, {"done": 1})
    assert isinstance(found[other.url], NotFoundError)
    assert isinstance(found[NOBODY], UnreachableError)
    assert fake.asked[0][1] == "/x?q=1"
    assert list(Server(f"{fake.url},{other.url}").get_all("/x")) == [fake.url, other.url]


def test_no_server_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="--server names no server"):
        Server(" , ")


# --- where the servers are ------------------------------------------------------------------------------


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main.geodns, ["status", *arguments])


@pytest.fixture
def settings(fake: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings that name the server and a token, elsewhere than where the command runs."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    file = tmp_path / "geodns.yaml"
    file.write_text(f"servers: {fake.url}\ntoken_file: token\nwrong: yes\n")
    (tmp_path / "token").write_text("s3cret\n")
    fake.give("GET /status", status("mta1"))
    return file


def token_shown(fake: Answering) -> Any:
    return fake.asked[-1][2].get("Authorization")


def test_the_settings_say_where_the_servers_are_and_what_to_show_them(
    fake: Answering, settings: Path
) -> None:
    assert run("--config", str(settings)).exit_code == 0
    assert token_shown(fake) == "Bearer s3cret"
    settings.rename("geodns.yaml")
    Path("token").write_text("other\n")
    assert run().exit_code == 0
    assert token_shown(fake) == "Bearer other"


def test_the_environment_is_stronger_and_a_flag_the_strongest(
    fake: Answering, other: Answering, settings: Path
) -> None:
    other.give("GET /status", status("mta1"))
    config = ("--config", str(settings))
    assert run(*config, GEODNS_SERVER=other.url, GEODNS_TOKEN="mine").exit_code == 0
    assert (fake.asked, token_shown(other)) == ([], "Bearer mine")
    assert run(*config, "--server", fake.url, "--token", "t", GEODNS_SERVER=NOBODY).exit_code == 0
    assert token_shown(fake) == "Bearer t"


def test_several_servers_may_be_named_in_every_way(fake: Answering, other: Answering, settings: Path) -> None:
    other.give("GET /status", status("mta1"))
    both = f"{fake.url},{other.url}"
    for arguments, environment in [
        (["--server", both], {}),
        (["--server", fake.url, "--server", other.url], {}),
        ([], {"GEODNS_SERVER": both}),
    ]:
        assert run(*arguments, **environment).exit_code == 0
    settings.write_text(f"servers: [{fake.url}, {other.url}]")
    assert run("--config", str(settings)).exit_code == 0
    assert len(fake.asked) == len(other.asked) == 4


def test_a_token_that_cannot_be_read_matters_where_one_is_asked_for(fake: Answering, settings: Path) -> None:
    (settings.parent / "token").unlink()
    assert run("--config", str(settings)).exit_code == 0
    fake.give("GET /status", {"error": "no token: show it"}, status=401)
    result = run("--config", str(settings))
    assert "no token: show it (no token from " in str(result.exception)
    assert "it cannot be read (No such file" in str(result.exception)


def test_settings_that_are_wrong_or_not_there_are_told(settings: Path) -> None:
    settings.write_text("servers: [ftp://x]")
    for file in (settings, Path("nowhere.yaml")):
        assert isinstance(run("--config", str(file)).exception, SettingsError)


@pytest.mark.parametrize(
    ("module", "others"),
    [
        # An order at 3 a.m. must not wait for what reads zone files: that takes longer than all the rest.
        *(
            (name, {"pydantic", "yaml", "prometheus_client"})
            for name in (
                "orders",
                "events",
                "explain",
                "status",
                "server",
                "state",
                "route",
                "routes",
                "report.command",
            )
        ),
        # Nor what reads zone files for what talks to servers.
        *((name, {"aiohttp", "asyncio"}) for name in ("zonefiles", "delegation", "convert.command")),
    ],
)
def test_a_command_loads_no_more_than_it_needs(module: str, others: set[str]) -> None:
    script = f"import sys, geodns.cli.{module}; print({others} & {{*sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert run.stdout == "set()\n"


def test_an_order_waits_for_a_server_that_is_upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE", 1.5)
    with answering() as fake:
        fake.headers = {"Retry-After": "1"}
        fake.gives["POST /order"] = [(503, {"error": "upgraded"}), (200, {"done": 1})]
        assert Server(fake.url).post("/order", {}) == {"done": 1}
        fake.give("POST /order", {"error": "it is being upgraded"}, status=503)
        with pytest.raises(ServerError, match="is being upgraded"):
            Server(fake.url).post("/order", {})
        assert len(fake.asked) == 4, "for a bounded time"
        fake.headers = {"Retry-After": "60"}
        with pytest.raises(ServerError, match="is being upgraded"):
            Server(fake.url).post("/order", {})
        assert len(fake.asked) == 5, "nobody waits that long"
