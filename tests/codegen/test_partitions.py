"""Code for GPUs that are cut into slices: on nodes of clusters that cut them, and refused everywhere else."""

from dataclasses import replace

import pytest
import yaml

from advisor.catalog import load_catalog
from advisor.codegen import Language, Wanted, generate, read_former, write_files
from advisor.codegen.applying.addresses import targets_of
from advisor.codegen.gpu_sharing import GpuSharing, SharingKind
from advisor.codegen.hcl import literal, read_hcl
from advisor.codegen.targets import TARGETS, target_of
from advisor.codegen.targets.aws_eks import bottlerocket_settings
from advisor.errors import InputError, NotDeployable
from advisor.plan.fleet.chosen import PlannedHours
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan
from codegen.test_eks import stack_of

CATALOG = load_catalog()
P4D = {"instance_type": "p4d.24xlarge", "accelerator": "A100-40GB-SXM", "accelerator_count": 8.0}
SLICED = make_option(**P4D, replicas_per_instance=56, instances=1, partition="mig-1g.5gb", checkpoint_gib=2.5)
ON_GOOGLE = replace(
    SLICED, provider="gcp", region="us-central1", instance_type="a2-highgpu-1g", accelerator_count=1.0,
    replicas_per_instance=7,
)  # fmt: skip
ON_AZURE = replace(SLICED, provider="azure", region="eastus", instance_type="Standard_ND96asr_v4")
UNKNOWN = replace(ON_AZURE, partition="mig-1g.10gb", replicas_per_instance=32)
"""Slices that the hardware has, and AKS does not cut."""


def group_of(files):
    """The only group of ``fleet.tf``."""
    (values,) = read_hcl(files["fleet.tf"], "fleet.tf").body.blocks
    (group,) = literal(values.attributes["groups"].value.node).values()
    return group


def deployment_of(files):
    """The only Deployment."""
    texts = [text for path, text in files.items() if path.endswith(".yaml") and "kind: Deployment" in text]
    objects = [document for text in texts for document in yaml.safe_load_all(text)]
    (deployment,) = (document for document in objects if document["kind"] == "Deployment")
    return deployment["spec"]


@pytest.mark.parametrize(
    ("option", "target", "cut"),
    [
        (SLICED, "eks", {"ami_type": "BOTTLEROCKET_x86_64_NVIDIA", "accelerators": 56}),
        (ON_GOOGLE, "gke", {"gpu_partition_size": "1g.5gb", "accelerators": {"nvidia-tesla-a100": 1}}),
        (ON_AZURE, "aks", {"gpu_instance": "MIG1g", "max_pods": 86}),
    ],
    ids=["aws", "gcp", "azure"],
)
def test_nodes_of_a_cluster_cut_the_gpus(option, target, cut):
    """The default is the cluster of the cloud, whose nodes are told the profile; a pod asks for one slice."""
    generated = generate(make_plan(option), wanted=Wanted(rank=1))
    assert generated.targets == (target,)
    group, deployment = group_of(generated.files), deployment_of(generated.files)
    assert {name: group[name] for name in cut} == cut
    assert deployment["replicas"] == option.instances * option.replicas_per_instance
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert not any("data-parallel" in argument for argument in container["args"])
    assert "--gpu-memory-utilization=0.9" in container["args"]


def test_readers_are_told_what_a_gpu_is_cut_into():
    """The README names the slices of each GPU, and why no alarm watches how busy they are."""
    readme = generate(make_plan(SLICED), wanted=Wanted(rank=1)).files["README.md"]
    assert "8 × A100-40GB-SXM, each in 7 slices 1g.5gb" in readme
    assert "no alarms on idle GPUs and their memory where each has 7 slices 1g.5gb" in readme
    assert "run Bottlerocket and cut them as they boot" in readme


def test_code_of_ones_own_is_told_what_to_cut():
    """Only types and counts of it are edited: the note says into what the plan cuts each GPU."""
    (target,) = targets_of(make_plan(SLICED), rank=1)
    assert target.serving.endswith(", 7 slices 1g.5gb of each A100-40GB-SXM")
    (whole,) = targets_of(make_plan(make_option()), rank=1)
    assert whole.serving.endswith(" tokens of context")


