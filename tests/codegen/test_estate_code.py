"""Code of an estate: shared machines as one deployment each, and everyone else as ever."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from advisor.codegen import Language
from advisor.codegen.estate import generate_shared, parts_of, shared_stack
from advisor.codegen.targets.managed_kubernetes import is_reserved
from advisor.errors import InputError, NotDeployable
from advisor.plan.document import plan_from_json
from advisor.plan.estate.document import estate_from_json, estate_to_json
from advisor.plan.plain_values import digest
from codegen import estates

SHARED = ("TURNS", "SLICES")


def objects(files, kind):
    """Objects of a kind in the manifests of all workloads, with the folder of each."""
    return [
        (path.split("/")[1], document)
        for path, text in files.items()
        if path.startswith("kubernetes/") and path.endswith(".yaml") and "/weights/" not in path
        for document in yaml.safe_load_all(text)
        if document and document.get("kind") == kind
    ]


def write_estate(plans, document):
    """An estate as it would have been planned: with the digest of what it says."""
    rest = {name: value for name, value in document.items() if name not in ("digest", "plans")}
    (plans / "estate.json").write_text(json.dumps(document | {"digest": digest(rest)}))


@pytest.fixture
def plans_of(tmp_path):
    """Writes the plans of an estate as `advisor recommend DIRECTORY -o PLANS` does."""

    def write(which, name=""):
        found, folder = estates.planned(which), tmp_path / "plans"
        for file, text in found.plans.items():
            path = (folder / file).with_suffix(".plan.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "estate.json").write_text(
            estate_to_json(replace(found.estate, name=name), beside=found.plans)
        )  # fmt: skip
        return folder

    return write


@pytest.mark.parametrize("name", SHARED)
def test_every_tenant_has_its_pods_on_the_same_nodes(name):
    """One node pool of as many nodes as there are copies; each workload has a replica on each, in its own namespace."""
    place = estates.place(name)
    files = generate_shared(place, Language.TERRAFORM, {}).files
    deployments = objects(files, "Deployment")
    machine = place.machine

    assert sorted(folder for folder, _ in deployments) == sorted(
        plan.workload["name"] for file, plan in place.plans.items() if file in machine.workloads
    )
    labels = {one["spec"]["template"]["spec"]["nodeSelector"]["inference/nodes"] for _, one in deployments}
    assert len(labels) == 1
    assert re.search(rf'label += "{re.escape(labels.pop())}"', files["fleet.tf"])
    assert {one["spec"]["replicas"] for _, one in deployments} == {machine.copies}
    assert all(folder == one["metadata"]["namespace"] for folder, one in deployments)
    assert len(re.findall(r"min_nodes\s+= ", files["fleet.tf"])) == 1
    assert re.search(rf"min_nodes\s+= {machine.copies}\n", files["fleet.tf"])


@pytest.mark.parametrize("name", SHARED)
def test_each_has_an_entrance_and_alarms_of_its_own(name):
    """A Service and a host name behind the one Gateway, and alerts on its own targets in its own namespace."""
    files = generate_shared(estates.place(name), Language.TERRAFORM, {}).files
    routes = objects(files, "HTTPRoute")
    hosts = [one["spec"]["hostnames"] for _, one in routes]

    assert len({host for names in hosts for host in names}) == len(routes) == len(objects(files, "Service"))
    for folder, rule in objects(files, "PrometheusRule"):
        expressions = [one["expr"] for group in rule["spec"]["groups"] for one in group["rules"]]
        assert expressions
        assert all(f'namespace="{folder}"' in expression for expression in expressions)
    told = set(re.findall(r"^    (?:ttft|latency)_([\w-]+) = \{", files["fleet.tf"], re.MULTILINE))
    assert told == {folder for folder, _ in routes}


def test_turns_share_the_memory_that_the_plan_gives_each():
    """Engines are told their part of the accelerator, which together are within what all may use; none gets a GPU whole."""
    place = estates.place("TURNS")
    files = generate_shared(place, Language.TERRAFORM, {}).files
    pods = [one["spec"]["template"]["spec"] for _, one in objects(files, "Deployment")]
    told = [
        float(word.partition("=")[2])
        for pod in pods
        for word in pod["containers"][0].get("args", ())
        if word.startswith("--gpu-memory-utilization=")
    ]

    assert len(told) == 2
    seats = place.machine.seats
    assert sum(seat.memory_gib for seat in seats) <= min(seat.usable_gib for seat in seats)
    assert sum(told) < 0.9
    assert {pod["nodeSelector"]["cloud.google.com/gke-max-shared-clients-per-gpu"] for pod in pods} == {"3"}
    assert all(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1 for pod in pods)
    assert 'gpu_sharing_strategy = "TIME_SHARING"' in files["fleet.tf"]


def test_slices_are_cut_by_the_nodes_and_copies_stay_apart():
    """Seven slices of each accelerator; no two replicas of a workload on one machine, however many slices are free."""
    place = estates.place("SLICES")
    files = generate_shared(place, Language.TERRAFORM, {}).files
    pods = [one["spec"]["template"]["spec"] for _, one in objects(files, "Deployment")]
    spread = [
        one for pod in pods for one in pod["topologySpreadConstraints"] if one["whenUnsatisfiable"] != "ScheduleAnyway"
    ]

    assert place.machine.copies == 2
    assert 'gpu_partition_size = "1g.5gb"' in files["fleet.tf"]
    assert {pod["nodeSelector"]["cloud.google.com/gke-gpu-partition-size"] for pod in pods} == {"1g.5gb"}
    assert len(spread) == len(pods) == 7
    assert {(one["topologyKey"], one["minDomains"], one["maxSkew"]) for one in spread} == {
        ("kubernetes.io/hostname", 2, 1)
    }


@pytest.mark.parametrize("name", SHARED)
def test_the_code_costs_what_the_estate_says(name):
    """The budget's total is that of the machine, which with the others makes the total of the estate."""
    found, place = estates.planned(name), estates.place(name)
    sums, machine = found.estate.totals, place.machine
    alone = sum(row.usd_per_month for row in found.estate.workloads if row.shared_machine is None)
    others = sum(row.usd_per_month for row in found.estate.workloads if row.shared_machine is not None)

    assert shared_stack(place).budget.usd_per_month == machine.usd_per_month
    saved = machine.alone_usd_per_month - machine.usd_per_month
    assert sums.total_usd_per_month == pytest.approx(alone + others - saved, abs=0.01)
    assert machine.usd_per_month < machine.alone_usd_per_month


