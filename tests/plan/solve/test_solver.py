"""The solver, as processes that are forked from this one need it."""

import subprocess
import sys

LOADED = """\
import sys
from advisor.plan.solve.solver import load_solver
assert "highspy" not in sys.modules
load_solver()
assert "highspy._core" in sys.modules
"""


def test_solver_is_loaded_ahead_of_its_first_use():
    """Each process that is forked before would load it by itself."""
    subprocess.run([sys.executable, "-c", LOADED], check=True)
