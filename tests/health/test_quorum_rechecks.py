"""Probes that other servers' votes ask for: one test a rule, named after it."""

import pytest

from geodns.health.quorum_standing import (
    MergedState,
)
from geodns.model.shared import AddressVote
from geodns.model.state import HealthState, Verdict
from tests.health.quorum_network import DOWN, FAILURE, OK, UP, target
from tests.health.quorum_one import One


def test_a_vote_without_a_majority_makes_the_others_probe_once_more() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.take()
    assert one.rechecks == []
    one.vote("ns2", "d", held="u")
    one.take()
    assert one.rechecks == ["a"]
    one.probe(OK)
    one.wait(3, "ns2", "ns3")
    assert one.rechecks == ["a"]


def test_an_agreeing_result_counts_as_a_vote_for_the_change() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.vote("ns2", "d", held="u")
    one.take()
    one.probe(FAILURE)
    assert one.merged is DOWN
    one.take()
    assert (one.published["a"].vote, one.published["a"].backs) == (DOWN, "ns2")


@pytest.mark.parametrize("lapse", ["says-otherwise", "is-lost"])
def test_it_lapses_with_the_askers(lapse: str) -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.vote("ns2", "d", held="u")
    one.take()
    one.probe(FAILURE)
    one.take()
    if lapse == "says-otherwise":
        one.vote("ns2", "u", held="d")
        one.take()
        assert (one.published["a"].vote, one.published["a"].backs) == (UP, "")
        assert one.merged is UP
    else:
        one.wait(5.5, "ns3")
        assert one.published["a"].backs == ""
        assert one.merged is DOWN  # until it is seen to be up


def test_a_backing_vote_counts_only_while_its_asker_says_the_same() -> None:
    one = One(3, "u")
    one.say("u??", "uuu")
    one.vote("ns3", "d", held="u", backs="ns2")
    one.vote("ns2", "u", held="u")
    assert one.merged is UP
    standing = one.quorum.standing("a")
    assert standing is not None
    assert not standing.votes["ns3"].counts


def test_a_majority_already_there_never_waits() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.vote("ns2", "d", held="u")
    one.vote("ns3", "d", held="u")
    assert one.merged is DOWN
    one.take()
    assert one.rechecks == []


def test_an_address_is_rechecked_once_a_fast_interval_at_most() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    for _ in range(10):
        one.vote("ns2", "d", held="u")
        one.take()
        one.probe(OK)
        one.vote("ns2", "u", held="u")
        one.take()
    assert one.rechecks == ["a"]
    one.vote("ns2", "d", held="u")
    one.wait(1, "ns2", "ns3")
    assert one.rechecks == ["a", "a"]


def test_at_most_fifty_rechecks_a_second() -> None:
    one = One(2)
    many = {f"k{number}": target() for number in range(300)}
    one.quorum.set_targets(many, one.now, dict.fromkeys(many, MergedState(UP)))
    for key in many:
        one.quorum.probed(key, OK, Verdict(HealthState.UP), one.now)
    one.beat("ns2")
    one.quorum.voted("ns2", 1, {key: AddressVote(vote=DOWN, held=UP, seq=1) for key in many}, one.now)
    one.take()
    assert len(one.rechecks) == 50
    one.wait(3, "ns2")
    assert len(one.rechecks) == 200
    assert len(set(one.rechecks)) == 200
