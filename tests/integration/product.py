"""What of the product the tests of its processes name in text: the program, and delays that they shorten."""

PACKAGE = "geodns"
PROGRAM = "geodns.cli.main"
"""Where `main` is, which runs a command."""
LOADED = (
    "geodns.cli.serve",
    "geodns.daemon",
    "geodns.serve.supervisor",
    "geodns.serve.tcp",
    "geodns.serve.routes",
    "geodns.cli.status",
    "geodns.cli.orders",
)
"""What servers and commands load when they are called; the template has it loaded."""

BELIEVED_MISSING = "zones.watch.BELIEVED_MISSING"
SILENT = "control.watchdog.SILENT"
HEARTBEAT = "serve.worker.HEARTBEAT"
RISE_EVERY = "daemon.RISE_EVERY"
REVIEW_EVERY = "control.reputation_service.REVIEW_EVERY"
EXPERIMENT_LOOK = "control.experiment_service.LOOK_EVERY"
EXPERIMENT_SHARE = "control.experiment_service.SHARE"
SAVE_EVERY = "daemon.SAVE_EVERY"
PATIENCE = "cli.parent_check.PATIENCE"
FIRST_ROUND = "daemon.FIRST_ROUND"
GRACE = "serve.supervisor.GRACE"
WORKER_BACKOFF = "serve.processes.WORKER_BACKOFF"
CONTROL_BACKOFF = "serve.processes.CONTROL_BACKOFF"
MAX_BACKLOG = "serve.process.MAX_BACKLOG"
STALLED = "serve.process.STALLED"
PEERS_EVERY = "control.peer_service.EVERY"
PEERS_SILENT = "control.known_peers.SILENT"
PEERS_FILES = "control.peers.FILES_FOLLOW"
PEERS_PROBES = "control.peers.PROBES_FOLLOW"
SHARED_LASTING = "health.quorum_lasting.LASTING"
SHARED_LOOK = "health.quorum_merging.LASTING"
SHARED_FROZEN = "health.quorum.FROZEN_FOR"
SHARED_SILENT = "health.quorum_peers.SILENT"
SHARED_ASK = "control.shared_votes_service.EVERY"
SHARED_READ = "storage.shared_reading.READ_EVERY"
FOLLOW_QUIET = "cli.follow.log_file.QUIET"
FOLLOW_PAUSE = "cli.follow.run.PAUSE"
FOLLOW_LAST = "cli.follow.run.LAST"
FOLLOW_AGAIN = "cli.follow.poster.AGAIN"
FOLLOW_MISSED = "cli.follow.poster.MISSED"
FOLLOW_HEARTBEAT = "cli.follow.poster.HEARTBEAT"

REAL: dict[str, object] = {
    BELIEVED_MISSING: 5.0,
    SILENT: 15.0,
    HEARTBEAT: 5.0,
    RISE_EVERY: 5.0,
    REVIEW_EVERY: 10.0,
    EXPERIMENT_LOOK: 5.0,
    EXPERIMENT_SHARE: 50,
    SAVE_EVERY: 10.0,
    PATIENCE: 3.0,
    FIRST_ROUND: 5.0,
    GRACE: 5.0,
    WORKER_BACKOFF: (0.05, 0.5),
    CONTROL_BACKOFF: (0.2, 5.0),
    MAX_BACKLOG: 256 << 20,
    STALLED: 5.0,
    PEERS_EVERY: 4.5,
    PEERS_SILENT: 15.0,
    PEERS_FILES: 15.0,
    PEERS_PROBES: 30.0,
    SHARED_LASTING: 30.0,
    SHARED_LOOK: 30.0,
    SHARED_FROZEN: 10.0,
    SHARED_SILENT: 5.0,
    SHARED_ASK: 2.0,
    SHARED_READ: 30.0,
    FOLLOW_QUIET: 5.0,
    FOLLOW_PAUSE: 1.0,
    FOLLOW_LAST: 10.0,
    FOLLOW_AGAIN: (1.0, 30.0),
    FOLLOW_MISSED: 5.0,
    FOLLOW_HEARTBEAT: 60.0,
}
"""What they are where no test says otherwise."""
