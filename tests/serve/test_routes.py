"""The routes worker, as MTAs meet it: every protocol, order, bounds, providers, and its end."""

import asyncio
import contextlib
import json
import signal
import socket
import struct

import pytest

from geodns.responder.route_table import RouteNews
from geodns.serve import connections, provider_cache, routes
from geodns.serve.frames import ProviderAsked, RouteCounts, RouteKey, TableApplied
from geodns.serve.plan import RoutesListener
from tests.serve.routing import (
    LOOPBACK,
    SIMPLE,
    ZONE,
    Running,
    policy,
    policy_reply,
    provider,
    rule,
    run,
    socketmap,
    socketmap_reply,
    table,
    target,
    until,
)

FAST = f"relay:[fast.{ZONE}]:25"
GMAIL = f"relay:[gmail.{ZONE}]:25"
BULK = f"relay:[bulk.{ZONE}]:25"
NAMED = RoutesListener(LOOPBACK, ZONE)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        pytest.param(policy(recipient="a@x.bank.example"), f"action=FILTER {FAST}\n\n", id="policy"),
        pytest.param(policy(recipient=f"a@local.{ZONE}"), "action=DUNNO\n\n", id="policy: local"),
        pytest.param(
            policy(recipient="a@x.bank.example", policy_context="other.example"),
            "action=DUNNO\n\n",
            id="policy: another zone",
        ),
        pytest.param(
            socketmap("recipient", "a@x.bank.example"), f"{len(FAST) + 3}:OK {FAST},", id="socketmap"
        ),
        pytest.param(socketmap("recipient", "*"), "9:NOTFOUND ,", id="socketmap: *"),
        pytest.param(socketmap("sender", "a@b.example"), "9:NOTFOUND ,", id="socketmap: sender"),
        pytest.param(b"get a@x.bank.example\n", f"200 {FAST}\n", id="line"),
        pytest.param(
            b"get recipient=a%40x.bank.example", f"200 {FAST}\n", id="line: ended by the half-close"
        ),
        pytest.param(b"get recipient=a%40gmail.com\n", f"200 {GMAIL}\n", id="line: a provider built in"),
        pytest.param(f"get a@local.{ZONE}\n".encode(), "500 no route\n", id="line: local"),
        pytest.param(
            b"POST /route HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b'Content-Length: 27\r\n\r\n{"recipient":"a@x.example"}',
            "",
            id="HTTP",
        ),
        pytest.param(b"\xff\xfe", "400 malformed: no protocol that is known here\n", id="no protocol"),
    ],
)
def test_each_protocol_is_told_by_its_first_bytes(request_: bytes, answer: str) -> None:
    async def test(running: Running) -> None:
        found = await running.asked(request_)
        if answer:
            assert found == answer
        else:
            head, _, body = found.partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 200 ")
            told = json.loads(body)
            assert told["rule"] == 4
            assert told["transport"] == BULK
            assert [one["rule"] for one in told["why"]] == [1, 2, 3]

    run(test, providers={"x.example": "", "gmail.com": "google"})


def test_a_post_pays_for_few_of_many_rules_and_hosts() -> None:
    hosts = {f"h{number}": 1 for number in range(300)}
    some = (rule(number, "fast", sender=(f"*@c{number}.example",)) for number in range(1, 301))
    many = table(*some, rule(301, "large"), targets=(target("large", weights=hosts, hosts=(*hosts,)),))

    async def test(running: Running) -> None:
        body = json.dumps({"recipient": "a@x.example", "sender": "b@x.example"}).encode()
        head = b"POST /route HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        found = await running.asked(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        told = json.loads(found.partition("\r\n\r\n")[2])
        assert [one["rule"] for one in told["why"]] == [1, 2, 3, 4, 5, 6, 7, 8, None]
        assert told["why"][-1]["missed"] == "292 rules more do not fit"
        assert told["live"] == [*hosts][:100]

    run(test, many, providers={"x.example": ""})


