"""A real Postfix with the lines of `geodns generate postfix`: each message leaves by the right pool."""

import os
import shutil
import signal
import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.cluster import Server, geodns, serving
from tests.integration.mailhosts import wait_until
from tests.integration.outgoing import alone_on_loopback, may_have_a_network
from tests.integration.submitting import (
    DNS,
    IMPATIENT,
    INBOUND,
    OWN,
    Hosts,
    Mail,
    Submitter,
    counted,
    hand_in,
    handing_in,
    hosts_open,
    submitter,
)

pytestmark = [
    pytest.mark.skipif(shutil.which("postfix") is None, reason="no Postfix here: apt-get install postfix"),
    pytest.mark.skipif(
        not may_have_a_network(), reason="needs root, unshare and ip: apt-get install iproute2"
    ),
]

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
}
"""How many hosts each pool has; they are called after it."""
SELF, DEAD = "near1", "dealt2"
NEIGHBOURS = (("near2", "near3"), ("near3", "near2"))
PATIENT = "{interval: 2s, rise: 1, fall: 20, connect_timeout: 10s, greeting_timeout: 10s}"
RULES = """\
  - {recipient: ["vip@example.net", "*.bank.example"], use: fast}
  - {recipient: near.example, use: near}
  - {recipient: dealt.example, use: dealt, deal: host}
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("routes")
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


KINDS = {
    "plain": (Mail("", ("x@else.example",)), "main"),
    "address": (Mail("", ("vip@example.net",)), "fast"),
    "capitals": (Mail("", ("VIP@Example.NET",)), "fast"),
    "below": (Mail("", ("x@a.bank.example",)), "fast"),
    "not below": (Mail("", ("x@bank.example",)), "main"),
    "provider by name": (Mail("", ("x@gmail.com",)), "gmail"),
    "provider by MX": (Mail("", ("x@corp.example",)), "gmail"),
    "provider and sender": (Mail("", ("x@gmail.com",), "n@news.example.com"), "gmail-bulk"),
    "sender": (Mail("", ("x@else.example",), "news@shop.example"), "bulk"),
    "sender's domain": (Mail("", ("x@else.example",), "one@lists.example.com"), "bulk"),
    "null sender": (Mail("", ("x@else.example",), ""), "fast"),
    "class": (Mail("", ("x@else.example",), headers=(("X-Class", "tx"),)), "fast"),
    "no class": (Mail("", ("x@else.example",), headers=(("X-Class", "txt"),)), "main"),
    "bulk": (Mail("", ("x@else.example",), headers=(("List-Unsubscribe", "<mailto:u@a.example>"),)), "bulk"),
    "list": (Mail("", ("x@gmail.com",), headers=(("Precedence", "LIST"),)), "bulk"),
    "login": (Mail("", ("x@else.example",), login="Customer77"), "own"),
    "client": (Mail("", ("x@else.example",), client="192.0.2.77"), "own"),
    "size": (Mail("", ("x@else.example",), size=60_000), "bulk"),
    "international": (Mail("", ("gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n@else.example",)), "main"),
    "two": (Mail("", ("vip@example.net", "x@b.bank.example")), "fast"),
}
"""Messages, and the pool of whose hosts one takes each."""


def test_each_message_arrives_where_the_rules_say(world: World) -> None:
    """A host of the right pool takes each of 300 messages, once for each of its recipients."""
    world.follow("policy")
    rounds = 300 // len(KINDS)
    mails = [
        mail._replace(number=f"{kind.replace(' ', '-')}/{number}")
        for number in range(rounds)
        for kind, (mail, _) in KINDS.items()
    ]
    assert len(mails) == 300
    expected = {
        (mail.number, recipient.lower()): pool
        for mail, (_, pool) in zip(mails, rounds * list(KINDS.values()), strict=True)
        for recipient in mail.recipients
    }
    before, bounced = len(world.hosts.arrivals), world.bounces()
    hand_in(mails)
    wait_until(lambda: len(world.hosts.arrivals) - before >= len(expected), 60, "all messages arrive")
    wait_until(lambda: not world.postfix.queue(), what="the queue is empty")
    arrived = world.hosts.arrivals[before:]
    assert sorted((one.number, one.recipient.lower()) for one in arrived) == sorted(expected)
    wrong = [one for one in arrived if one.host[:-1] != expected[one.number, one.recipient.lower()]]
    assert not wrong
    by_sender = {one.port for one in arrived if one.number.startswith("sender")}
    assert by_sender == {587}
    assert {one.host for one in arrived} >= {"main1", "main2", "gmail1", "gmail2", "bulk1", "bulk2"}
    assert world.bounces() == bounced


def test_mail_that_stays_here_is_not_touched(world: World) -> None:
    """Local and virtual mailboxes get theirs, newsletters from outside too; an attached one moves nothing."""
    world.follow("policy")
    newsletter = (("List-Unsubscribe", "<mailto:u@a.example>"), ("Precedence", "bulk"))
    hand_in(
        [
            Mail("in/1", ("ann@here.example",), "news@shop.example", newsletter),
            Mail("in/2", ("vic@virtual.example",), "news@shop.example", newsletter),
            Mail("in/5", ("ann",), "news@shop.example"),
            Mail("in/6", ("postmaster@[127.0.0.1]",), "news@shop.example"),
        ],
        INBOUND,
    )
    hand_in([Mail("in/3", ("ann@here.example",)), Mail("in/4", ("vic@virtual.example",))])
    went = world.send(Mail("forwarded/1", ("x@else.example",), forwarded=newsletter))
    assert {host[:-1] for host in went} == {"main"}
    wait_until(lambda: "in/1" in world.postfix.box("ann"), what="the newsletter is in the mailbox")
    wait_until(lambda: "in/2" in world.postfix.box("vic"), what="the newsletter is in the virtual mailbox")
    wait_until(lambda: "in/3" in world.postfix.box("ann"), what="local mail")
    wait_until(lambda: "in/4" in world.postfix.box("vic"), what="virtual mail")
    # These have no domain that `local` could name.
    wait_until(lambda: "in/5" in world.postfix.box("ann"), what="mail to an address without a domain")
    wait_until(lambda: "in/6" in world.postfix.box("postmaster"), what="mail to this host by its address")
    assert not world.hosts.of("in/")


def test_filter_takes_local_recipients_of_the_same_message_along(world: World) -> None:
    """What Postfix does with a FILTER, which the lines warn of; maps are asked for each recipient."""
    world.follow("policy")
    went = world.send(Mail("mixed/1", ("ann@here.example", "vip@example.net", "vic@virtual.example")))
    assert sum(went.values()) == 3
    assert {host[:-1] for host in went} == {"fast"}
    assert "mixed/1" not in world.postfix.box("ann")
    went = world.send(Mail("several/1", ("vip@example.net", "x@gmail.com")))
    assert {host[:-1] for host in went} == {"gmail"}, "the last recipient decides"


def test_rule_that_was_edited_goes_for_the_next_message(world: World) -> None:
    world.follow("policy")
    server = world.server
    try:
        server.write(NAME, zone_with('  - {recipient: "*.bank.example", use: own}\n' + RULES))
        wait_until(
            lambda: world.asked("x@a.bank.example") == f"200 relay:[own.{NAME}]:25", what="the new rule holds"
        )
        assert world.send(Mail("edited/1", ("x@a.bank.example",))) == {"own1": 1}
    finally:
        server.write(NAME, zone_with(RULES))
    wait_until(lambda: "fast" in world.asked("x@a.bank.example"), what="the old rule holds")


@contextmanager
def _stopped(*pids: int) -> Iterator[None]:
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


def test_mail_goes_the_static_way_while_nobody_answers(world: World) -> None:
    """By the policy service's default action, for which a session waits once."""
    world.follow("policy")
    server, bounced = world.server, world.bounces()
    began = time.monotonic()
    with _stopped(server.process.pid, server.accepting(POLICY)):
        hand_in((Mail(f"hanging/{number}", ("vip@example.net",)) for number in range(5)), IMPATIENT)
        lasted = time.monotonic() - began
        went = counted(world.hosts.wait_for("hanging/", 5))
    assert 2 < lasted < 5 * 2, "the first waits for two seconds"
    assert {host[:-1] for host in went} == {"main"}
    wait_until(lambda: "fast" in world.asked("vip@example.net"), what="it answers again")
    assert {host[:-1] for host in world.send(Mail("back/1", ("vip@example.net",)))} == {"fast"}
    assert world.bounces() == bounced


