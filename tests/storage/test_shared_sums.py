"""Sums of several servers: in whatever order they come, they add up to what one server would have counted."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from geodns.model.mail import MailEvent, MailKey, MailKind
from geodns.storage.shared_sums import (
    BUCKETS,
    MAX_TEXT,
    SHARED,
    bucket_of,
    ended,
    field_of,
    heard_json,
    is_shared,
    read_heard,
    read_sums,
    step_of,
    steps_for,
    sums_json,
)
from geodns.storage.signal_file import COUNTS_KEPT, DAY, FIVE, HOUR, Five, SignalFile, Taken

NOW = 1_795_417_200.0
HOST = ("out.example.com", "mta1")
KEY: MailKey = ("", "google", MailKind(MailEvent.DELIVERED, first=True))
MARKS = st.dictionaries(st.tuples(st.sampled_from(["google", "x"]), st.just("rule")), st.integers(1, 9))
COUNTS = st.dictionaries(
    st.tuples(
        st.sampled_from(["", "192.0.2.11"]),
        st.sampled_from(["google", "other"]),
        st.just(MailKind(MailEvent.DELIVERED, None, first=True)),
    ),
    st.integers(0, 2**40),
)


@given(COUNTS, MARKS)
def test_what_is_told_is_read(counts: dict[Any, int], marks: dict[tuple[str, str], int]) -> None:
    at = int(NOW) // FIVE * FIVE
    content = sums_json({HOST: counts}, {HOST: marks} if marks else {})
    found = read_sums(field_of(FIVE, at, bucket_of(HOST)), content, NOW)
    assert found is not None
    assert (found.step, found.at) == (FIVE, at)
    assert found.counts == {HOST: counts}
    assert found.marks == ({HOST: marks} if marks else {})
    assert read_heard(heard_json({HOST: NOW})) == {HOST: NOW}


def test_a_value_that_would_be_too_long_names_fewer_providers() -> None:
    counts = {
        (f"192.0.2.{number}", f"provider-{provider}", kind): provider
        for number in range(4)
        for provider in range(100)
        for kind in (KEY[2], KEY[2]._replace(event=MailEvent.DEFERRED))
    }
    hosts = {("out.example.com", f"mta{number}"): counts for number in range(20)}
    content = sums_json(hosts, {})
    assert len(str(content)) <= MAX_TEXT
    found = read_sums(field_of(HOUR, 0, 1), content, NOW)
    assert found is not None
    for some in found.counts.values():
        assert sum(some.values()) == sum(counts.values())
        assert ("", "provider-99", KEY[2]) in some


@given(st.integers(0, 40 * DAY), st.integers(0, DAY))
def test_what_was_counted_always_stands_in_a_step_that_is_told(age: int, later: int) -> None:
    """Whatever the hour: else others would not have it for a while."""
    at = int(NOW - age) // FIVE * FIVE
    if at + DAY > NOW + later - SHARED[DAY]:
        assert list(steps_for(at, NOW + later))


@given(st.floats(0, 3 * DAY), st.floats(1, 3 * DAY))
def test_each_hour_and_day_that_ends_is_told_once(before: float, after: float) -> None:
    first, last = NOW - before, NOW + after
    told = [*ended(first, NOW), *ended(NOW, last)]
    assert len(told) == len(set(told))
    assert {one for one in told if is_shared(*one, last)} == {
        (step, at)
        for step in (HOUR, DAY)
        for at in range(int(first - 40 * DAY) // step * step, int(last), step)
        if is_shared(step, at, last) and not is_shared(step, at, first)
    }


OTHERS = ["", "300", "300/0", "300/1/1", "301/0/0", "-300/0/0", "300/x/1", "300/²/1"]


@pytest.mark.parametrize("field", OTHERS)
def test_other_fields_are_none_of_a_step(field: str) -> None:
    assert step_of(field) is None


def test_a_group_stays_below_the_fields_that_are_read() -> None:
    assert BUCKETS * (1 + sum(kept // step + 2 for step, kept in SHARED.items())) < 20_000


class Owner:
    """A server that counts, and tells its sums by the rules."""

    def __init__(self, folder: Path, node: str) -> None:
        folder.mkdir()
        self.folder, self.node = folder, node
        self.file, _ = SignalFile.open(folder, NOW)
        self.due: set[tuple[int, int]] = set()
        self.since = NOW
        self.number = 0

    def count(self, at: int, number: int, now: float) -> None:
        self.number += 1
        begin = at // FIVE * FIVE
        self.file.take(f"{self.number}", Taken(1), {(HOST, begin): Five({KEY: number})}, now)
        self.due.update(steps_for(begin, now))

    def tell(self, now: float) -> dict[str, JsonValue]:
        self.due.update(ended(self.since, now))
        self.since = now
        told: dict[str, JsonValue] = {}
        for step, at in self.due:
            counts = {host: some for host, _, some in self.file.counts(step, at, at + 1)}
            if counts:
                told[field_of(step, at, bucket_of(HOST))] = sums_json(counts, {})
        self.due.clear()
        return told

    def restart(self, now: float) -> None:
        self.file.close()
        self.file, _ = SignalFile.open(self.folder, now)


class Group:
    """Two servers and their store."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.owners = [Owner(folder / node, node) for node in ("ns1", "ns2")]
        self.store: dict[str, dict[str, JsonValue]] = {"ns1": {}, "ns2": {}}
        self.chance = chance
        self.now = NOW

    def read(self, owner: Owner) -> None:
        """Read everything of the others, in any order."""
        for node, fields in self.store.items():
            some = list(fields.items())
            self.chance.shuffle(some)
            for field, content in some if node != owner.node else ():
                found = read_sums(field, content, self.now)
                assert found is not None
                owner.file.take_peer(node, found.step, found.at, found.counts, self.now)

    def tell(self, owner: Owner) -> None:
        fields = self.store[owner.node] | owner.tell(self.now)
        kept = {field for field in fields if is_shared(*(step_of(field) or (FIVE, 0)), self.now)}
        self.store[owner.node] = {field: fields[field] for field in kept}


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["count", "count", "tell", "restart"]),
            st.integers(0, 1),
            st.integers(0, 5 * HOUR),
            st.integers(1, 9),
            st.sampled_from([0, 60, 600, 2 * HOUR, 30 * HOUR]),
        ),
        max_size=20,
    ),
    st.randoms(use_true_random=False),
)
def test_servers_add_up_to_what_one_would_have_counted(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int, int, int, int]],
    chance: random.Random,
) -> None:
    group = Group(tmp_path_factory.mktemp("servers"), chance)
    alone: dict[int, int] = {}
    for what, which, age, number, later in [*steps, ("tell", 0, 0, 1, 0), ("tell", 1, 0, 1, 0)]:
        group.now += later
        owner = group.owners[which]
        if what == "count":
            at = int(group.now) - age
            owner.count(at, number, group.now)
            alone[at // DAY * DAY] = alone.get(at // DAY * DAY, 0) + number
        elif what == "tell":
            group.tell(owner)
        else:
            owner.restart(group.now)
            group.read(owner)
    for owner in group.owners:
        group.read(owner)
        group.read(owner)
        totals: dict[int, int] = {}
        for _, at, counts in owner.file.all_counts(DAY, NOW - 60 * DAY, group.now + DAY):
            totals[at] = totals.get(at, 0) + sum(counts.values())
        assert totals == alone
        owner.file.close()


def test_what_is_nearly_as_old_as_it_is_kept_is_not_taken_again(tmp_path: Path) -> None:
    file, _ = SignalFile.open(tmp_path, NOW)
    at = int(NOW - COUNTS_KEPT[FIVE]) // FIVE * FIVE
    assert file.take_peer("ns2", FIVE, at, {HOST: {KEY: 5}}, NOW) == []
    assert file.take_peer("ns2", FIVE, at + DAY + FIVE, {HOST: {KEY: 5}}, NOW)
    file.prune(NOW)
    assert [at for _, at, _ in file.all_counts(FIVE, 0, NOW)] == [at + DAY + FIVE]
    file.close()
