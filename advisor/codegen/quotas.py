"""Quotas that a deployment needs, with how much of each, and the plan's verdict on whether it can be deployed."""

from collections.abc import Iterable
from typing import NamedTuple

from advisor.catalog import load_catalog
from advisor.catalog.deployment import GENERATED
from advisor.codegen.container import Quota, Runtime, Serves
from advisor.codegen.model import ComputeGroup
from advisor.deployable import Setup, deployable
from advisor.errors import NotDeployable
from advisor.plan.fleet.chosen import surge_of_zones, while_replaced
from advisor.records import replace
from advisor.workload.kinds import LLAMA_CPP

HINT = "take another option of the plan with --option RANK, or make the plan again"


def check_deployable(serves: Serves, engine: str = "") -> None:
    """Refuse instances that generated code cannot start.

    *engine*: as engine_support.csv names it; "": an image of the user's own. Raises NotDeployable with what is missing
    and the numbers compared.
    """
    catalog = load_catalog()
    setup = Setup(
        provider=serves.provider,
        instance_type=serves.instance_type,
        accelerator=serves.accelerator,
        partition=serves.partition,
        replicas_per_instance=serves.replicas_per_instance,
        precision=serves.precision,
        engine=engine,
        checkpoint_gib=serves.checkpoint_gib,
        converted_gib=converted_gib(serves) if engine == serves.engine else 0.0,
        loading_gib=_loading_gib(serves, engine),
        rank_gib=_rank_gib(serves),
    )
    shortfall = deployable(setup, serves.purchase, serves.region, catalog)
    if shortfall is not None:
        raise NotDeployable(f"{serves.instance_type}: {shortfall.reason}", hint=HINT)


def converted_gib(serves: Serves) -> float:
    """Published weights that llama.cpp makes a GGUF of at its first start; 0 where the file is there."""
    is_converted = serves.engine == LLAMA_CPP and bool(serves.weights)
    return max(serves.checkpoint_gib - serves.weights_gib, 0.0) if is_converted else 0.0


def compilation_s(serves: Serves) -> float:
    """Longest time that the engine compiles the model at the start of a host without a cache; 0 where it does not."""
    catalog = load_catalog()
    accelerator = catalog.accelerators.get(serves.accelerator)
    vendor = "" if accelerator is None else accelerator.vendor
    compilation = catalog.cold_start.compilation(vendor, serves.checkpoint_gib)
    return 0.0 if compilation is None else compilation.high


def _rank_gib(serves: Serves) -> float | None:
    """Memory of the accelerator, or of the core or slice of it, that a rank has; None: not known."""
    catalog = load_catalog()
    if serves.partition:
        slices = catalog.partitions(serves.accelerator)
        return next((profile.memory_gib for profile in slices if profile.name == serves.partition), None)
    accelerator = catalog.accelerators.get(serves.accelerator)
    return None if accelerator is None else accelerator.rank_memory_gib


def _loading_gib(serves: Serves, engine: str) -> float | None:
    """Memory for loading, as planned; of an engine that quantises while loading, its share of the download."""
    if engine == serves.engine:
        return serves.loading_gib
    catalog = load_catalog()
    if not catalog.precisions.is_made_while_loading(serves.precision, engine):
        return None
    accelerator, split = catalog.accelerators.get(serves.accelerator), serves.tensor_parallel * serves.pipeline_parallel
    return serves.checkpoint_gib / (split if accelerator is None else accelerator.ranks(split))


def family_of(provider: str, instance_type: str) -> str:
    """The key under which the machine images and quotas of an instance type stand.

    Raises NotDeployable if no code is generated for the type; the message says why.
    """
    support = load_catalog().deployment.support(provider, instance_type)
    if support is None:
        raise NotDeployable(f"{instance_type}: no machine image is known for this family", hint=HINT)
    if support.status != GENERATED:
        raise NotDeployable(f"{instance_type}: {support.reason}", hint=HINT)
    return support.family


_VCPUS = "vCPUs"
_MANAGED_NODES = ("eks", "gke")
"""Targets whose groups of nodes the provider replaces."""
_TAKES_OTHER_TYPES = ("aws",)
"""Providers on which code starts spot machines of other types than the planned one, and pays for them in vCPUs."""


