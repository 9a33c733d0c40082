"""Every number of a deployment, computed by hand beside the assertion."""

import dataclasses
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen import generate
from advisor.codegen.container import Language, Wanted
from advisor.codegen.selection import choose
from advisor.codegen.serving import checkpoint_of
from advisor.codegen.stack import stacks_of
from advisor.errors import InputError
from advisor.plan.document import plan_from_json, plan_to_json
from codegen.plans import make_cost, make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS


def stack_of(plan):
    """The only stack of the first option of *plan*."""
    wanted = Wanted(rank=1)
    (stack,) = stacks_of(plan, choose(plan, wanted, lambda _choice: None), wanted)
    return stack


def stack(**changes):
    """The stack of a plan with one option, with *changes* to it."""
    return stack_of(make_plan(make_option(**changes)))


def group(**changes):
    """The only group of that stack."""
    (only,) = stack(**changes).groups
    return only


def container(**changes):
    """The container of its only backend."""
    (backend,) = stack(**changes).backends
    return backend.container


def test_volume_holds_image_and_weights():
    """100 GiB host + 40 GiB serving image + 1.2 × 20 GiB, in which 14.96 GiB are counted: 164 GiB."""
    assert group().root_volume_gib == 164


def test_fp8_is_made_from_a_checkpoint_of_twice_its_size():
    """140 + 1.2 × 140 GiB, in which 2 × 65.8 are counted: 308; start: 900 s + 131.6 / 0.1 = 2216 s, in minutes: 2220."""
    fp8 = group(precision="fp8", weights_gib=65.8)
    assert fp8.root_volume_gib == 308
    assert fp8.start_seconds == 2220


def test_a_start_has_time_to_convert_published_weights():
    """5 of 8 GiB are made into a GGUF, at 0.041 GB/s at worst: 131 s more than 900 + 8 / 0.1, in whole minutes."""
    serves = {"engine": "llama.cpp server", "precision": "int8", "weights_gib": 3.0, "checkpoint_gib": 8.0}
    option = {"instance_type": "g6.xlarge", "accelerator": "L4"}
    assert group(**serves, **option, weights="Qwen/Qwen2.5-1.5B-Instruct").start_seconds == 60 * math.ceil(
        (900 + 80 + 5 * 2**30 / 0.041e9) / 60
    )
    assert group(**serves, **option, weights="").start_seconds == 1020


@pytest.mark.parametrize(("instances", "most"), [(1, 2), (2, 3), (4, 5), (5, 7), (16, 20)])
def test_replacements_have_room(instances, most):
    """A quarter above the plan, at least one instance."""
    assert group(instances=instances).max_instances == most


@given(st.integers(1, 500), st.floats(0.1, 2000), st.sampled_from(["bf16", "fp8"]))
def test_more_weights_never_get_less_room_or_time(instances, weights_gib, precision):
    """Disk and start time grow with the weights, and there is always room for a replacement."""
    one = group(instances=instances, weights_gib=weights_gib, precision=precision)
    more = group(instances=instances, weights_gib=weights_gib * 1.5, precision=precision)
    assert one.root_volume_gib <= more.root_volume_gib
    assert one.start_seconds <= more.start_seconds
    assert one.instances < one.max_instances


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", {"--dtype=float32"}),
        ("bf16", {"--dtype=bfloat16"}),
        ("fp16", {"--dtype=half"}),
        ("fp8", {"--dtype=auto"}),
        ("int4", {"--dtype=auto"}),
    ],
)
@pytest.mark.parametrize("engine", ["vLLM", "SGLang"])
def test_precision_becomes_arguments(precision, expected, engine):
    """Each precision is asked for in the engine's words; a quantised checkpoint names its own scheme."""
    arguments = container(precision=precision, engine=engine, engine_version="").arguments
    assert expected <= set(arguments)
    assert "--quantization=fp8" not in arguments


