"""Needs that the samples show: memory behind a preallocated pool, what limits an accelerator, and demand.

Read in this order: ``query/values.py`` (rows on a grid), ``engines.py`` (statistics that say what gaps leave open),
``limits.py`` (every threshold with its source), ``verdict.py`` (from the numbers to memory and words) and ``fleet.py``,
which judges the accelerators of some hosts.
"""
