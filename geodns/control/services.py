"""Names the parts of the control process, in the order in which they are made."""

from typing import TYPE_CHECKING, NamedTuple

from geodns.config.server_keys import Listen
from geodns.control.alert_service import Alerts
from geodns.control.answer_policy_service import AnswerPolicyService
from geodns.control.cluster import Cluster
from geodns.control.experiment_service import ExperimentService
from geodns.control.geoip_service import GeoipService
from geodns.control.history_service import HistoryService
from geodns.control.host_load_service import HostLoadService
from geodns.control.metrics import Metrics
from geodns.control.order_service import OrderService
from geodns.control.peer_service import PeerService
from geodns.control.persistence import Persistence
from geodns.control.provider_service import ProviderService
from geodns.control.reputation_service import ReputationService
from geodns.control.route_allowance_service import RouteAllowanceService
from geodns.control.route_count_service import RouteCountService
from geodns.control.signal_service import SignalService
from geodns.control.upgrade_service import UpgradeService
from geodns.control.verdict_service import VerdictService
from geodns.control.view_service import ViewService
from geodns.control.wall_clock import WallClock
from geodns.control.warmup_service import WarmupService
from geodns.control.watchdog import Watchdog
from geodns.control.worker_service import WorkerService
from geodns.control.zone_service import ZoneService
from geodns.storage.event_log import EventLog

if TYPE_CHECKING:  # loaded where the setting `shared` is there alone
    from geodns.control.shared_service import SharedService


class Services(NamedTuple):
    """The parts of the control process, for requests' handlers and gauges; `started` is monotonic time."""

    node: str
    listen: tuple[Listen, ...]
    started: float
    events: EventLog
    metrics: Metrics
    persistence: Persistence
    clock: WallClock
    upgrades: UpgradeService
    cluster: Cluster
    workers: WorkerService
    policy: AnswerPolicyService
    verdicts: VerdictService
    loads: HostLoadService
    orders: OrderService
    history: HistoryService
    routes: RouteCountService
    signals: SignalService
    warmup: WarmupService
    reputation: ReputationService
    providers: ProviderService
    allowances: RouteAllowanceService
    geoip: GeoipService
    views: ViewService
    experiments: ExperimentService
    zones: ZoneService
    watchdog: Watchdog
    peers: PeerService
    shared: "SharedService | None"
    alerts: Alerts
