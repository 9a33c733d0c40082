"""What installs the agent: units, manifests and Containerfiles that nothing from outside can change the structure of."""

import json
import os
import pwd
import re
import shutil
import subprocess
from dataclasses import replace
from functools import partial

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen.agent_files import (
    DEFAULT_BASE_IMAGE,
    DEFAULT_DIRECTORY,
    DEFAULT_PROGRAM,
    AgentRun,
    Pods,
    alert_files,
    container_files,
    kubernetes_files,
    systemd_files,
)
from advisor.errors import InputError
from advisor.samples.agent.latest import FAMILIES
from advisor.samples.metrics import Kind
from advisor.samples.sources import ACCELERATORS
from codegen.kubernetes_texts import as_read

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="no systemd-analyze on this machine (apt-get install systemd)"
)
RUN = AgentRun(engines=("http://127.0.0.1:8000",), page="127.0.0.1:9464", host="node-1")
PLAIN = AgentRun()
HOSTILE = [
    'quote" --output=/etc', "back\\", "back\\\\", "%h%n%%", "$HOME ${HOME} $$", "$(NODE_NAME)",
    "'; ExecStart=/bin/sh", "# comment", "a: b", "- x", "!!python/object", "\U0001f600", "{{ unit }}",
]  # fmt: skip
UNPRINTABLE = [
    "", "line\nUser=root", "cr\rUser=root", "tab\there", "\u2028User=root", "\x00nul", "\x1b[31m", "\ud800", "x" * 251,
]  # fmt: skip


def _alert(name, series, at, *fires, **labels):
    """A test of one alert on host a: series and values, when it is asked, and the summaries that it then has."""
    return {
        "interval": "1m",
        "input_series": [{"series": of, "values": values} for of, values in series.items()],
        "alert_rule_test": [
            {"alertname": name, "eval_time": at, "exp_alerts": [
                {"exp_labels": {"host": "a", **labels}, "exp_annotations": annotations} for annotations in fires
            ]}
        ],
    }  # fmt: skip


ALERT_TESTS = {
    "rule_files": ["advisor-agent-alerts.yaml"],
    "evaluation_interval": "1m",
    "tests": [
        _alert(
            "AdvisorAgentLosesRows", {'advisor_agent_lost_rows_total{host="a"}': "0x10 30x10"}, "12m",
            {"summary": "a: 30 rows were lost",
             "description": "They could not be written for longer than memory holds them, and became gaps."},
            severity="critical",
        ),
        _alert("AdvisorAgentLosesRows", {'advisor_agent_lost_rows_total{host="a"}': "30x30"}, "25m"),
        _alert(
            "AdvisorAgentGone", {'advisor_agent_build_info{host="a",version="1"}': "1x10 stale"}, "20m",
            {"summary": "a: the agent says nothing",
             "description": "It was there in the last six hours. Its host is down, it ended, or nothing scrapes it any more."},
            severity="warning",
        ),
        _alert(
            "AdvisorAgentGone",
            {'advisor_agent_build_info{host="a",instance="10.0.0.1:9464",team="search",version="1"}': "1x10 stale",
             'advisor_agent_build_info{host="a",instance="10.0.0.2:9464",team="search",version="2"}': "_x10 1x30"},
            "30m",
        ),
        _alert("AdvisorAgentGone", {'advisor_agent_build_info{host="a",version="1"}': "1x60"}, "30m"),
        _alert(
            "AdvisorAgentCannotWrite", {'advisor_agent_spool_failing{host="a"}': "0x5 1x10"}, "10m",
            {"summary": "a: rows cannot be written",
             "description": "They wait in memory for a few minutes. `status` of the agent says why: a full disk, a lost mount."},
            severity="critical",
        ),
        _alert("AdvisorAgentCannotWrite", {'advisor_agent_spool_failing{host="a"}': "0 1 0x10"}, "5m"),
        _alert(
            "AdvisorAgentSourceHangs", {'advisor_agent_source_hanging{host="a",source="nvml"}': "1x20"}, "10m",
            {"summary": "a: nvml hangs in its driver",
             "description": "Look for Xid messages in the kernel's log; reset the accelerator or restart the host."},
            severity="critical", source="nvml",
        ),
    ],
}  # fmt: skip


def unit_of(run=RUN, program=DEFAULT_PROGRAM, accelerators=("nvidia",), user=None, networks=()):
    """The text of the unit."""
    return systemd_files(run, program, accelerators, user, networks)["advisor-agent.service"]


