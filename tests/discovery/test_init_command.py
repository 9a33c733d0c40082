"""``advisor init`` as a user runs it, and the plans that follow without an edit."""

import json
import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner

from advisor.cli.init import command
from advisor.discovery.find import Places, Server, nothing_found
from advisor.errors import InputError
from advisor.workload.document import read_workload
from discovery.api_server import Cluster, api_server, kubeconfig
from discovery.estate import estate
from discovery.simulated import EKS, GKE, PLANNED, SERVICES, objects
from samples.query.conftest import prometheus_url

__all__ = ["prometheus_url"]


def init(*arguments):
    """The command in this process: its output, and the error that it ends with."""
    return CliRunner().invoke(command, list(map(str, arguments)))


@pytest.fixture(scope="module")
def running(tmp_path_factory, prometheus_url):
    """Two clusters and a Prometheus that has scraped their engines for an hour."""
    with estate(tmp_path_factory.mktemp("estate"), prometheus_url, hours=1) as started:
        yield started


@pytest.fixture(scope="module")
def written(running, tmp_path_factory):
    """Folder of the workload files, and what was said of each service."""
    out = tmp_path_factory.mktemp("written") / "workloads"
    done = init(*running.places, "--window", "2h", "--out", out, "--yes", "--format", "json")
    assert done.exit_code == 0, done.output
    return out, {service["name"]: service for service in json.loads(done.stdout)["services"]}


def test_what_is_found_is_what_runs(written):
    """Of every service model, machines, purchase, replicas, demand and latency are the simulation's."""
    _, services = written

    assert set(services) == {truth.name for truth in SERVICES}
    for truth in PLANNED:
        service, machine = services[truth.name], truth.machine
        assert service["missing"] is None
        assert service["accelerators_per_replica"] == truth.per_replica
        assert [service[key] for key in ("provider", "region", "instance_type", "purchase", "instances", "replicas")] == [
            machine.provider, machine.region, machine.instance_type, machine.purchase, truth.instances, truth.replicas,
        ]  # fmt: skip
        assert service["requests_per_second"] == pytest.approx(truth.rate, rel=0.1)
        assert service["input_tokens"] == pytest.approx(truth.tokens[0], rel=0.05)
        assert service["output_tokens"] == pytest.approx(truth.tokens[1], rel=0.05)
        assert truth.tpot_p95_seconds <= service["tpot_p95_ms"] / 1000 <= 2.3 * truth.tpot_p95_seconds
        assert service["instances_needed"] <= service["instances"], "a plan would buy more than what serves"
        assert not service["latency_rises_with_load"]


def test_what_cannot_be_planned_stands_apart(written):
    """Models that answer in one pass go to a folder that `recommend` does not read, with the reason."""
    out, services = written

    assert {path.stem for path in out.glob("*.yaml")} == {truth.name for truth in PLANNED}
    assert {path.stem for path in (out / "incomplete").glob("*.yaml")} == {"embedder", "detector"}
    assert "the catalog knows no model 'yolo'" in services["detector"]["missing"]


@pytest.mark.slow
def test_services_are_planned_without_an_edit(written, run_advisor, tmp_path):
    """`advisor recommend` plans files of both clouds as they were written; bench_init.py plans all of them."""
    names = ("llama-chat", "gemma")
    for name in names:
        (tmp_path / f"{name}.yaml").write_text((written[0] / f"{name}.yaml").read_text())
    done = run_advisor("recommend", tmp_path, "--jobs", "1", "--format", "json")

    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout)["totals"]
    assert (totals["workloads"], totals["failed"], totals["infeasible"]) == (len(names), 0, 0)


def test_a_second_run_keeps_what_was_edited(running, tmp_path):
    """A file with a person's target is left as it is, and the table says so; the others are read anew."""
    config = kubeconfig_of_one(running, tmp_path)
    arguments = (
        "--kubernetes",
        EKS,
        "--kubeconfig",
        config,
        "--namespace",
        "chat",
        "--prometheus",
        running.prometheus,
    )
    out = tmp_path / "workloads"
    first = init(*arguments, "--selector", 'namespace="chat"', "--window", "2h", "--out", out, "--yes")
    file = out / "llama-chat.yaml"
    file.write_text(file.read_text().replace("ttft_p95: 500ms", "ttft_p95: 2s"))
    again = init(*arguments, "--selector", 'namespace="chat"', "--window", "2h", "--out", out, "--yes")

    assert (first.exit_code, again.exit_code) == (0, 0), first.output + again.output
    assert "edited by hand" not in first.stdout
    assert "llama-chat.yaml: edited by hand, so it is left as it is" in " ".join(again.stdout.split())
    assert "ttft_p95: 2s" in file.read_text()


def kubeconfig_of_one(running, tmp_path):
    """A copy of the kubeconfig."""
    path = tmp_path / "config"
    path.write_text(running.kubeconfig.read_text())
    return path


def test_without_permission_for_nodes_it_goes_on(tmp_path):
    """The missing verb and the commands that grant it are on stderr, and files are written without machines."""
    with api_server(Cluster(objects(EKS), denied=frozenset({"nodes"}))) as cluster:
        config = kubeconfig(tmp_path / "config", {EKS: cluster})
        done = init("--kubernetes", "--kubeconfig", config, "--out", tmp_path / "out", "--yes")

    assert done.exit_code == 0, done.output
    assert "user jane may not `list nodes`" in done.stderr
    assert "kubectl create clusterrole advisor-init --verb=list --resource=nodes" in done.stderr
    text = (tmp_path / "out/incomplete/llama-chat.yaml").read_text()
    assert "# current: " in text
    assert "# MISSING: nothing that was asked saw its requests" in text
    assert "no file can be planned yet" in done.stdout


