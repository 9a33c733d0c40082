"""Plans that leave groups out: what runs goes on beside what replaces it, stage by stage."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.cli.app import main
from advisor.codegen import Language, Stage, Wanted, WriteOptions, generate, read_former, write_files
from advisor.codegen.container import Form
from advisor.codegen.cut_over import left_out, rollout_of
from advisor.codegen.hcl import literal, read_hcl
from advisor.codegen.kept import growing, joint
from advisor.codegen.rollout import Former, Rollout
from advisor.codegen.selection import of_fleet
from advisor.codegen.stack import stacks_of
from advisor.codegen.writing.record import read_rollouts
from advisor.errors import AdvisorError, InputError
from advisor.plan.document import plan_to_json
from advisor.plan.fleet.chosen import Policy
from advisor.plan.plain_values import from_plain, to_plain
from advisor.records import replace
from codegen.check import findings
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS
from codegen.test_turns import turns
from iac.modules import of_today

NEAR, FAR = "us-east-1-g6-xlarge-bf16-tp1-on-demand", "eu-west-1-g6-xlarge-bf16-tp1-on-demand"
A100 = "A100-80GB-PCIe"
A10G = {"instance_type": "g5.xlarge", "accelerator": "A10G"}
L40S = {"instance_type": "g6e.xlarge", "accelerator": "L40S"}


def plan_of(*groups, policy=Policy.STATIC, **changes):
    """A plan whose groups have three instances each; a group is what differs from a g6.xlarge in us-east-1."""
    share = round(1 / len(groups), 3)
    facts = [{"instances": (3, 3), "request_shares": (share, share)} | group for group in groups]
    return make_fleet_plan(*(make_group(**fact) for fact in facts), policy=policy, **changes)


def run(directory, plan, stage=None, *, force=False, language=Language.TERRAFORM, **wanted):
    """What ``advisor generate`` does."""
    former = read_former(directory, stage, force=force)
    generated = generate(plan, language, Wanted(**wanted), former=former)
    return generated, write_files(generated, directory, WriteOptions(force=force))


def fleet(directory):
    """The maps of fleet.tf."""
    document = read_hcl((directory / "fleet.tf").read_text(), "fleet.tf")
    (block,) = document.body.of("locals")
    return {name: literal(attribute.value.node) for name, attribute in block.attributes.items()}


def weights(directory, part="regions"):
    """Key → weight."""
    return {key: entry["weight"] for key, entry in fleet(directory)[part].items()}


def bytes_of(directory):
    """Every file with its content and the time it was written at."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


def test_another_region_is_cut_over_in_stages(tmp_path):
    """Both run; the requests stay, go over, come back, go over again; then the former region is left out."""
    run(tmp_path, plan_of({}))
    moved = plan_of({"region": "eu-west-1"})
    seen = []
    for stage in (None, Stage.SHIFT, Stage.PREPARE, Stage.SHIFT, Stage.FINISH):
        run(tmp_path, moved, stage)
        seen.append(weights(tmp_path))
    near, far = {"us-east-1": 1000, "eu-west-1": 0}, {"us-east-1": 0, "eu-west-1": 1000}
    assert seen == [near, far, near, far, {"eu-west-1": 1000}]
    assert set(fleet(tmp_path)["groups"]) == {FAR}
    assert not (tmp_path / "moved.tf").exists()


@pytest.mark.parametrize("stage", [Stage.PREPARE, Stage.SHIFT])
def test_the_same_plan_stays_in_its_stage(stage, tmp_path):
    """A second run touches no file."""
    run(tmp_path, plan_of({}))
    for reached in (None, stage):
        run(tmp_path, plan_of({"region": "eu-west-1"}), reached)
    before = bytes_of(tmp_path)
    run(tmp_path, plan_of({"region": "eu-west-1"}))
    assert bytes_of(tmp_path) == before


def test_new_numbers_of_the_same_groups_stay_in_the_stage(tmp_path):
    """More instances are no other cut-over."""
    run(tmp_path, plan_of({}))
    run(tmp_path, plan_of({"region": "eu-west-1"}))
    run(tmp_path, plan_of({"region": "eu-west-1"}), Stage.SHIFT)
    run(tmp_path, plan_of({"region": "eu-west-1", "instances": (5, 5)}))
    assert weights(tmp_path) == {"us-east-1": 0, "eu-west-1": 1000}
    assert {key: group["instances"] for key, group in fleet(tmp_path)["groups"].items()} == {NEAR: 3, FAR: 5}


def test_finish_waits_for_the_shift(tmp_path):
    """Refused while requests go to what retires, unless it is forced."""
    run(tmp_path, plan_of({}))
    moved = plan_of({"region": "eu-west-1"})
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"3 × g6.xlarge in us-east-1: requests still go there.*prepare"
        ) as refused:
            run(tmp_path, moved, Stage.FINISH)
        assert "--cut-over shift" in refused.value.hint
        run(tmp_path, moved)
    generated, _ = run(tmp_path, moved, Stage.FINISH, force=True)
    assert weights(tmp_path) == {"eu-west-1": 1000}
    assert generated.notes == ("cut-over finished: the next apply removes 3 × g6.xlarge in us-east-1",)


def test_shift_waits_for_what_is_new(tmp_path):
    """Requests go nowhere before it is there, unless that is forced; nothing is written."""
    run(tmp_path, plan_of({}))
    before = bytes_of(tmp_path)
    with pytest.raises(InputError, match=r"3 × g6\.xlarge in eu-west-1: nothing is there yet"):
        run(tmp_path, plan_of({"region": "eu-west-1"}), Stage.SHIFT)
    assert bytes_of(tmp_path) == before
    run(tmp_path, plan_of({"region": "eu-west-1"}), Stage.SHIFT, force=True)
    assert weights(tmp_path) == {"us-east-1": 0, "eu-west-1": 1000}


def test_the_former_plan_again_may_be_finished_at_once(tmp_path):
    """The way back before any request went over."""
    run(tmp_path, plan_of({}))
    first = (tmp_path / "fleet.tf").read_bytes()
    run(tmp_path, plan_of({"region": "eu-west-1"}))
    run(tmp_path, plan_of({}), Stage.FINISH)
    assert (tmp_path / "fleet.tf").read_bytes() == first


def test_where_nothing_retires_nothing_differs(tmp_path):
    """The code is that of an empty directory, and a stage that is asked for is only answered."""
    run(tmp_path, plan_of({}), target="sagemaker")
    grown = plan_of({}, A10G)
    generated, _ = run(tmp_path, grown, Stage.SHIFT, target="sagemaker")
    assert generated.files == generate(grown, wanted=Wanted(target="sagemaker")).files
    assert generated.notes == ("nothing retires: --cut-over shift changes nothing",)


@pytest.mark.parametrize("stage", [Stage.SHIFT, Stage.FINISH])
def test_a_kind_that_is_added_behind_a_load_balancer_of_ec2_waits_for_its_requests(stage, tmp_path):
    """The entrance does not ask whether it answers: first it gets none, then its share while what served keeps its size, and is then as if made at once."""
    run(tmp_path, plan_of({"instances": (6, 6)}))
    grown = plan_of({}, A10G)
    with pytest.raises(InputError, match=r"3 × g5\.xlarge in us-east-1: nothing is there yet") as refused:
        run(tmp_path, grown, stage)
    assert refused.value.where == f"--cut-over {stage}"
    for _ in range(2):
        generated, _ = run(tmp_path, grown)
        assert sorted(weights(tmp_path, "backends").values()) == [0, 1000]
        assert fleet(tmp_path)["groups"][NEAR]["instances"] == 6
        assert "what the plan adds gets no requests before it serves" in generated.notes[0]
        assert "Stage `prepare`: what the plan adds" in (tmp_path / "README.md").read_text()
    if stage is Stage.SHIFT:
        generated, _ = run(tmp_path, grown, stage)
        assert fleet(tmp_path)["groups"][NEAR]["instances"] == 6
        assert 0 not in weights(tmp_path, "backends").values()
        assert "what served before still runs at its full size" in generated.notes[-1]
    generated, _ = run(tmp_path, grown, Stage.FINISH)
    assert generated.files == generate(grown).files
    assert generated.notes == ("cut-over finished: the next apply brings all to the planned sizes and shares",)


