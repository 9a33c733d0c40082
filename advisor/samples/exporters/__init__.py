"""Names of metrics by exporter and serving engine: one table for every reader, which a user's file extends."""

from advisor.samples.exporters.table import Exporter, Name, NameTable, near_miss_words, shipped, table_with

__all__ = ["Exporter", "Name", "NameTable", "near_miss_words", "shipped", "table_with"]