@pytest.mark.parametrize("engine", ["vLLM", "SGLang"])
def test_fp8_of_weights_that_nobody_stored_is_made_while_loading(engine):
    """The engine is told to quantise the tuned model itself."""
    option = make_option(precision="fp8", engine=engine, engine_version="")
    (backend,) = stack_of(make_plan(option, model="organisation/Llama-3.1-8B-Instruct")).backends
    assert backend.container.checkpoint.model_id == "organisation/Llama-3.1-8B-Instruct"
    assert {"--dtype=bfloat16", "--quantization=fp8"} <= set(backend.container.arguments)


def test_replicas_of_an_instance_share_a_port():
    """Four replicas of tensor parallel 2 are one process with data parallelism 4; one replica needs none."""
    shared = container(instance_type="p5.48xlarge", accelerator_count=8.0, tensor_parallel=2, replicas_per_instance=4)
    assert {"--tensor-parallel-size=2", "--data-parallel-size=4"} <= set(shared.arguments)
    assert shared.shares_port
    assert not any(argument.startswith("--data-parallel") for argument in container().arguments)


def test_neuron_counts_cores():
    """Six Inferentia2 chips are twelve NeuronCores and six devices; GPU arguments are left out."""
    neuron = container(
        instance_type="inf2.24xlarge", accelerator="Inferentia2", accelerator_count=6.0, tensor_parallel=6
    )
    assert "--tensor-parallel-size=12" in neuron.arguments
    assert neuron.device_arguments == tuple(f"--device=/dev/neuron{chip}" for chip in range(6))
    assert not any("gpu-memory" in argument or "kv-cache" in argument for argument in neuron.arguments)


@pytest.mark.parametrize(
    ("changes", "tag"),
    [
        ({"engine_version": "0.31.1"}, "vllm-openai:v0.31.1"),
        ({"engine_version": "0.31"}, "vllm-openai:v0.33.0"),
        ({"instance_type": "inf2.8xlarge", "engine": "vLLM-NxDI"}, ":0.16.0-neuronx"),
        ({"instance_type": "trn2.48xlarge", "engine": "vLLM-NxDI"}, ":0.16.0-neuronx"),
        ({"instance_type": "trn2.48xlarge", "engine": "vLLM-Neuron"}, ":0.24.0"),
    ],
)
def test_image_is_that_of_the_engine(changes, tag):
    """An exact version of the plan names the image; Trainium2 has an image for each of its two engines."""
    assert tag in container(**changes).image


@pytest.mark.parametrize(
    ("instance_type", "part"),
    [
        ("g5g.xlarge", "/ami/arm64/base-oss-nvidia"),
        ("p6e-gb200.36xlarge", "/ami/arm64/base-oss-nvidia"),
        ("g6e.xlarge", "/ami/x86_64/base-oss-nvidia"),
        ("gr6.4xlarge", "/ami/x86_64/base-oss-nvidia"),
        ("p6-b200.48xlarge", "/ami/x86_64/base-oss-nvidia"),
        ("trn2.48xlarge", "/neuron/dlami/"),
    ],
)
def test_machine_image_fits_the_processor(instance_type, part):
    """Graviton and Grace boot the arm64 image, everything else the x86 one, Neuron its own."""
    assert part in group(instance_type=instance_type).platform.machine_image


