"""Costed candidates in; one immutable plan out."""
