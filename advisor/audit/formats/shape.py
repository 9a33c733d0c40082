"""The shape that every bill is brought into, and what a format has to say to get there."""

from collections.abc import Callable, Mapping

from advisor.audit.sql import MONEY, NULL, Columns
from advisor.records import dataclass

TEXTS = (
    "provider", "account", "service", "category", "meter", "description", "details", "instance_type", "region",
    "resource", "resource_name", "resource_type", "charge", "purchase", "unused", "commitment", "commitment_end",
    "allocated", "unit", "currency", "tags",
)  # fmt: skip
"""Dimensions. ``charge``: usage, purchase, tax, credit, adjustment. ``purchase``: on_demand, spot, committed, other.
``unused``: commitment or capacity_reservation where it was paid for and not used. ``allocated``: a row that splits
another one. ``details``: JSON of the price."""
AMOUNTS = ("billed", "effective", "list_cost", "quantity")
TIMES = ("start_time", "end_time")
LINE_ID = "line_id"
"""Name of a line item where the format has one: a line delivered twice is counted once."""
Expressions = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Format:
    """A billing export."""

    name: str
    title: str
    mandatory: tuple[tuple[str, ...], ...]
    """Columns without which it cannot be read; of each group one is enough."""
    expressions: Callable[[Columns], Expressions]
    """SQL of each column of the shape; one that is left out is NULL."""
    money: tuple[tuple[str, ...], ...]
    """Columns that have to hold numbers, each with its alternatives."""
    times: tuple[tuple[str, ...], ...]
    """Columns that have to hold times, each with its alternatives."""
    notes: Callable[[Columns], tuple[str, ...]] = lambda _: ()
    """Facts that the columns cannot tell."""
    settle: tuple[str, ...] = ()
    """Statements on the aggregated table ``raw`` that look at the bill as a whole."""

    def missing(self, columns: Columns) -> list[str]:
        """Mandatory columns that are not there, the first spelling of each."""
        return [group[0] for group in self.mandatory if columns.find(*group) is None]

    def tells_tags(self, columns: Columns) -> bool:
        """Whether there is a column of tags: without one nothing is known to carry none."""
        return self.expressions(columns).get("tags", NULL) != NULL


def select_list(kind: Format, columns: Columns) -> str:
    """The shape as a list of SQL expressions over a file's columns."""
    given = kind.expressions(columns)
    bad = " OR ".join(
        f"({columns.given(*group)} AND {columns.money(*group)} IS NULL)" for group in kind.money if columns.find(*group)
    )
    parts = [f"'{kind.name}' AS format"]
    parts += [f"{given.get(column, NULL)} AS {column}" for column in TEXTS]
    parts += [f"{given.get(column, f'NULL::{MONEY}')} AS {column}" for column in AMOUNTS]
    parts += [f"{given.get(column, 'NULL::TIMESTAMP')} AS {column}" for column in TIMES]
    parts += [f"{given.get(LINE_ID, NULL)} AS {LINE_ID}", f"({bad or 'false'}) AS is_bad"]
    return ",\n".join(parts)
