"""The boot script is run, with recording stand-ins for the programs of a host and its paths moved into a folder."""

import json
import os
import re
import subprocess
from typing import Any

import pytest

from codegen.scenarios import SCENARIOS
from codegen.scenarios.ec2 import AGENT
from iac import harness
from iac.modules import user_data

RECORDER = '#!/bin/bash\nprintf "%s\\0" "${0##*/}" "$@" >>"$RECORD"; printf "\\n" >>"$RECORD"\n'
STAND_INS = {
    "curl": RECORDER + "echo i-0123456789abcdef0\n",
    "docker": RECORDER,
    "aws": RECORDER + "echo hf_secret\n",
    "systemctl": RECORDER,
    "openssl": RECORDER,
    "dpkg": RECORDER + "echo amd64\n",
    "apt-get": RECORDER,
    "python3": RECORDER,
    "gpg": RECORDER + 'echo "[GNUPG:] VALIDSIG $SIGNED_BY 2026-11-01 0"\n',
}
KEY_OF_AWS = "937616F3450B7D806CBD9725D58167303B789C72"
"""Fingerprint of the key that signs the CloudWatch agent (CloudWatch user guide, "Verify the signature")."""
HOST_PATHS = re.compile(r"(?<![\w.])/(etc|run|opt|var|usr/local|tmp)/")
HOSTILE_ARGUMENT = "--chat-template=$(touch pwned) `touch pwned` '\"; touch pwned #"


class Host:
    """A folder that plays the file system of a host."""

    def __init__(self, root) -> None:
        """Lay out the folders and the programs."""
        self.root = root
        self.record = root / "record"
        self.signed_by = KEY_OF_AWS
        for folder in ("etc/systemd/system", "run", "opt/aws/amazon-cloudwatch-agent/bin", "usr/local/sbin", "bin"):
            (root / folder).mkdir(parents=True)
        for name, text in STAND_INS.items():
            self.program(f"bin/{name}", text)
        self.program("opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl", RECORDER)

    def program(self, path: str, text: str) -> None:
        """Write a program, which is a bash script."""
        (self.root / path).write_text(text)
        (self.root / path).chmod(0o755)

    def try_to_run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script, to its end or to its first failure."""
        self.record.write_bytes(b"")
        moved = HOST_PATHS.sub(rf"{self.root}/\1/", script.replace(str(self.root), ""))
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "RECORD": str(self.record)}
        environment["SIGNED_BY"] = self.signed_by
        return subprocess.run(
            ["bash", "-c", moved],
            env=environment, cwd=self.root, text=True, capture_output=True, check=False, timeout=120,
        )  # fmt: skip

    def commands(self) -> list[list[str]]:
        """The commands that the last script gave, as words."""
        lines = self.record.read_bytes().decode().split("\0\n")
        return [line.split("\0") for line in lines if line]

    def run(self, script: str) -> list[list[str]]:
        """Run a script that succeeds; the commands that it gave, as words."""
        ran = self.try_to_run(script)
        assert ran.returncode == 0, ran.stderr
        return self.commands()


@pytest.fixture
def boot(start, tmp_path):
    """Boots a host of a scenario; gives the host and the commands of its first start."""

    def begin(name: str, holding: str = "", **changes: Any):
        terraform = start(name, filled=True, **changes)
        host = Host(tmp_path / "host")
        return host, host.run(user_data(terraform.plan(), holding))

    return begin


WATCHES_NO_LONGER = "#!/bin/bash\n[[ $1 != 30 ]]\n"
"""The watcher sleeps so long before each question, and ends where it cannot."""


def readiness(host) -> str:
    """The script that says when a host is ready, which then watches its engine no longer than that."""
    host.program("bin/sleep", WATCHES_NO_LONGER)
    return (host.root / "usr/local/sbin/inference-ready").read_text()


def serve(host) -> list[str]:
    """The words of the serving command, as the service unit would run it."""
    (command,) = host.run((host.root / "usr/local/sbin/inference-serve").read_text())
    return command


@pytest.mark.parametrize(
    "name", ["l4-spot", "inferentia2", "scheduled", "ec2-images", "ec2-adapters", "ec2-tensorrt-llm"]
)
def test_shellcheck_finds_nothing(name, start, tmp_path):
    """The linter of shell scripts has nothing to say about the script or the ones that it writes."""
    text = user_data(start(name, filled=True).plan())
    inner = re.findall(r"<<'SCRIPT'\n(.*?)^SCRIPT$", text, re.MULTILINE | re.DOTALL)
    assert inner
    for number, script in enumerate([text, *inner]):
        (tmp_path / f"{number}.sh").write_text(script)
    scripts = [str(path) for path in tmp_path.glob("*.sh")]
    # A container's program is one word, whose variables are its own.
    command = [harness.tool("tools", "shellcheck"), "--exclude=SC2016", *scripts]
    ran = subprocess.run(command, text=True, capture_output=True, check=False)
    assert ran.stdout == ""


def test_warmed_host_says_when_its_model_answers(boot):
    """A host of a group with a warm pool waits for its model, and then ends the wait of its lifecycle hook."""
    host, _ = boot("scheduled")
    waited, *_, told = host.run(readiness(host))
    assert waited[-1] == "https://127.0.0.1:8443/health"
    assert told[:3] == ["aws", "autoscaling", "complete-lifecycle-action"]
    assert told[told.index("--lifecycle-action-result") + 1] == "CONTINUE"


TELLS_LATER = """#!/bin/bash
echo >>"$RECORD-of-aws"
case "$1 $2 $(wc -l <"$RECORD-of-aws")" in
  'ec2 describe-tags 1') echo None ;;
  'ec2 '*) echo group-1 ;;
  *' 2') [[ $* == *'--auto-scaling-group-name  '* ]] && echo 'ValidationError: group name is empty' >&2 && exit 254 ;;
  *' 4') echo 'Throttling: Rate exceeded' >&2 && exit 254 ;;
  *) echo {last} >&2 && exit {status} ;;
