"""The same question with more and more allowed: what each step from today's machines saves, risks and takes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.describe import obligation_of
from advisor.plan.geography import residency_shortfall
from advisor.plan.problem.hours import Week
from advisor.plan.problem.pools import Supply, why_no_commitment
from advisor.plan.problem.values import Allocation, Infeasible, Paid
from advisor.plan.replay.confirm import Confirmed, Confirmer
from advisor.plan.solve.stage import Posed, Setting, narrowed, pose
from advisor.plan.spot import hazard
from advisor.plan.values import CurrentCost, Rung, RungGroup
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_DAY
from advisor.workload.scope import is_restricted
from advisor.workload.values import Workload

_CLOUDS = ("aws", "gcp", "azure")
"""Providers of the highest rung, beside those that the workload names: code is generated for them."""
_MAIN_REGIONS = {"aws": "us-east-1", "gcp": "us-central1", "azure": "eastus"}
"""Where most is sold: the first region where a workload names none."""
_NVIDIA = "nvidia"
A_CENT = 0.01
_NO_CURRENT = "no `current` is stated"
_EVIDENCE = ("measured", "calibrated", "roofline")
"""The strongest first."""


class Step(StrEnum):
    """Rungs, the one that changes least first."""

    AS_IS = "as_is"
    RESIZE = "resize"
    SAME_CLOUD = "same_cloud"
    COMMIT = "commit"
    SPOT = "spot"
    PRECISION = "precision"
    ANY_ACCELERATOR = "any_accelerator"
    ANY_CLOUD = "any_cloud"


@dataclass(frozen=True, slots=True)
class Home:
    """Where the ladder starts: what runs today, or the first provider and region where nothing is said to run."""

    provider: str
    region: str
    accelerator: str
    """"" where nothing is said to run."""
    purchase: Purchase


def home_of(requirements: Requirements, catalog: Catalog) -> Home:
    """Today's deployment; where none is stated, the provider and region that the workload names first."""
    workload = requirements.workload
    current = workload.current
    if current is not None:
        machine = catalog.instance_type(current.provider, current.instance_type)
        return Home(current.provider, current.region, machine.accelerator, current.purchase)
    provider = workload.providers[0]
    known = [name for name in catalog.regions_of(provider) if _may_process(provider, name, workload, catalog)]
    known = known or list(catalog.regions_of(provider))
    own = [region for region in workload.regions if region in known]
    main = _MAIN_REGIONS.get(provider, known[0])
    main = main if main in known else known[0]
    return Home(provider, own[0] if own else main, "", Purchase.ON_DEMAND)


def rung_workloads(requirements: Requirements, home: Home, catalog: Catalog) -> Mapping[Step, Workload]:
    """What each rung but the first allows; every one allows all that the one before allows."""
    stated = requirements.workload
    first = stated.precisions[:1]
    here = _regions_of(home.provider, home, stated, catalog)
    on_demand = tuple(dict.fromkeys((Purchase.ON_DEMAND, home.purchase)))
    nvidia = tuple(name for name, one in catalog.accelerators.items() if one.vendor.casefold() == _NVIDIA)
    resize = replace(
        stated,
        providers=(home.provider,),
        regions=(home.region,),
        accelerators=(home.accelerator,),
        instance_types=(),
        precisions=first,
        purchase=on_demand,
        near_current=False,
    )
    own = (home.accelerator,) if home.accelerator else ()
    same_cloud = replace(resize, regions=here, accelerators=tuple(dict.fromkeys((*own, *nvidia))))
    commit = replace(same_cloud, purchase=tuple(dict.fromkeys((*on_demand, Purchase.COMMITMENT))))
    spot = replace(commit, purchase=tuple(dict.fromkeys((*commit.purchase, Purchase.SPOT))))
    precision = replace(spot, precisions=_known_precisions(requirements, catalog))
    any_accelerator = replace(precision, accelerators=())
    clouds = tuple(
        provider
        for provider in dict.fromkeys((home.provider, *stated.providers, *_CLOUDS))
        if provider not in stated.exclude.providers and provider in catalog.providers
    )
    everywhere = tuple(
        dict.fromkeys(region for one in clouds for region in _regions_of(one, home, stated, catalog))
    )  # fmt: skip
    any_cloud = replace(any_accelerator, providers=clouds, regions=everywhere)
    first_rung = {Step.RESIZE: resize} if home.accelerator else {}
    return first_rung | {
        Step.SAME_CLOUD: same_cloud,
        Step.COMMIT: commit,
        Step.SPOT: spot,
        Step.PRECISION: precision,
        Step.ANY_ACCELERATOR: any_accelerator,
        Step.ANY_CLOUD: any_cloud,
    }


