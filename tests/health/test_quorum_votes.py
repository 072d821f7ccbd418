"""What counts as a vote, and what is published: one test a rule, named after it."""

from geodns.health.outcome import ProbeResult
from geodns.health.quorum_standing import (
    NoteKind,
)
from geodns.model.shared import AddressVote
from tests.health.quorum_network import CHECK, DOWN, OK, UNKNOWN, UP, beat
from tests.health.quorum_one import One, own_vote


def test_a_vote_counts_only_with_fresh_evidence() -> None:
    one = One()
    one.say("uuu")
    assert own_vote(one) is UP
    one.wait(2 * CHECK.interval + CHECK.timeout - 0.5, "ns2", "ns3")
    assert own_vote(one) is UP
    one.wait(0.5, "ns2", "ns3")
    assert own_vote(one) is UNKNOWN
    assert one.merged is UP
    one.probe(OK)
    assert own_vote(one) is UP


def test_trouble_of_the_prober_is_no_evidence() -> None:
    one = One()
    one.probe(ProbeResult.UNKNOWN)
    assert own_vote(one) is UNKNOWN


def test_verdicts_from_the_state_folder_are_no_votes_until_probed() -> None:
    one = One(stored="d")
    assert own_vote(one) is UNKNOWN
    assert one.published["a"].held is DOWN
    one.probe(OK)
    assert own_vote(one) is DOWN


def test_what_a_pools_hold_holds_is_unknown() -> None:
    one = One(stored="u")
    one.say("uuu", "uuu")
    one.quorum.holding(["a"], one.now)
    assert own_vote(one) is UNKNOWN
    assert one.merged is UP
    one.quorum.holding([], one.now)
    assert own_vote(one) is UP


def test_only_changes_are_published() -> None:
    one = One()
    one.say("uuu")
    one.take()
    one.published.clear()
    for _ in range(5):
        one.probe(OK)
        one.wait(1, "ns2", "ns3")
    assert not one.published


def test_what_did_not_arrive_is_published_again_as_it_was() -> None:
    one = One()
    one.say("uuu")
    one.take()
    before = dict(one.published)
    one.published.clear()
    one.quorum.republish()
    one.take()
    assert one.published == before


def test_votes_are_told_without_a_connection_too_for_who_asks_by_another_way() -> None:
    one = One(connect=False)
    one.probe(OK)
    one.take()
    assert one.published["a"].vote is UP
    assert not one.quorum.publishes


def test_votes_count_only_with_the_heartbeats_epoch() -> None:
    one = One(3, "u")
    one.probe(OK)
    one.beat("ns2", "ns3")
    down = {"a": AddressVote(vote=DOWN, held=UP, seq=1)}
    for node in ("ns2", "ns3"):
        one.quorum.voted(node, 2, down, one.now)
    assert one.merged is UP
    for node in ("ns2", "ns3"):
        one.quorum.heard(beat(node, 2), one.now)
    assert one.merged is DOWN


def test_votes_of_an_older_epoch_are_gone() -> None:
    one = One(3, "u")
    one.probe(OK)
    for node in ("ns2", "ns3"):
        one.quorum.heard(beat(node, 2), one.now)
        one.quorum.voted(node, 2, {}, one.now, whole=0)
        one.quorum.voted(node, 1, {"a": AddressVote(vote=DOWN, held=UP, seq=9)}, one.now)
    assert one.merged is UP


def test_late_and_repeated_votes_do_no_harm() -> None:
    one = One(2, "u")
    one.probe(OK)
    one.beat("ns2")
    for seq, vote in ((1, UP), (3, UP), (2, DOWN), (3, DOWN)):
        one.quorum.voted("ns2", 1, {"a": AddressVote(vote=vote, held=UP, seq=seq)}, one.now)
    standing = one.quorum.standing("a")
    assert standing is not None
    assert standing.votes["ns2"].vote is UP


def test_of_a_second_live_server_of_our_node_neither_votes() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.quorum.heard(beat("ns1", 4, at=1.0), one.now)
    one.wait(2, "ns2", "ns3")
    assert not one.quorum.doubled  # what we left in the store when we ended
    for at in (2.0, 3.0):
        one.quorum.heard(beat("ns1", 4, at=at), one.now)
        one.wait(1, "ns2", "ns3")
    assert one.quorum.doubled
    assert own_vote(one) is UNKNOWN
    assert one.merged is UP
    one.wait(11, "ns2", "ns3")
    one.probe(OK)
    assert not one.quorum.doubled
    assert own_vote(one) is UP


def test_of_two_live_servers_of_another_node_neither_votes() -> None:
    one = One(3, "u")
    one.say("udd")
    assert one.merged is DOWN
    for at in range(4):
        one.quorum.heard(beat("ns2", 0, at=at), one.now)
        one.wait(1, "ns2", "ns3")
    assert NoteKind.DOUBLED in one.notes
    standing = one.quorum.standing("a")
    assert standing is not None
    assert not standing.votes["ns2"].counts
    assert one.merged is DOWN
