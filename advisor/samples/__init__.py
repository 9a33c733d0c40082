"""What the machines said: accelerator samples, taken and stored."""
