"""``advisor check``: whether a plan, or the prices that it was made from, still hold."""

import datetime as dt
import json
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import click

from advisor.catalog import load_catalog
from advisor.checks import Now, Policy, check_plan, read_policy
from advisor.checks.replanned import REFUSED
from advisor.checks.values import RULES, Checked, Finding, Level
from advisor.cli.options import FILE, PATH
from advisor.cli.output import (
    Progress,
    calibration_option,
    deliver,
    format_option,
    output_option,
    plan_of_text,
    report_width,
)
from advisor.cli.served import check_served, warn_of_layers
from advisor.errors import AdvisorError, InputError, NothingFeasible
from advisor.names import printable
from advisor.performance.model import load_model
from advisor.plan.document import PLAN_SUFFIX, plan_from_json
from advisor.plan.locks import DEFAULT_NAME, read_lock
from advisor.reading import json_of, read_text
from advisor.records import dataclass, replace
from advisor.report.bill_documents import sarif_place, sarif_text
from advisor.report.price_age import drift_json, drift_of, drift_words
from advisor.report.text_table import escape_markdown, markdown_list, render_markdown_table, wrap
from advisor.workload.measured_demand import PrometheusDemand, TraceDemand
from advisor.workload.values import DemandSource

if TYPE_CHECKING:
    from collections.abc import Callable


class NoLongerHolds(AdvisorError):  # noqa: N818 - an outcome
    """The prices that a plan stands on have changed."""


class DoesNotPass(AdvisorError):  # noqa: N818 - an outcome
    """A plan has findings that its policy lets no plan pass with."""


@click.command()
@click.argument("file", type=FILE, metavar=f"[PLAN.json|{DEFAULT_NAME}]", default=DEFAULT_NAME)
@click.option("--demand", type=FILE, help="Today's demand: a trace or a summary.")
@click.option("--prometheus", metavar="URL", help="Today's demand: what this server saw in the last 14 days.")
@click.option("--infra", type=PATH, metavar="DIR", help="Code that was made of the plan.")
@click.option("--policy", type=FILE, help="Thresholds, levels, and what fails.")
@click.option(
    "--tolerance", type=click.FloatRange(min=0), help="A price may move by as much, as a share of it.  [default: 0.05]"
)
@click.option("--max-price-age", type=click.IntRange(min=0), metavar="DAYS", help="An older price does not hold.")
@format_option("table", "json", "markdown", "sarif", "junit", note="markdown, sarif and junit are for plans")
@output_option
@calibration_option
def command(
    file: Path,
    output_format: str,
    output: Path | None,
    **options: Any,  # noqa: ANN401 - fields of what is told
) -> None:
    """Check a committed plan against what is true now; exit code 1 when it no longer holds, 4 when it never did.

    Of PLAN.json: prices, a cheaper fleet, targets and capacity under today's demand, the code that was made of it,
    commitments that end, releases of engines, spot. Each finding has an id (docs/check.md) and the command that fixes
    it; --policy says what fails.

    Of a lock that `advisor catalog lock` wrote: the prices alone. Refresh the catalog first to compare with today's.
    """
    told = _Told(**options)
    if _schema_of(file).startswith("advisor.plan/"):
        if told.demand is not None and told.prometheus is not None:
            raise click.UsageError("give --demand or --prometheus, not both")
        _check_plan(file, told, output_format, output)
        return
    _refuse_estate(file, told.infra)
    of_plans = (told.demand, told.prometheus, told.infra, told.policy)
    if any(given is not None for given in of_plans) or output_format not in ("table", "json"):
        raise click.UsageError(
            f"{file} is not a plan: --demand, --prometheus, --infra, --policy, markdown, sarif and junit are for plans"
        )
    catalog, lock = load_catalog(), read_lock(file)
    warn_of_layers()
    today = dt.datetime.now(dt.UTC).date()
    drift = drift_of(lock, catalog, 0.05 if told.tolerance is None else told.tolerance, today, told.max_price_age)
    deliver(drift_json(drift) if output_format == "json" else drift_words(drift, today), output)
    if not drift.holds:
        changed = {(change.provider, change.region, change.instance_type) for change in drift.changes}
        counts = f"{len(changed)} of {len(lock.offers)} offers changed" if changed else "a price is too old"
        before = "" if drift.changes else "`advisor catalog refresh all`, then "
        hint = f"run {before}`advisor recommend`, then `advisor catalog lock`"
        raise NoLongerHolds(counts, where=str(file), hint=hint)


