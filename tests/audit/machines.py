"""Billed machines, and samples of what they did."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from audit.bills import Charge, hours, write_focus
from samples.records import DAY, row
from samples.stores import store

ROWS_PER_HOUR = 240
ACCELERATED = Charge(what="accelerator", cost=Decimal(10), resource="i-0aaa", at=DAY)


def billed(tmp_path, charges, first_hour=0):
    """A FOCUS bill of some charges, a day of hours each unless stated."""
    moved = [replace(charge, at=charge.at + timedelta(hours=first_hour)) for charge in charges]
    return write_focus(tmp_path / "bill.csv", moved)


def day_of(charge, count=2):
    """A charge in each of the first hours of the sampled day."""
    return [replace(each, at=DAY + timedelta(hours=number)) for number, each in enumerate(hours(charge, count))]


def sampled(tmp_path, busy, host="i-0aaa", accelerators=4, rows=2 * ROWS_PER_HOUR):
    """Two hours of samples, in which *busy* gives the use of each row."""
    folder = tmp_path / "samples"
    records = [
        row(number, index, host, busy_ratio=busy(number))
        for index in range(accelerators)
        for number in range(1, rows + 1)
    ]
    store(folder, records, name=host)
    return str(folder)
