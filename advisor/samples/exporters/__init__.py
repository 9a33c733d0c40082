"""What exporters and serving engines call what is measured: one table for every reader, and what a user adds to it."""

from advisor.samples.exporters.likeness import near_miss_words
from advisor.samples.exporters.table import Exporter, Name, NameTable, shipped, table_with

__all__ = ["Exporter", "Name", "NameTable", "near_miss_words", "shipped", "table_with"]
