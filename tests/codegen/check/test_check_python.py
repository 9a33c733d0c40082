"""Faults planted in a generated Python program are found before anything is written."""

import pytest

from advisor.codegen import Language, generate
from codegen.check import findings
from codegen.scenarios import SCENARIOS


@pytest.fixture(scope="module")
def program():
    """A sound program."""
    scenario = SCENARIOS["l4-spot"]()
    return generate(scenario.plan, Language.PYTHON, scenario.wanted).files


def messages(files):
    """What is wrong, as people read it."""
    return [str(one) for one in findings(files)]


@pytest.mark.parametrize("folder", ["", "aws/"])
def test_sound_program_has_no_finding(folder, program):
    """A program is sound wherever it lies."""
    assert messages({folder + path: text for path, text in program.items()}) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "complaint"),
    [
        ("inference/compute.py", "min_size=group.min", "min_size=grup.min", "grup is not defined"),
        ("inference/compute.py", "import base64\n", "", "base64 is not defined"),
        ("__main__.py", "import FLEET", "import FLEETS", "inference.fleet has no FLEETS"),
        ("__main__.py", "from inference.fleet", "from inference.flet", "inference.flet has no FLEET"),
        ("tests/test_stack.py", "import inputs_of,", "import outputs_of,", "tests.cloud has no outputs_of"),
    ],
)
@pytest.mark.parametrize("folder", ["", "aws/"])
def test_fault_is_found_in_its_file(folder, path, old, new, complaint, program):
    """A name that nothing binds, and an import that finds nothing, are reported with file and line."""
    assert program[path].count(old) == 1
    files = {folder + name: text for name, text in {**program, path: program[path].replace(old, new)}.items()}
    assert any(found.startswith(f"{folder}{path}:") and complaint in found for found in messages(files))
