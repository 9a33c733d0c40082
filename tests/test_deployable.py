"""What the plan takes for deployable is generated, and what code refuses is rejected with two numbers."""

import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from advisor.candidates import Candidate, Rejection, judge, judge_hardware, match
from advisor.catalog import load_catalog
from advisor.catalog.deployment import GENERATED, PROVIDER_OF_TARGET
from advisor.catalog.planning import start_seconds
from advisor.catalog.values import Purchase, Support
from advisor.codegen import Wanted, generate, platforms
from advisor.codegen.container import Engine, LoadBalancer, Runtime
from advisor.codegen.quotas import check_deployable
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets import TARGETS, obstacle_on, target_of
from advisor.codegen.targets import targets_of as targets_on
from advisor.codegen.targets.aws_sagemaker import SAGEMAKER
from advisor.codegen.targets.managed_kubernetes import KUBERNETES
from advisor.demand.lengths import declared_demand
from advisor.deployable import (
    Setup,
    deployable,
    machine_shortfall,
    purchase_shortfall,
    seat_shortfall,
    shortfall,
    speaks_https,
    stop_seconds,
    target_shortfall,
)
from advisor.errors import InputError, NotDeployable
from advisor.models import find_model
from advisor.pipeline import plan_for
from advisor.plan.problem.serverless_pools import ServerlessOffer, serverless_offers
from advisor.requirements import require
from advisor.units import BYTES_PER_GIB
from advisor.workload.values import Limits, Slo
from builders import catalog_of, offer, workload
from codegen.plans import make_option, make_plan

CATALOG = load_catalog()
FACTS = CATALOG.deployment
TEMPLATES = Path(__file__).parent.parent / "templates" / "kubernetes" / "karpenter"
SMALL, LARGE = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"
PRECISIONS = ("bf16", "fp16", "fp8", "int8", "int4", "mxfp4")
SERVING = (Support.NATIVE, Support.SUPPORTED, Support.EMULATED)
FIRST_SLICES = tuple({found[0].name for name in CATALOG.accelerators if (found := CATALOG.partitions(name))})
_SERVICES = {"sagemaker", "cloud-run", "container-apps"}
"""Targets with prices of their own."""
CODES = {"contiguous_kv", "host_memory", "loading_memory", "no_image", "no_machine", "not_generated", "preview"}
MACHINES = [one for one in CATALOG.instance_types.values() if one.provider in FACTS.providers]
ACCELERATORS = sorted({one.accelerator for one in MACHINES})
REGIONS = {(one.provider, one.instance_type): one.region for one in CATALOG.offers}
MANAGED = {(one.provider, one.instance_type) for one in CATALOG.offers if one.managed is not None}


def requirements(model=SMALL, precisions=PRECISIONS, **changes):
    """A model with short requests on all the providers that code is generated for."""
    work = workload(model=model, precisions=precisions, providers=FACTS.providers, **changes)
    return require(work, find_model(model), declared_demand(5, 8, 800, 200), CATALOG)


def every_engine(candidate):
    """The candidate with each engine that serves its precision on its accelerator."""
    for row in CATALOG.engine_support(candidate.instance_type.accelerator, candidate.precision):
        if row.support in SERVING:
            yield replace(candidate, engine=row.engine, engine_version=row.engine_version)


def candidates(accelerator, model):
    """Every layout and engine that holds the model on the machines with an accelerator."""
    asked = requirements(model)
    for machine in MACHINES:
        if machine.accelerator == accelerator and (machine.provider, machine.name) in REGIONS:
            for outcome in judge_hardware(machine, asked, CATALOG):
                if isinstance(outcome, Candidate) and outcome.partition in ("", *FIRST_SLICES):
                    yield from every_engine(outcome)


