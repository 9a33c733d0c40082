"""Use of a resource that is charged for by the hour."""

from collections.abc import Callable, Mapping
from typing import Any

from advisor.catalog.values import Purchase
from advisor.codegen.pricing.resources import Resource, Resources
from advisor.records import dataclass


@dataclass(frozen=True, slots=True)
class Use:
    """Equal machines, or containers of a service without machines. None is unknown."""

    provider: str
    region: str | None
    what: str | None
    """Instance type; the accelerator where *service* is set."""
    purchase: Purchase | None
    """None: in a way that has no price in the catalog, such as a capacity block."""
    number: float | None
    """That run all the time."""
    service: str = ""
    """A service without machines, as the catalog names it; without an accelerator, of *size*."""
    remark: str = ""
    size: tuple[float, float] | None = None
    """Processors and GiB of a container; None: those that the catalog has the price of."""
    unpriced: str = ""
    """Why the catalog cannot have its price; "": it may have one."""
    is_accelerated: bool = True
    """False: a machine for what runs beside the model, left out where its price is not known."""
    service_item: str = ""
    """Name among the catalog's prices of services; "": a machine or container."""


HELD = "paid for whether it is used or not, and counted with the instances that run in it"
"""Why a reservation of capacity has no price of its own here."""
NOTEBOOK = "the service of a notebook has a price of its own"
"""Why a managed notebook has none of the machine that it runs on."""
Rule = Callable[[Resource, Resources], tuple[Use, ...]]
Rules = Mapping[str, Rule]


def cache_node(provider: str, region: str | None, node: str | None, engine: str | None, number: float | None) -> Use:
    """Nodes of a managed in-memory store, priced as a plan's response cache is."""
    item = f"{node}_{engine}"
    return Use(provider, region, node, Purchase.ON_DEMAND, number, remark=engine or "", service_item=item)


def whole(value: object) -> float | None:
    """A number of machines; None where it is not known."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def listed(value: object) -> list[Any]:
    """A list; an empty one where there is none."""
    return value if isinstance(value, list) else []


def purchase_of(words: Mapping[Any, Purchase | None], value: object) -> Purchase | None:
    """The purchase that a word of a provider stands for; None where the catalog has no price for it."""
    return words.get(value) if value is None or isinstance(value, str | bool) else None


def text(value: object) -> str | None:
    """A text; None where there is none."""
    return value if isinstance(value, str) and value else None


def first_known(*values: object) -> float | None:
    """The first number among values."""
    return next((number for value in values if (number := whole(value)) is not None), None)
