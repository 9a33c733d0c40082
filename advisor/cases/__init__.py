"""Case studies: what a series of changes saves, from stated assumptions, beside a published figure.

Read ``document.py`` (values, the file and its formulas), then ``pricing.py``.
"""