def plan_of(candidate, purchase, region):
    """A plan of one instance of a candidate."""
    machine = candidate.instance_type
    option = make_option(
        provider=machine.provider,
        region=region,
        instance_type=machine.name,
        accelerator=machine.accelerator,
        accelerator_count=machine.accelerator_count,
        partition=candidate.partition,
        replicas_per_instance=candidate.replicas_per_instance,
        tensor_parallel=candidate.tensor_parallel,
        precision=candidate.precision,
        kv_precision="auto",
        engine=candidate.engine,
        engine_version=candidate.engine_version,
        weights_gib=candidate.memory.weights_gib,
        checkpoint_gib=candidate.memory.checkpoint_gib,
        loading_gib=candidate.memory.loading_gib,
        purchase=purchase,
        instances=2,
    )
    return make_plan(option)


def targets_of(plan):
    """The default targets of a plan's code, without writing it."""
    wanted = Wanted(rank=1)
    stacks = stacks_of(plan, choose(plan, wanted, lambda _: None), wanted)
    return [target_of(stack) for stack in stacks]


def purchases_of(machine):
    """Ways of paying for a machine."""
    managed = ("managed",) if (machine.provider, machine.name) in MANAGED else ()
    return ("on_demand", "spot", *managed)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("model", [SMALL, LARGE], ids=["8B", "70B"])
@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_code_is_refused_where_the_plan_rejects_and_nowhere_else(accelerator, model):
    """Every machine × layout × engine × way of paying of the shipped catalog: both sides agree."""
    for candidate in candidates(accelerator, model):
        machine = candidate.instance_type
        for purchase in purchases_of(machine):
            region = REGIONS[machine.provider, machine.name]
            found = deployable(candidate.setup, purchase, region, CATALOG)
            plan = plan_of(candidate, purchase, region)
            if found is None:
                assert targets_of(plan)
            else:
                assert found.code in CODES
                assert found.needed is not None
                with pytest.raises(InputError):
                    targets_of(plan)


@pytest.mark.parametrize("model", [SMALL, LARGE], ids=["8B", "70B"])
def test_services_that_scale_to_zero_agree_too(model):
    """Each service × region × engine: weights that do not fit a container are refused on both sides."""
    codes = set()
    sold = catalog_of()
    sold.__dict__["serverless"] = [
        replace(one, usd_per_hour=1.0, cold_start_seconds=5.0, regions=one.regions or ("us-central1",))
        for one in CATALOG.serverless
    ]
    for service in serverless_offers(sold, FACTS.providers):
        assert isinstance(service, ServerlessOffer)
        for outcome in judge_hardware(service.instance_type, requirements(model), CATALOG):
            if not isinstance(outcome, Candidate) or outcome.partition:
                continue
            found = deployable(outcome.setup, "serverless", service.region, CATALOG)
            plan = plan_of(outcome, "serverless", service.region)
            if found is None:
                codes.add(targets_of(plan)[0].name)
            else:
                codes.add(found.code)
                with pytest.raises(InputError):
                    targets_of(plan)
    assert codes >= ({"cloud-run", "not_generated"} if model == SMALL else {"cloud-run", "host_memory"})


def test_every_region_that_sells_endpoints_has_images_for_them():
    """SageMaker's own registries are known in each region of the catalog, and it hosts each type."""
    for sold in CATALOG.offers:
        if sold.managed is None:
            continue
        machine = CATALOG.instance_type(sold.provider, sold.instance_type)
        found = [one for one in judge(machine, requirements(SMALL), CATALOG) if isinstance(one, Candidate)]
        for one in found[:1]:
            plan = plan_of(one, "managed", sold.region)
            if deployable(one.setup, "managed", sold.region, CATALOG) is None:
                assert targets_of(plan) == [SAGEMAKER]
            else:
                with pytest.raises(InputError):
                    targets_of(plan)


