"""Charges of Azure: virtual machines, groups of them, AKS node pools, Container Apps with a GPU."""

import re
from collections.abc import Mapping
from typing import Any

from advisor.catalog.values import Purchase
from advisor.codegen.pricing.resources import (
    HELD,
    Resource,
    Resources,
    Rule,
    Rules,
    Use,
    cache_node,
    first_known,
    text,
)
from advisor.records import replace

_CLUSTER = "azurerm_kubernetes_cluster"
_ENVIRONMENT = "azurerm_container_app_environment"
_WITH_GPU = "Standard_N"
_WINDOWS = "a licence of Windows comes on top of the machine's price"
_LOW_PRIORITY = "low priority has a price of its own"
_PROFILES = {"A100": "A100-80GB-PCIe", "T4": "T4"}
"""What the name of a workload profile with a GPU holds → the accelerator."""


def _machine(size: str) -> Rule:
    """A machine whose size is the value of an argument."""

    def of_machine(resource: Resource, _all: Resources) -> tuple[Use, ...]:
        return (_use(resource.values.get(size), resource.values, 1, _location(resource)),)

    return of_machine


def _scale_set(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    kind = resource.values.get("sku") or resource.values.get("sku_name")
    number = first_known(resource.values.get("instances"))
    return (_use(kind, resource.values, number, _location(resource)),)


def _windows(rule: Rule) -> Rule:
    """Machines with Windows, where they have an accelerator."""

    def of_windows(resource: Resource, everything: Resources) -> tuple[Use, ...]:
        uses = (replace(use, unpriced=_WINDOWS) for use in rule(resource, everything))
        return tuple(replace(use, is_accelerated=(use.what or "").startswith(_WITH_GPU)) for use in uses)

    return of_windows


def _node_pool(resource: Resource, everything: Resources) -> tuple[Use, ...]:
    cluster = everything.linked(resource, "kubernetes_cluster_id", _CLUSTER)
    number = first_known(resource.values.get("node_count"), resource.values.get("min_count"))
    place = _location(cluster) if cluster else None
    return (_use(resource.values.get("vm_size"), resource.values, number, place),)


def _cluster(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    """The pool of the system; of machines without an accelerator where its price is known."""
    pool = resource.part("default_node_pool").values
    number = first_known(pool.get("node_count"), pool.get("min_count"))
    use = _use(pool.get("vm_size"), pool, number, _location(resource))
    return (replace(use, is_accelerated=(use.what or "").startswith(_WITH_GPU)),)


def _learning_cluster(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    """Compute of Azure Machine Learning costs what its virtual machines do; low priority has a price of its own."""
    number = first_known(resource.first("scale_settings", "min_node_count"))
    use = _use(resource.values.get("vm_size"), {}, number or None, _location(resource))
    is_low = resource.values.get("vm_priority") == "LowPriority"
    return (replace(use, remark="" if number else "by use", unpriced=_LOW_PRIORITY if is_low else ""),)


def _reservation(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    sku = resource.part("sku").values
    use = _use(sku.get("name"), {}, first_known(sku.get("capacity")), _location(resource))
    return (replace(use, unpriced=HELD),)


def _container_app(resource: Resource, everything: Resources) -> tuple[Use, ...]:
    environment = everything.linked(resource, "container_app_environment_id", _ENVIRONMENT)
    wanted = resource.values.get("workload_profile_name")
    profiles = environment.blocks("workload_profile") if environment else []
    kind = next(
        (str(profile.get("workload_profile_type")) for profile in profiles if profile.get("name") == wanted), ""
    )
    number = first_known(resource.first("template", "min_replicas")) or None
    place = _location(environment or resource)
    if "GPU" not in kind.upper():
        vcpus = first_known(resource.first("template", "container", "cpu"))
        memory = re.fullmatch(r"([0-9.]+)Gi", str(resource.first("template", "container", "memory")))
        if vcpus is None or memory is None:
            return ()
        size = vcpus, float(memory[1])
        remark = "" if number else "by use"
        use = Use("azure", place, "processors alone", Purchase.ON_DEMAND, number, "Container Apps", remark, size)
        return (replace(use, is_accelerated=False),)
    return (container(place, kind, number),)


def container(place: str | None, profile: str, least: float | None) -> Use:
    """Containers of a workload profile with a GPU, of which so many always run."""
    accelerator = next((name for part, name in _PROFILES.items() if part in profile.upper().split("-")), None)
    remark = "" if least else "by use"
    return Use("azure", place, accelerator, Purchase.ON_DEMAND, least or None, "Container Apps", remark)


def _cache(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    """Nodes of Azure Managed Redis: two, unless high availability is turned off."""
    number = 1 if resource.values.get("high_availability_enabled") is False else 2
    return (cache_node("azure", _location(resource), text(resource.values.get("sku_name")), "redis", number),)


def _use(kind: object, terms: Mapping[str, Any], number: float | None, place: str | None) -> Use:
    purchase = Purchase.SPOT if terms.get("priority") == "Spot" else Purchase.ON_DEMAND
    return Use("azure", place, text(kind), purchase, number)


def _location(resource: Resource) -> str | None:
    """Location as the catalog spells it: ``West Europe`` is ``westeurope``."""
    return (text(resource.values.get("location")) or "").replace(" ", "").lower() or None


RULES: Rules = {
    "azurerm_linux_virtual_machine": _machine("size"),
    "azurerm_linux_virtual_machine_scale_set": _scale_set,
    "azurerm_windows_virtual_machine": _windows(_machine("size")),
    "azurerm_windows_virtual_machine_scale_set": _windows(_scale_set),
    "azurerm_orchestrated_virtual_machine_scale_set": _scale_set,
    _CLUSTER: _cluster,
    "azurerm_kubernetes_cluster_node_pool": _node_pool,
    "azurerm_capacity_reservation": _reservation,
    "azurerm_container_app": _container_app,
    "azurerm_managed_redis": _cache,
    "azurerm_machine_learning_compute_cluster": _learning_cluster,
    "azurerm_machine_learning_compute_instance": _machine("virtual_machine_size"),
}