def test_pods_ask_for_no_more_than_a_node_has():
    """Processors, memory and disk of all pods are within a node's, with room for the system."""
    for name in SHARED:
        place = estates.place(name)
        files = generate_shared(place, Language.TERRAFORM, {}).files
        asked = [
            one["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
            for _, one in objects(files, "Deployment")
        ]
        disk = int(re.search(r"disk_gib\s+= (\d+)", files["fleet.tf"])[1])
        cores = {"g2-standard-4": 4, "a2-highgpu-1g": 12}[place.machine.instance_type]

        assert sum(one["cpu"] for one in asked) <= 0.75 * cores
        assert sum(int(one["ephemeral-storage"].removesuffix("Gi")) for one in asked) <= disk - 100
        assert disk == place.machine.disk_gib


@pytest.mark.parametrize("language", ["terraform", "pulumi"])
def test_an_estate_is_generated_part_by_part(language, plans_of, run_advisor, tmp_path):
    """A folder for each workload with a fleet of its own, as of its plan file, and one for the shared machine."""
    plans, infra = plans_of("TURNS"), tmp_path / "infra"
    done = run_advisor("generate", language, plans / "estate.json", "--into", infra)

    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in infra.iterdir()) == ["shared-1", "speech"]
    alone = run_advisor("generate", language, plans / "speech.plan.json", "--into", tmp_path / "speech")
    assert alone.returncode == 0, alone.stderr
    for path in (tmp_path / "speech").rglob("*"):
        if path.is_file() and ".advisor" not in path.parts:
            assert path.read_text() == (infra / "speech" / path.relative_to(tmp_path / "speech")).read_text()


def test_a_second_run_changes_nothing_and_keeps_edits(plans_of, run_advisor, tmp_path):
    """As of a single plan: an edit stays, and is shown."""
    plans, infra = plans_of("TURNS"), tmp_path / "infra"
    first = run_advisor("generate", "terraform", plans / "estate.json", "--into", infra)
    edited = infra / "shared-1/kubernetes/chat/us-central1/route.yaml"
    edited.write_text(edited.read_text().replace("chat.inference.example.com", "chat.example.org"))
    again = run_advisor("generate", "terraform", plans / "estate.json", "--into", infra)

    assert (first.returncode, again.returncode) == (0, 0)
    assert "created" not in again.stdout
    assert "chat.example.org" in edited.read_text()