def manifest_of(run=PLAIN, image="registry.example/advisor:1", **pods):
    """The DaemonSet or Deployment, as Kubernetes reads it."""
    (text,) = kubernetes_files(run, Pods(image, **pods)).values()
    account, workload = yaml.safe_load_all(text)
    assert (account["kind"], account["automountServiceAccountToken"]) == ("ServiceAccount", False)
    return workload


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
        DEFAULT_PROGRAM, "run", f"--output={DEFAULT_DIRECTORY}", "--interval=1s",
        "--engine=http://127.0.0.1:8000", "--page=127.0.0.1:9464", "--host=node-1", "--quiet",
    ]  # fmt: skip
    assert command_of(unit_of(program="/opt/advisor/bin/advisor"))[:3] == ["/opt/advisor/bin/advisor", "agent", "run"]
    kept = command_of(unit_of(replace(RUN, labels=("team=search",), keep_days=30)))
    assert {"--label=team=search", "--keep-days=30"} < set(kept)
    secured = command_of(
        unit_of(replace(RUN, page="0.0.0.0:9464", page_tls=("/c", "/k", "/ca")), networks=("10.0.0.0/8",))
    )
    assert secured[-6:-2] == ["--page-tls", "/c", "/k", "/ca"]


@pytest.mark.parametrize(
    ("page", "files", "words"),
    [
        ("0.0.0.0:9464", (), "anyone there could read the metrics"),
        ("here", (), "not an address to listen on"),
        ("127.0.0.1:9464", ("cert.pem", "/k", "/ca"), "not an absolute path"),
    ],
)
def test_a_page_that_the_agent_would_refuse(page, files, words):
    """A page that anybody could read, or that cannot be, is refused before a host has it."""
    with pytest.raises(InputError, match=words):
        unit_of(replace(RUN, page=page, page_tls=files))


def test_a_unit_that_uploads_may_reach_what_it_is_told():
    """A unit that could not reach the bucket is refused, as an address that is none."""
    sends = replace(RUN, upload="s3://telemetry/fleet")
    with pytest.raises(InputError, match="elsewhere"):
        unit_of(sends)
    assert "--upload=s3://telemetry/fleet" in command_of(unit_of(sends, networks=("0.0.0.0/0",)))
    with pytest.raises(InputError, match="not the address of a bucket"):
        unit_of(replace(RUN, upload="s3:/x\nUser=root"), networks=("0.0.0.0/0",))


@pytest.mark.parametrize(
    ("run", "option"),
    [
        (AgentRun(engines=("http://[::1]:1", "http://10.0.0.5:8000")), "--engine"),
        (AgentRun(engines=("http://vllm:8000",)), "--engine"),
        (AgentRun(page="0.0.0.0:9464", page_tls=("/a", "/b", "/c")), "--page"),
    ],
)
def test_a_unit_says_what_it_could_not_reach(run, option):
    """An engine or a reader of the page on another machine needs its network named: the unit would be silent there."""
    with pytest.raises(InputError, match="elsewhere") as caught:
        unit_of(run)
    assert caught.value.where == option
    assert "IPAddressAllow=10.0.0.0/8" in unit_of(run, networks=("10.0.0.0/8",)).splitlines()


def test_the_unit_works_on_a_host_that_it_was_not_made_on():
    """It waits for the mount of its directory, says what program is missing, and makes a user's directory."""
    lines = unit_of(AgentRun(directory="/srv/gpu samples"), user="gpu").splitlines()
    assert 'RequiresMountsFor="/srv/gpu samples"' in lines
    assert f"AssertFileIsExecutable={DEFAULT_PROGRAM}" in lines
    assert "EnvironmentFile=-/etc/advisor-agent.env" in lines
    assert "RuntimeDirectory=advisor-agent" in lines
    assert "StateDirectory=advisor-agent" not in lines
    (made,) = [line for line in lines if line.startswith("ExecStartPre=+")]
    assert made.endswith('"sh" "/srv/gpu samples" "gpu"')
    assert "StateDirectory=advisor-agent" in unit_of().splitlines()


def test_making_the_directory(tmp_path):
    """What makes a user's directory does so once, and leaves one that is there as it is."""
    path, user = tmp_path / "gpu samples", pwd.getpwuid(os.getuid()).pw_name
    (line,) = [
        line for line in unit_of(AgentRun(directory="/srv/x"), user="gpu").splitlines() if "ExecStartPre" in line
    ]
    words = command_of(line.replace("ExecStartPre=+", "ExecStart="))
    for _ in range(2):
        subprocess.run([*words[:-2], path, user], check=True)
        assert path.stat().st_mode & 0o777 == 0o750
        path.chmod(0o750)


