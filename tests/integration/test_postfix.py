"""A real Postfix as the probed host: its banner is read, its end and return are seen, its log stays clean."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from geodns.health.outcome import ProbeResult
from tests.health.servers import server_context
from tests.integration.cluster import QUICK, Server, free_port, serving
from tests.integration.hammer import Hammer
from tests.integration.mailhosts import mail_hosts, wait_until
from tests.integration.postfix_instance import PostfixInstance
from tests.integration.probing import probe_now

NAME = "out.example.com"

pytestmark = [
    pytest.mark.skipif(shutil.which("postfix") is None, reason="no Postfix here: apt-get install postfix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix must be started by root"),
]

MAIN_CF = """\
myhostname = mta1.out.example.com
mydestination = here.example
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps = inline:{{postmaster=x}}
smtpd_banner = $myhostname ESMTP real Postfix
smtpd_tls_chain_files = {folder}/server.pem
smtpd_tls_security_level = may
postscreen_access_list =
postscreen_greet_wait = 1s
postscreen_greet_action = enforce
postscreen_greet_banner = be patient
postscreen_cache_map =
"""

MASTER_CF = """\
127.0.0.1:{plain} inet n - n - - smtpd
127.0.0.1:{screened} inet n - n - 1 postscreen
127.0.0.1:{wrapped} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
127.0.0.1:{proxied} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
127.0.0.1:{alone} inet n - n - - smtpd -o syslog_name=alone
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
tlsmgr unix - - n 1000? 1 tlsmgr
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(PostfixInstance):
    """One that is probed.

    Attributes:
        plain: the port of its SMTP server.
        screened: the port where postscreen stands before it, which makes clients wait and punishes those
            that do not.
        wrapped: the port where TLS comes first.
        proxied: the port where a PROXY header is expected.
        alone: a port whose lines in the log are told from the others'.

    """

    def __init__(self, folder: Path) -> None:
        self.plain = free_port()
        self.screened = free_port()
        self.wrapped = free_port()
        self.proxied = free_port()
        self.alone = free_port()
        server_context(folder)  # leaves server.pem
        ports = {name: getattr(self, name) for name in ("plain", "screened", "wrapped", "proxied", "alone")}
        super().__init__(folder, MAIN_CF.format(folder=folder), MASTER_CF.format(**ports))

    def log(self) -> str:
        """Everything it has logged but for the port `alone`."""
        lines = super().log().splitlines(keepends=True)
        return "".join(line for line in lines if " alone/smtpd[" not in line)

    def log_alone(self) -> list[str]:
        """What it has logged of the port `alone`: the lines' texts."""
        lines = super().log().splitlines()
        return [line.rstrip().partition("]: ")[2] for line in lines if " alone/smtpd[" in line]


@contextmanager
def running_postfix() -> Iterator[Postfix]:
    with tempfile.TemporaryDirectory(prefix="geodns-postfix-") as folder:
        Path(folder).chmod(0o755)  # Postfix's own user reads what is in it
        postfix = Postfix(Path(folder))
        try:
            postfix.start()
            yield postfix
        except BaseException:
            print(postfix.log())  # noqa: T201
            raise
        finally:
            postfix.stop()


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    with running_postfix() as running:
        yield running


