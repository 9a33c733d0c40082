"""Former groups beside those of the plan: facts that groups keep, and both in one deployment at a stage."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from advisor.codegen.alarms import Alarm
from advisor.codegen.aws_places import roomy_types
from advisor.codegen.container import MANIFEST_FORMS, Backend, Form, Pin, Region, Stage, pinned_by, pins_of
from advisor.codegen.engines.request import SERVED_NAME
from advisor.codegen.kubernetes_scaling import follows_load
from advisor.codegen.model import ComputeGroup, Scaling
from advisor.codegen.rollout import LEFT_ALONE, Deployed, Rollout, grows, is_denser, probes_of
from advisor.codegen.selection import per_mille, unique_keys
from advisor.records import replace

ON_CLUSTERS = ("eks", "eks-karpenter", "gke", "aks", "kubernetes")
"""Targets whose groups are pods."""
_OVER_BACKENDS = ("ec2", "vm-scale-set", *ON_CLUSTERS)
"""Targets whose entrance spreads requests over backends; elsewhere it spreads them over groups."""
_UNSCALED = ("sagemaker",)
"""Targets on which a group without requests does not scale."""
_Part = TypeVar("_Part", Backend, Region)


def is_spread_over_backends(deployed: Deployed) -> bool:
    """Whether the entrance knows backends alone, whose members get requests as soon as they answer."""
    return deployed.target in _OVER_BACKENDS and deployed.form is not Form.KSERVE


def joint(rollout: Rollout) -> Deployed:
    """Groups, backends and regions in the stage of a rollout: those of the plan, and those that retire."""
    planned, before = rollout.planned, rollout.before
    if before is None:
        return planned
    retiring = tuple(_held_still(group, before.scaling, planned.scaling) for group in rollout.retiring)
    former = rollout.former
    serving = tuple(
        _wide_enough(group, former[group.key]) if group.key in former else _held_still(group, planned.scaling)
        for group in planned.groups
    )
    shifted = {group.key: group.weight for group in rollout.planned.groups}
    weights = shifted if rollout.stage is Stage.SHIFT else {key: group.weight for key, group in former.items()}
    weighted = tuple(
        sorted(
            (replace(group, weight=weights.get(group.key, 0)) for group in (*serving, *retiring)),
            key=lambda group: group.key,
        )
    )
    if is_spread_over_backends(planned):
        weighted = _by_members(weighted, {group.backend for group in (*rollout.retiring, *rollout.awaited)})
    groups = weighted
    if planned.target in _UNSCALED:
        groups = tuple(group.at_all_hours(group.instances) if group.weight == 0 else group for group in weighted)
    backends = {backend.key: backend for backend in (*before.backends, *planned.backends)}
    regions = {region.name: region for region in before.regions}
    merged = {region.name: _wider(region, regions.get(region.name)) for region in planned.regions}
    return replace(
        planned,
        groups=groups,
        backends=_shares(backends, groups, lambda group: group.backend),
        regions=_shares({**regions, **merged}, groups, lambda group: group.region),
        alarms=_alarms(planned.alarms, before.alarms),
        agent=planned.agent or before.agent,
    )


def _by_members(groups: tuple[ComputeGroup, ...], moving: Collection[str]) -> tuple[ComputeGroup, ...]:
    """Groups with the weight of their backend by instances, where members of the backend come or go."""
    members = {
        backend: {group.key: group.instances for group in groups if group.backend == backend} for backend in moving
    }
    weights = {backend: sum(group.weight for group in groups if group.backend == backend) for backend in moving}
    shares: dict[str, int] = {}
    for backend, instances in members.items():
        shares |= per_mille(instances, weights[backend])
    return tuple(replace(group, weight=shares.get(group.key, group.weight)) for group in groups)


def _shares(
    parts: Mapping[str, _Part], groups: Sequence[ComputeGroup], part_of: Callable[[ComputeGroup], str]
) -> tuple[_Part, ...]:
    """Backends or regions that groups are in, with the weights of these groups."""
    weights: dict[str, int] = {}
    for group in groups:
        weights[part_of(group)] = weights.get(part_of(group), 0) + group.weight
    return tuple(replace(parts[key], weight=weight) for key, weight in sorted(weights.items()))


def _held_still(group: ComputeGroup, *scalings: Scaling) -> ComputeGroup:
    """Group that is new or retires.

    Where its way of scaling changes, or follows the load, it keeps the instances of its busiest hours: without requests
    it would shrink, and they come all at once.
    """
    steady = len({*scalings}) == 1 and Scaling.REACTIVE not in scalings
    return group if steady or group.is_serverless else group.at_all_hours(group.instances)


def _wide_enough(group: ComputeGroup, former: ComputeGroup) -> ComputeGroup:
    """Group that goes on, with enough instances for the requests of before until the cut-over is finished."""
    if group.is_serverless or _size(group) == _size(former):
        return group
    carried = former.instances * former.requests_per_second_per_instance
    least = math.ceil(round(carried / group.requests_per_second_per_instance, 6))
    if group.instance_type == former.instance_type and is_denser(group, former):
        # Those of them that still run as before carry what they did.
        least = former.instances
    return group if group.min_instances >= least else group.at_all_hours(max(group.instances, least))


def _size(group: ComputeGroup) -> tuple[object, ...]:
    return (group.instance_type, group.instances, group.min_instances, group.schedule)


def _wider(region: Region, former: Region | None) -> Region:
    if former is None:
        return region
    peaks = [peak for peak in (region.peak_requests_per_second, former.peak_requests_per_second) if peak is not None]
    return replace(
        region,
        subnets=max(region.subnets, former.subnets),
        zones=max(region.zones, former.zones),
        peak_requests_per_second=max(peaks, default=None),
    )


def _alarms(planned: Sequence[Alarm], before: Sequence[Alarm]) -> tuple[Alarm, ...]:
    """Alarms of both, one of each name, at numbers that are wrong for neither."""
    former = {alarm.name: alarm for alarm in before}
    now = {alarm.name: alarm for alarm in planned}
    alarms = []
    for name, alarm in (former | now).items():
        last = former.get(name, alarm)
        threshold = (min if alarm.below else max)(alarm.threshold, last.threshold)
        described = alarm if threshold == alarm.threshold else last
        alarms.append(replace(described, threshold=threshold, periods=max(alarm.periods, last.periods)))
    return tuple(alarms)


def moves(rollout: Rollout) -> bool:
    """Whether a shift moves requests: not where all that comes or goes shares a backend with what goes on."""
    prepared, shifted = (joint(replace(rollout, stage=stage)).groups for stage in (Stage.PREPARE, Stage.SHIFT))
    return [group.weight for group in prepared] != [group.weight for group in shifted]


REMOVING = ("kubernetes",)
"""Targets whose code applies the objects, and removes those that it holds no longer."""
_REMOVING_FORMS = (Form.PRODUCTION_STACK,)
"""Forms whose objects are a chart's, which an upgrade removes where it holds them no longer."""
_NEVER_SHRINKING = ("vm-scale-set", "aks")
"""Targets whose disks grow in place, and shrink only in new machines."""
_NEVER_MOVING = ("mig", "tpu-vm")
"""Targets whose groups stay in the zones that they were made with."""
_ZONES_GIVEN: Mapping[str, tuple[str, str, str]] = {
    "ec2": ("private subnets in ", "networks", "subnets"),
    "sagemaker": ("private subnets in ", "networks", "subnets"),
    "eks": ("subnets in ", "clusters", "subnets"),
    "mig": ("", "networks", "zones"),
    "tpu-vm": ("", "networks", "zones"),
    "gke": ("", "clusters", "zones"),
    "vm-scale-set": ("", "locations", "subnets"),
    "aks": ("", "clusters", "subnets"),
    "ibm-vpc": ("subnets in ", "subnets", "zones"),
}
"""Target whose code asks for zones → what lies in them, in words, the input that names them, and the field of a
:class:`Region` with the fewest of them."""
_REPLACED_FOR_TYPES = ("eks",)
"""Targets whose nodes are all replaced for another list of types: ``instance_types`` of aws_eks_node_group is ForceNew
(internal/service/eks/node_group.go of the AWS provider). Karpenter replaces nodes of types that left the list, and EC2
Auto Scaling and managed instance groups take another list in place; node pools of GKE and AKS have one type."""
_WITHIN_LIMITS = ("eks",)
"""Targets that refuse limits outside of which the present size lies, where the autoscaler moves that."""
_PROBED_BY_BACKEND = ("ec2",)
"""Targets whose load balancer asks all of a backend over one protocol, on one path."""


