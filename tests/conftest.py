"""What holds for all tests: how many examples Hypothesis takes, and in what order they run."""

import functools
import gc
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# --- examples ------------------------------------------------------------------------------------------

# A machine that is busy with something else is slow: no test may fail for that.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("default", _PATIENT, max_examples=30)
# The same examples each time: what fails is the change's fault.
settings.register_profile("ci", _PATIENT, max_examples=100, derandomize=True, print_blob=True)
settings.register_profile("nightly", _PATIENT, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "default"))

# --- order ---------------------------------------------------------------------------------------------

HERE = Path(__file__).parent

# What collecting makes stays to the end: looking through it again and again takes longer than making it.
gc.disable()


def pytest_collection_finish() -> None:
    """Collect from here on what tests leave behind."""
    gc.freeze()
    gc.enable()


def _starts_processes(path: Path) -> bool:
    place = path.relative_to(HERE)
    return place.parts[0] in {"integration", "fuzz"} or place.name.startswith("test_bench")


@functools.cache
def _shares(path: Path) -> bool:
    """Say whether the tests of a file share what is dear to start."""
    return 'scope="module"' in path.read_text("utf-8")


def _turn(path: Path) -> int:
    return 2 if not _starts_processes(path) else 0 if _shares(path) else 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what takes longest first."""
    items.sort(key=lambda item: _turn(item.path))


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Gives each process a file at a time; a single test where the tests of a file share nothing dear."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if _turn(self.config.rootpath / file) == 1 else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    """Share the tests out among processes (`-n 4`), as we say and not as `--dist` does."""
    config.option.loadscopereorder = False  # the order is the one above
    return _Scheduling(config, log)
