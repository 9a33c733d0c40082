"""A workload file as `advisor recommend` will read it: its demand, or why no plan can be made of it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from advisor.catalog import Catalog
from advisor.demand.values import Demand
from advisor.demand_sources import measure_demand, with_measured_cache
from advisor.errors import AdvisorError, InputError
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.plan.request import PlanRequest, requirements_of
from advisor.requirements import check_names
from advisor.workload.document import read_workload


@dataclass(frozen=True, slots=True)
class Trial:
    """Outcome of a trial: one of both."""

    demand: Demand | None
    reason: str
    """Why it cannot be planned; "" where it can."""


def tried(text: str, folder: Path, catalog: Catalog) -> Trial:
    """A workload file's demand and requirements, without planning.

    Args:
        text: of the file.
        folder: an existing one, which paths in it are relative to.
        catalog: knows the names in it.
    """
    try:
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".trial-", suffix=".txt", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            return Trial(_demand(Path(stream.name), catalog), "")
    except OSError as error:
        raise InputError(
            f"cannot write: {error.strerror or error}", where=str(folder), hint="give a folder that you may write to"
        ) from error
    except AdvisorError as error:
        return Trial(None, f"{error.message} ({error.hint})" if error.hint else error.message)


def _demand(path: Path, catalog: Catalog) -> Demand:
    workload = read_workload(path)
    check_names(workload, catalog)
    model = find_model(workload.model_reference)
    demand = measure_demand(workload, model, catalog, shipped_model())
    requirements_of(PlanRequest(with_measured_cache(workload, demand), model, demand), catalog)
    return demand
