"""The programs of a host on Google Cloud or IBM Cloud, as far as its scripts need them, on the loopback interface.

usage: google_host_programs.py NAME ARGUMENTS...

Each call is recorded in the file $RECORD. $CLOUD is the address of an object store (``/BUCKET/OBJECT``, ``?list`` for the
names below one) and of a registry (``/v2/IMAGE``, for those who carry a token); $ROOT is where the host's files lie.
"""

import json
import os
import re
import signal
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT, CLOUD = Path(os.environ["ROOT"]), os.environ["CLOUD"]
ENGINE = ROOT / "run/engine.pid"
LABEL = ROOT / "dev/disk/by-label/inference"
MOUNTED = ROOT / "run/mounted"
TOKEN = "of-the-host"
ANSWER_SECONDS = 0.7


def gcloud(*words: str) -> None:
    """Copies a folder of the store, from where a copy was broken off; tokens and secrets.

    A plain name is read as an object first, which is refused to those who may list a part of the bucket only.
    """
    if words[:2] != ("storage", "rsync"):
        sys.stdout.write(f"{TOKEN}\n")
        return
    pattern, target = words[-2].removeprefix("gs://"), Path(words[-1])
    source = re.sub(r"\[(.)]", r"\1", pattern)
    if source == pattern:
        sys.exit(f"403: storage.objects.get denied on {source} (or it may not exist)")
    with urllib.request.urlopen(f"{CLOUD}/{source}?list") as names:
        for name in json.load(names):
            _fetch(f"{source}/{name}", target / name)


def _fetch(name: str, path: Path) -> None:
    start = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(f"{CLOUD}/{name}", headers={"Range": f"bytes={start}-"})
    with urllib.request.urlopen(request) as answer, path.open("ab") as file:
        left = int(answer.headers["Content-Length"])
        while part := answer.read1(4096):
            left -= file.write(part)
    if left:
        sys.exit(f"{name}: {left} bytes are missing")


def docker(command: str, *words: str) -> None:
    """Logs in to registries, pulls an image and runs the engine in its place."""
    if command == "login":
        (Path(os.environ["DOCKER_CONFIG"]) / "config.json").write_text(
            json.dumps({words[-1]: sys.stdin.read().strip()})
        )
    elif command == "run":
        image, *arguments = [word for word in words if not word.startswith("--") or word.startswith("--ssl")]
        _pull(image)
        _serve(arguments, dict(word[2:].split("=", 1) for word in words if "=" in word))
    elif command == "stop" and ENGINE.exists():
        os.kill(int(ENGINE.read_text()), signal.SIGTERM)


def _pull(image: str) -> None:
    registry, _, name = image.partition("/")
    logins = json.loads((Path(os.environ["DOCKER_CONFIG"]) / "config.json").read_text())
    request = urllib.request.Request(f"{CLOUD}/v2/{name}", headers={"Authorization": logins[f"https://{registry}"]})
    urllib.request.urlopen(request).close()


def _serve(arguments: Sequence[str], options: dict[str, str]) -> None:
    """An engine that knows its model by its folder and ends at once when it is told to."""
    folder = arguments[1].replace("/root/.cache", f"{ROOT}/var/cache/inference")
    assert json.loads(Path(folder, "config.json").read_text()) == {"model": "stand-in"}
    running: list[int] = []

    class Engine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(f'vllm:num_requests_running{{engine="0"}} {len(running)}.0\n')

        def do_POST(self) -> None:
            running.append(1)
            time.sleep(ANSWER_SECONDS)
            self._answer("done")
            running.pop()

        def _answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", int(options["port"])), Engine)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(options["ssl-certfile"], options["ssl-keyfile"])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    ENGINE.write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Thread(target=server.serve_forever).start()


def mountpoint(*_: str) -> None:
    """Whether something is mounted."""
    sys.exit(not MOUNTED.exists())


def mount(device: str, _: str) -> None:
    """Mounts what has a file system."""
    assert Path(device).exists()
    MOUNTED.touch()


def format_disk(*_: str) -> None:
    """Makes a file system with a label."""
    LABEL.parent.mkdir(parents=True)
    LABEL.touch()


def curl(*words: str) -> None:
    """The real one, which finds other hosts than this one at $CLOUD/HOST/."""
    there = [re.sub(r"^https?://(?!127)", f"{CLOUD}/", word) for word in words]
    os.execv("/usr/bin/curl", ["curl", *there])


def ip(*_: str) -> None:
    """The way out, with the own address."""
    sys.stdout.write("161.26.0.10 via 10.0.0.1 dev eth0 src 10.0.0.5 uid 0\n    cache\n")


def lsblk(*_: str) -> None:
    """A volume and two disks of the machine's own, with what they hang on."""
    sys.stdout.write("/dev/vda virtio\n/dev/nvme0n1 nvme\n/dev/nvme1n1 nvme\n")


PROGRAMS = {
    "curl": curl, "docker": docker, "gcloud": gcloud, "ip": ip, "lsblk": lsblk, "mkfs.ext4": format_disk, "mount": mount,
    "mountpoint": mountpoint,
}  # fmt: skip

if __name__ == "__main__":
    with Path(os.environ["RECORD"]).open("a") as record:
        record.write(json.dumps(sys.argv[1:]) + "\n")
    PROGRAMS.get(sys.argv[1], lambda *_: None)(*sys.argv[2:])
