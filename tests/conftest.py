"""What holds for all tests: how many examples Hypothesis takes, and in what order they run."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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


def _starts_processes(item: pytest.Item) -> bool:
    place = item.path.relative_to(HERE)
    return place.parts[0] in {"integration", "fuzz"} or place.name.startswith("test_bench")


def _shares(item: pytest.Item) -> bool:
    """Say whether a test shares with others of its file what is dear to start."""
    made = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009 - it is pytest's own
    return any(one[-1].scope == "module" for one in made)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what takes longest first; `--dist loadgroup` keeps in one process what shares something."""

    def turn(item: pytest.Item) -> int:
        return 2 if not _starts_processes(item) else 0 if _shares(item) else 1

    for item in items:
        if turn(item) != 1:
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(HERE))))
    items.sort(key=turn)
