"""Another version of the server of `serving`, and the client that asks for it.

Run as a program it is that version: ``PROGRAM serve OPTIONS``, or ``PROGRAM serve --rehearse OPTIONS``.
"""

import json
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from geodns.serve.rehearsal import PASSED
from tests.integration import serving

ROOT = Path(__file__).parent.parent.parent

PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.integration import upgrading
sys.exit(upgrading.main(sys.argv[1:]))
"""


def write_program(folder: Path, text: str = PROGRAM) -> str:
    """Put a program into a folder; return its path."""
    path = folder / "geodns"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXOTH)
    return str(path)


def main(arguments: list[str]) -> int:
    """Be a version of the server, or its rehearsal."""
    options = json.loads(arguments[-1])
    if "--rehearse" in arguments:
        print("heard", flush=True)  # noqa: T201 - goes to the client
        if options["fault"] == "rehearsal waits":
            time.sleep(60)
        if options["fault"] == "exec":
            Path(options["program"]).rename(options["program"] + ".gone")
        print(f"{PASSED}{os.getpid()}")  # noqa: T201 - likewise
        return int(options["fault"] == "rehearsal")
    for name, value in options.get("constants", {}).items():
        module, _, constant = name.rpartition(".")
        setattr(import_module(f"geodns.{module}"), constant, value)
    return serving.main(options)


def asking(state: Path, **request: Any) -> Iterator[dict[str, Any]]:
    """Ask for an upgrade; yield what is said until the connection ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(60)
        client.connect(str(state / "upgrade.sock"))
        client.sendall(json.dumps(request).encode() + b"\n")
        with client.makefile() as lines:
            for line in lines:
                yield json.loads(line)


def upgrade(state: Path, program: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Upgrade to a program; return all that is said."""
    return list(asking(state, upgrade={"program": program, "args": [json.dumps(options)]}))
