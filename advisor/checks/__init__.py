"""A committed plan, and the code that was made of it, against what is true now.

Read ``values.py`` (what is looked for), ``run.py`` (in which order), then a module for each thing that is looked at.
"""

from advisor.checks.run import Now, check_plan
from advisor.checks.values import Checked, Finding, Level, Policy, read_policy

__all__ = ["Checked", "Finding", "Level", "Now", "Policy", "check_plan", "read_policy"]
