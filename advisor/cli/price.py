"""``advisor price``: what the accelerated resources of a Terraform plan cost."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from advisor.cli.options import wide_option
from advisor.cli.output import deliver, format_option, output_option, report_width, tell
from advisor.reading import standard_input


@click.command(name="price")
@click.argument("source", type=click.Path(allow_dash=True, path_type=Path), metavar="DIR|plan.json")
@format_option("table", "json", note="json has the shape of Infracost's output")
@wide_option
@output_option
def command(source: Path, output_format: str, wide: bool, output: Path | None) -> None:
    """Price the accelerated resources of a Terraform plan, or of generated code, from the catalog.

    Give the output of `terraform show -json` (- for standard input), a directory that holds it as plan.json, or a
    directory that `advisor generate terraform` or `advisor generate pulumi` wrote. An unknown price is null and not in
    the total; what has no accelerator (load balancers, keys, logs) is not priced, and counted in Terraform plans alone.
    """
    from advisor.catalog import load_catalog  # noqa: PLC0415 - help shows without them
    from advisor.cli.price_table import price_table  # noqa: PLC0415
    from advisor.cli.served import tell_age, warn_of_layers  # noqa: PLC0415 - as above
    from advisor.codegen.pricing import CODE, EDITED, LEFT, REMEDY, infracost_document, read_projects  # noqa: PLC0415
    from advisor.report.price_age import PriceUsed  # noqa: PLC0415

    given = standard_input().read() if str(source) == "-" else None
    projects = read_projects(source, given, load_catalog())
    if output_format == "json":
        text = json.dumps(infracost_document(projects, datetime.now(UTC)), indent=1, ensure_ascii=False) + "\n"
    else:
        text = "\n".join(price_table(project, report_width(output, wide=wide)) for project in projects)
    used = [
        PriceUsed(*part.place, part.as_of)
        for project in projects
        for cost in project.now.costs
        for part in cost.components
        if part.as_of is not None
    ]
    warn_of_layers()
    tell_age(used)
    deliver(text, output)
    unknown = [address for project in projects for address in project.now.unknown]
    if output_format == "json" and unknown:
        tell(f"note: the total lacks what has no price: {', '.join(unknown)}")
    for project in projects:
        if output_format == "json" and project.not_read:
            remedy = f"; price what Terraform plans: {REMEDY}" if project.kind == CODE else ""
            tell(f"note: {EDITED}: {', '.join(project.not_read)}{remedy}")
        if output_format == "json" and project.is_left:
            tell(f"note: {project.name}{LEFT}")