def test_a_kind_that_is_added_may_be_left_out_again(tmp_path):
    """Nothing was sent there: the former plan is finished at once."""
    run(tmp_path, plan_of({}))
    first = (tmp_path / "fleet.tf").read_bytes()
    run(tmp_path, plan_of({}, A10G))
    run(tmp_path, plan_of({}), Stage.FINISH)
    assert (tmp_path / "fleet.tf").read_bytes() == first


def test_quotas_of_both_are_named_with_their_numbers(tmp_path):
    """Old and new run at once: what an account has to allow is their sum, in the README and in what the run says."""
    run(tmp_path, plan_of({}))
    generated, _ = run(tmp_path, plan_of({}, A10G))
    (quota,) = [note for note in generated.notes if note.startswith("  quota: ")]
    assert re.search(r"vCPUs, replacements included: 32 in us-east-1 \(4 g5.xlarge × 4 \+ 4 g6.xlarge × 4\)$", quota)
    section = (tmp_path / "README.md").read_text().partition("## Cut-over")[2].partition("\n## ")[0]
    assert "32 in us-east-1" in section.replace("\\", "")


def test_what_only_retires_waits_for_no_new_ones(tmp_path):
    """The words name what is looked at: those that stay."""
    google = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}
    run(tmp_path, plan_of(google, {**google, "region": "us-east1"}), target="mig")
    generated, _ = run(tmp_path, plan_of(google), target="mig")
    assert any("see that those that stay serve" in note for note in generated.notes)
    assert not any("new ones" in note for note in generated.notes)


AZURE = {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4", "accelerator": A100}
GOOGLE = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}


@pytest.mark.parametrize(("target", "here"), [("vm-scale-set", AZURE), ("gke", GOOGLE)])
def test_members_of_one_backend_are_not_shifted(target, here, tmp_path):
    """Another way of paying: both get requests as long as they answer, which is said, and the next stage is the last; the way back works."""
    spot = {**here, "purchase": "spot"}
    run(tmp_path, plan_of(here), target=target)
    with pytest.raises(InputError, match="nothing is there yet"):
        run(tmp_path, plan_of(spot), Stage.FINISH, target=target)
    generated, _ = run(tmp_path, plan_of(spot), target=target)
    assert [group.weight for group in joint(generated.rollouts[""]).groups] == [500, 500]
    notes = "\n".join(generated.notes)
    assert notes.count("50 % of the requests when all answer: one backend with") == 2
    assert "share its requests evenly from when they answer" in notes
    assert "see that the new ones serve, then generate again with --cut-over finish" in notes
    section = (tmp_path / "README.md").read_text().partition("## Cut-over")[2].partition("\n## ")[0]
    assert "Requests: instances of one backend share its requests evenly" in section
    assert "what is new leaves its backend" in section
    former, _ = run(tmp_path, plan_of(here), Stage.FINISH, target=target)
    assert [group.is_spot for group in joint(former.rollouts[""]).groups] == [False]
    run(tmp_path, plan_of(spot), target=target)
    run(tmp_path, plan_of(spot), Stage.FINISH, target=target)
    assert weights(tmp_path) == {here["region"]: 1000}


def test_members_leave_once_those_that_stay_are_large_enough(tmp_path):
    """A group that has to grow first does so in a stage of its own; what is large enough already is let alone at once."""
    spot = {"purchase": "spot"}
    run(tmp_path, plan_of({}, spot))
    with pytest.raises(InputError, match="requests still go there"):
        run(tmp_path, plan_of({"instances": (6, 6)}), Stage.FINISH)
    generated, _ = run(tmp_path, plan_of({"instances": (6, 6)}))
    assert any("67 % of the requests" in note or "33.3 % of the requests" in note for note in generated.notes)
    run(tmp_path, plan_of({"instances": (6, 6)}), Stage.FINISH)
    assert {key: group["instances"] for key, group in fleet(tmp_path)["groups"].items()} == {NEAR: 6}


def test_groups_with_shares_of_their_own_are_shifted_though_they_serve_alike(tmp_path):
    """On managed instance groups each group has a share: the new one gets none before the shift, the former one none after."""
    run(tmp_path, plan_of(GOOGLE), target="mig")
    seen = []
    for stage in (None, Stage.SHIFT):
        run(tmp_path, plan_of({**GOOGLE, "purchase": "spot"}), stage, target="mig")
        groups = fleet(tmp_path)["groups"].values()
        seen.append({group["provisioning_model"]: group["capacity"] for group in groups})
    assert seen == [{"STANDARD": 1, "SPOT": 0}, {"STANDARD": 0, "SPOT": 1}]


@pytest.mark.parametrize(("target", "here"), [("mig", GOOGLE), ("ec2", {})])
def test_what_gets_nothing_even_as_the_last_that_answers_is_told_with_the_way_to_let_it(target, here, tmp_path):
    """Google's regional load balancers know no fallback; elsewhere what has no share takes over, or a command does."""
    run(tmp_path, plan_of(here), target=target)
    moved = {**here, "instance_type": "g4-standard-48", "accelerator": "RTX-PRO-6000"} if here else {"engine": "SGLang"}
    generated, _ = run(tmp_path, plan_of(moved), target=target)
    command = "gcloud compute backend-services update-backend support-chat-us-central1 --region us-central1"
    told = [note for note in generated.notes if command in note]
    assert len(told) == (1 if target == "mig" else 0)
    assert (command in generated.files["README.md"].replace("\\", "")) == bool(told)


@pytest.mark.parametrize(("target", "here"), [("ec2", {}), ("mig", GOOGLE), ("gke", GOOGLE)])
def test_what_serves_keeps_its_size_until_what_takes_over_answers(target, here, tmp_path):
    """On demand → on demand and spot of one type: nothing shrinks in the apply that makes the spot hosts, which is said."""
    run(tmp_path, plan_of({**here, "instances": (7, 7)}), target=target)
    (kept,) = fleet(tmp_path)["groups"]
    size = "min_nodes" if target == "gke" else "instances"
    mixed = plan_of(here, {**here, "purchase": "spot", "instances": (6, 6)})
    before = fleet(tmp_path)["groups"][kept][size]
    generated, _ = run(tmp_path, mixed, target=target)
    assert len(fleet(tmp_path)["groups"]) == 2
    assert fleet(tmp_path)["groups"][kept][size] == before
    words = "what the plan adds gets no requests" if target == "mig" else "what served before keeps its size"
    assert words in generated.notes[0]
    assert any("see that the new ones serve" in note for note in generated.notes)
    run(tmp_path, mixed, Stage.FINISH, target=target)
    assert fleet(tmp_path)["groups"][kept][size] < before


@pytest.mark.parametrize("added", [{"region": "eu-west-1"}, {"purchase": "spot"}])
def test_what_has_an_entrance_or_a_backend_already_does_not_wait(added, tmp_path):
    """A region of its own has its own load balancer; a group of the same backend shares its target group."""
    run(tmp_path, plan_of({}))
    grown = plan_of({}, added)
    generated, _ = run(tmp_path, grown)
    assert generated.files == generate(grown).files


