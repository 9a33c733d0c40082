"""Virtual machine scale sets: each backend behind a load balancer of its own, all of a region behind one entrance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.catalog import load_catalog
from advisor.codegen.container import Backend, Engine
from advisor.codegen.engines.metrics import METRICS
from advisor.codegen.model import ComputeGroup, Scaling, ScheduledSize, Stack, fewest_at_once
from advisor.codegen.targets.azure_values import (
    EXAMPLE_IDS,
    EXAMPLE_VAULT,
    PROGRAM,
    example_subnet,
    log_alert,
    machines,
)
from advisor.codegen.targets.target import (
    ENTRANCE_ALIVE,
    ENTRANCE_HEALTH,
    Target,
    backend_facts,
    entrance_weight,
    health_path,
    obstacle_to_entrances,
    templated,
)
from advisor.codegen.turns import has_hand_overs, waits_of
from advisor.cost.services import HOSTS
from advisor.deployable import most_changes
from advisor.units import SECONDS_PER_HOUR

_FOLDER = "azure-vm-scale-set"
_TLS_FILE = "/run/inference/tls.pem"
"""Key and certificate in one file, in memory, made at each start: the entrance before a host verifies none."""
_PROBE_SECONDS, _PROBE_THRESHOLD = 5, 2
"""Shortest that a load balancer probes, and the failures after which it sends no new connections."""
_ANSWERING_PERCENT = 99
"""Least share of probes that succeed where all hosts serve: one in a hundred may be late."""
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HEALTH_PORT = 8444
"""Where a host tells the health extension how it is; only itself can reach it."""
_LONGEST_GRACE_SECONDS = 4 * SECONDS_PER_HOUR
"""Longest that the health extension lets a host initialise."""
_OUT_SHARE = 0.8
"""Of the rate that an instance sustains: finished requests never exceed it, so an instance is added before."""
_IN_SHARE = 0.4
"""Half of the share above: two instances that become one do not call for the second again."""
_FEWEST_IDLE_MINUTES = 4
_SECONDS_PER_MINUTE = 60


def _obstacle(stack: Stack) -> str:
    if any(group.is_serverless for group in stack.groups):
        return "instances are not paid for by the request"
    if stack.has_processors:
        return "machines without an accelerator are generated as nodes of AKS"
    plain = [backend.container.engine.value for backend in stack.backends if backend.container.tls_options is None]
    if plain:
        return f"its load balancer passes connections on, and {plain[0]} has no HTTPS of its own"
    most = most_changes(VM_SCALE_SET.name, load_catalog())
    if any(len(group.schedule) > most for group in stack.groups):
        return f"an autoscale setting takes {most:g} changes a week, and the schedule has more"
    if stack.scaling is Scaling.REACTIVE and any(
        (metrics := METRICS.get(backend.container.engine)) is None or metrics.answers is None
        for backend in stack.backends
    ):
        return "the engine does not say how many requests it answers, which a reactive fleet scales by"
    return obstacle_to_entrances(stack)


def _known(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    size = machines(stack).size
    regions = {
        region.name: {
            "weight": region.weight,
            "zones": region.subnets,
            "health_path": health_path(stack, region.name),
            "min_instances": fewest_at_once(group for group in stack.groups if group.region == region.name),
        }
        for region in stack.regions
    }
    return {
        "serves_where": "on virtual machine scale sets behind internal load balancers; the engine itself speaks HTTPS",
        "groups": {group.key: _group(stack, group) for group in stack.groups},
        "backends": {backend.key: _backend(stack, backend) for backend in stack.backends},
        "entrance_alive": ENTRANCE_ALIVE,
        "entrance_health": ENTRANCE_HEALTH,
        "entrance": {"size": size.name, "connections": size.connections},
        "entrance_hosts": HOSTS,
        "regions": regions,
        "may_be_empty": [name for name, facts in regions.items() if facts["min_instances"] == 0],
        "alarms": {alarm.title: log_alert(alarm) for alarm in (*stack.alarms, *stack.slo_alarms)},
        "target_seconds": next(
            (slo_alarm.target_seconds for slo_alarm in stack.slo_alarms if slo_alarm.target_seconds), None
        ),
        "probe_seconds": _PROBE_SECONDS,
        "probe_threshold": _PROBE_THRESHOLD,
        "probing_seconds": _PROBE_SECONDS * _PROBE_THRESHOLD,
        "program": PROGRAM,
        "health_port": _HEALTH_PORT,
        "autoscales": _autoscales(stack),
        "hands_over": has_hand_overs(stack),
        "answering_percent": _ANSWERING_PERCENT,
        "unrepaired": [group.key for group in stack.groups if not _repairs(group)],
        "idle_minutes": max(_FEWEST_IDLE_MINUTES, math.ceil(stack.load_balancer.idle_seconds / _SECONDS_PER_MINUTE)),
        "locations": {
            region.name: {"subnet_id": example_subnet(region.name), "zones": ["1", "2", "3"]}
            for region in stack.regions
        },
        "example_certificate": f"{EXAMPLE_VAULT}/secrets/inference-certificate",
        "example_token": f"{EXAMPLE_VAULT}/secrets/hub-token",
        **EXAMPLE_IDS,
        "identity": "host",
        "streaming_engines": [],
    }


def _group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    publisher, offer, sku, _version = group.platform.machine_image.split(":")
    return {
        "region": group.region,
        "backend": group.backend,
        "size": group.instance_type,
        "priority": "Spot" if group.is_spot else "Regular",
        "os_disk_gib": group.host_disk_gib,
        "weights_gib": group.checkpoint_gib,
        "repairs": _repairs(group),
        "start_limit_seconds": min(group.start_limit_seconds, _LONGEST_GRACE_SECONDS),
        "restart_seconds": group.restart_seconds,
        "waiting_limit": _waiting_limit(stack, group),
        "image": {"publisher": publisher, "offer": offer, "sku": sku},
        **({} if group.has_gpu else {"amd": True}),
        **(_thresholds(stack, group) if stack.scaling is Scaling.REACTIVE else {}),
        **({"profiles": _profiles(stack, group)} if _autoscales(stack) else {"instances": group.instances}),
    }


def _autoscales(stack: Stack) -> bool:
    """Whether the numbers need a setting of their own: they change, or spot instances are to come back."""
    return stack.scaling is not Scaling.STATIC or stack.has_spot


def _minutes(seconds: float) -> int:
    return math.ceil(seconds / _SECONDS_PER_MINUTE)


def _repairs(group: ComputeGroup) -> bool:
    """Whether Azure replaces hosts that do not answer: not those that may still be starting when their time ends."""
    return group.start_limit_seconds <= _LONGEST_GRACE_SECONDS


def _thresholds(stack: Stack, group: ComputeGroup) -> Mapping[str, float | str]:
    """Finished entries a second of an instance above and below which the number changes, and the pause before less."""
    rate = group.requests_per_second_per_instance * stack.backend_of(group).container.finished_per_request
    return {
        "scale_out_above": float(f"{rate * _OUT_SHARE:.3g}"),
        "scale_in_below": float(f"{rate * _IN_SHARE:.3g}"),
        "cooldown": f"PT{_minutes(group.start_seconds)}M",
    }


def _profiles(stack: Stack, group: ComputeGroup) -> Sequence[Mapping[str, object]]:
    """Bounds of the number of instances: the default ones, and for each entry of the schedule those from then on.

    A recurring profile holds until the next one starts, so the default never does where there is a schedule. A group
    that never changes has bounds too: they replace spot instances that were taken back. One that gives instances up to
    others may keep them: a rule takes them away once those that take over answer.
    """
    if stack.scaling is Scaling.REACTIVE:
        return [_profile("default", (group.min_instances, group.instances, group.max_instances))]
    waits = waits_of(stack, group)
    profiles = [_profile("default", (group.instances,) * 3)]
    for size in group.schedule:
        given_up = [waits[key] for minute in size.minutes_of_week if (key := (minute, size.instances)) in waits]
        successors = dict.fromkeys(key for _, step in given_up for key in step.successors)
        most = max((former for former, _ in given_up if successors), default=size.instances)
        profiles.append(_profile(size.name, (size.instances, most, most), size, tuple(successors)))
    if not has_hand_overs(stack):
        return profiles
    return [{"after": [], **profile} for profile in profiles]


def _profile(
    name: str, bounds: tuple[int, int, int], size: ScheduledSize | None = None, successors: Sequence[str] = ()
) -> Mapping[str, object]:
    minimum, default, maximum = bounds
    return {
        "name": name,
        "minimum": minimum,
        "default": default,
        "maximum": maximum,
        "days": [] if size is None else [_DAYS[day - 1] for day in size.weekdays],
        "hour": 0 if size is None else size.hour,
        "minute": 0 if size is None else size.minute,
        **({"after": list(successors)} if successors else {}),
    }


def _backend(stack: Stack, backend: Backend) -> Mapping[str, object]:
    facts = backend_facts(backend, stack.load_balancer.host_port, _TLS_FILE, _TLS_FILE)
    more = {"entrance_weight": entrance_weight(stack.backends, backend), "metrics": _metrics(backend.container.engine)}
    return {**facts, **more}


def _metrics(engine: Engine) -> Mapping[str, str]:
    """The metrics page of an engine, and what is read of it; engines without HTTPS do not come here."""
    names = METRICS[engine]
    answers = names.answers.counter if names.answers is not None else ""
    return {
        "path": names.path,
        "finished": names.finished,
        "running": names.running,
        "waiting": names.waiting,
        "progress": names.progress,
        "latency": names.latency,
        "answers": answers,
    }


def _waiting_limit(stack: Stack, group: ComputeGroup) -> float | None:
    """Requests in the queue of an instance beyond which the alarm rings; None without a target."""
    alarm = next((slo_alarm for slo_alarm in stack.slo_alarms if slo_alarm.per_request_rate), None)
    return None if alarm is None else alarm.threshold_at(stack.queued_per_second(group))


VM_SCALE_SET = Target(
    name="vm-scale-set",
    provider="azure",
    title="Azure virtual machine scale sets",
    check="az vmss get-instance-view --instance-id '*' --query '[].vmHealth.status.code' --ids $(az vmss "
    "list --query \"[?tags.Group=='{key}'].id\" --output tsv)",
    renderers=templated(_FOLDER, _known, without=lambda stack: () if _autoscales(stack) else ("scaling",)),
    takes_cache=True,
    obstacle=_obstacle,
    completed=lambda stack: machines(stack).within(stack),
)
