"""``advisor generate``: infrastructure code for a plan."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli.options import FILE_OR_STDIN, PATH
from advisor.cli.output import check_unedited, quiet_option, tell
from advisor.data_files import PACKAGE_DIR
from advisor.reading import read_text
from advisor.records import replace
from advisor.tables import read_rows

if TYPE_CHECKING:
    from advisor.codegen import Form, Generated, Language, WriteReport
    from advisor.codegen.rollout import Former
    from advisor.plan.values import Plan

_UNUSUAL = {"terraform": ("a module", "--root"), "python": ("the whole source", "--component --force")}
"""Language → what a directory may hold that is not the default, and what ends that."""
_ENGINES = PACKAGE_DIR / "codegen" / "engines" / "engines.csv"
_TO_DO = {"created": "create", "replaced": "replace", "merged": "merge", "removed": "remove"}
_POLICIES = ("write", "mine", "theirs")


def conflict_policies(asked: Iterable[str]) -> Mapping[str, str]:
    """Path of a file → policy for its conflicts; "" → the one for all others."""
    policies: dict[str, str] = {}
    for each in asked:
        policy, _, path = each.partition(":")
        if policy not in _POLICIES or each.endswith(":"):
            raise click.BadParameter(f"{each} is none of write, mine, theirs, each also with :FILE")
        policies[path.removeprefix("./")] = policy
    return policies


_OPTIONS = (
    click.argument("plan", type=FILE_OR_STDIN, metavar="PLAN.json"),
    click.option(
        "--into",
        "--out",
        "directory",
        type=PATH,
        required=True,
        metavar="DIR",
        help="Directory of the code; it may hold files of your own. Of an estate.json: of a folder for each workload "
        "and shared machine.",
    ),
    click.option("--option", "rank", type=click.IntRange(min=1), metavar="RANK", help="Option of the plan, by rank."),
    click.option(
        "--target",
        default="",
        metavar="TARGET",
        help="Where containers run, such as ec2 or eks; default: by the "
        "plan, unless the folder holds code for another one.",
    ),
    click.option(
        "--form",
        type=click.Choice(["manifests", "inference-pool", "kserve", "production-stack", "llm-d", "dynamo"]),
        help="What the Kubernetes objects of eks, gke and aks are written for; default: manifests, unless the folder "
        "holds another form.",
    ),
    click.option(
        "--engine",
        type=click.Choice([row["engine"] for row in read_rows(_ENGINES)]),
        help="Serve with this engine instead of the planned one.",
    ),
    click.option("--image", default="", metavar="IMAGE", help="Container image in place of the engine's own."),
    click.option(
        "--resolve-digests",
        is_flag=True,
        help="Ask registries for the digests of the images and the hub for the commits of the models, and take both by "
        "them; later runs keep them.",
    ),
    click.option(
        "--conflicts",
        multiple=True,
        metavar="write|mine|theirs[:FILE]",
        callback=lambda _context, _parameter, asked: conflict_policies(asked),
        help="Where your edits, or deletions, and the new code change the same: write both between markers, or take "
        "one side; of one FILE of DIR alone, as in mine:README.md. May be repeated.",
    ),
    click.option(
        "--cut-over",
        "stage",
        type=click.Choice(["prepare", "shift", "finish"]),
        help="Where groups vanish from the plan: run both, with requests to the old ones (prepare, the default) or to "
        "the new ones (shift); leave the old ones out (finish).",
    ),
    click.option(
        "--name",
        default="",
        metavar="NAME",
        help="Name of an estate, which those of its shared machines start with; default: of the directory of its "
        "workload files.",
    ),
    click.option("--unconfirmed", is_flag=True, help="Go on with a fleet that its replay refused."),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="NAME",
        help="Rare input that the code takes too, such as dns, or all; README.md of the code names those left out. "
        "Later runs keep it. May be repeated.",
    ),
    click.option("--dry-run", is_flag=True, help="Print what would be written as a patch, and write nothing."),
    click.option("--force", is_flag=True, help="Write every file as it is generated, over edits and files of others."),
)


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """The arguments that every language has."""
    function = quiet_option(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.group(name="generate")
def command() -> None:
    """Infrastructure code for a plan."""


@command.command(name="terraform")
@click.option(
    "--module/--root",
    "as_component",
    default=None,
    help="Write a module that others call, with no provider in it, or a root to apply; default: a root, unless the "
    "directory holds a module.",
)
@_options
def terraform(**asked: Any) -> None:  # noqa: ANN401 - the options above
    """Write a Terraform root that deploys PLAN.json (- for standard input), or one for each part of an estate.json.

    The fleet of the plan is taken unless --option names a single type. Where code for it cannot be generated, or its
    replay refused it, nothing is written and the exit code is 4: no other option is taken in its place.

    DIR may hold files of your own. A second run changes nothing; after a new plan, what you edited is merged with the
    new code. Where both changed the same lines, nothing is written and both sides are shown.
    """
    from advisor.codegen import Language  # noqa: PLC0415 - help shows without it

    _generate(Language.TERRAFORM, asked)


@command.command(name="pulumi")
@click.option(
    "--language", type=click.Choice(["python"]), default="python", show_default=True, help="Language of the program."
)
@click.option(
    "--component/--standalone",
    "as_component",
    default=None,
    help="Write a short program that takes the resources from advisor.pulumi, or their whole source; default: the "
    "short one, unless the directory holds the source.",
)
@_options
def pulumi(language: str, **asked: Any) -> None:  # noqa: ANN401 - the options above
    """Write a Pulumi program that deploys PLAN.json (- for standard input).

    It describes the same resources as `advisor generate terraform`, whose rules about your own edits hold here too.
    """
    from advisor.codegen import Language  # noqa: PLC0415 - help shows without it

    _generate(Language(language), asked)


@command.command(name="monitoring")
@click.argument("plan", type=FILE_OR_STDIN, metavar="PLAN.json")
@click.option(
    "--into",
    "--out",
    "directory",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Directory of the files, which holds no other generated code.",
)
@click.option(
    "--match",
    "matchers",
    metavar="MATCHERS",
    help="Label matchers of the workload's series, such as 'namespace=\"chat\"'.  [default: the model's name]",
)
@click.option("--unconfirmed", is_flag=True, help="Go on with a fleet that its replay refused.")
@click.option("--dry-run", is_flag=True, help="Print what would be written as a patch, and write nothing.")
@click.option("--force", is_flag=True, help="Write every file as it is generated, over edits and files of others.")
@quiet_option
def monitoring(
    plan: Path, directory: Path, matchers: str | None, *, unconfirmed: bool, dry_run: bool, force: bool
) -> None:
    """Write Prometheus rules and a Grafana dashboard that compare PLAN.json with what is served and spent.

    Cost per hour, per request and per token, error budgets of the latency targets, load against capacity, and what is
    spare, from the engines' own metrics. The rules come with a test for promtool.
    """
    from advisor.codegen import Generated, WriteOptions, write_files  # noqa: PLC0415 - help shows without it
    from advisor.codegen.monitoring import MONITORING, monitoring_files  # noqa: PLC0415
    from advisor.codegen.selection import check_confirmed  # noqa: PLC0415
    from advisor.plan.document import plan_from_json  # noqa: PLC0415

    text = read_text(plan, "plan")
    read = plan_from_json(text, where=str(plan))
    check_unedited(text, str(plan), force=force)
    if not unconfirmed:
        check_confirmed(read, takes_option=False)
    files = monitoring_files(read, matchers)
    generated = Generated(files, ("",), (MONITORING,), read.provenance.input_digest, ())
    report = write_files(generated, directory, WriteOptions(None, force=force, dry_run=dry_run))
    click.echo(report.patch() if dry_run else "", nl=False)
    _tell(report, is_dry=dry_run)


def _generate(language: "Language", asked: dict[str, Any]) -> None:
    from advisor.cli.generate_estate import generate_estate, is_estate_file  # noqa: PLC0415 - help shows without it

    directory = asked["directory"]
    text = read_text(asked["plan"], "plan")
    if is_estate_file(text, str(asked["plan"])):
        generate_estate(language, asked, text)
        return
    if asked["name"]:
        raise click.UsageError("--name is of an estate: a plan is named by its workload file")
    generated = code_of(language, asked, text)
    warn_of_unused(generated.unused_inputs, "this plan")
    deliver_code(generated, directory, asked)


def warn_of_unused(inputs: Iterable[str], whose: str) -> None:
    """Warnings of inputs that were asked for, and that the code of a plan, or of no plan of an estate, takes."""
    for name in sorted(inputs):
        click.echo(f"warning: --input {name}: the code of {whose} has no use for it", err=True)


def deliver_code(generated: "Generated", directory: Path, asked: dict[str, Any]) -> None:
    """Write code as it is asked for; tell what was written, what to know of it, and the next command, in that order."""
    from advisor.codegen import ConflictPolicy, WriteOptions, write_files  # noqa: PLC0415 - help shows without it

    policies = {path: ConflictPolicy(policy) for path, policy in asked["conflicts"].items()}
    by_file = {path: policy for path, policy in policies.items() if path}
    write_options = WriteOptions(policies.get(""), by_file, force=asked["force"], dry_run=True)
    shown = write_files(generated, directory, write_options)
    click.echo(shown.patch() if asked["dry_run"] else shown.patch(shown.edited), nl=False)
    is_dry = asked["dry_run"]
    report = shown if is_dry else write_files(generated, directory, replace(write_options, dry_run=False))
    _tell_files(report, is_dry=is_dry)
    if not is_dry:
        tell(report.summary, err=False)
    for warning in generated.warnings:
        click.echo(f"warning: {warning}", err=True)
    for note in generated.notes:
        tell(note)
    if is_dry:
        tell(f"{_NOT_WRITTEN}{report.summary}")


_NOT_WRITTEN = "dry run, nothing written: "


def _tell(report: "WriteReport", *, is_dry: bool) -> None:
    _tell_files(report, is_dry=is_dry)
    tell(f"{_NOT_WRITTEN if is_dry else ''}{report.summary}", err=is_dry)


def _tell_files(report: "WriteReport", *, is_dry: bool) -> None:
    from advisor.codegen.writing import Action  # noqa: PLC0415 - as above

    for change in report.changes:
        if change.action is not Action.UNCHANGED:
            word = _TO_DO.get(change.action, str(change.action)) if is_dry else change.action
            note = f" ({change.note})" if change.note else ""
            tell(f"{word} {report.directory / change.path}{note}", err=is_dry)
    for note in report.notes:
        tell(f"note: {note}")


def code_of(language: "Language", asked: dict[str, Any], text: str) -> "Generated":
    """Code of a plan (JSON) in a language, as the arguments of the command ask for it."""
    from advisor.catalog import load_catalog  # noqa: PLC0415 - help shows without it
    from advisor.codegen import Engine, Stage, Wanted, generate, read_former  # noqa: PLC0415
    from advisor.plan.document import plan_from_json  # noqa: PLC0415
    from advisor.report.words import SEATED  # noqa: PLC0415

    plan, directory = asked["plan"], asked["directory"]
    stage = Stage(asked["stage"]) if asked["stage"] else None
    former = read_former(directory, stage, force=asked["force"])
    document = plan_from_json(text, where=str(plan))
    digests, commits = kept_pins(asked)
    kept: list[str] = []
    wanted = Wanted(
        target=asked["target"] or _target_of(document, asked["rank"], former, kept),
        rank=asked["rank"],
        engine=Engine(asked["engine"]) if asked["engine"] else None,
        image=asked["image"],
        form=_form_of(asked["form"], former, kept),
        digests=digests,
        commits=commits,
        as_component=_as_component(asked["as_component"], former, language, kept),
        unconfirmed=asked["unconfirmed"],
        inputs=frozenset(asked["inputs"]),
    )
    check_unedited(text, str(plan), force=asked["force"])
    if document.seated_on and not asked.get("of_estate"):
        click.echo(f"warning: {SEATED} {document.seated_on}: this is of a fleet of its own", err=True)
    generated = generate(document, language, wanted, load_catalog(), former)
    warnings: tuple[str, ...] = ()
    if asked["resolve_digests"]:
        digests, commits, warnings = resolved_pins(generated)
        wanted = replace(wanted, digests=digests, commits=commits)
        generated = generate(document, language, wanted, load_catalog(), former)
    notes = (*(f"note: {directory} {note}" for note in kept), *generated.notes)
    return replace(generated, warnings=(*generated.warnings, *warnings), notes=notes)


def _target_of(plan: "Plan", rank: int | None, former: "Former", kept: list[str]) -> str:
    """The target of the directory, where it is not the default of its cloud, which *kept* is told; "" otherwise."""
    from advisor.codegen import own_targets  # noqa: PLC0415 - help shows without it
    from advisor.codegen.targets import comes_by_itself  # noqa: PLC0415

    groups = plan.fleet.groups if plan.fleet and rank is None else ()
    options = [option for option in plan.options if option.rank == (rank or 1)]
    providers = {part.provider for part in (*groups, *(() if groups else options))}
    last = former.rollouts.get("")
    if last is None or providers != {last.planned.provider}:
        return _stated_target(plan, rank, providers)
    target = last.planned.target
    if comes_by_itself(target):
        return _stated_target(plan, rank, providers)
    if target in own_targets(plan, rank):
        return target
    kept.append(_kept(f"code for {target}", "--target TARGET --force"))
    return target


def _stated_target(plan: "Plan", rank: int | None, providers: set[str]) -> str:
    """The first of the workload's targets on the plan's cloud; "" where the default is one, or there is none."""
    from advisor.catalog.deployment import PROVIDER_OF_TARGET  # noqa: PLC0415 - help shows without it
    from advisor.codegen import own_targets  # noqa: PLC0415
    from advisor.deployable import SHARED_ON  # noqa: PLC0415

    stated = plan.workload.get("targets", ())
    if len(providers) != 1 or set(own_targets(plan, rank)) & set(stated):
        return ""
    (provider,) = providers
    own = provider if provider in SHARED_ON else ""
    return next((name for name in stated if PROVIDER_OF_TARGET[name] in (provider, own)), "")


def _form_of(asked: str | None, former: "Former", kept: list[str]) -> "Form":
    from advisor.codegen import Form  # noqa: PLC0415 - help shows without it

    if asked is None and former.form is not Form.MANIFESTS:
        kept.append(_kept(f"the form {former.form}", "--form manifests --force"))
    return Form(asked) if asked else former.form


def _as_component(asked: bool | None, former: "Former", language: "Language", kept: list[str]) -> bool:
    """Whether a component is asked for, else what the directory holds: a root or a short program where empty."""
    from advisor.codegen import Language  # noqa: PLC0415 - help shows without it

    usual = language is Language.PYTHON
    if asked is None and former.as_component is (not usual):
        kept.append(_kept(*_UNUSUAL[language]))
    return next(answer for answer in (asked, former.as_component, usual) if answer is not None)


def _kept(what: str, option: str) -> str:
    return f"holds {what}, which is written again; {option} ends that"


def kept_pins(asked: Mapping[str, Any]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Digests of images and commits of models that an earlier run kept; none where they are to be resolved again.

    A file of the user's own of such a name holds none.
    """
    from advisor.codegen.registries import IMAGES  # noqa: PLC0415 - help shows without it
    from advisor.codegen.revisions import MODELS  # noqa: PLC0415
    from advisor.codegen.writing.record import read_record  # noqa: PLC0415

    directory = asked["directory"]
    own = () if asked["resolve_digests"] else read_record(directory).paths
    digests, commits = (file.kept_in(directory) if file.name in own else {} for file in (IMAGES, MODELS))
    return digests, commits


def resolved_pins(generated: "Generated") -> tuple[Mapping[str, str], Mapping[str, str], tuple[str, ...]]:
    """Digests of the images and commits of the models of code, and a warning for each model without.

    Raises InputError, AdvisorError as of ``advisor.codegen.registries.resolve``.
    """
    from advisor.codegen import registries, revisions  # noqa: PLC0415 - help shows without it

    commits, warnings = revisions.resolve(generated.models)
    return registries.resolve(generated.images), commits, warnings
