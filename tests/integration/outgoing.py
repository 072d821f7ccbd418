"""Mailbox providers that refuse, in a network of their own, for real mail servers to meet.

What is sent goes to public addresses, which are on this network's loopback alone: nothing leaves the machine.
"""

import ctypes
import os
import shutil
import smtplib
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage

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
            _leave_the_network(*PROVIDERS, OWN, SECOND, DEAD)
            work()
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _leave_the_network(*addresses: str) -> None:
    assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
    ip("link", "set", "lo", "up")
    for one in addresses:
        ip("addr", "add", f"{one}/32", "dev", "lo")


@contextmanager
def alone_on_loopback(*addresses: str) -> Iterator[None]:
    """Be where there is nothing but loopback, with every port free, until the block ends.

    Copies of the template are not there: servers that shall be must be `fresh`.

    Args:
        addresses: that loopback has beside 127.0.0.0/8, or as addresses of its own there.

    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _leave_the_network(*addresses)
        yield
    finally:
        assert ctypes.CDLL(None).setns(before, CLONE_NEWNET) == 0
        os.close(before)


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
                case "EHLO":
                    reply = self.server.reply("EHLO")
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
