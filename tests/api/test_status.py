"""``/status``: the fields of the design under their names, and numbers that add up."""

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from geodns.api.status import LastResult, host_of, hosts_of, pools_of
from geodns.compiler.answers import Source
from geodns.compiler.compile import Compiled, compile_zones
from geodns.config.times import timestamp
from geodns.control.cluster import Cluster
from geodns.control.overrides import file_weights
from geodns.errors import NotFoundError
from geodns.model.checks import Target
from geodns.model.state import Forced, ForcedState, ForcedWeight, HealthState, Verdict
from geodns.model.zone import Zone
from tests.sample_zones import DOWN, NAME, SERIAL, SHED, UP, failing, zone

NOW = 1_795_417_200.0  # 2026-11-23T07:00:00Z

TEXT = """
    ttl: 30
    checks: {smtp: {fast_interval: 2s, fall: 3, interval: 10s, rise: 2}}
    hosts:
      mta1: {address: [192.0.2.11, "2001:db8::11"], weight: 50}
      mta2: {address: 192.0.2.12, weight: 30}
      mta3: {address: 192.0.2.13, weight: 20, probe: "10.0.0.13:2525"}
    pools:
      main: {hosts: [mta1, mta2, mta3], check: smtp, answers: 2}
    records:
      "@": {A: {pool: main}, AAAA: {pool: main}, MX: {pool: main, preference: 10}}
      slow: {ttl: 1h, A: {pool: main}}
      "*.any": {A: {pool: main}}
      www: {CNAME: slow}
      far: {CNAME: www}
      fixed: {A: 192.0.2.99}
"""

# From the design, section 7. The values say the types; every name must be there.
DESIGNED_HOST = json.loads("""
 {"state": "up", "unchecked": false, "families": {"A": "up"}, "forced": null, "weight": 50,
  "factors": {"shedding": 0.5}, "effective_weight": 25,
  "addresses": ["192.0.2.11"], "since": "2026-11-23T07:00:00Z",
  "checks": [{"check": "smtp", "address": "192.0.2.11", "port": 25, "state": "up", "outcome": "ok",
              "detail": "220 mta1 ESMTP", "rtt_ms": 1.9, "at": "2026-11-23T07:00:00Z"}]}
""")
DESIGNED_POOL = json.loads("""
 {"using": ["main"], "last_resort": null, "live": ["mta1", "mta2"], "answers": 2, "ttl": 30,
  "families": {"A": {"using": ["main"], "last_resort": null, "live": ["mta1", "mta2"],
                     "share": {"mta1": 0.625, "mta2": 0.375}},
               "AAAA": {"using": [], "last_resort": null, "live": [], "share": {}}}}
""")


def cluster_of(one: Zone, verdicts: dict[str, Verdict], **forced: Forced) -> Cluster:
    """Serve a zone of which this is believed; verdicts by host or by address."""
    found = Cluster({}, {}, {}, {})
    found.serve_zones(compile_zones(Compiled(), {one.name: Source(one, SERIAL)}, found.live()), NOW)
    judged: dict[Target, Verdict] = {}
    for name, by_address in one.targets_by_host.items():
        for address, targets in by_address.items():
            verdict = verdicts.get(str(address), verdicts.get(name, UP))
            judged |= dict.fromkeys(targets, verdict)
    found.apply_verdicts(judged, NOW)
    for name, what in forced.items():
        found.force((one.name, name), ForcedState(what, "disk", "ann@127.0.0.1", NOW, NOW + 60))
    return found


def nothing_seen(target: Target) -> LastResult | None:
    del target
    return None


def seen(target: Target) -> LastResult | None:
    return LastResult("ok", f"220 {target.address} ESMTP", 0.00194, NOW)


def holds(shown: Any, designed: Any, where: str = "") -> None:
    """Hold a JSON value against an example: the same names (further ones are allowed), the same types."""
    if isinstance(designed, dict) and where.rpartition(".")[2] not in {"factors", "share"}:
        assert designed.keys() <= shown.keys(), where
        for key, value in designed.items():
            holds(shown[key], value, f"{where}.{key}")
    elif isinstance(designed, int | float) and not isinstance(designed, bool):
        assert isinstance(shown, int | float), where
    elif designed is not None:
        assert isinstance(shown, type(designed)), where
        if isinstance(designed, list) and designed:
            for one in shown:
                holds(one, designed[0], f"{where}[]")


def test_hosts_and_pools_have_the_fields_of_the_design() -> None:
    cluster = cluster_of(zone(TEXT), {})
    for host in hosts_of(cluster, seen)[NAME].values():
        holds(host, DESIGNED_HOST | {"families": {}}, "host")
    for pool in pools_of(cluster)[NAME].values():
        holds(pool, DESIGNED_POOL, "pool")
    json.dumps([hosts_of(cluster, seen), pools_of(cluster)])


