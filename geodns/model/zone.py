"""A zone, its pools, and the records that are fixed or dealt."""

import hashlib
from functools import cached_property
from typing import Literal

from pydantic import Field

from geodns.model.base import Address, Frozen, Seconds, Ttl
from geodns.model.checks import Check, CheckPolicy, Target
from geodns.model.experiments import Experiment
from geodns.model.hosts import Host, HostSource, Origin
from geodns.model.limits import MAX_WEIGHT
from geodns.model.reputation import Reputation
from geodns.model.routes import MailClass, RouteRule
from geodns.model.views import PoolRule
from geodns.model.warmup import MAX_VOLUME

MAX_ANSWERS = 32


def target_of(zone: "Zone", host: Host, address: Address, check: Check) -> Target:
    """Return what a check probes for one address of a host.

    Hosts that share an address share a probe too, unless a certificate must fit the host's name.
    """
    certified = check.encrypts and check.sni is None and check.host is None
    name = zone.host_name(host.name).removesuffix(".") if certified else None
    if host.probe is None:
        return Target(check=check, address=address, port=check.port, host=name)
    port = host.probe.port or check.port
    return Target(check=check, address=host.probe.address, port=port, host=name)


class MinLive(Frozen):
    """A part of a pool: a number of hosts, or percent of its weight."""

    amount: int = Field(ge=0)
    percent: bool = False


class Member(Frozen):
    """A host in a pool, with its weight there."""

    host: str
    weight: int = Field(ge=0, le=MAX_WEIGHT)


class Pool(Frozen):
    """Hosts that are dealt together.

    Attributes:
        members: in the order of the file.
        checks: by name; none: its hosts are always up.
        need: how many of the checks an address must pass.
        hold: seconds.

    """

    name: str
    members: tuple[Member, ...] = Field(
        description="Names, ranges or globs of hosts; as a mapping each with its weight in this pool."
    )
    checks: tuple[str, ...] = Field(
        default=("smtp",),
        description="What judges its hosts: a check, [a, b] when all must pass, {any_of: [a, b]}, or "
        "{need: 2, of: [a, b, c]}; `none`: they are always up, and shown as unchecked.",
    )
    need: int = Field(default=1, ge=1)
    answers: int = Field(default=2, ge=1, le=MAX_ANSWERS, description="How many hosts an answer names.")
    min_live: MinLive = Field(
        default=MinLive(amount=50, percent=True),
        description="What must be live for the fallback to stay out: a count or a share of weight.",
    )
    fallback: str | None = Field(default=None, description="The pool that helps out.")
    fallback_mode: Literal["add", "replace"] = Field(
        default="add", description="add the fallback's hosts to the survivors, or replace these."
    )
    when_down: Literal["serve-all", "servfail"] = Field(
        default="serve-all", description="With nobody live: deal everybody, or answer SERVFAIL."
    )
    hold: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="How long verdicts are held when most of four or more hosts fall silent at once: the "
        "prober may be cut off.",
    )
    max_out: MinLive = Field(
        default=MinLive(amount=50, percent=True),
        description="How many hosts may be out by quarantines that programs give, those down counted in: a "
        "count or a share.",
    )
    # Left out of a stored zone where they say nothing: digests, and so serials, stay as they were.
    volume: int | None = Field(
        default=None,
        ge=1,
        le=MAX_VOLUME,
        exclude_if=lambda volume: volume is None,
        description="Messages that it sends a day: what the caps of hosts that warm up are parts of.",
    )
    overflow: str | None = Field(
        default=None,
        exclude_if=lambda overflow: overflow is None,
        description="The pool that takes what hosts that warm up may not, where none of its own is warm.",
    )
    mail: Literal["out", "in"] = Field(
        default="out",
        exclude_if=lambda mail: mail == "out",
        description="in: it receives, so that warm-up and reputation, which are of sending, leave it alone.",
    )
    pick: Literal["rotation", "client"] = Field(
        default="rotation",
        exclude_if=lambda pick: pick == "rotation",
        description="client: a network keeps its host while that lives; `answers` is 1 unless given.",
    )


