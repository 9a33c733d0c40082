"""One plan of four clouds with each kind of accelerated resource: to the cent as the tables of the catalog have it, or unpriced with a reason.

The expected costs are computed from the CSV files by pandas, by nothing of the program.
"""

import json
from decimal import Decimal
from functools import cache as cached
from pathlib import Path

import pandas as pd
import pytest

from advisor.catalog import load_catalog
from advisor.codegen.pricing import read_projects
from advisor.codegen.pricing.costs import RULES
from codegen.pricing.plan_documents import configured, plan, resource

CATALOG = Path(__file__).resolve().parents[3] / "instance_catalog"
A100, T4 = "Standard_NC24ads_A100_v4", "Standard_NC4as_T4_v3"


@cached
def table(name):
    """A table of the catalog, each cell as text."""
    return pd.read_csv(CATALOG / name, dtype=str)


def machine(provider, kind, region, number, purchase="on_demand"):
    """USD an hour of so many machines."""
    rows = table(f"prices/{provider}.csv")
    (price,) = rows[(rows.instance_type == kind) & (rows.region == region)][f"{purchase}_usd_per_hour"]
    return Decimal(price) * number


def service(provider, name, accelerator, region, number):
    """USD an hour of so many containers."""
    rows = table("serverless.csv")
    rows = rows[(rows.provider == provider) & (rows.service == name) & (rows.accelerator == accelerator)]
    (price,) = rows[rows.regions.str.split(";").map(lambda regions: region in regions)].usd_per_hour
    return Decimal(price) * number


def managed(kind, region, number):
    """USD an hour of so many machines of SageMaker."""
    rows = table("managed.csv")
    (price,) = rows[(rows.provider == "aws") & (rows.instance_type == kind) & (rows.region == region)].usd_per_hour
    return Decimal(price) * number


def cache(provider, item, region, number):
    """USD an hour of so many nodes of a cache."""
    rows = table("service_prices.csv")
    (price,) = rows[(rows.provider == provider) & (rows.item == item) & (rows.region == region)].usd
    return Decimal(price) * number


