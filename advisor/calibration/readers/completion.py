"""Gaps of a file are filled in with what the user told; where both state a value they must agree."""

from advisor.calibration.readers.entries import LOAD_NUMBERS, Cells, Entry
from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.models import Model, find_model
from advisor.names import normalised
from advisor.performance.setup_cells import REQUIRED_COLUMNS, SETUP_COLUMNS
from advisor.performance.values import Scenario

_COUNTED = (Scenario.FIXED_CONCURRENCY, Scenario.FIXED_BATCH)
_SPLITS = ("tensor_parallel", "pipeline_parallel", "data_parallel")


def complete(entry: Entry, told: Cells) -> dict[str, str]:
    """The entry's cells with the gaps filled: set-up, users and lengths.

    Measured users and lengths stand whatever was told, and users are filled in only where the scenario counts them.
    Accelerators that nobody counts are those that the parallelism needs.

    Raises:
        InputError: file and options contradict each other, or neither names the model or the accelerator.
    """
    cells = {name: cell.strip() for name, cell in entry.cells.items()}
    for column in SETUP_COLUMNS:
        cells[column] = _agreed(column, cells.get(column, ""), told.get(column, ""), entry.where)
    for column in LOAD_NUMBERS if cells.get("scenario") in _COUNTED else LOAD_NUMBERS[1:]:
        cells[column] = cells.get(column, "") or told.get(column, "")
    for column in REQUIRED_COLUMNS:
        if not cells[column]:
            raise InputError(f"the file does not name the {column}", where=entry.where, hint=f"give {_option(column)}")
    return cells | {"accelerator_count": cells["accelerator_count"] or _needed(cells)}


def _agreed(column: str, stated: str, told: str, where: str) -> str:
    if not stated or not told:
        return stated or told
    if column == "model" and _known(stated) is None:
        # Servers are often asked under a name of their own: the option says which model that is.
        return told
    if not _same(column, stated, told):
        raise InputError(
            f"the file has the {column} '{stated}', {_option(column)} says '{told}'",
            where=where,
            hint="leave the option out, or measure what it says",
        )
    return stated


def _same(column: str, stated: str, told: str) -> bool:
    if column == "model":
        ours, theirs = _known(stated), _known(told)
        return ours is not None and theirs is not None and _architecture(ours) == _architecture(theirs)
    if column == "accelerator":
        catalog = load_catalog()
        return catalog.accelerator(stated) == catalog.accelerator(told)
    try:
        return float(stated) == float(told)
    except ValueError:
        return normalised(stated) == normalised(told)


def _known(name: str) -> Model | None:
    try:
        return find_model(name)
    except InputError:
        return None


def _architecture(model: Model) -> tuple[str, int]:
    return model.family, model.parameters_total


def _needed(cells: Cells) -> str:
    """Accelerators of one replica; "" where the parallelism is not stated."""
    splits = [cells[column] for column in _SPLITS if cells[column]]
    if not splits or not all(split.isdigit() for split in splits):
        return ""
    needed = 1
    for split in splits:
        needed *= int(split)
    return str(needed)


def _option(column: str) -> str:
    return f"--{column.replace('_', '-')}"
