"""Hosts on Google Cloud: their startup script is run with stand-ins, and the rules of the simulated provider bite."""

import json
import os
import re
import subprocess

import pytest
import yaml

from advisor.codegen import Language, generate
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from codegen.scenarios import SCENARIOS
from iac import harness, parity
from iac.modules import needs, resources

RECORDER = '#!/bin/bash\nprintf "%s\\0" "${0##*/}" "$@" >>"$RECORD"; printf "\\n" >>"$RECORD"\n'
STAND_INS = dict.fromkeys(("apt-get", "curl", "docker", "dpkg", "openssl", "python3", "systemctl"), RECORDER)
HOST_PATHS = re.compile(r"(?<![\w.])/(etc|run|opt|var|usr/local)/")
HOSTILE_ARGUMENT = "--chat-template=$(touch pwned) `touch pwned` '\"; touch pwned #"
SCRIPTS = ("mig-l4-spot", "mig-gpu-and-tpu", "tpu-vm-v6e")


class Host:
    """A folder that plays the file system of a host."""

    def __init__(self, root, *, without: str = "") -> None:
        """Lay out the folders and the programs, all but one."""
        self.root = root
        self.record = root / "record"
        for folder in ("etc/systemd/system", "etc/apt/sources.list.d", "etc/google-cloud-ops-agent", "usr/local/sbin"):
            (root / folder).mkdir(parents=True)
        (root / "etc/os-release").write_text("VERSION_CODENAME=jammy\n")
        for folder in ("bin", "run"):
            (root / folder).mkdir()
        for name in set(STAND_INS) - {without}:
            self.program(name, STAND_INS[name])
        self.program("gcloud", f"{RECORDER}echo hf_secret\n")

    def program(self, name: str, text: str) -> None:
        """Put a program in place."""
        (self.root / "bin" / name).write_text(text)
        (self.root / "bin" / name).chmod(0o755)

    def run(self, script: str) -> list[list[str]]:
        """Run a script; the commands that it gave, as words."""
        self.record.write_bytes(b"")
        moved = HOST_PATHS.sub(rf"{self.root}/\1/", script)
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "RECORD": str(self.record)}
        ran = subprocess.run(
            ["bash", "-c", moved], env=environment, cwd=self.root, text=True, capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return [line.split("\0") for line in self.record.read_bytes().decode().split("\0\n") if line]

    def served(self) -> list[str]:
        """The words of the serving command, as the service unit would run it."""
        (command,) = self.run((self.root / "usr/local/sbin/inference-serve").read_text())
        return command


@pytest.fixture
def script(start):
    """The startup script of a scenario, with further values of variables."""

    def of(name: str, **more) -> str:
        (template, *_) = resources(start(name, filled=True, **more).plan())["google_compute_region_instance_template"]
        return template["metadata"]["startup-script"]

    return of


@pytest.mark.parametrize("name", SCRIPTS)
def test_startup_script_passes_shellcheck(name, script):
    """Neither the script nor what it writes for later has a finding."""
    needs("tools")
    text = script(name)
    parts = [text, *re.findall(r"<<'SCRIPT'\n(.*?)^SCRIPT$", text, re.DOTALL | re.MULTILINE)]
    assert len(parts) > 1
    for part in parts:
        ran = subprocess.run(
            [harness.tool("tools", "shellcheck"), "--shell=bash", "-"], input=part, text=True, capture_output=True, check=False
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout


def test_host_serves_as_planned_and_then_is_watched(script, tmp_path):
    """The container gets GPUs, image, model and arguments of the plan; agents come after it, from HTTPS addresses alone."""
    host = Host(tmp_path / "host")
    commands = host.run(script("mig-l4-spot"))
    names = [command[-1] if command[0] == "systemctl" else command[0] for command in commands]
    assert names.index("inference.service") < names.index("google-cloud-ops-agent.service")
    assert "advisor-agent.service" in names
    assert all(word.startswith("https://") for command in commands for word in command if "://" in word)
    served = host.served()
    assert "--gpus=all" in served
    words = served[served.index("--entrypoint=vllm") + 1 :]
    assert words[:3] == ["vllm/vllm-openai:v0.30.0", "serve", "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic"]
    assert {"--port=8443", "--ssl-keyfile=/etc/inference/key.pem"} <= {
        word.replace(str(host.root), "") for word in words
    }
    settings = yaml.safe_load((host.root / "etc/google-cloud-ops-agent/config.yaml").read_text())
    (scrape,) = settings["metrics"]["receivers"]["serving"]["config"]["scrape_configs"]
    (target,) = scrape["static_configs"]
    assert target["targets"] == ["localhost:8443"]
    assert target["labels"] == {"deployment": "support-chat", "group": "us-central1-g2-standard-8-fp8-tp1-spot"}
    assert "vllm:num_requests_waiting" in scrape["metric_relabel_configs"][0]["regex"].split("|")
    assert settings["logging"]["service"]["pipelines"]["default_pipeline"]["receivers"] == ["journal"]


def test_docker_is_installed_where_the_image_has_none(script, tmp_path):
    """A TPU host fetches Docker from its own repository, and reads no other package list."""
    needs("tools")
    text = script("tpu-vm-v6e").replace("command -v docker", "command -v docker-of-the-image")
    commands = Host(tmp_path / "host").run(text)
    (installed,) = [command for command in commands if "docker-ce" in command]
    assert installed[:2] == ["apt-get", "install"]
    updates = [command for command in commands if command[:2] == ["apt-get", "update"]]
    assert updates
    assert all("Dir::Etc::sourceparts=-" in command for command in updates)


def test_hostile_argument_stays_one_word(script, tmp_path):
    """A serving argument full of shell syntax reaches the container as it is, and runs nothing."""
    host = Host(tmp_path / "host")
    host.run(script("mig-l4-spot", extra_serving_arguments={"*": [HOSTILE_ARGUMENT]}))
    assert host.served()[-1] == HOSTILE_ARGUMENT
    assert not list(host.root.rglob("pwned"))


def test_most_exact_pin_wins(script, tmp_path):
    """Of image, model, commit and arguments: the backend's key before its engine's, and that before all."""
    backend = "us-central1-1xl4-fp8-tp1-vllm"
    host = Host(tmp_path / "host")
    pins = {
        "container_images": {"*": "all:1", "vllm": "engine:1", "sglang": "other:1"},
        "model_ids": {"*": "all/model", backend: "exact/model"},
        "model_revisions": {"*": "main"},
        "extra_serving_arguments": {"*": ["--all"], "vllm": ["--engine"], backend: ["--exact=1", "--exact=2"]},
    }
    host.run(script("mig-l4-spot", **pins))
    served = host.served()
    words = served[served.index("--entrypoint=vllm") + 1 :]
    assert words[:3] == ["engine:1", "serve", "exact/model"]
    assert words[-3:] == ["--revision=main", "--exact=1", "--exact=2"]


def test_token_is_read_at_start_and_kept_in_memory_only(script, tmp_path):
    """The startup script does not hold the token; the start script reads it into a file that only root reads."""
    host = Host(tmp_path / "host")
    assert not any(command[0] == "gcloud" for command in host.run(script("mig-l4-spot")))
    (command,) = host.run((host.root / "usr/local/sbin/inference-token").read_text().replace(str(host.root), ""))
    assert command[-1] == "projects/my-project/secrets/hub-token/versions/latest"
    environment = host.root / "run/inference/environment"
    assert environment.read_text() == "HF_TOKEN=hf_secret\n"
    assert environment.stat().st_mode & 0o777 == 0o600


def test_host_logs_in_to_the_registry_of_its_image(script, tmp_path):
    """Artifact Registry takes the host's own identity, NGC the key in the secret; an open registry takes nobody."""
    host, secret = Host(tmp_path / "host"), "projects/my-project/secrets/ngc"
    host.run(script("mig-l4-spot", container_images={"*": "nvcr.io/nvidia/vllm:1"}, registry_secret=secret))
    token = (host.root / "usr/local/sbin/inference-token").read_text().replace(str(host.root), "")
    logins = {}
    for registry in ("nvcr.io", "europe-docker.pkg.dev", "vllm"):
        commands = host.run(token.replace("registry='nvcr.io'", f"registry='{registry}'"))
        logins[registry] = [command[-1] for command in commands if command[:2] == ["docker", "login"]]
        assert any(secret in word for command in commands for word in command) == (registry == "nvcr.io")
    assert logins == {"nvcr.io": ["nvcr.io"], "europe-docker.pkg.dev": ["https://europe-docker.pkg.dev"], "vllm": []}


def test_roles_are_on_what_was_given_and_nothing_else(start):
    """The hosts may read the prefix of the bucket and the repository of the image."""
    images = {"vllm": "europe-docker.pkg.dev/shared-images/copies/vllm/vllm-openai@sha256:00"}
    plan = start("mig-l4-spot", filled=True, model_source="gs://weights/models", container_images=images).plan()
    planned = resources(plan)
    (repository,) = planned["google_artifact_registry_repository_iam_member"]
    assert [repository[name] for name in ("project", "location", "repository", "role")] == [
        "shared-images", "europe", "copies", "roles/artifactregistry.reader",
    ]  # fmt: skip
    (bucket,) = planned["google_storage_bucket_iam_member"]
    (condition,) = bucket["condition"]
    assert condition["expression"] == (
        'resource.name.startsWith("projects/_/buckets/weights/objects/models/")'
        ' || api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("models/")'
    )


def test_mount_may_ask_about_the_bucket_as_a_whole(start):
    """A mount asks for the bucket's layout without a prefix; objects are read below the prefix alone."""
    plan = start("cloud-run-two-regions", filled=True, model_source="gs://weights/models").plan()
    (bucket,) = resources(plan)["google_storage_bucket_iam_member"]
    (condition,) = bucket["condition"]
    assert condition["expression"] == (
        'resource.name.startsWith("projects/_/buckets/weights/objects/models/")'
        ' || resource.type == "storage.googleapis.com/Bucket"'
    )


def test_source_of_another_form_is_refused(start):
    """The message names the forms that are taken."""
    planned = start("mig-l4-spot", filled=True, model_source="gs://weights/'$(id)'")(
        "plan", "-no-color", "-input=false"
    )
    assert planned.code == 1
    assert "hub, gs://BUCKET, gs://BUCKET/PREFIX or an absolute path" in " ".join(planned.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("name", "before", "after", "complaint"),
    [
        ("mig-l4-spot", "0, 8)}-healing", "0, 64)}-healing", "is not a name of 1 to 63"),
        ("mig-l4-spot", '== "SPOT"\n    automatic', '!= "SPOT"\n    automatic', "a spot machine is preemptible"),
        ("mig-l4-spot", '"NONE"', '"PROACTIVE"', "only an even group"),
        (
            "mig-l4-spot",
            "= length(local.zones[each.key])",
            "= 1",
            "0 or at least the number of its zones",
        ),
        ("gke-l4-spot", "max_surge       = 1", "max_surge       = 0", "nothing can be replaced"),
        ("cloud-run-rtx-pro-6000", "period_seconds    = 10", "period_seconds    = 60", "longer than 1800 s"),
    ],
)
def test_rules_of_google_bite(name, before, after, complaint, start):
    """A mistake that the schema allows is refused by the simulated provider."""
    terraform = start(name, filled=True)
    path = terraform.directory / "compute.tf"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    planned = terraform("plan", "-no-color", "-input=false")
    assert planned.code == 1
    assert complaint in planned.out + planned.err


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ["gke-scheduled", "mig-two-regions"])
def test_spot_takes_no_reservation(name, start, tmp_path):
    """Both languages refuse a reservation for a spot group before anything is planned, and name the group."""
    scenario = SCENARIOS[name]()
    (key,) = {group.key for group in of_scenario(scenario).groups if group.is_spot}
    given = {"reservations": {key: "held"}}
    refused = start(name, filled=True, **given)("plan", "-no-color", "-input=false")
    assert refused.code == 1
    told = " ".join(refused.err.replace("│", " ").split())
    assert f"Spot capacity comes from no reservation; leave out {key}." in told
    needs("pulumi")
    program = generate(scenario.plan, Language.PYTHON, scenario.wanted).files
    harness.write_module(program, tmp_path / "program")
    job = {
        "program": str(tmp_path / "program"),
        "configuration": {**scenario.variables, **given},
        "answers": parity.ANSWERS,
    }
    (tmp_path / "jobs.json").write_text(json.dumps([job]))
    (found,) = harness.in_environment("pulumi", "run_pulumi.py", str(tmp_path / "jobs.json")).ok().json
    assert f"reservations: spot capacity comes from none; leave out {key}" in found["error"]


def of_scenario(scenario):
    """The only stack of a scenario."""
    (stack,) = stacks_of(scenario.plan, choose(scenario.plan, scenario.wanted, lambda _choice: None), scenario.wanted)
    return stack


def test_a_group_whose_list_of_other_types_is_emptied_starts_the_planned_one(start):
    """An empty selection would be refused by Google: the group has no policy then, and the code stays valid."""
    terraform = start("mig-l4-spot", filled=True)
    fleet = terraform.directory / "fleet.tf"
    kind = "google_compute_region_instance_group_manager"
    (group, *_) = resources(terraform.plan())[kind]
    assert len(group["instance_flexibility_policy"][0]["instance_selections"]) == 2
    fleet.write_text(re.sub(r"(other_machine_types +=) \[[^]]+\]", r"\1 []", fleet.read_text()))
    terraform("validate", "-no-color").ok()
    terraform("test", "-no-color", timeout=400).ok()
    (group, *_) = resources(terraform.plan())[kind]
    assert not group["instance_flexibility_policy"]
