"""What a plan says beside its numbers, each where it holds and nowhere else, and limits that exclude each other."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from advisor.catalog import Catalog
from advisor.catalog.planning import AccountLimit
from advisor.catalog.values import Purchase
from advisor.plan.fleet.choose import choice_of, conflict_of, forecast_of, no_choice
from advisor.plan.fleet.chosen import QuotaNeed
from advisor.plan.planning import scaling_notes
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import Infeasible, PurchaseOption, Relaxation, Tariff
from advisor.workload.values import Limits, QuotaLimit, Survive
from builders import catalog_of, offer, workload
from plan.fleet.described import described, posed
from plan.fleet.posing import posed_of
from plan.fleet.problems import pool_of, problem_of

ON_DEMAND, EITHER = (Purchase.ON_DEMAND,), (Purchase.ON_DEMAND, Purchase.SPOT)
FAMILY = ("aws", "us-east-1", "L-DB2E81BA")


@pytest.fixture(scope="module")
def fleet():
    """Two machines of one type on demand."""
    return described(*posed(), ("g6e.xlarge", "on_demand", (2,)))


def notes_of(fleet, asked=None, *, changed=lambda problem: problem, **catalog):
    """Notes of a fleet, with some tables of the catalog and some fields of its problem in another state."""
    known = catalog_of(offer("g6e.xlarge", on_demand=1.86))
    known.__dict__.update(catalog)
    formulation, context = posed_of(asked or workload(purchase=ON_DEMAND), known)
    formulation = replace(formulation, problem=changed(formulation.problem))
    return choice_of(fleet, formulation, context, forecast_of(context.requirements)).notes


@pytest.mark.parametrize(
    ("taken", "limit", "stated", "told"),
    [
        ((16.0, 20.0), 20.0, False, False),
        ((16.0, 20.0), 19.0, False, True),
        ((16.0, 16.0), 16.0, False, False),
        ((16.0, 16.0), 15.0, False, True),
        ((16.0, 20.0), 19.0, True, False),
    ],
)
def test_a_limit_of_the_account_is_told_where_the_fleet_is_beyond_it(fleet, monkeypatch, taken, limit, stated, told):
    """While instances are replaced too. All of it is within it; one that the workload states is kept to, and not told again."""
    need = QuotaNeed(*FAMILY, "Running On-Demand G", "vCPUs", taken[0], None, taken[1])
    limits = Limits(quotas=(QuotaLimit(*FAMILY, 5000),) if stated else ())
    monkeypatch.setattr(Catalog, "account_limits", {FAMILY: AccountLimit(limit, "2026-11-01")})
    notes = notes_of(replace(fleet, quotas=(need,)), workload(purchase=ON_DEMAND, limits=limits))
    about = [note for note in notes if note.startswith("the account's limit")]
    assert len(about) == told
    assert all(f"L-DB2E81BA in us-east-1 was {limit:g} vCPUs on 2026-11-01" in note for note in about)


@pytest.mark.parametrize("carried", [0.0, 1.05])
def test_a_network_that_is_not_known_is_told_where_it_may_matter(fleet, carried):
    """The group of a machine whose network carries what nobody counted, and no other."""
    (group,) = fleet.groups
    groups = (
        replace(group, uncounted_gbit_per_second=carried),
        replace(group, instance_type="g5.xlarge", instances=(0,)),
    )

    notes = notes_of(replace(fleet, groups=groups))

    about = [note.removeprefix("how much the network of g6e.xlarge carries is not known") for note in notes]
    told = [", and limits no rate: in the busiest hours each receives or sends 1.05 Gbit/s"] if carried else []
    assert [note for note in about if "network" in note or "Gbit" in note] == told


def test_of_what_is_known_and_usual_there_are_no_notes(fleet):
    """Text, listed prices, a documented engine, a known network: nothing is told but how demand was stated."""
    (note,) = notes_of(fleet)
    assert note.startswith("declared demand is the same at all hours")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"precision": "fp32"}, "vLLM 0.33.0 serves fp32 on L40S"),
        ({"precision": "fp32", "accelerator": ""}, None),
        ({"precision": "fp32", "engine": "an engine of tomorrow"}, None),
        ({"precision": "fp32", "engine": "SGLang"}, "SGLang 0.5.23 serves fp32 on L40S"),
    ],
)
def test_an_engine_that_is_recalled_to_serve_a_precision_is_told(fleet, changes, told):
    """What a document says is not, nor are engines that have no row there, nor processors."""
    groups = tuple(replace(group, **changes) for group in (*fleet.groups, *fleet.groups))
    about = [note for note in notes_of(replace(fleet, groups=groups)) if "is recalled" in note]
    assert [note.removeprefix("that ").partition(" is recalled")[0] for note in about] == ([told] if told else [])


@pytest.mark.parametrize(
    ("asked", "notes"),
    [
        ({"purchase": ON_DEMAND}, []),
        ({"purchase": EITHER}, ["no price for spot is known for anything that could serve"]),
        ({"purchase": EITHER, "listed_only": True}, ["no listed and recent price for spot is known for anything that could serve"]),
        ({"purchase": ON_DEMAND, "listed_only": True}, []),
    ],
)  # fmt: skip
def test_ways_of_paying_that_nothing_is_sold_in_are_told(fleet, asked, notes):
    """Those that are asked for alone."""
    about = [note for note in notes_of(fleet, workload(**asked)) if "price" in note]
    assert about == notes


@pytest.mark.parametrize("listed_only", [True, False])
def test_nothing_to_pay_for_is_told_once(fleet, *, listed_only):
    """Without any price no way of paying is named: where prices have to be listed, that is what is said."""
    asked = workload(purchase=EITHER, listed_only=listed_only)
    notes = notes_of(fleet, asked, changed=lambda problem: replace(problem, pools=()))
    assert [note for note in notes if "price" in note] == (
        ["prices that are not listed, or are old, are left out (listed_only): without it more can serve"]
        if listed_only
        else []
    )


@pytest.mark.parametrize(
    ("tariffs", "told"),
    [
        ([("on_demand", 0.0)], True),
        ([("on_demand", 0.01)], False),
        ([("on_demand", 1.0)], False),
        ([("on_demand", 0.01), ("spot", 0.0)], True),
        ([("serverless", 0.0)], False),
        ([("managed", 0.0)], False),
        ([("managed", 0.0), ("on_demand", 0.01)], False),
    ],
)
def test_disks_without_a_price_are_told(fleet, tariffs, told):
    """Of any machine that boots from one; endpoints and containers of a service have none to pay for."""

    def sold(problem):
        paid = tuple(
            Tariff(type(problem.pools[0].tariffs[0].paid)(way), 1.0, disk_parts_usd_per_hour=(usd,))
            for way, usd in tariffs
        )
        return replace(problem, pools=(replace(problem.pools[0], tariffs=paid),))

    assert (
        any(
            note.startswith("disks, downloads, load balancers and clusters are left out")
            for note in notes_of(fleet, changed=sold)
        )
        is told
    )


LIMITS = Limits(min_replicas=3, zones=2, max_usd_per_month=1234.5, max_replicas=7)


@pytest.mark.parametrize(
    ("constraint", "limits", "asked"),
    [
        (Constraint.SURVIVE, LIMITS, "instance, the default with limits.min_replicas 3"),
        (Constraint.SURVIVE, Limits(zones=2), "instance, the default with limits.zones 2"),
        (Constraint.SURVIVE, Limits(survive=Survive.ZONE), "zone"),
        (Constraint.SURVIVE, Limits(min_replicas=3, survive=Survive.INSTANCE), "instance"),
        (Constraint.BUDGET, LIMITS, "1,234.5"),
        (Constraint.MAX_REPLICAS, LIMITS, "7"),
        (Constraint.ZONES, LIMITS, "2"),
        (Constraint.SPOT_REROUTE, LIMITS, "0, the default"),
        (Constraint.COMMITMENT_LOW_BAND, LIMITS, "false, the default"),
        (Constraint.COMMITMENT_LOW_BAND, Limits(commit_beyond_forecast=True), "true"),
        (Constraint.QUOTA, LIMITS, ""),
        (Constraint.DEMAND, LIMITS, ""),
        (Constraint.MAX_REGIONS, LIMITS, "1, the default"),
        (Constraint.MAX_REGIONS, Limits(max_regions=3), "3"),
    ],
)
def test_what_is_asked_is_told_as_it_is_stated_or_by_default(constraint, limits, asked):
    """Of a limit that is one value."""
    conflict = conflict_of(Infeasible((constraint,), ()), limits)
    assert (conflict.constraints, conflict.asked) == ((constraint.value,), (asked,))


def test_there_is_no_choice_without_and_with_a_conflict():
    """Nothing that serves is no conflict; limits that exclude each other are one, with what would help."""
    formulation, context = posed_of(workload(purchase=ON_DEMAND), catalog_of(offer("g6e.xlarge", on_demand=1.86)))
    expected = forecast_of(context.requirements)
    relaxed = Relaxation(Constraint.BUDGET, "", 100.0, 250.0, "USD/month")
    conflict = Infeasible((Constraint.BUDGET, Constraint.SURVIVE), (relaxed,), given_up=(Constraint.SURVIVE,))

    none, limited = (no_choice(each, formulation, context, expected) for each in (None, conflict))

    assert (none.fleet, none.conflict, limited.fleet) == (None, None, None)
    assert [(each.name, each.needed) for each in limited.conflict.relaxations] == [("max_usd_per_month", 250.0)]
    assert limited.conflict.remedies == ("set limits.survive to nothing",)


HOST, ELSEWHERE = ("r1", PurchaseOption.ON_DEMAND), ("r2", PurchaseOption.SPOT)
SERVICE, SERVICE_ELSEWHERE = ("r1", PurchaseOption.SERVERLESS), ("r2", PurchaseOption.SERVERLESS)


@pytest.mark.parametrize(
    ("groups", "planned", "is_told"),
    [
        ((HOST, ELSEWHERE), (1.0, 4.0), True),
        ((HOST, SERVICE), (1.0, 4.0), True),
        ((HOST, HOST), (1.0, 4.0), False),
        ((SERVICE, SERVICE_ELSEWHERE), (1.0, 4.0), False),
        ((HOST, ELSEWHERE), (4.0,), False),
    ],
)
def test_a_fleet_of_hosts_and_other_addresses_says_why_none_of_them_rests(groups, planned, is_told):
    """Who sees an idle host at night is told what it is for; nothing could rest where all hours are alike."""
    market = SimpleNamespace(formulation=SimpleNamespace(problem=problem_of(pool_of(), planned=planned)))
    fleet = [SimpleNamespace(provider="gcp", region=region, purchase=purchase) for region, purchase in groups]
    notes = list(scaling_notes(market, SimpleNamespace(groups=fleet)))

    assert any("by the same weights at all hours" in note for note in notes) is is_told