@pytest.mark.parametrize(
    ("accelerator", "provider", "instance_type", "tensor_parallel", "precision", "target"),
    [
        ("L4", "aws", "g6.xlarge", 1, "fp8", "ec2"),
        ("Inferentia2", "aws", "inf2.8xlarge", 1, "bf16", "ec2"),
        ("TPU-v6e", "gcp", "ct6e-standard-1t", 1, "bf16", "tpu-vm"),
        ("H200", "gcp", "a3-ultragpu-8g", 8, "bf16", "mig"),
        ("MI300X", "azure", "Standard_ND96isr_MI300X_v5", 1, "bf16", "vm-scale-set"),
    ],
)
def test_what_is_deployable_is_written(accelerator, provider, instance_type, tensor_parallel, precision, target):
    """A whole root for a machine of each kind, on its default target."""
    machine = CATALOG.instance_type(provider, instance_type)
    assert machine.accelerator == accelerator
    found = judge(machine, requirements(precisions=(precision,)), CATALOG)
    (candidate,) = [one for one in found if getattr(one, "tensor_parallel", None) == tensor_parallel]
    generated = generate(plan_of(candidate, "on_demand", REGIONS[provider, instance_type]))
    assert generated.targets == (target,)
    assert [one for one in generated.warnings if not one.startswith("the weights come from")] == []


@pytest.mark.sampled(5)
@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_stated_targets_plan_what_their_code_runs(accelerator):
    """Machine × layout × engine × target: one that refuses a stack refuses it in the plan; services by their price."""
    for candidate in islice(candidates(accelerator, SMALL), 0, None, 7):
        machine = candidate.instance_type
        region, https = (
            REGIONS[machine.provider, machine.name],
            speaks_https(candidate.engine, candidate.engine_version, CATALOG),
        )
        for purchase in purchases_of(machine):
            if deployable(candidate.setup, purchase, region, CATALOG) is not None:
                continue
            plan, wanted = plan_of(candidate, purchase, region), Wanted(rank=1)
            (stack,) = stacks_of(plan, choose(plan, wanted, lambda _: None), wanted)
            for name in (target.name for target in targets_on(machine.provider)):
                refused = target_shortfall(candidate.setup, (name,), CATALOG, https=https, purchase=purchase)
                if name in _SERVICES and purchase != "managed":
                    assert refused is not None
                else:
                    assert (refused is None) == (not obstacle_on(stack, name)), (machine.name, name, purchase)


def test_targets_of_a_workload_are_those_of_the_generator():
    """Each by its name and its cloud."""
    assert {target.name: target.provider for target in TARGETS} == PROVIDER_OF_TARGET


def test_a_plan_keeps_to_the_stated_targets():
    """Machines that no stated target runs are rejected with their code, and nodes are priced as nodes of a cluster."""
    catalog = catalog_of(
        offer("g6e.xlarge", on_demand=1.86), offer("ct6e-standard-4t", "us-east5", 0.1, provider="gcp")
    )
    asked = workload(providers=("aws", "gcp"))
    anywhere = plan_for(replace(asked, targets=("eks", "gke")), catalog)
    on_eks = plan_for(replace(asked, targets=("eks",)), catalog)
    on_hosts = plan_for(replace(asked, targets=("ec2",)), catalog)

    refused = [rejection for rejection in on_eks.rejected if rejection.code == "target"]
    assert {rejection.instance_type for rejection in refused} == {"ct6e-standard-4t"}
    assert all(" targets allows eks, and none of them runs it: mig or tpu-vm" in each.message for each in refused)
    of_four = [each for each in anywhere.rejected if each.code == "target"]
    assert {each.tensor_parallel for each in of_four} <= {1, 2}  # replicas of a TPU node share no pod
    assert on_eks.workload["targets"] == ["eks"]
    of_eks, of_hosts = ({charge.item for charge in plan.fleet.standing} for plan in (on_eks, on_hosts))
    assert "cluster" in of_eks
    assert "cluster" not in of_hosts


def rejections(provider, instance_type, model=SMALL, **changes):
    """Why layouts of a machine are no candidates: (code, needed, available)."""
    found = judge(CATALOG.instance_type(provider, instance_type), requirements(model, **changes), CATALOG)
    return [(one.code, one.needed, one.available) for one in found if isinstance(one, Rejection)]


