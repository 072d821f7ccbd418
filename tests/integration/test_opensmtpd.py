"""A real OpenSMTPD as the probed host: it is asked how far it would take mail, is stopped, and comes back."""

import os
import pwd
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from geodns.health.outcome import ProbeResult
from tests.health.certificates import NAME, Authority, authority
from tests.health.certificates import server as certified
from tests.integration.cluster import QUICK, Server, free_port, serving
from tests.integration.hammer import Hammer
from tests.integration.mailhosts import mail_hosts, wait_until
from tests.integration.probing import probe_now, trusting

SMTPD = shutil.which("smtpd")
ZONE = "out.example.com"
BANNER = f"220 {NAME} ESMTP OpenSMTPD"

CONFIGURATION = f"""\
pki {NAME} cert "{{folder}}/server.pem"
pki {NAME} key "{{folder}}/server.pem"
table known {{{{ postmaster = root }}}}
listen on 127.0.0.1 port {{plain}} tls pki {NAME} hostname {NAME}
listen on 127.0.0.1 port {{wrapped}} smtps pki {NAME} hostname {NAME}
action takes maildir virtual <known>
match from any for domain "here.example" action takes
"""

PRIVATE = """\
for folder in /var/spool /var/lib /run; do mount -t tmpfs -o mode=755 none "$folder"; done
mkdir -p -m 711 /var/spool/smtpd /var/lib/opensmtpd/empty
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift
exec "$@"
"""
"""Its folders are compiled in: a mount namespace of its own has them, and lets it ask no name server."""


def _in_private(folder: Path, *command: str) -> tuple[str, ...]:
    return "unshare", "--mount", "--", "sh", "-ec", PRIVATE, "sh", str(folder), *command


def _starts() -> bool:
    """Tell whether there is an OpenSMTPD with its users, and a mount namespace to be had for it."""
    if SMTPD is None or shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    if not {"opensmtpd", "opensmtpq"} <= {user.pw_name for user in pwd.getpwall()}:
        return False
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "resolv.conf").touch()
        tried = subprocess.run(
            _in_private(Path(folder), "true"), capture_output=True, timeout=20, check=False
        )
    return tried.returncode == 0


pytestmark = pytest.mark.skipif(
    not _starts(), reason="no OpenSMTPD here, or not root: apt-get install opensmtpd"
)


class Opensmtpd:
    """An OpenSMTPD of our own, with nothing of the machine's configuration.

    Attributes:
        plain: its port.
        wrapped: its port where TLS comes first.
        folder: its files.
        signer: who signed its certificate.

    """

    def __init__(self, folder: Path) -> None:
        self.plain = free_port()
        self.wrapped = free_port()
        self.folder = folder
        self.signer: Authority = authority()
        self._process: subprocess.Popen[bytes] | None = None
        certified(folder, self.signer)
        (folder / "server.pem").chmod(0o600)  # it takes no key that others may read
        (folder / "resolv.conf").write_text("lookup file\n")
        text = CONFIGURATION.format(folder=folder, plain=self.plain, wrapped=self.wrapped)
        (folder / "conf").write_text(text)

    def log(self) -> str:
        """Everything it has logged."""
        with suppress(FileNotFoundError):
            return (self.folder / "log").read_text()
        return ""

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert SMTPD is not None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _in_private(self.folder, SMTPD, "-d", "-f", str(self.folder / "conf")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._listens, what=f"OpenSMTPD starts: {self.log()}")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.wrapped), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it, and all it has started."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def opensmtpd() -> Iterator[Opensmtpd]:
    with tempfile.TemporaryDirectory(prefix="geodns-opensmtpd-") as folder:
        running = Opensmtpd(Path(folder))
        try:
            running.start()
            yield running
        except BaseException:
            print(running.log())  # noqa: T201
            raise
        finally:
            running.stop()


