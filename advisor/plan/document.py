"""The plan as ``advisor.plan/v1`` JSON and back: same plan, same bytes, and every document is validated."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.plan.digests import digest
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.plain_values import from_plain, to_plain
from advisor.plan.values import SCHEMA, Plan
from advisor.reading import json_of

_DIGEST = "digest"
"""Field that holds the digest of all others, in canonical form."""
SCHEMA_PATH = Path(__file__).with_name("plan-v1.schema.json")
_SIGNIFICANT_DIGITS = 6
_DECIMALS = {"usd_per_month": 2, "usd_per_hour": 6, "obligation_usd": 2}
"""Money is rounded by place, everything else to significant digits."""


def plan_to_json(plan: Plan) -> str:
    """The plan as JSON text, validated against the schema.

    Raises:
        ValueError: the plan does not satisfy the schema, which is a bug.
    """
    document = plan_document(plan)
    document |= {_DIGEST: digest(_as_read(document))}
    _validator().validate(document)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as plain values: floats cut to what is meaningful, so that no platform differs in the last bit.

    The question keeps every bit: the plan is made again from it.
    """
    document: dict[str, Any] = {"schema": plan.schema}
    for field in dataclasses.fields(plan):
        document[field.name] = plain(getattr(plan, field.name), field.name)
    return document | {"question": plan.question}


def plan_from_json(text: str, where: str = "plan") -> Plan:
    """Read a plan back.

    Args:
        text: the JSON document.
        where: its file name, for error messages.

    Raises:
        InputError: no JSON, another schema version, or a document that the schema refuses. Whether it was edited
            since it was made is asked of :func:`why_not_as_made`.
    """
    document = _read(text, where)
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise InputError(
            f"the schema is {found!r}, and this version reads {SCHEMA}", where=where, hint=_other_schema(found)
        )
    problem = next(iter(_validator().iter_errors(document)), None)
    if problem is not None:
        place = ".".join(str(step) for step in problem.instance_path) or "the document"
        raise InputError(f"{place}: {problem.message}", where=where, hint="make the plan again, or undo the edit")
    plan = typing.cast("Plan", from_plain(Plan, {name: one for name, one in document.items() if name != _DIGEST}))
    misfit = _misfit(plan.fleet) if plan.fleet else ""
    if misfit:
        raise InputError(f"fleet.{misfit}", where=where, hint="make the plan again, or undo the edit")
    return plan


def _misfit(fleet: Fleet) -> str:
    """Which parts of a fleet do not fit together; "" where all do."""
    classes, buckets = len(fleet.hour_classes), len(fleet.bucket_max_input_tokens)
    if max(fleet.schedule, default=0) >= classes:
        return "schedule: an hour is of a class that is not there"
    for group in fleet.groups:
        if not len(group.instances) == len(group.request_shares) == classes:
            return "groups: a group has numbers of more or fewer classes of hours than there are"
        if len(group.bucket_shares) < buckets:
            return "groups: a group has no share of a bucket of prompts"
    return ""


def why_not_as_made(text: str, where: str = "plan") -> str:
    """Why a plan may not say what `advisor recommend` said: its digest is another, or missing; "" when it says that.

    Raises:
        InputError: no JSON.
    """
    document = _read(text, where)
    if not isinstance(document, dict) or _DIGEST not in document:
        return "the plan carries no digest: it was edited, or made before plans had one"
    rest = {name: value for name, value in document.items() if name != _DIGEST}
    return "" if document[_DIGEST] == digest(rest) else "the plan was edited after it was made: its digest is another"


def _read(text: str, where: str) -> Any:  # noqa: ANN401 - any JSON value
    return json_of(text, where, "give the output of `advisor recommend --format json`")


def _as_read(document: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """The values that a reader of the text gets: keys are text, tuples are lists."""
    return json.loads(json.dumps(document))


def _other_schema(found: object) -> str:
    """What to do with a document that is no plan of this version."""
    kind, _, version = str(found).rpartition("/v")
    if kind == SCHEMA.rpartition("/v")[0] and version.isdecimal() and int(version) > int(SCHEMA.rpartition("/v")[2]):
        return "it was made by a newer version of advisor: update this one, or make the plan again with it"
    if str(found).startswith("advisor.estate/"):
        return "an estate holds a plan for each of its workloads: give one of those"
    return "make the plan again with `advisor recommend … --format json -o plan.json`"


@cache
def _validator() -> Any:  # noqa: ANN401 - the validator class depends on the draft
    import jsonschema_rs  # noqa: PLC0415 - only plans that are read take its time to load

    return jsonschema_rs.validator_for(json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))


def plain(value: Any, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """A value as JSON types; *name* decides how a float is rounded."""
    return to_plain(value, name, _rounded)


def _rounded(value: float, name: str) -> float:
    for suffix, places in _DECIMALS.items():
        if name.endswith(suffix):
            return round(value, places)
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
