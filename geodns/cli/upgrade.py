"""``geodns upgrade``: have a running server go on as another version, without a lost query."""

import contextlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from geodns.config.settings import load_settings
from geodns.errors import ServerError, SettingsError, UsageError, printable
from geodns.storage.lock import LOCK_NAME

SOCKET = "upgrade.sock"
"""In the state folder."""
WITHIN = 120.0
"""Seconds that the command waits for the end."""
LONGEST = 1 << 16
"""Bytes of a line."""

_STEPS = {
    "rehearsal": "rehearsal: the new program starts beside the server, on sockets of its own …",
    "handover": "handover: the control process ends, the server goes on as the new program …",
    "new control": "new control: it reads zones and state …",
    "new workers": "new workers: they begin beside the old ones, on the same sockets …",
}
_GOES_ON = "the upgrade goes on, and `geodns status` says which version runs"


class _LateError(ServerError):
    """The upgrade is not through in time."""

    status = 3


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="The settings. [./geodns.yaml if there]"
)
@click.option("--state", metavar="DIR", help="The server's directory of what survives a restart. [state]")
@click.option(
    "--program",
    metavar="PATH",
    help="The `geodns` to go on as, in the venv of its version. [the one that runs this command]",
)
@click.option("--back", is_flag=True, help="Go back to the program before the last upgrade.")
def upgrade(config: Path | None, state: str | None, program: str | None, *, back: bool) -> None:
    """Have the server of this machine go on as another version, without a lost query.

    Install the new version into a venv of its own and call its `geodns upgrade` there, as root or as the
    server's user. The new program first shows on sockets of its own that it reads the zones, the settings and
    the state, and that its workers answer; where it does not, or fails later on, the old one goes on.

    Exit status 1 when it failed and the version before serves on, 3 when it took more than 120 s.
    """
    if back and program is not None:
        raise UsageError("--back goes to the program before, which is known: take --program out")
    wanted: dict[str, Any] = {"back": {}} if back else {"upgrade": {"program": _path(program), "args": None}}
    folder = _state_folder(config, state)
    began = time.monotonic()
    with contextlib.closing(_connected(folder)) as connection:
        _send(connection, wanted)
        try:
            for line in _lines(connection, began + WITHIN):
                if _take(line, back=back):
                    return
        except KeyboardInterrupt:
            raise _LateError(f"only this command has ended: {_GOES_ON}") from None
    raise ServerError(
        "the server closed the connection before the end: `geodns status` says which version runs, its log "
        "says why"
    )


def _path(program: str | None) -> str:
    """Return the absolute path of the program to go on as, with the links in it."""
    called = program or shutil.which(sys.argv[0]) or sys.argv[0]
    path = Path(called).absolute()
    try:
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
        what = "is a directory" if path.is_dir() else "is no program" if path.exists() else "is not there"
    except OSError as error:
        what = f"cannot be looked at ({error.strerror})"
    if program is None:
        raise UsageError("which program runs this is not known: give its path with --program")
    raise UsageError(f"--program: {path} {what}: write the path of `geodns` in the new version's venv")


def _state_folder(config: Path | None, state: str | None) -> Path:
    """Return the server's state folder, as `geodns serve` finds it."""
    if state is not None:
        return Path(state)
    try:
        return load_settings(config, {}, os.environ).state
    except SettingsError as error:
        # Whoever cannot read the secrets that the settings name may well give the folder itself.
        raise SettingsError(f"{error}\nor give the state directory with --state") from error


# --- the connection ------------------------------------------------------------------------------------


def _connected(folder: Path) -> socket.socket:
    path = folder / SOCKET
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(path) as name:
            connection.connect(name)
    except OSError as error:
        connection.close()
        raise ServerError(_why_not(folder, error)) from None
    return connection


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """Give a short path for one of any length (unix(7), sun_path)."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _why_not(folder: Path, error: OSError) -> str:
    """Say why nobody answers, and what to do."""
    where = f"{folder}/{SOCKET}"
    match error:
        case PermissionError():
            return f"{where}: not allowed: only root and the server's own user may: `sudo geodns upgrade`"
        case FileNotFoundError() | ConnectionRefusedError() | NotADirectoryError():
            pass
        case _:
            return f"{where}: {error.strerror or error}"
    if not folder.is_dir():
        return f"no server runs there: there is no {folder}: give its state directory with --state"
    pid = _holder(folder)
    if pid is None:
        return f"no server runs there: nobody uses {folder}: start it, or give another directory with --state"
    return (
        f"the server (process {pid}) cannot be upgraded in place: its version knows no `geodns upgrade`, or "
        "its log says why: restart it"
    )


def _holder(folder: Path) -> int | None:
    """Return the process that has locked a state folder, as it wrote; None: none lives."""
    try:
        found = (folder / LOCK_NAME).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return int(found) if found.isdigit() and Path(f"/proc/{found}").exists() else None


def _send(connection: socket.socket, wanted: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # it may have said why already
        connection.sendall(json.dumps(wanted).encode() + b"\n")


def _lines(connection: socket.socket, end: float) -> Iterator[dict[str, Any]]:
    data = b""
    while True:
        try:
            connection.settimeout(max(0.001, end - time.monotonic()))
            piece = connection.recv(LONGEST)
        except TimeoutError:
            raise _LateError(f"not through within {WITHIN:g} s: {_GOES_ON}") from None
        except ConnectionError:
            piece = b""
        if not piece:
            return
        *lines, data = (data + piece).split(b"\n")
        for line in lines:
            yield _read(line)
        if len(data) > LONGEST:
            raise ServerError(f"the server says what is no answer: more than {LONGEST} bytes without an end")


def _read(line: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    raise ServerError(f"the server says what is no answer: {printable(line[:200].decode(errors='replace'))}")


# --- what it says --------------------------------------------------------------------------------------


def _take(line: dict[str, Any], *, back: bool) -> bool:
    """Print what the server says; return whether the upgrade is done.

    Raises:
        ServerError: it failed.

    """
    match line:
        case {"done": {"version": version, "before": before, "seconds": seconds}}:
            click.echo(_done(str(version), str(before), float(seconds), back=back))
            return True
        case {"failed": why}:
            serving = line.get("serving")
            goes_on = f": geodns {serving} goes on" if serving else ""
            step = f" ({line['step']})" if line.get("step") else ""
            raise ServerError(printable(f"not upgraded{step}: {why}{goes_on}"))
        case {"step": step}:
            click.echo(printable(_STEPS.get(str(step), f"{step} …")))
        case {"said": said}:
            click.echo(printable(f"  {said}"), err=True)
        case _:
            pass  # a later version may say more
    return False


def _done(version: str, before: str, seconds: float, *, back: bool) -> str:
    what = f"from {before} to {version}" if version != before else f"to another {version}"
    return printable(
        f"{'went back' if back else 'upgraded'} {what} in {seconds:.1f} s: the sockets stayed open, and the "
        "old workers answered until the new ones did"
    )
