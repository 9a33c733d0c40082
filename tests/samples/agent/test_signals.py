"""State of an agent: its status in memory, and series on its page."""

import json
import os
import socket

import pytest

from advisor.errors import InputError
from advisor.samples.agent.latest import FAMILIES, Latest, signals_of
from advisor.samples.agent.settings import Settings, parse_labels
from advisor.samples.agent.status import (
    BufferedWriter,
    StatusFile,
    read_object,
    runtime_status_path,
    why_not,
    written_seconds,
)
from advisor.samples.places import spool_folder
from samples.records import row


@pytest.fixture
def ended_agent(fake_host, monkeypatch):
    """Status file in memory of an agent that ran for half a second, with a label."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(fake_host.folder / "run"))
    done = fake_host.advisor(
        "gpus,2", "agent", "run", "--output", fake_host.samples, "--host", "node-1", "--label", "team=search",
        "--duration", "500ms", "--interval", "100ms", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return runtime_status_path("node-1")


def test_the_status_is_in_memory_and_beside_the_spool(ended_agent, fake_host):
    """Where a runtime directory is named the status stands there too, with what the directory on disk has."""
    assert read_object(ended_agent) == fake_host.status("node-1")
    assert read_object(ended_agent)["labels"] == {"team": "search"}


def test_the_probe_reads_the_status_of_the_run(ended_agent, fake_host):
    """``agent alive`` says of an agent that has ended that it stopped; where none ever ran, how that is."""
    ended = fake_host.advisor("gpus,2", "agent", "alive", ended_agent.parents[1])
    assert (ended.returncode, ended.stderr.partition(",")[0]) == (1, "stopped")
    nowhere = fake_host.advisor("gpus,2", "agent", "alive", fake_host.folder)
    assert nowhere.returncode == 1
    assert "no agent has written its status here" in nowhere.stderr


def test_a_full_disk_does_not_hide_itself(ended_agent, fake_host):
    """Status in memory that is newer than that on disk is what `status` shows."""
    stale = spool_folder(fake_host.samples, "node-1") / "status.json"
    old = {**json.loads(stale.read_text()), "written": "2026-01-01T00:00:00Z"}
    stale.write_text(json.dumps(old))
    fresh = {**read_object(ended_agent), "spool": {"records": 1, "waiting": 9, "lost_rows": 3, "trouble": "disk full"}}
    ended_agent.write_text(json.dumps(fresh))
    shown = json.loads(fake_host.advisor("", "agent", "status", fake_host.samples, "--format", "json").stdout)
    assert [entry["spool"]["trouble"] for entry in shown] == ["disk full"]
    values = {point.name: point.value for point in signals_of(fresh)}
    assert (values["advisor_agent_spool_failing"], values["advisor_agent_lost_rows_total"]) == (1, 3)


@pytest.mark.parametrize(
    "change", [{"sources": 3}, {"sources": [{}]}, {"pid": "1"}, {"spool": None}, {"labels": ["x"]}]
)
def test_a_status_that_makes_no_sense_is_damaged(ended_agent, fake_host, change):
    """Whatever stands in a file beside the spool, `status` says so and shows the others."""
    path = spool_folder(fake_host.samples, "node-1") / "status.json"
    ended_agent.unlink()
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "state": "running", "host": socket.gethostname(), **change})
    )
    done = fake_host.advisor("", "agent", "status", fake_host.samples)
    path.unlink()
    assert (done.returncode, done.stderr) == (1, "")
    assert "is damaged" in done.stdout


def test_a_status_is_never_written_through_a_link(fake_host, tmp_path):
    """Somebody who may write beside the spool cannot make the agent overwrite another file."""
    target = tmp_path / "precious"
    target.write_text("precious")
    status = StatusFile(Settings(str(fake_host.samples), "node-1", ()))
    path = spool_folder(fake_host.samples, "node-1") / f".status.json.{os.getpid()}"
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    status.write("running", [], BufferedWriter(None, print), None)
    assert target.read_text() == "precious"
    assert fake_host.status("node-1")["state"] == "running"


def test_the_page_shows_them(ended_agent):
    """Build, losses, spool and sources are beside the rows as series of the host, with its static labels."""
    latest = Latest((("team", "search"),))
    latest.take(row(0))
    status = read_object(ended_agent)
    latest.status = {**status, "sources": [{**status["sources"][0], "gap_ticks": {"GPU is lost": 30}}]}
    lines = [line for line in latest.page(row(0).end_us).decode().splitlines() if not line.startswith("#")]
    assert all('team="search"' in line and 'host="' in line for line in lines)
    assert any(line.startswith('advisor_agent_build_info{host="node-1",team="search",version=') for line in lines)
    assert any(
        'missed_ticks_total{host="node-1",reason="GPU is lost",source="nvml",team="search"} 30.0' in line
        for line in lines
    )
    shown = {line.partition("{")[0].removesuffix("_total") for line in lines}
    assert {family.name for family in FAMILIES.values()} <= shown


def test_alive_and_ready(ended_agent):
    """Alive is an agent that wrote a minute ago at most; ready is one that also reads and writes."""
    running = {**read_object(ended_agent), "state": "running"}
    running["sources"] = [{**source, "state": "running"} for source in running["sources"]]
    now = written_seconds(running)
    assert why_not(running, now + 59, ready=True) is None
    assert why_not(running, now + 61, ready=False) == "running, written 61 s ago"
    assert "stopped" in why_not({**running, "state": "stopped"}, now, ready=False)
    hanging = {**running, "sources": [{**source, "state": "silent"} for source in running["sources"]]}
    assert why_not(hanging, now, ready=False) is None
    assert why_not(hanging, now, ready=True) == "no source is read"
    full = {**running, "spool": {**running["spool"], "trouble": "no space"}}
    assert "no space" in why_not(full, now, ready=True)


@pytest.mark.usefixtures("ended_agent")
def test_alive_as_a_program(fake_host):
    """Exit 1 with the reason for one that stopped, and for none at all."""
    stopped = fake_host.advisor("", "agent", "alive")
    assert (stopped.returncode, stopped.stderr.split(",")[0]) == (1, "stopped")
    absent = fake_host.advisor("", "agent", "alive", fake_host.folder)
    assert absent.returncode == 1
    assert "no agent has written its status here" in absent.stderr


@pytest.mark.parametrize(
    "text", ["team", "=a", "team=", "1a=b", "a-b=c", "team=a\nb", "host=x", "__name__=x", "a=" + "x" * 257]
)
def test_labels_that_are_refused(text):
    """A label has a Prometheus name that says nothing else already, and a printable value."""
    with pytest.raises(InputError, match="label"):
        parse_labels([text])


def test_labels_come_in_order():
    """In the order of their names, each once."""
    assert parse_labels(["team=search", "env=a=b"]) == (("env", "a=b"), ("team", "search"))
    with pytest.raises(InputError, match="given twice"):
        parse_labels(["a=1", "a=2"])