def test_sessions_outlast_the_death_of_whom_they_ask(world: World) -> None:
    """Postfix has a connection for each request: one that it keeps and finds closed it never opens again."""
    world.follow("policy")
    with handing_in() as hand:
        hand(Mail("killed/1", ("vip@example.net",)))
        os.kill(world.server.accepting(POLICY), signal.SIGKILL)
        wait_until(lambda: "fast" in world.asked("vip@example.net"), what="another worker answers")
        hand(Mail("killed/2", ("vip@example.net",)))
        hand(Mail("killed/3", ("x@gmail.com",)))
    went = counted(world.hosts.wait_for("killed/", 3))
    assert sorted(host[:-1] for host in went.elements()) == ["fast", "fast", "gmail"]


def test_host_is_not_sent_its_own_mail(world: World) -> None:
    """The pool has an address of the Postfix: it bounces what it is told to send there, and is told else."""
    world.follow("policy")
    bounced = world.bounces()
    hand_in([Mail("loop/1", ("x@near.example",), "")])
    looped = f"mail for near.{NAME} loops back to myself"
    wait_until(lambda: looped in world.postfix.log(), what="Postfix sees that it would send to itself")
    assert not world.hosts.of("loop/")
    assert world.bounces() == bounced + 1
    world.follow("itself")
    went = world.send(*(Mail(f"near/{number}", (f"x{number}@near.example",)) for number in range(6)))
    assert went.keys() <= {"near2", "near3"}
    assert world.bounces() == bounced + 1, "the one without `self`"


