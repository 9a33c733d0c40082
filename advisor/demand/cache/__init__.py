"""Replay of a request log against caches: which share of it a cache of a size would have answered.

Read ``log.py`` (requests as hashes), ``stack.py`` (hits of every size in one pass), ``replay.py`` (what is told of
them), ``semantic.py`` (hits by similarity).
"""
