"""The estate as ``advisor.estate/v1`` JSON: same estate, same bytes."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from advisor.plan.document import plain
from advisor.plan.estate.values import Estate


def estate_to_json(estate: Estate, plans: Mapping[str, str] | None = None) -> str:
    """The estate as JSON text.

    Args:
        estate: the estate.
        plans: the workloads' plans as JSON text, by file, to be held in it; without, they are files of their own.
    """
    document: dict[str, Any] = {"schema": estate.schema}
    for field in dataclasses.fields(estate):
        document[field.name] = plain(getattr(estate, field.name), field.name)
    if plans is not None:
        document["plans"] = {file: json.loads(text) for file, text in plans.items() if text}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