@pytest.fixture(scope="module")
def server(opensmtpd: Opensmtpd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A zone whose first host is OpenSMTPD and whose second is ours."""
    text = f"""\
ttl: 5
ns: {{ns1: 192.0.2.53}}
checks:
  smtp: {QUICK}
  mail: {{type: smtp, rcpt_to: postmaster@here.example, require: [SIZE, STARTTLS]}}
hosts:
  mta1: {{address: 192.0.2.1, probe: "127.0.0.1:{opensmtpd.plain}"}}
  mta2: {{address: 192.0.2.2, probe: "MTA2"}}
pools:
  main: {{hosts: "*", check: smtp, answers: 1}}
  mail: {{hosts: mta1, check: mail}}
records:
  "@": {{A: {{pool: main}}, MX: {{pool: main, preference: 10}}}}
  mail: {{A: {{pool: mail}}, MX: "0 ."}}
"""
    with mail_hosts("mta2") as hosts:
        texts = {ZONE: text.replace("MTA2", hosts["mta2"].endpoint)}
        with serving(tmp_path_factory.mktemp("opensmtpd"), texts) as running:
            yield running


def outcomes(server: Server) -> dict[tuple[str, str], str]:
    """What OpenSMTPD's last probes found in detail, by check and outcome."""
    return {(one["check"], one["outcome"]): one["detail"] for one in server.host("mta1")["checks"]}


def test_banner_is_read_and_a_recipient_taken(server: Server) -> None:
    wait_until(lambda: server.state_of("mta1") == "up", what="mta1 is up")
    assert outcomes(server) == {("smtp", "ok"): BANNER, ("mail", "ok"): BANNER}


@pytest.mark.parametrize(
    ("check", "kind", "detail"),
    [
        pytest.param({}, ProbeResult.OK, BANNER, id="plain"),
        pytest.param(
            {"require": ("SIZE", "STARTTLS", "8BITMIME", "DSN")}, ProbeResult.OK, BANNER, id="keywords"
        ),
        pytest.param(
            {"require": ("CHUNKING",)}, ProbeResult.FAILURE, "CHUNKING is not offered", id="no-keyword"
        ),
        pytest.param({"expect": "OpenSMTPD$"}, ProbeResult.OK, BANNER, id="text"),
        pytest.param(
            {"expect": "Postfix"},
            ProbeResult.FAILURE,
            f"the greeting does not match 'Postfix': {BANNER}",
            id="other-text",
        ),
        pytest.param({"rcpt_to": "postmaster@here.example"}, ProbeResult.OK, BANNER, id="recipient"),
        pytest.param(
            {"mail_from": "a@there.example", "rcpt_to": "postmaster@here.example"},
            ProbeResult.OK,
            BANNER,
            id="sender",
        ),
        pytest.param(
            {"rcpt_to": "nobody@here.example"},
            ProbeResult.FAILURE,
            "RCPT TO: 524 5.2.4 Mailing list expansion problem",
            id="no-recipient",
        ),
        pytest.param(
            {"rcpt_to": "a@there.example"},
            ProbeResult.FAILURE,
            "RCPT TO: 550 Invalid recipient",
            id="no-relay",
        ),
    ],
)
def test_probes(opensmtpd: Opensmtpd, check: dict[str, Any], kind: ProbeResult, detail: str) -> None:
    outcome = probe_now(opensmtpd.plain, **check)
    assert outcome.kind is kind
    assert outcome.detail.startswith(detail)


def test_its_certificate(opensmtpd: Opensmtpd) -> None:
    """Its version 6.8 finishes no handshake with OpenSSL 3 (its issue 1171), as others that ask may see."""
    stranger = probe_now(opensmtpd.plain, starttls="verified")
    assert stranger.kind is ProbeResult.FAILURE
    assert stranger.detail.startswith(f"STARTTLS is broken: certificate unknown issuer: {NAME}")
    works = handshake_works(opensmtpd)
    with trusting(opensmtpd.signer.trusted_in(opensmtpd.folder)):
        for port, check in (
            (opensmtpd.wrapped, {"type": "smtps"}),
            (opensmtpd.wrapped, {"type": "smtps", "verify": "required"}),
            (opensmtpd.plain, {"starttls": "offered"}),
            (opensmtpd.plain, {"type": "submission", "starttls": "verified"}),
        ):
            outcome = probe_now(port, **check)
            if works:
                assert (outcome.kind, outcome.detail) == (ProbeResult.OK, BANNER)
                assert outcome.certificate is not None
                assert outcome.certificate.problem is None
            else:
                what = "TLS" if port == opensmtpd.wrapped else "STARTTLS"
                assert outcome.kind is ProbeResult.FAILURE
                assert outcome.detail == f"{what} is broken: TLSV1_ALERT_INTERNAL_ERROR"


def handshake_works(opensmtpd: Opensmtpd) -> bool:
    """Tell whether somebody else can have TLS with it, who believes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", opensmtpd.plain, timeout=10) as client:
        try:
            client.starttls(context=context)
            client.noop()
        except (ssl.SSLError, smtplib.SMTPServerDisconnected):
            client.close()
            return False
        return True


def test_probes_leave_a_polite_log(opensmtpd: Opensmtpd) -> None:
    before = opensmtpd.log()
    for check in ({}, {"require": ("SIZE",)}, {"rcpt_to": "postmaster@here.example"}):
        assert probe_now(opensmtpd.plain, **check).kind is ProbeResult.OK
    wait_until(lambda: opensmtpd.log().removeprefix(before).count("reason=quit") >= 3, what="they are logged")
    log = opensmtpd.log().removeprefix(before)
    for rude in ("failed-command", "io-error", "reason=disconnect", "timeout"):
        assert rude not in log


def test_stopped_it_leaves_the_answers_and_started_it_comes_back(
    server: Server, opensmtpd: Opensmtpd
) -> None:
    wait_until(lambda: server.seen(ZONE) == {"192.0.2.1", "192.0.2.2"}, what="both are dealt")
    with Hammer(server, ZONE) as client:
        opensmtpd.stop()
        wait_until(lambda: server.seen(ZONE) == {"192.0.2.2"}, what="OpenSMTPD leaves the answers")
        assert server.state_of("mta1") == "down"
        # `mail` may not have noticed yet; and what was waiting for a greeting is reset.
        wait_until(
            lambda: "refused" in outcomes(server).get(("smtp", "failure"), ""), what="it refuses connections"
        )
        opensmtpd.start()
        wait_until(lambda: len(server.seen(ZONE)) == 2, what="OpenSMTPD comes back")
    assert not client.problems