def test_conflicts_are_settled_by_the_folder_and_file(plans_of, run_advisor, tmp_path):
    """A policy for one file names it from the directory of the estate on."""
    infra = tmp_path / "infra"
    asked = ("generate", "terraform", plans_of("TURNS") / "estate.json", "--into", infra)
    run_advisor(*asked)
    (infra / "speech/variables.tf").unlink()
    changed = (*asked, "--input", "registry_secret")
    refused = run_advisor(*changed)
    assert refused.returncode == 1
    assert "variables.tf was deleted, and the new code changes it" in refused.stderr
    stray = run_advisor(*changed, "--conflicts", "mine:variables.tf")
    assert stray.returncode == 2
    assert "in the folder of no workload or machine" in stray.stderr
    done = run_advisor(*changed, "--conflicts", "mine:speech/variables.tf")
    assert done.returncode == 0, done.stderr
    assert not (infra / "speech/variables.tf").exists()


def test_inputs_are_asked_of_the_whole_estate(plans_of, run_advisor, tmp_path):
    """One that any part takes is no warning; one that no target has is refused before anything is written."""
    asked = ("generate", "terraform", plans_of("TURNS") / "estate.json", "--into", tmp_path / "infra")
    refused = run_advisor(*asked, "--input", "dsn")
    assert refused.returncode == 1
    assert "no code takes dsn" in refused.stderr
    assert not (tmp_path / "infra").exists()

    done = run_advisor(*asked, "--input", "registry_secret", "--input", "karpenter_role_names")
    assert done.returncode == 0, done.stderr
    assert 'variable "registry_secret"' in (tmp_path / "infra/speech/variables.tf").read_text()
    assert 'variable "registry_secret"' not in (tmp_path / "infra/shared-1/variables.tf").read_text()
    (told,) = re.findall(r"--input \w+: .*", done.stderr)
    assert told == "--input karpenter_role_names: the code of this estate has no use for it"


@pytest.mark.parametrize("language", Language)
def test_readme_adds_an_input_by_the_file_of_the_estate(language):
    """A shared machine has no plan file of its own, and its program is whole in any case."""
    command = {Language.TERRAFORM: "terraform", Language.PYTHON: "pulumi"}[language]
    readme = generate_shared(estates.place("TURNS"), language).files["README.md"]
    assert f"`advisor generate {command} estate.json --into DIR --input NAME`, with DIR the folder above," in readme


def test_an_estate_in_one_document_holds_its_plans(run_advisor, tmp_path):
    """What `-o all.json` writes is enough, from a file and from standard input."""
    found = estates.planned("TURNS")
    (tmp_path / "all.json").write_text(estate_to_json(found.estate, found.plans))
    done = run_advisor("generate", "terraform", tmp_path / "all.json", "--into", tmp_path / "a")
    piped = run_advisor(
        "generate", "terraform", "-", "--into", tmp_path / "b", stdin=(tmp_path / "all.json").read_text()
    )

    assert (done.returncode, piped.returncode) == (0, 0), done.stderr + piped.stderr
    assert (tmp_path / "a/shared-1/fleet.tf").read_text() == (tmp_path / "b/shared-1/fleet.tf").read_text()


def test_a_plan_of_a_seated_workload_says_so(plans_of, run_advisor, tmp_path):
    """Its plan file names the machine; generated alone it is a fleet of its own, with a warning; others say nothing."""
    plans = plans_of("TURNS")
    words = plan_from_json((plans / "chat.plan.json").read_text()).seated_on
    alone = run_advisor("generate", "terraform", plans / "chat.plan.json", "--into", tmp_path / "chat")
    explained = run_advisor("explain", plans / "chat.plan.json")

    assert words == "shared machine 1, g2-standard-4 in us-central1 (gcp), in turns with 2 others"
    assert f"warning: the estate places the workload on {words}" in alone.stderr
    assert alone.returncode == 0
    assert "the estate places the workload on shared machine 1" in " ".join(explained.stdout.split())
    assert "seated_on" not in json.loads((plans / "speech.plan.json").read_text())


def test_what_is_of_one_plan_is_refused_of_an_estate(plans_of, run_advisor, tmp_path):
    """Wrong usage, with what to do instead; nothing is written."""
    done = run_advisor(
        "generate", "terraform", plans_of("TURNS") / "estate.json", "--into", tmp_path / "x", "--option", "1"
    )

    assert done.returncode == 2
    assert "give its file in place of the estate" in " ".join(done.stderr.split())
    assert not (tmp_path / "x").exists()


def test_a_machine_that_no_code_is_for_is_refused_and_the_others_are_written(plans_of, run_advisor, tmp_path):
    """Exit 4, with the machine, why, and what to do; an estate of an earlier version is to be planned again."""
    plans = plans_of("TURNS")
    document = json.loads((plans / "estate.json").read_text())
    for place in (document["shared_machines"][0], *document["shared_machines"][0]["seats"]):
        place["provider"] = "ibm"
    write_estate(plans, document)
    done = run_advisor("generate", "terraform", plans / "estate.json", "--into", tmp_path / "infra")

    assert done.returncode == 4
    told = " ".join(done.stderr.split())
    assert "shared-1: no code is generated for several workloads on one machine of ibm" in told
    assert "`advisor generate` of the plan file of each workload gives it a fleet of its own" in told
    assert (tmp_path / "infra/speech/main.tf").exists()


