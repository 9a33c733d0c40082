"""``advisor explain``: why a plan is as it is, what would change it, and what a tighter target costs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.price_trust import first_day
from advisor.cli.options import FILE, wide_option
from advisor.cli.output import (
    Progress,
    calibration_option,
    deliver,
    format_option,
    output_option,
    read_plan,
    report_width,
)
from advisor.cli.served import check_served, tell_age, warn_of_layers
from advisor.errors import InputError
from advisor.performance.model import PerformanceModel, load_model
from advisor.pipeline import market_for, plan_question, routed_as, under_targets
from advisor.plan.document import plain
from advisor.plan.explain.pareto import OF_TOKENS, OF_WHOLE_ANSWERS, TARGETS, Front, pareto_front
from advisor.plan.explain.whatif import Outcome, WhatIf, compare, outcome_of, types_priced, what_if
from advisor.plan.explain.why import Judged, Why, why
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.request import PlanRequest, catalog_of_question, read_question
from advisor.plan.values import Plan
from advisor.records import dataclass, replace
from advisor.report.explain_plan import (
    cost_section,
    focus_of,
    front_section,
    litellm_config,
    outcome_sections,
    what_if_section,
    why_section,
)
from advisor.report.price_age import prices_used
from advisor.report.text_table import sections_as

SCHEMA = "advisor.explanation/v1"
_STATED = "stated"
_FOCUS = "focus"
_PREFIX = "slo."


@dataclass(frozen=True, slots=True)
class _Asked:
    """Questions of the command line."""

    changes: str | None = None
    instance_type: str | None = None
    region: str | None = None
    fronts: str | None = None


@dataclass(frozen=True, slots=True)
class _Explanation:
    """Answers; None and empty: not asked."""

    plan: Outcome | None = None
    what_if: WhatIf | None = None
    why: Why | None = None
    pareto: tuple[Front, ...] = ()


@click.command(name="explain")
@click.argument("plan", type=FILE)
@click.option("--why", "instance_type", help="What would have to change for this instance type to win.")
@click.option("--region", help="With --why: in this region.")
@click.option("--what-if", "changes", help="Plan again with changes, such as slo.tpot_p95=30ms,demand=2x.")
@click.option(
    "--pareto",
    "fronts",
    is_flag=False,
    flag_value=_STATED,
    metavar="[TARGETS]",
    help="Cost against latency targets, such as slo.tpot_p95,slo.ttft_p95.  [default: those stated, else all]",
)
@click.option("--cost", is_flag=True, help="Every line of the total: quantity, unit, price and its source.")
@click.option(
    "--litellm",
    type=FILE,
    metavar="FILE",
    help="Write the price of the plan's tokens to FILE, as LiteLLM configuration.",
)
@wide_option
@format_option("table", "json", "markdown", "focus", note="focus: the lines of --cost as FOCUS rows")
@output_option
@calibration_option
def command(
    plan: Path,
    cost: bool,
    litellm: Path | None,
    wide: bool,
    output_format: str,
    output: Path | None,
    calibration: Path | None,
    **questions: str | None,
) -> None:
    """Explain a PLAN (JSON of `advisor recommend`): what binds it, and why the winner wins.

    The plan is made again from the question it holds; no workload file, trace or config.json is needed. Beside
    --what-if, --why and --pareto answer for the changed question.
    """
    asked = _Asked(**questions)
    if asked.region is not None and asked.instance_type is None:
        raise click.UsageError("--region says where --why is to look; give --why INSTANCE_TYPE")
    read = read_plan(plan)
    if litellm is not None:
        _alone(asked, "--litellm reads")
        deliver(litellm_config(read, str(plan)), litellm)
        if not cost and output_format != _FOCUS:
            return
    if cost or output_format == _FOCUS:
        deliver(_cost(read, asked, output_format, report_width(output, wide=wide)), output)
        check_served(read, str(plan))
        return
    catalog, model = load_catalog(), load_model(calibration)
    warn_of_layers()
    tell_age(prices_used(read))
    made_from = (read.provenance.catalog_hash, read.provenance.calibration_version)
    if made_from != (catalog.content_hash, model.calibration.version):
        click.echo(
            "warning: the plan was made from another catalog or calibration; it is explained by this one", err=True
        )
    with Progress("fleets replayed") as progress, progress.fleets():
        explained, explanation = _explain(read, read_question(read.question, str(plan)), catalog, model, asked)
    deliver(_render(explanation, output_format, report_width(output, wide=wide)), output)
    check_served(explained, str(plan))


def _cost(plan: Plan, asked: _Asked, output_format: str, width: int | None) -> str:
    """Lines of the plan's cost, which are read from it."""
    _alone(asked, "--cost and --format focus read")
    fleet = plan.fleet
    if fleet is None or not fleet.cost_lines:
        raise InputError("the plan holds no lines of cost", hint="make the plan again with `advisor recommend`")
    if output_format == _FOCUS:
        stated = (plan.workload.get("as_of"), plan.provenance.catalog_as_of)
        start = next(day for day in map(first_day, filter(None, stated)) if day)
        return focus_of(fleet, start, plan.workload["name"], plan.workload.get("tags", {}))
    beside = _beside_total(plan, fleet)
    if output_format == "json":
        cost: dict[str, Any] = {
            "total_usd_per_month": fleet.cost.total_usd_per_month,
            "standing_usd_per_month": fleet.cost.standing_usd_per_month,
            "lines": plain(fleet.cost_lines, "lines"),
            "beside_total": list(beside),
        }
        return json.dumps({"schema": SCHEMA, "cost": cost}, indent=1, ensure_ascii=False) + "\n"
    return sections_as(output_format, [cost_section(fleet, beside)], width)


