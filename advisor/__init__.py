"""advisor: the cheapest way to serve measured AI-inference demand, and the code that deploys it.

::

    import advisor

    plan = advisor.recommend("workload.yaml")
    files = advisor.generate(plan, "terraform").files
    memory = advisor.fit("Qwen/Qwen3-8B", "L40S", context_tokens=8192).memory
    speed = advisor.predict("Qwen/Qwen3-8B", "L40S", input_tokens=512, output_tokens=128, concurrency=16)

Names are loaded when they are first used, so that ``import advisor`` costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advisor.catalog import Catalog, load_catalog
    from advisor.library import Fit, Prediction, fit, generate, predict, read_plan, recommend
    from advisor.plan.values import Plan
    from advisor.workload.document import read_workload
    from advisor.workload.values import Workload

__version__ = "0.1.0"
LITTLE_GARBAGE = 400_000
"""Objects after which a process looks for cycles: plans make few of them, and many objects that last to their end."""

__all__ = [
    "Catalog", "Fit", "Plan", "Prediction", "Workload", "fit", "generate", "load_catalog", "predict", "read_plan",
    "read_workload", "recommend",
]  # fmt: skip

_MODULES = {
    "Catalog": "advisor.catalog",
    "load_catalog": "advisor.catalog",
    "Plan": "advisor.plan.values",
    "Workload": "advisor.workload.values",
    "read_workload": "advisor.workload.document",
}
"""Name → module that it comes from, where that is not the library's own."""


def __getattr__(name: str) -> object:
    """A public name, from the module that defines it."""
    if name not in __all__:
        raise AttributeError(f"module 'advisor' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES.get(name, "advisor.library")), name)


def __dir__() -> list[str]:
    """The public names and those of every module."""
    return sorted([*(name for name in globals() if name.startswith("__")), *__all__])