def test_nodes_that_are_replaced_are_told(plans_of, run_advisor, tmp_path):
    """One workload fewer takes other turns, which other nodes hand out: what to apply first is said, once."""
    plans, infra = plans_of("TURNS"), tmp_path / "infra"
    run_advisor("generate", "terraform", plans / "estate.json", "--into", infra)
    document = json.loads((plans / "estate.json").read_text())
    (machine,) = document["shared_machines"]
    gone = next(row for row in document["workloads"] if row["file"] == "draft.yaml")
    gone["shared_machine"] = None
    machine["accelerators"] = [[file for file in machine["accelerators"][0] if file != "draft.yaml"]]
    machine["seats"] = [seat for seat in machine["seats"] if seat["workload"] != "draft.yaml"]
    write_estate(plans, document)
    runs = [run_advisor("generate", "terraform", plans / "estate.json", "--into", infra) for _ in range(2)]

    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert ["other nodes take the place of those that run" in run.stderr for run in runs] == [True, False]
    assert not (infra / "shared-1/kubernetes/draft").exists()
    assert (infra / "draft/fleet.tf").exists()


def test_another_language_is_refused_and_a_module_has_no_provider(plans_of, run_advisor, tmp_path):
    """Pulumi in place of Terraform would make everything a second time; a module leaves the provider to its caller."""
    plans, infra = plans_of("TURNS"), tmp_path / "infra"
    module = run_advisor("generate", "terraform", plans / "estate.json", "--into", infra, "--module")
    other = run_advisor("generate", "pulumi", plans / "estate.json", "--into", infra)

    assert module.returncode == 0, module.stderr
    assert not (infra / "shared-1/providers.tf").exists()
    assert (infra / "shared-1/examples/complete/main.tf").exists()
    assert other.returncode == 1
    assert "would make everything a second time" in other.stderr


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_a_folder_that_is_not_part_of_the_estate_is_named(quiet, plans_of, run_advisor, tmp_path):
    """Code of a workload that moved to a shared machine, and of one whose file is gone, is left behind."""
    plans, infra = plans_of("TURNS"), tmp_path / "infra"
    left = [infra / "chat", infra / "deleted/workload"]
    for folder in left:
        run_advisor("generate", "terraform", plans / "chat.plan.json", "--into", folder)
    done = run_advisor("generate", "terraform", plans / "estate.json", "--into", infra, *quiet)

    told = " ".join(done.stderr.split())
    assert done.returncode == 0
    assert all(f"warning: {folder} holds generated code and is not part of the estate" in told for folder in left)
    assert told.count("is not part of the estate") == len(left)


def test_workloads_on_one_base_are_one_deployment(plans_of, run_advisor, tmp_path):
    """The base's code in place of its members', from plans beside the estate and from one document."""
    plans, found = plans_of("BASE"), estates.planned("BASE")
    (tmp_path / "all.json").write_text(estate_to_json(found.estate, found.plans))
    done = run_advisor("generate", "terraform", plans / "estate.json", "--into", tmp_path / "a")
    held = run_advisor("generate", "terraform", tmp_path / "all.json", "--into", tmp_path / "b")

    assert (done.returncode, held.returncode) == (0, 0), done.stderr + held.stderr
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["base-1"]
    assert "base-1: tune0.yaml, tune1.yaml as one deployment" in done.stderr
    fleet = (tmp_path / "a/base-1/fleet.tf").read_text()
    assert fleet == (tmp_path / "b/base-1/fleet.tf").read_text()
    assert "acme/tune-0" in fleet
    assert "acme/tune-1" in fleet


@pytest.mark.parametrize("name", ["shared-1", "speech"])
def test_a_folder_that_is_a_link_is_not_followed(name, plans_of, run_advisor, tmp_path):
    """Its part is refused, whether the link leads out of the directory or to another part; the others are written."""
    plans, infra, elsewhere = plans_of("TURNS"), tmp_path / "infra", tmp_path / "elsewhere"
    infra.mkdir()
    elsewhere.mkdir()
    (infra / name).symlink_to(elsewhere)
    done = run_advisor("generate", "terraform", plans / "estate.json", "--into", infra)

    assert done.returncode == 1
    assert "this is a link, and code is written there" in " ".join(done.stderr.split())
    assert not list(elsewhere.iterdir())
    assert (infra / {"shared-1": "speech", "speech": "shared-1"}[name] / "main.tf").exists()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("file", ["../chat.yaml", "/etc/chat.yaml", "a/../../chat.yaml", ""])
