"""Real Postfix and Exim that send, and the mailbox providers that they meet, in a network of their own.

What is sent goes to public addresses, which are on this network's loopback alone: nothing leaves the machine.
"""

import ctypes
import os
import shutil
import signal
import smtplib
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import TypeVar

from tests.integration.cluster import free_port
from tests.integration.mailhosts import wait_until

CLONE_NEWNET = 0x40000000
GOOGLE, MICROSOFT, YAHOO, OTHER, DEAD = (f"203.0.113.{number}" for number in (27, 34, 77, 80, 99))
OWN, SECOND = "203.0.113.5", "203.0.113.6"
SENDER = "news@sender.example"
DOMAINS = {
    "gmail.com": GOOGLE,
    "outlook.com": MICROSOFT,
    "yahoo.com": YAHOO,
    "second.example": OTHER,
    "dead.example": DEAD,
}

TAKEN = ["250 2.0.0 ok"]
Replies = dict[str, list[str]]
"""What a provider answers, by a command or the recipient's name; a reply is its lines."""

PROVIDERS: dict[str, Replies] = {
    GOOGLE: {
        "RCPT gone": [
            "550-5.1.1 Nobody of that name has a mailbox here. Look at the",
            "550 5.1.1 spelling. a1-gsmtp",
        ],
        ". busy": [
            "421-4.7.28 There is a lot of mail that nobody asked for, originating",
            "421-4.7.28 from your IP address [203.0.113.5]. It is held back for now. a1-gsmtp",
            "421 4.7.28 Read about sending in bulk.",
        ],
    },
    YAHOO: {
        "greeting": ["421 4.7.0 [TSS04] Mail of 203.0.113.5 put off for now, users complain - 4.16.55.1"]
    },
    MICROSOFT: {
        "RCPT": [
            "550 5.7.1 Sorry, mail of [203.0.113.5] was not taken. Part of its network is on a list (S3150)."
        ]
    },
    OTHER: {},
}


def in_a_network_of_its_own(work: Callable[[], None]) -> None:
    """Do some work, in a thread and all it starts, where there is loopback alone, with more addresses."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
            ip("link", "set", "lo", "up")
            for one in (*PROVIDERS, OWN, SECOND, DEAD):
                ip("addr", "add", f"{one}/32", "dev", "lo")
            work()
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=10)


def may_have_a_network() -> bool:
    """Tell whether this user may make a network of its own."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True, timeout=10).returncode
        == 0
    )


class _Talk(socketserver.StreamRequestHandler):
    """One connection of a mail server that takes what it is not told to refuse."""

    server: "MailServer"

    def handle(self) -> None:
        with suppress(OSError):
            self.talk()

    def talk(self) -> None:
        greeting = self.server.reply("greeting")
        self.say(*(greeting if greeting != TAKEN else ["220 mx ESMTP"]))
        sender, recipients = "", []
        for line in self.rfile:
            command, _, rest = line.decode().strip().partition(" ")
            address = rest.partition("<")[2].partition(">")[0]
            reply = TAKEN
            match command.upper():
                case "MAIL":
                    sender = address
                case "RCPT":
                    reply = self.server.reply("RCPT", address)
                    if reply == TAKEN:
                        recipients.append(address)
                case "DATA":
                    self.say("354 go on")
                    message = b"".join(iter(self.rfile.readline, b".\r\n"))
                    reply = self.server.reply(".", *recipients)
                    if reply == TAKEN:
                        self.server.taken(sender, recipients, message)
                    recipients = []
                case "QUIT":
                    self.say("221 bye")
                    return
            self.say(*reply)

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


class MailServer(socketserver.ThreadingTCPServer):
    """A mail server; `taken` is called with each message."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, host: str, port: int, replies: Replies, taken: Callable[[str, list[str], bytes], object]
    ) -> None:
        super().__init__((host, port), _Talk)
        self._replies = replies
        self.taken = taken

    def reply(self, command: str, *recipients: str) -> list[str]:
        for one in recipients:
            name = one.partition("@")[0]
            if f"{command} {name}" in self._replies:
                return self._replies[f"{command} {name}"]
        return self._replies.get(command, TAKEN)


@contextmanager
def mail_server(
    host: str, port: int, replies: Replies, taken: Callable[[str, list[str], bytes], object]
) -> Iterator[MailServer]:
    server = MailServer(host, port, replies, taken)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def providers() -> Iterator[list[str]]:
    """Open the providers; the list gets the recipients whose mail was taken."""
    taken: list[str] = []

    def take(_sender: str, recipients: list[str], _message: bytes) -> None:
        taken.extend(recipients)

    with (
        mail_server(GOOGLE, 25, PROVIDERS[GOOGLE], take),
        mail_server(YAHOO, 25, PROVIDERS[YAHOO], take),
        mail_server(MICROSOFT, 25, PROVIDERS[MICROSOFT], take),
        mail_server(OTHER, 25, PROVIDERS[OTHER], take),
    ):
        yield taken


def send(port: int, *recipients: str) -> None:
    """Give a mail server on loopback a message."""
    message = EmailMessage()
    message["From"] = SENDER
    message["Subject"] = "news"
    message.set_content("Good news.\n")
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.send_message(message, SENDER, recipients)


MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
inet_protocols = ipv4
inet_interfaces = 127.0.0.1
myhostname = mta1.out.example.com
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
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


class Postfix:
    """A Postfix that sends through a content filter, and by two addresses.

    Attributes:
        port: where it takes mail.
        log: its log.

    """

    def __init__(self, folder: Path, scanner: int, again: int) -> None:
        self.port = free_port()
        self.log = folder / "log"
        self._etc = folder / "etc"
        for name in ("etc", "data", "queue"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        others = {domain: f"smtp:[{address}]" for domain, address in DOMAINS.items()}
        others |= {
            "second.example": f"smtp-b:[{OTHER}]",
            "sender.example": "discard:",
            "here.example": "discard:",
        }
        transports = ", ".join(f"{{{domain}={where}}}" for domain, where in others.items())
        main = MAIN_CF.format(folder=folder, own=OWN, transports=transports, scanner=scanner)
        (self._etc / "main.cf").write_text(main)
        master = MASTER_CF.format(port=self.port, again=again, second=SECOND)
        (self._etc / "master.cf").write_text(master)

    def rotate(self) -> None:
        """Have it rename and compress its log, and begin another."""
        subprocess.run(["postfix", "-c", str(self._etc), "logrotate"], check=True, timeout=20)

    def flush(self) -> None:
        """Have it try all that was put off again."""
        subprocess.run(["postqueue", "-c", str(self._etc), "-f"], check=True, timeout=20)

    @contextmanager
    def running(self) -> Iterator[None]:
        subprocess.run(["postfix", "-c", str(self._etc), "check"], check=True, timeout=20)
        daemons = subprocess.run(
            ["postconf", "-h", "daemon_directory"], capture_output=True, text=True, check=True
        )
        process = subprocess.Popen(
            [f"{daemons.stdout.strip()}/master", "-c", str(self._etc), "-s"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(
                lambda: self.log.exists() and "daemon started" in self.log.read_text(), what="it starts"
            )
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


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
        log: its main log.

    """

    def __init__(self, folder: Path, scanner: int, again: int) -> None:
        self.port = free_port()
        self.log = folder / "log-main"
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
                lambda: self.log.exists() and "daemon started" in self.log.read_text(), what="it starts"
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
                print(server.log.read_text())  # noqa: T201
                raise
