"""What systemd lays on a service at its start: the system-call filter of its unit, MemoryDenyWriteExecute."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

_ERRNO_EPERM = 0x00050001
_ALLOW = 0x7FFF0000
_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN = 65, 1


def filtering(unit: Path) -> tuple[str, ...]:
    """What to put before a command that shall run under the filter of a unit file."""
    return sys.executable, str(Path(__file__)), str(unit)


def allowed(unit: Path) -> set[str]:
    """Return the system calls that a unit's SystemCallFilter= lines leave; one with ~ takes away."""
    found: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.+)$", unit.read_text(), re.MULTILINE):
        calls = {call for word in line.lstrip("~").split() for call in _calls(word)}
        found = found - calls if line.startswith("~") else found | calls
    return found | set(_calls("@default"))


def _calls(word: str) -> list[str]:
    if not word.startswith("@"):
        return [word]
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", word], capture_output=True, text=True, check=True
    )
    lines = [line.strip() for line in done.stdout.splitlines()[1:]]
    return [call for line in lines if line and not line.startswith("#") for call in _calls(line)]


def main() -> None:
    """Become the command, under the filter."""
    calls = allowed(Path(sys.argv[1]))
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ERRNO_EPERM))
    for call in sorted(calls):
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            library.seccomp_rule_add(context, _ALLOW, number, 0)
    ctypes.CDLL(None).prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)  # Linux 6.3; else without
    if library.seccomp_load(context):
        sys.exit("the filter is refused")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