def _beside_total(plan: Plan, fleet: Fleet) -> tuple[str, ...]:
    """Sentences on what generated code costs beside the total; elsewhere than on Azure it sizes nothing of its own."""
    if not any(group.provider == "azure" for group in fleet.groups):
        return ()
    from advisor.codegen import beside_total  # noqa: PLC0415 - only Azure's entrances need it

    return beside_total(plan)


def _alone(asked: _Asked, subject: str) -> None:
    """Refuse questions for which a plan is made again."""
    if asked != _Asked():
        raise click.UsageError(f"{subject} the plan as it is; leave out the other questions")


def _explain(
    read: Plan, question: PlanRequest, catalog: Catalog, model: PerformanceModel, asked: _Asked
) -> tuple[Plan, _Explanation]:
    """The plan that is explained, made anew where changes are asked for, and the answers."""
    difference, plan = None, read
    named = [] if asked.instance_type is None else [asked.instance_type]
    if asked.changes is not None:
        types = types_priced(asked.changes) | set(named)
        changed, catalog_then, changes = what_if(
            question, catalog, asked.changes, named
        )  # refused before it is planned
        before = plan_question(question, catalog_of_question(question, catalog, types), model=model)
        question, catalog = changed, catalog_then
        plan = plan_question(question, catalog, model=model)
        difference = compare(changes, before, plan)
    question = routed_as(plan, question)
    catalog = catalog_of_question(question, catalog, named)

    def under(targets_ms: Mapping[str, float], sold: Catalog = catalog, demand_factor: float = 1.0) -> Judged:
        other = under_targets(question, targets_ms)
        return market_for(replace(other, demand=other.demand.times(demand_factor)), sold, model)

    def anywhere(targets_ms: Mapping[str, float]) -> Judged:
        placeless = replace(question, workload=replace(question.workload, users=()))
        return market_for(under_targets(placeless, targets_ms), catalog, model)

    nothing_asked = (asked.changes, asked.instance_type, asked.fronts) == (None, None, None)
    return plan, _Explanation(
        plan=outcome_of(read) if nothing_asked else None,
        what_if=difference,
        why=None if asked.instance_type is None else why(under, catalog, asked.instance_type, asked.region),
        pareto=tuple(
            pareto_front(under, anywhere, target, getattr(question.workload.slo, f"{target}_ms"))
            for target in _targets(asked.fronts, question)
        ),
    )


def _targets(text: str | None, question: PlanRequest) -> tuple[str, ...]:
    if text is None:
        return ()
    if question.demand.batch is not None:
        raise click.UsageError("batch work has no latency targets: ask --what-if demand.batch.deadline=2h")
    if text == _STATED:
        stated = tuple(name for name in TARGETS if getattr(question.workload.slo, f"{name}_ms") is not None)
        return stated or (OF_WHOLE_ANSWERS if question.demand.unit.is_one_pass else OF_TOKENS)
    names = tuple(name.strip().removeprefix(_PREFIX) for name in text.split(","))
    if "real_time_factor" in names:
        raise click.UsageError(
            "--pareto has no curve against slo.real_time_factor, a share of each recording's length: ask --pareto "
            "slo.latency, or --what-if slo.real_time_factor=0.1"
        )
    unknown = next((name for name in names if name not in TARGETS), None)
    if unknown is not None:
        targets = ", ".join(f"{_PREFIX}{name}" for name in TARGETS)
        raise click.UsageError(f"--pareto takes {targets}, not '{unknown}'; give the plan before it")
    return names


def _render(explanation: _Explanation, output_format: str, width: int | None) -> str:
    if output_format == "json":
        answered: dict[str, Any] = {name: part for name, part in plain(explanation, "explanation").items() if part}
        return json.dumps({"schema": SCHEMA} | answered, indent=1, ensure_ascii=False) + "\n"
    sections = outcome_sections(explanation.plan) if explanation.plan else []
    sections += [what_if_section(explanation.what_if)] if explanation.what_if else []
    sections += [why_section(explanation.why, explanation.what_if)] if explanation.why else []
    sections += [front_section(front) for front in explanation.pareto]
    return sections_as(output_format, sections, width)
