"""The wheel, not the checkout, is what users run."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE_BYTES = 250e6
"""Most that an installation without extras may take: the program, its data and its libraries."""


@pytest.mark.slow
def test_an_installed_wheel_runs_anywhere(tmp_path):
    """Source archive → wheel → a fresh environment → the data files are found from another directory."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"

    def run(*command, cwd=tmp_path) -> str:
        done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path / "dist", cwd=ROOT)
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    run(python, "-m", "pip", "install", "--quiet", archive)
    assert installed_bytes(environment) < CORE_BYTES
    program = environment / "bin" / "advisor"

    assert "g6.xlarge" in run(program, "catalog", "list", "--accelerator", "L4", "--region", "us-east-1")
    shown = run(program, "recommend", ROOT / "examples/chat/workload.yaml", "--terraform", tmp_path / "infra")
    assert shown == (ROOT / "examples/chat/expected.txt").read_text()
    assert (tmp_path / "infra" / "versions.tf").exists()


def installed_bytes(environment):
    """Bytes that an environment holds beside pip and setuptools, which it began with."""
    (packages,) = environment.glob("lib/python*/site-packages")
    files = [path for path in packages.rglob("*") if path.is_file()]
    own = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    return sum(path.stat().st_size for path in files if not path.relative_to(packages).parts[0].startswith(own))


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "tag"), [("cc", "linux"), ("no-such-compiler", "none-any")])
def test_a_wheel_is_compiled_where_that_is_asked_for_and_there_is_a_compiler(compiler, tag, tmp_path):
    """The loop of the replay is in the wheel as a library too; without a compiler the wheel is that of the sources."""
    environment = os.environ | {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true", "CC": compiler}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    libraries = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    assert tag in wheel.name
    assert bool(libraries) is (compiler == "cc") is ("run uncompiled" not in done.stdout + done.stderr)


def test_no_python_file_hides_among_the_data():
    """Data folders hold no ``.py``: an editable install would refuse them."""
    for folder in ("templates", "instance_catalog"):
        assert not list((ROOT / folder).rglob("*.py"))
