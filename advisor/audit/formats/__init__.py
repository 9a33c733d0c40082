"""Billing exports in one shape: one module for each format, a table of SQL expressions; and which one a table is of."""

from collections.abc import Sequence

from advisor.audit.files import Table, sample_names
from advisor.audit.formats.azure import AZURE
from advisor.audit.formats.cur import CUR
from advisor.audit.formats.focus import FOCUS
from advisor.audit.formats.gcp import GCP
from advisor.audit.sql import Format
from advisor.errors import InputError
from advisor.names import nearest

FORMATS = (FOCUS, CUR, AZURE, GCP)

__all__ = ["FORMATS"]


def format_of(table: Table, stated: str | None = None) -> Format:
    """The format whose mandatory columns a table has.

    Args:
        table: some files.
        stated: name of the format, where it is not to be told by the columns.

    Raises:
        InputError: none fits, several do, or the stated one lacks columns, each named with the nearest that is there.
    """
    if stated is not None:
        wanted = next(kind for kind in FORMATS if kind.name == stated)
        if wanted.missing(table.columns):
            raise _lacks(table, wanted, is_stated=True)
        return wanted
    fitting = [kind for kind in FORMATS if not kind.missing(table.columns)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(
            f"the columns fit several formats: {', '.join(kind.title for kind in fitting)}",
            where=table.where,
            hint=f"name it with --bill-format {' or '.join(kind.name for kind in fitting)}",
        )
    raise _lacks(table, _nearest_format(table, FORMATS), is_stated=False)


def _nearest_format(table: Table, formats: Sequence[Format]) -> Format:
    """The format of which the greatest share of the mandatory columns is there."""
    return max(formats, key=lambda kind: 1 - len(kind.missing(table.columns)) / len(kind.mandatory))


def _lacks(table: Table, kind: Format, *, is_stated: bool) -> InputError:
    missing = kind.missing(table.columns)
    if len(missing) == len(kind.mandatory) and not is_stated:
        titles = ", ".join(format_.title for format_ in FORMATS)
        return InputError(
            f"no billing export that is known here; its columns: {sample_names(table.columns)}",
            where=table.where,
            hint=f"give one of {titles}",
        )
    named = "; ".join(_with_nearest(column, table) for column in missing)
    plural = "column" if len(missing) == 1 else "columns"
    return InputError(
        f"mandatory {plural} of {kind.title} missing: {named}",
        where=table.where,
        hint="export the bill with these columns, or rename the nearest ones",
    )


def _with_nearest(column: str, table: Table) -> str:
    close = nearest(column, table.columns.types)[:1]
    return f"{column} (nearest: {close[0]})" if close else f"{column} (nothing like it is there)"
