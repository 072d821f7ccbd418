"""A real server and mail hosts on loopback: what the integration tests start, ask, break and always end."""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rdatatype
from prometheus_client.parser import text_string_to_metric_families

from tests.integration import template
from tests.integration.mailhosts import Address, MailHost, wait_until

READY = 30.0
"""Seconds that a server may take to get ready on a busy machine."""
ANSWER = 5.0
"""Seconds that a query may take."""
END = 10.0
"""Seconds that a server may take to end."""
PROGRAM = (sys.executable, "-m", "geodns")
"""How a shell starts a command of ours."""


def free_port(kind: int = socket.SOCK_STREAM, host: str = "127.0.0.1") -> int:
    """A port that is free now; for programs that cannot take one by themselves."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as one:
        one.bind((host, 0))
        port: int = one.getsockname()[1]
        return port


QUICK = "{interval: 1s, fast_interval: 200ms, rise: 1, fall: 2, connect_timeout: 2s, greeting_timeout: 2s}"
"""A check that makes up its mind within a test's patience."""


def zone_text(
    hosts: Mapping[str, MailHost],
    *,
    weights: Mapping[str, int] | None = None,
    ttl: int = 5,
    check: str = QUICK,
    more: str = "",
) -> str:
    """Write the zone of some mail hosts: 192.0.2.1, 192.0.2.2 … in their order, probed where they listen.

    Args:
        hosts: by name.
        weights: of those that have another than 1.
        ttl: of pool answers, in seconds.
        check: by which all are judged.
        more: further lines.

    """
    lines = [f"ttl: {ttl}", "ns: {ns1: 192.0.2.53}", "checks:", f"  smtp: {check}", "hosts:"]
    for number, (name, host) in enumerate(hosts.items(), 1):
        weight = (weights or {}).get(name, 1)
        lines.append(f'  {name}: {{address: 192.0.2.{number}, weight: {weight}, probe: "{host.endpoint}"}}')
    return "\n".join([*lines, more, ""])


# --- the server ----------------------------------------------------------------------------------------


