"""Other forms of the objects of a cluster: valid for their projects' schemas, with the numbers of the manifests."""

import dataclasses
import gzip
import json
import re
import shlex
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from advisor.cli.app import main
from advisor.codegen import Engine, Form, Language, Wanted, generate
from advisor.codegen.forms import kubernetes_files
from advisor.codegen.kubernetes import ClusterFacts
from advisor.codegen.kubernetes_scaling import scale_of
from advisor.codegen.model import Scaling
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.workloads import short_name, workload_name, workloads_pattern
from advisor.errors import InputError
from advisor.plan.document import plan_to_json
from codegen.forms import FORMS
from codegen.plans import Scenario, make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS
from codegen.test_route_weights import plan_of

SCHEMAS = Path(__file__).parents[1] / "iac" / "schemas" / "forms"
FREE = ("containerSecurityContext", "livenessProbe", "readinessProbe")
"""Of which a chart's schema names a part only, and its templates print all."""


def strict(schema, name=""):
    """A schema in which what it does not name is an error."""
    if isinstance(schema, list):
        return [strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    tightened = {key: strict(entry, key) for key, entry in schema.items()}
    is_open = "additionalProperties" in schema or "x-kubernetes-preserve-unknown-fields" in schema or name in FREE
    if isinstance(schema.get("properties"), dict) and not is_open:
        tightened["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        tightened = {"type": ["integer", "string"]}
    return tightened


def validator(name):
    """The check of a form's schema; metadata are free."""
    path = next(SCHEMAS.glob(f"{name}.json*"))
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return jsonschema_rs.validator_for(strict(json.loads(content)))


def mistakes(name, document):
    """What the schema says of a document."""
    return [f"{error.instance_path}: {error.message}" for error in validator(name).iter_errors(document)]


def files_of(scenario, form=None):
    """The files below kubernetes/, as text."""
    wanted = scenario.wanted if form is None else dataclasses.replace(scenario.wanted, form=form)
    files = generate(scenario.plan, Language.TERRAFORM, wanted).files
    return {path: text for path, text in files.items() if path.startswith("kubernetes/")}


def documents(files):
    """All documents of all YAML files, with their paths."""
    return [
        (path, entry)
        for path, text in files.items()
        if path.endswith(".yaml")
        for entry in yaml.safe_load_all(text)
        if entry is not None
    ]


def of_kind(files, kind):
    """Objects of a kind."""
    return [entry for _, entry in documents(files) if entry.get("kind") == kind]


def replicas(files):
    """Group → pods of it in the busiest hours, or the bounds of its scaling, as the manifests have them."""
    scaled = {entry["metadata"]["name"]: entry["spec"] for entry in of_kind(files, "ScaledObject")}
    return {
        entry["metadata"]["name"]: (
            (entry["spec"]["replicas"],) * 2
            if entry["metadata"]["name"] not in scaled
            else tuple(scaled[entry["metadata"]["name"]][bound] for bound in ("minReplicaCount", "maxReplicaCount"))
        )
        for entry in of_kind(files, "Deployment")
    }


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", FORMS)
def test_every_number_is_that_of_the_manifests(name):
    """Replicas, resources, nodes, images and start probes do not depend on the form."""
    scenario = FORMS[name]()
    usual = files_of(scenario, Form.MANIFESTS)
    found = {pod.group: pod for pod in _pods(files_of(scenario), scenario.wanted.form)}
    assert set(found) == set(replicas(usual))
    for deployment in of_kind(usual, "Deployment"):
        group = deployment["metadata"]["name"]
        pod = deployment["spec"]["template"]["spec"]
        container = pod["containers"][0]
        asked = {key: str(value) for key, value in container["resources"]["requests"].items()}
        assert found[group].resources == asked
        assert found[group].nodes == pod["nodeSelector"]
        assert found[group].taints == {entry["key"] for entry in pod["tolerations"]}
        assert found[group].replicas == replicas(usual)[group]
        assert found[group].start_probes >= container["startupProbe"]["failureThreshold"]
        own = [entry for entry in container["args"] if entry.startswith("--max")]
        assert [entry for entry in found[group].arguments if entry.startswith("--max")] == own
        if scenario.wanted.form is not Form.DYNAMO:
            assert found[group].image == container["image"]


@dataclasses.dataclass(frozen=True)
class Pod:
    """What a form says of the pods of a group."""

    group: str
    replicas: tuple[int, int]
    resources: dict
    nodes: dict
    taints: set
    start_probes: int
    arguments: list
    image: str


def _pods(files, form):
    """The pods of a form, by its own structure."""
    if form is Form.KSERVE:
        bounds = {entry["spec"]["scaleTargetRef"]["name"]: entry["spec"] for entry in of_kind(files, "ScaledObject")}
        return [_of_service(entry, bounds) for entry in of_kind(files, "LLMInferenceService")]
    if form is Form.PRODUCTION_STACK:
        return [pod for path, entry in documents(files) if path.endswith("/values.yaml") for pod in _of_values(entry)]
    if form is Form.DYNAMO:
        bounds = {entry["spec"]["scaleTargetRef"]["name"]: entry["spec"] for entry in of_kind(files, "ScaledObject")}
        return [pod for entry in of_kind(files, "DynamoGraphDeployment") for pod in _of_graph(entry, bounds)]
    return [_of_template(entry["spec"]["template"], replicas(files)) for entry in of_kind(files, "Deployment")]


def _pod(group, count, spec, probe=None):
    (container,) = spec["containers"]
    return Pod(
        group,
        count,
        {key: str(value) for key, value in container["resources"]["requests"].items()},
        spec["nodeSelector"],
        {entry["key"] for entry in spec["tolerations"]},
        (probe or container["startupProbe"])["failureThreshold"],
        container["args"],
        container["image"],
    )


def _of_template(template, bounds):
    group = template["metadata"]["labels"]["inference/group"]
    return _pod(group, bounds[group], template["spec"])


def _of_service(service, bounds):
    spec = service["spec"]
    scale = bounds.get(f"{service['metadata']['name']}-kserve")
    count = (scale["minReplicaCount"], scale["maxReplicaCount"]) if scale else (spec["replicas"],) * 2
    return _pod(spec["labels"]["inference/group"], count, spec["template"])


def _of_values(values):
    engine = values["servingEngineSpec"]
    scaled = [entry for entry in values["extraObjects"] if entry["kind"] == "ScaledObject"]
    bounds = {entry["spec"]["scaleTargetRef"]["name"]: entry["spec"] for entry in scaled}
    for model in engine["modelSpec"]:
        scale = bounds.get(f"support-chat-{model['name']}-deployment-vllm")
        (term,) = model["nodeSelectorTerms"]
        yield Pod(
            model["podLabels"]["inference/group"],
            (scale["minReplicaCount"], scale["maxReplicaCount"]) if scale else (model["replicaCount"],) * 2,
            model["resources"]["requests"],
            {entry["key"]: entry["values"][0] for entry in term["matchExpressions"]},
            {entry["key"] for entry in model["tolerations"]},
            engine["startupProbe"]["failureThreshold"],
            model["vllmConfig"]["extraArgs"],
            f"{model['repository']}:{model['tag']}",
        )


def _of_graph(graph, bounds):
    for entry in graph["spec"]["components"]:
        if entry["type"] == "worker":
            scale = bounds.get(f"{graph['metadata']['name']}-{entry['name']}")
            count = (scale["minReplicaCount"], scale["maxReplicaCount"]) if scale else (entry["replicas"],) * 2
            template = entry["podTemplate"]
            yield _pod(template["metadata"]["labels"]["inference/group"], count, template["spec"])


@pytest.mark.parametrize(
    ("scenario", "form", "schema", "kind"),
    [
        ("eks-scheduled", Form.KSERVE, "LLMInferenceService", "LLMInferenceService"),
        ("eks-l4-spot", Form.KSERVE, "LLMInferenceService", "LLMInferenceService"),
        ("aks-two-regions", Form.KSERVE, "LLMInferenceService", "LLMInferenceService"),
        ("aks-mi300x", Form.KSERVE, "LLMInferenceService", "LLMInferenceService"),
        ("gke-scheduled", Form.INFERENCE_POOL, "InferencePool", "InferencePool"),
        ("eks-l4-spot", Form.DYNAMO, "DynamoGraphDeployment", "DynamoGraphDeployment"),
        ("aks-scheduled", Form.DYNAMO, "DynamoGraphDeployment", "DynamoGraphDeployment"),
    ],
)
def test_objects_are_valid_for_their_resource(scenario, form, schema, kind):
    """The schema of the project takes each object, and an unknown field is none that it would drop in silence."""
    found = of_kind(files_of(SCENARIOS[scenario](), form), kind)
    assert found
    for entry in found:
        assert mistakes(schema, entry | {"metadata": {}}) == []
    assert mistakes(schema, found[0] | {"metadata": {}, "spec": found[0]["spec"] | {"unknownField": 1}})


@pytest.mark.parametrize(
    ("scenario", "form", "schema"),
    [
        ("aks-scheduled", Form.PRODUCTION_STACK, "vllm-stack"),
        ("aks-two-regions", Form.PRODUCTION_STACK, "vllm-stack"),
        ("aks-mi300x", Form.PRODUCTION_STACK, "vllm-stack"),
        ("gke-scheduled", Form.LLM_D, "llm-d-router-gateway"),
        ("eks-sglang-replicas", Form.LLM_D, "llm-d-router-gateway"),
    ],
)
def test_values_are_valid_for_their_chart(scenario, form, schema):
    """The schema of the chart takes the values, and none is one that the chart does not know."""
    files = files_of(SCENARIOS[scenario](), form)
    values = [entry for path, entry in documents(files) if path.endswith("values.yaml")]
    assert values
    for entry in values:
        assert mistakes(schema, entry) == []
    section = next(iter(values[0]))
    assert mistakes(schema, values[0] | {section: values[0][section] | {"unknownValue": 1}})


def test_kserve_weights_groups_by_the_plan():
    """All services are of one routing group, with the plan's per mille; the shell of KServe leaves arguments whole."""
    files = files_of(FORMS["eks-kserve"]())
    services = of_kind(files, "LLMInferenceService")
    routes = [entry["spec"]["router"]["route"] for entry in services]
    assert {entry["group"] for entry in routes} == {"support-chat"}
    assert sum(entry["weight"] for entry in routes) == 1000
    for entry in services:
        arguments = entry["spec"]["template"]["containers"][0]["args"]
        assert [shlex.split(word) for word in arguments] == [[word] for word in arguments]
        assert not [word for word in arguments if "served-model-name" in word]


@pytest.mark.parametrize("form", [Form.MANIFESTS, Form.KSERVE])
def test_a_dead_engine_is_restarted_without_a_drain(form):
    """The hook before the end sleeps as long as requests drain, also where a probe fails: the probe has its own grace."""
    files = files_of(FORMS["eks-kserve"](), form)
    pods = [entry["spec"]["template"]["spec"] for entry in of_kind(files, "Deployment")]
    pods += [entry["spec"]["template"] for entry in of_kind(files, "LLMInferenceService")]
    engines = [container for pod in pods for container in pod["containers"] if "startupProbe" in container]
    assert engines
    assert {engine["livenessProbe"]["terminationGracePeriodSeconds"] for engine in engines} == {10}
    assert not [engine for engine in engines if "terminationGracePeriodSeconds" in engine["startupProbe"]]


def test_production_stack_probes_and_ends_pods_with_patience():
    """The chart's own probes give a busy engine a second; of its 30 seconds to end, open requests get most."""
    files = files_of(FORMS["aks-production-stack"]())
    (values,) = [entry for path, entry in documents(files) if path.endswith("/values.yaml")]
    usual = of_kind(files_of(FORMS["aks-production-stack"](), Form.MANIFESTS), "Deployment")
    manifests = [entry["spec"]["template"]["spec"]["containers"][0] for entry in usual]
    engine = values["servingEngineSpec"]
    for probe in ("readinessProbe", "livenessProbe"):
        for container in manifests:
            of_chart = {"httpGet": {"path": "/health", "port": 8000}}
            # The chart prints no grace of a probe, and has no hook that would need one.
            usual = {key: value for key, value in container[probe].items() if key != "terminationGracePeriodSeconds"}
            assert engine[probe] == {**usual, **of_chart}
    for model in engine["modelSpec"]:
        assert [entry for entry in model["vllmConfig"]["extraArgs"] if "shutdown" in entry] == ["--shutdown-timeout=25"]
    assert "longer answers are cut off" in files["kubernetes/README.md"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", FORMS)
def test_pods_of_a_group_leave_one_after_the_other(name):
    """Each group of each form has a PodDisruptionBudget that selects its pods, and none of another group."""
    scenario = FORMS[name]()
    files = files_of(scenario)
    entries = [entry for _, entry in documents(files)]
    entries += [extra for entry in entries for extra in entry.get("extraObjects", ())]
    budgets = [entry for entry in entries if entry.get("kind") == "PodDisruptionBudget"]
    groups = {pod.group for pod in _pods(files, scenario.wanted.form)}
    selected = [entry["spec"]["selector"]["matchLabels"].get("inference/group") for entry in budgets]
    assert sorted(filter(None, selected)) == sorted(groups)
    assert {entry["spec"]["maxUnavailable"] for entry in budgets} == {1}
    assert {entry["metadata"]["namespace"] for entry in budgets} == {"support-chat"}


def test_what_takes_all_requests_survives_a_node():
    """The router of production-stack and the frontend of Dynamo are two pods, on two nodes where there are two."""
    (values,) = [entry for path, entry in documents(files_of(FORMS["aks-production-stack"]())) if "values" in path]
    router = values["routerSpec"]
    labels = {"app.kubernetes.io/component": "router", "app.kubernetes.io/instance": "support-chat"}
    assert (router["replicaCount"], router["pdb"]) == (2, {"enabled": True, "maxUnavailable": 1})
    assert _kept_apart(router["affinity"]) == labels
    files = files_of(FORMS["eks-dynamo"]())
    (graph,) = of_kind(files, "DynamoGraphDeployment")
    (frontend,) = [entry for entry in graph["spec"]["components"] if entry["type"] == "frontend"]
    labels = frontend["podTemplate"]["metadata"]["labels"]
    assert frontend["replicas"] == 2
    assert _kept_apart(frontend["podTemplate"]["spec"]["affinity"]) == labels
    assert labels in [entry["spec"]["selector"]["matchLabels"] for entry in of_kind(files, "PodDisruptionBudget")]


def _kept_apart(affinity):
    """Labels of the pods that do not share a node."""
    (preferred,) = affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    return preferred["podAffinityTerm"]["labelSelector"]["matchLabels"]


def test_production_stack_says_where_nothing_drains():
    """An image that is not known to have the option is not given it, since it would not start."""
    scenario = FORMS["aks-production-stack"]()
    own = dataclasses.replace(scenario, wanted=dataclasses.replace(scenario.wanted, image="example.com/vllm:mine"))
    files = files_of(own)
    assert not [text for path, text in files.items() if path.endswith("values.yaml") and "shutdown-timeout" in text]
    assert "no option is known" in files["kubernetes/README.md"]


def names_by_kind(files):
    """Lower-case plural of a kind → names of its objects."""
    objects = [entry for text in files.values() for entry in yaml.safe_load_all(text) if isinstance(entry, dict)]
    named = [entry for entry in objects if "metadata" in entry and "kind" in entry]
    kinds = {f"{entry['kind'].lower()}s": set() for entry in named}
    for entry in named:
        kinds[f"{entry['kind'].lower()}s"].add(entry["metadata"]["name"])
    return kinds


@pytest.mark.parametrize("form", [entry for entry in Form if entry not in (Form.LLM_D, Form.PRODUCTION_STACK)])
def test_what_another_form_made_is_removed_by_name(form):
    """Each command that the README of another form names takes away objects that this form really makes.

    The manifests have weights to look after only where backends differ.
    """
    scenario = FORMS["eks-kserve"]()
    weighted = [dataclasses.replace(scenario, plan=plan_of())] if form is Form.MANIFESTS else []
    other = Form.MANIFESTS if form is Form.KSERVE else Form.KSERVE
    readme = files_of(scenario, other)["kubernetes/README.md"]
    made = {}
    for files in (files_of(deployed, form) for deployed in (scenario, *weighted)):
        for kind, names in names_by_kind({path: files[path] for path in files if path.endswith(".yaml")}).items():
            made[kind] = made.get(kind, set()) | names
    section = readme.partition(f"- Of the form `{form.value}`")[2].partition("\n- ")[0]
    commands = re.findall(r"delete --ignore-not-found (\S+) ([^`]+)`", section)
    assert commands
    for kinds, names in commands:
        for kind in kinds.replace("policies", "policys").split(","):
            assert set(names.split()) & made[kind]


@pytest.mark.parametrize("form", list(Form))
def test_what_a_plan_no_longer_has_is_found_by_its_label(form):
    """Every object of the kinds that are pruned carries the label, and the files that the command applies are there."""
    files = files_of(FORMS["eks-kserve"](), form)
    section = files["kubernetes/README.md"].partition("## What a former run left")[2]
    commands = re.findall(r"`(kubectl [^`]+--prune [^`]+)`", section)
    assert bool(commands) == (form is not Form.PRODUCTION_STACK)
    for command in commands:
        kinds = re.findall(r"--prune-allowlist \S+/(\w+)", command)
        path = f"kubernetes/{command.split()[-1]}"
        assert any(name == path or name.startswith(f"{path}/") for name in files)
        for entry in (entry for kind in kinds for entry in of_kind(files, kind)):
            assert entry["metadata"]["labels"]["app.kubernetes.io/part-of"] == "support-chat"


@pytest.mark.parametrize("form", [Form.INFERENCE_POOL, Form.LLM_D])
def test_the_route_leads_to_pools_of_the_pods(form):
    """Each backend of the route is a pool that the pods' labels and the picker's name fit."""
    files = files_of(SCENARIOS["gke-scheduled"](), form)
    for route in of_kind(files, "HTTPRoute"):
        for entry in route["spec"]["rules"][0]["backendRefs"]:
            assert (entry["group"], entry["kind"]) == ("inference.networking.k8s.io", "InferencePool")
            assert entry["weight"] > 0
            selected = {"inference/backend": entry["name"]}
            pods = [pod for pod in of_kind(files, "Deployment") if selected.items() <= _labels(pod).items()]
            assert pods
    targets = [entry["spec"]["targetRef"] for entry in of_kind(files, "HealthCheckPolicy")]
    assert {entry["kind"] for entry in targets} == ({"InferencePool"} if form is Form.INFERENCE_POOL else set())
    (enforced,) = {
        entry["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for entry in of_kind(files, "Namespace")
    }
    assert enforced == ("baseline" if form is Form.LLM_D else "restricted")


LIKE_REPLICAS = Scenario(
    make_fleet_plan(
        make_group(request_shares=(0.5, 0.5)),
        make_group(instance_type="g5.xlarge", accelerator="A10G", request_shares=(0.5, 0.5)),
    ),
    Wanted(target="eks"),
)
"""Two backends that are probed alike, with like shares for each replica."""
ON_CLUSTERS = {
    "like-replicas": lambda: LIKE_REPLICAS,
    **{name: make for name, make in SCENARIOS.items() if name.startswith(("eks-", "gke-", "aks-", "kubernetes-"))},
}


def _targets(files, region):
    """(kind, name) of what the objects of a region make, and of what its routes and policies lead to."""
    here = {path: text for path, text in files.items() if path.startswith(f"kubernetes/{region}/")}
    released = {("InferencePool", Path(path).name.removesuffix(".values.yaml")) for path in here if "/router/" in path}
    objects = [entry for _, entry in documents(here) if "kind" in entry]
    made = {(entry["kind"], entry["metadata"]["name"]) for entry in objects if "metadata" in entry} | released
    routes = [entry for entry in objects if entry["kind"] == "HTTPRoute"]
    led = [reference for entry in routes for rule in entry["spec"]["rules"] for reference in rule["backendRefs"]]
    aimed = [entry["spec"]["targetRef"] for entry in objects if "targetRef" in entry.get("spec", {})]
    return made, {(entry.get("kind", "Service"), entry["name"]) for entry in (*led, *aimed)}


@pytest.mark.sampled(12)
@pytest.mark.parametrize("form", [Form.MANIFESTS, Form.INFERENCE_POOL, Form.LLM_D])
@pytest.mark.parametrize("name", ON_CLUSTERS)
def test_what_routes_and_policies_lead_to_is_made(name, form):
    """Each target of a route, and of a policy of Google's Gateways, is an object of the same region."""
    try:
        files = files_of(ON_CLUSTERS[name](), form)
    except InputError as refused:
        reasons = ("cannot read the load of", "its code applies manifests")
        assert any(reason in str(refused) for reason in reasons)  # noqa: PT017 - not what this test is of
        return
    regions = {path.split("/")[1] for path in files if path.endswith("/route.yaml")}
    assert regions
    for region in regions:
        made, led = _targets(files, region)
        assert led
        assert led <= made


@pytest.mark.parametrize("form", [Form.INFERENCE_POOL, Form.LLM_D])
def test_pools_of_like_replicas_take_their_shares(form):
    """No pool is over two backends: each has one of its own, with its per mille, and no Service is over them all."""
    files = files_of(LIKE_REPLICAS, form)
    (route,) = of_kind(files, "HTTPRoute")
    backends = {entry["metadata"]["labels"]["inference/backend"] for entry in _templates(files)}
    weights = {entry["name"]: entry["weight"] for entry in route["spec"]["rules"][0]["backendRefs"]}
    assert weights == dict.fromkeys(backends, 500)
    assert "inference" not in {entry["metadata"]["name"] for entry in of_kind(files, "Service")}
    assert "the Service `inference`" not in files["kubernetes/README.md"]


def _templates(files):
    """Those of the engines; what looks after the weights of a route is no engine."""
    of_all = [entry["spec"]["template"] for entry in of_kind(files, "Deployment")]
    return [entry for entry in of_all if entry["metadata"]["labels"]["app.kubernetes.io/component"] != "route-weights"]


def _labels(deployment):
    return deployment["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("scenario", "form", "reason"),
    [
        ("eks-sglang-replicas", Form.KSERVE, "serves with sglang"),
        ("eks-sglang-replicas", Form.DYNAMO, "serves with sglang"),
        ("eks-inferentia2", Form.DYNAMO, "does not support neuron"),
        ("eks-inferentia2", Form.PRODUCTION_STACK, "does not support neuron"),
        ("gke-tpu-v6e", Form.KSERVE, "does not support tpu"),
        ("aks-mi300x", Form.DYNAMO, "does not support rocm"),
        ("gke-scheduled", Form.PRODUCTION_STACK, "evenly over replicas"),
        ("eks-hostile-names", Form.KSERVE, "needs the name of a checkpoint"),
    ],
)
def test_what_a_form_cannot_serve_is_refused(scenario, form, reason):
    """The message has the reason and the forms that work."""
    with pytest.raises(InputError, match=reason) as refused:
        files_of(SCENARIOS[scenario](), form)
    assert refused.value.where == f"--form {form}"
    assert "manifests" in refused.value.hint
    assert form.value not in refused.value.hint.split(": ")[1].split(", ")


def test_a_group_without_requests_is_none_for_an_even_spread():
    """What stands beside its successor with a weight of 0 would be given requests; weighted forms give it none."""
    scenario = SCENARIOS["aks-scheduled"]()
    (stack,) = stacks_of(scenario.plan, choose(scenario.plan, scenario.wanted, lambda _choice: None), scenario.wanted)
    idle = dataclasses.replace(stack.groups[0], weight=0)
    stack = dataclasses.replace(stack, target="aks", groups=(idle, *stack.groups[1:]))
    for form in (Form.PRODUCTION_STACK, Form.DYNAMO):
        with pytest.raises(InputError, match="evenly over replicas"):
            kubernetes_files(dataclasses.replace(stack, form=form), ClusterFacts())
    files = kubernetes_files(dataclasses.replace(stack, form=Form.KSERVE), ClusterFacts())
    services = of_kind(files, "LLMInferenceService")
    assert {entry["spec"]["router"]["route"]["weight"] for entry in services} >= {0}


def test_what_does_not_tell_its_load_has_no_picker():
    """What does not tell its load cannot be picked by it."""
    for wanted in (Wanted(engine=Engine.CUSTOM, image="example.com/engine:1"), Wanted(engine=Engine.TENSORRT_LLM)):
        with pytest.raises(InputError, match=r"cannot read the load of (example|nvcr)"):
            generate(make_plan(make_option()), wanted=dataclasses.replace(wanted, target="eks", form=Form.LLM_D))


def test_hosts_take_no_form():
    """Targets without a cluster say so."""
    with pytest.raises(InputError, match="runs no Kubernetes") as refused:
        generate(make_fleet_plan(make_group()), Language.TERRAFORM, Wanted(form=Form.KSERVE))
    assert "eks" in refused.value.hint


def test_dynamo_says_that_its_vllm_is_another():
    """The image is Dynamo's unless the user names one; the README of the root carries the caution."""
    scenario = FORMS["eks-dynamo"]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    assert "vLLM of its own" in files["README.md"]
    own = dataclasses.replace(scenario.wanted, image="example.com/dynamo:1")
    (graph,) = of_kind(generate(scenario.plan, Language.TERRAFORM, own).files, "DynamoGraphDeployment")
    images = {entry["podTemplate"]["spec"]["containers"][0]["image"] for entry in graph["spec"]["components"]}
    assert images == {"example.com/dynamo:1"}


def test_the_option_reaches_the_code(tmp_path, monkeypatch, capsys):
    """From the command line to the folder, in both languages, and a later run keeps it; alarms look for what it runs."""
    (tmp_path / "plan.json").write_text(plan_to_json(make_fleet_plan(make_group())))
    for language in ("terraform", "pulumi"):
        into = tmp_path / language
        command = ["advisor", "generate", language, str(tmp_path / "plan.json"), "--into", str(into)]
        whole = ["--standalone"] if language == "pulumi" else []
        for form in (["--form", "kserve"], []):
            monkeypatch.setattr("sys.argv", [*command, "--target", "eks", *form, *whole])
            with pytest.raises(SystemExit) as stopped:
                main()
            assert not stopped.value.code
            assert ("holds the form kserve" in capsys.readouterr().err) == (not form)
        monkeypatch.setattr("sys.argv", [*command, "--target", "eks", "--form", "manifests"])
        with pytest.raises(SystemExit) as stopped:
            main()
        refused = capsys.readouterr().err
        assert stopped.value.code == 1
        assert "the code here is of the form kserve, and its objects would run on beside those of manifests" in refused
        assert "to stay, give --form kserve; to change, generate into another directory" in refused
        fleet = into / ("fleet.tf" if language == "terraform" else "inference/fleet.py")
        assert "-on-demand-kserve" in fleet.read_text()
        assert (into / "kubernetes" / "us-east-1" / "llm-inference-services.yaml").is_file()


@given(st.from_regex(r"[a-z][a-z0-9-]{0,60}[a-z0-9]", fullmatch=True), st.integers(12, 40))
def test_short_names_fit_and_differ(key, longest):
    """A name is never longer than what is left of 63, and two keys stay two names."""
    name = short_name(key, longest)
    assert len(name) <= longest
    assert name[-1] != "-"
    assert short_name(f"{key}x", longest) != name


@pytest.mark.parametrize(
    ("form", "beside"),
    [
        (Form.MANIFESTS, "route-weights"),
        (Form.KSERVE, "{key}-kserve-router-scheduler"),
        (Form.PRODUCTION_STACK, "{name}-deployment-router"),
        (Form.DYNAMO, "{name}-frontend"),
    ],
)
def test_missing_replicas_are_those_of_the_plan_s_pods(form, beside):
    """Deployments that route requests, and what a form makes beside the engines, stand in for none of them."""
    scenario = SCENARIOS["gke-l4-spot"]()
    (stack,) = stacks_of(scenario.plan, choose(scenario.plan, scenario.wanted, lambda _: None), scenario.wanted)
    stack = dataclasses.replace(stack, form=form)
    pattern = re.compile(workloads_pattern(stack))
    names = [workload_name(stack, group) for group in stack.groups]

    assert all(pattern.fullmatch(name) for name in names)
    assert not any(pattern.fullmatch(beside.format(key=group.key, name=stack.name)) for group in stack.groups)
    assert bool(pattern.fullmatch(f"{names[0]}-1a2b3c")) is (form is Form.DYNAMO)


OF_PROJECTS = (Form.KSERVE, Form.PRODUCTION_STACK, Form.DYNAMO)
"""Forms in which a project's own objects name the pods."""


def _pod_names(files, form, name):
    """Names that Kubernetes gives the pods of what a project makes: cut to 58 characters, and five at random."""
    if form is Form.KSERVE:
        made = [f"{entry['metadata']['name']}-kserve" for entry in of_kind(files, "LLMInferenceService")]
    elif form is Form.PRODUCTION_STACK:
        specs = [entry["servingEngineSpec"] for path, entry in documents(files) if path.endswith("values.yaml")]
        made = [f"{name}-{model['name']}-deployment-vllm" for spec in specs for model in spec["modelSpec"]]
    else:
        graphs = [entry["spec"]["components"] for entry in of_kind(files, "DynamoGraphDeployment")]
        made = [f"{name}-{entry['name'].lower()}-0a1b2c3d" for graph in graphs for entry in graph]
    return {f"{entry}-6d4cf56db6-"[:58] + "x7k2p" for entry in made}


@pytest.mark.parametrize("form", OF_PROJECTS)
@pytest.mark.parametrize("group", ["us-central1-g2-standard-4-bf16", "us-central1-a2-highgpu-1g-bf16-a16f34-on-demand"])
def test_alerts_and_triggers_ask_for_pods_by_their_names(form, group):
    """Every query on pods has some, whatever the project calls them and however long that is."""
    scenario = SCENARIOS["gke-l4-spot"]()
    (stack,) = stacks_of(scenario.plan, choose(scenario.plan, scenario.wanted, lambda _: None), scenario.wanted)
    (planned,) = stack.groups
    stack = dataclasses.replace(
        stack,
        form=form,
        groups=(dataclasses.replace(planned, key=group),),
        scaling=Scaling.REACTIVE,
        models=(),
    )
    files = kubernetes_files(stack, ClusterFacts(has_google_gateways=True))
    pods = _pod_names(files, form, stack.name)
    rules = [rule["expr"] for entry in of_kind(files, "PrometheusRule") for rule in entry["spec"]["groups"][0]["rules"]]
    asked = [*rules, *(trigger.query for trigger in scale_of(stack, *stack.groups).triggers)]
    patterns = {pattern for query in asked for pattern in re.findall(r'pod=~"([^"]+)"', query)}

    assert len(patterns) >= len(stack.groups)
    assert all(any(re.fullmatch(pattern, pod) for pod in pods) for pattern in patterns)
    assert all(any(re.fullmatch(pattern, pod) for pattern in patterns) for pod in pods)


@pytest.mark.parametrize("form", OF_PROJECTS)
@pytest.mark.parametrize("name", ["gke-l4-spot", "eks-l4-spot", "aks-scheduled"])
def test_every_form_has_what_its_alerts_read(name, form):
    """Monitors select the pods by a label and a port that they have, and the README lists the alerts."""
    scenario = SCENARIOS[name]()
    try:
        files = files_of(scenario, form)
    except InputError as refusal:
        pytest.skip(str(refusal))
    whole = "".join(text for path, text in files.items() if not path.endswith(("monitor.yaml", "monitoring.yaml")))
    google = of_kind(files, "PodMonitoring")
    monitors = [*of_kind(files, "PodMonitor"), *google]
    alerts = {
        rule["alert"] for entry in of_kind(files, "PrometheusRule") for rule in entry["spec"]["groups"][0]["rules"]
    }

    assert bool(google) is name.startswith("gke")
    assert bool(of_kind(files, "PodMonitor")) is (form is not Form.DYNAMO)  # whose platform has them
    for entry in monitors:
        ((label, value),) = entry["spec"]["selector"]["matchLabels"].items()
        assert f"{label}: {value}" in whole or label == "nvidia.com/dynamo-component-type"
        (port,) = (read["port"] for read in entry["spec"].get("endpoints") or entry["spec"]["podMetricsEndpoints"])
        assert port in {Form.KSERVE: "http", Form.PRODUCTION_STACK: "container-port"}.get(form, "http system")
    assert {"InferenceTtft", "InferenceWaitingRequests", "InferenceServerErrors", "InferencePodsNotReady"} <= alerts
    assert all(f"- `{alert}`" in files["kubernetes/README.md"] for alert in alerts)


def test_errors_of_dynamo_are_those_of_its_frontend():
    """Its workers speak no HTTP: what counts answers is the frontend, once for all backends of a region."""
    files = files_of(SCENARIOS["gke-l4-spot"](), Form.DYNAMO)
    (rule,) = (
        rule
        for entry in of_kind(files, "PrometheusRule")
        for rule in entry["spec"]["groups"][0]["rules"]
        if rule["alert"] == "InferenceServerErrors"
    )
    assert 'pod=~"support-chat-frontend-.+",status="error"' in rule["expr"]
    assert "http_requests_total" not in rule["expr"]
    assert "clients sent wrong" in rule["annotations"]["summary"]


def test_container_insights_watches_no_pods_of_dynamo():
    """It tells Deployments by their whole names, which the operator ends with a mark: alarms would ring for ever."""
    dynamo, kserve = (
        generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["fleet.tf"]
        for scenario in (FORMS["eks-dynamo"](), FORMS["eks-kserve"]())
    )

    assert "alarms = {}" in dynamo
    assert "unavailable_replicas" in kserve


def selects(selector, labels):
    """Whether a label selector takes a pod, or a namespace, with labels."""
    matched = selector.get("matchLabels", {}).items() <= labels.items()
    return matched and all(
        (entry["key"] in labels) == (entry["operator"] == "Exists") for entry in selector.get("matchExpressions", [])
    )


def is_open(policies, direction, pod, peer, port):
    """Whether policies let a pod take from, or send to, a peer at a port; peers: of the namespace, a namespace, or outside."""
    kind = {"ingress": "Ingress", "egress": "Egress"}[direction]
    own = [entry["spec"] for entry in policies if selects(entry["spec"]["podSelector"], pod)]
    own = [spec for spec in own if kind in spec["policyTypes"]]
    where, labels = peer
    for rule in (rule for spec in own for rule in spec[direction]):
        peers = rule.get("from", rule.get("to", [{}]))
        is_peer = any(not entry or (where in entry and selects(entry[where], labels)) for entry in peers)
        if is_peer and port in [entry["port"] for entry in rule.get("ports", [{"port": port}])]:
            return True
    return not own


ENGINE = {"inference/group": "any", "inference/backend": "any"}
CLIENT, STRANGER = (("namespaceSelector", labels) for labels in ({"inference/client": "true"}, {"team": "other"}))
OUTSIDE = ("ipBlock", {})
BEFORE_ENGINES = {
    Form.KSERVE: ({"app.kubernetes.io/component": "llminferenceservice-router-scheduler"}, 9002),
    Form.PRODUCTION_STACK: (
        {"app.kubernetes.io/component": "router", "app.kubernetes.io/instance": "support-chat"},
        8000,
    ),
    Form.DYNAMO: ({"inference/part": "frontend"}, 8000),
    Form.INFERENCE_POOL: ({"picker": "own"}, 9002),
    Form.LLM_D: ({"picker": "own"}, 9002),
}
"""Form → labels of its router, frontend or picker, and the port at which it is asked."""


@pytest.mark.parametrize("name", FORMS)
def test_policies_of_the_network_admit_what_the_form_needs_and_nobody_else(name):
    """Clients reach the router, it the engines and the API server, and Prometheus both; other namespaces reach none."""
    scenario = FORMS[name]()
    form = scenario.wanted.form
    (region, *_) = sorted({path.split("/")[1] for path in files_of(scenario) if path.count("/") > 1} - {"weights"})
    files = {path: text for path, text in files_of(scenario).items() if path.startswith(f"kubernetes/{region}/")}
    values = [entry for path, entry in documents(files) if path.endswith("/values.yaml")]
    extra = [each for entry in values for each in entry.get("extraObjects", ())]
    policies = [entry for entry in (*of_kind(files, "NetworkPolicy"), *extra) if entry["kind"] == "NetworkPolicy"]
    router, asked = BEFORE_ENGINES[form]
    of_router, of_engine = ("podSelector", router), ("podSelector", ENGINE)
    assert is_open(policies, "ingress", router, CLIENT, asked)
    assert is_open(policies, "ingress", ENGINE, of_router, 8000)
    assert is_open(policies, "egress", router, of_engine, 8000)
    assert is_open(policies, "ingress", ENGINE, CLIENT, 9090 if form is Form.DYNAMO else 8000)
    for port in (443, 6443, 53):
        assert is_open(policies, "egress", router, OUTSIDE, port)
    assert is_open(policies, "egress", ENGINE, OUTSIDE, 443)
    for pod, port in ((router, asked), (ENGINE, 8000), (ENGINE, 9090)):
        assert not is_open(policies, "ingress", pod, STRANGER, port)
    assert not is_open(policies, "egress", ENGINE, OUTSIDE, 22)
    # The workers of Dynamo answer its frontend at ports that the system gives them.
    assert is_open(policies, "ingress", router, of_engine, 40_000) == (form is Form.DYNAMO)
    assert "inference/client=true" in files_of(scenario)["kubernetes/README.md"]


def models_of(*groups):
    """Replicas and accelerators of each ``modelSpec`` of the production-stack."""
    wanted = Wanted(target="eks", form=Form.PRODUCTION_STACK)
    files = generate(make_fleet_plan(*groups), wanted=wanted).files
    (values,) = [yaml.safe_load(text) for path, text in files.items() if path.endswith("/values.yaml")]
    models = values["servingEngineSpec"]["modelSpec"]
    return {(entry["replicaCount"], entry["resources"]["limits"]["nvidia.com/gpu"]) for entry in models}, files


def test_an_even_spread_joins_replicas_of_nodes_only_where_all_nodes_have_as_many():
    """A router gives each pod as much: nodes with four replicas and with one have pods of one replica each."""
    four = {"instance_type": "g6.12xlarge", "accelerator_count": 4, "replicas_per_instance": 4, "instances": (2, 2)}
    unlike = (make_group(**four, request_shares=(0.8, 0.8)), make_group(instances=(2, 2), request_shares=(0.2, 0.2)))
    models, files = models_of(*unlike)
    assert models == {(8, "1"), (2, "1")}
    assert "data-parallel-size" not in "".join(files.values())
    assert models_of(unlike[0])[0] == {(2, "4")}
    with pytest.raises(InputError, match="spreads requests evenly over replicas"):
        models_of(*(dataclasses.replace(group, request_shares=(0.5, 0.5)) for group in unlike))
