"""The house's arrows, kept by a test: what each package may import, and the three walls.

A new package gets a row in `MAY_IMPORT`; everybody may import `errors` and the version.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import geodns

_BELOW_CONTROL = "model wire responder compiler config zonefile health signals zones storage serve logs"
MAY_IMPORT = {
    name: frozenset(row.split())
    for name, row in {
        "errors": "",
        "logs": "",
        "model": "",
        "wire": "",
        "responder": "wire",
        "compiler": "model wire responder",
        "config": "model wire responder",
        "zonefile": "model wire config",
        "health": "model wire config",
        "signals": "model config health",
        "zones": "model config zonefile",
        "storage": "model wire",
        "serve": "wire responder logs",
        "control": _BELOW_CONTROL,
        "api": f"{_BELOW_CONTROL} control",
        "daemon": f"{_BELOW_CONTROL} control api",
        "cli": f"{_BELOW_CONTROL} control api daemon",
        "__main__": "cli",
    }.items()
}
GROUND = frozenset({"errors", "__init__"})

NEVER = (
    ("responder", "model"),
    ("responder", "config"),
    ("serve", "model"),
    ("serve", "health"),
    ("serve", "storage"),
    ("storage", "responder"),
    ("storage", "compiler"),
    ("compiler", "config"),
    ("compiler", "health"),
    ("health", "compiler"),
    ("health", "serve"),
    ("health", "storage"),
    ("signals", "compiler"),
    ("signals", "storage"),
    ("zones", "storage"),
    ("control", "api"),
)
"""Pairs that no change of the table above may join: the walls."""

ONLY_FROM = {
    ("compiler", "responder"): {"responder.route_table", "responder.table", "responder.views"},
    ("config", "responder"): {"responder.answer_policy"},
    ("health", "config"): {"config.regex"},
    ("signals", "health"): {"health.tls", "health.connect", "health.outcome"},
}
"""Where a package may use some files of another alone."""

PURE = frozenset(
    {"model", "wire", "compiler", "responder"}
    | {"health.state_machine", "health.smtp", "health.refusals", "health.mass_failure", "health.schedule"}
    | {"health.quorum", "health.quorum_address", "health.quorum_circle", "health.quorum_lasting"}
    | {"health.quorum_merge", "health.quorum_merging", "health.quorum_peers", "health.quorum_publish"}
    | {"health.quorum_recheck", "health.quorum_standing"}
    | {"control.cluster", "control.orders", "control.order_versions", "control.order_book"}
    | {"control.peers", "control.known_peers"}
    | {"control.simulation", "control.simulation_plan"}
    | {"control.simulation_shares", "control.simulation_state", "control.sample_clients"}
)
"""Rooms without a clock, a socket or a thread: time is an argument."""
IMPURE = frozenset({"asyncio", "concurrent", "select", "selectors", "socket", "ssl", "threading", "time"})
HARMLESS = frozenset({"socket.AF_INET", "socket.AF_INET6", "socket.inet_pton"})
"""Names of those that touch nothing outside."""

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
        f"{path.relative_to(package)}: say what {room[name]} may import: a row of MAY_IMPORT in {__name__}"
        for name, path in known.items()
        if room[name] not in MAY_IMPORT and name != "__init__"
    ]
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        here = room[name]
        for target, line in imports(name, path, known):
            graph.setdefault(name, set()).add(target)
            there = room[target]
            where = f"{path.relative_to(package)}:{line}: {here} imports"
            if here == there or there in GROUND or here not in MAY_IMPORT:
                continue
            if there not in MAY_IMPORT[here]:
                found.append(f"{where} {there}")
            elif target not in ONLY_FROM.get((here, there), {target}):
                found.append(f"{where} {target}")
        if here in PURE or name in PURE:
            found += [
                f"{path.relative_to(package)}:{line}: {outside} in a room without clock, socket or thread"
                for outside, line in outsiders(path)
                if outside.partition(".")[0] in IMPURE and outside not in HARMLESS
            ]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"a circle: {' → '.join(reversed(error.args[1]))}")
    return found


def outsiders(path: Path) -> Iterator[tuple[str, int]]:
    """What a module imports from outside the package, with the lines."""
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def test_every_import_is_allowed() -> None:
    assert problems(PACKAGE) == []


def test_the_walls_stand() -> None:
    assert [pair for pair in NEVER if pair[1] in MAY_IMPORT[pair[0]]] == []


def test_in_control_only_services_have_a_clock_or_tasks() -> None:
    others = {"control.persistence", "control.watchdog", "control.wall_clock", "control.tasks"}
    others |= {"control.order_sharing"}
    impure = [
        (name, outside)
        for name, path in modules(PACKAGE).items()
        if name.startswith("control.") and not name.endswith("_service") and name not in others
        for outside, _ in outsiders(path)
        if outside.partition(".")[0] in IMPURE
    ]
    assert impure == []


def test_what_is_allowed_runs_down_only() -> None:
    assert tuple(TopologicalSorter(MAY_IMPORT).static_order())


def test_a_package_is_its_docstring() -> None:
    """No arrow hides behind a package's face, and a command that needs one bound loads nothing else."""
    for path in PACKAGE.rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert path.parent == PACKAGE or (len(body) == 1 and isinstance(body[0], ast.Expr)), path


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            {"compiler/live.py": "from geodns.model.zone import Zone\nimport geodns.errors"}, [], id="down"
        ),
        pytest.param({"api.py": "from geodns import control"}, [], id="sideways"),
        pytest.param({"cli.py": "from geodns import __version__"}, [], id="version"),
        pytest.param(
            {"health/probe.py": "from geodns.health import state_machine"}, [], id="inside-a-package"
        ),
        pytest.param({"model/zone.py": "import json, geodnsx.cli"}, [], id="other-packages"),
        pytest.param(
            {"model/zone.py": "\nfrom geodns.wire.names import parents"},
            ["model/zone.py:2: model imports wire"],
            id="up",
        ),
        pytest.param(
            {"wire/names.py": "def late():\n    import geodns.serve.udp"},
            ["wire/names.py:2: wire imports serve"],
            id="up-inside-a-function",
        ),
        pytest.param(
            {"health/smtp.py": "from .. import daemon"},
            ["health/smtp.py:1: health imports daemon"],
            id="up-relative",
        ),
        pytest.param(
            {"health/__init__.py": "from ..cli import main"},
            ["health/__init__.py:1: health imports cli"],
            id="up-relative-from-a-package",
        ),
        pytest.param(
            {"serve/tcp.py": "from geodns.health import state_machine"},
            ["serve/tcp.py:1: serve imports health"],
            id="a-wall",
        ),
        pytest.param(
            {
                "compiler/compile.py": "from geodns.responder.respond import respond",
                "responder/respond.py": "",
            },
            ["compiler/compile.py:1: compiler imports responder.respond"],
            id="one-file-of-a-package",
        ),
        pytest.param(
            {"compiler/live.py": "from socket import inet_pton, create_server\nfrom time import time"},
            [
                f"compiler/live.py:{line}: {what} in a room without clock, socket or thread"
                for line, what in ((1, "socket.create_server"), (2, "time.time"))
            ],
            id="a-clock",
        ),
        pytest.param({"health/monitor.py": "import time"}, [], id="a-clock-where-it-may-be"),
        pytest.param(
            {"brandnew.py": ""},
            ["brandnew.py: say what brandnew may import: a row of MAY_IMPORT in tests.test_imports"],
            id="no-row",
        ),
        pytest.param(
            {"compiler/live.py": "import geodns.compiler.table", "compiler/table.py": "from . import live"},
            [
                "a circle: compiler.live → compiler.table → compiler.live",
                "a circle: compiler.table → compiler.live → compiler.table",
            ],
            id="circle",
        ),
    ],
)
def test_what_the_test_finds(files: dict[str, str], expected: list[str], tmp_path: Path) -> None:
    there = (
        "__init__",
        "errors",
        "daemon",
        "cli",
        "control",
        "model/__init__",
        "model/zone",
        "wire/__init__",
    )
    for name in (
        *there,
        "wire/names",
        "compiler/__init__",
        "responder/__init__",
        "health/__init__",
        "health/state_machine",
        "serve/__init__",
        "serve/udp",
    ):
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
