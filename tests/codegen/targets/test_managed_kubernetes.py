"""Clusters of providers whose nodes are the user's: what runs there, on which nodes, and what makes them."""

import dataclasses
import json
import re

import pytest
import yaml

from advisor.codegen import Form, Language, Stage, Wanted, generate, read_former, write_files
from advisor.codegen.kubernetes import NODE_LABEL
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan
from codegen.scenarios import SCENARIOS
from codegen.scenarios.managed_kubernetes import h100

_NAMES = [name for name in SCENARIOS if name.startswith("kubernetes-")]
_LABEL = "node.kubernetes.io/instance-type"


def files_of(name, language=Language.TERRAFORM, **changes):
    """The code of a scenario."""
    scenario = SCENARIOS[name]()
    return generate(scenario.plan, language, dataclasses.replace(scenario.wanted, **changes)).files


def deployments(files):
    """Deployment → its pods, of all regions."""
    deployments = {}
    for path, text in files.items():
        if re.fullmatch(r"kubernetes/[^/]+/[^/]+\.yaml", path) and not path.endswith("kustomization.yaml"):
            objects = [document for document in yaml.safe_load_all(text) if document]
            deployments |= {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Deployment"}
    return deployments


@pytest.mark.parametrize("name", _NAMES)
def test_capacity_that_is_asked_for_is_the_planned_one(name):
    """The README has a pool for each group, with its nodes, and a command without a hole; both languages say the same."""
    readmes = [files_of(name, language)["README.md"] for language in Language]
    groups = deployments(files_of(name))
    for group in groups:
        lines = [{line for line in text.splitlines() if f"`{group}`" in line} for text in readmes]
        assert lines[0] == lines[1]
        (row,) = [line for line in lines[0] if line.startswith("|")]
        nodes, most = (cell.strip() for cell in row.split("|")[4:6])
        assert int(most) > int(re.split(r"\D+", nodes)[-1])
    commands = re.findall(r"^- \S+: (`.*)$", readmes[0], re.MULTILINE)
    assert len(commands) == len(groups)
    assert not any(re.search(r"\$\w|\\\d", command) for command in commands)
    spans = [command.partition("`; ")[0] for command in commands]
    assert not any(" # " in span for span in spans)


@pytest.mark.parametrize("name", _NAMES)
def test_pods_are_kept_to_the_nodes_that_the_command_labels(name):
    """The label that the pods select is part of the command, and so is the taint that they tolerate."""
    files = files_of(name)
    for group, spec in deployments(files).items():
        pod = spec["template"]["spec"]
        value = pod["nodeSelector"][NODE_LABEL]
        (command,) = [line for line in files["README.md"].splitlines() if line.startswith("- ") and value in line]
        (toleration,) = pod["tolerations"]
        # OKE taints nodes with GPUs by itself.
        assert toleration["key"] in command or "oci ce" in command
        assert group in value


def test_pods_select_the_type_where_the_provider_labels_it():
    """Nebius labels nodes by their platform; instances that join a cluster by hand have no such label."""
    spot = [spec["template"]["spec"]["nodeSelector"] for spec in deployments(files_of("kubernetes-spot")).values()]
    assert sorted(labels[_LABEL] for labels in spot) == ["gpu-h100-sxm", "gpu-h100-sxm", "gpu-h200-sxm"]
    (gaudi,) = deployments(files_of("kubernetes-gaudi")).values()
    assert set(gaudi["template"]["spec"]["nodeSelector"]) == {NODE_LABEL}


def test_spot_nodes_are_a_pool_of_their_own():
    """One command alone asks for nodes that may be taken back."""
    readme = files_of("kubernetes-spot")["README.md"]
    assert readme.count("--template-preemptible true") == 1
    assert "the pools have to follow their pods" in readme


def test_a_card_of_gaudi_is_a_pod():
    """Eight replicas of a card each, whose software writes its logs where the root file system lets it."""
    (spec,) = deployments(files_of("kubernetes-gaudi")).values()
    (engine,) = spec["template"]["spec"]["containers"]
    assert spec["replicas"] == 16
    assert engine["resources"]["limits"]["habana.ai/gaudi"] == 1
    assert {"name": "HABANA_LOGS", "value": "/tmp/habana_logs"} in engine["env"]
    assert "--max-model-len=512" in engine["args"]
    assert not any(argument.startswith("--data-parallel-size") for argument in engine["args"])


@pytest.mark.parametrize("language", Language)
def test_each_region_is_applied_to_its_own_cluster(language):
    """Every kustomization of the folder is applied, and nothing else."""
    files = files_of("kubernetes-spot", language)
    regions = {path.split("/")[1] for path in files if re.fullmatch(r"kubernetes/[^/]+/kustomization.yaml", path)}
    assert regions == {"eu-north1", "us-central1"}
    if language is Language.TERRAFORM:
        assert set(re.findall(r'/kubernetes/([\w-]+)"', files["compute.tf"])) == regions
    else:
        assert 'directory=f"./kubernetes/{region}"' in files["inference/compute.py"]
        assert all(f'"{region}": Region(' in files["inference/fleet.py"] for region in regions)


def test_nothing_is_said_of_buckets_and_of_what_kubectl_leaves():
    """Neither has a part in this code: weights come from the hub or a folder, and what is gone is removed."""
    files = files_of("kubernetes-gaudi")
    readme = files["kubernetes/README.md"]
    assert "bucket" not in readme
    assert "What a former run left" not in readme
    assert [path for path in files if "/weights/" in path] == ["kubernetes/weights/folder/kustomization.yaml"]


def test_other_forms_are_refused():
    """They are applied by hand, which this code does not do."""
    with pytest.raises(InputError, match="applies manifests, and none of --form kserve") as refused:
        files_of("kubernetes-mi300x", form=Form.KSERVE)
    assert refused.value.hint == "take --form manifests"


def test_hosts_of_a_cloud_are_no_target_there():
    """The message names what there is."""
    scenario = SCENARIOS["kubernetes-gaudi"]()
    with pytest.raises(InputError, match="'ec2' on ibm") as refused:
        generate(scenario.plan, Language.TERRAFORM, Wanted(target="ec2"))
    assert "kubernetes" in refused.value.hint


def test_a_module_takes_a_cluster_for_each_region_from_its_caller():
    """No provider and no kubeconfig is part of it."""
    files = files_of("kubernetes-spot", as_component=True)
    assert "providers.tf" not in files
    assert not any("kubeconfig" in text for path, text in files.items() if path.endswith(".tf") and "/" not in path)
    assert "kustomization.eu_north1 = kustomization.eu_north1" in files["examples/complete/main.tf"]


@pytest.mark.parametrize("name", _NAMES)
def test_words_that_the_user_replaces_are_explained(name):
    """Each word in capitals of a command has its meaning below the commands."""
    readme = files_of(name)["README.md"]
    (meanings,) = re.findall(r"^- In these commands (.*)$", readme, re.MULTILINE)
    commands = re.findall(r"^- \S+: (`.*)$", readme, re.MULTILINE)
    words = {word for command in commands for word in re.findall(r"\b[A-Z]{4,}\b", command)}
    assert words
    assert words == set(re.findall("`([A-Z]+)` is", meanings))


@pytest.mark.parametrize("language", list(Language))
def test_the_secret_of_gated_models_comes_after_the_apply_that_makes_its_namespace(language):
    """Both pages say so: a namespace that is there already cannot be made."""
    files = files_of("kubernetes-spot", language)
    objects = files["kubernetes/README.md"]
    assert objects.index("Apply the code beside this folder") < objects.index("create secret generic hub-token")
    assert "Gated models need the secret `hub-token`" in files["README.md"]
    assert "made after the first" in files["README.md"]


@pytest.mark.parametrize("language", list(Language))
def test_costs_that_nobody_knows_are_not_zero(language):
    """No prices are known of disks and downloads at providers of a cluster alone."""
    plan = SCENARIOS["kubernetes-spot"]().plan
    cost = dataclasses.replace(plan.fleet.cost, disks_usd_per_month=0.0, starts_usd_per_month=0.0)
    counted = dataclasses.replace(plan, fleet=dataclasses.replace(plan.fleet, cost=cost))
    rows = generate(counted, language, Wanted()).files["README.md"].splitlines()
    for part in ("Disks", "Downloads of started instances"):
        assert f"| {part} | unknown |" in rows


def test_a_pulumi_program_names_its_cluster():
    """The component of advisor takes the same settings as the whole source."""
    files = files_of("kubernetes-gaudi", Language.PYTHON, as_component=True)
    assert '"clusters": config.require_object("clusters")' in files["__main__.py"]
    assert "inference-advisor[pulumi-kubernetes]" in files["requirements.txt"]
    assert json.loads(files["plan.json"])["fleet"]["groups"][0]["provider"] == "ibm"


def test_a_region_that_goes_is_removed_before_its_provider(tmp_path):
    """Both serve until the last stage, whose page holds the command; then neither provider nor objects are left."""
    plans = [
        make_fleet_plan(h100(region, instances=(3, 3)), policy=Policy.STATIC) for region in ("eu-north1", "eu-west1")
    ]
    seen = []
    for plan, stage in ((plans[0], None), (plans[1], None), (plans[1], Stage.SHIFT), (plans[1], Stage.FINISH)):
        former = read_former(tmp_path, stage)
        write_files(generate(plan, Language.TERRAFORM, Wanted(), former=former), tmp_path)
        seen.append(set(re.findall(r'alias += "(\w+)"', (tmp_path / "providers.tf").read_text())))
        if stage is Stage.SHIFT:
            readme = (tmp_path / "README.md").read_text()
            assert "`terraform destroy -target=kustomization_resource.eu_north1_first # Pulumi" in readme
    both = {"eu_north1", "eu_west1"}
    assert seen == [{"eu_north1"}, both, both, {"eu_west1"}]
