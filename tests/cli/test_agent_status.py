"""`advisor agent status` as a program."""

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

STATUS = {
    "schema": "advisor.agent.status/v1",
    "pid": 1,
    "host": "node-1",
    "state": "running",
    "started": "2026-10-14T08:00:00Z",
    "sources": [
        {
            "name": "nvml", "state": "running", "describes": "2 × NVIDIA H100 80GB HBM3", "restarts": 1,
            "targets": [{"index": 0}, {"index": 1}], "silent_targets": ["accelerator 1"],
            "last_reading": "2026-10-14T09:00:00Z", "gap_ticks": {"GPU is lost": 30}, "reading_seconds": 0.004,
        }
    ],
    "spool": {"records": 10, "waiting": 0},
}  # fmt: skip


def status(*arguments):
    """Run the program."""
    return subprocess.run(
        [sys.executable, "-m", "advisor", "agent", "status", *map(str, arguments)], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


def write(directory, content, host="node-1"):
    """Put a status file where an agent does."""
    path = directory / "spool" / f"host={host}" / "status.json"
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def ago(**span):
    """A moment before now."""
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


def test_a_running_agent(tmp_path):
    """Each source is shown with what it sees, its last reading, its restarts and what was missed; the rest as it is."""
    write(tmp_path, {**STATUS, "written": ago(seconds=5)})
    result = status(tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "node-1: running, started 2026-10-14T08:00:00Z, pid 1",
        "  nvml: running, 2 targets, last reading 2026-10-14T09:00:00Z, 1 restarts",
        "    sees: 2 × NVIDIA H100 80GB HBM3",
        "    does not answer: accelerator 1",
        "    missed 30 ticks: GPU is lost",
        "    reading_seconds: 0.004",
        '  spool: {"records": 10, "waiting": 0}',
    ]


@pytest.mark.parametrize(
    ("changes", "words", "code"),
    [
        ({"written": ago(minutes=10)}, "silent: nothing written for ", 0),
        ({"written": ago(minutes=10), "state": "stopped"}, "not running (stopped, last written", 1),
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, "not running (running, last written unknown)", 1),
        ({"host": socket.gethostname(), "pid": os.getpid()}, "running", 0),
        ({"pid": None, "host": None, "started": None}, "unknown: running, started unknown, pid unknown", 0),
        ({"sources": {"nvml": {"state": "waiting"}}}, "nvml: waiting, unknown targets, last reading unknown", 0),
        ({"sources": None}, "sources unknown", 0),
        ({"state": "\x1b[31mred"}, " [31mred", 0),
    ],
    ids=["silent", "stopped", "killed", "alive", "unknown", "as a table", "no sources", "control characters"],
)
def test_states(tmp_path, changes, words, code):
    """An agent that stopped, was killed or is silent is told apart, and what is missing is said to be unknown."""
    write(tmp_path, {**STATUS, **changes})
    result = status(tmp_path)
    assert words in result.stdout
    assert result.returncode == code
    assert "\x1b" not in result.stdout


def test_every_host_is_shown(tmp_path):
    """Hosts that share a directory each have their lines; a damaged file does not hide the others."""
    write(tmp_path, {**STATUS, "written": ago(seconds=1)})
    write(tmp_path, '{"pid": 7', host="node-2")
    write(tmp_path, "[]", host="node-3")
    result = status(tmp_path)
    assert result.returncode == 1
    assert "node-1: running" in result.stdout
    assert result.stdout.count("status.json is damaged") == 2
    assert "Traceback" not in result.stderr


def test_remote_write_is_shown(tmp_path):
    """How far a remote write is stands beside its host."""
    path = write(tmp_path, {**STATUS, "written": ago(seconds=1)})
    cursor = path.parent / "remote-write-0123" / "cursor.json"
    cursor.parent.mkdir()
    cursor.write_text(
        json.dumps({"url": "http://p/write", "sent_samples": 7, "parked_samples": 2, "failing": "HTTP 503"})
    )
    assert "  remote write to http://p/write: 7 samples sent, 2 parked; failing: HTTP 503\n" in status(tmp_path).stdout


def test_outlets_have_names(tmp_path):
    """An outlet of the agent's own is called as on the command line, any other by its program."""
    outlets = [
        {"command": ["python", "-c", "…", "advisor.samples.agent.listener", "/p"], "pid": 7, "fed": 5, "dropped": 1, "restarts": 0},
        {"command": ["/usr/bin/tee"], "pid": None, "fed": 0, "dropped": 6},
    ]  # fmt: skip
    write(tmp_path, {**STATUS, "written": ago(seconds=1), "outlets": outlets})
    shown = status(tmp_path).stdout.splitlines()
    assert "  outlet listener: 5 records, 1 dropped, 0 restarts" in shown
    assert "  outlet /usr/bin/tee: 0 records, 6 dropped, unknown restarts; not running" in shown


def test_json(tmp_path):
    """The JSON has the files as they are, with what can be seen beside them."""
    path = write(tmp_path, {**STATUS, "written": ago(seconds=1), "future": True})
    (entry,) = json.loads(status(tmp_path, "--format", "json").stdout)
    assert (entry["file"], entry["is_running"], entry["future"]) == (str(path), None, True)
    assert entry["sources"] == STATUS["sources"]


def test_no_agent_yet(tmp_path):
    """A directory that no agent writes to is an error that says how to start one."""
    result = status(tmp_path)
    assert result.returncode == 1
    assert "no agent has written its status here" in result.stderr
    assert "advisor agent run --output DIR" in result.stderr
