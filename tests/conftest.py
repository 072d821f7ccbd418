"""What holds for all tests: how many examples Hypothesis takes, and in what order they run."""

import contextlib
import functools
import gc
import importlib
import os
import signal
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
settings.register_profile("ci", _PATIENT, max_examples=30, derandomize=True, print_blob=True)
settings.register_profile("nightly", _PATIENT, max_examples=1000, print_blob=True)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "default")
settings.load_profile(PROFILE)

LIMIT = 3600 if PROFILE == "nightly" else 400
"""Seconds for a test by examples: what fails is made smaller for up to five minutes, which is worth it."""

# --- signals --------------------------------------------------------------------------------------------

# A shell without job control has what it starts in the background ignore SIGINT, nohup SIGHUP: inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# --- order ---------------------------------------------------------------------------------------------

HERE = Path(__file__).parent

# What collecting makes stays to the end: looking through it again and again takes longer than making it.
gc.disable()


def pytest_collection(session: pytest.Session) -> None:
    """Have each process of a run of all tests begin with other files, and read what the others have compiled.

    After a checkout nothing is compiled; in step, each of the processes would compile everything.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or not worker["all_tests"]:
        return
    files = sorted(HERE.rglob("test_*.py"))
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in files[first:] + files[:first]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # told where it is collected
            importlib.import_module(".".join(file.relative_to(HERE.parent).with_suffix("").parts))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process whether it will import every test."""
    config = node.config
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    node.workerinput["all_tests"] = everything and not config.option.ignore


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
    """Run what takes longest first; have a clock that Hypothesis cannot hold up for what it runs."""
    for item in items:
        if hasattr(getattr(item, "function", None), "hypothesis"):
            item.add_marker(pytest.mark.timeout(LIMIT, method="thread"))
    items.sort(key=lambda item: _turn(item.path))


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Gives each process a file at a time; a single test where the tests of a file share nothing dear."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if _turn(self.config.rootpath / file) == 1 else file

    def schedule(self) -> None:
        """Hand out tests, and say where no more will come: a process keeps its last one back till then."""
        super().schedule()
        for node in self.nodes:
            self._reschedule(node)

    def remove_node(self, node: Any) -> str | None:
        """Have others do what a process that died had to do, but for the test that it died of."""
        work = self.assigned_work.pop(node)
        left = [(unit, nodeid) for unit in work.values() for nodeid, done in unit.items() if not done]
        if not left:
            return None
        unit, crashed = left[0]
        unit[crashed] = True
        self.workqueue.update({scope: unit for scope, unit in work.items() if not all(unit.values())})
        for other in self.assigned_work:
            self._reschedule(other)
        return str(crashed)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    """Share the tests out among processes (`-n 4`), as we say and not as `--dist` does."""
    config.option.loadscopereorder = False  # the order is the one above
    return _Scheduling(config, log)
