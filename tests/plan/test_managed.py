"""Endpoints that a service runs, at its own price by the hour: offered when asked for, and generated as what they are."""

import json
from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Managed, Price, Purchase
from advisor.codegen import generate
from advisor.codegen.container import Wanted
from advisor.codegen.targets.aws_sagemaker import SIZES, is_sold
from advisor.errors import InputError
from advisor.pipeline import plan_for, plan_question
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.explain.whatif import what_if
from advisor.plan.locks import PlanRows, lock_of, lock_text, read_lock
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.request import read_question
from advisor.report.verdict import plan_table
from advisor.tables import read_rows
from advisor.workload.values import Limits, QuotaLimit
from builders import LISTED, catalog_of, offer, workload

G_QUOTA = "L-DB2E81BA"


def managed(name, usd, region="us-east-1", **prices):
    """An offer that SageMaker runs endpoints on, at a price of its own."""
    price = None if usd is None else Price(usd, LISTED)
    return replace(offer(name, region, **prices), managed=Managed("SageMaker real-time", price))


def planned(*offers, purchase=(Purchase.MANAGED,), **changes):
    """The plan for a chat workload with these offers alone."""
    return plan_for(workload(purchase=purchase, **changes), catalog_of(*offers))


def test_the_fleet_is_paid_at_the_price_of_the_service():
    """Nothing of EC2's price is in the total; fleet, options and what runs without a schedule agree."""
    plan = planned(managed("g6e.xlarge", 2.6), managed("g6e.2xlarge", 2.8))
    (group,) = plan.fleet.groups
    assert (group.purchase, group.commitment) == ("managed", "SageMaker real-time")
    assert group.instance_usd_per_hour == 2.6
    assert plan.fleet.cost.disks_usd_per_month == 0
    items = [charge.item for charge in plan.fleet.standing]
    assert items == ["log_ingest", "log_storage", "alarm", "kms_key", "nat_gateway", "public_ip"]
    assert not any("disks" in note for note in plan.notes)
    assert plan.fleet.cost.compute_usd_per_month == pytest.approx(2.6 * 730 * group.instances[0])
    assert plan.fleet.static_peak.compute_usd_per_month == pytest.approx(plan.fleet.cost.compute_usd_per_month)
    assert {option.purchase for option in plan.options} == {"managed"}
    (read,) = plan_from_json(plan_to_json(plan)).fleet.groups
    assert (read.purchase, read.commitment) == (group.purchase, group.commitment)
    shown = plan_table(plan, width=None, verbose=True)
    assert "SageMaker real-time" in shown
    assert "static peak" not in shown  # the fleet is its own


def test_machines_are_cheaper_without_the_service():
    """Where both are allowed, the same type on demand beats it; by default it is not offered."""
    both = planned(managed("g6e.xlarge", 2.6, on_demand=1.9), purchase=(Purchase.ON_DEMAND, Purchase.MANAGED))
    assert {group.purchase for group in both.fleet.groups} == {"on_demand"}
    assert {option.purchase for option in both.options} == {"on_demand", "managed"}
    plain = planned(managed("g6e.xlarge", 0.1, on_demand=1.9), purchase=(Purchase.ON_DEMAND,))
    assert {option.purchase for option in plain.options} == {"on_demand"}


def test_unknown_prices_and_missing_services_are_told_apart():
    """Sold at an unknown price, and not sold so at all."""
    plan = planned(managed("g6e.xlarge", None), offer("g6e.2xlarge"))
    assert plan.fleet is None
    reasons = {(one.instance_type, one.code) for one in plan.rejected if one.code in ("price_unknown", "not_sold")}
    assert {("g6e.xlarge", "price_unknown"), ("g6e.2xlarge", "not_sold")} <= reasons
    assert any("no service is known to run endpoints on it" in one.message for one in plan.rejected)


def test_limits_of_ec2_do_not_count_it():
    """A quota of no processors at all keeps no endpoint from running, but every machine."""
    limits = Limits(quotas=(QuotaLimit("aws", "us-east-1", G_QUOTA, 0),))
    offers = (managed("g6e.xlarge", 2.6, on_demand=1.9),)
    (group,) = planned(*offers, purchase=(Purchase.ON_DEMAND, Purchase.MANAGED), limits=limits).fleet.groups
    assert group.purchase == PurchaseOption.MANAGED
    assert planned(*offers, purchase=(Purchase.ON_DEMAND,), limits=limits).fleet is None


