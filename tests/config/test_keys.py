from pathlib import Path
from typing import Annotated, Literal

import jsonschema
import pytest
import yaml
from pydantic import Field

from geodns.config import yaml_nodes
from geodns.config.keys import Key, keys_in, keys_of, objects, read_keys
from geodns.config.report import Report
from geodns.config.settings import KEYS, Settings
from geodns.config.value_types import choice, duration, part, whole, word
from geodns.model.base import Frozen


class Sample(Frozen):
    fall: int = Field(default=3, ge=1, le=9, description="Bad probes that take it down.")
    expect: str | None = Field(default=None, description="What the greeting must match.")
    wait: float | None = Field(default=90, ge=0, le=600, description="How long to wait.")
    keep: float = Field(ge=0.01, le=1, description="What is kept.")
    mode: Literal["add", "replace"] | None = Field(default=None, description="What to do.")


TABLE = keys_of(
    Sample,
    {"fall": whole, "pattern": word("a pattern"), "wait": duration, "keep": part, "mode": choice},
    fields={"pattern": "expect"},
    defaults={"mode": "neither"},
)


def test_sentences_and_defaults_come_from_the_model() -> None:
    assert {name: (key.says, key.default) for name, key in TABLE.items()} == {
        "fall": ("Bad probes that take it down.", "3"),
        "pattern": ("What the greeting must match.", ""),
        "wait": ("How long to wait.", "90s"),
        "keep": ("What is kept.", ""),
        "mode": ("What to do.", "neither"),
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{fall: 9, pattern: x, wait: 10m, keep: 1%, mode: add}", None),
        ("{fall: 10}", "fall '10' is out of range: write 1 to 9"),
        ("{wait: 601}", "601 is out of range: write 0s to 600s"),
        ("{keep: 0}", "0 is out of range: write 0.01 to 1, or 1% to 100%"),
        ("{mode: ad}", "'ad' is not known here: write one of: add, replace"),
        ("{expect: x}", "unknown key 'expect'"),
    ],
)
def test_bounds_and_words_come_from_the_model(text: str, problem: str | None) -> None:
    report = Report("a.yaml")
    root = yaml_nodes.load(text.encode(), report)
    assert root is not None
    values = read_keys(root, report, TABLE, "a sample")
    assert jsonschema.Draft202012Validator(objects(TABLE)).is_valid(yaml.safe_load(text)) == (not problem)
    if problem is None:
        assert values.keys() == TABLE.keys()
    else:
        assert [problem in str(one) for one in report.problems()] == [True]


def test_the_schema_says_the_default() -> None:
    properties = objects(TABLE, "keep")["properties"]
    assert properties["fall"]["description"] == "Bad probes that take it down. Default: 3."
    assert properties["keep"]["description"] == "What is kept."


def test_keys_may_stand_at_the_fields_of_a_model() -> None:
    class Noted(Frozen):
        idle: Annotated[float, Key(duration(0, 9), "How long.")] = 5.0
        key: Annotated[Path | None, Key(word("a path"), "Where.", default="here")] = None
        other: int = 1

    assert {name: (key.says, key.default) for name, key in keys_in(Noted).items()} == {
        "idle": ("How long.", "5s"),
        "key": ("Where.", "here"),
    }


def test_every_setting_is_a_key() -> None:
    assert KEYS.keys() == {*Settings.model_fields, "token_file", "read_token_file", "signals_token_file"}
    assert all(key.says for key in KEYS.values())
