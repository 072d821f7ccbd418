"""What upgrades cost clients: lost and late answers, resets, orders that wait; beside gdnsd's `replace`."""

import json
import multiprocessing
import selectors
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import geodns
from bench.figures import Figure, spread
from bench.servers import GDNSD, GEODNS, NAME, QUERY, Server, free_port, running
from geodns.errors import GeodnsError

SOCKETS = 64
"""Client sockets of the load; each is counted."""
TICK = 0.002
"""Seconds between two bursts of the paced load."""
LATE = 3.0
"""Seconds after which an answer counts as lost."""
QUIET = 10.0
"""Seconds of the control run."""
RESTARTS = 5
VERSIONS = ("9.0", "9.1")


class Loss(NamedTuple):
    """What a load saw.

    Attributes:
        sent: queries.
        lost: of them, without an answer.
        sockets: that lost one.
        refused: errors that ICMP caused.
        latencies: milliseconds, in order.

    """

    sent: int
    lost: int
    sockets: int
    refused: int
    latencies: list[float]

    def late(self, share: float) -> float:
        """Return the latency in milliseconds that a share of the answers does not exceed."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]


def measure(number: int, rate: int) -> list[Figure]:
    """Upgrade geodns and replace gdnsd under a load of UDP queries, TCP connections and orders.

    Args:
        number: upgrades of each.
        rate: UDP queries a second.

    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = _geodns(folder, number, rate)
        found += _restarts(folder, rate)
        if GDNSD.installed:
            found += _gdnsd(folder, number, rate)
    return found


# --- the load --------------------------------------------------------------------------------------------


def _load(port: int, rate: int, over: Connection) -> None:  # noqa: C901 - one loop, and quick
    """Send at a steady pace until told to end; then tell what was seen."""
    sockets = []
    with selectors.EpollSelector() as selector:
        for number in range(SOCKETS):
            one = socket.socket(type=socket.SOCK_DGRAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            one.connect(("127.0.0.1", port))
            one.setblocking(False)
            selector.register(one, selectors.EVENT_READ, number)
            sockets.append(one)
        waiting: list[dict[int, float]] = [{} for _ in sockets]
        latencies: list[float] = []
        sent = refused = 0

        def read(timeout: float) -> None:
            nonlocal refused
            for key, _ in selector.select(timeout):
                try:
                    while True:
                        answer = key.fileobj.recv(4096)  # type: ignore[union-attr]
                        begun = waiting[key.data].pop(int.from_bytes(answer[:2], "big"), None)
                        if begun is not None:
                            latencies.append((time.monotonic() - begun) * 1000)
                except BlockingIOError:
                    pass
                except ConnectionRefusedError:
                    refused += 1

        first = time.monotonic()
        while not over.poll():
            due = int((time.monotonic() - first) * rate)
            for _ in range(min(due - sent, 200)):
                number, serial = sent % SOCKETS, sent // SOCKETS % 65536
                waiting[number][serial] = time.monotonic()
                sent += 1
                try:
                    sockets[number].send(serial.to_bytes(2, "big") + QUERY[2:])
                except ConnectionRefusedError:
                    refused += 1
            read(TICK)
        end = time.monotonic() + LATE
        while any(waiting) and time.monotonic() < end:
            read(0.05)
    latencies.sort()
    lost = [len(one) for one in waiting]
    over.send(Loss(sent, sum(lost), sum(map(bool, lost)), refused, latencies))


def _under_load(port: int, rate: int, work: Callable[[], None]) -> Loss:
    ours, theirs = multiprocessing.Pipe()
    client = multiprocessing.get_context("fork").Process(target=_load, args=(port, rate, theirs))
    client.start()
    try:
        time.sleep(1)
        work()
        time.sleep(1)
    finally:
        ours.send(None)
        seen: Loss = ours.recv()
        client.join()
    return seen


class _Beside(threading.Thread):
    """Work that repeats beside the load until `end` is called."""

    def __init__(self, pause: float) -> None:
        super().__init__(daemon=True)
        self._pause = pause
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(self._pause):
            self.turn()

    def turn(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Wait for the turn that runs."""
        self._over.set()
        self.join()


class _Stream(_Beside):
    """A TCP client that keeps its connection; counts how these ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self.answered = self.closed = self.reset = 0
        super().__init__(0.02)

    def turn(self) -> None:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), 10)
            self._socket.sendall(struct.pack(">H", len(QUERY)) + QUERY)
            if self._socket.recv(4096):
                self.answered += 1
                return
            self.closed += 1
        except OSError:
            self.reset += 1
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Orders(_Beside):
    """A client that gives orders, again where it is told to come back; keeps how long each took."""

    def __init__(self, http: str) -> None:
        self._http = http
        self.seconds: list[float] = []
        self.failed = self.put_off = 0
        super().__init__(0.1)

    def turn(self) -> None:
        begun = time.monotonic()
        while time.monotonic() < begun + 30:
            request = urllib.request.Request(
                f"http://{self._http}/api/v1/hosts/{NAME}/mta3/drain", b'{"yes": true}'
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    response.read()
            except urllib.error.HTTPError as error:
                with error:
                    wait = error.headers.get("Retry-After")
                if error.code != 503 or wait is None:
                    break
                self.put_off += 1
                time.sleep(float(wait))
            except OSError:
                break
            else:
                self.seconds.append(time.monotonic() - begun)
                return
        self.failed += 1


# --- what is done under it -------------------------------------------------------------------------------


def _copy(folder: Path, version: str) -> str:
    """Install this version under another name; return its program."""
    package = folder / version / "geodns"
    shutil.copytree(Path(geodns.__file__).parent, package)
    (package / "__init__.py").write_text(f'"""geodns."""\n\n__version__ = "{version}"\n', "utf-8")
    program = folder / version / "program"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(package.parent)!r})\n"
        "from geodns.cli.main import main\nmain()\n",
        "utf-8",
    )
    program.chmod(0o755)
    return str(program)