def test_a_variant_without_requests_is_no_target_of_autoscaling(tmp_path):
    """SageMaker: neither what comes nor, once the requests went over, what goes; both keep their size."""
    run(tmp_path, plan_of({"instances": (2, 6)}, policy=Policy.REACTIVE), target="sagemaker")
    moved = plan_of({"region": "eu-west-1", "instances": (2, 6)}, policy=Policy.REACTIVE)
    for stage in (None, Stage.SHIFT):
        run(tmp_path, moved, stage, target="sagemaker")
        groups = fleet(tmp_path)["groups"]
        serving, other = (NEAR, FAR) if stage is None else (FAR, NEAR)
        assert groups[serving]["requests_per_minute"] > groups[other]["requests_per_minute"] == 0
        assert groups[serving]["initial_instances"] == groups[serving]["max_instances"] > 6
        assert groups[other]["initial_instances"] == groups[other]["min_instances"] == 6


def test_another_type_in_the_same_place_is_no_cut_over_where_it_is_changed_in_place(tmp_path):
    """EC2 refreshes the instances of the group; on clusters pods are kept to nodes of their key, and a new pool is another."""
    run(tmp_path / "ec2", plan_of({}))
    run(tmp_path / "ec2", plan_of(A10G))
    assert len(fleet(tmp_path / "ec2")["groups"]) == 1
    assert "moved {" in (tmp_path / "ec2/moved.tf").read_text()
    google = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}
    azure = {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4", "accelerator": A100}
    for target, before, after in (
        ("eks", {}, A10G),
        ("gke", google, {**google, "instance_type": "g2-standard-8"}),
        ("mig", google, {**google, "instance_type": "g2-standard-8"}),
        ("vm-scale-set", azure, {**azure, "instance_type": "Standard_NC48ads_A100_v4"}),
    ):
        run(tmp_path / target, plan_of(before), target=target)
        run(tmp_path / target, plan_of(after), target=target)
        assert len(fleet(tmp_path / target)["groups"]) == 2
        assert not (tmp_path / target / "moved.tf").exists()


@pytest.mark.parametrize("target", ["ec2", "eks", "sagemaker"])
def test_a_faster_engine_on_fewer_machines_keeps_their_number_until_it_runs_on_all(target, tmp_path):
    """While they are replaced one by one, the others carry what they did; SageMaker replaces all of them beside."""
    run(tmp_path, plan_of({"instances": (6, 6)}), target=target)
    faster = plan_of({"instances": (4, 4), "engine_version": "0.33.0", "planned_requests_per_second_per_instance": 2.0})
    sizes, said = [], []
    if target != "sagemaker":
        with pytest.raises(InputError, match=r"4 × g6.xlarge in us-east-1: no instance runs as planned yet"):
            run(tmp_path, faster, Stage.FINISH, target=target)
    for stage in (None, None, Stage.FINISH):
        generated, _ = run(tmp_path, faster, stage, target=target)
        (group,) = fleet(tmp_path)["groups"].values()
        sizes.append(group["instances"])
        said += [note for note in generated.notes if "next:" in note or "runs as planned" in note]
    assert sizes == ([4, 4, 4] if target == "sagemaker" else [6, 6, 4])
    assert len(said) == (0 if target == "sagemaker" else 4)


def test_a_better_prediction_for_the_same_container_is_no_cut_over(tmp_path):
    """Nothing is replaced: fewer machines at once."""
    run(tmp_path, plan_of({"instances": (6, 6)}))
    run(tmp_path, plan_of({"instances": (4, 4), "planned_requests_per_second_per_instance": 2.0}))
    (group,) = fleet(tmp_path)["groups"].values()
    assert group["instances"] == 4


def test_another_type_comes_beside_the_former_in_a_program(tmp_path):
    """Pulumi knows a group by its key: another one would be made, and the former deleted before it serves."""
    python = {"language": Language.PYTHON, "target": "ec2"}
    run(tmp_path, plan_of({}), **python)
    for stage, retiring in ((None, 1), (Stage.SHIFT, 1), (Stage.FINISH, 0)):
        generated, _ = run(tmp_path, plan_of(A10G), stage, **python)
        assert len(generated.rollouts[""].retiring) == retiring
    run(tmp_path / "sagemaker", plan_of({}), language=Language.PYTHON, target="sagemaker")
    generated, _ = run(tmp_path / "sagemaker", plan_of(A10G), language=Language.PYTHON, target="sagemaker")
    assert generated.rollouts[""].stage is None


PLAIN = {"engine": "SGLang", "engine_version": "0.5.9"}
WITH_TLS = {"engine": "SGLang", "engine_version": "0.5.12"}


@pytest.mark.parametrize("language", [Language.TERRAFORM, Language.PYTHON])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, PLAIN),
        (PLAIN, {}),
        (PLAIN, WITH_TLS),
        ({}, {"engine": "TensorRT-LLM", "engine_version": "1.2"}),
        (PLAIN, A10G),
    ],
)
def test_what_a_load_balancer_asks_otherwise_comes_beside_the_former(before, after, language, tmp_path):
    """A target group has one protocol: in another one, hosts that still serve as before fail the check and are terminated."""
    here = {"language": language, "target": "ec2"}
    run(tmp_path, plan_of(before), **here)
    shares = []
    for stage in (None, Stage.SHIFT, Stage.PREPARE, None, Stage.SHIFT, Stage.FINISH):
        generated, _ = run(tmp_path, plan_of(after), stage, **here)
        runs = joint(generated.rollouts[""])
        shares.append([backend.weight for backend in sorted(runs.backends, key=lambda backend: backend.probe)])
        assert {group.backend for group in runs.groups} == {backend.key for backend in runs.backends}
        assert not (tmp_path / "moved.tf").exists()
    secure, plain = [0, 1000], [1000, 0]  # by probe: first what speaks plain HTTP
    prepared, shifted = (plain, secure) if before == PLAIN else (secure, plain)
    assert shares == [prepared, shifted, prepared, prepared, shifted, [1000]]
    kept = bytes_of(tmp_path)
    run(tmp_path, plan_of(after), **here)
    assert bytes_of(tmp_path) == kept
    generated, _ = run(tmp_path, plan_of(before), **here)
    assert len(generated.rollouts[""].retiring) == 1


def test_a_program_keeps_its_target_group_with_another_engine(tmp_path):
    """A new one would get all requests before any host is in it: Pulumi is told the names that it had, from run to run."""
    here = {"language": Language.PYTHON, "target": "ec2"}
    engines = ({}, WITH_TLS, {"engine_version": "0.33.0"}, WITH_TLS)
    told = []
    for engine in engines:
        for _ in range(2):
            generated, _ = run(tmp_path, plan_of(engine), **here)
            (backend,) = generated.rollouts[""].planned.backends
            told.append((backend.key.rpartition("-")[2], [key.rpartition("-")[2] for key in backend.former_keys]))
        assert ("former_keys=" in (tmp_path / "inference/fleet.py").read_text()) is bool(backend.former_keys)
        assert generated.rollouts[""].stage is None
    assert told[::2] == told[1::2]
    assert told[::2] == [("vllm", []), ("sglang", ["vllm"]), ("vllm", ["sglang"]), ("sglang", ["vllm"])]
    terraform = tmp_path / "terraform"
    for engine in engines[:2]:
        run(terraform, plan_of(engine), target="ec2")
    assert "former_keys" not in (terraform / "fleet.tf").read_text()


