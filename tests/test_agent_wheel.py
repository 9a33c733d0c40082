"""The agent as a distribution of its own: what is in its wheel, and an installation without a network."""

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pynvml
import pytest

from advisor.samples.agent.spool import segments
from fakenvml.build import build_library, compiler
from samples.records import row, spool
from samples.sources.engines.exhibits import vllm_page
from services.scripted import always, answer, scripted

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "advisor/samples/standalone"
FOLDER = "inference_advisor_agent/"
MOST_BYTES = 5_000_000
LONG_AGO_US = 1_580_000_010_000_000
"""A moment in January 2020, the end of a row."""
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
}
SCENARIO = "gpus,2\nset,*,name,NVIDIA H100 80GB HBM3\nset,*,mem_total,85520809984\nset,*,mem_used,60000000000\nset,*,util_gpu,40\n"


TRY_TO_IMPORT = """
def _try(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        return error.name
"""


def run(*command, cwd=None, **environment) -> str:
    """Run a program to its end, which must be a good one; what it printed."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": "", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=PROJECT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Folder of programs of an environment that the wheel was installed into, from a folder and without an index."""
    run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheel.parent, wheel)
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=True)
    run(
        environment / "bin/pip", "install", "--quiet", "--no-index", "--find-links", wheel.parent,
        "inference-advisor-agent", **OFFLINE,
    )  # fmt: skip
    return environment / "bin"


def test_the_wheel_has_what_its_modules_import(wheel, tmp_path):
    """Each of its modules can be imported with the wheel alone, but for what only Parquet needs, and nothing more is in it."""
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    root = tmp_path / FOLDER
    modules = [_module(path.relative_to(root)) for path in sorted((root / "advisor").rglob("*.py"))]
    asked = "import importlib, json, sys; sys.path[:0] = sys.argv[1:]; print(json.dumps({name: _try(name) for name in MODULES}))"
    code = f"MODULES = {modules!r}\n{TRY_TO_IMPORT}\n{asked}"
    shutil.copy(pynvml.__file__, tmp_path)
    missing = json.loads(run(sys.executable, "-I", "-S", "-c", code, root, tmp_path))
    assert {why for why in missing.values() if why} <= {"numpy", "pyarrow"}
    assert {name.rpartition(".")[0] for name, why in missing.items() if why} <= {
        "advisor.samples",
        "advisor.samples.store",
    }
    assert not {"advisor.samples.query", "advisor.samples.need", "advisor.cli"} & set(modules)


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def test_the_two_distributions_own_no_file_together(wheel, tmp_path):
    """Neither wheel has a file at a place of the other's, programs included: each can come, go and change alone."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT)
    (whole,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as slim, ZipFile(whole) as full:
        slim_names, full_names = set(slim.namelist()), set(full.namelist())
        (slim_programs, full_programs) = (_programs(archive) for archive in (slim, full))
    assert not slim_names & full_names
    assert not slim_programs & full_programs
    assert not [name for name in full_names if "standalone" in name]
    assert len({name.split("/")[0] for name in slim_names}) == 2


def _programs(archive: ZipFile) -> set[str]:
    (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    lines = archive.read(name).decode().splitlines()
    return {line.split("=")[0].strip() for line in lines if "=" in line}


@pytest.mark.slow
def test_an_installation_is_small(installed):
    """What the wheel and its dependencies take on disk is within the bound."""
    (packages,) = installed.parent.glob("lib/python*/site-packages")
    files = [
        path
        for path in packages.rglob("*")
        if path.is_file() and not path.relative_to(packages).parts[0].startswith(("pip", "setuptools", "_distutils"))
    ]
    assert 100_000 < sum(path.stat().st_size for path in files) < MOST_BYTES


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="no C compiler (cc) to build the fake NVIDIA driver with")
def test_the_installed_agent_is_read_by_the_whole_package(installed, tmp_path):
    """Accelerators and an engine, sampled without this checkout, end in files that the whole package reads."""
    build_library(tmp_path)
    (tmp_path / "scenario.csv").write_text(SCENARIO)
    environment = {
        "LD_LIBRARY_PATH": str(tmp_path), "FAKE_NVML_SCENARIO": str(tmp_path / "scenario.csv"), **OFFLINE,
        "RUNTIME_DIRECTORY": str(tmp_path / "run"),
    }  # fmt: skip
    program, samples = installed / "inference-advisor-agent", tmp_path / "samples"
    spool(samples, [replace(row(1), end_us=LONG_AGO_US)], host="node-1")
    assert len(segments(samples)) == 1
    with scripted(always(answer(vllm_page("llama")))) as engine:
        run(
            program, "run", "--output", samples, "--host", "node-1", "--engine", engine.url, "--source", "nvml",
            "--interval", "100ms", "--duration", "2s", "--label", "team=search", "--keep-days", "1", cwd=tmp_path, **environment,
        )  # fmt: skip
    assert not list(samples.rglob("*.parquet"))
    assert not [path for path in segments(samples) if path.name.startswith("2020")]
    summary = json.loads(
        run(sys.executable, "-m", "advisor", "samples", "summary", samples, "--format", "json", cwd=ROOT)
    )
    known = {(entry["host"], entry["metric"]): entry for entry in summary}
    assert known["node-1", "busy_ratio"]["p50"] == pytest.approx(0.4, abs=0.01)
    assert known["node-1", "requests_running"]["max"] > 0
    done = subprocess.run(
        [sys.executable, "-m", "advisor", "agent", "status", samples, "--format", "json"], capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    (entry,) = json.loads(done.stdout)
    assert (entry["state"], entry["labels"]) == ("stopped", {"team": "search"})


@pytest.mark.slow
def test_the_installed_agent_knows_its_commands(installed, tmp_path):
    """Doctor looks through processes of its own, and what needs pyarrow says what to install."""
    findings = json.loads(
        subprocess.run(
            [installed / "inference-advisor-agent", "doctor", "--format", "json", "--root", tmp_path],
            capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60,
        ).stdout
    )["findings"]  # fmt: skip
    assert {finding["subject"] for finding in findings} >= {"nvml", "directory", "clock"}
    compact = subprocess.run(
        [installed / "inference-advisor-agent", "compact", tmp_path, "--host", "a"], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert compact.returncode == 1
    assert "inference-advisor-agent[parquet]" in compact.stderr