def test_what_was_asked_is_counted() -> None:
    async def test(running: Running) -> None:
        await running.asked(policy(recipient="a@x.bank.example") * 3)
        await running.asked(b"get a@spread.example\n")
        await running.asked(b"get zone=other.example&recipient=a@x.example\n")
        await running.asked(b"nonsense\n")
        assert running.counted() == {
            RouteKey(ZONE, "rule-1", "name", "policy"): 3,
            RouteKey(ZONE, "rule-3", "host", "line"): 1,
            RouteKey("", "", "unserved", "line"): 1,
            RouteKey("", "", "malformed", "policy"): 1,
        }
        reports = running.said(RouteCounts)
        looked_up = [key for one in reports for key in one.looked_up]
        assert [key[0] for key in looked_up] == [ZONE]
        assert sum(sum(one.buckets) for one in reports) == 6
        assert all(one.seconds > 0 and one.since > 0 for one in reports)
        running.server.report()
        assert running.said(RouteCounts) == reports, "nothing happened, nothing is said"

    run(test, providers={"spread.example": "", "x.example": ""})


def test_requests_of_one_connection_are_answered_in_order() -> None:
    """More than a turn's, in a single write, and cut anywhere."""
    keys = [f"a{number}@{'x.bank' if number % 2 else 'y'}.example" for number in range(160)]

    async def test(running: Running) -> None:
        async with running.client() as (reader, writer):
            whole = b"".join(socketmap("recipient", key) for key in keys)
            writer.write(whole[:5000])
            await writer.drain()
            writer.write(whole[5000:])
            for number in range(len(keys)):
                expected = f"OK {FAST}" if number % 2 else "NOTFOUND "
                assert await socketmap_reply(reader) == expected

    run(test, table(rule(1, "fast", recipient=("*@*.bank.example",))))


def test_nobody_can_hold_up_others_with_a_flood() -> None:
    async def test(running: Running) -> None:
        async with running.client() as (_, flood), running.client() as (reader, writer):
            flood.write(socketmap("recipient", "a@x.bank.example") * 20_000)
            writer.write(socketmap("recipient", "a@x.bank.example"))
            assert await socketmap_reply(reader) == f"OK {FAST}"
            counted = sum(running.counted().values())
            assert counted < 20_000
            flood.transport.abort()
            await until(lambda: len(running.server.connections) == 1)

    run(test)


def test_who_takes_no_answers_gets_no_further_ones() -> None:
    name = ".".join(["x" * 60] * 3)  # long, so that few answers are many bytes
    answer = f"OK relay:[{name}.{ZONE}]:25"
    some, many = 500, 4000

    async def test(running: Running) -> None:
        async with running.client() as (reader, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: running.server.connections)
            (connection,) = running.server.connections
            sent = 0

            def done() -> bool:
                return connection.full or running.answered() == sent

            while not connection.full:
                writer.write(socketmap("recipient", "a@b.example") * some)
                sent += some
                await until(done)
            writer.write(socketmap("recipient", "a@b.example") * many)
            await asyncio.sleep(0.05)
            assert running.answered() < sent + many
            assert connection.transport.get_write_buffer_size() < 4 * connections.UNSENT
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            for _ in range(sent + many):
                assert await socketmap_reply(reader) == answer

    run(test, table(rule(1, name, recipient=("*@b.example",))))


def test_200_idle_clients_hold_up_nobody() -> None:
    async def test(running: Running) -> None:
        async with contextlib.AsyncExitStack() as clients:
            for _ in range(200):
                await clients.enter_async_context(running.client())
            reader, writer = await clients.enter_async_context(running.client())
            writer.write(socketmap("recipient", "a@x.bank.example"))
            assert await socketmap_reply(reader) == f"OK {FAST}"
            assert len(running.server.connections) == 201

    run(test)


# --- the zone, and who asks --------------------------------------------------------------------------------


def test_a_listener_may_have_its_zone_and_the_host_that_asks() -> None:
    itself = RoutesListener(LOOPBACK, ZONE, "mta1")

    async def test(running: Running) -> None:
        two, three = f"[mta2.{ZONE}]:25", f"[mta3.{ZONE}]:25"
        either = (f"relay:{two}, {three}", f"relay:{three}, {two}")
        assert await running.asked(b"get a@x.bank.example\n") in {f"200 {one}\n" for one in either}
        answer = await running.asked(policy(recipient="a@x.bank.example"))
        assert answer in {f"action=FILTER {one}\n\n" for one in either}
        assert await running.asked(b"get zone=other.example&recipient=a@x.example\n", 0) == (
            "400 this zone has no routes here\n"
        )
        assert await running.asked(b"get a@x.bank.example\n", 1) == f"200 {FAST}\n"

    run(test, SIMPLE, itself, NAMED)