def test_fewer_and_faster_machines_come_beside_the_slower_ones(tmp_path):
    """A refresh runs at the new number from its first minute: two of eight g6.xlarge would be left."""
    faster = {**L40S, "instances": (2, 2), "planned_requests_per_second_per_instance": 4.8}
    for directory, before, after in (("a", {"instances": (8, 8)}, faster), ("b", {"instances": (3, 5)}, faster)):
        root = tmp_path / directory
        run(root, plan_of(before))
        run(root, plan_of(after))
        sizes = {group["instance_types"][0]: group["instances"] for group in fleet(root)["groups"].values()}
        assert sizes == {"g6.xlarge": before["instances"][1], "g6e.xlarge": 2}
        assert sorted(weights(root, "backends").values()) == [0, 1000]
        run(root, plan_of(after), Stage.SHIFT)
        run(root, plan_of(after), Stage.FINISH)
        assert [group["instance_types"] for group in fleet(root)["groups"].values()] == [["g6e.xlarge"]]
    run(tmp_path / "c", plan_of({"instances": (2, 2), "planned_requests_per_second_per_instance": 4.8}))
    run(tmp_path / "c", plan_of({**A10G, "instances": (8, 8)}))
    assert "moved {" in (tmp_path / "c/moved.tf").read_text()


@pytest.mark.parametrize("policy", [Policy.SCHEDULED, Policy.REACTIVE])
def test_more_and_slower_machines_come_beside_the_faster_ones(policy, tmp_path):
    """An apply leaves the number of those that the clock or the load starts: two of eight would replace the former two."""
    fast = {**L40S, "planned_requests_per_second_per_instance": 4.8}
    run(tmp_path, plan_of({**fast, "instances": (1, 2)}, policy=policy))
    slower = plan_of({"instances": (2, 8)}, policy=policy)
    run(tmp_path, slower)
    sizes = {group["instance_types"][0]: group["instances"] for group in fleet(tmp_path)["groups"].values()}
    assert sizes == {"g6e.xlarge": 2, "g6.xlarge": 8}
    assert sorted(weights(tmp_path, "backends").values()) == [0, 1000]
    for stage in (Stage.SHIFT, Stage.FINISH):
        run(tmp_path, slower, stage)
    assert [group["instances"] for group in fleet(tmp_path)["groups"].values()] == [8]

    run(tmp_path, plan_of({**fast, "instances": (1, 8)}, policy=policy))
    run(tmp_path, plan_of({**fast, "instances": (1, 8)}, policy=policy), Stage.SHIFT)
    run(tmp_path, plan_of({**fast, "instances": (1, 8)}, policy=policy), Stage.FINISH)
    run(tmp_path, plan_of({"instances": (1, 8)}, policy=policy))
    assert len(fleet(tmp_path)["groups"]) == 1, (
        "no more of them at any hour: the clock's number is that of the new plan"
    )


def test_a_slower_container_on_more_machines_has_them_all_at_once(tmp_path):
    """By the clock, more of them would come at the next change of the schedule alone, while each is replaced by day."""
    run(tmp_path, plan_of({"instances": (1, 4)}, policy=Policy.SCHEDULED))
    change = {"engine_version": "0.33.0", "planned_requests_per_second_per_instance": 0.6}
    slower = plan_of({"instances": (2, 8), **change}, policy=Policy.SCHEDULED)
    sizes = []
    for stage in (None, Stage.FINISH):
        run(tmp_path, slower, stage)
        (group,) = fleet(tmp_path)["groups"].values()
        sizes.append((group["min_instances"], group["instances"]))
    assert sizes == [(8, 8), (2, 8)]


@pytest.mark.parametrize("language", Language)
def test_what_the_clock_starts_later_is_told_with_the_command_that_starts_it_now(language, tmp_path):
    """An apply leaves the number of a group that the clock sets: by day, twice the machines would come a day later."""
    python = {"language": language, "target": "ec2"}
    run(tmp_path, plan_of({"instances": (1, 5)}, policy=Policy.SCHEDULED), **python)
    told = []
    for sizes in ((2, 10), (2, 10), (1, 10)):
        generated, _ = run(tmp_path, plan_of({"instances": sizes}, policy=Policy.SCHEDULED), **python)
        told.append([warning for warning in generated.warnings if "set-desired-capacity" in warning])
    assert [len(warnings) for warnings in told] == [1, 0, 0]
    assert (
        f"{NEAR} grows from 1 to 2 at its quietest and from 5 to 10 at its busiest: it has them from the next"
        in told[0][0]
    )
    assert "--region us-east-1 --desired-capacity SIZE" in told[0][0]
    assert "aws autoscaling set-desired-capacity" in (tmp_path / "README.md").read_text()
    generated, _ = run(tmp_path, plan_of({"instances": (20, 20)}), **python)
    assert not [warning for warning in generated.warnings if "set-desired-capacity" in warning]


@pytest.mark.parametrize(
    ("before", "now", "growth"),
    [
        ((1, 10), (2, 10), "from 1 to 2 at its quietest"),
        ((1, 10), (4, 6), "from 1 to 4 at its quietest"),
        ((2, 5), (1, 10), "from 5 to 10 at its busiest"),
    ],
)
def test_the_note_names_the_hours_that_grow_and_no_number_for_another_hour(before, now, growth, tmp_path):
    """By day a number of the night, or of the former day, would take machines away that serve."""
    run(tmp_path, plan_of({"instances": before}, policy=Policy.SCHEDULED))
    generated, _ = run(tmp_path, plan_of({"instances": now}, policy=Policy.SCHEDULED))
    (note,) = (warning for warning in generated.warnings if "set-desired-capacity" in warning)
    assert note.startswith(f"{NEAR} grows {growth}: it has them from the next change of its schedule on")
    assert "--desired-capacity SIZE" in note
    assert "SIZE: what the schedule has for the present hour" in note


def test_the_note_on_a_day_that_begins_earlier_names_no_number(tmp_path):
    """Neither the busiest hours nor the quietest have more machines, and some hours do."""
    run(tmp_path, plan_of({"instances": (1, 10)}, policy=Policy.SCHEDULED))
    former = read_rollouts(tmp_path)[""].planned
    (group,) = former.groups
    earlier = [
        dataclasses.replace(size, hour=size.hour - 1) if size.instances == 10 else size for size in group.schedule
    ]
    now = dataclasses.replace(former, groups=(dataclasses.replace(group, schedule=tuple(earlier)),))
    (note,) = growing(now, former, {})
    assert note.startswith(f"{NEAR} grows at some hours: it has them from")
    assert list(growing(former, now, {})) == []


@pytest.mark.parametrize("language", Language)
def test_a_state_machine_keeps_the_weights_that_it_has_had(language, tmp_path):
    """Weights that it has set are in no state of the code: an apply would weigh what rests, and Pulumi leave what it then deletes."""
    asked = {"language": language, "target": "ec2"}
    mine = re.compile(r'ignore_changes = \[default_action\]|ignore_changes=\["defaultActions"\]')

    def is_left(plan, stage=None):
        generated, _ = run(tmp_path, plan, stage, **asked)
        assert not findings(generated.files)
        return bool(mine.search("".join(generated.files.values())))

    always, by_turns = plan_of({}), make_fleet_plan(*turns(), zones=1)
    assert not is_left(always)
    assert is_left(by_turns)
    assert is_left(always, Stage.FINISH), "the way back, while the listener has a second target group"
    walk = [(plan, stage) for plan in (by_turns, always) for stage in (None, Stage.SHIFT, Stage.FINISH)]
    for plan, stage in ((always, None), *walk):
        assert is_left(plan, stage)
        before = bytes_of(tmp_path)
        assert is_left(plan)
        assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("target", ["vm-scale-set", "container-apps"])