def with_former_disks(planned: Deployed, former: Deployed) -> Deployed:
    """Groups with room for what they had room for before, where a smaller disk takes new machines."""
    return _kept(planned, former, _as_roomy) if planned.target in _NEVER_SHRINKING else planned


def with_former_pins(planned: Deployed, last: Rollout | None) -> Deployed:
    """Backends with the names that pins of their engine and runtime had before, and names of their own otherwise."""
    pins = pins_of(planned.backends, () if last is None else pins_before(last))
    return replace(planned, backends=pinned_by(planned.backends, pins), pins=pins)


def pins_before(last: Rollout) -> tuple[Pin, ...]:
    """Names of engines among pins that code of a former run has."""
    return last.planned.pins or pins_of(joint(last).backends)


def repinning(planned: Deployed, last: Rollout) -> Iterator[str]:
    """Warning of pins that do not hold for an engine on a runtime that it comes to."""
    before = pins_before(last)
    was_shared = not last.planned.pins
    for pin in planned.pins:
        others = [other for other in before if other.engine is pin.engine and other.runtime is not pin.runtime]
        is_new = pin not in before or (was_shared and pin.name != pin.engine.value)
        if others and is_new:
            held = " and ".join(sorted({pin.engine.value} if was_shared else {other.name for other in others}))
            runtimes = " and ".join(sorted(other.runtime.value for other in others))
            yield (
                f"pins under {held} were made for {pin.engine} on {runtimes} and are not carried over to "
                f"{pin.runtime}: name images, models, revisions and arguments for it under {pin.name}"
            )


