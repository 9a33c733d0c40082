"""Shells complete commands and options; a command that is mistyped is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def completed(*words):
    """What bash is offered for the last of the words."""
    asked = {"_ADVISOR_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    program = [sys.executable, "-m", "advisor"]
    result = subprocess.run(program, capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ | asked)
    return [line.split(",")[-1] for line in result.stdout.splitlines()]


def test_commands_options_and_values_are_completed():
    """The first word is a command, later ones its options or their values."""
    assert completed("advisor", "recom") == ["recommend"]
    assert "--verbose" in completed("advisor", "recommend", "--verb")
    assert "markdown" in completed("advisor", "recommend", "--format", "mark")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell, run_advisor):
    """The script names the program and asks it."""
    script = run_advisor("completion", shell).stdout
    assert "_ADVISOR_COMPLETE" in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_a_mistyped_command_is_told_the_nearest(run_advisor):
    """Wrong usage, with what was meant."""
    result = run_advisor("recomend", "workload.yaml")
    assert result.returncode == 2
    assert "Did you mean 'recommend'?" in result.stderr


def test_models_are_listed_by_name_and_by_part_of_it(run_advisor):
    """Sizes of the models that are known; a part that none has is an error with the way out."""
    lines = run_advisor("catalog", "models", "qwen3-8b", "--format", "csv").stdout.splitlines()
    assert lines[0].startswith("name,task,billion_parameters")
    assert any(line.startswith("Qwen/Qwen3-8B,llm,8.19") for line in lines)
    refused = run_advisor("catalog", "models", "nothing-of-the-kind")
    assert refused.returncode == 1
    assert "config.json" in refused.stderr
