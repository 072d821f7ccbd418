"""Describes the servers that this one shares verdicts and orders with, as values."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from geodns.errors import GeodnsError
from geodns.model.state import HostKey


class NoVotesError(GeodnsError):
    """This server cannot tell its votes now; the text says why."""


class Lone(NamedTuple):
    """An address of which one server alone says otherwise than the others.

    Attributes:
        node: that server.
        says: ``up`` or ``down``.
        address: with the port, as ``[192.0.2.11]:25``.
        check: the name of the check here.
        hosts: that have it, with their zones.
        why: what its probe found; empty where it did not say.

    """

    node: str
    says: str
    address: str
    check: str
    hosts: tuple[HostKey, ...]
    why: str

    def __str__(self) -> str:
        hosts = " and ".join(f"{host}.{zone}" for zone, host in self.hosts) or "no host"
        return f"{self.node} alone says {self.says} of {hosts} ({self.check} {self.address})" + (
            f": {self.why}" if self.why else ""
        )


class CountsOfServer(NamedTuple):
    """What is in the totals of a server.

    Attributes:
        told: when it told sums last, in seconds since the epoch; None: not since this server started.
        today: first attempts of today (UTC) that it has counted.

    """

    told: float | None
    today: int


class SharedView(NamedTuple):
    """How things stand among the servers of a group.

    Attributes:
        since: when `connected` changed last, in seconds since the epoch.
        why: what is the matter with the connection; empty: nothing.
        store: what answers, as ``Redis 7.0.15``.
        heard: the nodes that are heard, this one among them.
        known: how many there should be.
        mode: ``quorum``, ``own`` or ``frozen``; of zones that differ in that, the worst.
        alone: where one server alone says otherwise for a while, the first of them.
        alone_count: how many such addresses there are.
        tied: addresses whose votes have been even for a while.
        votes: how many addresses each server has told of, by node.
        lags: milliseconds from the others' last votes to here, by node.
        bad: values that were skipped, by reason.
        signals: whose counts of mail are in the totals, by node.
        programs: the server whose programs give orders.
        pending: servers that have not confirmed the last orders given here.
        http: the servers that are asked for their votes by HTTP, as Redis does not bring them, each with why
            it is not heard; empty: it is.

    """

    connected: bool
    since: float
    why: str
    group: str
    agree: str
    store: str
    heard: tuple[str, ...]
    known: int
    mode: str
    alone: tuple[Lone, ...]
    alone_count: int
    tied: int
    votes: Mapping[str, int]
    lags: Mapping[str, float]
    bad: Mapping[str, int]
    signals: Mapping[str, CountsOfServer]
    programs: str
    pending: tuple[str, ...] = ()
    http: Mapping[str, str] = MappingProxyType({})