class Soa(Frozen):
    """The zone's SOA (RFC 1035 section 3.3.13); times in seconds.

    Without `serial` it is automatic; without `ttl` the record has the zone's `record_ttl`.
    """

    mname: str = Field(description="The primary server.")
    rname: str = Field(description="Who is responsible: a mailbox, with an @ or as a name.")
    serial: int | None = Field(default=None, ge=0, le=2**32 - 1, description="The serial number.")
    refresh: Seconds = Field(default=3600, description="Seconds between a secondary's checks.")
    retry: Seconds = Field(default=600, description="Seconds until a secondary tries again.")
    expire: Seconds = Field(default=604800, description="Seconds after which a secondary gives up.")
    minimum: Seconds = Field(default=30, description="How long resolvers may keep 'no such name' (RFC 2308).")
    ttl: Ttl | None = Field(default=None, description="The TTL of the SOA record itself.")


class NameServer(Frozen):
    """A name server of the zone; its addresses only if it lies inside."""

    name: str
    addresses: tuple[Address, ...] = ()


class Record(Frozen):
    r"""A fixed RRset.

    Attributes:
        type: the mnemonic in capitals, or TYPE and a number where it has none.
        values: one a record, each as the fields of a zone file, names in them absolute. Strings stand
            unquoted, encoded as latin-1 (one character a byte); those of TXT and SPF are not over 255 bytes.
            Types that have no fields here have ``\#``, the data's length and its bytes in hexadecimal
            (RFC 3597 section 5).

    """

    owner: str
    type: str
    ttl: Ttl
    values: tuple[tuple[str, ...], ...]


