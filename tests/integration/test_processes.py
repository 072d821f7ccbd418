"""The processes as operators meet them: killed, stopped, started again, and changed under load."""

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration import product
from tests.integration.serving import (
    Load,
    Server,
    ask,
    eventually,
    gone,
    number_in,
    process_state,
    refused,
    serving,
)


def stopped_cleanly(server: Server, number: signal.Signals) -> int:
    server.process.send_signal(number)
    return server.process.wait(10)


# --- start and end -------------------------------------------------------------------------------------


def test_answers_over_udp_and_tcp_on_the_port_that_was_taken() -> None:
    with serving() as server:
        (address,) = server.listen
        assert address[1] != 0
        assert number_in(ask(address)) == 1
        with socket.create_connection(address, timeout=5):
            pass


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["UDP", "TCP"])
def test_port_taken(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        done = refused(listen=[["127.0.0.1", port]])
    name = {socket.SOCK_DGRAM: "UDP", socket.SOCK_STREAM: "TCP"}[kind]
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"geodns.errors.StartError: 127.0.0.1:{port}: port taken ({name}): "
        "another name server? give --listen another port"
    )


def test_port_taken_by_a_second_server() -> None:
    with serving() as server:
        done = refused(listen=server.listen)
        assert done.returncode == 1
        assert "port taken (UDP)" in done.stderr
        assert number_in(ask(server.listen[0])) == 1


def test_control_that_ends_before_the_first_table_gives_its_status() -> None:
    assert refused(status=7).returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_ends_cleanly(number: signal.Signals) -> None:
    with serving() as server:
        pids = server.pids()
        assert set(pids) == {"control", "udp0", "udp1", "tcp"}
        assert stopped_cleanly(server, number) == 0
        assert [name for name, pid in pids.items() if not gone(pid)] == []


def test_ends_cleanly_under_load() -> None:
    with serving() as server, Load(server.listen[0], patience=0.2) as load:
        assert load.wait_for_more()
        pids = server.pids()
        server.process.terminate()
        # The clients' ports are refused from now on, or their queries are not answered.
        load.__exit__()
        assert server.process.wait(10) == 0
        assert [name for name, pid in pids.items() if not gone(pid)] == []


def test_a_control_that_hangs_is_killed_at_the_end() -> None:
    with serving(constants={product.GRACE: 0.5}) as server:
        pids = server.pids()
        os.kill(pids["control"], signal.SIGSTOP)
        assert stopped_cleanly(server, signal.SIGTERM) == 0
        assert gone(pids["control"])


def test_nothing_outlives_a_supervisor_that_is_killed() -> None:
    with serving() as server:
        pids = server.pids()
        server.process.kill()
        server.process.wait()
        assert eventually(lambda: all(gone(pid) for pid in pids.values()))


def test_hangup_is_passed_on_to_control() -> None:
    with serving() as server:
        server.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: server.status()["reloads"] == 1)


# --- deaths and hangs under load -----------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["udp0", "udp1", "tcp"])
def test_a_worker_that_is_killed_is_back_with_the_current_table(victim: str) -> None:
    with serving() as server:
        assert server.publish() == {"number": 2, "pending": []}
        with Load(server.listen[0], clients=8, patience=0.2) as load:
            load.least = 2
            assert load.wait_for_more()
            pid = server.pids()[victim]
            os.kill(pid, signal.SIGKILL)
            assert eventually(lambda: server.status()["workers"][victim][1:] == [2, 1])
            assert load.wait_for_more()
        assert load.stale == []
        assert server.pids()[victim] != pid
        assert server.publish() == {"number": 3, "pending": []}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda one: one.name)
def test_answers_go_on_without_control(number: signal.Signals) -> None:
    with serving(constants={product.CONTROL_BACKOFF: [1.0, 1.0]}) as server:
        pid = server.pids()["control"]
        with Load(server.listen[0]) as load:
            os.kill(pid, number)
            for _ in range(3):
                assert load.wait_for_more()
                time.sleep(0.1)
            if number == signal.SIGSTOP:
                os.kill(pid, signal.SIGCONT)
            assert server.publish()["pending"] == []
        assert load.lost == 0


def test_the_next_control_knows_the_workers_and_goes_on() -> None:
    with serving() as server:
        before = server.pids()
        os.kill(before["udp0"], signal.SIGKILL)
        assert eventually(lambda: server.status()["workers"]["udp0"][1:] == [1, 1])
        os.kill(before["control"], signal.SIGKILL)
        after = server.status()
        assert after["pid"] != before["control"]
        assert after["workers"]["udp0"][2] == 1
        assert after["workers"]["udp1"] == [before["udp1"], 2, 0]
        assert number_in(ask(server.listen[0])) == 2


def test_control_that_dies_half_way_leaves_nothing_half() -> None:
    with serving() as server:
        with Load(server.listen[0]) as load:
            with pytest.raises((ConnectionError, json.JSONDecodeError)):
                server.tell("half-way", signal.SIGKILL)
            assert server.publish() == {"number": 3, "pending": []}
            load.least = 3
            assert load.wait_for_more()
        assert load.lost == 0
        assert load.stale == []


