"""The whole server beside an exporter that speaks for a host: what it deals as the queue grows, and after."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from tests.integration import product
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import mail_hosts, wait_until

ZONE = "out.example.com"
ADDRESSES = {"192.0.2.1": "mta1", "192.0.2.2": "mta2", "192.0.2.3": "mta3"}


@contextlib.contextmanager
def exporting(registry: CollectorRegistry) -> Iterator[str]:
    """Serve metrics by the client library's own server, until the block ends."""
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def shares(server: Server, number: int = 560) -> dict[str, float]:
    """How often each host is the answer."""
    found = Counter(ADDRESSES[server.values(ZONE)[0]] for _ in range(number))
    return {host: count / number for host, count in found.items()}


def factor(server: Server, host: str) -> float:
    found: float = server.host(host)["factors"].get("load", 1.0)
    return found


def test_the_share_falls_as_the_queue_grows_and_comes_back(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    queue = Gauge("postfix_queue_length", "Mails.", ["queue"], registry=registry)
    queue.labels("active").set(100)
    queue.labels("deferred").set(1e9)
    with mail_hosts("mta1", "mta2", "mta3") as hosts, contextlib.ExitStack() as exporter:
        url = exporter.enter_context(exporting(registry))
        asked = f"""{{url: {url}, metric: 'postfix_queue_length{{queue="active"}}', full: 2000, floor: 80%,
                    interval: 200ms, stale: 1s}}"""
        text = f"""\
ttl: 5
ns: {{ns1: 192.0.2.53}}
checks: {{smtp: {{interval: 1s, fast_interval: 200ms, rise: 1, fall: 2}}}}
hosts:
  mta1: {{address: 192.0.2.1, probe: "{hosts["mta1"].endpoint}", load: {asked}}}
  mta2: {{address: 192.0.2.2, probe: "{hosts["mta2"].endpoint}"}}
  mta3: {{address: 192.0.2.3, probe: "{hosts["mta3"].endpoint}", load: {{full: 10}}}}
pools: {{main: {{hosts: "*", check: smtp, answers: 1}}}}
records: {{"@": {{A: {{pool: main}}, MX: "0 ."}}}}
"""
        with serving(tmp_path, {ZONE: text}, constants={product.RISE_EVERY: 1.0}) as server:
            wait_until(lambda: server.host("mta1")["load"]["value"] == 100, what="the queue is known")
            assert factor(server, "mta1") == 1
            assert all(abs(share - 1 / 3) < 0.02 for share in shares(server).values())

            queue.labels("active").set(6000)
            wait_until(lambda: factor(server, "mta1") == 0.8, what="the weight has fallen", seconds=30)
            found = shares(server)
            assert abs(found["mta1"] - 0.8 / 2.8) < 0.02, found
            shown = server.command("status")
            assert shown.returncode == 0, shown.stdout
            assert "0.8 of 1: load 0.8" in shown.stdout
            assert "6000 of 2000" in shown.stdout
            assert server.metric("geodns_host_load_ratio", host="mta1") == 3
            assert server.state_of("mta1") == "up"

            code, _ = server.request(f"/api/v1/hosts/{ZONE}/mta3/load", {"value": 10})
            assert code == 200
            code, answer = server.request(f"/api/v1/hosts/{ZONE}/mta1/load", {"value": 10})
            assert (code, "is read from its URL" in answer) == (400, True)

            exporter.close()
            wait_until(lambda: factor(server, "mta3") < 1, what="a pushed load has its effect", seconds=30)
            wait_until(lambda: factor(server, "mta1") == 1, what="its plain weight is used", seconds=30)
            shown = server.command("status")
            assert shown.returncode == 1
            told = rf"load of mta1\.{re.escape(ZONE)}: connection refused: its plain weight is used"
            assert re.search(f"warning: {told}", shown.stdout)
            assert server.state_of("mta1") == "up"
            assert re.search(told, server.log())
            assert server.stop() == 0


def test_a_drain_waits_for_caches_and_the_queue(tmp_path: Path) -> None:
    text = """\
ttl: 2
min_ttl: 1
ns: {ns1: 192.0.2.53}
hosts: {mta1: {address: 192.0.2.1, load: {full: 10}}, mta2: 192.0.2.2}
pools: {main: {hosts: "*", check: none}}
records: {"@": {A: {pool: main}, MX: "0 ."}}
"""
    with serving(tmp_path, {ZONE: text}) as server:

        def push(value: int) -> None:
            assert server.request(f"/api/v1/hosts/{ZONE}/mta1/load", {"value": value})[0] == 200

        push(7)
        command = [sys.executable, "-m", "geodns", "drain", "mta1", "--wait"]
        environment = os.environ | {"GEODNS_SERVER": server.http}
        begun = time.monotonic()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as waiting:
            try:
                wait_until(lambda: server.host("mta1")["forced"] == "drained", what="it is drained")
                time.sleep(2.5)  # caches have let go of it by now
                assert waiting.poll() is None
                push(0)
                printed, _ = waiting.communicate(timeout=20)
            finally:
                waiting.kill()
        assert waiting.returncode == 0
        assert time.monotonic() - begun > 2
        assert "queue 7" in printed
        assert printed.splitlines()[-1] == f"mta1.{ZONE}: safe to reboot"
