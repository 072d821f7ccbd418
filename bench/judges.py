"""Who judges mail hosts: gdnsd's tcp_connect, HAProxy's smtpchk and geodns, each as a server that runs."""

import csv
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from bench.servers import GDNSD, GEODNS, NAME, geodns_command, running
from bench.sick import RECIPIENT
from geodns.errors import GeodnsError

EHLO = "probe.out.example.com"
CERTIFIED = "mta1.out.example.com"
"""The name in the hosts' certificates."""

Columns = Mapping[str, Mapping[IPv4Address, "Word"]]


class Word(NamedTuple):
    """What a judge says of a host.

    Attributes:
        up: whether it would send mail there.
        why: in its own words.

    """

    up: bool
    why: str


class Case(NamedTuple):
    """What is to be judged.

    Attributes:
        addresses: of the hosts.
        port: of them all.
        patience: seconds that a judge may wait for each thing that a host says.
        authority: the certificate to be trusted.

    """

    addresses: Sequence[IPv4Address]
    port: int
    patience: float
    authority: Path

    @property
    def within(self) -> float:
        """Seconds in which a judge must have made up its mind on all."""
        return 4 * self.patience + 20


class Judge(NamedTuple):
    """Somebody who judges; every judge makes up its mind by one result, so that none waits for the other.

    Attributes:
        columns: what it judges by.
        program: None is our own.
        package: of the distribution that has it.
        judge: does it, with a folder for its files.

    """

    columns: tuple[str, ...]
    program: str | None
    package: str
    judge: Callable[[Case, Path], Columns]

    @property
    def installed(self) -> bool:
        """Whether it can be started."""
        return self.program is None or shutil.which(self.program) is not None


def _poll(look: Callable[[], Columns | None], case: Case, who: str) -> Columns:
    """Return what is said once it is said of all."""
    end = time.monotonic() + case.within
    while time.monotonic() < end:
        with suppress(OSError):
            found = look()
            if found is not None and all(set(one) == set(case.addresses) for one in found.values()):
                return found
        time.sleep(0.1)
    raise GeodnsError(f"{who} has not judged all hosts within {case.within:.0f} s")


# --- gdnsd ---------------------------------------------------------------------------------------------


def _gdnsd(case: Case, folder: Path) -> Columns:
    def prepare(folder: Path, port: int) -> Sequence[str]:
        for name in ("zones", "run", "state"):
            (folder / name).mkdir()
        (folder / "zones" / NAME).write_text(
            "@ 3600 SOA ns1 hostmaster 1 3600 600 604800 30\n@ 3600 NS ns1\nns1 3600 A 192.0.2.53\n"
            "@ 30 DYNA multifo!all\n",
            "utf-8",
        )
        places = ", ".join(f"h{number} => {address}" for number, address in enumerate(case.addresses))
        (folder / "config").write_text(
            f"""\
options => {{
  listen => 127.0.0.1:{port}, udp_threads => 1, tcp_threads => 1
  run_dir => {folder}/run, state_dir => {folder}/state
}}
service_types => {{ smtp => {{
  plugin => tcp_connect, port => {case.port}, interval => 2, timeout => 1
  up_thresh => 1, ok_thresh => 1, down_thresh => 1
}} }}
plugins => {{ multifo => {{ service_types => smtp, all => {{ {places} }} }} }}
""",
            "utf-8",
        )
        return "gdnsd", "-c", str(folder), "start"

    def look() -> Columns:
        command = ("gdnsdctl", "-c", str(folder), "states")
        asked = subprocess.run(command, capture_output=True, timeout=20, check=True)
        states = {name: one["state"] for name, one in json.loads(asked.stdout).items()}
        return {
            "gdnsd": {
                address: Word(state.startswith("UP"), state)
                for address in case.addresses
                if (state := states.get(f"{address}/smtp"))
            }
        }

    with running(GDNSD._replace(prepare=prepare), folder):
        return _poll(look, case, "gdnsd")


# --- HAProxy -------------------------------------------------------------------------------------------

_GREETINGS = {"HAProxy HELO": "HELO", "HAProxy EHLO": "EHLO"}