@pytest.mark.parametrize(
    ("provider", "instance_type", "precision", "expected"),
    [
        ("aws", "g5g.2xlarge", "int8", ("no_image", 8.0, 7.5)),
        ("aws", "g6f.4xlarge", "int4", ("not_generated", 1, 0)),
        ("gcp", "g4-standard-24", "bf16", ("not_generated", 1, 0)),
        ("azure", "Standard_NC144ds_xl_RTXPRO6000BSE_v6", "bf16", ("preview", "generally available", "preview")),
        ("azure", "Standard_NC320ds_xl_RTXPRO6000BSE_v6", "bf16", ("preview", "generally available", "preview")),
        ("gcp", "a4x-maxgpu-4g-metal", "bf16", ("no_machine", "a known number", None)),
        ("gcp", "attach:T4", "fp16", ("no_machine", "a known number", None)),
        ("gcp", "a4x-highgpu-4g", "bf16", ("not_generated", 1, 0)),
        ("azure", "Standard_NV36ads_A10_v5", "int4", ("not_generated", 1, 0)),
    ],
)
def test_a_machine_that_no_code_starts_is_rejected_once(provider, instance_type, precision, expected):
    """One rejection for the machine with a code and what was compared."""
    assert rejections(provider, instance_type, precisions=(precision,)) == [expected]


@pytest.mark.parametrize(
    ("instance_type", "gib"),
    [("inf2.8xlarge", 16), ("trn2.3xlarge", 24), ("g6.xlarge", CATALOG.accelerator("L4").memory_gib)],
)
def test_weights_are_loaded_into_the_memory_of_a_rank(instance_type, gib):
    """A core of a chip has its share alone: what a rank holds while loading is compared with that, planned and generated."""
    machine = CATALOG.instance_type("aws", instance_type)
    outcomes = judge(machine, requirements(precisions=("bf16",)), CATALOG)
    candidate = next(outcome for outcome in outcomes if isinstance(outcome, Candidate))
    assert candidate.setup.rank_gib == gib
    assert candidate.memory.loading_gib <= gib
    too_much = replace(candidate.setup, loading_gib=gib + 1.0)
    refused = shortfall(too_much, CATALOG)
    assert (refused.code, refused.needed, refused.available) == ("loading_memory", gib + 1.0, gib)
    option = plan_of(candidate, "on_demand", REGIONS["aws", instance_type]).options[0]
    with pytest.raises(NotDeployable, match="while loading takes"):
        check_deployable(replace(option, loading_gib=gib + 1.0), option.engine)


def test_neuron_serves_one_replica_on_a_machine():
    """Six chips serve a replica of four and no more of one or two: they cannot share a port."""
    machine = CATALOG.instance_type("aws", "inf2.24xlarge")
    found = list(judge(machine, requirements(precisions=("bf16",)), CATALOG))
    fitting = [one for one in found if isinstance(one, Candidate)]
    assert [(one.tensor_parallel, one.replicas_per_instance) for one in fitting] == [(4, 1)]
    assert ("not_generated", 6, 1.0) in [(one.code, one.needed, one.available) for one in found if one not in fitting]


@pytest.mark.parametrize(("instance_type", "available"), [("inf2.xlarge", 16), ("trn1.2xlarge", 32)])
def test_the_host_has_to_hold_what_compiling_takes(instance_type, available):
    """Twice 15 GiB of weights and 3 GiB do not fit; a model of 3 billion parameters does."""
    ((code, needed, had),) = rejections("aws", instance_type, precisions=("bf16",), context_tokens=2048)
    assert (code, had) == ("host_memory", available)
    assert needed == pytest.approx(3 + 2 * 14.96, rel=0.01)
    small = "meta-llama/Llama-3.2-3B-Instruct"
    assert rejections("aws", instance_type, small, precisions=("bf16",), context_tokens=2048) == []


