"""What the documentation shows is what the program does."""

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from advisor.cli.app import COMMANDS
from advisor.pipeline import recommend
from advisor.plan.problem.limits import IN_PROPORTION, RULED, UNKNOWN_WORDS, Constraint
from advisor.report.words import CODE_WORDS
from advisor.units import HOURS_PER_MONTH
from advisor.workload.document import _LATENCIES, read_workload
from advisor.workload.planning_fields import LIMIT_KEYS
from advisor.workload.values import Limits, Scaling, Slo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_readme_shows_the_real_output():
    """The block in the README is the expected output of the example, which a test compares with the program."""
    shown = re.search(r"<!-- examples/chat/expected.txt -->\n```\n(.*?)```\n<!-- end -->", README, re.DOTALL)

    assert shown is not None
    assert shown[1] == (ROOT / "examples/chat/expected.txt").read_text()


def test_the_trees_of_the_page_are_the_example():
    """The workload in docs/kinds.md is that of the example, whose output a test compares with the program."""
    page = (ROOT / "docs/kinds.md").read_text()
    shown = re.search(r"<!-- examples/trees/workload.yaml -->\n```yaml\n(.*?)```", page, re.DOTALL)

    assert shown is not None
    assert shown[1] == (ROOT / "examples/trees/workload.yaml").read_text()


