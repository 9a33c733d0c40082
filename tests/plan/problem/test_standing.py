"""Which machines of a fleet are hosts, which are nodes of a cluster, and what their regions charge."""

from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.cost.services import Deployed, region_charges
from advisor.cost.standing import Machines
from advisor.plan.problem.charges import (
    alone_usd_per_month,
    machines_of,
    place_of,
    standing_charges,
    standing_usd_per_month,
    usd_per_request,
    way_of,
)
from advisor.plan.problem.formulas import hours_per_month
from advisor.plan.problem.values import Allocation, PurchaseOption, Tariff
from advisor.plan.solve.alone import whole_shares
from advisor.units import SECONDS_PER_HOUR
from advisor.workload.values import Scaling
from plan.fleet.problems import optimise, pool_of, problem_of

CATALOG = load_catalog()
GOOGLE, NEAR, AZURE, AWS = "gcp/us-central1", "gcp/us-east4", "azure/eastus", "aws/us-east-1"
SERVICE = (Tariff(PurchaseOption.SERVERLESS, 2.0, "run"),)


def pool(name, region, **more):
    """A pool of a stand in a region."""
    return pool_of(name, 5.0, 1.0, type_in_region=f"{region}/{name}", **more)


def problem(*pools, existing_cluster=False, **more):
    """A problem of pools whose regions charge what the catalog says, for each kind of machines."""
    charges = {
        place_of(region, machines): region_charges(
            CATALOG, *region.split("/"), 1e-6, Deployed(machines=machines, existing_cluster=existing_cluster)
        )
        for region in {each.region for each in pools}
        for machines in Machines
    }
    return problem_of(*pools, charges=charges, **more)


def fleet(*pools, counts=(1,)):
    """An allocation of each pool."""
    return [Allocation(each, each.tariffs[0], counts) for each in pools]


def machines(*pools, **more):
    """Machines of each region of a fleet of all pools."""
    return machines_of(problem(*pools, **more), fleet(*pools))


def test_hosts_stay_hosts():
    """Where every layout serves behind a load balancer, each region has one."""
    assert machines(pool("a", GOOGLE), pool("b", AZURE)) == {GOOGLE: Machines.HOSTS, AZURE: Machines.HOSTS}


def test_one_layout_that_needs_a_cluster_makes_nodes_of_a_provider():
    """In all its regions, since one root deploys them; other providers have roots of their own."""
    found = machines(pool("a", GOOGLE, on_nodes=True), pool("b", NEAR), pool("c", AZURE), pool("d", AWS))

    assert found == {
        GOOGLE: Machines.NODES, NEAR: Machines.NODES, AZURE: Machines.HOSTS, AWS: Machines.HOSTS,
    }  # fmt: skip


def test_nodes_with_gpus_have_alarms_of_their_own():
    """Whichever of the machines has them."""
    found = machines(pool("a", GOOGLE, on_nodes=True), pool("b", GOOGLE, has_gpu=True))

    assert found == {GOOGLE: Machines.GPU_NODES}


def test_services_need_no_cluster():
    """Containers of a service beside hosts leave these what they are."""
    assert machines(pool("a", GOOGLE, on_nodes=True, tariffs=SERVICE), pool("b", GOOGLE)) == {GOOGLE: Machines.HOSTS}


def test_machines_that_rest_are_hosts():
    """Groups of hosts stop by the clock on every cloud: nothing runs between the runs of batch work."""
    nightly = pool("a", GOOGLE)
    of_batch = problem(nightly, planned=(0.0, 4.0), scaling=Scaling(scale_to_zero=True))

    assert machines_of(of_batch, fleet(nightly, counts=(0, 1))) == {GOOGLE: Machines.HOSTS}


@pytest.mark.parametrize("region", [GOOGLE, AZURE])
def test_nodes_pay_for_a_gateway_and_no_load_balancer(region):
    """That, what leaves by NAT, alarms and what servers write are all that a region charges for nodes."""
    node = pool("a", region, on_nodes=True)
    asked = problem(node)
    items = {charge.item for charge in standing_charges(asked, fleet(node), whole_shares(asked, node))}

    of_provider = {"gateway_proxy", "alarm"} if region == GOOGLE else {"log_alarm"}
    assert items == {"nat_gateway", "public_ip", "log_ingest", "cluster", "gateway", "gateway_data"} | of_provider


def test_a_server_that_logs_nothing_pays_for_no_lines():
    """Neither for each request nor for a region alone."""
    silent = pool("a", GOOGLE, on_nodes=True, logs_requests=False)
    asked = problem(silent)
    charges = list(standing_charges(asked, fleet(silent), whole_shares(asked, silent)))

    by_item = {charge.item: charge.usd_per_month for charge in charges}
    assert "log_ingest" not in by_item
    requests = SECONDS_PER_HOUR * sum(hours_per_month(hour) * hour.mean_rate for hour in asked.hours)
    assert usd_per_request(asked, silent, silent.tariffs[0]) * requests == pytest.approx(
        by_item["gateway_data"], abs=0.005
    )
    alone = alone_usd_per_month(asked)[way_of(silent, silent.tariffs[0])]
    by_the_month = [charge.usd_per_month for charge in charges if charge.item != "nat_gateway"]
    assert alone == pytest.approx(sum(by_the_month), abs=0.02)


@pytest.mark.parametrize(("region", "usd_per_hour"), [(GOOGLE, 1.004), (AZURE, 1.01)])
def test_nodes_as_cheap_as_hosts_lose_by_the_fee_of_their_cluster(region, usd_per_hour):
    """Hosts that cost as much by the hour come first, unless the control plane is there and paid for."""
    host, node = pool("host", region), pool("node", region, on_nodes=True)
    cheaper = replace(host, tariffs=(replace(host.tariffs[0], usd_per_hour=usd_per_hour - 0.0001),))
    chosen = [optimise(problem(cheaper, node, existing_cluster=there)).allocations for there in (False, True)]

    assert [[allocation.pool.key for allocation in allocations] for allocations in chosen] == [["host"], ["node"]]


@pytest.mark.parametrize(("region", "usd_per_hour"), [(GOOGLE, 1.004), (AZURE, 1.01)])
def test_the_cheapest_fleet_knows_what_stands_before_its_machines(region, usd_per_hour):
    """Hosts that cost a little less than nodes of a cluster that is there are dearer with what is theirs alone.

    Where both are, all are nodes.
    """
    host, node = pool("host", region), pool("node", region, on_nodes=True)
    dearer = replace(node, tariffs=(replace(node.tariffs[0], usd_per_hour=usd_per_hour),))
    asked = problem(host, dearer, existing_cluster=True)
    (allocation,) = optimise(asked).allocations
    both = fleet(host, dearer)
    shares = {key: share / 2 for each in (host, dearer) for key, share in whole_shares(asked, each).items()}

    assert allocation.pool.key == "node"
    assert (
        optimise(problem(host, existing_cluster=True)).objective_usd_per_month > optimise(asked).objective_usd_per_month
    )
    two = standing_usd_per_month(asked, fleet(dearer, counts=(2,)), whole_shares(asked, dearer))
    assert standing_usd_per_month(asked, both, shares) == two
