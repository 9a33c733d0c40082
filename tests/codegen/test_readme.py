"""What a person reads before applying: the plan's own figures."""

import json
import math
import re

import pytest

from advisor.catalog.values import Purchase
from advisor.codegen import generate
from advisor.codegen.generate import Language, Wanted
from advisor.codegen.rendering import rights_of
from advisor.pipeline import plan_for
from advisor.plan.fleet.chosen import Policy
from builders import catalog_of, offer, workload
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS

EVERYWHERE = ("budgets", "cloudwatch", "ec2", "iam", "kms", "sns")
SERVICES = {
    "ec2": (*EVERYWHERE, "autoscaling", "elasticloadbalancing", "logs", "route53"),
    "eks": (*EVERYWHERE, "eks"),
    "sagemaker": (*EVERYWHERE, "logs", "sagemaker"),
}

CHECKS = ("interval", "unhealthy_threshold")
ROLES_EVERYWHERE = ("iam.serviceAccountAdmin", "iam.serviceAccountUser", "monitoring.editor", "storage.admin")
ROLES = {
    "mig": ("compute.instanceAdmin.v1", "compute.loadBalancerAdmin", "compute.securityAdmin", "dns.admin"),
    "gke": ("container.clusterAdmin", "resourcemanager.projectIamAdmin"),
    "cloud-run": ("run.admin", "secretmanager.admin"),
}


@pytest.mark.parametrize(
    "part", ["310 ms (from 210 to 450), target 1,000 ms", "calibrated", "$1,175.01", "L-DB2E81BA", "$32,061.60"]
)
def test_readme_says_what_the_plan_says(part):
    """Price, prediction with its interval, evidence and the quota to ask for stand in the README."""
    files = generate(make_plan(make_option(evidence="calibrated"))).files
    assert part in files["README.md"].replace("\\", "")


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("target", ["ec2", "eks", "sagemaker"])
def test_readme_names_the_services_of_everything_that_is_made(target, language):
    """Whoever applies needs rights on each resource, the roles to pass, and what launch templates are checked for."""
    files = generate(make_plan(make_option()), language, Wanted(rank=1, target=target, inputs=frozenset({"dns"}))).files
    pattern = r'^resource "aws_\w+"|\baws\.[a-z0-9]+\.[A-Z]\w+\('
    made = set(re.findall(pattern, "\n".join(files.values()), re.MULTILINE))
    rights = files["README.md"].partition("- Rights of whoever applies")[2].partition("\n- ")[0]
    assert "`iam:PassRole`" in rights
    assert ("`ec2:RunInstances`" in rights) == (target != "sagemaker")
    assert set(SERVICES[target]) <= set(re.findall(r"`([a-z0-9-]+)`", rights))
    assert len(made) > 5
    assert [kind for kind in made if not rights_of([kind])] == []


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("target", list(ROLES))
def test_readme_names_the_roles_for_everything_that_is_made_on_google_cloud(target, language):
    """Those on the project, and those on what is given from elsewhere."""
    option = make_option(provider="gcp", region="us-central1", instance_type="g2-standard-8")
    files = generate(make_plan(option), language, Wanted(rank=1, target=target, inputs=frozenset({"dns"}))).files
    pattern = r'^resource "(google_\w+)"|\b(gcp\.[a-z0-9]+\.[A-Z]\w+)\('
    made = {kind for pair in re.findall(pattern, "\n".join(files.values()), re.MULTILINE) for kind in pair if kind}
    rights = files["README.md"].partition("- Rights of whoever applies")[2].partition("\n\n")[0]
    roles = {f"roles/{role}" for role in (*ROLES_EVERYWHERE, *ROLES[target])}
    assert roles <= set(re.findall(r"`([a-zA-Z0-9/.]+)`", rights))
    assert "`roles/billing.costsManager` on the billing account" in rights
    assert len(made) > 5
    asked = {kind for kind in made if not kind.endswith("Args") and not re.search(r"\.get_|Provider$", kind)}
    assert [kind for kind in asked if not rights_of([f'resource "{kind}"', f"{kind}("])] == []