esac
"""
"""Tags are told at the second question, and of the calls to the group the third succeeds."""


@pytest.mark.parametrize(
    ("last", "status"), [("", 0), ("'ValidationError: No active Lifecycle Action found with instance ID i-0'", 254)]
)
def test_a_host_says_that_it_is_ready_until_it_is_heard(boot, last, status):
    """A call that fails is made again, with the group's name once the tags are told; where nothing waits it is not."""
    host, _ = boot("scheduled")
    host.program("bin/aws", TELLS_LATER.format(last=last, status=status))
    host.run(readiness(host))
    assert len((host.root / "record-of-aws").read_text().splitlines()) == 6


def test_a_host_whose_hook_was_deleted_stops_saying_that_it_is_ready(boot):
    """Whatever EC2 answers: once the hook would have given it up, nothing waits for it any more."""
    host, _ = boot("scheduled")
    refuses = """#!/bin/bash
case "$1" in
  ec2) echo group-1 ;;
  *) echo "$2" >>"$RECORD-of-aws" && echo 'ValidationError: no such hook' >&2 && exit 254 ;;
esac
"""
    host.program("bin/aws", refuses)
    script = readiness(host)
    # Each wait of ten seconds lets a quarter of an hour pass.
    host.run(script.replace("sleep 10", "SECONDS=$((SECONDS + 900))"))
    asked = (host.root / "record-of-aws").read_text().splitlines()
    # The last at the very end of the hour, or just behind it.
    assert set(asked) == {"complete-lifecycle-action"}
    assert len(asked) in {5, 6}