def test_whole_gpus_keep_their_alarms_beside_slices():
    """A fleet of both has the alarms, for the GPUs whose use is published."""
    whole = make_group(request_shares=(0.5, 0.5))
    sliced = make_group(**P4D, replicas_per_instance=56, partition="mig-1g.5gb", request_shares=(0.5, 0.5))
    busy = {"hour_classes": (PlannedHours(108, 100.0, 150.0, 50.0), PlannedHours(60, 200.0, 250.0, 150.0))}
    named = {alarm.name for alarm in stack_of(make_fleet_plan(whole, sliced, fleet=busy)).alarms}
    assert {"gpu_idle", "gpu_memory"} <= named
    assert "gpu_idle" not in {alarm.name for alarm in stack_of(make_fleet_plan(sliced, fleet=busy)).alarms}


@pytest.mark.parametrize(
    ("option", "target"), [(SLICED, "ec2"), (SLICED, "eks-karpenter"), (ON_GOOGLE, "mig"), (ON_AZURE, "vm-scale-set")]
)
def test_targets_that_do_not_cut_name_the_one_that_does(option, target):
    """Hosts are refused, and Karpenter, which reckons with whole GPUs; the hint is the cluster that can."""
    with pytest.raises(InputError, match=r"7 slices 1g\.5gb of each") as error:
        generate(make_plan(option), wanted=Wanted(rank=1, target=target))
    assert error.value.hint in ("try --target eks", "try --target gke", "try --target aks")


@pytest.mark.parametrize("rank", [None, 1])
def test_no_other_option_is_taken_in_place_of_slices_that_nothing_cuts(rank):
    """Recommended or asked for outright, they are refused with exit code 4, what is cut there, and the other ranks."""
    with pytest.raises(NotDeployable, match=r"mig-1g\.10gb slices; aks cuts them into 1g\.5gb, 2g\.10gb") as error:
        generate(make_plan(UNKNOWN, make_option(rank=2)), wanted=Wanted(rank=rank))

    assert error.value.exit_code == 4
    assert "--option RANK" in error.value.hint
    assert error.value.hint.endswith(": 2")


def test_only_options_that_can_be_generated_are_named():
    """Ranks of other slices that nothing cuts lead nowhere: they are left out of the hint."""
    sliced = [replace(UNKNOWN, rank=rank) for rank in (1, 2, 4)]
    options = (sliced[0], sliced[1], make_option(rank=3), sliced[2], make_option(rank=5), make_option(rank=6))

    with pytest.raises(NotDeployable) as error:
        generate(make_plan(*options))
    assert error.value.hint.endswith(": 3, 5, 6")

    with pytest.raises(NotDeployable) as error:
        generate(make_plan(*sliced))
    assert error.value.hint.endswith("; of this plan no other option can be generated")


@pytest.mark.parametrize("language", [Language.TERRAFORM, Language.PYTHON])
def test_nodes_in_slices_come_beside_whole_ones(tmp_path, language):
    """From whole GPUs to slices, and to other slices of the same number, is another group: both run until the cut-over."""
    google = {"provider": "gcp", "region": "us-central1", "instance_type": "a2-highgpu-8g", "accelerator": "A100-40GB-SXM",
              "accelerator_count": 8.0, "checkpoint_gib": 2.5, "replicas_per_instance": 8}  # fmt: skip
    whole = make_fleet_plan(make_group(**google))
    halves = make_fleet_plan(make_group(**google | {"replicas_per_instance": 16}, partition="mig-3g.20gb"))
    wanted, keys = Wanted(target="gke"), []
    for plan in (whole, halves):
        generated = generate(plan, language, wanted, former=read_former(tmp_path))
        write_files(generated, tmp_path)
        keys.append([group.key for group in generated.rollouts[""].planned.groups])
    fleet = tmp_path / ("fleet.tf" if language is Language.TERRAFORM else "inference/fleet.py")
    assert not set(keys[0]) & set(keys[1])
    assert all(key in fleet.read_text() for key in (*keys[0], *keys[1]))
    assert read_former(tmp_path).rollouts[""].planned.groups[0].sharing == GpuSharing(SharingKind.SLICES, 2, "3g.20gb")


