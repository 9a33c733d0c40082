"""``advisor generate … estate.json``: code of all workloads of a directory, shared machines among them."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli.output import STDOUT, check_unedited, refuse_edited, tell
from advisor.errors import AdvisorError, InputError, NotDeployable
from advisor.plan.estate.document import estate_from_json, is_estate, plans_in, plans_of_other_runs, why_not_as_made
from advisor.plan.estate.values import Estate
from advisor.reading import read_text
from advisor.records import replace
from advisor.units import usd

if TYPE_CHECKING:
    from advisor.codegen import Generated, Language
    from advisor.codegen.estate import EstateParts
    from advisor.codegen.selection import Place

_PLAN_AGAIN = "plan all of them again with `advisor recommend DIRECTORY -o PLANS`"
_OF_ONE_PLAN = ("rank", "target", "engine", "image", "stage", "form")
"""Arguments that a single plan is asked with."""


def is_estate_file(text: str, where: str) -> bool:
    """Whether what is given is an estate, and no plan; what is not JSON is left to whoever reads plans."""
    try:
        return is_estate(text, where)
    except InputError:
        return False


def generate_estate(language: "Language", asked: dict[str, Any], text: str) -> None:
    """Write the code of an estate: of each workload with a fleet of its own, and of each shared machine.

    Raises:
        InputError: arguments that are of one plan, or an estate that does not say what is needed.
        NotDeployable: some parts cannot be generated; the others were written.
    """
    from advisor.cli.generate import warn_of_unused  # noqa: PLC0415 - it calls this module
    from advisor.codegen.estate import left_behind, parts_of, read_plan  # noqa: PLC0415 - help shows without it
    from advisor.codegen.serving import check_inputs  # noqa: PLC0415 - as above

    given = [name for name in _OF_ONE_PLAN if asked[name]]
    if given:
        raise click.UsageError(
            "--option, --target, --engine, --image, --form and --cut-over are of one plan: give its file in place of "
            "the estate, and its folder below DIR"
        )
    check_inputs(asked["inputs"])
    where, directory = str(asked["plan"]), asked["directory"]
    estate = estate_from_json(text, where)
    refuse_edited(why_not_as_made(text, where), where, "estate", force=asked["force"])
    _check_limits(estate, where, is_unconfirmed=asked["unconfirmed"])
    texts = _plan_texts(estate, text, asked["plan"])
    plans = {file: read_plan(plan, file) for file, plan in texts.items()}
    for file, plan in texts.items():
        check_unedited(plan, file, force=asked["force"])
    parts = parts_of(estate, plans, asked["name"])
    for folder, base in parts.bases.items():
        tell(
            f"{folder}: {', '.join(base.workloads)} as one deployment, {usd(base.usd_per_month)} a month in place of "
            f"{usd(base.apart_usd_per_month)}; no code of their own fleets"
        )
    written = list(_written(language, asked, parts, texts))
    failed = [(name, part) for name, part in written if isinstance(part, AdvisorError)]
    if not failed:
        unused = (part.unused_inputs for _, part in written if not isinstance(part, AdvisorError))
        warn_of_unused(frozenset(asked["inputs"]).intersection(*unused), "this estate")
    for name in left_behind(directory, parts):
        click.echo(
            f"warning: {directory / name} holds generated code and is not part of the estate: destroy what it made "
            "once others answer",
            err=True,
        )
    for reason in parts.without:
        click.echo(f"warning: no code for {reason}", err=True)
    if failed:
        told = "\n    ".join(f"{name}: {error.message}" for name, error in failed)
        hints = "; ".join(dict.fromkeys(error.hint for _, error in failed if error.hint))
        kind = NotDeployable if any(isinstance(error, NotDeployable) for _, error in failed) else InputError
        raise kind(f"{len(failed)} parts of the estate were not written:\n    {told}", where=where, hint=hints)


def _check_limits(estate: Estate, where: str, *, is_unconfirmed: bool) -> None:
    """Refuse an estate that breaks a limit that its workloads share (NotDeployable), or warn of it as asked."""
    from advisor.report.estate_table import BEYOND_SHARED, conflicts  # noqa: PLC0415 - help shows without it

    if not estate.conflict:
        return
    broken = "; ".join(conflicts(estate))
    if not is_unconfirmed:
        hint = (
            "raise the limit in estate.yaml, and plan the directory again; --unconfirmed writes the code all the same"
        )
        raise NotDeployable(f"{BEYOND_SHARED}: {broken}", where=where, hint=hint)
    click.echo(f"warning: {BEYOND_SHARED}: {broken}", err=True)


def _written(
    language: "Language", asked: dict[str, Any], parts: "EstateParts", texts: Mapping[str, str]
) -> Iterator[tuple[str, "Generated | AdvisorError"]]:
    """Write each part: its code, or the error of one that cannot be generated or written, by folder."""
    from advisor.cli.generate import code_of, deliver_code  # noqa: PLC0415 - they call this module
    from advisor.codegen.estate import check_folder  # noqa: PLC0415 - help shows without it

    names = sorted({*parts.fleets, *parts.machines})
    strays = [path for path in asked["conflicts"] if path and not any(path.startswith(f"{name}/") for name in names)]
    if strays:
        told = f"--conflicts names {strays[0]}, which is in the folder of no workload or machine"
        raise click.UsageError(f"{told}: name it from DIR on, such as {names[0]}/README.md")
    for name in names:
        directory = asked["directory"] / name
        policies = {
            path.removeprefix(f"{name}/"): policy
            for path, policy in asked["conflicts"].items()
            if not path or path.startswith(f"{name}/")
        }
        own = {**asked, "directory": directory, "of_estate": True, "conflicts": policies}
        try:
            check_folder(asked["directory"], name)
            if name in parts.machines:
                generated = _machine(language, own, parts.machines[name])
            else:
                file = parts.fleets[name]
                generated = code_of(language, {**own, "plan": Path(file)}, texts[file])
            deliver_code(generated, directory, own)
            yield name, generated
        except AdvisorError as error:
            yield name, error


def _machine(language: "Language", asked: dict[str, Any], place: "Place") -> "Generated":
    from advisor.cli.generate import kept_pins, resolved_pins  # noqa: PLC0415 - it calls this module
    from advisor.codegen import last_generated, read_former  # noqa: PLC0415 - help shows without it
    from advisor.codegen.cut_over import check_program  # noqa: PLC0415
    from advisor.codegen.estate import generate_shared  # noqa: PLC0415

    directory = asked["directory"]
    former, last = read_former(directory, force=asked["force"]), last_generated(directory)
    check_program(language, former, as_component=False)
    as_module = bool(former.as_component if asked["as_component"] is None else asked["as_component"])
    inputs = former.inputs.get("", frozenset()).union(asked["inputs"])
    shared = partial(generate_shared, place, language, as_module=as_module, last=last, inputs=inputs)
    if not asked["resolve_digests"]:
        digests, commits = kept_pins(asked)
        return shared({**digests, **commits})
    digests, commits, warnings = resolved_pins(shared())
    generated = shared({**digests, **commits})
    return replace(generated, warnings=(*generated.warnings, *warnings))


def _plan_texts(estate: Estate, text: str, path: Path) -> Mapping[str, str]:
    """Plans of the workloads and joined bases as JSON text, by file: within the estate's document, or beside it.

    Raises InputError if one beside it is missing, or of another run.
    """
    from advisor.codegen.estate import plan_file, plans_needed  # noqa: PLC0415 - help shows without it

    files = plans_needed(estate)
    held = plans_in(text, str(path))
    if held:
        return {file: held[file] for file in files if file in held}
    if path == Path(STDOUT):
        raise InputError(
            "an estate on standard input holds no plans",
            hint="make it with `advisor recommend DIRECTORY --format json`",
        )
    texts = {file: read_text(plan_file(path.parent, file), "plan") for file in files}
    others = plans_of_other_runs(text, str(path), texts)
    if others:
        told = f"{', '.join(others)}: the plan beside it is of another run than the estate"
        raise InputError(told, where=str(path), hint=_PLAN_AGAIN)
    return texts