HANGS = """#!/bin/bash
echo "$*" >>"$RECORD-of-curl"
case "$*" in
  *meta-data*) echo i-0123456789abcdef0 ;;
  */health_generate) echo {said}; exit {status} ;;
esac
"""
"""Engine that is healthy by its own word; asked for a token, it says something or nothing."""


@pytest.mark.parametrize(("said", "status", "is_replaced"), [("", 28, True), ("'500 no chat template'", 0, False)])
def test_a_host_whose_engine_hangs_is_replaced(boot, said, status, is_replaced):
    """TensorRT-LLM answers /health while it hangs: what it does not answer is asked for a token; an error answers."""
    host, _ = boot("ec2-tensorrt-llm")
    host.program("bin/curl", HANGS.format(said=said, status=status))
    host.program("bin/sleep", '#!/bin/bash\necho "$1" >>"$RECORD-of-sleep"\n(($(wc -l <"$RECORD-of-sleep") < 200))\n')
    host.try_to_run((host.root / "usr/local/sbin/inference-ready").read_text())
    asked = (host.root / "record-of-curl").read_text()
    assert asked.count("/health\n") == asked.count("/health_generate\n") + 1 > 150  # the first waits for the start
    assert "--max-time 120" in asked
    words = [command[:3] for command in host.commands()]
    assert (["aws", "autoscaling", "set-instance-health"] in words) == is_replaced


@pytest.mark.parametrize("name", ["h100-tp8", "inferentia2"])
def test_service_runs_the_planned_container(name, boot):
    """The container gets the accelerators, the image, the model and exactly the planned arguments."""
    host, _ = boot(name)
    (option,) = SCENARIOS[name]().plan.options
    command = serve(host)
    assert command[:2] == ["docker", "run"]
    served = command[command.index("--entrypoint=vllm") + 2 :]
    assert served[0] == "serve"
    if name == "h100-tp8":
        assert "--gpus=all" in command
        assert served[1] == "meta-llama/Meta-Llama-3.1-405B-Instruct-FP8"
        assert {"--tensor-parallel-size=8", "--kv-cache-dtype=fp8"} <= set(served)
    else:
        assert "--device=/dev/neuron0" in command
        assert "--tensor-parallel-size=2" in served
    assert f"--max-num-seqs={option.max_concurrency}" in served


PAGES = [
    # Cumulative: 10 requests, of which 4 within 0.75 s and 9 within 1 s; then 40 more, 20 within 0.75 s and 30 within 1.
    {"0.75": 4, "1.0": 9, "2.5": 10, "+Inf": 10},
    {"0.75": 24, "1.0": 39, "2.5": 49, "+Inf": 50},
]


def _page(buckets: dict[str, int], waiting: int) -> str:
    name = "vllm:time_to_first_token_seconds_bucket"
    lines = [f'{name}{{engine="0",le="{edge}",model_name="a b"}} {count}.0' for edge, count in buckets.items()]
    return "\n".join([*lines, f'vllm:num_requests_waiting{{engine="0",model_name="a b"}} {waiting}.0', ""])


def test_host_reports_what_the_slo_alarms_read(boot):
    """Requests, those beyond 1 s and the queue since the last report; a restarted engine counts from nothing."""
    host, _ = boot("l4-spot")
    (host.root / "pages").mkdir()
    for number, (buckets, waiting) in enumerate(zip([*PAGES, PAGES[0]], (0, 7, 2), strict=True)):
        (host.root / f"pages/{number}").write_text(_page(buckets, waiting))
    host.program("bin/sleep", "#!/bin/bash\nread -r page < <(ls pages) && mv pages/$page page\n")
    host.program("bin/curl", '#!/bin/bash\n[[ "$*" == *metrics ]] || exec echo x\ncat page\n')
    commands = host.run((host.root / "usr/local/sbin/inference-report").read_text())
    sent = [command for command in commands if command[:3] == ["aws", "cloudwatch", "put-metric-data"]]
    values = [[word.split(",")[1] for word in command if word.startswith("MetricName=")] for command in sent]
    # The first is that of an engine that hangs.
    assert values == [["Value=0", "Value=40", "Value=10", "Value=7"], ["Value=0", "Value=10", "Value=1", "Value=2"]]