def test_clients_call_one_address_on_azure_through_every_step(target, tmp_path):
    """The entrance is there before a second kind comes and after it has gone; only the servers behind it change."""
    here = {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4", "accelerator": A100}
    t4 = {"instance_type": "Standard_NC4as_T4_v3", "accelerator": "T4", "precision": "fp16", "kv_precision": "fp16"}
    run(tmp_path, plan_of(here), target=target)
    files = ("entrance.tf", "outputs.tf", "network.tf")
    code = {name: (tmp_path / name).read_bytes() for name in files if (tmp_path / name).exists()}
    for stage in (None, Stage.SHIFT, Stage.FINISH):
        run(tmp_path, plan_of({**here, **t4}), stage, target=target)
        assert {name: (tmp_path / name).read_bytes() for name in code} == code


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (
            "mig",
            "let them take the endpoint in europe-west4 by then, which the output endpoints names; the record of dns",
        ),
        ("gke", "let them take the endpoint in europe-west4 by then"),
        ("cloud-run", "let them take those of the new ones in the output endpoints"),
    ],
)
def test_clients_are_told_where_the_new_address_stands(target, told, tmp_path):
    """In the run and in the README: the output that has it, the record that moves them, or both."""
    google = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8", "accelerator": "L4"}
    run(tmp_path, plan_of(google), target=target)
    generated, _ = run(tmp_path, plan_of({**google, "region": "europe-west4"}), target=target)
    assert any(told in note for note in generated.notes)
    assert "Clients: " in (tmp_path / "README.md").read_text()


def test_disk_of_a_scale_set_never_shrinks(tmp_path):
    """Azure refuses a smaller one; the record keeps the larger, and a group of its own starts with what it needs."""
    azure = {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC4as_T4_v3", "accelerator": "T4"}
    sizes = []
    for weights_gib in (14.0, 40.0, 14.0, 14.0, 80.0):
        run(tmp_path, plan_of({**azure, "precision": "fp16", "kv_precision": "fp16", "weights_gib": weights_gib}))
        (group,) = fleet(tmp_path)["groups"].values()
        sizes.append(group["os_disk_gib"])
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] == sizes[2] == sizes[3] < sizes[4]


def test_a_group_of_google_stays_in_zones_that_still_sell_its_type(tmp_path):
    """One zone more makes nothing anew; where a former one is left, the run says what to do."""
    google = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-4"}
    sold = {"ab": ("us-central1-a", "us-central1-b"), "bc": ("us-central1-b", "us-central1-c")}
    said = []
    for names in (sold["ab"], (*sold["ab"], "us-central1-c"), sold["bc"], sold["bc"]):
        generated, _ = run(tmp_path, plan_of({**google, "zone_names": names}))
        (group,) = fleet(tmp_path)["groups"].values()
        said.append((group["zones"], [text for text in generated.warnings if "anew" in text]))
    assert [zones for zones, _ in said] == [[*sold["ab"]], [*sold["ab"]], [*sold["bc"]], [*sold["bc"]]]
    assert [len(warnings) for _, warnings in said] == [0, 0, 1, 0]
    assert "us-central1-a, us-central1-b and is planned for us-central1-b, us-central1-c" in said[2][1][0]
    assert "wait_for_capacity" in said[2][1][0]


@pytest.mark.parametrize(
    ("target", "changes", "needed"),
    [
        ("ec2", {}, "us-east-1 needs private subnets in 3 zones (2 before): give them in networks"),
        ("eks", {}, "us-east-1 needs subnets in 3 zones (2 before): give them in clusters"),
        ("mig", GOOGLE, "us-central1 needs 3 zones (2 before): give them in networks"),
    ],
)
def test_more_zones_are_told_in_the_run_and_in_a_cut_over(target, changes, needed, tmp_path):
    """An apply would refuse the subnets that were enough before: in place a warning, in a cut-over its section says it."""
    narrow, wider = {**changes, "zone_names": ()}, {**changes, "zones": 3, "zone_names": ()}
    run(tmp_path, plan_of(narrow), target=target)
    generated, _ = run(tmp_path, plan_of(wider), target=target)
    assert [told for told in generated.warnings if needed in told]
    assert not generated.notes
    again, _ = run(tmp_path, plan_of(wider), target=target)
    assert not [told for told in again.warnings if needed in told]
    left = {**narrow, "region": "europe-west4" if changes else "eu-west-1"}
    run(tmp_path / "cut-over", plan_of(narrow, left), target=target)
    generated, _ = run(tmp_path / "cut-over", plan_of(wider), target=target)
    assert [told for told in generated.notes if needed in told]
    assert needed in " ".join(generated.files["README.md"].partition("## Cut-over")[2].split())
    assert not [told for told in generated.warnings if needed in told]


def test_another_model_name_is_told_with_a_way_to_serve_both(tmp_path):
    """Requests for the former name would fail at each host that is replaced, and those for the new one at the others."""
    run(tmp_path, plan_of({}))
    generated, _ = run(tmp_path, plan_of({}, model="Qwen/Qwen3-8B"))
    (told,) = (text for text in generated.warnings if "answered to" in text)
    assert '"--served-model-name", "Qwen/Qwen3-8B", "meta-llama/Llama-3.1-8B-Instruct"' in told
    again, _ = run(tmp_path, plan_of({}, model="Qwen/Qwen3-8B"))
    assert not any("answered to" in text for text in again.warnings)


def test_fewer_kinds_keep_the_size_of_what_goes_on(tmp_path):
    """What stays is as large as before and as planned until the other kind is gone."""
    run(tmp_path, plan_of({"instances": (6, 6)}, A10G))
    fewer = plan_of({"instances": (4, 4)})
    for stage in (Stage.PREPARE, Stage.SHIFT):
        run(tmp_path, fewer, stage)
        assert fleet(tmp_path)["groups"][NEAR]["instances"] == 6
    run(tmp_path, fewer, Stage.FINISH)
    assert fleet(tmp_path)["groups"][NEAR]["instances"] == 4
    run(tmp_path, plan_of({"instances": (7, 7)}, A10G))
    run(tmp_path, plan_of({"instances": (9, 9)}))
    assert fleet(tmp_path)["groups"][NEAR]["instances"] == 9


def test_no_group_shrinks_for_want_of_requests(tmp_path):
    """Groups that follow the load keep the size of their busiest hours while the requests are elsewhere."""
    run(tmp_path, plan_of({"instances": (1, 4)}, policy=Policy.REACTIVE))
    moved = plan_of({"instances": (1, 3), "region": "eu-west-1"}, policy=Policy.REACTIVE)
    for stage in (Stage.PREPARE, Stage.SHIFT):
        run(tmp_path, moved, stage)
        groups = fleet(tmp_path)["groups"]
        assert {key: group["min_instances"] for key, group in groups.items()} == {NEAR: 4, FAR: 3}
    run(tmp_path, moved, Stage.FINISH)
    assert fleet(tmp_path)["groups"][FAR]["min_instances"] == 1


def test_a_third_plan_adds_up(tmp_path):
    """What retires already goes on retiring, and is never moved."""
    run(tmp_path, plan_of({}))
    run(tmp_path, plan_of({"region": "eu-west-1"}))
    run(tmp_path, plan_of({"region": "eu-west-1"}), Stage.SHIFT)
    run(tmp_path, plan_of({"region": "ap-south-1"}))
    assert weights(tmp_path) == {"us-east-1": 0, "eu-west-1": 1000, "ap-south-1": 0}
    run(tmp_path, plan_of({"region": "ap-south-1"}), Stage.SHIFT)
    assert weights(tmp_path) == {"us-east-1": 0, "eu-west-1": 0, "ap-south-1": 1000}
    run(tmp_path, plan_of({"region": "ap-south-1"}), Stage.FINISH)
    assert weights(tmp_path) == {"ap-south-1": 1000}


