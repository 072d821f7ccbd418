"""What lines of Exim's main log say."""

import pytest

from geodns.cli.follow.said import Delivery, Finished
from tests.cli.follow.lines import (
    AFTER,
    AT,
    BOUNCED,
    DEFERRED,
    DELIVERED,
    EXPIRED,
    HEAD,
    MESSAGE,
    MX,
    OLD,
    TO,
    exim,
    fields,
    read,
)


def test_the_name_of_exims_message_is_when_it_came_in() -> None:
    seconds = 0
    for letter in MESSAGE[:6]:
        seconds = seconds * 62 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".index(
            letter
        )
    assert fields(exim(f"=> {TO} {MX}"), "queued") == (float(seconds),)


@pytest.mark.parametrize(
    ("line", "local"),
    [
        pytest.param(
            exim(f'=> {TO} {MX} X=TLS1.3:A_B:256 CV=yes C="250 ok dirdel"'),
            "",
            id="plain",
        ),
        pytest.param(exim(f"-> {TO} {MX}"), "", id="another-recipient"),
        pytest.param(exim(f">> {TO} {MX}"), "", id="cut-through"),
        pytest.param(exim(f"=> joe@yahoo.com <info@b.example> R=dns T=remote_smtp {MX}"), "", id="alias"),
        pytest.param(
            exim(f"=> joe@yahoo.com F=<a@b> P=<> R=dns T=remote_smtp S=9 {MX}:25 I=[192.0.2.5]:4711"),
            "192.0.2.5",
            id="interface-and-port",
        ),
        pytest.param(exim(f"=> {TO} {MX}* I=[2001:db8::5] K"), "2001:db8::5", id="reused"),
        pytest.param(exim(f"=> {TO} {MX}", OLD), "", id="before-4.97"),
        pytest.param(
            f"2026-11-29 17:10:53.000 +0100 [77] {MESSAGE} => {TO} {MX}",
            "",
            id="all-selectors",
        ),
        pytest.param(
            f"{HEAD}exim[77]: {MESSAGE} => {TO} {MX}",
            "",
            id="syslog-without-a-second-time",
        ),
        pytest.param(f"{HEAD}exim[77]: " + exim(f"=> {TO} {MX}"), "", id="syslog"),
    ],
)
def test_exim_delivers(line: str, local: str) -> None:
    (said,) = read(line)
    assert isinstance(said, Delivery)
    assert (said.at, said.recipient, said.event) == (AT, "joe@yahoo.com", DELIVERED)
    assert (said.sender, said.local) == ("remote_smtp", local)
    assert (said.server, said.address) == ("mta7.am0.yahoodns.net", "67.195.204.77")


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        pytest.param(
            f"== {TO} defer (-45) {MX}: {AFTER} MAIL FROM:<a@b> SIZE=9: 421 4.7.0 [TSS04] later",
            (DEFERRED, "421 4.7.0", "421 4.7.0 [TSS04] later", True),
            id="reply",
        ),
        pytest.param(
            f"== {TO} defer (-45): {AFTER} RCPT TO:<joe@yahoo.com>: host m [192.0.2.1]: 451 x",
            (DEFERRED, "451", "451 x", True),
            id="old-form",
        ),
        pytest.param(
            f"== {TO} defer (110): Connection timed out {MX} DT=2m: connect",
            (DEFERRED, "", "connect", True),
            id="connect",
        ),
        pytest.param(
            f"== {TO} defer (110): Connection timed out",
            (DEFERRED, "", "Connection timed out", True),
            id="timed-out",
        ),
        pytest.param(
            f"== {TO} defer (-53): retry time not reached for any host for 'yahoo.com'",
            (DEFERRED, "", "retry time not reached for any host for 'yahoo.com'", False),
            id="not-tried",
        ),
        pytest.param(
            f"** {TO} {MX} X=T:A:256: {AFTER} pipelined end of data: 554-5.7.9 no\\n554 5.7.9 really",
            (BOUNCED, "554 5.7.9", "554-5.7.9 no 554 5.7.9 really", True),
            id="several-lines",
        ),
        pytest.param(
            f"** {TO}: retry timeout exceeded",
            (EXPIRED, "", "retry timeout exceeded", True),
            id="given-up",
        ),
        pytest.param(
            f"** {TO}: all hosts for 'yahoo.com' have been failing for a long time "
            "(and retry time not reached)",
            (
                EXPIRED,
                "",
                "all hosts for 'yahoo.com' have been failing for a long time (and retry time not reached)",
                False,
            ),
            id="given-up-untried",
        ),
    ],
)
def test_exim_fails(rest: str, expected: tuple[object, ...]) -> None:
    assert fields(exim(rest), "event", "dsn", "text", "tried") == expected
    assert fields(exim(rest), "recipient") == ("joe@yahoo.com",)


@pytest.mark.parametrize(
    "rest",
    [
        "=> joe <joe@b.example> R=local_user T=local_delivery",
        "== joe@b.example R=local_user T=local_delivery defer (-22): mailbox is full",
        "=> |/usr/bin/vacation <joe@b.example> R=aliases T=address_pipe",
        "=> joe@b.example R=r T=dovecot_lmtp H=127.0.0.1 [127.0.0.1]",
        "** joe@nowhere.example: Unrouteable address",
        "== joe@nowhere.example R=dns defer (-1): host lookup did not complete",
        '<= a@b.example H=x [192.0.2.3] P=esmtp S=99 T="a => b"',
        f"*> {TO} " + MX,
        f"H=mx [192.0.2.1] {AFTER} RCPT TO:<joe@yahoo.com>: 451 x -> y",
    ],
)
def test_exims_lines_that_say_nothing(rest: str) -> None:
    assert read(exim(rest)) == []


def test_a_transport_is_known_after_its_first_delivery() -> None:
    late = exim("== joe@b.example R=dns T=outside defer (110): Connection timed out")
    assert read(late) == []
    assert len(read(exim(f"=> joe@yahoo.com R=dns T=outside {MX}"), late)) == 2
    assert read(exim("Completed"), exim("Completed QT=1s")) == [Finished(MESSAGE)] * 2
