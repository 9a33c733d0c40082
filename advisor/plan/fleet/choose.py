"""The fleet of a plan: forecast, problem, optimum, replay, and all of it as values."""

from collections.abc import Iterator, Sequence

from advisor.candidates import Rejection
from advisor.catalog.processors import CPU
from advisor.catalog.values import Evidence, Purchase, Quality
from advisor.demand.forecast import batch_forecast, flat_forecast, forecast
from advisor.demand.values import Forecast
from advisor.errors import InputError
from advisor.performance.transfer import BYTES_PER_LABELS, guesses_outputs, large_answer_note
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.supply import may_commit
from advisor.plan.problem.values import Infeasible, PurchaseOption, Tariff
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.plan.values import Conflict, RelaxedLimit
from advisor.records import dataclass
from advisor.requirements import Requirements
from advisor.units import rounded
from advisor.workload.values import Limits


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The fleet, or why there is none."""

    fleet: Fleet | None
    conflict: Conflict | None
    rejections: tuple[Rejection, ...]
    notes: tuple[str, ...]


def choice_of(fleet: Fleet, formulation: Formulation, context: PlanningContext, expected: Forecast) -> Choice:
    """The fleet of a plan with its notes."""
    notes = (
        *_notes(formulation, context, expected),
        *_commitment_notes(fleet, formulation, context.requirements),
        *_limit_notes(fleet, context),
        *_transfer_notes(fleet.groups, context),
        *_network_notes(fleet),
        *_engine_notes(fleet.groups, context),
    )
    return Choice(fleet, None, formulation.pool_set.rejections, notes)


def no_choice(
    infeasible: Infeasible | None, formulation: Formulation, context: PlanningContext, expected: Forecast
) -> Choice:
    """Why there is no fleet: limits that exclude each other; None: nothing could serve."""
    conflict = None if infeasible is None else conflict_of(infeasible, context.requirements.workload.limits)
    return Choice(None, conflict, formulation.pool_set.rejections, (*_notes(formulation, context, expected),))


def _notes(formulation: Formulation, context: PlanningContext, expected: Forecast) -> Iterator[str]:
    yield from expected.notes
    yield from formulation.geography.notes
    yield from _supply_notes(formulation, context.requirements)


def forecast_of(requirements: Requirements, batch_hours: int | None = None) -> Forecast:
    """Forecast of the demand; flat where only numbers were stated.

    *batch_hours*: open hours of each run of batch work that it is worked on in; None: all of them. Raises InputError if
    no request is to be expected.
    """
    workload, demand = requirements.workload, requirements.demand
    if demand.batch is not None:
        return batch_forecast(
            demand.batch,
            batch_hours or len(demand.batch.open_hours),
            horizon_days=workload.horizon_days,
            growth_per_year=workload.growth_per_year,
        )
    if demand.profile is None:
        rate = demand.requests_per_second
        return flat_forecast(
            rate.mean, rate.peak, horizon_days=workload.horizon_days, growth_per_year=workload.growth_per_year
        )
    expected = forecast(
        demand.profile,
        horizon_days=workload.horizon_days,
        growth_per_year=workload.growth_per_year,
        clock=workload.clock,
    )
    if not expected.mean.any():
        minutes = demand.profile.requests_per_minute.size
        raise InputError(
            f"the demand has 0 requests in its {minutes:,} minutes, the first and last of which do not count",
            where=workload.demand_place,
            hint="give a longer trace, or state demand.declared",
        )
    return expected


def conflict_of(infeasible: Infeasible, limits: Limits) -> Conflict:
    """Limits that exclude each other, with what is asked of each and what would help."""
    return Conflict(
        constraints=tuple(constraint.value for constraint in infeasible.conflict),
        relaxations=tuple(
            RelaxedLimit(
                relaxation.constraint.value, relaxation.detail, relaxation.limit, relaxation.needed, relaxation.unit
            )
            for relaxation in infeasible.relaxations
        ),
        asked=tuple(_asked(constraint, limits) for constraint in infeasible.conflict),
        remedies=tuple(constraint.row.give_up for constraint in infeasible.given_up),
    )


def _asked(constraint: Constraint, limits: Limits) -> str:
    """Value of a limit in words, as it is stated or by default; "" where it is no one value."""
    if constraint is Constraint.SURVIVE:
        usual = f", the default with {_several(limits)}" if limits.survive is None else ""
        return f"{limits.survival.value}{usual}"
    name = constraint.field
    value = getattr(limits, name, ())
    if isinstance(value, tuple):
        return ""
    told = "1" if value is None else str(value).lower() if isinstance(value, bool) else f"{value:,.10g}"
    return f"{told}, the default" if value == getattr(Limits(), name) else told


def _several(limits: Limits) -> str:
    """The limit that several replicas follow from."""
    if limits.min_replicas > 1:
        return f"limits.min_replicas {limits.min_replicas}"
    return f"limits.zones {limits.zones}"


def _commitment_notes(fleet: Fleet, formulation: Formulation, requirements: Requirements) -> Iterator[str]:
    """Types of the fleet that commitments are allowed for and no price of one is known of."""
    if Purchase.COMMITMENT not in requirements.workload.purchase or not may_commit(requirements):
        return
    paid = {(pool.type_in_region, tariff.paid) for pool in formulation.problem.pools for tariff in pool.tariffs}
    if not any(purchase is PurchaseOption.COMMITMENT for _, purchase in paid):
        return
    bought = (group for group in fleet.groups if group.purchase == PurchaseOption.ON_DEMAND)
    unknown = dict.fromkeys(
        f"{group.instance_type} in {group.region}"
        for group in bought
        if (group.type_in_region, PurchaseOption.COMMITMENT) not in paid
    )
    if unknown:
        yield f"no price for a commitment is known for {' and '.join(unknown)}: on demand is planned"


def _limit_notes(fleet: Fleet, context: PlanningContext) -> Iterator[str]:
    """Limits of the account, as the last refresh found them, that the fleet is beyond; stated ones it keeps to."""
    stated = {(quota.provider, quota.region, quota.code) for quota in context.requirements.workload.limits.quotas}
    for need in fleet.quotas:
        place = (need.provider, need.region, need.code)
        account_limit = context.catalog.account_limits.get(place)
        if account_limit is not None and need.most > account_limit.limit and place not in stated:
            yield (
                f"the account's limit {need.code} in {need.region} was {account_limit.limit:g} {need.unit} on "
                f"{account_limit.as_of}, and the fleet takes up to {need.needed:g}, {need.most:g} while instances are "
                "replaced: have it raised before the code is applied"
            )


def _transfer_notes(groups: Sequence[FleetGroup], context: PlanningContext) -> Iterator[str]:
    """Guesses of data transfer: prices of regions of the fleet, and the size of answers."""
    if guesses_outputs(context.requirements.demand, context.requirements.model):
        yield (
            f"what {context.requirements.model.name} puts out is not known, since shapes of its outputs are free or "
            f"not stated: {BYTES_PER_LABELS} bytes an item are counted as data transfer"
        )
    if large := large_answer_note(context.requirements.demand, context.requirements.model):
        yield large
    for provider, region in dict.fromkeys((group.provider, group.region) for group in groups):
        price = context.catalog.egress_usd_per_gb(provider, region)
        if price.provenance.quality is Quality.DERIVED:
            yield (
                f"what data transfer from {provider}/{region} costs is not known: {price.usd_per_gb:g} USD/GB is "
                "counted, as in the dearest region that is known"
            )


def _network_notes(fleet: Fleet) -> Iterator[str]:
    """Machines whose network is not known, where it may matter."""
    for group in fleet.groups:
        carried = group.uncounted_gbit_per_second
        if carried:
            yield (
                f"how much the network of {group.instance_type} carries is not known, and limits no rate: in the "
                f"busiest hours each receives or sends {rounded(carried)} Gbit/s"
            )


def _engine_notes(groups: Sequence[FleetGroup], context: PlanningContext) -> Iterator[str]:
    """Engines of the fleet that no document and no measurement says to serve its precision there."""
    for accelerator, precision, engine in dict.fromkeys(
        (group.accelerator, group.precision, group.engine) for group in groups
    ):
        rows = context.catalog.engine_support(accelerator, precision) if accelerator else ()
        row = next((row for row in rows if row.engine == engine), None)
        if row is not None and row.evidence is Evidence.UNTESTED:
            yield (
                f"that {engine} {row.engine_version} serves {precision} on {accelerator} is recalled: no document and "
                "no measurement says so; try it before relying on it"
            )
    yield from _slot_notes(groups, context)


def _slot_notes(groups: Sequence[FleetGroup], context: PlanningContext) -> Iterator[str]:
    """Servers whose requests at a time are held to what their speed is known for."""
    if context.requirements.demand.unit.is_one_pass:
        return
    for accelerator, engine, most in dict.fromkeys(
        (group.accelerator, group.engine, group.max_concurrency) for group in groups
    ):
        chip = context.catalog.accelerators.get(accelerator)
        server = context.catalog.token_server(engine, CPU if chip is None else chip.vendor)
        if server is not None and most == server.max_batch_items:
            yield f"replicas of {engine} answer {most} requests at a time at most: its speed is known for no more"


def _boots(tariff: Tariff) -> bool:
    return tariff.paid not in (PurchaseOption.SERVERLESS, PurchaseOption.MANAGED)


def _supply_notes(formulation: Formulation, requirements: Requirements) -> Iterator[str]:
    """Notes for the reader on prices and risks that were not there."""
    wanted = requirements.workload.purchase
    paid = {tariff.paid for pool in formulation.problem.pools for tariff in pool.tariffs}
    for purchase in wanted:
        if paid and PurchaseOption(purchase.value) not in paid:
            listed = "listed and recent " if requirements.workload.listed_only else ""
            yield f"no {listed}price for {purchase.value.replace('_', ' ')} is known for anything that could serve"
    if requirements.workload.listed_only and not paid:
        yield "prices that are not listed, or are old, are left out (listed_only): without it more can serve"
    if any(
        tariff.disk_usd_per_hour == 0 for pool in formulation.problem.pools for tariff in pool.tariffs if _boots(tariff)
    ):
        yield (
            "disks, downloads, load balancers and clusters are left out for providers whose prices for them are not "
            "known"
        )