@dataclass(frozen=True, slots=True)
class _Told:
    """Options of a plan's check."""

    demand: Path | None
    prometheus: str | None
    infra: Path | None
    policy: Path | None
    tolerance: float | None
    max_price_age: int | None
    calibration: Path | None


def _schema_of(file: Path) -> str:
    """The schema that a file states; "" where it states none, or cannot be read."""
    try:
        document = json_of(read_text(file, "plan"), str(file), "")
    except AdvisorError:
        return ""
    return str(document.get("schema", "")) if isinstance(document, dict) else ""


def _refuse_estate(file: Path, infra: Path | None) -> None:
    """Refuse the plan of several workloads."""
    if not _schema_of(file).startswith("advisor.estate/"):
        return
    plans = sorted(file.parent.glob(f"*{PLAN_SUFFIX}"))
    first = plans[0] if plans else file.parent / f"WORKLOAD{PLAN_SUFFIX}"
    code = "" if infra is None else f" --infra {quote(str(infra / first.name.removesuffix(PLAN_SUFFIX)))}"
    raise InputError(
        "this is the plan of several workloads, and each has a plan of its own to check",
        where=str(file),
        hint=f"check each, such as `advisor check {quote(str(first))}{code}`",
    )


def _check_plan(file: Path, told: _Told, output_format: str, output: Path | None) -> None:
    """Print the findings of a plan, and fail by its policy."""
    text = read_text(file, "plan")
    policy = read_policy(told.policy) if told.policy else Policy()
    if told.tolerance is not None:
        policy = replace(policy, price_tolerance_ratio=told.tolerance)
    if told.max_price_age is not None:
        days = float(told.max_price_age)
        policy = replace(policy, max_price_age_days=days, max_spot_price_age_days=days)
    warn_of_layers()
    today = dt.datetime.now(dt.UTC).date()
    now = Now(load_catalog(), load_model(told.calibration), today, _demand(told), told.infra)
    plan = plan_from_json(text, str(file))
    if plan.fleet is None:
        plan_of_text(text, str(file))  # says whether somebody took the fleet out
        check_served(plan, str(file))
    with Progress("fleets replayed") as progress, progress.fleets():
        checked = check_plan(plan, text, str(file), now, policy)
    writers: dict[str, Callable[[Checked], str]] = {
        "json": check_json,
        "junit": partial(check_junit, failing=policy.fail_on),
        "markdown": check_markdown,
        "sarif": check_sarif,
        "table": partial(check_text, width=report_width(output, wide=False)),
    }
    deliver(writers[output_format](checked), output)
    if checked.failed:
        worst = checked.findings[0]
        refused = next((finding for finding in checked.findings if finding.id == REFUSED), None)
        if refused is not None and policy.fails(refused.level):
            raise NothingFeasible(f"{refused.id}: {refused.message}", where=str(file), hint=f"`{refused.command}`")
        raise DoesNotPass(f"{worst.id}: {worst.message}", where=str(file), hint=f"`{worst.command}`")


def _demand(told: _Told) -> DemandSource | None:
    if told.prometheus is not None:
        return PrometheusDemand(told.prometheus)
    return None if told.demand is None else TraceDemand(told.demand)


SCHEMA = "advisor.check/v1"
_SARIF_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "note"}
_PAGE = "docs/check.md"
_INDENT = " " * 4


