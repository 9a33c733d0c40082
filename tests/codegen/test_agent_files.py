"""What installs the agent: units, manifests and Containerfiles that nothing from outside can change the structure of."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen.agent_files import (
    ACCELERATORS,
    DEFAULT_BASE_IMAGE,
    DEFAULT_DIRECTORY,
    AgentRun,
    container_files,
    kubernetes_files,
    systemd_files,
)
from advisor.errors import InputError

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="no systemd-analyze on this machine (apt-get install systemd)"
)
RUN = AgentRun(engines=("http://127.0.0.1:8000",), outlets=("/usr/bin/tee /dev/null",), host="node-1")
PLAIN = AgentRun()
HOSTILE = [
    'quote" --output=/etc', "back\\", "back\\\\", "line\nUser=root", "cr\rUser=root", "%h%n%%", "$HOME ${HOME} $$", "$(NODE_NAME)",
    "'; ExecStart=/bin/sh", "tab\there", "# comment", "a: b", "- x", "!!python/object", "\u2028User=root", "\x00nul", "\x1b[31m",
    "\U0001f600", "\ud800", "{{ unit }}", "",
]  # fmt: skip


def unit_of(run=RUN, program="/opt/advisor/bin/advisor", accelerators=("nvidia",), user=None, networks=()):
    """The text of the unit."""
    return systemd_files(run, program, accelerators, user, networks)["advisor-agent.service"]


def manifest_of(run=PLAIN, image="registry.example/advisor:1", claim=None, *, accelerators=True):
    """The DaemonSet, as Kubernetes reads it."""
    files = kubernetes_files(run, image, claim, accelerators=accelerators)
    account, daemon_set = yaml.safe_load_all(files["advisor-agent.yaml"])
    assert (account["kind"], account["automountServiceAccountToken"]) == ("ServiceAccount", False)
    return daemon_set


def command_of(unit):
    """The arguments of ExecStart, by systemd's rules for quotes, escapes, specifiers and variables."""
    (line,) = [line for line in unit.split("\n") if line.startswith("ExecStart=")]
    words = re.findall(r'"((?:[^"\\]|\\.)*)"(?: |$)', line.removeprefix("ExecStart="))
    assert " ".join(f'"{word}"' for word in words) == line.removeprefix("ExecStart=")
    return [_unescaped(word) for word in words]


def _unescaped(word):
    assert not re.search(r"(?<!%)(?:%%)*%(?!%)", word)
    assert not re.search(r"(?<!\$)(?:\$\$)*\$(?!\$)", word)
    plain = word.replace("%%", "%").replace("$$", "$").encode("utf-8", "surrogateescape")
    escapes = re.compile(rb'\\(?:x([0-9a-f]{2})|(["\\]))')
    return escapes.sub(lambda m: bytes.fromhex(m[1].decode()) if m[1] else m[2], plain).decode("utf-8")


def test_the_unit_runs_the_agent():
    """The command line of the unit is the agent with what was asked for."""
    assert command_of(unit_of()) == [
        "/opt/advisor/bin/advisor", "agent", "run", f"--output={DEFAULT_DIRECTORY}", "--interval=1s",
        "--engine=http://127.0.0.1:8000", "--outlet=/usr/bin/tee /dev/null", "--host=node-1", "--quiet",
    ]  # fmt: skip