def test_a_worker_that_is_started_half_way_comes_out_right() -> None:
    with serving() as server, ThreadPoolExecutor() as pool:
        pids = server.pids()
        with Load(server.listen[0], clients=8, patience=0.2) as load:
            whole = pool.submit(server.tell, "half-way", signal.SIGSTOP)
            assert eventually(lambda: process_state(pids["control"]) == "T")
            os.kill(pids["udp0"], signal.SIGKILL)
            assert eventually(lambda: gone(pids["udp0"]))
            assert load.wait_for_more()
            os.kill(pids["control"], signal.SIGCONT)
            assert whole.result() == {"number": 2, "pending": []}
            load.least = 2
            assert load.wait_for_more()
        assert load.stale == []
        assert server.status()["workers"]["udp0"][1:] == [2, 1]


def test_a_worker_that_is_stopped_blocks_nobody() -> None:
    with serving() as server:
        pid = server.pids()["udp1"]
        os.kill(pid, signal.SIGSTOP)
        for number in range(2, 12):
            assert server.publish(timeout=0.2) == {"number": number, "pending": ["udp1"]}
        os.kill(pid, signal.SIGCONT)
        assert eventually(lambda: server.status()["workers"]["udp1"] == [pid, 11, 0])


def test_a_worker_that_never_reads_is_replaced() -> None:
    with serving(constants={product.MAX_BACKLOG: 100_000, product.STALLED: 0.5}) as server:
        os.kill(server.pids()["udp1"], signal.SIGSTOP)
        first = server.publish(timeout=1, names=20_000)
        assert set(first["pending"]) <= {"udp1"}  # nothing is left where it was replaced by then
        assert server.publish() == {"number": 3, "pending": []}
        assert {name: one[2] for name, one in server.status()["workers"].items()} == {
            "udp0": 0,
            "udp1": 1,
            "tcp": 0,
        }


# --- changes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listen",
    [[["127.0.0.1", 0]], [["127.0.0.1", 0], ["127.0.0.1", 0]]],
    ids=["blocking", "epoll"],
)
def test_no_answer_is_older_than_what_was_delivered(listen: list[list[object]]) -> None:
    with serving(listen=listen) as server, Load(server.listen[0], clients=6) as load:
        for _ in range(60):
            reply = server.publish()
            assert reply["pending"] == []
            load.least = reply["number"]
        assert load.wait_for_more()
    assert load.stale == []
    assert load.lost == 0


def test_idle_workers_take_changes_too() -> None:
    with serving() as server:
        for number in range(2, 7):
            assert server.publish() == {"number": number, "pending": []}
        assert number_in(ask(server.listen[0])) == 6


def test_a_large_change_loses_no_query() -> None:
    with serving(names=50_000) as server, Load(server.listen[0]) as load:
        for number in (2, 3):
            assert server.publish(names=50_000) == {"number": number, "pending": []}
            load.least = number
        # A small one right behind a large one comes out in order.
        assert server.publish() == {"number": 4, "pending": []}
        load.least = 4
        assert load.wait_for_more()
    assert load.lost == 0
    assert load.stale == []


def test_counts_add_up_over_workers_transports_and_restarts() -> None:
    with serving() as server:
        with Load(server.listen[0], clients=6) as load:
            assert load.wait_for_more()
        asked = sum(load.answered) + load.lost
        assert eventually(lambda: server.status()["counted"].get("udp") == asked)
        for pid in (server.pids()["udp0"], server.pids()["udp1"]):
            os.kill(pid, signal.SIGTERM)  # a worker that ends hands in what it has
        for _ in range(10):
            ask(server.listen[0])
        assert eventually(lambda: server.status()["counted"].get("udp") == asked + 10)


# --- listeners -----------------------------------------------------------------------------------------


def test_several_listeners_of_both_families() -> None:
    listen = [["127.0.0.1", 0], ["::1", 0], ["127.0.0.3", 0]]
    with serving(listen=listen) as server:
        assert [host for host, _ in server.listen] == ["127.0.0.1", "::1", "127.0.0.3"]
        for address in server.listen:
            assert number_in(ask(address)) == 1
            with socket.create_connection(address, timeout=5):
                pass


@pytest.mark.parametrize(
    ("wildcard", "asked"),
    [
        pytest.param("0.0.0.0", ["127.0.0.1", "127.0.0.2", "127.1.2.3"], id="IPv4"),
        pytest.param("::", ["::1"], id="IPv6"),
    ],
)
def test_a_wildcard_answers_from_the_address_asked(wildcard: str, asked: list[str]) -> None:
    with serving(listen=[[wildcard, 0]]) as server:
        port = server.listen[0][1]
        for host in asked:
            assert number_in(ask((host, port))) == 1
            with socket.create_connection((host, port), timeout=5):
                pass


def test_both_wildcards_share_a_port() -> None:
    # Free for both transports: other tests take ports at the same time.
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as stream,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free,
    ):
        port = stream.getsockname()[1]
        free.bind(("::", port))
    with serving(listen=[["0.0.0.0", port], ["::", port], ["127.0.0.1", port]]):
        assert number_in(ask(("127.0.0.1", port))) == 1
        assert number_in(ask(("::1", port))) == 1


@pytest.mark.parametrize("size", [0, 1, 11, 512, 4096, 9000])
def test_garbage_stops_nobody(size: int) -> None:
    with serving(workers=1) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for octet in (0, 1, 0xC0, 0xFF):
                client.sendto(bytes((octet,)) * size, server.listen[0])
        assert number_in(ask(server.listen[0])) == 1
        assert server.status()["workers"]["udp0"][2] == 0
