"""From rule lists to answers: each client's pool and scope against a plain scan of the rules."""

import random
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.model.experiments import SEATS, Arm, Experiment
from geodns.model.views import PoolRule
from geodns.model.zone import Tier
from geodns.responder.table import Table
from geodns.responder.views import client_network, client_number, hash_seed
from geodns.responder.worker_state import WorkerState
from tests.responder.test_respond_caches import FullLookupOnly
from tests.responder.viewed import Asked, Dealt, dealt_by, option
from tests.sample_zones import ORIGIN, sources, zone

Network = IPv4Network | IPv6Network
POOLS = ("a", "b", "c", "d")
BASE = zone("""
    hosts: {a: [192.0.2.1, "2001:db8::1"], b: [192.0.2.2, "2001:db8::2"], c: 192.0.2.3, d: 192.0.2.4}
    pools: {a: {hosts: [a]}, b: {hosts: [b]}, c: {hosts: [c]}, d: {hosts: [d]}}
    records:
      ruled: {A: {pool: a}}
      alias: {CNAME: ruled}
      tried: {A: {pool: a}}
      "*.w": {A: {pool: a}}
""")
HOSTS = {f"192.0.2.{number}": pool for number, pool in enumerate(POOLS, 1)}
HELD = Experiment(
    name="x",
    owner=f"tried.{ORIGIN}",
    pool="a",
    arms=(Arm(name="one", share=70, pool="a"), Arm(name="two", share=30, pool="d")),
    salt=7,
)


def networks(first: int, bits: int) -> st.SearchStrategy[Network]:
    """Draw networks that have much to do with one another, of any length."""
    near = st.integers(0, 2**12).map(lambda low: first + (low << (bits // 4)))
    return st.builds(
        lambda address, length: ip_network(
            ((address >> (bits - length) << (bits - length)).to_bytes(bits // 8, "big"), length)
        ),
        near | st.integers(0, 2**bits - 1),
        st.integers(1, bits),
    )


NETWORKS = networks(0x60000000, 32) | networks(0x20010DB8 << 96, 128)
RULES = st.lists(
    st.builds(
        lambda use, subnets: PoolRule(use=use, subnets=tuple(subnets)),
        st.sampled_from(POOLS),
        st.lists(NETWORKS, min_size=1, max_size=3),
    ),
    max_size=6,
)


def compiled(rules: list[PoolRule]) -> Table:
    tier = Tier(pool="a", rules=tuple(rules))
    ruled = tuple(rule.model_copy(update={"tiers": (tier,)}) for rule in BASE.rules)
    one = BASE.model_copy(update={"rules": ruled, "experiments": (HELD,)})
    return compile_zones(Compiled(), sources(one), LiveSet()).table


def expected(rules: list[PoolRule], owner: str, subnet: Network, source: str) -> str:
    """Scan the rules for whom the answer is for."""
    client = client_network(option(str(subnet)), source)
    address = ip_address(client.address.to_bytes(16 if client.ipv6 else 4, "big"))
    for rule in rules:
        if any(address.version == each.version and address in each for each in rule.subnets):
            pool = rule.use
            break
    else:
        pool = "a"
    if owner == "tried" and pool == "a" and client_number(hash_seed("arm", 7), client, SEATS) >= 7000:
        return "d"
    return pool


@given(RULES, st.sampled_from(["ruled", "alias", "tried", "x.w"]), NETWORKS, st.data())
def test_rules_scopes_and_arms_are_true(
    rules: list[PoolRule], owner: str, subnet: Network, data: st.DataObject
) -> None:
    """Two clients within one scope get the same, through aliases and wildcards; caches or none."""
    of, source = compiled(rules), "198.51.100.53"
    states = WorkerState(random.Random(1)), FullLookupOnly(random.Random(1))

    def ask(network: Network) -> Dealt:
        asked = Asked(f"{owner}.{ORIGIN}", subnet=str(network), source=source)
        (found,) = {dealt_by(of, asked, state) for state in states for _ in range(2)}
        return found

    first = ask(subnet)
    assert [HOSTS[address] for address in first.data] == [expected(rules, owner, subnet, source)]
    if not first.scope:  # for everybody, of both families (RFC 7871 section 7.3.1)
        assert ask(data.draw(NETWORKS)).data == first.data
    else:
        size = subnet.max_prefixlen - first.scope
        base = int(subnet.network_address) >> size << size
        other = ip_network(
            (base + data.draw(st.integers(0, (1 << size) - 1))).to_bytes(subnet.max_prefixlen // 8, "big")
        )
        if client_network(option(str(other)), source).scoped:
            assert ask(other) == first
            assert [HOSTS[address] for address in first.data] == [expected(rules, owner, other, source)]
