"""Arguments of a resource that hold its instance type and its counts, and the plan's figures for them."""

from collections.abc import Mapping
from enum import StrEnum

from advisor.codegen.gpu_sharing import sharing_of
from advisor.codegen.keys import group_keys
from advisor.codegen.selection import Member, choose
from advisor.codegen.stack import interchangeable_types, most_instances
from advisor.codegen.wanted import Wanted
from advisor.data_files import facts_beside
from advisor.plan.values import Plan
from advisor.records import dataclass, field


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


class Figure(StrEnum):
    """Figure of the plan that an argument holds."""

    TYPE = "type"
    TYPES = "types"
    """A list: the planned type, then those that serve alike."""
    EACH_TYPE = "each_type"
    """Of several blocks: the planned type in the first, then those that serve alike."""
    INSTANCES = "instances"
    MIN = "min"
    MAX = "max"


TYPES = (Figure.TYPE, Figure.TYPES, Figure.EACH_TYPE)
"""Figures that say which machines, and not how many."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of resource."""

    arguments: Mapping[str, Figure] = field(hash=False)
    """Path of an argument (blocks by dots) → what it holds."""
    related: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Other resources to change with it: type → the argument that refers to the other, of whichever refers."""
    type_prefix: str = ""
    per_zone: bool = False
    """Counts may be for each zone."""
    spot: Mapping[str, object] = field(default_factory=dict, hash=False)
    """Path of an argument → what it says where instances are bought as spot."""


def _figures(arguments: Mapping[str, str]) -> dict[str, Figure]:
    return {path: Figure(name) for path, name in arguments.items()}


_FACTS = facts_beside(__file__, "rules.toml")
RULES: Mapping[str, Rule] = {
    kind: Rule(**{**rule, "arguments": _figures(rule["arguments"])}) for kind, rule in _FACTS["rules"].items()
}
CALL_ARGUMENTS: Mapping[str, Figure] = _figures(_FACTS["calls"])
"""Arguments of a module from elsewhere, by the names that public modules give them."""
CALL_SPOT: Mapping[str, object] = _FACTS["call_spot"]
"""The same of how instances are bought."""
PROVIDERS = {"aws": "aws", "google": "gcp", "azurerm": "azure"}
"""First word of a resource type → provider of the catalog."""
