"""A bounded run of each fuzzer (`make fuzz` is a longer one), and everything that is in the corpus."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
RUNS = {"packets": 4_000, "zones": 1_000, "routes": 2_000}
"""What is in the corpus is among them."""


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    files = sorted((HERE / "corpus" / name).iterdir())
    assert files
    for file in files:
        try:
            TARGETS[name](file.read_bytes())
        except Exception as error:
            error.add_note(f"with {file}")
            raise


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="no atheris, whose wheels are for Linux on x86-64 alone: pip install atheris",
)
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", TARGETS)
def test_some_more(name: str, tmp_path: Path) -> None:
    options = [f"-runs={RUNS[name]}", "-max_total_time=40", "-seed=1", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, *options],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    found = [f"{file.name}: {file.read_bytes().hex()}" for file in tmp_path.iterdir()]
    assert done.returncode == 0, "\n".join([*found, done.stdout[-2000:], done.stderr[-4000:]])
    assert "Done " in done.stderr
