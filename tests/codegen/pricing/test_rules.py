"""What each kind of resource is charged for: type, place, number and purchase."""

import pytest

from advisor.codegen.pricing.costs import RULES
from advisor.codegen.pricing.resources import planned
from codegen.pricing.plan_documents import configured, plan, resource

TEMPLATE = resource("aws_launch_template", {"instance_type": "g6.xlarge", "region": "us-east-1"})
GROUP_OF_TEMPLATE = configured(
    "aws_autoscaling_group.this", launch_template=["aws_launch_template.this.id", "aws_launch_template.this"]
)


def used(document, kind):
    """(Type, region, purchase, number) of what the resources of a kind use."""
    everything = planned(document)
    return [
        (use.what, use.region, use.purchase and use.purchase.value, use.number)
        for one in everything.all
        if one.kind == kind
        for use in RULES[kind](one, everything)
    ]


def mixed(desired=10, base=None, percentage=None, overrides=("g6.xlarge", "g6.2xlarge")):
    """A group with a mixed-instances policy."""
    distribution = {"on_demand_base_capacity": base, "on_demand_percentage_above_base_capacity": percentage}
    return resource(
        "aws_autoscaling_group",
        {
            "desired_capacity": desired,
            "min_size": 1,
            "mixed_instances_policy": [
                {
                    "instances_distribution": [distribution],
                    "launch_template": [{"override": [{"instance_type": one} for one in overrides]}],
                }
            ],
        },
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"instance_type": "g5.xlarge"}, ("g5.xlarge", "us-east-1", "on_demand", 1)),
        ({"instance_type": "g5.xlarge", "availability_zone": "eu-west-1b"}, ("g5.xlarge", "eu-west-1", "on_demand", 1)),
        ({"instance_type": "g5.xlarge", "region": "us-west-2"}, ("g5.xlarge", "us-west-2", "on_demand", 1)),
        (
            {"instance_type": "g5.xlarge", "instance_market_options": [{"market_type": "spot"}]},
            ("g5.xlarge", "us-east-1", "spot", 1),
        ),
        (
            {"instance_type": "p5.48xlarge", "instance_market_options": [{"market_type": "capacity-block"}]},
            ("p5.48xlarge", "us-east-1", None, 1),
        ),
        ({}, (None, "us-east-1", "on_demand", 1)),
    ],
)
def test_instance(values, expected):
    """The region is its own, its zone's or the provider's; what is unknown is None."""
    document = plan(resource("aws_instance", values), configured=[configured("aws_instance.this")])
    assert used(document, "aws_instance") == [expected]


@pytest.mark.parametrize(
    ("kind", "values", "region"),
    [
        ("aws_autoscaling_group", {"min_size": 1, "availability_zones": ["us-west-2a", "us-west-2b"]}, "us-west-2"),
        ("aws_autoscaling_group", {"min_size": 1, "availability_zones": [None]}, None),
        ("aws_elasticache_cluster", {"preferred_availability_zones": ["eu-west-1a"]}, "eu-west-1"),
        ("aws_elasticache_replication_group", {"preferred_cache_cluster_azs": ["eu-west-1a"]}, "eu-west-1"),
        ("google_container_node_pool", {"node_locations": ["europe-west4-a", "europe-west4-b"]}, "europe-west4"),
    ],
)
def test_zones_say_the_region_where_the_provider_has_none(kind, values, region):
    """Groups, caches and pools name several zones, all of one region; zones that are not known yet say nothing."""
    document = plan(resource(kind, values), configured=[configured(f"{kind}.this")], providers={"aws": {"name": "aws"}})
    assert {place for _, place, *_ in used(document, kind)} == {region}


def test_region_comes_from_a_variable_of_the_provider():
    """A provider that is configured by a variable has the value of the plan; by a local value it is unknown."""
    providers = {
        "aws": {"name": "aws", "expressions": {"region": {"references": ["var.region"]}}},
        "aws.other": {"name": "aws", "expressions": {"region": {"references": ["local.region"]}}},
    }
    document = plan(
        resource("aws_instance", {"instance_type": "g5.xlarge"}, "a"),
        resource("aws_instance", {"instance_type": "g5.xlarge"}, "b"),
        configured=[configured("aws_instance.a"), configured("aws_instance.b", "aws.other")],
        providers=providers,
        variables={"region": "eu-central-1"},
    )
    assert [region for _, region, _, _ in used(document, "aws_instance")] == ["eu-central-1", None]


