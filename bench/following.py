"""How many lines of a mail log one core reads, from the file to kept batches."""

import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, spread
from geodns.cli.follow.follower import FollowedFile, Follower
from geodns.cli.follow.log_file import LogFile
from geodns.cli.follow.signals import Sender
from geodns.cli.follow.spool import Spool

GOAL = 50_000
"""Lines a second on one core."""
MESSAGES = 40_000
PROVIDERS = {
    "gmail.com": "gmail-smtp-in.l.google.com[142.250.1.27]:25",
    "yahoo.com": "mta7.am0.yahoodns.net[67.195.204.77]:25",
    "outlook.com": "outlook-com.olc.protection.outlook.com[52.101.8.34]:25",
    "b.example": "mx.b.example[198.51.100.25]:25",
}


def postfix_lines(chance: random.Random) -> list[str]:
    """Return the lines of messages that one Postfix sends: six a message, one in eight not delivered."""
    lines = []
    for number in range(MESSAGES):
        clock = f"{10 + number // 7200 % 12:02}:{number // 120 % 60:02}:{number // 2 % 60:02}"
        at = f"Nov 29 {clock} mta1 postfix/"
        name = f"{number + 0x10000000:X}"
        domain = chance.choice(list(PROVIDERS))
        relay = PROVIDERS[domain]
        lines += [
            f"{at}smtpd[811]: connect from app3.example.com[10.0.0.7]",
            f"{at}smtpd[811]: {name}: client=app3.example.com[10.0.0.7], sasl_username=app",
            f"{at}cleanup[812]: {name}: message-id=<{number}.{chance.getrandbits(64):x}@example.com>",
            f"{at}qmgr[700]: {name}: from=<news+{number}@example.com>, size=18544, nrcpt=1 (queue active)",
        ]
        pid, user = chance.randrange(900, 999), chance.getrandbits(24)
        to = f"{at}smtp[{pid}]: {name}: to=<user{user}@{domain}>, relay={relay}"
        delay = f"delay={chance.random() * 3:.2g}, delays=0.05/0.01/0.4/0.9"
        fate = chance.random()
        if fate < 0.88:
            lines.append(f"{to}, {delay}, dsn=2.0.0, status=sent (250 2.0.0 OK {number} k2-20 - gsmtp)")
            lines.append(f"{at}qmgr[700]: {name}: removed")
        elif fate < 0.96:
            lines.append(
                f"{to}, {delay}, dsn=4.7.0, status=deferred (host {relay[:-3]} said: "
                f"421-4.7.0 [198.51.100.{number % 200}] Mail of an odd rate comes from here. It is "
                "421 4.7.0 held back for now. (in reply to end of DATA command))"
            )
        else:
            lines.append(
                f"{to}, {delay}, dsn=5.1.1, status=bounced (host {relay[:-3]} said: "
                f"550-5.1.1 <user{number}@{domain}> Nobody of that name has a mailbox here. "
                "(in reply to RCPT TO command))"
            )
            lines.append(f"{at}qmgr[700]: {name}: removed")
    return lines


def exim_lines(chance: random.Random) -> list[str]:
    """Return the lines of messages that one Exim sends: three a message."""
    lines = []
    for number in range(MESSAGES):
        at = f"2026-11-29 {10 + number // 7200 % 12:02}:{number // 120 % 60:02}:{number // 2 % 60:02}"
        name = f"1vPSxV-{number:011}-{chance.randrange(1000, 9999)}"
        domain = chance.choice(list(PROVIDERS))
        server, _, address = PROVIDERS[domain][:-3].replace("]", "").partition("[")
        client = "H=app3.example.com [10.0.0.7] P=esmtps S=18544"
        host = f"R=dnslookup T=remote_smtp H={server} [{address}] I=[192.0.2.1]"
        told = f'X=TLS1.3:ECDHE_X25519__RSA:256 CV=yes C="250 2.0.0 OK {number} - gsmtp" QT=1s DT=0.8s'
        lines += [
            f"{at} {name} <= news@example.com {client} id={number}@example.com",
            f"{at} {name} => user{number}@{domain} {host} {told}",
            f"{at} {name} Completed",
        ]
    return lines


