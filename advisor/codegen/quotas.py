"""Quotas that a deployment needs, with how much of each: the busiest hours' instances and those that replace them."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from advisor.catalog import load_catalog
from advisor.codegen.model import Quota, Serves
from advisor.codegen.selection import Member

_VCPUS = "vCPUs"


def quotas_needed(
    members: Iterable[tuple[Member, Quota]], most_instances: Callable[[Member], int]
) -> tuple[Quota, ...]:  # fmt: skip
    """Each quota once, with the amount in each region in words: ``624 in eu-north-1 (13 × 48)``.

    Args:
        members: groups of instances and the quota that counts each.
        most_instances: of a group, while instances are replaced too.
    """
    counted: dict[Quota, dict[str, list[tuple[int, float | None]]]] = {}
    for member, quota in members:
        terms = counted.setdefault(quota, {}).setdefault(member.serves.region, [])
        terms.append((most_instances(member), _units(member.serves, quota.unit)))
    return tuple(
        replace(quota, needed="; ".join(filter(None, (_words(*place) for place in regions.items()))))
        for quota, regions in counted.items()
    )


def _units(serves: Serves, unit: str) -> float | None:
    """What one instance takes of a quota; None where its shape is not known."""
    machine = load_catalog().instance_types.get((serves.provider, serves.instance_type))
    if unit != _VCPUS:
        return serves.accelerator_count
    return None if machine is None else machine.vcpus


def _words(region: str, terms: list[tuple[int, float | None]]) -> str:
    """The amount in a region with its terms; "" where one of them is not known."""
    known = [(count, units) for count, units in terms if units is not None]
    if len(known) < len(terms):
        return ""
    total = sum(count * units for count, units in known)
    return f"{total:,g} in {region} ({' + '.join(f'{count} × {units:g}' for count, units in known)})"
