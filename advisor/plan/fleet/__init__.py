"""The chosen fleet as values, as a plan holds it."""
