"""The program that Azure hosts run beside the engine, with recording stand-ins for the services that it asks."""

import base64
import json
import re
import ssl
import subprocess
from contextlib import nullcontext
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from advisor.codegen import Language, generate
from codegen.scenarios import SCENARIOS

SETTINGS = {
    "identity_client_id": "client",
    "key_vault_resource": "https://vault.azure.net",
    "certificate_url": "https://v.vault.azure.net/secrets/certificate",
    "hub_token_url": "https://v.vault.azure.net/secrets/token",
    "port": 8443,
    "health_path": "/health",
    "service": "inference.service",
    "metrics": {
        "path": "/metrics",
        "finished": "vllm:request_success_total",
        "progress": "vllm:generation_tokens_total",
        "running": "vllm:num_requests_running",
        "waiting": "vllm:num_requests_waiting",
        "latency": "vllm:time_to_first_token_seconds",
        "answers": "http_requests_total",
    },
    "target_seconds": 0.5,
    "waiting_limit": 4,
    "publish_metrics": True,
    "drain_seconds": 2,
    "restart_seconds": 600,
    "registry_server": None,
    "registry_secret_url": None,
    "weights_gib": 20,
    "weights": None,
    "model_folder": None,
    "container_arguments": ["--gpus=all", "image", "serve", "$(touch pwned)"],
}
HOST = {
    "name": "host-1",
    "location": "eastus",
    "subscriptionId": "s",
    "resourceGroupName": "g",
    "vmScaleSetName": "set",
}


def page_of(finished, quick=0, slow=0, failed=0, running=0, waiting=0):
    """The engine's metrics page; *slow* requests took 0.4 to 0.8 s to their first token."""
    return f"""# HELP vllm:request_success_total Finished.
vllm:request_success_total{{model="m",reason="stop"}} {finished}
vllm:time_to_first_token_seconds_bucket{{le="0.4",model="m {{x}}"}} {quick}
vllm:time_to_first_token_seconds_bucket{{le="0.8",model="m {{x}}"}} {quick + slow}
vllm:time_to_first_token_seconds_bucket{{le="+Inf",model="m {{x}}"}} {quick + slow}
vllm:time_to_first_token_seconds_count{{model="m {{x}}"}} {quick + slow}
http_requests_total{{handler="/v1/completions",status="2xx"}} {quick + slow}
http_requests_total{{handler="/v1/completions",status="5xx"}} {failed}
vllm:num_requests_running{{model="m"}} {running}
vllm:num_requests_waiting {waiting}
"""