def test_the_designs_example_is_what_such_a_state_gives() -> None:
    one = zone("""
        hosts: {mta1: {address: 192.0.2.11, weight: 50}, mta2: {address: 192.0.2.12, weight: 30}}
    """)
    cluster = cluster_of(one, {"mta1": Verdict(HealthState.UP, sheds=1, level=1)})
    shown: Any = host_of(cluster, (NAME, "mta1"), lambda _: LastResult("ok", "220 mta1 ESMTP", 0.0019, NOW))
    assert shown.pop("forced_weight") is None
    further = shown["checks"][0].keys() - DESIGNED_HOST["checks"][0].keys()
    for name in further:
        del shown["checks"][0][name]
    assert shown == DESIGNED_HOST
    pool: Any = pools_of(cluster_of(one, {}))[NAME]["main"]
    assert {name: pool[name] for name in DESIGNED_POOL} == DESIGNED_POOL


def test_who_has_no_check_is_shown_as_unchecked() -> None:
    one = zone("""
        hosts: {a: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3}
        pools: {free: {hosts: [a, b], check: none}, main: {hosts: [b, c]}}
    """)
    shown = hosts_of(cluster_of(one, {}), nothing_seen)[NAME]
    assert {name: host["unchecked"] for name, host in shown.items()} == {"a": True, "b": False, "c": False}
    assert shown["a"]["state"] == "up"
    assert shown["c"]["checks"], "a pool that says nothing gets smtp"


def test_each_family_is_shown_apart() -> None:
    one = zone("""
        hosts: {a: [192.0.2.1, "2001:db8::1"], b: [192.0.2.2, "2001:db8::2"], r: 192.0.2.9}
        pools:
          main: {hosts: [a, b], check: smtp, fallback: back}
          alone: {hosts: [a, b], check: smtp}
          back: {hosts: [r], check: smtp}
    """)
    cluster = cluster_of(one, {"192.0.2.1": DOWN, "192.0.2.2": DOWN})
    shown: Any = hosts_of(cluster, seen)[NAME]
    assert (shown["a"]["state"], shown["a"]["families"]) == ("up", {"A": "down", "AAAA": "up"})
    assert shown["r"]["families"] == {"A": "up"}
    pools: Any = pools_of(cluster)[NAME]
    even = {"a": 0.5, "b": 0.5}
    both = {"using": ["main"], "last_resort": None, "live": ["a", "b"], "share": even}
    assert pools["main"]["families"] == {
        "A": {"using": ["back"], "last_resort": None, "live": ["r"], "share": {"r": 1}},
        "AAAA": both,
    }
    assert (pools["main"]["using"], pools["main"]["live"]) == (["main", "back"], ["a", "b", "r"])
    assert pools["alone"]["families"] == {
        "A": {"using": ["alone"], "last_resort": "down", "live": [], "share": even},
        "AAAA": both | {"using": ["alone"]},
    }
    assert (pools["alone"]["last_resort"], pools["alone"]["live"]) == ("down", ["a", "b"])


@pytest.mark.parametrize(
    ("verdict", "forced", "expected"),
    [
        pytest.param(UP, None, ("up", None, {}, 50), id="up"),
        pytest.param(DOWN, None, ("down", None, {}, 0), id="down"),
        pytest.param(SHED, None, ("shedding", None, {}, 0), id="shedding"),
        pytest.param(Verdict(), None, ("unknown", None, {}, 50), id="unknown counts as up"),
        pytest.param(
            Verdict(HealthState.UP, level=2), None, ("up", None, {"shedding": 0.25}, 12.5), id="a factor"
        ),
        pytest.param(UP, Forced.DRAINED, ("up", "drained", {}, 0), id="drained"),
        pytest.param(UP, Forced.QUARANTINED, ("up", "quarantined", {}, 0), id="quarantined"),
        pytest.param(UP, Forced.DOWN, ("up", "down", {}, 0), id="forced down"),
        pytest.param(DOWN, Forced.UP, ("down", "up", {}, 50), id="forced up"),
    ],
)
def test_a_host_shows_its_state_and_what_is_left_of_its_weight(
    verdict: Verdict, forced: Forced | None, expected: tuple[Any, ...]
) -> None:
    cluster = cluster_of(zone(TEXT), {"mta1": verdict}, **({} if forced is None else {"mta1": forced}))
    shown = host_of(cluster, (NAME, "mta1"), seen)
    assert (shown["state"], shown["forced"], shown["factors"], shown["effective_weight"]) == expected