@pytest.mark.parametrize(
    ("running", "made", "minutes"),
    [
        ([(1, 1)] * 7, [(10, 20)] * 7, 6),  # neither has made any
        ([(1, 1)] * 7, [(10, 20 + now) for now in range(7)], 6),  # one of the two hangs
        ([(1, 1)] * 7, [(10 * now, 20 * now) for now in range(7)], 0),
        ([(0, 0)] * 7, [(10, 20)] * 7, 0),  # no requests
        ([(1, 1), (1, 1), (0, 0), (1, 1), (1, 1), (1, 1), (1, 1)], [(10, 20)] * 7, 3),  # they ended, and others came
        ([(1, 1)] * 7, [(12345678901, 2), (12345678902, 3)] * 3 + [(12345678901, 2)], 0),
    ],
    ids=["both hang", "one hangs", "busy", "idle", "came and went", "large counts"],
)
def test_host_counts_the_minutes_for_which_an_engine_hangs(running, made, minutes, boot):
    """Each engine behind the port is looked at by itself: requests at two looks, and no token between them."""
    host, _ = boot("l4-spot")
    (host.root / "pages").mkdir()
    for number, (requests, tokens) in enumerate(zip(running, made, strict=True)):
        lines = _page(PAGES[0], 0).splitlines()
        lines += [
            f'vllm:num_requests_running{{engine="{at}",model_name="a b"}} {of}.0' for at, of in enumerate(requests)
        ]
        lines += [
            f'vllm:generation_tokens_total{{engine="{at}",model_name="a b"}} {of}.0' for at, of in enumerate(tokens)
        ]
        (host.root / f"pages/{number}").write_text("\n".join([*lines, ""]))
    host.program("bin/sleep", "#!/bin/bash\nread -r page < <(ls pages) && mv pages/$page page\n")
    host.program("bin/curl", '#!/bin/bash\n[[ "$*" == *metrics ]] || exec echo x\ncat page\n')
    commands = host.run((host.root / "usr/local/sbin/inference-report").read_text())
    told = [word for command in commands for word in command if word.startswith("MetricName=stalled_minutes")]
    assert len(told) == 6
    assert told[-1].split(",")[1] == f"Value={minutes}"


@pytest.mark.sampled(2)
def test_host_reports_from_quantiles_what_the_slo_alarms_read(boot):
    """Of 40 new requests as many are over 50 ms as lie between the quantiles of the last minute, over both GPUs."""
    name = "nv_inference_request_summary_us"
    host, _ = boot("ec2-images", holding=name)
    (host.root / "pages").mkdir()
    pages = [
        {0.5: "Nan", 0.95: "Nan"},  # the minute had no request
        {0.5: "30000", 0.95: "60000"},
        {0.5: "20000", 0.95: "40000"},
    ]
    for number, quantiles in enumerate(pages):
        lines = [f'{name}_count{{gpu="{gpu}",model="m"}} {20 * number}' for gpu in "ab"]
        lines += [f'{name}{{gpu="a",quantile="{at}"}} {value}' for at, value in quantiles.items()]
        lines += [f'{name}{{gpu="b",quantile="{at}"}} {value}' for at, value in quantiles.items()]
        lines += [f'nv_inference_pending_request_count{{model="m"}} {number}', ""]
        (host.root / f"pages/{number}").write_text("\n".join(lines))
    host.program("bin/sleep", "#!/bin/bash\nread -r page < <(ls pages) && mv pages/$page page\n")
    host.program("bin/curl", '#!/bin/bash\n[[ "$*" == *metrics ]] || exec echo x\ncat page\n')
    commands = host.run((host.root / "usr/local/sbin/inference-report").read_text())
    sent = [command for command in commands if command[:3] == ["aws", "cloudwatch", "put-metric-data"]]
    values = [
        [float(word.split(",")[1].removeprefix("Value=")) for word in command if "Value=" in word] for command in sent
    ]
    # A third of the way from 60 to 30 ms: 0.95 - 0.45 / 3 of the requests are within 50 ms; then 0.95 are within 40.
    assert values == [[40.0, pytest.approx(40 * (1 - 0.80), abs=0.1), 1.0], [40.0, pytest.approx(2.0, abs=0.1), 2.0]]


