"""Layers over the shipped catalog: what was refreshed on this machine, and what its user negotiated."""
