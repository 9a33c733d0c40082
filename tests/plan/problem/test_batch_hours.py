"""Hours of a run in which machines are up, beside numbers that were worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.demand.values import BatchRun
from advisor.plan.problem.hours import SLACK, hours_by_cost, run_costs
from advisor.plan.problem.values import PurchaseOption, Tariff
from advisor.workload.values import Limits, Scaling, Survive
from plan.fleet.problems import charges_of, pool_of, problem_of

EIGHT = BatchRun(1.0, 24, 0, tuple(range(8)), 8.0)
ZERO = Scaling(scale_to_zero=True)


def posed(*pools, **limits):
    """A problem of which only pools and limits count."""
    return problem_of(*pools, limits=Limits(fault_tolerant_ratio=1.0, **limits), scaling=ZERO)


def batch_hours(problem, run, items):
    """The first hours to try."""
    return next(iter(hours_by_cost(problem, run, items)))


def cheapest_run(problem, run, items):
    """Cost of a run with slack on the cheapest pool, (hours,)."""
    return np.min([usd for *_, usd in run_costs(problem, run, items * SLACK)], axis=0)


def test_one_machine_works_as_long_as_it_has_to():
    """One item a second for 2.4 h of items (with the slack under 2.5 h): three hours, not eight."""
    assert batch_hours(posed(pool_of(rate=1.0)), EIGHT, 2.4 * 3600) == 3


def test_starts_are_paid_for_so_that_few_machines_work_for_long():
    """Seven machine-hours are one machine for seven hours, or seven for one with seven starts."""
    assert batch_hours(posed(pool_of(rate=1.0, lead_hours=0.2)), EIGHT, 6.8 * 3600) == 7


def test_of_the_same_cost_it_is_fewer_machines():
    """Six machine-hours without starts cost the same in 1, 2, 3 and 6 hours."""
    assert batch_hours(posed(pool_of(rate=1.0)), EIGHT, 5.8 * 3600) == 6


def test_more_than_one_machine_where_the_window_is_short():
    """Sixteen machine-hours in eight hours take two machines."""
    hours = batch_hours(posed(pool_of(rate=1.0)), EIGHT, 15.5 * 3600)

    assert hours == 8
    assert cheapest_run(posed(pool_of(rate=1.0, usd=3.0)), EIGHT, 15.5 * 3600)[hours - 1] == pytest.approx(2 * 8 * 3.0)


def test_the_best_of_several_machines_decides():
    """A machine of twice the rate at 1.5 times the price: 4 h of it cost 6.0, 7 h of the other 7.0."""
    assert batch_hours(posed(pool_of("a", 1.0, 1.0), pool_of("b", 2.0, 1.5)), EIGHT, 6.8 * 3600) == 4


def test_an_interruption_of_spot_has_to_fit():
    """2.9 h of work fit three hours on demand; on spot with a start-up of half an hour they take four."""
    spot = Tariff(PurchaseOption.SPOT, 1.0)
    items = 2.9 * 3600

    assert batch_hours(posed(pool_of(rate=1.0, lead_hours=0.5)), EIGHT, items) == 3
    assert batch_hours(posed(pool_of(rate=1.0, lead_hours=0.5, tariffs=(spot,))), EIGHT, items) == 4


def test_spot_that_may_be_withdrawn_takes_two_machines_for_half_as_long():
    """Half of 5.8 h of work has to go on without a zone's spot: two machines in any hours, so three hours, not six."""
    pool = pool_of(rate=1.0, zones=3, tariffs=(Tariff(PurchaseOption.SPOT, 1.0),))
    half = replace(posed(pool), limits=Limits(fault_tolerant_ratio=0.5))

    assert batch_hours(posed(pool), EIGHT, 5.8 * 3600) == 6
    assert batch_hours(half, EIGHT, 5.8 * 3600) == 3
    assert cheapest_run(half, EIGHT, 5.8 * 3600)[[2, 5]].tolist() == [2 * 3, 2 * 6]


@pytest.mark.parametrize(("zones", "machines"), [(1, 4), (2, 4), (3, 3), (4, 3)])
def test_enough_machines_are_left_without_a_zone(zones, machines):
    """Two machines' work over 3 zones takes three of which one fails; over two, or in one alone, twice as many."""
    lasting = posed(pool_of(rate=1.0, usd=1.0, zones=zones), survive=Survive.ZONE)

    assert cheapest_run(lasting, EIGHT, 15.5 * 3600)[7] == pytest.approx(8 * machines)


def test_limits_on_machines_make_runs_longer():
    """At most one replica: two machines for three hours are out, one for six is not; N+1 doubles what one hour takes."""
    assert batch_hours(posed(pool_of(rate=1.0), max_replicas=1), EIGHT, 5.8 * 3600) == 6
    doubled = cheapest_run(posed(pool_of(rate=1.0, usd=1.0), survive=Survive.INSTANCE), EIGHT, 5.8 * 3600)
    assert doubled[5] == pytest.approx(2 * 6)
    quota = {("q", "on_demand"): 8.0}
    limited = problem_of(
        pool_of(rate=1.0, quotas={("q", "on_demand"): 4.0}), limits=Limits(), scaling=ZERO, quota_limits=quota
    )
    assert [usd < 1e9 for usd in cheapest_run(limited, EIGHT, 15.5 * 3600)] == [False] * 7 + [True]


def test_where_nothing_fits_all_hours_are_open():
    """The program then says which limit it is."""
    assert batch_hours(posed(pool_of(rate=1.0), max_replicas=1), EIGHT, 50 * 3600) == 8
    assert batch_hours(posed(), EIGHT, 3600) == 8


pools = st.lists(
    st.builds(
        lambda at, rate, usd, lead: pool_of(f"p{at}", rate, usd, lead_hours=lead),
        st.integers(0, 9), st.sampled_from((0.5, 1.0, 3.0)), st.sampled_from((0.4, 1.0, 2.2)),
        st.sampled_from((0.0, 0.1, 0.5)),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@given(pools, st.floats(100, 90_000), st.integers(1, 23), st.floats(1, 2))
def test_a_longer_deadline_is_never_dearer_and_more_items_are_never_cheaper(machines, items, hours, factor):
    """Of the closed form: whatever machines there are."""
    problem = posed(*machines)
    short, long = (BatchRun(1.0, 24, 0, tuple(range(most)), float(most)) for most in (hours, hours + 1))

    least = min(cheapest_run(problem, short, items))
    assert min(cheapest_run(problem, long, items)) <= least + 1e-9
    assert min(cheapest_run(problem, short, items * factor)) >= least - 1e-9
    assert SLACK >= 1


def test_what_a_region_charges_has_a_part_in_the_choice():
    """One that is cheaper by the run stands where 100 USD a month come on top: hours that suit the other are first."""
    cheap, dear = pool_of("a", 2.0, 1.0, type_in_region="x/a/m"), pool_of("b", 1.0, 1.1, type_in_region="x/b/m")
    free = posed(cheap, dear)
    charged = replace(free, charges={"x/a": charges_of("x/a", (100 / 730, {"least": 730.0}))})

    assert batch_hours(free, EIGHT, 3.9 * 3600) == 2
    assert batch_hours(charged, EIGHT, 3.9 * 3600) == 4


def test_hours_that_suit_a_full_machine_and_one_with_room_are_both_tried():
    """Of 8.95 h of work nine hours suit a machine that is full, ten leave it 2 % of slack."""
    twelve = BatchRun(1.0, 24, 0, tuple(range(12)), 12.0)

    assert set(hours_by_cost(posed(pool_of(rate=1.0)), twelve, 8.95 * 3600)) == {9, 10}
