"""The servers' common verdict under random cuts, restarts, pauses, skews, lost and repeated messages."""

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from geodns.health.outcome import ProbeResult
from geodns.health.quorum_standing import QuorumMode
from geodns.model.shared import AddressVote, Vote
from tests.health.quorum_network import CHECK, DOWN, UP, Server, World

KEYS = ("a", "b")
NAMES = ("ns1", "ns2", "ns3", "ns4", "ns5")
QUIET = 40.0
"""Seconds in which everything that may change has: a server's loss, `fall` probes, void ballots' end."""

EXAMPLES = settings().max_examples
RUNS = settings(max_examples=EXAMPLES // 2, stateful_step_count=min(50, EXAMPLES))
"""Half as many as elsewhere, of fewer steps: each simulates minutes of up to five servers."""

servers = st.integers(0, 4)
keys = st.sampled_from(KEYS)
times = st.sampled_from([0.0, 0.25, 1.0, 2.0, 4.0, 6.0, 12.0])


class Servers(RuleBasedStateMachine):
    @initialize(count=st.integers(2, 5), skews=st.lists(st.floats(-1e6, 1e6), max_size=5), bad=st.booleans())
    def begin(self, count: int, skews: list[float], bad: bool) -> None:
        self.world = World(NAMES[:count], KEYS, skews)
        if bad:
            self.world.down.add("a")
        self.seen: dict[str, int] = {}
        self.world.run(10)

    def server(self, number: int) -> Server:
        return self.world.servers[NAMES[number % len(self.world.names)]]

    @rule(key=keys, seconds=times)
    def host_changes(self, key: str, seconds: float) -> None:
        self.world.down ^= {key}
        self.world.run(seconds)

    @rule(key=keys, seconds=times)
    def host_sheds(self, key: str, seconds: float) -> None:
        self.world.sheds ^= {key}
        self.world.run(seconds)

    @rule(number=servers, key=keys, seconds=times)
    def server_sees_otherwise(self, number: int, key: str, seconds: float) -> None:
        wrong = self.world.wrong.setdefault(self.server(number).node, set())
        wrong ^= {key}
        self.world.run(seconds)

    @rule(number=servers, seconds=times)
    def server_is_cut_off(self, number: int, seconds: float) -> None:
        server = self.server(number)
        assume(server.running and server.node not in self.world.isolated)
        self.world.isolate(server.node)
        self.world.run(seconds)

    @rule(number=servers, seconds=times)
    def server_is_back(self, number: int, seconds: float) -> None:
        server = self.server(number)
        assume(server.running and server.node in self.world.isolated)
        self.world.join(server.node)
        self.world.run(seconds)

    @rule(one=servers, other=servers, seconds=times)
    def link_is_cut(self, one: int, other: int, seconds: float) -> None:
        names = frozenset({self.server(one).node, self.server(other).node})
        assume(len(names) == 2)
        self.world.cut.add(names)
        self.world.run(seconds)

    @rule()
    def links_heal(self) -> None:
        self.world.heal()

    @rule(number=servers, seconds=times)
    def server_dies(self, number: int, seconds: float) -> None:
        self.server(number).running = False
        self.world.run(seconds)

    @rule(number=servers, seconds=times)
    def server_starts(self, number: int, seconds: float) -> None:
        server = self.server(number)
        server.start()
        self.seen[server.node] = len(server.history)
        if server.node in self.world.isolated:
            server.quorum.connected(False, server.now)
        self.world.run(seconds)

    @rule(number=servers, seconds=times)
    def server_is_paused(self, number: int, seconds: float) -> None:
        self.server(number).paused = True
        self.world.run(seconds)

    @rule(number=servers, seconds=times)
    def server_goes_on(self, number: int, seconds: float) -> None:
        self.server(number).paused = False
        self.world.run(seconds)

    @rule(count=st.integers(1, 10), seconds=times)
    def messages_are_lost(self, count: int, seconds: float) -> None:
        self.world.lose = count
        self.world.run(seconds)

    @rule()
    def messages_are_repeated(self) -> None:
        self.world.repeat = not self.world.repeat

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule()
    def all_is_repaired(self) -> None:
        """Convergence after repair; then the same inputs are the same merged verdict everywhere."""
        self.world.repair()
        self.world.run(QUIET)
        for key in KEYS:
            merged = self.world.merged(key)
            assert len(merged) == len(self.world.names)
            assert len(set(merged.values())) == 1, (key, merged)
            (one,) = set(merged.values())
            finds = [self.world.finds(server, key) for server in self.world.servers.values()]
            ups = sum(found is not ProbeResult.FAILURE for found in finds)
            if 2 * ups != len(finds) and ProbeResult.SHEDDING not in finds:
                assert one.vote is (UP if 2 * ups > len(finds) else DOWN), (key, merged, finds)
        self.evidence_decides()

    @rule(number=servers)
    def only_a_server_is_lost(self, number: int) -> None:
        """Where all see the same, the loss of one changes nothing."""
        self.world.repair()
        self.world.wrong.clear()
        self.world.run(QUIET)
        self.evidence_decides()
        before = self.world.merged("a"), self.world.merged("b")
        lost = self.server(number)
        lost.running = False
        self.seen[lost.node] = len(lost.history)
        marks = {server.node: len(server.history) for server in self.world.servers.values()}
        self.world.run(QUIET)
        for node, mark in marks.items():
            assert len(self.world.servers[node].history) == mark
        for key, states in zip(KEYS, before, strict=True):
            for node, state in self.world.merged(key).items():
                assert state == states[node]

    @invariant()
    def evidence_decides(self) -> None:
        """An address goes out by `fall` failures alone, and back by `rise` successes, seen since a loss."""
        if not hasattr(self, "world"):
            return
        for node, server in self.world.servers.items():
            states: dict[str, Vote | None] = dict.fromkeys(KEYS)
            for place, (at, key, merged, mode) in enumerate(server.history):
                before, states[key] = states[key], merged.vote
                if place < self.seen.get(node, 0) or before in {None, merged.vote}:
                    continue
                self.check_evidence(server, at, key, merged.vote, mode)
            self.seen[node] = len(server.history)

    def check_evidence(self, server: Server, at: float, key: str, vote: Vote, mode: QuorumMode) -> None:
        needed = CHECK.fall if vote is DOWN else CHECK.rise
        kind = ProbeResult.FAILURE if vote is DOWN else ProbeResult.OK
        lost, gained = server.last_change(at)
        most = 0
        # A majority may come in the very step in which a server is lost.
        alone = mode is QuorumMode.OWN and not any(when == at for when, _ in server.changes)
        others = () if alone else self.world.servers.values()
        for one in {server.node: server, **{other.node: other for other in others}}.values():
            since = min(lost, one.last_change(at)[0]) if gained < lost else -1.0
            most = max(most, sum(k == key and f is kind and since <= t <= at for t, k, f in one.found))
        assert most >= (needed if gained < lost else 1), (server.node, at, key, vote, mode, lost, gained)


class OneFaultyServer(RuleBasedStateMachine):
    """One of three servers says what it likes; the others restart and pause, one at a time."""

    @initialize(down=st.booleans())
    def begin(self, down: bool) -> None:
        self.world = World(NAMES[:3], ("a",))
        if down:
            self.world.down.add("a")
        self.truth = DOWN if down else UP
        self.seq = 10**6
        self.world.run(20)

    @rule(
        vote=st.sampled_from(Vote),
        held=st.sampled_from(Vote),
        level=st.integers(0, 11),
        backs=st.sampled_from(["", "ns1", "ns2"]),
        seconds=st.sampled_from([0.0, 0.5, 3.0, 12.0]),
    )
    def it_says_anything(self, vote: Vote, held: Vote, level: int, backs: str, seconds: float) -> None:
        liar = self.world.servers["ns3"]
        self.seq += 1
        said = AddressVote(vote=vote, held=held, level=level, seq=self.seq, backs=backs)
        epoch = liar.epoch
        liar.published["a"] = said
        self.world.send(liar, lambda at: at.quorum.voted("ns3", epoch, {"a": said}, at.now))
        self.world.run(seconds)

    @rule()
    def it_sees_otherwise(self) -> None:
        self.world.wrong.setdefault("ns3", set()).__ixor__({"a"})

    @rule()
    def it_dies(self) -> None:
        self.world.servers["ns3"].running = False

    @rule()
    def it_starts(self) -> None:
        self.world.servers["ns3"].start()

    @rule(name=st.sampled_from(["ns1", "ns2"]), seconds=st.sampled_from([0.0, 0.25, 1.0, 4.0]))
    def another_restarts(self, name: str, seconds: float) -> None:
        self.world.servers[name].start()
        self.world.run(seconds)

    @rule(name=st.sampled_from(["ns1", "ns2"]), holds=st.booleans())
    def another_holds_its_verdicts(self, name: str, holds: bool) -> None:
        server = self.world.servers[name]
        server.quorum.holding(["a"] if holds else [], server.now)
        self.world.run(1)

    @rule(name=st.sampled_from(["ns1", "ns2"]))
    def another_pauses(self, name: str) -> None:
        self.world.servers[name].paused = True
        self.world.run(3)
        self.world.servers[name].paused = False
        self.world.run(4)

    @rule(seconds=st.sampled_from([1.0, 5.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @invariant()
    def it_never_takes_a_host_out_or_in(self) -> None:
        if hasattr(self, "world"):
            for name in ("ns1", "ns2"):
                merged = self.world.servers[name].quorum.merged("a")
                assert merged == (self.truth, 0), self.world.servers[name].quorum.standing("a")


@pytest.mark.timeout(3600, method="thread")
def test_servers_agree_once_quiet_and_only_evidence_changes_a_verdict() -> None:
    run_state_machine_as_test(Servers, settings=RUNS)


@pytest.mark.timeout(3600, method="thread")
def test_one_faulty_server_of_three_never_takes_a_host_out_or_in() -> None:
    run_state_machine_as_test(OneFaultyServer, settings=RUNS)
