"""Programme: thirty days of work from findings, levers and plans; and the review of what it saved.

Read ``rules.py`` (values, and who does what when), ``build.py`` (inputs → programme), ``review.py`` (programme
and bill → saving), ``reviewed.py`` (what it says, and days that are unlike the others).
"""
