"""Many workloads planned together: what they share is divided between them, at the least cost of all."""
