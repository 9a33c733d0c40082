"""The golden stacks: one module for each target, each with ``SCENARIOS``: name → maker."""

import importlib
import pkgutil

from codegen.plans import Make

SCENARIOS: dict[str, Make] = {}
for _found in sorted(pkgutil.iter_modules(__path__), key=lambda one: one.name):
    SCENARIOS |= importlib.import_module(f"{__name__}.{_found.name}").SCENARIOS
