"""``advisor generate``: infrastructure code for a plan."""

import sys
from pathlib import Path

import click

from advisor.errors import InputError

_LISTED = (("created", "create"), ("replaced", "replace"), ("removed", "remove"))


@click.group(name="generate")
def command() -> None:
    """Infrastructure code for a plan."""


@command.command(name="terraform")
@click.argument("plan", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), metavar="PLAN.json")
@click.option("--out", "directory", type=click.Path(path_type=Path), required=True, help="Directory of the module.")
@click.option("--option", "rank", type=click.IntRange(min=1), metavar="RANK", help="Option of the plan, by its rank.")
@click.option("--target", default="", metavar="TARGET", help="Where containers run, such as ec2; default: by the plan.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--force", is_flag=True, help="Overwrite files that were edited or not generated.")
def terraform(plan: Path, directory: Path, rank: int | None, target: str, dry_run: bool, force: bool) -> None:
    """Write a Terraform module that deploys PLAN.json (- for standard input).

    The recommended option is taken unless --option names another. Where code for its provider cannot be generated yet,
    the cheapest option that can be is taken, and a notice says so. Files that you edited are never overwritten without
    --force, and a second run on the same plan changes nothing.
    """
    from advisor.codegen import Wanted, generate, write_files  # noqa: PLC0415 - jinja2 loads only when code is written
    from advisor.plan.document import plan_from_json  # noqa: PLC0415 - as above, for the schema

    document = plan_from_json(_read(plan), where=str(plan))
    generated = generate(document, wanted=Wanted(target=target, rank=rank))
    for warning in generated.warnings:
        click.echo(f"warning: {warning}", err=True)
    report = write_files(generated.files, directory, force=force, dry_run=dry_run)
    for done, todo in _LISTED:
        for path in getattr(report, done):
            click.echo(f"{todo if dry_run else done} {directory / path}")
    click.echo(f"{'dry run, nothing written: ' if dry_run else ''}{report.summary}")


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot read: {error.strerror}",
            where=str(path),
            hint="make a plan with `advisor recommend WORKLOAD --format json -o plan.json`",
        ) from error
    except UnicodeDecodeError as error:
        raise InputError("not a text file", where=str(path)) from error
