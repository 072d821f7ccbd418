"""Where hosts come from that no zone file lists: look-ups, and files that a deploy tool drops in."""

from pydantic import Field

from geodns.model.base import Address, Frozen


class DnsSource(Frozen):
    """A name whose addresses are hosts, one each.

    Attributes:
        dns: the name, without its final dot.
        label: what the hosts' own labels begin with.
        weight: of each host.
        interval: seconds from one look-up to the next; None means that the answer's TTL decides.
        resolver: whom to ask; None means those of the system.
        port: of the resolver.

    """

    dns: str
    label: str
    weight: int = Field(default=1, ge=0, le=2**31 - 1)
    interval: float | None = Field(default=None, ge=1)
    resolver: Address | None = None
    port: int = Field(default=53, ge=1, le=65535)

    @property
    def title(self) -> str:
        """What it is called where it is shown, and what is kept of it is kept by; one in a zone."""
        return f"dns {self.dns}"

    def host_label(self, address: Address) -> str:
        """Return the label of the host that an address is; the same always, and no two have the same."""
        if address.version == 4:
            return f"{self.label}-{str(address).replace('.', '-')}"
        groups = (f"{int(group, 16):x}" for group in address.exploded.split(":"))
        return f"{self.label}-{'-'.join(groups)}"


class FileSource(Frozen):
    """Files of hosts.

    Attributes:
        file: their path, relative to the zone file's folder; the last part of it may be a glob.

    """

    file: str

    @property
    def title(self) -> str:
        """What it is called where it is shown, and what is kept of it is kept by; one in a zone."""
        return f"file {self.file}"


HostSource = DnsSource | FileSource


class Origin(Frozen):
    """Which host a source found, and which it is or which of its files."""

    host: str
    source: str
