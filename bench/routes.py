"""What MTAs get of routes: look-ups a second, how long they take, the worker's CPU time and memory."""

import json
import multiprocessing
import os
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from bench.figures import Figure, spread
from bench.processes import cpu_seconds, memory, of_session, own_memory
from bench.servers import NAME, QUERY, READY_WITHIN, Running, Server, free_port, geodns_command, running
from geodns.errors import GeodnsError

GOAL = 20_000
"""Look-ups a second and core."""
SOON = 5.0
"""Milliseconds within which 99 of 100 look-ups shall be answered."""
CROWD = 50
MANY = 10_000
"""Rules of a large zone."""
DNS_PAUSE = 0.002

_HEAD = """\
ns: {ns1: 192.0.2.53}
hosts: {"mta[1-8]": "192.0.2.[11-18]"}
pools: {main: {hosts: "*", check: none}, fast: {hosts: [mta1, mta2], check: none}}
records: {"@": {A: {pool: main}}, fast: {A: {pool: fast}}, gmail: {A: {pool: main}}, bulk: {A: {pool: main}}}
local: [corp.example]
routes:
"""
_SIX = """\
  - {recipient: ["vip@example.net", "*.bank.example"], use: fast}
  - {provider: google, sender: "*@news.example.com", use: gmail, deal: host}
  - {provider: google, use: gmail}
  - {sender: ["news@*", "@lists.example.com"], use: bulk, port: 587}
  - {class: transactional, use: fast}
  - {use: "@"}
"""


class Way(NamedTuple):
    """A protocol.

    Attributes:
        request: for a recipient and a sender.
        whole: whether an answer has come to its end.
        again: whether the connection is used for further requests.

    """

    request: Callable[[str, str], bytes]
    whole: Callable[[bytes], bool]
    again: bool = True


def _policy(recipient: str, sender: str) -> bytes:
    told = {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "protocol_name": "ESMTP",
        "client_address": "192.0.2.200",
        "client_name": "app3.corp.example",
        "client_port": "40112",
        "reverse_client_name": "app3.corp.example",
        "server_address": "192.0.2.1",
        "server_port": "587",
        "helo_name": "app3.corp.example",
        "sender": sender,
        "recipient": recipient,
        "recipient_count": "0",
        "queue_id": "",
        "instance": "1f2e.66f1a2b3.9c8d7.0",
        "size": "24117",
        "etrn_domain": "",
        "stress": "",
        "sasl_method": "plain",
        "sasl_username": "app3",
        "sasl_sender": "",
        "ccert_subject": "",
        "ccert_issuer": "",
        "ccert_fingerprint": "",
        "ccert_pubkey_fingerprint": "",
        "encryption_protocol": "TLSv1.3",
        "encryption_cipher": "TLS_AES_256_GCM_SHA384",
        "encryption_keysize": "256",
        "policy_context": NAME,
    }
    return "".join(f"{key}={value}\n" for key, value in told.items()).encode() + b"\n"


def _socketmap(recipient: str, _sender: str) -> bytes:
    body = f"recipient {recipient}".encode()
    return b"%d:%b," % (len(body), body)


def _line(recipient: str, sender: str) -> bytes:
    return f"get recipient={recipient.replace('@', '%40')}&sender={sender.replace('@', '%40')}\n".encode()


def _post(recipient: str, sender: str) -> bytes:
    body = json.dumps({"recipient": recipient, "sender": sender}).encode()
    head = "POST /route HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _whole_post(data: bytes) -> bool:
    head, gap, body = data.partition(b"\r\n\r\n")
    return bool(gap) and len(body) >= int(head.lower().partition(b"content-length:")[2].split()[0])


WAYS = {
    "policy": Way(_policy, lambda data: data.endswith(b"\n\n")),
    # As the generated lines for Postfix have it (request_limit=1).
    "policy, a connection each": Way(_policy, lambda data: data.endswith(b"\n\n"), again=False),
    "socketmap": Way(_socketmap, lambda data: data.endswith(b",")),
    "line": Way(_line, lambda data: data.endswith(b"\n"), again=False),
    "http": Way(_post, _whole_post),
}


def measure(seconds: float, rounds: int, many: int = MANY) -> list[Figure]:
    """Ask over each protocol, in turns that last so many seconds; then a zone with many rules."""
    found = []
    for rules in (6, many):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            port = free_port()
            server = stack.enter_context(running(_server(rules, port), folder / "geodns"))
            worker = _worker(server)
            messages = _messages(rules)
            for name, way in WAYS.items():
                if rules == 6 or name == "policy":
                    found += _turns(f"{name}; {rules:,} rules", way, port, worker, messages, seconds, rounds)
            if rules == 6:
                found += _beside(server, port, messages, seconds)
            what = f"{own_memory(worker):.1f} MiB of its own"
            found.append(Figure(f"memory of the worker, {rules:,} rules", f"{memory(worker):.1f} MiB", what))
    return found


def _server(rules: int, port: int) -> Server:
    lines = _SIX
    if rules > 6:
        some = (
            f'  - {{sender: "@c{n}.example", use: {("fast", "bulk")[n % 2]}}}\n' for n in range(rules - 1)
        )
        lines = "".join(some) + '  - {use: "@"}\n'

    def prepare(folder: Path, dns: int) -> Sequence[str]:
        (folder / "zones").mkdir()
        (folder / "zones" / f"{NAME}.yaml").write_text(_HEAD + lines, "utf-8")
        (folder / "geodns.yaml").write_text(f"routes_listen: 127.0.0.1:{port}\n", "utf-8")
        return *geodns_command(folder, dns), "--config", str(folder / "geodns.yaml")

    return Server("geodns", None, "", prepare)


