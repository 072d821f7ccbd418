"""DNS over TCP as clients try it: framing, pipelining, idling, and not reading (RFC 7766)."""

import contextlib
import resource
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import cpu_seconds
from geodns.serve.connections import client_key
from tests.integration.serving import LONG_QUERY, QUERY, Server, eventually, number_in, serving

FRAME = struct.pack(">H", len(QUERY)) + QUERY


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(workers=1, tcp={"idle": 1.0, "per_client": 20, "connections": 30}) as one:
        yield one


@contextlib.contextmanager
def connected(server: Server, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.bind((host, 0))
        client.connect(server.listen[0])
        yield client


def received(client: socket.socket) -> bytes:
    """Everything until the server closes; a reset counts as that."""
    data = bytearray()
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65536):
            data += part
    return bytes(data)


def asked(client: socket.socket) -> int:
    """The number in the answer to one query."""
    client.sendall(FRAME)
    (answer,) = messages(client.recv(65536))
    return number_in(answer)


def messages(data: bytes) -> list[bytes]:
    found = []
    while data:
        (length,) = struct.unpack_from(">H", data)
        assert len(data) >= 2 + length
        found.append(data[2 : 2 + length])
        data = data[2 + length :]
    return found


def with_id(serial: int) -> bytes:
    return FRAME[:2] + struct.pack(">H", serial) + FRAME[4:]


CASES = [
    pytest.param([FRAME], 1, id="one"),
    pytest.param([FRAME[:1], FRAME[1:]], 1, id="length-cut"),
    pytest.param([FRAME[:2], FRAME[2:]], 1, id="cut-behind-the-length"),
    pytest.param([FRAME[i : i + 1] for i in range(len(FRAME))], 1, id="a-byte-at-a-time"),
    pytest.param([FRAME * 3], 3, id="three-in-a-segment"),
    pytest.param([FRAME + FRAME[:9], FRAME[9:] + FRAME[:1], FRAME[1:]], 3, id="segments-across-queries"),
    pytest.param([FRAME + FRAME[:9]], 1, id="cut-off-by-the-end"),
    pytest.param([], 0, id="nothing"),
    pytest.param([b"\0\0"], 0, id="length-0"),
    pytest.param([FRAME, b"\0\0", FRAME], 1, id="length-0-in-between"),
    pytest.param([b"\0\5abcde"], 0, id="shorter-than-a-header"),
    pytest.param([FRAME[:4] + b"\x80" + FRAME[5:]], 0, id="a-response"),
    pytest.param([b"GET / HTTP/1.1\r\nHost: ns1\r\n\r\n"], 0, id="HTTP"),
    pytest.param([b"\xff" * 70_000], 0, id="garbage"),
]


@pytest.mark.parametrize(("segments", "answers"), CASES)
def test_framing(server: Server, segments: list[bytes], answers: int) -> None:
    with connected(server) as client:
        with contextlib.suppress(OSError):  # the server may have closed by now
            for segment in segments:
                client.sendall(segment)
                time.sleep(0.002)  # a segment of its own
            client.shutdown(socket.SHUT_WR)  # half open: what was asked is answered all the same
        found = messages(received(client))
    assert [number_in(one) for one in found] == [1] * answers


def test_pipelined_queries_are_answered_in_order(server: Server) -> None:
    with connected(server) as client:
        client.sendall(b"".join(with_id(serial) for serial in range(3000)))
        client.shutdown(socket.SHUT_WR)
        found = messages(received(client))
    assert [struct.unpack_from(">H", one)[0] for one in found] == list(range(3000))


def test_a_large_answer_is_whole(server: Server) -> None:
    with connected(server) as client:
        client.sendall(struct.pack(">H", len(LONG_QUERY)) + LONG_QUERY)
        client.shutdown(socket.SHUT_WR)
        (answer,) = messages(received(client))
    assert 50_000 < len(answer) <= 65_535
    assert not answer[2] & 0x02


def test_a_query_as_long_as_can_be_is_answered(server: Server) -> None:
    long = QUERY + bytes(65_535 - len(QUERY))
    with connected(server) as client:
        client.sendall(struct.pack(">H", len(long)) + long + FRAME)
        client.shutdown(socket.SHUT_WR)
        first, second = messages(received(client))
    assert first[:2] == QUERY[:2]
    assert len(first) < 1000
    assert number_in(second) == 1


@pytest.mark.parametrize("sent", [b"", FRAME[:7], FRAME], ids=["nothing", "part", "one"])
def test_an_idle_connection_is_closed(server: Server, sent: bytes) -> None:
    with connected(server) as client:
        client.sendall(sent)
        assert len(messages(whole(client))) == (sent == FRAME)  # an end, no reset


def test_a_byte_now_and_then_does_not_keep_a_connection(server: Server) -> None:
    with connected(server) as client:
        client.settimeout(0.2)

        def closed() -> bool:
            try:
                client.send(b"\0")
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        assert eventually(closed)


def test_what_counts_is_when_an_unfinished_query_began(server: Server) -> None:
    with connected(server) as client:
        time.sleep(0.7)
        begun = time.monotonic()
        client.sendall(FRAME[:7])
        time.sleep(0.7)
        client.sendall(FRAME[7:8])  # 1.4 s without a whole query, 0.7 s since this one began
        assert select.select([client], [], [], 0)[0] == []
        assert received(client) == b""
        assert time.monotonic() - begun > 0.9