def test_code_is_that_of_an_endpoint():
    """By default, at SageMaker's price; as plain machines it would cost something else, so that is refused."""
    plan = planned(managed("g6e.xlarge", 2.6))
    made = generate(plan)
    assert made.targets == ("sagemaker",)
    assert "ml.g6e.xlarge" in made.files["fleet.tf"]
    assert "prices of EC2" not in made.files["variables.tf"]
    assert not any("those of EC2" in line for line in made.files["README.md"].splitlines())
    with pytest.raises(InputError, match="the plan pays SageMaker for"):
        generate(plan, wanted=Wanted(target="ec2"))


def test_a_mixed_fleet_becomes_a_root_for_each_part():
    """Endpoints beside machines are two stacks whose names do not meet; asked for as one target it is refused."""
    plan = planned(managed("g6e.xlarge", 2.6, on_demand=1.9), purchase=(Purchase.ON_DEMAND, Purchase.MANAGED))
    (group,) = plan.fleet.groups
    endpoint = replace(group, name=group.name.replace("on_demand", "managed"), purchase="managed")
    halves = tuple(replace(one, request_shares=(0.5,) * len(one.request_shares)) for one in (group, endpoint))
    mixed = replace(plan, fleet=replace(plan.fleet, groups=halves))
    made = generate(mixed)
    assert (made.targets, made.roots) == (("ec2", "sagemaker"), ("aws-ec2", "aws-sagemaker"))
    assert '"chat"' in made.files["aws-ec2/variables.tf"]
    assert '"managed-chat"' in made.files["aws-sagemaker/variables.tf"]
    with pytest.raises(InputError, match="and EC2 for"):
        generate(mixed, wanted=Wanted(target="sagemaker"))


def test_a_supposed_price_counts():
    """What if the unknown price were 2 USD: the type is an option at it."""
    catalog = catalog_of(managed("g6e.xlarge", None))
    plan = plan_for(workload(purchase=(Purchase.MANAGED,)), catalog)
    question, supposed, _ = what_if(read_question(plan.question), catalog, "price.g6e.xlarge.managed=2")
    (group,) = plan_question(question, supposed).fleet.groups
    assert group.instance_usd_per_hour == 2.0


def test_a_lock_keeps_the_price(tmp_path):
    """The same plan can be made from it."""
    catalog = catalog_of(managed("g6e.xlarge", 2.6))
    place = frozenset({("aws", "us-east-1", "g6e.xlarge")})
    path = tmp_path / "catalog.lock.json"
    path.write_text(lock_text(lock_of(catalog, PlanRows("", catalog.content_hash, place, place))))
    (kept,) = read_lock(path).offers
    assert kept.managed == catalog.offers[0].managed
    document = json.loads(path.read_text())
    assert document["offers"][0]["managed"]["price"]["usd_per_hour"] == 2.6


def test_the_table_holds_what_code_can_be_generated_for():
    """Each type of ours that SageMaker runs endpoints on stands in it once for all regions, priced or not."""
    rows = list(read_rows(load_catalog().directory / "managed.csv"))
    everywhere = {row["instance_type"] for row in rows if not row["region"]}
    ours = {name for provider, name in load_catalog().instance_types if provider == "aws"}
    assert everywhere == {name for name in ours if is_sold(name)}
    assert {row["instance_type"] for row in rows} <= everywhere
    assert {name.partition(".")[0] for name in everywhere} == set(SIZES)


def test_shipped_prices_are_above_those_of_ec2():
    """By the rule that all of them follow: 1.2 to 1.4 times."""
    found = [one for one in load_catalog().offers if one.managed_price and one.on_demand]
    assert len(found) > 20
    for one in found:
        ratio = one.managed_price.usd_per_hour / one.on_demand.usd_per_hour
        assert 1.19 < ratio < 1.41, one
    elsewhere = [one for one in load_catalog().offers if one.instance_type == "g6.xlarge" and one.region != "us-east-1"]
    assert {one.managed for one in elsewhere if one.provider == "aws"} == {Managed("SageMaker real-time", None)}
