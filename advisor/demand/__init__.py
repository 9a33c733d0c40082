"""Samples, traces or declared numbers in; arrival rates and token lengths out."""
