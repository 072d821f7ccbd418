"""How servers merge their votes, and what they tell of it: one test a rule, named after it."""

from collections.abc import Mapping

import pytest

from geodns.health.quorum import Quorum
from geodns.health.quorum_lasting import LASTING
from geodns.health.quorum_merge import DOWN as DOWN_CODE
from geodns.health.quorum_merge import UP as UP_CODE
from geodns.health.quorum_merge import decide
from geodns.health.quorum_standing import (
    MergedState,
    NoteKind,
    TwoDefinitions,
    merged_state,
    merged_verdict,
)
from geodns.model.shared import SHED_OUT, AddressVote, Vote
from geodns.model.state import HealthState, Verdict
from tests.health.quorum_network import DOWN, FAILURE, OK, UNKNOWN, UP, beat, target
from tests.health.quorum_one import One

# --- merging --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("votes", "stored", "expected"),
    [
        pytest.param("uuu", "", UP, id="all-up"),
        pytest.param("ddd", "", DOWN, id="all-down"),
        pytest.param("udd", "u", DOWN, id="two-of-three"),
        pytest.param("duu", "d", UP, id="two-of-three-up"),
        pytest.param("uuddd", "u", DOWN, id="three-of-five"),
        pytest.param("?ddd?", "u", DOWN, id="of-the-votes-not-of-the-servers"),
    ],
)
def test_a_strict_majority_of_votes_decides(votes: str, stored: str, expected: Vote) -> None:
    one = One(len(votes), stored)
    one.say(votes)
    assert one.merged is expected


@pytest.mark.parametrize(
    ("votes", "held", "stored", "expected"),
    [
        pytest.param("uudd", "?ddu", "u", DOWN, id="most-hold-down"),
        pytest.param("uudd", "?uud", "d", UP, id="most-hold-up"),
        pytest.param("ud", "?u", "d", UP, id="held-is-tied-too"),
        pytest.param("ud", "?d", "d", DOWN, id="both-hold-down"),
    ],
)
def test_a_tie_takes_what_most_servers_heard_hold_and_if_that_is_tied_too_up(
    votes: str, held: str, stored: str, expected: Vote
) -> None:
    one = One(len(votes), stored)
    one.say(votes, held)
    one.beat("ns2")
    assert one.merged is expected


def test_a_tie_of_a_new_address_is_up() -> None:
    assert decide([UP_CODE, DOWN_CODE], 2, 0) == (UP_CODE, True)


def test_a_lasting_tie_is_reported() -> None:
    one = One(2, "u")
    one.say("ud", "?u")
    one.wait(3, "ns2")
    assert NoteKind.TIED not in one.notes
    for _ in range(20):
        one.probe(OK)
        one.wait(2, "ns2")
    assert NoteKind.TIED in one.notes
    assert list(one.quorum.tied) == ["a"]
    one.vote("ns2", "u", held="u")
    one.wait(1, "ns2")
    assert NoteKind.UNTIED in one.notes
    assert not one.quorum.tied


@pytest.mark.parametrize(
    ("votes", "stored", "expected"),
    [
        pytest.param("?d?", "u", UP, id="the-rest-abstain"),
        pytest.param("?u?", "d", DOWN, id="nor-brings-it-back"),
        pytest.param("??d??", "u", UP, id="of-five"),
        pytest.param("?d?", "", UNKNOWN, id="nor-a-new-address"),
        pytest.param("d--", "u", DOWN, id="the-rest-do-not-have-it"),
    ],
)
def test_while_three_are_heard_one_vote_never_decides_alone(votes: str, stored: str, expected: Vote) -> None:
    one = One(len(votes), stored)
    one.say(votes)
    assert one.merged is expected


def test_with_three_known_one_vote_does_not_decide_beside_one_who_abstains() -> None:
    one = One(3, "u")
    one.beat("ns2")
    one.vote("ns2", "d", held="u")
    assert one.merged is UP


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        pytest.param("du", UP, id="both-vote-and-differ"),
        pytest.param("ud", UP, id="the-other-way-round"),
        pytest.param("dd", DOWN, id="both-agree"),
        pytest.param("?d", DOWN, id="the-other-abstains"),
        pytest.param("d?", DOWN, id="we-decide-as-the-other-abstains"),
        pytest.param("d", DOWN, id="the-other-is-gone"),
    ],
)
def test_of_two_known_both_must_agree_while_both_vote(votes: str, expected: Vote) -> None:
    one = One(2, "u")
    one.wait(3)
    one.say(votes, "uu")
    assert one.merged is expected


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param((0, 0, 3), 0, id="one-of-three"),
        pytest.param((0, 2, 3), 2, id="median"),
        pytest.param((3, 3, SHED_OUT), 3, id="shed-out-for-one"),
        pytest.param((0, SHED_OUT, SHED_OUT), SHED_OUT, id="shed-out-for-most"),
        pytest.param((0, 3), 0, id="the-low-one-of-two"),
    ],
)
def test_the_shedding_level_is_the_low_median_of_the_voters(levels: tuple[int, ...], expected: int) -> None:
    one = One(len(levels))
    for number, level in list(enumerate(levels, 1))[1:]:
        one.beat(f"ns{number}")
        one.vote(f"ns{number}", "u", level=level)
    one.probe(OK)
    assert one.state == (UP, expected)


def test_who_says_down_has_no_shedding_level() -> None:
    one = One(3)
    one.beat("ns2", "ns3")
    one.vote("ns2", "u", level=4)
    one.vote("ns3", "u", level=4)
    one.probe(FAILURE)
    assert one.state == (UP, 4)


