"""Needs that the samples show: memory behind a preallocated pool, what limits an accelerator, and demand.

Read in this order: ``query/__init__.py`` (rows on a grid), ``limits.py`` (every threshold with its source),
``verdict.py`` (statistics and what gaps leave open in them, then memory and words) and ``fleet.py``, which judges
the accelerators of some hosts.
"""