@pytest.mark.parametrize("policy", [Policy.STATIC, Policy.REACTIVE])
def test_readme_names_who_assigns_roles_on_azure(policy):
    """On what is given; for the right to publish metrics also on the subscription."""
    here = {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4"}
    plan = make_fleet_plan(make_group(**here, accelerator="A100-80GB-PCIe"), policy=policy)
    files = generate(plan, wanted=Wanted(inputs=frozenset({"private_dns_zone_id"}))).files
    rights = " ".join(files["README.md"].partition("- Rights of whoever applies")[2].split())
    for part in ("Contributor on the subscription", "Private DNS Zone Contributor", "secrets of the certificate"):
        assert part in rights
    assert ("publish metrics of scale sets" in rights) == (policy is Policy.REACTIVE)


@pytest.mark.parametrize("language", Language)
def test_readme_says_how_much_of_a_quota_is_needed(language):
    """The most instances that the group may have, a replacement included, times the processors of each: 4 of g6.xlarge."""
    option = make_option()
    readme = generate(make_plan(option), language).files["README.md"]
    most = option.instances + max(1, math.ceil(option.instances / 4))

    assert f"{most * 4} in us-east-1 ({most} × 4), with those that a replacement starts" in readme.replace("\\", "")


@pytest.mark.parametrize(("target", "beside"), [("eks", 4), ("eks-karpenter", 1)])
def test_quota_covers_the_nodes_that_an_update_of_their_group_starts(target, beside):
    """A managed node group starts up to two in each zone of its subnets, of which there are two or more."""
    option = make_option()
    readme = generate(make_plan(option), wanted=Wanted(target=target)).files["README.md"].replace("\\", "")
    most = option.instances + beside

    assert f"{most * 4} in us-east-1 ({most} × 4), with those that a replacement starts" in readme


def test_quota_of_an_endpoint_covers_an_update():
    """A SageMaker endpoint may be replaced, or rolled back, by as many instances beside those that run."""
    option = make_option(instance_type="g6.xlarge")
    readme = generate(make_plan(option), wanted=Wanted(target="sagemaker")).files["README.md"].replace("\\", "")

    assert (
        f"{2 * option.instances} in us-east-1 (2 × {option.instances}), with those that a replacement starts" in readme
    )


@pytest.mark.parametrize("target", ["ec2", "eks"])
def test_quota_of_spot_covers_the_largest_type_that_may_be_started(target):
    """Of 5 machines each may be the g6.4xlarge with 16 processors, though 4 are planned; on demand none is."""

    def readme(purchase: str) -> str:
        options = [make_option(purchase=purchase), make_option(rank=2, instance_type="g6.4xlarge", purchase=purchase)]
        files = generate(make_plan(*options), wanted=Wanted(target=target, rank=1)).files
        return files["README.md"].replace("\\", "")

    most = make_option().instances + (4 if target == "eks" else 1)
    told = f"{most * 16} in us-east-1 ({most} × 16 if all are g6.4xlarge), of which the planned types take {most * 4}"
    assert f"{told}, with those that a replacement starts" in readme("spot")
    assert f"{most * 4} in us-east-1 ({most} × 4), with those that a replacement starts" in readme("on_demand")


def test_plan_and_readme_ask_for_the_same_quota():
    """What the verdict says to raise a quota to is what the README of the code says."""
    plan = plan_for(workload(purchase=(Purchase.ON_DEMAND,)), catalog_of(offer("g6e.xlarge", on_demand=1.86)))
    (need,) = plan.fleet.quotas

    assert need.needed_while_replaced > need.needed
    assert f"{need.needed_while_replaced:,g} in us-east-1" in generate(plan).files["README.md"].replace("\\", "")


def test_plan_and_readme_ask_for_the_same_quota_of_spot():
    """The number of the verdict is what the planned types take of that of the README, which counts larger ones."""
    offers = catalog_of(offer("g6e.xlarge", spot=0.6), offer("g6e.2xlarge", spot=0.65))
    plan = plan_for(workload(purchase=(Purchase.SPOT,)), offers)
    (need,) = plan.fleet.quotas
    readme = generate(plan).files["README.md"].replace("\\", "")

    assert f"of which the planned types take {need.most:,g}, with those" in readme


@pytest.mark.parametrize("name", ["mixed-fleet", "eks-scheduled", "gke-scheduled", "aks-scheduled"])
def test_languages_ask_for_the_same_quotas(name):
    """Terraform and Pulumi name one number for each, with what it includes."""
    scenario = SCENARIOS[name]()
    terraform, python = (
        re.findall(
            r"`([^`]+)`\)?(?:, (?:counted )?in \w+)?: (\d.*), with those that a replacement starts",
            generate(scenario.plan, language, scenario.wanted).files["README.md"].replace("\\", ""),
        )
        for language in (Language.TERRAFORM, Language.PYTHON)
    )

    assert terraform == python
    assert len(terraform) > 1 or name == "aks-scheduled"


@pytest.mark.parametrize("language", Language)
def test_container_apps_take_no_quota_of_machines(language):
    """What they take is one of serverless GPUs, of each kind in each region."""
    scenario = SCENARIOS["container-apps-a100-scheduled"]()
    readme = generate(scenario.plan, language, scenario.wanted).files["README.md"].replace("\\", "")

    assert "Family" not in readme
    assert "(`Consumption-GPU-NC24-A100`), in GPUs: 10 in eastus (2 × 5); 6 in swedencentral (2 × 3)" in readme


@pytest.mark.parametrize("language", Language)
def test_plan_and_readme_ask_google_for_an_instance_more_in_each_zone(language):
    """A regional group is replaced with one more in each of its zones, in the plan as in the code."""
    machine = offer("g2-standard-8", provider="gcp", region="us-central1", on_demand=0.85)
    plan = plan_for(workload(providers=("gcp",), purchase=(Purchase.ON_DEMAND,)), catalog_of(machine))
    (need,), (group,) = plan.fleet.quotas, plan.fleet.groups
    readme = generate(plan, language).files["README.md"].replace("\\", "")

    assert need.needed_while_replaced == need.needed + max(len(group.zone_names), math.ceil(need.needed / 4))
    assert f"| {need.needed:g} | {need.needed_while_replaced:g} |" in readme or (
        f"{need.needed_while_replaced:g} in us-central1" in readme
    )


@pytest.mark.parametrize(
    ("name", "in_front"),
    [("ec2-embeddings", "a node in each zone"), ("eks-reranker", "chooses at random"), ("mig-speech", "")],
)
def test_readme_says_what_stands_in_front_of_whole_answers(name, in_front):
    """Where requests do not go round in turn, which Google's entrance sees to; with no figures of another workload."""
    scenario = SCENARIOS[name]()
    for language in Language:
        readme = generate(scenario.plan, language, scenario.wanted).files["README.md"]
        notes = [line for line in readme.splitlines() if "rests on one entrance" in line]
        assert len(notes) == bool(in_front)
        assert all(in_front in note and re.search(r"\d", note) is None for note in notes)


@pytest.mark.parametrize(
    ("instances", "told"), [(4, "a quarter of the instances at a time"), (1, "all new instances first")]
)
def test_the_readme_of_sagemaker_says_how_an_update_goes(instances, told):
    """One kind of several instances is replaced step by step, as its endpoint is configured; a single one at once."""
    files = generate(make_plan(make_option(instances=instances)), wanted=Wanted(target="sagemaker")).files
    assert ("rolling = true" in files["fleet.tf"]) == (instances > 1)
    assert told in files["README.md"].replace("\n", " ")


@pytest.mark.parametrize("name", ["inferentia2", "trainium1", "eks-inferentia2", "eks-karpenter-neuron"])
def test_the_readme_says_how_to_compile_once_for_all_hosts(name):
    """The folder that it copies is the one that the engine takes it from, below the prefix of the weights."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, scenario.languages[0], scenario.wanted).files
    folders = set(re.findall(r'/(models/[^"]+/neuron-\w+)"', files["README.md"]))
    taken = {folder for text in files.values() for folder in re.findall(r"cache/(models/[\w./-]+/neuron-\w+)", text)}
    assert folders
    assert folders == taken
    assert {folder.removeprefix("models") for folder in folders} == set(
        re.findall(r's3://BUCKET/PREFIX(/[^"]+/neuron-\w+)"', files["README.md"])
    )
    assert "Compile once" not in generate(make_plan(make_option())).files["README.md"]


@pytest.mark.parametrize("name", ["eks-inferentia2", "eks-karpenter-neuron"])
def test_what_pods_of_a_backend_compiled_is_copied_through_a_folder_of_its_own(name):
    """Each backend's pods compile for themselves: the commands name them, and none copies what another left there."""
    scenario = SCENARIOS[name]()
    readme = generate(scenario.plan, scenario.languages[0], scenario.wanted).files["README.md"]
    told = re.findall(r"# POD: a pod of (\S+)\nkubectl .* cp \"POD:\S+ (\S+)\naws s3 sync (\S+) ", readme)
    assert told
    assert len(told) == readme.count(' cp "POD:')
    assert all(target == source == f"compiled-{backend}" for backend, target, source in told)
    assert len({backend for backend, *_ in told}) == len(told)


def test_the_readme_of_sagemaker_says_where_compilations_come_from():
    """SageMaker copies no folder beside the weights by itself, so that the image has to bring or find it."""
    scenario = SCENARIOS["sagemaker-custom-image"]()
    readme = generate(scenario.plan, scenario.languages[0], scenario.wanted).files["README.md"]
    assert "compile the model at each start" in readme
    assert (
        "compile the model"
        not in generate(make_plan(make_option()), wanted=Wanted(target="sagemaker")).files["README.md"]
    )


def test_the_readme_says_how_long_the_share_of_a_lone_host_fails():
    """Health checks, and then a look of the state machine; nothing where a second host of the backend answers."""
    shares = {"request_shares": (0.5, 0.5)}
    other = {"instance_type": "g5.xlarge", "accelerator": "A10G", "instances": (3, 3), **shares}
    lone = generate(make_fleet_plan(make_group(instances=(1, 2), **shares), make_group(**other)))
    told = " ".join(lone.files["README.md"].partition("One host at some hours: ")[2].partition("\n\n")[0].split())
    assert told.startswith("`us-east-1-1xl4-bf16-tp1-vllm`. The plan")
    checks = [int(re.search(rf" {name} += (\d+)", lone.files["network.tf"])[1]) for name in CHECKS]
    assert f"up to {math.prod(checks)} seconds of health checks" in told
    assert ("rate(1 minute)" in lone.files["failover.tf"]) == ("60 until the state machine looks again" in told)
    both = generate(make_fleet_plan(make_group(instances=(2, 3), **shares), make_group(**other)))
    assert "One host" not in both.files["README.md"]
    assert "One host" not in generate(make_fleet_plan(make_group(instances=(1, 2)))).files["README.md"]


def test_groups_that_differ_in_how_they_are_paid_for_have_one_prediction():
    """A base on demand and the rest on spot serve alike: one row; another type has a row of its own."""
    other = make_group(instance_type="g6e.xlarge", accelerator="L40S")
    readme = generate(make_fleet_plan(make_group(), make_group(purchase="spot"), other)).files["README.md"]
    rows = re.findall(r"^\| Requests per second of one replica, (\S+) ", readme, re.MULTILINE)
    assert sorted(rows) == ["g6.xlarge", "g6e.xlarge"]


@pytest.mark.parametrize("name", ["a10g-on-demand", "mig-h100", "vm-scale-set-t4-fp16", "ibm-h100"])
def test_the_readme_copies_the_files_that_the_job_of_clusters_copies(name):
    """A repository may hold its weights three times: both leave out the same, and say which may be the weights."""
    scenario = SCENARIOS[name]()
    readme = generate(scenario.plan, wanted=scenario.wanted).files["README.md"]
    command = readme.partition("hf download ")[2].partition("--local-dir")[0]
    clusters = generate(make_plan(make_option()), wanted=Wanted(rank=1, target="eks")).files
    job = clusters["kubernetes/weights/copy/jobs.yaml"]
    lists = re.findall(r"others \+?= (\[.*\])", job)
    others, beside_safetensors = map(json.loads, lists)
    assert re.findall(r"--exclude '(.+?)'", command) == [*others, *beside_safetensors]
    (remark,) = re.findall("^# Take (.+) too where no ", readme, re.MULTILINE)
    assert re.findall("'(.+?)'", remark) == beside_safetensors


@pytest.mark.parametrize("language", Language)
def test_an_engine_does_not_wait_for_its_logs(language):
    """Docker loses lines rather than hold an engine up, at its start too, and the README says so."""
    files = generate(SCENARIOS["a10g-on-demand"]().plan, language).files
    (script,) = (text for path, text in files.items() if "user_data" in path and "awslogs" in text)
    assert "--log-opt=mode=non-blocking --log-opt=max-buffer-size=16m" in script
    assert "start and answer while CloudWatch Logs cannot be reached" in files["README.md"]


@pytest.mark.parametrize("language", Language)
def test_the_readme_of_hosts_says_which_certificates_renew_themselves(language):
    """The load balancer's is of the user: only ACM's own are renewed, and nothing watches the others."""
    readme = generate(SCENARIOS["a10g-on-demand"]().plan, language).files["README.md"]
    assert "ACM renews one that it issued by itself" in readme
    assert "no alarm here watches its `DaysToExpiry`" in readme


@pytest.mark.parametrize("language", Language)
def test_the_call_of_cloud_run_sets_its_address_first(language):
    """The key is one of the output `endpoints`, whose addresses end in the path of the API."""
    scenario = SCENARIOS["cloud-run-l4-to-zero"]()
    generated = generate(scenario.plan, language, scenario.wanted)
    readme = generated.files["README.md"]
    (key,) = re.findall(r"""^URL="\$\(.* '\.\["([^"]+)"\]\.url'\)"$""", readme, re.MULTILINE)
    (group, *_) = next(iter(generated.rollouts.values())).planned.groups
    assert key == group.key
    assert readme.index("URL=") < readme.index('"$URL/models"')
