"""What the program is built from and into: locked libraries, archives with the same bytes, libraries that may be absent."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NAME = "inference-advisor"
LOCKS = {"dev": ("test", "lint"), "users": ("data", "calibration", "charts", "aws", "serve")}


def report():
    """The program that puts SBOM and audit into words."""
    specification = importlib.util.spec_from_file_location("supply_report", ROOT / ".ci" / "requirements" / "report.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def project():
    """The project table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def required(extras):
    """Requirements of the core and of some extras, those that extras share included."""
    table = project()
    found, waiting = [], [*table["dependencies"], *(line for extra in extras for line in extra_lines(table, extra))]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == NAME:
            waiting += [line for extra in requirement.extras for line in extra_lines(table, extra)]
        else:
            found.append(requirement)
    return found


def extra_lines(table, extra):
    """Requirements of one extra as they are written."""
    return table["optional-dependencies"][extra]


def locked(name):
    """Versions by package of a lock file, and the entries themselves."""
    entries = re.split(r"\n(?=\S)", (ROOT / ".ci" / "requirements" / f"{name}.txt").read_text().strip())
    versions = {}
    for entry in entries:
        package, version = re.match(r"([\w.\-\[\],]+)==([^\s;]+)", entry).groups()
        versions.setdefault(canonicalize_name(package.partition("[")[0]), []).append(version)
    return versions, entries


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_locked_within_its_range(name):
    """What pyproject.toml asks for stands in the lock file, in a version that it allows, each with hashes."""
    versions, entries = locked(name)
    for requirement in required(LOCKS[name]):
        found = versions.get(canonicalize_name(requirement.name), [])
        assert found, f"{requirement.name} is not locked: make lock"
        assert all(requirement.specifier.contains(version, prereleases=True) for version in found), requirement
    assert all("--hash=sha256:" in entry for entry in entries)


def test_nothing_installs_somebody_elses_distribution():
    """Another project owns the name `advisor` in package indexes: every hint names ours."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    texts = [ROOT / path for path in listed if path.endswith((".py", ".md", ".yaml", ".j2", ".toml", "Makefile"))]
    wrong = re.compile(r"(?<![\w-])advisor\[[a-z]|pip install (--\S+ )*'?advisor\b")
    named = [str(path) for path in texts if "golden" not in path.parts and wrong.search(path.read_text())]
    assert texts
    assert [path for path in named if not path.endswith("test_supply_chain.py")] == []
    assert project()["name"] == NAME
    assert project()["scripts"] == {"advisor": "advisor.cli:run"}


@pytest.mark.sampled(2)
@pytest.mark.slow
def test_two_builds_give_the_same_bytes(tmp_path):
    """Wheel and source archive do not depend on when, where and in which time zone they are built."""
    digests = []
    for place, zone in (("one", "UTC"), ("two", "Asia/Tokyo")):
        source = tmp_path / place
        shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "dist", "tests", "__pycache__"))
        shutil.copytree(ROOT / ".ci", source / ".ci")
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path / f"{place}-dist")]
        done = subprocess.run(
            command, cwd=source, env=os.environ | {"TZ": zone}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        built = sorted((tmp_path / f"{place}-dist").iterdir())
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built})
    assert digests[0] == digests[1]
    assert {Path(name).suffix for name in digests[0]} == {".whl", ".gz"}


def run_without(library, *arguments):
    """The command line where a library is not installed."""
    program = f"import sys; sys.modules[{library!r}] = None; from advisor.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("library", "extra", "arguments"),
    [
        ("pyarrow", "data", ("recommend", "examples/gpu-samples/workload.yaml")),
        ("pyarrow", "data", ("samples", "show", "examples/gpu-samples/samples")),
        ("scipy", "calibration", ("calibrate", "--rebuild", "-o", "nowhere")),
        ("sklearn", "calibration", ("calibrate", "--rebuild", "-o", "nowhere")),
        ("starlette", "serve", ("serve", "--port", "0")),
        ("uvicorn", "serve", ("serve", "--port", "0")),
    ],
)
def test_a_library_of_an_extra_that_is_missing_is_named(library, extra, arguments):
    """The user reads what to install, and no traceback."""
    done = run_without(library, *arguments)
    assert done.returncode == 1
    assert f"error: {library} is not installed" in done.stderr
    assert f"pip install '{NAME}[{extra}]'" in done.stderr


@pytest.mark.parametrize("library", ["pyarrow", "scipy", "sklearn"])
def test_the_core_plans_without_any_extra(library):
    """Predictions need none of the large libraries."""
    asked = ("--model", "Qwen/Qwen3-0.6B", "--accelerator", "L4", "--input-tokens", "9", "--output-tokens", "9")
    done = run_without(library, "predict", *asked)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_list_of_commands_imports_no_command():
    """Help loads the library that it is written with and the names of commands; that is what makes it instant."""
    program = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "sys.argv = ['advisor', '--help']\n"
        "runpy.run_module('advisor', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name for name in done.stderr.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    ours = {name for name in loaded if name.startswith("advisor.")}
    assert ours == {"advisor.cli", "advisor.cli.app", "advisor.errors", "advisor.names"}
    assert not loaded & {"highspy", "jinja2", "numpy", "yaml"}


def test_a_plan_loads_no_readers_of_what_it_does_not_read():
    """Files of models, and lists of other programs, have readers that load where there is something to read."""
    program = "import sys, advisor.cli.recommend; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    unread = ("advisor.models.files", "advisor.catalog.imports.", "pyarrow")
    assert [name for name in done.stdout.split() if name.startswith(unread)] == []


def test_a_command_looks_for_no_cycles_as_it_ends():
    """What a plan leaves behind is freed, not gone through once more: that took a tenth of its time."""
    program = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1_000))\n"  # it runs after those that are registered later
        "from advisor.cli import main\n"
        "main()"
    )
    command = [sys.executable, "-c", program, "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


def test_licences_are_listed_as_packages_declare_them():
    """An expression, a classifier, or none."""
    packages = [
        {"name": "b", "version": "1", "licenses": [{"expression": "MIT OR ISC"}]},
        {"name": "A", "version": "2", "licenses": [{"license": {"name": "License :: OSI Approved :: BSD License"}}]},
        {"name": "c", "version": "3"},
    ]
    lines = report().licences({"components": packages})
    assert lines == ["A 2: BSD License", "b 1: MIT OR ISC", "c 3: not declared"]


def test_an_audit_without_its_database_says_so(monkeypatch):
    """Packages that nobody answered for were not audited; that fails only when asked. A vulnerability always does."""
    silent = {"dependencies": [{"name": "a", "skip_reason": "unreachable"}, {"name": "b", "version": "1", "vulns": []}]}
    assert report().audit(silent) == (
        ["1 of 2 packages audited", "not audited, the database did not answer for them: a"], 0
    )  # fmt: skip
    monkeypatch.setenv("ADVISOR_AUDIT", "required")
    assert report().audit(silent)[1] == 2
    faulty = {"dependencies": [{"name": "b", "version": "1", "vulns": [{"id": "CVE-2026-1"}]}]}
    assert report().audit(faulty) == (["b 1: CVE-2026-1", "1 of 1 packages audited"], 1)
