"""Uses × prices of the catalog = costs, by resource and in total."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from advisor.catalog import Catalog
from advisor.catalog.values import Price, Purchase
from advisor.codegen.pricing import aws, azure, gcp
from advisor.codegen.pricing.resources import Resource, Resources, Rules, Use, purchase_of, text, whole
from advisor.cost.services import accelerated_container_price, container_price
from advisor.records import dataclass
from advisor.tables import read_rows
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK

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


_IBM: Rules = {"ibm_is_instance": _instance, "ibm_is_instance_group": _group}
RULES: Rules = {**aws.RULES, **gcp.RULES, **azure.RULES, **_IBM}
_FREE = tuple(row["kind"] for row in read_rows(Path(__file__).with_name("free.csv")))
"""Types, or how they begin, that nobody charges for."""


def is_free(kind: str) -> bool:
    """Whether nobody charges for resources of a type."""
    return kind.startswith(_FREE)


NOT_FOUND = "price not found"
CODE, PROGRAM = "terraform_dir", "pulumi_dir"
"""Kinds of projects that are generated code: roots of Terraform, and programs of Pulumi."""
_SCALING = re.compile("_schedule$|_scheduled_action$|_autoscaler$|_autoscale_setting$|_manager_action$")
"""Ends of the types of resources that may change numbers of machines by the clock or by load."""


@dataclass(frozen=True, slots=True)
class Component:
    """One line of a bill. None is unknown."""

    name: str
    number: Decimal | None
    """Machines, all the time."""
    usd_per_hour: Decimal | None
    """Of one."""
    place: tuple[str, str, str] = ("", "", "")
    """Provider, instance type or accelerator, and region."""
    as_of: str | None = None
    """Date of the price; None where there is no price."""
    is_spot: bool = False

    @property
    def hourly(self) -> Decimal | None:
        """USD an hour."""
        return None if self.number is None or self.usd_per_hour is None else self.number * self.usd_per_hour

    @property
    def monthly(self) -> Decimal | None:
        """USD a month of 730 hours."""
        return monthly_of(self.hourly)


@dataclass(frozen=True, slots=True)
class Cost:
    """A resource that is charged for."""

    resource: Resource
    components: tuple[Component, ...]

    @property
    def hourly(self) -> Decimal | None:
        """USD an hour; None where a part is not known."""
        parts = [component.hourly for component in self.components]
        amounts = [part for part in parts if part is not None]
        return sum(amounts, Decimal(0)) if len(amounts) == len(parts) else None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The resources of one moment."""

    costs: tuple[Cost, ...]
    free: Mapping[str, int]
    """Types that cost nothing, with how many there are."""
    unsupported: Mapping[str, int]
    """Types without a rule here: load balancers, keys, logs, …"""

    @property
    def hourly(self) -> Decimal | None:
        """USD an hour of what is known; None where nothing is."""
        amounts = [cost.hourly for cost in self.costs if cost.hourly is not None]
        return sum(amounts, Decimal(0)) if amounts or not self.costs else None

    @property
    def monthly(self) -> Decimal | None:
        """USD a month of what is known; None where nothing is."""
        return monthly_of(self.hourly)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Addresses without a known cost: the total is too low by them."""
        return tuple(cost.resource.address for cost in self.costs if cost.hourly is None)


@dataclass(frozen=True, slots=True)
class GroupHours:
    """Hours of a group of machines by the schedule of the plan that its code was generated of."""

    group: str
    running_hours_per_week: float
    """In which any instance runs."""
    instance_hours_per_week: float
    """Billed, with those of starts and stops."""
    usd_per_hour: Decimal | None
    """Price of one instance; None: unknown."""
    edits: tuple[str, ...] = ()
    """Values that are not those of the schedule any more, so that hours and amounts are not those of the code."""

    def is_of(self, address: str) -> bool:
        """Whether a resource is one of the group's."""
        return address.endswith(f'["{self.group}"]')

    @property
    def monthly(self) -> Decimal | None:
        """USD a month of 730 hours."""
        mean = Decimal(str(self.instance_hours_per_week)) / HOURS_PER_WEEK
        return None if self.usd_per_hour is None or self.edits else monthly_of(self.usd_per_hour * mean)


class NoHours(StrEnum):
    """Reason why hours of a plan are not known, as the end of a sentence."""

    NO_RECORD = "no record of generated code (.advisor) lies beside it"
    OTHER_RESOURCES = "the record of generated code beside it (.advisor) has groups without a resource in it"
    CUT_OVER = "a cut-over of its code is under way"
    FIXED = "its plan has no schedule"
    BY_LOAD = "its groups scale by load"
    BY_REQUEST = "its containers start as requests come"


