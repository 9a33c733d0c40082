"""Measurements become the calibration that predictions rest on: readers, checks, fits and their accuracy."""
