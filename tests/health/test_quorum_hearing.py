"""Who is heard, and what the loss of servers changes: one test a rule, named after it."""

import pytest

from geodns.health.outcome import ProbeResult
from geodns.health.quorum_standing import (
    QuorumMode,
)
from tests.health.quorum_network import DOWN, FAILURE, OK, UP, beat, mode_of
from tests.health.quorum_one import One, own_vote

# --- who is known and heard -----------------------------------------------------------------------------


def test_below_half_of_the_known_own_verdicts_hold() -> None:
    one = One(5, "u")
    one.wait(3)
    one.say("ud", "uu")
    assert one.mode is QuorumMode.OWN
    assert one.merged is UP
    one.beat("ns3")
    assert mode_of(one.quorum, "a") is QuorumMode.QUORUM


def test_without_a_list_the_known_are_those_heard_within_a_day() -> None:
    one = One()
    one.quorum.set_known(None)
    one.say("uuu")
    standing = one.quorum.standing("a")
    assert standing is not None
    assert standing.known == 3
    one.wait(6)
    one.now += 86400
    one.wait(1)
    assert mode_of(one.quorum, "a") is QuorumMode.QUORUM


def test_who_is_heard_is_counted_anew_for_another_list_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one = One(3, "u")
    one.wait(3)
    counted = []
    monkeypatch.setattr(one.quorum, "_review", lambda: counted.append(one.now))
    for nodes in (["ns2", "ns3"], ["ns3", "ns2"]):
        one.quorum.set_known(nodes)
    one.quorum._phase = one.quorum._phase_now()  # as counting leaves it
    one.quorum.set_known(["ns1", "ns2", "ns3"])
    one.quorum.tick(one.now)
    assert not counted
    one.quorum.set_known(["ns2", "ns3"], unnamed=1)
    one.quorum.tick(one.now)
    assert counted


def test_the_known_are_counted_per_zone() -> None:
    one = One(3, "u")
    one.quorum.heard(beat("ns2", zones=["other.example"]), one.now)
    one.quorum.heard(beat("ns3", zones=["other.example"]), one.now)
    standing = one.quorum.standing("a")
    assert standing is not None
    assert (standing.known, standing.heard) == (1, frozenset({"ns1"}))


def test_a_server_is_lost_after_five_seconds_of_silence() -> None:
    one = One(2, "u")
    one.say("uu", "uu")
    one.wait(5)
    assert one.nodes == ["ns2"]
    one.wait(0.5)
    assert one.nodes == []


def test_silence_counts_only_while_the_own_connection_works() -> None:
    one = One(2, "u")
    one.say("uu", "uu")
    one.wait(4)
    one.quorum.connected(False, one.now)
    one.wait(9)
    one.quorum.connected(True, one.now)
    one.wait(1)
    assert one.nodes == ["ns2"]
    one.wait(0.5)
    assert one.nodes == []


def test_with_the_connection_lost_all_is_frozen_for_ten_seconds_and_then_own() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.quorum.connected(False, one.now)
    one.probe(FAILURE, FAILURE, FAILURE, FAILURE)
    one.wait(9.5)
    assert (one.mode, one.merged) == (QuorumMode.FROZEN, UP)
    one.wait(1)
    assert (one.mode, one.merged) == (QuorumMode.OWN, UP)
    one.probe(FAILURE, FAILURE)
    assert one.merged is UP
    one.probe(FAILURE)
    assert one.merged is DOWN


def test_whoever_did_not_run_for_two_seconds_gives_everybody_a_new_start() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.wait(4)
    one.now += 60
    one.wait(4.5)
    assert one.nodes == ["ns2", "ns3"]
    one.wait(1.5)
    assert one.nodes == []


def test_a_pause_does_not_end_the_frozen_time() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.quorum.connected(False, one.now)
    one.wait(5)
    one.now += 60
    one.wait(4)
    assert one.mode is QuorumMode.FROZEN


def test_at_the_start_the_stored_state_holds_for_two_seconds() -> None:
    one = One(3, "d")
    one.probe(OK, OK)
    assert (one.mode, one.merged) == (QuorumMode.FROZEN, DOWN)
    one.wait(2)
    assert one.mode is QuorumMode.OWN


def test_own_verdicts_hold_at_once_where_nothing_is_known() -> None:
    one = One(3, connect=False)
    one.probe(FAILURE)
    assert one.merged is DOWN


# --- losses ---------------------------------------------------------------------------------------------


def test_hearing_fewer_servers_never_changes_a_merged_verdict_by_itself() -> None:
    one = One(5, "u")
    one.say("uuddd", "uuuuu")
    assert one.merged is DOWN
    one.take()
    one.wait(3, "ns2", "ns3")
    one.probe(OK)
    one.wait(3, "ns2", "ns3")  # ns4 and ns5 are lost: up, up and down are left
    assert one.merged is DOWN
    assert own_vote(one) is DOWN


def test_an_address_comes_back_only_by_rise_successes_seen_since_a_loss() -> None:
    one = One(5, "u")
    one.say("uuddd", "uuuuu")
    one.wait(6, "ns2", "ns3")
    one.probe(OK)
    assert own_vote(one) is DOWN
    one.probe(OK)
    assert own_vote(one) is UP
    assert one.merged is DOWN  # ns2's vote is older
    one.vote("ns2", "d", held="d")
    one.vote("ns2", "u", held="d")
    assert one.merged is UP


def test_an_address_goes_out_only_by_fall_failures_seen_since_a_loss() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.probe(FAILURE, FAILURE)
    one.wait(6)
    assert one.mode is QuorumMode.OWN
    one.probe(FAILURE, FAILURE)
    assert one.merged is UP
    one.probe(FAILURE)
    assert one.merged is DOWN


def test_an_older_vote_counts_again_once_its_server_has_seen_enough_probes() -> None:
    one = One(5, "u")
    one.say("uuddd", "uuuuu")
    one.wait(6, "ns2", "ns3")
    one.probe(OK, OK)
    assert one.merged is DOWN
    for _ in range(6):
        one.probe(OK)
        one.wait(1.5, "ns2", "ns3")
    assert one.merged is UP


def test_a_server_that_abstains_changes_nothing_by_itself() -> None:
    one = One(4, "d")
    one.say("uudd", "dddd")
    assert one.merged is DOWN
    one.vote("ns4", "?", held="d")
    assert one.merged is DOWN


def test_shedding_is_not_changed_by_a_loss_either() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    for _ in range(3):
        one.probe(ProbeResult.SHEDDING)
    assert one.state == (UP, 0)
    one.wait(6)
    assert (one.mode, one.state) == (QuorumMode.OWN, (UP, 0))
