"""What a resource uses and is charged for by the hour."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from advisor.catalog.values import Purchase
from advisor.codegen.pricing.resources import Resource, Resources


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
    """A service without machines, as the catalog names it."""
    remark: str = ""


Rule = Callable[[Resource, Resources], tuple[Use, ...]]
Rules = Mapping[str, Rule]


def whole(value: object) -> float | None:
    """A number of machines; None where it is not known."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(value: object) -> str | None:
    """A text; None where there is none."""
    return value if isinstance(value, str) and value else None


def first_known(*values: object) -> float | None:
    """The first number among values."""
    return next((number for one in values if (number := whole(one)) is not None), None)
