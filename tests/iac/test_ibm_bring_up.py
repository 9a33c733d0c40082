"""A host on IBM Cloud comes up, serves and ends, with its own scripts and the programs of google_host_programs.py."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from codegen.scenarios.ibm_vpc import CRN, INSTANCE
from iac import harness
from iac.test_google_bring_up import PROGRAMS, WEIGHTS, Host, drains, serving

SECRETS = {"hub": "hf_secret", "registry": "of-the-host"}
IMAGE = "de.icr.io/copies/vllm:v1"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
STORE = "/s3.direct.us-east.cloud-object-storage.appdomain.cloud/weights"
VAULT = f"/{INSTANCE}.private.us-south.secrets-manager.appdomain.cloud/api/v2/secrets"
SERVICE = "/169.254.169.254/instance_identity/v1"
POOL = re.compile(
    r"/us-east[.]iaas[.]cloud[.]ibm[.]com/v1/load_balancers/[^/?]+/pools/[^/?]+/members/?([^/?]*)[?]version=.*"
)
OWN, OTHER, GONE = ({"id": f"r014-{name}", "target": {"address": address}, "health": health} for name, address, health in (
    ("own", "10.0.0.5", "unknown"), ("other", "10.0.0.6", "ok"), ("gone", "10.0.0.7", "faulted"),
))  # fmt: skip
XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"


class Cloud(ThreadingHTTPServer):
    """Metadata service, Secrets Manager, an object store whose first copy breaks off, and a load balancer that is busy once."""

    def __init__(self) -> None:
        """On a free port."""
        super().__init__(("127.0.0.1", 0), Answers)
        self.objects = {"config.json": b'{"model": "stand-in"}', "model.safetensors": WEIGHTS}
        self.broken_off = False
        self.starts: list[int] = []
        self.members = [OTHER, GONE]
        self.is_busy = True


class Answers(BaseHTTPRequestHandler):
    """What the cloud says to those who may ask."""

    server: Cloud

    def do_PUT(self) -> None:
        """A token of the instance."""
        is_asked = self.path.startswith(f"{SERVICE}/token?") and self.headers["Metadata-Flavor"] == "ibm"
        self._say(json.dumps({"access_token": "instance"}).encode(), status=200 if is_asked else 403)

    def do_POST(self) -> None:
        """A token of the trusted profile, or a member of the pool."""
        if POOL.fullmatch(self.path):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert body == {"port": 8443, "target": OWN["target"]}
            if not self.server.is_busy:
                self.server.members.append(OWN)
            self._say(b"{}", status=409 if self.server.is_busy else 201)
            self.server.is_busy = False
            return
        is_known = self.path.startswith(f"{SERVICE}/iam_token?") and self.headers["Authorization"] == "Bearer instance"
        self._say(json.dumps({"access_token": "profile"}).encode(), status=200 if is_known else 403)

    def do_GET(self) -> None:
        """A secret, an image, a listing, or an object from some byte on."""
        path, _, question = self.path.partition("?")
        if path.startswith("/v2/"):
            self._say(b"image", status=200 if self.headers["Authorization"] == SECRETS["registry"] else 401)
        elif self.headers["Authorization"] != "Bearer profile":
            self._say(b"", status=403)
        elif POOL.fullmatch(self.path):
            self._say(json.dumps({"members": self.server.members}).encode())
        elif path.startswith(VAULT):
            self._say(json.dumps({"payload": SECRETS[path.rpartition("/")[2]]}).encode())
        elif question:
            self._say(self._listing(parse_qs(question)["prefix"][0]))
        else:
            start = int(re.findall(r"\d+", self.headers.get("Range", "bytes=0-"))[0])
            name = path.rpartition("/")[2]
            self.server.starts.append(start)
            self._say(self.server.objects[name][start:], status=206 if start else 200, start=start)

    def do_DELETE(self) -> None:
        """One member less."""
        (name,) = POOL.fullmatch(self.path).groups()
        self.server.members = [member for member in self.server.members if member["id"] != name]
        self._say(b"", status=202)

    def _listing(self, prefix: str) -> bytes:
        assert prefix == f"models/{MODEL}/"
        entries = "".join(
            f"<Contents><Key>{prefix}{name}</Key><Size>{len(body)}</Size></Contents>"
            for name, body in self.server.objects.items()
        )
        return f'<ListBucketResult xmlns="{XMLNS}"><Name>weights</Name>{entries}</ListBucketResult>'.encode()

    def _say(self, body: bytes, *, status: int = 200, start: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{start + len(body)}")
        self.end_headers()
        breaks = body == WEIGHTS and not self.server.broken_off
        self.server.broken_off |= breaks
        self.wfile.write(body[: len(body) // 2] if breaks else body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def cloud():
    """A cloud on the loopback interface."""
    with Cloud() as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


@pytest.fixture
def script(start):
    """User data of a Gaudi host with weights from a bucket, a hub token and an image of IBM's registry."""
    secrets = {f"{use}_secret_crn": f"{CRN}:{INSTANCE}:secret:" for use in ("hf_token", "registry")}
    given = {"container_images": {"*": IMAGE}, **{name: f"{crn}00000000" for name, crn in secrets.items()}}
    terraform = start("ibm-gaudi-scheduled", filled=True, **given)
    terraform("apply", "-no-color", "-auto-approve").ok()
    made = terraform("show", "-json").ok().json["values"]["root_module"]["resources"]
    (template,) = (resource["values"] for resource in made if resource["type"] == "ibm_is_instance_template")
    text = template["user_data"].replace("secret:00000000", "secret:hub", 1)
    return text.replace("secret:00000000", "secret:registry", 1)