def test_no_path_of_an_estate_leads_elsewhere(file, plans_of, run_advisor, tmp_path):
    """A file that is not below the directory is refused before anything is read or written by it."""
    plans = plans_of("TURNS")
    document = json.loads((plans / "estate.json").read_text())
    document["workloads"][0]["file"] = file
    write_estate(plans, document)
    done = run_advisor("generate", "terraform", plans / "estate.json", "--into", tmp_path / "infra")

    assert done.returncode == 1
    assert "is not a file below the directory of the estate" in done.stderr
    assert not (tmp_path / "infra").exists()


def test_an_estate_of_an_earlier_version_is_planned_again(plans_of, run_advisor, tmp_path):
    """One that does not say how workloads sit: its other parts are written, and what to do is said."""
    plans = plans_of("TURNS")
    document = json.loads((plans / "estate.json").read_text())
    del document["shared_machines"][0]["seats"], document["shared_machines"][0]["disk_gib"]
    write_estate(plans, document)
    done = run_advisor("generate", "terraform", plans / "estate.json", "--into", tmp_path / "infra")

    assert done.returncode == 1
    assert "shared-1: the estate does not say how workloads sit on shared-1" in " ".join(done.stderr.split())
    assert "plan the directory again" in done.stderr
    assert (tmp_path / "infra/speech/main.tf").exists()


def test_estates_that_cannot_be_generated_say_why():
    """No seats, as of an earlier version; a plan that is missing; and a provider without code."""
    place = estates.place("TURNS")
    with pytest.raises(InputError, match="does not say how workloads sit"):
        shared_stack(replace(place, machine=replace(place.machine, seats=())))
    with pytest.raises(InputError, match=r"the plan of .* is missing"):
        shared_stack(replace(place, plans={}))
    with pytest.raises(NotDeployable, match="no code is generated for several workloads on one machine of ibm"):
        shared_stack(replace(place, machine=replace(place.machine, provider="ibm")))


@pytest.mark.parametrize(
    ("estate", "name"),
    [
        ("", "shared-1"),
        ("Team A", "team-a-shared-1"),
        ("a-long-name-of-a-directory", "a-long-nam-207e-shared-1"),
    ],
)
def test_names_of_shared_machines_start_with_that_of_the_estate(estate, name):
    """Resources, alarms and node labels, so that two estates go into one organisation or cluster."""
    place = replace(estates.place("TURNS"), estate=estate)
    stack = shared_stack(place)

    assert (place.name, stack.name) == ("shared-1", name)
    assert len(stack.name) <= 24
    assert all(tenant.nodes.startswith(f"{name}-") for tenant in stack.tenants)


def named(found, **names):
    """Plans of an estate, of which some have another name, by the stem of their file."""
    plans = {file: plan_from_json(text) for file, text in found.plans.items()}
    return {
        file: replace(
            plan, workload=plan.workload | {"name": names.get(file.removesuffix(".yaml"), plan.workload["name"])}
        )
        for file, plan in plans.items()
    }


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"speech": "chat"}, r"(chat|speech)[.]yaml and (chat|speech)[.]yaml would both be deployed as chat"),
        ({"chat": "same", "draft": "Same"}, "would both be deployed as same"),
        ({"speech": "shared-1"}, "the shared machine shared-1 and speech.yaml would both be deployed as shared-1"),
        ({"speech": "e shared 1"}, "the shared machine shared-1 and speech.yaml would both be deployed as e-shared-1"),
    ],
)
def test_two_parts_of_one_name_are_refused(names, told):
    """A second deployment of a name would take over the first one's resources or namespace."""
    found = estates.planned("TURNS")

    with pytest.raises(InputError, match=told):
        parts_of(found.estate, named(found, **names), "e")


def test_the_name_of_an_estate_is_its_own_or_as_asked(plans_of, run_advisor, tmp_path):
    """The document's, unless --name says otherwise; a single plan has no such name."""
    plans = plans_of("TURNS", name="acme")
    for folder, asked in (("own", ()), ("asked", ("--name", "other"))):
        done = run_advisor("generate", "pulumi", plans / "estate.json", "--into", tmp_path / folder, *asked)
        assert done.returncode == 0, done.stderr
    alone = run_advisor("generate", "pulumi", plans / "chat.plan.json", "--into", tmp_path / "x", "--name", "other")

    assert "name: acme-shared-1-gcp" in (tmp_path / "own/shared-1/Pulumi.yaml").read_text()
    assert "name: other-shared-1-gcp" in (tmp_path / "asked/shared-1/Pulumi.yaml").read_text()
    assert alone.returncode == 2
    assert "--name is of an estate" in alone.stderr


