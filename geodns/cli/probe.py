"""``geodns probe``: one probe now, with its transcript, TLS, certificate and verdict."""

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click

from geodns.cli.options import number
from geodns.config.value_types import parse_address, parse_endpoint
from geodns.control.host_lookup import find_host
from geodns.errors import BadNameError, GeodnsError, NotFoundError, UsageError
from geodns.health import clock
from geodns.health.outcome import ProbeOutcome, ProbeResult, one_line
from geodns.health.probe import own_name
from geodns.health.probe import probe as probe_once
from geodns.health.tls import certificate_json, describe_certificate, warning_of
from geodns.model.checks import BUILT_IN_CHECKS, Check, CheckType, Target
from geodns.model.zone import Zone, target_of
from geodns.wire.names import labels_of
from geodns.zonefile.checks import CHECK_USERS, defaults_of
from geodns.zonefile.reader import read_zones, zone_files

SMTP = BUILT_IN_CHECKS[0]
MAX_SHOWN = 500
"""Characters of a line of the transcript."""


@click.command()
@click.argument("host", metavar="HOST|ADDRESS[:PORT]")
@click.option(
    "--type",
    "kind",
    type=click.Choice(get_args(CheckType)),
    help="Probe by a check of this type and its defaults, instead of the zone file's.",
)
@click.option(
    "--ehlo", metavar="NAME", help="The name to give; default: the check's, else this machine's own."
)
@click.option("--starttls", is_flag=True, help="STARTTLS must be offered and its handshake must work.")
@click.option("--verify", is_flag=True, help="There must be TLS, and the certificate must be good.")
@click.option("--sni", metavar="NAME", help="The name for TLS and the certificate; default: the host's own.")
@click.option("--tcp", is_flag=True, help="Only connect: short for --type tcp at the check's own port.")
@click.option(
    "--timeout",
    type=number(0.1, 600),
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
    *,
    host: str,
    kind: CheckType | None,
    ehlo: str | None,
    starttls: bool,
    verify: bool,
    sni: str | None,
    tcp: bool,
    timeout: float | None,
    zones: Path,
    as_json: bool,
) -> None:
    """Probe a mail host now and show what is said, its TLS, its certificate and how long each step took.

    An ADDRESS (192.0.2.11, 192.0.2.11:2525, [2001:db8::11]:25) is probed by the built-in check. A HOST
    (mta1, mta1.out.example.com) is looked up in the zone files and probed as its pools have it, at each of
    its addresses. The exit status is 0 if all is well, else 1. No server need be running.
    """
    if tcp and (starttls or verify or sni or kind):
        raise UsageError("--tcp only connects: leave out --starttls, --verify, --sni and --type")
    change = ProbeOptions(
        type=kind,
        ehlo=None if ehlo is None else _checked_name("--ehlo", ehlo),
        starttls=starttls,
        verify=verify,
        sni=None if sni is None else _checked_name("--sni", sni),
        tcp=tcp,
        timeout=timeout,
    )
    targets = find_targets(host, zones, change)
    name = own_name() if any(one.check.ehlo is None for one in targets) else None
    results = []
    for target in targets:
        transcript = TranscriptLines(live=not as_json)
        if not as_json:
            click.echo(f"probe [{target.address}]:{target.port}, check {target.check.name}")
        outcome = asyncio.run(probe_once(target, ehlo=name, transcript=transcript.take))
        transcript.end()
        results.append((target, outcome, transcript))
        if not as_json:
            for line in summary(target, outcome, time.time()):
                click.echo(line)
    good = all(outcome.kind is ProbeResult.OK for _, outcome, _ in results)
    if as_json:
        click.echo(
            json.dumps({"host": host, "ok": good, "probes": [_shown(*one) for one in results]}, indent=2)
        )
    context.exit(0 if good else 1)