def check_text(checked: Checked, width: int | None = None) -> str:
    """The verdict, then each finding with what fixes it, in lines of a width but for commands."""
    levels = Counter(finding.level for finding in checked.findings)
    counts = [f"{levels[level]} {level}{'s' * (levels[level] > 1)}" for level in Level if levels[level]]
    verdict = "does not pass" if checked.failed else "passes"
    head = f"{checked.plan} {verdict}: {', '.join(counts) or 'nothing found'} ({len(checked.looked_at)} rules)"
    lines = [line for finding in checked.findings for line in _lines(finding, width)]
    notes = [line for note in checked.notes for line in wrap(f"note: {note}", width, rest=_INDENT)]
    return "\n".join([*wrap(head, width, rest=_INDENT), *lines, *notes]) + "\n"


def check_markdown(checked: Checked) -> str:
    """The same for a comment: the verdict, and a table of the findings."""
    verdict, *_ = check_text(checked).splitlines()
    rows = [
        (finding.level.value, finding.id, f"{_subject(finding)}{finding.message}", finding.command)
        for finding in checked.findings
    ]
    table = render_markdown_table(("level", "id", "finding", "run"), rows) if rows else ""
    blocks = [f"### {escape_markdown(verdict)}", table, markdown_list(checked.notes)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def check_json(checked: Checked) -> str:
    """All of it, by ``advisor.check/v1``."""
    return json.dumps({"schema": SCHEMA} | asdict(checked), indent=1, ensure_ascii=False) + "\n"


def check_sarif(checked: Checked) -> str:
    """One run with a result for each finding."""
    rules = list(RULES.values())
    results = [
        {
            "ruleId": finding.id,
            "ruleIndex": next(at for at, rule in enumerate(rules) if rule.id == finding.id),
            "level": _SARIF_LEVELS[finding.level],
            "message": {"text": f"{_subject(finding)}{finding.message}. Run: {finding.command}"},
            "locations": sarif_place(finding.file),
        }
        for finding in checked.findings
    ]
    described: list[dict[str, Any]] = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "help": {"text": f"See {_PAGE}, {rule.id}."},
            "defaultConfiguration": {"level": _SARIF_LEVELS[rule.level]},
        }
        for rule in rules
    ]
    return sarif_text(described, results)


def check_junit(checked: Checked, failing: Level | None) -> str:
    """One test case for each rule that was applied; findings as heavy as *failing* are failures."""
    of_rule = {rule: [finding for finding in checked.findings if finding.id == rule] for rule in checked.looked_at}
    most_rank = -1 if failing is None else failing.rank
    heavy = {
        rule: [finding for finding in findings if finding.level.rank <= most_rank] for rule, findings in of_rule.items()
    }
    suite = ET.Element(
        "testsuite", name="advisor check", tests=str(len(of_rule)), failures=str(sum(map(bool, heavy.values())))
    )
    for rule, findings in of_rule.items():
        name = f"{rule} {RULES[rule].title}"
        case = ET.SubElement(suite, "testcase", classname=printable(checked.plan), name=name)
        words = printable("\n".join(line for finding in findings for line in _lines(finding)))
        if heavy[rule]:
            ET.SubElement(
                case, "failure", message=printable(f"{_subject(heavy[rule][0])}{heavy[rule][0].message}")
            ).text = words
        elif findings:
            ET.SubElement(case, "system-out").text = words
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _subject(finding: Finding) -> str:
    return f"{finding.subject}: " if finding.subject else ""


def _lines(finding: Finding, width: int | None = None) -> list[str]:
    title = RULES[finding.id].title
    return [
        *wrap(f"{finding.level} {finding.id}: {title}", width, rest=_INDENT),
        *wrap(f"{_subject(finding)}{finding.message}", width, _INDENT, _INDENT),
        f"{_INDENT}{finding.command}",
    ]
