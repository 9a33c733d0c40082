"""`advisor agent install` as a program."""

import subprocess
import sys


def advisor(*arguments):
    """Run the program."""
    return subprocess.run(
        [sys.executable, "-m", "advisor", "agent", "install", *map(str, arguments)], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


def test_it_prints_unless_told_where_to_write(tmp_path):
    """Without a directory the file goes to stdout, and nothing is written."""
    result = advisor("systemd", "--program", "/opt/advisor")
    assert (result.returncode, result.stderr) == (0, "")
    assert 'ExecStart="/opt/advisor" "agent" "run"' in result.stdout
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
    assert result.stderr.startswith("error: --network: 'everything' is no network")
    assert list(tmp_path.iterdir()) == []
