"""Replay of a request log against caches: which share of it a cache of a size would have answered.

Read ``log.py`` (requests as hashes), then ``replay.py`` (hits of every size in one pass, and by similarity).
"""
