"""An Azure host as a process of its own, with loopback services in place of Azure's."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from email.utils import formatdate

import pytest

from advisor.codegen import Language, generate
from codegen.azure_services import CHANGED, serving
from codegen.scenarios import SCENARIOS
from codegen.test_azure_host import SETTINGS, furnish, moved, page_of

MODEL = "v1/organisation/model/"
BLOBS = {
    f"{MODEL}config.json": b"{}",
    f"{MODEL}folder/shard 1.safetensors": bytes(range(256)) * 4096,
    "v1/other": b"no",
}


@pytest.fixture
def azure():
    """Services with a model."""
    with serving(BLOBS) as server:
        yield server


@pytest.fixture
def host(azure, tmp_path):
    """Runs a verb of the program on a host that is a folder."""
    scenario = SCENARIOS["vm-scale-set-reactive"]()
    text = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["host.py"]
    source = {"container_url": f"{azure.url}/models", "prefix": MODEL, "model": "organisation/model"}
    furnish(tmp_path, {**SETTINGS, "weights": source})
    program = tmp_path / "host.py"
    program.write_text(moved(text, tmp_path).replace("http://169.254.169.254", azure.url))

    def run(verb):
        return subprocess.run([sys.executable, program, verb], capture_output=True, text=True, timeout=120, check=False)

    run.folder = tmp_path / "var/cache/inference/weights/organisation/model"
    return run


def test_weights_are_copied_once(host, azure):
    """Every file of the model and no other; the second start copies nothing."""
    assert host("weights").returncode == 0
    files = {str(path.relative_to(host.folder)): path.read_bytes() for path in host.folder.rglob("*") if path.is_file()}
    assert files == {name.removeprefix(MODEL): blob for name, blob in BLOBS.items() if name.startswith(MODEL)}
    azure.asked.clear()
    assert host("weights").returncode == 0
    assert [path for path, _ in azure.asked if "safetensors" in path] == []


def test_copy_that_breaks_off_goes_on(host, azure):
    """A cut connection and a program that was ended cost only the rest."""
    azure.cut_at = 1000
    del azure.blobs[f"{MODEL}config.json"]
    assert host("weights").returncode == 0
    assert [one for _, one in azure.asked if one] == ["bytes=0-", "bytes=1000-"]
    assert (host.folder / "folder/shard 1.safetensors").read_bytes() == BLOBS[f"{MODEL}folder/shard 1.safetensors"]
    assert (host.folder / "folder/shard 1.safetensors").stat().st_mtime == CHANGED


def test_new_version_is_copied_anew(host):
    """A half of an old version is no start of a new one."""
    (host.folder / "folder").mkdir(parents=True)
    (host.folder / "folder/.shard 1.safetensors.0xOLD").write_bytes(b"old")
    assert host("weights").returncode == 0
    assert (host.folder / "folder/shard 1.safetensors").read_bytes() == BLOBS[f"{MODEL}folder/shard 1.safetensors"]


@pytest.mark.parametrize(
    ("blobs", "told"),
    [({}, "holds nothing: copy the model there first"), ({f"{MODEL}../../x": b"x"}, "names with '..' in them")],
)
def test_source_that_cannot_be_copied_is_named(blobs, told, host, azure):
    """What is wrong and how to fix it, in one line."""
    azure.blobs = blobs
    ended = host("weights")
    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_service_that_refuses_is_named(host, azure):
    """The log says which address said no."""
    settings = json.loads((host.folder.parents[5] / "etc/inference/settings.json").read_text())
    settings["weights"]["container_url"] = f"{azure.url}/elsewhere"
    (host.folder.parents[5] / "etc/inference/settings.json").write_text(json.dumps(settings))
    ended = host("weights")
    assert "/elsewhere?restype=container" in ended.stderr
    assert "404" in ended.stderr
    assert "Traceback" not in ended.stderr


STAND_IN = """#!/bin/sh
printf '%s' "${{0##*/}}" >>{log}
for word; do printf ' %s' "$word" >>{log}; done
case "${{0##*/}} $*" in *--password-stdin*) printf ' <%s' "$(cat)" >>{log} ;; esac
printf '\\n' >>{log}
case "${{0##*/}}" in lsblk) echo '{{"blockdevices": []}}' ;; esac
case "${{0##*/}} $*" in *--no-block*) exit 0 ;; systemctl*--now*" inference.service"*) exit {first_start} ;; esac
"""
"""Of these, systemctl waits for the first start of the engine, unless it is told not to, and fails as it does."""
PROGRAMS = ("apt-get", "blkid", "docker", "iptables", "lsblk", "mount", "nvidia-smi", "ss", "systemctl")


class Machine:
    """A host that is a folder: the boot script writes into it, its units are run one by one, its programs only write down."""

    def __init__(self, folder, azure, script="user_data.sh.tftpl", *, first_start=0, agent="") -> None:
        """Before the first boot, in which the first start of the engine ends with *first_start*; *agent*: its package."""
        self.folder, self.log = folder, folder / "log"
        for name in PROGRAMS:
            path = folder / "usr/bin" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(STAND_IN.format(log=self.log, first_start=first_start))
            path.chmod(0o755)
        furnish(folder, {})
        for place in ("etc/systemd/system", "etc/haproxy", "usr/local/sbin"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "PATH": f"{folder}/usr/bin:{os.environ['PATH']}"}
        scenario = SCENARIOS["vm-scale-set-reactive"]()
        files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
        program = moved(files["host.py"], folder).replace("http://169.254.169.254", azure.url)
        program = program.replace("PROBING_SECONDS = 10", "PROBING_SECONDS = 0").replace("https://", "http://")
        script = files[script].replace("${agent_package}", agent).replace("${configuration}", "frontend clients")
        self.script = re.sub(r"(?<![\w\"])/(?=(etc|usr/local|usr/bin/docker|var/cache|opt)\b)", f"{folder}/", script)
        self.script = self.script.replace(
            "${program}", program.replace("#!/usr/bin/env python3", f"#!{sys.executable}")
        )

    def boot(self, settings) -> None:
        """Run the script of the user data."""
        script = self.script.replace("${settings}", json.dumps(settings))
        subprocess.run(["bash", "-c", script], env=self.environment, check=True, capture_output=True, timeout=120)

    def start(self, unit: str) -> None:
        """Run the commands of a unit, as systemd does; those behind a hyphen may fail."""
        text = (self.folder / "etc/systemd/system" / unit).read_text()
        for may_fail, command in re.findall(r"^ExecStart(?:Pre)?=(-?)(.+)$", text, re.MULTILINE):
            subprocess.run(shlex.split(command), env=self.environment, check=not may_fail, timeout=120)

    def ran(self) -> list[str]:
        """What was run since this was asked last."""
        lines = self.log.read_text().splitlines()
        self.log.unlink()
        return lines


def test_host_comes_up_serves_and_leaves(azure, tmp_path):
    """Boot, sign in, copy, serve, report; then a notice: no new requests, the last one ends, and Azure may go on."""
    machine = Machine(tmp_path, azure)
    address = azure.url.removeprefix("http://")
    secrets = {"certificate_url": f"{azure.url}/secrets/certificate", "hub_token_url": f"{azure.url}/secrets/token"}
    source = {"container_url": f"{azure.url}/models", "prefix": MODEL, "model": "organisation/model"}
    arguments = [f"{address}/vllm:1", "serve", "/root/.cache/weights/organisation/model"]
    more = {"registry_server": address, "port": azure.server_address[1], "container_arguments": arguments}
    machine.boot(SETTINGS | secrets | more | {"weights": source, "drain_seconds": 5, "publish_metrics": False})
    assert machine.ran()[-1].startswith("systemctl enable --now --no-block inference.service")

    machine.start("inference.service")
    disks, _listed, login, _removed, run = machine.ran()
    assert disks.startswith("blkid")
    assert login.endswith(f"--password-stdin {address} <refresh")
    assert run.endswith(" ".join(arguments))
    weights = tmp_path / "var/cache/inference/weights/organisation/model"
    assert (weights / "config.json").read_bytes() == b"{}"
    assert (tmp_path / "run/inference/environment").read_text() == "HF_TOKEN=hf_token\n"

    azure.metrics = page_of(1, running=1)
    machine.start("inference-report.service")
    machine.ran()
    before = formatdate(time.time() + 30, usegmt=True)
    azure.events = [{"EventId": "1", "EventType": "Preempt", "Resources": ["host-1"], "NotBefore": before}]
    answered = threading.Timer(1.2, lambda: setattr(azure, "metrics", page_of(2)))
    answered.start()
    machine.start("inference-drain.service")
    assert [line.split()[0] for line in machine.ran()] == ["iptables", "systemctl"]
    assert azure.metrics == page_of(2)
    assert azure.sent[-1] == (
        "/metadata/scheduledevents?api-version=2020-07-01",
        '{"StartRequests": [{"EventId": "1"}]}',
    )


def test_an_engine_that_starts_again_needs_no_service(azure, tmp_path):
    """Key Vault and a storage account that do not answer then fail no restart: what was read since the boot does."""
    machine = Machine(tmp_path, azure)
    secrets = {"certificate_url": f"{azure.url}/secrets/certificate", "hub_token_url": f"{azure.url}/secrets/token"}
    source = {"container_url": f"{azure.url}/models", "prefix": MODEL, "model": "organisation/model"}
    machine.boot(SETTINGS | secrets | {"weights": source})
    machine.start("inference.service")
    settings = json.loads((tmp_path / "etc/inference/settings.json").read_text())
    silent = settings | {
        "key_vault_resource": "",
        "certificate_url": f"{azure.url}/nothing",
        "weights": source | {"prefix": "none/"},
    }
    (tmp_path / "etc/inference/settings.json").write_text(json.dumps(silent))
    machine.start("inference.service")
    assert (tmp_path / "run/inference/environment").read_text() == "HF_TOKEN=hf_token\n"

    for mark in ("read", "copied"):
        (tmp_path / "run/inference" / mark).unlink()
        with pytest.raises(subprocess.CalledProcessError):
            machine.start("inference.service")
        (tmp_path / "run/inference" / mark).touch()


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/absent", (503, {"ApplicationHealthState": None})), ("/health", (200, {"ApplicationHealthState": "Healthy"}))],
    ids=["loading", "serving"],
)
def test_host_tells_the_health_extension_how_it_is(path, answer, azure, tmp_path):
    """In the form of rich health states, to the host alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    machine = Machine(tmp_path, azure)
    machine.script = machine.script.replace("HEALTH_PORT = 8444", f"HEALTH_PORT = {port}")
    machine.boot(SETTINGS | {"port": azure.server_address[1], "health_path": path})
    unit = (tmp_path / "etc/systemd/system/inference-health.service").read_text()
    command = shlex.split(re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE)[1])
    with subprocess.Popen(command, env=machine.environment) as process:
        try:
            assert answer_of(port) == answer
        finally:
            process.kill()