def test_a_namespace_of_the_cluster_is_left_to_it():
    """By a workload on a shared machine as by one with a cluster to itself."""
    place = estates.place("TURNS")
    plans = named(estates.planned("TURNS"), chat="kube-system")

    files = generate_shared(replace(place, plans=plans), Language.TERRAFORM).files

    namespaces = {name for text in files.values() for name in re.findall(r"\bnamespace: \"?([\w-]+)", text)}
    assert "inference-kube-system" in namespaces
    assert "kube-system" not in namespaces


@pytest.mark.parametrize("estate", ["gke", "aks", "default"])
def test_a_server_of_an_estate_leaves_namespaces_of_the_cluster_to_it(estate):
    """A short name of an estate begins like those of the cloud's add-ons."""
    files = generate_shared(replace(estates.place("MODELS"), estate=estate), Language.TERRAFORM).files

    namespaces = {name for text in files.values() for name in re.findall(r"\bnamespace: \"?([\w-]+)", text)}
    own = namespaces - {"gateways"}
    assert own
    assert not [name for name in own if is_reserved(name)]
    assert all(name in files["README.md"] for name in own)


def test_other_nodes_of_aks_keep_their_whole_gpus():
    """The configuration of turns is not the only one, which NVIDIA's chart would apply to every node."""
    text = generate_shared(estates.place("AZURE_TURNS"), Language.TERRAFORM).files["README.md"]

    assert "`default`, `{version: v1, flags: {migStrategy: none}}`, with `config.default: default`" in text


def test_an_estate_that_was_edited_is_refused_unless_forced(plans_of, run_advisor, tmp_path):
    """In the words of plans; without a digest likewise. Its plans have digests of their own."""
    plans = plans_of("TURNS")
    document = json.loads((plans / "estate.json").read_text())
    row = next(row for row in document["workloads"] if row["shared_machine"] is None)
    row["usd_per_month"] += 1
    runs = {}
    for edit in (document, {name: value for name, value in document.items() if name != "digest"}):
        (plans / "estate.json").write_text(json.dumps(edit))
        run = run_advisor("generate", "terraform", plans / "estate.json", "--into", tmp_path / "infra")
        runs[run.returncode, "the estate was edited" in run.stderr, "the estate carries no digest" in run.stderr] = run
    assert set(runs) == {(1, True, False), (1, False, True)}
    assert not (tmp_path / "infra").exists()
    assert all(
        "make the estate again with `advisor recommend`" in " ".join(run.stderr.split()) for run in runs.values()
    )

    forced = run_advisor("generate", "terraform", plans / "estate.json", "--into", tmp_path / "infra", "--force")
    assert forced.returncode == 0, forced.stderr
    assert "warning" in forced.stderr
    assert "the estate carries no digest" in forced.stderr


def test_a_plan_of_another_run_is_refused(plans_of, run_advisor, tmp_path):
    """It may not fit what the estate says of shared machines; an estate that does not name its plans is taken."""
    plans = plans_of("TURNS")
    other = json.loads((plans / "speech.plan.json").read_text())
    other["notes"].append("another run")
    other["digest"] = digest({name: value for name, value in other.items() if name != "digest"})
    (plans / "speech.plan.json").write_text(json.dumps(other))

    done = run_advisor("generate", "terraform", plans / "estate.json", "--into", tmp_path / "infra")

    assert done.returncode == 1
    assert "speech.yaml: the plan beside it is of another run than the estate" in done.stderr
    assert "advisor recommend DIRECTORY -o PLANS" in done.stderr
    assert not (tmp_path / "infra").exists()

    (plans / "estate.json").write_text(estate_to_json(estates.planned("TURNS").estate))
    done = run_advisor("generate", "terraform", plans / "estate.json", "--into", tmp_path / "infra")
    assert "of another run" not in done.stderr


EDITS = {
    "no accelerators": ("accelerators", []),
    "an empty accelerator": ("accelerators", [[]]),
    "one workload many times": ("accelerators", [["chat.yaml"] * 99]),
    "others on accelerators": ("accelerators", [["chat.yaml", "draft.yaml"]]),
    "more accelerators": ("accelerators", [["chat.yaml", "draft.yaml"], ["rerank/workload.yaml"]]),
    "negative copies": ("copies", -3),
    "very many copies": ("copies", 10**9),
    "copies as text": ("copies", "2"),
    "another type": ("instance_type", "g2-standard-8"),
    "another slice": ("slice", "mig-1g.5gb"),
    "no seats": ("seats.0.replicas_per_instance", 0),
    "negative context": ("seats.0.context_tokens", -5),
    "too much memory": ("seats.0.memory_utilization", 5),
    "several accelerators": ("seats.0.tensor_parallel", 8),
    "another workload": ("seats.0.workload", "speech.yaml"),
}


