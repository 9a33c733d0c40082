"""Programme: thirty days of work from findings, levers and plans; and the review of what it saved.

Read ``values.py``, ``rules.py`` (owners and phases), ``billed.py`` (what the bill has), ``build.py`` (inputs →
programme), ``review.py`` (programme and bill → saving), ``reviewed.py`` (what it says, and days that are unlike the
others).
"""