def test_who_forced_a_host_why_and_until_when_is_shown() -> None:
    shown = host_of(cluster_of(zone(TEXT), {}, mta1=Forced.DRAINED), (NAME, "mta1"), seen)
    assert (shown["reason"], shown["author"]) == ("disk", "ann@127.0.0.1")
    assert (shown["forced_since"], shown["until"]) == (timestamp(NOW), timestamp(NOW + 60))


def test_a_forced_weight_is_shown_with_the_files_own_and_with_an_edit_that_it_hides() -> None:
    cluster = cluster_of(zone(TEXT), {"mta1": Verdict(HealthState.UP, level=1)})
    weight = ForcedWeight(10, "slow disk", "ann", NOW, NOW + 60, file_weights(cluster.zone(NAME), "mta1"))
    cluster.override({}, {(NAME, "mta1"): weight})
    shown = host_of(cluster, (NAME, "mta1"), seen)
    assert (shown["weight"], shown["effective_weight"], shown["forced"]) == (10, 5, None)
    assert shown["forced_weight"] == {
        "weight": 10,
        "file_weight": 50,
        "reason": "slow disk",
        "author": "ann",
        "since": timestamp(NOW),
        "until": timestamp(NOW + 60),
        "hides": None,
    }
    older = replace(weight, file=weight.file.replace("50", "40"), edited=NOW + 5)
    cluster.override({}, {(NAME, "mta1"): older})
    weighed = host_of(cluster, (NAME, "mta1"), seen)["forced_weight"]
    assert weighed is not None
    assert weighed["hides"] == f"the file has said 50 since {timestamp(NOW + 5)}"


def test_the_state_of_a_host_is_the_best_of_its_addresses() -> None:
    shown = host_of(cluster_of(zone(TEXT), {"192.0.2.11": DOWN}), (NAME, "mta1"), seen)
    assert shown["state"] == "up"
    assert [(check["address"], check["state"]) for check in shown["checks"]] == [
        ("192.0.2.11", "down"),
        ("2001:db8::11", "up"),
    ]


def test_a_host_of_two_pools_shows_its_lowest_weight() -> None:
    one = zone("""
        hosts: {a: {address: 192.0.2.1, weight: 4}, b: 192.0.2.2}
        pools: {checked: {hosts: [a, b], check: smtp}, plain: {hosts: [a]}}
    """)
    cluster = cluster_of(one, {"a": Verdict(HealthState.UP, level=1)})
    shown = host_of(cluster, (NAME, "a"), seen)
    assert (shown["factors"], shown["effective_weight"]) == ({"shedding": 0.5}, 2)


def test_a_check_shows_what_was_seen_and_where() -> None:
    cluster = cluster_of(zone(TEXT), {"mta3": failing(1)})
    (check,) = host_of(cluster, (NAME, "mta3"), seen)["checks"]
    assert (check["address"], check["probed"], check["port"]) == ("192.0.2.13", "10.0.0.13", 2525)
    assert (check["outcome"], check["detail"], check["rtt_ms"]) == ("ok", "220 10.0.0.13 ESMTP", 1.9)
    assert (check["failures"], check["at"]) == (1, "2026-11-23T07:00:00Z")


def test_before_the_first_probe_nothing_was_seen() -> None:
    (check, *_) = host_of(cluster_of(zone(TEXT), {}), (NAME, "mta1"), nothing_seen)["checks"]
    assert [check[name] for name in ("outcome", "detail", "rtt_ms", "at")] == [None] * 4


def test_a_host_that_an_edit_took_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="no host mta9"):
        host_of(cluster_of(zone(TEXT), {}), (NAME, "mta9"), seen)
    with pytest.raises(NotFoundError, match=r"no zone x\.example"):
        host_of(cluster_of(zone(TEXT), {}), ("x.example", "mta1"), seen)


@pytest.mark.parametrize(
    ("verdicts", "forced", "live", "resort", "share"),
    [
        pytest.param({}, {}, ["mta1", "mta2", "mta3"], None, [0.5, 0.3, 0.2], id="all well"),
        pytest.param({"mta3": DOWN}, {}, ["mta1", "mta2"], None, [0.625, 0.375], id="one down"),
        pytest.param(
            dict.fromkeys(("mta1", "mta2", "mta3"), DOWN), {}, [], "down", [0.5, 0.3, 0.2], id="all down"
        ),
        pytest.param(
            {},
            dict.fromkeys(("mta1", "mta2", "mta3"), Forced.QUARANTINED),
            [],
            "quarantined",
            [0.5, 0.3, 0.2],
            id="all quarantined",
        ),
        pytest.param(
            {},
            dict.fromkeys(("mta1", "mta2", "mta3"), Forced.DRAINED),
            [],
            "drained",
            [0.5, 0.3, 0.2],
            id="all drained",
        ),
        pytest.param(
            {}, dict.fromkeys(("mta1", "mta2", "mta3"), Forced.DOWN), [], "servfail", [], id="all forced down"
        ),
    ],
)
def test_a_pool_shows_who_is_dealt_and_their_shares(
    verdicts: dict[str, Verdict],
    forced: dict[str, Forced],
    live: list[str],
    resort: str | None,
    share: list[float],
) -> None:
    shown = pools_of(cluster_of(zone(TEXT), verdicts, **forced))[NAME]["main"]
    assert (shown["live"], shown["last_resort"]) == (live, resort)
    assert list(shown["families"]["A"]["share"].values()) == pytest.approx(share)
    assert shown["families"]["A"]["live"] == live
    assert shown["families"]["AAAA"]["live"] == [name for name in live if name == "mta1"]


