"""A real Exim as the probed host: it delays its greeting, drops early talkers, and makes TLS by GnuTLS."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from geodns.health.outcome import ProbeResult
from tests.health.certificates import Authority, authority
from tests.health.certificates import server as certified
from tests.integration.cluster import free_port
from tests.integration.mailhosts import wait_until
from tests.integration.probing import probe_now, trusting

EXIM = shutil.which("exim4") or shutil.which("exim")

CONFIGURATION = """\
primary_hostname = mta1.out.example.com
spool_directory = {folder}/spool
log_file_path = {folder}/log-%s
keep_environment =
daemon_smtp_ports = {plain} : {wrapped}
tls_on_connect_ports = {wrapped}
local_interfaces = <; 127.0.0.1
tls_advertise_hosts = *
tls_certificate = {folder}/server.pem
smtp_enforce_sync = true
log_selector = +smtp_connection +smtp_protocol_error +smtp_syntax_error +smtp_no_mail
acl_smtp_connect = delays
acl_smtp_rcpt = takes
begin acl
delays:
  accept delay = 1s
takes:
  deny domains = busy.example
       message = no
  defer domains = later.example
        message = greylisted
  accept
"""


def _starts() -> bool:
    """Tell whether there is an Exim whose own user exists."""
    if EXIM is None or os.geteuid() != 0:
        return False
    asked = subprocess.run([EXIM, "-C", "/dev/null", "-bV"], capture_output=True, timeout=20, check=False)
    return asked.returncode == 0


pytestmark = pytest.mark.skipif(not _starts(), reason="no Exim here, or not root: apt-get install exim4")


class Exim(NamedTuple):
    """A running Exim, with nothing of the machine's configuration.

    Attributes:
        plain: its port.
        wrapped: its port where TLS comes first.
        folder: its files.
        signer: who signed its certificate.

    """

    plain: int
    wrapped: int
    folder: Path
    signer: Authority

    def log(self) -> str:
        """Everything in its main log."""
        file = self.folder / "log-main"
        return file.read_text() if file.exists() else ""


@pytest.fixture(scope="module")
def exim() -> Iterator[Exim]:
    assert EXIM is not None
    with tempfile.TemporaryDirectory(prefix="geodns-exim-") as name:
        folder = Path(name)
        (folder / "spool").mkdir()
        signer = authority()
        certified(folder, signer)
        one = Exim(free_port(), free_port(), folder, signer)
        text = CONFIGURATION.format(folder=folder, plain=one.plain, wrapped=one.wrapped)
        (folder / "conf").write_text(text)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o644)  # for its own user, whatever that is called
        process = subprocess.Popen(
            [EXIM, "-C", str(folder / "conf"), "-bdf", "-oP", str(folder / "spool/pid")],
            stdin=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: "daemon started" in one.log(), what=f"Exim starts: {one.log()}")
            yield one
        finally:
            process.terminate()
            process.wait(10)


@pytest.mark.parametrize(
    ("check", "kind", "detail"),
    [
        pytest.param({}, ProbeResult.OK, "220 mta1.out.example.com ESMTP Exim", id="plain"),
        pytest.param(
            {"type": "submission", "starttls": "offered", "require": ("SIZE", "STARTTLS")},
            ProbeResult.OK,
            "220 mta1.out.example.com ESMTP Exim",
            id="submission",
        ),
        pytest.param({"rcpt_to": "a@here.example"}, ProbeResult.OK, "220 mta1", id="recipient"),
        pytest.param(
            {"rcpt_to": "a@busy.example"}, ProbeResult.FAILURE, "RCPT TO: 550 no", id="no-recipient"
        ),
        pytest.param(
            {"rcpt_to": "a@later.example"},
            ProbeResult.DEFERRED,
            "RCPT TO: 451 greylisted",
            id="recipient-later",
        ),
        pytest.param({"require": ("XCLIENT",)}, ProbeResult.FAILURE, "XCLIENT is not offered", id="keyword"),
    ],
)
def test_probes(exim: Exim, check: dict[str, Any], kind: ProbeResult, detail: str) -> None:
    outcome = probe_now(exim.plain, **check)
    assert outcome.kind is kind
    assert outcome.detail.startswith(detail)
    assert dict(outcome.steps)["greeting"] > 0.9
    assert dict(outcome.steps)["EHLO"] < 0.5


def test_its_certificate(exim: Exim) -> None:
    assert probe_now(exim.wrapped, type="smtps").kind is ProbeResult.OK
    stranger = probe_now(exim.wrapped, type="smtps", verify="required")
    assert stranger.detail.startswith("TLS is broken: certificate unknown issuer: mta1.out.example.com")
    with trusting(exim.signer.trusted_in(exim.folder)):
        for port, check in (
            (exim.wrapped, {"type": "smtps", "verify": "required"}),
            (exim.plain, {"starttls": "verified"}),
        ):
            outcome = probe_now(port, **check)
            assert outcome.kind is ProbeResult.OK
            assert outcome.certificate is not None
            assert outcome.certificate.problem is None


def test_probes_leave_a_polite_log(exim: Exim) -> None:
    before = exim.log()
    for check in ({}, {"starttls": "offered"}, {"rcpt_to": "a@here.example"}):
        assert probe_now(exim.plain, **check).kind is ProbeResult.OK
    log = exim.log().removeprefix(before)
    for rude in ("synchronization", "unexpected disconnection", "lost", "error", "incomplete"):
        assert rude not in log
    assert log.count("QUIT") >= 3