def test_hostile_argument_stays_one_word(boot):
    """A serving argument full of shell syntax reaches the container as it is, and runs nothing."""
    backend = "us-east-1-1xl4-fp8-tp1-vllm"
    less_exact = {"vllm": ["--of-the-engine"], "*": ["--of-all"]}
    host, _ = boot("l4-spot", extra_serving_arguments={backend: [HOSTILE_ARGUMENT], **less_exact})
    command = serve(host)
    assert command[-1] == HOSTILE_ARGUMENT
    assert not {"--of-the-engine", "--of-all"} & set(command)
    assert not list(host.root.rglob("pwned"))


def test_token_is_read_at_start_and_kept_in_memory_only(boot):
    """The boot script does not hold the token; the start script reads it by ARN into a file that only root reads."""
    host, commands = boot("l4-spot")
    assert not any(command[0] == "aws" for command in commands)
    script = (host.root / "usr/local/sbin/inference-token").read_text()
    (command,) = host.run(script)
    assert command[:3] == ["aws", "secretsmanager", "get-secret-value"]
    environment = host.root / "run/inference/environment"
    assert environment.read_text() == "HF_TOKEN=hf_secret\n"
    assert environment.stat().st_mode & 0o777 == 0o600


def test_an_engine_that_starts_again_needs_no_service(boot):
    """Secrets and a bucket that do not answer then fail no restart: what was read and copied since the boot does."""
    host, _ = boot("l4-spot", model_source="s3://weights/llm")
    unit = (host.root / "etc/systemd/system/inference.service").read_text()
    prepare = "set -e\n" + "\n".join(re.findall(r"^ExecStartPre=(?!-)(.+)$", unit, re.MULTILINE))
    prepare = prepare.replace(f"{host.root}/usr", "/usr").replace("/usr/local/sbin/inference-disk", "true")
    for script in ("token", "weights"):
        path = host.root / f"usr/local/sbin/inference-{script}"
        path.write_text(HOST_PATHS.sub(rf"{host.root}/\1/", path.read_text().replace(str(host.root), "")))
    host.program("bin/aws", RECORDER + 'echo first; [[ $2 != sync ]] || touch "${@: -1}/file"\n')
    host.run(prepare)
    assert any(command[:3] == ["aws", "s3", "sync"] for command in host.commands())

    host.program("bin/aws", RECORDER + "exit 1\n")
    commands = host.run(prepare)
    assert commands
    assert not any(command[:3] == ["aws", "s3", "sync"] for command in commands)
    assert (host.root / "run/inference/environment").read_text() == "HF_TOKEN=first\n"

    (host.root / "run/inference/prepared").unlink()
    assert host.try_to_run(prepare).returncode != 0


def test_host_logs_into_ngc_and_serves_from_a_folder(boot):
    """The key of NGC reaches Docker on its input only, and the model is a folder without the hub's prefix."""
    host, _ = boot("ec2-custom-image")
    assert "--env=NIM_MODEL_PATH=/models/meta-llama/Llama-3.1-8B-Instruct" in serve(host)
    host.program("bin/docker", RECORDER + "cat >password\n")
    commands = host.run((host.root / "usr/local/sbin/inference-token").read_text())
    assert ["docker", "login", "--username", "$oauthtoken", "--password-stdin", "nvcr.io"] in commands
    assert (host.root / "password").read_text() == "hf_secret\n"


