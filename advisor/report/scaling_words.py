"""How a fleet follows its load, in sentences."""

from collections.abc import Iterator, Sequence

from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.scaling_values import Policy, ReactivePolicy, ScalingPlan
from advisor.plan.values import Option
from advisor.report.option_words import about
from advisor.report.words import paid_words, usd
from advisor.units import rounded


def scaling_lines(fleet: Fleet) -> Iterator[str]:
    """The policy that is planned, and what a reactive one would take."""
    scaling_plan = fleet.scaling
    yield f"policy: {scaling_plan.recommended}, {scaling_plan.reason}"
    if scaling_plan.recommended is Policy.SCHEDULED:
        ahead = [group.ordered_minutes_ahead for group in scaling_plan.schedule]
        yield f"by schedule, an instance is ordered {_span(min(ahead), max(ahead))} min ahead of its hour"
    yield from _reactive_words(scaling_plan)


def _span(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def _reactive_words(scaling_plan: ScalingPlan) -> Iterator[str]:
    if scaling_plan.reactive_unknown:
        yield f"reactive: {scaling_plan.reactive_unknown}"
    if scaling_plan.reactive is not None:
        yield f"reactive: {_policy_words(scaling_plan.reactive)}"
    if scaling_plan.warm_pool is not None:
        yield f"reactive with stopped instances that keep their disks: {_policy_words(scaling_plan.warm_pool)}"


def _policy_words(reactive_policy: ReactivePolicy) -> str:
    replicas = (
        f"{reactive_policy.minimum_warm_replicas} replica{'' if reactive_policy.minimum_warm_replicas == 1 else 's'}"
    )
    return (
        f"new capacity {reactive_policy.delay_s:,.0f} s after a rise, "
        f"{rounded(reactive_policy.headroom_requests_per_second)} requests/s of "
        f"headroom, at least {replicas}, {usd(reactive_policy.usd_per_month)} a month; without headroom "
        f"{reactive_policy.missed_ratio:.1%} of the requests would come too early"
    )


def size_lines(fleet: Fleet, options: Sequence[Option]) -> Iterator[str]:
    """Horizontal against vertical: the cheapest option of fewer, and of more, instances in the busiest hours."""
    instances = sum(group.instances[-1] for group in fleet.groups)
    fewer = next((option for option in options if option.instances < instances), None)
    more = next((option for option in options if option.instances > instances), None)
    if fewer is not None or more is not None:
        yield f"fewer instances: {_option_words(fewer)}; more: {_option_words(more)}"


def _option_words(option: Option | None) -> str:
    if option is None:
        return "no option"
    count = f"{option.instances} × {option.instance_type} {paid_words(option)} in {option.region}"
    unjudged = ", not replayed" if about(option) else ""
    return f"#{option.rank}, {count} at {about(option)}{usd(option.cost.total_usd_per_month)} a month{unjudged}"
