"""Peak against average over time, drawn for a terminal, as SVG, as a page and as PNG; gaps are gaps and never zero."""
