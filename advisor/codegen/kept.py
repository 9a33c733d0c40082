"""Facts of a former plan that groups keep, and warnings of those that they cannot keep."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from advisor.codegen.engines.request import SERVED_NAME
from advisor.codegen.model import ComputeGroup
from advisor.codegen.rollout import Deployed

_NEVER_SHRINKING = ("vm-scale-set", "aks")
"""Targets whose disks grow in place, and shrink only in new machines."""
_NEVER_MOVING = ("mig", "tpu-vm")
"""Targets whose groups stay in the zones that they were made with."""


def with_former_disks(planned: Deployed, former: Deployed) -> Deployed:
    """Groups with room for what they had room for before, where a smaller disk takes new machines."""
    return _kept(planned, former, _as_roomy) if planned.target in _NEVER_SHRINKING else planned


def with_former_places(planned: Deployed, former: Deployed) -> Deployed:
    """Groups in their former zones, where these still sell the type and are as many as the plan wants."""
    return _kept(planned, former, _in_place) if planned.target in _NEVER_MOVING else planned


def moving(planned: Deployed, former: Deployed) -> Iterator[str]:
    """Groups in other zones than before, which are made anew, in words."""
    before = {group.key: _zones(group) for group in former.groups if planned.target in _NEVER_MOVING}
    for group in planned.groups:
        was, now = before.get(group.key), _zones(group)
        if was and now and was != now:
            yield (
                f"{group.key} runs in {', '.join(was)} and is planned for {', '.join(now)}: the next apply makes it "
                "anew and sends it the requests; set wait_for_capacity (60m) for that apply, so that the former group "
                "stays until the new one serves"
            )


def renaming(planned: Deployed, former: Deployed) -> Iterator[str]:
    """Warning where hosts answer to another model's name than before, so that one of two names fails meanwhile."""
    before, now = _served_names(former), _served_names(planned)
    if before and now and before != now:
        yield (
            f"hosts answered to {' and '.join(before)} and will answer to {' and '.join(now)}: while they are "
            "replaced, requests for either name fail at the others. vLLM answers to both with extra arguments "
            f'"--served-model-name", "{now[0]}", "{before[0]}": apply with them first, and drop them once clients ask '
            "for the new name"
        )


def _served_names(deployed: Deployed) -> tuple[str, ...]:
    arguments = [argument for backend in deployed.backends for argument in backend.container.arguments]
    names = {text.removeprefix(SERVED_NAME) for text in arguments if text.startswith(SERVED_NAME)}
    return tuple(sorted(names))


def _kept(planned: Deployed, former: Deployed, keep: Callable[[ComputeGroup, ComputeGroup], ComputeGroup]) -> Deployed:
    before = {group.key: group for group in former.groups}
    return replace(planned, groups=tuple(keep(group, before.get(group.key, group)) for group in planned.groups))


def _as_roomy(group: ComputeGroup, former: ComputeGroup) -> ComputeGroup:
    priced_gib = group.priced_disk_gib
    return replace(
        group,
        priced_disk_gib=None if priced_gib is None else max(priced_gib, former.host_disk_gib),
        root_volume_gib=max(group.root_volume_gib, former.root_volume_gib),
        checkpoint_gib=max(group.checkpoint_gib, former.checkpoint_gib),
    )


def _in_place(group: ComputeGroup, former: ComputeGroup) -> ComputeGroup:
    stays = {*_zones(former)} <= {*_zones(group)} and len(_zones(former)) >= max(group.zones, 1)
    return replace(group, zone_names=former.zone_names) if stays else group


def _zones(group: ComputeGroup) -> tuple[str, ...]:
    """Zones that are known to sell the type of a group; none where they are not known."""
    return tuple(sorted(group.zone_names)) if group.zones_verified else ()
