"""A deployment and a load in; latency and throughput with an interval and its evidence out."""