def test_a_filter_never_names_a_single_host() -> None:
    """It is stored with the mail, for days."""
    two = target("spread", weights={"mta1": 1, "mta2": 1}, hosts=("mta1", "mta2"))

    async def test(running: Running) -> None:
        asked = policy(recipient="a@spread.example")
        assert await running.asked(asked, 0) == f"action=FILTER relay:[spread.{ZONE}]:25\n\n"
        assert await running.asked(asked, 1) == "action=DUNNO\n\n"
        assert await running.asked(b"get a@spread.example\n", 1) == f"200 relay:[mta2.{ZONE}]:25\n"

    rules = table(rule(1, "spread", by_host=True), targets=(two,))
    run(test, rules, NAMED, RoutesListener(LOOPBACK, ZONE, "mta1"))


def test_of_several_zones_one_must_be_named() -> None:
    both = table(rule(1, "fast"))
    other = table(rule(1, "fast"), zone="other.example")
    both = type(both)(routes={**both.routes, **other.routes}, targets={**both.targets, **other.targets})

    async def test(running: Running) -> None:
        assert (await running.asked(b"get a@b.example\n")).startswith("400 ")
        assert (await running.asked(f"get zone={ZONE}.&recipient=a@b.example\n".encode())) == f"200 {FAST}\n"

    run(test, both)


def test_a_new_table_is_answered_from_and_acknowledged() -> None:
    async def test(running: Running) -> None:
        assert await running.asked(b"get a@b.example\n") == "500 no route\n"
        running.publish(table(rule(1, "bulk")))
        await until(lambda: [one.number for one in running.said(TableApplied)][-1] == 3)
        assert await running.asked(b"get a@b.example\n") == f"200 {BULK}\n"

    run(test, table(rule(1, "fast", recipient=("*@x.example",))))


# --- providers ---------------------------------------------------------------------------------------------


def test_an_unknown_domain_is_asked_for_and_waited_for() -> None:
    """Those behind it wait, too; other connections do not. Two that wait ask once."""

    async def test(running: Running) -> None:
        async with running.client() as (reader, writer), running.client() as (second, also):
            writer.write(policy(recipient="a@Shop.example.") + policy(recipient="a@x.bank.example"))
            also.write(policy(recipient="b@shop.example"))
            await until(lambda: running.said(ProviderAsked))
            assert await running.asked(b"get a@x.bank.example\n") == f"200 {FAST}\n"
            running.tell(RouteNews({"shop.example": provider("google")}))
            assert await policy_reply(reader) == f"action=FILTER {GMAIL}"
            assert await policy_reply(reader) == f"action=FILTER {FAST}"
            assert await policy_reply(second) == f"action=FILTER {GMAIL}"
        assert running.said(ProviderAsked) == [ProviderAsked("routes", "shop.example")]

    run(test)


def test_without_an_answer_a_message_goes_on_and_the_next_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provider_cache, "WAIT", 0.05)
    monkeypatch.setattr(routes, "WAIT", 0.05)

    async def test(running: Running) -> None:
        for _ in range(3):
            assert await running.asked(policy(recipient="a@shop.example")) == f"action=FILTER {BULK}\n\n"
        assert len(running.said(ProviderAsked)) == 1

    run(test)


def test_a_stale_provider_serves_while_it_is_asked_for_again() -> None:
    known = {"shop.example": provider("google", fresh=-1), "gone.example": provider("google", -2, -1)}

    async def test(running: Running) -> None:
        assert await running.asked(policy(recipient="a@shop.example")) == f"action=FILTER {GMAIL}\n\n"
        assert running.said(ProviderAsked) == [ProviderAsked("routes", "shop.example")]
        running.tell(RouteNews({"shop.example": provider("")}))
        await until(lambda: running.server.follower.word[0] == running.server._seen)
        assert await running.asked(policy(recipient="a@shop.example")) == f"action=FILTER {BULK}\n\n"

    run(test, known=known)


@pytest.mark.parametrize(
    ("recipient", "action"),
    [
        ("a@localhost", f"FILTER {BULK}"),
        # It may be this machine's own mail.
        (f"a@{'x' * 250}.example", "DUNNO"),
        ("a@[192.0.2.1]", "DUNNO"),
        ("a", "DUNNO"),
    ],
)
def test_what_is_no_domain_is_never_asked_for(recipient: str, action: str) -> None:
    async def test(running: Running) -> None:
        assert await running.asked(policy(recipient=recipient)) == f"action={action}\n\n"
        assert running.said(ProviderAsked) == []

    run(test)


