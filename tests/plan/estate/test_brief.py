"""What a plan leaves out where it is one of many."""

from hypothesis import given

from advisor.plan.options import least_costs
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.solve.alone import Missed, alone
from plan.fleet.problems import everything, problems

A_CENT = 0.01


@given(problems(everything))
def test_no_option_costs_less_than_what_leaves_it_out(problem):
    """An option is left out of a brief plan by a cost that it is never below; the options come by that cost."""
    costs = least_costs(problem)

    assert [usd for usd, *_ in costs] == sorted(usd for usd, *_ in costs)
    assert {(pool.key, tariff.paid) for _, pool, tariff in costs} == {
        (pool.key, tariff.paid)
        for pool in problem.pools
        for tariff in pool.tariffs
        if tariff.paid not in (PurchaseOption.OWNED, PurchaseOption.SERVERLESS)
    }
    for least_usd, pool, tariff in costs:
        fleet = alone(problem, pool, tariff)
        if not isinstance(fleet, Missed):
            assert fleet.objective_usd_per_month >= least_usd - 5 * A_CENT
