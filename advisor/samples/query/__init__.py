"""One question about samples, answered alike by several engines."""
