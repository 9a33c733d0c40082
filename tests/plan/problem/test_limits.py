"""Every limit is a row, and what asks for limits asks each of them."""

import dataclasses
import math
import typing
from dataclasses import replace

import pytest

from advisor.plan.problem.constraints import keeps_rules, uses
from advisor.plan.problem.hours import _allowed
from advisor.plan.problem.limits import (
    IN_PROPORTION,
    RULED,
    Constraint,
    Shortcut,
    caps_in_proportion,
    changed_instances,
    is_kept_by,
    rules,
)
from advisor.plan.problem.values import FleetSolution, Infeasible, PurchaseOption, Tariff
from advisor.plan.solve.dominance import without_dominated
from advisor.plan.solve.program import FleetProgram
from advisor.plan.solve.scopes import is_countable
from advisor.workload.values import Limits
from plan.fleet.problems import optimise, pool_of, problem_of

NOT_OF_A_FLEET = {
    "memory_utilization", "mix_providers", "switching_usd_per_instance", "simplicity", "commitment_years",
    "commit_without_history",
}  # fmt: skip
"""Limits that decide which pools there are and what they cost, or how a fleet is preferred to others."""
DEAR = Tariff(PurchaseOption.ON_DEMAND, 3.0)


def capped(constraint, cap, planned=4.0):
    """A cheap pool that takes 2 of a cap for each instance, and a dear one that takes 1."""
    cheap = pool_of("cheap", 1.0, takes={constraint: 2.0})
    frugal = pool_of("frugal", 1.0, tariffs=(DEAR,), takes={constraint: 1.0})
    return problem_of(cheap, frugal, planned=(planned,), limits=replace(Limits(), **{constraint.field: cap}))


def test_every_limit_has_its_row():
    """No field of the limits is without a constraint but those that no fleet can break, and no row without a field."""
    of_rows = {name.field for name in Constraint if name.set_by.startswith("limits.")}

    assert of_rows == {field.name for field in dataclasses.fields(Limits)} - NOT_OF_A_FLEET


def test_the_program_writes_every_constraint():
    """A row without its function would be a limit that is not applied."""
    program = FleetProgram(problem_of(pool_of()))

    assert set(program.writers()) == set(Constraint)


@pytest.mark.parametrize("constraint", Constraint)
def test_a_row_can_be_told(constraint):
    """A number that is negotiable has its unit; one that is not whole has digits, or counts units of a quota."""
    hints, row = typing.get_type_hints(Limits), constraint.row
    if row.is_negotiable:
        assert row.unit or row.give_up
    if float in (hints.get(constraint.field), *typing.get_args(hints.get(constraint.field))):
        assert row.decimals > 0
        assert not constraint.is_whole


@pytest.mark.parametrize("constraint", Constraint)
def test_a_constraint_that_no_limit_states_has_no_number(constraint):
    """Of the usual limits none is stated; demand, capacity and what is owned are not limits at all."""
    assert constraint.stated(Limits()) is None


@pytest.mark.parametrize("constraint", Constraint)
def test_a_number_with_which_nothing_is_asked_is_one_of_a_floor(constraint):
    """Without a cap there is no number; without a floor there is the least."""
    assert constraint.row.is_floor == math.isfinite(constraint.row.loosest)


@pytest.mark.parametrize("constraint", RULED)
def test_a_limit_with_a_rule_holds_wherever_fleets_are_chosen(constraint):
    """The program keeps to it, fleets are not counted out where it is stated, and the conflict names it."""
    small = pool_of("small", 1.0, replicas=1, zones=1)
    large = pool_of("large", 4.0, tariffs=(Tariff(PurchaseOption.ON_DEMAND, 3.0),))
    free = problem_of(small, large, planned=(5.0,))
    fleet = optimise(free)

    assert isinstance(fleet, FleetSolution)
    assert RULED[constraint].used(fleet.allocations) == 2
    problem = replace(free, limits=replace(Limits(), **{constraint.field: 1}))
    limited = optimise(problem)
    assert isinstance(limited, FleetSolution)
    assert [(use.name, use.used, use.binding) for use in uses(problem, limited)] == [(constraint, 1, True)]
    assert is_countable(free)
    assert not is_countable(problem)
    assert not keeps_rules(problem, fleet)
    assert keeps_rules(problem, limited)
    assert rules(problem.limits) == {constraint: 1}


