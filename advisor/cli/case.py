"""``advisor case``: what a series of changes saves, from stated assumptions, beside a published figure."""

import json
from pathlib import Path

import click

from advisor.cases import SCHEMA, CaseReport, price_case, read_case
from advisor.catalog import load_catalog
from advisor.cli.options import FILE, wide_option
from advisor.cli.output import calibration_option, deliver, output_option, report_format_option, report_width
from advisor.cli.served import warn_of_layers
from advisor.performance.model import load_model
from advisor.pipeline import BEST, answer, prepared, question_for
from advisor.plan.document import plain
from advisor.plan.values import Plan
from advisor.records import replace
from advisor.report.cases import case_sections
from advisor.report.text_table import sections_as
from advisor.workload.values import Workload

_WITHOUT_LADDER = replace(BEST, has_ladder=False, compares_apart=False)


@click.command(name="case")
@click.argument("case", type=FILE)
@click.option("--tornado", is_flag=True, help="Price it again with each assumption halved and doubled: minutes.")
@wide_option
@click.option("--verbose", is_flag=True, help="With every charge of every part, and the source of its price.")
@report_format_option
@output_option
@calibration_option
def command(
    case: Path,
    tornado: bool,
    wide: bool,
    verbose: bool,
    output_format: str,
    output: Path | None,
    calibration: Path | None,
) -> None:
    """Price CASE (a YAML file) stage by stage, each part by the planner or the catalog, and compare it.

    Every assumption stands in the file with a source, or with why it is assumed. Exit code 4 when a planned part has
    no fleet.
    """
    stated = read_case(case)
    catalog, model = load_catalog(), load_model(calibration)
    warn_of_layers()

    def planned(workload: Workload) -> Plan:
        question = question_for(prepared(workload, catalog), catalog, model)
        return answer(question, catalog, model, _WITHOUT_LADDER).plan

    report = price_case(stated, catalog, planned, tornado=tornado)
    deliver(_render(report, output_format, report_width(output, wide=wide), verbose=verbose), output)


def _render(report: CaseReport, output_format: str, width: int | None, *, verbose: bool) -> str:
    if output_format == "json":
        return json.dumps({"schema": SCHEMA} | plain(report, "case"), indent=1, ensure_ascii=False) + "\n"
    return sections_as(output_format, case_sections(report, verbose=verbose), width)
