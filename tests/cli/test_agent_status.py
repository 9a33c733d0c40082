"""`advisor agent status` as a program."""

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

NVML = {
    "name": "nvml", "state": "running", "describes": "2 × NVIDIA H100 80GB HBM3", "restarts": 1, "trouble": None,
    "targets": [{"index": 0}, {"index": 1}], "silent_targets": ["accelerator 1"], "step_seconds": 1.0,
    "last_reading": "2026-10-14T09:00:00Z", "gap_ticks": {"GPU is lost": 30}, "reading_seconds": 0.004,
}  # fmt: skip
STATUS = {
    "schema": "advisor.agent.status/v1",
    "pid": 1,
    "host": "node-1",
    "version": "0.1",
    "labels": {},
    "state": "running",
    "started": "2026-10-14T08:00:00Z",
    "written": "2026-10-14T09:00:00Z",
    "sources": [NVML],
    "spool": {"records": 10, "waiting": 0, "lost_rows": 0, "trouble": None},
    "compaction": None,
}


FRESH = "2999-01-01T00:00:00Z"
"""Not long ago, whenever the test runs."""


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
    """A moment before now, as agents write it."""
    return (datetime.now(UTC) - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_running_agent(tmp_path):
    """Each source is shown with what it sees, its last reading, its restarts and what was missed; then the spool."""
    write(tmp_path, {**STATUS, "written": ago(seconds=5)})
    result = status(tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "node-1: running, started 2026-10-14T08:00:00Z, pid 1, version 0.1",
        "  nvml: running, 2 targets, last reading 2026-10-14T09:00:00Z, every 1 s, 1 restarts",
        "    sees: 2 × NVIDIA H100 80GB HBM3",
        "    does not answer: accelerator 1",
        "    missed 30 ticks: GPU is lost",
        "  spool: 10 records written, 0 waiting, 0 rows lost",
    ]


@pytest.mark.parametrize(
    ("changes", "words", "code"),
    [
        ({"written": ago(minutes=10)}, "silent: nothing written for ", 0),
        ({"written": ago(minutes=10), "state": "stopped"}, "not running (stopped, last written", 1),
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, "not running (running, last written 2026-10", 1),
        ({"written": FRESH, "host": socket.gethostname(), "pid": os.getpid()}, f"{socket.gethostname()}: running,", 0),
        ({"sources": [{**NVML, "last_reading": None}]}, "last reading none", 0),
        ({"sources": [{**NVML, "trouble": "it hangs"}]}, "1 restarts; trouble: it hangs", 0),
        (
            {"spool": {**STATUS["spool"], "waiting": 9, "trouble": "disk full"}},
            "9 waiting, 0 rows lost; trouble: disk full",
            0,
        ),
        ({"compaction": {"pid": None, "runs": 1, "trouble": "killed"}}, "  compaction; trouble: killed", 0),
        ({"labels": {"team": "search"}}, "  labels: team=search", 0),
        ({"written": FRESH, "state": "\x1b[31mred"}, " [31mred", 0),
        ({"schema": "advisor.agent.status/v2"}, "of another version of the agent", 1),
    ],
    ids=[
        "silent",
        "stopped",
        "killed",
        "alive",
        "no reading",
        "hangs",
        "full",
        "compaction",
        "labels",
        "control characters",
        "another version",
    ],
)
def test_states(tmp_path, changes, words, code):
    """An agent that stopped, was killed or is silent is told apart, and its troubles are said."""
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
    assert result.stdout.count("status.json: it cannot be read, is damaged, or") == 2
    assert "Traceback" not in result.stderr


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
