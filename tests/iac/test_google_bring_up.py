"""A Google host comes up, serves and is taken back, with its own scripts and the programs of google_host_programs.py."""

import contextlib
import http.client
import json
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from iac.modules import resources

PROGRAMS = Path(__file__).with_name("google_host_programs.py")
NAMES = (
    "apt-get", "docker", "dpkg", "gcloud", "iptables", "mdadm", "mkfs.ext4", "mount", "mountpoint", "systemctl", "udevadm",
)  # fmt: skip
HOST_PATHS = re.compile(r"(?<![\w.])/(etc|run|opt|var|usr/local|dev/disk|dev/md)/")
MODEL = "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic"
IMAGE = "europe-docker.pkg.dev/my-project/copies/vllm:v1"
WEIGHTS = os.urandom(100_000)
TRUSTING = ssl._create_unverified_context()


class Cloud(ThreadingHTTPServer):
    """An object store whose first copy breaks off, and a registry for those who logged in."""

    def __init__(self) -> None:
        """On a free port."""
        super().__init__(("127.0.0.1", 0), Answers)
        folder = f"/weights/models/{MODEL}"
        self.objects = {f"{folder}/config.json": b'{"model": "stand-in"}', f"{folder}/model.safetensors": WEIGHTS}
        self.broken_off = False
        self.starts: list[int] = []


