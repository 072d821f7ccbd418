"""`geodns probe`: one SMTP probe now, with the transcript and the verdict."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from geodns.control import find_host
from geodns.errors import BadNameError, GeodnsError, NotFoundError, UsageError
from geodns.health import probes
from geodns.health.outcome import Kind, Outcome, one_line
from geodns.model import BUILT_IN_CHECKS, Target, Zone, target_of
from geodns.names import labels_of
from geodns.scalars import parse_address, parse_endpoint
from geodns.zonefile import read_zones, zone_files

SMTP = BUILT_IN_CHECKS[0]
MAX_SHOWN = 500
"""Characters of a line of the transcript."""


@click.command()
@click.argument("host", metavar="HOST|ADDRESS[:PORT]")
@click.option(
    "--ehlo", metavar="NAME", help="The name to give; default: the check's, else this machine's own."
)
@click.option("--starttls", is_flag=True, help="STARTTLS must be offered and its handshake must work.")
@click.option("--tcp", is_flag=True, help="Only connect.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    metavar="SECONDS",
    help="For everything, instead of the check's limits.",
)
@click.option(
    "--zones",
    type=click.Path(path_type=Path),
    default="zones",
    show_default=True,
    help="The folder or file in which HOST is looked up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def probe(
    context: click.Context,
    host: str,
    ehlo: str | None,
    starttls: bool,
    tcp: bool,
    timeout: float | None,
    zones: Path,
    as_json: bool,
) -> None:
    """Probe a mail host now and show what is said.

    An ADDRESS (192.0.2.11, 192.0.2.11:2525, [2001:db8::11]:25) is probed by the built-in check. A HOST
    (mta1, mta1.out.example.com) is looked up in the zone files and probed as its pools have it, at each of
    its addresses. The exit status is 0 if all is well, else 1. No server need be running.
    """
    change: dict[str, Any] = {"starttls": "offered"} if starttls else {}
    if starttls and tcp:
        raise UsageError("--tcp only connects: leave out --starttls")
    if tcp:
        change["type"] = "tcp"
    if ehlo is not None:
        change["ehlo"] = _checked_name(ehlo)
    if timeout is not None:
        limits = ("connect_timeout", "greeting_timeout", "step_timeout", "timeout")
        change |= dict.fromkeys(limits, timeout)
    targets = dict.fromkeys(
        Target(check=one.check.model_copy(update=change), address=one.address, port=one.port)
        for one in find_targets(host, zones)
    )
    name = probes.own_name() if any(one.check.ehlo is None for one in targets) else None
    results = []
    for target in targets:
        transcript = Transcript(live=not as_json)
        if not as_json:
            click.echo(f"probe [{target.address}]:{target.port}, check {target.check.name}")
        outcome = asyncio.run(probes.probe(target, ehlo=name, transcript=transcript.take))
        transcript.end()
        results.append((target, outcome, transcript))
        if not as_json:
            click.echo(f"{outcome.kind}: {outcome.detail}{_after(outcome)}")
    good = all(outcome.kind is Kind.OK for _, outcome, _ in results)
    if as_json:
        click.echo(
            json.dumps({"host": host, "ok": good, "probes": [_shown(*one) for one in results]}, indent=2)
        )
    context.exit(0 if good else 1)


def _checked_name(text: str) -> str:
    literal = re.fullmatch(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]", text)
    if literal is not None and parse_address(literal[1]) is not None:
        return text
    instead = "write a domain name, or an address as [192.0.2.1]"
    try:
        labels = labels_of(text)
    except BadNameError as error:
        raise UsageError(f"--ehlo {error}: {instead}") from error
    if not labels:
        raise UsageError(f"--ehlo {text!r} is no name: {instead}")
    return text.removesuffix(".")


def find_targets(text: str, zones: Path) -> tuple[Target, ...]:
    """Return what an operator wants to have probed.

    Args:
        text: an address or a host of a zone file, either with a port or without.
        zones: where the zone files are.

    Raises:
        UsageError: no address and no name of a host.
        NotFoundError: no zone file has the host.
        AmbiguousError: the short name of a host that several have.

    """
    endpoint = parse_endpoint(text)
    if endpoint is not None:
        return (Target(check=SMTP, address=endpoint.address, port=endpoint.port or SMTP.port),)
    found = re.fullmatch(r"([^:\[\]/\s]+)(?::([0-9]{1,5}))?", text)
    if found is None or (found[2] is not None and not 1 <= int(found[2]) <= 65535):
        raise UsageError(
            f"{text!r} is no host and no address: write mta1, 192.0.2.11:25 or [2001:db8::11]:25"
        )
    targets = _targets_of_host(found[1], zones)
    if found[2] is None:
        return targets
    port = int(found[2])
    return tuple(Target(check=one.check, address=one.address, port=port) for one in targets)


def _targets_of_host(name: str, path: Path) -> tuple[Target, ...]:
    zones, refused = _read(path)
    try:
        key = find_host(name, {zone.name: zone.host_by_name for zone in zones.values()})
    except NotFoundError as error:
        hint = f"; {', '.join(refused)} cannot be read: see `geodns check`" if refused else ""
        raise NotFoundError(
            f"no zone file in {path} has a host {name}{hint}; an address is probed without any"
        ) from error
    zone = zones[key[0]]
    host = zone.host_by_name[key[1]]
    wanted: dict[Target, None] = {}
    for address, targets in zone.targets_by_host[host.name].items():
        some = targets or {target_of(zone, host, address, SMTP)}
        wanted |= dict.fromkeys(sorted(some, key=lambda target: target.check.name))
    return tuple(wanted)


def _read(path: Path) -> tuple[Mapping[str, Zone], list[str]]:
    if not path.exists():
        raise GeodnsError(
            f"{path} does not exist: say with --zones where the zone files are, or give an address"
        )
    parsed = read_zones(zone_files([path]))
    zones = {one.zone.name: one.zone for one in parsed.values() if one.zone is not None}
    return zones, [str(file) for file, one in parsed.items() if one.zone is None]


class Transcript:
    """Puts what comes in pieces together as lines, each with the time of its first piece."""

    def __init__(self, *, live: bool) -> None:
        self.lines: list[tuple[float, str, str]] = []
        self._live = live
        self._rest = b""
        self._since = 0.0

    def take(self, said: probes.Said) -> None:
        """Take the next piece."""
        if said.who != "<":
            self.end()
        if not self._rest:
            self._since = said.at
        *lines, self._rest = (self._rest + said.data).split(b"\n")
        for line in lines:
            self._add(self._since, said.who, line)
            self._since = said.at
        if said.who != "<" or len(self._rest) > MAX_SHOWN:
            self._add(self._since, said.who, self._rest)
            self._rest = b""

    def end(self) -> None:
        """Show what has come of a line that the server did not finish."""
        self._add(self._since, "<", self._rest)
        self._rest = b""

    def _add(self, at: float, who: str, data: bytes) -> None:
        if not data:
            return
        text = one_line(data.rstrip(b"\r").decode("utf-8", "replace"), MAX_SHOWN)
        self.lines.append((at, who, text))
        if self._live:
            click.echo(f"{at * 1000:9.1f} ms {who} {text}")


def _after(outcome: Outcome) -> str:
    return "" if outcome.rtt is None else f" (after {outcome.rtt * 1000:.1f} ms)"


_SPEAKERS = {"<": "server", ">": "prober", "*": "remark"}


def _shown(target: Target, outcome: Outcome, transcript: Transcript) -> dict[str, Any]:
    return {
        "check": target.check.name,
        "address": str(target.address),
        "port": target.port,
        "outcome": str(outcome.kind),
        "detail": outcome.detail,
        "rtt_ms": None if outcome.rtt is None else round(outcome.rtt * 1000, 1),
        "transcript": [
            {"ms": round(at * 1000, 1), "from": _SPEAKERS[who], "text": text}
            for at, who, text in transcript.lines
        ],
    }