def test_a_query_that_takes_its_time_is_answered(server: Server) -> None:
    with connected(server) as client:
        for part in (FRAME[:1], FRAME[1:8], FRAME[8:]):
            client.sendall(part)
            time.sleep(0.3)
        assert len(messages(client.recv(65536))) == 1


def test_a_client_that_does_not_read_is_dropped_and_holds_up_nobody(server: Server) -> None:
    with connected(server) as slow, connected(server) as other:
        slow.settimeout(0.2)
        flood = (struct.pack(">H", len(LONG_QUERY)) + LONG_QUERY) * 1000

        def dropped() -> bool:
            assert asked(other) == 1
            try:
                slow.sendall(flood)
            except TimeoutError:
                return False
            except ConnectionError:
                return True
            return False

        assert eventually(dropped)


def test_one_client_cannot_take_all_connections(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(connected(server)) for _ in range(25)]
        assert [received(client) for client in greedy[20:]] == [b""] * 5
        other = stack.enter_context(connected(server, "127.0.0.2"))
        assert asked(other) == 1


def test_past_the_bound_the_longest_idle_connection_goes(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        hosts = [f"127.0.1.{number}" for number in range(1, 32)]
        clients = [stack.enter_context(connected(server, host)) for host in hosts]
        assert asked(clients[-1]) == 1
        clients[0].settimeout(0.5)  # sooner than for being idle
        assert received(clients[0]) == b""


def test_an_ipv6_client_has_its_whole_64() -> None:
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:0:0:2") != client_key("2001:db8:0:1::1")
    assert client_key("fe80::1%eth0") == client_key("fe80::2")
    assert client_key("192.0.2.1") != client_key("192.0.2.2")


def test_nothing_of_this_ended_the_worker(server: Server) -> None:
    assert server.status()["workers"]["tcp"][2] == 0


def test_an_open_connection_sees_every_change() -> None:
    with serving(workers=1) as server, connected(server) as client:
        for number in range(2, 30):
            assert server.publish(names=2000 if number == 10 else None)["pending"] == []
            assert asked(client) == number


# --- no descriptors ------------------------------------------------------------------------------------


def test_few_descriptors_are_few_connections(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(workers=1, files=150) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(40)]
        assert asked(clients[-1]) == 1
        clients[0].settimeout(5)  # sooner than for being idle
        assert received(clients[0]) == b""
    said = capfd.readouterr().err
    assert "only 22 TCP connections at one time, not 1000: the limit of open files is 150 (" in said


def test_without_descriptors_it_neither_spins_nor_ends(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(workers=1) as server, contextlib.ExitStack() as stack:
        pid = server.pids()["tcp"]
        clients = [stack.enter_context(connected(server)) for _ in range(10)]
        assert [asked(client) for client in clients] == [1] * 10
        hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
        before = cpu_seconds(pid)
        late = stack.enter_context(connected(server, "127.0.0.2"))
        late.sendall(FRAME)
        assert received(clients[0]) == b""  # whoever was idle made room
        time.sleep(1.5)
        assert cpu_seconds(pid) - before < 0.5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (256, hard))
        assert number_in(messages(late.recv(65536))[0]) == 1
        assert server.pids()["tcp"] == pid
    said = capfd.readouterr().err
    assert said.count("no room for a TCP connection (Too many open files): those idle longest go") == 1
    assert "Traceback" not in said


# --- the end -------------------------------------------------------------------------------------------


def test_the_end_leaves_nobody_without_answers() -> None:
    with serving(workers=1) as server, contextlib.ExitStack() as stack:
        idle, busy, slow, half = (stack.enter_context(connected(server)) for _ in range(4))
        assert asked(idle) == 1
        for serial in range(20):
            busy.sendall(b"".join(with_id(100 * serial + one) for one in range(100)))
        slow.sendall((struct.pack(">H", len(LONG_QUERY)) + LONG_QUERY) * 20)  # a megabyte of answers
        half.sendall(FRAME[:9])
        server.process.terminate()
        time.sleep(0.2)
        half.sendall(FRAME[9:])
        # No reset: each takes all its answers, then sees the end.
        assert idle.recv(1) == b""
        assert [struct.unpack_from(">H", one)[0] for one in messages(whole(busy))] == list(range(2000))
        assert len(messages(whole(slow))) == 20
        assert len(messages(whole(half))) == 1
        for client in (idle, busy, slow, half):
            client.close()
        assert server.process.wait(5) == 0


def test_the_end_does_not_wait_for_clients_that_stay(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    with (
        log.open("wb") as stderr,
        serving(workers=1, stderr=stderr.fileno()) as server,
        connected(server) as idle,
        connected(server) as half,
    ):
        assert asked(idle) == 1
        half.sendall(FRAME[:9])
        server.process.terminate()
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError), connected(server):
            pass
        assert server.process.wait(9) == 0
        assert "killed" not in log.read_text(), "it ended by itself, and not when its grace was over"


def whole(client: socket.socket) -> bytes:
    """Everything until the server closes; a reset is an error."""
    data = bytearray()
    while part := client.recv(65536):
        data += part
    return bytes(data)
