"""Simulated servers that share their verdicts, and the network between them, for tests of the merging."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from geodns.health.outcome import ProbeResult
from geodns.health.quorum import Quorum
from geodns.health.quorum_standing import MergedState, QuorumMode, QuorumNote, QuorumTarget
from geodns.health.state_machine import advance
from geodns.model.checks import Check
from geodns.model.shared import AddressVote, Heartbeat, Vote, ZoneContent
from geodns.model.state import NOTHING_KNOWN, Verdict

ZONE = "out.example.com"
CHECK = Check(name="smtp", interval=2.0, fast_interval=1.0, timeout=2.0, rise=2, fall=3)
UP, DOWN, UNKNOWN = Vote.UP, Vote.DOWN, Vote.UNKNOWN
OK, FAILURE = ProbeResult.OK, ProbeResult.FAILURE


def target(check: Check = CHECK, *zones: str) -> QuorumTarget:
    return QuorumTarget(frozenset(zones or {ZONE}), check)


def beat(
    node: str,
    epoch: int = 1,
    *,
    seq: int = 0,
    at: float = 0.0,
    zones: Iterable[str] = (ZONE,),
    digest: str = "",
) -> Heartbeat:
    return Heartbeat(
        node=node,
        epoch=epoch,
        seq=seq,
        version="1",
        at=at,
        zones={zone: ZoneContent(digest="", serial=1) for zone in zones},
        digests={"votes": digest} if digest else {},
    )


Message = Callable[["Server"], None]


def mode_of(quorum: Quorum, key: str) -> QuorumMode:
    """Return whose verdict of an address a server serves."""
    standing = quorum.standing(key)
    assert standing is not None
    return standing.mode


@dataclass
class Server:
    """A server: its monitor, its quorum, its clock and its connections.

    Attributes:
        skew: of its clock.
        history: when it served what from then on, and in which mode.
        found: when its probes found what.
        changes: when it lost a server, or went over to its own verdicts; or (False) heard one more.

    """

    node: str
    keys: tuple[str, ...]
    world: "World"
    skew: float = 0.0
    epoch: int = 0
    running: bool = True
    paused: bool = False
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    served: dict[str, MergedState] = field(default_factory=dict)
    published: dict[str, AddressVote] = field(default_factory=dict)
    inbox: deque[Message] = field(default_factory=deque)
    notes: list[QuorumNote] = field(default_factory=list)
    probed_at: dict[str, float] = field(default_factory=dict)
    beat_at: float = -10.0
    history: list[tuple[float, str, MergedState, QuorumMode]] = field(default_factory=list)
    probes: int = 0
    found: list[tuple[float, str, ProbeResult]] = field(default_factory=list)
    changes: list[tuple[float, bool]] = field(default_factory=list)
    quorum: Quorum = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @property
    def now(self) -> float:
        return self.world.now + self.skew

    def start(self) -> None:
        """Start anew with what the state folder has."""
        self.epoch += 1
        self.running = True
        self.paused = False
        self.inbox.clear()
        self.published = {}
        self.beat_at = -10.0
        self.probed_at = {key: self.world.now - 1.5 for key in self.keys if self.served.get(key)}
        self.quorum = Quorum(self.node, self.epoch, self.now)
        self.quorum.set_known(list(self.world.names))
        self.quorum.set_targets(dict.fromkeys(self.keys, target()), self.now, self.served)
        self.quorum.connected(True, self.now)
        for one in self.world.servers.values():
            if one is not self and one.running and self.world.linked(one, self):
                one.tell_all(self)

    def probe(self, key: str) -> None:
        self.probed_at[key] = self.world.now
        self.probes += 1
        found = self.world.finds(self, key)
        self.found.append((self.world.now, key, found))
        own = self.verdicts[key] = advance(self.verdicts.get(key, NOTHING_KNOWN), found, CHECK)
        self.quorum.probed(key, found, own, self.now)

    def last_change(self, at: float) -> tuple[float, float]:
        """Return when it lost a server last before a step, and when it heard one more by then."""
        lost = max((when for when, lost in self.changes if lost and when < at), default=-1.0)
        return lost, max((when for when, lost in self.changes if not lost and when <= at), default=-1.0)

    def heartbeat(self) -> Heartbeat:
        return beat(
            self.node, self.epoch, seq=self.quorum.seq, at=self.now * 1.01 + 7, digest=self.quorum.digest
        )

    def tell_all(self, other: "Server") -> None:
        """Have another server read all that this one has published."""
        node, epoch, votes, seq = self.node, self.epoch, dict(self.published), self.quorum.seq
        now_beat = self.heartbeat()

        def read(at: Server) -> None:
            at.quorum.heard(now_beat, at.now)
            at.quorum.voted(node, epoch, votes, at.now, whole=seq)

        other.inbox.append(read)

    def step(self) -> None:
        """Do what is due: take messages, probe, tick, publish."""
        if not self.running or self.paused:
            return
        while self.inbox:
            self.inbox.popleft()(self)
        for key in self.keys:
            verdict = self.verdicts.get(key, NOTHING_KNOWN)
            period = CHECK.fast_interval if verdict.pending else CHECK.interval
            if self.world.now - self.probed_at.get(key, -100.0) >= period:
                self.probe(key)
        self.quorum.tick(self.now)
        self.flush()
        if self.world.now - self.beat_at >= 1.0:
            self.beat_at = self.world.now
            said = self.heartbeat()
            self.world.send(self, lambda at: at.quorum.heard(said, at.now))

    def flush(self) -> None:
        news = self.quorum.take(self.now)
        for key, merged in news.merged.items():
            self.history.append((self.world.now, key, merged, mode_of(self.quorum, key)))
            self.served[key] = merged
        self.notes += news.notes
        for note in news.notes:
            lost = note.kind == "lost" or (note.kind == "mode" and note.mode == "own")
            if lost or note.kind in {"heard", "mode"}:
                self.changes.append((self.world.now, lost))
        for note in news.notes:
            peer = self.world.servers.get(note.node)
            if note.kind == "reread" and peer is not None and peer.running and self.world.linked(peer, self):
                peer.tell_all(self)
        if news.publish:
            self.published |= news.publish
            node, epoch, votes = self.node, self.epoch, dict(news.publish)
            self.world.send(self, lambda at: at.quorum.voted(node, epoch, votes, at.now))
        for key in news.rechecks:
            self.probe(key)


class World:
    """Servers, links between them, and hosts; time goes on by `step`."""

    def __init__(
        self, names: Iterable[str], keys: Iterable[str] = ("a",), skews: Iterable[float] = ()
    ) -> None:
        self.names = tuple(names)
        self.now = 1000.0
        self.down: set[str] = set()
        self.sheds: set[str] = set()
        self.wrong: dict[str, set[str]] = {}
        """Addresses of which a server's probes find the opposite of the truth."""
        self.cut: set[frozenset[str]] = set()
        self.isolated: set[str] = set()
        self.lose = 0
        self.repeat = False
        self.servers: dict[str, Server] = {}
        for name, skew in zip(self.names, [*skews, *([0.0] * 9)], strict=False):
            self.servers[name] = Server(name, tuple(keys), self, skew)

    def linked(self, one: Server, other: Server) -> bool:
        names = {one.node, other.node}
        return not names & self.isolated and frozenset(names) not in self.cut

    def finds(self, server: Server, key: str) -> ProbeResult:
        bad = (key in self.down) != (key in self.wrong.get(server.node, ()))
        return FAILURE if bad else ProbeResult.SHEDDING if key in self.sheds else OK

    def send(self, sender: Server, message: Message) -> None:
        for other in self.servers.values():
            if other is sender or not other.running or not self.linked(sender, other):
                continue
            if self.lose:
                self.lose -= 1
                continue
            other.inbox.extend([message, message] if self.repeat else [message])

    def isolate(self, name: str) -> None:
        self.isolated.add(name)
        self.servers[name].quorum.connected(False, self.servers[name].now)

    def join(self, name: str) -> None:
        server = self.servers[name]
        self.isolated.discard(name)
        server.quorum.connected(True, server.now)
        self.exchange(server)

    def heal(self) -> None:
        self.cut.clear()
        for server in self.servers.values():
            self.exchange(server)

    def repair(self) -> None:
        """Let all servers run and hear each other."""
        self.lose, self.repeat = 0, False
        for name, server in self.servers.items():
            server.paused = False
            if not server.running:
                server.start()
            if name in self.isolated:
                self.join(name)
        self.heal()

    def exchange(self, server: Server) -> None:
        """Have a server and all that it reaches read each other."""
        for other in self.servers.values():
            if other is not server and other.running and server.running and self.linked(server, other):
                other.tell_all(server)
                server.tell_all(other)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.now += 0.25
            for server in list(self.servers.values()):
                server.step()

    def merged(self, key: str = "a") -> dict[str, MergedState]:
        return {name: server.quorum.merged(key) for name, server in self.servers.items() if server.running}

    def votes(self, key: str = "a") -> set[Vote]:
        return {merged.vote for merged in self.merged(key).values()}