def test_group_takes_the_type_of_its_template():
    """The template is found by the code's reference, as its id is not known yet."""
    other = resource("aws_launch_template", {"instance_type": "p5.48xlarge"}, "other")
    group = resource("aws_autoscaling_group", {"desired_capacity": 3, "min_size": 1, "region": "us-east-1"})
    document = plan(other, TEMPLATE, group, configured=[GROUP_OF_TEMPLATE])
    assert used(document, "aws_autoscaling_group") == [("g6.xlarge", "us-east-1", "on_demand", 3)]


def test_group_takes_the_template_with_its_key():
    """With for_each each group has its own template."""
    document = plan(
        *(
            resource("aws_launch_template", {"instance_type": kind}, index=key)
            for key, kind in (("a", "g5.xlarge"), ("b", "g6.xlarge"))
        ),
        *(resource("aws_autoscaling_group", {"min_size": 2, "region": "us-east-1"}, index=key) for key in "ab"),
        configured=[GROUP_OF_TEMPLATE],
    )
    assert [what for what, *_ in used(document, "aws_autoscaling_group")] == ["g5.xlarge", "g6.xlarge"]


def test_group_finds_its_template_by_identity_in_a_state():
    """A state has no code, but ids."""
    group = resource(
        "aws_autoscaling_group", {"desired_capacity": 1, "region": "us-east-1", "launch_template": [{"id": "lt-2"}]}
    )
    templates = [
        resource("aws_launch_template", {"instance_type": kind, "id": key}, key)
        for kind, key in (("g5.xlarge", "lt-1"), ("g6.xlarge", "lt-2"))
    ]
    document = {"values": {"root_module": {"resources": [*templates, group]}}}
    assert used(document, "aws_autoscaling_group") == [("g6.xlarge", "us-east-1", "on_demand", 1)]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (mixed(10, 0, 0), [("spot", 10)]),
        (mixed(10, 2, 0), [("on_demand", 2), ("spot", 8)]),
        (mixed(10, 2, 50), [("on_demand", 6), ("spot", 4)]),
        (mixed(10, 2, 30), [("on_demand", 5), ("spot", 5)]),
        (mixed(10), [("on_demand", 10)]),
        (mixed(1, 5, 0), [("on_demand", 1)]),
        (mixed(0, 0, 0), [("on_demand", 0)]),
    ],
)
def test_mixed_policy_is_split(group, expected):
    """The base is on demand, and of what is above it the percentage, rounded up; without a distribution everything is."""
    document = plan(TEMPLATE, group, configured=[GROUP_OF_TEMPLATE])
    assert [(purchase, number) for _, _, purchase, number in used(document, "aws_autoscaling_group")] == expected


def weighted(*weights):
    """A group of 16 units of capacity, 4 of them as a base on demand, with a type for each weight."""
    group = mixed(desired=16, base=4, percentage=0)
    (policy,) = group["values"]["mixed_instances_policy"]
    override = [{"instance_type": "g6.xlarge", "weighted_capacity": weight} for weight in weights]
    policy["launch_template"] = [{"override": override}]
    return plan(group)


@pytest.mark.parametrize("weights", [("4",), ("4", "4")])
def test_units_of_capacity_are_not_instances(weights):
    """16 units of 4 are 4 instances, 1 of them on demand."""
    assert used(weighted(*weights), "aws_autoscaling_group") == [
        ("g6.xlarge", None, "on_demand", 1),
        ("g6.xlarge", None, "spot", 3),
    ]


def test_types_of_different_weights_have_no_number():
    """Which types AWS starts, and so how many instances, is its choice."""
    everything = planned(weighted("4", "8"))
    (use,) = RULES["aws_autoscaling_group"](everything.all[0], everything)
    assert "weighted_capacity" in use.unpriced
    assert use.number is None


@pytest.mark.parametrize(
    ("capacity", "purchase"),
    [("SPOT", "spot"), ("ON_DEMAND", "on_demand"), (None, "on_demand"), ("CAPACITY_BLOCK", None)],
)
def test_eks_node_group(capacity, purchase):
    """Type, capacity type and desired size."""
    values = {
        "instance_types": ["g6.xlarge", "g6.2xlarge"],
        "capacity_type": capacity,
        "scaling_config": [{"desired_size": 4, "min_size": 1}],
        "region": "us-east-1",
    }
    assert used(plan(resource("aws_eks_node_group", values)), "aws_eks_node_group") == [
        ("g6.xlarge", "us-east-1", purchase, 4)
    ]


