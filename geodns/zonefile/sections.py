"""Helpers of several sections of a zone file: places of values, names, ranges."""

import re
from typing import Generic, NamedTuple, TypeVar

from geodns.config.report import Report, quoted
from geodns.config.value_types import ValueType, text_of
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.zonefile.names import expand, is_host_label

T = TypeVar("T")

_SHORT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")


class Placed(NamedTuple, Generic[T]):
    """A value and where its key stands in the file."""

    at: YamlNode
    value: T


def halves(error: Exception) -> tuple[str, str]:
    """Return what an error says is wrong, and what to write instead."""
    what, _, instead = str(error).rpartition(": ")
    return (what, instead) if what else (instead, "")


def check_short_name(key: Scalar, report: Report, what: str) -> None:
    """Report a name that a check or a pool cannot have."""
    if _SHORT_NAME.fullmatch(key.text) is None:
        report.error(
            key,
            f"{quoted(key.text)} is no name for {'an' if what[0] in 'aeiou' else 'a'} {what}",
            "write letters, digits, hyphens and underscores",
        )


def written_out(
    text: str, at: YamlNode, count: int, what: str, example: str, report: Report
) -> tuple[str, ...] | None:
    """Return a text for each of so many hosts, its range written out; 0 hosts are of unknown number."""
    try:
        texts = expand(text)
    except ValueError as error:
        report.error(at, *halves(error))
        return None
    if count and len(texts) != count:
        instead = f"write as many as there are hosts: {count}, as in {example}"
        report.error(at, f"{quoted(text)} stands for {len(texts)} of {count} hosts' {what}", instead)
        return None
    return texts


def _read_host_name(node: YamlNode, report: Report) -> str | None:
    instead = "write a domain name, as mta1.example.net"
    text = text_of(node, report, "a name", instead)
    if text is None:
        return None
    name = text.removesuffix(".").lower()
    if len(name) > 253 or not all(map(is_host_label, name.split("."))):
        report.error(node, f"{quoted(text)} is no name of a host", instead)
        return None
    return name


HOST_NAME = ValueType(_read_host_name, {"type": "string"})
