"""Tables of keys: what may stand in a mapping, how each value is read, and what holds without it.

A table takes bounds, defaults and sentences from the model that its values go into. Reader, messages, JSON
Schema and reference pages come from the table, so that none of them can differ.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from geodns.config.report import Report
from geodns.config.value_types import Schema, ValueType, choice, entries_of, whole
from geodns.config.yaml_nodes import YamlNode


@dataclass(frozen=True)
class Key:
    """A key of a mapping.

    Attributes:
        kind: of its value.
        says: a sentence for operators and their editors.
        default: what holds without the key, as one would write it or in words; empty where the sentence says
            enough, or the key must be there.

    """

    kind: ValueType
    says: str
    default: str = ""

    @property
    def schema(self) -> Schema:
        default = f" Default: {self.default}." if self.default else ""
        return {"description": self.says + default, **self.kind.schema}


def keys_of(
    model: type[BaseModel],
    kinds: Mapping[str, ValueType | Callable[..., ValueType]],
    fields: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> dict[str, Key]:
    """Return the keys whose values go into a model.

    Args:
        model: has bounds, default and sentence (the description) of each.
        kinds: by key; `whole`, `duration`, `part` and `choice` take bounds and words from the field.
        fields: which field a key is for, where that has another name.
        defaults: words for what holds without a key, where the field has no value that one could write.

    """
    keys: dict[str, Key] = {}
    for name, kind in kinds.items():
        field = model.model_fields[(fields or {}).get(name, name)]
        known = kind if isinstance(kind, ValueType) else _bounded(kind, name, field)
        default = (defaults or {}).get(name) or _default(known, field)
        keys[name] = Key(known, field.description or "", default)
    return keys


def keys_in(model: type[BaseModel]) -> dict[str, Key]:
    """Return the keys that stand in the annotations of a model's fields, with the fields' defaults."""
    found = (
        (name, field, key)
        for name, field in model.model_fields.items()
        for key in field.metadata
        if isinstance(key, Key)
    )
    return {
        name: replace(key, default=key.default or _default(key.kind, field)) for name, field, key in found
    }


def _bounded(kind: Callable[..., ValueType], name: str, field: FieldInfo) -> ValueType:
    if kind is choice:
        return choice(*words_of(field.annotation))
    low = next(bound.ge for bound in field.metadata if hasattr(bound, "ge"))
    high = next(bound.le for bound in field.metadata if hasattr(bound, "le"))
    return kind(low, high, name) if kind is whole else kind(low, high)


def words_of(annotation: Any) -> tuple[str, ...]:
    """Return the words of a `Literal`, be it one that may be None."""
    found = ((word,) if isinstance(word, str) else words_of(word) for word in get_args(annotation))
    return tuple(word for words in found for word in words)


def _default(kind: ValueType, field: FieldInfo) -> str:
    value = field.default
    return "" if value in {PydanticUndefined, None, (), ""} else kind.show(value)


def read_keys(node: YamlNode, report: Report, keys: Mapping[str, Key], what: str) -> dict[str, Any]:
    """Read a mapping whose keys are known; what cannot be read is left out and reported.

    Args:
        node: should be the mapping.
        report: takes the problems.
        keys: the keys that may stand there.
        what: the mapping's name in messages, as in "a check".

    """
    values = {}
    for name, (key, value) in entries_of(node, report, what, f"write keys: {', '.join(keys)}").items():
        known = keys.get(name)
        if known is None and name == "<<":
            report.error(
                key, "a merge key", "write the keys out, or what many share under a zone's `defaults`"
            )
            continue
        if known is None:
            report.unknown(key, "unknown key", name, keys)
            continue
        read = known.kind.read(value, report)
        if read is not None:
            values[name] = read
    return values


def objects(keys: Mapping[str, Key], *required: str) -> Schema:
    """Return the JSON Schema of a mapping with these keys and no others."""
    schema: Schema = {
        "type": "object",
        "properties": {name: key.schema for name, key in keys.items()},
        "additionalProperties": False,
    }
    return schema | {"required": list(required)} if required else schema
