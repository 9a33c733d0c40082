"""Checks that the azurerm provider, or Azure behind it, makes in code and that no schema holds."""

import csv
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

_CATALOG = Path(__file__).resolve().parents[2] / "instance_catalog"
_LONGEST_NAMES = {
    ("azurerm_linux_virtual_machine_scale_set", "name"): 64,
    ("azurerm_linux_virtual_machine_scale_set", "computer_name_prefix"): 58,
    ("azurerm_lb", "name"): 80,
    ("azurerm_managed_redis", "name"): 60,
    ("azurerm_private_endpoint", "name"): 80,
    ("azurerm_log_analytics_workspace", "name"): 63,
    ("azurerm_monitor_action_group", "short_name"): 12,
    ("azurerm_private_dns_a_record", "name"): 63,
    ("azurerm_container_app", "name"): 32,
    ("azurerm_kubernetes_cluster_node_pool", "name"): 12,
}
_HOURS = ("PT1H", "PT2H", "PT3H", "PT4H", "PT5H", "PT6H", "P1D")
_FREQUENCIES = ("PT1M", "PT5M", "PT10M", "PT15M", "PT30M", "PT45M", *_HOURS)
_METRIC_WINDOWS = ("PT1M", "PT5M", "PT15M", "PT30M", "PT1H", "PT6H", "PT12H", "P1D")
Found = Iterator[tuple[str, str]]


def broken_azure_rules(resource_type: str, config: dict[str, Any]) -> Found:
    """Pairs of attribute and complaint."""
    for (typed, name), longest in _LONGEST_NAMES.items():
        text = config.get(name)
        if typed == resource_type and isinstance(text, str) and len(text) > longest:
            yield name, f"longer than {longest} characters"
    rules = _RULES.get(resource_type)
    if rules is not None:
        yield from rules(config)


def _scale_set(config: dict[str, Any]) -> Found:
    yield from _size("sku", config)
    yield from _spot(config)
    for repair in _blocks(config, "automatic_instance_repair"):
        minutes = re.fullmatch(r"PT(\d+)M", _text(repair["grace_period"]) or "PT10M")
        if minutes is None or not 10 <= int(minutes[1]) <= 90:
            yield "automatic_instance_repair", "the grace period must be PT10M to PT90M"
    for policy in _blocks(config, "rolling_upgrade_policy"):
        if policy["maximum_surge_instances_enabled"] is True and config.get("overprovision") is not False:
            yield "overprovision", "must be false when replacements start first"


def _spot(config: dict[str, Any]) -> Found:
    priority, eviction = _text(config.get("priority")), config.get("eviction_policy")
    if priority not in (None, "Regular", "Spot"):
        yield "priority", "must be Regular or Spot"
    if priority == "Regular" and eviction is not None:
        yield "eviction_policy", "is for spot instances only"
    if priority == "Spot" and eviction not in ("Delete", "Deallocate"):
        yield "eviction_policy", "must be Delete or Deallocate"


def _text(value: Any) -> str | None:
    """None for what is not known yet."""
    return value if isinstance(value, str) else None


def _blocks(config: dict[str, Any], name: str) -> list[Any]:
    """None for what is not known yet."""
    value = config.get(name)
    return value if isinstance(value, list) else []


def _node_pool(config: dict[str, Any]) -> Found:
    yield from _size("vm_size", config)
    yield from _spot(config)
    name = _text(config.get("name"))
    if name is not None and re.fullmatch(r"[a-z][a-z0-9]{0,11}", name) is None:
        yield "name", "must be at most 12 lower-case letters and digits"
    if config.get("gpu_driver") not in ("Install", "None") and isinstance(config.get("gpu_driver"), str):
        yield "gpu_driver", "must be Install or None"
    if config.get("priority") == "Spot" and _blocks(config, "upgrade_settings"):
        yield "upgrade_settings", "spot nodes are not replaced ahead"


def _size(attribute: str, config: dict[str, Any]) -> Found:
    size = config.get(attribute)
    if isinstance(size, str) and size not in _sizes():
        yield attribute, f"Azure sells no {size}"


@cache
def _sizes() -> frozenset[str]:
    with (_CATALOG / "instances.csv").open(newline="") as rows:
        accelerated = {row["name"] for row in csv.DictReader(rows) if row["provider"] == "azure"}
    with (_CATALOG / "cpu_prices" / "azure.csv").open(newline="") as rows:
        return frozenset(accelerated | {row["instance_type"] for row in csv.DictReader(rows)})


def _alert(config: dict[str, Any]) -> Found:
    for name in ("evaluation_frequency", "window_duration"):
        text = config.get(name)
        if isinstance(text, str) and text not in _FREQUENCIES:
            yield name, f"{text} is none of {', '.join(_FREQUENCIES)}"
    for criteria in _blocks(config, "criteria"):
        for periods in _blocks(criteria, "failing_periods"):
            count = periods["number_of_evaluation_periods"]
            if isinstance(count, int) and not 1 <= count <= 6:
                yield "criteria", "evaluations must be 1 to 6"
            if count != 1 and "bin(TimeGenerated" not in str(criteria.get("query")):
                yield "criteria", "several evaluations need a query that gives times"


def _metric_alert(config: dict[str, Any]) -> Found:
    window = config.get("window_size")
    if isinstance(window, str) and window not in _METRIC_WINDOWS:
        yield "window_size", f"{window} is none of {', '.join(_METRIC_WINDOWS)}"


def _autoscale(config: dict[str, Any]) -> Found:
    profiles = _blocks(config, "profile")
    if len(profiles) > 20:
        yield "profile", "more than 20"
    for capacity in (one for profile in profiles for one in _blocks(profile, "capacity")):
        sizes = [capacity[name] for name in ("minimum", "default", "maximum")]
        if all(isinstance(size, int) for size in sizes) and sizes != sorted(sizes):
            yield "profile", "the default must lie between minimum and maximum"


def _load_balancer_rule(config: dict[str, Any]) -> Found:
    minutes = config.get("idle_timeout_in_minutes")
    if isinstance(minutes, int) and not 4 <= minutes <= 100:
        yield "idle_timeout_in_minutes", "must be 4 to 100"


def _security_rule(config: dict[str, Any]) -> Found:
    priority = config.get("priority")
    if isinstance(priority, int) and not 100 <= priority <= 4096:
        yield "priority", "must be 100 to 4096"
    for end in ("source", "destination"):
        names = ("address_prefix", "address_prefixes", "application_security_group_ids")
        if all(config.get(f"{end}_{name}") is None for name in names):
            yield f"{end}_address_prefix", "give one prefix or several"


def _managed_redis(config: dict[str, Any]) -> Found:
    name = _text(config.get("name"))
    if name is not None and re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9])*", name) is None:
        yield "name", "must be letters and digits with single hyphens between them"
    for database in _blocks(config, "default_database"):
        if database["clustering_policy"] not in ("EnterpriseCluster", "OSSCluster", "NoCluster", None):
            yield "default_database", "no such clustering policy"


_RULES: dict[str, Callable[[dict[str, Any]], Found]] = {
    "azurerm_linux_virtual_machine_scale_set": _scale_set,
    "azurerm_kubernetes_cluster_node_pool": _node_pool,
    "azurerm_monitor_scheduled_query_rules_alert_v2": _alert,
    "azurerm_monitor_metric_alert": _metric_alert,
    "azurerm_monitor_autoscale_setting": _autoscale,
    "azurerm_managed_redis": _managed_redis,
    "azurerm_lb_rule": _load_balancer_rule,
    "azurerm_network_security_rule": _security_rule,
}