def recommitting(planned: Deployed, last: Deployed) -> Iterator[str]:
    """Warning of commits for another repository than the one that is loaded now: by engine, or by model on clusters."""
    if planned.target in ON_CLUSTERS:
        yield from _at_newest(planned, last)
        return
    before, now = ({pin: _models(deployed, pin) for pin in _pins(deployed)} for deployed in (last, planned))
    for pin in sorted(before.keys() & now.keys()):
        if before[pin] and now[pin] - before[pin]:
            former, new = (_joined(models) for models in (before[pin], now[pin] - before[pin]))
            yield (
                f"a commit in model_revisions by engine ({pin}) or for all is one of {former}, and {new}, which is "
                f"loaded now, has not that one: take it out, or name it by {new}"
            )


def _at_newest(planned: Deployed, last: Deployed) -> Iterator[str]:
    """Warning of models that a cluster did not load before, each of which has a MODEL_REVISION of its own."""
    before, now = ({model for pin in _pins(each) for model in _models(each, pin)} for each in (last, planned))
    loaded = [loads.checkpoint for backend in planned.backends for loads in backend.container.loaded]
    new = now - before - {checkpoint.model_id for checkpoint in loaded if checkpoint.commit}
    if before and new and planned.form in MANIFEST_FORMS:
        yield (
            f"{_joined(new)} is loaded now, at its newest: MODEL_REVISION of {_joined(before)} is not its own; pin it "
            "under its own name in kustomization.yaml"
        )


def _joined(models: Iterable[str]) -> str:
    return " and ".join(sorted(models))