def answer_of(port):
    """Status and body of the first answer there, as soon as there is one."""
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except urllib.error.URLError:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_first_start_that_fails_does_not_end_the_set_up(azure, tmp_path):
    """The engine's first start fails, as before its rights on the secrets have spread: what follows is set up all the same."""
    Machine(tmp_path, azure, first_start=1).boot(SETTINGS)


def test_an_agent_that_cannot_be_installed_leaves_a_service_that_fails(azure, tmp_path):
    """The rest of the boot goes on, and the report of the host finds the service that does not run."""
    machine = Machine(tmp_path, azure, agent="https://artifacts.example.com/agent.whl#sha256=0")
    python = tmp_path / "usr/bin/python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    machine.boot(SETTINGS)
    assert machine.ran()[-1] == "systemctl enable --now advisor-agent.service"
    assert "ExecStart=" in (tmp_path / "etc/systemd/system/advisor-agent.service").read_text()


def test_entrance_takes_up_a_renewed_certificate_and_leaves(azure, tmp_path):
    """Boot, an hour with the same certificate, an hour with another one; then a notice: no probe is answered any more."""
    machine = Machine(tmp_path, azure, "entrance.sh.tftpl")
    secrets = {"certificate_url": f"{azure.url}/secrets/certificate", "hub_token_url": None, "metrics": None}
    machine.boot(
        SETTINGS | secrets | {"service": "haproxy.service", "port": azure.server_address[1], "drain_seconds": 1}
    )
    assert (tmp_path / "etc/haproxy/haproxy.cfg").read_text() == "frontend clients\n"
    assert machine.ran()[-1].endswith("inference-drain.service inference-renew.timer haproxy.service")

    machine.start("haproxy.service.d/inference.conf")
    machine.start("inference-renew.service")
    assert not machine.log.exists()
    azure.certificate = "RENEWED"
    machine.start("inference-renew.service")
    assert machine.ran() == ["systemctl reload haproxy.service"]
    assert (tmp_path / "run/inference/tls.pem").read_text() == "RENEWED"

    azure.events = [{"EventId": "1", "EventType": "Terminate", "Resources": ["host-1"], "NotBefore": ""}]
    machine.start("inference-drain.service")
    ran = [line.split()[0] for line in machine.ran()]
    assert (ran[0], ran[-1]) == ("iptables", "systemctl")