@pytest.mark.parametrize("edit", list(EDITS))
def test_an_estate_outside_of_its_ranges_is_refused(edit):
    """Whoever forces an edit gets no internal error, and no code of what cannot be."""
    path, value = EDITS[edit]
    document = json.loads(estate_to_json(estates.planned("TURNS").estate))
    place = document["shared_machines"][0]
    *steps, last = path.split(".")
    for step in steps:
        place = place[int(step)] if step.isdecimal() else place[step]
    place[last] = value

    with pytest.raises(InputError, match="shared_machines") as refused:
        estate_from_json(json.dumps(document))
    assert refused.value.hint


def test_a_row_and_its_seat_agree():
    """A workload that would be deployed twice, or nowhere, is refused."""
    document = json.loads(estate_to_json(estates.planned("TURNS").estate))
    row = next(row for row in document["workloads"] if row["shared_machine"] is not None)
    row["shared_machine"] = None

    with pytest.raises(InputError, match="other workloads than those whose rows say that they are on it"):
        estate_from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("plan", "../base-1.yaml", "is not a file below the directory of the estate"),
        ("workloads", ["tune0.yaml", "other.yaml"], "joined: workloads that are not there"),
    ],
)
def test_a_joined_base_fits_its_estate(key, value, told):
    """Its plan is below the directory, and its workloads are the estate's."""
    document = json.loads(estate_to_json(estates.planned("BASE").estate))
    document["joined"][0][key] = value

    with pytest.raises(InputError, match=told):
        estate_from_json(json.dumps(document))


def with_caches(place, engines=("vLLM",)):
    """The place with a planned KV cache of 2.5 GiB for each seat of an engine."""
    seats = tuple(replace(seat, kv_cache_gib=2.5) if seat.engine in engines else seat for seat in place.machine.seats)
    return replace(place, machine=replace(place.machine, seats=seats))


@pytest.mark.parametrize("version", ["0.19.1", "0.30.0", "0.33.0"])
def test_vllm_in_turns_has_the_cache_that_its_seat_is_planned_with(version):
    """In bytes, beside the share that has to be free; the README says why. Every release that is taken has the option."""
    place = with_caches(estates.place("TURNS"))
    seats = tuple(
        replace(seat, engine_version=version) if seat.engine == "vLLM" else seat for seat in place.machine.seats
    )
    files = generate_shared(replace(place, machine=replace(place.machine, seats=seats)), Language.TERRAFORM).files
    words = [
        one["spec"]["template"]["spec"]["containers"][0].get("args", ()) for _, one in objects(files, "Deployment")
    ]
    fixed = [args for args in words if f"--kv-cache-memory-bytes={int(2.5 * 2**30)}" in args]
    options = (Path(__file__).parent / f"data/engine_options/vllm-{version}.txt").read_text().split()

    assert len(fixed) == 2
    assert all(any(word.startswith("--gpu-memory-utilization=") for word in args) for args in fixed)
    assert "--kv-cache-memory-bytes" in options
    assert "vLLM issues 55827 and 56830" in " ".join(files["README.md"].split())