class Answers(BaseHTTPRequestHandler):
    """What the cloud says."""

    server: Cloud

    def do_GET(self) -> None:
        """A listing, an object from some byte on, or an image."""
        path, _, question = self.path.partition("?")
        if path.startswith("/v2/"):
            self._say(b"image", status=200 if self.headers["Authorization"] == "of-the-host" else 401)
        elif question:
            names = [name.removeprefix(f"{path}/") for name in self.server.objects if name.startswith(f"{path}/")]
            self._say(json.dumps(names).encode())
        else:
            start = int(re.findall(r"\d+", self.headers["Range"])[0])
            self._say(self.server.objects[path][start:], is_weights=path.endswith("safetensors"))
            self.server.starts.append(start)

    def _say(self, body: bytes, *, status: int = 200, is_weights: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        breaks = is_weights and not self.server.broken_off
        self.server.broken_off |= breaks
        self.wfile.write(body[: len(body) // 2] if breaks else body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Host:
    """A folder that plays the file system of a host with two disks of its own."""

    def __init__(self, root: Path, cloud: str) -> None:
        """Put programs, disks and folders in place."""
        self.root, self.record = root, root / "record"
        for folder in (
            "bin",
            "run",
            "usr/local/sbin",
            "etc/systemd/system",
            "etc/google-cloud-ops-agent",
            "dev/disk/by-id",
        ):
            (root / folder).mkdir(parents=True)
        (root / "etc/os-release").write_text("VERSION_CODENAME=noble\n")
        for number in range(2):
            (root / f"dev/disk/by-id/google-local-nvme-ssd-{number}").touch()
        for name in NAMES:
            (root / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} -IS {PROGRAMS} {name} "$@"\n')
            (root / "bin" / name).chmod(0o755)
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.environment = {
            "PATH": f"{root}/bin:{os.environ['PATH']}", "RECORD": str(self.record), "ROOT": str(root), "CLOUD": cloud,
            "HOME": str(root), "DOCKER_CONFIG": f"{root}/run/inference",
        }  # fmt: skip

    def boot(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run the startup script."""
        return self.run("bash", "-c", HOST_PATHS.sub(rf"{self.root}/\1/", script).replace("8443", str(self.port)))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(command, env=self.environment, text=True, capture_output=True, check=False, timeout=120)

    def commands_of(self, key: str) -> list[str]:
        """What the service runs at such a moment, such as ExecStop, as far as it has to succeed."""
        unit = (self.root / "etc/systemd/system/inference.service").read_text()
        return [line for line in re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE) if not line.startswith("-")]

    def prepare(self) -> str:
        """What comes before the container, to the end or to the first failure, whose message is returned."""
        ran = (self.run(*shlex.split(command)) for command in self.commands_of("ExecStartPre"))
        return next((one.stderr for one in ran if one.returncode), "")

    def ask(self, path: str = "/health", body: bytes | None = None) -> str:
        """What the engine answers, over TLS."""
        with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", self.port, context=TRUSTING)) as engine:
            engine.request("POST" if body else "GET", path, body)
            return engine.getresponse().read().decode()

    def recorded(self, *names: str) -> list[list[str]]:
        """The calls of these programs, in their order."""
        lines = self.record.read_text().splitlines(keepends=True)
        calls = [json.loads(line) for line in lines if line.endswith("\n")]
        return [call for call in calls if call[0] in names]


@pytest.fixture
def cloud():
    """A cloud on the loopback interface."""
    with Cloud() as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


@pytest.fixture
def script(start):
    """The startup script of a spot host, with weights from a bucket and an image of Artifact Registry."""
    given = {"model_source": "gs://weights/models", "container_images": {"vllm": IMAGE}, "agent_package": None}
    planned = resources(start("mig-l4-spot", filled=True, **given).plan())
    return planned["google_compute_region_instance_template"][0]["metadata"]["startup-script"]


def test_host_comes_up_serves_and_drains(script, cloud, tmp_path):
    """Its disks become one, the weights are copied, the engine serves, and a stop lets the running request end."""
    host = Host(tmp_path / "host", f"http://127.0.0.1:{cloud.server_port}")
    booted = host.boot(script)
    assert booted.returncode == 0, booted.stderr
    disks = host.recorded("mdadm", "mkfs.ext4", "mount")
    assert [call[0] for call in disks] == ["mdadm", "mkfs.ext4", "mount"]
    assert "--raid-devices=2" in disks[0]
    copies_weights(host, cloud)
    with serving(host) as engine:
        drains(host)
        assert engine.wait(timeout=60) == 0
    assert host.boot(script).returncode == 0
    assert host.recorded("mdadm", "mkfs.ext4", "mount") == disks, "what lies on the disks outlives a reboot"


def test_a_host_installs_docker_when_the_mirror_answers(start, cloud, tmp_path):
    """Of images for TPUs, which come without it: a mirror that fails is asked again, since nobody replaces the host."""
    planned = resources(start("tpu-vm-embeddings", filled=True, agent_package=None).plan())
    startup = planned["google_compute_region_instance_template"][0]["metadata"]["startup-script"]
    installs = startup.partition("# What is downloaded lies")[0].replace("sleep 10", "sleep 0")
    host = Host(tmp_path / "host", f"http://127.0.0.1:{cloud.server_port}")
    (host.root / "bin/docker").unlink()
    for name in ("curl", "apt-get"):
        failing = f'#!/bin/sh\necho {name} "$1" >>"$RECORD"\n[ "$(grep -c "^{name} $1" "$RECORD")" -gt 1 ]\n'
        (host.root / "bin" / name).write_text(failing)
        (host.root / "bin" / name).chmod(0o755)
    (host.root / "etc/apt/sources.list.d").mkdir(parents=True)
    host.environment["PATH"] = f"{host.root}/bin:/usr/bin:/bin"
    ran = host.boot(installs.replace("command -v docker", f"test -e {host.root}/bin/docker"))
    assert ran.returncode == 0, ran.stderr
    asked = host.record.read_text().splitlines()
    assert asked == [
        "curl -fsSL", "curl -fsSL", "apt-get update", "apt-get update", "apt-get install", "apt-get update", "apt-get install",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "connections", "looks"),
    [
        (["exit 28", "exit 28", "echo 'vllm:num_requests_running{} 0.0'"], [0, 0, 0], 3),
        (["exit 22", "echo 'process_threads 9'", "exit 7"], [1, 1, 1], 3),
        (["exit 7"], [1], 1),
        (["echo 'te_queue_size 0'"] * 3, [2, 1, 0], 3),
        (["exit 22"] * 2, [1, 0], 2),
        (["printf 'vllm:num_requests_running{} 0.0\nvllm:num_requests_waiting{} 1.0\n'", "exit 7"], [0, 0], 2),
        (["echo 'sglang:num_running_reqs{} 1'", "echo 'sglang:num_running_reqs{} 0'"], [1, 1], 2),
    ],
    ids=[
        "too busy to say",
        "without that metric",
        "gone",
        "idle by its connections",
        "without metrics",
        "waiting",
        "idle with connections",
    ],
)
def test_a_stop_takes_no_silence_for_no_requests(script, cloud, tmp_path, told, connections, looks):
    """It waits until the engine says that it has no request or does not listen, or, if it counts none, for connections."""
    host = Host(tmp_path / "host", f"http://127.0.0.1:{cloud.server_port}")
    assert host.boot(script).returncode == 0
    looked = host.root / "looked"
    says(host, "curl", f"echo >>{looked}", looked, told)
    says(host, "ss", ":", looked, ["printf '%s'" if number == 0 else f"yes | head -{number}" for number in connections])
    (drain,) = host.commands_of("ExecStop")
    assert host.run(drain).returncode == 0
    assert len(looked.read_text().splitlines()) == looks


def says(host: Host, program: str, first: str, looked: Path, told: list[str]) -> None:
    """A program that does something else at each look of the stop."""
    cases = "".join(f"{number}) {command} ;;\n" for number, command in enumerate(told, start=1))
    path = host.root / "bin" / program
    path.write_text(f"#!/bin/sh\n{first}\ncase $(wc -l <{looked}) in\n{cases}esac\n")
    path.chmod(0o755)


def copies_weights(host: Host, cloud: Cloud) -> None:
    """A bucket without the model is told, a copy that breaks off goes on, and nothing is copied twice."""
    objects, cloud.objects = cloud.objects, {}
    told = f"No weights from gs://weights/models/{MODEL}: copy the model there"
    assert told in host.prepare()
    cloud.objects = objects
    assert told in host.prepare()
    assert host.prepare() == ""
    copied = host.root / "var/cache/inference/models" / MODEL / "model.safetensors"
    assert copied.read_bytes() == WEIGHTS
    assert len(WEIGHTS) // 2 in cloud.starts


@contextlib.contextmanager
def serving(host: Host) -> Iterator[subprocess.Popen[str]]:
    """The container, once its engine answers."""
    (serve,) = host.commands_of("ExecStart")
    with subprocess.Popen([serve], env=host.environment, stderr=subprocess.PIPE, text=True) as engine:
        for _ in range(600):
            with contextlib.suppress(OSError):
                host.ask()
                break
            time.sleep(0.05)
        yield engine


def drains(host: Host) -> None:
    """New connections are refused first, the running request ends, then the container is stopped."""
    (drain,) = host.commands_of("ExecStop")
    with ThreadPoolExecutor() as clients:
        answer = clients.submit(host.ask, "/v1/completions", b"{}")
        while "} 1.0" not in host.ask("/metrics"):
            time.sleep(0.02)
        assert host.run(drain).returncode == 0
        assert answer.result() == "done"
    stopped = host.recorded("iptables", "docker")[-3:]
    assert [call[1] for call in stopped] == ["--insert", "stop", "--delete"]
    assert stopped[0][2:] == stopped[2][2:]
