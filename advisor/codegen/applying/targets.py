"""Wishes of a plan for one group of instances, as far as somebody else's code can hold them."""

from advisor.codegen.gpu_sharing import sharing_of
from advisor.codegen.keys import group_keys
from advisor.codegen.selection import Member, choose
from advisor.codegen.stack import interchangeable_types, most_instances
from advisor.codegen.wanted import Wanted
from advisor.plan.values import Plan
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A group of the plan."""

    key: str
    """As in generated code."""
    provider: str
    region: str
    instance_type: str
    interchangeable_types: tuple[str, ...]
    instances: int
    """In the busiest hours."""
    min_instances: int
    max_instances: int
    is_spot: bool
    serving: str
    """How the containers have to serve for the numbers to hold, in words."""
    keeps_types: bool = False
    """Whether only counts change: types, and how they are bought, stay as the code says."""
    least_maximum: int | None = None
    """Instances that a group has to be able to grow to: a greater maximum in the code stays, and a number that decides
    it falls no further. None: a maximum becomes ``max_instances``."""


def targets_of(plan: Plan, rank: int | None = None, *, unconfirmed: bool = False) -> tuple[Target, ...]:
    """The groups of the plan's fleet, or of the single type with *rank*.

    Raises:
        InputError: there is no such option.
        NotDeployable: the fleet's replay refused it, which *unconfirmed* lets pass.
    """
    members = choose(plan, Wanted(rank=rank, unconfirmed=unconfirmed), lambda _: None).members
    return tuple(_target(plan, member, key) for member, key in zip(members, group_keys(members), strict=True))


def _target(plan: Plan, member: Member, key: str) -> Target:
    serves = member.serves
    sharing = sharing_of(serves.partition, serves.replicas_per_instance, serves.accelerator_count)
    cut = "" if sharing is None else f", {sharing.words} of each {serves.accelerator}"
    return Target(
        key=key,
        provider=serves.provider,
        region=serves.region,
        instance_type=serves.instance_type,
        interchangeable_types=interchangeable_types(plan, member),
        instances=max(member.hours),
        min_instances=min(member.hours),
        max_instances=most_instances(member),
        is_spot=serves.purchase == "spot",
        serving=(
            f"{serves.engine} with {serves.precision} weights, tensor parallel {serves.tensor_parallel}, "
            f"{serves.replicas_per_instance} replica(s) an instance, {serves.max_concurrency} requests at a time, "
            f"{serves.context_tokens} tokens of context{cut}"
        ),
    )
