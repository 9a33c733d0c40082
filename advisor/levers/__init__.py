"""Levers: what else would cost less. Each is a changed question to the planner, priced alone and with all others.

Read ``values.py`` (what is answered), ``changes.py`` (how a lever changes the question), ``pricing.py`` (the plans).
"""
