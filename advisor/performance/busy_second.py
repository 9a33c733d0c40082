"""Requests that a fully busy accelerator of the current deployment can have served, for demand that samples tell."""

import numpy as np

from advisor.candidates import Candidate, judge_hardware
from advisor.catalog import Catalog
from advisor.demand.busy import BusySecond
from advisor.demand.lengths import declared_demand
from advisor.errors import InputError
from advisor.models.model import Model
from advisor.performance.groups import Groups, deployment_of
from advisor.performance.model import PerformanceModel
from advisor.performance.queueing import offer, state_at
from advisor.performance.serving import (
    capacity_at_slo,
)
from advisor.requirements import require
from advisor.workload.values import Slo, Workload


def busy_second(
    workload: Workload, model: Model, catalog: Catalog, lengths: tuple[float, float], performance: PerformanceModel
) -> BusySecond:  # fmt: skip
    """Requests per second that one fully busy accelerator of the current deployment can have served.

    How the current deployment runs the model is not known, so every precision of the workload and every parallelism
    is taken: at most the capacity of the fastest, at least what the slowest serves while a single request runs.

    Args:
        workload: names the current deployment.
        model: what it serves.
        catalog: what its instance type is.
        lengths: (prompt tokens, generated tokens) of a request.
        performance: what predicts.

    Raises:
        InputError: no current deployment is named, or none that could hold the model.
    """
    current = workload.current
    if current is None:
        raise InputError(
            "the samples give no request rate, and no current deployment says what the accelerators can do",
            where=workload.where("demand"),
            hint="add requests_per_day under the source of the demand, or describe `current`",
        )
    demand = declared_demand(1.0, 1.0, *lengths).with_prefix_cache(workload.prefix_cache_hit_ratio)
    requirements = require(workload, model, demand, catalog)
    instance_type = catalog.instance_type(current.provider, current.instance_type)
    judged = judge_hardware(instance_type, requirements, catalog)
    able = [candidate for candidate in judged if isinstance(candidate, Candidate) and not candidate.partition]
    if not able:
        raise InputError(
            f"{current.instance_type} cannot hold {model.name} in {', '.join(workload.precisions)}",
            where=workload.where("current.instance_type"),
            hint="add the precision that it serves today, or add requests_per_day under the source of the demand",
        )
    groups = Groups.for_each([deployment_of(candidate, model) for candidate in able], performance)
    tokens = requirements.demand.tokens
    capacity = capacity_at_slo(groups.packed, tokens, Slo(), performance.open_loop(groups.packed, tokens))
    split = np.array([candidate.tensor_parallel for candidate in able])
    service = offer(groups.packed, tokens, performance.open_loop(groups.packed, tokens))
    alone = state_at(service, np.full_like(service.mean_marginal, 1.0)).rate
    return BusySecond(
        alone=float((alone / split).min()), saturated=float((capacity.requests_per_second / split).max())
    )  # fmt: skip


def busy_second_or_reason(
    workload: Workload, model: Model, catalog: Catalog, lengths: tuple[float, float], performance: PerformanceModel
) -> BusySecond | InputError:  # fmt: skip
    """Answer of :func:`busy_second`, or the reason in its place."""
    try:
        return busy_second(workload, model, catalog, lengths, performance)
    except InputError as reason:
        return reason
