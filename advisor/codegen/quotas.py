"""Quotas that a deployment needs, with how much of each: the busiest hours' instances and those that replace them."""

from collections.abc import Iterable
from dataclasses import replace

from advisor.catalog import load_catalog
from advisor.codegen.model import ComputeGroup, Quota, Runtime
from advisor.plan.fleet.scaling_values import while_replaced, zones_replaced_at_once

_VCPUS = "vCPUs"


def quotas_needed(provider: str, groups: Iterable[ComputeGroup]) -> tuple[Quota, ...]:
    """Each quota once, with the amount in each region in words: ``624 in eu-north-1 (13 × 48)``."""
    counted: dict[Quota, dict[str, list[tuple[int, float | None]]]] = {}
    for group in groups:
        terms = counted.setdefault(group.platform.quota, {}).setdefault(group.region, [])
        terms.append((instances_while_replaced(provider, group), _units(provider, group)))
    return tuple(
        replace(quota, needed="; ".join(filter(None, (_words(*place) for place in regions.items()))))
        for quota, regions in counted.items()
    )


def instances_while_replaced(provider: str, group: ComputeGroup) -> int:
    """The busiest hours' instances, and those that a rolling replacement starts."""
    zones = 0 if group.is_serverless else zones_replaced_at_once(provider, group.zone_names, group.zones)
    return max(group.max_instances, while_replaced(group.instances, zones))


def _units(provider: str, group: ComputeGroup) -> float | None:
    """Quota units that one instance takes; None where its shape is not known."""
    return vcpus_of(provider, group) if group.platform.quota.unit == _VCPUS else group.accelerator_count


def vcpus_of(provider: str, group: ComputeGroup) -> float | None:
    """Virtual processors of an instance; None where they are not known."""
    catalog, key = load_catalog(), (provider, group.instance_type)
    if group.platform.runtime is Runtime.CPU:
        machine = catalog.cpu_instances.get(key)
        return None if machine is None else machine.vcpus
    accelerated = catalog.instance_types.get(key)
    return None if accelerated is None else accelerated.vcpus


def _words(region: str, terms: list[tuple[int, float | None]]) -> str:
    """The amount in a region with its terms; "" where one of them is not known."""
    known = [(count, units) for count, units in terms if units is not None]
    if len(known) < len(terms):
        return ""
    total = sum(count * units for count, units in known)
    return f"{total:,g} in {region} ({' + '.join(f'{count} × {units:g}' for count, units in known)})"