@pytest.mark.parametrize("recipient", ["a", "postmaster", "a@[192.0.2.1]", f"a@{'x' * 256}"])
def test_a_recipient_without_a_domain_is_not_answered(recipient: str) -> None:
    async def test(running: Running) -> None:
        assert await running.asked(policy(recipient=recipient)) == "action=DUNNO\n\n"
        assert await running.asked(f"get {recipient}\n".encode()) == "500 no route\n"
        assert running.said(ProviderAsked) == []

    run(test)


def test_a_host_that_a_provider_bars_is_not_dealt_where_nobody_knows_the_provider() -> None:
    one = target("spread", barred={"google": frozenset({"mta1", "mta2"})})

    async def test(running: Running) -> None:
        for _ in range(6):
            answer = await running.asked(b"get a@gmail.com\n")
            assert answer == f"200 relay:[mta3.{ZONE}]:25, [spread.{ZONE}]:25\n"
        for _ in range(6):
            sender = await running.asked(socketmap("sender", "news@x.example"))
            assert sender.endswith(f"OK relay:[mta3.{ZONE}]:25, [spread.{ZONE}]:25,")

    run(
        test,
        table(
            rule(1, "spread", sender=("news@*",), by_host=True),
            rule(2, "spread", by_host=True),
            targets=(one,),
        ),
    )


def test_a_host_that_a_provider_bars_is_not_dealt_where_the_look_up_failed() -> None:
    """It may be that provider's domain; where nobody runs it for certain, all are dealt."""
    known = {
        "failed.example": provider("", fresh=60, until=60),
        "nobody.example": provider(""),
        "yahoo.example": provider("yahoo"),
    }

    async def test(running: Running) -> None:
        for domain, hosts in (
            ("failed.example", {"mta3"}),
            ("nobody.example", {"mta1", "mta2", "mta3"}),
            ("yahoo.example", {"mta1", "mta2", "mta3"}),
        ):
            answers = {await running.asked(f"get a@{domain}\n".encode()) for _ in range(30)}
            dealt = {f"200 relay:[{host}.{ZONE}]:25, [spread.{ZONE}]:25\n" for host in hosts}
            assert answers == dealt, domain
        assert running.said(ProviderAsked) == []

    barred = target("spread", barred={"google": frozenset({"mta1", "mta2"})})
    run(test, table(rule(1, "spread", by_host=True), targets=(barred,)), known=known)


# --- bounds and ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"request=smtpd_access_policy\n" + b"a" * 100_001, id="policy"),
        pytest.param(b"99999999:x", id="netstring"),
        pytest.param(b"get " + b"a" * 100_001, id="line"),
        pytest.param(b"POST /route HTTP/1.1\r\n" + b"a" * 100_001, id="HTTP"),
    ],
)
def test_a_request_without_end_gets_the_protocols_error_and_is_closed(request_: bytes) -> None:
    async def test(running: Running) -> None:
        async with running.client() as (reader, writer):
            writer.write(request_)
            assert await asyncio.wait_for(reader.read(), 20)
        await until(lambda: not running.server.connections)

    run(test)


def test_half_a_request_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "HALF", 0.0)

    async def test(running: Running) -> None:
        async with running.client() as (idle, _), running.client() as (reader, writer):
            writer.write(socketmap("recipient", "a@x.bank.example") + b"12:rec")
            assert await socketmap_reply(reader) == f"OK {FAST}"
            assert await asyncio.wait_for(reader.read(), 20) == b""
            assert len(running.server.connections) == 1
            assert not idle.at_eof()

    run(test)


def test_who_asks_many_at_once_keeps_others_waiting_for_few_of_them() -> None:
    """Each turn of the loop has one of the many, so others wait for as many as their answer takes turns."""

    async def test(running: Running) -> None:
        async with running.client() as (_, many), running.client() as (reader, writer):
            await until(lambda: len(running.server.connections) == 2)
            many.write(policy(recipient="a@x.bank.example") * 1000)
            await until(running.counted)
            before = sum(running.counted().values())
            writer.write(socketmap("recipient", "a@x.bank.example"))
            assert await socketmap_reply(reader) == f"OK {FAST}"
            assert 0 < sum(running.counted().values()) - before < 32

    run(test)