MISTRAL = "mistralai/Mistral-Small-24B-Instruct-2501"
TUNED = "organisation/Mistral-Small-24B-Instruct-2501"


def on_l40s(model, engine):
    """The only outcome for FP8 on one L40S."""
    machine = CATALOG.instance_type("aws", "g6e.xlarge")
    (found,) = judge(machine, requirements(model, precisions=("fp8",), engines=(engine,)), CATALOG)
    return found


def test_an_accelerator_has_to_hold_what_loading_takes():
    """43.9 GiB in 16 bit beside the driver do not fit 44.5 GiB, where SGLang holds them all before it quantises them."""
    found = on_l40s(TUNED, "SGLang")
    assert (found.code, found.available, found.unit) == ("loading_memory", 44.53, "GiB")
    assert found.needed == pytest.approx(43.91 + 0.52 + 0.4, abs=0.02)
    assert "44.83 GiB of each accelerator, which has 44.53 GiB" in found.message


@pytest.mark.parametrize(("model", "engine"), [(TUNED, "vLLM"), (MISTRAL, "SGLang"), (MISTRAL, "vLLM")])
def test_weights_that_are_quantised_by_layer_or_stored_load(model, engine):
    """VLLM quantises each layer as it is read; a stored checkpoint takes no more than it serves in."""
    found = on_l40s(model, engine)
    assert found.memory.loading_gib < 25
    assert found.memory.checkpoint_gib == pytest.approx(43.91 if model == TUNED else 23.21, abs=0.01)


def test_the_plan_and_its_code_take_the_stored_checkpoint():
    """Repository, size and start are those of the FP8 checkpoint; the engine is not told to quantise it."""
    work = workload(model=MISTRAL, precisions=("fp8",), purchase=(Purchase.ON_DEMAND,))
    plan = plan_for(work, catalog_of(offer("g6e.xlarge", on_demand=1.9)))
    (group,) = plan.fleet.groups
    assert group.weights == "RedHatAI/Mistral-Small-24B-Instruct-2501-FP8-dynamic"
    assert group.checkpoint_gib == pytest.approx(23.21, abs=0.01)
    code = "".join(generate(plan).files.values())
    assert group.weights in code
    assert "--quantization" not in code


def test_code_for_another_engine_is_refused_where_its_weights_cannot_load():
    """Planned for vLLM, which quantises by layer; SGLang would hold 61 GiB in 16 bit."""
    work = workload(model="organisation/Qwen3-32B", precisions=("fp8",), slo=Slo(tpot_p95_ms=100))
    plan = plan_for(work, catalog_of(offer("g6e.xlarge", on_demand=1.9)))
    assert generate(plan).targets == ("ec2",)
    with pytest.raises(NotDeployable, match=r"61\.02 GiB of each accelerator, which has 44\.53"):
        generate(plan, wanted=Wanted(engine=Engine.SGLANG))


def test_slices_that_no_node_is_cut_into_are_rejected_by_the_machine_and_precision():
    """AKS cuts an A100 into profiles of its own, and no code cuts two H100 NVL: one rejection for all such profiles."""
    found = rejections("azure", "Standard_NC24ads_A100_v4", precisions=("bf16",))
    assert found == [("not_generated", 1, 0)]
    assert rejections("azure", "Standard_NC80adis_H100_v5", precisions=("bf16",)) == [("not_generated", 1, 0)]
    assert rejections("aws", "p4de.24xlarge", precisions=("bf16",)) == []