EAST, CENTRAL = {"region": "us-east-1"}, "us-central1"
POLICY = {
    "instances_distribution": [{"on_demand_base_capacity": 2, "on_demand_percentage_above_base_capacity": 50}],
    "launch_template": [{"override": [{"instance_type": "g6.xlarge"}, {"instance_type": "g6.2xlarge"}]}],
}
L4_RUN = {
    "containers": [{"resources": [{"limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}}]}],
    "node_selector": [{"accelerator": "nvidia-l4"}],
    "gpu_zonal_redundancy_disabled": True,
    "scaling": [{"min_instance_count": 2}],
}
ATTACHED = [{"type": "nvidia-tesla-t4", "count": 1}]

PRICED = {
    "aws_instance.this": ({"instance_type": "p5.48xlarge", **EAST}, machine("aws", "p5.48xlarge", "us-east-1", 1)),
    "aws_spot_instance_request.this": (
        {"instance_type": "g6e.12xlarge", **EAST}, machine("aws", "g6e.12xlarge", "us-east-1", 1, "spot"),
    ),
    "aws_autoscaling_group.this": (
        {"desired_capacity": 5, "min_size": 1, **EAST}, machine("aws", "trn1.32xlarge", "us-east-1", 5),
    ),
    "aws_autoscaling_group.mixed": (
        {"desired_capacity": 9, "min_size": 1, **EAST, "mixed_instances_policy": [POLICY]},
        machine("aws", "g6.xlarge", "us-east-1", 2 + 4) + machine("aws", "g6.xlarge", "us-east-1", 3, "spot"),
    ),
    "aws_eks_node_group.this": (
        {"instance_types": ["g5.12xlarge"], "capacity_type": "SPOT", "scaling_config": [{"desired_size": 4}], "region": "us-west-2"},
        machine("aws", "g5.12xlarge", "us-west-2", 4, "spot"),
    ),
    "aws_sagemaker_endpoint_configuration.this": (
        {"production_variants": [{"instance_type": "ml.g5.2xlarge", "initial_instance_count": 3}], **EAST},
        managed("g5.2xlarge", "us-east-1", 3),
    ),
    "google_compute_instance.this": (
        {"machine_type": "n1-standard-8", "zone": "us-central1-a", "guest_accelerator": ATTACHED},
        machine("gcp", "n1-standard-8+1xT4", CENTRAL, 1),
    ),
    "google_compute_instance_group_manager.this": (
        {"target_size": 2, "zone": "us-central1-b"}, machine("gcp", "a2-highgpu-1g", CENTRAL, 2, "spot"),
    ),
    "google_compute_region_instance_group_manager.this": (
        {"target_size": 3, "region": CENTRAL}, machine("gcp", "a3-highgpu-8g", CENTRAL, 3),
    ),
    "google_container_node_pool.this": (
        {
            "location": CENTRAL, "node_locations": ["us-central1-a", "us-central1-c"], "node_count": 2,
            "node_config": [{"machine_type": "g2-standard-8", "spot": True}],
        },
        machine("gcp", "g2-standard-8", CENTRAL, 4, "spot"),
    ),
    "google_cloud_run_v2_service.this": (
        {"location": CENTRAL, "template": [L4_RUN]}, service("gcp", "Cloud Run", "L4", CENTRAL, 2),
    ),
    "google_tpu_v2_vm.this": (
        {"zone": "us-central1-a", "accelerator_type": "v6e-16", "scheduling_config": [{"spot": True}]},
        machine("gcp", "ct6e-standard-4t", CENTRAL, 4, "spot"),
    ),
    "azurerm_linux_virtual_machine.this": ({"location": "East US", "size": T4}, machine("azure", T4, "eastus", 1)),
    "azurerm_linux_virtual_machine_scale_set.this": (
        {"location": "westeurope", "sku": A100, "instances": 3, "priority": "Spot"},
        machine("azure", A100, "westeurope", 3, "spot"),
    ),
    "azurerm_orchestrated_virtual_machine_scale_set.this": (
        {"location": "eastus", "sku_name": "Standard_ND96isr_H100_v5", "instances": 2},
        machine("azure", "Standard_ND96isr_H100_v5", "eastus", 2),
    ),
    "azurerm_kubernetes_cluster.this": (
        {"location": "eastus", "default_node_pool": [{"vm_size": A100, "node_count": 1}]}, machine("azure", A100, "eastus", 1),
    ),
    "azurerm_kubernetes_cluster_node_pool.this": (
        {"vm_size": A100, "node_count": 4}, machine("azure", A100, "eastus", 4),
    ),
    "azurerm_container_app.this": (
        {"workload_profile_name": "gpu", "template": [{"min_replicas": 2}]},
        service("azure", "Container Apps", "A100-80GB-PCIe", "eastus", 2),
    ),
    "azurerm_machine_learning_compute_cluster.this": (
        {"location": "eastus", "vm_size": A100, "vm_priority": "Dedicated", "scale_settings": [{"min_node_count": 2}]},
        machine("azure", A100, "eastus", 2),
    ),
    "azurerm_machine_learning_compute_instance.this": (
        {"location": "eastus", "virtual_machine_size": T4}, machine("azure", T4, "eastus", 1),
    ),
    "aws_elasticache_replication_group.this": (
        {"engine": "valkey", "node_type": "cache.t4g.medium", "num_cache_clusters": 2, **EAST},
        cache("aws", "cache.t4g.medium_valkey", "us-east-1", 2),
    ),
    "aws_elasticache_replication_group.shards": (
        {"node_type": "cache.r7g.large", "num_node_groups": 3, "replicas_per_node_group": 1, **EAST},
        cache("aws", "cache.r7g.large_redis", "us-east-1", 6),
    ),
    "aws_elasticache_cluster.this": (
        {"engine": "valkey", "node_type": "cache.m7g.large", "num_cache_nodes": 1, "region": "eu-west-1"},
        cache("aws", "cache.m7g.large_valkey", "eu-west-1", 1),
    ),
    "google_memorystore_instance.this": (
        {"node_type": "STANDARD_SMALL", "shard_count": 1, "replica_count": 1, "location": "us-east1"},
        cache("gcp", "standard-small_valkey", "us-east1", 2),
    ),
    "ibm_is_instance.this": (
        {"profile": "gx3d-160x1792x8h100", "zone": "eu-de-2", "availability": [{"class": "spot"}]},
        machine("ibm", "gx3d-160x1792x8h100", "eu-de", 1, "spot"),
    ),
    "ibm_is_instance_group.this": ({"instance_count": 3}, machine("ibm", "gx3d-160x1792x8gaudi3", "us-east", 3)),
    "azurerm_managed_redis.this": (
        {"sku_name": "Balanced_B3", "location": "East US 2"}, cache("azure", "Balanced_B3_redis", "eastus2", 2),
    ),
}  # fmt: skip
UNPRICED = {
    "aws_elasticache_cluster.memcached": (
        {"engine": "memcached", "node_type": "cache.m7g.large", "num_cache_nodes": 1, **EAST}, "price not found",
    ),
    "aws_instance.dedicated": ({"instance_type": "g6.xlarge", "tenancy": "dedicated", **EAST}, "hardware of one's own"),
    "aws_instance.block": (
        {"instance_type": "p5.48xlarge", "instance_market_options": [{"market_type": "capacity-block"}], **EAST},
        "reserved capacity",
    ),
    "aws_ec2_capacity_reservation.this": ({"instance_type": "p5.48xlarge", "instance_count": 2, **EAST}, "paid for whether"),
    "aws_sagemaker_notebook_instance.this": ({"instance_type": "ml.g5.2xlarge", **EAST}, "a notebook has a price of its own"),
    "google_compute_reservation.this": (
        {
            "zone": "us-central1-a",
            "specific_reservation": [{"count": 3, "instance_properties": [{"machine_type": "a3-highgpu-8g"}]}],
        },
        "paid for whether",
    ),
    "google_workbench_instance.this": (
        {
            "location": "us-central1-a",
            "gce_setup": [{"machine_type": "n1-standard-8", "accelerator_configs": [{"type": "NVIDIA_TESLA_T4", "core_count": "1"}]}],
        },
        "a notebook has a price of its own",
    ),
    "azurerm_capacity_reservation.this": ({"sku": [{"name": A100, "capacity": 2}]}, "paid for whether"),
    "azurerm_windows_virtual_machine.this": ({"location": "eastus", "size": T4}, "a licence of Windows"),
    "azurerm_windows_virtual_machine_scale_set.this": ({"location": "eastus", "sku": T4, "instances": 2}, "a licence of Windows"),
    "azurerm_machine_learning_compute_cluster.low": (
        {"location": "eastus", "vm_size": A100, "vm_priority": "LowPriority", "scale_settings": [{"min_node_count": 1}]},
        "low priority",
    ),
}  # fmt: skip
BESIDE = (
    resource("aws_launch_template", {"instance_type": "trn1.32xlarge", "region": "us-east-1"}),
    resource(
        "google_compute_instance_template",
        {"machine_type": "a2-highgpu-1g", "scheduling": [{"provisioning_model": "SPOT"}]},
    ),
    resource("google_compute_region_instance_template", {"machine_type": "a3-highgpu-8g"}),
    resource(
        "azurerm_container_app_environment",
        {
            "location": "eastus",
            "workload_profile": [{"name": "gpu", "workload_profile_type": "Consumption-GPU-NC24-A100"}],
        },
    ),
    resource("ibm_is_instance_template", {"profile": "gx3d-160x1792x8gaudi3", "zone": "us-east-1"}),
    resource("ibm_is_instance", {"profile": "bx2-8x32", "zone": "us-east-1"}, "small"),
    resource("aws_sagemaker_notebook_instance", {"instance_type": "ml.t3.medium", "region": "us-east-1"}, "small"),
    resource("azurerm_windows_virtual_machine", {"location": "eastus", "size": "Standard_D4s_v5"}, "small"),
)
"""What the others refer to, and machines without an accelerator, which are no part of the cost."""
CODE = [
    configured(
        "aws_autoscaling_group.this", launch_template=["aws_launch_template.this.id", "aws_launch_template.this"]
    ),
    configured(
        "google_compute_instance_group_manager.this", "google", version=["google_compute_instance_template.this"]
    ),
    configured(
        "google_compute_region_instance_group_manager.this",
        "google",
        version=["google_compute_region_instance_template.this"],
    ),
    configured(
        "azurerm_kubernetes_cluster_node_pool.this",
        "azurerm",
        kubernetes_cluster_id=["azurerm_kubernetes_cluster.this"],
    ),
    configured(
        "ibm_is_instance_group.this",
        instance_template=["ibm_is_instance_template.this.id", "ibm_is_instance_template.this"],
    ),
    configured(
        "azurerm_container_app.this",
        "azurerm",
        container_app_environment_id=["azurerm_container_app_environment.this"],
    ),
]


def plan_text():
    """A plan of Terraform with every kind, as JSON."""
    stated = {address: values for address, (values, _) in {**PRICED, **UNPRICED}.items()}
    resources = [resource(kind, values, name) for (kind, name), values in _named(stated)]
    return json.dumps(plan(*resources, *BESIDE, configured=CODE))


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """Address → the cost of each resource of the plan."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    path.write_text(plan_text())
    (project,) = read_projects(path, None, load_catalog())
    return {one.resource.address: one for one in project.now.costs}


def _named(stated):
    return ((address.split("."), values) for address, values in stated.items())


def test_every_kind_is_in_the_plan(costs):
    """32 kinds of accelerated resources and caches, no more and no fewer than the program knows; nothing else is counted."""
    assert {address.split(".")[0] for address in {**PRICED, **UNPRICED}} == set(RULES)
    assert len(RULES) == 32
    assert set(costs) == {*PRICED, *UNPRICED}


@pytest.mark.parametrize("address", PRICED)
def test_it_costs_what_the_tables_say(address, costs):
    """To the cent of a month, and to the last digit of an hour."""
    _, hourly = PRICED[address]
    assert hourly > 0
    assert costs[address].hourly == hourly
    assert round(costs[address].hourly * 730, 2) == round(hourly * 730, 2)


@pytest.mark.parametrize("address", UNPRICED)
def test_it_has_no_price_and_says_why(address, costs):
    """Null, and never the price of something alike."""
    _, reason = UNPRICED[address]
    assert costs[address].hourly is None
    assert reason in costs[address].components[0].name
