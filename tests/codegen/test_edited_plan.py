"""Plans that a person edited: code, or an error of the product's own, whatever was written into a field."""

import contextlib
import copy
import json
import math

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import generate
from advisor.errors import AdvisorError
from advisor.plan.document import plan_from_json, plan_to_json
from codegen.scenarios import SCENARIOS
from iac.modules import of_today

DOCUMENT = json.loads(plan_to_json(SCENARIOS["mixed-fleet"]().plan))
HOSTILE = {str: "unknown", int: 10**30, float: 1e308, bool: None, type(None): 5e-324}
"""Type of a field → what is written into it."""
READ = ("workload", "recommended", "current", "fleet", "provenance")
"""Parts of the document that code is made of; options have the fields of groups."""


def _fields(value, place=()):
    """Place of each value that holds no other; of a list the first entry alone."""
    entries = (
        value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield from _fields(entry, (*place, key))
    if not entries:
        yield place, value


FIELDS = {".".join(map(str, place)): (place, value) for place, value in _fields(DOCUMENT) if place[0] in READ}


@pytest.mark.parametrize("field", of_today(list(FIELDS), shares=15))
def test_an_edited_field_gives_code_or_an_error_in_words(field):
    """Nothing but the product's own errors escapes."""
    place, value = FIELDS[field]
    document = copy.deepcopy(DOCUMENT)
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = HOSTILE.get(type(value), math.pi)

    with contextlib.suppress(AdvisorError):
        generate(plan_from_json(json.dumps(document)), catalog=load_catalog())
