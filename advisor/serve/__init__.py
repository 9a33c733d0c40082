"""A plan as a page with controls, served on loopback.

::

    guard ─▶ app ─▶ sessions ─▶ work: changes ─▶ question ─▶ pipeline ─▶ page
    who may   paths   what was    in a process of its own, which ends when a newer change comes
    ask               planned

The first answer to a change is a fleet of few types: those of the plan before it and of its cheapest options. The
plan takes its place once it is made.

Only ``guard`` and ``app`` know of HTTP. The server itself reads no workload and plans nothing, so that it
answers at any time.
"""