@pytest.mark.parametrize(
    ("instance_type", "purchase", "code"),
    [
        ("g6.xlarge", "on_demand", "L-DB2E81BA"),
        ("g6.xlarge", "spot", "L-3819A6DF"),
        ("p4d.24xlarge", "spot", "L-7212CCBC"),
        ("p5en.48xlarge", "spot", "L-C4BD4855"),
        ("p5.48xlarge", "on_demand", "L-417A185B"),
        ("trn1.32xlarge", "spot", "L-6B0D517C"),
        ("p6-b300.48xlarge", "on_demand", "L-417A185B"),
        ("p6-b300.48xlarge", "spot", ""),
    ],
)
def test_quota_is_the_one_of_family_and_purchase(instance_type, purchase, code):
    """P5 spot has a quota of its own; on demand it is counted with the other P instances. Of P6 spot none is known."""
    (quota,) = stack(instance_type=instance_type, purchase=purchase).summary.quotas
    assert quota.code == code
    assert ("is not known" in quota.name) is (not code)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"provider": "oci"}, "no code is generated for oci"),
        ({"instance_type": "dl1.24xlarge"}, "Gaudi"),
        ({"instance_type": "inf1.xlarge"}, "first generation"),
        ({"instance_type": "g4ad.xlarge"}, "Radeon"),
        ({"instance_type": "vt1.3xlarge"}, "no machine image"),
        ({"instance_type": 'g6.xlarge"'}, "not an EC2 instance type"),
        ({"region": "us-east-1${x}"}, "is not a region"),
        ({"engine": "TGI"}, "no container is generated for the engine 'TGI'"),
        ({"instance_type": "inf2.48xlarge", "replicas_per_instance": 12}, "cannot share a port"),
        ({"instance_type": "inf2.xlarge", "precision": "int8"}, "converted by hand"),
        ({"instance_type": "trn1.32xlarge", "pipeline_parallel": 2}, "pipeline parallelism"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_run_is_refused_with_a_reason_and_a_way_out(changes, reason):
    """No code is better than code that cannot work; the message says why, the hint what to do."""
    with pytest.raises(InputError, match=reason) as caught:
        stack(**changes)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("model", "precision", "expected"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "bf16", "meta-llama/Llama-3.1-8B-Instruct"),
        ("meta-llama/Llama-3.1-8B-Instruct", "fp8", "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic"),
        ("meta-llama/Llama-3.1-8B", "fp8", "meta-llama/Llama-3.1-8B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "int4", "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16"),
        ("meta-llama/Llama-3.1-8B", "int4", None),
        ("organisation/Llama-3.1-8B-Instruct", "int4", None),
        ("moonshotai/Kimi-K2.5", "int4", "moonshotai/Kimi-K2.5"),
        ("openai/gpt-oss-120b", "mxfp4", "openai/gpt-oss-120b"),
        ("./config.json", "bf16", None),
        ("a/b/c", "bf16", None),
        ("x'; reboot #", "bf16", None),
    ],
)
def test_checkpoint_is_the_model_only_where_it_exists(model, precision, expected):
    """Weights of the very model in the planned precision are the default; where none are known, the user names some."""
    assert checkpoint_of(model, precision).model_id == expected


def test_quantised_weights_are_said_before_they_are_deployed():
    """Whoever takes the catalogued repository reads its name; the published model needs no word."""
    (said,) = generate(make_plan(make_option(precision="int4"))).warnings
    assert said == (
        "the weights come from RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16, quantised from "
        "meta-llama/Llama-3.1-8B-Instruct: measure their answers, or name others"
    )
    assert generate(make_plan(make_option())).warnings == ()


def test_budget_is_the_plans_total():
    """The number in the plan, to the cent, is the number the budget starts from."""
    assert stack().budget.usd_per_month == 1175.01


BUDGETS = {
    "mixed-fleet": ("budget.tf", "inference/monitoring.py"),
    "sagemaker-mixed-scheduled": ("budget.tf", "inference/monitoring.py"),
    "gke-scheduled": ("budget.tf", "inference/budget.py"),
    "vm-scale-set-reactive": ("budget.tf", "inference/alerts.py"),
}
"""A scenario of each kind of budget, and its file in each language."""


def budget_of(plan, wanted, name, language):
    """Limit of a budget, and percent from which it tells, as the code computes them; expressions of both languages."""
    text = generate(plan, language, wanted).files[BUDGETS[name][language is Language.PYTHON]]
    text = text.replace("local.planned_usd_per_month", "planned").replace("local.budget_usd_per_month", "limit")
    text = re.sub(r"(var|settings)\.budget_margin_ratio", "margin_ratio", text).replace("math.ceil", "ceil")
    (limit,) = re.findall(r"(?:limit|budget_usd_per_month) = (max.*)", text)
    (percent,) = re.findall(r"(?:least_percent|budget_planned_percent) = (ceil.*)", text)
    return limit, percent


