"""Real Postfix and Exim that send, each through a content filter and by two addresses."""

import os
import shutil
import signal
import smtplib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tests.integration.cluster import free_port
from tests.integration.mailhosts import wait_until
from tests.integration.outgoing import DOMAINS, OTHER, OWN, SECOND, mail_server
from tests.integration.postfix_instance import PostfixInstance

MAIN_CF = """\
myhostname = mta1.out.example.com
mydestination =
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
alias_maps =
smtp_bind_address = {own}
smtp_bind_address_enforce = no
smtp_host_lookup = native
initial_destination_concurrency = 1
smtp_tls_security_level = none
transport_maps = inline:{{{transports}}}
content_filter = scan:[127.0.0.1]:{scanner}
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_relay_restrictions = permit_mynetworks, reject
"""
MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{again} inet n - n - - smtpd -o content_filter= -o syslog_name=postfix/again
scan unix - - n - - smtp -o smtp_bind_address= -o syslog_name=postfix/scan
smtp unix - - n - - smtp
smtp-b unix - - n - - smtp -o smtp_bind_address={second} -o syslog_name=postfix/smtp-b
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(PostfixInstance):
    """A Postfix that sends through a content filter, and by two addresses.

    Attributes:
        port: where it takes mail.
        log_path: of its log.

    """

    def __init__(self, folder: Path, scanner: int, again: int) -> None:
        self.port = free_port()
        self.log_path = folder / "log"
        others = {domain: f"smtp:[{address}]" for domain, address in DOMAINS.items()}
        others |= {
            "second.example": f"smtp-b:[{OTHER}]",
            "sender.example": "discard:",
            "here.example": "discard:",
        }
        transports = ", ".join(f"{{{domain}={where}}}" for domain, where in others.items())
        main = MAIN_CF.format(own=OWN, transports=transports, scanner=scanner)
        super().__init__(folder, main, MASTER_CF.format(port=self.port, again=again, second=SECOND))

    def rotate(self) -> None:
        """Have it rename and compress its log, and begin another."""
        self.command("postfix", "logrotate")

    def flush(self) -> None:
        """Have it try all that was put off again."""
        self.command("postqueue", "-f")

    @contextmanager
    def running(self) -> Iterator[None]:
        try:
            self.start()
            yield
        finally:
            self.stop()


EXIM = shutil.which("exim4") or shutil.which("exim")
EXIM_CONF = """\
primary_hostname = mta1.out.example.com
spool_directory = {folder}/spool
log_file_path = {folder}/log-%s
keep_environment =
exim_path = {exim}
daemon_smtp_ports = {port} : {again}
local_interfaces = <; 127.0.0.1
tls_advertise_hosts =
hosts_treat_as_local =
log_selector = +incoming_interface +outgoing_interface
acl_smtp_rcpt = takes
begin acl
takes:
  accept
begin routers
back:
  driver = redirect
  domains = sender.example : here.example
  data = :blackhole:
scan:
  driver = manualroute
  condition = ${{if eq{{$received_port}}{{{again}}}{{no}}{{yes}}}}
  route_list = * 127.0.0.1::{scanner} byname
  self = send
  transport = scan_smtp
out:
  driver = manualroute
  route_list = {routes}
  transport = remote_smtp
begin transports
scan_smtp:
  driver = smtp
  allow_localhost
  hosts_try_fastopen =
remote_smtp:
  driver = smtp
  interface = {own}
  hosts_try_fastopen =
second_smtp:
  driver = smtp
  interface = {second}
  hosts_try_fastopen =
begin retry
* * F,2h,15m
"""


def exim_starts() -> bool:
    """Tell whether there is an Exim whose own user exists."""
    if EXIM is None or os.geteuid() != 0:
        return False
    return (
        subprocess.run(
            [EXIM, "-C", "/dev/null", "-bV"], capture_output=True, timeout=20, check=False
        ).returncode
        == 0
    )


class Exim:
    """An Exim that sends through a content filter, and by two addresses.

    Attributes:
        port: where it takes mail.
        log_path: of its main log.

    """

    def __init__(self, folder: Path, scanner: int, again: int) -> None:
        self.port = free_port()
        self.log_path = folder / "log-main"
        self._conf = folder / "conf"
        (folder / "spool").mkdir()
        routes = [f"{domain} {address}" for domain, address in DOMAINS.items() if domain != "second.example"]
        routes.append(f"second.example {OTHER} byname second_smtp")
        text = EXIM_CONF.format(
            folder=folder,
            port=self.port,
            again=again,
            scanner=scanner,
            routes=" ; ".join(routes),
            own=OWN,
            second=SECOND,
            exim=EXIM,
        )
        self._conf.write_text(text)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o644)  # for its own user, whatever that is called

    def flush(self) -> None:
        """Have it try all that was put off again."""
        assert EXIM is not None
        subprocess.run([EXIM, "-C", str(self._conf), "-qff"], check=True, timeout=30)

    @contextmanager
    def running(self) -> Iterator[None]:
        assert EXIM is not None
        process = subprocess.Popen(
            [EXIM, "-C", str(self._conf), "-bdf", "-oP", str(self._conf.parent / "spool/pid")],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(
                lambda: self.log_path.exists() and "daemon started" in self.log_path.read_text(),
                what="it starts",
            )
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)


M = TypeVar("M", Postfix, Exim)


@contextmanager
def filtered(kind: Callable[[Path, int, int], M], name: str) -> Iterator[M]:
    """Start a mail server, and its content filter, which gives everything back to it."""
    scanner, again = free_port(), free_port()

    def give_back(sender: str, recipients: list[str], message: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", again, timeout=20) as client:
            client.sendmail(sender, recipients, message)

    with tempfile.TemporaryDirectory(prefix=f"geodns-{name}-") as path:
        folder = Path(path)
        folder.chmod(0o755)  # its own user reads what is in it
        server = kind(folder, scanner, again)
        with mail_server("127.0.0.1", scanner, {}, give_back):
            try:
                with server.running():
                    yield server
            except BaseException:
                print(server.log_path.read_text())  # noqa: T201
                raise