def _upgrade(state: Path, program: str) -> float:
    """Upgrade; return the seconds that it took."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(120)
        client.connect(str(state / "upgrade.sock"))
        client.sendall(json.dumps({"upgrade": {"program": program, "args": None}}).encode() + b"\n")
        *_, last = client.makefile()
    said = json.loads(last)
    if "done" not in said:
        raise GeodnsError(f"no upgrade: {last}")
    return float(said["done"]["seconds"])


def _geodns(folder: Path, number: int, rate: int) -> list[Figure]:
    programs = [_copy(folder, version) for version in VERSIONS]
    http = f"127.0.0.1:{free_port()}"

    def prepare(own: Path, port: int) -> list[str]:
        # An old version answers busy connections for as long as this: 10 s, unless told.
        (own / "geodns.yaml").write_text("tcp: {idle: 1s}\n", "utf-8")
        command = [programs[0], *GEODNS.prepare(own, port)[3:]]
        command[command.index("--http") + 1] = http
        command[command.index("--workers") + 1] = "2"
        return command

    own = folder / "upgrades"
    taken: list[float] = []
    with running(Server("geodns", None, "", prepare), own) as server:
        streams, orders = [_Stream(server.port) for _ in range(8)], _Orders(http)
        quiet = _under_load(server.port, rate, lambda: time.sleep(QUIET))
        waited = list(orders.seconds)

        def work() -> None:
            taken.extend(_upgrade(own / "state", programs[(turn + 1) % 2]) for turn in range(number))

        loud = _under_load(server.port, rate, work)
        for one in (*streams, orders):
            one.end()
    during = orders.seconds[len(waited) :]
    return [
        *_rows("geodns, no upgrade", quiet, quiet),
        *_rows(f"geodns, {number} upgrades", loud, quiet),
        Figure("  seconds of one", f"{spread(taken, 2)} s"),
        *_tcp(streams),
        Figure(
            "  orders: seconds each",
            f"median {statistics.median(during):.2f}, most {max(during):.2f} s",
            f"without upgrades most {max(waited):.2f} s; {orders.put_off} put off, {orders.failed} failed",
        ),
    ]


def _restarts(folder: Path, rate: int) -> list[Figure]:
    program, port = str(folder / VERSIONS[0] / "program"), free_port()
    own = folder / "restarts"
    shutil.copytree(folder / "upgrades" / "zones", own / "zones")
    places = ["--zones", str(own / "zones"), "--state", str(own / "state"), "--http", "127.0.0.1:0"]
    command = [program, "serve", *places, "--listen", f"127.0.0.1:{port}", "--workers", "2"]

    def start() -> "subprocess.Popen[str]":
        with (own / "log").open("a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    process = start()

    def work() -> None:
        nonlocal process
        for _ in range(RESTARTS):
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            process = start()
            time.sleep(0.5)

    try:
        loss = _under_load(port, rate, work)
    finally:
        process.terminate()
        process.wait(30)
    return _rows(f"geodns, {RESTARTS} restarts", loss, loss)


def _gdnsd(folder: Path, number: int, rate: int) -> list[Figure]:
    own, taken = folder / "gdnsd", list[float]()
    control = ["gdnsdctl", "-c", str(own)]
    with running(GDNSD, own) as server:
        streams = [_Stream(server.port) for _ in range(8)]

        def work() -> None:
            for _ in range(number):
                begun = time.monotonic()
                done = subprocess.run([*control, "replace"], capture_output=True, text=True, check=False)
                if done.returncode:
                    raise GeodnsError(f"gdnsdctl replace: {done.stderr}")
                taken.append(time.monotonic() - begun)

        try:
            quiet = _under_load(server.port, rate, lambda: time.sleep(QUIET))
            loud = _under_load(server.port, rate, work)
        finally:
            for one in streams:
                one.end()
            # The successor is no child of ours.
            subprocess.run([*control, "stop"], capture_output=True, check=False)
    return [
        *_rows("gdnsd, nothing done", quiet, quiet),
        *_rows(f"gdnsd, {number} replaces", loud, quiet),
        Figure("  seconds of one", f"{spread(taken, 2)} s"),
        *_tcp(streams),
    ]


def _rows(what: str, loss: Loss, quiet: Loss) -> list[Figure]:
    late = "/".join(f"{loss.late(share):.2f}" for share in (0.5, 0.99, 0.999))
    return [
        Figure(
            what,
            f"{loss.lost} of {loss.sent:,} lost",
            f"by {loss.sockets} of {SOCKETS} sockets; {loss.refused} refused; goal 0",
        ),
        Figure(
            "  p50/p99/p99.9",
            f"{late} ms",
            f"p99.9 {loss.late(0.999) / quiet.late(0.999):.2f} times; at most 2",
        ),
    ]


def _tcp(streams: list[_Stream]) -> list[Figure]:
    return [
        Figure(
            "  TCP connections reset",
            f"{sum(one.reset for one in streams)}",
            f"{sum(one.closed for one in streams)} closed in order, "
            f"{sum(one.answered for one in streams):,} answers; goal 0",
        )
    ]