@pytest.mark.parametrize(
    ("name", "most_ratio"),
    [
        ("mixed-fleet", None), ("mixed-fleet", 1.1), ("sagemaker-mixed-scheduled", 0.7), ("gke-scheduled", 1.1),
        ("vm-scale-set-reactive", 1.1),
    ],
)  # fmt: skip
def test_budget_is_within_the_workloads_and_silent_while_the_plan_is_kept(name, most_ratio):
    """The lesser of margin and stated limit, no less than the plan; a month of 31 days of the plan tells nobody."""
    scenario = SCENARIOS[name]()
    plan, wanted = scenario.plan, dataclasses.replace(scenario.wanted, inputs=frozenset({"budget_margin_ratio"}))
    planned = stacks_of(plan, choose(plan, wanted, lambda _choice: None), wanted)[0].budget.usd_per_month
    most = None if most_ratio is None else round(planned * most_ratio, 2)
    limits = {**plan.workload["limits"], "max_usd_per_month": most}
    plan = dataclasses.replace(plan, workload={**plan.workload, "limits": limits})
    expressions = [budget_of(plan, wanted, name, language) for language in (Language.TERRAFORM, Language.PYTHON)]

    for margin_ratio in (0.0, 0.05, 0.25, 1.0):
        names = {"planned": planned, "margin_ratio": margin_ratio, "ceil": math.ceil}
        limits = [eval(limit, names) for limit, _ in expressions]
        percents = [eval(percent, {**names, "limit": limits[0]}) for _, percent in expressions]
        ceiling = planned * (1 + margin_ratio)
        assert limits[0] == limits[1] == pytest.approx(ceiling if most is None else max(planned, min(ceiling, most)))
        assert percents[0] == percents[1]
        assert limits[0] * (percents[0] - 1) / 100 < planned * 744 / 730 <= limits[0] * percents[0] / 100


def test_gpu_memory_alarm_rings_beyond_what_the_engine_takes():
    """The engine may take 90 %; the alarm rings 70 % into the rest: 97 %."""
    alarms = {alarm.name: alarm for alarm in stack().alarms}
    assert alarms["gpu_memory"].threshold == 97.0
    assert alarms["unhealthy_hosts"].periods == 5  # 1080 s are four periods of 300 s, and one more


def test_slo_alarms_ring_at_the_targets():
    """5 % beyond the target is p95 over it; a queue of rate × target takes the target to empty (Little's law)."""
    target_ms = make_plan(make_option()).workload["slo"]["ttft_p95_ms"]
    alarms = {alarm.name: alarm for alarm in stack().slo_alarms}
    assert set(alarms) == {"ttft", "waiting_requests", "server_errors", "engine_stalled"}
    assert (alarms["ttft"].threshold, alarms["ttft"].target_seconds) == (5, target_ms / 1000)
    assert alarms["waiting_requests"].threshold_at(20) == 20 * target_ms / 1000
    assert alarms["waiting_requests"].threshold_at(1e-3) == 1
    assert stack().slo_left_out == ()


def test_slo_alarms_without_target_or_metrics_are_left_out_with_the_reason():
    """Nobody knows what is too long without a target, and nobody sees an engine that publishes nothing."""
    plan = make_plan(make_option())
    workload = {**plan.workload, "slo": {"ttft_p95_ms": None}}
    without = stack_of(dataclasses.replace(plan, workload=workload))
    assert [alarm.name for alarm in without.slo_alarms] == ["server_errors", "engine_stalled"]
    assert "no target for TTFT" in without.slo_left_out[0]
    assert "return_perf_metrics" in stack(engine="TensorRT-LLM", engine_version="1.2.0").slo_left_out[0]


