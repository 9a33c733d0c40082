"""Charges of IBM Cloud: virtual servers and groups of them."""

import re

from advisor.catalog.values import Purchase
from advisor.codegen.pricing.resources import Resource, Resources, Rules, Use, purchase_of, text, whole

_ZONE = re.compile(r"(?P<region>[a-z]+-[a-z]+)-[1-9]")
_ACCELERATED = re.compile(r"gx\d")
"""How profiles begin that have accelerators."""
_CLASSES = {None: Purchase.ON_DEMAND, "standard": Purchase.ON_DEMAND, "spot": Purchase.SPOT}


def _instance(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    return (_ibm_use(resource, resource, 1),)


def _group(resource: Resource, everything: Resources) -> tuple[Use, ...]:
    template = everything.linked(resource, "instance_template", "ibm_is_instance_template")
    number = whole(resource.values.get("instance_count"))
    return (_ibm_use(resource, template or Resource("", "", "", {}), number),)


def _ibm_use(resource: Resource, machine: Resource, number: float | None) -> Use:
    """Instances of a resource as it, or its template, describes them."""
    profile = text(machine.values.get("profile"))
    in_zone = _ZONE.fullmatch(text(machine.values.get("zone")) or "")
    return Use(
        provider="ibm",
        region=in_zone["region"] if in_zone else text(resource.provider.get("region")),
        what=profile,
        purchase=purchase_of(_CLASSES, machine.first("availability", "class")),
        number=number,
        is_accelerated=profile is None or _ACCELERATED.match(profile) is not None,
    )


RULES: Rules = {"ibm_is_instance": _instance, "ibm_is_instance_group": _group}