@dataclass(frozen=True)
class ProbeOptions:
    """The options that change a zone file's check, as `probe` has them."""

    type: CheckType | None = None
    ehlo: str | None = None
    starttls: bool = False
    verify: bool = False
    sni: str | None = None
    tcp: bool = False
    timeout: float | None = None

    def of(self, check: Check) -> Check:
        """Return a check as the options change it.

        Raises:
            UsageError: the check's type has no use for an option.

        """
        if self.type is not None:
            check = Check(name=self.type, **defaults_of(self.type))
        update: dict[str, Any] = {"type": "tcp"} if self.tcp else {}
        if self.starttls:
            self._hold("--starttls", "starttls", check)
            update["starttls"] = "verified" if check.starttls == "verified" else "offered"
        if self.verify and check.implicit_tls:
            update["verify"] = "required"
        elif self.verify:
            self._hold("--verify", "starttls", check)
            update["starttls"] = "verified"
        if self.ehlo is not None:
            if not self.tcp:
                self._hold("--ehlo", "ehlo", check)
            update["ehlo"] = self.ehlo
        if self.sni is not None:
            self._hold("--sni", "sni", check)
            update["sni"] = self.sni
        if self.timeout is not None:
            limits = ("connect_timeout", "greeting_timeout", "step_timeout", "timeout")
            update |= dict.fromkeys(limits, self.timeout)
        changed = check.model_copy(update=update)
        if self.sni is not None and not changed.encrypts:
            raise UsageError("--sni without TLS: give --starttls or --verify as well")
        return changed

    @staticmethod
    def _hold(option: str, key: str, check: Check) -> None:
        if check.type not in CHECK_USERS[key]:
            users = ", ".join(CHECK_USERS[key])
            raise UsageError(f"{option} with a check of type {check.type}: it is of {users}")


NO_CHANGE = ProbeOptions()


def _checked_name(option: str, text: str) -> str:
    literal = re.fullmatch(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]", text)
    if literal is not None and parse_address(literal[1]) is not None:
        return text
    instead = "write a domain name, or an address as [192.0.2.1]"
    try:
        labels = labels_of(text)
    except BadNameError as error:
        raise UsageError(f"{option} {error}: {instead}") from error
    if not labels:
        raise UsageError(f"{option} {text!r} is no name: {instead}")
    return text.removesuffix(".")


def find_targets(text: str, zones: Path, change: ProbeOptions = NO_CHANGE) -> tuple[Target, ...]:
    """Return the targets that an operator means.

    Args:
        text: an address or a host of a zone file, either with a port or without.
        zones: a folder of zone files, or one file.
        change: options for the checks.

    Raises:
        UsageError: no address and no name of a host, or an option that does not fit the check.
        NotFoundError: no zone file has the host.
        AmbiguousError: the short name of a host that several have.

    """
    endpoint = parse_endpoint(text)
    if endpoint is not None:
        _need_a_port(change, endpoint.port)
        check = change.of(SMTP)
        return (Target(check=check, address=endpoint.address, port=endpoint.port or check.port),)
    found = re.fullmatch(r"([^:\[\]/\s]+)(?::([0-9]{1,5}))?", text)
    if found is None or (found[2] is not None and not 1 <= int(found[2]) <= 65535):
        raise UsageError(
            f"{text!r} is no host and no address: write mta1, 192.0.2.11:25 or [2001:db8::11]:25"
        )
    port = None if found[2] is None else int(found[2])
    _need_a_port(change, port)
    targets = _targets_of_host(found[1], zones, change)
    if port is None:
        return targets
    there = (one.model_copy(update={"port": port}) for one in targets)
    return tuple(dict.fromkeys(there))


def _need_a_port(change: ProbeOptions, port: int | None) -> None:
    if change.type == "agent" and port is None:
        raise UsageError("--type agent without a port: write it behind the address, as 192.0.2.11:9777")


