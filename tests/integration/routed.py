"""A zone with rules and pools, geodns and a Postfix that has the lines of `geodns generate postfix`."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.integration.cluster import Server, geodns, serving
from tests.integration.mailhosts import wait_until
from tests.integration.outgoing import alone_on_loopback
from tests.integration.submitting import (
    DNS,
    OWN,
    Hosts,
    Mail,
    Submitter,
    counted,
    hand_in,
    hosts_open,
    submitter,
)

NAME = "out.example.com"
POLICY, OF_ITSELF = 5310, 5311
POOLS = {
    "near": 3,
    "main": 2,
    "fast": 2,
    "bulk": 2,
    "gmail": 2,
    "gmail-bulk": 2,
    "own": 1,
    "dealt": 3,
    "even": 2,
}
"""How many hosts each pool has; they are called after it."""
SELF, DEAD = "near1", "dealt2"
NEIGHBOURS = (("near2", "near3"), ("near3", "near2"))
PATIENT = "{interval: 2s, rise: 1, fall: 20, connect_timeout: 10s, greeting_timeout: 10s}"
RULES = """\
  - {recipient: ["vip@example.net", "*.bank.example"], use: fast}
  - {recipient: near.example, use: near}
  - {recipient: dealt.example, use: dealt, deal: host}
  - {recipient: even.example, use: even, deal: host}
  - {provider: google, sender: "*@news.example.com", use: gmail-bulk, deal: host}
  - {provider: google, use: gmail}
  - {sender: ["news@*", "@lists.example.com"], use: bulk, port: 587}
  - {class: transactional, use: fast}
  - {class: bulk, use: bulk}
  - {sasl: "customer7*", use: own}
  - {client: 192.0.2.64/26, use: own}
  - {size: over 50KB, use: bulk}
  - {sender: "<>", use: fast}
  - {use: "@"}
"""
CORPORATE = f"""\
ttl: 5
ns: {{ns1: {DNS}}}
records:
  corp: {{MX: 1 aspmx.l.google.com.}}
"""
"""The top domain of most recipients; one of these has its mail at Google."""


def host_addresses() -> dict[str, str]:
    """The address of each host; the first one is the Postfix's own."""
    return {
        f"{pool}{host}": f"127.0.{number}.{host}"
        for number, (pool, hosts) in enumerate(POOLS.items(), 1)
        for host in range(1, hosts + 1)
    }


def zone_with(rules: str) -> str:
    """The zone file; one host is dead, and its probe does not see that."""
    addresses = host_addresses()
    lines = ["ttl: 5", f"ns: {{ns1: {DNS}}}", "checks:", f"  smtp: {PATIENT}", "hosts:"]
    for host, address in addresses.items():
        probed = f', probe: "{addresses["dealt1"]}:25"' if host == DEAD else ""
        lines.append(f"  {host}: {{address: {address}{probed}}}")
    lines.append("pools:")
    for pool, hosts in POOLS.items():
        names = ", ".join(f"{pool}{host}" for host in range(1, hosts + 1))
        lines.append(f"  {pool}: {{hosts: [{names}], check: smtp, answers: {hosts}}}")
    lines.append("records:")
    for pool in POOLS:
        name = "@" if pool == "main" else pool
        lines.append(f'  "{name}": {{A: {{pool: {pool}}}, MX: "0 ."}}')
    return (
        "\n".join(lines)
        + f"""
local: [here.example, virtual.example]
classes:
  bulk: [{{header: List-Unsubscribe}}, {{header: Precedence, value: "bulk|list"}}]
  transactional: [{{header: X-Class, value: tx}}]
routes:
{rules}"""
    )


class World(NamedTuple):
    """A Postfix, the pools and geodns, in a network of their own.

    Attributes:
        generated: what `geodns generate postfix` has printed, by what it was asked for.

    """

    postfix: Submitter
    hosts: Hosts
    folder: Path
    generated: dict[str, str]
    running: list[Server]
    stack: ExitStack

    @property
    def server(self) -> Server:
        return self.running[-1]

    def serve(self) -> None:
        """Start geodns, and wait until it answers routes."""
        self.running.append(
            self.stack.enter_context(
                serving(
                    self.folder,
                    listen=(f"{DNS}:53",),
                    arguments=("--config", str(self.folder / "geodns.yaml")),
                    fresh=True,
                )
            )
        )
        wait_until(lambda: self.asked("vip@example.net").startswith("200 "), what="routes are answered")
        wait_until(
            lambda: {one["state"] for one in self.server.status()["hosts"][NAME].values()} == {"up"},
            what="all hosts are up",
        )

    def asked(self, question: str, port: int = POLICY) -> str:
        """What geodns answers to a line."""
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(f"get {question}\n".encode())
                with connection.makefile() as lines:
                    return lines.readline().rstrip("\n")
        except ConnectionError:
            return ""

    def follow(self, what: str) -> None:
        """Have Postfix do as generated lines say."""
        if self.postfix.told == self.generated[what]:
            return
        # A reload would leave processes that have begun to the end of their work.
        self.postfix.stop()
        self.postfix.tell(self.generated[what])
        self.postfix.start()

    def bounces(self) -> int:
        """How many messages were given up."""
        return self.postfix.log().count("status=bounced")

    def send(self, *mails: Mail, arrivals: int | None = None) -> dict[str, int]:
        """Hand in messages with one prefix; say where they have arrived."""
        hand_in(mails)
        prefix = mails[0].number.partition("/")[0] + "/"
        expected = sum(len(mail.recipients) for mail in mails) if arrivals is None else arrivals
        return dict(counted(self.hosts.wait_for(prefix, expected)))


@contextmanager
def routed(folder: Path) -> Iterator[World]:
    """Start all of it; it ends with the block."""
    (folder / "zones").mkdir()
    (folder / f"zones/{NAME}.yaml").write_text(zone_with(RULES))
    (folder / "zones/example.yaml").write_text(CORPORATE)
    with submitter() as postfix:
        queue = postfix.folder / "queue"
        (queue / "geodns").mkdir()
        (folder / "geodns.yaml").write_text(f"""\
routes_listen:
  - {{listen: 127.0.0.1:{POLICY}, zone: {NAME}}}
  - {{listen: 127.0.0.1:{OF_ITSELF}, zone: {NAME}, self: {SELF}}}
  - {{listen: unix:{queue}/geodns/routes, zone: {NAME}, mode: "0666"}}
routes_resolver: {DNS}
""")
        generated = {
            "policy": _generate(folder, "--listen", f"127.0.0.1:{POLICY}"),
            "itself": _generate(folder, "--listen", f"127.0.0.1:{OF_ITSELF}"),
            "map": _generate(
                folder, "--map", "--listen", f"unix:{queue}/geodns/routes", "--queue-directory", str(queue)
            ),
        }
        with alone_on_loopback(OWN), hosts_open() as hosts, ExitStack() as stack:
            for name, address in host_addresses().items():
                if name != DEAD:
                    hosts.open(name, address)
                if name.startswith("bulk"):
                    hosts.open(name, address, 587)
            found = World(postfix, hosts, folder, generated, [], stack)
            found.serve()
            postfix.tell(generated["policy"])
            postfix.start()
            yield found
            postfix.stop()


def _generate(folder: Path, *options: str) -> str:
    # A copy of the template: it must be started where all tests' servers are, not in this one's network.
    said = geodns("generate", "postfix", "--config", str(folder / "geodns.yaml"), *options, NAME, cwd=folder)
    assert said.returncode == 0, said.stderr
    return said.stdout