@pytest.mark.parametrize("constraint", IN_PROPORTION)
def test_a_cap_in_proportion_holds_wherever_fleets_are_chosen(constraint):
    """The program keeps to it, dominance keeps the frugal pool, and fleets are not counted out where it is stated."""
    hours = 730.0 if IN_PROPORTION[constraint].is_monthly else 1.0
    problem = capped(constraint, 6.0 * hours)
    fleet = optimise(problem)

    assert isinstance(fleet, FleetSolution)
    assert {group.pool.key: group.instances for group in fleet.allocations} == {"cheap": (2,), "frugal": (2,)}
    assert [(use.name, use.binding) for use in uses(problem, fleet)] == [(constraint, True)]
    assert [pool.key for pool in without_dominated(problem).pools] == ["cheap", "frugal"]
    assert not is_countable(problem)
    assert is_countable(replace(problem, limits=Limits()))
    assert not is_kept_by(Shortcut.TOGETHER, problem.limits)
    assert caps_in_proportion(problem.limits) == {constraint: 6.0 * hours}


@pytest.mark.parametrize("constraint", IN_PROPORTION)
def test_a_cap_in_proportion_is_named_where_it_allows_no_fleet(constraint):
    """The conflict is the cap, with the least that would do."""
    hours = 730.0 if IN_PROPORTION[constraint].is_monthly else 1.0
    conflict = optimise(capped(constraint, 3.0 * hours))

    assert isinstance(conflict, Infeasible)
    assert conflict.conflict == (constraint,)
    assert [relaxed.needed for relaxed in conflict.relaxations] == [pytest.approx(4.0 * hours, rel=1e-3)]


@pytest.mark.parametrize("constraint", [name for name, takes in IN_PROPORTION.items() if not takes.is_monthly])
def test_batch_work_takes_no_more_machines_than_a_cap_allows(constraint):
    """A cap of 5 allows two machines of 2 each in the hours of a run."""
    problem = capped(constraint, 5.0)
    pool = problem.pools[0]

    assert _allowed(problem, pool, pool.tariffs[0], 2.0)
    assert not _allowed(problem, pool, pool.tariffs[0], 3.0)


@pytest.mark.parametrize(
    ("planned", "changed"),
    [
        ({"own": (4, 4)}, 0),
        ({"own": (1, 4)}, 0),  # fewer of today's follow the load
        ({"own": (1, 5)}, 1),
        ({"own": (1, 2)}, 2),
        ({}, 4),
        ({"own": (0, 4), "large": (1, 0)}, 5),  # at night a large one serves in place of four
        ({"own": (0, 2), "large": (1, 1)}, 5),  # two of today's that are up in the busiest hours replace nothing
        ({"own": (3, 4), "large": (1, 1)}, 2),
        ({"own": (2, 4), "large": (0, 1)}, 1),
        ({"own": (4, 3), "large": (0, 1), "other": (1, 0)}, 3),
    ],
)
def test_a_machine_that_others_replace_at_some_hours_is_changed(planned, changed):
    """Four of one kind run today, in two classes of hours; the count of no change depends on how few hours it is in."""
    assert changed_instances(planned, {"own": 4}) == changed


def test_no_fleet_keeps_idle_machines_of_today_to_change_fewer():
    """A large machine carries all for a fifth of the cost: where 3 may change, two of today's four run at all hours."""
    small, large = pool_of("small", 1.0), pool_of("large", 4.0, 0.8)
    asked = problem_of(small, large, planned=(3.5, 4.0), running={small.type_in_region: 4})

    free = optimise(asked)
    held = optimise(replace(asked, limits=Limits(max_changed_instances=3)))

    assert {group.pool.key for group in free.allocations} == {"large"}
    assert {group.pool.key: group.instances for group in held.allocations} == {
        "small": (2, 2),
        "large": (1, 1),
    }
