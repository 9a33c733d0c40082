"""Prices and counts in; the one total out."""