@pytest.fixture
def verified(tmp_path):
    """Checks a unit with the real systemd-analyze; gives its exposure."""

    def check(**options):
        path = tmp_path / "advisor-agent.service"
        path.write_text(unit_of(program=shutil.which("true"), **options))
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
    """Whatever a name holds that can be printed, systemd finds nothing wrong with the unit."""
    assert verified(run=replace(RUN, host=text)) <= 2.0


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_values_of_a_unit(text):
    """A name with quotes, line ends, specifiers or variables is one argument of the command, and nothing else."""
    unit = unit_of(replace(RUN, host=text))
    assert command_of(unit)[-2] == f"--host={text}"
    assert [line.partition("=")[0] for line in unit.splitlines()] == [
        line.partition("=")[0] for line in unit_of().splitlines()
    ]


@pytest.mark.parametrize("text", UNPRINTABLE)
def test_a_name_that_cannot_be_printed_is_refused(text):
    """As the agent itself would refuse it on the host."""
    for write in (unit_of, partial(container_files, base_image=DEFAULT_BASE_IMAGE)):
        with pytest.raises(InputError, match="is not the name of a host"):
            write(replace(RUN, host=text))


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=40))
def test_any_name_stays_a_value(text):
    """Any text that can be printed comes back as it was from unit, manifest and Containerfile, whose structure stays."""
    unit = unit_of(replace(RUN, host=text))
    assert command_of(unit)[-2] == f"--host={text}"
    engines = manifest_of(replace(RUN, host=text), accelerators=False, claim="samples")
    (container,) = engines["spec"]["template"]["spec"]["containers"]
    assert as_read(container["args"][-2]) == f"--host={text}"
    lines = container_files(replace(RUN, host=text), DEFAULT_BASE_IMAGE)["Containerfile"].splitlines()
    assert json.loads(lines[-1].removeprefix("CMD "))[-2] == f"--host={text}"
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
    assert environment == {
        "RUNTIME_DIRECTORY": "/run/advisor-agent", "NODE_NAME": None, "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "utility",
    }  # fmt: skip
    assert container["args"][-1] == "--host=$(NODE_NAME)"
    assert pod["tolerations"] == [{"operator": "Exists", "effect": "NoSchedule"}], "nodes reserved for a team, or spot"
    labels = daemon_set["spec"]["template"]["metadata"]["labels"]
    assert daemon_set["spec"]["selector"]["matchLabels"] == labels


def test_a_manifest_that_uploads_says_what_it_takes():
    """The identity is the service account's, and the image has to bring what writes Parquet."""
    sends, keeps = (
        next(iter(kubernetes_files(AgentRun(upload=upload), Pods("registry.example/advisor:1")).values()))
        for upload in ("s3://telemetry/fleet", None)
    )
    assert "the extra `parquet`" in sends
    assert "the extra `parquet`" not in keeps
    assert "--upload=s3://telemetry/fleet" in yaml.safe_dump(list(yaml.safe_load_all(sends)))


def test_every_mount_has_its_volume():
    """The volumes of a pod are those that its container mounts."""
    for claim in (None, "samples"):
        pod = manifest_of(claim=claim)["spec"]["template"]["spec"]
        volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == set(volumes)
        kind = "persistentVolumeClaim" if claim else "hostPath"
        assert list(volumes["samples"]) == [kind]


def test_the_directory_of_a_node_gets_its_owner():
    """It is made where there is none, by an init container that may change owners and nothing else."""
    pod = manifest_of()["spec"]["template"]["spec"]
    (samples,) = [volume for volume in pod["volumes"] if volume["name"] == "samples"]
    assert samples["hostPath"] == {"path": DEFAULT_DIRECTORY, "type": "DirectoryOrCreate"}
    (init,) = pod["initContainers"]
    assert init["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN", "FOWNER"]}
    assert [mount["mountPath"] for mount in init["volumeMounts"]] == init["args"] == [DEFAULT_DIRECTORY]
    assert "initContainers" not in manifest_of(claim="samples")["spec"]["template"]["spec"]


def test_probes_ask_the_agent():
    """Probes run the program of the container, which reads a status in memory; readiness alone needs a source."""
    pod = manifest_of(program="/agent")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["/agent", "run"]
    commands = {name: container[f"{name}Probe"]["exec"]["command"] for name in ("startup", "liveness", "readiness")}
    assert commands == {
        "startup": ["/agent", "alive"], "liveness": ["/agent", "alive"], "readiness": ["/agent", "alive", "--ready"],
    }  # fmt: skip
    (status,) = [volume for volume in pod["volumes"] if volume["name"] == "status"]
    assert status["emptyDir"]["medium"] == "Memory"