def _targets_of_host(name: str, path: Path, change: ProbeOptions) -> tuple[Target, ...]:
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
    policies = (policy for policy in zone.check_policies_by_host[host.name] if policy is not None)
    judging = {check.name: check for policy in policies for check in policy.checks}
    checks = [change.of(check) for _, check in sorted(judging.items())] or [change.of(SMTP)]
    targets = (target_of(zone, host, address, check) for address in host.addresses for check in checks)
    return tuple(dict.fromkeys(targets))


def _read(path: Path) -> tuple[Mapping[str, Zone], list[str]]:
    if not path.exists():
        raise GeodnsError(
            f"{path} does not exist: say with --zones where the zone files are, or give an address"
        )
    parsed = read_zones(zone_files([path]))
    zones = {one.zone.name: one.zone for one in parsed.values() if one.zone is not None}
    return zones, [str(file) for file, one in parsed.items() if one.zone is None]


class TranscriptLines:
    """Joins the pieces of a dialogue to lines, each with the time of its first piece."""

    def __init__(self, *, live: bool) -> None:
        self.lines: list[tuple[float, str, str]] = []
        self._live = live
        self._rest = b""
        self._since = 0.0

    def take(self, said: clock.TranscriptLine) -> None:
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
        """Show the last line, which the server did not finish."""
        self._add(self._since, "<", self._rest)
        self._rest = b""

    def _add(self, at: float, who: str, data: bytes) -> None:
        if not data:
            return
        text = one_line(data.rstrip(b"\r").decode("utf-8", "replace"), MAX_SHOWN)
        self.lines.append((at, who, text))
        if self._live:
            click.echo(f"{at * 1000:9.1f} ms {who} {text}")


def summary(target: Target, outcome: ProbeOutcome, now: float) -> Iterator[str]:
    """Yield the findings beside the transcript, the verdict last; `now` is in seconds since the epoch."""
    if outcome.tls is not None and outcome.tls.version is not None:
        yield f"  TLS: {outcome.tls.version}, {outcome.tls.cipher}{' (old)' if outcome.tls.old else ''}"
    if outcome.certificate is not None:
        certificate = outcome.certificate
        left = f", {certificate.days_left(now):.1f} days left" if certificate.not_after else ""
        yield f"  certificate: {describe_certificate(certificate)}{left}"
        warning = warning_of(target, certificate, now)
        if warning is not None:
            yield f"  warning: {warning}"
    if outcome.keywords:
        yield f"  EHLO keywords: {', '.join(outcome.keywords)}"
    if outcome.steps:
        yield f"  times: {', '.join(f'{step} {took * 1000:.1f} ms' for step, took in outcome.steps)}"
    if outcome.weight is not None:
        yield f"  weight: {outcome.weight:.0%}"
    after = "" if outcome.rtt is None else f" (after {outcome.rtt * 1000:.1f} ms)"
    yield f"{outcome.kind}: {outcome.detail}{after}"


_SPEAKERS = {"<": "server", ">": "prober", "*": "remark"}


def _shown(target: Target, outcome: ProbeOutcome, transcript: TranscriptLines) -> dict[str, Any]:
    return {
        "check": target.check.name,
        "address": str(target.address),
        "port": target.port,
        "outcome": str(outcome.kind),
        "detail": outcome.detail,
        "rtt_ms": None if outcome.rtt is None else round(outcome.rtt * 1000, 1),
        "steps": [{"step": step, "ms": round(took * 1000, 1)} for step, took in outcome.steps],
        "tls": None
        if outcome.tls is None
        else {"version": outcome.tls.version, "cipher": outcome.tls.cipher, "old": outcome.tls.old},
        "certificate": None
        if outcome.certificate is None
        else certificate_json(outcome.certificate, time.time()),
        "keywords": list(outcome.keywords),
        "weight": outcome.weight,
        "transcript": [
            {"ms": round(at * 1000, 1), "from": _SPEAKERS[who], "text": text}
            for at, who, text in transcript.lines
        ],
    }