@pytest.mark.parametrize(
    ("source", "folder"),
    [("s3://weights/llm", "/root/.cache/models"), ("/srv/models", "/srv/models")],
)
def test_adapters_are_found_where_the_weights_are(source, folder, boot):
    """As folders of their names below the working folder of the container; one of them the hub does not have."""
    host, _ = boot("ec2-adapters", model_source=source)
    command = serve(host)
    named = command.index("--lora-modules")

    assert command[named + 1 : named + 4] == [
        "sql-lora=acme/sql-lora",
        "mail-lora=acme/mail-lora",
        "support-de=support-de",
    ]
    assert command[named + 4].startswith("--port=")
    assert f"--workdir={folder}" in command


def test_adapters_of_a_bucket_are_copied_with_the_weights(boot):
    """Each to a folder of its name beside the model."""
    host, _ = boot("ec2-adapters", model_source="s3://weights/llm")
    host.program("bin/aws", RECORDER + 'mkdir -p "${@: -1}" && touch "${@: -1}/file"\n')
    (host.root / "run/inference").mkdir(exist_ok=True)
    script = host.root / "usr/local/sbin/inference-weights"
    moved = HOST_PATHS.sub(rf"{host.root}/\1/", script.read_text().replace(str(host.root), ""))
    script.write_text(moved)
    environment = {"PATH": f"{host.root}/bin:{os.environ['PATH']}", "RECORD": str(host.record)}
    host.record.write_bytes(b"")
    subprocess.run([str(script)], env=environment, cwd=host.root, check=True)

    copied = [
        command[-2].removeprefix("s3://weights/llm/")
        for command in host.commands()
        if command[:3] == ["aws", "s3", "sync"]
    ]
    assert copied == ["meta-llama/Llama-3.1-8B-Instruct", "acme/sql-lora", "acme/mail-lora", "support-de"]


@pytest.mark.parametrize(("name", "is_watched"), [("mixed-fleet", False), ("l4-spot", True)])
def test_only_spot_hosts_watch_for_interruptions(name, is_watched, boot):
    """Nobody takes back what is bought on demand; the first group of the mixed fleet is."""
    _, commands = boot(name)
    assert any(command[-1] == "inference-spot.service" for command in commands) == is_watched


def test_downloads_lie_on_the_own_disks(boot):
    """One disk needs no array; what the machine image has mounted is used as it is; without disks nothing is mounted."""
    host, _ = boot("l4-spot")
    script = (host.root / "usr/local/sbin/inference-disk").read_text()
    cache = f"{host.root}/var/cache/inference"
    for name in ("mdadm", "mkfs.ext4", "mount", "udevadm"):
        host.program(f"bin/{name}", RECORDER)
    host.program("bin/mountpoint", "#!/bin/bash\nexit 1\n")
    host.program("bin/lsblk", "#!/bin/bash\necho /dev/nvme0n1 Amazon Elastic Block Store\n")
    assert [command[0] for command in host.run(script)] == ["systemctl"]
    host.program("bin/lsblk", "#!/bin/bash\necho /dev/nvme1n1 Amazon EC2 NVMe Instance Storage\n")
    _, made, _, mounted = host.run(script)
    assert made[-1] == "/dev/nvme1n1"
    assert mounted == ["mount", "/dev/disk/by-label/inference", cache]
    host.program("bin/mountpoint", '#!/bin/bash\n[[ "$*" == *dlami* ]]\n')
    assert host.run(script)[-1] == ["mount", "--bind", f"{host.root}/opt/dlami/nvme/inference", cache]
    host.program("bin/mountpoint", "#!/bin/bash\n")
    assert host.run(script) == []