def quotas_needed(provider: str, target: str, groups: Iterable[ComputeGroup]) -> tuple[Quota, ...]:
    """Each quota once, with the amount in each region in words: ``624 in eu-north-1 (13 × 48)``.

    One number, which holds the busiest hours' instances, those that a replacement starts, and the largest types that
    may be started; what a plan's verdict says holds no other types than the planned ones, and is named beside it.
    """
    counted: dict[Quota, dict[str, list[_Term]]] = {}
    for group in groups:
        terms = counted.setdefault(group.platform.quota, {}).setdefault(group.region, [])
        terms.append(_term(provider, target, group))
    return tuple(
        replace(quota, needed="; ".join(filter(None, (_words(*place) for place in regions.items()))))
        for quota, regions in counted.items()
    )


def quotas_of_updates(needs: Iterable[tuple[Quota, str, int]]) -> tuple[Quota, ...]:
    """Each quota once, for services that start all that may run anew beside it at an update: ``6 in eastus (2 × 3)``.

    *needs*: quota, region, and the most that may run of it, of each group.
    """
    most: dict[Quota, dict[str, int]] = {}
    for quota, region, number in needs:
        regions = most.setdefault(quota, {})
        regions[region] = regions.get(region, 0) + number
    return tuple(
        replace(
            quota, needed="; ".join(f"{2 * number} in {region} (2 × {number})" for region, number in regions.items())
        )
        for quota, regions in most.items()
    )


def instances_while_replaced(provider: str, target: str, group: ComputeGroup) -> int:
    """The busiest hours' instances, and those that a rolling replacement starts."""
    on_nodes = target in _MANAGED_NODES
    surge = 0 if group.is_serverless else surge_of_zones(provider, group.zone_names, group.zones, on_nodes=on_nodes)
    return max(group.max_instances, while_replaced(group.instances, surge))


class _Term(NamedTuple):
    """Instances of a group, and what each takes of its quota."""

    instances: int
    units: float | None
    """Units of the largest type that may be started; None where a shape is not known."""
    larger_type: str
    """Name of that type; "" for the planned one."""
    planned_units: float
    """Units of the planned type."""
    planned_type: str

    def words(self, *, with_type: bool) -> str:
        """``3 × 2 if all are TYPE``, the larger type; *with_type*: of the planned one ``3 TYPE × 2``."""
        larger = f" if all are {self.larger_type}" if self.larger_type else ""
        return f"{self.instances}{f' {self.planned_type}' if with_type else ''} × {self.units:g}{larger}"


def _term(provider: str, target: str, group: ComputeGroup) -> _Term:
    instances = instances_while_replaced(provider, target, group)
    if group.platform.quota.unit != _VCPUS:
        return _Term(instances, group.accelerator_count, "", group.accelerator_count, group.instance_type)
    planned, *others = group.startable_types if provider in _TAKES_OTHER_TYPES else (group.instance_type,)
    vcpus = {name: vcpus_of(provider, group, name) for name in (planned, *others)}
    if None in vcpus.values():
        return _Term(instances, None, "", 0.0, planned)
    largest = max(vcpus, key=lambda name: vcpus[name] or 0.0)
    return _Term(instances, vcpus[largest], "" if largest == planned else largest, vcpus[planned] or 0.0, planned)


def vcpus_of(provider: str, group: ComputeGroup, instance_type: str = "") -> float | None:
    """Virtual processors of an instance, of the group's planned type or another one; None where they are not known."""
    catalog, key = load_catalog(), (provider, instance_type or group.instance_type)
    if group.platform.runtime is Runtime.CPU:
        machine = catalog.cpu_instances.get(key)
        return None if machine is None else machine.vcpus
    accelerated = catalog.instance_types.get(key)
    return None if accelerated is None else accelerated.vcpus


def _words(region: str, terms: list[_Term]) -> str:
    """The amount in a region with its terms, and what the planned types take of it; "" where one is not known."""
    if any(term.units is None for term in terms):
        return ""
    total = sum(term.instances * (term.units or 0.0) for term in terms)
    planned = sum(term.instances * term.planned_units for term in terms)
    of_planned = f", of which the planned types take {planned:,g}" if planned < total else ""
    several = len({term.planned_type for term in terms}) > 1
    told = " + ".join(term.words(with_type=several) for term in terms)
    return f"{total:,g} in {region} ({told}){of_planned}"
