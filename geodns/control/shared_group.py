"""Puts together what a server shares with its group; imported only where the setting `shared` is there."""

from typing import cast

from geodns.config.settings import Settings
from geodns.control.cluster import Cluster
from geodns.control.order_service import OrderService
from geodns.control.peer_service import PeerService
from geodns.control.persistence import Persistence
from geodns.control.reputation_service import ReputationService
from geodns.control.shared_order_service import OrderLink, SharedOrders
from geodns.control.shared_program_service import SharedPrograms
from geodns.control.shared_service import SharedService
from geodns.control.shared_signal_service import SharedSignals, SumLink
from geodns.control.signal_service import SignalService
from geodns.control.verdict_service import VerdictService
from geodns.control.warmup_service import WarmupService
from geodns.errors import StartError
from geodns.model.shared import SharedSettings
from geodns.storage.event_log import EventLog
from geodns.storage.shared_link import MissingLibraryError
from geodns.storage.shared_redis import SharedLink


def join_group(
    settings: Settings,
    shared: SharedSettings,
    cluster: Cluster,
    verdicts: VerdictService,
    orders: OrderService,
    peers: PeerService,
    signals: SignalService,
    persistence: Persistence,
    events: EventLog,
    *,
    judges: tuple[WarmupService, ReputationService],
) -> SharedService:
    """Return the service of a group, which orders and counts of mail go over as well.

    Raises:
        StartError: the library that speaks to Redis is not installed.

    """
    try:
        service = SharedService(settings, shared, cluster, verdicts, persistence, events, SharedLink)
    except MissingLibraryError as error:
        raise StartError(str(error)) from error

    def known() -> set[str]:
        named, _ = peers.roll()
        return {*(named or ()), *service.told} - {settings.node}

    link = cast(OrderLink, service.link)
    service.share_orders_by(SharedOrders(orders, link, lambda: service.nodes, known, service.beat))
    sums = SharedSignals(signals, cast(SumLink, service.link), settings.node, service.publish_sums)
    service.share_sums_by(sums)
    service.run_too(sums.run)
    programs = SharedPrograms(
        settings.node, lambda: service.nodes, lambda: service.connected, service.publish_sums
    )
    service.share_sums_by(programs)
    service.show_sums(sums.counts, lambda: programs.leader)
    for one in judges:
        one.lead_by(programs)
    service.know_by(peers.roll)
    service.ask_by(peers.askable)

    def tells_time(tells: bool) -> None:
        peers.keeps_time = not tells

    service.on_time(tells_time)
    return service