def test_every_page_that_is_linked_exists():
    """No link within the documentation leads nowhere."""
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_lists_every_page():
    """Each page of docs/ has a row in the README's table."""
    listed = re.findall(r"^\| \[docs/[\w-]+\.md\]\(docs/([\w-]+)\.md\) \|", README, re.MULTILINE)
    assert sorted(listed) == sorted(page.stem for page in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("mark", ["gguf", "small"])
def test_the_chat_models_of_the_page_are_planned_with_llama_cpp_and_generated(mark, tmp_path, run_advisor):
    """The workloads and the commands of docs/models.md, with a file that the tests have."""
    page = (ROOT / "docs/models.md").read_text()
    shown = re.search(rf"<!-- {mark} -->\n```yaml\n(.*?)```\n\n```sh\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    shutil.copy(ROOT / "tests/models/files/made/llama.gguf", tmp_path)
    (tmp_path / "workload.yaml").write_text(f"{shown[1]}as_of: 2026-11-28\n")

    for line in shown[2].splitlines():
        done = run_advisor(*line.split()[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    plan = json.loads((tmp_path / "plan.json").read_text())
    assert {group["engine"] for group in plan["fleet"]["groups"]} == {"llama.cpp server"}
    assert "llama-server" in (tmp_path / "infrastructure/fleet.tf").read_text()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_shown(command, run_advisor):
    """Each command explains itself and stands in the README."""
    done = run_advisor(command, "--help")

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 5
    assert f"advisor {command}" in README


@pytest.mark.sampled(6)
def test_every_readme_command_is_one_the_program_takes(run_advisor):
    """The subcommands and long options in the README exist."""
    for line in README.replace("\\\n", " ").splitlines():
        if not line.startswith("advisor "):
            continue
        words = line.split("#")[0].split()[1:]
        depth = 3 if words[:2] == ["agent", "install"] else 2
        subcommands = words[:depth] if words[0] in ("generate", "agent", "samples", "catalog", "demand") else words[:1]
        help_text = run_advisor(*subcommands, "--help").stdout
        for option in (word for word in words if word.startswith("--")):
            assert option in help_text, line


def test_the_named_constraints_of_the_page_are_those_of_the_code():
    """docs/plan.md has one row for each named constraint, and says which key of the workload file sets it."""
    page = (ROOT / "docs/plan.md").read_text().split("## Named constraints")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| `([\w.]+)` \| [^|]+ \|$", page, re.MULTILINE)

    assert rows == [(name.value, name.set_by) for name in Constraint if name not in {*IN_PROPORTION, *RULED}]


def test_every_limit_has_a_row_in_the_docs():
    """docs/workload.md says of each limit what it means, caps in proportion to instances among them."""
    page = (ROOT / "docs/workload.md").read_text().split("## Limits")[1].split("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(LIMIT_KEYS)


def test_the_codes_of_the_page_are_those_of_the_report():
    """Every code that a rejection may have is explained in docs/plan.md, or follows from a cap of docs/workload.md."""
    page = (ROOT / "docs/plan.md").read_text().split("## Codes of rejections")[1].split("\n## ")[0]
    described = {
        code for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)
    }

    assert described | {cap.code for cap in IN_PROPORTION} | {*UNKNOWN_WORDS} == set(CODE_WORDS)


def test_the_example_workload_of_the_page_is_read(tmp_path):
    """The example in docs/workload.md is a workload file, and sets every limit but those its text is not about."""
    text = re.search(r"<!-- workload -->\n```yaml\n(.*?)```", (ROOT / "docs/workload.md").read_text(), re.DOTALL)
    (tmp_path / "workload.yaml").write_text(text[1])

    found = read_workload(tmp_path / "workload.yaml")

    assert sum(share for _, share in found.users) == pytest.approx(1)
    assert found.limits.quotas[0].code == "L-DB2E81BA"
    assert found.commitments[0].count == 1


@pytest.mark.parametrize("kind", [Limits, Scaling, Slo])
def test_every_key_of_the_workload_is_described(kind):
    """docs/workload.md names each field of limits, scaling and SLO."""
    page = (ROOT / "docs/workload.md").read_text()

    for field in dataclasses.fields(kind):
        if not field.name.startswith("latency"):
            assert f"`{field.name.removesuffix('_ms')}`" in page, field.name
    assert all(f"`{percentile}`" in page for percentile in _LATENCIES)


def test_the_estate_of_the_page_is_planned_and_generated(tmp_path, run_advisor):
    """The commands of docs/estate.md, as they stand; what the first prints is what the page shows."""
    page = (ROOT / "docs/estate.md").read_text()
    commands = re.search(r"<!-- estate -->\n```sh\n(.*?)```", page, re.DOTALL)[1].splitlines()
    shown = re.search(r"<!-- estate shows -->\n```\n(.*?)```", page, re.DOTALL)[1]
    (tmp_path / "examples").symlink_to(ROOT / "examples")

    planned, generated = (run_advisor(*command.split()[1:], cwd=tmp_path) for command in commands)

    assert (planned.returncode, generated.returncode) == (0, 0), planned.stderr + generated.stderr
    assert " ".join(planned.stdout.split()) == " ".join(shown.split())
    assert sorted(path.name for path in (tmp_path / "infra").iterdir()) == ["calls", "shared-1"]


def test_constants_have_one_home():
    """Conversions stand in units.py and nowhere else."""
    constants = re.compile(rf"(?<![\w.]){HOURS_PER_MONTH}(?![\w.])|1024\s*\*\*|2\s*\*\*\s*30|1 << 30")
    for path in (ROOT / "advisor").rglob("*.py"):
        if path.name == "units.py":
            continue
        code = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
        assert not constants.search(code), path


def test_the_batch_work_of_the_page_is_planned(tmp_path):
    """The example of docs/workload.md, whose items are done by their deadline in the hours that the page says."""
    text = re.search(r"<!-- batch -->\n```yaml\n(.*?)```", (ROOT / "docs/workload.md").read_text(), re.DOTALL)
    (tmp_path / "workload.yaml").write_text(text[1])

    batch = recommend(tmp_path / "workload.yaml").fleet.batch

    assert (batch.items, batch.first_hour, batch.deadline_hours) == (60_000, 22, 6)
    assert batch.finished_hours <= 6


PAGE = (ROOT / "docs/development.md").read_text()
_LISTED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
TRACKED = [PurePosixPath(path) for path in _LISTED.splitlines()]
PLACES = {str(place) for path in TRACKED for place in (path, *path.parents)}
ROOTS = {".", "advisor", "docs", "instance_catalog", "tests", "advisor/codegen/inputs"}
"""Folders in which a section that names no other has its files."""
OF_USERS = {"build/sbom.json", "build/licences.txt", "config.json"}
GENERATED = "tests/golden/stacks/"
A_PATH = re.compile(r"[\w.-]+(/[\w.-]+)*/|[\w.-]+(/[\w.-]+)+|[\w-]+\.(py|csv|toml|md|j2|json|tf)")
A_PLACEHOLDER = re.compile(r"\b(COMMAND|PROVIDER|TARGET)\b")


def paths_of(section):
    """Paths that a section of docs/development.md names, without those of any command, provider or target."""
    words = [word for span in re.findall(r"`([^`\n]+)`", section) for word in span.split()]
    return {word for word in words if A_PATH.fullmatch(word) and not A_PLACEHOLDER.search(word)} - OF_USERS


@pytest.mark.parametrize("section", PAGE.split("\n## "), ids=lambda section: section.partition("\n")[0])
def test_every_path_of_the_page_on_development_exists(section):
    """A name without a folder is a file of a folder that its section names, or of generated code."""
    paths = paths_of(section)
    whole = {
        place for place in PLACES for path in paths if "/" in path and f"/{place}/".endswith(f"/{path.strip('/')}/")
    }
    roots = ROOTS | whole | {str(PurePosixPath(place).parent) for place in whole}
    missing = {path for path in paths if not any(str(PurePosixPath(root, path)) in PLACES for root in roots)}
    assert missing == {
        path for path in missing if any(p.startswith(GENERATED) and p.endswith(f"/{path}") for p in PLACES)
    }


MOST_FILES = {
    "an accelerator": 2, "an instance type with its price": 2, "an engine": 3, "a provider": 2, "a constraint": 4, "a lever": 3,
    "a section of a report": 2, "an option of a command": 2, "a source of samples": 3, "a target": 10,
}  # fmt: skip
"""Files that are edited by hand to add something, at most."""


def test_what_is_added_takes_few_files():
    """The page says of each how many, and none takes more than it may."""
    rows = re.findall(r"^\| (an? [^|]+) \| (\d+) \|", PAGE, re.MULTILINE)

    assert {name: most for name, most in MOST_FILES.items() if int(dict(rows)[name]) > most} == {}


def test_every_name_of_the_page_on_development_is_in_the_code():
    """Classes and constants that it speaks of, and targets of make."""
    named = set(re.findall(r"`([A-Z][A-Za-z_]{2,})(?:\.\w+)?`", PAGE)) - {"PROVIDER", "TARGET", "COMMAND"}
    texts = "\n".join(
        (ROOT / path).read_text() for path in TRACKED if path.suffix == ".py" and "golden" not in path.parts
    )
    makefile = (ROOT / "Makefile").read_text()

    assert {name for name in named if not re.search(rf"\b{name}\b", texts)} == set()
    assert {name for name in re.findall(r"`make ([\w-]+)", PAGE) if f"\n{name}:" not in makefile} == set()


def test_the_glossary_has_each_word_once_in_order_with_its_place():
    """A reader finds a word by its letter, and the page that shows it."""
    page = (ROOT / "docs/glossary.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    words = [row[0].lower() for row in rows]

    assert words == sorted(set(words))
    assert all(len(row) == 3 and row[1] and ".md" in row[2] for row in rows)
