"""What can be read on a host: one module for each vendor, one for serving engines; each opened in a process of its own.

:mod:`advisor.samples.sources.table` names them without importing any.
"""
