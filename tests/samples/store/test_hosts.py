"""Hosts of a store say what they are, and a workload takes `current` from them."""

import json
from datetime import timedelta

import pytest

from advisor import demand_sources
from advisor.errors import InputError
from advisor.samples.agent.compaction import parse_bucket_url
from advisor.samples.agent.host_facts import keep_facts
from advisor.samples.agent.status import status_path
from advisor.samples.store.compact import compact
from advisor.samples.store.hosts import Machines, hosts_of, running_fleet
from advisor.samples.store.reading import Store
from advisor.workload.document import read_workload
from samples.records import DAY, row, spool, target
from samples.store.s3_server import client, s3_server

G6E = {"provider": "aws", "region": "us-east-1", "instance_type": "g6e.xlarge", "purchase": "spot", "image": "ami-1"}
G5 = {**G6E, "instance_type": "g5.xlarge"}
WORKLOAD = """\
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
current: samples
demand:
  samples: {path: samples, hosts: [%s], input_tokens: 700, output_tokens: 100}
"""


def host(directory, name, facts, *, day=0, labels=None, number=1000):
    """A host that ran until a row of a day."""
    if facts:
        keep_facts(directory, name, lambda: facts)
    if labels:
        status_path(directory, name).parent.mkdir(parents=True, exist_ok=True)
        status_path(directory, name).write_text(json.dumps({"labels": labels}))
    spool(directory, [row(number, host=name, day=day)], name)
    compact(directory, name, now=DAY + timedelta(days=day))


def test_facts_are_in_every_file_and_labels_go_first(tmp_path):
    """A finished day keeps them, without spool or status."""
    host(tmp_path, "a", G6E, labels={"purchase": "on_demand", "team": "chat"})
    compact(tmp_path, "a", now=DAY + timedelta(days=1))
    status_path(tmp_path, "a").unlink()
    (tmp_path / "spool" / "host=a" / "host.json").unlink()
    (known,) = hosts_of([tmp_path])
    assert known.facts == {**G6E, "purchase": "on_demand", "team": "chat"}
    assert known.last_seconds == DAY.timestamp() + 15_000


def test_the_fleet_is_what_runs_at_the_end(tmp_path):
    """Hosts that were replaced days ago do not count; those that do not say what they are, are named."""
    host(tmp_path, "old", G6E)
    for name in ("a", "b"):
        host(tmp_path, name, G6E, day=3)
    host(tmp_path, "c", {**G5, "engines": "vllm --tp 2"}, day=3, number=990)
    fleet = running_fleet([tmp_path])
    assert [str(machines) for machines in fleet.machines] == [
        "{provider: aws, region: us-east-1, instance_type: g6e.xlarge, count: 2, purchase: spot}",
        "{provider: aws, region: us-east-1, instance_type: g5.xlarge, count: 1, purchase: spot}",
    ]
    assert fleet.engines == ["vllm --tp 2"]
    assert running_fleet([tmp_path], ["a"]).machines[0].count == 1
    host(tmp_path, "silent", {}, day=3)
    assert running_fleet([tmp_path]).unknown_words().startswith("no metadata service says what silent is: ")
    host(tmp_path, "speechless", {}, day=3)
    assert "what silent, speechless are: " in running_fleet([tmp_path]).unknown_words()
    assert running_fleet([tmp_path / "nothing"]).machines == []
    assert running_fleet(["prometheus://x"]).machines == []


def test_accelerators_that_a_type_has_and_no_sample_shows_are_said(tmp_path, run_advisor):
    """Hosts that show two of eight are named together; MIG instances are of one accelerator, engines of none."""
    p4d = {**G6E, "instance_type": "p4d.24xlarge"}
    for name, indices in (("a", (0, 1)), ("b", (0, 1)), ("whole", range(8))):
        keep_facts(tmp_path, name, lambda: p4d)
        rows = [row(1, index, host=name) for index in indices]
        mig = [row(1, 1, host=name, of=target(1, name, "MIG-1", mig_index=2))]
        spool(tmp_path, [*rows, *mig], name)
        compact(tmp_path, name, now=DAY + timedelta(days=1))
    host(tmp_path, "g6e", G6E, number=1)
    host(tmp_path, "unlisted", {**G6E, "instance_type": "x9.metal"}, number=1)

    said = run_advisor("samples", "summary", tmp_path).stderr

    note = "note: a, b: samples of 2 of the 8 accelerators of p4d.24xlarge: the others are hidden from the agent"
    assert note in said
    assert said.count("samples of") == 1


