"""`advisor agent install` as a program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def advisor(*arguments):
    """Run the program."""
    return subprocess.run(
        [sys.executable, "-m", "advisor", "agent", "install", *map(str, arguments)], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


def test_it_prints_unless_told_where_to_write(tmp_path):
    """Without a directory the file goes to stdout, and nothing is written."""
    result = advisor("systemd", "--program", "/opt/bin/advisor")
    assert (result.returncode, result.stderr) == (0, "")
    assert 'ExecStart="/opt/bin/advisor" "agent" "run"' in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_writes_nothing(tmp_path):
    """With --dry-run it only says what would be written."""
    result = advisor("container", "--output", tmp_path / "new", "--dry-run")
    assert result.stderr == f"would write {tmp_path / 'new' / 'Containerfile'}\n"
    assert not (tmp_path / "new").exists()


def test_a_changed_file_is_kept(tmp_path):
    """A file that somebody changed is shown with its difference and left alone, until --force replaces it."""
    arguments = ("kubernetes", "--image", "advisor:1", "--output", tmp_path)
    assert advisor(*arguments).returncode == 0
    assert advisor(*arguments).returncode == 0
    path = tmp_path / "advisor-agent.yaml"
    changed = path.read_text().replace('cpu: "10m"', 'cpu: "20m"')
    path.write_text(changed)
    refused = advisor(*arguments)
    assert refused.returncode == 1
    assert '-              cpu: "20m"\n+              cpu: "10m"\n' in refused.stderr
    assert "--force" in refused.stderr
    assert path.read_text() == changed
    assert advisor(*arguments, "--force").returncode == 0
    assert path.read_text() != changed


def test_a_mistake_is_an_error_and_no_traceback(tmp_path):
    """A value that cannot be used ends with exit 1 and writes nothing."""
    result = advisor("systemd", "--network", "everything", "--program", "/opt/advisor", "--output", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: --network: 'everything' is not a network")
    assert list(tmp_path.iterdir()) == []


def test_an_interval_that_leaves_rows_empty_is_wrong_usage():
    """Readings further apart than rows are refused before they are installed, with the reason."""
    result = advisor("systemd", "--interval", "30s")
    assert result.returncode == 2
    assert "30s is not between 100ms and 15s: every row of 15s needs a reading" in " ".join(result.stderr.split())


def test_a_program_that_the_unit_cannot_reach_is_warned_of(tmp_path):
    """A program whose interpreter lies in a folder that the unit hides is named, with that folder."""
    folder = tmp_path / "bin"
    folder.mkdir(mode=0o755)
    program = folder / "inference-advisor-agent"
    program.write_text("#!/tmp/python\n")
    program.chmod(0o755)
    linked = Path("/var/lib") / f"advisor-test-{os.getpid()}"
    try:
        linked.symlink_to(program)
    except OSError:
        pytest.skip("a link in /var/lib needs root")
    try:
        result = advisor("systemd", "--program", linked)
    finally:
        linked.unlink()
    assert result.returncode == 0
    assert "it needs /tmp/python, and the unit hides /tmp from itself" in result.stderr


def test_alerts_are_written(tmp_path):
    """The rules are written like any other file."""
    assert advisor("alerts", "--output", tmp_path).returncode == 0
    assert (tmp_path / "advisor-agent-alerts.yaml").read_text().startswith("# Rules for Prometheus")


def test_nodes_are_selected_as_they_are_labelled():
    """Selector and runtime class can be others or none; a text that selects nothing is refused."""
    result = advisor("kubernetes", "--image", "x:1", "--node-selector", "pool=gpu", "--runtime-class", "none")
    assert 'pool: "gpu"' in result.stdout
    assert "runtimeClassName" not in result.stdout
    assert "--node-selector" in advisor("kubernetes", "--image", "x:1", "--node-selector", "pool").stderr
