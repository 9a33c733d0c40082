"""What runs today, priced and judged as a fleet would be: by the same formulation, the same replay."""

from dataclasses import replace

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.cost import hourly_to_monthly
from advisor.errors import InputError
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.hours import Week
from advisor.plan.problem.pools import Supply
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay.confirm import Confirmed, Confirmer
from advisor.plan.rungs import excluded_today
from advisor.plan.solve.alone import whole_shares
from advisor.plan.solve.optimise import objective_usd_per_month
from advisor.plan.solve.stage import Posed, Setting, narrowed, pose
from advisor.plan.values import CurrentCost
from advisor.requirements import Requirements
from advisor.workload.values import Deployment


def priced_today(requirements: Requirements, catalog: Catalog) -> CurrentCost | None:
    """Compute of what runs today at catalog prices; None where nothing is said to run.

    Raises:
        InputError: its price is not known.
    """
    current = requirements.workload.current
    if current is None:
        return None
    offers = catalog.offers_in((current.provider,), (current.region,))
    offer = next((offer for offer in offers if offer.instance_type == current.instance_type), None)
    price = catalog.price(offer, Purchase(current.purchase)) if offer else None
    if price is None:
        kind = current.purchase.value.replace("_", " ")
        raise InputError(
            f"the catalog has no {kind} price for {current.instance_type} in {current.region}",
            where=requirements.workload.where("current"),
            hint="correct the region or the purchase option, or take `current` out",
        )
    return CurrentCost(
        provider=current.provider,
        region=current.region,
        instance_type=current.instance_type,
        purchase=current.purchase.value,
        instances=current.count,
        usd_per_hour=price.usd_per_hour * current.count,
        total_usd_per_month=hourly_to_monthly(price.usd_per_hour, current.count),
    )


def judged_today(
    priced: CurrentCost, current: Deployment, setting: Setting, supply: Supply, week: Week, confirmer: Confirmer
) -> CurrentCost:  # fmt: skip
    """The same with the share of requests that it keeps within the SLO, and the instances that the demand takes.

    How it runs the model is not stated: the layout with the highest rate is taken, in the first of the workload's
    precisions that it can serve, as the ladder begins with the first.
    """
    if why := excluded_today(setting.requirements.workload, setting.catalog):
        return replace(priced, not_judged=why)
    every = [
        _posed(current, precision, setting, supply, week) for precision in setting.requirements.workload.precisions
    ]
    posed = next((one for one in every if one.problem.pools), every[0])
    if not posed.problem.pools:
        reasons = [rejection.message for one in every for rejection in one.pool_set.rejections]
        return replace(priced, not_judged=(reasons or [_cannot(current, setting)])[0])
    pool = max(posed.problem.pools, key=lambda one: mix_rate(posed.problem, one))
    allocation = Allocation(pool, pool.tariffs[0], (current.count,) * len(posed.problem.hours))
    shares = whole_shares(posed.problem, pool)
    usd = objective_usd_per_month(posed.problem, (allocation,), shares)
    running = FleetSolution((allocation,), shares, usd, usd, proven=False)
    replay = confirmer.replayed(posed, running)
    needed = confirmer.alone(replace(posed, problem=replace(posed.problem, pools=(pool,))))
    judged = replace(
        priced,
        total_usd_per_month=usd,
        precision=posed.pool_set.sources[pool.key].served.candidate.precision,
        within_slo_ratio=replay.within_slo_ratio,
    )
    if isinstance(needed, Confirmed) and needed.confirmation.reached:
        return replace(judged, instances_needed=sum(one.instances[-1] for one in needed.solution.allocations))
    return replace(judged, not_judged=f"no number of {current.instance_type} keeps the SLO and the limits")


def _posed(current: Deployment, precision: str, setting: Setting, supply: Supply, week: Week) -> Posed:
    stated = setting.requirements.workload
    workload = replace(
        stated,
        providers=(current.provider,),
        regions=(current.region,),
        accelerators=(),
        instance_types=(current.instance_type,),
        precisions=(precision,),
        purchase=(current.purchase,),
        listed_only=False,
    )
    own = replace(setting, requirements=replace(setting.requirements, workload=workload))
    return pose(own, narrowed(supply, workload), week)


def _cannot(current: Deployment, setting: Setting) -> str:
    precisions = ", ".join(setting.requirements.workload.precisions)
    return f"{current.instance_type} cannot serve the model in {precisions} within the targets"
