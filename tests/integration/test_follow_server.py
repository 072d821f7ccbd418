"""`geodns follow` and a real server: what the log says is counted once, whichever of the two is killed."""

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from tests.integration import product
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until
from tests.integration.test_follow import following
from tests.integration.test_signals import TEXT, ZONE, kept

MX = {
    "google": "gmail-smtp-in.l.google.com[142.250.1.27]",
    "yahoo": "mta7.am0.yahoodns.net[67.195.204.77]",
    "microsoft": "outlook-com.olc.protection.outlook.com[52.101.8.34]",
}
FATES = {
    "delivered": "dsn=2.0.0, status=sent (250 2.0.0 ok)",
    "deferred": ("dsn=4.7.0, status=deferred (host {mx} said: 421 4.7.0 [TSS04] 192.0.2.1 put off)"),
    "bounced": (
        "dsn=5.1.1, status=bounced (host {mx} said: 550 5.1.1 <u{number}@b.example> unknown "
        "(in reply to RCPT TO command))"
    ),
}
Counts = Counter[tuple[str, str, str]]


class Log:
    """A log of deliveries by two senders, to three providers and to a host of the zone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.expected: Counts = Counter()
        self._number = 0
        self._chance = random.Random(3)

    def write(self, count: int) -> None:
        lines = []
        for _ in range(count):
            self._number += 1
            provider, event = self._chance.choice(list(MX)), self._chance.choice(list(FATES))
            sender, host = self._chance.choice([("postfix", "mta1"), ("postfix/smtp-b", "mta3")])
            mx = MX[provider]
            if self._chance.random() < 0.1:
                mx = "mta2.lab.example[192.0.2.2]"
            else:
                self.expected[host, provider, event] += 1
            fate = FATES[event].format(mx=mx, number=self._number)
            at = time.strftime("%b %e %H:%M:%S", time.localtime())
            lines.append(
                f"{at} mta1 {sender}/smtp[7]: {self._number:08X}: to=<u{self._number}@b.example>, "
                f"relay={mx}:25, delay=2, delays=1/0/0.5/0.5, {fate}\n"
            )
        with self.path.open("a") as file:
            file.write("".join(lines))


def told(server: Server) -> float:
    return sum(server.samples("geodns_mail_signals_total").values())


def test_both_are_killed_and_each_line_counts_once(tmp_path: Path) -> None:
    token = tmp_path / "tokens"
    token.write_text("mta1 s3cret\n")
    (tmp_path / "geodns.yaml").write_text(f"signals_token_file: {token}\n")
    options = ("--config", str(tmp_path / "geodns.yaml"))
    constants = {product.CONTROL_BACKOFF: (0.05, 0.1)}
    with serving(tmp_path, {ZONE: TEXT}, arguments=options, constants=constants) as server:
        arguments = ("--server", server.http, "--token-file", str(token), "--egress", "192.0.2.1")
        with following(tmp_path / "mta1", *arguments, "--egress", "postfix/smtp-b=203.0.113.3") as one:
            log = Log(one.log)
            for turn in range(12):
                log.write(200)
                time.sleep(0.3)
                if turn % 3 == 0:
                    os.kill(server.control(), signal.SIGKILL)
                if turn % 3 == 1:
                    one.kill()
                    one.start()
            wait_until(lambda: "again" in one.said() or told(server), what="the server takes signals")
            database = tmp_path / "mta1" / "state"
            wait_until(lambda: done(database, one.log), 30, what=f"all is posted: {one.said()}")
            assert "strangers" not in one.said()
            assert "Traceback" not in one.said()
            wait_until(
                lambda: server.metric("geodns_mail_signals_last_heard_timestamp_seconds", host="mta3"),
                what="it is heard of",
            )
        server.stop()
    assert kept(tmp_path / "state")[300] == log.expected


def done(state: Path, log: Path) -> bool:
    """Tell whether the whole log was read, and no batch waits."""
    from geodns.cli.follow.spool import Spool

    spool, _ = Spool.open(state, 0.0)
    try:
        place = spool.known(f"place {log}")
        return place is not None and json.loads(place)[3] == log.stat().st_size and not spool.count()
    finally:
        spool.close()