class Tier(Frozen):
    """A pool in a rule; the preference counts for MX, and for SRV as its priority; the port for SRV.

    Attributes:
        pool: of clients and times that no rule is for.
        rules: the first that a client meets says its pool.

    """

    pool: str
    preference: int = Field(default=0, ge=0, le=65535)
    port: int = Field(default=0, ge=0, le=65535)
    rules: tuple[PoolRule, ...] = Field(default=(), exclude_if=lambda rules: not rules)

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools that it may come to, each once."""
        return tuple(dict.fromkeys((*(rule.use for rule in self.rules), self.pool)))


class Rule(Frozen):
    """An RRset that is dealt: which pools answer for an owner name and type.

    Attributes:
        ttl: seconds when all is well; failures lower it.
        tiers: one pool for A and AAAA; for MX and SRV any number, each at its preference.

    """

    owner: str
    type: Literal["A", "AAAA", "MX", "SRV"]
    ttl: Ttl
    tiers: tuple[Tier, ...]


def _in_place_of(pool: str, experiment: Experiment) -> tuple[str, ...]:
    return tuple(arm.pool for arm in experiment.arms) if pool == experiment.pool else (pool,)


class Zone(Frozen):
    """A whole zone file; times in seconds.

    Attributes:
        checks: those that a pool uses or the file declares, built-in ones included.
        hosts: in the order of the file, then those that sources found.
        origins: which hosts are of a source.
        pools: in the order of the file.
        records: everything fixed that the file states or implies, but SOA: name servers and their
            addresses, the hosts' own addresses, `records`.
        rules: everything dealt.

    """

    name: str
    ttl: Ttl = Field(default=30, description="TTL of answers that are dealt.")
    record_ttl: Ttl = Field(default=3600, description="TTL of everything else.")
    min_ttl: Ttl = Field(default=5, description="What `ttl` may fall to while hosts fail.")
    retire: float = Field(
        default=3600.0,
        ge=0,
        le=30 * 86400,
        description="How long a host taken out of the file answers for its name.",
    )
    soa: Soa = Field(description="What the SOA says, where that is not the default.")
    ns: tuple[NameServer, ...] = Field(
        description="Name servers: those in the zone with their addresses, those outside with []."
    )
    checks: tuple[Check, ...] = Field(
        default=(), description="How hosts are judged; one of each type but agent is built in."
    )
    hosts: tuple[Host, ...] = Field(
        default=(), description="The mail hosts by their labels; ranges as mx[01-04]."
    )
    sources: tuple[HostSource, ...] = Field(
        default=(),
        description="Where further hosts come from, which join and leave while the server runs.",
    )
    origins: tuple[Origin, ...] = ()
    pools: tuple[Pool, ...] = Field(default=(), description="Hosts that are dealt together.")
    records: tuple[Record, ...] = Field(
        default=(), description="Owner names and what they answer; @ is the zone itself."
    )
    rules: tuple[Rule, ...] = ()
    reputation: Reputation | None = Field(
        default=None,
        exclude_if=lambda reputation: reputation is None,  # as `warmup` of hosts
        description="How hosts are judged by what becomes of their mail.",
    )
    experiments: tuple[Experiment, ...] = Field(
        default=(),
        exclude_if=lambda experiments: not experiments,
        description="Policies that are compared: arms in place of one pool at one name.",
    )
    local: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda local: not local,
        description="Our own domains, or globs of them: mail to these is never routed.",
    )
    routes: tuple[RouteRule, ...] = Field(
        default=(),
        exclude_if=lambda routes: not routes,
        description="Which name which message leaves by; the first rule that fits wins.",
    )
    classes: tuple[MailClass, ...] = Field(
        default=(),
        exclude_if=lambda classes: not classes,
        description="Classes of mail, and the headers that an MTA knows them by.",
    )

    @property
    def origin(self) -> str:
        """The zone's name, absolute."""
        return f"{self.name}."

    @cached_property
    def host_by_name(self) -> dict[str, Host]:
        return {host.name: host for host in self.hosts}

    @cached_property
    def source_of(self) -> dict[str, str]:
        """The source of each host that one found."""
        return {one.host: one.source for one in self.origins}

    @cached_property
    def pool_by_name(self) -> dict[str, Pool]:
        return {pool.name: pool for pool in self.pools}

    @cached_property
    def weights_by_host(self) -> dict[str, dict[str, int]]:
        """The weight of each host in each pool that has it."""
        found: dict[str, dict[str, int]] = {}
        for pool in self.pools:
            for member in pool.members:
                found.setdefault(member.host, {})[pool.name] = member.weight
        return found

    @cached_property
    def check_by_name(self) -> dict[str, Check]:
        return {check.name: check for check in self.checks}

    @cached_property
    def digest(self) -> str:
        """Changes when anything in the zone does."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=16).hexdigest()

    @property
    def soa_ttl(self) -> int:
        return self.record_ttl if self.soa.ttl is None else self.soa.ttl

    def host_name(self, host: str) -> str:
        return f"{host}.{self.origin}"

    def check_policy_of(self, pool: Pool) -> CheckPolicy | None:
        """Return the checks of a pool's hosts; None: it has none."""
        return self._check_policies.get((pool.checks, pool.need))

    @cached_property
    def _check_policies(self) -> dict[tuple[tuple[str, ...], int], CheckPolicy]:
        return {
            (pool.checks, pool.need): CheckPolicy(
                tuple(self.check_by_name[name] for name in pool.checks), pool.need
            )
            for pool in self.pools
            if pool.checks
        }

    def chain(self, pool: str) -> tuple[Pool, ...]:
        """Return a pool and its fallbacks, nearest first; each once, even in a loop."""
        found: dict[str, Pool] = {}
        name: str | None = pool
        while name is not None and name not in found:
            found[name] = self.pool_by_name[name]
            name = found[name].fallback
        return tuple(found.values())

    def reach(self, pool: str) -> tuple[Pool, ...]:
        """Return the pools whose hosts a pool may deal: its chain, then the chains of their overflows."""
        chain = self.chain(pool)
        over = (one for link in chain if link.overflow for one in self.chain(link.overflow))
        return tuple({one.name: one for one in (*chain, *over)}.values())

    @cached_property
    def experiment_at(self) -> dict[str, Experiment]:
        """The experiment at each owner name that has one."""
        return {one.owner: one for one in self.experiments}

    @cached_property
    def experiment_by_name(self) -> dict[str, Experiment]:
        return {one.name: one for one in self.experiments}

    def pools_of(self, rule: Rule) -> tuple[str, ...]:
        """Return every pool that a dealt RRset may come to, by rules and experiments."""
        named = [pool for tier in rule.tiers for pool in tier.pools]
        held = self.experiment_at.get(rule.owner)
        if held is not None and held.pool in named:
            named = [one for pool in named for one in _in_place_of(pool, held)]
        return tuple(dict.fromkeys(named))

    def rules_of(self, experiment: Experiment) -> tuple[Rule, ...]:
        """Return the dealt RRsets at which an experiment is held."""
        return tuple(
            rule
            for rule in self.rules
            if rule.owner == experiment.owner and any(experiment.pool in tier.pools for tier in rule.tiers)
        )

    @cached_property
    def pool_rules(self) -> tuple[PoolRule, ...]:
        """The rules by client and time of all names."""
        return tuple(one for rule in self.rules for tier in rule.tiers for one in tier.rules)

    @cached_property
    def dealt_at(self) -> tuple[tuple[str, str], ...]:
        """Each owner name with each of its pools, before any experiment."""
        named = ((rule.owner, pool) for rule in self.rules for tier in rule.tiers for pool in tier.pools)
        return tuple(dict.fromkeys(named))

    @cached_property
    def hosts_reached(self) -> dict[str, frozenset[str]]:
        """The hosts that each pool may deal, those of its fallbacks and overflows too."""
        return {
            pool.name: frozenset(member.host for link in self.reach(pool.name) for member in link.members)
            for pool in self.pools
        }

    @cached_property
    def warms(self) -> bool:
        """Whether any of its hosts warms up."""
        return any(host.warmup for host in self.hosts)

    @cached_property
    def sending_pools_of(self) -> dict[str, tuple[Pool, ...]]:
        """The pools that deal each host that warms up and whose mail it sends, be it as a fallback."""
        found: dict[str, tuple[Pool, ...]] = {host.name: () for host in self.hosts if host.warmup}
        for pool in self.pools if found else ():
            # Those of weight 0 too: an order may give them another.
            members = {one.host for link in self.chain(pool.name) for one in link.members}
            for name in members & found.keys() if pool.mail == "out" else ():
                found[name] = (*found[name], pool)
        return found

    def volume_of(self, host: str) -> int:
        """Return the messages that a warming host's pools send a day; 0 where one does not say."""
        pools = self.sending_pools_of[host]
        return sum(pool.volume for pool in pools if pool.volume) if all(one.volume for one in pools) else 0

    def dealt_ttl_of(self, host: str) -> int:
        """Return the longest TTL with which a warming host is dealt in the pools that send."""
        pools = {pool.name for pool in self.sending_pools_of[host]}
        ttls = (rule.ttl for rule in self.rules if not pools.isdisjoint(self.pools_of(rule)))
        return max(ttls, default=self.ttl)

    @cached_property
    def check_policies_by_host(self) -> dict[str, tuple[CheckPolicy | None, ...]]:
        """For each host, the checks of the pools that have it; None for a pool without."""
        policies: dict[str, dict[tuple[tuple[str, ...], int], CheckPolicy | None]] = {
            host.name: {} for host in self.hosts
        }
        for pool in self.pools:
            policy = self.check_policy_of(pool)
            for member in pool.members:
                policies[member.host][pool.checks, pool.need if policy else 0] = policy
        return {host: tuple(found.values()) for host, found in policies.items()}

    @cached_property
    def unchecked(self) -> frozenset[str]:
        """The hosts that no check judges: they count as up, and nobody knows."""
        return frozenset(
            host for host, addresses in self.targets_by_host.items() if not any(addresses.values())
        )

    @cached_property
    def targets_by_host(self) -> dict[str, dict[Address, frozenset[Target]]]:
        """The targets for each address of each host, over all pools that have it."""
        return {
            host.name: {
                address: frozenset(
                    target_of(self, host, address, check)
                    for policy in self.check_policies_by_host[host.name]
                    if policy is not None
                    for check in policy.checks
                )
                for address in host.addresses
            }
            for host in self.hosts
        }
