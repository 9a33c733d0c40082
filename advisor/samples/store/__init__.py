"""Samples on disk, in a layout that :mod:`advisor.samples.places` shows.

What the agents append to the spool, :mod:`advisor.samples.store.compact` turns into Parquet files: one for each hour,
then one for each day, with the counts of all that accelerators said beside it. Several hosts and agents may write into
one directory; :mod:`advisor.samples.store.reading` reads one or several of them.
"""
