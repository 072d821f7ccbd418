"""Lists of clients and query logs: what is read, and what is wrong with a line."""

import contextlib
import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dns.edns
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.cli.client_lists import MOST_PROBLEMS, read_clients, read_log, some
from geodns.control.simulation import SimulatedClient
from geodns.errors import UsageError
from tests.control.test_query_log_text import described, query

NET = ip_network("198.51.100.0/24")
ECS: dict[str, Any] = {"use_edns": 0, "options": [dns.edns.ECSOption("198.51.100.0", 24)]}


def test_a_list_has_one_client_a_line(tmp_path: Path) -> None:
    file = tmp_path / "clients.txt"
    file.write_text(  # with the mark that Windows writes in front of UTF-8
        "\ufeff192.0.2.7\n# our resolvers\n192.0.2.7 3\n\n2001:DB8::1 ecs=198.51.100.0/24 5 # seen in March\n"
        "2001:db8::1 2 ecs=198.51.100.0/24\nfe80::1%eth0\n"
    )
    found = read_clients(file)
    assert found.problems == []
    assert found.most(10) == (
        [
            SimulatedClient("2001:db8::1", NET, 7),
            SimulatedClient("192.0.2.7", None, 4),
            SimulatedClient("fe80::1", None, 1),
        ],
        0,
    )
    assert found.most(1) == ([SimulatedClient("2001:db8::1", NET, 7)], 5)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("mta1", "'mta1' is no address: write ADDRESS [ecs=NET] [COUNT]"),
        ("192.0.2.0/24", "'192.0.2.0/24' is no address"),
        ("192.0.2.7 0", "0 queries are out of range: write 1 to 1,000,000,000"),
        ("192.0.2.7 -1", "'-1' is no number of queries"),
        ("192.0.2.7 ٣", "is no number of queries"),
        ("192.0.2.7 1000000001", "out of range"),
        ("192.0.2.7 99999999999999999999", "is no number of queries"),
        ("192.0.2.7 1 2", "'2' is one word too many"),
        ("192.0.2.7 ecs=x", "'x' is no network"),
        ("192.0.2.7 ecs=198.51.100.1/24", "has bits behind its prefix: write 198.51.100.0/24"),
        ("192.0.2.7 ecs=::/0 ecs=::/0", "is one word too many"),
    ],
)
def test_wrong_lines_are_told_and_the_others_count(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "clients.txt"
    file.write_text(f"192.0.2.1\n{line}\n192.0.2.2\n")
    found = read_clients(file)
    assert found.counts.total() == 2
    (told,) = found.problems
    assert told.startswith(f"{file}:2: ")
    assert problem in told
    file.write_text(f"{line}\n")
    with pytest.raises(UsageError, match="no client in it") as error:
        read_clients(file)
    assert problem in str(error.value)


def test_files_that_cannot_be_read_or_say_nothing(tmp_path: Path) -> None:
    for read in (read_clients, lambda path: read_log(path, None)):
        with pytest.raises(UsageError, match="missing: No such file or directory"):
            read(tmp_path / "missing")
        with pytest.raises(UsageError, match="Is a directory"):
            read(tmp_path)
    (tmp_path / "log").write_bytes(b"\xff\xfe\n2026 INFO control: zones are served\n")
    with pytest.raises(UsageError, match="no query in it: `geodns querylog on`"):
        read_log(tmp_path / "log", None)
    with pytest.raises(UsageError, match=r"no query for out\.example\.com in it"):
        read_log(tmp_path / "log", "out.example.com.")
    assert list(some(["x"] * (MOST_PROBLEMS + 2)))[-1] == "and 2 lines more"


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_query_log_says_who_asks(tmp_path: Path, form: str) -> None:
    queries = [
        described(query()),
        described(query("OUT.example.com.", "MX"), ("2001:db8::7", 9, "tcp")),
        described(query(**ECS)),
        described(query(**ECS)),
        described(query("other.out.example.com.")),
        described(query("id.server.", "TXT", rdclass="CH")),
        described(b"no query"),
    ]
    lines = [
        f"2026-11-29 20:05:49,123 INFO control: {text}"
        if form == "text"
        else json.dumps({"message": text, **fields})
        for text, fields in queries
    ]
    file = tmp_path / "log"
    file.write_text(
        "\n".join([*lines, "2026-11-29 20:05:50,123 INFO control: something else", "{broken", "[]", "{}"])
    )
    found = read_log(file, "Out.Example.com")
    assert found.most(10) == (
        [
            SimulatedClient("192.0.2.7", NET, 2, "out.example.com."),
            SimulatedClient("192.0.2.7", None, 1, "out.example.com."),
            SimulatedClient("2001:db8::7", None, 1, "out.example.com."),
        ],
        0,
    )
    assert (found.others, found.unread) == (1, 6)
    everything = read_log(file, None)
    assert (everything.counts.total(), everything.others) == (5, 0)


@given(lines=st.lists(st.text(max_size=60), max_size=5))
def test_any_text_is_read_or_refused(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    for read in (read_clients, lambda path: read_log(path, None)):
        with contextlib.suppress(UsageError):
            assert read(file).counts.total() >= 1