@pytest.mark.parametrize("name", ["AWS_MPS", "AZURE_MPS"])
def test_pods_by_mps_need_nothing_of_the_host(name):
    """The device plugin mounts what clients of MPS meet in: no volume of theirs hides it, no namespace is the host's.

    The server serves one user, so all pods of an accelerator run as the same one.
    """
    place = estates.place(name)
    files = generate_shared(place, Language.TERRAFORM, {}).files
    pods = [one["spec"]["template"]["spec"] for _, one in objects(files, "Deployment")]
    (namespaces,) = {
        one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for _, one in objects(files, "Namespace")
    }

    assert namespaces == "restricted"
    assert len(pods) == len(place.machine.seats) > 1
    assert {pod["securityContext"]["runAsUser"] for pod in pods} == {2000}
    for pod in pods:
        assert not {"hostIPC", "hostPID", "hostNetwork"} & set(pod)
        assert not any(mount["mountPath"] == "/dev/shm" for mount in pod["containers"][0]["volumeMounts"])
        assert "shared-memory" not in [volume["name"] for volume in pod["volumes"]]
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_code_for_parts_by_mps_says_what_the_plan_says():
    """The same number of parts in nodes and README, with the limits of each, its cache in bytes, and what a fault ends."""
    place = estates.place("AWS_MPS")
    files = generate_shared(place, Language.TERRAFORM, {}).files
    readme = " ".join(files["README.md"].split())
    chats = [one["spec"]["template"]["spec"] for folder, one in objects(files, "Deployment") if "chat" in folder]
    seat = place.machine.seats[0]

    assert 'device-sharing-strategy = \\"mps\\"' in files["fleet.tf"]
    assert '"replicas = 3"' in files["fleet.tf"]
    assert "BOTTLEROCKET_x86_64_NVIDIA" in files["fleet.tf"]
    assert "3 equal parts by MPS of each L4" in readme
    assert f"33 % of the threads and {seat.usable_gib:.1f} GiB of an accelerator" in readme
    assert "A fatal GPU fault of one ends all that share the accelerator" in readme
    assert "1.61 or newer" in readme
    cache = f"--kv-cache-memory-bytes={int(seat.kv_cache_gib * 2**30)}"
    assert all(cache in pod["containers"][0]["args"] for pod in chats)


def test_aks_is_told_how_its_device_plugin_divides():
    """The node pool names the plugin's configuration and starts its MPS daemon; the README has the configuration."""
    files = generate_shared(estates.place("AZURE_MPS"), Language.TERRAFORM, {}).files

    assert re.search(r'"nvidia.com/device-plugin.config" = "mps-2"', files["fleet.tf"])
    assert re.search(r'"nvidia.com/mps.capable"\s+= "true"', files["fleet.tf"])
    assert "{version: v1, sharing: {mps: {resources: [{name: nvidia.com/gpu, replicas: 2}]}}}" in files["README.md"]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("seats.0.way", "turns", "some by MPS, others in turns"),
        ("seats.0.memory_gib", 11.0, "more memory than the part of one by MPS"),
        ("servers", [["chat0.yaml", "chat1.yaml"]], "on slices or on parts by MPS"),
        ("seats.0.way", "queue", "shared_machines"),
    ],
)
def test_parts_by_mps_fit_their_machine(path, value, told):
    """An estate whose seats cannot share an accelerator as they say is refused."""
    document = json.loads(estate_to_json(estates.planned("AWS_MPS").estate))
    machine = document["shared_machines"][0]
    if path == "servers":
        machine["servers"] = value
    else:
        machine["seats"][0][path.rpartition(".")[2]] = value

    with pytest.raises(InputError, match=told):
        estate_from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("name", "told"),
    [("TURNS", "start these one after another"), ("AWS_MPS", "see that these start within their part")],
)
def test_an_engine_without_a_fixed_cache_is_said(name, told):
    """Whoever takes a share of what is free starts after the others; on a part by MPS it may not be of the part."""
    place = with_caches(estates.place(name))
    seats = tuple(
        replace(seat, engine_version="0.12.0") if seat.engine == "vLLM" else seat for seat in place.machine.seats
    )
    text = generate_shared(replace(place, machine=replace(place.machine, seats=seats)), Language.TERRAFORM).files[
        "README.md"
    ]

    assert told in " ".join(text.split())
    assert "--kv-cache-memory-bytes" not in text


def test_a_slice_keeps_its_memory_to_itself():
    """Nothing is fixed where nobody else takes of it."""
    files = generate_shared(estates.place("SLICES"), Language.TERRAFORM).files

    assert not any("--kv-cache-memory-bytes" in text for text in files.values())


def test_an_estate_beyond_a_shared_limit_is_refused_unless_asked_for(plans_of, run_advisor, tmp_path):
    """Exit 4 with the limit and what would do, as of a single plan that is refused."""
    plans = plans_of("TURNS")
    document = json.loads((plans / "estate.json").read_text())
    use = {"constraint": "max_usd_per_month", "detail": "", "limit": 2000.0, "unit": "USD/month", "used": 2156.78}
    write_estate(plans, document | {"conflict": [use]})
    asked = ("generate", "terraform", plans / "estate.json", "--into", tmp_path / "infra")
    done = run_advisor(*asked)

    assert done.returncode == 4
    assert "max_usd_per_month: 2,000 USD/month are too few, 2,156.78 would do" in done.stderr
    assert not (tmp_path / "infra").exists()

    done = run_advisor(*asked, "--unconfirmed")
    assert done.returncode == 0, done.stderr
    assert "max_usd_per_month: 2,000 USD/month are too few, 2,156.78 would do" in done.stderr
    assert (tmp_path / "infra/speech/main.tf").exists()
