"""Findings: ``rules.csv`` is the table of what is looked for, the other modules look for it."""
