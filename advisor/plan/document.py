"""The plan as ``advisor.plan/v1`` JSON and back: same plan, same bytes, and every document is validated."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.plain_values import DIGEST, digest, digest_mismatch, from_plain, is_omitted, to_plain
from advisor.plan.values import SCHEMA, Plan
from advisor.reading import json_of

SCHEMA_PATH = Path(__file__).with_name("plan-v1.schema.json")
_MEND = "make the plan again, or undo the edit"
PLAN_SUFFIX = ".plan.json"
"""Ending of the file of a workload's plan beside an estate."""
_SHOWN_CHARACTERS = 200
_SHOWN_PLANS = 6
_MOST_INSTANCES = 1_000_000
"""Instances of a group: no fleet that is planned has as many."""
_SIGNIFICANT_DIGITS = 6
_DECIMALS = {"usd_per_month": 2, "usd_per_hour": 6, "obligation_usd": 2, "usd_per_unit": 8, "quantity": 6}
"""Decimals of money by the unit in a field's name; everything else is rounded to significant digits."""
_LIMITS = ("limit", "needed", "used")
"""Names of limits and what is taken of them: money among others, to the cent at least."""
_LIMIT_DECIMALS = 6


def plan_to_json(plan: Plan) -> str:
    """The plan as JSON text. Raises ValueError if it does not satisfy the schema, which is a bug."""
    document = plan_document(plan)
    document |= {DIGEST: digest(as_read(document))}
    _validator(SCHEMA_PATH).validate(document)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as plain values: floats cut to what is meaningful, so that no platform differs in the last bit.

    The question keeps every bit: the plan is made again from it.
    """
    document: dict[str, Any] = {"schema": plan.schema}
    for field in dataclasses.fields(plan):
        if not is_omitted(field, plan):
            document[field.name] = plain(getattr(plan, field.name), field.name)
    return document | {"question": plan.question}


def as_written(plan: Plan) -> Plan:
    """The plan as it reads back from its file: with floats cut to what is meaningful."""
    return typing.cast("Plan", from_plain(Plan, as_read(plan_document(plan))))


def plan_from_json(text: str, where: str = "plan") -> Plan:
    """Read a plan back.

    Raises InputError: no JSON, another schema version, or a document that the schema refuses. Whether it was edited
    since it was made is asked of :func:`why_not_as_made`.
    """
    document = _read(text, where)
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"the schema is {schema!r}, and this version reads {SCHEMA}",
            where=where,
            hint=_other_schema(document, where),
        )
    refuse_unlike(document, SCHEMA_PATH, where, _MEND)
    plan = typing.cast("Plan", from_plain(Plan, {name: value for name, value in document.items() if name != DIGEST}))
    mismatch = "" if plan.fleet is None else _mismatch(plan.fleet)
    if mismatch:
        raise InputError(mismatch, where=where, hint=_MEND)
    return plan


@cache
def _validator(schema: Path) -> Any:  # noqa: ANN401 - the validator class depends on the draft
    import jsonschema_rs  # noqa: PLC0415 - only documents that are read take its time to load

    return jsonschema_rs.validator_for(json.loads(schema.read_text(encoding="utf-8")))


def refuse_unlike(document: object, schema: Path, where: str, hint: str) -> None:
    """Check a document read from *where*. Raises InputError with *hint* if a file's schema refuses it."""
    problem = next(iter(_validator(schema).iter_errors(document)), None)
    if problem is not None:
        raise InputError(_complaint(problem), where=where, hint=hint)


def _mismatch(fleet: Fleet) -> str:
    """First field of a fleet that does not fit its hour classes, which no schema can say; "" where all do."""
    classes, buckets = len(fleet.hour_classes), len(fleet.bucket_max_input_tokens)
    if max(fleet.schedule, default=0) >= classes:
        return "fleet.schedule: an hour is of a class that is not there"
    for at, group in enumerate(fleet.groups):
        for name in ("instances", "request_shares"):
            count = len(getattr(group, name))
            if count != classes:
                return f"fleet.groups.{at}.{name}: {count} numbers for {classes} hour classes"
        if not 0 < max(group.instances) <= _MOST_INSTANCES:
            return f"fleet.groups.{at}.instances: at their most {max(group.instances):,}, not 1 to {_MOST_INSTANCES:,}"
        shares = len(group.bucket_shares)
        if shares < buckets:
            return f"fleet.groups.{at}.bucket_shares: {shares} shares for {buckets} buckets of prompts"
    return ""


