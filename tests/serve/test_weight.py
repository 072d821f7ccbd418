"""Supervisor and workers stay small: what they import is what every one of them weighs."""

import subprocess
import sys

HEAVY = ("aiohttp", "asyncio", "click", "geodns.model", "pydantic", "rich", "sqlite3", "yaml")


def test_a_udp_worker_imports_nothing_heavy() -> None:
    program = f"import sys, geodns.serve.supervisor; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
