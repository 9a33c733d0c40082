"""Programme: thirty days of work from findings, levers and plans; and the review of what it saved.

Read ``values.py`` (of a programme, of its review, and what the bill has), ``rules.py`` (owners and phases),
``build.py`` (inputs → programme), ``review.py`` (programme and bill → saving).
"""