def _worker(server: Running) -> int:
    """Return the pid of the routes worker, which may still be on its way."""
    end = time.monotonic() + READY_WITHIN
    while time.monotonic() < end:
        for pid in of_session(server.pid):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"geodns: routes"):
                return pid
        time.sleep(0.05)
    raise GeodnsError("there is no routes worker")


def _messages(rules: int) -> list[tuple[str, str]]:
    """Return recipients and senders, of which some fit each rule; providers are of domains built in."""
    if rules > 6:
        return [(f"u{n}@gmail.com", f"a@c{n * 7919 % rules}.example") for n in range(5000)]
    domains = ("gmail.com", "yahoo.com", "www.bank.example", "outlook.com", "gmx.de")
    senders = ("app@corp.example", "a@news.example.com", "news@shop.example", "b@lists.example.com")
    return [(f"u{n}@{domains[n % 5]}", senders[n % 4]) for n in range(5000)]


def _turns(
    what: str,
    way: Way,
    port: int,
    worker: int,
    messages: Sequence[tuple[str, str]],
    seconds: float,
    rounds: int,
) -> list[Figure]:
    requests = [way.request(*one) for one in messages]
    rows = []
    for connections in (1, CROWD):
        rates, late, costs = [], [], []
        _load(way, port, requests, connections, 0.2)
        for _ in range(rounds):
            before = cpu_seconds(worker)
            begun = time.monotonic()
            times = _load(way, port, requests, connections, seconds)
            rates.append(len(times) / (time.monotonic() - begun))
            late.append(_percentile(times) * 1000)
            costs.append((cpu_seconds(worker) - before) / len(times) * 1e6)
        of = "1 connection" if connections == 1 else f"{connections} connections"
        cost = statistics.median(costs)
        rows += [
            Figure(f"{what}: look-ups/s, {of}", spread(rates, 0)),
            Figure(f"{what}: p99, {of}", f"{spread(late, 2)} ms", f"at most {SOON:.0f}"),
            Figure(
                f"{what}: CPU a look-up, {of}",
                f"{spread(costs, 0)} µs",
                f"{1e6 / max(cost, 1):,.0f} a second and core; goal {GOAL:,}",
            ),
        ]
    return rows


def _percentile(times: Sequence[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]


def _load(way: Way, port: int, requests: Sequence[bytes], connections: int, seconds: float) -> list[float]:
    """Ask over so many connections, on each one the next as soon as it is answered; return the times."""
    times: list[float] = []
    upcoming = cycle(requests)
    with selectors.DefaultSelector() as selector:
        asked: dict[socket.socket, tuple[float, bytes]] = {}

        def ask(client: socket.socket | None) -> None:
            begun = time.perf_counter()
            if client is None:
                client = socket.create_connection(("127.0.0.1", port), timeout=10)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(client, selectors.EVENT_READ)
            client.sendall(next(upcoming))
            asked[client] = begun, b""

        for _ in range(connections):
            ask(None)
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end or (not times and now < end + 10):  # one at least, however busy
            for key, _ in selector.select(max(0.01, end - now)):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                begun, data = asked[client]
                data += client.recv(65536)
                if not way.whole(data):
                    asked[client] = begun, data
                    continue
                times.append(time.perf_counter() - begun)
                if way.again:
                    ask(client)
                else:
                    _close(selector, client)
                    del asked[client]
                    ask(None)
        for client in asked:
            _close(selector, client)
    return times


def _close(selector: selectors.BaseSelector, client: socket.socket) -> None:
    selector.unregister(client)
    client.close()


# --- DNS beside it -------------------------------------------------------------------------------------


def _beside(server: Running, port: int, messages: Sequence[tuple[str, str]], seconds: float) -> list[Figure]:
    way = WAYS["policy"]
    requests = [way.request(*one) for one in messages]
    rows = []
    for what, load in (("no look-ups", False), (f"look-ups of {CROWD} connections", True)):
        with ExitStack() as stack:
            if load:
                stack.enter_context(_elsewhere(way, port, requests, 2 * seconds + 1))
            times = _dns(server.port, 2 * seconds)
        value = f"{statistics.median(times) * 1000:.2f} ms, p99 {_percentile(times) * 1000:.2f} ms"
        rows.append(
            Figure(f"DNS answer over UDP beside {what}", value, f"{len(times):,} queries, one at a time")
        )
    return rows


@contextmanager
def _elsewhere(way: Way, port: int, requests: Sequence[bytes], seconds: float) -> Iterator[None]:
    """Ask in a process of its own: a thread would share the clock's own thread."""
    process = multiprocessing.get_context("fork").Process(
        target=_load, args=(way, port, requests, CROWD, seconds)
    )
    process.start()
    try:
        time.sleep(0.3)
        yield
    finally:
        process.terminate()
        process.join()


def _dns(port: int, seconds: float) -> list[float]:
    times = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(2)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.perf_counter()
            client.send(os.urandom(2) + QUERY[2:])
            client.recv(4096)
            times.append(time.perf_counter() - begun)
            time.sleep(DNS_PAUSE)
    return times
