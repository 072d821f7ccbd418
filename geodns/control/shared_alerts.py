"""Alerts on what a server shares with others: the connection, who is heard, who disagrees."""

import logging
from collections.abc import Collection, Iterator, Sequence

from geodns.control.alert_service import Alert
from geodns.control.peers import MAX_OFFSET
from geodns.control.shared_view import Lone, SharedView
from geodns.health.quorum_standing import TwoDefinitions

AWAY = 2.0
"""Seconds without the connection that are no alert."""
MOST_NAMED = 3


def shared_alerts(
    view: SharedView,
    node: str,
    *,
    away: float,
    doubled: Collection[str],
    definitions: Sequence[TwoDefinitions],
    unsigned: bool,
    last_bad: str,
    clock: float = 0.0,
) -> Iterator[Alert]:
    """Return what operators should know.

    Args:
        view: how things stand.
        node: this server.
        away: seconds that the connection has been lost for; 0: it works.
        doubled: nodes that two live servers have.
        definitions: checks that servers define otherwise.
        unsigned: whether whoever may write to Redis is believed.
        last_bad: the last value that was skipped.
        clock: seconds that this server's clock is ahead of Redis'.

    """
    if away > AWAY:
        text = f"shared: {view.why or 'the connection is lost'}: {_instead(view)}"
        yield Alert("shared away", text, kind="peer", resolved=f"shared: {view.store or 'Redis'} is back")
    elif view.connected and view.why and not doubled and not (last_bad and last_bad in view.why):
        yield Alert(
            "shared trouble", f"shared: {view.why}", kind="peer", resolved="shared: all is well again"
        )
    if view.connected and view.mode == "own" and view.agree == "quorum":
        count = f"{len(view.heard)} of {view.known} servers"
        text = f"{node} hears {count}, fewer than half: its own verdicts are served"
        yield Alert(
            "shared half",
            text,
            kind="peer",
            level=logging.ERROR,
            resolved=f"{node} hears at least half of the servers again",
        )
    for one in doubled:
        text = f"two live servers say that they are {one}: give each its own `node`; neither votes until then"
        yield Alert(("shared doubled", one), text, kind="peer", level=logging.ERROR)
    if abs(clock) > MAX_OFFSET:
        way = "ahead of" if clock > 0 else "behind"
        text = (
            f"shared: the clock of {node} is {abs(clock):,.0f} s {way} that of {view.store}: let NTP set both"
        )
        yield Alert(
            "shared clock", text, kind="peer", resolved=f"the clock of {node} is right again", grade=way
        )
    if unsigned:
        text = (
            "shared: without secret_file whoever may write to that Redis can take hosts out: write the same "
            "secret on all servers of the group"
        )
        yield Alert("shared unsigned", text, kind="peer", event="")
    if view.bad:
        total = sum(view.bad.values())
        text = f"shared: {total} values were skipped, the last one {last_bad}"
        yield Alert("shared bad", text, kind="peer", grade=" ".join(sorted(view.bad)))
    if view.tied:
        text = f"the servers are evenly divided on {_addresses(view.tied)}: what was served before stays"
        yield Alert("shared tied", text, kind="peer", resolved="the servers are no longer evenly divided")
    yield from _awaited(view)
    yield from _alone(view)
    for two in definitions[:MOST_NAMED]:
        text = (
            f"{two.node} checks an address by other rules than {node}, so neither counts the other's votes: "
            f"{two.theirs} there, {two.mine} here"
        )
        yield Alert(("shared definitions", two.node, two.mine), text, kind="peer")


def _instead(view: SharedView) -> str:
    """Say what is served by while Redis is away."""
    heard = ", ".join(sorted(node for node, why in view.http.items() if not why))
    if heard and view.mode == "quorum":
        return f"votes come from the peers by HTTP while Redis is away: {heard}"
    return "this server judges by what it knows itself"


def _awaited(view: SharedView) -> Iterator[Alert]:
    if view.pending:
        names = ", ".join(view.pending)
        text = f"orders given here are not confirmed by {names}: it takes them as soon as it can be reached"
        yield Alert("shared orders", text, kind="peer", event="")


def _alone(view: SharedView) -> Iterator[Alert]:
    by_node: dict[str, list[Lone]] = {}
    for one in view.alone:
        by_node.setdefault(one.node, []).append(one)
    for node, some in sorted(by_node.items()):
        more = view.alone_count - MOST_NAMED if len(some) == len(view.alone) else len(some) - MOST_NAMED
        text = "; ".join(map(str, some[:MOST_NAMED])) + (f"; and {more} more" if more > 0 else "")
        hosts = tuple(host for one in some for host in one.hosts)
        yield Alert(
            ("shared alone", node),
            text,
            kind="peer",
            resolved=f"{node} says what the others say again",
            hosts=hosts,
            data={"node": node, "addresses": len(some)},
        )


def _addresses(count: int) -> str:
    return "1 address" if count == 1 else f"{count:,} addresses"
