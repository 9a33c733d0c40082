"""A problem in; the cheapest fleet out, with the proof of how cheap one could be."""