@pytest.mark.parametrize(
    ("provider", "machine", "accelerator", "told"),
    [
        ("aws", "g6.xlarge", "L4", None),
        ("azure", "Standard_NC4as_T4_v3", "T4", None),
        ("gcp", "g2-standard-4", "L4", ("targets", 1, 0, "hostIPC")),
        ("gcp", "n1-standard-8+1xP100", "P100", ("compute capability", 7.0, 6.0, "P100 has compute capability 6")),
        ("nebius", "gpu-l40s-a_1gpu-8vcpu-32gb", "L40S", ("targets", 1, 0, "no code is generated for equal parts")),
    ],
)
def test_parts_by_mps_are_for_nodes_whose_device_plugin_divides_by_it(provider, machine, accelerator, told):
    """On EKS and AKS; not on GKE, whose MPS needs the host's IPC namespace, and not on accelerators before Volta."""
    setup = Setup(provider, machine, accelerator, "", 1, "bf16", "vLLM", 2.5)
    found = seat_shortfall(setup, load_catalog(), by_mps=True)

    if told is None:
        assert found is None
    else:
        assert (found.code, found.unit, found.needed, found.available) == ("not_generated", *told[:3])
        assert told[3] in found.reason


def test_a_machine_has_a_vcpu_for_the_pod_of_each_slice():
    """Sixteen A100 in seven slices each are 112 pods on 96 vCPUs; in three slices each they are 48."""
    cut = Setup("gcp", "a2-megagpu-16g", "A100-40GB-SXM", "mig-1g.5gb", 112, "bf16", "vLLM", 2.5)
    refused = deployable(cut, "on_demand", "us-central1", CATALOG)
    assert (refused.code, refused.unit, refused.needed, refused.available) == ("not_generated", "vCPUs", 114, 96)
    fewer = replace(cut, partition="mig-2g.10gb", replicas_per_instance=48)
    assert deployable(fewer, "on_demand", "us-central1", CATALOG) is None


def test_without_paging_every_sequence_takes_the_longest_length():
    """Room for whole requests of the longest length, not for as many tokens as are in them on average."""
    (candidate,) = [
        one
        for one in judge(CATALOG.instance_type("aws", "inf2.8xlarge"), requirements(precisions=("bf16",)), CATALOG)
        if isinstance(one, Candidate)
    ]
    per_sequence_gib = 4096 * candidate.memory.kv_bytes_per_token / BYTES_PER_GIB
    assert candidate.max_sequences == int(candidate.memory.kv_cache_gib_available / per_sequence_gib)
    paged = next(judge(CATALOG.instance_type("aws", "g6.xlarge"), requirements(precisions=("bf16",)), CATALOG))
    assert paged.max_sequences is None


def test_one_sequence_that_does_not_fit_beside_the_weights_is_named():
    """The range of one sequence against what is left, where an engine with paging would lack memory in all."""
    found = rejections("aws", "inf2.8xlarge", precisions=("bf16",), context_tokens=131_072)
    ((code, needed, available),) = found
    assert code == "contiguous_kv"
    assert needed == pytest.approx(131_072 * 131_072 / BYTES_PER_GIB, rel=0.01)
    assert 0 < available < needed


def test_a_way_of_paying_that_cannot_be_ordered_is_refused_alone():
    """Google starts small H100 machines as spot only; SageMaker has no image for Neuron."""
    (h100,) = [
        one for one in judge(CATALOG.instance_type("gcp", "a3-highgpu-1g"), requirements(precisions=("bf16",)), CATALOG)
        if isinstance(one, Candidate) and not one.partition
    ]  # fmt: skip
    assert purchase_shortfall(h100.setup, "spot", "us-central1", CATALOG) is None
    refused = purchase_shortfall(h100.setup, "on_demand", "us-central1", CATALOG)
    assert (refused.code, refused.needed, refused.available) == ("not_generated", "on_demand", "spot")

    inferentia = Setup("aws", "inf2.8xlarge", "Inferentia2", "", 1, "bf16", "vLLM-NxDI", 14.96)
    refused = purchase_shortfall(inferentia, "managed", "us-east-1", CATALOG)
    assert (refused.code, refused.needed, refused.available) == ("no_image", "Inferentia2", "no accelerator")
    l4 = Setup("aws", "g6.xlarge", "L4", "", 1, "bf16", "vLLM", 14.96)
    assert purchase_shortfall(l4, "managed", "us-east-1", CATALOG) is None
    refused = purchase_shortfall(l4, "managed", "us-gov-west-1", CATALOG)
    assert (refused.code, refused.needed, refused.available) == ("no_image", 1, 0)