# --- maps ----------------------------------------------------------------------------------------------


def test_maps_answer_by_one_address(world: World) -> None:
    """The whole address is the key; what is local, no address, or for a rule that asks more has no answer."""
    socket_path = world.postfix.folder / "queue/geodns/routes"
    for where in (f"unix:{socket_path}", f"inet:127.0.0.1:{POLICY}"):
        fast, near = f"relay:[fast.{NAME}]:25", f"relay:[near.{NAME}]:25"
        for key, expected in {
            "vip@example.net": fast,
            "VIP@Example.Net": fast,
            "x@a.bank.example": fast,
            "x@near.example": near,
            "x@gmail.com": None,
            "x@else.example": None,
            "ann@here.example": None,
            "vic@virtual.example": None,
            "here.example": None,
            "example.net": None,
            "@near.example": None,
            "x@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example": None,
            "*": None,
            "": None,
        }.items():
            assert world.postfix.lookup(f"socketmap:{where}:recipient", key) == expected, key
            assert world.postfix.lookup(f"socketmap:{where}:sender", key) is None, key
    beside = world.postfix.lookup(f"socketmap:inet:127.0.0.1:{OF_ITSELF}:recipient", "x@near.example")
    assert beside in {f"relay:[{one}.{NAME}]:25, [{other}.{NAME}]:25" for one, other in NEIGHBOURS}


def test_maps_route_each_recipient(world: World) -> None:
    """Each has a way of its own; after a host that is dead comes the name; nothing waits or bounces."""
    world.follow("map")
    went = world.send(Mail("apart/1", ("ann@here.example", "vip@example.net", "x@else.example")), arrivals=2)
    assert {host[:-1] for host in went} == {"fast", "main"}
    wait_until(lambda: "apart/1" in world.postfix.box("ann"), what="the local recipient's")
    before = world.postfix.log()
    went = world.send(*(Mail(f"dealt/{number}", (f"x{number}@dealt.example",)) for number in range(30)))
    assert went.keys() == {"dealt1", "dealt3"}
    assert sum(went.values()) == 30
    log = world.postfix.log()[len(before) :]
    assert f"connect to {DEAD}.{NAME}[{host_addresses()[DEAD]}]:25: Connection refused" in log
    assert f"relay=dealt1.{NAME}[" in log, "by host"
    assert f"relay=dealt.{NAME}[" in log, "by name, after the host that is dead"
    assert "status=deferred" not in log
    assert "status=bounced" not in log


def test_senders_have_a_map_of_their_own(world: World) -> None:
    """It answers where no rule before asks for the recipient; then the recipients' map says nothing."""
    world.follow("map")
    try:
        world.server.write(NAME, zone_with('  - {sender: ["boss@*", "<>"], use: own}\n' + RULES))
        table = f"socketmap:inet:127.0.0.1:{POLICY}:sender"
        wait_until(lambda: world.postfix.lookup(table, "boss@example.com"), what="the new rule holds")
        went = world.send(
            Mail("boss/1", ("x@else.example",), "boss@example.com"), Mail("boss/2", ("y@else.example",), "")
        )
        assert went == {"own1": 2}
        assert {host[:-1] for host in world.send(Mail("staff/1", ("vip@example.net",)))} == {"main"}
    finally:
        world.server.write(NAME, zone_with(RULES))
    wait_until(lambda: world.postfix.lookup(table, "boss@example.com") is None, what="the old rule holds")


def test_mail_waits_while_geodns_is_dead_and_maps_are_asked(world: World) -> None:
    world.follow("map")
    bounced = world.bounces()
    world.server.kill()
    with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"451.*Temporary lookup failure"):
        hand_in([Mail("waits/later", ("x@a.bank.example",))])
    for number in range(4):
        world.postfix.give(Mail(f"waits/{number}", (f"x{number}@a.bank.example",)))
    wait_until(lambda: world.postfix.log().count("(address resolver failure)") >= 4, what="mail waits")
    assert len(world.postfix.queue()) == 4
    assert not world.hosts.of("waits/")
    world.serve()
    # Postfix's queue manager keeps its last look-up, failed or not, for half a minute: it needs another.
    world.send(Mail("after/1", ("vip@example.net",)))
    world.postfix.flush()
    went = counted(world.hosts.wait_for("waits/", 4))
    assert {host[:-1] for host in went} == {"fast"}
    assert sum(went.values()) == 4
    wait_until(lambda: not world.postfix.queue(), what="the queue is empty")
    assert world.bounces() == bounced
