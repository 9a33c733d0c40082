"""What a plan does to a trace, request by request: continuous batching on replicas that come and go."""
