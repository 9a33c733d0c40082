"""The program that Azure hosts run beside the engine, with recording stand-ins for the services that it asks."""

import base64
import json
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
    "requests_metric": "vllm:request_success_total",
    "publish_metrics": True,
    "drain_seconds": 2,
    "container_arguments": ["--gpus=all", "image", "serve", "$(touch pwned)"],
}
HOST = {
    "name": "host-1",
    "location": "eastus",
    "subscriptionId": "s",
    "resourceGroupName": "g",
    "vmScaleSetName": "set",
}


class Services:
    """Plays the metadata service, Key Vault, Azure Monitor, the engine and the programs of a host."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.asked: list[tuple[str, bytes | None]] = []
        self.ran: list[list[str]] = []
        self.logged: list[str] = []
        self.events: list[dict[str, object]] = []
        self.finished = 10.0
        self.secret = {"value": "KEY AND CERTIFICATE"}

    def fetch(self, url, _headers=None, data=None, **_options):
        """The answer to a request, by its address."""
        self.asked.append((url, data))
        answers = {
            "identity/oauth2/token": json.dumps({"access_token": "t"}),
            "instance/compute": json.dumps(HOST),
            "scheduledevents": json.dumps({"Events": self.events}),
            "/secrets/certificate": json.dumps(self.secret),
            "/secrets/token": json.dumps({"value": "hf_token\n"}),
            ":8443/metrics": f'vllm:request_success_total{{model="m",reason="stop"}} {self.finished}\nother 5\n',
        }
        return next((answer for part, answer in answers.items() if part in url), "")

    def run(self, command, **_options):
        """What a program prints."""
        self.ran.append(command)
        output = "50, 8000, 16000\n70, 4000, 16000\n" if command[0] == "nvidia-smi" else ""
        return SimpleNamespace(returncode=0, stdout=output.encode() if command[0] == "openssl" else output)


@pytest.fixture
def services():
    """A quiet Azure."""
    return Services()


@pytest.fixture
def host(services, tmp_path, monkeypatch):
    """The program as a namespace, on a host that is a folder."""
    scenario = SCENARIOS["vm-scale-set-reactive"]()
    text = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["host.py"]
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    program = {"__name__": "host"}
    moved = text.replace("/etc/inference/settings.json", str(tmp_path / "settings.json"))
    exec(compile(moved.replace('"/run/inference"', repr(str(tmp_path / "run"))), "host.py", "exec"), program)
    program["fetch"] = services.fetch
    monkeypatch.setattr(program["subprocess"], "run", services.run)
    monkeypatch.setattr(program["shutil"], "which", lambda name: name)
    monkeypatch.setattr(program["syslog"], "syslog", lambda _priority, line: services.logged.append(line))
    monkeypatch.setattr(program["time"], "sleep", lambda _seconds: None)
    return SimpleNamespace(**program, directory=tmp_path / "run")


def test_secrets_are_for_root_only_and_read_with_the_identity_of_the_host(host, services):
    """Certificate and token lie in files that no one else reads."""
    host.secrets()
    assert (host.directory / "tls.pem").read_text() == "KEY AND CERTIFICATE"
    assert (host.directory / "environment").read_text() == "HF_TOKEN=hf_token\n"
    assert {path.stat().st_mode & 0o777 for path in host.directory.iterdir()} == {0o600}
    assert any("client_id=client" in url and "vault.azure.net" in url for url, _ in services.asked)


def test_certificate_in_a_pkcs12_archive_is_unpacked(host, services):
    """The form that Key Vault gives certificates by default."""
    services.secret = {"value": base64.b64encode(b"archive").decode(), "contentType": "application/x-pkcs12"}
    host.secrets()
    assert services.ran[0][:2] == ["openssl", "pkcs12"]


def test_report_holds_what_the_alarms_read(host, services):
    """Means over the accelerators, the fullest memory, and the requests since the last report."""
    host.report()
    services.finished = 70.0
    host.report()
    first, second = (json.loads(line) for line in services.logged)
    assert first["gpu_percent"] == 60
    assert first["gpu_memory_percent"] == 50
    assert first["healthy"] is first["agent"] is True
    assert (first["requests"], second["requests"]) == (0, 60)
    published = [json.loads(data) for url, data in services.asked if "monitoring.azure.com" in url and data]
    assert published[1]["data"]["baseData"]["series"][0]["count"] == 1
    assert any("virtualMachineScaleSets/set/metrics" in url for url, _ in services.asked)


def test_host_that_ends_is_taken_out_before_the_engine_stops(host, services):
    """Probes are refused first, the engine stops next, and then Azure is told to go on."""
    services.events = [
        {"EventId": "other", "EventType": "Terminate", "Resources": ["host-2"]},
        {"EventId": "mine", "EventType": "Preempt", "Resources": ["host-1"]},
    ]
    host.drain()
    names = [command[0] for command in services.ran]
    assert names == ["iptables", "ss", "systemctl"]
    assert json.loads(services.asked[-1][1]) == {"StartRequests": [{"EventId": "mine"}]}


def test_container_arguments_stay_words(host, monkeypatch):
    """An argument full of shell syntax reaches docker as it is."""
    given = []
    monkeypatch.setattr(host.os, "execvp", lambda _program, words: given.extend(words))
    host.serve()
    assert given[:2] == ["docker", "run"]
    assert given[-1] == "$(touch pwned)"
