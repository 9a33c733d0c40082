"""Price lists that other programs keep, read by their own packages: a layer below what a provider answers itself."""
