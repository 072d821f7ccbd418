"""Imports only go down, and sideways in no circle: the arrows of the design, kept by a test.

A new module gets its level by adding its name to a row of `ROWS`; a package is one name.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import geodns

ROWS = (
    ("cli __main__",),
    ("commands",),
    ("daemon",),
    ("policing ordering edits concerns processes", "view publisher judging loading"),
    ("api serve health keeper demo",),
    (
        "control status orders stateexport explain logswitch asking",
        "cluster folder slowstart discovery load",
        "events recording",
    ),
    (
        "responder compiler watch metrics gauges querytext floodwatch liveness convert delegation reporting",
        "rails asked store eventfile history historyfile",
    ),
    ("lookup nodes",),
    ("dealing choice maxout live table rotation",),
    ("options",),
    (
        "rr wire edns tsig cookies policy encode names rrtypes rcodes serial networks ratelimit querylog",
        "zonefile zonediff scalars yamltext report selectors expressions",
        "settings clientsettings settingskeys guardkeys tokens statelock storefile database cookiefile logs",
        "when",
    ),
    ("model",),
    ("errors shown",),
    ("__init__",),
)
"""From the top: a module may import from its own row and from every row below."""

STRANGERS = {frozenset({"serve", "health"})}
"""Neighbours in a row that meet only in what both import from below."""

LEVELS = {name: -depth for depth, row in enumerate(ROWS) for group in row for name in group.split()}
PACKAGE = Path(geodns.__file__).parent


def modules(package: Path) -> dict[str, Path]:
    """Every module under a package, by its dotted name without the package's own."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """The modules of the package that one of them imports anywhere in its text, and the lines."""
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(name, path, node)
            targets = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            package, _, inner = target.partition(".")
            if package == "geodns":
                # The longest part that is a module; what follows is a name in it.
                while inner and inner not in known:
                    inner = inner.rpartition(".")[0]
                yield inner or "__init__", node.lineno


def _absolute(name: str, path: Path, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    here = ["geodns", *(name.split(".") if name != "__init__" else [])]
    if path.name != "__init__.py":
        here.pop()
    here = here[: len(here) - node.level + 1]
    return ".".join([*here, *([node.module] if node.module else [])])


def problems(package: Path) -> list[str]:
    known = modules(package)
    room = {name: name.partition(".")[0] for name in known}
    found = [
        f"{path.relative_to(package)}: give it a level: add {room[name]!r} to a row of ROWS in {__name__}"
        for name, path in known.items()
        if room[name] not in LEVELS
    ]
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        for target, line in imports(name, path, known):
            graph.setdefault(name, set()).add(target)
            here, there = room[name], room[target]
            where = f"{path.relative_to(package)}:{line}: {here} imports {there}"
            if here not in LEVELS or there not in LEVELS:
                continue
            if LEVELS[there] > LEVELS[here]:
                found.append(f"{where}, which is above it")
            elif frozenset({here, there}) in STRANGERS:
                found.append(f"{where}: these two never import each other")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"a circle: {' → '.join(reversed(error.args[1]))}")
    return found


def test_imports_only_go_down() -> None:
    assert problems(PACKAGE) == []


def test_every_name_has_one_level() -> None:
    assert sorted(LEVELS) == sorted(" ".join(group for row in ROWS for group in row).split())


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"live.py": "from geodns.model import Zone\nimport geodns.errors"}, [], id="down"),
        pytest.param({"api.py": "from geodns import control"}, [], id="sideways"),
        pytest.param({"cli.py": "from geodns import __version__"}, [], id="version"),
        pytest.param({"health/probes.py": "from geodns.health import state"}, [], id="inside-a-package"),
        pytest.param({"model.py": "import json, geodnsx.cli"}, [], id="other-packages"),
        pytest.param(
            {"model.py": "\nfrom geodns.live import LiveSet"},
            ["model.py:2: model imports live, which is above it"],
            id="up",
        ),
        pytest.param(
            {"wire.py": "def late():\n    import geodns.serve.udp"},
            ["wire.py:2: wire imports serve, which is above it"],
            id="up-inside-a-function",
        ),
        pytest.param(
            {"health/smtp.py": "from .. import daemon"},
            ["health/smtp.py:1: health imports daemon, which is above it"],
            id="up-relative",
        ),
        pytest.param(
            {"health/__init__.py": "from ..cli import main"},
            ["health/__init__.py:1: health imports cli, which is above it"],
            id="up-relative-from-a-package",
        ),
        pytest.param(
            {"serve/tcp.py": "from geodns.health import state"},
            ["serve/tcp.py:1: serve imports health: these two never import each other"],
            id="strangers",
        ),
        pytest.param(
            {"brandnew.py": ""},
            ["brandnew.py: give it a level: add 'brandnew' to a row of ROWS in tests.test_imports"],
            id="no-level",
        ),
        pytest.param(
            {"live.py": "import geodns.table", "table.py": "from geodns import live"},
            ["a circle: live → table → live", "a circle: table → live → table"],
            id="circle",
        ),
    ],
)
def test_what_the_test_finds(files: dict[str, str], expected: list[str], tmp_path: Path) -> None:
    there = ("__init__", "errors", "model", "wire", "live", "table", "control", "daemon", "cli")
    for name in (*there, "health/__init__", "health/state", "serve/__init__", "serve/udp"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    found = problems(tmp_path)
    if "circle" in "".join(expected):
        assert len(found) == 1
        assert found[0] in expected
    else:
        assert found == expected