def widest(stated: Workload, rungs: Mapping[Step, Workload], catalog: Catalog) -> Workload:
    """What a workload and all of its rungs allow together."""
    every = (stated, *rungs.values())
    providers = tuple(dict.fromkeys(name for one in every for name in one.providers))
    regions = {
        region: None
        for one in every
        for region in (one.regions or tuple(name for owner in one.providers for name in catalog.regions_of(owner)))
    }
    return replace(
        stated,
        providers=providers,
        regions=tuple(regions),
        accelerators=(),
        instance_types=(),
        precisions=tuple(dict.fromkeys(name for one in every for name in one.precisions)),
        purchase=tuple(dict.fromkeys(name for one in every for name in one.purchase)),
        near_current=False,
    )


def _known_precisions(requirements: Requirements, catalog: Catalog) -> tuple[str, ...]:
    """Those stated, then every other one that a checkpoint of the model is known for."""
    known = catalog.known_precisions(requirements.workload.model)
    return tuple(dict.fromkeys((*requirements.workload.precisions, *known)))


def _regions_of(provider: str, home: Home, stated: Workload, catalog: Catalog) -> tuple[str, ...]:
    """Regions of a provider on the continent of the home, with those that the workload names.

    Where users or a residency say where to plan, those of every continent: what they rule out is left out later.
    """
    anywhere = not stated.regions and bool(stated.users or stated.residency)
    continent = catalog.regions[home.provider, home.region].continent
    own = tuple(region for region in stated.regions if (provider, region) in catalog.regions)
    near = tuple(
        region
        for region in catalog.regions_of(provider)
        if (known := catalog.regions.get((provider, region))) is not None
        and (anywhere or known.continent == continent)
        and is_restricted(region) == is_restricted(home.region)
        and region not in stated.exclude.regions
        and _may_process(provider, region, stated, catalog)
    )
    return tuple(dict.fromkeys((home.region, *own, *near) if provider == home.provider else (*own, *near)))


def _may_process(provider: str, region: str, stated: Workload, catalog: Catalog) -> bool:
    """Whether the residency of a workload allows a region."""
    known = catalog.regions.get((provider, region))
    return not stated.residency or (known is not None and residency_shortfall(known, stated.residency) is None)


@dataclass(frozen=True, slots=True, eq=False)
class _Reached:
    """The cheapest confirmed fleet of a rung."""

    found: Confirmed
    setting: Setting
    cheapest: Confirmed
    """The same, or what a simpler one was preferred to."""

    @property
    def usd_per_month(self) -> float:
        return self.found.solution.objective_usd_per_month


