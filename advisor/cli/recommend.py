"""``advisor recommend``: a workload file in, a ranked recommendation out."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from advisor.cli.options import FILE, FOLDER, PATH, duration_between, parallel_options, wide_option
from advisor.cli.output import (
    Progress,
    ResultOption,
    answers_text,
    calibration_option,
    deliver,
    format_option,
    quiet_option,
    read_plan,
    report_width,
    tell,
)
from advisor.cli.served import check_served, tell_age, warn_of_holdings, warn_of_layers
from advisor.pipeline import Basis, recommend
from advisor.plan.document import as_written, plan_to_json
from advisor.plan.locks import locked_catalog, read_lock
from advisor.plan.values import Plan
from advisor.processes import Spread, usable_processors
from advisor.records import replace
from advisor.report.fleet_words import change_words
from advisor.report.option_words import OPTION_VALUE_COLUMNS, SHOWN_OPTIONS, option_values
from advisor.report.price_age import check_age, prices_used
from advisor.report.verdict import plan_markdown, plan_table
from advisor.workload.document import read_workload
from advisor.workload.measured_demand import PrometheusDemand


@click.command(name="recommend")
@click.argument("workload", type=PATH)
@format_option("table", "json", "csv", "markdown", "html", note="csv: the options, one a row; html: `advisor report`")
@click.option(
    "-o",
    "--output",
    cls=ResultOption,
    replaces="previous",
    type=PATH,
    help="Write the result to this file instead of stdout; the plans of a directory into this directory, or into one "
    "document (.json, .md, .html).",
)
@calibration_option
@click.option("--all", "every_variant", is_flag=True, help="Every precision and parallelism, not only the best ones.")
@click.option("--top", type=click.IntRange(1), default=SHOWN_OPTIONS, show_default=True, help="Options in a table.")
@wide_option
@click.option("--verbose", is_flag=True, help="Every section: cost, proof, replay, limits, failures, scaling, prices.")
@click.option("--previous", type=FILE, help="Plan (JSON) of what runs now: leaving it has to be worth its cost.")
@click.option("--prometheus", metavar="URL", help="Take demand from what this Prometheus-compatible server saw.")
@click.option("--selector", default="", help='With --prometheus: label matchers, such as namespace="chat".')
@click.option(
    "--window",
    type=duration_between(timedelta(hours=1), timedelta(days=3 * 365)),
    default="14d",
    show_default=True,
    help="With --prometheus: how far back to look.",
)
@click.option(
    "--token-file",
    type=FILE,
    help="With --prometheus: file that holds a bearer token (or set ADVISOR_PROMETHEUS_TOKEN).",
)
@click.option("--ca-file", type=FILE, help="With --prometheus: PEM file of the authority that signed its certificate.")
@click.option(
    "--metrics",
    "metrics_file",
    type=FILE,
    help="With --prometheus: CSV file that maps further names of metrics (docs/metrics.md).",
)
@click.option(
    "--compare",
    multiple=True,
    metavar="SERVICE/MODEL",
    help="Compare the fleet with a model that is sold by the token, such as openai/gpt-5-mini. Repeatable.",
)
@click.option(
    "--terraform",
    "terraform_dir",
    type=FOLDER,
    help="Write Terraform for the recommended option into this directory too.",
)
@click.option("--listed-only", is_flag=True, help="Use only prices that are listed and recent.")
@click.option("--max-price-age", type=click.IntRange(min=0), metavar="DAYS", help="Refuse a plan with an older price.")
@click.option("--lock", type=FILE, help="Plan with the offers and prices of a file that `advisor catalog lock` wrote.")
@click.option(
    "--jobs", type=int, default=-1, show_default=True, help="Workloads of a directory at a time; -1: all cores."
)
@parallel_options("Runs the workloads of a directory in parallel.")
@quiet_option
def command(
    workload: Path,
    output_format: str,
    output: Path | None,
    calibration: Path | None,
    every_variant: bool,
    top: int,
    wide: bool,
    verbose: bool,
    previous: Path | None,
    prometheus: str | None,
    compare: tuple[str, ...],
    terraform_dir: Path | None,
    listed_only: bool,
    max_price_age: int | None,
    lock: Path | None,
    jobs: int,
    backend: str,
    scheduler: str | None,
    **watched: Any,  # noqa: ANN401 - how the server is asked
) -> None:
    """Say what to run for WORKLOAD (a YAML file), what it costs and risks, and what else would do.

    A directory of workload files is planned together: quotas and owned commitments of its estate.yaml are divided
    where they save most, and small workloads share accelerators.

    The JSON plan names every option, every rejection with its two numbers, and what it was made from; give it to
    `advisor generate`. Exit code 4 when nothing is feasible.
    """
    if workload.is_dir():
        from advisor.cli.estate import recommend_estate  # noqa: PLC0415 - most runs plan one workload

        _refuse_beside_directory(every_variant or listed_only, (terraform_dir, previous, prometheus, lock, *compare))
        spread = Spread(jobs, backend, scheduler)
        recommend_estate(workload, output_format, output, calibration, spread, max_price_age, wide=wide)
        return
    if output is not None and output.is_dir():
        raise click.UsageError(f"--output {output} is a directory, and a workload file gives one plan")
    asked = read_workload(workload, _server(prometheus, **watched))
    running = read_plan(previous) if previous else None
    with Progress("requests read") as progress, progress.fleets():
        plan = recommend(
            asked,
            every_variant=every_variant,
            progress=progress,
            basis=Basis(
                calibration,
                locked_catalog(read_lock(lock)) if lock else None,
                compare,
                listed_only,
                usable_processors(),
            ),
            previous=running,
        )
    warn_of_layers()
    warn_of_holdings()
    if max_price_age is not None:
        check_age(prices_used(plan), datetime.now(UTC).date(), max_price_age)
    tell_age(prices_used(plan))
    if running is not None and plan.fleet is not None:
        plan = replace(plan, notes=(change_words(running, plan), *plan.notes))
    width = report_width(output, wide=wide)
    deliver(_render(plan, output_format, top, width, verbose=verbose), output)
    check_served(plan, str(workload))
    if terraform_dir is not None:
        from advisor.codegen import generate, read_former, write_files  # noqa: PLC0415 - templates load only for code

        generated = generate(plan, former=read_former(terraform_dir))
        for warning in generated.warnings:
            click.echo(f"warning: {warning}", err=True)
        for note in generated.notes:
            tell(note)
        report = write_files(generated, terraform_dir)
        tell(report.summary)


def _refuse_beside_directory(any_flag: bool, given: Sequence[object]) -> None:
    if any_flag or any(value is not None for value in given):
        names = "--all, --listed-only, --previous, --prometheus, --terraform, --lock and --compare"
        raise click.UsageError(f"{names} are for one workload file")


def _server(url: str | None, *, window: timedelta, **asked: Any) -> PrometheusDemand | None:  # noqa: ANN401 - as above
    """The server that demand is taken from; None: the workload file says where it is from."""
    if url is None:
        return None
    from advisor.samples.query.prometheus.api import shown_url  # noqa: PLC0415 - only servers take its time to load

    return PrometheusDemand(shown_url(url), window / timedelta(days=1), **asked)


def _render(plan: Plan, output_format: str, shown: int, width: int | None, *, verbose: bool) -> str:
    if output_format == "json":
        return plan_to_json(plan)
    if output_format == "html":
        from advisor.report.pages import plan_page  # noqa: PLC0415 - other formats do without templates

        return plan_page(as_written(plan))
    if output_format == "csv":
        return answers_text([option_values(option) for option in as_written(plan).options], "csv", OPTION_VALUE_COLUMNS)
    if output_format == "markdown":
        return plan_markdown(plan, shown, verbose=verbose)
    return plan_table(plan, shown, width=width, verbose=verbose)