def test_a_plan_takes_the_other_ways_of_paying():
    """Small H100 machines of Google, in slices on nodes: spot in fleet and options, on demand a rejection there."""
    work = workload(
        precisions=("bf16",),
        engines=("vLLM",),
        providers=("gcp",),
        purchase=(Purchase.ON_DEMAND, Purchase.SPOT),
        limits=Limits(fault_tolerant_ratio=1.0),
    )
    plan = plan_for(work, catalog_of(offer("a3-highgpu-1g", "us-central1", 3.0, 1.0, provider="gcp")))
    assert {one.purchase for one in plan.options} == {"spot"}
    assert {one.purchase for one in plan.fleet.groups} == {"spot"}
    refused = [one for one in plan.rejected if one.code == "not_generated" and one.unit == "purchase"]
    assert {(one.region, one.needed, one.available) for one in refused} == {("us-central1", "on_demand", "spot")}
    assert all(group.partition for group in plan.fleet.groups)
    assert generate(plan).targets == ("gke",)


def test_the_planned_concurrency_on_neuron_is_what_fits_in_whole_requests():
    """No more sequences than have room for the longest length each, in the plan and in the code."""
    work = workload(precisions=("bf16",), purchase=(Purchase.ON_DEMAND,), slo=Slo(tpot_p95_ms=200))
    plan = plan_for(work, catalog_of(offer("inf2.8xlarge", "us-east-1", 1.97)))
    (group,) = plan.fleet.groups
    per_sequence_gib = 4096 * 131_072 / BYTES_PER_GIB
    assert group.max_concurrency <= 32 * 0.9 / per_sequence_gib - group.weights_gib / per_sequence_gib
    assert f"--max-num-seqs={group.max_concurrency}" in generate(plan).files["fleet.tf"]


def test_other_providers_are_not_judged():
    """No code is generated for them, which a workload that names them accepts."""
    machine = next(one for one in CATALOG.instance_types.values() if one.provider == "lambda")
    assert machine_shortfall(machine, CATALOG) is None
    setup = Setup("lambda", machine.name, machine.accelerator, "", 1, "bf16", "vLLM", 15.0)
    assert shortfall(setup, CATALOG) is None


def test_machines_of_a_match_can_be_deployed():
    """Whatever a plan starts from passes the predicate for one way of paying at least."""
    sold = [offer(name, provider="aws") for name in ("g6.xlarge", "g5g.xlarge", "inf2.xlarge", "inf2.24xlarge")]
    found = match(requirements(), catalog_of(*sold))
    assert {one.instance_type.name for one in found.candidates} == {"g6.xlarge", "inf2.24xlarge"}
    for one in found.candidates:
        assert any(deployable(one.setup, purchase, "us-east-1", CATALOG) is None for purchase in ("on_demand", "spot"))


def test_every_machine_of_these_providers_is_spoken_of():
    """A row of the table for each, but for what is no machine."""
    silent = {one.name for one in MACHINES if FACTS.support(one.provider, one.name) is None}
    assert silent == {"attach:P100", "attach:P4", "attach:T4", "attach:V100"}


def test_rows_name_what_the_generator_knows():
    """Targets and families of what is generated; a reason for what is not."""
    targets = {(one.provider, one.name) for one in TARGETS}
    families = {("aws", name) for name in platforms.AWS_FAMILIES} | {("gcp", name) for name in platforms.GCP_FAMILIES}
    families |= {("azure", name) for name in platforms.AZURE_FAMILIES}
    hosts = [row for row in FACTS.rows if row.target not in ("", "cloud-run", KUBERNETES.name)]
    assert {(row.provider, row.family) for row in hosts} == families
    nodes = {row.family for row in FACTS.rows if row.target == KUBERNETES.name}
    assert nodes <= set(Runtime)
    for row in FACTS.rows:
        provider = KUBERNETES.provider if row.target == KUBERNETES.name else row.provider
        assert ((provider, row.target) in targets) == (row.status == GENERATED)
        assert bool(row.reason) == (row.status != GENERATED)