def _complaint(problem: Any) -> str:  # noqa: ANN401 - the library's error
    """Field, value and what is allowed there; of a value that may also be null, what is wrong with it as a value."""
    branches = getattr(problem.kind, "context", ())
    depth = len(problem.instance_path)
    all_inside = (error for branch in branches for error in branch)
    inside = [error for error in all_inside if len(error.instance_path) > depth or not hasattr(error.kind, "types")]
    if inside:
        return _complaint(max(inside, key=lambda error: len(error.instance_path)))
    place = ".".join(str(step) for step in problem.instance_path) or "the document"
    allowed = getattr(problem.kind, "options", None)
    if allowed is None:
        return f"{place}: {_shortened(problem.message)}"
    return f"{place}: {_shortened(json.dumps(problem.instance))} is none of {', '.join(map(json.dumps, allowed))}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def why_not_as_made(text: str, where: str = "plan") -> str:
    """Why a plan may not say what was recommended: another digest, or none; else "". Raises InputError: no JSON."""
    return digest_mismatch(_read(text, where), "plan")


def _read(text: str, where: str) -> Any:  # noqa: ANN401 - any JSON value
    return json_of(text, where, "give the output of `advisor recommend --format json`")


def as_read(document: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """The values that a reader of the text gets: keys are text, tuples are lists."""
    return json.loads(json.dumps(document))


def _other_schema(document: Any, where: str) -> str:  # noqa: ANN401 - any JSON value
    """Remedy for a document that is not a plan of this version."""
    schema = document.get("schema") if isinstance(document, dict) else None
    kind, _, version = str(schema).rpartition("/v")
    if kind == SCHEMA.rpartition("/v")[0] and version.isdecimal() and int(version) > int(SCHEMA.rpartition("/v")[2]):
        return "it was made by a newer version of advisor: update this one, or make the plan again with it"
    if str(schema).startswith("advisor.estate/"):
        return _plans_of_estate(document, where)
    if str(schema).startswith("advisor.") and not str(schema).startswith(SCHEMA.rpartition("/")[0]):
        return (
            f"a plan is what `advisor recommend … --format json` writes; a document of {str(schema)[:40]} is shown by "
            "the command that made it, with another --format, or by `advisor report`"
        )
    return "make the plan again with `advisor recommend … --format json -o plan.json`"


def _plans_of_estate(document: Mapping[str, Any], where: str) -> str:
    """Files of the plans that stand beside an estate, to be given in its place."""
    if "plans" in document:
        return "this estate holds its plans: `advisor recommend DIRECTORY --output PLANS` writes a file for each"
    rows = document.get("workloads")
    files = [str(row.get("file", "")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    plans = [str((Path(where).parent / file).with_suffix(PLAN_SUFFIX)) for file in files if Path(file).name]
    more = f" and {len(plans) - _SHOWN_PLANS:,} more" if len(plans) > _SHOWN_PLANS else ""
    named = f": {', '.join(plans[:_SHOWN_PLANS])}{more}" if plans else ""
    return f"give the plan of one of the estate's workloads{named}"


def plain(value: Any, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """A value as JSON types; *name* decides how a float is rounded."""
    return to_plain(value, name, _rounded)


def _rounded(value: float, name: str) -> float:
    places = _places(name)
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if places is None else round(value, places)


@cache
def _places(name: str) -> int | None:
    """Decimals of a field by its name; None: significant digits."""
    if name in _LIMITS:
        return _LIMIT_DECIMALS
    return next((places for unit, places in _DECIMALS.items() if unit in name), None)
