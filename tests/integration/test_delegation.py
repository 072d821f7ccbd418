"""`geodns delegation` asks a real NSD that has the parent, and a real server of the zone."""

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench import servers
from bench.servers import Server, running
from geodns.wire import codes
from geodns.wire.message import question
from geodns.wire.names import name_to_wire
from tests.integration import product
from tests.integration.authorities import need
from tests.integration.cluster import geodns, serving

pytestmark = [
    need(("nsd", "nsd")),
    pytest.mark.skipif(os.geteuid() != 0, reason="binds port 53 of loopback addresses: run as root"),
]

_chance = random.SystemRandom()


def loopback() -> str:
    """An address of its own: others run name servers on port 53 at the same time, or did a moment ago."""
    return f"127.{_chance.randrange(60, 250)}.{_chance.randrange(250)}.{_chance.randrange(1, 250)}"


PARENT, CHILD = "parent.example", "out.parent.example"
HOME, ELSEWHERE, NOBODY = loopback(), loopback(), loopback()
ZONE = f"""
ns: {{ns1: {HOME}}}
hosts: {{mta1: 192.0.2.11}}
records: {{"@": {{A: {{pool: main}}, AAAA: {{pool: main}}, MX: {{pool: main, preference: 10}}}}}}
"""
GOOD = f"out NS ns1.out\nns1.out A {HOME}\n"


@contextmanager
def parent(folder: Path, records: str) -> Iterator[str]:
    """Run NSD with a parent that has these records, on port 53; yield its address."""
    address = loopback()
    text = (
        f"$ORIGIN {PARENT}.\n$TTL 300\n@ SOA ns hostmaster 1 1h 1h 1d 300\n NS ns\nns A {address}\n{records}"
    )
    options = (f"ip-address: {address}@53",)
    nsd = Server("NSD", "nsd", "nsd", partial(servers.nsd_command, zones={PARENT: text}, options=options))
    query = b"\0\1" + b"\0\0\0\1\0\0\0\0\0\0" + question(name_to_wire(f"{PARENT}."), codes.SOA)
    with running(nsd, folder / "nsd", query):
        yield address


def verify(folder: Path, resolver: str, patience: float = 3.0) -> tuple[int, dict[str, Any]]:
    zones = ("--zones", str(folder / "zones"), "--resolver", f"{resolver}:53")
    run = geodns("delegation", CHILD, *zones, "--verify", "--json", constants={product.PATIENCE: patience})
    shown: dict[str, Any] = json.loads(run.stdout)
    return run.returncode, shown


def errors(shown: dict[str, Any]) -> list[str]:
    return [one["text"] for one in shown["findings"] if one["level"] == "error"]


def test_a_delegation_that_is_as_it_should_be(tmp_path: Path) -> None:
    with parent(tmp_path, GOOD) as address, serving(tmp_path, {CHILD: ZONE}, listen=(f"{HOME}:53",)):
        status, shown = verify(tmp_path, address)
        assert (status, errors(shown)) == (0, []), shown
        assert (shown["parent"], shown["verified"]) == (f"{PARENT}.", True)
        run = geodns(
            "delegation", CHILD, "--zones", str(tmp_path / "zones"), "--verify", "--resolver", address
        )
        assert "the parent and the name servers say what they should" in run.stdout


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param("", "parent.example. does not delegate out.parent.example. (it says", id="nothing"),
        pytest.param("out NS ns1.out\n", f"lacks the glue ns1.out.parent.example. A {HOME}", id="no glue"),
        pytest.param(
            GOOD.replace(HOME, ELSEWHERE), f"has the glue ns1.out.parent.example. A {ELSEWHERE}", id="glue"
        ),
        pytest.param(GOOD + "out NS old.example.\n", "has NS old.example., which the zone has not", id="NS"),
        pytest.param(GOOD + f"out DS 1 13 2 {'00' * 32}\n", "has a DS record for out.parent", id="DS"),
        pytest.param("out CNAME nowhere\n", "has CNAME at out.parent.example.", id="an alias to nowhere"),
        pytest.param("out A 192.0.2.1\nout MX 10 mx\n", "has A, MX at out.parent.example.", id="records"),
    ],
)
def test_what_is_wrong_at_the_parent_is_told(tmp_path: Path, records: str, expected: str) -> None:
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / f"{CHILD}.yaml").write_text(ZONE)
    with parent(tmp_path, records) as address:
        status, shown = verify(tmp_path, address, 1.0)  # as long as it waits for who is not there
    assert status == 1
    assert any(expected in text for text in errors(shown)), shown
    # Nobody serves the zone itself here: over UDP that is silence.
    assert any("over TCP: nobody listens on port 53 there" in text for text in errors(shown))
    assert any("over UDP: no answer within" in text for text in errors(shown))


def test_without_anybody_to_ask_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / f"{CHILD}.yaml").write_text(ZONE)
    zones = ("--zones", str(tmp_path / "zones"))
    run = geodns(
        "delegation",
        CHILD,
        *zones,
        "--verify",
        "--resolver",
        f"{NOBODY}:53",
        constants={product.PATIENCE: 0.5},
    )
    assert run.returncode == 1
    assert "name a resolver with --resolver ADDR:PORT" in run.stderr
    assert geodns("delegation", CHILD, *zones, "--resolver", "ns1:53").returncode == 2
    assert geodns("delegation", "none.example", *zones).returncode == 1
