"""Source that a short program of Pulumi stands for: that of the whole one, generated anew of its plan."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.codegen import registries, revisions
from advisor.codegen.container import Engine, Form, Language, Wanted
from advisor.codegen.generate import Generated, generate
from advisor.codegen.inputs.table import EVERY
from advisor.codegen.rollout import Former
from advisor.codegen.writing.former import read_former
from advisor.codegen.writing.record import read_record
from advisor.errors import InputError
from advisor.plan.document import plan_from_json
from advisor.records import replace


def generated_folder(plan: Path) -> Path:
    """Folder of a plan, or the one above it, that ``advisor generate`` wrote; the plan's own where neither is."""
    return next((folder for folder in list(plan.parents)[:2] if read_record(folder).files), plan.parent)


def whole_program(plan: str, choice: Mapping[str, Any]) -> Mapping[str, str]:
    """Files of the whole program by their paths.

    *choice*: as of ``advisor.pulumi.Choice``. Raises InputError if the plan cannot be deployed so; the message says
    why.
    """
    directory = Path(choice["directory"]) if "directory" in choice else None
    former = Former() if directory is None else read_former(directory)
    wanted = Wanted(
        target=choice.get("target", ""),
        rank=choice.get("option"),
        engine=_engine(choice.get("engine", "")),
        image=choice.get("image", ""),
        form=_form(choice.get("form", former.form.value)),
        digests={} if directory is None else registries.IMAGES.kept_in(directory),
        commits={} if directory is None else revisions.MODELS.kept_in(directory),
        unconfirmed=True,  # refused, or asked for, when the program was written
        inputs=frozenset({EVERY}),
    )
    # Stages of a Terraform root are none of this program's, and its source is whole whatever lies in the directory.
    goes_on = None if former.language is Language.TERRAFORM else replace(former, as_component=None)
    return _part(generate(plan_from_json(plan), Language.PYTHON, wanted, former=goes_on), choice.get("part", ""))


def _engine(name: str) -> Engine | None:
    engines = {engine.value: engine for engine in Engine}
    if name and name not in engines:
        raise InputError(f"engine={name!r} is none of {', '.join(engines)}")
    return engines.get(name)


def _form(name: str) -> Form:
    forms = {form.value: form for form in Form}
    if name not in forms:
        raise InputError(f"form={name!r} is none of {', '.join(forms)}")
    return forms[name]


def _part(generated: Generated, part: str) -> Mapping[str, str]:
    """The files of the wanted root."""
    if generated.roots == ("",) and not part:
        return generated.files
    if part not in generated.roots:
        parts = ", ".join(filter(None, generated.roots)) or "it is of one cloud: leave part out"
        raise InputError(f"part={part!r} is none of the plan's: {parts}")
    prefix = f"{part}/"
    return {path.removeprefix(prefix): text for path, text in generated.files.items() if path.startswith(prefix)}
