"""The plan as ``advisor.plan/v1`` JSON and back: same plan, same bytes, and every document is validated."""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import jsonschema_rs

from advisor.errors import InputError
from advisor.plan.values import SCHEMA, Plan

T = TypeVar("T")

SCHEMA_PATH = Path(__file__).with_name("plan-v1.schema.json")
_SIGNIFICANT_DIGITS = 6
_DECIMALS = {"usd_per_month": 2, "usd_per_hour": 6}
"""Money is rounded by place, everything else to significant digits."""


def plan_to_json(plan: Plan) -> str:
    """The plan as JSON text, validated against the schema.

    Raises:
        ValueError: the plan does not satisfy the schema, which is a bug.
    """
    document = plan_document(plan)
    _validator().validate(document)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as plain values: floats cut to what is meaningful, so that no platform differs in the last bit."""
    document = {"schema": plan.schema} | {
        field.name: plain(getattr(plan, field.name), field.name) for field in dataclasses.fields(plan)
    }
    return typing.cast("dict[str, Any]", document)


def plan_from_json(text: str, where: str = "plan") -> Plan:
    """Read a plan back.

    Args:
        text: the JSON document.
        where: its file name, for error messages.

    Raises:
        InputError: no JSON, another schema version, or a document that the schema refuses.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(
            f"not JSON: {error}", where=where, hint="give the output of `advisor recommend --format json`"
        ) from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise InputError(
            f"the schema is {found!r}, and this version reads {SCHEMA}",
            where=where,
            hint="make the plan again with `advisor recommend … --format json -o plan.json`",
        )
    problem = next(iter(_validator().iter_errors(document)), None)
    if problem is not None:
        place = ".".join(str(step) for step in problem.instance_path) or "the document"
        raise InputError(f"{place}: {problem.message}", where=where, hint="make the plan again, or undo the edit")
    return _build(Plan, document)


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document in canonical form (sorted keys, no spaces)."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


@cache
def _validator() -> Any:  # noqa: ANN401 - the validator class depends on the draft
    return jsonschema_rs.validator_for(json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))


def plain(value: Any, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """A value as JSON types; *name* decides how a float is rounded."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(entry, key) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [plain(entry, name) for entry in value]
    if isinstance(value, float):
        for suffix, places in _DECIMALS.items():
            if name.endswith(suffix):
                return round(value, places)
        return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    return value


def _build(kind: type[T], document: Mapping[str, Any]) -> T:
    """A dataclass from its plain form, following its type hints."""
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], entry) for name, entry in document.items()})


def _value(hint: Any, entry: Any) -> Any:  # noqa: ANN401 - any JSON value
    if entry is None:
        return None
    origin = typing.get_origin(hint)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_value(item, one) for one in entry)
    if origin in (types.UnionType, typing.Union):
        kinds = [kind for kind in typing.get_args(hint) if dataclasses.is_dataclass(kind)]
        return _value(kinds[0], entry) if kinds else entry
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), entry)
    return entry
