"""Experiments over HTTP: what each arm was asked and dealt, what became of its mail, and the verdict."""

import time
from collections import Counter

from aiohttp import web

from geodns.api.responses import SERVICES
from geodns.api.schemas_experiments import (
    ArmDifferenceJson,
    ArmJson,
    ArmRateJson,
    ExperimentJson,
    ExperimentsJson,
    VerdictJson,
)
from geodns.config.times import timestamp
from geodns.control.experiment_epochs import Epoch
from geodns.control.experiment_service import Reviewed
from geodns.control.experiments import ArmDifference, ArmRate, effective, unread
from geodns.control.services import Services
from geodns.model.experiments import Arm, Experiment

PATH = "/api/v1/experiments"
PATIENCE = 5.0
"""Seconds that a client waits for new findings; then it gets those of before, where there are any."""


def routes() -> list[web.RouteDef]:
    return [web.get(PATH, _experiments)]


async def _experiments(request: web.Request) -> web.Response:
    return web.json_response(await experiments_json(request.app[SERVICES]))


async def experiments_json(services: Services) -> ExperimentsJson:
    """Return what is known of all experiments, but for those whose first epoch is not begun yet."""
    service, end = services.experiments, time.monotonic() + PATIENCE
    found: dict[str, dict[str, ExperimentJson]] = {}
    for key, (_, experiment) in service.held().items():
        reviewed = await service.soon(key, max(0.0, end - time.monotonic()))
        epoch = service.epochs.get(key)
        if epoch is not None:
            reviewed = reviewed or Reviewed(epoch.number, unread(experiment), {}, 0.0)
            found.setdefault(key[0], {})[key[1]] = _experiment_json(experiment, epoch, reviewed)
    return ExperimentsJson(experiments=found)


def _experiment_json(experiment: Experiment, epoch: Epoch, reviewed: Reviewed) -> ExperimentJson:
    findings = reviewed.findings
    seats: Counter[int] = Counter()
    for counts in epoch.counts.values():
        seats.update(counts.seats)
    queries = sum(counts.queries for counts in epoch.counts.values())
    verdict = findings.verdict
    return ExperimentJson(
        name=experiment.owner.rstrip("."),
        by=experiment.by,
        since=timestamp(epoch.since),
        epoch=epoch.number,
        horizon=timestamp(epoch.since + experiment.horizon),
        networks=len(seats),
        effective_networks=round(effective(seats), 1),
        left_out_s=sum(end - begin for begin, end in epoch.left_out),
        arms={arm.name: _arm_json(experiment, arm, epoch, reviewed, queries) for arm in experiment.arms},
        verdict=VerdictJson(**_difference_json(verdict.of), enough=verdict.enough, why=verdict.why),
        others=[_difference_json(one) for one in findings.others],
    )


def _arm_json(experiment: Experiment, arm: Arm, epoch: Epoch, reviewed: Reviewed, queries: int) -> ArmJson:
    counts = epoch.of(arm.name)
    return ArmJson(
        share=arm.share / sum(one.share for one in experiment.arms),
        realised=counts.queries / queries if queries else 0.0,
        pool=arm.pool,
        queries=counts.queries,
        answers=counts.answers,
        failovers=counts.failovers,
        networks=len(counts.seats),
        effective_networks=round(effective(counts.seats), 1),
        undated=reviewed.undated.get(arm.name, 0),
        rates={
            metric: _rate_json(rate) for metric, rate in reviewed.findings.rates.get(arm.name, {}).items()
        },
    )


def _rate_json(rate: ArmRate) -> ArmRateJson:
    return ArmRateJson(value=rate.value, low=rate.low, high=rate.high, n=rate.of)


def _difference_json(one: ArmDifference) -> ArmDifferenceJson:
    return ArmDifferenceJson(
        metric=one.metric,
        arm=one.arm,
        against=one.against,
        difference=one.difference,
        low=one.low,
        high=one.high,
    )