def test_each_machine_of_a_cluster_has_a_pool_that_sells_what_is_planned():
    """A row says what makes its nodes; ways of paying that it has no words for are refused beforehand."""
    clusters = [machine for machine in MACHINES if FACTS.target(machine.provider, machine.name) == KUBERNETES.name]
    assert {machine.provider for machine in clusters} == {row.provider for row in FACTS.node_pools}
    for machine in clusters:
        pool = FACTS.node_pool(machine.provider, machine.name)
        assert pool is not None
        assert "spot" in FACTS.purchases(machine.provider, machine.name) or pool.spot
        assert "\\" not in pool.expanded(pool.command, machine.name)


@pytest.mark.parametrize(
    ("target", "limit", "value"),
    [
        ("cloud-run", "longest_start_seconds", 1800),
        ("sagemaker", "longest_start_seconds", 3600),
    ],
)
def test_limits_are_those_of_the_generator(target, limit, value):
    """What the services allow stands in the table and in the generator alike."""
    assert FACTS.number(target, limit) == value


def test_a_start_takes_longer_with_more_weights_and_with_compilation():
    """900 s, half an hour to compile, ten seconds for each GiB."""
    assert start_seconds(15.0) == 1050
    assert start_seconds(15.0, compiles_s=CATALOG.cold_start.compilation("aws", 15.0).high) == 2850


@pytest.mark.parametrize(("boot_s", "seconds"), [(None, 1050), (60.0, 1050), (900.0, 1770), (1800.0, 2670)])
def test_a_start_takes_longer_on_machines_that_boot_longer(boot_s, seconds):
    """Three of the fifteen minutes are for the machine to be there."""
    assert start_seconds(15.0, boot_s=boot_s) == seconds


def test_each_target_says_how_long_a_machine_is_billed_after_its_last_hour():
    """Of the times that the code sets: the drain of every host and pod, and Karpenter's wait for an empty node."""
    drain = LoadBalancer().drain_seconds
    seconds = {target: fact.value for target, fact in CATALOG.scale_ins.items()}
    assert set(seconds) == {target.name for target in TARGETS}
    assert all(value >= drain for value in seconds.values())
    assert seconds["ec2"] == drain
    (waits,) = {
        int(minutes) for minutes in re.findall(r"consolidateAfter: (\d+)m", (TEMPLATES / "nodes.yaml.j2").read_text())
    }
    pods = 300
    assert seconds["eks-karpenter"] == pods + drain + 60 * waits
    assert seconds["eks"] == seconds["gke"] == seconds["aks"] == pods + drain + 600
    assert seconds["mig"] == 600 + drain


@pytest.mark.parametrize(
    ("provider", "instance_type", "purchase", "on_nodes", "target"),
    [
        ("aws", "g6.xlarge", "on_demand", False, "ec2"),
        ("aws", "g6.xlarge", "managed", False, "sagemaker"),
        ("gcp", "g2-standard-4", "spot", False, "mig"),
        ("gcp", "g2-standard-4", "on_demand", True, "gke"),
        ("gcp", "ct5lp-hightpu-4t", "on_demand", False, "gke"),
        ("azure", "Standard_NC40ads_H100_v5", "on_demand", True, "aks"),
        ("azure", "Standard_NC40ads_H100_v5", "serverless", False, ""),
        ("lambda", "gpu_1x_a10", "on_demand", False, ""),
    ],
)
def test_a_machine_stops_as_its_target_does(provider, instance_type, purchase, on_nodes, target):
    """A service bills idle containers by itself, and no code stops machines of providers without any."""
    seconds = stop_seconds(provider, instance_type, purchase, CATALOG, on_nodes=on_nodes)
    assert seconds == (CATALOG.scale_ins[target].value if target else 0)
