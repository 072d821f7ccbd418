"""Hosts: their addresses, weights and load, and the sources that hosts come from."""

from functools import cached_property
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from pydantic import Field

from geodns.model.base import FAMILIES, Address, Family, Frozen, family_of
from geodns.model.limits import MAX_WEIGHT
from geodns.model.warmup import Warmup


class Matcher(Frozen):
    """A condition on a label, as in PromQL: one that is missing is empty, ``=~`` fits the whole value."""

    label: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str


class Metric(Frozen):
    """The samples in Prometheus' text format whose sum is the load; all matchers must fit."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    def __str__(self) -> str:
        escape = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
        fits = ",".join(f'{one.label}{one.op}"{one.value.translate(escape)}"' for one in self.matchers)
        return f"{self.name}{{{fits}}}" if fits else self.name


class Load(Frozen):
    """A host's load: its source, and how it lowers the weight; times in seconds.

    Without `url` it is pushed; without `metric` the answer is JSON, and `path` leads to the number.
    """

    url: str | None = Field(
        default=None,
        description="Who is asked, as http://mta1:9154/metrics; without one the load is pushed to the API.",
    )
    metric: Metric | None = Field(
        default=None,
        description="Which samples of an answer in Prometheus' format count, as "
        'postfix_queue_length{queue="active"}; several are added up.',
    )
    path: tuple[str | int, ...] = Field(
        default=(),
        description="Which number of an answer in JSON counts, as queues.active or queues[0].size.",
    )
    absent: float | None = Field(
        default=None,
        ge=0,
        description="What an answer without the sample, or the key in JSON, means: 0 where an empty queue "
        "has none.",
    )
    full: float = Field(gt=0, description="The value at which the host has as much as it can bear.")
    floor: float = Field(default=0.1, ge=0.01, le=1, description="What it keeps of its weight even then.")
    interval: float = Field(default=10.0, ge=0.1, le=86400, description="From one question to the next.")
    timeout: float = Field(default=3.0, ge=0.001, le=600, description="For an answer; at most `interval`.")
    stale: float = Field(
        default=60.0,
        ge=1,
        le=7 * 86400,
        description="How long a value counts, then the plain weight does; unless given, at least three times "
        "`interval`.",
    )


class Endpoint(Frozen):
    """An address to probe instead of the host's own; no port: the check's."""

    address: Address
    port: int | None = Field(default=None, ge=1, le=65535)


class Host(Frozen):
    """A mail host; its name is its key under ``hosts``, ranges written out, and its label in the zone."""

    name: str
    addresses: tuple[Address, ...] = Field(
        description="Where it takes mail: one address or a list; ranges as 198.51.100.[11-14]."
    )
    weight: int = Field(
        default=1,
        ge=0,
        le=MAX_WEIGHT,
        description="Its weight in pools that give none of their own; 0 is never dealt.",
    )
    egress: tuple[Address, ...] = Field(
        default=(), description="The addresses its mail leaves from, if not `address`."
    )
    probe: Endpoint | None = Field(
        default=None, description="Where to probe it instead of its addresses, with or without a port."
    )
    load: Load | None = Field(
        default=None, description="How busy it may be: its weight falls as that nears `full`."
    )
    warmup: Warmup | None = Field(
        default=None,
        exclude_if=lambda warmup: warmup is None,  # zones without it keep their digests, so their serials
        description="How its new IPs are warmed up: a plan bounds what it is dealt each day.",
    )

    @cached_property
    def by_family(self) -> dict[Family, tuple[Address, ...]]:
        """Its addresses, of each family that it has."""
        found: dict[Family, tuple[Address, ...]] = {}
        for address in self.addresses:
            family = family_of(address)
            found[family] = (*found.get(family, ()), address)
        return found

    @property
    def sources(self) -> tuple[Address, ...]:
        """The addresses that its mail leaves from."""
        return self.egress or self.addresses


class DnsSource(Frozen):
    """A name whose addresses are hosts, one each.

    `dns` has no final dot. Without `interval` (seconds) the answer's TTL holds, without `resolver` the
    system's is asked.
    """

    dns: str = Field(description="A name: each address that A and AAAA of it give is a host.")
    label: str = Field(description="Of `dns`: what the hosts' names begin with, as mta in mta-192-0-2-11.")
    weight: int = Field(default=1, ge=0, le=MAX_WEIGHT, description="Of `dns`: the weight of each host.")
    interval: float | None = Field(
        default=None, ge=1, le=86400, description="Of `dns`: from one look-up to the next."
    )
    resolver: Address | None = Field(
        default=None, description="Of `dns`: whom to ask, with or without a port."
    )
    port: int = Field(default=53, ge=1, le=65535)
    family: Literal["A", "AAAA"] | None = Field(
        default=None, description="Of `dns`: ask for addresses of this family alone."
    )
    networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Of `dns`: which addresses are taken; loopback and link-local only by this."
    )
    trust: bool = Field(
        default=False, description="Take at once what it gives, though over 30 % of a pool leave by it."
    )

    @property
    def title(self) -> str:
        """Names it where it is shown and stored; unique in a zone."""
        return f"dns {self.dns}"

    @property
    def families(self) -> tuple[Family, ...]:
        """The families to ask for."""
        return FAMILIES if self.family is None else (self.family,)

    def takes(self, address: Address) -> bool:
        """Tell whether an address that the name has may become a host.

        An IPv4 address in an AAAA record (``::ffff:192.0.2.1``) never may: checks would reach it over IPv4.
        """
        mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
        if mapped or family_of(address) not in self.families:
            return False
        if self.networks:
            return any(address in network for network in self.networks)
        return not (
            address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
        )

    def host_label(self, address: Address) -> str:
        """Return the label of the host at an address: always the same, and no two share one."""
        if address.version == 4:
            return f"{self.label}-{str(address).replace('.', '-')}"
        groups = (f"{int(group, 16):x}" for group in address.exploded.split(":"))
        return f"{self.label}-{'-'.join(groups)}"


class FileSource(Frozen):
    """Files of hosts: a path relative to the zone file's folder, whose last part may be a glob."""

    file: str = Field(
        description="Files with hosts as they stand under `hosts`; relative to the zone file's folder."
    )
    trust: bool = Field(
        default=False, description="Take at once what it gives, though over 30 % of a pool leave by it."
    )

    @property
    def title(self) -> str:
        """Names it where it is shown and stored; unique in a zone."""
        return f"file {self.file}"


HostSource = DnsSource | FileSource


class Origin(Frozen):
    """The source that found a host: its title, or the file."""

    host: str
    source: str


def path_text(path: tuple[str | int, ...]) -> str:
    """Return a path in JSON as it is written: ``queues[0].size``."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(parts).removeprefix(".")