def test_a_group_with_another_type_keeps_its_requests_while_another_retires(tmp_path):
    """Moved in the code, and the weight with it; what retires is not taken for it."""
    run(tmp_path, plan_of({}, {**A10G, "region": "eu-west-1"}))
    run(tmp_path, plan_of(L40S))
    groups = fleet(tmp_path)["groups"]
    assert {group["region"] for group in groups.values()} == {"us-east-1", "eu-west-1"}
    assert weights(tmp_path) == {"us-east-1": 500, "eu-west-1": 500}
    moved = (tmp_path / "moved.tf").read_text()
    assert f'from = aws_autoscaling_group.this["{NEAR}"]' in moved
    assert "eu-west-1" not in moved
    run(tmp_path, plan_of(L40S), Stage.SHIFT)
    assert weights(tmp_path) == {"us-east-1": 1000, "eu-west-1": 0}


def test_more_backends_than_a_load_balancer_takes_are_refused(tmp_path):
    """With both numbers and what to do."""
    one = [{"instance_type": name, "accelerator": gpu} for name, gpu in (("g6.xlarge", "L4"), ("g5.xlarge", "A10G"))]
    more = [{**fact, "precision": precision} for fact in one for precision in ("fp8", "bf16")]
    run(tmp_path, plan_of(*more))
    other = [{**L40S, "precision": precision} for precision in ("fp8", "bf16")]
    with pytest.raises(
        InputError, match=r"6 kinds of instances in us-east-1.* over 5 \(6 groups run.*4 retire"
    ) as refused:
        run(tmp_path, plan_of(*other))
    assert "fewer kinds" in refused.value.hint


def test_the_run_and_the_readme_say_what_goes_on(tmp_path):
    """What retires, the cost, how to see that the new ones serve, the next command and the way back."""
    for number, language in enumerate((Language.TERRAFORM, Language.PYTHON, Language.PYTHON)):
        folder, write_options = tmp_path / str(number), {"language": language, "as_component": number == 2}
        run(folder, plan_of({}), **write_options)
        assert "## Cut-over" not in (folder / "README.md").read_text()
        generated, _ = run(folder, plan_of({"region": "eu-west-1"}), **write_options)
        readme = (folder / "README.md").read_text()
        section = readme.partition("## Cut-over")[2].partition("\n## ")[0]
        assert f"3 × g6.xlarge in us-east-1 ({NEAR}), 100 % of the requests" in "\n".join(generated.notes)
        for text in ("1,762.51 a month", "--cut-over shift", "describe-auto-scaling-groups --region eu-west-1"):
            assert text in section.replace("\\", "")
        for told in (section.replace("\\", ""), "\n".join(generated.notes)):
            assert (
                "nothing serves in us-east-1 after --cut-over finish: let them take the endpoint in eu-west-1" in told
            )


def test_clients_have_nothing_to_do_where_their_region_stays(tmp_path):
    """Fewer kinds in one region: its endpoint serves all along."""
    run(tmp_path, plan_of({}, A10G))
    generated, _ = run(tmp_path, plan_of({}))
    assert any("retires" in note for note in generated.notes)
    assert not any("clients:" in note for note in generated.notes)


def test_objects_of_clusters_are_removed_by_hand_before_the_end(tmp_path):
    """Nothing takes pods away whose manifest is left out: the README says how, once they get no requests."""
    run(tmp_path, plan_of({}, A10G), target="eks")
    removal = "kubectl --context CONTEXT --namespace support-chat delete --filename kubernetes/us-east-1/us-east-1-1xa10g-bf16-tp1-vllm.yaml"
    run(tmp_path, plan_of({}), target="eks")
    assert removal not in (tmp_path / "README.md").read_text()
    generated, _ = run(tmp_path, plan_of({}), Stage.SHIFT, target="eks")
    assert f"before that is generated: `{removal}`\n" in (tmp_path / "README.md").read_text()
    assert f"  before that is generated: {removal}" in generated.notes
    finished, _ = run(tmp_path, plan_of({}), Stage.FINISH, target="eks")
    (told,) = (warning for warning in finished.warnings if "route-weights" in warning)
    assert told.startswith("one backend is left in us-east-1")
    assert "kubectl --context CONTEXT --namespace support-chat delete --ignore-not-found deployments,configmaps" in told
    again, _ = run(tmp_path, plan_of({}), target="eks")
    assert not any("route-weights" in warning for warning in again.warnings)


@pytest.mark.parametrize(
    ("form", "removal"),
    [
        (Form.LLM_D, "`helm uninstall us-east-1-1xl4-bf16-tp1-vllm --kube-context CONTEXT --namespace support-chat`"),
        (Form.KSERVE, f"delete llminferenceservices,poddisruptionbudgets {NEAR}`"),
        (Form.PRODUCTION_STACK, "`helm uninstall support-chat --kube-context CONTEXT --namespace support-chat`"),
        (Form.DYNAMO, "delete --filename kubernetes/us-east-1/dynamo.yaml`"),
    ],
)
def test_each_form_is_removed_as_it_was_made(form, removal, tmp_path):
    """The command takes away what the form made, and names no file that is not there."""
    run(tmp_path, plan_of({}), target="eks", form=form)
    for stage in (Stage.PREPARE, Stage.SHIFT):
        run(tmp_path, plan_of({"region": "eu-west-1"}), stage, target="eks", form=form)
    section = (tmp_path / "README.md").read_text().partition("before that is generated: ")[2].partition("\n")[0]
    assert removal in section
    assert all((tmp_path / path).exists() for path in re.findall(r"--filename (\S+?)`", section))


@pytest.mark.parametrize("form", [Form.PRODUCTION_STACK, Form.DYNAMO])
def test_a_form_without_weights_says_how_to_go_on(form, tmp_path):
    """It cannot keep requests from the kind that retires: nothing is written, and the way at once is named and works."""
    write_options = {"target": "eks", "form": form}
    run(tmp_path, plan_of({}, A10G), **write_options)
    run(tmp_path, plan_of({}), **write_options)
    with pytest.raises(InputError, match="spreads requests evenly") as refused:
        run(tmp_path, plan_of({}), Stage.SHIFT, **write_options)
    assert "--cut-over finish --force" in refused.value.hint
    run(tmp_path, plan_of({}), Stage.FINISH, force=True, **write_options)
    assert set(fleet(tmp_path)["groups"]) == {NEAR}


def test_budget_quotas_and_alarms_hold_for_both(tmp_path):
    """Of instances without a GPU the plan alone has no alarm on GPUs; what retires keeps its own."""
    run(tmp_path, plan_of({}))
    neuron = {
        "instance_type": "inf2.8xlarge",
        "accelerator": "Inferentia2",
        "engine": "vLLM-Neuron",
        "region": "us-west-2",
    }
    planned = generate(plan_of(neuron))
    run(tmp_path, plan_of(neuron))
    facts = fleet(tmp_path)
    alone = float(planned.files["fleet.tf"].partition("planned_usd_per_month = ")[2].split("\n")[0])
    assert facts["planned_usd_per_month"] == pytest.approx(alone + 1762.51, abs=0.01)
    assert "gpu_idle" not in planned.files["fleet.tf"]
    assert {"gpu_idle", "no_requests"} <= set(facts["alarms"])
    readme = (tmp_path / "README.md").read_text()
    assert "16 in us-east-1" in readme
    assert "in us-west-2" in readme
    assert f"{facts['planned_usd_per_month']:,.2f} in all, and the alarm" in " ".join(readme.split())
    both = (
        "Total of the plan and of what runs beside it until the cut-over is finished for a month of 730 hours, in USD."
    )
    assert both in (tmp_path / "fleet.tf").read_text()
    assert "# Total of the plan for a month of 730 hours, in USD.\n" in planned.files["fleet.tf"]


