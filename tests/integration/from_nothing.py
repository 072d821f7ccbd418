"""Runs commands one by one, each in a copy of a process that has loaded others' packages and nothing of ours.

Loading those takes most of a command's start, and no command of ours can do it wrong.
"""

import json
import os
import runpy
import sys
import tempfile
from importlib import import_module

OTHERS = ("aiohttp.web", "click", "prometheus_client", "pydantic", "yaml")


def main() -> None:
    """Take the commands' arguments as JSON; print the status of each and what it wrote."""
    for name in OTHERS:
        import_module(name)
    assert not any(name.partition(".")[0] == "geodns" for name in sys.modules)
    print(json.dumps([_run(arguments) for arguments in json.loads(sys.argv[1])]))  # noqa: T201


def _run(arguments: list[str]) -> tuple[int, str]:
    with tempfile.TemporaryFile("w+") as said:
        pid = os.fork()
        if pid == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.argv[1:] = arguments
            runpy.run_module("geodns", run_name="__main__", alter_sys=True)
            sys.exit()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said.seek(0)
        return status, said.read()


if __name__ == "__main__":
    main()
