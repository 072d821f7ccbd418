"""Caches for names whose answer depends on the client, by question and what the client's view deals from."""

from collections import defaultdict
from typing import NamedTuple

from geodns.responder.lookup import ClientDeal, deal_of
from geodns.responder.ready_answers import Cursor, KnownPacket
from geodns.responder.table import ClientViews, RotationKey, Table, ViewKey
from geodns.responder.views import ClientNetwork, Partition, client_network

REMEMBERED = 16_384
"""Deals of clients that are kept, and packets: forged addresses must not fill memory."""

MAX_COUNTED = 16_384
"""Clients of experiments that are counted between two reports, at most."""


class ReadyViews:
    """A Table's `ClientViews` made ready for the caches.

    Attributes:
        rotations: what the views deal from, each once; None: NODATA. Their positions are `targets`.

    """

    __slots__ = ("key", "partition", "rotations", "targets", "views")

    def __init__(self, key: ViewKey, views: ClientViews, partition: Partition | None) -> None:
        self.key = key
        self.views = views
        self.partition = partition
        self.rotations = tuple(dict.fromkeys([one for view in views.views for one in view.keys]))
        self.targets = {one: number for number, one in enumerate(self.rotations)}

    def is_of(self, table: Table) -> bool:
        """Say whether a Table has the same views and the same partition."""
        views = table.views.get(self.key)
        return views is self.views and table.partitions.get(views.partition) is self.partition


class ViewedQuestion(NamedTuple):
    """A question that was answered before; its cursors by target."""

    views: ReadyViews
    cursors: dict[int, Cursor]


class ViewedPacket(NamedTuple):
    """A packet that came before; what it was answered from, by target."""

    views: ReadyViews
    known: dict[int, KnownPacket]


class ViewCache:
    """A worker's memory of names whose answer depends on the client.

    Attributes:
        deals: of clients: by their address, or by the data of their option where that decides.
        questions: by a question in lower case.
        packets: by a packet without its ID in lower case.
        cursors: how many there are in all questions.

    """

    def __init__(self) -> None:
        self.deals: dict[tuple[str | bytes, ReadyViews], ClientDeal] = {}
        self.questions: dict[bytes, ViewedQuestion] = {}
        self.packets: dict[bytes, ViewedPacket] = {}
        self.cursors = 0
        self._kept_packets = 0
        self._ready: dict[ViewKey, ReadyViews] = {}
        self._counted: dict[ClientDeal, int] = {}

    def deal(self, views: ReadyViews, source: str, subnet: bytes) -> ClientDeal:
        """Return what a client is dealt.

        Args:
            views: of the name.
            source: the client's address.
            subnet: the data of its client-subnet option, if that names a network; else empty.

        """
        if not subnet:
            deal = self.deals.get((source, views))
            return self._find((source, views), client_network(b"", source)) if deal is None else deal
        deal = self.deals.get((subnet, views))
        if deal is not None and not deal.local:  # else it counts for few sources
            return deal
        client = client_network(subnet, source)
        who = (subnet if client.scoped else source, views)
        return self.deals.get(who) or self._find(who, client)

    def _find(self, who: tuple[str | bytes, ReadyViews], client: ClientNetwork) -> ClientDeal:
        if len(self.deals) >= REMEMBERED:
            self.deals = {}
        views = who[1]
        deal = self.deals[who] = deal_of(views.key, views.views, views.partition, client)
        deal.target = views.targets[deal.key]
        return deal

    def count(self, deal: ClientDeal) -> None:
        """Count a query of an experiment."""
        counted = self._counted
        if deal in counted:  # by identity: that hash is the cheapest
            counted[deal] += 1
        elif len(counted) < MAX_COUNTED:
            counted[deal] = 1

    def take_networks(self) -> dict[tuple[str, str, int], int]:
        """Return the queries of experiments since the last call."""
        networks: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        for deal, number in self._counted.items():
            if deal.counted is not None:
                networks[deal.counted] += number
        self._counted = {}
        return dict(networks)

    def cursor(self, asked: bytes, key: RotationKey | None) -> Cursor | None:
        """Return a question's cursor in a rotation."""
        viewed = self.questions.get(asked)
        return None if viewed is None else viewed.cursors.get(viewed.views.targets.get(key, -1))

    def remember(self, asked: bytes, deal: ClientDeal, table: Table, cursor: Cursor) -> None:
        """Let this cursor answer a question for all clients that get the same rotation."""
        viewed = self.questions.get(asked)
        if viewed is None:
            views = self._ready.get(deal.views)
            if views is None:
                found = table.views[deal.views]
                views = ReadyViews(deal.views, found, table.partitions.get(found.partition))
                self._ready[deal.views] = views
            viewed = self.questions[asked] = ViewedQuestion(views, {})
        viewed.cursors[viewed.views.targets[deal.key]] = cursor
        self.cursors += 1

    def remember_packet(self, packet: bytes, views: ReadyViews, target: int, known: KnownPacket) -> None:
        """Let the packet cache answer for all clients that get the same rotation."""
        if self._kept_packets >= REMEMBERED:
            self.forget_packets()
        self._kept_packets += 1
        viewed = self.packets.get(packet)
        if viewed is None:
            viewed = self.packets[packet] = ViewedPacket(views, {})
        viewed.known[target] = known

    def forget_packets(self) -> None:
        self.packets = {}
        self._kept_packets = 0

    def forget(self, asked: bytes, key: RotationKey | None) -> Cursor | None:
        """Forget, and return, a question's cursor in a rotation."""
        viewed = self.questions.get(asked)
        if viewed is None:
            return None
        cursor = viewed.cursors.pop(viewed.views.targets.get(key, -1), None)
        self.cursors -= cursor is not None
        if not viewed.cursors:
            del self.questions[asked]
        return cursor

    def adopt(self, table: Table, *, other_zones: bool) -> list[tuple[bytes, RotationKey, Cursor]]:
        """Forget what a new Table changes; return the cursors that are gone, with question and rotation."""
        self.forget_packets()
        gone = {key for key, views in self._ready.items() if other_zones or not views.is_of(table)}
        if not gone:
            return []
        self.deals = {}
        forgotten: list[tuple[bytes, RotationKey, Cursor]] = []
        for key in gone:
            del self._ready[key]
        for asked, viewed in list(self.questions.items()):
            if viewed.views.key in gone:
                del self.questions[asked]
                self.cursors -= len(viewed.cursors)
                for target, cursor in viewed.cursors.items():
                    rotation = viewed.views.rotations[target]
                    if rotation is not None:
                        forgotten.append((asked, rotation, cursor))
        return forgotten

    def start_anew(self) -> None:
        """Forget all but counts."""
        self.forget_packets()
        self.deals, self.questions, self._ready, self.cursors = {}, {}, {}, 0
