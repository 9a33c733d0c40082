"""How a fleet follows its load, in sentences."""

from collections.abc import Iterator

from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.scaling_values import Policy, ReactivePolicy, ScalingPlan, Size, SizeAlternative
from advisor.report.words import usd

_SIZES = {
    Size.AS_PLANNED: "its main type alone",
    Size.FEWER_LARGER: "fewer larger instances",
    Size.MORE_SMALLER: "more smaller ones",
}


def scaling_lines(fleet: Fleet) -> Iterator[str]:
    """The policy, what it takes, and larger against smaller instances."""
    found = fleet.scaling
    yield f"policy: {found.recommended}, {found.reason}"
    if len(fleet.hour_classes) > 1:
        ahead = [group.ordered_minutes_ahead for group in found.schedule]
        yield f"by schedule, an instance is ordered {_span(min(ahead), max(ahead))} min ahead of its hour"
    if found.recommended is Policy.REACTIVE:
        yield from _reactive_words(found)
    elif found.reactive_unknown:
        yield f"reactive: {found.reactive_unknown}"
    if found.sizes:
        yield "; ".join(_size_words(one) for one in found.sizes)


def _span(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def _reactive_words(found: ScalingPlan) -> Iterator[str]:
    if found.reactive is not None:
        yield f"reactive: {_policy_words(found.reactive)}"
    if found.warm_pool is not None:
        yield f"reactive with stopped instances that keep their disks: {_policy_words(found.warm_pool)}"


def _policy_words(one: ReactivePolicy) -> str:
    return (
        f"new capacity {one.delay_s:,.0f} s after a rise, {one.headroom_requests_per_second:.3g} requests/s of "
        f"headroom, at least {one.minimum_warm_replicas} replicas, {usd(one.usd_per_month)} a month; without headroom "
        f"{one.missed_ratio:.1%} of the requests would come too early"
    )


def _size_words(one: SizeAlternative) -> str:
    name = _SIZES[one.size]
    if one.usd_per_month is None:
        return f"{name}: none, {one.reason}"
    return f"{name}: {one.instances} × {one.pool} at {usd(one.usd_per_month)}"