@pytest.fixture(scope="module")
def server(postfix: Postfix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two hosts of the zone are Postfix: one by its SMTP server, one by postscreen; the third is ours."""
    text = f"""\
ttl: 5
ns: {{ns1: 192.0.2.53}}
checks:
  smtp: {QUICK}
  tls: {{type: smtp, port: {postfix.plain}, starttls: offered, ehlo: probe.example.com, interval: 1s}}
hosts:
  mta1: {{address: 192.0.2.1, probe: "127.0.0.1:{postfix.plain}"}}
  mta2: {{address: 192.0.2.2, probe: "127.0.0.1:{postfix.screened}"}}
  mta3: {{address: 192.0.2.3, probe: "MTA3"}}
pools:
  main: {{hosts: "*", check: smtp, answers: 1}}
  tls: {{hosts: mta1, check: tls}}
records:
  "@": {{A: {{pool: main}}, MX: {{pool: main, preference: 10}}}}
  tls: {{A: {{pool: tls}}, MX: "0 ."}}
"""
    with mail_hosts("mta3") as hosts:
        texts = {NAME: text.replace("MTA3", hosts["mta3"].endpoint)}
        with serving(tmp_path_factory.mktemp("postfix"), texts) as running:
            yield running


def test_banner_is_read(server: Server) -> None:
    host = wait_until(lambda: (one := server.host("mta1"))["state"] == "up" and one, what="mta1 is up")
    details = {check["check"]: check["detail"] for check in host["checks"]}
    assert details["smtp"] == "220 mta1.out.example.com ESMTP real Postfix"
    assert "220 mta1.out.example.com ESMTP real Postfix" in details["tls"]
    assert {check["outcome"] for check in host["checks"]} == {"ok"}


def test_postscreen_lets_the_prober_pass_since_it_waits(server: Server, postfix: Postfix) -> None:
    host = wait_until(
        lambda: (one := server.host("mta2"))["checks"][0]["outcome"] and one, what="a probe of mta2"
    )
    assert (host["state"], host["checks"][0]["outcome"]) == ("up", "ok")
    assert "PASS NEW" in postfix.log() or "PASS OLD" in postfix.log()
    assert "PREGREET" not in postfix.log()


def test_probes_leave_a_polite_log(server: Server, postfix: Postfix) -> None:
    wait_until(lambda: postfix.log().count(": disconnect from") > 6, what="some probes have been logged")
    log = postfix.log()
    ends = [line for line in log.splitlines() if ": disconnect from" in line]
    assert all(
        line.endswith((" ehlo=1 quit=1 commands=2", " ehlo=2 starttls=1 quit=1 commands=4")) for line in ends
    )
    assert any("starttls=1" in line for line in ends)
    for rude in ("lost connection", "improper command pipelining", "timeout", "SSL_accept error", "HANGUP"):
        assert rude not in log
    assert server.state_of("mta1") == "up"


@pytest.mark.parametrize(
    ("check", "lines"),
    [
        pytest.param(
            {},
            [
                "connect from localhost[127.0.0.1]",
                "disconnect from localhost[127.0.0.1] ehlo=1 quit=1 commands=2",
            ],
            id="smtp",
        ),
        pytest.param(
            {"starttls": "offered"},
            [
                "connect from localhost[127.0.0.1]",
                "disconnect from localhost[127.0.0.1] ehlo=2 starttls=1 quit=1 commands=4",
            ],
            id="starttls",
        ),
        pytest.param(
            {"type": "tcp"},
            [
                "connect from localhost[127.0.0.1]",
                "lost connection after CONNECT from localhost[127.0.0.1]",
                "disconnect from localhost[127.0.0.1] commands=0/0",
            ],
            id="tcp",
        ),
    ],
)
def test_lines_of_one_probe(postfix: Postfix, check: dict[str, Any], lines: list[str]) -> None:
    """What a probe leaves in the log; a mere connect leaves a complaint."""
    before = len(postfix.log_alone())
    assert probe_now(postfix.alone, **check).kind is ProbeResult.OK
    wait_until(
        lambda: postfix.log_alone()[before:] == lines, what=f"the probe is logged: {postfix.log_alone()}"
    )


def test_it_is_asked_for_more(postfix: Postfix) -> None:
    banner = "220 mta1.out.example.com ESMTP real Postfix"
    for port, check in (
        (postfix.plain, {"type": "submission", "starttls": "offered", "require": ("SIZE", "8BITMIME")}),
        (postfix.plain, {"expect": "real Postfix$", "rcpt_to": "postmaster@here.example"}),
        (postfix.wrapped, {"type": "smtps", "require": ("SIZE",)}),
        (postfix.proxied, {"proxy_protocol": "v1"}),
        (postfix.proxied, {"proxy_protocol": "v2"}),
    ):
        outcome = probe_now(port, **check)
        assert (outcome.kind, outcome.detail) == (ProbeResult.OK, banner), check
    wrapped = probe_now(postfix.wrapped, type="smtps", sni="mta1.out.example.com")
    assert wrapped.certificate is not None
    assert (wrapped.certificate.problem, wrapped.certificate.subject) == (
        "self-signed",
        "mta1.out.example.com",
    )
    refused = probe_now(postfix.plain, rcpt_to="nobody@here.example")
    assert refused.kind is ProbeResult.FAILURE
    assert refused.detail.startswith("RCPT TO: 550 5.1.1 <nobody@here.example>: Recipient address rejected")
    for rude in ("lost connection", "improper command pipelining", "timeout"):
        assert rude not in postfix.log()
    assert "ehlo=1 mail=1 rcpt=1 rset=1 quit=1 commands=5" in postfix.log()
    strict = probe_now(postfix.plain, starttls="verified")
    assert strict.detail.startswith("STARTTLS is broken: certificate self-signed: mta1.out.example.com")


def test_stopped_it_leaves_the_answers_and_started_it_comes_back(server: Server, postfix: Postfix) -> None:
    wait_until(lambda: server.seen(NAME) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}, what="all are dealt")
    with Hammer(server, NAME) as client:
        postfix.stop()
        wait_until(lambda: server.seen(NAME) == {"192.0.2.3"}, what="Postfix leaves the answers")
        host = server.host("mta1")
        assert (host["state"], host["checks"][0]["outcome"]) == ("down", "failure")
        # What was waiting for a greeting is reset.
        wait_until(
            lambda: "refused" in server.host("mta1")["checks"][0]["detail"], what="it refuses connections"
        )
        assert server.values(f"mta1.{NAME}") == ["192.0.2.1"]  # its own name answers all the same
        postfix.start()
        wait_until(lambda: len(server.seen(NAME)) == 3, what="Postfix comes back")
    assert not client.problems