def test_sagemaker_variants():
    """One line for each variant, at the price that SageMaker asks for the machine."""
    values = {
        "region": "us-east-1",
        "production_variants": [
            {"instance_type": "ml.g5.xlarge", "initial_instance_count": 2},
            {"instance_type": None},
        ],
    }
    found = used(plan(resource("aws_sagemaker_endpoint_configuration", values)), "aws_sagemaker_endpoint_configuration")
    assert found == [("g5.xlarge", "us-east-1", "managed", 2)]


GOOGLE = {"google": {"name": "google", "expressions": {"region": {"constant_value": "us-central1"}}}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"machine_type": "g2-standard-8", "zone": "us-central1-a"}, ("g2-standard-8", "us-central1", "on_demand", 1)),
        (
            {"machine_type": "g2-standard-8", "zone": "us-central1-a", "scheduling": [{"provisioning_model": "SPOT"}]},
            ("g2-standard-8", "us-central1", "spot", 1),
        ),
        (
            {"machine_type": "g2-standard-8", "zone": "us-central1-a", "scheduling": [{"preemptible": True}]},
            ("g2-standard-8", "us-central1", "spot", 1),
        ),
        (
            {
                "machine_type": "a3-ultragpu-8g",
                "zone": "us-east5-a",
                "scheduling": [{"provisioning_model": "RESERVATION_BOUND"}],
            },
            ("a3-ultragpu-8g", "us-east5", None, 1),
        ),
        (
            {
                "machine_type": "n1-standard-4",
                "zone": "us-central1-a",
                "guest_accelerator": [{"type": "nvidia-tesla-t4", "count": 1}],
            },
            ("n1-standard-4+1xT4", "us-central1", "on_demand", 1),
        ),
        (
            {
                "machine_type": "g2-standard-8",
                "zone": "us-central1-a",
                "guest_accelerator": [{"type": "nvidia-l4", "count": 1}],
            },
            ("g2-standard-8", "us-central1", "on_demand", 1),
        ),
    ],
)
def test_google_instance(values, expected):
    """Zone, provisioning model and what is attached to an N1 machine."""
    assert used(plan(resource("google_compute_instance", values)), "google_compute_instance") == [expected]


def test_google_group_with_an_autoscaler():
    """A group without a size of its own has the fewest of its autoscaler."""
    template = resource(
        "google_compute_region_instance_template",
        {"machine_type": "g2-standard-8", "scheduling": [{"provisioning_model": "SPOT"}]},
    )
    group = resource("google_compute_region_instance_group_manager", {"region": "europe-west4"})
    scaler = resource(
        "google_compute_region_autoscaler", {"autoscaling_policy": [{"min_replicas": 3, "max_replicas": 9}]}
    )
    code = [
        configured(
            "google_compute_region_instance_group_manager.this",
            "google",
            version=["google_compute_region_instance_template.this"],
        ),
        configured(
            "google_compute_region_autoscaler.this",
            "google",
            target=["google_compute_region_instance_group_manager.this"],
        ),
    ]
    document = plan(template, group, scaler, configured=code, providers=GOOGLE)
    assert used(document, "google_compute_region_instance_group_manager") == [
        ("g2-standard-8", "europe-west4", "spot", 3)
    ]


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ({"node_count": 2, "location": "us-central1-a"}, 2),
        ({"node_count": 2, "location": "us-central1", "node_locations": ["us-central1-a", "us-central1-b"]}, 4),
        ({"node_count": 2, "location": "us-central1"}, None),
        ({"location": "us-central1", "autoscaling": [{"total_min_node_count": 3, "total_max_node_count": 9}]}, 3),
        (
            {
                "location": "us-central1",
                "node_locations": ["us-central1-a"],
                "autoscaling": [{"min_node_count": 1, "max_node_count": 9}],
            },
            1,
        ),
    ],
)
def test_gke_node_pool(values, number):
    """Counts are for each zone, and unknown where the zones are; totals are totals."""
    values |= {"node_config": [{"machine_type": "g2-standard-8", "spot": True}]}
    assert used(plan(resource("google_container_node_pool", values)), "google_container_node_pool") == [
        ("g2-standard-8", "us-central1", "spot", number)
    ]


