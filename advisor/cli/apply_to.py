"""``advisor apply-to``: the plan's instance types and counts in Terraform that somebody else wrote."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli.options import FILE_OR_STDIN, PATH
from advisor.cli.output import check_unedited, deliver_application
from advisor.errors import InputError
from advisor.reading import read_text

if TYPE_CHECKING:
    from advisor.codegen.applying import Target


@click.command(name="apply-to")
@click.argument("directory", type=PATH, metavar="DIR")
@click.option("--address", required=True, metavar="ADDRESS", help="Resource, such as module.x.aws_launch_template.gpu.")
@click.option(
    "--plan",
    "plan_path",
    type=FILE_OR_STDIN,
    default=Path("plan.json"),
    show_default=True,
    metavar="PLAN.json",
    help="The plan (- for standard input).",
)
@click.option("--group", "key", metavar="KEY", help="Group of the plan, where it has several of that cloud.")
@click.option(
    "--option", "rank", type=click.IntRange(min=1), metavar="RANK", help="Single type of the plan, by its rank."
)
@click.option("--unconfirmed", is_flag=True, help="Go on with a fleet that its replay refused.")
@click.option("--dry-run", is_flag=True, help="Print the patch, and write nothing.")
@click.option("--force", is_flag=True, help="Go on with a plan that was edited.")
def command(
    directory: Path,
    address: str,
    plan_path: Path,
    key: str | None,
    rank: int | None,
    unconfirmed: bool,
    dry_run: bool,
    force: bool,
) -> None:
    """Edit instance types and counts of the Terraform in DIR, and print the patch.

    The values are followed to where they are written: through variables, locals, maps, for_each and calls of local
    modules; the launch template or group that belongs to the address is edited with it. Nothing else is touched:
    comments and layout stay as they are.
    """
    from advisor.codegen.applying import apply_to, targets_of  # noqa: PLC0415 - loads when used
    from advisor.plan.document import plan_from_json  # noqa: PLC0415 - as above

    hint = "name the plan with --plan; make one with `advisor recommend WORKLOAD --format json -o plan.json`"
    text = read_text(plan_path, "plan", hint)
    plan = plan_from_json(text, where=str(plan_path))
    check_unedited(text, str(plan_path), force=force)
    application = apply_to(directory, address, _pick(targets_of(plan, rank, unconfirmed=unconfirmed), address, key))
    deliver_application(application, directory, None, write=not dry_run)


def _pick(targets: "tuple[Target, ...]", address: str, key: str | None) -> "Target":
    """The group that is named, or the only one of the address's cloud."""
    from advisor.codegen.applying.rules import PROVIDERS  # noqa: PLC0415 - as above

    if key is not None:
        named = [target for target in targets if target.key == key]
        if not named:
            raise InputError(f"the plan has no group {key!r}", hint=_choices(targets))
        return named[0]
    words = {word.split("_", maxsplit=1)[0] for word in address.split(".")}
    clouds = {provider for kind, provider in PROVIDERS.items() if kind in words}
    fitting = [target for target in targets if not clouds or target.provider in clouds]
    if not fitting:
        raise InputError(f"the plan has nothing on {' or '.join(sorted(clouds))}", hint=_choices(targets))
    if len(fitting) > 1:
        raise InputError("the plan has several groups: name one with --group", hint=_choices(fitting))
    return fitting[0]


def _choices(targets: "tuple[Target, ...] | list[Target]") -> str:
    return "its groups:\n    " + "\n    ".join(
        f"{target.key}: {target.instances} × {target.instance_type}{' spot' if target.is_spot else ''} in "
        f"{target.region}"
        for target in targets
    )
