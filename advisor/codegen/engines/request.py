"""Request to an engine: what it is asked to serve, and what is refused in its name."""

import re
from dataclasses import dataclass

from advisor.catalog.precisions import is_hub_id
from advisor.codegen.model import Platform, Serves
from advisor.errors import InputError

_EXACT_VERSION = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(\.post\d+)?(?![\d.])")


@dataclass(frozen=True, slots=True)
class Request:
    """One instance, and what has to run on it."""

    serves: Serves
    model: str
    platform: Platform
    image: str
    """Image that the user wants; "": that of the engine."""
    version: str
    """Of the engine as planned, such as 0.30.0; "" where the plan names none that is exact."""


def served_name(request: Request) -> tuple[str, ...]:
    """Option for the name of the model, whichever weights a backend loads; none for a model in a file."""
    return (f"--served-model-name={request.model}",) if is_hub_id(request.model) else ()


def exact_version(text: str) -> str:
    """The version in *text*, such as ``0.30.0`` or ``0.5.6.post2``; "" where none has three parts."""
    match = _EXACT_VERSION.search(text)
    return match[0] if match else ""


def version_key(version: str) -> tuple[int, ...]:
    """The numbers of an exact version, for comparison."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def refusal(serves: Serves, problem: str, hint: str = "") -> InputError:
    """Why *serves* cannot run so, with the way out."""
    return InputError(
        f"{serves.instance_type}: {problem}",
        hint=hint or "generate another option with --option RANK, or choose another engine with --engine",
    )
