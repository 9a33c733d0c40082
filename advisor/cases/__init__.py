"""Case studies: what a series of changes saves, from stated assumptions, beside a published figure.

Read ``values.py`` (what is stated and answered), ``document.py`` (the file and its formulas), ``pricing.py``.
"""
