"""What a fleet does to requests one by one, continuous batching on replicas that come and go; and whether it holds."""
