"""A real Postfix with the lines of `geodns generate postfix`: each message leaves by the right pool."""

import os
import shutil
import signal
import smtplib
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.mailhosts import wait_until
from tests.integration.outgoing import may_have_a_network
from tests.integration.routed import (
    DEAD,
    NAME,
    NEIGHBOURS,
    OF_ITSELF,
    POLICY,
    RULES,
    World,
    host_addresses,
    routed,
    zone_with,
)
from tests.integration.submitting import IMPATIENT, INBOUND, Mail, counted, hand_in, handing_in

pytestmark = [
    pytest.mark.skipif(shutil.which("postfix") is None, reason="no Postfix here: apt-get install postfix"),
    pytest.mark.skipif(
        not may_have_a_network(), reason="needs root, unshare and ip: apt-get install iproute2"
    ),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with routed(tmp_path_factory.mktemp("routes")) as running:
        yield running


NEWSLETTER = (("List-Unsubscribe", "<mailto:u@a.example>"), ("Precedence", "bulk"))
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
    hand_in(
        [
            Mail("in/1", ("ann@here.example",), "news@shop.example", NEWSLETTER),
            Mail("in/2", ("vic@virtual.example",), "news@shop.example", NEWSLETTER),
            Mail("in/5", ("ann",), "news@shop.example"),
            Mail("in/6", ("postmaster@[127.0.0.1]",), "news@shop.example"),
        ],
        INBOUND,
    )
    hand_in([Mail("in/3", ("ann@here.example",)), Mail("in/4", ("vic@virtual.example",))])
    went = world.send(Mail("forwarded/1", ("x@else.example",), forwarded=NEWSLETTER))
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
    went = world.send(Mail("newsletter/1", ("ann@here.example",), headers=NEWSLETTER))
    assert {host[:-1] for host in went} == {"bulk"}, "what is handed in with a header of a class leaves, too"


def test_sendmail_goes_the_static_way(world: World) -> None:
    """Only smtpd asks the policy service, and only its cleanup service looks for headers."""
    world.follow("policy")
    world.postfix.give(Mail("given/1", ("vip@example.net",), headers=NEWSLETTER))
    assert {one.host[:-1] for one in world.hosts.wait_for("given/")} == {"main"}


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


def test_hosts_are_dealt_evenly_although_postfix_asks_twice(world: World) -> None:
    """It asks when it takes a message and when it sends it: by strict turns one host would get all mail."""
    world.follow("map")
    went = Counter[str]()
    for number in range(40):
        went += Counter(world.send(Mail(f"even-{number}/1", (f"x{number}@even.example",))))
    assert sum(went.values()) == 40
    assert min(went["even1"], went["even2"]) > 5, went


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
