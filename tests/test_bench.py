"""The measurements run and say what they should, each with as little as it takes."""

import shutil

import pytest

from bench import (
    affinity,
    connections,
    cpu,
    flip,
    geoip,
    load_zone,
    probing,
    resolver_cache,
    routes,
    servers,
    signals,
    views,
)
from bench.figures import Figure, spread


def test_spread_is_the_median_and_the_ends() -> None:
    assert spread([3.0, 1.0, 2.0], 1) == "2.0 (1.0-3.0)"
    assert spread([1234.5], 0) == "1,234"


def test_queries_are_measured_beside_whatever_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "WARM_UP", 0.05)
    figures = cpu.measure(0.1, 1)
    installed = [one.name for one in servers.SERVERS if one.installed]
    assert [one.what for one in figures if one.what.startswith("CPU")] == [
        f"CPU a query: {name}" for name in installed
    ]
    missing = " ".join(cpu.missing())
    assert all(f"apt-get install {one.package}" in missing for one in servers.SERVERS if not one.installed)


def test_queries_with_a_cookie_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "SERVERS", servers.SERVERS[:1])
    monkeypatch.setattr(cpu, "WARM_UP", 0.05)
    figures = cpu.measure(0.1, 1, cookies=True)
    assert [one.what for one in figures if one.what.startswith("CPU")] == [
        "CPU a query with a cookie: geodns"
    ]


def test_connections_are_held() -> None:
    figures = connections.measure(60)
    assert _row(figures, "connections held").value == "60"
    assert _row(figures, "memory of a held connection").value.endswith(" KiB")


def test_routes_are_asked_for_over_each_protocol() -> None:
    figures = routes.measure(0.05, 1, many=20)
    for way in routes.WAYS:
        for clients in ("1 connection", "50 connections"):
            assert _row(figures, f"{way}; 6 rules: p99, {clients}").value.endswith(" ms")
    assert _row(figures, "memory of the worker, 20 rules").value.endswith(" MiB")


def test_pools_that_pick_by_client_are_measured_beside_others() -> None:
    figures = affinity.measure(2, ((2, 1),))
    assert [figure.what.rpartition(": ")[2] for figure in figures] == [
        "first compile",
        "one flip",
        "memory",
        "the longest slice",
    ]
    assert figures[-1].beside.endswith("; 2 distinct answers")


def test_flips_are_timed_for_every_shape() -> None:
    figures = flip.measure(2, ((2, 2), (2, 1), (2, 5)))
    assert [one.what for one in figures] == [
        "one flip: 2 pools, 2 names",
        "one flip: 2 pools, 1 names",
        "one flip: 2 pools, 5 names",
    ]


def test_a_zone_is_loaded_and_answered_from() -> None:
    figures = load_zone.measure(300)
    assert _row(figures, "start to first answer").value.endswith(" s")
    assert _row(figures, "memory of a worker, sample zone").value.endswith(" MiB")
    assert float(_row(figures, "longest pause").value.split()[0]) >= 0


def test_loopback_addresses_are_probed() -> None:
    figures = probing.measure(0.5, sizes=(5,), interval=0.2)
    assert _row(figures, "probing 5 addresses every 0.2 s: CPU").value.endswith("% of a core")
    assert _row(figures, "probing 5 addresses every 0.2 s: most").value.endswith(" probes/s")


@pytest.mark.parametrize("kind", ["country", "asn"])
def test_geoip_files_are_read(kind: str) -> None:
    figures = geoip.measure([geoip.GeoipSample(kind, 200, 8, 4)])
    assert _row(figures, f"GeoIP file of 200 networks ({kind}): read").value.endswith(" s")
    ranges = _row(figures, f"GeoIP file of 200 networks ({kind}): memory in control").beside
    assert 40 < int(ranges.split()[0]) < 160


def test_signals_are_taken_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "HOSTS", 3)
    monkeypatch.setattr(signals, "TEMPLATES", 2)
    monkeypatch.setattr(signals, "BATCHES", (1000, 500))
    monkeypatch.setattr(signals, "RATES", {0.0: "no signals", 1_000.0: "1,000 signals a second"})
    figures = signals.measure(0.1, 1, days=1)
    assert _row(figures, "signals, 500 in a batch: taken").value.endswith(" /s")
    assert _row(figures, "CPU an answer, 1,000 signals a second").value.endswith(" µs")
    assert float(_row(figures, "1 days of 3 hosts, 40 providers: signals.db").value.split()[0]) > 0


def test_names_whose_answer_depends_on_the_client_are_measured_beside_a_plain_one() -> None:
    figures = views.measure(0.01, 2, prefixes=100)
    assert [one.what for one in figures[:5]] == [
        f"CPU a query: {kind}"
        for kind in ("a plain name", "10 rules", "100 prefixes", "affinity", "50 experiments")
    ]
    assert all("times a plain name's" in one.beside for one in figures[1:5])


@pytest.mark.skipif(shutil.which("unbound") is None, reason="no unbound here: apt-get install unbound")
def test_what_a_resolver_keeps_is_measured() -> None:
    figures = resolver_cache.measure(40, 4)
    assert [one.value for one in figures] == ["4 entries", "40 entries"] * 2


def _row(figures: list[Figure], start: str) -> Figure:
    return next(one for one in figures if one.what.startswith(start))
