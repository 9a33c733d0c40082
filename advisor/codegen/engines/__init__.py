"""The programs that serve models: a value of ``Engine``, a row of ``engines.csv`` and a module here.

A module says in its ``PROGRAMS`` which engines it starts. Prefix caching is left to the engines: all of them have it on
by default where the model allows it.
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from advisor.codegen.container import Engine
from advisor.codegen.engines import vllm
from advisor.codegen.engines.request import Demanded, Program, Request, demanded, exact_version

__all__ = ["ENGINES", "Demanded", "Request", "catalog_name", "demanded", "exact_version"]

ENGINES: Mapping[Engine, Program] = {
    engine: program
    for module in iter_modules(__path__)
    for engine, program in getattr(import_module(f"{__name__}.{module.name}"), "PROGRAMS", {}).items()
}


def catalog_name(engine: Engine, request: Request) -> str:
    """The engine as the catalog names it: of vLLM the plugin of the platform; "" of the user's own image."""
    return vllm.catalog_name(request) if engine is Engine.VLLM else ENGINES[engine].name
