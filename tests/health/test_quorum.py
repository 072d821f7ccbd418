"""Each rule by which servers merge their votes, one test a sentence."""

from collections.abc import Mapping

import pytest

from geodns.health.outcome import ProbeResult
from geodns.health.quorum import Quorum
from geodns.health.quorum_lasting import LASTING
from geodns.health.quorum_merge import DOWN as DOWN_CODE
from geodns.health.quorum_merge import UP as UP_CODE
from geodns.health.quorum_merge import decide
from geodns.health.quorum_standing import (
    MergedState,
    NoteKind,
    QuorumMode,
    TwoDefinitions,
    merged_state,
    merged_verdict,
)
from geodns.health.state_machine import advance
from geodns.model.checks import Check
from geodns.model.shared import SHED_OUT, AddressVote, Vote
from geodns.model.state import NOTHING_KNOWN, HealthState, Verdict
from tests.health.quorum_network import CHECK, DOWN, FAILURE, OK, UNKNOWN, UP, beat, target

VOTES = {"u": UP, "d": DOWN, "?": UNKNOWN, "-": UNKNOWN}


class One:
    """One server under test, ns1; the others are what a test says."""

    def __init__(
        self, known: int = 3, stored: str = "", check: Check = CHECK, *, connect: bool = True
    ) -> None:
        self.now = 0.0
        self.check = check
        self.quorum = Quorum("ns1", 5, self.now)
        self.quorum.set_known([f"ns{number}" for number in range(1, known + 1)])
        states = {"a": MergedState(VOTES[stored])} if stored else {}
        self.quorum.set_targets({"a": target(check)}, self.now, states)
        self.own = NOTHING_KNOWN if not stored else Verdict(HealthState(VOTES[stored]))
        self.seqs: dict[str, int] = {}
        self.rechecks: list[str] = []
        self.notes: list[NoteKind] = []
        self.published: dict[str, AddressVote] = {}
        if connect:
            self.quorum.connected(True, self.now)

    def beat(self, *nodes: str) -> None:
        for node in nodes:
            self.quorum.heard(beat(node, seq=self.seqs.get(node, 0), at=self.now), self.now)

    def vote(self, node: str, vote: str, *, held: str = "?", level: int = 0, backs: str = "") -> None:
        self.seqs[node] = seq = self.seqs.get(node, 0) + 1
        said = {
            "a": AddressVote(vote=VOTES[vote], held=VOTES[held], level=level, seq=seq, backs=backs),
        }
        self.quorum.voted(node, 1, said, self.now, whole=seq)

    def probe(self, *kinds: ProbeResult) -> None:
        for kind in kinds:
            self.own = advance(self.own, kind, self.check)
            self.quorum.probed("a", kind, self.own, self.now)

    def say(self, votes: str, held: str = "") -> None:
        """Have the servers vote, ourselves last; - stands for one without the address."""
        for number, vote in list(enumerate(votes, 1))[1:]:
            self.beat(f"ns{number}")
            if vote == "-":
                self.quorum.voted(f"ns{number}", 1, {}, self.now, whole=0)
            else:
                self.vote(f"ns{number}", vote, held=held[number - 1] if held else "?")
        if votes[0] != "?":
            self.probe(
                *[OK if votes[0] == "u" else FAILURE] * (3 if self.own.state != NOTHING_KNOWN.state else 1)
            )

    def wait(self, seconds: float, *nodes: str) -> None:
        """Let time pass while these servers are heard."""
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            self.beat(*nodes)
            self.quorum.tick(self.now)
            self.take()

    def take(self) -> None:
        news = self.quorum.take(self.now)
        self.rechecks += news.rechecks
        self.notes += [note.kind for note in news.notes]
        self.published |= news.publish

    @property
    def merged(self) -> Vote:
        return self.quorum.merged("a").vote

    @property
    def mode(self) -> QuorumMode:
        return self.quorum.mode("a")

    @property
    def nodes(self) -> list[str]:
        return list(self.quorum.nodes)


# --- merging ------------------------------------------------------------------------------------------------


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
    assert one.quorum.merged("a") == (UP, expected)


def test_who_says_down_has_no_shedding_level() -> None:
    one = One(3)
    one.beat("ns2", "ns3")
    one.vote("ns2", "u", level=4)
    one.vote("ns3", "u", level=4)
    one.probe(FAILURE)
    assert one.quorum.merged("a") == (UP, 4)


# --- what is a vote -----------------------------------------------------------------------------------------


def own_vote(one: One) -> Vote:
    one.take()
    return one.published["a"].vote


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


def test_nothing_is_published_without_a_connection() -> None:
    one = One(connect=False)
    one.probe(OK)
    one.take()
    assert not one.published
    one.quorum.connected(True, one.now)
    one.take()
    assert one.published["a"].vote is UP


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


# --- who is known and heard ---------------------------------------------------------------------------------


def test_below_half_of_the_known_own_verdicts_hold() -> None:
    one = One(5, "u")
    one.wait(3)
    one.say("ud", "uu")
    assert one.mode is QuorumMode.OWN
    assert one.merged is UP
    one.beat("ns3")
    assert one.quorum.mode("a") is QuorumMode.QUORUM


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
    assert one.quorum.mode("a") is QuorumMode.QUORUM


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


# --- losses -------------------------------------------------------------------------------------------------


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
    assert one.quorum.merged("a") == (UP, 0)
    one.wait(6)
    assert (one.mode, one.quorum.merged("a")) == (QuorumMode.OWN, (UP, 0))


# --- rechecks -----------------------------------------------------------------------------------------------


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


# --- targets ------------------------------------------------------------------------------------------------


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
    assert one.merged is UP  # the others said so all the time
    assert "a" in one.quorum.take(one.now).publish


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


# --- what is told -------------------------------------------------------------------------------------------


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
    def merged(order: list[tuple[str, str]]) -> Mapping[str, Vote]:
        one = One(4, "u")
        one.beat("ns2", "ns3", "ns4")
        one.probe(FAILURE, FAILURE, FAILURE)
        for node, vote in order:
            one.vote(node, vote, held="u")
        return {"a": one.merged}

    votes = [("ns2", "d"), ("ns3", "d"), ("ns4", "u")]
    assert merged(votes) == merged(votes[::-1]) == {"a": DOWN}