def test_code_of_an_older_version_is_not_known(tmp_path):
    """Nothing can be kept, which is said."""
    run(tmp_path, plan_of({}))
    (tmp_path / ".advisor/stacks.json").unlink()
    generated, _ = run(tmp_path, plan_of({"region": "eu-west-1"}))
    assert any("generate the former plan once more first" in warning for warning in generated.warnings)
    assert weights(tmp_path) == {"eu-west-1": 1000}


@pytest.mark.parametrize(
    "path",
    [
        ("",),
        ("", "planned"),
        ("", "planned", "name"),
        ("", "planned", "groups", 0),
        ("", "planned", "groups", 0, "weight"),
    ],
)
@pytest.mark.parametrize("wrong", [None, [], {}])
def test_a_record_with_wrong_types_is_named(path, wrong, tmp_path):
    """Wherever they are in it."""
    run(tmp_path, plan_of({}))
    record = tmp_path / ".advisor/stacks.json"
    document = json.loads(record.read_text())
    part = document["roots"]
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = wrong
    record.write_text(json.dumps(document))
    with pytest.raises(InputError, match="damaged, or of another version"):
        read_former(tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 100_000, '{"schema": "advisor.stacks/v9", "roots": {}}', '{"schema": 1}']
)
def test_a_damaged_record_is_named(text, tmp_path):
    """With the file and what to do; nothing is written."""
    run(tmp_path, plan_of({}))
    (tmp_path / ".advisor/stacks.json").write_text(text)
    with pytest.raises(InputError, match="damaged, or of another version") as refused:
        run(tmp_path, plan_of({}))
    assert refused.value.where.endswith("stacks.json")
    assert "version control" in refused.value.hint


def test_a_record_of_an_earlier_run_is_read(tmp_path):
    """What a run of November 2026 left is read, and so is a record that says nothing of disks and busiest minutes."""
    (tmp_path / ".advisor").mkdir()
    record = tmp_path / ".advisor/stacks.json"
    document = json.loads((Path(__file__).parent / "records/stacks-2026-11.json").read_text())
    record.write_text(json.dumps(document))
    (group,) = read_rollouts(tmp_path)[""].planned.groups
    assert (group.host_disk_gib, group.root_volume_gib) == (140, 164)
    planned = document["roots"][""]["planned"]
    del planned["groups"][0]["priced_disk_gib"], planned["regions"][0]["peak_requests_per_second"]
    record.write_text(json.dumps(document))
    silent = read_rollouts(tmp_path)[""].planned
    assert (silent.groups[0].host_disk_gib, silent.regions[0].peak_requests_per_second) == (164, None)


@pytest.mark.parametrize("is_recorded", [True, False])
def test_one_state_is_not_given_to_another_target(is_recorded, tmp_path):
    """EC2 to EKS, or to another cloud, would destroy everything that runs in one apply."""
    run(tmp_path, plan_of({}))
    if not is_recorded:
        (tmp_path / ".advisor/stacks.json").unlink()
    google = plan_of({"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"})
    for plan, target, name in ((plan_of({}), "eks", "eks"), (google, "", "mig")):
        with pytest.raises(InputError, match=f"deploys to ec2, and the plan is generated for {name}") as refused:
            run(tmp_path, plan, target=target)
        assert "another directory" in refused.value.hint
        assert ("to stay, give --target ec2" in refused.value.hint) == (is_recorded and name == "eks")
    run(tmp_path, plan_of({}), target="eks", force=True)
    assert "aws_eks_node_group" in (tmp_path / "compute.tf").read_text()


