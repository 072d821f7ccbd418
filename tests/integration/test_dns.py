"""What a real server answers, as real clients and a second library read it."""

import random
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.integration import richzone
from tests.integration.cluster import ANSWER, Server, serving
from tests.integration.mailhosts import mail_hosts
from tests.integration.richzone import NAME

CYCLES = "cycles.example.com"
POOLS = {
    "plain": ({"a": 5, "b": 3, "c": 2}, 2),
    "heavy": ({"a": 7, "b": 2, "c": 1}, 2),
    "one": ({"a": 5, "b": 3, "c": 2}, 1),
    "all": ({"a": 5, "b": 3, "c": 2}, 3),
    "wide": ({"a": 9, "b": 7, "c": 5, "d": 3, "e": 1, "f": 0}, 4),
}


def cycles_text(probe: str) -> str:
    names = sorted({host for weights, _ in POOLS.values() for host in weights})
    hosts = [
        f'  {name}: {{address: 192.0.2.{number}, probe: "{probe}"}}' for number, name in enumerate(names, 1)
    ]
    pools = [
        f"  {pool}: {{hosts: {{{', '.join(f'{host}: {weight}' for host, weight in weights.items())}}}, "
        f"check: smtp, answers: {answers}}}"
        for pool, (weights, answers) in POOLS.items()
    ]
    records = [f"  {pool}: {{A: {{pool: {pool}}}, MX: {{pool: {pool}, preference: 1}}}}" for pool in POOLS]
    return "\n".join(["ns: {ns1: 192.0.2.53}", "hosts:", *hosts, "pools:", *pools, "records:", *records, ""])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One mail host stands behind all hosts of both zones; two listeners of IPv4 and one of IPv6."""
    with mail_hosts("mta1") as hosts:
        probe = hosts["mta1"].endpoint
        texts = {NAME: richzone.yaml(probe), CYCLES: cycles_text(probe)}
        listen = ("127.0.0.1:0", "[::1]:0", "127.0.0.2:0")
        with serving(tmp_path_factory.mktemp("dns"), texts, listen=listen) as running:
            yield running


def exchange(server: Server, packet: bytes, *, tcp: bool = False, at: int = 0) -> bytes:
    """Send bytes, and return the bytes that come back."""
    host, port = server.listen[at]
    if tcp:
        with socket.create_connection((host, port), ANSWER) as connection:
            connection.sendall(len(packet).to_bytes(2, "big") + packet)
            with connection.makefile("rb") as stream:
                return stream.read(int.from_bytes(stream.read(2), "big"))
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ANSWER)
        client.connect((host, port))
        client.send(packet)
        return client.recv(65535)


# --- the oracle ----------------------------------------------------------------------------------------


def test_every_name_and_type_is_answered_as_rfc_1034_says_and_to_the_last_byte(server: Server) -> None:
    (soa,) = server.ask(NAME, "SOA").answer[0]
    oracle = richzone.zone(f"{soa.refresh} {soa.retry} {soa.expire}")
    names = richzone.names(oracle)
    assert len(names) > 90
    shapes = [(-1, 0), (0, 4096), (0, 1232)]
    for number, (name, rtype) in enumerate((name, rtype) for name in names for rtype in richzone.TYPES):
        edns, payload = shapes[number % 3]
        query = dns.message.make_query(name, rtype, use_edns=edns, payload=payload, flags=0)
        for tcp in (False, True) if number % 10 == 0 else (False,):
            packet = exchange(server, query.to_wire(), tcp=tcp)
            answer = dns.message.from_wire(packet)  # refuses trailing bytes and pointers that lead astray
            where = f"{name} {rtype} {'tcp' if tcp else 'udp'}\n{answer}"
            assert query.is_response(answer), where
            if answer.flags & dns.flags.TC:
                assert not tcp, where
                assert [answer.answer, answer.authority, answer.additional] == [[], [], []], where
                answer = dns.message.from_wire(exchange(server, query.to_wire(), tcp=True))
            assert not answer.flags & (dns.flags.RA | dns.flags.TC | dns.flags.AD | dns.flags.RD), where
            assert answer.edns == query.edns, where
            referred = bool(answer.authority) and answer.authority[0].rdtype == dns.rdatatype.NS
            assert bool(answer.flags & dns.flags.AA) is not (referred and not answer.answer), where
            try:
                richzone.check(oracle, answer)
            except AssertionError as error:
                raise AssertionError(where) from error


def test_questions_come_back_in_the_letters_they_were_asked_in(server: Server) -> None:
    chance = random.Random(20)
    for name in (NAME, f"mta1.{NAME}", f"any.old.{NAME}", f"chain.{NAME}", f"nope.{NAME}", f"x.child.{NAME}"):
        for tcp in (False, True):
            mixed = "".join(chance.choice((letter.upper(), letter.lower())) for letter in name)
            query = dns.message.make_query(mixed, "A", flags=0).to_wire()
            answer = exchange(server, query, tcp=tcp)
            assert answer[12 : len(query)] == query[12:]
            lower = dns.message.from_wire(exchange(server, query.lower(), tcp=True))
            assert dns.message.from_wire(answer).rcode() == lower.rcode()


# --- the protocol --------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 2], ids=["127.0.0.1", "::1", "127.0.0.2"])
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_every_listener_answers(server: Server, at: int, tcp: bool) -> None:
    assert server.ask(f"mta1.{NAME}", at=at, tcp=tcp).answer[0][0].address == "192.0.2.11"


def test_listeners_that_are_given_port_0_are_on_free_ports_of_both_transports(server: Server) -> None:
    assert [host for host, _ in server.listen] == ["127.0.0.1", "::1", "127.0.0.2"]
    assert all(port for _, port in server.listen)


class Case(NamedTuple):
    name: str
    rtype: str
    rcode: str
    authoritative: bool
    answer: str = ""
    authority: str = ""


CASES = {
    "apex SOA": Case(NAME, "SOA", "NOERROR", True, "SOA"),
    "apex NS": Case(NAME, "NS", "NOERROR", True, "NS"),
    "no such name": Case(f"nope.{NAME}", "A", "NXDOMAIN", True, "", "SOA"),
    "no such type": Case(f"static.{NAME}", "MX", "NOERROR", True, "", "SOA"),
    "empty non-terminal": Case(f"b.c.{NAME}", "A", "NOERROR", True, "", "SOA"),
    "wildcard": Case(f"any.wild.{NAME}", "A", "NOERROR", True, "A"),
    "wildcard stops below an exact name": Case(f"x.exact.wild.{NAME}", "A", "NXDOMAIN", True, "", "SOA"),
    "chain": Case(f"chain.{NAME}", "A", "NOERROR", True, "CNAME CNAME A"),
    "chain that leaves": Case(f"away.{NAME}", "A", "NOERROR", True, "CNAME"),
    "chain to nothing": Case(f"lost.{NAME}", "A", "NXDOMAIN", True, "CNAME", "SOA"),
    "referral": Case(f"www.child.{NAME}", "A", "NOERROR", False, "", "NS"),
    "outside": Case("www.example.net", "A", "REFUSED", False),
    "above": Case("example.com", "SOA", "REFUSED", False),
    "zone transfer": Case(NAME, "AXFR", "REFUSED", False),
    "any": Case(f"mta1.{NAME}", "ANY", "NOERROR", True, "HINFO"),
    "any of no name": Case(f"nope.{NAME}", "ANY", "NXDOMAIN", True, "", "SOA"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_answer(server: Server, case: Case, tcp: bool) -> None:
    query = dns.message.make_query(case.name, case.rtype, flags=0)
    answer = dns.message.from_wire(exchange(server, query.to_wire(), tcp=tcp))
    assert dns.rcode.to_text(answer.rcode()) == case.rcode
    assert bool(answer.flags & dns.flags.AA) is case.authoritative
    assert " ".join(dns.rdatatype.to_text(one.rdtype) for one in answer.answer) == case.answer
    assert " ".join(dns.rdatatype.to_text(one.rdtype) for one in answer.authority) == case.authority


def test_referral_has_the_glue_of_the_servers_inside(server: Server) -> None:
    answer = server.ask(f"www.child.{NAME}")
    assert sorted(str(one.target) for one in answer.authority[0]) == [
        f"ns.child.{NAME}.",
        "ns.elsewhere.example.",
    ]
    assert {str(record) for one in answer.additional for record in one} == {"192.0.2.99", "2001:db8::99"}


SIZES = [(None, 512), (0, 512), (512, 512), (700, 700), (1232, 1232), (4096, 1232), (65535, 1232)]


@pytest.mark.parametrize(("size", "limit"), SIZES, ids=str)
def test_udp_answers_are_as_large_as_the_client_takes_and_no_larger_than_1232(
    server: Server, size: int | None, limit: int
) -> None:
    for name in ("long", "many"):
        query = dns.message.make_query(
            f"{name}.{NAME}", "TXT", use_edns=-1 if size is None else 0, payload=size or 0, flags=0
        )
        whole = exchange(server, query.to_wire(), tcp=True)
        packet = exchange(server, query.to_wire())
        answer = dns.message.from_wire(packet)
        assert len(packet) <= limit
        assert bool(answer.flags & dns.flags.TC) is (len(whole) > limit)
        assert bool(answer.answer) is (len(whole) <= limit)
        assert not dns.message.from_wire(whole).flags & dns.flags.TC


def test_edns_version_1_is_badvers(server: Server) -> None:
    query = dns.message.make_query(NAME, "A", use_edns=1, flags=0)
    assert dns.message.from_wire(exchange(server, query.to_wire())).rcode() == dns.rcode.BADVERS


def test_many_queries_on_one_tcp_connection_are_all_answered(server: Server) -> None:
    queries = [
        dns.message.make_query(f"mta{number % 3 + 1}.{NAME}", "A", flags=0, id=number)
        for number in range(200)
    ]
    wires = [query.to_wire() for query in queries]
    host, port = server.listen[0]
    with socket.create_connection((host, port), ANSWER) as connection:
        connection.sendall(b"".join(len(wire).to_bytes(2, "big") + wire for wire in wires))
        with connection.makefile("rb") as stream:
            answers = [
                dns.message.from_wire(stream.read(int.from_bytes(stream.read(2), "big"))) for _ in wires
            ]
    by_id = {answer.id: answer for answer in answers}
    assert all(query.is_response(by_id[query.id]) for query in queries)


# --- weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rtype", ["A", "MX"])
@pytest.mark.parametrize("pool", POOLS)
def test_one_cycle_of_queries_from_one_socket_meets_the_weights_exactly(
    server: Server, pool: str, rtype: str
) -> None:
    weights, answers = POOLS[pool]
    total = sum(weights.values())
    cycle = total * (1024 // total)
    hosts = dict(zip((str(number) for number in range(1, 9)), sorted(POOLS["wide"][0]), strict=False))
    first: Counter[str] = Counter()
    uniform: Counter[str] = Counter()
    query = dns.message.make_query(f"{pool}.{CYCLES}", rtype, flags=0).to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ANSWER)
        client.connect(server.listen[0])
        for _ in range(cycle):
            client.send(query)
            (rrset,) = dns.message.from_wire(client.recv(4096), one_rr_per_rrset=False).answer
            names = [_host(str(record), hosts) for record in rrset]
            assert 1 <= len(names) <= answers
            first[names[0]] += 1
            for name in names:
                uniform[name] += Fraction(1, len(names))  # type: ignore[assignment]
    wanted = {host: weight * cycle // total for host, weight in weights.items() if weight}
    assert dict(first) == wanted
    assert dict(uniform) == wanted


def _host(record: str, by_octet: dict[str, str]) -> str:
    """Name the host of an A record's or an MX record's text."""
    if " " in record:
        return record.split()[1].partition(".")[0]
    return by_octet[record.rpartition(".")[2]]


# --- programs ------------------------------------------------------------------------------------------

INSTALL = "apt-get install bind9-dnsutils knot-dnsutils ldnsutils"


def run_client(client: str, server: Server, at: int, tcp: bool, name: str, rtype: str) -> str:
    program = shutil.which(client)
    if program is None:
        pytest.skip(f"{client} is not here: {INSTALL}")
    host, port = server.listen[at]
    if client == "drill":
        arguments = [f"-p{port}", *(["-t"] if tcp else []), "-o", "rd", name, f"@{host}", rtype]
    else:
        retries = "+tries=1" if client == "dig" else "+retry=0"
        arguments = [f"@{host}", "-p", str(port), "+norec", "+time=5", retries, name, rtype]
        arguments += ["+tcp"] if tcp else []
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    complaints = [line for line in said.splitlines() if "warning" in line.lower() and "truncated" not in line]
    assert not complaints
    return done.stdout


def rows(text: str) -> list[tuple[str, ...]]:
    """The records a client printed: owner, type and value."""
    found = (line.split() for line in text.splitlines() if line and not line.startswith(";"))
    return [(row[0].lower(), row[3], " ".join(row[4:])) for row in found]


@pytest.mark.parametrize("client", ["dig", "kdig", "drill"])
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("at", [0, 1], ids=["ipv4", "ipv6"])
class TestClients:
    def test_pool(self, server: Server, client: str, tcp: bool, at: int) -> None:
        text = run_client(client, server, at, tcp, NAME, "A")
        assert "NOERROR" in text
        records = rows(text)
        assert {(f"{NAME}.", "A")} == {record[:2] for record in records}
        assert {record[2] for record in records} <= {"192.0.2.11", "192.0.2.12", "192.0.2.13"}

    def test_no_such_name(self, server: Server, client: str, tcp: bool, at: int) -> None:
        text = run_client(client, server, at, tcp, f"nope.{NAME}", "A")
        assert "NXDOMAIN" in text
        ((owner, rtype, value),) = rows(text)
        assert (owner, rtype) == (f"{NAME}.", "SOA")
        assert value.startswith(f"ns1.{NAME}. hostmaster.{NAME}. 7 ")

    def test_chain(self, server: Server, client: str, tcp: bool, at: int) -> None:
        first, second, *rest = rows(run_client(client, server, at, tcp, f"chain.{NAME}", "A"))
        assert first == (f"chain.{NAME}.", "CNAME", f"link.{NAME}.")
        assert second == (f"link.{NAME}.", "CNAME", f"bulk.{NAME}.")
        assert len(rest) == 2
        assert all(record[2].startswith("198.51.100.1") for record in rest)

    def test_large_answer_comes_whole(self, server: Server, client: str, tcp: bool, at: int) -> None:
        text = run_client(client, server, at, tcp, f"many.{NAME}", "TXT")
        if client == "drill" and not tcp:  # the others come back over TCP by themselves
            assert " tc " in text
            assert not rows(text)
        else:
            assert len(rows(text)) == 40
