"""The plugin for Haraka, run by Node where Haraka is a stub, and the HTTP server is real."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from geodns.cli.generate.haraka import haraka
from geodns.cli.generate.plan import Asked, Plan
from geodns.config.server_keys import Listen
from geodns.model.routes import RouteRule
from tests.cli.generate.plans import BULK, ON_PORT, planned

STUB = Path(__file__).with_name("haraka_stub.js")
OK = 906

runs = pytest.mark.skipif(shutil.which("node") is None, reason="no Node here: apt-get install nodejs")


class Routes(ThreadingHTTPServer):
    """Answers POST /route with what the test says, and keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[Any] = []
        self.status = 200
        self.body = b"{}"

    @property
    def place(self) -> Asked:
        return Asked(Listen("127.0.0.1", self.server_address[1]))


class _Answer(BaseHTTPRequestHandler):
    server: Routes

    def do_POST(self) -> None:
        assert self.path == "/route"
        assert self.headers["Content-Type"] == "application/json"
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def routes() -> Iterator[Routes]:
    with Routes() as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(plan: Plan, folder: Path, **given: Any) -> tuple[list[tuple[str, int]], str]:
    """Hand the plugin a message; return the exchanges with their ports, and what it warned of."""
    *_, plugin = haraka(plan)
    (folder / "plugin.js").write_text(plugin.text)
    message = {"rcpt": "ann@gmail.com", "sender": "news@shop.example", "domain": "gmail.com"} | given
    done = subprocess.run(
        ["node", STUB, folder / "plugin.js", json.dumps(message)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = {key: value for line in done.stdout.splitlines() for key, value in json.loads(line).items()}
    assert said.get("code") in {None, OK}
    return [(one["exchange"], one["port"]) for one in said.get("mx", ())], said.get("warned", "")


@runs
def test_the_hosts_of_the_answer_in_their_order(routes: Routes, tmp_path: Path) -> None:
    hops = "relay:[mta2.out.example.com]:25, [gmail.out.example.com]:587"
    routes.body = json.dumps({"transport": hops, "name": "gmail.out.example.com"}).encode()
    found, warned = run(
        planned(asked=routes.place), tmp_path, login="shop", headers={"precedence": ["normal\n", " LIST\n"]}
    )
    assert found == [("mta2.out.example.com", 25), ("gmail.out.example.com", 587)]
    assert not warned
    assert routes.asked == [
        {
            "zone": "out.example.com",
            "recipient": "ann@gmail.com",
            "sender": "news@shop.example",
            "class": "bulk",
            "client": "192.0.2.7",
            "sasl": "shop",
            "size": 1234,
        }
    ]


@runs
def test_addresses_of_older_versions_and_the_null_sender(routes: Routes, tmp_path: Path) -> None:
    for given in ({"legacy": True, "sender": None}, {"legacy": True, "sender": ""}, {"sender": ""}):
        run(planned(asked=routes.place), tmp_path, stored=False, **given)
    assert {(one["recipient"], one["sender"]) for one in routes.asked} == {("ann@gmail.com", "")}
    assert all("class" not in one for one in routes.asked)


@runs
def test_mail_that_has_no_route_is_left_alone(routes: Routes, tmp_path: Path) -> None:
    routes.body = b'{"transport": null}'
    assert run(planned(asked=routes.place), tmp_path) == ([], "")
    assert len(routes.asked) == 1
    own = planned(asked=routes.place, local=("example.com", "*.example.org"))
    for domain in ("Example.com", "sub.example.org"):
        assert run(own, tmp_path, domain=domain) == ([], "")
    assert len(routes.asked) == 1


@runs
@pytest.mark.parametrize(
    ("status", "body"), [(503, b"{}"), (404, b"{}"), (200, b"no JSON"), (200, b"x" * 200_000)]
)
def test_an_answer_that_says_nothing(routes: Routes, status: int, body: bytes, tmp_path: Path) -> None:
    routes.status, routes.body = status, body
    found, warned = run(planned(asked=routes.place), tmp_path)
    assert found == [("out.example.com", 25)]
    assert "the static way" in warned


@runs
def test_while_geodns_is_away(tmp_path: Path) -> None:
    away = Asked(tmp_path / "nobody")
    for headers, where in (
        ({}, ("out.example.com", 25)),
        ({"x-class": ["tx\n"]}, ("fast.out.example.com", 25)),
        ({"list-unsubscribe": ["<x>\n"]}, ("bulk.out.example.com", 587)),
        ({"x-odd": ["x\n"]}, ("out.example.com", 25)),
    ):
        found, warned = run(planned(asked=away), tmp_path, headers=headers)
        assert found == [where]
        assert "ENOENT" in warned
    assert run(planned(RouteRule(sender=("a@*",), use=BULK), asked=away), tmp_path)[0] == []


@runs
def test_who_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as silent:  # connects, and serves nobody
        found, warned = run(planned(asked=Asked(Listen("127.0.0.1", silent.server_address[1]))), tmp_path)
    assert found == [("out.example.com", 25)]
    assert "no answer in time" in warned


def test_where_its_lines_belong() -> None:
    loaded, outbound, plugin = haraka(planned())
    assert loaded.text == "geodns_routes\n"
    assert outbound.text.endswith("\nalways_split=true\n")
    assert plugin.where == "plugins/geodns_routes.js"
    said = haraka(planned(asked=ON_PORT._replace(self_host="mta1")))[-1].text
    assert "// No static way: out.example.com (rule 7) may lead back to this machine, mta1." in said