class Services:
    """Plays the metadata service, Key Vault, Azure Monitor, the engine and the programs of a host."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.asked: list[tuple[str, bytes | None]] = []
        self.ran: list[list[str]] = []
        self.logged: list[str] = []
        self.events: list[dict[str, object]] = []
        self.page = page_of(10)
        self.disks: list[dict[str, object]] = []
        self.labelled = ""
        self.typed = ""
        self.status = 0
        self.connections = ""
        self.secret = {"value": "KEY AND CERTIFICATE"}

    def fetch(self, url, _headers=None, data=None, **_options):
        """The answer to a request, by its address."""
        self.asked.append((url, data))
        answers = {
            "identity/oauth2/token": json.dumps({"access_token": "t"}),
            "instance/compute": json.dumps(HOST),
            "scheduledevents": json.dumps({"Events": self.events}),
            "/secrets/certificate": json.dumps(self.secret),
            "/secrets/key": json.dumps({"value": "ngc key\n"}),
            "oauth2/exchange": json.dumps({"refresh_token": "refresh"}),
            "/secrets/token": json.dumps({"value": "hf_token\n"}),
            ":8443/metrics": self.page,
        }
        return next((answer for part, answer in answers.items() if part in url), "")

    def run(self, command, **options):
        """What a program prints."""
        self.ran.append(command)
        self.typed = options.get("input", "")
        outputs = {
            "nvidia-smi": "50, 8000, 16000\n70, 4000, 16000\n",
            "lsblk": json.dumps({"blockdevices": self.disks}),
            "blkid": self.labelled,
            "ss": self.connections,
        }
        output = outputs.get(command[0], "")
        return SimpleNamespace(returncode=self.status, stdout=output.encode() if command[0] == "openssl" else output)


def moved(text, folder):
    """The program with its files in *folder*."""
    return re.sub(r'Path\("/', f'Path("{folder}/', text)


def furnish(folder, settings):
    """What a host has in its file system."""
    files = {
        "etc/inference/settings.json": json.dumps(settings),
        "proc/mounts": "/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n",
        "proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 400 kB\n",
        "etc/systemd/system/advisor-agent.service": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in ("run", "var/cache/inference"):
        (folder / name).mkdir(parents=True)


@pytest.fixture
def services():
    """A quiet Azure."""
    return Services()


@pytest.fixture
def host(services, tmp_path, monkeypatch):
    """The program as a namespace, on a host that is a folder."""
    scenario = SCENARIOS["vm-scale-set-reactive"]()
    text = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["host.py"]
    furnish(tmp_path, SETTINGS)
    program = {"__name__": "host"}
    exec(compile(moved(text, tmp_path), "host.py", "exec"), program)
    program["fetch"] = services.fetch
    monkeypatch.setattr(program["subprocess"], "run", services.run)
    monkeypatch.setattr(program["shutil"], "which", lambda name: name)
    monkeypatch.setattr(program["syslog"], "syslog", lambda _priority, line: services.logged.append(line))
    monkeypatch.setattr(program["time"], "sleep", lambda _seconds: None)
    return SimpleNamespace(**program, directory=tmp_path / "run/inference")


def test_secrets_are_for_root_only_and_read_with_the_identity_of_the_host(host, services):
    """Certificate and token lie in files that no one else reads."""
    host.secrets()
    assert (host.directory / "tls.pem").read_text() == "KEY AND CERTIFICATE"
    assert (host.directory / "environment").read_text() == "HF_TOKEN=hf_token\n"
    assert {path.stat().st_mode & 0o777 for path in host.directory.iterdir()} == {0o600}
    assert any("client_id=client" in url and "vault.azure.net" in url for url, _ in services.asked)


@pytest.mark.parametrize("packed", [[], ["-legacy"]], ids=["of today", "of Windows"])
def test_certificate_in_a_pkcs12_archive_is_unpacked(host, services, tmp_path, monkeypatch, packed):
    """The form that Key Vault gives certificates by default, also where it was packed with RC2 as Windows does."""
    monkeypatch.undo()
    pem = tmp_path / "given.pem"
    pem.write_bytes(subprocess.run([*host.SELF_SIGNED, "-keyout", "-"], capture_output=True, check=True).stdout)
    pack = ["openssl", "pkcs12", "-export", *packed, "-in", str(pem), "-passout", "pass:"]
    archive = subprocess.run(pack, capture_output=True, check=True).stdout
    services.secret = {"value": base64.b64encode(archive).decode(), "contentType": "application/x-pkcs12"}
    host.secrets()
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(host.directory / "tls.pem")


def test_own_certificate_comes_before_those_that_signed_it(host, services, monkeypatch):
    """Whatever order the archive has: a server refuses a first certificate that is not that of the key."""

    def openssl(command, **_options):
        parts = {"-clcerts": b"KEY OWN ", "-cacerts": b"SIGNER"}
        found = next((text for option, text in parts.items() if option in command), b"SIGNER KEY OWN")
        return SimpleNamespace(returncode=0, stdout=found)

    monkeypatch.setitem(host.certificate.__globals__, "subprocess", SimpleNamespace(run=openssl, PIPE=subprocess.PIPE))
    services.secret = {"value": "", "contentType": "application/x-pkcs12"}
    host.secrets()
    assert (host.directory / "tls.pem").read_bytes() == b"KEY OWN SIGNER"


def test_host_behind_an_entrance_signs_its_own_certificate(host, monkeypatch):
    """Key and certificate in one file, which a server loads; Key Vault is not asked for one."""
    host.SETTINGS["certificate_url"] = None
    monkeypatch.undo()
    host.secrets()
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(host.directory / "tls.pem")


@pytest.mark.parametrize(("status", "kept"), [(0, "RENEWED"), (1, "KEY AND CERTIFICATE")], ids=["taken", "refused"])
def test_renewed_certificate_is_taken_up_without_an_end(status, kept, host, services):
    """The service reads it again and nothing is restarted; one that it refuses does not stay."""
    host.secrets()
    host.renew()
    assert services.ran == []
    services.secret, services.status = {"value": "RENEWED"}, status
    with nullcontext() if status == 0 else pytest.raises(SystemExit, match="refuses this version"):
        host.renew()
    assert services.ran == [["systemctl", "reload", "inference.service"]]
    assert (host.directory / "tls.pem").read_text() == kept


@pytest.mark.parametrize(
    ("server", "key_url", "user", "password"),
    [
        ("mine.azurecr.io", None, "00000000-0000-0000-0000-000000000000", "refresh"),
        ("nvcr.io", "https://v.vault.azure.net/secrets/key", "$oauthtoken", "ngc key"),
    ],
)
def test_host_signs_in_to_the_registry_of_the_image(server, key_url, user, password, host, services):
    """As itself, or with a key out of Key Vault; the password is neither an argument nor a file of the disk."""
    host.SETTINGS |= {"registry_server": server, "registry_secret_url": key_url}
    host.secrets()
    assert services.ran == [
        ["docker", f"--config={host.LOGINS}", "login", f"--username={user}", "--password-stdin", server]
    ]
    assert services.typed == password
    asked = [data for url, data in services.asked if url == f"https://{server}/oauth2/exchange"]
    assert asked == ([] if key_url else [b"grant_type=access_token&service=mine.azurecr.io&access_token=t"])
    assert host.LOGINS.parts[-2] == "run"


def test_report_holds_what_the_alarms_read(host, services):
    """Means over the accelerators, the fullest memory, and the requests since the last report."""
    host.report()
    services.page = page_of(70, quick=50, slow=8, failed=2, waiting=6)
    host.report()
    first, second = (json.loads(line) for line in services.logged)
    assert first["gpu_percent"] == 60
    assert first["gpu_memory_percent"] == 50
    assert 0 < first["disk_percent"] < 100
    assert first["healthy"] is first["agent"] is True
    assert (first["requests"], second["requests"]) == (0, 60)
    assert (second["target_requests"], second["over_target"]) == (58, 6)  # 3/4 of those between 0.4 and 0.8 s
    assert (second["answers"], second["server_errors"]) == (60, 2)
    assert second["waiting_ratio"] == 1.5
    published = [json.loads(data) for url, data in services.asked if "monitoring.azure.com" in url and data]
    assert published[1]["data"]["baseData"]["series"][0]["count"] == 1
    assert any("virtualMachineScaleSets/set/metrics" in url for url, _ in services.asked)


@pytest.mark.parametrize(
    ("looks", "minutes"),
    [
        ([((1, 10), (1, 20))] * 4, [0, 1, 2, 3]),
        ([((1, 10), (1, 20)), ((1, 10), (1, 21)), ((1, 10), (1, 22)), ((1, 11), (1, 23))], [0, 1, 2, 0]),
        ([((0, 10), (0, 20))] * 4, [0, 0, 0, 0]),
        ([((1, 10), (0, 20)), ((0, 10), (0, 20)), ((1, 10), (0, 20)), ((1, 10), (0, 20))], [0, 0, 0, 1]),
    ],
    ids=["both hang", "one hangs for a while", "idle", "came and went"],
)
def test_reports_tell_for_how_long_an_engine_hangs(looks, minutes, host, services):
    """Each engine behind the port by itself: requests at two looks, and no token between them."""
    for engines in looks:
        lines = [
            f'vllm:{name}{{engine="{at}"}} {value}'
            for at, engine in enumerate(engines)
            for name, value in zip(("num_requests_running", "generation_tokens_total"), engine, strict=True)
        ]
        services.page = "\n".join(lines)
        host.report()
    assert [json.loads(line)["stalled_minutes"] for line in services.logged] == minutes


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([(0, False), (3600, False), (3700, True)], [None, None, "Healthy"]),
        ([(0, True), (599, False), (601, False), (900, True)], ["Healthy", "Healthy", "Unhealthy", "Healthy"]),
        ([(0, True), (500, False), (700, True), (1200, False)], ["Healthy"] * 4),
    ],
    ids=["a slow start", "an engine that stays away", "an engine that comes back"],
)
def test_host_is_to_be_replaced_once_its_engine_stays_away(looks, told, host, monkeypatch):
    """A restart has as long as a start takes; before the first answer nothing is said, for which Azure waits by itself."""
    clock, answers = [0.0], [False]
    monkeypatch.setattr(host.time, "monotonic", lambda: clock[0])
    monkeypatch.setitem(host.Health.state.__globals__, "is_healthy", lambda: answers[0])
    page = host.Health.__new__(host.Health)
    states = []
    for clock[0], answers[0] in looks:
        states.append(page.state())
    assert states == told


def test_engine_that_restarts_counts_from_nothing(host, services):
    """What it counted before is not taken off, and a page that does not answer is no number."""
    host.report()
    services.page = page_of(3, quick=3)
    host.report()
    services.page = ""
    host.report()
    assert [json.loads(line)["requests"] for line in services.logged] == [0, 3, 0]


def test_host_that_ends_is_taken_out_before_the_engine_stops(host, services):
    """Probes are refused first, the engine stops next, and then Azure is told to go on."""
    services.events = [
        {"EventId": "other", "EventType": "Terminate", "Resources": ["host-2"]},
        {"EventId": "mine", "EventType": "Preempt", "Resources": ["host-1"]},
    ]
    host.SETTINGS["drain_seconds"] = 0
    host.drain()
    names = [command[0] for command in services.ran]
    assert names == ["iptables", "systemctl"]
    assert json.loads(services.asked[-1][1]) == {"StartRequests": [{"EventId": "mine"}]}


DISKS = [
    {"path": "/dev/sda", "type": "disk", "model": "Virtual Disk", "fstype": None, "mountpoint": None, "children": [{}]},
    {"path": "/dev/nvme0n1", "type": "disk", "model": "MSFT NVMe Accelerator v1.0", "fstype": None, "mountpoint": None},
    {"path": "/dev/nvme1n1", "type": "disk", "model": "Microsoft NVMe Direct Disk", "fstype": None, "mountpoint": None},
    {"path": "/dev/nvme2n1", "type": "disk", "model": "Microsoft NVMe Direct Disk", "fstype": None, "mountpoint": None},
    {"path": "/dev/nvme3n1", "type": "disk", "model": None, "fstype": "xfs", "mountpoint": "/data"},
]


def test_weights_lie_on_all_local_disks_together(host, services):
    """Disks over the network and disks with something on them are left alone."""
    services.disks = DISKS
    host.storage()
    _, _, stripe, fresh, mount = services.ran
    assert stripe[-2:] == ["/dev/nvme1n1", "/dev/nvme2n1"]
    assert fresh[0] == "mkfs.ext4"
    assert fresh[-1] == mount[-2] == "/dev/md/inference"


def test_local_disks_are_made_once(host, services):
    """After a reboot they are mounted as they are."""
    services.disks, services.labelled = DISKS, "/dev/md127\n"
    host.storage()
    assert [command[0] for command in services.ran] == ["blkid", "mount"]
    assert "/dev/md127" in services.ran[1]


@pytest.mark.parametrize(("weights_gib", "mounted"), [(0, True), (1_000_000, False)])
def test_mounted_disk_is_taken_where_the_weights_fit(weights_gib, mounted, host, services, tmp_path):
    """The temporary disk that Azure mounts by itself; what is too small is left, and nothing fails without one."""
    host.SETTINGS["weights_gib"] = weights_gib
    (tmp_path / "mnt").mkdir()
    lines = ("/dev/sda1 / ext4 rw", "/dev/sda15 /boot/efi vfat rw", f"/dev/sdb1 {tmp_path}/mnt ext4 rw")
    (tmp_path / "proc/mounts").write_text("\n".join(lines))
    host.storage()
    bound = [command for command in services.ran if command[:2] == ["mount", "--bind"]]
    assert [command[2] for command in bound] == ([tmp_path / "mnt/inference"] if mounted else [])


def test_folder_of_models_is_mounted_where_the_host_has_it(host, monkeypatch, tmp_path):
    """A folder that is not there is one of the image."""
    given = []
    monkeypatch.setattr(host.os, "execvp", lambda _program, words: given.extend(words))
    for folder in (tmp_path, tmp_path / "nothing"):
        host.SETTINGS["model_folder"] = str(folder)
        host.serve()
    assert [word for word in given if word.startswith(f"--volume={tmp_path}")] == [f"--volume={tmp_path}:{tmp_path}:ro"]


def test_host_of_the_entrance_leaves_when_no_connection_is_open(host, services):
    """It has no engine to ask, and its service is another one."""
    host.SETTINGS |= {"metrics": None, "service": "haproxy.service"}
    host.drain.__globals__["PROBING_SECONDS"] = 0
    services.events = [{"EventId": "1", "EventType": "Terminate", "Resources": ["host-1"], "NotBefore": ""}]
    host.drain()
    assert [command[0] for command in services.ran] == ["iptables", "ss", "systemctl"]
    assert services.ran[-1][-1] == "haproxy.service"


@pytest.mark.parametrize(("connections", "stays"), [("", 10), ("0 0 10.0.0.1:8443 10.0.0.9:40000", 120)])
def test_an_engine_that_counts_its_queue_alone_is_busy_while_connections_are_open(
    connections, stays, host, services, monkeypatch
):
    """Text Embeddings Inference and Triton do not say how many requests run: an empty queue is no end of them."""
    host.SETTINGS["drain_seconds"] = 120
    host.SETTINGS["metrics"] = {**host.SETTINGS["metrics"], "running": "", "waiting": "te_queue_size"}
    services.page, services.connections = "te_queue_size 0\n", connections
    clock = [1000.0]
    monkeypatch.setattr(host.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(host.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    services.events = [{"EventId": "1", "EventType": "Terminate", "Resources": ["host-1"], "NotBefore": ""}]
    host.drain()
    assert clock[0] - 1000 == stays


@pytest.mark.parametrize(
    ("left", "running", "stays"),
    [(3600, 0, 10), (3600, 1, 120), (28, 1, 25), (28, 0, 10), (2, 1, 0)],
    ids=["idle", "busy", "busy on spot", "idle on spot", "too late"],
)
def test_requests_run_on_as_long_as_azure_gives(left, running, stays, host, services, monkeypatch):
    """The balancer takes ten seconds to send nothing more; a notice of 28 s leaves 25."""
    clock = [1000.0]
    host.SETTINGS["drain_seconds"] = 120
    monkeypatch.setattr(host.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(host.time, "time", lambda: clock[0])
    monkeypatch.setattr(host.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    services.page = page_of(1, running=running)
    before = formatdate(clock[0] + left, usegmt=True)
    services.events = [{"EventId": "1", "EventType": "Preempt", "Resources": ["host-1"], "NotBefore": before}]
    host.drain()
    assert clock[0] - 1000 == stays


def test_container_arguments_stay_words(host, monkeypatch):
    """An argument full of shell syntax reaches docker as it is."""
    given = []
    monkeypatch.setattr(host.os, "execvp", lambda _program, words: given.extend(words))
    host.serve()
    assert given[:3] == ["docker", f"--config={host.LOGINS}", "run"]
    assert given[-1] == "$(touch pwned)"