class Ladder:
    """Climbs from rung to rung with one planner: every fleet is solved and replayed as the recommended one is."""

    def __init__(self, setting: Setting, supply: Supply, week: Week, confirmer: Confirmer) -> None:
        """Take what all rungs share: the supply of the widest of them, and a confirmer that remembers its replays."""
        self._setting, self._supply, self._week, self._confirmer = setting, supply, week, confirmer

    def climb(
        self, workloads: Mapping[Step, Workload], current: CurrentCost | None, fleet: Fleet, home: Home
    ) -> tuple[Rung, ...]:
        """Every rung with its fleet, or why it has none; none costs more than the one before."""
        rungs = [_as_is(current)]
        if Step.RESIZE not in workloads:
            rungs.append(_none(Step.RESIZE, _NO_CURRENT))
        below: _Reached | None = None
        for step, workload in workloads.items():
            reached, why_none = self._rung(workload, below)
            if below is not None and (reached is None or reached.usd_per_month > below.usd_per_month):
                reached = below
            rungs.append(_as_today(self._described(step, reached, why_none, current, home), rungs[0], current))
            below = reached
        return tuple(_marked(rungs, fleet))

    def _rung(self, workload: Workload, below: _Reached | None) -> tuple[_Reached | None, str]:
        setting = replace(
            self._setting,
            requirements=replace(self._setting.requirements, workload=workload),
            effort=replace(self._setting.effort, holds_up_to=False, in_full=False),
        )
        posed = pose(setting, narrowed(self._supply, workload), self._week)
        if not posed.problem.pools:
            return None, _why_no_pool(posed)
        confirmer = self._confirmer.within(posed, setting)
        known = None if below is None else below.cheapest
        found = confirmer.confirmed(known=known)
        if found is known:
            return below, ""
        if isinstance(found, Infeasible):
            limits = " and ".join(constraint.value for constraint in found.conflict)
            return None, f"no fleet keeps to {limits or 'the demand'} with what this rung allows"
        if not found.confirmation.reached:
            ratio = found.confirmation.within_slo_ratio
            return None, f"the best fleet keeps {ratio:.2%} of the requests within the SLO"
        return _Reached(confirmer.simplest(found), setting, found), ""

    def _described(
        self, step: Step, reached: _Reached | None, why_none: str, current: CurrentCost | None, home: Home
    ) -> Rung:  # fmt: skip
        if reached is None:
            return _none(step, why_none)
        found, catalog = reached.found, self._setting.catalog
        words = _Words(found, reached.setting, catalog, home)
        history = why_no_commitment(reached.setting.requirements) if step is Step.COMMIT else ""
        evidence = {found.posed.pool_set.sources[one.pool.key].served.evidence.value for one in _used(found)}
        return Rung(
            rung=step.value,
            total_usd_per_month=reached.usd_per_month,
            saving_ratio=None if current is None else 1 - reached.usd_per_month / current.total_usd_per_month,
            groups=tuple(_group(found, one) for one in _used(found)),
            risks=tuple(words.risks()),
            requires=(*words.requires(), *([history] if history else ())),
            evidence=max(evidence, key=_EVIDENCE.index),
            within_slo_ratio=found.confirmation.within_slo_ratio,
        )


def _as_is(current: CurrentCost | None) -> Rung:
    """Today's instances, where they keep the SLO and the limits."""
    if current is None:
        return _none(Step.AS_IS, _NO_CURRENT)
    needed = current.instances_needed
    kept = current.within_slo_ratio
    if needed is None or kept is None:
        return _none(Step.AS_IS, current.not_judged, kept)
    if current.instances < needed:
        why = (
            f"{current.instances} × {current.instance_type} keep {kept:.2%} of the requests within the SLO; "
            f"{needed} are needed with failures covered"
        )
        return _none(Step.AS_IS, why, kept)
    spare = current.instances - needed
    risks = (f"{spare} more than the demand takes",) if spare else ()
    return Rung(Step.AS_IS.value, current.total_usd_per_month, 0.0, (), risks, (), "", "", kept)


def _none(step: Step, why: str, within_slo_ratio: float | None = None) -> Rung:
    """A rung without a fleet."""
    return Rung(step.value, None, None, (), (), (), "", why, within_slo_ratio)


def _as_today(rung: Rung, today: Rung, current: CurrentCost | None) -> Rung:
    """The rung at today's cost where it is today's machines: how these run the model, so their disks, is unknown."""
    if current is None or today.total_usd_per_month is None or rung.total_usd_per_month is None:
        return rung
    running = (current.region, current.instance_type, current.purchase, current.instances)
    same = [(one.region, one.instance_type, one.purchase, one.instances) for one in rung.groups] == [running]
    if not same or rung.total_usd_per_month <= today.total_usd_per_month:
        return rung
    return replace(rung, total_usd_per_month=today.total_usd_per_month, saving_ratio=today.saving_ratio)