def test_neuron_alarms_do_without_gpu_metrics():
    """Without NVIDIA metrics idleness is told by requests, and nothing waits for an agent that is not there."""
    model = stack(instance_type="inf2.8xlarge", accelerator="Inferentia2")
    of_hosts = {"unhealthy_hosts", "metrics_silent", "host_memory", "host_disk"}
    assert {alarm.name for alarm in model.alarms} == {"no_requests", *of_hosts}
    assert model.agent is None


def test_interchangeable_types_serve_the_same_way():
    """Only types with the same accelerators, precision, split and purchase in the same region, at 1.5 times the price."""
    chosen = make_option(purchase="spot")
    same = dataclasses.replace(chosen, rank=2, instance_type="g6.4xlarge")
    others = (
        dataclasses.replace(chosen, rank=3, instance_type="g6.8xlarge", region="us-west-2"),
        dataclasses.replace(chosen, rank=4, instance_type="g6.12xlarge", accelerator_count=4.0),
        dataclasses.replace(chosen, rank=5, instance_type="g6.16xlarge", purchase="on_demand"),
        dataclasses.replace(chosen, rank=6, instance_type="g6.8xlarge", cost=make_cost(1.3, 2)),
    )
    plan = make_plan(chosen, same, *others)
    (only,) = stack_of(plan).groups
    assert only.interchangeable_types == ("g6.4xlarge",)


def beside_a_base(*more, **workload):
    """Stack of spot beside a base on demand; *more* are further options, *workload* further terms of the plan."""
    group = make_group(purchase="spot", instance_usd_per_hour=0.4)
    zones = {"zones": 2, "zone_names": group.zone_names}
    on_demand = make_option(cost=make_cost(0.8048, 2), **zones)
    options = (
        on_demand,
        dataclasses.replace(on_demand, rank=2, instance_type="g6.2xlarge"),  # 0.50 on spot
        dataclasses.replace(on_demand, rank=3, instance_type="g6.8xlarge"),  # 1.12
        dataclasses.replace(on_demand, rank=4, instance_type="g6.4xlarge", zone_names=group.zone_names[:1]),  # 0.60
        dataclasses.replace(on_demand, rank=5, instance_type="g6.16xlarge", disk_gib=10_000),
        dataclasses.replace(on_demand, rank=6, instance_type="g6e.2xlarge", precision="fp8"),
    )
    base = make_group(instances=(1, 1), request_shares=(0.3, 0.3))
    plan = make_fleet_plan(base, dataclasses.replace(group, request_shares=(0.7, 0.7)))
    plan = dataclasses.replace(plan, options=(*options, *more), workload=plan.workload | workload)
    (only,) = stacks_of(plan, choose(plan, Wanted(), lambda _choice: None), Wanted())
    return only


def test_spot_beside_a_base_on_demand_may_be_every_type_that_serves_alike():
    """A plan with a base has no options on spot: layout and zones are of its options on demand, prices of the catalog."""
    only = beside_a_base()
    types_of = {group.is_spot: (group.startable_types, group.serving_types) for group in only.groups}
    assert types_of[True] == (("g6.xlarge", "g6.2xlarge"), ("g6.2xlarge", "g6.8xlarge"))
    assert types_of[False][0] == ("g6.xlarge",)


def test_spot_prices_that_a_plan_leaves_out_do_not_come_back_from_the_catalog():
    """A plan with any option on spot has left the others out; old prices are none of one that takes listed ones only."""
    on_spot = make_option(purchase="spot", cost=make_cost(0.4, 2))
    for only in (beside_a_base(on_spot), beside_a_base(listed_only=True, as_of="2026-11-30")):
        (spot,) = (group for group in only.groups if group.is_spot)
        assert spot.startable_types == ("g6.xlarge",)
        assert spot.serving_types == ("g6.2xlarge", "g6.8xlarge")
    recent = beside_a_base(listed_only=True, as_of="2026-03-02")
    assert any(group.startable_types == ("g6.xlarge", "g6.2xlarge") for group in recent.groups)


