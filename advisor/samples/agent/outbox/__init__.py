"""Remote write: rows as samples, their encoding, what waits to be sent, and who sends it."""
