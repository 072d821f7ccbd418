"""A real Postfix reads the lines that `geodns generate postfix` prints."""

import os
import shutil
import smtplib
import socket
import socketserver
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from geodns.cli.generate.plan import Asked, Section, plan_of
from geodns.cli.generate.postfix import TABLE, postfix
from geodns.config.server_keys import Listen
from geodns.model.routes import HeaderSign, MailClass, RouteRule
from tests.cli.generate.plans import BULK, ON_PORT, planned, routed
from tests.integration.cluster import free_port
from tests.integration.mailhosts import wait_until
from tests.integration.postfix_instance import PostfixInstance

pytestmark = [
    pytest.mark.skipif(shutil.which("postfix") is None, reason="no Postfix here: apt-get install postfix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix must be started by root"),
]


MAIN_CF = """\
myhostname = mta.example.com
mydestination = here.example
local_recipient_maps = inline:{{ann=x}}
inet_interfaces = 127.0.0.1
alias_maps =
mynetworks = {ours}
"""
MASTER_CF = """\
postlog unix-dgram n - n - 1 postlogd
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
rewrite unix - - n - - trivial-rewrite
127.0.0.1:{port} inet n - n - - smtpd
"""


def installed(
    folder: Path, sections: tuple[Section, ...], more: str = "", ours: str = "127.0.0.0/8", port: int = 2525
) -> PostfixInstance:
    """Write the lines into files of a Postfix of one's own, where each says that it belongs."""
    main, *others = sections
    master = MASTER_CF.format(port=port)
    master += "".join(one.text for one in others if one.where.startswith("master.cf"))
    postfix = PostfixInstance(folder, MAIN_CF.format(ours=ours) + main.text + more, master)
    for one in others:
        if one.where.startswith(TABLE):
            (postfix.etc / TABLE).write_text(one.text)
    return postfix


def ran(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("by_map", [False, True])
def test_it_knows_every_word(by_map: bool, tmp_path: Path) -> None:
    etc = installed(tmp_path, postfix(planned(), by_map=by_map)).etc
    ran("postfix", "-c", etc, "check")
    kept = ran(
        "postconf", "-c", etc, "-xn", "smtpd_recipient_restrictions", "transport_maps", "default_transport"
    )
    assert "default_transport = relay:[out.example.com]:25" in kept
    if by_map:
        assert "transport_maps = socketmap:inet:127.0.0.1:5310:recipient" in kept
    else:
        assert "check_policy_service { inet:127.0.0.1:5310, timeout=2s, try_limit=1," in kept
    assert ran("postconf", "-c", etc, "-P") == (
        "127.0.0.1:2525/inet/cleanup_service_name = geodns-cleanup\n"
        "geodns-cleanup/unix/header_checks = regexp:$config_directory/geodns_classes\n"
        "geodns-cleanup/unix/mime_header_checks =\n"
        "geodns-cleanup/unix/nested_header_checks =\n"
    )


def test_its_table_of_headers(tmp_path: Path) -> None:
    sign = HeaderSign(header="X-Odd", value="a/b|c++|(d)|$e^")
    odd = MailClass(name="odd", signs=(sign,))
    for name, zone in (
        ("sample", planned().zone),
        ("odd", routed(RouteRule(mail_class=("odd",), use=BULK), classes=(odd,))),
    ):
        (tmp_path / name).write_text(postfix(plan_of(zone, ON_PORT))[-1].text)

    def found(table: str, header: str) -> str | None:
        done = subprocess.run(
            ["postmap", "-q", header, f"regexp:{tmp_path / table}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.stderr
        return done.stdout.strip() or None

    bulk, fast = (
        f"FILTER relay:[{where}" for where in ("bulk.out.example.com]:587", "fast.out.example.com]:25")
    )
    assert found("sample", "List-Unsubscribe: <https://shop.example/off>") == bulk
    assert found("sample", "LIST-UNSUBSCRIBE: <https://shop.example/off>") == bulk
    assert found("sample", "Precedence: Bulk") == bulk
    assert found("sample", "Precedence:\n list ") == bulk
    assert found("sample", "Precedence: bulky") is None
    assert found("sample", "X-List-Unsubscribe: no") is None
    assert found("sample", "X-Class: tx") == fast
    for value in ("a/b", "c++", "(d)", "$e^"):
        assert found("odd", f"X-Odd: {value}") == "FILTER relay:[bulk.out.example.com]:25"
    assert found("odd", "X-Odd: ccc") is None


class _Filter(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            if line == b"\n":
                self.wfile.write(b"action=FILTER relay:[bulk.out.example.com]:25\n\n")


@pytest.fixture
def filters() -> Iterator[Asked]:
    """A policy service that would have every message leave."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Filter) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield Asked(Listen("127.0.0.1", server.server_address[1]))
        server.shutdown()
        thread.join()


@contextmanager
def relaying(filters: Asked, more: str) -> Iterator[tuple[PostfixInstance, int]]:
    """A Postfix with the generated lines, to which this machine is a stranger, and its port."""
    with tempfile.TemporaryDirectory(prefix="geodns-relay-") as name:
        Path(name).chmod(0o755)  # its own user reads what is in it
        port = free_port()
        lines = postfix(planned(asked=filters))[:1]
        server = installed(Path(name), lines, more, ours="192.0.2.0/24", port=port)
        server.start()
        try:
            yield server, port
        finally:
            server.stop()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param("", 454, id="defaults"),
        pytest.param("smtpd_relay_restrictions = reject_unauth_destination\n", 554, id="own"),
    ],
)
def test_no_stranger_may_relay(filters: Asked, more: str, says: int) -> None:
    with relaying(filters, more) as (server, port), smtplib.SMTP("127.0.0.1", port, timeout=20) as session:
        session.ehlo("stranger.example")
        session.mail("a@b.example")
        assert session.rcpt("x@else.example")[0] == says, server.log()


def test_without_any_relay_control_nothing_is_taken(filters: Asked) -> None:
    missing = (
        "smtpd_recipient_restrictions, specify at least one working instance of: reject_unauth_destination"
    )
    with (
        relaying(filters, "smtpd_relay_restrictions =\n") as (server, port),
        socket.create_connection(("127.0.0.1", port), 20),
    ):
        wait_until(lambda: missing in server.log(), what=f"Postfix refuses to begin: {server.log()}")
