"""Checks that Google's provider or APIs make and that no schema holds: limits of names, groups and autoscalers.

Sources: the references of the Compute Engine, GKE, Cloud Run, IAM and Cloud Monitoring APIs, and the guides to managed
instance groups.
"""

import re
from collections.abc import Iterator
from typing import Any

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_ACCOUNT = re.compile(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_LONGEST_BASE_NAME = 58
_LONGEST_PREFIX = 54
_LONGEST_WAIT_SECONDS = 3600
_LONGEST_POOL = 40
_LONGEST_SERVICE = 49
_LONGEST_START = 1800
_GPU_CPUS = ("4", "6", "8", "20")
_MOST_SCHEDULES = 128
_SHORTEST_SCHEDULE_SECONDS = 300
_WEEK_SECONDS = 7 * 24 * 3600

Complaints = Iterator[tuple[str, str]]


def _blocks(config: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Nested blocks; none where they are not known yet."""
    found = config.get(name)
    return found if isinstance(found, list) else []


def _block(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The only one."""
    return next(iter(_blocks(config, name)), {})


def _number(value: object) -> int | None:
    """None for what is not known yet."""
    return value if isinstance(value, int) else None


def broken_google_rules(resource_type: str, config: dict[str, Any]) -> Complaints:
    """Pairs of attribute and complaint."""
    if not resource_type.startswith("google_"):
        return
    yield from _labels(config)
    if resource_type.startswith("google_compute_"):
        yield from _names(config)
    rule = _RULES.get(resource_type)
    if rule is not None:
        yield from rule(config)


def _names(config: dict[str, Any]) -> Complaints:
    name, prefix = config.get("name"), config.get("name_prefix")
    if isinstance(name, str) and _NAME.fullmatch(name) is None:
        yield "name", f"{name!r} is not a name of 1 to 63 lower-case letters, digits and hyphens"
    if isinstance(prefix, str) and len(prefix) > _LONGEST_PREFIX:
        yield "name_prefix", f"longer than {_LONGEST_PREFIX} characters"


def _labels(config: dict[str, Any]) -> Complaints:
    for attribute in ("labels", "user_labels"):
        labels = config.get(attribute)
        for key, value in labels.items() if isinstance(labels, dict) else ():
            if (
                isinstance(value, str)
                and "@" not in value
                and not (_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value))
            ):
                yield attribute, f"{key} = {value!r} is not a label"


def _account(config: dict[str, Any]) -> Complaints:
    account = config.get("account_id")
    if isinstance(account, str) and _ACCOUNT.fullmatch(account) is None:
        yield "account_id", f"{account!r} has not 6 to 30 lower-case letters, digits and hyphens"


def _template(config: dict[str, Any]) -> Complaints:
    scheduling = _block(config, "scheduling")
    is_spot = scheduling.get("provisioning_model") == "SPOT"
    if scheduling.get("on_host_maintenance") == "MIGRATE":
        yield "scheduling", "a machine with accelerators cannot be moved while it runs"
    if is_spot and (scheduling.get("automatic_restart") is True or scheduling.get("preemptible") is False):
        yield "scheduling", "a spot machine is preemptible and does not restart by itself"
    machine_type = config.get("machine_type")
    if _blocks(config, "guest_accelerator") and isinstance(machine_type, str) and not machine_type.startswith("n1-"):
        yield "guest_accelerator", "accelerators are attached to N1 machines only"


def _manager(config: dict[str, Any]) -> Complaints:
    zones = config.get("distribution_policy_zones")
    policy = _block(config, "update_policy")
    steps = [policy.get(name) for name in ("max_surge_fixed", "max_unavailable_fixed")]
    if isinstance(zones, list) and any(isinstance(one, int) and 0 < one < len(zones) for one in steps):
        yield "update_policy", "a step of a regional group is 0 or at least the number of its zones"
    if steps == [0, 0]:
        yield "update_policy", "nothing can be replaced"
    if (
        config.get("distribution_policy_target_shape") != "EVEN"
        and policy.get("instance_redistribution_type") != "NONE"
    ):
        yield "update_policy", "only an even group redistributes its instances"
    base = config.get("base_instance_name")
    if isinstance(base, str) and len(base) > _LONGEST_BASE_NAME:
        yield "base_instance_name", f"longer than {_LONGEST_BASE_NAME} characters"
    for healing in _blocks(config, "auto_healing_policies"):
        if (_number(healing["initial_delay_sec"]) or 0) > _LONGEST_WAIT_SECONDS:
            yield "auto_healing_policies", "repair waits for an hour at most"


def _autoscaler(config: dict[str, Any]) -> Complaints:
    policy = _block(config, "autoscaling_policy")
    least, most = _number(policy.get("min_replicas")), _number(policy.get("max_replicas"))
    if least is not None and most is not None and least > most:
        yield "autoscaling_policy", "the smallest number is above the largest"
    schedules = _blocks(policy, "scaling_schedules")
    if len(schedules) > _MOST_SCHEDULES:
        yield "autoscaling_policy", f"more than {_MOST_SCHEDULES} schedules"
    for one in schedules:
        if not _SHORTEST_SCHEDULE_SECONDS <= one["duration_sec"] <= _WEEK_SECONDS or not _NAME.fullmatch(one["name"]):
            yield "autoscaling_policy", f"the schedule {one['name']} is no schedule"
        if most is not None and one["min_required_replicas"] > most:
            yield "autoscaling_policy", f"the schedule {one['name']} asks for more than there may be"


def _node_pool(config: dict[str, Any]) -> Complaints:
    name = config.get("name")
    if isinstance(name, str) and len(name) > _LONGEST_POOL:
        yield "name", f"longer than {_LONGEST_POOL} characters"
    scaling = _block(config, "autoscaling")
    least, most = _number(scaling.get("total_min_node_count")), _number(scaling.get("total_max_node_count"))
    if least is not None and most is not None and not least <= most:
        yield "autoscaling", "the smallest number is above the largest"
    upgrade = _block(config, "upgrade_settings")
    if upgrade and [upgrade.get(name) for name in ("max_surge", "max_unavailable")] == [0, 0]:
        yield "upgrade_settings", "nothing can be replaced"


def _cloud_run(config: dict[str, Any]) -> Complaints:
    name = config.get("name")
    if isinstance(name, str) and len(name) > _LONGEST_SERVICE:
        yield "name", f"longer than {_LONGEST_SERVICE} characters"
    template = _block(config, "template")
    container = _block(template, "containers")
    probe = _block(container, "startup_probe")
    if (_number(probe.get("failure_threshold")) or 0) * (_number(probe.get("period_seconds")) or 0) > _LONGEST_START:
        yield "startup_probe", f"longer than {_LONGEST_START} s"
    limits = _block(container, "resources").get("limits")
    if _block(template, "node_selector") and isinstance(limits, dict) and limits.get("cpu") not in _GPU_CPUS:
        yield "resources", f"a container with a GPU has at least 4 CPU, not {limits.get('cpu')}"


_RULES = {
    "google_cloud_run_v2_service": _cloud_run,
    "google_compute_region_autoscaler": _autoscaler,
    "google_compute_region_instance_group_manager": _manager,
    "google_compute_region_instance_template": _template,
    "google_container_node_pool": _node_pool,
    "google_service_account": _account,
}