def test_shellcheck_finds_nothing(script):
    """Neither in the script nor in those that it writes."""
    for part in (script, *re.findall(r"<<'SCRIPT'\n(.*?)^SCRIPT$", script, re.MULTILINE | re.DOTALL)):
        command = [harness.tool("tools", "shellcheck"), "--shell=bash", "-"]
        ran = subprocess.run(command, input=part, text=True, capture_output=True, check=False)
        assert ran.stdout == ""


def test_host_comes_up_serves_and_ends(script, cloud, tmp_path):
    """Its disks become one, secrets and weights are read as its profile, the engine serves, and a stop lets requests end."""
    host = Host(tmp_path / "host", f"http://127.0.0.1:{cloud.server_port}")
    for name in ("curl", "ip", "lsblk"):
        (host.root / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} -IS {PROGRAMS} {name} "$@"\n')
        (host.root / "bin" / name).chmod(0o755)
    booted = host.boot(script)
    assert booted.returncode == 0, booted.stderr
    assert host.recorded("systemctl")[-1][-2:] == ["inference.service", "inference-member.service"]
    copies_weights(host, cloud)
    assert (host.root / "run/inference/environment").read_text() == "HF_TOKEN=hf_secret\n"
    disks = host.recorded("mdadm", "mkfs.ext4", "mount")
    assert [call[0] for call in disks] == ["mdadm", "mkfs.ext4", "mount"]
    assert disks[0][-2:] == ["/dev/nvme0n1", "/dev/nvme1n1"]
    with serving(host) as engine:
        joins_and_leaves(host, cloud)
        drains(host)
        assert engine.wait(timeout=60) == 0


def joins_and_leaves(host: Host, cloud: Cloud) -> None:
    """It is a member once it answers, takes out the one that fails for as long as a start may take, and leaves at its end."""
    program = host.root / "usr/local/sbin/inference-member"
    text = program.read_text().replace("while sleep 15", "while sleep 0.05").replace(str(host.port), "8443")
    text = text.replace("127.0.0.1:8443", f"127.0.0.1:{host.port}")
    program.write_text(text.replace("+ 15", "+ 900"))
    with subprocess.Popen([program, "stay"], env=host.environment, stderr=subprocess.DEVNULL) as member:
        wait_until(lambda: cloud.members == [OTHER, OWN])
        member.kill()
    assert host.run(str(program), "leave").returncode == 0
    assert cloud.members == [OTHER]


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Until it does, or fail."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def copies_weights(host: Host, cloud: Cloud) -> None:
    """A bucket without the model is told, a copy that breaks off goes on, and nothing is copied twice."""
    objects, cloud.objects = cloud.objects, {}
    assert f"No weights from cos://weights/models/{MODEL}: copy the model there" in host.prepare()
    cloud.objects = objects
    assert "curl" in host.prepare()
    assert host.prepare() == ""
    assert (host.root / "var/cache/inference/models" / MODEL / "model.safetensors").read_bytes() == WEIGHTS
    assert cloud.starts == [0, 0, len(WEIGHTS) // 2]
    assert host.prepare() == ""
    assert len(cloud.starts) == 3
