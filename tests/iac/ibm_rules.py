"""Checks that IBM's provider makes in code and that no schema holds.

Source: the validators of version 2.5.0 (``ValidateSchema`` of each resource, ``validate/validators.go``), and the limit of
boot volumes in its reference of ``ibm_is_instance``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_TAG = re.compile(r"[a-z0-9:_ .-]{1,128}")
"""In lower case, in which IBM answers them."""
_CRON = re.compile(r"((((\d+,)+\d+|([\d*]+(/|-)\d+)|\d+|\*) ?){5,7})")
_RANGES = {
    ("ibm_is_instance_group", "instance_count"): (0, 1000),
    ("ibm_is_instance_group_manager_action", "membership_count"): (1, 100),  # 0 is allowed, and never sent
    ("ibm_is_lb_listener", "idle_connection_timeout"): (50, 7200),
}
_WORDS = {
    ("ibm_is_lb", "type"): ("public", "private", "private_path"),
    ("ibm_is_lb_listener", "protocol"): ("https", "http", "tcp", "udp"),
    ("ibm_is_lb_pool", "algorithm"): ("round_robin", "weighted_round_robin", "least_connections"),
    ("ibm_is_lb_pool", "health_type"): ("http", "tcp", "https"),
    ("ibm_is_lb_pool", "protocol"): ("http", "tcp", "https", "udp"),
    ("ibm_is_instance_group_manager", "manager_type"): ("autoscale", "scheduled"),
    ("ibm_is_security_group_rule", "direction"): ("inbound", "outbound"),
}
_BOOT_VOLUME_GIB = (10, 250)

Complaints = Iterator[tuple[str, str]]


def broken_ibm_rules(resource_type: str, config: Mapping[str, Any]) -> Complaints:
    """Pairs of attribute and complaint."""
    if not resource_type.startswith("ibm_is_"):
        return
    name, cron = config.get("name"), config.get("cron_spec")
    if isinstance(name, str) and (_NAME.fullmatch(name) is None or "--" in name):
        yield "name", f"{name!r} is not a name of 1 to 63 lower-case letters, digits and single hyphens"
    if isinstance(cron, str) and not (9 <= len(cron) <= 63 and _CRON.fullmatch(cron)):
        yield "cron_spec", f"{cron!r} is no schedule"
    for tag in config.get("tags") or () if isinstance(config.get("tags"), list) else ():
        if isinstance(tag, str) and _TAG.fullmatch(tag) is None:
            yield "tags", f"{tag!r} is not a tag in lower case"
    yield from _values(resource_type, config)
    yield from _pairs(resource_type, config)


def _values(resource_type: str, config: Mapping[str, Any]) -> Complaints:
    for (typed, name), (least, most) in _RANGES.items():
        value = config.get(name)
        if typed == resource_type and isinstance(value, int) and not least <= value <= most:
            yield name, f"{value} is not within {least} to {most}"
    for (typed, name), words in _WORDS.items():
        value = config.get(name)
        if typed == resource_type and isinstance(value, str) and value not in words:
            yield name, f"{value!r} is none of {', '.join(words)}"


def _pairs(resource_type: str, config: Mapping[str, Any]) -> Complaints:
    """Arguments that need each other, and blocks with numbers."""
    if resource_type == "ibm_is_instance_group":
        together = [
            config.get(name) is not None for name in ("application_port", "load_balancer", "load_balancer_pool")
        ]
        if len(set(together)) > 1:
            yield "load_balancer", "goes with application_port and load_balancer_pool"
    if resource_type == "ibm_is_lb_pool":
        delay, timeout = config.get("health_delay"), config.get("health_timeout")
        if isinstance(delay, int) and isinstance(timeout, int) and delay <= timeout:
            yield "health_delay", "must be longer than health_timeout"
    if resource_type == "ibm_is_security_group_rule" and (config.get("port_min") is None) != (
        config.get("port_max") is None
    ):
        yield "port_min", "goes with port_max"
    boot = config.get("boot_volume")
    for volume in boot if isinstance(boot, list) else ():
        size = volume.get("size")
        if isinstance(size, int) and not _BOOT_VOLUME_GIB[0] <= size <= _BOOT_VOLUME_GIB[1]:
            yield "boot_volume", f"{size} GiB are not within {_BOOT_VOLUME_GIB[0]} to {_BOOT_VOLUME_GIB[1]}"
