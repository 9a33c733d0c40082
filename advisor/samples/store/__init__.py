"""Samples on disk, in a layout that :mod:`advisor.samples.places` shows.

What the agents append to the spool, :mod:`advisor.samples.store.compact` turns into Parquet files: one
for each hour, then one for each day, with the counts of every value beside it. Several hosts and agents may write into
one directory.
"""

from advisor.samples.store.reading import EngineRows, OnlyEnginesError, read_engines, read_samples

__all__ = ["EngineRows", "OnlyEnginesError", "read_engines", "read_samples"]
