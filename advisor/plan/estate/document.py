"""The estate as ``advisor.estate/v1`` JSON: same estate, same bytes; and back."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from advisor.errors import InputError
from advisor.plan.document import plain
from advisor.plan.estate.values import SCHEMA, Estate
from advisor.plan.plain_values import from_plain
from advisor.reading import OMITTED_AT_DEFAULT, json_of

_HINT = "make it again with `advisor recommend DIRECTORY --output PLANS`"


def estate_to_json(estate: Estate, plans: Mapping[str, str] | None = None) -> str:
    """The estate as JSON text.

    Args:
        estate: the estate.
        plans: the workloads' plans as JSON text, by file, to be held in it; without, they are files of their own.
    """
    document: dict[str, Any] = {"schema": estate.schema}
    for field in dataclasses.fields(estate):
        if field.metadata == OMITTED_AT_DEFAULT and getattr(estate, field.name) == field.default:
            continue
        document[field.name] = plain(getattr(estate, field.name), field.name)
    if plans is not None:
        document["plans"] = {file: json.loads(text) for file, text in plans.items() if text}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def is_estate(text: str, where: str) -> bool:
    """Whether a JSON text says that it is an estate, of whatever version.

    Raises:
        InputError: no JSON.
    """
    document = json_of(text, where, "give the output of `advisor recommend`")
    return isinstance(document, dict) and str(document.get("schema")).startswith(f"{SCHEMA.rpartition('/')[0]}/")


def estate_from_json(text: str, where: str = "estate") -> Estate:
    """The estate of a JSON text; the plans that it may hold are left out.

    Raises:
        InputError: no JSON, another schema version, or values that are no estate's.
    """
    document = json_of(text, where, _HINT)
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise InputError(f"the schema is {found!r}, and this version reads {SCHEMA}", where=where, hint=_HINT)
    names = {field.name for field in dataclasses.fields(Estate)}
    try:
        held = {name: value for name, value in document.items() if name in names}
        json.dumps(held, allow_nan=False)  # numbers beyond those of JSON
        estate = typing.cast("Estate", from_plain(Estate, held))
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise InputError(f"the estate cannot be read ({error})", where=where, hint=_HINT) from error
    outside = next((row.file for row in estate.workloads if not _is_below(row.file)), None)
    if outside is not None:
        raise InputError(f"{outside!r} is no file below the directory of the estate", where=where, hint=_HINT)
    places = range(len(estate.shared_machines))
    if any(row.shared_machine is not None and row.shared_machine not in places for row in estate.workloads):
        raise InputError("a workload is on a shared machine that is not there", where=where, hint=_HINT)
    return estate


def _is_below(file: str) -> bool:
    """Whether a path leads to a file below where it is told from: plans and code are found and put by it."""
    path = PurePosixPath(file)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts and "\0" not in file


def plans_in(text: str, where: str) -> Mapping[str, str]:
    """Plans that an estate's document holds, as JSON text by file; empty where they are files of their own.

    Raises:
        InputError: no JSON.
    """
    document = json_of(text, where, _HINT)
    plans = document.get("plans") if isinstance(document, dict) else None
    return {str(file): json.dumps(plan) for file, plan in plans.items()} if isinstance(plans, dict) else {}