@dataclass(frozen=True, slots=True)
class Project:
    """A plan, or a directory."""

    name: str
    path: str
    kind: str
    """As Infracost calls it, such as terraform_plan_json."""
    now: Breakdown
    """As the plan leaves it."""
    before: Breakdown
    """As the plan found it."""
    hours: tuple[GroupHours, ...] | NoHours = NoHours.NO_RECORD
    """Planned hours of generated code, by group, or why they are not known."""
    not_read: tuple[str, ...] = ()
    """Addresses, each with its file, of code that was edited or added and whose cost is not known here."""
    is_left: bool = False
    """A root that the code no longer has, which runs until somebody destroys it."""

    @property
    def is_code(self) -> bool:
        """Whether it is code, and no plan of Terraform."""
        return self.kind in (CODE, PROGRAM)

    @property
    def is_generated(self) -> bool:
        """Whether its resources are those of a plan of advisor."""
        return self.is_code or self.hours not in (NoHours.NO_RECORD, NoHours.OTHER_RESOURCES)

    @property
    def scaling(self) -> Mapping[str, int]:
        """Types of resources that may change numbers of machines by the clock or by load, with how many there are."""
        others = {**self.now.free, **self.now.unsupported}
        return {kind: number for kind, number in sorted(others.items()) if _SCALING.search(kind)}


def monthly_of(hourly: Decimal | None) -> Decimal | None:
    """Amount of a month of 730 hours; None where that of an hour is not known."""
    return None if hourly is None else hourly * Decimal(HOURS_PER_MONTH)


def decimal_text(value: Decimal | None) -> str | None:
    """Without an exponent and without zeros at the end."""
    return None if value is None else f"{value.normalize() + 0:f}"


def breakdown_of(resources: Resources, catalog: Catalog) -> Breakdown:
    """Costs of resources at the prices of a catalog."""
    uses = ((resource, RULES.get(resource.kind, no_use)(resource, resources)) for resource in resources.all)
    return breakdown_of_uses(uses, catalog)


def no_use(_resource: Resource, _all: Resources) -> tuple[Use, ...]:
    """Uses of a resource of a type without a rule."""
    return ()


def breakdown_of_uses(uses: Iterable[tuple[Resource, Iterable[Use]]], catalog: Catalog) -> Breakdown:
    """Costs of resources that use this, at the prices of a catalog."""
    costs, free, unsupported = [], Counter[str](), Counter[str]()
    for resource, of_resource in uses:
        cost = cost_of(resource, of_resource, catalog)
        if cost.components:
            costs.append(cost)
        else:
            (free if is_free(resource.kind) else unsupported)[resource.kind] += 1
    return Breakdown(tuple(costs), free, unsupported)


def cost_of(resource: Resource, uses: Iterable[Use], catalog: Catalog) -> Cost:
    """Cost of a resource that uses this."""
    components = ((use, _component(use, catalog)) for use in uses)
    return Cost(
        resource,
        tuple(component for use, component in components if use.is_accelerated or component.usd_per_hour is not None),
    )


def _component(use: Use, catalog: Catalog) -> Component:
    price = None if use.unpriced else _price(use, catalog)
    number = None if use.number is None else Decimal(str(use.number))
    words = {Purchase.ON_DEMAND: "on-demand", Purchase.SPOT: "spot", Purchase.MANAGED: "SageMaker real-time"}
    kind = "Cache node" if use.service_item else "Container usage" if use.service else "Instance usage"
    bought = words.get(use.purchase, "reserved capacity") if use.purchase else "reserved capacity" if use.what else ""
    size = "{:g} vCPUs and {:g} GiB".format(*use.size) if use.size else ""
    parts = [bought, use.what or "unknown type", use.region or "unknown region", size, use.remark]
    why_not = "" if (price is not None) else f": {use.unpriced or NOT_FOUND}"
    name = f"{kind} ({', '.join(part for part in parts if part)}){why_not}"
    place = (use.provider, use.what or "", use.region or "")
    if price is None:
        return Component(name, number, None, place)
    is_spot = use.purchase is Purchase.SPOT
    return Component(name, number, Decimal(str(price.usd_per_hour)), place, price.provenance.as_of, is_spot)


def _price(use: Use, catalog: Catalog) -> Price | None:
    if use.service_item:
        price = catalog.service_price(use.provider, use.service_item, use.region) if use.region else None
        return None if price is None else Price(price.usd, price.provenance)
    if use.service and use.size and not use.is_accelerated:
        return container_price(catalog, use.provider, use.region or "", *use.size)
    if use.service:
        service = (use.provider, use.service)
        return accelerated_container_price(catalog, service, use.region or "", use.what or "", use.size)
    return _machine_price(use, catalog)


def _machine_price(use: Use, catalog: Catalog) -> Price | None:
    place = (use.provider, use.region or "", use.what or "")
    offer = catalog.offer(*place)
    if offer is None and (use.provider, use.what) in catalog.cpu_instances:
        offers = catalog.cpu_offers(use.provider)
        offer = next((offer for offer in offers if (offer.provider, offer.region, offer.instance_type) == place), None)
    if offer is None or use.purchase is None:
        return None
    return catalog.price(offer, use.purchase)
