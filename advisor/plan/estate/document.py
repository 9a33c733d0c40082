"""The estate as ``advisor.estate/v1`` JSON: same estate, same bytes; and back."""

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from advisor.errors import InputError
from advisor.plan.document import as_read, plain, refuse_unlike
from advisor.plan.estate.packing import SharedMachine
from advisor.plan.estate.values import SCHEMA, Estate
from advisor.plan.plain_values import DIGEST, digest, digest_mismatch, document_of, from_plain
from advisor.reading import OMITTED_AT_DEFAULT, json_of

SCHEMA_PATH = Path(__file__).with_name("estate-v1.schema.json")
_PLANS = "plans"
"""Field that holds the plans, where they are not beside the document."""
_PLAN_DIGESTS = "plan_digests"
"""Field that names the plans beside the document by their digests."""
_HINT = "make it again with `advisor recommend DIRECTORY --output PLANS`"


def estate_to_json(
    estate: Estate, plans: Mapping[str, str] | None = None, beside: Mapping[str, str] | None = None
) -> str:  # fmt: skip
    """The estate as JSON text, with the workloads' *plans* (JSON text by file) where they are no files of their own.

    *beside*: those that are; the estate names them by their digests.
    """
    document: dict[str, Any] = {"schema": estate.schema}
    for field in dataclasses.fields(estate):
        if field.metadata == OMITTED_AT_DEFAULT and getattr(estate, field.name) == field.default:
            continue
        document[field.name] = plain(getattr(estate, field.name), field.name)
    if beside is not None:
        document[_PLAN_DIGESTS] = {file: json.loads(text)[DIGEST] for file, text in beside.items() if text}
    document[DIGEST] = digest(as_read(document))
    if plans is not None:
        document[_PLANS] = {file: json.loads(text) for file, text in plans.items() if text}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def is_estate(text: str, where: str) -> bool:
    """Whether a JSON text says that it is an estate, of whatever version. Raises InputError: no JSON."""
    document = json_of(text, where, "give the output of `advisor recommend`")
    return isinstance(document, dict) and str(document.get("schema")).startswith(f"{SCHEMA.rpartition('/')[0]}/")


def estate_from_json(text: str, where: str = "estate") -> Estate:
    """The estate of a JSON text; the plans that it may hold are left out.

    Raises InputError: no JSON, another schema version, or values that are not an estate's.
    """
    document = document_of(text, where, SCHEMA, _HINT)
    refuse_unlike(document, SCHEMA_PATH, where, _HINT)
    names = {field.name for field in dataclasses.fields(Estate)}
    try:
        held = {name: value for name, value in document.items() if name in names}
        json.dumps(held, allow_nan=False)  # numbers beyond those of JSON
        estate = typing.cast("Estate", from_plain(Estate, held))
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise InputError(f"the estate cannot be read ({error})", where=where, hint=_HINT) from error
    files = [*(row.file for row in estate.workloads), *(base.plan for base in estate.joined)]
    outside = next((file for file in files if not _is_below(file)), None)
    if outside is not None:
        raise InputError(f"{outside!r} is not a file below the directory of the estate", where=where, hint=_HINT)
    places = range(len(estate.shared_machines))
    if any(row.shared_machine is not None and row.shared_machine not in places for row in estate.workloads):
        raise InputError("a workload is on a shared machine that is not there", where=where, hint=_HINT)
    mismatch = next(_mismatches(estate), None)
    if mismatch is not None:
        raise InputError(mismatch, where=where, hint=_HINT)
    return estate


def _mismatches(estate: Estate) -> Iterator[str]:
    """Parts of an estate that do not fit each other, which no schema can say."""
    for at, machine in enumerate(estate.shared_machines):
        place, names = f"shared_machines.{at}", sorted(machine.workloads)
        if names != sorted(row.file for row in estate.workloads if row.shared_machine == at):
            yield f"{place}.accelerators: other workloads than those whose rows say that they are on it"
        if machine.seats and names != sorted(seat.workload for seat in machine.seats):
            yield f"{place}.seats: other workloads than on its accelerators"
        type_in_region = machine.provider, machine.region, machine.instance_type
        if any((seat.provider, seat.region, seat.instance_type) != type_in_region for seat in machine.seats):
            yield f"{place}.seats: on another machine"
        if any(seat.partition != machine.slice for seat in machine.seats):
            yield f"{place}.seats: on other slices than the machine is cut into"
        if any(len(machine.accelerators) > seat.accelerator_count for seat in machine.seats):
            yield f"{place}.accelerators: more than the machine has"
        yield from (f"{place}.seats: {why}" for why in _way_mismatches(machine))
        yield from (f"{place}.servers: {why}" for why in _server_mismatches(machine))
    files = {row.file for row in estate.workloads if row.shared_machine is None}
    members = [file for base in estate.joined for file in base.workloads]
    if not files.issuperset(members) or len(set(members)) < len(members):
        yield "joined: workloads that are not there, on a shared machine, or on two bases"


def _way_mismatches(machine: SharedMachine) -> Iterator[str]:
    """Seats that cannot share an accelerator in the way that they say."""
    if len({seat.way for seat in machine.seats}) > 1 or (machine.by_mps and machine.slice):
        yield "some by MPS, others in turns or on slices"
    if machine.by_mps and any(seat.memory_gib > seat.usable_gib for seat in machine.seats):
        yield "more memory than the part of one by MPS"


def _server_mismatches(machine: SharedMachine) -> Iterator[str]:
    """Servers of several workloads that cannot be: they hold others, or what no server holds together."""
    members = [name for server in machine.servers for name in server]
    if len(set(members)) < len(members) or (members and (machine.slice or machine.by_mps)):
        yield "workloads on two of them, on slices or on parts by MPS"
    for server in machine.servers:
        if not any(set(server) <= set(group) for group in machine.accelerators):
            yield "other workloads than on one of its accelerators"
        elif machine.seats and len({machine.seat_of(name).server or name for name in server}) > 1:
            yield "workloads of different servers"


def why_not_as_made(text: str, where: str) -> str:
    """Why an estate, its plans apart, may not say what was recommended, or "". Raises InputError: no JSON."""
    return digest_mismatch(json_of(text, where, _HINT), "estate", _PLANS)


def plans_of_other_runs(text: str, where: str, plans: Mapping[str, str]) -> list[str]:
    """Files of *plans* (JSON text by file) that an estate was not written with, where it says which it was."""
    document = json_of(text, where, _HINT)
    digests = document.get(_PLAN_DIGESTS) if isinstance(document, dict) else None
    held = digests if isinstance(digests, dict) else {}
    return [file for file, plan in plans.items() if file in held and json.loads(plan).get(DIGEST) != held[file]]


def _is_below(file: str) -> bool:
    """Whether a path leads to a file below where it is told from: plans and code are found and put by it."""
    path = PurePosixPath(file)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts and "\0" not in file


def plans_in(text: str, where: str) -> Mapping[str, str]:
    """Plans in an estate's document, as JSON text by file; empty: they are files. Raises InputError: no JSON."""
    document = json_of(text, where, _HINT)
    plans = document.get(_PLANS) if isinstance(document, dict) else None
    return {str(file): json.dumps(plan) for file, plan in plans.items()} if isinstance(plans, dict) else {}