def _haproxy(case: Case, folder: Path) -> Columns:
    folder.mkdir()
    at = folder / "stats"
    patience = f"{round(case.patience * 1000)}ms"  # it takes no fractions
    backends = "".join(
        f"backend {verb}\n  option smtpchk {verb} {EHLO}\n"
        + "".join(
            f"  server {one} {one}:{case.port} check inter 2s rise 1 fall 1\n" for one in case.addresses
        )
        for verb in _GREETINGS.values()
    )
    (folder / "conf").write_text(
        f"global\n  stats socket {at}\n"
        "defaults\n  mode tcp\n  timeout server 10s\n"
        f"  timeout connect {patience}\n  timeout check {patience}\n{backends}",
        "utf-8",
    )

    def look() -> Columns:
        if process.poll() is not None:
            raise GeodnsError(f"HAProxy ended:\n{(folder / 'log').read_text('utf-8', 'replace')}")
        rows = list(_haproxy_states(at))
        return {
            column: {
                IPv4Address(row["svname"]): Word(row["status"] == "UP", _haproxy_words(row))
                for row in rows
                # A star: the first check is under way.
                if row["pxname"] == verb and row["check_status"].lstrip("* ") != "INI"
            }
            for column, verb in _GREETINGS.items()
        }

    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(folder / "conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        with process:
            try:
                return _poll(look, case, "HAProxy")
            finally:
                process.kill()


def _haproxy_states(at: Path) -> Iterable[Mapping[str, str]]:
    """Yield the row of each server of the statistics."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(at))
        client.sendall(b"show stat -1 4 -1\n")
        with client.makefile(encoding="utf-8") as answer:
            yield from csv.DictReader(line.removeprefix("# ") for line in answer if line.strip())


def _haproxy_words(row: Mapping[str, str]) -> str:
    return f"{row['check_status'].lstrip('* ')} {row['last_chk']}".strip()


# --- geodns --------------------------------------------------------------------------------------------

MORE = f"starttls: verified, rcpt_to: {RECIPIENT}"
_CHECKS = {"geodns smtp": "smtp", "geodns, asked for more": "more"}


def _geodns(case: Case, folder: Path) -> Columns:
    def prepare(folder: Path, port: int) -> Sequence[str]:
        (folder / "zones").mkdir()
        times = (
            f"port: {case.port}, ehlo: {EHLO}, interval: 2s, rise: 1, fall: 1, "
            + ", ".join(f"{key}: {case.patience}s" for key in ("greeting_timeout", "step_timeout"))
            + f", timeout: {2 * case.patience}s"
        )
        hosts = "".join(
            f"  h{number}: {{address: 192.0.2.{number + 1}, probe: {address}}}\n"
            for number, address in enumerate(case.addresses)
        )
        # A pool each: of one pool most of whose hosts fail at once it would suspect its own network first.
        pools = "".join(
            f"  h{number}: {{hosts: h{number}, check: [smtp, more]}}\n"
            for number, _ in enumerate(case.addresses)
        )
        (folder / "zones" / f"{NAME}.yaml").write_text(
            f"""\
ns: {{ns1: 192.0.2.53}}
checks:
  smtp: {{type: smtp, {times}}}
  more: {{type: smtp, {MORE}, sni: {CERTIFIED}, {times}}}
hosts:
{hosts}pools:
{pools}records:
  "@": {{A: {{pool: h0}}, MX: "0 ."}}
""",
            "utf-8",
        )
        return "env", f"SSL_CERT_FILE={case.authority}", *geodns_command(folder, port)

    def look() -> Columns | None:
        said = re.search(r"^ready: .* http (\S+)", (folder / "log").read_text("utf-8"), re.MULTILINE)
        if said is None:
            return None
        with urllib.request.urlopen(f"http://{said[1]}/status", timeout=5) as answer:
            hosts = json.load(answer)["hosts"][NAME]
        return {
            column: {
                address: Word(check["state"] == "up", f"{check['state']}: {check['detail']}")
                for number, address in enumerate(case.addresses)
                for check in hosts[f"h{number}"]["checks"]
                if check["check"] == name and check["state"] != "unknown"
            }
            for column, name in _CHECKS.items()
        }

    with running(GEODNS._replace(prepare=prepare), folder):
        return _poll(look, case, "geodns")


JUDGES = (
    Judge(("gdnsd",), "gdnsd", GDNSD.package, _gdnsd),
    Judge(tuple(_GREETINGS), "haproxy", "haproxy", _haproxy),
    Judge(tuple(_CHECKS), None, "", _geodns),
)
