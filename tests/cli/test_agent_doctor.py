"""`advisor agent doctor` as a program."""

import json
import os
import subprocess
import sys

from samples.sources.engines.exhibits import vllm_page
from services.scripted import always, answer, scripted


def doctor(*arguments, **environment):
    """Run the program."""
    return subprocess.run(
        [sys.executable, "-m", "advisor", "agent", "doctor", *map(str, arguments)], capture_output=True, text=True,
        check=False, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


def test_a_machine_with_an_engine(tmp_path):
    """Every source, the engine, the directory and the clock have a line, and a good machine ends with exit 0."""
    with scripted(always(answer(vllm_page("llama")))) as server:
        result = doctor("--engine", server.url, "--directory", tmp_path, "--root", tmp_path, PATH=str(tmp_path))
    assert result.returncode == 0, result.stdout
    subjects = [line.split()[1] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert subjects == ["nvml", "amd", "neuron", "gaudi", "tpu", f"{server.url}/metrics", "directory", "clock"]


def test_a_machine_with_nothing_to_read(tmp_path):
    """A machine without anything to read ends with exit 1 and says what to do."""
    result = doctor("--directory", tmp_path, "--root", tmp_path, "--format", "json", PATH=str(tmp_path))
    assert result.returncode == 1
    answer = json.loads(result.stdout)
    assert answer["schema"] == "advisor.agent.doctor/v1"
    (nothing,) = [finding for finding in answer["findings"] if finding["subject"] == "sources"]
    assert nothing["state"] == "broken"
    assert "--engine URL" in nothing["troubles"][0]["mend"]
