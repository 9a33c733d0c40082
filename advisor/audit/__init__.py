"""A bill, telemetry and request logs → what each dollar was spent on, and findings with a price.

Read in this order: ``files.py`` (which files), ``formats.py`` (columns of each format in one shape), ``ledger.py`` (the
bill in that shape, aggregated on disk), ``normalising.py`` (kinds of meters, one currency, no charge twice),
``split.py`` (how much of compute was needed), ``traffic.py`` (request logs), ``endpoints.py``, ``findings`` and
``run.py``, which joins them and shows the bill by tag. Money is decimal throughout, never a float.
"""
