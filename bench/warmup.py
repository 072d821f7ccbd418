"""A simulated warm-up: two new IPs beside six warm ones, planned and sent by day; `python -m bench.warmup`.

Real choices and cycles, by the day's ceilings; resolvers that keep each answer for its TTL; mail whose rate
rises and falls over the day. The counts that pace a cap come from what was sent.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction

import click

from geodns.compiler.choice import choose
from geodns.compiler.live_set import LiveSet
from geodns.compiler.rotation import cycle, units
from geodns.model.mail import MailEvent, MailTally
from geodns.model.state import Forced
from geodns.model.warmup import SECONDS, WarmupStage, peak_of
from geodns.model.zone import Zone
from geodns.signals.warmup import Sending, ceiling_of, first_stage, midnight, step
from geodns.zonefile.reader import parse_zone

NAME = "out.example.com"
TEXT = """
ns: {ns1: 192.0.2.53}
ttl: TTL
hosts:
  "warm[1-6]": {address: "192.0.2.1[1-6]"}
  "new[1-2]":  {address: "192.0.2.2[1-2]", warmup: {plan: sendgrid, start: 2026-12-01}}
pools: {main: {hosts: "*", check: none, volume: VOLUME}}
records: {"@": {pool: main, MX: {pool: main, preference: 10}}}
"""
NEW = ("new1", "new2")
RESOLVERS = 10
LOOK = 30
"""Seconds from one look at what was sent to the next."""
_NO_MAIL = MailTally()


@dataclass(frozen=True)
class Day:
    """One day of a host; messages."""

    date: int
    host: str
    stage: int
    cap: int | None
    share: float
    sent: float
    overshoot: int

    @property
    def excess(self) -> float:
        return 0.0 if self.cap is None else max(0.0, self.sent - self.cap)


def simulate(
    days: int, volume: int, ttl: int, *, failures: bool = True, counted: bool = True, busier: float = 1.0
) -> list[Day]:
    """Return each day of both new hosts.

    Args:
        days: to simulate.
        volume: messages a day.
        ttl: seconds, which is also the step of the simulation; a part of `LOOK`.
        failures: on every fifth day four of the six warm hosts are out.
        counted: whether signals say what is sent.
        busier: what the pool really sends, as a multiple of its volume.

    """
    text = TEXT.replace("TTL", str(ttl)).replace("VOLUME", str(volume))
    zone = parse_zone(NAME, text.encode(), "zone").zone
    assert zone is not None
    start = midnight(zone.host_by_name["new1"].warmup.start)  # type: ignore[union-attr]
    stages: dict[str, WarmupStage] = {}
    rows: list[Day] = []
    place = 0
    for number in range(days):
        forced = {(NAME, f"warm{one}"): Forced.DRAINED for one in range(1, 5) if failures and number % 5 == 4}
        sent: Counter[str] = Counter()
        ended: dict[str, MailTally] = {}
        shares: dict[str, float] = dict.fromkeys(NEW, 0.0)
        rates: dict[str, Fraction] = dict.fromkeys(NEW, Fraction(0))
        ceilings: dict[str, Fraction] = {}
        sets: tuple[tuple[str, ...], ...] = ()
        for second in range(0, SECONDS, ttl):
            now = start + number * SECONDS + second
            before = dict(ceilings)
            for host in NEW if not second % LOOK else ():
                seen = _sending(zone, host, rates[host], sent[host], rows, now, volume, ended)
                seen = seen if counted else replace(seen, heard=None)
                plan = zone.host_by_name[host].warmup
                assert plan is not None
                stages[host] = step(plan, stages.get(host) or first_stage(plan, now), seen, now, LOOK)
                ceilings[host] = ceiling_of(plan, stages[host], seen, now).share
            if before != ceilings:
                sets, dealt = _sets(zone, ceilings, forced)
                rates = {host: dealt.get(host, Fraction(0)) * volume for host in NEW}
                shares = {host: max(shares[host], float(dealt.get(host, 0))) for host in NEW}
            # Between half and one and a half of the mean, at its highest in the afternoon.
            rate = busier * volume / SECONDS * (1 - math.cos(2 * math.pi * (second / SECONDS - 1 / 8)) / 2)
            for _ in range(RESOLVERS):
                hosts = sets[place % len(sets)]
                place += 1
                for host in hosts:
                    sent[host] += rate * ttl / RESOLVERS / len(hosts)  # type: ignore[assignment]
        rows += [
            Day(
                number + 1,
                host,
                stages[host].day,
                zone.host_by_name[host].warmup.cap(stages[host].day),  # type: ignore[union-attr]
                shares[host],
                sent[host],
                math.ceil(peak_of(volume) * (ttl + LOOK)),
            )
            for host in NEW
        ]
    return rows


def _sending(
    zone: Zone,
    host: str,
    rate: Fraction,
    sent: float,
    rows: list[Day],
    now: float,
    volume: int,
    ended: dict[str, MailTally],
) -> Sending:
    if host not in ended:
        last = next((row.sent for row in reversed(rows) if row.host == host), 0.0)
        ended[host] = _tally(last)
    seen = Sending(volume, peak_of(volume), zone.dealt_ttl_of(host), rate, heard=now)
    return replace(seen, today=_tally(sent), ended=ended[host])


def _tally(sent: float) -> MailTally:
    return MailTally(int(sent), {MailEvent.DELIVERED: int(sent)}) if sent else _NO_MAIL


def _sets(
    zone: Zone, ceilings: dict[str, Fraction], forced: dict[tuple[str, str], Forced]
) -> tuple[tuple[tuple[str, ...], ...], dict[str, Fraction]]:
    live = LiveSet(forced=forced, ceilings={(NAME, host): one for host, one in ceilings.items()})
    deal = choose(zone, zone.pool_by_name["main"], live).of("A")
    weights = units([one.portion for one in deal.dealt])
    rows = cycle(weights, 2)
    total = sum(weights)
    dealt = {host: Fraction(weight, total) for host, weight in zip(deal.hosts, weights, strict=True)}
    return tuple(tuple(deal.hosts[index] for index in row) for row in rows), dealt


def worst(rows: list[Day]) -> Day:
    """Return the day that was most over its cap."""
    return max(rows, key=lambda row: row.excess)


@click.command()
@click.option("--days", default=45)
@click.option("--volume", default=400_000, help="Messages a day.")
@click.option("--ttl", default=5, help="Seconds.")
@click.option("--uncounted", is_flag=True, help="No signals say what is sent.")
@click.option("--busier", default=1.0, help="What is really sent, as a multiple of the volume.")
def main(days: int, volume: int, ttl: int, *, uncounted: bool, busier: float) -> None:
    """Print a simulated warm-up."""
    rows = simulate(days, volume, ttl, counted=not uncounted, busier=busier)
    click.echo(f"two new hosts beside six warm ones, {volume:,} messages a day, ttl {ttl} s, plan sendgrid")
    click.echo(f"{'date':>4} {'host':5} {'day':>3} {'planned':>12} {'share':>8} {'sent':>12} {'excess':>8}")
    for row in rows:
        cap = "over" if row.cap is None else f"{row.cap:,}"
        click.echo(
            f"{row.date:4} {row.host:5} {row.stage:3} {cap:>12} {row.share:8.3%} {row.sent:12,.0f} "
            f"{row.excess:8,.0f}"
        )
    most = worst(rows)
    click.echo(
        f"worst excess: {most.excess:,.1f} messages on date {most.date} ({most.host}), stated overshoot "
        f"{most.overshoot:,}"
    )


if __name__ == "__main__":
    main()