def test_a_way_of_paying_that_no_host_says_is_not_guessed(tmp_path):
    """The text for a workload file states no purchase, which the host may be paid for in any way."""
    host(tmp_path, "a", {name: value for name, value in G6E.items() if name != "purchase"})

    assert [str(machines) for machines in running_fleet([tmp_path]).machines] == [
        "{provider: aws, region: us-east-1, instance_type: g6e.xlarge, count: 1}"
    ]


def test_a_host_whose_clock_is_years_ahead_is_not_the_only_one_that_runs(tmp_path):
    """It is left out of what runs, and of what is read, and named; where there are no others, it may be ours that is off."""
    years = 365 * 30
    host(tmp_path, "ahead", G5, day=years)
    assert [str(kind) for kind in running_fleet([tmp_path]).machines] == [
        str(Machines("aws", "us-east-1", "g5.xlarge", "spot", 1))
    ]
    assert Store([str(tmp_path)]).hosts == ["ahead"]
    host(tmp_path, "now", G6E)
    assert [kind.instance_type for kind in running_fleet([tmp_path]).machines] == ["g6e.xlarge"]
    store = Store([str(tmp_path)])
    assert store.hosts == ["now"]
    assert store.window().end_us == (DAY.timestamp() + 15_000) * 1e6
    assert any(
        "host ahead: rows from 2056-10-06 on lie in the future: its clock is wrong" in each for each in store.notes()
    )


def test_a_bucket_says_it_too(tmp_path, monkeypatch):
    """Footers of uploaded files are enough, beside a directory of other hosts."""
    pytest.importorskip("moto", reason="moto is not installed (pip install 'inference-advisor[test]')")
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        monkeypatch.setenv(name, value)
    with s3_server() as url:
        client(url).create_bucket(Bucket="telemetry")
        host(tmp_path / "sent", "a", G6E)
        bucket = f"s3://telemetry/fleet?endpoint={url}"
        compact(tmp_path / "sent", "a", now=DAY + timedelta(days=1), upload=parse_bucket_url(bucket))
        host(tmp_path / "here", "b", G6E)
        assert [machines.count for machines in running_fleet([bucket, tmp_path / "here"]).machines] == [2]


def test_a_workload_takes_current_from_them(tmp_path):
    """One kind of hosts is what runs today; several, or silent ones, are named and refused."""
    samples = tmp_path / "samples"
    for name in ("a", "b"):
        host(samples, name, G6E)
    host(samples, "c", G5)
    host(samples, "silent", {})
    path = tmp_path / "workload.yaml"
    path.write_text(WORKLOAD % "a, b")
    current = read_workload(path).current
    assert (current.instance_type, current.count, current.purchase.value) == ("g6e.xlarge", 2, "spot")
    for hosts, words in (("a, c", "several kinds"), ("a, silent", "not all hosts"), ("z", "not all hosts")):
        path.write_text(WORKLOAD % hosts)
        with pytest.raises(InputError, match=words) as caught:
            read_workload(path)
        assert caught.value.hint
    path.write_text(WORKLOAD.replace("current: samples", "current: sample") % "a")
    with pytest.raises(InputError, match="sample"):
        read_workload(path)
    path.write_text(
        "name: a\nmodel: b\ncurrent: samples\ndemand: {declared: {requests_per_second: 1, input_tokens: 1, output_tokens: 1}}\n"
    )
    with pytest.raises(InputError, match="only hosts that are sampled"):
        read_workload(path)


def test_a_plan_says_what_the_hosts_are_unless_current_does(tmp_path):
    """Without `current` it is proposed, and a stated one that is something else is contradicted."""
    host(tmp_path / "samples", "a", G6E)
    path = tmp_path / "workload.yaml"
    stated = "current: {provider: aws, region: us-east-1, instance_type: g6e.xlarge, count: %d}\n"
    for line, words in (
        ("", "`current: samples`"),
        (stated % 2, "is not what the sampled hosts are"),
        (stated % 1, None),
    ):
        path.write_text(WORKLOAD.replace("current: samples\n", line) % "a")
        workload = read_workload(path)
        notes = demand_sources._fleet_notes(workload.demand, workload)
        assert [words in note for note in notes] == ([True] if words else [])


def test_the_summary_proposes_current(tmp_path, run_advisor):
    """As it stands in a workload file."""
    host(tmp_path, "a", G6E)
    done = run_advisor("samples", "summary", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "current: {provider: aws, region: us-east-1, instance_type: g6e.xlarge, count: 1, purchase: spot}"
        in done.stderr
    )
