"""Case studies: what a series of changes saves, from stated assumptions, beside a published figure.

Read ``values.py`` (what is stated and answered), ``document.py`` and ``formulas.py`` (the file), ``pricing.py``.
"""
