"""How a fleet follows its load, in sentences."""

from collections.abc import Iterator, Sequence

from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.scaling_values import Policy, ReactivePolicy, ScalingPlan
from advisor.plan.values import Option
from advisor.report.words import paid_words, usd


def scaling_lines(fleet: Fleet) -> Iterator[str]:
    """The policy that is planned, and what a reactive one would take."""
    found = fleet.scaling
    yield f"policy: {found.recommended}, {found.reason}"
    if found.recommended is Policy.SCHEDULED:
        ahead = [group.ordered_minutes_ahead for group in found.schedule]
        yield f"by schedule, an instance is ordered {_span(min(ahead), max(ahead))} min ahead of its hour"
    yield from _reactive_words(found)


def _span(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def _reactive_words(found: ScalingPlan) -> Iterator[str]:
    if found.reactive_unknown:
        yield f"reactive: {found.reactive_unknown}"
    if found.reactive is not None:
        yield f"reactive: {_policy_words(found.reactive)}"
    if found.warm_pool is not None:
        yield f"reactive with stopped instances that keep their disks: {_policy_words(found.warm_pool)}"


def _policy_words(one: ReactivePolicy) -> str:
    replicas = f"{one.minimum_warm_replicas} replica{'' if one.minimum_warm_replicas == 1 else 's'}"
    return (
        f"new capacity {one.delay_s:,.0f} s after a rise, {one.headroom_requests_per_second:.3g} requests/s of "
        f"headroom, at least {replicas}, {usd(one.usd_per_month)} a month; without headroom "
        f"{one.missed_ratio:.1%} of the requests would come too early"
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
    return f"#{option.rank}, {count} at {usd(option.cost.total_usd_per_month)} a month"
