"""Measurement files of benchmark clients and engines → measurements, and what was left out with the reason.

The format is told by the content. Every reader turns its file into rows of our own table (``entries``); gaps are filled
from what the user told (``completion``); one set of checks decides what is usable (``checks``).
"""

from advisor.calibration.readers.files import FileFormat, read_measurements
from advisor.calibration.readers.own_table import write_own_csv

__all__ = ["FileFormat", "read_measurements", "write_own_csv"]
