"""A state machine in JSONata, run against doubles of the services that it calls."""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import pytest

jsonata = pytest.importorskip(
    "jsonata", reason="jsonata-python is not installed (pip install 'inference-advisor[test]')"
)
Call = Callable[[str, Mapping[str, Any]], Any]
"""Answers a call, such as ``describeTargetHealth``, with its arguments."""
OPEN, CLOSE = "{%", "%}"


class FailedError(Exception):
    """The machine ended in a state of failure."""


class CallError(Exception):
    """A service refused a call."""


def run(
    definition: Mapping[str, Any],
    call: Call,
    start: str,
    given: Any = None,
    variables: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Output of an execution.

    Args:
        definition: of the machine, or of the processor of a map.
        call: the services.
        start: when the execution began, as ISO 8601.
        given: input of the first state.
        variables: of the machine around it.
    """
    name = definition["StartAt"]
    variables = dict(variables)
    while True:
        state = definition["States"][name]
        if state["Type"] == "Fail":
            raise FailedError(state["Error"])
        if state["Type"] == "Succeed":
            return given
        states = {"input": given, "context": {"Execution": {"StartTime": start}}}
        known = {**variables, "states": states}
        if state["Type"] == "Choice":
            chosen = (choice["Next"] for choice in state["Choices"] if value(choice["Condition"], known))
            name = next(chosen, state["Default"])
            continue
        try:
            result = _result(state, known, call, start)
        except CallError:
            if "Catch" not in state:
                raise
            (caught,) = state["Catch"]
            given, name = value(caught["Output"], known), caught["Next"]
            continue
        told = {**variables, "states": {**states, "result": result}}
        given = value(state["Output"], told) if "Output" in state else result
        variables |= value(state.get("Assign", {}), told)
        if state.get("End"):
            return given
        name = state["Next"]


def _result(state: Mapping[str, Any], known: Mapping[str, Any], call: Call, start: str) -> Any:
    if state["Type"] == "Map":
        return [run(state["ItemProcessor"], call, start, item, known) for item in value(state["Items"], known)]
    return call(state["Resource"].rpartition(":")[2], value(state["Arguments"], known))


def value(written: Any, known: Mapping[str, Any]) -> Any:
    """What a field of a state holds: an expression is evaluated, anything else is taken as it is."""
    if isinstance(written, Mapping):
        return {name: value(part, known) for name, part in written.items()}
    if isinstance(written, list):
        return [value(part, known) for part in written]
    if not (isinstance(written, str) and written.startswith(OPEN)):
        return written
    expression = _parsed(written)
    frame = expression.create_frame()
    for name, bound in known.items():
        frame.bind(name, bound)
    return expression.evaluate(None, frame)


@cache
def _parsed(written: str) -> Any:
    return jsonata.Jsonata(written.removeprefix(OPEN).removesuffix(CLOSE))
