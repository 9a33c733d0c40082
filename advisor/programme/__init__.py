"""Programme: thirty days of work from findings, levers and plans; and the review of what it saved.

Read ``values.py`` (of a programme and of its review), ``rules.py`` (owners and phases), ``billed.py`` (what the bill
has), ``build.py`` (inputs → programme), ``review.py`` (programme and bill → saving).
"""