def _pins(deployed: Deployed) -> set[str]:
    return {backend.pin for backend in deployed.backends}


def _models(deployed: Deployed, pin: str) -> set[str]:
    """Repositories that an engine loads by revision, where they are known."""
    loaded = [loads for backend in deployed.backends if backend.pin == pin for loads in backend.container.loaded]
    return {model for loads in loaded if loads.revision_option and (model := loads.checkpoint.model_id)}


def with_former_maximum(planned: Deployed, former: Deployed) -> Deployed:
    """Groups with the most nodes that may run of them, where a smaller limit than what runs is refused."""
    takes = planned.target in _WITHIN_LIMITS and planned.scaling is not Scaling.STATIC
    return _kept(planned, former, _as_many) if takes else planned


def _as_many(group: ComputeGroup, former: ComputeGroup) -> ComputeGroup:
    most = max(former.max_instances, former.former_maximum)
    return replace(group, former_maximum=most if most > group.max_instances else 0)


def with_former_places(planned: Deployed, former: Deployed) -> Deployed:
    """Groups in their former zones, where these still sell the type and are as many as the plan wants."""
    return _kept(planned, former, _in_place) if planned.target in _NEVER_MOVING else planned


def with_stated_replicas(planned: Deployed, former: Deployed) -> Deployed:
    """Groups that something scales with a number in their Deployment, where the directory holds one with a number."""
    if planned.target not in ON_CLUSTERS:
        return planned
    stated = {group.key for group in former.groups if group.states_replicas or not is_scaled(former, group)}
    groups = tuple(
        replace(group, states_replicas=group.states_replicas or (group.key in stated and is_scaled(planned, group)))
        for group in planned.groups
    )
    return replace(planned, groups=groups)


def is_scaled(deployed: Deployed, group: ComputeGroup) -> bool:
    """Whether something changes the number of a group's pods: the clock, or a load that its engine tells."""
    engine = next(backend.container.engine for backend in deployed.backends if backend.key == group.backend)
    return follows_load(deployed.scaling, engine) or bool(group.schedule)


def stating(planned: Deployed, former: Deployed) -> Iterator[str]:
    """Note on Deployments whose number of pods was fixed, and is not from now on.

    KServe keeps the number of a Deployment where its service names none (its source: ``PreserveDeploymentReplicas``,
    read in November 2026); production-stack and Dynamo name it in every shape.
    """
    if planned.target not in ON_CLUSTERS or planned.form not in MANIFEST_FORMS:
        return
    before = {group.key for group in former.groups if not is_scaled(former, group)}
    keys = [group.key for group in planned.groups if group.states_replicas and group.key in before]
    if keys:
        yield (
            f"{', '.join(keys)} had a fixed number of pods, which KEDA changes from now on: the line replicas stays in "
            "the file of the Deployment, since an apply without it would stop all pods but one; kubernetes/README.md "
            "says how to let it go"
        )


def releasing(planned: Deployed, former: Deployed) -> Iterator[str]:
    """Note on groups of pods whose number is fixed from now on, while KEDA's object stays in the cluster."""
    if planned.target not in ON_CLUSTERS or planned.target in REMOVING or planned.form in _REMOVING_FORMS:
        return
    fixed = {group.key for group in planned.groups if not is_scaled(planned, group)}
    released = [group for group in former.groups if is_scaled(former, group) and group.key in fixed]
    for region in sorted({group.region for group in released}):
        keys = [group.key for group in released if group.region == region]
        yield (
            f"{', '.join(keys)} had a number of pods that KEDA changes, and a fixed one from now on: KEDA's object "
            f"stays in the cluster of {region} and goes on changing the number until it is deleted. Before the next "
            f"apply: kubectl --context CONTEXT --namespace {former.name} delete scaledobjects {' '.join(keys)}"
        )