def test_cloud_run():
    """What always runs is counted; above it the use decides; without a GPU it is none of ours."""
    values = {
        "location": "us-central1",
        "template": [
            {
                "scaling": [{"min_instance_count": 2}],
                "node_selector": [{"accelerator": "nvidia-l4"}],
                "gpu_zonal_redundancy_disabled": True,
            }
        ],
    }
    kind = "google_cloud_run_v2_service"
    assert used(plan(resource(kind, values)), kind) == [("L4", "us-central1", "on_demand", 2)]
    values["template"][0]["scaling"] = [{"min_instance_count": 0}]
    assert used(plan(resource(kind, values)), kind) == [("L4", "us-central1", "on_demand", None)]
    assert used(plan(resource(kind, {"template": [{}]})), kind) == []


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        ({"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}, (8, 32)),
        ({"cpu": "4000m", "memory": "16384Mi"}, (4, 16)),
        ({"cpu": "4", "memory": "16G"}, None),
        (None, None),
    ],
)
def test_cloud_run_says_how_large_its_containers_are(limits, size):
    """A GPU is priced with the processors and memory beside it."""
    template = {"node_selector": [{"accelerator": "nvidia-l4"}], "containers": [{"resources": [{"limits": limits}]}]}
    document = plan(resource("google_cloud_run_v2_service", {"location": "us-central1", "template": [template]}))
    (one,) = RULES["google_cloud_run_v2_service"](planned(document).all[0], planned(document))
    assert one.size == size


@pytest.mark.parametrize(
    ("kind", "values", "what", "number", "words"),
    [
        ("aws_instance", {"instance_type": "g6.xlarge", "tenancy": "dedicated"}, "g6.xlarge", 1, "hardware of one's own"),
        ("aws_ec2_capacity_reservation", {"instance_type": "p5.48xlarge", "instance_count": 2}, "p5.48xlarge", 2, "paid for whether"),
        ("google_compute_reservation", {"zone": "us-central1-a", "specific_reservation": [{"count": 3, "instance_properties": [{"machine_type": "n1-standard-8", "guest_accelerators": [{"accelerator_type": "nvidia-tesla-t4", "accelerator_count": 1}]}]}]}, "n1-standard-8+1xT4", 3, "paid for whether"),
        ("azurerm_capacity_reservation", {"sku": [{"name": "Standard_NC24ads_A100_v4", "capacity": 2}]}, "Standard_NC24ads_A100_v4", 2, "paid for whether"),
        ("azurerm_machine_learning_compute_cluster", {"location": "eastus", "vm_size": "Standard_NC24ads_A100_v4", "vm_priority": "LowPriority", "scale_settings": [{"min_node_count": 1}]}, "Standard_NC24ads_A100_v4", 1, "low priority"),
        ("azurerm_machine_learning_compute_cluster", {"location": "eastus", "vm_size": "Standard_NC24ads_A100_v4", "vm_priority": "Dedicated", "scale_settings": [{"min_node_count": 2}]}, "Standard_NC24ads_A100_v4", 2, ""),
        ("azurerm_machine_learning_compute_instance", {"location": "eastus", "virtual_machine_size": "Standard_NC24ads_A100_v4"}, "Standard_NC24ads_A100_v4", 1, ""),
    ],
)  # fmt: skip
def test_what_has_a_price_of_its_own_says_why(kind, values, what, number, words):
    """Never the price of something alike."""
    resources = planned(plan(resource(kind, values)))
    (one,) = RULES[kind](resources.all[0], resources)
    assert (one.what, one.number) == (what, number)
    assert one.unpriced.startswith(words)
    assert bool(one.unpriced) == bool(words)


def test_a_group_on_dedicated_hardware_has_no_shared_price():
    """The tenancy stands in the launch template."""
    template = {"instance_type": "g6.xlarge", "placement": [{"tenancy": "dedicated"}]}
    resources = planned(
        plan(resource("aws_launch_template", template), resource("aws_autoscaling_group", {"desired_capacity": 2}))
    )
    group = next(one for one in resources.all if one.kind == "aws_autoscaling_group")
    assert [bool(use.unpriced) for use in RULES["aws_autoscaling_group"](group, resources)] == [True]


