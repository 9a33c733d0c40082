"""A host from its boot script to its end: it runs, with stand-ins for drivers, Docker, systemd and AWS on loopback."""

import base64
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from iac.host_programs import PASSWORD
from iac.modules import user_data
from iac.test_host_script import HOST_PATHS

PROGRAMS = Path(__file__).with_name("host_programs.py")
NAMES = ("aws", "docker", "lsblk", "mdadm", "mkfs.ext4", "mount", "mountpoint", "ss", "systemctl", "udevadm")
SLEEP = '#!/bin/bash\nexec /bin/sleep "$(awk -v asked="$1" \'BEGIN { print asked / 50 }\')"\n'
MODEL = "weights/production/meta-llama/Llama-3.1-8B-Instruct"
OBJECTS = {
    f"{MODEL}/config.json": b"{}",
    f"{MODEL}/folder/shard 1.safetensors": bytes(range(256)) * 4096,
    "weights/other/config.json": b"no",
}
DIGEST = "sha256:" + "1" * 64
CHOSEN = {
    "agent_package": None,
    "container_images": {"*": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/engines/vllm@{DIGEST}"},
    "model_ids": {"vllm": "meta-llama/Llama-3.1-8B-Instruct"},
    "model_source": "s3://weights/production",
}
LONGEST_SECONDS = 120


class Loopback(http.server.BaseHTTPRequestHandler):
    """Instance metadata, an object store and a registry that wants a login."""

    notice = threading.Event()
    """The spot instance is about to be taken back."""
    broken = threading.Event()
    """The object store breaks off the next copy of a large object."""

    def do_PUT(self) -> None:
        """Give a session token."""
        self._answer(b"session")

    def do_GET(self) -> None:
        """Answer for the service that the path names."""
        path = urllib.parse.unquote(self.path)
        if path.startswith("/objects?prefix="):
            return self._answer(json.dumps([key for key in OBJECTS if key.startswith(path.partition("=")[2])]).encode())
        if path.startswith("/object/"):
            if path.endswith(".safetensors") and self.broken.is_set():
                self.broken.clear()
                return self._answer(None)
            return self._answer(OBJECTS[path.removeprefix("/object/")])
        if path.startswith("/v2/"):
            login = f"Basic {base64.b64encode(f'AWS:{PASSWORD}'.encode()).decode()}"
            known = path == f"/v2/engines/vllm/manifests/{DIGEST}" and self.headers["Authorization"] == login
            return self._answer(b"{}" if known else None)
        return self._answer(self._metadata(path))

    def _metadata(self, path: str) -> bytes | None:
        if self.headers["X-aws-ec2-metadata-token"] != "session":
            return None
        if path.endswith("/spot/instance-action"):
            return b'{"action": "terminate"}' if self.notice.is_set() else None
        return b"i-0123456789abcdef0"

    def _answer(self, body: bytes | None) -> None:
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class Host:
    """A folder that plays the file system of a host, and what runs in it."""

    def __init__(self, root: Path, loopback: str) -> None:
        """Lay out the folders and the programs."""
        self.root, self.loopback, self.port = root, loopback, _free_port()
        for folder in ("etc/systemd/system", "run", "opt/aws/amazon-cloudwatch-agent/bin", "usr/local/sbin", "bin"):
            (root / folder).mkdir(parents=True)
        for name in NAMES:
            self._program(f"bin/{name}", f'#!/bin/bash\nexec "{sys.executable}" "{PROGRAMS}" {name} "$@"\n')
        self._program("bin/sleep", SLEEP)
        self._program("opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl", "#!/bin/bash\n")
        environment = {"PATH": f"{root}/bin:{os.environ['PATH']}", "HOST_ROOT": str(root), "LOOPBACK": loopback}
        self.environment = environment

    def _program(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)
        (self.root / path).chmod(0o755)

    def boot(self, script: str) -> None:
        """Run the boot script to its end; its services go on."""
        moved = HOST_PATHS.sub(rf"{self.root}/\1/", script).replace("8443", str(self.port))
        moved = moved.replace("http://169.254.169.254", self.loopback)
        ran = subprocess.run(
            ["bash", "-c", moved], env=self.environment, cwd=self.root, text=True, capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stderr

    def commands(self) -> list[list[str]]:
        """What was called, as words; without a line that is being written."""
        lines = (self.root / "record").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def place_of(self, *words: str) -> int:
        """Where the call that starts so stands; waits until it is made."""
        end = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < end:
            for place, command in enumerate(self.commands()):
                if command[: len(words)] == list(words):
                    return place
            time.sleep(0.02)
        raise AssertionError(f"{words} was not called: {self.commands()}")

    def ask(self, path: str) -> bytes:
        """An answer of the engine."""
        trusting = ssl._create_unverified_context()
        with closing(http.client.HTTPSConnection("127.0.0.1", self.port, context=trusting)) as engine:
            engine.request("GET", path)
            return engine.getresponse().read()

    def end(self) -> None:
        """End what still runs."""
        for pid in (self.root / "pids").read_text().split():
            try:
                os.killpg(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def loopback():
    """Address of the services."""
    Loopback.notice.clear()
    Loopback.broken.set()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Loopback)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def host(loopback, tmp_path):
    """A host that has not booted."""
    host = Host(tmp_path / "host", loopback)
    yield host
    host.end()


def test_host_serves_from_bucket_and_registry_and_ends_well(start, host):
    """It logs in, joins its disks, copies the weights on a second try, serves, says so; at a spot notice it answers all."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    host.boot(user_data(start("l4-spot", filled=True, **CHOSEN).plan()))
    loading = host.place_of("aws", "autoscaling", "record-lifecycle-action-heartbeat")
    ready = host.place_of("aws", "autoscaling", "complete-lifecycle-action")
    assert loading < ready
    steps = [
        host.place_of("docker", "login", "--username", "AWS"),
        host.place_of("mdadm", "--create"),
        host.place_of("mount"),
        host.place_of("aws", "s3", "sync"),
        host.place_of("docker", "run"),
        ready,
    ]
    assert steps == sorted(steps)
    raid = host.commands()[steps[1]]
    assert raid[-3:] == ["--raid-devices=2", "/dev/nvme1n1", "/dev/nvme2n1"]
    folder = host.root / "var/cache/inference/models/meta-llama/Llama-3.1-8B-Instruct"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {key.removeprefix(f"{MODEL}/"): text for key, text in OBJECTS.items() if key.startswith(MODEL)}

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(host.ask, "/slow")
        while not (host.root / "asked").exists():
            time.sleep(0.01)
        Loopback.notice.set()
        left = host.place_of("aws", "autoscaling", "terminate-instance-in-auto-scaling-group")
        stopped = host.place_of("docker", "stop")
        assert answer.result() == b"answer"
    assert left < stopped
    assert "--no-should-decrement-desired-capacity" in host.commands()[left]
    with pytest.raises(OSError, match=r"refused|reset|closed|EOF"):
        host.ask("/health")
    unhealthy = host.place_of("aws", "autoscaling", "set-instance-health")
    assert unhealthy > stopped
    assert host.commands()[unhealthy][-2:] == ["--health-status", "Unhealthy"]