def test_a_gpu_is_handed_out_in_turns_by_name_and_number():
    """GKE's node pool and its labels say the strategy and the pods of a GPU; Bottlerocket counts pods as replicas."""
    sharing = GpuSharing(SharingKind.TURNS, 4)
    assert sharing.gke_node_pool == {"gpu_sharing_strategy": "TIME_SHARING", "clients_per_gpu": 4}
    assert sharing.gke_labels == {
        "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing",
        "cloud.google.com/gke-max-shared-clients-per-gpu": "4",
    }
    (group,) = stack_of(make_plan(make_option())).groups
    lines = bottlerocket_settings(group, sharing)
    assert "replicas = 4" in lines
    assert "rename-by-default = false" in lines


def test_a_gpu_is_divided_by_mps_by_name_and_number():
    """Bottlerocket's device plugin has settings of its own for it; on AKS the chart's plugin and its daemon have labels."""
    sharing = GpuSharing(SharingKind.MPS, 3)
    (group,) = stack_of(make_plan(make_option())).groups
    lines = bottlerocket_settings(group, sharing)
    start = lines.index("[settings.kubelet-device-plugins.nvidia]")

    assert lines[start : start + 6] == [
        "[settings.kubelet-device-plugins.nvidia]",
        'device-sharing-strategy = "mps"',
        "",
        "[settings.kubelet-device-plugins.nvidia.mps]",
        "replicas = 3",
        "rename-by-default = false",
    ]
    assert sharing.plugin_labels == {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/device-plugin.config": "mps-3",
        "nvidia.com/mps.capable": "true",
    }
    assert yaml.safe_load(sharing.plugin_sharing) == {"mps": {"resources": [{"name": "nvidia.com/gpu", "replicas": 3}]}}
    assert GpuSharing(SharingKind.SLICES, 7, "1g.10gb").plugin_labels == {}


@pytest.mark.parametrize(
    ("target", "fields", "told"),
    [
        ("gke", {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"}, "hostIPC"),
        ("eks-karpenter", {}, "hands out 3 equal parts by MPS of each L4"),
    ],
)
def test_targets_whose_nodes_do_not_divide_by_mps_say_why(target, fields, told):
    """On GKE the pods would have to be in the IPC namespace of the host."""
    stack = stack_of(make_plan(make_option(**fields, accelerator="L4", replicas_per_instance=3)))
    shared = replace(stack.groups[0], sharing=GpuSharing(SharingKind.MPS, 3))

    with pytest.raises(InputError, match=told):
        target_of(replace(stack, target=target, groups=(shared,)))


@pytest.mark.parametrize(
    ("target", "fields", "told"),
    [
        ("gke", {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"}, {"clients_per_gpu": 3}),
        (
            "aks",
            {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4",
             "accelerator": "A100-80GB-PCIe"},
            {"max_pods": 33},
        ),
        ("eks", {}, {"ami_type": "BOTTLEROCKET_x86_64_NVIDIA", "accelerators": 3}),
    ],
)  # fmt: skip
def test_turns_reach_the_nodes_and_the_readme(target, fields, told):
    """Whoever shares a GPU by turns gets nodes that hand it out so; on AKS the plugin's configuration has a name."""
    stack = stack_of(make_plan(make_option(**fields, replicas_per_instance=3)))
    shared = replace(stack.groups[0], sharing=GpuSharing(SharingKind.TURNS, 3))
    runs = next(one for one in TARGETS if one.name == target)
    files = runs.renderers[Language.TERRAFORM](replace(stack, target=target, groups=(shared,)))
    assert told.items() <= group_of(files).items()
    assert target != "aks" or group_of(files)["labels"]["nvidia.com/device-plugin.config"] == "turns-3"
    assert target != "aks" or "resources: [{name: nvidia.com/gpu, replicas: 3}]" in files["README.md"]


def test_every_profile_that_code_cuts_is_one_of_the_hardware():
    """Each row names a target, machines of the catalog, and profiles that their accelerator can be cut into."""
    rows = CATALOG.deployment.sliced_nodes
    assert {nodes.target for nodes in rows} <= {target.name for target in TARGETS}
    for nodes in rows:
        machines = [
            machine
            for (provider, name), machine in CATALOG.instance_types.items()
            if provider == nodes.provider and nodes.pattern.fullmatch(name)
        ]
        assert machines, nodes
        for machine in machines:
            known = {partition.profile for partition in CATALOG.partitions(machine.accelerator)}
            assert set(nodes.profiles) <= known, machine.name
