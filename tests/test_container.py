"""The Containerfile builds from what is in the checkout, and its parts and docs/container.md fit together.

No engine runs here; what its lines do is tried as far as it goes without one.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from geodns.config.settings import ENVIRONMENT, load_settings

ROOT = Path(__file__).parent.parent
FILE = ROOT / "deploy" / "Containerfile"
PORT = re.compile(r":(\d+)(?:,|$)")
USER = 10053
"""The number of the image's user."""


def instructions() -> list[tuple[str, str]]:
    """Return the instructions with their arguments, as one line each."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line]


def of(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def variables() -> dict[str, str]:
    """Return what the image sets in the environment."""
    return dict(word.split("=", 1) for word in shlex.split(of("ENV")[0]))


def test_every_instruction_is_one() -> None:
    assert {name for name, _ in instructions()} <= {
        *("ARG", "FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "USER", "VOLUME", "EXPOSE"),
        *("STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
    }


def test_what_is_copied_is_there_and_is_all_that_the_build_needs() -> None:
    copied = [word for line in of("COPY") if "--from" not in line for word in line.split()[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    ignoring = (FILE.parent / "Containerfile.dockerignore").read_text().splitlines()
    assert ignoring[ignoring.index("*") :][1:-1] == [f"!{name}" for name in copied]
    project = (ROOT / "pyproject.toml").read_text()
    assert set(re.findall(r'readme = "(.+)"', project) + re.findall(r'files = \["(.+)"\]', project)[:1]) <= {
        *copied,
        "geodns",
    }
    (extras,) = [line.partition("=")[2] for line in of("ARG") if line.startswith("EXTRAS")]
    assert re.search(rf"^{extras} = \[", project, re.MULTILINE)


def test_its_settings_are_settings() -> None:
    settings = load_settings(None, {}, variables())
    assert settings.zones == Path("/zones")
    assert settings.state == Path("/state")
    assert of("VOLUME") == ['["/state"]']
    exposed = of("EXPOSE")[0].split()
    dns = {str(one.port) for one in settings.listen}
    assert exposed == [
        *(f"{port}/{kind}" for port in dns for kind in ("udp", "tcp")),
        f"{settings.http.port}/tcp",
    ]
    assert min(one.port for one in settings.listen) > 1024, "it has no right to less"


def test_its_user_is_not_root_and_owns_the_state() -> None:
    assert of("USER") == [f"{USER}:{USER}"]
    assert f"chown {USER}:{USER} /state" in of("RUN")[1]
    assert f"geodns:x:{USER}:{USER}:" in of("RUN")[1]


def test_it_runs_a_command_that_there_is() -> None:
    assert json.loads(of("ENTRYPOINT")[0]) == ["geodns"]
    assert json.loads(of("CMD")[0]) == ["serve"]
    assert of("STOPSIGNAL") == ["SIGTERM"]


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Answer HTTP with a status; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_its_health_check_asks_whether_it_is_ready(status: int | None, healthy: bool) -> None:
    command = json.loads(of("HEALTHCHECK")[0].partition("CMD")[2])
    assert command[0] == "python3"
    http = PORT.findall(variables()["GEODNS_HTTP"])[0]
    if status is None:
        with answering(200) as port:
            pass
        healthy_now = _check(command, http, port)
    else:
        with answering(status) as port:
            healthy_now = _check(command, http, port)
    assert healthy_now is healthy


def _check(command: list[str], http: str, port: int) -> bool:
    assert f":{http}/readyz" in command[-1]
    words = [sys.executable, "-S", *command[1:-1], command[-1].replace(f":{http}/", f":{port}/")]
    return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 0


# --- docs/container.md -----------------------------------------------------------------------------------


def shown() -> list[list[str]]:
    """Return the words of each command for an engine that the page shows."""
    found = re.findall(r"^(?:podman|docker) .+", (ROOT / "docs/container.md").read_text(), re.MULTILINE)
    return [shlex.split(line) for line in found]


def parsed(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the options of ``podman run``, and the image and what follows it."""
    options: dict[str, list[str]] = {}
    rest = words[2:]
    while rest[0].startswith("-"):
        name = rest.pop(0)
        options.setdefault(name, [])
        if name not in {"--rm", "-d", "--read-only"}:
            options[name].append(rest.pop(0))
    return options, rest


def test_the_page_builds_the_image() -> None:
    builds = [words for words in shown() if words[1] == "build"]
    assert {words[0] for words in builds} == {"podman", "docker"}
    for words in builds:
        assert words[2:] == ["-f", str(FILE.relative_to(ROOT)), "-t", "geodns", "."]


def test_the_page_runs_the_image_as_it_is_made() -> None:
    runs = [parsed(words) for words in shown() if words[1] == "run"]
    assert len(runs) == 3
    for options, rest in runs:
        assert rest[0] == "geodns"
        targets = {volume.split(":")[1] for volume in options["-v"]}
        assert targets <= {"/zones", "/state"}
        published = {port.rpartition(":")[2] for port in options.get("-p", [])}
        assert published <= set(of("EXPOSE")[0].split())
        given = dict(word.split("=", 1) for word in options.get("-e", []))
        settings = load_settings(None, {}, variables() | given)
        assert settings.user in {None, "geodns"}
        if "-d" in options:
            assert "--read-only" in options
            assert options["--cap-drop"] == ["ALL"]
            assert targets == {"/zones", "/state"}
        if "--user" in options:
            assert settings.user is not None, "it must not stay root"


def test_what_the_page_says_of_names_and_numbers_is_so() -> None:
    text = (ROOT / "docs/container.md").read_text()
    named = {"NAME" if words[1] == "run" else words[2] for words in shown() if words[1] in {"exec", "stop"}}
    assert named == {"ns1"}
    assert f"user {USER}" in text
    assert all(f"`{name}`" in text for name in variables() if name.startswith("GEODNS_"))
    assert set(re.findall(r"`?(GEODNS_[A-Z_]+)", text)) <= set(ENVIRONMENT)