def growing(planned: Deployed, former: Deployed, renamed: Mapping[str, str]) -> Iterator[str]:
    """Note on groups that go on with more instances at some hour, which the clock starts at its next change."""
    if planned.target not in LEFT_ALONE or planned.scaling is not Scaling.SCHEDULED:
        return
    before = {renamed.get(group.key, group.key): group for group in former.groups}
    for group in planned.groups:
        if group.schedule and group.key in before and grows(group, before[group.key]):
            yield (
                f"{group.key} grows {_growth(group, before[group.key])}: it has them from the next change of its "
                "schedule on, and not from the apply, which leaves its number alone. To have them at once, after the "
                f"apply: aws autoscaling set-desired-capacity --region {group.region} --desired-capacity SIZE "
                "--auto-scaling-group-name NAME (SIZE: what the schedule has for the present hour; NAME: of the output "
                "autoscaling_group_names)"
            )


def _growth(group: ComputeGroup, former: ComputeGroup) -> str:
    """Hours in which a group has more instances than before, with both numbers where they are its least or its most."""
    quietest, busiest = (former.min_instances, group.min_instances), (former.instances, group.instances)
    sizes = (("quietest", quietest), ("busiest", busiest))
    growth = [f"from {before} to {now} at its {hours}" for hours, (before, now) in sizes if now > before]
    return " and ".join(growth) or "at some hours"


def with_former_types(planned: Deployed, former: Deployed) -> Deployed:
    """Groups with the types that they were made with, where another list would replace all of their nodes.

    One of whose former types no longer serves gets another key: it is another group, which comes before that goes.
    """
    if planned.target not in _REPLACED_FOR_TYPES:
        return planned
    before = {group.key: group for group in former.groups}
    groups = (_of_former_types(group, before) for group in planned.groups)
    return replace(planned, groups=tuple(sorted(groups, key=lambda group: group.key)))


def _of_former_types(group: ComputeGroup, before: Mapping[str, ComputeGroup]) -> ComputeGroup:
    options = _numbered(group.key, len(before))
    for former in (before[key] for key in options if key in before):
        others = roomy_types(former) if former.is_spot else []
        # Each type that the former group may start as serves the plan of the group, whose own comes first.
        if former.instance_type == group.instance_type and {*others} <= {*group.serving_types}:
            return replace(group, key=former.key, interchangeable_types=former.interchangeable_types)
    return replace(group, key=next(key for key in options if key not in before))


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
    options = _numbered(key, len(before))
    alike = (option for option in options if before.get(option) == probe)
    return next(alike, None) or next(option for option in options if option not in before)


def _numbered(key: str, others: int) -> tuple[str, ...]:
    """``key``, ``key-2``, ``key-3`` and so on: one more than there are others."""
    return (key, *(unique_keys([name])[name] for name in (f"{key} {number}" for number in range(2, others + 2))))


def with_former_keys(planned: Deployed, former: Deployed, renamed: Mapping[str, str]) -> Deployed:
    """Backends with the keys that they had before, except those that are in use again."""
    in_use = {backend.key for backend in (*planned.backends, *former.backends)} - renamed.keys()
    had: dict[str, tuple[str, ...]] = {}
    for backend in former.backends:
        key = renamed.get(backend.key, backend.key)
        had[key] = (*backend.former_keys, *([backend.key] if backend.key != key else []))
    free = {key: tuple(dict.fromkeys(old for old in keys if old not in in_use)) for key, keys in had.items()}
    backends = (replace(backend, former_keys=free.get(backend.key, ())) for backend in planned.backends)
    return replace(planned, backends=tuple(backends))


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


def widening(planned: Deployed, former: Deployed) -> Iterator[str]:
    """Regions that need more zones than before, in words: an apply refuses inputs with as many as they had."""
    places, given, part = _ZONES_GIVEN.get(planned.target, ("", "", ""))
    before = {region.name: getattr(region, part) for region in former.regions if part}
    for region in planned.regions:
        was, now = before.get(region.name), getattr(region, part, 0)
        if was is not None and now > was:
            yield f"{region.name} needs {places}{now} zones ({was} before): give them in {given} before the next apply"


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