def test_half_a_request_behind_several_turns_has_its_time_from_then_on() -> None:
    async def test(running: Running) -> None:
        async with running.client() as (reader, writer):
            one = socketmap("recipient", "a@x.bank.example")
            number = 2 * routes.TURN + 1
            writer.write(one * number + one[:5])
            for _ in range(number):
                assert await socketmap_reply(reader) == f"OK {FAST}"
            assert len(running.server.halves) == 1
            writer.write(one[5:])
            assert await socketmap_reply(reader) == f"OK {FAST}"
            assert not running.server.halves

    run(test)


def test_halves_of_requests_take_little_memory_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "HELD", 100_000)

    async def test(running: Running) -> None:
        async with contextlib.AsyncExitStack() as clients:
            for number in range(1, 4):
                _, writer = await clients.enter_async_context(running.client())
                writer.write(b"request=smtpd_access_policy\nsender=" + b"a" * 40_000)
                await until(lambda number=number: len(running.server.connections) == min(number, 2))  # type: ignore[misc]
                await until(lambda: all(one.held > 40_000 for one in running.server.halves))
            assert await running.asked(b"get a@x.bank.example\n") == f"200 {FAST}\n"

    run(test)


def test_whole_requests_that_wait_for_their_turn_are_no_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "HELD", 20_000)
    number = 3000

    async def asks(running: Running) -> int:
        async with running.client() as (reader, writer):
            writer.write(policy(recipient="a@x.bank.example") * number)
            writer.write_eof()
            return (await asyncio.wait_for(reader.read(), 60)).count(b"\n\n")

    async def test(running: Running) -> None:
        assert await asyncio.gather(*[asks(running) for _ in range(4)]) == [number] * 4

    run(test)


def test_who_has_gone_while_it_waited_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is read meanwhile, so nobody sees it."""

    async def test(running: Running) -> None:
        async with running.client() as (_, writer):
            gone = writer.get_extra_info("socket")
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.write(b"get a@shop.example\n")
            await until(lambda: running.said(ProviderAsked))
            writer.transport.abort()
            await asyncio.sleep(0)
        running.tell(RouteNews({"shop.example": provider("google")}))
        await until(lambda: not running.server.connections)
        assert caplog.text == ""

    run(test)


def test_the_one_that_was_idle_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "CONNECTIONS", 2)

    async def test(running: Running) -> None:
        async with running.client() as (first, ask_first), running.client() as (second, _):
            await until(lambda: len(running.server.connections) == 2)
            ask_first.write(socketmap("recipient", "a@x.bank.example"))
            assert await socketmap_reply(first) == f"OK {FAST}"
            async with running.client() as (third, ask_third):
                ask_third.write(socketmap("recipient", "a@x.bank.example"))
                assert await socketmap_reply(third) == f"OK {FAST}"
                assert await asyncio.wait_for(second.read(), 20) == b""

    run(test)


def test_the_end_answers_what_was_asked() -> None:
    """Also what waits for a provider; idle clients are told the end."""

    async def test(running: Running) -> None:
        async with running.client() as (reader, writer), running.client() as (idle, waiting):
            writer.write(policy(recipient="a@shop.example") + policy(recipient="a@x.bank.example"))
            await until(lambda: running.said(ProviderAsked))
            signal.raise_signal(signal.SIGTERM)
            assert await asyncio.wait_for(idle.read(), 20) == b""
            waiting.close()
            assert await policy_reply(reader) == f"action=FILTER {BULK}"
            assert await policy_reply(reader) == f"action=FILTER {FAST}"
            assert await asyncio.wait_for(reader.read(), 20) == b""

    run(test, end=False)


def test_a_fault_of_ours_costs_one_connection_and_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(running: Running) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(running.server.answerer, "answer", lambda *_, **__: 1 / 0)
            for _ in range(3):
                assert await running.asked(b"get a@x.bank.example\n") == ""
        assert await running.asked(b"get a@x.bank.example\n") == f"200 {FAST}\n"
        assert caplog.text.count("could not be answered") == 1

    run(test)


def test_malformed_requests_are_told_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def test(running: Running) -> None:
        for _ in range(5):
            await running.asked(b"\xff")
        assert caplog.text.count("malformed requests") == 1

    run(test)
