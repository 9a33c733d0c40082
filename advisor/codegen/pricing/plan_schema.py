"""Shape of what pricing reads of a Terraform plan or state as JSON (format 1: terraform.io, "JSON Output Format")."""

from collections.abc import Mapping
from functools import cache
from typing import Any

_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}
_RESOURCE = {
    "type": "object",
    "required": ["address", "type", "name"],
    "properties": {
        "address": _TEXT,
        "mode": _TEXT,
        "type": _TEXT,
        "name": _TEXT,
        "index": {"type": ["string", "integer", "null"]},
        "values": {"type": ["object", "null"]},
    },
}
_CONFIGURED = {
    "type": "object",
    "required": ["type", "name"],
    "properties": {
        "type": _TEXT,
        "name": _TEXT,
        "provider_config_key": _TEXT,
        "expressions": {"type": ["object", "null"]},
    },
}
_STATE = {"type": "object", "properties": {"root_module": {"$ref": "#/$defs/module"}}}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "planned_values": _STATE,
        "values": _STATE,
        "prior_state": {"type": "object", "properties": {"values": _STATE}},
        "variables": {"type": "object", "additionalProperties": _OBJECT},
        "configuration": {
            "type": "object",
            "properties": {
                "provider_config": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {"expressions": {"type": ["object", "null"]}},
                    },
                },
                "root_module": {"$ref": "#/$defs/configured"},
            },
        },
    },
    "$defs": {
        "module": {
            "type": "object",
            "properties": {
                "address": _TEXT,
                "resources": {"type": "array", "items": _RESOURCE},
                "child_modules": {"type": "array", "items": {"$ref": "#/$defs/module"}},
            },
        },
        "configured": {
            "type": "object",
            "properties": {
                "resources": {"type": "array", "items": _CONFIGURED},
                "module_calls": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {"module": {"$ref": "#/$defs/configured"}},
                    },
                },
            },
        },
    },
}


def misshapen(document: Mapping[str, Any]) -> str:
    """First place of a document whose shape is not that of a plan, in words; "" where there is none."""
    error = next(iter(_validator().iter_errors(document)), None)
    if error is None:
        return ""
    place = ".".join(str(step) for step in error.instance_path)
    return f"{place}: {error.message[:200]}"


@cache
def _validator() -> Any:  # noqa: ANN401 - the validator class depends on the draft
    import jsonschema_rs  # noqa: PLC0415 - only plans that are read take its time to load

    return jsonschema_rs.validator_for(SCHEMA)