def test_a_model_that_answers_in_one_pass_is_incomplete_though_nothing_saw_its_requests(tmp_path):
    """Its file says what is missing, in lines that need their example alone; the other services have theirs."""
    with api_server(Cluster(objects(GKE))) as cluster:
        config = kubeconfig(tmp_path / "config", {GKE: cluster})
        done = init("--kubernetes", "--kubeconfig", config, "--out", tmp_path / "out", "--yes")

    assert done.exit_code == 0, done.output
    files = {path.stem: path.read_text() for path in (tmp_path / "out/incomplete").glob("*.yaml")}
    assert set(files) == {truth.name for truth in SERVICES if truth.context == GKE}
    assert files["embedder"].count("# MISSING: ") == 1
    assert "# MISSING: BAAI/bge-m3 does not answer token by token" in files["embedder"]
    assert "--prometheus" not in files["embedder"]
    assert "# MISSING: nothing that was asked saw its requests: give --prometheus" in files["mistral"]
    completed = tmp_path / "embedder.yaml"
    completed.write_text(files["embedder"].replace("# slo:", "slo:").replace("# demand:", "demand:"))
    assert read_workload(completed).demand.input_tokens == 300


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "name a place to look"),
        (("--kubernetes", "--kubeconfig", "nowhere"), 1, "cannot read the kubeconfig"),
        (("--prometheus", "http://127.0.0.1:9"), 1, "cannot be reached"),
        (("--samples", "nowhere"), 1, "nowhere"),
    ],
)
def test_what_cannot_be_asked_is_one_error(tmp_path, arguments, code, words):
    """Each with what to do, and without a traceback."""
    done = init(*arguments, "--out", tmp_path / "out", "--yes")

    assert done.exit_code == code
    assert words in (done.output if code == 2 else str(done.exception))
    assert code == 2 or isinstance(done.exception, InputError)
    assert not (tmp_path / "out").exists()


def test_a_person_is_asked_for_what_nothing_shows(tmp_path):
    """At a terminal a cluster without metrics leaves rate and lengths to ask, and the answers make a file to plan."""
    lists = {**objects(EKS), "statefulsets": [], "leaderworkersets": []}
    lists["deployments"] = [item for item in lists["deployments"] if item["metadata"]["name"] == "llama-chat"]
    with api_server(Cluster(lists)) as cluster:
        config = kubeconfig(tmp_path / "config", {EKS: cluster})
        mine, theirs = pty.openpty()
        os.write(mine, b"4\n700\nmany\n180\nttft_p95: 1s, tpot_p95: 50ms\n")
        done = subprocess.run(
            [sys.executable, "-m", "advisor", "init", "--kubernetes", "--kubeconfig", config, "--out", tmp_path / "out"],
            stdin=theirs, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        os.close(mine)
        os.close(theirs)

    assert done.returncode == 0, done.stderr
    assert "a number above 0" in done.stderr
    text = (tmp_path / "out/llama-chat.yaml").read_text()
    assert "requests_per_second: 4, input_tokens: 700, output_tokens: 180" in text
    assert "slo: {ttft_p95: 1s, tpot_p95: 50ms}" in text
    assert "count: 3, purchase: on_demand}" in text


def test_a_finished_file_is_not_asked_for_again(tmp_path):
    """What a person finished and moved up is left alone, though nothing shows what was missing."""
    lists = {**objects(EKS), "statefulsets": [], "leaderworkersets": []}
    lists["deployments"] = [item for item in lists["deployments"] if item["metadata"]["name"] == "llama-chat"]
    out = tmp_path / "out"
    with api_server(Cluster(lists)) as cluster:
        config = kubeconfig(tmp_path / "config", {EKS: cluster})
        arguments = ("--kubernetes", "--kubeconfig", config, "--out", out, "--yes")
        init(*arguments)
        unfinished = out / "incomplete/llama-chat.yaml"
        declared = "demand: {declared: {requests_per_second: 4, input_tokens: 700, output_tokens: 180}}\n"
        (out / "llama-chat.yaml").write_text(unfinished.read_text() + declared)
        unfinished.unlink()
        again = init(*arguments)

    assert again.exit_code == 0, again.output
    assert not unfinished.exists()
    assert "edited by hand" in " ".join(again.stdout.split())
    assert "next: advisor recommend" in again.stdout


def test_names_of_others_do_not_steer_the_table_or_show_a_query(tmp_path):
    """A model whose name turns text around is shown with "?", and a server's address without what may be a token."""
    lists = objects(EKS)
    template = lists["deployments"][1]["spec"]["template"]["spec"]
    template["containers"][0] |= {"args": ["--model", "a/b\u202ec\nd"]}
    with api_server(Cluster(lists)) as cluster:
        path = kubeconfig(tmp_path / "config", {"a": cluster})
        done = init("--kubernetes", "--kubeconfig", path, "--out", tmp_path / "out", "--yes")

    assert done.exit_code == 0, done.output
    assert "b?c d" in done.stdout
    assert "\u202e" not in done.output

    places = Places(tmp_path, servers=(Server("http://127.0.0.1:9/?token=s3cret", 1.0),))
    assert "s3cret" not in str(nothing_found(places))