def of_scale_sets(*, count):
    """A plan for one scale set whose number of machines changes so often in a week, or never: 0."""
    hours = [0] * 168
    for change in range(count):
        # Two changes a day, at hours that no other day has.
        day, at = divmod(change, 2)
        hours[day * 24 + 2 * (day + 1) + at : (day + 1) * 24] = [1 - at] * (24 - 2 * (day + 1) - at)
    place = {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4"}
    group = make_group(**place, instances=(1, 2) if count else (2, 2))
    return make_fleet_plan(group, policy=Policy.SCHEDULED if count else Policy.STATIC, fleet={"schedule": tuple(hours)})


def test_what_a_scale_set_cannot_become_is_no_way_to_stay(tmp_path, monkeypatch):
    """A schedule of more changes than it takes: the hint leads to constant counts, which the directory then takes."""
    run(tmp_path, of_scale_sets(count=0))
    busy = of_scale_sets(count=6)
    run(tmp_path / "few", busy)
    for taken in ("advisor.codegen.targets.azure_vm_scale_set.most_changes", "advisor.deployable.most_changes"):
        monkeypatch.setattr(taken, lambda *_: 4)
    with pytest.raises(InputError, match="deploys to vm-scale-set, and the plan is generated for aks") as refused:
        run(tmp_path, busy)
    assert "--target vm-scale-set" not in refused.value.hint
    assert "to stay on vm-scale-set, plan constant counts (scaling: {scheduled: false}" in refused.value.hint
    with pytest.raises(AdvisorError, match="takes 4 changes a week"):
        run(tmp_path, busy, target="vm-scale-set")
    run(tmp_path, of_scale_sets(count=0))


@pytest.mark.parametrize(("most", "is_told"), [(4, False), (19, True)])
def test_a_target_that_the_plan_has_by_itself_is_not_told_as_kept(most, is_told, tmp_path, monkeypatch, capsys):
    """Nodes of AKS are written again without a note where the plan alone leads to them."""
    busy, code = of_scale_sets(count=6), tmp_path / "code"
    run(code, busy, target="aks")
    monkeypatch.setattr("advisor.deployable.most_changes", lambda *_: most)
    (tmp_path / "plan.json").write_text(plan_to_json(busy))
    monkeypatch.setattr(
        "sys.argv", ["advisor", "generate", "terraform", str(tmp_path / "plan.json"), "--into", str(code)]
    )
    with pytest.raises(SystemExit) as stopped:
        main()
    told = capsys.readouterr().err
    assert not stopped.value.code, told
    assert ("holds code for aks, which is written again" in told) == is_told


def test_another_workload_has_no_way_to_stay(tmp_path):
    """Code of another workload and target: the target alone would be refused next."""
    run(tmp_path, plan_of({}))
    plan = plan_of({})
    other = replace(plan, workload={**plan.workload, "name": "other"})
    with pytest.raises(InputError, match="deploys to ec2, and the plan is generated for eks") as refused:
        run(tmp_path, other, target="eks")
    assert "to stay" not in refused.value.hint


@pytest.mark.parametrize(("target", "is_told"), [("", True), ("eks", False)])
def test_a_cluster_that_no_code_uses_is_told(tmp_path, target, is_told):
    """The plan runs on hosts, whatever the workload says of a cluster."""
    plan = plan_of({})
    there = replace(plan, workload={**plan.workload, "existing_cluster": True})
    told = "existing_cluster: no effect, since the plan runs on EC2 Auto Scaling; --target eks uses it"
    assert (told in run(tmp_path, there, target=target)[0].notes) == is_told
    assert not any("existing_cluster" in note for note in run(tmp_path, plan, target=target)[0].notes)


def test_one_directory_is_not_given_to_another_language(tmp_path):
    """A Pulumi program in place of a root would make everything twice, and the other way round: nothing is written."""
    for language, other in ((Language.TERRAFORM, Language.PYTHON), (Language.PYTHON, Language.TERRAFORM)):
        run(tmp_path / language, plan_of({}), language=language)
        before = bytes_of(tmp_path / language)
        with pytest.raises(InputError, match="would make everything a second time") as refused:
            run(tmp_path / language, plan_of({}), language=other)
        assert "another directory" in refused.value.hint
        assert bytes_of(tmp_path / language) == before
        run(tmp_path / language, plan_of({}), language=other, force=True)
        run(tmp_path / language, plan_of({}), language=other)


def test_one_state_is_not_given_to_another_workload(tmp_path):
    """Both names are said."""
    run(tmp_path, plan_of({}))
    with pytest.raises(InputError, match="'support-chat', and the plan is for 'search'"):
        run(tmp_path, plan_of({}, name="search"))
    run(tmp_path, plan_of({}, name="search"), force=True)
    assert "search" in (tmp_path / "variables.tf").read_text()


def test_roots_that_are_left_stay_known(tmp_path):
    """One root becomes a folder for each cloud, and is one again: what ran in it is still known."""
    google = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8"}
    run(tmp_path, plan_of({}))
    run(tmp_path, plan_of({}, google))
    kept = json.loads((tmp_path / ".advisor/stacks.json").read_text())["roots"]
    assert set(kept) == {"", "aws", "gcp"}
    run(tmp_path, plan_of({"region": "eu-west-1"}))
    assert weights(tmp_path) == {"us-east-1": 1000, "eu-west-1": 0}


PARTS = st.lists(
    st.sampled_from(
        [(region, kind) for region in ("us-east-1", "eu-west-1") for kind in ("g6", "g6 spot", "g5", "g6e")]
    ),
    min_size=1,
    max_size=2,
    unique=True,
)
KINDS = {"g6": {}, "g6 spot": {"purchase": "spot"}, "g5": A10G, "g6e": L40S}


NEAR_G6, NEAR_G5, NEAR_G6E = (("us-east-1", kind) for kind in ("g6", "g5", "g6e"))


@pytest.mark.sampled(2)
@given(st.lists(st.tuples(PARTS, st.sampled_from([None, *Stage])), min_size=2, max_size=4))
@example([([NEAR_G6, NEAR_G5], None), ([NEAR_G6E], None), ([NEAR_G6], None)])
@example([([NEAR_G6, NEAR_G5], None), ([NEAR_G6E], None), ([NEAR_G6E], Stage.SHIFT), ([NEAR_G6], None)])
def test_no_sequence_of_plans_loses_a_request_or_a_group(steps):
    """Weights add up in every stage; a group goes only where it gets no request, others of its backend stay, or it goes on under another key."""
    last = None
    for parts, stage in steps:
        plan = plan_of(*({"region": region, **KINDS[kind]} for region, kind in parts))
        (stack,) = stacks_of(plan, of_fleet(plan.fleet), Wanted(target="ec2"))
        former = Former({} if last is None else {"": last}, stage=stage)
        try:
            rollout = rollout_of(stack, "", former)
        except InputError:
            continue
        runs = joint(rollout)
        for parts_with_weights in (runs.groups, runs.backends, runs.regions):
            assert sum(part.weight for part in parts_with_weights) == 1000
        assert {group.backend for group in runs.groups} == {backend.key for backend in runs.backends}
        staying = {group.backend for group in runs.groups}
        assert all(group.weight == 0 or group.backend in staying for group in left_out(last, rollout))
        assert from_plain(Rollout, to_plain(rollout)) == rollout
        last = rollout


def _before(planned):
    """The same groups under other names, in the same places."""
    return dataclasses.replace(
        planned,
        groups=tuple(
            dataclasses.replace(group, key=f"former-{group.key}"[:38], backend=f"former-{group.backend}"[:38])
            for group in planned.groups
        ),
        backends=tuple(dataclasses.replace(one, key=f"former-{one.key}"[:38]) for one in planned.backends),
    )


@pytest.mark.sampled(3)
@pytest.mark.parametrize("stage", [Stage.PREPARE, Stage.SHIFT])
@pytest.mark.parametrize("name", of_today(list(SCENARIOS), shares=20))
def test_every_target_takes_groups_without_requests(name, stage):
    """The code is sound in each language."""
    scenario = SCENARIOS[name]()
    for language in scenario.languages:
        planned = {
            root: one.planned for root, one in generate(scenario.plan, language, scenario.wanted).rollouts.items()
        }
        former = Former({root: Rollout(one, {}, _before(one), stage) for root, one in planned.items()})
        generated = generate(scenario.plan, language, scenario.wanted, former=former)
        assert findings(generated.files) == ()
        assert all(f"stage {stage}" in generated.notes[0] for _ in planned)
        for one in planned.values():
            assert all(any(group.key in text for text in generated.files.values()) for group in _before(one).groups)


def test_a_single_type_is_cut_over_too(tmp_path):
    """Options by rank go the same way as fleets."""
    run(tmp_path, make_plan(make_option()))
    run(tmp_path, make_plan(make_option(region="eu-west-1")))
    assert weights(tmp_path) == {"us-east-1": 1000, "eu-west-1": 0}


@pytest.mark.parametrize("stage", [Stage.PREPARE, Stage.SHIFT])
@pytest.mark.parametrize("target", ["ec2", "sagemaker", "eks"])
def test_a_region_without_requests_answers_those_who_still_call_it(target, stage, tmp_path):
    """Names in caches lead there for a while: its load balancer, endpoint or route has weights above 0."""
    run(tmp_path, plan_of({}), target=target)
    for reached in (None, stage):
        generated, _ = run(tmp_path, plan_of({"region": "eu-west-1"}), reached, target=target)
    routes = [text for path, text in generated.files.items() if path.endswith("route.yaml")]
    kinds = {"ec2": "backends", "sagemaker": "groups"}
    shares = [int(share) for text in routes for share in re.findall(r"weight: (\d+)", text)]
    shares = shares or list(weights(tmp_path, kinds[target]).values())
    assert sorted(shares) == [1, 1000]
    assert sorted(weights(tmp_path).values()) == [0, 1000]


SPOT = {"purchase": "spot"}


def with_larger(usd_per_hour=None):
    """A plan of spot g6.xlarge, with a larger type at a price, or without one."""
    plan = plan_of(SPOT)
    larger = make_option(rank=2, instance_type="g6.2xlarge", purchase="spot", usd_per_hour=usd_per_hour or 0.0)
    return plan if usd_per_hour is None else dataclasses.replace(plan, options=(*plan.options, larger))


def types_of(directory):
    """Key of each group → types that its nodes may be."""
    return {key: group["instance_types"] for key, group in fleet(directory)["groups"].items()}


def test_node_groups_keep_their_types_while_all_of_them_serve(tmp_path):
    """EKS replaces all nodes for another list: a price changes none, and a type that no longer serves is a cut-over."""
    key, both = "us-east-1-g6-xlarge-bf16-tp1-spot", ["g6.xlarge", "g6.2xlarge"]
    run(tmp_path, with_larger(0.8), target="eks")
    assert types_of(tmp_path) == {key: both}
    generated, _ = run(tmp_path, with_larger(2.5), target="eks")
    assert types_of(tmp_path) == {key: both}
    assert not generated.notes
    generated, _ = run(tmp_path, with_larger(), target="eks")
    assert types_of(tmp_path) == {key: both, f"{key}-2": ["g6.xlarge"]}
    assert "cut-over, stage prepare" in generated.notes[0]
    run(tmp_path, with_larger(), Stage.FINISH, target="eks")
    for _ in range(2):
        generated, _ = run(tmp_path, with_larger(), target="eks")
        assert types_of(tmp_path) == {f"{key}-2": ["g6.xlarge"]}
        assert not generated.notes
    run(tmp_path, with_larger(0.8), target="eks")
    assert types_of(tmp_path) == {f"{key}-2": ["g6.xlarge"]}
