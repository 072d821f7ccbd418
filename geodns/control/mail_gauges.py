"""Gauges about the mail of hosts: warm-up, what became of it, reputation, experiments."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from geodns.control.experiments import effective
from geodns.control.gauge_families import gauge, single
from geodns.control.services import Services


def warmups(services: Services) -> Iterator[Metric]:
    """Yield how far hosts are that warm up."""
    found = list(services.warmup.hosts.items())
    planned = [(key, one, cap) for key, one in found if (cap := one.plan.cap(one.stage.day)) is not None]
    yield gauge(
        "geodns_warmup_day",
        "The day of its plan that a host is at; one more than the plan has once it is over.",
        "zone host",
        ((key, one.stage.day) for key, one in found),
    )
    yield gauge(
        "geodns_warmup_cap_messages",
        "Messages that a host may send today; absent once its warm-up is over.",
        "zone host",
        ((key, cap) for key, _, cap in planned),
    )
    yield gauge(
        "geodns_warmup_sent_messages",
        "Messages that a host has sent today, counted or by its share of the volume.",
        "zone host",
        ((key, one.sent) for key, one in found),
    )
    yield gauge(
        "geodns_warmup_overshoot_messages",
        "Messages that one cached answer may still bring a host whose share has fallen to 0.",
        "zone host",
        ((key, one.seen.overshoot) for key, one, _ in planned),
    )
    yield gauge(
        "geodns_warmup_share_ratio",
        "The part of its pools' answers that a host is dealt.",
        "zone host",
        ((key, float(one.share)) for key, one in found),
    )
    yield gauge(
        "geodns_warmup_ceiling_ratio",
        "The part of its pools' answers that a host may have, at most.",
        "zone host",
        ((key, min(1.0, float(one.ceiling.share))) for key, one in found),
    )
    yield gauge(
        "geodns_warmup_held",
        "1 while something holds a host at its day, or keeps it from being dealt; pacing is not counted.",
        "zone host",
        ((key, one.stalled) for key, one, _ in planned),
    )
    yield gauge(
        "geodns_warmup_signals_silent",
        "1 while signals that came of a host's mail come no more.",
        "zone host",
        ((key, one.silent) for key, one, _ in planned),
    )


def signals(services: Services) -> Iterator[Metric]:
    """Yield what is heard of mail."""
    signals = services.signals
    heard = [
        ((zone.name, host.name), signals.heard((zone.name, host.name)))
        for zone in services.cluster.zones.values()
        for host in zone.hosts
    ]
    yield gauge(
        "geodns_mail_signals_last_heard_timestamp_seconds",
        "When a signal or a heartbeat for a host came last.",
        "zone host",
        ((key, at) for key, at in heard if at is not None),
    )
    yield single("geodns_mail_signals_store_bytes", "The size of signals.db.", signals.size)
    yield single(
        "geodns_mail_signals_written", "1 while signals of mail can be kept.", signals.trouble is None
    )


def experiments(services: Services) -> Iterator[Metric]:
    """Yield what arms were asked and dealt, and how their mail fares."""
    service = services.experiments
    held = service.held()
    epochs = {key: one for key, one in service.epochs.items() if key in held}
    arms = [
        ((*key, arm.name), epoch.of(arm.name)) for key, epoch in epochs.items() for arm in held[key][1].arms
    ]
    for name, text in (
        ("queries", "Queries for which an arm was chosen, in this epoch."),
        ("answers", "Answers of an arm, in this epoch."),
        ("failovers", "Answers of the first arm's hosts, as nobody of the arm was live, in this epoch."),
    ):
        family = CounterMetricFamily(f"geodns_experiment_{name}", text, labels=["zone", "experiment", "arm"])
        for key, counts in arms:
            family.add_metric(key, getattr(counts, name))
        yield family
    yield gauge(
        "geodns_experiment_effective_networks",
        "How many networks of equal size would ask as an arm's do.",
        "zone experiment arm",
        ((key, effective(one.seats)) for key, one in arms),
    )
    known = {key: found for key in epochs if (found := service.known(key)) is not None}
    yield gauge(
        "geodns_experiment_rate_ratio",
        "A part of an arm's first attempts, at the last review.",
        "zone experiment arm metric",
        (
            ((*key, arm, metric), rate.value)
            for key, found in known.items()
            for arm, rates in found.findings.rates.items()
            for metric, rate in rates.items()
            if rate.of
        ),
    )
    yield gauge(
        "geodns_experiment_enough",
        "1 once an experiment's primary metric may be judged.",
        "zone experiment",
        ((key, found.findings.verdict.enough) for key, found in known.items()),
    )


def reputation(services: Services) -> Iterator[Metric]:
    """Yield what speaks against hosts."""
    service = services.reputation
    judged = service.zones()
    hosts = [(name, host) for name, zone in judged.items() for host in zone.host_by_name]
    yield gauge(
        "geodns_host_reputation_ratio",
        "What reputation leaves of a host's weight, or would in mode act.",
        "zone host",
        ((key, float(service.factor(key))) for key in hosts),
    )
    yield gauge(
        "geodns_host_barred",
        "1 while a host is barred for a provider.",
        "zone host provider",
        (((*key, provider), 1) for key in hosts for provider in service.barred(key)),
    )
    yield gauge(
        "geodns_host_listed",
        "1 while a block list has an address that a host's mail leaves from.",
        "zone host list",
        (((*key, name), 1) for key in hosts for name in service.lists_with(key)),
    )
    lists = [(name, one, state) for name in judged for one, state in service.lists_of(name).items()]
    yield gauge(
        "geodns_dnsbl_believed",
        "1 while a block list passes its test and answers.",
        "zone list",
        (((name, one), state.ok) for name, one, state in lists),
    )
    yield gauge(
        "geodns_reputation_common_causes",
        "Causes that hit more hosts of a pool than max_out, so that nobody is taken out for them.",
        "zone",
        (((name,), len(service.common(name))) for name in judged),
    )


def providers(services: Services) -> Iterator[Metric]:
    """Yield what is known of who runs recipients' mail."""
    service = services.providers
    yield single(
        "geodns_provider_domains", "Domains of which it was looked up who runs their mail.", service.known
    )
    yield single("geodns_provider_lookups_waiting", "Domains that wait for their look-up.", service.waiting)
