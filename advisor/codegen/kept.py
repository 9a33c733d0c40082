"""Facts of a former plan that groups keep, and warnings of those that they cannot keep."""

from collections.abc import Callable, Iterator, Mapping

from advisor.codegen.container import Backend
from advisor.codegen.engines.request import SERVED_NAME
from advisor.codegen.keys import unique_keys
from advisor.codegen.model import ComputeGroup
from advisor.codegen.rollout import Deployed, probes_of
from advisor.records import replace

_NEVER_SHRINKING = ("vm-scale-set", "aks")
"""Targets whose disks grow in place, and shrink only in new machines."""
_NEVER_MOVING = ("mig", "tpu-vm")
"""Targets whose groups stay in the zones that they were made with."""
_PROBED_BY_BACKEND = ("ec2",)
"""Targets whose load balancer asks all of a backend over one protocol, on one path."""


def with_former_disks(planned: Deployed, former: Deployed) -> Deployed:
    """Groups with room for what they had room for before, where a smaller disk takes new machines."""
    return _kept(planned, former, _as_roomy) if planned.target in _NEVER_SHRINKING else planned


def with_former_places(planned: Deployed, former: Deployed) -> Deployed:
    """Groups in their former zones, where these still sell the type and are as many as the plan wants."""
    return _kept(planned, former, _in_place) if planned.target in _NEVER_MOVING else planned


def with_keys_apart(planned: Deployed, former: Deployed) -> Deployed:
    """Groups and backends under another key than those of before that a load balancer asks otherwise.

    Under one key, the instances that still run as before would fail the new health check, and be terminated.
    """
    if planned.target not in _PROBED_BY_BACKEND:
        return planned
    before = probes_of(former)
    keys = {key: _key_apart(key, probe, before) for key, probe in probes_of(planned).items()}
    groups = (replace(group, key=keys[group.key], backend=keys[group.backend]) for group in planned.groups)
    backends = (replace(backend, key=keys[backend.key]) for backend in planned.backends)
    return replace(
        planned,
        groups=tuple(sorted(groups, key=lambda group: group.key)),
        backends=tuple(sorted(backends, key=lambda backend: backend.key)),
    )


def _key_apart(key: str, probe: tuple[bool, str], before: Mapping[str, tuple[bool, str]]) -> str:
    """The first of ``key``, ``key-2``, ``key-3`` that was asked like this, or else that was not there."""
    numbered = [unique_keys([name])[name] for name in (f"{key} {number}" for number in range(2, len(before) + 2))]
    options = (key, *numbered)
    alike = (option for option in options if before.get(option) == probe)
    return next(alike, None) or next(option for option in options if option not in before)


def with_former_keys(planned: Deployed, former: Deployed, renamed: Mapping[str, str]) -> Deployed:
    """Backends with the keys that they had before, except those that are in use again."""
    in_use = {backend.key for backend in (*planned.backends, *former.backends)} - renamed.keys()
    had: dict[str, tuple[str, ...]] = {}
    for backend in former.backends:
        key = renamed.get(backend.key, backend.key)
        had[key] = (*backend.former_keys, *([backend.key] if backend.key != key else []))
    return replace(planned, backends=tuple(_with_keys(backend, had, in_use) for backend in planned.backends))


def _with_keys(backend: Backend, had: Mapping[str, tuple[str, ...]], in_use: set[str]) -> Backend:
    former_keys = dict.fromkeys(key for key in had.get(backend.key, ()) if key not in in_use)
    return replace(backend, former_keys=tuple(former_keys))


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
    return replace(
        group,
        priced_disk_gib=max(group.host_disk_gib, former.host_disk_gib),
        root_volume_gib=max(group.root_volume_gib, former.root_volume_gib),
        checkpoint_gib=max(group.checkpoint_gib, former.checkpoint_gib),
    )


def _in_place(group: ComputeGroup, former: ComputeGroup) -> ComputeGroup:
    stays = {*_zones(former)} <= {*_zones(group)} and len(_zones(former)) >= max(group.zones, 1)
    return replace(group, zone_names=former.zone_names) if stays else group


def _zones(group: ComputeGroup) -> tuple[str, ...]:
    """Zones that are known to sell the type of a group; none where they are not known."""
    return tuple(sorted(group.zone_names)) if group.zones_verified else ()
