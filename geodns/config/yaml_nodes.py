"""YAML text → nodes that know their line and column, with every scalar left as text.

Our own loop builds them from the parser's events: nothing recurses however deep a file nests, duplicate keys
are found, and the size of expanded aliases is bounded.
"""

import re
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from geodns.config.report import Report, TextPlace, quoted
from geodns.config.yaml_errors import QuotedLines, in_words

MAX_BYTES = 32 * 2**20
"""A zone of 100,000 records is about 5 MB."""

MAX_NODES = 3_000_000
MAX_ALIASED = 100_000
MAX_DEPTH = 20

_LOADER: Any = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class YamlNode(TextPlace):
    """A list, a mapping or a scalar, and where it begins."""


@dataclass(slots=True)
class Scalar(YamlNode):
    """A text; `plain` when it stands without quotes."""

    text: str
    plain: bool


@dataclass(slots=True)
class Sequence(YamlNode):
    """A list."""

    items: list[YamlNode] = field(default_factory=list)


@dataclass(slots=True)
class Mapping(YamlNode):
    """A mapping; `items` has the key's node and the value by the key's text."""

    items: dict[str, tuple[Scalar, YamlNode]] = field(default_factory=dict)

    def get(self, key: str) -> YamlNode | None:
        found = self.items.get(key)
        return None if found is None else found[1]

    def place(self, key: str) -> YamlNode:
        """Return the key's own node, or else the mapping."""
        found = self.items.get(key)
        return self if found is None else found[0]


def shown(node: YamlNode) -> str:
    """Return a node as a message shows it."""
    if isinstance(node, Scalar):
        return quoted(node.text) if node.text or not node.plain else "nothing"
    return "a list" if isinstance(node, Sequence) else "a mapping"


def is_nothing(node: YamlNode | None) -> bool:
    """Tell whether a key is missing or nothing follows its colon."""
    return node is None or (isinstance(node, Scalar) and node.plain and node.text in {"", "~", "null"})


KEYS = "keys: `ns:`, `hosts:`, `records:`"

Tags = Table[str, Callable[[YamlNode], YamlNode]]
"""By tag: returns the node that a tagged one stands for, or raises ValueError."""


def load(text: bytes, report: Report, wanted: str = KEYS, tags: Tags | None = None) -> Mapping | None:
    """Read a file that must be one mapping; None where the report says why it is none.

    `wanted` is what to write into a file that is empty or something else. No tags but `tags` may stand there.
    """
    node = load_any(text, report, wanted, tags)
    if node is None or isinstance(node, Mapping):
        return node
    report.error(node, f"{shown(node)}, not a mapping", f"write {wanted}")
    return None