@pytest.fixture
def verified(tmp_path):
    """Checks a unit with the real systemd-analyze; gives its exposure."""

    def check(**options):
        program = tmp_path / "advisor"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        path = tmp_path / "advisor-agent.service"
        path.write_text(unit_of(program=str(program), **options))
        verify = subprocess.run([ANALYZE, "verify", path], capture_output=True, text=True, check=False, timeout=60)
        assert (verify.returncode, verify.stdout + verify.stderr) == (0, "")
        security = subprocess.run(
            [ANALYZE, "security", "--offline=true", "--json=off", "--no-pager", path], capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        (level,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", security.stdout)
        return float(level)

    return check


@needs_systemd
@pytest.mark.parametrize("accelerators", [(), *((name,) for name in ACCELERATORS), tuple(ACCELERATORS)])
def test_exposure(verified, accelerators):
    """The unit is valid for systemd, and what it leaves open is rated at most 2.0."""
    assert verified(accelerators=accelerators) <= 2.0


@needs_systemd
def test_exposure_with_a_user_and_a_network(verified):
    """So it is with a user of the host and the network of a server to write to."""
    run = AgentRun(directory="/srv/gpu samples")
    assert verified(run=run, user="gpu-agent", networks=("10.0.0.0/8", "2001:db8::/32")) <= 2.0


@needs_systemd
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_valid_for_systemd(verified, text):
    """Whatever a name holds, systemd finds nothing wrong with the unit, or the name is refused."""
    if "\0" in text:
        with pytest.raises(InputError, match="NUL"):
            unit_of(replace(RUN, host=text))
    else:
        assert verified(run=replace(RUN, host=text, outlets=(text,))) <= 2.0


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_values_of_a_unit(text):
    """A name with quotes, line ends, specifiers or variables is one argument of the command, and nothing else."""
    if "\0" in text:
        return
    unit = unit_of(replace(RUN, host=text))
    assert command_of(unit)[-2] == f"--host={text}".encode("utf-8", "replace").decode()
    assert [line.partition("=")[0] for line in unit.splitlines()] == [
        line.partition("=")[0] for line in unit_of().splitlines()
    ]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
def test_any_name_stays_a_value(text):
    """Any text at all comes back as it was from unit, manifest and Containerfile, whose structure stays."""
    unit = unit_of(replace(RUN, outlets=(text,)))
    assert command_of(unit)[-3] == f"--outlet={text}"
    (container,) = manifest_of(AgentRun(outlets=(text,)))["spec"]["template"]["spec"]["containers"]
    assert container["args"][2].replace("$$", "$") == f"--outlet={text}"
    assert re.sub(r"\$\$", "", container["args"][2]).count("$") == 0
    lines = container_files(replace(RUN, outlets=(text,)), DEFAULT_BASE_IMAGE)["Containerfile"].splitlines()
    assert json.loads(lines[-1].removeprefix("CMD "))[3] == f"--outlet={text}"
    assert len(lines) == len(container_files(RUN, DEFAULT_BASE_IMAGE)["Containerfile"].splitlines())


def test_the_manifest_asks_for_no_privilege():
    """A pod runs as nobody, with a root that it cannot write to, without capabilities, and within limits."""
    pod = manifest_of()["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["automountServiceAccountToken"] is False


def test_the_manifest_takes_no_accelerator_away():
    """The driver comes by the runtime class; an accelerator that was requested would be lost to the work."""
    daemon_set = manifest_of()
    pod = daemon_set["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["runtimeClassName"] == "nvidia"
    assert not [name for part in container["resources"].values() for name in part if name.startswith("nvidia.com")]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment == {"NODE_NAME": None, "NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "utility"}
    assert container["args"][-1] == "--host=$(NODE_NAME)"
    labels = daemon_set["spec"]["template"]["metadata"]["labels"]
    assert daemon_set["spec"]["selector"]["matchLabels"] == labels


def test_every_mount_has_its_volume():
    """The volumes of a pod are those that its container mounts."""
    for claim in (None, "samples"):
        pod = manifest_of(claim=claim)["spec"]["template"]["spec"]
        volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == set(volumes)
        kind = "persistentVolumeClaim" if claim else "hostPath"
        assert list(volumes["samples"]) == [kind]


def test_engines_alone():
    """Without accelerators a pod runs anywhere, and only with an engine to read."""
    pod = manifest_of(AgentRun(engines=("http://vllm:8000",)), accelerators=False)["spec"]["template"]["spec"]
    assert not {"runtimeClassName", "nodeSelector", "tolerations"} & set(pod)
    with pytest.raises(InputError, match="nothing to read"):
        manifest_of(accelerators=False)


def test_the_container():
    """A container runs as nobody, with its base as a variable and no secret in any layer."""
    text = container_files(AgentRun(), "python@sha256:" + "0" * 64)["Containerfile"]
    instructions = [line.split(" ", 1) for line in text.splitlines() if re.match("[A-Z]+ ", line)]
    assert instructions[0] == ["ARG", "BASE_IMAGE=python@sha256:" + "0" * 64]
    assert [value for name, value in instructions if name == "FROM"] == ["${BASE_IMAGE} AS build", "${BASE_IMAGE}"]
    assert ["USER", "65532:65532"] in instructions
    entry = next(json.loads(value) for name, value in instructions if name == "ENTRYPOINT")
    assert entry == ["/opt/advisor/bin/advisor", "agent", "run"]
    assert not re.search("password|token|secret", text, re.IGNORECASE)


def _refusals():
    yield "directory", lambda: unit_of(AgentRun(directory="/srv/samples"))
    yield "relative", lambda: unit_of(AgentRun(directory="samples"), user="gpu")
    yield "dots", lambda: unit_of(AgentRun(directory="/srv/../etc"), user="gpu")
    yield "quote in a path", lambda: unit_of(AgentRun(directory='/srv/"x'), user="gpu")
    yield "line in a path", lambda: manifest_of(AgentRun(directory="/srv\n- x"))
    yield "root", lambda: unit_of(user="root")
    yield "user", lambda: unit_of(user="gpu\nUser=root")
    yield "program", lambda: unit_of(program="advisor")
    yield "network", lambda: unit_of(networks=("10.0.0.0/8\nIPAddressAllow=any",))
    yield "claim", lambda: manifest_of(claim="a b")
    yield "image", lambda: manifest_of(image="x\ny")
    yield "base image", lambda: container_files(AgentRun(), "x AS build\nRUN id")
    yield "host of a pod", lambda: manifest_of(AgentRun(host="x"))
    yield "password", lambda: unit_of(AgentRun(engines=("http://ann:secret@host:8000",)))


@pytest.mark.parametrize("ask", [pytest.param(ask, id=name) for name, ask in _refusals()])
def test_what_is_refused(ask):
    """A value that has no safe form is refused, with a reason that holds no secret."""
    with pytest.raises(InputError) as caught:
        ask()
    assert "secret" not in str(caught.value)