@pytest.mark.parametrize(
    ("accelerator", "expected"),
    [
        ("v5litepod-8", ("ct5lp-hightpu-8t", 1)),
        ("v5litepod-16", ("ct5lp-hightpu-4t", 4)),
        ("v6e-1", ("ct6e-standard-1t", 1)),
        ("v5p-8", ("ct5p-hightpu-4t", 1)),
        ("v2-8", (None, None)),
        (None, (None, None)),
    ],
)
def test_tpu(accelerator, expected):
    """Slices are made of machines; v5p counts cores, two for a chip."""
    values = {"zone": "us-east5-b", "accelerator_type": accelerator, "scheduling_config": [{"spot": True}]}
    ((what, region, purchase, number),) = used(plan(resource("google_tpu_v2_vm", values)), "google_tpu_v2_vm")
    assert (what, number) == expected
    assert (region, purchase) == ("us-east5", "spot")


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (
            "azurerm_linux_virtual_machine",
            {"size": "Standard_NC24ads_A100_v4", "location": "West Europe"},
            ("Standard_NC24ads_A100_v4", "westeurope", "on_demand", 1),
        ),
        (
            "azurerm_linux_virtual_machine_scale_set",
            {"sku": "Standard_NC4as_T4_v3", "instances": 3, "location": "eastus", "priority": "Spot"},
            ("Standard_NC4as_T4_v3", "eastus", "spot", 3),
        ),
        (
            "azurerm_orchestrated_virtual_machine_scale_set",
            {"sku_name": "Standard_NC4as_T4_v3", "location": "eastus"},
            ("Standard_NC4as_T4_v3", "eastus", "on_demand", None),
        ),
        (
            "azurerm_kubernetes_cluster",
            {"default_node_pool": [{"vm_size": "Standard_NC4as_T4_v3", "min_count": 1}], "location": "eastus"},
            ("Standard_NC4as_T4_v3", "eastus", "on_demand", 1),
        ),
    ],
)
def test_azure_machines(kind, values, expected):
    """Size, location as the catalog spells it, number and priority."""
    assert used(plan(resource(kind, values)), kind) == [expected]


def test_aks_pool_is_where_its_cluster_is():
    """A pool has no place of its own; without its cluster the place is unknown."""
    cluster = resource("azurerm_kubernetes_cluster", {"location": "North Europe"})
    pool = resource(
        "azurerm_kubernetes_cluster_node_pool",
        {"vm_size": "Standard_NC4as_T4_v3", "node_count": 2, "priority": "Spot"},
        "gpu",
    )
    code = [
        configured(
            "azurerm_kubernetes_cluster_node_pool.gpu",
            "azurerm",
            kubernetes_cluster_id=["azurerm_kubernetes_cluster.this"],
        )
    ]
    kind = "azurerm_kubernetes_cluster_node_pool"
    assert used(plan(cluster, pool, configured=code), kind) == [("Standard_NC4as_T4_v3", "northeurope", "spot", 2)]
    assert used(plan(pool), kind) == [("Standard_NC4as_T4_v3", None, "spot", 2)]


def test_container_app_takes_the_accelerator_of_its_profile():
    """The environment's workload profile names the GPU."""
    environment = resource(
        "azurerm_container_app_environment",
        {
            "location": "swedencentral",
            "workload_profile": [{"name": "gpu", "workload_profile_type": "Consumption-GPU-NC24-A100"}],
        },
    )
    app = resource("azurerm_container_app", {"workload_profile_name": "gpu", "template": [{"min_replicas": 1}]})
    kind = "azurerm_container_app"
    assert used(plan(environment, app), kind) == [("A100-80GB-PCIe", "swedencentral", "on_demand", 1)]
    cpu = resource(kind, {"workload_profile_name": "Consumption", "template": [{"min_replicas": 1}]})
    assert used(plan(environment, cpu), kind) == []


def test_resources_of_modules_are_found():
    """A module with for_each: its code is that of the call."""
    inner = resource("aws_instance", {"instance_type": "g5.xlarge"}, module='module.x["a"]')
    document = plan(modules=[{"address": 'module.x["a"]', "resources": [inner]}])
    document["configuration"]["root_module"]["module_calls"] = {
        "x": {"module": {"resources": [configured("aws_instance.this")]}}
    }
    assert used(document, "aws_instance") == [("g5.xlarge", "us-east-1", "on_demand", 1)]
