"""Diagnosis of a machine: what can be read, what cannot, and how to mend it."""
