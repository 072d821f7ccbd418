"""`max_out`: how many hosts programs may take out of a pool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.state import HostKey
from geodns.signals.quarantine_limit import QuarantineRequest, held_back
from tests.sample_zones import NAME, zone


def text(max_out: str, size: int = 6) -> str:
    hosts = ", ".join(f"h{at}: 192.0.2.{at + 1}" for at in range(size))
    pools = f"pools: {{main: {{hosts: '*', max_out: {max_out}}}}}"
    return f"hosts: {{{hosts}}}\n{pools}\nrecords: {{'@': {{pool: main}}}}"


def key(host: str) -> HostKey:
    return NAME, host


def back(max_out: str, wanted: dict[str, float], *out: str, size: int = 6) -> set[str]:
    """Who of those with a badness is held back, while some are out."""
    found = held_back(
        {NAME: zone(text(max_out, size))},
        {key(host): QuarantineRequest(badness, at) for at, (host, badness) in enumerate(wanted.items())},
        lambda one: one[1] in out,
    )
    return {host for _, host in found}


@pytest.mark.parametrize(
    ("max_out", "wanted", "out", "expected"),
    [
        pytest.param("50%", {"h0": 1, "h1": 1, "h2": 1}, (), set(), id="within"),
        pytest.param("50%", {"h0": 1, "h1": 9, "h2": 5, "h3": 7}, (), {"h0"}, id="the worst go first"),
        pytest.param("50%", {"h0": 1, "h1": 1, "h2": 1, "h3": 1}, (), {"h3"}, id="of equals the first"),
        pytest.param("50%", {"h0": 1, "h1": 2}, ("h4", "h5"), {"h0"}, id="those down count"),
        pytest.param("50%", {"h0": 1, "h1": 2}, ("h3", "h4", "h5"), {"h0"}, id="one may always go"),
        pytest.param("50%", {"h0": 1}, ("h1", "h2", "h3", "h4", "h5"), {"h0"}, id="but not the last one"),
        pytest.param("50%", {"h5": 1, "h0": 2, "h1": 3}, ("h4", "h5"), {"h0"}, id="who is down takes none"),
        pytest.param("1", {"h0": 1, "h1": 2}, (), {"h0"}, id="a count"),
        pytest.param("0", {"h0": 1, "h1": 2}, (), {"h0"}, id="none but one"),
        pytest.param("100%", dict.fromkeys((f"h{at}" for at in range(6)), 1.0), (), set(), id="all"),
    ],
)
def test_who_waits(max_out: str, wanted: dict[str, float], out: tuple[str, ...], expected: set[str]) -> None:
    assert back(max_out, wanted, *out) == expected


def test_a_host_must_find_room_in_every_pool_that_it_is_in() -> None:
    zones = {
        NAME: zone("""
            hosts: {a: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3, d: 192.0.2.4}
            pools:
              all: {hosts: "*", max_out: 75%}
              few: {hosts: [a, b], max_out: 50%}
            records: {"@": {pool: all}, few: {pool: few}}
        """)
    }
    found = held_back(
        zones, {key(host): QuarantineRequest(1, at) for at, host in enumerate("abc")}, lambda _: False
    )
    assert found == {key("b"): "1 of the 2 hosts of pool few are out, and max_out is 50%"}


def test_hosts_and_zones_that_are_no_more_keep_nobody_back() -> None:
    wanted = {
        ("gone.example", "h0"): QuarantineRequest(9, 0),
        key("gone"): QuarantineRequest(9, 0),
        key("h0"): QuarantineRequest(1, 0),
    }
    assert held_back({NAME: zone(text("1"))}, wanted, lambda host: host[1] == "gone") == {}


@given(
    st.integers(1, 8),
    st.integers(0, 100),
    st.dictionaries(st.integers(0, 7), st.floats(0, 100)),
    st.sets(st.integers(0, 7)),
)
def test_the_bound_holds_whoever_is_wanted_and_down(
    size: int, percent: int, wanted: dict[int, float], out: set[int]
) -> None:
    wants = {f"h{at}": badness for at, badness in wanted.items() if at < size}
    down = {f"h{at}" for at in out if at < size}
    kept = back(f"{percent}%", wants, *down, size=size)
    taken = wants.keys() - kept - down
    if len(taken) > 1:
        assert (len(taken) + len(down)) * 100 <= percent * size
    # A host that was dealt before goes on being dealt: quarantines by programs leave no pool dead.
    if len(down) < size:
        assert len(taken | down) < size or percent == 100
    assert all(wants[one] <= wants[other] for one in kept for other in taken)


def test_reputation_needs_no_room_in_pools_that_receive() -> None:
    zones = {
        NAME: zone("""
            hosts: {a: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3, d: 192.0.2.4}
            pools:
              out: {hosts: "*"}
              into: {hosts: [a], mail: in}
            records: {"@": {pool: out}, into: {pool: into}}
        """)
    }
    for sending, waiting in ((True, set()), (False, {key("a")})):
        wanted = {key("a"): QuarantineRequest(80, 0, sending=sending)}
        assert held_back(zones, wanted, lambda _: False).keys() == waiting