def kumomta_lines(chance: random.Random) -> list[str]:
    """Return the records of messages that one KumoMTA sends: two a message."""
    lines = []
    for number in range(MESSAGES):
        domain = chance.choice(list(PROVIDERS))
        server, _, address = PROVIDERS[domain][:-3].replace("]", "").partition("[")
        record = {
            "id": f"{number:032x}",
            "sender": "news@example.com",
            "recipient": f"user{number}@{domain}",
            "size": 18544,
            "timestamp": 1795968653 + number // 2,
            "created": 1795968651 + number // 2,
            "num_attempts": 0,
            "bounce_classification": "Uncategorized",
            "egress_pool": "pool0",
            "egress_source": "ip-1",
            "meta": {},
            "headers": {},
            "nodeid": "557f3ad4-2c8c-11ee-976e-782d7e12e173",
        }
        response = {"code": 250, "enhanced_code": {"class": 2, "subject": 0, "detail": 0}, "content": "OK"}
        sent = {
            "response": response,
            "site": f"ip-1->{server}",
            "peer_address": {"name": server, "addr": address},
            "source_address": {"address": "192.0.2.1:41230"},
            "delivery_protocol": "ESMTP",
        }
        lines += [
            json.dumps({"type": "Reception"} | record),
            json.dumps({"type": "Delivery"} | record | sent),
        ]
    return lines


def journal_lines(lines: list[str]) -> list[str]:
    """Return lines of a log as the journal gives them."""
    entries = []
    for number, line in enumerate(lines):
        head, _, message = line.partition("]: ")
        entry = {
            "_SYSTEMD_UNIT": "postfix@-.service",
            "__CURSOR": f"s=0639584d7ab04a4a;i={number:x};b=5d1cd65d;m=4f3{number:x};t=60d{number:x};x=b1",
            "_HOSTNAME": "mta1",
            "__MONOTONIC_TIMESTAMP": "21342342342",
            "_BOOT_ID": "5d1cd65d5f0e4d7f8a9f0c1e2d3b4a59",
            "_MACHINE_ID": "0639584d7ab04a4aa0b1c2d3e4f50617",
            "PRIORITY": "6",
            "SYSLOG_FACILITY": "2",
            "SYSLOG_IDENTIFIER": head.split()[-1].partition("[")[0],
            "__REALTIME_TIMESTAMP": str(1795968653_000000 + number * 100_000),
            "_EXE": "/usr/lib/postfix/sbin/smtp",
            "_TRANSPORT": "syslog",
            "MESSAGE": message,
        }
        entries.append(json.dumps(entry, separators=(",", ":")))
    return entries


async def to_the_end(followed: FollowedFile) -> None:
    """Read a log until nothing more is in it."""
    while await followed.step(time.monotonic()):
        pass


def read_all(lines: list[str]) -> tuple[float, int]:
    """Read one log to its end; return the lines a second of CPU time, and the bytes of the batches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "mail.log"
        log.write_text("\n".join(lines) + "\n")
        spool, _ = Spool.open(folder / "state", time.time())
        followed = Follower(spool, Sender(egress="192.0.2.1"), print).followed(LogFile(log, None, print))
        began = time.process_time()
        asyncio.run(to_the_end(followed))
        took = time.process_time() - began
        size = spool.waiting_bytes()
        spool.close()
    return len(lines) / took, size


def measure(rounds: int) -> list[Figure]:
    """Read logs of each kind, and one in which every line tells of a delivery."""
    postfix = postfix_lines(random.Random(7))
    logs = {
        "Postfix, 6 lines a message": postfix,
        "Postfix, deliveries alone": [line for line in postfix if " status=" in line],
        "Postfix, 6 lines a message, from the journal": journal_lines(postfix),
        "Exim, 3 lines a message": exim_lines(random.Random(7)),
        "KumoMTA, 2 records a message": kumomta_lines(random.Random(7)),
    }
    figures = []
    for what, lines in logs.items():
        found = [read_all(lines) for _ in range(rounds)]
        size = found[0][1] / len(lines)
        figures.append(
            Figure(
                f"log lines a second of CPU, {what}",
                spread([one for one, _ in found], 0),
                f"goal {GOAL:,}; {size:.0f} bytes posted a line",
            )
        )
    return figures
