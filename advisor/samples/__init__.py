"""Samples of accelerators, taken and stored."""
