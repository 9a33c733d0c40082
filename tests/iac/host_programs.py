"""Stand-ins for what a host on EC2 runs and calls, all on loopback: host_programs.py NAME WORDS...

HOST_ROOT is a folder that plays the file system, LOOPBACK the address of object store, registry and instance metadata.
"""

import base64
import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(os.environ.get("HOST_ROOT", "."))
LOOPBACK = os.environ.get("LOOPBACK", "")
SLOW_SECONDS = 1.0
ANSWER = b"answer"
RESTART_SECONDS = 0.1
PASSWORD = "ecr-password"
GROUP = "support-chat-group"
ANSWERS = {"secretsmanager": "hf_secret", "ecr": PASSWORD, "ec2": GROUP}
DISKS = "/dev/nvme0n1 Amazon Elastic Block Store\n" + "".join(
    f"/dev/nvme{number}n1 Amazon EC2 NVMe Instance Storage\n" for number in (1, 2)
)


def main(name: str, *words: str) -> int:
    """Record the call, and do what the program would."""
    if name not in ("unit", "ss", "mountpoint"):
        with (ROOT / "record").open("a") as record:
            record.write(json.dumps([name, *words]) + "\n")
    actions = {"aws": aws, "docker": docker, "systemctl": systemctl, "unit": unit, "ss": ss}
    if name in actions:
        return actions[name](*words)
    if name == "lsblk":
        sys.stdout.write(DISKS)
    return 1 if name == "mountpoint" else 0


def aws(*words: str) -> int:
    """The command line of AWS: copies below a prefix, and says what the few questions of a host ask."""
    if words[:2] != ("s3", "sync"):
        sys.stdout.write(f"{ANSWERS.get(words[0], '')}\n")
        return 0
    source, folder = words[-2].removeprefix("s3://"), Path(words[-1])
    for key in json.loads(_get(f"objects?prefix={source}/")):
        path = folder / key.removeprefix(f"{source}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(_get(f"object/{urllib.parse.quote(key)}"))
    return 0


def _get(path: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(f"{LOOPBACK}/{path}", headers=headers)) as answer:
        return bytes(answer.read())


def docker(verb: str, *words: str) -> int:
    """Logs in, pulls a manifest and serves, or ends what serves at once, as engines end at a signal."""
    if verb == "login":
        user = words[words.index("--username") + 1]
        secret = base64.b64encode(f"{user}:{sys.stdin.read().strip()}".encode()).decode()
        (Path(os.environ["DOCKER_CONFIG"]) / "login").write_text(secret)
    if verb == "stop":
        os.kill(int((ROOT / "engine").read_text()), signal.SIGKILL)
    if verb == "run":
        _run_container(words)
    return 0


def _run_container(words: tuple[str, ...]) -> None:
    image = next(word for word in words if re.search(r"[.]amazonaws[.]com/", word))
    repository, _, digest = image.partition("/")[2].partition("@")
    login = (Path(os.environ["DOCKER_CONFIG"]) / "login").read_text()
    _get(f"v2/{repository}/manifests/{digest}", Authorization=f"Basic {login}")
    served = words[words.index("serve") + 1]
    weights = ROOT / "var/cache/inference" / served.removeprefix("/root/.cache/")
    json.loads((weights / "config.json").read_text())
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--"))
    _serve(int(options["port"]), options["ssl-certfile"], options["ssl-keyfile"])


class Engine(http.server.BaseHTTPRequestHandler):
    """An engine that answers slowly where it is asked to."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/slow":
            (ROOT / "asked").touch()
            time.sleep(SLOW_SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def _serve(port: int, certificate: str, key: str) -> None:
    (ROOT / "engine").write_text(str(os.getpid()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Engine)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


def ss(*words: str) -> int:
    """Established connections to a port of this machine, as the kernel lists them."""
    port = int(re.findall(r":(\d+)", words[-1])[0])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    for row in rows:
        if row[3] == "01" and int(row[1].rpartition(":")[2], 16) == port:
            sys.stdout.write(f"{row[1]}\n")
    return 0


def systemctl(*words: str) -> int:
    """Starts services in the background, and stops them."""
    if words[0] == "enable":
        with (ROOT / "journal").open("a") as journal, (ROOT / "pids").open("a") as pids:
            service = [sys.executable, __file__, "unit", words[-1]]
            pids.write(f"{subprocess.Popen(service, start_new_session=True, stdout=journal, stderr=journal).pid}\n")
    if words[0] == "stop":
        (ROOT / f"{words[1]}.stopped").touch()
        return subprocess.run(_settings(words[1])["ExecStop"], check=False, shell=True).returncode
    return 1 if words[0] == "start" else 0


def unit(name: str) -> int:
    """One service, which is started again as its unit says until it is stopped."""
    settings = _settings(name)
    os.environ.update(line.split("=", 1) for line in settings.get("Environment", "").splitlines())
    while True:
        code = _run_service(settings)
        if (ROOT / f"{name}.stopped").exists() or (code == 0 and settings["Restart"] != "always"):
            return code
        time.sleep(RESTART_SECONDS)


def _run_service(settings: dict[str, str]) -> int:
    """Its commands in turn, to the first that fails; a dash before one lets it fail."""
    for command in [*settings.get("ExecStartPre", "").splitlines(), settings["ExecStart"]]:
        code = subprocess.run(command.removeprefix("-"), shell=True, check=False).returncode
        if code and not command.startswith("-"):
            return code
    return 0


def _settings(name: str) -> dict[str, str]:
    """The settings of a unit; those that are given twice are lines."""
    text = (ROOT / "etc/systemd/system" / name).read_text().replace("/usr/bin/", f"{ROOT}/bin/")
    found: dict[str, str] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found[key] = f"{found[key]}\n{value}" if key in found else value
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
