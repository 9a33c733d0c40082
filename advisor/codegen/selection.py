"""Which option of a plan code is generated for, and what to say when it is not the recommended one."""

from dataclasses import dataclass

from advisor.codegen.stack import check
from advisor.codegen.summary import usd
from advisor.errors import AdvisorError, InputError
from advisor.plan.values import Option, Plan

_PLAN_HINT = "make a plan that allows AWS: providers: [aws] in the workload file"


@dataclass(frozen=True, slots=True)
class Choice:
    """An option that code can be generated for."""

    option: Option
    warnings: tuple[str, ...] = ()
    """Why it is not the recommended one, for stderr; empty when it is, or when the user named it."""


def choose_option(plan: Plan, rank: int | None = None) -> Choice:
    """The option with *rank*; without a rank the recommended one, or else the cheapest that can be generated.

    Raises:
        InputError: there is no such option, or none that code can be generated for.
    """
    if rank is not None:
        return Choice(_with_rank(plan, rank))
    best = plan.recommended
    if best is None:
        raise InputError("the plan has no option to generate code for", hint="see its rejected offers for the reasons")
    obstacle = _obstacle(plan, best)
    if not obstacle:
        return Choice(best)
    others = sorted(plan.options, key=lambda one: (one.cost.total_usd_per_month, one.rank))
    for option in others:
        if not _obstacle(plan, option):
            return Choice(option, (_warning(best, option, obstacle),))
    raise InputError(f"no option of the plan can be generated; the recommended one: {obstacle}", hint=_PLAN_HINT)


def _with_rank(plan: Plan, rank: int) -> Option:
    for option in plan.options:
        if option.rank == rank:
            return option
    ranks = f"1 to {max(option.rank for option in plan.options)}" if plan.options else "none at all"
    raise InputError(f"the plan has no option {rank}", hint=f"its options: {ranks}")


def _obstacle(plan: Plan, option: Option) -> str:
    """Why no code can be generated for *option*; empty when it can."""
    try:
        check(plan, option)
    except AdvisorError as error:
        return error.message
    return ""


def _warning(best: Option, option: Option, obstacle: str) -> str:
    more = option.cost.total_usd_per_month - best.cost.total_usd_per_month
    return (
        f"the recommended option is not what is generated ({obstacle}).\n"
        f"  recommended: #{best.rank} {_named(best)} at {usd(best.cost.total_usd_per_month)} a month\n"
        f"  generated:   #{option.rank} {_named(option)} at {usd(option.cost.total_usd_per_month)} a month "
        f"({usd(more)} more)"
    )


def _named(option: Option) -> str:
    purchase = option.purchase.replace("_", " ")
    return f"{option.instances} × {option.instance_type} {purchase} in {option.region} ({option.provider})"
