"""One planner: fleet, options, rungs and today's fleet come from one formulation, one set of rates and one replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from advisor.candidates import Rejection
from advisor.catalog.values import Offer
from advisor.performance.stage import Served
from advisor.plan.fleet.choose import Choice, choice_of, choose_fleet, forecast_of
from advisor.plan.fleet.confirm import Confirmed, Confirmer
from advisor.plan.fleet.hours import week_of
from advisor.plan.fleet.stage import Setting, narrowed, pose, supply_of
from advisor.plan.ladder import Home, Ladder, Step
from advisor.plan.options import Ranking, options_of, rank, recommended
from advisor.plan.today import judged_today, priced_today
from advisor.plan.values import CurrentCost, Option, Rung
from advisor.requirements import Requirements
from advisor.workload.values import Workload

A_CENT = 0.01


@dataclass(frozen=True, slots=True)
class Asked:
    """How much of an answer is wanted."""

    options: int | None = None
    """Options that the plan holds at most, the cheapest; None: all."""
    replayed: int = 5
    """So many of the cheapest options are replayed."""
    every_variant: bool = False
    """Every precision and parallelism, not only the best of each offer and way of paying."""
    home: Home | None = None
    """Where the ladder starts; None: no ladder."""
    rungs: Mapping[Step, Workload] = field(default_factory=dict)
    """What each rung of the ladder allows."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """The answer in parts."""

    choice: Choice
    recommended: Option | None
    options: tuple[Option, ...]
    ladder: tuple[Rung, ...]
    current: CurrentCost | None
    rejections: tuple[Rejection, ...]


def plan_fleet(
    setting: Setting,
    wide: Requirements,
    served: Sequence[Served],
    offers: Mapping[tuple[str, str], tuple[Offer, ...]],
    asked: Asked,
) -> Planned:
    """The cheapest confirmed fleet, and what it is compared with.

    Args:
        setting: what is asked, the catalog, the performance model, and what runs or is owned.
        wide: the same requirements with all that any rung of the ladder allows.
        served: candidates of the wide requirements that keep the SLO.
        offers: of the wide requirements, by (provider, instance type).
        asked: how much of an answer is wanted.

    Raises:
        InputError: the price of the current deployment is not known.
    """
    requirements = setting.requirements
    expected = forecast_of(requirements)
    week = week_of(expected, scheduled=requirements.workload.scaling.scheduled)
    supply = supply_of(replace(setting, requirements=wide), served, offers)
    posed = pose(setting, narrowed(supply, requirements.workload), week)
    confirmer = Confirmer(posed, setting)
    found = choose_fleet(posed, confirmer)
    ranking, market = Ranking((), ()), posed
    if isinstance(found, Confirmed):
        if asked.every_variant:
            market = pose(setting, narrowed(supply, requirements.workload), week, every=True)
        ranking = rank(
            market, confirmer, setting, found, asked.replayed, every_variant=asked.every_variant
        )  # fmt: skip
        found = _cheaper(found, ranking)
    choice = choice_of(found, posed, setting, expected)
    options: tuple[Option, ...] = ()
    best: Option | None = None
    if choice.fleet is not None and choice.found is not None:
        options = options_of(ranking.first(asked.options), market, setting, expected, choice.fleet)
        best = recommended(choice.found, setting, choice.fleet, options)
    current = priced_today(requirements, setting.catalog)
    stated = requirements.workload.current
    ladder: tuple[Rung, ...] = ()
    if asked.home is not None and choice.fleet is not None:
        if current is not None and stated is not None:
            current = judged_today(current, stated, setting, supply, week, confirmer)
        ladder = Ladder(setting, supply, week, confirmer).climb(asked.rungs, current, choice.fleet, asked.home)
    return Planned(choice, best, options, ladder, current, (*choice.rejections, *ranking.rejections))


def _cheaper(found: Confirmed, ranking: Ranking) -> Confirmed:
    """The fleet, or an option that its replay confirms at less."""
    confirmed = [one.confirmed for one in ranking.singles if one.confirmed is not None]
    best = min(confirmed, key=lambda one: one.solution.objective_usd_per_month, default=found)
    if not found.confirmation.reached:
        return best
    cheaper = best.solution.objective_usd_per_month < found.solution.objective_usd_per_month - A_CENT
    return best if cheaper else found
