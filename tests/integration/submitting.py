"""A real Postfix that submits to pools of real mail servers, in a network where ports 25 and 53 are free."""

import re
import shutil
import smtplib
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from email.message import EmailMessage
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from tests.integration.mailhosts import wait_until
from tests.integration.outgoing import Replies, mail_server
from tests.integration.postfix_instance import PostfixInstance

DNS = "127.0.0.53"
"""Where geodns is asked: Postfix's resolver knows port 53 alone."""
INBOUND, SUBMISSION, IMPATIENT = 25, 587, 588
"""Its ports: the last one asks geodns with the time limit that is generated, the others wait longer."""
NUMBER = "X-Number"
"""The header that tells messages apart."""
NOBODY = 65534

OWN = "127.0.1.1"
"""The address of its own that is not asked for mail here: a host of a pool may be the MTA itself."""

MAIN_CF = f"""\
inet_interfaces = 127.0.0.1, {OWN}
myhostname = mta.example.com
mydestination = here.example
myorigin = here.example
virtual_mailbox_domains = virtual.example
virtual_mailbox_maps = inline:{{{{vic@virtual.example=vic}}}}
virtual_mailbox_base = {{boxes}}
virtual_uid_maps = static:{NOBODY}
virtual_gid_maps = static:{NOBODY}
alias_maps = inline:{{{{ann={{boxes}}/ann, postmaster={{boxes}}/postmaster}}}}
local_recipient_maps = $alias_maps
allow_mail_to_files = alias
mynetworks = 127.0.0.0/8, 192.0.2.0/24
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtp_tls_security_level = none
smtp_connect_timeout = 5s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
"""

