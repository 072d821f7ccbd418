"""Starts the processes of ``geodns demo``, a mail server for each host among them, and ends them all."""

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from geodns.config.server_keys import Listen
from geodns.errors import StartError, ZoneError
from geodns.model.hosts import Host
from geodns.zonefile.reader import read_zones, zone_files

Process = subprocess.Popen[str]

_STOP_TIME = 8.0
_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""SIGHUP comes when the terminal is closed: the ports must be free for the next demo then, too."""


def interrupt_at_endings() -> None:
    """Have every signal that ends the demo raise KeyboardInterrupt, once."""
    for name in _ENDINGS:
        if signal.getsignal(name) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(name, _interrupted)


def _interrupted(number: int, frame: object) -> None:
    del number, frame
    for name in _ENDINGS:
        signal.signal(name, signal.SIG_IGN)  # whoever is impatient must not stop the others from being ended
    raise KeyboardInterrupt


def loopback_hosts(folder: Path) -> list[tuple[str, Host, Listen]]:
    """Find the hosts that are probed on this machine, with their zones."""
    parsed = read_zones(zone_files([folder])).values()
    errors = tuple(problem for one in parsed for problem in one.problems if not problem.warning)
    if errors:
        raise ZoneError(errors)
    found = [
        (one.zone.name, host, Listen(str(host.probe.address), host.probe.port))
        for one in parsed
        if one.zone is not None
        for host in one.zone.hosts
        if host.probe is not None and host.probe.address.is_loopback and host.probe.port is not None
    ]
    if not found:
        raise StartError(f'{folder}: no host with a `probe` on loopback, as in `probe: "127.0.0.1:2511"`')
    return found


@contextmanager
def mail_servers(hosts: list[tuple[str, Host, Listen]]) -> Iterator[dict[str, Process]]:
    """Run a mail server for each host; yield them by the hosts' names.

    Raises:
        StartError: a port is taken; none is started then.

    """
    for zone, host, at in hosts:
        _require_free(zone, host, at)
    with ExitStack() as stack:
        yield {
            host.name: stack.enter_context(
                process(
                    *(sys.executable, "-m", "geodns.cli.demo_mailhost"),
                    *(f"{host.name}.{zone}", at.host, str(at.port)),
                )
            )
            for zone, host, at in hosts
        }


def _require_free(zone: str, host: Host, at: Listen) -> None:
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    with socket.socket(family) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind(at)
        except OSError as error:
            raise StartError(
                f"no mail server for {host.name}.{zone} at {at}: {error.strerror}: "
                "end what listens there (another demo?), or give the host another `probe`"
            ) from error


@contextmanager
def name_server(*arguments: str) -> Iterator[Process]:
    """Run ``geodns serve`` with these arguments; what it prints is for the caller."""
    with process(sys.executable, "-m", "geodns", "serve", *arguments, stdout=subprocess.PIPE) as one:
        yield one


@contextmanager
def process(*command: str, stdout: int | None = None) -> Iterator[Process]:
    """Run a program till the block ends, and then end it."""
    # In a session of its own: Ctrl-C reaches this process alone, which then ends the others in order.
    started = subprocess.Popen(command, stdout=stdout, text=True, start_new_session=True)  # noqa: S603 - ours
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(_STOP_TIME)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        if started.stdout is not None:
            started.stdout.close()


def typed() -> str:
    """Return what a reader types for ``geodns`` in another terminal."""
    if shutil.which("geodns"):
        return "geodns"
    return sys.argv[0] if Path(sys.argv[0]).name == "geodns" else f"{sys.executable} -m geodns"
