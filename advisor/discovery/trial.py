"""A workload file as `advisor recommend` will read it: the question that it asks, or why no plan can be made of it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from advisor.catalog import Catalog
from advisor.errors import AdvisorError, InputError
from advisor.performance.model import shipped_model
from advisor.pipeline import prepared, question_for
from advisor.plan.request import PlanRequest, requirements_of
from advisor.workload.document import read_workload


@dataclass(frozen=True, slots=True)
class Trial:
    """Outcome of a trial: one of both."""

    question: PlanRequest | None
    reason: str
    """Why it cannot be planned; "" where it can."""


def tried(text: str, folder: Path, catalog: Catalog) -> Trial:
    """The question that a workload file asks, with its demand, without planning."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".trial-", suffix=".txt", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            return Trial(_question(Path(stream.name), catalog), "")
    except OSError as error:
        raise InputError(
            f"cannot write: {error.strerror or error}", where=str(folder), hint="give a folder that you may write to"
        ) from error
    except AdvisorError as error:
        return Trial(None, f"{error.message} ({error.hint})" if error.hint else error.message)


def _question(path: Path, catalog: Catalog) -> PlanRequest:
    question = question_for(prepared(read_workload(path), catalog), catalog, shipped_model())
    requirements_of(question, catalog)
    return question