MASTER_CF = f"""\
127.0.0.1:{INBOUND} inet n - n - - smtpd
smtp unix - - y - - smtp
relay unix - - y - - smtp -o syslog_name=postfix/relay
local unix - n n - - local
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - y - - trivial-rewrite
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
"""What sends and what looks up next hops is chrooted, as Debian has it."""


class Mail(NamedTuple):
    """A message to hand in.

    Attributes:
        number: in its header `NUMBER`.
        headers: beyond those that all have.
        size: bytes of its text.
        client: address from which it seems to come.
        login: user that seems to have logged in.
        forwarded: the headers of a message that is attached.

    """

    number: str
    recipients: tuple[str, ...]
    sender: str = "someone@example.com"
    headers: tuple[tuple[str, str], ...] = ()
    size: int = 20
    client: str = "127.0.0.1"
    login: str = ""
    forwarded: tuple[tuple[str, str], ...] | None = None

    def text(self) -> bytes:
        message = EmailMessage()
        message[NUMBER] = self.number
        message["Subject"] = "a message"
        for name, value in self.headers:
            message[name] = value
        message.set_content(("x" * 69 + "\n") * (self.size // 70) + "y" * (self.size % 70) + "\n")
        if self.forwarded is not None:
            attached = EmailMessage()
            for name, value in self.forwarded:
                attached[name] = value
            attached.set_content("Good news.\n")
            message.add_attachment(attached)
        return message.as_bytes()


class Submitter(PostfixInstance):
    """A Postfix with a mailbox of its own and one of a virtual domain; all else leaves as it is told.

    Attributes:
        boxes: the folder of its mailboxes.
        told: what it has been told last.

    """

    def __init__(self, folder: Path) -> None:
        self.told = ""
        self.boxes = folder / "boxes"
        self.boxes.mkdir()
        shutil.chown(self.boxes, NOBODY, NOBODY)
        super().__init__(folder, "", "")
        self.tell("")
        (folder / "queue/etc").mkdir()
        (folder / "queue/etc/resolv.conf").write_text(f"nameserver {DNS}\noptions timeout:2 attempts:2\n")

    def tell(self, generated: str) -> None:
        """Write its files, with what `geodns generate postfix` has printed put where that says."""
        self.told = generated
        main, options, services, impatient = "", "", "", "permit_mynetworks"
        for section in generated.split("\n# ==== ")[1:]:
            where, _, lines = section.partition(" ====\n")
            file, _, place = where.partition(", ")
            if file == "main.cf":
                main = lines.replace("timeout=2s", "timeout=30s")  # this machine may be busy
                asked = re.search(r"^geodns_routes = (check_policy_service \{[^}]*\})", lines, re.MULTILINE)
                impatient = asked[1].replace("\n", " ") if asked else "permit_mynetworks"
            elif file == "master.cf" and place.startswith("in the services that take mail of your own"):
                options = lines
            elif file == "master.cf":
                services = lines
            elif place == "beside main.cf":
                (self.etc / file).write_text(lines)
            else:
                raise AssertionError(f"nobody has said where {where} is")
        submission = f"127.0.0.1:{SUBMISSION} inet n - n - - smtpd -o syslog_name=postfix/submission\n"
        quick = f"127.0.0.1:{IMPATIENT} inet n - n - - smtpd\n"
        quick += f"  -o {{ smtpd_recipient_restrictions = {impatient} }}\n"
        master = f"{MASTER_CF}{submission}{options}{quick}{services}"
        self.configure(MAIN_CF.format(boxes=self.boxes) + main, master)

    def box(self, name: str) -> str:
        """What has come into a mailbox."""
        file = self.boxes / name
        return file.read_text() if file.exists() else ""

    def queue(self) -> list[str]:
        """The recipients that mail waits for."""
        said = self.command("postqueue", "-j").stdout
        return re.findall(r'"address": "([^"]*)"', said)

    def give(self, mail: Mail) -> None:
        """Hand in a message by sendmail(1), which asks nobody where it goes."""
        sendmail = self.command("postconf", "-h", "sendmail_path").stdout.strip()
        words = [sendmail, "-C", str(self.etc), "-i", "-f", mail.sender, *mail.recipients]
        subprocess.run(words, input=mail.text(), check=True, timeout=20)

    def flush(self) -> None:
        """Have it try all that waits again."""
        self.command("postqueue", "-f")

    def lookup(self, table: str, key: str) -> str | None:
        """Ask a map as Postfix does; None: it has nothing."""
        said = self.command("postmap", "-q", key, table, check=False)
        assert said.returncode in {0, 1}, said.stderr
        assert not said.stderr, said.stderr
        return said.stdout.rstrip("\n") if said.returncode == 0 else None


@contextmanager
def submitter() -> Iterator[Submitter]:
    """A Postfix that is not started yet and ends with the block; its log is shown where that fails."""
    with tempfile.TemporaryDirectory(prefix="geodns-submitter-") as path:
        Path(path).chmod(0o755)  # its own user reads what is in it
        postfix = Submitter(Path(path))
        try:
            yield postfix
        except BaseException:
            print(postfix.log()[-20000:])  # noqa: T201
            raise
        finally:
            postfix.stop()


class Arrival(NamedTuple):
    """A message that a host has taken."""

    host: str
    port: int
    number: str
    sender: str
    recipient: str


class Hosts:
    """Mail servers, each at an address and port of its own, that take everything."""

    REPLIES: Replies = {"EHLO": ["250-mx", "250-8BITMIME", "250 SMTPUTF8"]}  # noqa: RUF012 - never changed

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self._lock = Lock()
        self._open: dict[tuple[str, int], ExitStack] = {}

    def open(self, name: str, address: str, port: int = 25) -> None:
        """Have a host take mail."""

        def take(sender: str, recipients: list[str], message: bytes) -> None:
            found = re.search(rf"^{NUMBER}: (\S+)".encode(), message, re.MULTILINE)
            number = found[1].decode() if found else ""
            with self._lock:
                self.arrivals += [Arrival(name, port, number, sender, one) for one in recipients]

        stack = ExitStack()
        stack.enter_context(mail_server(address, port, self.REPLIES, take))
        self._open[name, port] = stack

    def close(self, name: str, port: int = 25) -> None:
        """Have a host refuse connections."""
        self._open.pop((name, port)).close()

    def end(self) -> None:
        for name, port in list(self._open):
            self.close(name, port)

    def of(self, prefix: str) -> list[Arrival]:
        """What has arrived of messages whose numbers begin so."""
        with self._lock:
            return [one for one in self.arrivals if one.number.startswith(prefix)]

    def wait_for(self, prefix: str, count: int = 1, seconds: float = 30) -> list[Arrival]:
        """Wait until so much has arrived of messages whose numbers begin so."""
        return (
            wait_until(
                lambda: len(found := self.of(prefix)) >= count and found,
                seconds,
                what=f"{count} arrivals of {prefix}",
            )
            or []
        )


@contextmanager
def hosts_open() -> Iterator[Hosts]:
    hosts = Hosts()
    try:
        yield hosts
    finally:
        hosts.end()


@contextmanager
def handing_in(
    client: str = "127.0.0.1", login: str = "", port: int = SUBMISSION
) -> Iterator[Callable[[Mail], None]]:
    """One session with the Postfix, which must take every message."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=30) as session:
        session.ehlo()
        code, said = session.docmd("XCLIENT", f"ADDR={client}" + (f" LOGIN={login}" if login else ""))
        assert code == 220, said
        session.ehlo()

        def hand(mail: Mail) -> None:
            international = not all(map(str.isascii, (mail.sender, *mail.recipients)))
            options = ["SMTPUTF8"] if international else []
            refused = session.sendmail(mail.sender, mail.recipients, mail.text(), options)
            assert not refused, refused

        yield hand


def hand_in(mails: Iterable[Mail], port: int = SUBMISSION) -> None:
    """Hand messages to the Postfix, in as many sessions as there are clients and logins."""
    waiting: dict[tuple[str, str], list[Mail]] = {}
    for mail in mails:
        waiting.setdefault((mail.client, mail.login), []).append(mail)
    for (client, login), some in waiting.items():
        with handing_in(client, login, port) as hand:
            for mail in some:
                hand(mail)


def counted(arrivals: Iterable[Arrival]) -> Counter[str]:
    """How many have arrived where."""
    return Counter(one.host for one in arrivals)
