"""Facts with sources: accelerators, instance types, offers with prices, and what engines support."""
