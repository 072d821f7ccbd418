"""The well-known EDNS compliance set: a row for each test, asked with dig as its list of commands says."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.integration.cluster import Server, serving

ZONE = "edns.example"
TEXT = f"""\
soa: {{serial: 7}}
ns: {{ns1: 192.0.2.53}}
records:
  "@": {{TXT: [{", ".join(f'"{number:02}{"x" * 200}"' for number in range(10))}]}}
"""

pytestmark = pytest.mark.skipif(shutil.which("dig") is None, reason="no dig: apt-get install bind9-dnsutils")


@dataclass(frozen=True)
class Row:
    """A query, and what its answer must be.

    Attributes:
        dig: arguments; the zone's name follows.
        status: the RCODE.
        soa: whether the SOA is the answer.
        version: of the OPT record; None: there must be none.
        do: the DO bit.
        flags: header flags, sorted.
        options: names of the options that must come back; no other may.
        answers: in the answer section; None where it does not matter.
        opcode: of the answer.

    """

    dig: str
    status: str = "NOERROR"
    soa: bool = True
    version: int | None = 0
    do: bool = False
    flags: str = "aa qr"
    options: str = ""
    answers: int | None = None
    opcode: str = "QUERY"


def _refused(dig: str) -> Row:
    """What a version of EDNS that we do not know gets (RFC 6891 section 6.1.3)."""
    return Row(dig, "BADVERS", soa=False, flags="qr", answers=0)


PLAIN = "+noedns +noad +norec"
EDNS = "+edns=0 +nocookie +noad +norec"
EDNS1 = "+edns=1 +noednsneg +nocookie +noad +norec"
COOKIE = "+cookie=0102030405060708"

ROWS = {
    "dns": Row(f"{PLAIN} SOA", version=None),
    "aa": Row(f"{PLAIN} +aaflag SOA", version=None),
    "ad": Row("+noedns +ad +norec SOA", version=None),
    "cd": Row(f"{PLAIN} +cd SOA", version=None),
    "ra": Row(f"{PLAIN} +raflag SOA", version=None),
    "rd": Row("+noedns +noad +rec SOA", version=None, flags="aa qr rd"),
    "tc": Row(f"{PLAIN} +tcflag SOA", version=None),
    "zflag": Row(f"{PLAIN} +zflag SOA", version=None),
    "opcode": Row(f"{PLAIN} +header-only +opcode=15", "NOTIMP", soa=False, version=None, flags="qr",
                  opcode="RESERVED15"),
    "opcodeflg": Row("+noedns +header-only +opcode=15 +tcflag +rec +raflag +cd +ad +aaflag +zflag", "NOTIMP",
                     soa=False, version=None, flags="qr rd", opcode="RESERVED15"),
    "type666": Row(f"{PLAIN} TYPE666", soa=False, version=None, answers=0),
    "tcp": Row(f"{PLAIN} +tcp SOA", version=None),
    "edns": Row(f"{EDNS} SOA"),
    "edns1": _refused(f"{EDNS1} SOA"),
    "edns@512": Row(f"{EDNS} +dnssec +ignore +bufsize=512 TXT", soa=False, do=True, flags="aa qr tc"),
    "ednsopt": Row(f"{EDNS} +ednsopt=100 SOA"),
    "edns1opt": _refused(f"{EDNS1} +ednsopt=100 SOA"),
    "do": Row(f"{EDNS} +dnssec SOA", do=True),
    "docd": Row(f"{EDNS} +dnssec +cd SOA", do=True),
    "edns1do": Row(f"{EDNS1} +dnssec SOA", "BADVERS", soa=False, do=True, flags="qr"),
    "ednsflags": Row(f"{EDNS} +ednsflags=0x0080 SOA"),
    "ednsflags 0x40": Row(f"{EDNS} +ednsflags=0x0040 SOA"),
    "optlist": Row(f"+edns=0 +noad +norec +nsid +subnet=0.0.0.0/0 +expire {COOKIE} SOA",
                   options="CLIENT-SUBNET COOKIE NSID"),
    "ednsnsid": Row(f"{EDNS} +nsid SOA", options="NSID"),
    "ednscookie": Row(f"+edns=0 +noad +norec {COOKIE} SOA", options="COOKIE"),
    "ednsexpire": Row(f"{EDNS} +expire SOA"),
    "ednssubnet": Row(f"{EDNS} +subnet=0.0.0.0/0 SOA", options="CLIENT-SUBNET"),
    "edns1nsid": _refused(f"{EDNS1} +nsid SOA"),
    "edns1cookie": _refused(f"+edns=1 +noednsneg +noad +norec {COOKIE} SOA"),
    "edns1expire": _refused(f"{EDNS1} +expire SOA"),
    "edns1subnet": _refused(f"{EDNS1} +subnet=0.0.0.0/0 SOA"),
    "ednstcp": Row(f"{EDNS} +dnssec +bufsize=512 +tcp TXT", soa=False, do=True, answers=10),
    "bind11": Row(f"+edns=0 {COOKIE} +noad +norec +dnssec SOA", do=True, options="COOKIE"),
    "dig11": Row(f"+edns=0 {COOKIE} +ad +rec SOA", flags="aa qr rd", options="COOKIE"),
    # Beyond the set: what has come since, and other ways to ask.
    "edns100": _refused("+edns=100 +noednsneg +nocookie +noad +norec SOA"),
    "edns255": _refused("+edns=255 +noednsneg +nocookie +noad +norec SOA"),
    "ednsopt with data": Row(f"{EDNS} +ednsopt=65001:00112233445566 SOA"),
    "edns1 over tcp": _refused(f"{EDNS1} +tcp SOA"),
    "keepalive": Row(f"{EDNS} +keepalive SOA"),
    "keepalive over tcp": Row(f"{EDNS} +keepalive +tcp SOA", options="TCP KEEPALIVE"),
    "padding": Row(f"{EDNS} +padding=128 SOA"),
    "subnet v4": Row(f"{EDNS} +subnet=192.0.2.0/24 SOA", options="CLIENT-SUBNET"),
    "subnet v6": Row(f"{EDNS} +subnet=2001:db8::/56 SOA", options="CLIENT-SUBNET"),
    "cookie alone": Row(f"+edns=0 +noad +norec {COOKIE} +header-only", soa=False, flags="qr", answers=0,
                        options="COOKIE"),
    "cookie over tcp": Row(f"+edns=0 +noad +norec {COOKIE} +tcp SOA", options="COOKIE"),
    "edns@0": Row(f"{EDNS} +bufsize=0 SOA"),
    "edns@4096": Row(f"{EDNS} +ignore +bufsize=4096 TXT", soa=False, flags="aa qr tc"),
    "plain@512": Row(f"{PLAIN} +ignore TXT", soa=False, version=None, flags="aa qr tc"),
    "header only": Row(f"{PLAIN} +header-only", "FORMERR", soa=False, version=None, flags="qr"),
} | {
    f"opcode {number}": Row(f"{PLAIN} +header-only +opcode={number}", "NOTIMP", soa=False, version=None,
                            flags="qr", opcode=name)
    for number, name in ((1, "IQUERY"), (2, "STATUS"), (3, "RESERVED3"), (4, "NOTIFY"), (5, "UPDATE"),
                         (6, "RESERVED6"), (14, "RESERVED14"))
}  # fmt: skip

TYPES = [
    "A", "NS", "MD", "MF", "CNAME", "SOA", "MB", "MG", "MR", "NULL", "WKS", "PTR", "HINFO", "MINFO", "MX",
    "TXT", "RP", "AFSDB", "X25", "ISDN", "RT", "NSAP", "NSAP-PTR", "SIG", "KEY", "PX", "GPOS", "AAAA",
    "LOC", "NXT", "SRV", "NAPTR", "KX", "CERT", "A6", "DNAME", "APL", "DS", "SSHFP", "IPSECKEY", "RRSIG",
    "NSEC", "DNSKEY", "DHCID", "NSEC3", "NSEC3PARAM", "TLSA", "SMIMEA", "HIP", "CDS", "CDNSKEY",
    "OPENPGPKEY", "SPF", "NID", "L32", "L64", "LP", "EUI48", "EUI64", "URI", "CAA", "AVC", "DOA", "DLV",
    "TYPE1000",
]  # fmt: skip
"""Of its second set: each must be answered, with data or without."""


OPTION = re.compile(r"^; (COOKIE|NSID|CLIENT-SUBNET|EXPIRE|TCP KEEPALIVE|PAD|OPT=\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Said:
    """What dig printed of an answer."""

    text: str

    def one(self, pattern: str) -> str | None:
        found = re.search(pattern, self.text, re.MULTILINE)
        return found[1] if found else None

    def row(self, dig: str) -> Row:
        """What it was, in the terms of a row."""
        version = self.one(r"EDNS: version: (\d+)")
        return Row(
            dig,
            self.one(r"status: (\w+)") or "",
            re.search(rf"^{ZONE}\.\s+\d+\s+IN\s+SOA\s", self._answer(), re.MULTILINE) is not None,
            None if version is None else int(version),
            re.search(r"EDNS: .*flags:[^;]* do\b", self.text) is not None,
            " ".join(sorted((self.one(r"^;; flags: ([a-z ]*);") or "").split())),
            " ".join(sorted(set(OPTION.findall(self.text)))),
            int(self.one(r"ANSWER: (\d+)") or "0"),
            self.one(r"opcode: (\w+)") or "",
        )

    def _answer(self) -> str:
        return self.one(r"(?s);; ANSWER SECTION:\n(.*?)\n\n") or ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("edns"), {ZONE: TEXT}) as running:
        yield running


def dig(server: Server, arguments: str, *more: str) -> Said:
    host, port = server.listen[0]
    command = ["dig", f"@{host}", "-p", str(port), "+time=5", "+tries=1", *arguments.split(), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Said(done.stdout)


@pytest.mark.parametrize("name", ROWS)
def test_row(server: Server, name: str) -> None:
    row = ROWS[name]
    said = dig(server, row.dig, *(() if "header-only" in row.dig else (ZONE,)))
    found = said.row(row.dig)
    if row.answers is None:
        found = Row(**{**found.__dict__, "answers": None})
    assert found == row, said.text
    assert "MBZ" not in said.text, "an unknown flag came back"
    size = said.one(r"MSG SIZE\s+rcvd: (\d+)")
    assert "+tcp" in row.dig or int(size or 0) <= 1232
    assert "Warning" not in said.text.replace("query response not set", "")
    if "COOKIE" in row.options:
        assert re.search(r"^; COOKIE: 0102030405060708[0-9a-f]{32} \(good\)$", said.text, re.MULTILINE), (
            said.text
        )
    if "CLIENT-SUBNET" in row.options:
        (asked,) = re.findall(r"subnet=(\S+)", row.dig)
        assert f"; CLIENT-SUBNET: {asked}/0\n" in said.text, said.text


def test_every_type(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        for rtype, said in zip(
            TYPES, pool.map(lambda rtype: dig(server, f"{PLAIN} {rtype} {ZONE}"), TYPES), strict=True
        ):
            row = said.row("")
            assert (row.status, row.flags.replace(" tc", ""), row.version) == ("NOERROR", "aa qr", None), (
                rtype
            )
            has = {"SOA": 1, "NS": 1, "TXT": 10}
            assert (row.answers or 0) == has.get(rtype, 0), rtype