def test_agents_are_set_up_after_serving(boot):
    """Serving starts first; the metrics agent reports GPUs by group, and the advisor agent is installed as pinned."""
    host, commands = boot("l4-spot")
    names = [command[-1] if command[0] == "systemctl" else command[0] for command in commands]
    assert names.index("inference.service") < names.index("amazon-cloudwatch-agent-ctl")
    settings = json.loads((host.root / "etc/inference/cloudwatch-agent.json").read_text())["metrics"]
    assert settings["aggregation_dimensions"] == [["AutoScalingGroupName"]]
    assert settings["append_dimensions"]["AutoScalingGroupName"] == "${aws:AutoScalingGroupName}"
    assert "utilization_gpu" in settings["metrics_collected"]["nvidia_gpu"]["measurement"]
    assert any(command[-1] == AGENT["agent_package"] for command in commands)
    unit = (host.root / "etc/systemd/system/advisor-agent.service").read_text()
    assert "inference-advisor-agent run --output" in unit


def test_a_first_start_that_fails_leaves_no_half_host(start, tmp_path):
    """A secret or a bucket that does not answer yet fails the start, which systemd repeats: the rest is set up."""
    host = Host(tmp_path / "host")
    host.program("bin/systemctl", RECORDER + '[[ "$*" != *" inference.service" || "$*" == *--no-block* ]]\n')
    commands = host.run(user_data(start("l4-spot", filled=True).plan()))
    assert {"inference-ready.service", "inference-spot.service"} <= {command[-1] for command in commands}
    assert commands[-1][-1] == "advisor-agent.service"


@pytest.mark.parametrize("signed_by", [KEY_OF_AWS, "0" * 40])
def test_a_metrics_agent_that_aws_did_not_sign_is_not_installed(start, tmp_path, signed_by):
    """An image without the agent gets it from the region's bucket, with the signature of AWS's key only."""
    script = user_data(start("l4-spot", filled=True).plan())
    host = Host(tmp_path / "host")
    host.signed_by = signed_by
    (host.root / "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl").unlink()
    host.try_to_run(script)
    commands = host.commands()
    bucket = "https://amazoncloudwatch-agent-us-east-1.s3.us-east-1.amazonaws.com"
    assert f"{bucket}/ubuntu/amd64/latest/amazon-cloudwatch-agent.deb.sig" in {command[-1] for command in commands}
    assert any(command[0] == "apt-get" and "install" in command for command in commands) == (signed_by == KEY_OF_AWS)


def test_a_plain_ubuntu_installs_what_it_has_not(start, tmp_path):
    """Machines without an accelerator boot an image without Docker, and get it before they serve."""
    text = user_data(start("ec2-embeddings", filled=True).plan())
    host = Host(tmp_path / "host")
    (host.root / "bin/docker").rename(host.root / "docker")
    host.program("bin/apt-get", f'{RECORDER}[[ "$*" != *docker.io* ]] || mv "{host.root}/docker" "{host.root}/bin"\n')
    commands = host.run(text)
    installed = [at for at, command in enumerate(commands) if command[0] == "apt-get"]
    served = next(at for at, command in enumerate(commands) if command[:2] == ["systemctl", "enable"])
    assert [commands[at][-1] for at in installed] == ["--quiet", "docker.io"]
    assert max(installed) < served
    (tmp_path / "script.sh").write_text(text)
    linter = [harness.tool("tools", "shellcheck"), tmp_path / "script.sh"]
    assert subprocess.run(linter, text=True, capture_output=True, check=False).stdout == ""


def test_no_agent_is_installed_without_its_address(boot):
    """It is optional: the host gets no packages, no service, and no process to look for."""
    host, commands = boot("l4-spot", agent_package=None)
    assert not any("pip" in word for command in commands for word in command)
    assert not (host.root / "etc/systemd/system/advisor-agent.service").exists()
    settings = json.loads((host.root / "etc/inference/cloudwatch-agent.json").read_text())["metrics"]
    assert "procstat" not in settings["metrics_collected"]