def test_no_other_type_on_spot_costs_more_than_the_planned_one_on_demand():
    """Within 1.5 times a spot price of 0.70 an hour, and above 0.8048, at which the planned type is there for sure."""
    chosen = make_option(purchase="spot", cost=make_cost(0.7, 2))
    within = dataclasses.replace(chosen, rank=2, instance_type="g6.2xlarge", cost=make_cost(0.8, 2))
    beyond = dataclasses.replace(chosen, rank=3, instance_type="g6.4xlarge", cost=make_cost(0.81, 2))
    (only,) = stack_of(make_plan(chosen, within, beyond)).groups
    assert only.interchangeable_types == ("g6.2xlarge",)


def test_alarms_on_missing_hosts_need_someone():
    """Three compare with the hosts or the requests that are always there; the others see whoever runs."""
    gpu = {alarm.name for alarm in stack().alarms if alarm.needs_someone}
    assert gpu == {"unhealthy_hosts", "metrics_silent"}
    model = stack(instance_type="inf2.8xlarge", accelerator="Inferentia2")
    assert {alarm.name for alarm in model.alarms if alarm.needs_someone} == gpu | {"no_requests"}


def test_pulumi_projects_are_named_after_the_workload():
    """Two workloads in one organisation are two projects: neither proposes to delete what the other made."""
    names = set()
    for workload in ("support-chat", "search"):
        files = generate(make_plan(make_option(), name=workload), Language.PYTHON).files
        project = files["Pulumi.yaml"].split("\nname: ")[1].splitlines()[0]
        assert f"\n  {project}:networks:" in files["Pulumi.production.yaml"]
        names.add(project)
    assert names == {"support-chat-aws", "search-aws"}


def test_hosts_keep_what_neuron_compiles_on_the_disk_that_outlives_the_container():
    """The folder lies in the volume that is mounted at /root/.cache, beside the weights that a bucket may bring."""
    scenario = SCENARIOS["inferentia2"]()
    files = generate(scenario.plan, wanted=scenario.wanted).files
    folder = "--env=NEURON_COMPILED_ARTIFACTS=/root/.cache/models/meta-llama/Llama-3.2-3B-Instruct/neuron-"
    assert folder in files["fleet.tf"]
    assert any("/var/cache/inference:/root/.cache" in text for text in files.values())


def test_a_fleet_without_groups_is_refused():
    """A plan that somebody emptied."""
    plan = make_fleet_plan(make_group())
    with pytest.raises(InputError, match="has no groups"):
        generate(dataclasses.replace(plan, fleet=dataclasses.replace(plan.fleet, groups=())))


def test_an_hour_of_no_class_is_refused():
    """The schedule names classes of hours by their place."""
    document = json.loads(plan_to_json(make_fleet_plan(make_group())))
    document["fleet"]["schedule"][5] = 99
    with pytest.raises(InputError, match="a class that is not there"):
        plan_from_json(json.dumps(document))


@pytest.mark.parametrize("name", ["l4-spot", "eks-l4-spot", "sagemaker-l40s", "mig-l4-spot", "aks-a100-spot"])
@pytest.mark.parametrize("language", [Language.TERRAFORM, Language.PYTHON])
def test_every_target_tags_what_it_makes_with_its_owner(name, language):
    """Project, team and environment of the workload, lower case on Google; tags that the user gives come after them."""
    scenario = SCENARIOS[name]()
    owner = {"project": "search", "team": "ranking", "environment": "production"}
    plan = dataclasses.replace(scenario.plan, workload={**scenario.plan.workload, "tags": owner})
    files = generate(plan, language, scenario.wanted).files
    text = files["main.tf" if language is Language.TERRAFORM else "inference/context.py"]
    keys = ("team", "environment", "project") if "mig" in name else ("Team", "Environment", "Project")
    given = text.index("var.labels" if "mig" in name else "var.tags") if language is Language.TERRAFORM else None
    for key, value in zip(keys, ("ranking", "production", "search"), strict=True):
        found = re.search(rf'"?{key}"?\s*[:=] "{value}"', text)
        assert found, (key, text)
        assert given is None or (found.start() < given) == (value != "search")
