"""``geodns query`` against a name server without DNS sockets of its own: a worker that answers one port."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result

from geodns.api.explain import explain
from geodns.cli import main
from geodns.compiler.compile import Compiled, compile_zones
from geodns.control.cluster import Cluster
from geodns.errors import ServerError, UsageError
from tests.answering import Answering, answering, status
from tests.sample_zones import NAME, TCP, Worker, sources, zone

TEXT = r"""
    hosts:
      mta1: {address: [192.0.2.11, "2001:0:0:1::11"], weight: 3}
      mta2: 192.0.2.12
    records:
      "@": {A: {pool: main}, AAAA: {pool: main}, MX: {pool: main, preference: 10}}
      www: {CNAME: "@"}
      fixed: {A: 192.0.2.99}
      evil: {TXT: '"\027[2J\155 owned"'}
      bücher: {A: 192.0.2.98, TYPE65280: '\# 2 abcd'}
      big: {TXT: [%s]}
    pools: {main: {hosts: [mta1, mta2], answers: 1}}
""" % ", ".join(f'"{number:>0250}"' for number in range(9))  # noqa: UP031 - braces belong to YAML


@contextmanager
def dns(worker: Worker) -> Iterator[str]:
    """Answer UDP and TCP from a worker on one free port."""
    tcp = socket.create_server(("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", port))
    turn = threading.Lock()

    def serve_udp() -> None:
        while True:
            packet, where = udp.recvfrom(4096)
            if not packet:
                return
            with turn:
                answer = worker.raw(packet)
            if answer is not None:
                udp.sendto(answer, where)

    def serve_tcp() -> None:
        while True:
            stream, _ = tcp.accept()
            with stream:
                length = stream.recv(2)
                if not length:
                    return
                with turn:
                    answer = worker.raw(stream.recv(int.from_bytes(length, "big")), TCP)
                assert answer is not None
                stream.sendall(len(answer).to_bytes(2, "big") + answer)

    threads = [threading.Thread(target=serve_udp), threading.Thread(target=serve_tcp)]
    for thread in threads:
        thread.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", port))
        socket.create_connection(("127.0.0.1", port)).close()
        for thread in threads:
            thread.join()
        tcp.close()
        udp.close()


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        yield found


@pytest.fixture
def listen(fake: Answering) -> Iterator[str]:
    with dns(Worker(zone(TEXT))) as where:
        fake.give("GET /status", status(listen=[where]))
        yield where


def run(fake: Answering, *arguments: str, explained: tuple[str, str] | None = None) -> Result:
    one = zone(TEXT)
    cluster = Cluster({}, {}, {}, {})
    cluster.serve_zones(compile_zones(Compiled(), sources(one), cluster.live()), 0)
    if explained is None:
        fake.give("GET /api/v1/explain", {"error": "it is in no zone that is served"}, status=404)
    else:
        fake.give("GET /api/v1/explain", explain(cluster, *explained))
    return CliRunner().invoke(main.geodns, ["query", *arguments, "--server", fake.url])


@pytest.mark.usefixtures("listen")
def test_no_answer_reaches_the_terminal_as_it_is(fake: Answering) -> None:
    result = run(fake, f"evil.{NAME}", "TXT", explained=(f"evil.{NAME}", "TXT"))
    assert "owned" in result.output
    assert all(line.isprintable() for line in result.output.split("\n")), result.output


@pytest.mark.usefixtures("listen")
@pytest.mark.parametrize(
    ("name", "rtype", "lines"),
    [
        pytest.param(
            NAME, "A", ["; pool main, dealt from main, TTL 30: mta1 3, mta2 1", " is host mta"], id="A"
        ),
        pytest.param(NAME, "aaaa", ["; pool main, dealt from main", " is host mta1"], id="AAAA"),
        pytest.param(NAME, "MX", ["; pool main at preference 10, dealt from main", ". is host mta"], id="MX"),
        pytest.param(f"www.{NAME}", "A", ["; pool main, dealt from main", " is host mta"], id="an alias"),
        pytest.param(
            f"fixed.{NAME}", "A", ["192.0.2.99", "; fixed by the zone file: no pool is behind it"], id="fixed"
        ),
        pytest.param(f"bücher.{NAME}", "A", ["xn--bcher-kva", "192.0.2.98"], id="international"),
        pytest.param(f"fixed.{NAME}", "type1", ["192.0.2.99", "fixed by the zone file"], id="by number"),
        pytest.param(f"bücher.{NAME}", "TYPE65280", ["TYPE65280", "ABCD"], id="without a name"),
        pytest.param(f"mta1.{NAME}", "A", ["192.0.2.11 is host mta1", "no pool is behind"], id="own name"),
    ],
)
def test_the_answer_is_shown_with_who_is_behind_it(
    fake: Answering, name: str, rtype: str, lines: list[str]
) -> None:
    result = run(fake, name, rtype, explained=(name, rtype.upper()))
    assert result.exit_code == 0, result.output
    assert f";{name.replace('bücher', 'xn--bcher-kva')}." in result.output
    for line in lines:
        assert line in result.output


@pytest.mark.usefixtures("listen")
@pytest.mark.parametrize(
    ("name", "said"),
    [(f"nothing.{NAME}", "NXDOMAIN"), ("example.org", "REFUSED"), (f"big.{NAME}", "NOERROR")],
)
def test_an_answer_without_records_is_a_problem_found(fake: Answering, name: str, said: str) -> None:
    result = run(fake, name)
    assert result.exit_code == 1
    assert said in result.output
    assert "; it is in no zone that is served" in result.output


@pytest.mark.usefixtures("listen")
def test_a_name_that_does_not_exist_is_told_so(fake: Answering) -> None:
    name = f"mta9.{NAME}"
    result = run(fake, name, explained=(name, "A"))
    assert f"; there is no such name: did you mean mta2.{NAME}. or mta1.{NAME}.?" in result.output


@pytest.mark.usefixtures("listen")
@pytest.mark.parametrize("arguments", [[], ["--tcp"]], ids=["cut short over UDP", "asked over TCP"])
def test_a_long_answer_comes_whole(fake: Answering, arguments: list[str]) -> None:
    result = run(fake, f"big.{NAME}", "TXT", *arguments)
    assert result.exit_code == 0, result.output
    assert result.output.count("IN      TXT") + result.output.count("IN TXT") >= 9


def test_it_asks_where_it_is_told(fake: Answering, listen: str) -> None:
    fake.give("GET /status", status(listen=["127.0.0.1:1"]))
    assert run(fake, NAME, "--dns", listen).exit_code == 0
    assert not any(path == "/status" for _, path, _, _ in fake.asked)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        pytest.param([NAME, "NONSENSE"], UsageError, "NONSENSE is no record type: write A", id="no type"),
        pytest.param(["a..b"], UsageError, r"a\.\.b", id="no name"),
        pytest.param(["x" * 64], UsageError, "64", id="a label too long"),
        pytest.param([NAME, "--dns", "ns1"], UsageError, "has no port", id="no address"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(
    fake: Answering, arguments: list[str], error: type[Exception], said: str
) -> None:
    result = run(fake, *arguments)
    assert isinstance(result.exception, error)
    assert said.replace("\\", "") in str(result.exception)
    assert fake.asked == []


def test_where_nobody_answers_it_says_so(fake: Answering) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    result = run(fake, NAME, "--dns", where, "--tcp")
    assert isinstance(result.exception, ServerError)
    assert str(result.exception).startswith(f"{where}: ")
    assert "is `geodns serve` running there?" in str(result.exception)


def test_an_answer_that_is_no_dns_is_one_error(fake: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    with dns(Worker(zone(TEXT))) as where:
        monkeypatch.setattr(Worker, "raw", lambda *_: b"HTTP/1.1 400 Bad Request")
        result = run(fake, NAME, "--dns", where)
    assert isinstance(result.exception, ServerError)
