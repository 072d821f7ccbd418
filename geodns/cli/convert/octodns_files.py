"""octoDNS's YAML: what a file includes and merges, as nodes that know their file and line."""

from pathlib import Path
from typing import Any

from geodns.cli.convert.draft import SourcePlace
from geodns.cli.convert.source_file import read_source
from geodns.config import yaml_nodes
from geodns.config.report import Report
from geodns.config.value_types import items_of
from geodns.config.yaml_nodes import Mapping, Scalar, YamlNode
from geodns.errors import GeodnsError, Problem

MAX_INCLUDES = 1000
MAX_INCLUDED_DEPTH = 10


class OctodnsFiles:
    """Reads a file and what it includes.

    Attributes:
        problems: of all of them.

    """

    def __init__(self, main: Path) -> None:
        self.problems: list[Problem] = []
        self._main = str(main)
        self._count = 0
        self._of: dict[int, tuple[str, YamlNode]] = {}  # kept, since an id is a node's only while that lives

    def place(self, node: YamlNode) -> SourcePlace:
        found = self._of.get(id(node))
        return SourcePlace(self._main if found is None else found[0], node.line)

    def read(self, path: Path, depth: int = 0) -> YamlNode | None:
        report = Report(str(path))

        def include(node: YamlNode) -> YamlNode:
            return self._include(path.parent, node, depth)

        try:
            text = read_source(path, included=depth > 0)
        except OSError as error:
            if not depth:
                raise GeodnsError(f"{path}: {error.strerror}") from error
            raise ValueError(f"{path}: {error.strerror}") from error
        node = yaml_nodes.load_any(text, report, "a mapping of names", {"!include": include})
        self.problems += report.problems()
        if depth and node is not None:
            self._mark(node, str(path))
        return node

    def _include(self, folder: Path, node: YamlNode, depth: int) -> YamlNode:
        """Return what `!include file`, or a list of files, stands for."""
        names = [one.text for one in items_of(node) if isinstance(one, Scalar)]
        if isinstance(node, Mapping) or not names:
            raise ValueError("`!include` without a file")
        self._count += len(names)
        if depth >= MAX_INCLUDED_DEPTH or self._count > MAX_INCLUDES:
            raise ValueError(f"too many files included at {names[0]!r}: does one include itself?")
        try:
            paths = [folder / Path(name).expanduser() for name in names]
        except RuntimeError as error:
            raise ValueError(f"{', '.join(names)}: no such user's home folder") from error
        found = [one for path in paths if (one := self.read(path, depth + 1)) is not None]
        if len(found) == 1:
            return found[0]
        whole = Mapping(node.line, node.column)
        for one in found:
            if not isinstance(one, Mapping):
                raise ValueError("several files included as one: each must be a mapping")  # noqa: TRY004 - the file is wrong, not the call
            whole.items |= one.items
        return whole

    def _mark(self, node: YamlNode, file: str) -> None:
        pending = [node]
        while pending:
            one = pending.pop()
            if id(one) in self._of:
                continue
            self._of[id(one)] = file, one
            if isinstance(one, yaml_nodes.Sequence):
                pending += one.items
            elif isinstance(one, Mapping):
                pending += [part for pair in one.items.values() for part in pair]


def merged(node: Mapping) -> Mapping:
    """Return a mapping with what its merge key (``<<``) brings in; its own keys win, then the first's."""
    key, value = node.items.get("<<", (None, None))
    if key is None or value is None or not key.plain:
        return node
    whole = Mapping(node.line, node.column)
    for one in reversed(items_of(value)):
        if isinstance(one, Mapping):
            whole.items |= merged(one).items
    whole.items |= {name: entry for name, entry in node.items.items() if name != "<<"}
    return whole


def plain(node: YamlNode) -> Any:
    """Turn a node into texts, lists and dictionaries; an empty one is None."""
    if isinstance(node, Scalar):
        return None if yaml_nodes.is_nothing(node) else node.text
    if isinstance(node, yaml_nodes.Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key: plain(value) for key, (_, value) in merged(node).items.items()}


def as_mapping(value: Any) -> dict[str, Any]:
    """Return a mapping; what is none counts as an empty one, since a file may say anything anywhere."""
    return value if isinstance(value, dict) else {}