def geodns(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 30.0,
    prefix: tuple[str, ...] = (),
    fresh: bool = False,
    constants: Mapping[str, Any] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a command of ours to its end.

    Args:
        arguments: its own, the command's name first.
        env: further variables.
        cwd: where it runs.
        timeout: seconds after which it is killed.
        prefix: a command that becomes ours in the end, such as `setpriv …`; what it starts is fresh.
        fresh: start `python -m geodns`, from nothing, instead of a copy of the template.
        constants: those of `product.REAL` that have another value in it.

    """
    if not prefix and not fresh:
        return template.run("main", list(arguments), env=env, cwd=cwd, timeout=timeout, constants=constants)
    assert not constants, "only a copy of the template has other constants"
    return subprocess.run(
        [*prefix, *PROGRAM, *arguments],
        env=template.environment(env),
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )


class Server:
    """A running `geodns serve`.

    Attributes:
        process: the supervisor.
        listen: where it answers DNS, in the order of its flags.
        http: its HTTP side, as a URL.
        zones: its folder of zone files.
        state: its state folder.

    """

    def __init__(self, process: "template.Process | subprocess.Popen[str]", folder: Path, log: Path) -> None:
        self.process = process
        self.zones = folder / "zones"
        self.state = folder / "state"
        self.listen: list[Address] = []
        self.http = ""
        self._log = log

    def log(self) -> str:
        """Everything it has written to stderr."""
        return self._log.read_text("utf-8", "replace")

    def wait_ready(self, seconds: float = READY) -> str:
        """Wait for the ready line, and return it."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(seconds), f"not ready within {seconds:g} s:\n{self.log()}"
        line = self.process.stdout.readline()
        assert line.startswith("ready: dns "), f"it ended before it was ready: {line}\n{self.log()}"
        words = line.split()
        self.listen = [_address(text) for text in words[2].split(",")]
        self.http = f"http://{words[4]}"
        return line

    # --- DNS --------------------------------------------------------------------------------------------

    def ask(
        self, name: str, rtype: str = "A", *, at: int = 0, tcp: bool = False, edns: int | None = None
    ) -> dns.message.Message:
        """Ask over a fresh socket; dnspython reads the answer, and refuses one that is malformed.

        Args:
            name: absolute, with or without its final dot.
            rtype: as text.
            at: which listener.
            tcp: over TCP.
            edns: with EDNS and this size.

        """
        query = dns.message.make_query(
            name, rtype, use_edns=-1 if edns is None else 0, payload=edns or 0, flags=0
        )
        host, port = self.listen[at]
        if tcp:
            return dns.query.tcp(query, host, ANSWER, port)
        return dns.query.udp(query, host, ANSWER, port)

    def values(self, name: str, rtype: str = "A", *, tcp: bool = False) -> list[str]:
        """The records of one answer, as text."""
        wanted = dns.rdatatype.from_text(rtype)
        answer = self.ask(name, rtype, tcp=tcp).answer
        return [str(record) for rrset in answer if rrset.rdtype == wanted for record in rrset]

    def seen(self, name: str, rtype: str = "A", number: int = 40) -> set[str]:
        """Everything that some answers in a row hold; each comes from a new socket, so from any worker."""
        return {value for _ in range(number) for value in self.values(name, rtype)}

    # --- HTTP -------------------------------------------------------------------------------------------

    def request(
        self,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """GET, or POST where there is a body (bytes as they are, all else as JSON); status and text."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.http + path, data, dict(headers or {}))
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER * 2) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def get(self, path: str) -> dict[str, Any]:
        """What is at a path."""
        code, text = self.request(path)
        assert code == 200, text
        shown: dict[str, Any] = json.loads(text)
        return shown

    def status(self) -> dict[str, Any]:
        """What /status shows."""
        return self.get("/status")

    def host(self, name: str, zone: str | None = None) -> dict[str, Any]:
        """One host of the status; of the only zone, unless it is named."""
        hosts = self.status()["hosts"]
        found: dict[str, Any] = hosts[zone or next(iter(hosts))][name]
        return found

    def state_of(self, name: str, zone: str | None = None) -> str:
        """A host's state."""
        return str(self.host(name, zone)["state"])

    def order(self, host: str, verb: str, zone: str, **body: Any) -> dict[str, Any]:
        """Give an order for a host, whatever it leaves of its pools, and expect that to work."""
        code, text = self.request(f"/api/v1/hosts/{zone}/{host}/{verb}", {"yes": True, **body})
        assert code == 200, (code, text)
        shown: dict[str, Any] = json.loads(text)
        return shown

    def samples(self, name: str, **labels: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The samples of a metric that have these labels, by all their labels."""
        code, text = self.request("/metrics")
        assert code == 200, text
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(self.samples(name, **labels).values())

    # --- life -------------------------------------------------------------------------------------------

    def command(
        self, *arguments: str, timeout: float = 30.0, fresh: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        """Run one of the commands that talk to a running server, with this one."""
        return geodns(*arguments, env={"GEODNS_SERVER": self.http}, timeout=timeout, fresh=fresh)

    def write(self, zone: str, text: str) -> None:
        """Write a zone file as a careful editor does: beside it, then renamed over it."""
        draft = self.zones / f".{zone}.new"
        draft.write_text(text)
        draft.replace(self.zones / f"{zone}.yaml")

    def children(self) -> list[int]:
        """The processes that the supervisor has started, in their order: control and workers."""
        return children_of(self.process.pid)

    def control(self) -> int:
        """The control process: the one child that listens for HTTP."""
        return self.accepting(int(self.http.rpartition(":")[2]))

    def accepting(self, port: int) -> int:
        """The child that listens at a TCP port."""
        return next(pid for pid in self.children() if _accepts(pid, port))

    def workers(self) -> list[int]:
        """All the other children."""
        control = self.control()
        return [pid for pid in self.children() if pid != control]

    def send(self, number: int) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the supervisor, and wait until all others have seen that: they hold the lock of the state."""
        self.send(signal.SIGSTOP)  # it starts no other while they are counted
        children = self.children()
        self.process.kill()
        self.process.wait(END)
        wait_until(lambda: all(map(is_gone, children)), what="control and workers end with the supervisor")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Have it end; return its exit status."""
        self.send(number)
        return self.process.wait(END)


def children_of(pid: int) -> list[int]:
    """The children of a process."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_gone(pid: int) -> bool:
    """Say whether a process has ended, buried by its parent or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _accepts(pid: int, port: int) -> bool:
    """Say whether a process holds the listening TCP socket of a port."""
    rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = {row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    held = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.add(str(entry.readlink()))
    return any(f"socket:[{inode}]" in held for inode in inodes)


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def starting(
    folder: Path,
    zones: Mapping[str, str] | None = None,
    *,
    listen: tuple[str, ...] = ("127.0.0.1:0",),
    http: str = "127.0.0.1:0",
    workers: int = 1,
    env: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    prefix: tuple[str, ...] = (),
    fresh: bool = False,
    constants: Mapping[str, Any] | None = None,
) -> Iterator[Server]:
    """Start `geodns serve` in a folder, whose `zones` and `state` outlive it; do not wait for it.

    It and all it has started end with the block. What it wrote to stderr is shown when the block fails.

    Args:
        folder: where it keeps everything; a second start there is a restart.
        zones: files to write first, by zone.
        listen: as the flag.
        http: the same.
        workers: the same.
        env: further variables.
        arguments: further arguments of `serve`.
        prefix: a command that becomes ours in the end, such as `setpriv …`; what it starts is fresh.
        fresh: start `python -m geodns`, from nothing, instead of a copy of the template.
        constants: those of `product.REAL` that have another value in it.

    """
    (folder / "zones").mkdir(parents=True, exist_ok=True)
    for zone, text in (zones or {}).items():
        (folder / "zones" / f"{zone}.yaml").write_text(text)
    command = ["serve", "--http", http, "--workers", str(workers)]
    command += ["--zones", str(folder / "zones"), "--state", str(folder / "state")]
    command += [part for one in listen for part in ("--listen", one)]
    log = folder / f"stderr.{time.monotonic_ns()}"
    with contextlib.ExitStack() as stack:
        stderr = stack.enter_context(log.open("wb"))
        process: template.Process | subprocess.Popen[str]
        if prefix or fresh:
            assert not constants, "only a copy of the template has other constants"
            process = subprocess.Popen(
                [*prefix, *PROGRAM, *command, *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=template.environment(env),
                cwd=folder,
                start_new_session=True,
            )
        else:
            process = template.start(
                "main",
                [*command, *arguments],
                stderr=stderr.fileno(),
                env=env,
                cwd=folder,
                constants=constants,
            )
        stack.enter_context(process)
        server = Server(process, folder, log)
        try:
            yield server
        except BaseException:
            print(f"--- stderr of the server ---\n{server.log()}", file=sys.stderr)  # noqa: T201
            raise
        finally:
            process.terminate()
            try:
                process.wait(END)
            except subprocess.TimeoutExpired:
                print(f"--- it did not end ---\n{server.log()}", file=sys.stderr)  # noqa: T201
                raise
            finally:
                # All it started is in its session's group; stopped processes do not hear SIGTERM.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def serving(folder: Path, zones: Mapping[str, str] | None = None, **options: Any) -> Iterator[Server]:
    """Run `geodns serve` until the block ends, and wait until it is ready; arguments as for `starting`."""
    with starting(folder, zones, **options) as server:
        server.wait_ready()
        yield server
