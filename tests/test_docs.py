"""What the documentation shows is what the program does."""

import re
from pathlib import Path

import pytest

from advisor.cli.app import COMMANDS
from advisor.units import HOURS_PER_MONTH

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_readme_shows_the_real_output():
    """The block in the README is the expected output of the example, which a test compares with the program."""
    shown = re.search(r"<!-- examples/chat/expected.txt -->\n```\n(.*?)```\n<!-- end -->", README, re.DOTALL)

    assert shown is not None
    assert shown[1] == (ROOT / "examples/chat/expected.txt").read_text()


def test_every_page_that_is_linked_exists():
    """No link within the documentation leads nowhere."""
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_shown(command, run_advisor):
    """Each command explains itself and stands in the README."""
    done = run_advisor(command, "--help")

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 5
    assert f"advisor {command}" in README


def test_every_readme_command_is_one_the_program_takes(run_advisor):
    """The subcommands and long options in the README exist."""
    for line in README.replace("\\\n", " ").splitlines():
        if not line.startswith("advisor "):
            continue
        words = line.split("#")[0].split()[1:]
        subcommands = words[:2] if words[0] in ("generate", "agent", "samples", "catalog", "demand") else words[:1]
        help_text = run_advisor(*subcommands, "--help").stdout
        for option in (word for word in words if word.startswith("--")):
            assert option in help_text, line


def test_constants_have_one_home():
    """Conversions stand in units.py and nowhere else."""
    constants = re.compile(rf"(?<![\w.]){HOURS_PER_MONTH}(?![\w.])|1024\s*\*\*|2\s*\*\*\s*30|1 << 30")
    for path in (ROOT / "advisor").rglob("*.py"):
        if path.name == "units.py":
            continue
        code = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
        assert not constants.search(code), path