def load_any(text: bytes, report: Report, wanted: str, tags: Tags | None = None) -> YamlNode | None:
    """Read a file that may be any value; None where the report says why it is none."""
    if len(text) > MAX_BYTES:
        report.error(None, f"over {MAX_BYTES // 2**20} MiB", "split the zone into several")
        return None
    characters = _decode(text, report)
    if characters is None:
        return None
    builder = _Builder(report, wanted, tags or {})
    try:
        return builder.build(yaml.parse(characters, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        report.error(*in_words(error, characters, builder.quotes))
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # PyYAML's own scanner lets chr() raise
        report.error(None, f"no valid YAML: {quoted(str(error))}")
    return None


def says_nothing(text: bytes) -> bool:
    """Tell whether a file has only comments, and so leaves everything at its default."""
    lines = (line.strip() for line in text.splitlines())
    return all(not line or line.startswith(b"#") for line in lines)


def _decode(text: bytes, report: Report) -> str | None:
    try:
        characters = text.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place(text[: error.start].decode("utf-8"))
        report.error(place, f"invalid UTF-8, byte 0x{text[error.start]:02x}", "save the file as UTF-8")
        return None
    characters = characters.removeprefix("\ufeff")
    wrong = _UNPRINTABLE.search(characters)
    if wrong is not None:
        what = f"the character U+{ord(wrong[0]):04X} cannot stand in YAML"
        report.error(_place(characters[: wrong.start()]), what, "take it out")
        return None
    return characters


def _place(before: str) -> TextPlace:
    return TextPlace(before.count("\n") + 1, len(before) - before.rfind("\n"))


class _Stop(Exception):  # noqa: N818 - no error: the report already says what is wrong
    """Stops the reading of a file."""


@dataclass(slots=True)
class _Open:
    """A list or mapping that has not ended yet."""

    node: Sequence | Mapping
    anchor: str | None
    count: int
    key: Scalar | None = None
    start: Any = None


class _Builder:
    def __init__(self, report: Report, wanted: str, tags: Tags) -> None:
        self._report = report
        self._tags = tags
        self._wanted = wanted
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[YamlNode, int]] = {}
        self._count = 0
        self._aliased = 0
        self._root: YamlNode | None = None
        self.quotes: QuotedLines | None = None

    def build(self, events: Iterator[Any]) -> YamlNode | None:
        try:
            for event in events:
                self._take(event)
        except _Stop:
            return None
        root = self._root
        if root is None or is_nothing(root):
            self._report.error(None, "the file is empty", f"write {self._wanted}")
            return None
        return root

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            node = Scalar(
                event.start_mark.line + 1, event.start_mark.column + 1, event.value, event.style in {None, ""}
            )
            if event.start_mark.line != event.end_mark.line and event.style in {"'", '"'}:
                self.quotes = QuotedLines(node, event.end_mark.line + 1)
            self._count += 1
            if event.anchor is not None or event.tag is not None or not event.value.isascii():
                self._add(self._looked_at(event, node))
            else:
                self._add(node)
        elif kind in {yaml.SequenceStartEvent, yaml.MappingStartEvent}:
            self._open(event, Sequence if kind is yaml.SequenceStartEvent else Mapping)
        elif kind in {yaml.SequenceEndEvent, yaml.MappingEndEvent}:
            self._close()
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent and self._root is not None:
            self._fail(event, "a second document", "one file is one zone: take out the `---`")

    def _looked_at(self, event: Any, node: Scalar) -> YamlNode:
        self._no_tag(event)
        if _SURROGATE.search(node.text):
            self._fail(event, "half a character (a surrogate)", "write the whole character")
        found = self._meant(event, node)
        if event.anchor is not None:
            self._anchors[event.anchor] = (found, 1)
        return found

    def _meant(self, event: Any, node: YamlNode) -> YamlNode:
        if event.tag not in self._tags:
            return node
        try:
            return self._tags[event.tag](node)
        except ValueError as error:
            self._fail(event, str(error), "")

    def _open(self, event: Any, kind: type[Sequence | Mapping]) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._fail(event, f"nested more than {MAX_DEPTH} deep", "a zone file needs five levels")
        self._no_tag(event)
        node = kind(event.start_mark.line + 1, event.start_mark.column + 1)
        self._count += 1
        self._stack.append(_Open(node, event.anchor, self._count, start=event))

    def _close(self) -> None:
        closed = self._stack.pop()
        node = self._meant(closed.start, closed.node)
        if closed.anchor is not None:
            self._anchors[closed.anchor] = (node, self._count - closed.count + 1)
        self._add(node)

    def _alias(self, event: Any) -> None:
        found = self._anchors.get(event.anchor)
        if found is None:
            self._fail(
                event,
                f"no finished anchor &{event.anchor} stands before this alias",
                f'write the value out; a glob stands in quotes, as "*{event.anchor[:40]}"',
            )
        node, size = found
        self._count += size
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            self._fail(event, f"aliases that expand to more than {MAX_ALIASED:,} values", "write them out")
        self._add(node)

    def _add(self, node: YamlNode) -> None:
        if self._count > MAX_NODES:
            self._report.error(node, f"more than {MAX_NODES:,} values", "split the zone into several")
            raise _Stop
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        if isinstance(top.node, Sequence):
            top.node.items.append(node)
        elif top.key is None:
            top.key = self._key(node)
        else:
            key, top.key = top.key, None
            entry = (key, node)
            first = top.node.items.setdefault(key.text, entry)
            if first is not entry:
                self._report.error(
                    key,
                    f"duplicate key {quoted(key.text)}",
                    f"it stands at line {first[0].line} already: make them one",
                )

    def _key(self, node: YamlNode) -> Scalar:
        if isinstance(node, Scalar):
            return node
        self._report.error(node, f"{shown(node)} as a key", "put quotes around the key")
        raise _Stop

    def _no_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!" and event.tag not in self._tags:
            self._fail(event, f"the tag {quoted(event.tag)}", "zone files know no tags: take it out")

    def _fail(self, event: Any, what: str, instead: str) -> NoReturn:
        self._report.error(TextPlace(event.start_mark.line + 1, event.start_mark.column + 1), what, instead)
        raise _Stop