def test_runtime_class_and_selector_are_optional():
    """Nodes may be selected by any labels, and need no runtime class where NVIDIA's is the default."""
    pod = manifest_of(runtime_class=None, node_selector=(("pool", "gpu: true"),))["spec"]["template"]["spec"]
    assert "runtimeClassName" not in pod
    assert pod["nodeSelector"] == {"pool": "gpu: true"}
    assert "nodeSelector" not in manifest_of(node_selector=())["spec"]["template"]["spec"]


def test_engines_are_read_by_one_pod():
    """Engines have a Deployment of one pod with a name and a claim of its own, wherever it runs."""
    run = AgentRun(engines=("http://vllm:8000",))
    deployment = manifest_of(run, accelerators=False, claim="samples")
    pod = deployment["spec"]["template"]["spec"]
    assert (deployment["kind"], deployment["spec"]["replicas"]) == ("Deployment", 1)
    assert not {"runtimeClassName", "nodeSelector", "tolerations", "initContainers"} & set(pod)
    assert "--host=advisor-agent-engines" in pod["containers"][0]["args"]
    assert deployment["metadata"]["name"] != manifest_of()["metadata"]["name"]
    with pytest.raises(InputError, match="nothing to read"):
        manifest_of(accelerators=False, claim="samples")
    with pytest.raises(InputError, match="stay behind"):
        manifest_of(run, accelerators=False)


def test_an_engine_is_not_read_by_every_node():
    """One address in a DaemonSet would count an engine once for each node: refused with both ways out."""
    with pytest.raises(InputError, match="once for each node") as caught:
        manifest_of(AgentRun(engines=("http://vllm:8000",)))
    assert "demand.prometheus" in caught.value.hint
    assert "--accelerator none" in caught.value.hint


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on this machine (apt-get install prometheus)")
def test_the_alerts_are_rules_that_fire(tmp_path):
    """Prometheus's own tool finds no fault in the rules, and each of those tried fires when it should, and only then."""
    (tmp_path / "advisor-agent-alerts.yaml").write_text(alert_files()["advisor-agent-alerts.yaml"])
    (tmp_path / "test.yaml").write_text(json.dumps(ALERT_TESTS))
    for words in (("check", "rules", "advisor-agent-alerts.yaml"), ("test", "rules", "test.yaml")):
        done = subprocess.run(
            ["promtool", *words], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_ask_for_series_that_there_are():
    """Every series that a rule names is one that the page shows; every alert has a severity and says what to do."""
    (group,) = yaml.safe_load(alert_files()["advisor-agent-alerts.yaml"])["groups"]
    shown = {f"{family.name}_total" if family.kind is Kind.COUNTER else family.name for family in FAMILIES.values()}
    for rule in group["rules"]:
        assert set(re.findall(r"advisor_agent_\w+", rule["expr"])) <= shown
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) >= {"summary", "description"}


def test_the_container():
    """A container runs as nobody, with its base as a variable and no secret in any layer."""
    text = container_files(AgentRun(), "python@sha256:" + "0" * 64)["Containerfile"]
    instructions = [line.split(" ", 1) for line in text.splitlines() if re.match("[A-Z]+ ", line)]
    assert instructions[0] == ["ARG", "BASE_IMAGE=python@sha256:" + "0" * 64]
    assert [value for name, value in instructions if name == "FROM"] == ["${BASE_IMAGE} AS build", "${BASE_IMAGE}"]
    assert ["USER", "65532:65532"] in instructions
    entry = next(json.loads(value) for name, value in instructions if name == "ENTRYPOINT")
    assert entry == [DEFAULT_PROGRAM, "run"]
    assert "--no-index" in text
    assert "[parquet]" not in text
    sends = container_files(AgentRun(upload="s3://telemetry/fleet"), DEFAULT_BASE_IMAGE)["Containerfile"]
    assert sends.count("'inference-advisor-agent[parquet]'") == 2, "an upload needs it, in the wheels and in the image"
    assert not re.search("password|token|secret", text, re.IGNORECASE)


def _refusals():
    yield "program in a home", lambda: unit_of(program="/home/ann/venv/bin/inference-advisor-agent")
    yield "program of root", lambda: unit_of(program="/root/.local/bin/advisor")
    yield "temporary program", lambda: unit_of(program="/tmp/advisor")
    yield "directory in a home", lambda: unit_of(AgentRun(directory="/home/ann/samples"), user="ann")
    yield "label", lambda: unit_of(AgentRun(labels=("host=x",)))
    yield "runtime class", lambda: manifest_of(runtime_class="a b")
    yield "selector", lambda: manifest_of(node_selector=(("a b", "c"),))
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
