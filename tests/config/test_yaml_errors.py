"""What operators type wrongly, and what they are told."""

import pytest

from geodns.config import yaml_nodes
from geodns.config.report import Report

V6 = 'a colon where none can stand: if this is an IPv6 address, quote this address, as "2001:db8::1"'
COLUMN = "begin keys of one mapping in one column"


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("hosts: {mta1: {address: [192.0.2.11, ::1]}}\n", "1:38", V6),
        ("hosts: {mta1: ::1, mta2: 192.0.2.1}\n", "1:15", V6),
        ("hosts: {a: 2001:db8::, b: 192.0.2.1}\n", "1:12", V6),
        ("hosts:\n\tmta1: 192.0.2.11\n", "2:1", "a tab: indent with spaces"),
        ("hosts:\n  mta1: 192.0.2.11\n\tmta2: 192.0.2.12\n", "3:1", "a tab: indent with spaces"),
        ("hosts:\n  mta1: 192.0.2.11\n  \tmta2: 192.0.2.12\n", "3:3", "a tab: indent with spaces"),
        ('hosts: {mta1: "192.0.2.11}\nns: x\n', "1:15", "the quote that opens here is never closed"),
        (
            'hosts:\n  mta1: "192.0.2.11\nrecords:\n  x: "y"\n',
            "2:9",
            "the quote that opens here is closed only at line 4",
        ),
        ("hosts: [192.0.2.11\nns: x\n", "1:8", "the '[' that opens here is not closed before line 2"),
        ("hosts: {a: [192.0.2.11, 192.0.2.12", "1:12", "the '[' that opens here is never closed: write ']'"),
        ("hosts: {a: 192.0.2.11}}\nns: x\n", "1:23", "'}' closes nothing"),
        ("hosts: {a: [192.0.2.11}\n", "1:23", "'}' closes the '[' of line 1: write ']'"),
        ("hosts: {a: [192.0.2.11, , b]}\n", "1:25", "',' where a value is expected"),
        ("hosts: {a: 192.0.2.11 b: 192.0.2.12}\n", "1:24", "a second colon in a value"),
        ("hosts: {a: 'x' b}\n", "1:16", "'b' after a value: write a comma"),
        ("hosts: {mx[01-04]: x}\n", "1:11", "'[' within a value: put the whole value into quotes"),
        ("hosts:\n  a:192.0.2.11\n  b: 192.0.2.12\n", "2:5", "no space after the colon: write `a: …`"),
        ("hosts:\n  a: 192.0.2.11\n b: 192.0.2.12\n", "3:2", f"indented unlike the keys above: {COLUMN}"),
        ("hosts:\n  a: 192.0.2.11\n    b: 192.0.2.12\n", "3:5", "indented deeper than line 2"),
        ("records:\n  x: a: b\n", "2:7", 'a second colon: put a value that has ": " in it into quotes'),
        ("records:\n  @: {A: x}\n", "2:3", "no value begins with '@': put it into quotes"),
        ("records:\n  *.old: {A: x}\n", "2:3", "no value begins with '*': put it into quotes, as \"*.old\""),
        ("pools: {main: {hosts: *mx}}\n", "1:23", 'a glob stands in quotes, as "*mx"'),
        ("pools: {main: {hosts: *}}\n", "1:23", "no value begins with '*'"),
        ("pools: {main: {min_live: %50}}\n", "1:26", "no value begins with '%'"),
        ('x: "\\d"\n', "1:4", "a backslash that YAML does not know in double quotes"),
        ("x: |3x\n a\n", "1:6", "text after `|` or `>`"),
        ("hosts:\n  - a\n  b: c\n", "3:3", "a key among the items of a list"),
        ("hosts:\n  b: c\n  - a\n", "3:3", "an item of a list among keys"),
        ('records:\n  x: "a" b\n', "2:10", "'b' after a value: put the whole value into quotes"),
        ("ns: {a: b}\nhosts\nrecords: {}\n", "2:1", "'hosts' is a key without a colon"),
        ("%YAML 3.0\n---\na: b\n", "1:1", "a line that begins with %"),
    ],
)
def test_the_parsers_complaints_are_in_our_words(text: str, place: str, says: str) -> None:
    report = Report("f")
    assert yaml_nodes.load(text.encode(), report) is None
    (problem,) = report.problems()
    assert says in f"{problem.what}: {problem.instead}"
    assert "while " not in problem.what
    line, column = map(int, place.split(":"))
    assert problem.line == line
    assert abs(problem.column - column) <= 1