def _marked(rungs: Sequence[Rung], fleet: Fleet) -> Iterator[Rung]:
    """The rungs, the first one with the recommended fleet marked."""
    usd = fleet.cost.total_usd_per_month
    wanted = sorted((one.stand, one.purchase, one.precision, max(one.instances)) for one in fleet.groups)
    marked = False
    for rung in rungs:
        own = sorted(
            (f"{one.provider}/{one.region}/{one.instance_type}", one.purchase, one.precision, one.instances)
            for one in rung.groups
        )
        costs_as_much = rung.total_usd_per_month is not None and abs(rung.total_usd_per_month - usd) < A_CENT
        is_it = not marked and own == wanted and costs_as_much
        marked |= is_it
        yield replace(rung, recommended=is_it)


def _why_no_pool(posed: Posed) -> str:
    if posed.pool_set.rejections:
        return posed.pool_set.rejections[0].message
    return "nothing that it allows holds the model within the SLO"


def _used(found: Confirmed) -> tuple[Allocation, ...]:
    return found.solution.allocations


def _group(found: Confirmed, allocation: Allocation) -> RungGroup:
    source = found.posed.pool_set.sources[allocation.pool.key]
    candidate, offer, tariff = source.served.candidate, source.offer, allocation.tariff
    return RungGroup(
        provider=offer.provider,
        region=offer.region,
        instance_type=offer.instance_type,
        accelerator=candidate.instance_type.accelerator,
        purchase=tariff.paid.value,
        commitment=tariff.label if tariff.paid is Paid.COMMITMENT else "",
        precision=candidate.precision,
        tensor_parallel=candidate.tensor_parallel,
        engine=candidate.engine,
        instances=max(allocation.instances),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Words:
    """What a fleet risks and what it takes, against what runs today."""

    found: Confirmed
    setting: Setting
    catalog: Catalog
    home: Home

    def risks(self) -> Iterator[str]:
        """Interruptions, obligations and weak evidence."""
        for allocation in _used(self.found):
            source = self.found.posed.pool_set.sources[allocation.pool.key]
            if allocation.tariff.paid is Paid.SPOT:
                per_hour = hazard(self.catalog.spot_risk(source.offer)).per_hour.value
                days = 1 / per_hour / HOURS_PER_DAY if per_hour > 0 else math.inf
                yield f"spot {source.offer.instance_type}: an instance is interrupted every {days:,.0f} days"
            if source.served.evidence.value == "roofline":
                yield f"{source.offer.instance_type}: predicted from its data sheet alone"
        usd, until = obligation_of(_used(self.found), self.setting)
        if until is not None:
            yield f"obliges to ${usd:,.0f} until {until}"

    def requires(self) -> Iterator[str]:
        """Cloud, region, accelerator, engine, checkpoint."""
        groups = [_group(self.found, allocation) for allocation in _used(self.found)]
        yield from dict.fromkeys(
            f"an account on {one.provider}" for one in groups if one.provider != self.home.provider
        )  # fmt: skip
        yield from dict.fromkeys(
            f"region {one.region}"
            for one in groups
            if one.provider == self.home.provider and one.region != self.home.region
        )
        yield from dict.fromkeys(
            f"driver and image for {one.accelerator} ({one.engine})"
            for one in groups
            if one.accelerator != self.home.accelerator
        )
        yield from dict.fromkeys(words for one in groups if (words := self._checkpoint(one.precision)))

    def _checkpoint(self, precision: str) -> str:
        """The weights of a precision other than the one named first, and what is known of their quality."""
        stated = self.setting.requirements.workload.precisions
        if precision == stated[0]:
            return ""
        return checkpoint_words(self.catalog, self.setting.requirements.workload.model, precision)


def checkpoint_words(catalog: Catalog, model: str, precision: str) -> str:
    """Where weights of a precision come from, and how much quality they keep."""
    known, loss = catalog.checkpoint(model, precision), catalog.quality_loss(model, precision)
    where = f"{precision} weights: quantise them yourself"
    if known is not None and known.is_of(model):
        where = f"{precision} weights: {known.repository}"
    if known is not None and known.made_while_loading:
        where = f"{precision} weights: made by the engine while loading"
    if loss is None:
        return f"{where}; quality loss not known"
    measured = f" (measured on {loss.of_model})" if loss.of_model else ""
    return (
        f"{where}; keeps {min(loss.recovery_ratio, 1.0):.1%} of its benchmark scores{measured}, "
        f"{loss.provenance.source.partition(' (')[0]}, {loss.provenance.as_of}"
    )