def test_the_ttl_of_now_falls_while_a_host_fails_and_the_longest_one_does_not() -> None:
    shown = pools_of(cluster_of(zone(TEXT), {"mta1": failing(2)}))[NAME]["main"]
    assert (shown["ttl"], shown["max_ttl"]) == (5, 3600)


def test_a_pool_without_names_has_the_zones_ttl() -> None:
    one = zone("""
        ttl: 77
        hosts: {a: 192.0.2.1}
        pools: {main: {hosts: [a]}, idle: {hosts: [a]}}
        records: {"@": {pool: main}}
    """)
    assert pools_of(cluster_of(one, {}))[NAME]["idle"]["max_ttl"] == 77


def test_shares_add_up() -> None:
    shown = pools_of(cluster_of(zone(TEXT), {"mta1": Verdict(HealthState.UP, level=3)}))[NAME]["main"]
    for family in (shown["families"]["A"], shown["families"]["AAAA"]):
        assert sum(map(Fraction, family["share"].values())) == pytest.approx(1)


def test_a_pool_with_several_checks_shows_each_and_the_rule() -> None:
    one = zone("""
        checks: {submission: {port: 587}}
        hosts: {mta1: 192.0.2.11}
        pools:
          main: {hosts: [mta1], check: [smtp, submission]}
          side: {hosts: [mta1], check: {any_of: [smtp, tcp]}}
          free: {hosts: [mta1], check: none}
        records: {a: {pool: main}, b: {pool: side}, c: {pool: free}}
    """)
    cluster = cluster_of(one, {})
    pools = pools_of(cluster)[NAME]
    assert (pools["main"]["checks"], pools["main"]["need"]) == (["smtp", "submission"], 2)
    assert (pools["side"]["checks"], pools["side"]["need"]) == (["smtp", "tcp"], 1)
    assert (pools["free"]["checks"], pools["free"]["need"]) == ([], 0)
    checks = hosts_of(cluster, lambda _: None)[NAME]["mta1"]["checks"]
    assert sorted((entry["check"], entry["port"]) for entry in checks) == [
        ("smtp", 25),
        ("submission", 587),
        ("tcp", 25),
    ]


def test_a_slow_host_shows_its_time_and_its_factor() -> None:
    one = zone(TEXT)
    cluster = cluster_of(one, {"mta2": Verdict(HealthState.UP, degraded=True)})
    shown = hosts_of(cluster, lambda _: LastResult("ok", "220 mta2", 0.002, NOW, 0.7512))[NAME]["mta2"]
    assert (shown["factors"], shown["effective_weight"]) == ({"degraded": 0.5}, 15)
    assert (shown["checks"][0]["degraded"], shown["checks"][0]["ehlo_ms"]) == (True, 751.2)
    plain = hosts_of(cluster, lambda _: None)[NAME]["mta1"]["checks"][0]
    assert (plain["degraded"], plain["ehlo_ms"]) == (False, None)


def test_a_load_is_shown_beside_the_factor_that_it_makes() -> None:
    cluster = cluster_of(
        zone("hosts: {a: {address: 192.0.2.1, weight: 10, load: {full: 2000}}, b: 192.0.2.2}"), {}
    )
    cluster.loads.took((NAME, "a"), 4000, 5.0, NOW)
    assert cluster.advance_weights(NOW, 6.0)
    cluster.loads.failed((NAME, "a"), "connection refused")
    shown = hosts_of(cluster, seen)[NAME]
    assert shown["a"]["factors"] == {"load": 0.9}
    assert shown["a"]["effective_weight"] == 9
    assert shown["a"]["load"] == {
        "value": 4000,
        "full": 2000,
        "at": timestamp(NOW),
        "stale": False,
        "error": "connection refused",
    }
    assert "load" not in shown["b"]
    json.dumps(shown)