def test_nor_does_one_vote_alone_decide_the_shedding_level() -> None:
    one = One(3, "u")
    one.beat("ns3")
    one.vote("ns3", "?", held="u")
    one.beat("ns2")
    one.vote("ns2", "u", held="u", level=SHED_OUT)
    assert one.state == (UP, 0)


# --- targets --------------------------------------------------------------------------------------------


def test_addresses_come_and_go_with_an_edit() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.take()
    one.quorum.set_targets({"b": target()}, one.now)
    news = one.quorum.take(one.now)
    assert news.gone == ("a",)
    assert set(news.publish) == {"b"}
    assert one.quorum.merged("b") == (UNKNOWN, 0)
    one.quorum.set_targets({"a": target(), "b": target()}, one.now)
    one.published.clear()
    assert one.merged is UP  # the others said so all the time
    assert "a" in one.published


def test_a_server_without_the_target_is_no_voter() -> None:
    one = One(3, "u")
    one.say("dd-", "uu?")
    assert one.merged is DOWN


def test_two_definitions_of_one_check_are_told() -> None:
    mine, theirs = 'smtp [192.0.2.1]:25 {"rise":4}', "smtp [192.0.2.1]:25"
    one = One(2)
    one.quorum.set_targets({mine: target(), "smtp [192.0.2.2]:25": target()}, one.now)
    one.beat("ns2")
    votes = {key: AddressVote(vote=UP, held=UP, seq=1) for key in (theirs, "smtp [192.0.2.2]:25")}
    one.quorum.voted("ns2", 1, votes, one.now, whole=1)
    assert one.quorum.definitions() == (TwoDefinitions("ns2", mine, theirs),)


# --- what is told ---------------------------------------------------------------------------------------


def test_whoever_is_alone_with_his_opinion_is_told_so() -> None:
    one = One(3, "u")
    one.say("uuu", "uuu")
    one.vote("ns3", "d", held="u")
    standing = one.quorum.standing("a")
    assert standing is not None
    assert standing.alone == "ns3"
    assert not one.quorum.alone  # not yet: every change begins so
    for _ in range(round(LASTING)):
        one.probe(OK)
        one.wait(1, "ns2", "ns3")
    one.wait(1, "ns2", "ns3")
    assert dict(one.quorum.alone) == {"a": "ns3"}
    assert NoteKind.ALONE in one.notes
    one.vote("ns3", "u", held="u")
    one.take()
    assert NoteKind.JOINED in one.notes


def test_lost_messages_are_read_again() -> None:
    one = One(2)
    one.beat("ns2")
    one.vote("ns2", "u", held="u")
    right = str(one.quorum._hearing.peers["ns2"].digest)
    one.quorum.heard(beat("ns2", seq=1, digest=right), one.now)
    one.take()
    assert NoteKind.REREAD not in one.notes
    one.quorum.heard(beat("ns2", seq=1, digest="0000"), one.now)
    one.take()
    assert one.notes.count(NoteKind.REREAD) == 1
    one.quorum.heard(beat("ns2", seq=2, digest="0000"), one.now)  # it may be on its way
    one.take()
    assert one.notes.count(NoteKind.REREAD) == 1
    one.quorum.heard(beat("ns2", seq=2, digest="0000"), one.now)
    one.take()
    assert one.notes.count(NoteKind.REREAD) == 2


def test_with_agree_own_ones_own_verdicts_hold_and_the_others_get_our_votes() -> None:
    quorum = Quorum("ns1", 1, 0.0, agree="own")
    quorum.set_known(["ns2", "ns3"])
    quorum.set_targets({"a": target()}, 0.0)
    quorum.connected(True, 0.0)
    for node in ("ns2", "ns3"):
        quorum.heard(beat(node), 0.0)
        quorum.voted(node, 1, {"a": AddressVote(vote=UP, held=UP, seq=1)}, 0.0, whole=1)
    quorum.probed("a", FAILURE, Verdict(HealthState.DOWN), 0.0)
    news = quorum.take(0.0)
    assert news.merged == {"a": MergedState(DOWN)}
    assert news.publish["a"].vote is DOWN


@pytest.mark.parametrize(
    ("own", "merged", "expected"),
    [
        pytest.param(
            Verdict(HealthState.DOWN), MergedState(UP, 2), Verdict(HealthState.UP, level=2), id="up"
        ),
        pytest.param(
            Verdict(HealthState.UP, degraded=True, share=40),
            MergedState(DOWN),
            Verdict(HealthState.DOWN, share=40),
            id="down",
        ),
        pytest.param(
            Verdict(HealthState.UP, degraded=True, share=40),
            MergedState(UP, SHED_OUT),
            Verdict(HealthState.UP, degraded=True, share=40, level=10, shed_out=True),
            id="slow-answers-and-share-stay-ones-own",
        ),
    ],
)
def test_state_and_shedding_are_shared(own: Verdict, merged: MergedState, expected: Verdict) -> None:
    assert merged_verdict(own, merged) == expected
    assert merged_state(expected) == merged


def test_the_inputs_make_the_verdict_not_their_order() -> None:
    def merged(order: list[tuple[str, str]], *, together: bool) -> Mapping[str, Vote]:
        one = One(4, "u")
        one.beat("ns2", "ns3", "ns4")
        one.probe(FAILURE, FAILURE, FAILURE)
        for node, vote in order:
            one.vote(node, vote, held="u")
            if not together:
                one.take()
        return {"a": one.merged}

    votes = [("ns2", "d"), ("ns3", "d"), ("ns4", "u")]
    for together in (True, False):
        assert merged(votes, together=together) == merged(votes[::-1], together=together) == {"a": DOWN}
