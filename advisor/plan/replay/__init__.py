"""Replay of requests one by one on a fleet, continuous batching on replicas that come and go; whether it holds."""
