"""How long a host whose port has closed goes on being dealt: ``python -m bench.failover [TRIES]``.

A real server and real mail hosts on loopback; a client asks without a pause, and what counts is the last
answer that holds the address. Each try closes the port at another moment of the probes' interval.
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.cluster import Server, serving, zone_text
from tests.integration.hammer import Hammer
from tests.integration.mailhosts import MailHost, mail_hosts, wait_until

ZONE = "out.example.com"
CHECKS = {
    "default (10s, fall 3, fast 2s)": "{interval: 10s, fast_interval: 2s, rise: 2, fall: 3}",
    "sample zone (4s, fall 2, fast 1s)": "{interval: 4s, fast_interval: 1s, rise: 2, fall: 2}",
}
LONGEST = 60.0
"""Seconds to wait for a change."""


def one_try(server: Server, host: MailHost, interval: float) -> float:
    """Close a host's port at some moment, and return the seconds until the last answer with its address."""
    address = "192.0.2.1"
    wait_until(lambda: address in server.seen(ZONE), LONGEST, "the host is dealt")
    time.sleep(random.uniform(0, interval))
    with Hammer(server, ZONE) as client:
        client.more()
        host.close()
        closed = time.monotonic()
        wait_until(lambda: server.state_of(host.name) == "down", LONGEST, "the host is seen down")
        client.more(100)
    assert not client.problems
    host.open()
    return client.values[address] - closed


def main(tries: int) -> None:
    """Print the least, the median and the greatest time of each check's settings."""
    for name, check in CHECKS.items():
        with (
            tempfile.TemporaryDirectory() as folder,
            mail_hosts("mta1", "mta2", "mta3") as hosts,
            serving(Path(folder), {ZONE: zone_text(hosts, check=check)}) as server,
        ):
            interval = float(check.split()[1].rstrip("s,"))
            times = [one_try(server, hosts["mta1"], interval) for _ in range(tries)]
        print(
            f"{name}: min {min(times):.1f} s, median {statistics.median(times):.1f} s, "
            f"max {max(times):.1f} s of {tries} tries",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
